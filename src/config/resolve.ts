/** From a checked file to the configuration the program runs on; says what does not fit together. */
import { resolve as resolvePath } from 'node:path';
import { shown } from './check-file.ts';
import { limitsOfOrg } from './limits.ts';
import { type Complain, type PlacedMistake, printPath } from './mistakes.ts';
import { checkNesting, namesIn, repositoriesOf, resolveHosts } from './nesting.ts';
import { accessNotes, checkAccess, checkProjects, projectsOf, resolveRepository, usersOf } from './resolve-org.ts';
import { blocks, resolveIndex, resolveServer, resolveTracing } from './resolve-server.ts';
import { resolveIssuers, resolveSignIn } from './resolve-sign-in.ts';
import { resolveUpstreams } from './resolve-upstreams.ts';
import type { ConfigFile } from './schema.ts';
import type { Config, OrgConfig } from './settings.ts';
import type { Environment, SourceTree } from './source.ts';

/** What is needed beside the file. */
export interface ResolveOptions {
  readonly filePath: string;
  readonly environment: Environment;
  /** Ids of the formats there are. */
  readonly formats: readonly string[];
}

/** First path segments that mean something else. */
const reservedOrgs: readonly string[] = [
  'v2',
  '-',
  'api',
  'ui',
  'healthz',
  'readyz',
  'metrics',
  'token',
  '.well-known',
];

/** All of it, and everything that is wrong with it. */
export async function resolveConfig(
  file: ConfigFile,
  tree: SourceTree,
  options: ResolveOptions,
): Promise<{ readonly config: Config; readonly mistakes: readonly PlacedMistake[] }> {
  const mistakes: PlacedMistake[] = [];
  const notes: string[] = [];
  const complain: Complain = (at, message, missing) => {
    const only = missing === undefined ? {} : { missing };
    mistakes.push({ path: printPath(at), at, message: shown(message, at, tree), ...only, ...tree.place(at) });
  };

  const names = namesIn(tree);
  const server = await resolveServer(file.server, complain);
  const upstreams = await resolveUpstreams(file, server, options.environment, complain, notes);
  const orgs: Record<string, OrgConfig> = {};
  for (const [name, org] of Object.entries(file.orgs)) {
    if (reservedOrgs.includes(name)) complain(['orgs', name], `"${name}" is reserved; name the org differently`);
    orgs[name] = {
      recording: org.recording,
      ...(org.maxSize === undefined ? {} : { maxSizeBytes: org.maxSize }),
      limits: limitsOfOrg(org.limits, file.server.limits),
      teams: org.teams,
      webhooks: org.webhooks,
      repositories: Object.fromEntries(
        Object.entries(org.repositories).map(([repository, settings]) => [
          repository,
          resolveRepository(settings, name, repository, { upstreams, offline: file.offline }, options, complain),
        ]),
      ),
      users: usersOf(org),
      projects: projectsOf(org),
      access: org.access.map(({ who, may, repositories, names, claims }) => ({
        who,
        may,
        ...(repositories && { repositories }),
        ...(names && { names }),
        ...(claims && { claims }),
      })),
    };
    checkProjects(name, org, complain);
    checkAccess(name, org, names.repositories, complain);
    notes.push(...accessNotes(name, org, file.issuers));
  }
  const repositories = repositoriesOf(orgs);
  checkNesting(repositories, names, complain);
  const hosts = resolveHosts(file.hosts, names, complain);
  const issuers = resolveIssuers(file.issuers, complain);
  const signIn = resolveSignIn(file, complain);
  if (repositories.size === 0 && mistakes.length === 0) {
    notes.push('there is no repository; add one under orgs.NAME.repositories');
  }
  return {
    config: {
      file: options.filePath,
      server,
      storage: {
        path: resolvePath(file.storage.path),
        keepFreeBytes: file.storage.keepFree,
        ...(file.storage.maxSize !== undefined && { maxSizeBytes: file.storage.maxSize }),
      },
      index: resolveIndex(file.index, complain),
      hosts,
      upstreams,
      orgs,
      issuers,
      ...(signIn && { signIn }),
      offline: file.offline,
      webhooks: file.webhooks,
      documents: {
        threads: file.documents.threads,
        inlineBytes: file.documents.inlineBytes,
        memoryBytes: file.documents.memory,
      },
      log: file.log,
      metrics: { ...file.metrics, from: blocks(file.metrics.from, ['metrics', 'from'], complain) },
      ...resolveTracing(file.tracing, options.environment, complain),
      notes,
    },
    mistakes,
  };
}

/** From what is written about an organisation to what the program runs on. */
import type { Complain, Path } from './mistakes.ts';
import type { ResolveOptions } from './resolve.ts';
import type { ConfigFile } from './schema.ts';
import type { OrgConfig, RepositoryConfig, SourceConfig, UpstreamConfig } from './settings.ts';
import { guess, hint } from './suggest.ts';

type RepositoryFile = ConfigFile['orgs'][string]['repositories'][string];

/** One repository with its sources. */
export function resolveRepository(
  settings: RepositoryFile,
  org: string,
  name: string,
  { upstreams, offline }: { readonly upstreams: Readonly<Record<string, UpstreamConfig>>; readonly offline: boolean },
  { formats }: ResolveOptions,
  complain: Complain,
): RepositoryConfig {
  const path: Path = ['orgs', org, 'repositories', name];
  const known = formats.includes(settings.format);
  if (!known) {
    complain([...path, 'format'], `there is no format "${settings.format}"${hint(settings.format, formats)}`);
  }
  const seen = new Map<string, number>();
  const sources = settings.sources.map((source, index): SourceConfig => {
    const at = [...path, 'sources', index];
    const key = 'remote' in source ? `remote ${source.remote}` : 'repository' in source ? source.repository : 'hosted';
    const before = seen.get(key);
    if (before !== undefined) complain(at, `is the same as sources[${before}]; a source can be named once only`);
    seen.set(key, index);
    if ('hosted' in source) {
      const { claims, merge, overwrite, maxSize } = source;
      return {
        kind: 'hosted',
        claims,
        merge,
        overwrite,
        ...(maxSize === undefined ? {} : { maxSizeBytes: maxSize }),
      };
    }
    if ('repository' in source) {
      const repository = source.repository.includes('/') ? source.repository : `${org}/${source.repository}`;
      return { kind: 'repository', repository, claims: source.claims };
    }
    const upstream = Object.hasOwn(upstreams, source.remote) ? upstreams[source.remote] : undefined;
    if (known && upstream?.format !== undefined && ![upstream.format, 'generic'].includes(settings.format)) {
      complain(
        [...at, 'remote'],
        `upstream "${source.remote}" speaks ${upstream.format}, but this repository is for ${settings.format} clients`,
      );
    }
    return {
      kind: 'remote',
      upstream: source.remote,
      ttlMs: source.ttl,
      staleWhileRevalidateMs: source.staleWhileRevalidate,
      staleIfErrorMs: source.staleIfError === 'unlimited' ? undefined : source.staleIfError,
      negativeTtlMs: source.negativeTtl,
      patienceMs: source.patience,
      offline: source.offline || offline || upstream?.offline === true,
      claims: source.claims,
      ...takedownOf(source.takedown),
    };
  });
  return {
    format: settings.format,
    sources,
    partial: settings.partial,
    options: settings.options,
    maxArtifactSizeBytes: settings.maxArtifactSize,
    keepGoing: settings.keepGoing,
    ...(settings.keepWarm && {
      keepWarm: { everyMs: settings.keepWarm.every, usedWithinMs: settings.keepWarm.usedWithin },
    }),
  };
}

function takedownOf(settings: 'never' | { readonly confirmations: number; readonly over: number } | undefined) {
  if (settings === undefined) return {};
  if (settings === 'never') return { takedown: { confirmations: Number.POSITIVE_INFINITY, overMs: 0 } };
  return { takedown: { confirmations: settings.confirmations, overMs: settings.over } };
}

/** Complains of rules about repositories and people that there are not. */
export function checkAccess(
  org: string,
  { teams, access }: ConfigFile['orgs'][string],
  known: readonly string[],
  complain: Complain,
): void {
  for (const [index, rule] of access.entries()) {
    for (const [place, name] of (rule.repositories ?? []).entries()) {
      if (known.includes(`${org}/${name}`)) continue;
      const names = known.filter((full) => full.startsWith(`${org}/`)).map((full) => full.slice(org.length + 1));
      const message = `there is no repository "${name}" in org "${org}"${hint(name, names)}`;
      complain(['orgs', org, 'access', index, 'repositories', place], message);
    }
    for (const [place, who] of rule.who.entries()) {
      const problem = whoProblem(who, Object.keys(teams));
      if (problem !== undefined) complain(['orgs', org, 'access', index, 'who', place], problem);
    }
    if (rule.claims && !rule.who.every((who) => who.startsWith('ci:'))) {
      complain(['orgs', org, 'access', index, 'claims'], 'only CI jobs have claims; write a rule of its own for `ci:`');
    }
  }
}

function whoProblem(who: string, teams: readonly string[]): string | undefined {
  if (who === 'everyone' || who === 'members') return undefined;
  if (/^user:\S+$/.test(who) || /^ci:[^:\s]+:.+$/.test(who)) return undefined;
  const team = /^team:(.+)$/.exec(who)?.[1];
  if (team !== undefined) return teams.includes(team) ? undefined : `there is no team "${team}"${hint(team, teams)}`;
  const kinds = ['everyone', 'members', 'team:NAME', 'user:NAME', 'ci:ISSUER-NAME:SUBJECT-PATTERN'];
  return `"${who}" is none of ${kinds.join(', ')}${guess(who, ['everyone', 'members'])}`;
}

/** What is no mistake and hardly meant. */
export function accessNotes(name: string, org: ConfigFile['orgs'][string], issuers: ConfigFile['issuers']): string[] {
  const nobody = Object.keys(org.repositories)
    .filter((repository) => !org.access.some((rule) => rule.repositories?.includes(repository) ?? true))
    .filter(() => Object.keys(org.projects).length === 0)
    .map((repository) => `${name}/${repository}: no access rule is about it, so nobody may read it`);
  const unknown = org.access
    .flatMap(({ who }) => who.map((one) => /^ci:([^:]+):/.exec(one)?.[1]))
    .filter((issuer) => issuer !== undefined && !Object.hasOwn(issuers, issuer));
  return [
    ...nobody,
    ...[...new Set(unknown)].map(
      (issuer) => `${name}: a rule is about CI jobs of issuer "${issuer}", which is none of issuers:`,
    ),
  ];
}

type OrgFile = ConfigFile['orgs'][string];

/** Those of the file. */
export function usersOf({ users }: OrgFile): OrgConfig['users'] {
  return Object.fromEntries(
    Object.entries(users).map(([name, { service, password }]) => [
      name,
      { service, ...(password !== undefined && { password }) },
    ]),
  );
}

/** Those of the file. */
export function projectsOf({ projects }: OrgFile): OrgConfig['projects'] {
  return Object.fromEntries(
    Object.entries(projects).map(([name, { visibility, source, members, packages }]) => {
      const { read, publish, delete: remove, admin } = members;
      return [
        name,
        {
          visibility,
          ...(source !== undefined && { source }),
          members: {
            ...(read && { read }),
            ...(publish && { publish }),
            ...(remove && { delete: remove }),
            ...(admin && { admin }),
          },
          packages,
        },
      ];
    }),
  );
}

/** Complains of members and packages that there cannot be. */
export function checkProjects(org: string, { projects, teams }: OrgFile, complain: Complain): void {
  for (const [name, { packages, members }] of Object.entries(projects)) {
    const at: Path = ['orgs', org, 'projects', name];
    for (const [index, pattern] of packages.entries()) {
      if (/^[^:]+:.+$/.test(pattern)) continue;
      complain([...at, 'packages', index], "is no REPOSITORY-PATTERN:NAME-PATTERN, such as 'npm:@acme/shop-*'");
    }
    for (const [action, list] of Object.entries(members)) {
      for (const [index, who] of (list ?? []).entries()) {
        const problem = whoProblem(who, Object.keys(teams));
        if (problem !== undefined) complain([...at, 'members', action, index], problem);
      }
    }
  }
}

/** What a configuration describes: upstreams and repositories, built anew when it is reloaded. Store, downloads and server outlive it. */

import { createHash } from 'node:crypto';
import type { AccessRule, Config, RepositoryConfig, SourceConfig, UpstreamConfig } from './config/schema.ts';
import type { Format } from './core/format.ts';
import type { TakedownPolicy } from './core/freshness.ts';
import type { Repository } from './core/repository.ts';
import { compileRoutes } from './core/route.ts';
import type { Source } from './core/source.ts';
import { loadFormat } from './formats/load.ts';
import { findArtifact, findDigest, holderOf } from './pipeline/artifact.ts';
import type { Compute } from './pipeline/compute.ts';
import { gather } from './pipeline/document.ts';
import { createOrigins } from './pipeline/origins.ts';
import { createNested } from './sources/nested.ts';
import { createRemote } from './sources/remote.ts';
import type { Store } from './store/store.ts';
import type { Upstream, Upstreams } from './upstream/client.ts';
import type { Downloads } from './upstream/download.ts';

/** Names are compared letter by letter, so what is claimed has to be spelled as it is asked for. */
function spelled(claims: readonly string[], { spell }: Format): readonly string[] {
  return spell ? claims.map((pattern) => spell(pattern)) : claims;
}

const never: TakedownPolicy = { confirmations: Number.POSITIVE_INFINITY, overMs: 0 };
const usualTakedown: TakedownPolicy = { confirmations: 3, overMs: 3_600_000 };

export interface SiteParts {
  readonly store: Store;
  readonly upstreams: Upstreams;
  readonly downloads: { readonly artifacts: Downloads; readonly documents: Downloads };
  readonly compute: Compute;
  readonly now: () => number;
}

export interface Site {
  readonly repositories: ReadonlyMap<string, Repository>;
  readonly hosts: Readonly<Record<string, string>>;
  readonly optionsOf: (repository: Repository) => Readonly<Record<string, unknown>>;
}

export async function buildSite(config: Config, parts: SiteParts): Promise<Site> {
  const repositories = new Map<string, Repository>();
  const options = new Map<string, Readonly<Record<string, unknown>>>();
  const opened = new Map<string, Upstream>();
  const open = (settings: UpstreamConfig): Upstream => {
    const known = opened.get(settings.name) ?? parts.upstreams.open(settings);
    opened.set(settings.name, known);
    return known;
  };

  async function build(org: string, name: string, settings: RepositoryConfig): Promise<void> {
    const { teams, access } = config.orgs[org] ?? { teams: {}, access: [] };
    const plain = await loadFormat(settings.format);
    const format = plain.configure?.(settings.options) ?? plain;
    const id = `${org}/${name}`;
    options.set(id, settings.options);
    repositories.set(id, {
      id,
      org,
      name,
      format,
      router: compileRoutes(format.routes),
      sources: settings.sources.map((source) => sourceOf(source, settings, format)),
      partial: settings.partial,
      access: access as readonly AccessRule[],
      teams,
      policy: [],
      origins: createOrigins(),
      epoch: createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 16),
    });
  }

  function sourceOf(source: SourceConfig, settings: RepositoryConfig, format: Format): Source {
    switch (source.kind) {
      case 'remote':
        return remoteOf(source, settings, format);
      case 'repository':
        return nestedOf(source.repository, spelled(source.claims, format));
      case 'hosted':
        throw new Error('Hosted sources are not part of this release.');
    }
  }

  function remoteOf(
    source: Extract<SourceConfig, { kind: 'remote' }>,
    settings: RepositoryConfig,
    format: Format,
  ): Source {
    const upstream = config.upstreams[source.upstream];
    if (!upstream) throw new Error(`There is no upstream ${source.upstream}.`);
    return createRemote({
      id: source.upstream,
      claims: spelled(source.claims, format),
      format,
      upstream: open(upstream),
      store: parts.store,
      downloads: parts.downloads,
      learn: (type, input) =>
        parts.compute.learn(format, { format: format.id, options: settings.options, type: type.id, input }),
      freshness: {
        ttlMs: source.ttlMs,
        staleWhileRevalidateMs: source.staleWhileRevalidateMs,
        staleIfErrorMs: source.staleIfErrorMs,
      },
      negativeTtlMs: source.negativeTtlMs,
      takedown: source.takedown ?? (format.keepsGone ? never : usualTakedown),
      patienceMs: source.patienceMs,
      offline: source.offline,
      maxArtifactSizeBytes: settings.maxArtifactSizeBytes,
      keepGoing: settings.keepGoing,
      now: parts.now,
    });
  }

  function nestedOf(id: string, claims: readonly string[]): Source {
    const inner = (): Repository => {
      const repository = repositories.get(id);
      if (!repository) throw new Error(`There is no repository ${id}.`);
      return repository;
    };
    return createNested({
      id,
      claims,
      artifact: async (want, asking) => {
        const found = await findArtifact(inner(), want, asking);
        if (found instanceof Error) throw found;
        return found;
      },
      digest: (want, algorithm, asking) => findDigest(inner(), want, algorithm, asking),
      holds: async (want) => (await holderOf(inner(), want)) !== undefined,
      answersFor: (namespace) => inner().sources.some((source) => source.answersFor?.(namespace) ?? true),
      documents: async (want, asking) => {
        const { found, offline } = await gather(inner(), want, asking);
        if (found.length === 0 && offline) throw offline;
        return found;
      },
    });
  }

  for (const [org, { repositories: inOrg }] of Object.entries(config.orgs)) {
    for (const [name, settings] of Object.entries(inOrg)) await build(org, name, settings);
  }
  return { repositories, hosts: config.hosts, optionsOf: ({ id }) => options.get(id) ?? {} };
}

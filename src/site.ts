/** What a configuration describes: upstreams and repositories, built anew when it is reloaded. Store, downloads and server outlive it. */

import { createHash } from 'node:crypto';
import type { Config, HostedSourceConfig, RepositoryConfig, SourceConfig, UpstreamConfig } from './config/settings.ts';
import type { Access } from './core/access.ts';
import type { Format } from './core/format.ts';
import type { TakedownPolicy } from './core/freshness.ts';
import { type Repository, stampOf } from './core/repository.ts';
import { compileRoutes } from './core/route.ts';
import type { Asking, Source } from './core/source.ts';
import { loadFormat } from './formats/load.ts';
import { findArtifact, findDigest, holderOf } from './pipeline/artifact.ts';
import type { Compute } from './pipeline/compute.ts';
import { gather } from './pipeline/document.ts';
import { createOrigins } from './pipeline/origins.ts';
import { readable } from './pipeline/readable.ts';
import { createHosted } from './sources/hosted.ts';
import { createNested } from './sources/nested.ts';
import { createRemote } from './sources/remote.ts';
import type { Hosting } from './store/hosting.ts';
import type { Store } from './store/store.ts';
import type { Upstream, Upstreams } from './upstream/client.ts';
import type { Downloads } from './upstream/download.ts';

/** Names are compared letter by letter, so what is claimed has to be spelled as it is asked for. */
function spelled(claims: readonly string[], { spell }: Format): readonly string[] {
  return spell ? claims.map((pattern) => spell(pattern)) : claims;
}

const never: TakedownPolicy = { confirmations: Number.POSITIVE_INFINITY, overMs: 0 };
const usualTakedown: TakedownPolicy = { confirmations: 3, overMs: 3_600_000 };

/** What formats have against their settings, all at once: only they know them. */
export async function checkOptions({ orgs }: Config): Promise<{ at: (string | number)[]; message: string }[]> {
  const mistakes: { at: (string | number)[]; message: string }[] = [];
  for (const [org, { repositories }] of Object.entries(orgs)) {
    for (const [name, { format: id, options }] of Object.entries(repositories)) {
      // That there is no such format is said elsewhere.
      const format = await loadFormat(id).catch(() => undefined);
      const at = ['orgs', org, 'repositories', name, 'options'];
      const names = Object.keys(options);
      try {
        format?.configure?.(options);
        if (format && !format.configure && names.length > 0) {
          mistakes.push({ at, message: `format ${id} has no options, so not ${names.join(', ')}` });
        }
      } catch (error) {
        mistakes.push({ at, message: (error as Error).message });
      }
    }
  }
  return mistakes;
}

export interface SiteParts {
  readonly store: Store;
  readonly upstreams: Upstreams;
  readonly downloads: { readonly artifacts: Downloads; readonly documents: Downloads };
  readonly compute: Compute;
  readonly access: Access;
  readonly now: () => number;
}

export interface Site {
  readonly repositories: ReadonlyMap<string, Repository>;
  readonly hosts: Readonly<Record<string, string>>;
  readonly optionsOf: (repository: Repository) => Readonly<Record<string, unknown>>;
  /** What is published in a repository, if anything can be. */
  readonly hostingOf: (repository: Repository) => Hosting | undefined;
  /** Bytes that may still be published in it. */
  readonly roomFor: (repository: Repository) => number;
  /** What is published in organisations that can publish. Cheap: every repository keeps its account. */
  readonly published: () => readonly { readonly org: string; readonly bytes: number; readonly maxBytes?: number }[];
}

export async function buildSite(config: Config, parts: SiteParts): Promise<Site> {
  const repositories = new Map<string, Repository>();
  const options = new Map<string, Readonly<Record<string, unknown>>>();
  const hostings = new Map<string, Hosting>();
  const opened = new Map<string, Upstream>();
  const open = (settings: UpstreamConfig): Upstream => {
    const known = opened.get(settings.name) ?? parts.upstreams.open(settings);
    opened.set(settings.name, known);
    return known;
  };

  async function build(org: string, name: string, settings: RepositoryConfig): Promise<void> {
    const plain = await loadFormat(settings.format);
    const format = plain.configure?.(settings.options) ?? plain;
    const id = `${org}/${name}`;
    const hosted = settings.sources.find((source) => source.kind === 'hosted');
    const hosting = hosted && (await parts.store.hosting(id, { overwrites: hosted.overwrite }));
    if (hosting) hostings.set(id, hosting);
    options.set(id, settings.options);
    repositories.set(id, {
      id,
      org,
      name,
      format,
      router: compileRoutes(format.routes),
      sources: settings.sources.map((source) => sourceOf(source, id, settings, format)),
      partial: settings.partial,
      maxFileBytes: settings.maxArtifactSizeBytes,
      ...(hosting ? { linkOf: hosting.sourceOf } : {}),
      policy: [],
      origins: createOrigins(),
      epoch: createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 16),
    });
  }

  function sourceOf(source: SourceConfig, id: string, settings: RepositoryConfig, format: Format): Source {
    switch (source.kind) {
      case 'remote':
        return remoteOf(source, id, settings, format);
      case 'repository':
        return nestedOf(source.repository, spelled(source.claims, format));
      case 'hosted':
        return hostedOf(source, id, format);
    }
  }

  const named = (id: string) => (): Repository => {
    const repository = repositories.get(id);
    if (!repository) throw new Error(`There is no repository ${id}.`);
    return repository;
  };

  function hostedOf(source: HostedSourceConfig, id: string, format: Format): Source {
    const hosting = hostings.get(id);
    if (!hosting) throw new Error(`Nothing was opened to publish to in ${id}.`);
    return createHosted({
      claims: spelled(source.claims, format),
      merge: spelled(source.merge, format),
      hosting,
      store: parts.store,
      repository: named(id),
      now: parts.now,
    });
  }

  function remoteOf(
    source: Extract<SourceConfig, { kind: 'remote' }>,
    id: string,
    settings: RepositoryConfig,
    format: Format,
  ): Source {
    const upstream = config.upstreams[source.upstream];
    if (!upstream) throw new Error(`There is no upstream ${source.upstream}.`);
    return createRemote({
      id: source.upstream,
      repository: id,
      claims: spelled(source.claims, format),
      format,
      upstream: open(upstream),
      store: parts.store,
      downloads: parts.downloads,
      learn: (type, input, claims) =>
        parts.compute.learn(format, { format: format.id, options: settings.options, type: type.id, input }, claims),
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
    const inner = named(id);
    /** As the reader may read it; `undefined`: not at all. */
    const seen = (name: string | undefined, { reader }: Asking): Repository | undefined => {
      if (!reader) return inner();
      return name === undefined || reader.mayRead(inner(), name) ? readable(inner(), name, reader) : undefined;
    };
    return createNested({
      id,
      // Whatever is claimed further in is claimed here, or this list would ask outside for it.
      claims: () => [...claims, ...inner().sources.flatMap((source) => source.claims)],
      ready: async () => {
        await parts.access.ready(inner().org);
        for (const { ready } of inner().sources) await ready?.();
      },
      owns: (name) => inner().sources.some((source) => source.owns?.(name)),
      stamp: (name) => {
        if (!parts.access.isCurrent(inner().org)) return undefined;
        const stamp = stampOf(inner().sources, { name });
        return stamp === undefined ? undefined : `${parts.access.version(inner().org)} ${stamp}`;
      },
      artifact: async (want, asking) => {
        const repository = seen(want.name, asking);
        const found = repository && (await findArtifact(repository, want, asking));
        if (found instanceof Error) throw found;
        return found;
      },
      digest: async (want, algorithm, asking) => {
        const repository = seen(want.name, asking);
        return repository && findDigest(repository, want, algorithm, asking);
      },
      holds: async (want) => (await holderOf(inner(), want)) !== undefined,
      answersFor: (namespace) => inner().sources.some((source) => source.answersFor?.(namespace) ?? true),
      documents: async (want, asking) => {
        const repository = seen(want.name, asking);
        if (!repository) return [];
        const { found, offline } = await gather(repository, want, asking);
        if (found.length === 0 && offline) throw offline;
        return found;
      },
    });
  }

  function roomFor({ id, org }: Repository): number {
    const settings = config.orgs[org];
    const own = settings?.repositories[id.slice(org.length + 1)]?.sources.find((source) => source.kind === 'hosted');
    const used = hostings.get(id)?.usage().bytes ?? 0;
    return Math.min(
      (own?.maxSizeBytes ?? Number.POSITIVE_INFINITY) - used,
      (settings?.maxSizeBytes ?? Number.POSITIVE_INFINITY) - publishedIn(org),
    );
  }

  function publishedIn(org: string): number {
    let bytes = 0;
    for (const [id, hosting] of hostings) if (id.startsWith(`${org}/`)) bytes += hosting.usage().bytes;
    return bytes;
  }

  for (const [org, { repositories: inOrg }] of Object.entries(config.orgs)) {
    for (const [name, settings] of Object.entries(inOrg)) await build(org, name, settings);
  }
  return {
    repositories,
    hosts: config.hosts,
    optionsOf: ({ id }) => options.get(id) ?? {},
    hostingOf: ({ id }) => hostings.get(id),
    roomFor,
    published: () =>
      [...new Set([...hostings.keys()].map((id) => id.split('/', 1)[0] ?? ''))].map((org) => {
        const maxBytes = config.orgs[org]?.maxSizeBytes;
        return { org, bytes: publishedIn(org), ...(maxBytes === undefined ? {} : { maxBytes }) };
      }),
  };
}

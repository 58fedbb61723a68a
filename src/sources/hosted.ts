/** What is published here as a source: files by their path, documents as an upstream with the same packages would give them. */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Body, Document, Entry } from '../core/format.ts';
import { ownBytes } from '../core/own-bytes.ts';
import { Problem } from '../core/problem.ts';
import { matchesName, namesOf, type Repository } from '../core/repository.ts';
import type { Asking, FoundArtifact, FoundDocument, Source } from '../core/source.ts';
import type { OpenBlob } from '../store/blobs.ts';
import type { Hosting, Narrowed } from '../store/hosting.ts';
import type { Store } from '../store/store.ts';
import { bytesOf } from './entry-blob.ts';
import { factsOf, strongest } from './kept-artifacts.ts';

export interface HostedOptions {
  readonly claims: readonly string[];
  /** Patterns of names that other sources may add to. */
  readonly merge: readonly string[];
  readonly hosting: Hosting;
  readonly store: Pick<Store, 'blobs'>;
  /** The repository that it is a source of. */
  readonly repository: () => Repository;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export const hostedId = 'hosted';

/** Of rendered documents, all repositories' each for itself. */
const renderedBytes = 32 * 1024 * 1024;

export function createHosted({ claims, merge, hosting, store, repository, now }: HostedOptions): Source {
  const bodies = new LRUCache<string, { readonly body: Body | undefined }>({
    maxSize: renderedBytes,
    sizeCalculation: ({ body }) => 200 + (body?.bytes.byteLength ?? 0),
  });
  const mayRead = (name: string, { reader }: Asking): boolean => reader?.mayRead(repository(), name) ?? true;

  function used(path: string, asking: Asking, type?: string): void {
    const { id, format } = repository();
    asking.used?.({
      repository: id,
      upstream: hostedId,
      format: format.id,
      ...(type === undefined ? {} : { type }),
      path,
    });
  }

  async function open({ digest, path }: Entry): Promise<OpenBlob> {
    const blob = await store.blobs.open(digest);
    if (blob) return blob;
    const message = `${path} was published in ${repository().id}, but its bytes are missing or damaged here: run larder verify, and restore them from a backup of the storage folder or publish them again.`;
    throw new Problem('storage_unavailable', message);
  }

  function stamp(name: string | undefined): string | undefined {
    return hosting.isCurrent() ? hosting.revision(name) : undefined;
  }

  function hiddenFrom(asking: Asking): ReadonlySet<string> {
    if (!asking.reader) return new Set();
    return new Set([...hosting.view().names()].filter((name) => !mayRead(name, asking)));
  }

  const revisionOf = (names: readonly string[]): string =>
    names.length === 0 ? hosting.revision() : names.map((name) => hosting.revision(name)).join(' ');

  const stampOfAll = (names: readonly string[]): string | undefined =>
    hosting.isCurrent() ? revisionOf(names) : undefined;

  /** Made once for each state of what it is made of. */
  function rendered(want: Document, key: string, sight: Sight): Body | undefined {
    const { type, path, variant = '' } = want;
    const slot = `${type.id}\n${path}\n${variant}\n${key}`;
    const known = bodies.get(slot);
    if (known) return known.body;
    const made = type.render?.(want, hosting.view(narrowedTo(sight)));
    const body = made && { ...made, bytes: ownBytes(made.bytes) };
    bodies.set(slot, { body });
    return body;
  }

  return {
    id: hostedId,
    claims,
    filters: true,
    ready: () => hosting.ready(),
    owns: (name) => hosting.knew(name) && !merge.some((pattern) => matchesName(pattern, name)),
    stamp,

    async artifact(want, asking): Promise<FoundArtifact | undefined> {
      const entry = hosting.view().entry(want.path);
      // Whatever the address made of the name, the file's own is the one that counts.
      if (!entry || !mayRead(entry.name, asking)) return undefined;
      asking.admit?.(factsOf(want, { publishedAt: entry.publishedAt }));
      const blob = await open(entry);
      const digest = strongest(entry.digests);
      const at = stamp(entry.name);
      used(want.path, asking);
      return {
        ...bytesOf(blob, want.path),
        outcome: 'hosted',
        contentType: entry.contentType,
        ...(digest ? { digest } : {}),
        digests: entry.digests,
        lastModified: new Date(entry.publishedAt).toUTCString(),
        immutable: entry.mutable !== true,
        checkedAt: now(),
        freshUntil: Number.POSITIVE_INFINITY,
        isCurrent: () => at !== undefined && stamp(entry.name) === at,
      };
    },

    async document(want, asking): Promise<readonly FoundDocument[]> {
      const names = want.across ? [] : namesOf(want);
      const told = names.filter((name) => mayRead(name, asking));
      if (names.length > 0 && told.length === 0) return [];
      const sight: Sight = names.length > 0 ? { only: told } : { hidden: hiddenFrom(asking) };
      const key = `${hostedId} ${repository().id} ${revisionOf(names)} ${keyOfSight(sight)}`;
      const body = rendered(want, key, sight);
      if (!body) return [];
      const at = stampOfAll(names);
      used(want.path, asking, want.type.id);
      const origin = {
        url: `${hostedId}:${repository().id}/${want.path}`,
        path: want.path,
        headers: lowerCase(body.headers),
      };
      return [
        {
          outcome: 'hosted',
          key,
          origin,
          size: body.bytes.byteLength,
          freshUntil: Number.POSITIVE_INFINITY,
          checkedAt: now(),
          isCurrent: () => at !== undefined && stampOfAll(names) === at,
          bytes: async () => body.bytes,
          links: async () => [...(want.type.links?.(want.type.decode(body.bytes, origin), origin) ?? [])],
          firstSeen: async () => ({}),
        },
      ];
    },

    async digest(want, algorithm, asking) {
      const entry = hosting.view().entry(want.path);
      if (!entry || !mayRead(entry.name, asking)) return undefined;
      return entry.digests.find((digest) => digest.startsWith(`${algorithm}:`));
    },

    holds: async ({ path }) => hosting.view().entry(path) !== undefined,
  };
}

/** What a document may be made of: some names, or all but some. */
type Sight = { readonly only: readonly string[] } | { readonly hidden: ReadonlySet<string> };

function narrowedTo(sight: Sight): Narrowed {
  if ('hidden' in sight) return sight.hidden.size === 0 ? {} : { sees: (name) => !sight.hidden.has(name) };
  const [only, ...others] = sight.only;
  if (only !== undefined && others.length === 0) return { only };
  return { sees: (name) => sight.only.includes(name) };
}

/** Readers who are kept from different packages never share an answer. */
function keyOfSight(sight: Sight): string {
  const names = 'hidden' in sight ? [...sight.hidden] : sight.only;
  return names.length === 0 ? '' : createHash('sha256').update(JSON.stringify(names)).digest('hex');
}

function lowerCase(headers: Body['headers'] = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

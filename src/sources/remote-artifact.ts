/** Artifacts from an upstream: a link tells what to expect, one download serves everybody, and what was verified stays. */
import { type Algorithm, algorithmOf, type Digest } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Artifact, Format, Link } from '../core/format.ts';
import {
  type FreshnessPolicy,
  hearGone,
  isNegativeFresh,
  isTakenDown,
  judge,
  mayServeStale,
  type TakedownPolicy,
} from '../core/freshness.ts';
import { isTrouble, Problem } from '../core/problem.ts';
import type { Asking, FoundArtifact, VersionFacts } from '../core/source.ts';
import type { EntryKey, StoredEntry } from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import type { Upstream } from '../upstream/client.ts';
import type { Download, DownloadHead, Downloads } from '../upstream/download.ts';
import { openEntry } from './entry-blob.ts';
import { type RemoteDocuments, refuseStatus, viaOf } from './remote-document.ts';

export interface RemoteArtifactOptions {
  readonly id: string;
  readonly format: Format;
  readonly upstream: Upstream;
  readonly store: Store;
  readonly downloads: Downloads;
  readonly documents: RemoteDocuments;
  readonly locate: (path: string) => string;
  readonly freshness: FreshnessPolicy;
  readonly negativeTtlMs: number;
  readonly takedown: TakedownPolicy;
  readonly offline: boolean;
  readonly maxSizeBytes: number;
  readonly keepGoing: boolean;
  readonly now: () => number;
}

type FindArtifact = (want: Artifact, asking: Asking) => Promise<FoundArtifact | undefined>;

/** What is known about the bytes before they are asked for. */
interface Target {
  readonly url: string;
  readonly linked: boolean;
  readonly expected: readonly Digest[];
  readonly size?: number;
  readonly facts: VersionFacts;
}

const strength: readonly Algorithm[] = ['sha512', 'sha256', 'sha1', 'md5'];

/** The strongest digest of a list: the validator that clients see, the same before and after the bytes are stored. */
function strongest(digests: readonly Digest[]): Digest | undefined {
  for (const algorithm of strength) {
    const found = digests.find((digest) => algorithmOf(digest) === algorithm);
    if (found) return found;
  }
  return undefined;
}

const isNewer = (entry: StoredEntry, previous: StoredEntry | undefined): boolean =>
  entry.status === 200 && (!previous || entry.fetchedAt > previous.fetchedAt || entry.checkedAt > previous.checkedAt);

const agrees = (entry: StoredEntry, target: Target): boolean =>
  target.expected.every((digest) => entry.digests?.includes(digest));

export function createRemoteArtifacts(options: RemoteArtifactOptions): FindArtifact {
  const { store, upstream, documents, now } = options;

  const keyOf = (want: Artifact): EntryKey => ({
    source: `${upstream.identity}/${options.format.id}`,
    path: want.path,
  });

  function factsOf(want: Artifact, more: { version?: string; publishedAt?: string }): VersionFacts {
    // A path may be an alias, and then the version in it is not the one the document tells.
    const version = more.version ?? want.version;
    return {
      ...(want.name === undefined ? {} : { name: want.name }),
      ...(version === undefined ? {} : { version }),
      ...(more.publishedAt === undefined ? {} : { publishedAt: more.publishedAt }),
    };
  }

  async function stored(
    want: Artifact,
    entry: StoredEntry,
    outcome: FoundArtifact['outcome'],
  ): Promise<FoundArtifact | undefined> {
    if (entry.status !== 200 || entry.digest === undefined) return undefined;
    const blob = await openEntry(store, entry);
    if (!blob) return undefined;
    const digest = strongest(entry.digests ?? [entry.digest]);
    return {
      outcome,
      size: blob.size,
      contentType: entry.contentType ?? 'application/octet-stream',
      ...(digest ? { digest } : {}),
      digests: entry.digests ?? [entry.digest],
      ...(entry.lastModified === undefined ? {} : { lastModified: entry.lastModified }),
      immutable: want.freshness !== 'revalidate',
      checkedAt: entry.checkedAt,
      readInto: (buffer, position) => blob.readInto(buffer, position),
      touch: () => store.blobs.touch(blob.digest),
      async *read(from = 0, to = blob.size) {
        for (let at = from; at < to; ) {
          const chunk = await blob.read(at, Math.min(256 * 1024, to - at));
          if (chunk.byteLength === 0) throw new Problem('internal', `The stored bytes of ${want.path} end early.`);
          at += chunk.byteLength;
          yield chunk;
        }
      },
      close: () => blob.close(),
    };
  }

  /** Bytes that were fetched as immutable stay, whatever a document says later; that it does is news for the operator. */
  function noteContradiction(want: Artifact, entry: StoredEntry): void {
    const link = want.describedBy && documents.knownLink(want.describedBy, want.path);
    const told = link?.digests?.find((digest) => !entry.digests?.includes(digest));
    const comparable = told && entry.digests?.find((digest) => algorithmOf(digest) === algorithmOf(told));
    if (comparable) publish('contradiction', { repository: options.id, path: want.path, kept: comparable, told });
  }

  /** Reads the document that knows, and looks once more with fresh eyes when it does not list the path. */
  async function linkOf(want: Artifact, asking: Asking): Promise<Link | undefined> {
    if (!want.describedBy) return undefined;
    const document = await documents.find(want.describedBy, asking);
    if (!document) return undefined;
    const link = await documents.link(document, want.path);
    if (link || asking.fresh || (document.outcome !== 'hit' && document.outcome !== 'stale')) return link;
    const newer = await documents.find(want.describedBy, {
      ...asking,
      fresh: 'revalidate',
      lookingFor: want.path,
    });
    return newer && documents.link(newer, want.path);
  }

  async function targetOf(want: Artifact, asking: Asking): Promise<Target | undefined> {
    if (!want.describedBy) {
      return {
        url: options.locate(want.path),
        linked: false,
        expected: want.digest ? [want.digest] : [],
        facts: factsOf(want, {}),
      };
    }
    const link = await linkOf(want, asking);
    if (!link) return undefined;
    const expected = [...(want.digest ? [want.digest] : []), ...(link.digests ?? [])];
    return {
      url: link.url ?? options.locate(want.path),
      linked: link.url !== undefined,
      expected,
      ...(link.size === undefined ? {} : { size: link.size }),
      facts: factsOf(want, link),
    };
  }

  /** What two misses must have in common to share a download: they would have sent the same request and expect the same. */
  const keyFor = (target: Target, previous: StoredEntry | undefined): string =>
    ['artifact', upstream.identity, target.url, ...target.expected, previous?.digest ?? ''].join('\n');

  /** Questions for the same thing that look into the store before one of them starts a download. */
  const openings = new Map<string, Promise<StoredEntry | undefined>>();

  /**
   * Joins the download of these bytes or starts it. Between the look into the store and here another download may have
   * come to its end, so whoever is about to start one looks again, and nobody else starts one meanwhile.
   */
  async function begin(
    want: Artifact,
    target: Target,
    previous: StoredEntry | undefined,
    asking: Asking,
  ): Promise<{ readonly download: Download; readonly joined: boolean } | { readonly landed: StoredEntry }> {
    const conditional = previous?.digest !== undefined && store.blobs.has(previous.digest) ? previous : undefined;
    const key = keyFor(target, conditional);
    for (;;) {
      if (options.downloads.find(key)) return start(key, want, target, conditional, asking);
      const opening = openings.get(key);
      if (opening) {
        const landed = await opening;
        if (landed) return { landed };
        continue;
      }
      let started: { readonly download: Download; readonly joined: boolean } | undefined;
      const look = store.entries.get(keyOf(want)).then((entry) => {
        if (entry && isNewer(entry, previous) && agrees(entry, target)) return entry;
        started = start(key, want, target, conditional, asking);
        return undefined;
      });
      openings.set(key, look);
      try {
        const landed = await look;
        if (landed) return { landed };
        if (started) return started;
      } finally {
        openings.delete(key);
      }
    }
  }

  function start(
    key: string,
    want: Artifact,
    target: Target,
    previous: StoredEntry | undefined,
    asking: Asking,
  ): { readonly download: Download; readonly joined: boolean } {
    return options.downloads.start(key, () => ({
      upstream,
      url: target.url,
      linked: target.linked,
      headers: {
        ...viaOf(asking),
        ...(previous?.etag === undefined ? {} : { 'if-none-match': previous.etag }),
        ...(previous?.lastModified === undefined ? {} : { 'if-modified-since': previous.lastModified }),
      },
      decode: false,
      expected: target.expected,
      algorithms: options.format.digests,
      ...(target.size === undefined ? {} : { expectedSize: target.size }),
      maxSizeBytes: options.maxSizeBytes,
      priority: asking.priority ?? 'client',
      requestId: asking.requestId,
      keepGoing: options.keepGoing,
      inspect: ({ status }) => refuseStatus(status, want.path, options.id),
      store: async (stage, facts) => {
        const [digest] = facts.digests;
        if (!digest) throw new Error('A finished download has a sha256 digest.');
        await stage.commit(digest);
        const at = now();
        await store.entries.put(keyOf(want), {
          status: 200,
          url: facts.url,
          digest,
          size: facts.size,
          digests: facts.digests,
          verified: facts.verified,
          ...(facts.headers['content-type'] === undefined ? {} : { contentType: facts.headers['content-type'] }),
          ...(facts.headers.etag === undefined ? {} : { etag: facts.headers.etag }),
          ...(facts.headers['last-modified'] === undefined ? {} : { lastModified: facts.headers['last-modified'] }),
          fetchedAt: at,
          checkedAt: at,
          ...target.facts,
        });
      },
    }));
  }

  /** The entry is there and its bytes are not: they were evicted or damaged. */
  function startAnew(want: Artifact, target: Target, asking: Asking) {
    return start(keyFor(target, undefined), want, target, undefined, asking);
  }

  function arriving(
    want: Artifact,
    target: Target,
    download: Download,
    head: DownloadHead,
    joined: boolean,
  ): FoundArtifact {
    const digest = strongest(target.expected);
    const lastModified = head.headers['last-modified'];
    return {
      outcome: joined ? 'joined' : 'miss',
      size: head.size ?? download.size,
      contentType: head.headers['content-type'] ?? 'application/octet-stream',
      ...(digest ? { digest } : {}),
      digests: target.expected,
      ...(lastModified === undefined ? {} : { lastModified }),
      immutable: want.freshness !== 'revalidate',
      checkedAt: now(),
      read: (from, to) => download.read(from, to),
      close: () => {},
    };
  }

  /** Size and type without the bytes; nothing is stored. */
  async function headOnly(want: Artifact, target: Target, asking: Asking): Promise<FoundArtifact | undefined> {
    const reply = await upstream.ask({
      method: 'HEAD',
      url: target.url,
      linked: target.linked,
      headers: { 'accept-encoding': 'identity', ...viaOf(asking) },
      requestId: asking.requestId,
    });
    reply.discard();
    if (reply.status === 404 || reply.status === 410) return undefined;
    refuseStatus(reply.status, want.path, options.id);
    const digest = strongest(target.expected);
    const length = reply.headers['content-encoding'] ? undefined : reply.headers['content-length'];
    const lastModified = reply.headers['last-modified'];
    return {
      outcome: 'miss',
      size: length === undefined ? target.size : Number(length),
      contentType: reply.headers['content-type'] ?? 'application/octet-stream',
      ...(digest ? { digest } : {}),
      digests: target.expected,
      ...(lastModified === undefined ? {} : { lastModified }),
      immutable: want.freshness !== 'revalidate',
      checkedAt: now(),
      async *read() {},
      close: () => {},
    };
  }

  /** Upstream says that it is not there. Where a document lists it all the same, the document gets one fresh look first. */
  async function notThere(
    want: Artifact,
    target: Target,
    status: number,
    previous: StoredEntry | undefined,
    asking: Asking,
  ): Promise<FoundArtifact | undefined> {
    if (want.describedBy && !asking.fresh) {
      const again = { ...asking, fresh: 'unconditional', lookingFor: `the bytes of ${want.path}` } as const;
      const newer = await targetOf(want, again);
      if (newer && (newer.url !== target.url || newer.expected.join() !== target.expected.join())) {
        return fetched(want, newer, undefined, again);
      }
    }
    const at = now();
    if (previous) {
      const gone = hearGone(previous.gone, at, options.negativeTtlMs);
      const entry: StoredEntry = { ...previous, checkedAt: at, gone };
      store.entries.touch(keyOf(want), entry);
      return isTakenDown(gone, options.takedown) ? undefined : stored(want, entry, 'stale');
    }
    await store.entries.put(keyOf(want), {
      status: status === 410 ? 410 : 404,
      url: target.url,
      fetchedAt: at,
      checkedAt: at,
    });
    return undefined;
  }

  async function fetched(
    want: Artifact,
    target: Target,
    previous: StoredEntry | undefined,
    asking: Asking,
  ): Promise<FoundArtifact | undefined> {
    asking.admit?.(target.facts);
    const begun = await begin(want, target, previous, asking);
    if ('landed' in begun) {
      const landed = await stored(want, begun.landed, 'hit');
      if (landed) return landed;
    }
    const { download, joined } = 'landed' in begun ? startAnew(want, target, asking) : begun;
    const head = await download.head;
    if (head.status === 200) return arriving(want, target, download, head, joined);
    if (head.status === 304 && previous) {
      const { gone: _, ...confirmed } = previous;
      const entry: StoredEntry = { ...confirmed, checkedAt: now() };
      store.entries.touch(keyOf(want), entry);
      const kept = await stored(want, entry, 'revalidated');
      return kept ?? fetched(want, target, undefined, asking);
    }
    if (head.status === 404 || head.status === 410) return notThere(want, target, head.status, previous, asking);
    throw new Problem(
      'upstream_invalid',
      `${options.id} gave no usable answer for ${want.path} (status ${head.status}).`,
    );
  }

  async function fetch(
    want: Artifact,
    previous: StoredEntry | undefined,
    asking: Asking,
  ): Promise<FoundArtifact | undefined> {
    const target = await targetOf(want, asking);
    if (!target) return undefined;
    if (!asking.head) return fetched(want, target, previous, asking);
    asking.admit?.(target.facts);
    return headOnly(want, target, asking);
  }

  return async (want, asking) => {
    const entry = await store.entries.get(keyOf(want));
    const kept = entry?.status === 200 ? entry : undefined;
    if (kept) asking.admit?.(factsOf(want, kept));
    const mutable = want.freshness === 'revalidate';
    const verdict = !mutable ? 'fresh' : kept ? judge(kept, now(), options.freshness) : 'revalidate';
    if (kept && verdict === 'fresh' && isTakenDown(kept.gone, options.takedown)) return undefined;
    if (kept && (verdict === 'fresh' || options.offline)) {
      const hit = await stored(want, kept, options.offline ? 'offline' : 'hit');
      if (hit) {
        if (!mutable) noteContradiction(want, kept);
        return hit;
      }
    }
    if (options.offline) {
      throw new Problem(
        'offline',
        `${want.path} is not stored, and ${options.id} is set to offline: fetch it on a connected server first.`,
      );
    }
    if (entry && entry.status !== 200 && isNegativeFresh(entry, now(), options.negativeTtlMs)) return undefined;
    if (kept && verdict === 'revalidate-behind') {
      const stale = await stored(want, kept, 'stale');
      if (stale) {
        behind(want, kept, asking);
        return stale;
      }
    }
    try {
      return await fetch(want, kept, asking);
    } catch (error) {
      if (!kept || !isTrouble(error) || !mayServeStale(kept, now(), options.freshness)) throw error;
      const stale = await stored(want, kept, 'stale');
      if (!stale) throw error;
      return stale;
    }
  };

  /** Asks upstream while the client already has the stored copy. */
  function behind(want: Artifact, kept: StoredEntry, asking: Asking): void {
    fetch(want, kept, { ...asking, priority: 'background' }).then(
      (found) => found?.close(),
      (error: unknown) => {
        if (!isTrouble(error)) publish('fault', { where: `revalidating ${want.path}`, error });
      },
    );
  }
}

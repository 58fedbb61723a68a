/** Artifacts from an upstream: a link tells what to expect, one download serves everybody, and what was verified stays. */
import { createHash } from 'node:crypto';
import { type Claims, claimsOf } from '../core/claims.ts';
import { type Algorithm, algorithmOf, type Digest } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Artifact, Document, Format, Link } from '../core/format.ts';
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
import type { Asking, FoundArtifact, FoundDocument, VersionFacts } from '../core/source.ts';
import type { Stage } from '../core/staging.ts';
import type { StoredEntry } from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import type { Reply, Upstream } from '../upstream/client.ts';
import type { Download, DownloadFacts, DownloadHead, DownloadRequest, Downloads } from '../upstream/download.ts';
import { aboutOf, type Locate, notStored, refuseStatus, unhurried, viaOf } from './asking.ts';
import { createTold } from './checksums.ts';
import { createDescribed } from './described-artifact.ts';
import { bytesOf, openEntry } from './entry-blob.ts';
import { createKept, factsOf, strongest } from './kept-artifacts.ts';
import type { Learn, RemoteDocuments } from './remote-document.ts';
import { readAll } from './staged-bytes.ts';

export interface RemoteArtifactOptions {
  readonly id: string;
  /** `org/name` of the repository whose source it is. */
  readonly repository: string;
  readonly format: Format;
  readonly upstream: Upstream;
  readonly store: Store;
  readonly downloads: Downloads;
  readonly documents: RemoteDocuments;
  readonly learn: Learn;
  readonly locate: Locate;
  readonly freshness: FreshnessPolicy;
  readonly negativeTtlMs: number;
  readonly takedown: TakedownPolicy;
  readonly offline: boolean;
  readonly maxSizeBytes: number;
  readonly keepGoing: boolean;
  readonly now: () => number;
}

export interface RemoteArtifacts {
  find(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined>;
  digest(want: Artifact, algorithm: Algorithm, asking: Asking): Promise<Digest | undefined>;
  holds(want: Artifact): Promise<boolean>;
}

/** What is known about the bytes before they are asked for. */
interface Target {
  readonly url: string;
  readonly linked: boolean;
  readonly expected: readonly Digest[];
  readonly size?: number;
  readonly facts: VersionFacts;
}

/** What upstream answered to HEAD. */
type Head = Pick<Reply, 'status' | 'headers' | 'url'>;

const isNewer = (entry: StoredEntry, previous: StoredEntry | undefined): boolean =>
  entry.status === 200 && (!previous || entry.fetchedAt > previous.fetchedAt || entry.checkedAt > previous.checkedAt);

const validatorsOf = (previous: StoredEntry | undefined): Readonly<Record<string, string>> => ({
  ...(previous?.etag === undefined ? {} : { 'if-none-match': previous.etag }),
  ...(previous?.lastModified === undefined ? {} : { 'if-modified-since': previous.lastModified }),
});

const agrees = (entry: StoredEntry, target: Target): boolean =>
  target.expected.every((digest) => entry.digests?.includes(digest));

export function createRemoteArtifacts(options: RemoteArtifactOptions): RemoteArtifacts {
  const { store, upstream, documents, now } = options;
  const told = createTold(options);
  const entries = createKept(store, `${upstream.identity}/${options.format.id}`);
  const { keyOf, entryOf, open: stored } = entries;
  const described = createDescribed({ ...options, kept: entries, lookUp, find: plain, used });

  function used({ path }: Artifact, asking: Asking): void {
    asking.used?.({ repository: options.repository, upstream: options.id, format: options.format.id, path });
  }

  /** Bytes that were fetched as immutable stay, whatever a document says later; that it does is news for the operator. */
  function noteContradiction(want: Artifact, entry: StoredEntry): void {
    const link = want.describedBy && documents.knownLink(want.describedBy, want.path);
    const told = link?.digests?.find((digest) => !entry.digests?.includes(digest));
    const comparable = told && entry.digests?.find((digest) => algorithmOf(digest) === algorithmOf(told));
    if (comparable) publish('contradiction', { repository: options.id, path: want.path, kept: comparable, told });
  }

  /** Reads the document that knows, and looks once more with fresh eyes when it does not list the path. */
  async function lookUp(
    describedBy: Document,
    path: string,
    asking: Asking,
  ): Promise<{ readonly link: Link; readonly document: FoundDocument } | undefined> {
    const document = await documents.find(describedBy, asking);
    if (!document) return undefined;
    const link = await documents.link(document, path);
    if (link) return { link, document };
    if (asking.fresh || (document.outcome !== 'hit' && document.outcome !== 'stale')) return undefined;
    const newer = await documents.find(describedBy, { ...asking, fresh: 'revalidate', lookingFor: path });
    const found = newer && (await documents.link(newer, path));
    return newer && found && { link: found, document: newer };
  }

  function undescribed({ describedBy: _, ...want }: Artifact): Artifact {
    return want;
  }

  async function targetOf(want: Artifact, asking: Asking): Promise<Target | undefined> {
    if (!want.describedBy) {
      return {
        url: await options.locate(want.path, asking),
        linked: false,
        expected: want.digest ? [want.digest] : [],
        facts: factsOf(want, {}),
      };
    }
    const looked = await lookUp(want.describedBy, want.path, asking);
    if (!looked) return want.unlisted === 'fetch' ? targetOf(undescribed(want), asking) : undefined;
    const { link } = looked;
    const expected = [...(want.digest ? [want.digest] : []), ...(link.digests ?? [])];
    return {
      url: link.url ?? (await options.locate(want.path, asking)),
      linked: link.url !== undefined,
      expected,
      ...(link.size === undefined ? {} : { size: link.size }),
      facts: factsOf(want, link),
    };
  }

  /** What two misses must have in common to share a download: they would have sent the same request and expect the same. */
  const keyFor = (target: Target, previous: StoredEntry | undefined): string =>
    ['artifact', upstream.identity, target.url, ...target.expected, previous?.digest ?? ''].join('\n');

  /** What upstream may be asked to confirm. */
  const conditionalOn = (previous: StoredEntry | undefined): StoredEntry | undefined =>
    previous?.digest !== undefined && store.blobs.has(previous.digest) ? previous : undefined;

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
    const conditional = conditionalOn(previous);
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
      const look = entryOf(want).then((entry) => {
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
    const claims = claimsOf(asking);
    const make = (): DownloadRequest => {
      const digests = told.before(want, { ...asking, claims }, previous === undefined);
      return {
        upstream,
        url: target.url,
        linked: target.linked,
        headers: {
          ...viaOf(asking),
          ...(want.accept === undefined ? {} : { accept: want.accept }),
          ...validatorsOf(previous),
        },
        decode: false,
        expected: target.expected,
        algorithms: options.format.digests,
        ...(target.size === undefined ? {} : { expectedSize: target.size }),
        maxSizeBytes: longest(want),
        requestId: asking.requestId,
        ...aboutOf(want),
        keepGoing: options.keepGoing,
        gate: want.reads !== undefined,
        inspect: async ({ status, headers, url }) => {
          refuseStatus(status, want.path, options.id);
          if (status !== 200) return [];
          refuseType(want, headers, url);
          return digests(headers);
        },
        store: async (stage, facts) => {
          const [digest] = facts.digests;
          if (!digest) throw new Error('A finished download has a sha256 digest.');
          await lookInto(want, stage, facts, claims);
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
      };
    };
    return options.downloads.start(key, make, claims);
  }

  const longest = ({ limit }: Artifact): number => Math.min(options.maxSizeBytes, limit ?? Number.POSITIVE_INFINITY);

  /** A page that asks to sign in is an answer of somebody on the way, not of the registry. */
  function refuseType(want: Artifact, headers: Readonly<Record<string, string | undefined>>, url: string): void {
    const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? '';
    if (want.accepts?.(type) ?? true) return;
    publish('document.invalid', { url, reason: `content type ${type}` });
    throw new Problem(
      'upstream_invalid',
      `${options.id} sent ${type || 'something without a content type'} for ${want.path}, which it can't be.`,
    );
  }

  /** Bytes that have to be of a kind are, or they are refused while nobody has all of them. */
  async function lookInto(want: Artifact, stage: Stage, facts: DownloadFacts, claims: Claims): Promise<void> {
    if (!want.reads) return;
    const origin = { url: facts.url, path: want.path, headers: facts.headers };
    try {
      const key = `${upstream.identity}\n${want.path}\n${facts.digests[0]}`;
      await options.learn(want.reads, { key, origin, bytes: await readAll(stage, facts.size) }, claims);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      publish('document.invalid', { url: facts.url, reason });
      const message = `${options.id} sent something for ${want.path} that is no ${want.reads.id}: ${reason}`;
      throw new Problem('upstream_invalid', message, { cause: error });
    }
  }

  /** The entry is there and its bytes are not: they were evicted or damaged. */
  function startAnew(want: Artifact, target: Target, asking: Asking) {
    return start(keyFor(target, undefined), want, target, undefined, asking);
  }

  function arriving(want: Artifact, download: Download, head: DownloadHead, joined: boolean): FoundArtifact {
    const digest = strongest(download.expected);
    const lastModified = head.headers['last-modified'];
    return {
      outcome: joined ? 'joined' : 'miss',
      size: head.size ?? download.size,
      contentType: head.headers['content-type'] ?? 'application/octet-stream',
      ...(digest ? { digest } : {}),
      digests: download.expected,
      ...(lastModified === undefined ? {} : { lastModified }),
      immutable: want.freshness !== 'revalidate',
      checkedAt: now(),
      landed: download.done,
      read: (from, to) => download.read(from, to),
      close: () => {},
    };
  }

  /** Questions for a head that are on their way; whoever asks the same waits for the same answer. */
  const heads = new Map<string, { readonly asked: Promise<Head>; readonly claims: Claims }>();

  async function askHead(
    want: Artifact,
    target: Target,
    previous: StoredEntry | undefined,
    asking: Asking,
  ): Promise<Head> {
    const headers = {
      'accept-encoding': 'identity',
      ...(want.accept === undefined ? {} : { accept: want.accept }),
      ...validatorsOf(previous),
    };
    const key = JSON.stringify([target.url, headers]);
    const claims = claimsOf(asking);
    const running = heads.get(key);
    if (running) {
      running.claims.join(claims);
      return running.asked;
    }
    const asked = upstream
      .ask({
        method: 'HEAD',
        url: target.url,
        linked: target.linked,
        headers: { ...headers, ...viaOf(asking) },
        claims,
        requestId: asking.requestId,
        ...aboutOf(want),
      })
      .then(async (reply) => {
        reply.discard();
        const isAbsent = reply.status === 404 || reply.status === 410;
        if (isAbsent && !previous) await store.entries.put(keyOf(want), absence(reply.status, target));
        return { status: reply.status, headers: reply.headers, url: reply.url };
      })
      .finally(() => heads.delete(key));
    heads.set(key, { asked, claims });
    return asked;
  }

  /** Size and type without the bytes; only that there are none is remembered. */
  async function headOnly(
    want: Artifact,
    target: Target,
    kept: StoredEntry | undefined,
    asking: Asking,
  ): Promise<FoundArtifact | undefined> {
    const previous = conditionalOn(kept);
    const reply = await askHead(want, target, previous, asking);
    if (reply.status === 404 || reply.status === 410) {
      // What GET would still be given, HEAD tells of.
      return previous && !want.describedBy ? notThere(want, target, reply.status, previous, asking) : undefined;
    }
    if (reply.status === 304 && previous) {
      return (await confirmed(want, previous)) ?? headOnly(want, target, undefined, asking);
    }
    refuseStatus(reply.status, want.path, options.id);
    refuseType(want, reply.headers, reply.url);
    const digest = strongest(target.expected);
    const length = reply.headers['content-encoding'] ? undefined : reply.headers['content-length'];
    const lastModified = reply.headers['last-modified'];
    return {
      outcome: 'miss',
      size: length === undefined ? target.size : Number(length),
      contentType: reply.headers['content-type'] ?? 'application/octet-stream',
      ...(digest ? { digest } : {}),
      digests: [...target.expected, ...(want.checksums?.fromHeaders?.(reply.headers) ?? [])],
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
    await store.entries.put(keyOf(want), absence(status, target));
    return undefined;
  }

  function absence(status: number, target: Target): StoredEntry {
    const at = now();
    return { status: status === 410 ? 410 : 404, url: target.url, fetchedAt: at, checkedAt: at };
  }

  /** Upstream says that what is kept is what it has. */
  function confirmed(want: Artifact, { gone: _, ...previous }: StoredEntry): Promise<FoundArtifact | undefined> {
    const entry: StoredEntry = { ...previous, checkedAt: now() };
    store.entries.touch(keyOf(want), entry);
    return stored(want, entry, 'revalidated');
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
    if (joined) publish('download.join', { requestId: asking.requestId, download: download.id });
    const head = await download.head;
    if (head.status === 200) return arriving(want, download, head, joined);
    if (head.status === 304 && previous) {
      return (await confirmed(want, previous)) ?? fetched(want, target, undefined, asking);
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
    if (asking.head) {
      asking.admit?.(target.facts);
      return headOnly(want, target, previous, asking);
    }
    if (!previous && (await isKeptElsewhere(want, target, asking))) {
      const kept = await entryOf(want);
      const found = kept && (await stored(want, kept, 'revalidated'));
      if (found) return found;
    }
    return fetched(want, target, previous, asking);
  }

  /**
   * Bytes that are here under another path need no second transfer once upstream said that it would give them out under
   * this one: knowing a digest is not permission.
   */
  async function isKeptElsewhere(want: Artifact, target: Target, asking: Asking): Promise<boolean> {
    const { digest } = want;
    if (!digest || algorithmOf(digest) !== 'sha256' || options.format.digests.length > 0) return false;
    if (!store.blobs.has(digest) || options.downloads.find(keyFor(target, undefined))) return false;
    const reply = await askHead(want, target, undefined, asking);
    if (reply.status !== 200) return false;
    refuseType(want, reply.headers, reply.url);
    const blob = await store.blobs.open(digest);
    if (!blob) return false;
    const { size } = blob;
    blob.close();
    const length = reply.headers['content-length'];
    if (reply.headers['content-encoding'] === undefined && length !== undefined && Number(length) !== size)
      return false;
    const at = now();
    await store.entries.put(keyOf(want), {
      status: 200,
      url: reply.url,
      digest,
      size,
      digests: [digest],
      verified: 'digest',
      ...(reply.headers['content-type'] === undefined ? {} : { contentType: reply.headers['content-type'] }),
      fetchedAt: at,
      checkedAt: at,
      ...target.facts,
    });
    return true;
  }

  async function find(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined> {
    return want.freshness === 'described' ? described(want, asking) : plain(want, asking);
  }

  /** Of what is arriving, or here, else what upstream tells beside it. */
  async function digest(want: Artifact, algorithm: Algorithm, asking: Asking): Promise<Digest | undefined> {
    const among = (digests: readonly Digest[] | undefined): Digest | undefined =>
      digests?.find((one) => algorithmOf(one) === algorithm);
    const entry = await entryOf(want);
    const kept = entry?.status === 200 ? among(entry.digests) : undefined;
    if (options.offline || asking.offline) {
      const known = kept ?? (entry?.status === 200 ? await computed(entry, algorithm) : undefined);
      if (known) used(want, asking);
      if (known) return known;
      throw notStored(want.path, options.id, options.offline, entry !== undefined && entry.status !== 200);
    }
    if (entry && entry.status !== 200 && isNegativeFresh(entry, now(), options.negativeTtlMs)) return undefined;
    if (!kept || want.freshness === 'revalidate') {
      // Whoever asks got the last byte of it a moment ago: the bytes that are being stored are the ones that are meant.
      const target: Target = {
        url: await options.locate(want.path, asking),
        linked: false,
        expected: want.digest ? [want.digest] : [],
        facts: {},
      };
      const arriving =
        options.downloads.find(keyFor(target, conditionalOn(entry))) ??
        options.downloads.find(keyFor(target, undefined));
      const found = among((await arriving?.done)?.digests);
      if (found) return found;
    }
    if (kept) used(want, asking);
    return kept ?? told.one(want, algorithm, asking);
  }

  /** For what came here with other digests than those that its clients ask for. */
  async function computed(entry: StoredEntry, algorithm: Algorithm): Promise<Digest | undefined> {
    const blob = await openEntry(store, entry);
    if (!blob) return undefined;
    try {
      const hash = createHash(algorithm);
      for await (const chunk of bytesOf(blob, entry.url).read()) hash.update(chunk);
      return `${algorithm}:${hash.digest('hex')}`;
    } finally {
      blob.close();
    }
  }

  async function holds(want: Artifact): Promise<boolean> {
    const entry = await entryOf(want);
    return entry?.status === 200 && entry.digest !== undefined && store.blobs.has(entry.digest);
  }

  async function plain(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined> {
    const found = await look(want, asking);
    // What HEAD alone was told of is not here.
    if (found && (found.readInto || !asking.head)) used(want, asking);
    return found;
  }

  async function look(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined> {
    const entry = await entryOf(want);
    // A digest that is asked for beats whatever was kept under the path before.
    const agreed = !want.digest || entry?.digests?.includes(want.digest) === true;
    const kept = entry?.status === 200 && agreed ? entry : undefined;
    if (kept) asking.admit?.(factsOf(want, kept));
    const mutable = want.freshness === 'revalidate';
    const offline = options.offline || asking.offline === true;
    const verdict = !mutable ? 'fresh' : kept ? judge(kept, now(), options.freshness) : 'revalidate';
    if (kept && (verdict === 'fresh' || offline) && isTakenDown(kept.gone, options.takedown)) return undefined;
    if (kept && (verdict === 'fresh' || offline)) {
      const hit = await stored(want, kept, options.offline ? 'offline' : verdict === 'fresh' ? 'hit' : 'stale');
      if (hit) {
        if (!mutable) noteContradiction(want, kept);
        // Until then nobody asks upstream, so the answer stays the same.
        return mutable && !offline ? { ...hit, freshUntil: kept.checkedAt + options.freshness.ttlMs } : hit;
      }
    }
    if (offline) {
      throw notStored(want.path, options.id, options.offline, entry !== undefined && entry.status !== 200);
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
  }

  return { find, digest, holds };

  /** Asks upstream while the client already has the stored copy. */
  function behind(want: Artifact, kept: StoredEntry, asking: Asking): void {
    fetch(want, kept, unhurried(asking)).then(
      (found) => found?.close(),
      (error: unknown) => {
        if (!isTrouble(error)) publish('fault', { where: `revalidating ${want.path}`, error });
      },
    );
  }
}

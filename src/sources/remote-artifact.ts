/** Artifacts from an upstream: a link tells what to expect, one download serves everybody, and what was verified stays. */
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
import type { EntryKey, StoredEntry } from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import type { Reply, Upstream } from '../upstream/client.ts';
import type { Download, DownloadFacts, DownloadHead, Downloads } from '../upstream/download.ts';
import { aboutOf, type Locate, refuseStatus, viaOf } from './asking.ts';
import { createTold } from './checksums.ts';
import { openEntry } from './entry-blob.ts';
import type { Learn, RemoteDocuments } from './remote-document.ts';
import { readAll } from './staged-bytes.ts';

export interface RemoteArtifactOptions {
  readonly id: string;
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

const validatorsOf = (previous: StoredEntry | undefined): Readonly<Record<string, string>> => ({
  ...(previous?.etag === undefined ? {} : { 'if-none-match': previous.etag }),
  ...(previous?.lastModified === undefined ? {} : { 'if-modified-since': previous.lastModified }),
});

const agrees = (entry: StoredEntry, target: Target): boolean =>
  target.expected.every((digest) => entry.digests?.includes(digest));

export function createRemoteArtifacts(options: RemoteArtifactOptions): RemoteArtifacts {
  const { store, upstream, documents, now } = options;
  const told = createTold(options);

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
    return options.downloads.start(key, () => {
      const digests = told.before(want, asking, previous === undefined);
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
        priority: asking.priority ?? 'client',
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
          await lookInto(want, stage, facts);
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
    });
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
  async function lookInto(want: Artifact, stage: Stage, facts: DownloadFacts): Promise<void> {
    if (!want.reads) return;
    const origin = { url: facts.url, path: want.path, headers: facts.headers };
    try {
      await options.learn(want.reads, {
        key: `${upstream.identity}\n${want.path}\n${facts.digests[0]}`,
        origin,
        bytes: await readAll(stage, facts.size),
      });
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
  const heads = new Map<string, Promise<Head>>();

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
    const asked =
      heads.get(key) ??
      upstream
        .ask({
          method: 'HEAD',
          url: target.url,
          linked: target.linked,
          headers: { ...headers, ...viaOf(asking) },
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
    heads.set(key, asked);
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
      const kept = await store.entries.get(keyOf(want));
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

  /** What the document says now decides, and what lies under the path it says is fetched once and kept. */
  async function described(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined> {
    const { describedBy, freshness: _, ...rest } = want;
    const looked = describedBy && (await lookUp(describedBy, want.path, asking));
    if (!looked) return undefined;
    const { link, document } = looked;
    const digest = strongest(link.digests ?? []);
    const there: Artifact = { ...rest, path: link.at ?? want.path, ...(digest ? { digest } : {}) };
    asking.admit?.(factsOf(want, link));
    const { head, ...whole } = asking;
    const hasOther = want.reads !== undefined && (await store.entries.get(keyOf(want)))?.status === 200;
    if (head && !hasOther) {
      const found = await headOf(there, link, document.outcome);
      if (found.readInto) noteMeaning(want, there, found, document);
      return asDescribed(found, document);
    }
    try {
      // Also for HEAD: whoever is told what the path means now comes back for just that.
      const found = await plain(there, whole);
      // What is judged as a whole is waited for while there is something else that could be answered.
      if (hasOther) await found?.landed;
      if (found) {
        noteMeaning(want, there, found, document);
        return asDescribed(found, document);
      }
    } catch (error) {
      const last = isTrouble(error) && (await lastMeaning(want, asking));
      if (!last) throw error;
      return last;
    }
    // Upstream dropped these bytes since it was asked what the path means: it may mean others by now.
    const mayBeOld = document.outcome === 'hit' || document.outcome === 'stale';
    if (asking.fresh || !mayBeOld) return lastMeaning(want, asking);
    return described(want, { ...asking, fresh: 'revalidate', lookingFor: `the bytes of ${want.path}` });
  }

  function asDescribed(found: FoundArtifact, document: FoundDocument): FoundArtifact {
    const passing = document.outcome === 'miss' || document.outcome === 'joined' ? 'revalidated' : document.outcome;
    return {
      ...found,
      outcome: found.outcome === 'hit' ? passing : found.outcome,
      immutable: false,
      checkedAt: document.checkedAt,
      freshUntil: document.freshUntil,
      isCurrent: () => document.isCurrent(),
    };
  }

  /** What a path means, once its bytes are here: that stands in if the bytes of what it means next can't be had. */
  function noteMeaning(want: Artifact, there: Artifact, found: FoundArtifact, { checkedAt }: FoundDocument): void {
    if (there.path === want.path) return;
    const note = async (): Promise<void> => {
      const [entry, before] = await Promise.all([store.entries.get(keyOf(there)), store.entries.get(keyOf(want))]);
      if (entry?.status !== 200) return;
      const meaning: StoredEntry = { ...entry, checkedAt };
      if (entry.digest !== before?.digest) await store.entries.put(keyOf(want), meaning);
      else if (checkedAt !== before?.checkedAt) store.entries.touch(keyOf(want), meaning);
    };
    const noted = found.landed ? found.landed.then(note, () => undefined) : note();
    noted.catch((error: unknown) => publish('fault', { where: `storing what ${want.path} means`, error }));
  }

  async function lastMeaning(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined> {
    const entry = await store.entries.get(keyOf(want));
    if (entry?.status !== 200 || !mayServeStale(entry, now(), options.freshness)) return undefined;
    asking.admit?.(factsOf(want, entry));
    return stored({ ...want, freshness: 'revalidate' }, entry, options.offline ? 'offline' : 'stale');
  }

  /** The link says all that HEAD has to. */
  async function headOf(there: Artifact, link: Link, outcome: FoundArtifact['outcome']): Promise<FoundArtifact> {
    const entry = await store.entries.get(keyOf(there));
    const kept = entry && (await stored(there, entry, 'hit'));
    if (kept) return kept;
    const digest = strongest(link.digests ?? []);
    return {
      outcome,
      size: link.size,
      contentType: link.contentType ?? 'application/octet-stream',
      ...(digest ? { digest } : {}),
      digests: link.digests ?? [],
      immutable: false,
      checkedAt: now(),
      async *read() {},
      close: () => {},
    };
  }

  async function find(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined> {
    return want.freshness === 'described' ? described(want, asking) : plain(want, asking);
  }

  /** Of what is arriving, or here, else what upstream tells beside it. */
  async function digest(want: Artifact, algorithm: Algorithm, asking: Asking): Promise<Digest | undefined> {
    const among = (digests: readonly Digest[] | undefined): Digest | undefined =>
      digests?.find((one) => algorithmOf(one) === algorithm);
    const entry = await store.entries.get(keyOf(want));
    const kept = entry?.status === 200 ? among(entry.digests) : undefined;
    if (options.offline) return kept;
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
    return kept ?? told.one(want, algorithm, asking);
  }

  async function holds(want: Artifact): Promise<boolean> {
    const entry = await store.entries.get(keyOf(want));
    return entry?.status === 200 && entry.digest !== undefined && store.blobs.has(entry.digest);
  }

  async function plain(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined> {
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
        // Until then nobody asks upstream, so the answer stays the same.
        return mutable && !options.offline ? { ...hit, freshUntil: kept.checkedAt + options.freshness.ttlMs } : hit;
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
  }

  return { find, digest, holds };

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

/** Documents from an upstream, through the cache: TTL, conditional revalidation, stale copies in time of trouble, brief negative answers. */
import { LRUCache } from 'lru-cache';
import { type Claims, claimsOf } from '../core/claims.ts';
import { type Digest, digestOf } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Document, Format, Heard, Link, Origin, Step } from '../core/format.ts';
import {
  type FreshnessPolicy,
  hearGone,
  isNegativeFresh,
  isTakenDown,
  judge,
  mayServeStale,
  type TakedownPolicy,
  type Verdict,
} from '../core/freshness.ts';
import { isTrouble, Problem, toProblem } from '../core/problem.ts';
import type { Asking, FoundDocument } from '../core/source.ts';
import type { EntryKey, StoredEntry } from '../store/entries.ts';
import type { Facts, Store } from '../store/store.ts';
import type { Upstream } from '../upstream/client.ts';
import type { Download, DownloadFacts, Downloads } from '../upstream/download.ts';
import { aboutOf, type Locate, notStored, refuseStatus, unhurried, viaOf } from './asking.ts';
import { openEntry } from './entry-blob.ts';
import { lruOf } from './lru.ts';
import { obtain } from './obtain.ts';
import { readAll } from './staged-bytes.ts';

/** Decodes a document to see whether it is one, and what it links to. Throws when it is not. */
export type Learn = (
  type: Document['type'],
  input: { key: string; origin: Origin; bytes: Uint8Array },
  claims?: Claims,
) => Promise<readonly Link[]>;

export interface RemoteDocumentOptions {
  readonly id: string;
  /** `org/name` of the repository whose source it is. */
  readonly repository: string;
  readonly format: Format;
  readonly upstream: Upstream;
  readonly store: Store;
  readonly downloads: Downloads;
  readonly learn: Learn;
  readonly locate: Locate;
  readonly freshness: FreshnessPolicy;
  readonly negativeTtlMs: number;
  readonly takedown: TakedownPolicy;
  readonly patienceMs: number;
  readonly offline: boolean;
  readonly now: () => number;
}

export interface RemoteDocuments {
  find(want: Document, asking: Asking): Promise<FoundDocument | undefined>;
  /** The link a document holds for a path, without asking anybody; `undefined` when the document is not in memory. */
  knownLink(want: Document, path: string): Link | undefined;
  link(found: FoundDocument, path: string): Promise<Link | undefined>;
}

/** One representation of one document: an entry. */
interface Slot {
  readonly want: Document;
  readonly representation: string;
  readonly key: EntryKey;
}

interface Held {
  readonly slot: Slot;
  readonly entry: StoredEntry;
}

/** Which of its forms it is. */
type FoundForm = FoundDocument & { readonly representation: string };

/** What a question to upstream came to. `bytes` only while the disk takes nothing in. */
interface Refreshed {
  readonly outcome: 'hit' | 'miss' | 'joined' | 'revalidated';
  readonly held: Held;
  readonly bytes?: Buffer;
}

interface Answered {
  readonly refreshed: Refreshed;
  /** Somebody else's question. */
  readonly joined: boolean;
}

/** A question that others may wait for as well. */
interface Flight {
  readonly landing: Promise<Refreshed>;
  readonly claims: Claims;
  /** Id of the request that began it. */
  readonly leader: string;
}

/** A whole document that nobody has looked into. */
interface Arrived {
  readonly bytes: Uint8Array;
  readonly facts: DownloadFacts;
  /** Puts the bytes into the store. */
  readonly keep: (digest: Digest) => Promise<void>;
  /** The bytes once more: the first ones may have been moved to a worker. */
  readonly again: () => Promise<Buffer>;
}

/**
 * What comes of downloads. Repositories with the same upstream, and the one that a reload put in the place of another, share
 * them: whoever only joins one waits for what its owner makes of it.
 */
const landings = new WeakMap<Download, Promise<Refreshed>>();

/** Links of this many documents stay in memory, weighed by their number. */
const linksInMemory = 200_000;

export function createRemoteDocuments(options: RemoteDocumentOptions): RemoteDocuments {
  const { store, upstream, format, now } = options;
  const linkFacts: Facts<readonly Link[]> = store.facts('links');
  const seenFacts: Facts<Record<string, number>> = store.facts('seen');
  const flights = new Map<string, Flight>();
  const linkMaps = new LRUCache<string, ReadonlyMap<string, Link>>({
    maxSize: linksInMemory,
    sizeCalculation: (links) => links.size + 1,
  });
  /** What each representation is answered with now. */
  const current = lruOf<string>(20_000);
  /** What was looked for in vain, so that the same question does not cost another request each time. */
  const looks = lruOf<number>(10_000);

  function slotOf(want: Document, representation: string): Slot {
    return {
      want,
      representation,
      key: { source: `${upstream.identity}/${format.id}/${want.type.id}`, path: want.path, representation },
    };
  }

  function representationsOf(want: Document): readonly string[] {
    const forms = want.type.representations;
    if (!forms) return [''];
    const first = forms.of(want.variant ?? '');
    return [first, ...forms.coveredBy(first)];
  }

  /** The best stored copy: a fresh one if there is any, else the one that was confirmed last. */
  async function stored(want: Document): Promise<Held | undefined> {
    let best: Held | undefined;
    for (const representation of representationsOf(want)) {
      const slot = slotOf(want, representation);
      const entry = await store.entries.get(slot.key);
      if (!entry) continue;
      if (verdictOn(entry) === 'fresh') return { slot, entry };
      if (!best || entry.checkedAt > best.entry.checkedAt) best = { slot, entry };
    }
    return best;
  }

  function verdictOn(entry: StoredEntry): Verdict {
    if (entry.status === 200) return judge(entry, now(), options.freshness);
    return isNegativeFresh(entry, now(), options.negativeTtlMs) ? 'fresh' : 'revalidate';
  }

  const originOf = ({ slot, entry }: Held): Origin => ({
    url: entry.url,
    path: slot.want.path,
    headers: { ...entry.headers, ...(entry.contentType ? { 'content-type': entry.contentType } : {}) },
  });

  const contentKey = (slot: Slot, digest: string): string =>
    `${format.id}\n${slot.want.type.id}\n${slot.want.path}\n${slot.representation}\n${upstream.identity}\n${digest}`;

  async function learned(held: Held, bytes: () => Promise<Uint8Array>): Promise<readonly Link[]> {
    if (!held.slot.want.type.links || !held.entry.digest) return [];
    const key = contentKey(held.slot, held.entry.digest);
    const known = await linkFacts.get(key);
    if (known) return known;
    const links = await options.learn(held.slot.want.type, { key, origin: originOf(held), bytes: await bytes() });
    linkFacts.set(key, links);
    return links;
  }

  /** `undefined` when the bytes were evicted since. */
  async function found(
    held: Held,
    outcome: FoundDocument['outcome'],
    inMemory?: Buffer,
  ): Promise<FoundForm | undefined> {
    const { entry, slot } = held;
    if (entry.digest === undefined) return undefined;
    const { digest } = entry;
    if (!inMemory) {
      const blob = await openEntry(store, entry);
      if (!blob) return undefined;
      blob.close();
    }
    const bytes = async (): Promise<Uint8Array> => {
      const read = inMemory ?? (await store.blobs.bytes(digest));
      if (!read) throw vanished(slot.want);
      return read;
    };
    const key = contentKey(slot, digest);
    const place = placeOf(slot);
    current.set(place, key);
    return {
      representation: slot.representation,
      outcome,
      key,
      origin: originOf(held),
      size: entry.size ?? 0,
      freshUntil:
        outcome === 'stale' || outcome === 'offline' || inMemory ? 0 : entry.checkedAt + options.freshness.ttlMs,
      checkedAt: entry.checkedAt,
      ...(entry.lastModified === undefined ? {} : { lastModified: entry.lastModified }),
      isCurrent: () => current.get(place) === key,
      bytes,
      links: () => learned(held, bytes),
      firstSeen: async () => (await seenFacts.get(seenKey(slot.want))) ?? {},
    };
  }

  const placeOf = ({ want, representation }: Slot): string => `${want.type.id}\n${representation}\n${want.path}`;
  const seenKey = (want: Document): string => `${upstream.identity}\n${want.type.id}\n${want.path}`;

  async function noteFirstSeen(want: Document, links: readonly Link[]): Promise<void> {
    const seen = (await seenFacts.get(seenKey(want))) ?? {};
    const fresh = links.flatMap(({ version }) =>
      version !== undefined && !Object.hasOwn(seen, version) ? [version] : [],
    );
    if (fresh.length === 0) return;
    const at = now();
    seenFacts.set(seenKey(want), { ...seen, ...Object.fromEntries(fresh.map((version) => [version, at])) });
  }

  /** Upstream said that it is not there. What we have is kept until that was said often enough, over long enough. */
  async function notThere(
    slot: Slot,
    status: number,
    previous: StoredEntry | undefined,
    url: string,
  ): Promise<StoredEntry> {
    const at = now();
    if (previous?.status === 200) {
      const kept: StoredEntry = {
        ...previous,
        checkedAt: at,
        gone: hearGone(previous.gone, at, options.negativeTtlMs),
      };
      store.entries.touch(slot.key, kept);
      return kept;
    }
    const negative: StoredEntry = { status: status === 410 ? 410 : 404, url, fetchedAt: at, checkedAt: at };
    await store.entries.put(slot.key, negative);
    return negative;
  }

  /** In as many steps as it takes. What comes out of them has no validator, so being the same is being unchanged. */
  async function askInSteps(
    slot: Slot,
    previous: StoredEntry | undefined,
    step: (heard: readonly Heard[]) => Step,
    asking: Asking,
  ): Promise<Refreshed> {
    const { want } = slot;
    const got = await obtain(options, want, step, asking);
    if (!got) {
      const entry = await notThere(slot, 404, previous, await options.locate(want.path, asking));
      return { outcome: 'miss', held: { slot, entry } };
    }
    const { bytes, url, headers, contentType } = got;
    const digest = digestOf(bytes);
    if (previous?.digest === digest && store.blobs.has(digest)) return confirmed(slot, previous);
    // The bytes may be moved to a worker, and are needed afterwards.
    const kept = Buffer.from(bytes);
    const refreshed = await take(slot, claimsOf(asking), {
      bytes,
      facts: {
        status: 200,
        url,
        headers: { ...headers, ...(contentType === undefined ? {} : { 'content-type': contentType }), etag: undefined },
        size: kept.byteLength,
        digests: [digest],
        verified: 'length',
      },
      keep: async () => void (await store.blobs.add(kept)),
      again: async () => kept,
    });
    forget(previous && { slot, entry: previous }, refreshed.held);
    return refreshed;
  }

  function confirmed(slot: Slot, previous: StoredEntry): Refreshed {
    const { gone: _, ...kept } = previous;
    const entry: StoredEntry = { ...kept, checkedAt: now() };
    store.entries.touch(slot.key, entry);
    return { outcome: 'revalidated', held: { slot, entry } };
  }

  async function ask(slot: Slot, previous: StoredEntry | undefined, asking: Asking): Promise<Refreshed> {
    const { want } = slot;
    const { type } = want;
    if (type.obtain)
      return askInSteps(slot, previous, (heard) => type.obtain?.(want, heard) ?? { absent: true }, asking);
    const url = await options.locate(want.path, asking);
    const conditional =
      asking.fresh !== 'unconditional' &&
      previous?.status === 200 &&
      previous.digest &&
      store.blobs.has(previous.digest);
    let result: Refreshed | undefined;
    const claims = claimsOf(asking);
    const accept = want.type.representations?.accept(slot.representation);
    const { download, joined } = options.downloads.start(
      `document\n${slot.key.source}\n${slot.key.path}\n${slot.representation}`,
      () => ({
        upstream,
        url,
        headers: {
          ...viaOf(asking),
          ...(accept === undefined ? {} : { accept }),
          ...(conditional && previous.etag ? { 'if-none-match': previous.etag } : {}),
          ...(conditional && previous.lastModified ? { 'if-modified-since': previous.lastModified } : {}),
        },
        decode: true,
        expected: [],
        algorithms: [],
        maxSizeBytes: want.type.limit,
        requestId: asking.requestId,
        ...aboutOf(want),
        keepGoing: true,
        gate: true,
        inspect: ({ status }) => refuseStatus(status, want.path, options.id),
        store: async (stage, facts) => {
          result = await take(slot, claims, {
            bytes: await readAll(stage, facts.size),
            facts,
            keep: (digest) => stage.commit(digest),
            again: () => readAll(stage, facts.size),
          });
          forget(previous && { slot, entry: previous }, result.held);
          if (asking.fresh && result.held.entry.digest !== previous?.digest) await doubtOtherForms(result.held.slot);
        },
      }),
      claims,
    );
    const shared = joined ? landings.get(download) : undefined;
    if (shared) {
      publish('download.join', { requestId: asking.requestId, download: download.id });
      const theirs = await shared;
      return theirs.outcome === 'miss' ? { ...theirs, outcome: 'joined' } : theirs;
    }
    const landing = download.done.then(async ({ status }) => {
      if (result) return result;
      if (status === 304 && previous) return confirmed(slot, previous);
      if (status === 404 || status === 410) {
        const entry = await notThere(slot, status, previous, url);
        return { outcome: 'miss', held: { slot, entry } } satisfies Refreshed;
      }
      throw new Problem('upstream_invalid', `${options.id} gave no usable answer for ${want.path} (status ${status}).`);
    });
    landings.set(download, landing);
    return landing;
  }

  /** Looks into the bytes before they become anything: what does not decode is not stored. */
  async function take(slot: Slot, claims: Claims, { bytes, facts, keep, again }: Arrived): Promise<Refreshed> {
    const { want } = slot;
    const headers = keptHeaders(facts.headers, format.upstream?.reads ?? []);
    const origin: Origin = { url: facts.url, path: want.path, headers: facts.headers };
    const forms = want.type.representations;
    const arrived = forms ? slotOf(want, forms.arrived(slot.representation, origin)) : slot;
    const digest = facts.digests[0] ?? digestOf(bytes);
    const key = contentKey(arrived, digest);
    let links: readonly Link[];
    // The bytes may be moved to a worker; what disk trouble leaves in memory needs a copy of its own.
    try {
      links = await options.learn(want.type, { key, origin, bytes }, claims);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      publish('document.invalid', { url: facts.url, reason });
      throw new Problem(
        'upstream_invalid',
        `${options.id} sent something for ${want.path} that is no ${want.type.id}: ${reason}`,
        {
          cause: error,
        },
      );
    }
    const at = now();
    const entry: StoredEntry = {
      status: 200,
      url: facts.url,
      digest,
      size: facts.size,
      ...(facts.headers['content-type'] === undefined ? {} : { contentType: facts.headers['content-type'] }),
      digests: facts.digests,
      verified: facts.verified,
      ...(facts.headers.etag === undefined ? {} : { etag: facts.headers.etag }),
      ...(facts.headers['last-modified'] === undefined ? {} : { lastModified: facts.headers['last-modified'] }),
      headers,
      fetchedAt: at,
      checkedAt: at,
      ...(want.name === undefined ? {} : { name: want.name }),
    };
    const held: Held = { slot: arrived, entry };
    if (want.type.links) linkFacts.set(key, links);
    remember(key, links);
    await noteFirstSeen(want, links);
    try {
      await keep(digest);
      await store.entries.put(arrived.key, entry);
      return { outcome: 'miss', held };
    } catch (error) {
      // The disk takes nothing in: this answer is served from memory and forgotten.
      publish('fault', { where: `storing ${want.path}`, error });
      return { outcome: 'miss', held, bytes: await again() };
    }
  }

  /** The links of a document that was replaced: thousands of them, which nobody will ask for again. */
  function forget(before: Held | undefined, after: Held): void {
    if (!before?.entry.digest || before.entry.digest === after.entry.digest) return;
    const key = contentKey(before.slot, before.entry.digest);
    linkFacts.delete(key);
    linkMaps.delete(key);
  }

  function remember(key: string, links: readonly Link[]): ReadonlyMap<string, Link> {
    const map = new Map(links.map((link) => [link.path, link]));
    linkMaps.set(key, map);
    return map;
  }

  /** One question at a time per document, whoever asks and however many. */
  async function refresh(want: Document, held: Held | undefined, asking: Asking): Promise<Answered> {
    const slot = held && held.entry.status === 200 ? held.slot : slotOf(want, representationsOf(want)[0] ?? '');
    const key = `${slot.key.path}\n${slot.representation}`;
    const running = flights.get(key);
    const claims = claimsOf(asking);
    if (running) {
      running.claims.join(claims);
      publish('download.join', { requestId: asking.requestId, leader: running.leader });
      return { refreshed: await running.landing, joined: true };
    }
    const landing = lookAgain(want, held, asking)
      .then((newer) => newer ?? ask(slot, held?.slot === slot ? held.entry : undefined, { ...asking, claims }))
      .finally(() => flights.delete(key));
    flights.set(key, { landing, claims, leader: asking.requestId });
    return { refreshed: await landing, joined: false };
  }

  /** Between the look into the store and the start of a flight another one may have landed. */
  async function lookAgain(want: Document, held: Held | undefined, asking: Asking): Promise<Refreshed | undefined> {
    if (asking.fresh) return undefined;
    const latest = await stored(want);
    const isNewer =
      latest && latest.entry.checkedAt >= (held?.entry.checkedAt ?? 0) && verdictOn(latest.entry) === 'fresh';
    return isNewer ? { outcome: 'hit', held: latest } : undefined;
  }

  /** A look out of turn brought another document: what is kept of it in other forms is due for a look as well. */
  async function doubtOtherForms({ want, representation }: Slot): Promise<void> {
    for (const form of want.type.representations?.all ?? []) {
      if (form === representation) continue;
      const other = slotOf(want, form);
      const entry = await store.entries.get(other.key);
      if (entry?.status !== 200) continue;
      const due = now() - options.freshness.ttlMs - options.freshness.staleWhileRevalidateMs;
      store.entries.touch(other.key, { ...entry, checkedAt: Math.min(entry.checkedAt, due) });
      current.delete(placeOf(other));
    }
  }

  /** Waits for upstream as long as a client with a stale copy at hand should. */
  async function refreshOrStale(want: Document, held: Held, asking: Asking): Promise<FoundForm | undefined> {
    const asked = refresh(want, held, asking).then(
      (answer) => settle(want, answer, asking),
      async (error: unknown) => {
        if (!isTrouble(error) || !mayServeStale(held.entry, now(), options.freshness)) throw error;
        return (await found(held, 'stale')) ?? Promise.reject(error);
      },
    );
    if (asking.fresh || !mayServeStale(held.entry, now(), options.freshness)) return asked;
    const patience = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => patience.resolve('late'), options.patienceMs).unref();
    try {
      const first = await Promise.race([asked, patience.promise]);
      if (first !== 'late') return first;
      asked.catch(() => {});
      return (await found(held, 'stale')) ?? (await asked);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Absence is an answer too: where upstream can't be asked again, the trouble says what its last word was. */
  async function stillAbsent(want: Document, { entry }: Held, asking: Asking): Promise<FoundForm | undefined> {
    try {
      return await settle(want, await refresh(want, undefined, asking), asking);
    } catch (error) {
      if (!isTrouble(error) || !mayServeStale(entry, now(), options.freshness)) throw error;
      const { code, message, headers, retryAfterSeconds } = error;
      throw new Problem(code, message, {
        cause: error,
        headers,
        wasAbsent: true,
        ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      });
    }
  }

  async function settle(
    want: Document,
    { refreshed, joined }: Answered,
    asking: Asking,
  ): Promise<FoundForm | undefined> {
    const { held, outcome, bytes } = refreshed;
    const { gone, status } = held.entry;
    if (status !== 200 || isTakenDown(gone, options.takedown)) return undefined;
    const told = gone ? 'stale' : joined && outcome === 'miss' ? 'joined' : outcome;
    const document = await found(held, told, bytes);
    // What upstream no longer has is absent.
    if (document || gone) return document;
    // Evicted while upstream was asked whether it still holds: then all of it is asked for, once.
    if (asking.fresh !== 'unconditional') {
      const anew: Asking = { ...asking, fresh: 'unconditional' };
      return settle(want, await refresh(want, held, anew), anew);
    }
    // It arrived a moment ago, so this is trouble with the disk and no absence.
    throw vanished(want);
  }

  /** Whether somebody looked for the same thing a moment ago; if not, this look is noted. */
  function lookedLately(want: Document, lookingFor: string): boolean {
    const key = `${want.type.id}\n${want.path}\n${lookingFor}`;
    const at = looks.get(key);
    if (at !== undefined && Math.abs(now() - at) < options.negativeTtlMs) return true;
    looks.set(key, now());
    return false;
  }

  /** However old it is, in whichever form holds what is asked for. What upstream was known to have taken back stays so. */
  async function whileOffline(want: Document): Promise<FoundForm> {
    const forms: Held[] = [];
    let wasAbsent = false;
    for (const representation of representationsOf(want)) {
      const slot = slotOf(want, representation);
      const entry = await store.entries.get(slot.key);
      if (entry?.status === 200 && !isTakenDown(entry.gone, options.takedown)) forms.push({ slot, entry });
      else if (entry) wasAbsent = true;
    }
    for (const held of forms.sort((one, other) => other.entry.checkedAt - one.entry.checkedAt)) {
      const fresh = verdictOn(held.entry) === 'fresh' ? 'hit' : 'stale';
      const kept = await found(held, options.offline ? 'offline' : fresh);
      if (kept) return kept;
    }
    throw notStored(want.path, options.id, options.offline, wasAbsent && forms.length === 0);
  }

  async function find(want: Document, asking: Asking): Promise<FoundDocument | undefined> {
    const document = await look(want, asking);
    if (!document) return undefined;
    asking.used?.({
      repository: options.repository,
      upstream: options.id,
      format: format.id,
      type: want.type.id,
      path: want.path,
      ...(document.representation === '' ? {} : { representation: document.representation }),
    });
    return document;
  }

  async function look(want: Document, wanted: Asking): Promise<FoundForm | undefined> {
    const { fresh, lookingFor, ...plain } = wanted;
    const asking: Asking = fresh && lookingFor !== undefined && lookedLately(want, lookingFor) ? plain : wanted;
    if (options.offline || asking.offline) return whileOffline(want);
    const held = await stored(want);
    if (!held) {
      return settle(want, await refresh(want, undefined, asking), asking);
    }
    const state = asking.fresh ? 'revalidate' : verdictOn(held.entry);
    if (state === 'fresh') {
      if (held.entry.status !== 200) return undefined;
      if (isTakenDown(held.entry.gone, options.takedown)) return undefined;
      const hit = await found(held, held.entry.gone ? 'stale' : 'hit');
      if (hit) return hit;
      const anew: Asking = { ...asking, fresh: 'unconditional' };
      return settle(want, await refresh(want, held, anew), anew);
    }
    if (held.entry.status !== 200) return stillAbsent(want, held, asking);
    if (state === 'revalidate-behind') {
      const stale = await found(held, 'stale');
      if (stale) {
        refresh(want, held, unhurried(asking)).catch((error: unknown) => {
          if (!isTrouble(error)) publish('fault', { where: `revalidating ${want.path}`, error: toProblem(error) });
        });
        return stale;
      }
    }
    return refreshOrStale(want, held, asking);
  }

  return {
    find,
    knownLink(want, path) {
      for (const representation of representationsOf(want)) {
        const key = current.get(placeOf(slotOf(want, representation)));
        const link = key === undefined ? undefined : linkMaps.peek(key)?.get(path);
        if (link) return link;
      }
      return undefined;
    },
    async link(document, path) {
      const map = linkMaps.get(document.key) ?? remember(document.key, await document.links());
      return map.get(path);
    },
  };
}

/** Those the format reads besides the body. Everything else upstream sends is its own business. */
function keptHeaders(
  headers: Readonly<Record<string, string | undefined>>,
  names: readonly string[],
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

function vanished({ path }: Document): Problem {
  return new Problem('upstream_unavailable', `The stored copy of ${path} can't be read; ask again.`, {
    retryAfterSeconds: 1,
  });
}

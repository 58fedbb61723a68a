/**
 * Takes a bundle in. Blobs go into the store as they come, each verified by its digest, where nothing refers to them; records wait
 * in a file. Only when all of it was read and manifest and signature are right are records put, and then everything is visible.
 */

import { type FileHandle, open, rm } from 'node:fs/promises';
import { type Digest, hexOf } from '../core/digest.ts';
import type { Link } from '../core/format.ts';
import type { Stage } from '../core/staging.ts';
import { disk as realDisk } from '../store/disk.ts';
import { DiskObjects } from '../store/disk-objects.ts';
import { type EntryKey, hashOfKey, type StoredEntry } from '../store/entries.ts';
import { openIndex } from '../store/index.ts';
import { blobName, journalObjectName } from '../store/layout.ts';
import type { Objects } from '../store/objects.ts';
import { StagingArea } from '../store/staging-area.ts';
import { indexOptions, openStore, records, type Store, type StoreOptions } from '../store/store.ts';
import { BundleError, type BundleHeader, type EntryRecord, type JournalRecord, parseRecord } from './format.ts';
import { LivePaths, stepsOf } from './journal-text.ts';
import type { PublicKey } from './keys.ts';
import { linesOf, lineWriter, readFileBytes } from './lines.ts';
import type { Parts } from './parts.ts';
import { readBundle } from './reader.ts';
import { linksKey, seenKey } from './records.ts';

export interface ImportOptions {
  readonly storage: StoreOptions;
  readonly parts: Parts;
  readonly trusted: readonly PublicKey[];
  /** Takes in what nobody signed, and does not look at signatures. */
  readonly unsigned: boolean;
  /** Of an upstream's name here; `undefined`: there is no such upstream. */
  readonly identityOf: (upstream: string) => string | undefined;
  /** Whether packages can be published in a repository (`org/name`) here. */
  readonly isHosted: (repository: string) => boolean;
  /** Links of documents are taken over only from the same release: another one may see others in them. */
  readonly toolVersion: string;
  readonly onHeader?: (header: BundleHeader) => void;
  /** Bytes of the files. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

export interface Refused {
  readonly what: string;
  readonly why: string;
}

export interface ImportReport {
  readonly header: BundleHeader;
  readonly signedBy?: string;
  /** Blobs that came, and their bytes; and those that were here already. */
  readonly added: number;
  readonly addedBytes: number;
  readonly there: number;
  readonly entries: number;
  /** Here already in a newer state, or the same. */
  readonly kept: number;
  /** Objects of journals. */
  readonly changes: number;
  /** What could not be taken over. */
  readonly refused: readonly Refused[];
  /** Upstreams that the configuration does not have, and how many entries there were of each. */
  readonly unknownUpstreams: Readonly<Record<string, number>>;
}

/** What the steps share. */
interface Run {
  readonly options: ImportOptions;
  readonly store: Store;
  readonly objects: Objects;
  readonly spool: FileHandle;
  /** Blobs that came or were found, in hexadecimal digits: they may not make way for one another. */
  readonly held: Set<string>;
  readonly refused: Refused[];
  readonly unknown: Map<string, number>;
  header?: BundleHeader;
  added: number;
  addedBytes: number;
  there: number;
  entries: number;
  kept: number;
  changes: number;
}

/** Blobs up to this size are held in memory until they are on the disk, and several are written at a time. */
const wholeBytes = 1024 * 1024;
const writesAtOnce = 16;
const putsAtOnce = 16;
/** The index of a busy server may need a moment to take everything in. */
const indexPatienceMs = 60_000;
const indexPauseMs = 250;

/** Rejects with a `BundleError` when the bundle is refused: then nothing of it is visible. */
export async function importBundle(options: ImportOptions): Promise<ImportReport> {
  const { storage, parts } = options;
  const disk = storage.disk ?? realDisk;
  const store = await openStore(storage);
  const area = new StagingArea(storage.path, disk);
  try {
    const path = await area.next();
    const spool = await open(path, 'w+', 0o600);
    try {
      const run: Run = {
        options,
        store,
        spool,
        objects: new DiskObjects({ root: storage.path, disk, temporary: () => area.next() }),
        held: new Set(),
        refused: [],
        unknown: new Map(),
        added: 0,
        addedBytes: 0,
        there: 0,
        entries: 0,
        kept: 0,
        changes: 0,
      };
      store.blobs.protect((digest) => run.held.has(hexOf(digest)));
      return await take(run, parts);
    } finally {
      await spool.close().catch(() => {});
      await rm(path, { force: true });
    }
  } finally {
    // Before the store, which looks whether anybody else is there when it closes.
    await area.close();
    await store.close();
  }
}

async function take(run: Run, parts: Parts): Promise<ImportReport> {
  const { options } = run;
  let readBytes = 0;
  const writes = new Writes();
  const { header, withdrawn, signedBy } = await readBundle(
    parts,
    {
      async header(found) {
        run.header = found;
        options.onHeader?.(found);
      },
      records: (bytes) => keepRecords(run, bytes),
      blob: (...blob) => takeBlob(run, writes, ...blob),
    },
    {
      trusted: options.trusted,
      unsigned: options.unsigned,
      onBytes(bytes) {
        readBytes += bytes;
        options.onProgress?.(readBytes, parts.totalBytes);
      },
    },
  ).finally(() => writes.settled());
  await writes.done();
  await putRecords(run, withdrawn);
  return {
    header,
    ...(signedBy ? { signedBy: signedBy.id } : {}),
    added: run.added,
    addedBytes: run.addedBytes,
    there: run.there,
    entries: run.entries,
    kept: run.kept,
    changes: run.changes,
    refused: run.refused,
    unknownUpstreams: Object.fromEntries(run.unknown),
  };
}

/** Looks at each record before anything else is done with the bundle, and at how much room it needs. */
async function keepRecords(run: Run, bytes: AsyncIterable<Buffer>): Promise<void> {
  const writer = lineWriter(run.spool);
  const missing = new Map<string, number>();
  const need = (digest: Digest | undefined, size: number | undefined): void => {
    if (digest !== undefined && !run.store.blobs.has(digest)) missing.set(hexOf(digest), size ?? 0);
  };
  for await (const line of linesOf(bytes)) {
    const record = parseRecord(line);
    if (record.is === 'entry') need(record.entry.digest, record.entry.size);
    else for (const { put } of stepsIn(record)) for (const { digest, size } of put) need(digest, size);
    await writer.write(line);
  }
  await writer.flush();
  const wanted = [...missing.values()].reduce((sum, size) => sum + size, 0);
  await makeRoom(run, Math.min(wanted, run.header?.planned.bytes ?? 0));
}

function stepsIn({ repository, number, text }: JournalRecord): ReturnType<typeof stepsOf> {
  try {
    return stepsOf(text);
  } catch (error) {
    throw new BundleError(
      'damaged',
      `object ${number} of the journal of ${repository} can't be used: ${(error as Error).message}`,
    );
  }
}

/** Room for all of it is made, or known to be lacking, before the first blob. */
async function makeRoom({ store }: Run, bytes: number): Promise<void> {
  const stage = await store.stage({ expectedSize: bytes });
  await stage.discard();
}

/** Small blobs on their way to the disk. The first that fails fails all. */
class Writes {
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  async add(work: Promise<void>): Promise<void> {
    const watched: Promise<void> = work
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(watched));
    this.#running.add(watched);
    while (this.#running.size >= writesAtOnce) await Promise.race(this.#running);
    this.#throw();
  }

  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
  }

  async done(): Promise<void> {
    await this.settled();
    this.#throw();
  }

  #throw(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

async function takeBlob(
  run: Run,
  writes: Writes,
  hex: string,
  size: number,
  bytes: AsyncIterable<Buffer>,
  isRight: () => boolean,
): Promise<void> {
  if (await isHere(run, hex, size)) {
    // Read all the same: a bundle with a wrong byte in it is refused.
    for await (const _ of bytes);
    run.there += 1;
    return;
  }
  if (size <= wholeBytes) {
    const pieces: Buffer[] = [];
    for await (const piece of bytes) pieces.push(piece);
    const [first] = pieces;
    // Of a larger buffer only this part is to stay in memory.
    const whole = pieces.length === 1 && first ? Buffer.from(first) : Buffer.concat(pieces);
    if (isRight()) await writes.add(keep(run, hex, whole));
    return;
  }
  const stage = await run.store.stage({ expectedSize: size });
  let pending: Promise<void> = Promise.resolve();
  try {
    for await (const piece of bytes) {
      // The disk writes one piece while the next one is unpacked.
      await pending;
      pending = stage.write(piece);
      pending.catch(() => {});
    }
    await pending;
  } catch (error) {
    await stage.discard();
    throw error;
  }
  // The reader refuses the bundle unless it says itself that this one is of no use.
  if (!isRight()) await stage.discard();
  else await writes.add(commit(run, stage, hex, size));
}

/** Room is kept for it, and it is young again, so that nobody takes it for forgotten before something refers to it. */
async function isHere({ store, objects, held }: Run, hex: string, size: number): Promise<boolean> {
  const blob = await store.blobs.open(`sha256:${hex}`);
  if (!blob) return false;
  const isWhole = blob.size === size;
  blob.close();
  if (!isWhole || !(await objects.freshen(blobName(hex), Date.now()))) return false;
  held.add(hex);
  return true;
}

async function keep(run: Run, hex: string, bytes: Buffer): Promise<void> {
  const stage = await run.store.stage({ expectedSize: bytes.length });
  try {
    await stage.write(bytes);
  } catch (error) {
    await stage.discard();
    throw error;
  }
  await commit(run, stage, hex, bytes.length);
}

async function commit(run: Run, stage: Stage, hex: string, size: number): Promise<void> {
  run.held.add(hex);
  try {
    await stage.commit(`sha256:${hex}`);
  } finally {
    await stage.discard();
  }
  run.added += 1;
  run.addedBytes += size;
}

/** What things are made of comes before what names them: a crash in between leaves nothing that points nowhere. */
async function putRecords(run: Run, withdrawn: ReadonlySet<string>): Promise<void> {
  const isArtifact = (record: EntryRecord): boolean => record.document === undefined;
  await putEntries(run, withdrawn, isArtifact);
  await putEntries(run, withdrawn, (record) => !isArtifact(record));
  await putJournals(run);
  await run.store.flush();
  await indexed(run);
}

async function* spooled({ spool }: Run): AsyncGenerator<EntryRecord | JournalRecord> {
  for await (const line of linesOf(readFileBytes(spool))) yield parseRecord(line);
}

async function putEntries(
  run: Run,
  withdrawn: ReadonlySet<string>,
  isMeant: (record: EntryRecord) => boolean,
): Promise<void> {
  let some: Promise<void>[] = [];
  for await (const record of spooled(run)) {
    if (record.is !== 'entry' || !isMeant(record)) continue;
    some.push(putEntry(run, withdrawn, record));
    if (some.length < putsAtOnce) continue;
    await Promise.all(some);
    some = [];
  }
  await Promise.all(some);
}

export function keyOf({ format, document, path, representation }: EntryRecord, identity: string): EntryKey {
  if (document === undefined) return { source: `${identity}/${format}`, path };
  return { source: `${identity}/${format}/${document}`, path, representation: representation ?? '' };
}

async function putEntry(run: Run, withdrawn: ReadonlySet<string>, record: EntryRecord): Promise<void> {
  const { options, store } = run;
  const identity = options.identityOf(record.upstream);
  if (identity === undefined) {
    run.unknown.set(record.upstream, (run.unknown.get(record.upstream) ?? 0) + 1);
    return;
  }
  const what = `${record.upstream} ${record.path}`;
  const { digest } = record.entry;
  if (digest !== undefined && withdrawn.has(hexOf(digest))) {
    run.refused.push({ what, why: 'its bytes were damaged where the bundle was made' });
    return;
  }
  if (!(await hasBytes(store, record.entry))) {
    run.refused.push({
      what,
      why: `its bytes are neither here nor in the bundle: take in first what it is a delta of`,
    });
    return;
  }
  const key = keyOf(record, identity);
  await noteFacts(run, record, identity);
  const here = await store.entries.get(key);
  if (here && here.checkedAt >= record.entry.checkedAt && (await hasBytes(store, here))) {
    run.kept += 1;
    return;
  }
  await store.entries.put(key, record.entry);
  run.entries += 1;
}

async function hasBytes(store: Store, { digest, size }: StoredEntry): Promise<boolean> {
  if (digest === undefined) return true;
  const blob = await store.blobs.open(digest);
  if (!blob) return false;
  const isWhole = size === undefined || blob.size === size;
  blob.close();
  return isWhole;
}

async function noteFacts({ store, options, header }: Run, record: EntryRecord, identity: string): Promise<void> {
  if (record.document === undefined) return;
  if (record.links && header?.tool.version === options.toolVersion) {
    store.facts<readonly Link[]>('links').set(linksKey(record, identity), record.links);
  }
  if (!record.seen) return;
  const facts = store.facts<Record<string, number>>('seen');
  const key = seenKey(record, identity);
  const merged: Record<string, number> = { ...(await facts.get(key)) };
  for (const [version, at] of Object.entries(record.seen)) {
    merged[version] = Math.min(at, Object.hasOwn(merged, version) ? (merged[version] ?? at) : at);
  }
  facts.set(key, merged);
}

/** Each repository as a whole: first all of it is compared with what is here, then what is new is added. */
async function putJournals(run: Run): Promise<void> {
  const stopped = new Map<string, string>();
  const last = new Map<string, number>();
  const live = new Map<string, LivePaths>();
  const fresh = new Set<string>();
  for await (const record of spooled(run)) {
    if (record.is !== 'journal' || stopped.has(record.repository)) continue;
    const { repository, number, text } = record;
    const before = last.get(repository);
    const why = await contradiction(run, record, before);
    if (why !== undefined) stopped.set(repository, why);
    last.set(repository, number);
    const paths = live.get(repository) ?? new LivePaths();
    paths.apply(stepsOf(text));
    live.set(repository, paths);
    if (!run.objects.existsNow(journalObjectName(repository, number))) fresh.add(repository);
  }
  for (const repository of fresh) {
    if (stopped.has(repository)) continue;
    for (const { path, digest, size } of live.get(repository)?.values() ?? []) {
      const isHere = await hasBytes(run.store, { status: 200, url: '', digest, size, fetchedAt: 0, checkedAt: 0 });
      if (!isHere) stopped.set(repository, `the bytes of ${path} are neither here nor in the bundle`);
    }
  }
  for await (const record of spooled(run)) {
    if (record.is !== 'journal' || stopped.has(record.repository)) continue;
    const why = await appendObject(run, record);
    if (why !== undefined) stopped.set(record.repository, why);
  }
  for (const [what, why] of stopped) run.refused.push({ what: `packages of ${what}`, why });
}

/** Why an object can't follow those that are here. */
async function contradiction(
  { options, objects }: Run,
  { repository, number, text }: JournalRecord,
  before: number | undefined,
): Promise<string | undefined> {
  if (!options.isHosted(repository)) return 'the configuration has no repository of this name with a hosted source';
  if (before !== undefined && number !== before + 1) return `the bundle has change ${number} after ${before}`;
  const here = await objects.read(journalObjectName(repository, number));
  if (here) return here.toString() === text ? undefined : differs(number);
  const first = before === undefined && number > 1 && !objects.existsNow(journalObjectName(repository, number - 1));
  return first
    ? `the bundle begins with change ${number}, and those before it are not here: take in an earlier bundle first`
    : undefined;
}

function differs(number: number): string {
  return `change ${number} here is another one: something was published on both sides`;
}

/** The bytes that it needs are held while it is written: a server may be about to let them go. */
async function appendObject(run: Run, { repository, number, text }: JournalRecord): Promise<string | undefined> {
  const { objects } = run;
  const name = journalObjectName(repository, number);
  const digests = new Set(stepsOf(text).flatMap(({ put }) => put.map(({ digest }) => hexOf(digest))));
  const holds = [];
  try {
    for (const hex of digests) {
      const hold = await objects.hold(blobName(hex));
      if (hold) holds.push(hold);
    }
    if (!(await objects.create(name, Buffer.from(text)))) {
      return (await objects.read(name))?.toString() === text ? undefined : differs(number);
    }
    for (const hold of holds) await hold.restore();
    run.changes += 1;
    return undefined;
  } finally {
    for (const hold of holds) await hold.release();
  }
}

/** The index takes writes in the background, and may be held up by a server: it is looked at until everything is there. */
async function indexed(run: Run): Promise<void> {
  const { options, store } = run;
  if ((options.storage.index ?? 'sqlite') === 'memory') return;
  const index = await openIndex(indexOptions(options.storage));
  try {
    const entries = records.entries(index);
    const until = Date.now() + indexPatienceMs;
    for await (const record of spooled(run)) {
      const identity = record.is === 'entry' ? options.identityOf(record.upstream) : undefined;
      if (record.is !== 'entry' || identity === undefined) continue;
      const hash = hashOfKey(keyOf(record, identity));
      const mine = await store.entries.get(keyOf(record, identity));
      for (;;) {
        const there = (await entries.get(hash))?.entry;
        if (!mine || there === undefined || there.checkedAt >= mine.checkedAt) break;
        if (Date.now() > until)
          throw new Error('the index is too busy to take everything in; run the import once more');
        await new Promise((resolve) => setTimeout(resolve, indexPauseMs));
        await store.flush();
      }
    }
  } finally {
    await index.close();
  }
}

/**
 * Finds blobs that nothing refers to any more and takes them out: first into the trash, from where they come back by
 * themselves when somebody asks, and for good once they lay there for the grace period. A blob is referred to by
 * - an entry, on the disk or in the index, through its `digest` or `digests`;
 * - a fact in the namespace `derived`, through any string in its value that is a sha256 digest;
 * - a published file, as the journals have it now; one that was deleted does not count;
 * - whoever protects it (`isProtected`).
 * Bytes that are staged are not blobs yet and are never looked at.
 *
 * Entries whose bytes were evicted are of no use to anybody: who asks again fetches anew, with one or without. They are forgotten,
 * because they would otherwise pile up beside a store that is held to a size.
 */
import { type Digest, hexOf, parseDigest } from '../core/digest.ts';
import { disk as realDisk } from './disk.ts';
import { DiskObjects } from './disk-objects.ts';
import { decodeEntry, entryObjects, type KeyedEntry, type StoredEntry } from './entries.ts';
import { AllHosting } from './hosting-all.ts';
import { type Index, openIndex } from './index.ts';
import { openJournals } from './journal.ts';
import {
  blobName,
  blobsPrefix,
  collectedName,
  entryName,
  hexOfBlobName,
  sha256Hex,
  trashName,
  trashPrefix,
} from './layout.ts';
import type { Collected } from './measuring.ts';
import type { Objects } from './objects.ts';
import { StagingArea } from './staging-area.ts';
import { indexOptions, records, type StoreOptions } from './store.ts';
import { mustExist } from './verify.ts';

export interface CollectOptions extends StoreOptions {
  /** Blobs younger than this are left alone: whoever stored them may be about to refer to them. So are entries that were written or confirmed since. */
  readonly graceMs: number;
  /** Only tells what would be done. */
  readonly dryRun: boolean;
  /** Digests that are referred to by something the store does not know. */
  readonly isProtected?: (digest: Digest) => boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface CollectReport {
  /** Blobs that were looked at. */
  readonly checked: number;
  /** Referred to by nothing, and old enough. */
  readonly unreferenced: readonly {
    readonly digest: Digest;
    readonly sizeBytes: number;
    readonly ageMs: number;
  }[];
  /** Referred to by nothing, but younger than the grace period. */
  readonly young: number;
  /** Moved to the trash by this run. */
  readonly trashed: number;
  readonly trashedBytes: number;
  /** Deleted for good: trash older than the grace period. */
  readonly deleted: number;
  readonly freedBytes: number;
  /** Entries whose bytes are gone, and for longer than the grace period nobody asked for. */
  readonly dangling: number;
  /** Of those, forgotten by this run. */
  readonly forgotten: number;
}

interface Candidate {
  readonly hex: string;
  readonly sizeBytes: number;
  readonly modifiedAt: number;
}

/** What the steps share. */
interface Run {
  readonly options: CollectOptions;
  readonly objects: Objects;
  readonly index: Index;
  readonly hosting: AllHosting;
  readonly now: number;
}

/** Rejects where there is no store, and while the index or a journal can't tell what is referred to. */
export async function collect(options: CollectOptions): Promise<CollectReport> {
  const disk = options.disk ?? realDisk;
  await mustExist(options.path, disk);
  const area = new StagingArea(options.path, disk);
  const index = await openIndex(indexOptions(options));
  try {
    const trouble = index.trouble();
    if (trouble !== undefined) throw new Error(`nothing was collected: ${trouble}`);
    const objects = new DiskObjects({ root: options.path, disk, temporary: () => area.next() });
    const hosting = new AllHosting({ objects, openJournal: openJournals({ objects, checkpointEvery: 0 }).open });
    return await run({ options, objects, index, hosting, now: (options.clock ?? Date.now)() });
  } finally {
    await index.close();
    await area.close();
  }
}

async function run(run: Run): Promise<CollectReport> {
  const { options, now } = run;
  // Listed before marking: what is stored later is not in the list, and what it refers to is marked.
  const blobs = await listed(run.objects, blobsPrefix);
  const found = unreferenced(run, blobs, await mark(run));
  const old = found.filter((blob) => now - blob.modifiedAt >= options.graceMs);
  const trashed = options.dryRun ? [] : await trash(run, old);
  const deleted = options.dryRun ? [] : await purge(run);
  // Without a single blob it is more likely that a volume is missing than that all were evicted.
  const dangling = blobs.length === 0 ? new Map<string, KeyedEntry>() : await findDangling(run);
  const forgotten = options.dryRun ? 0 : await forget(run, dangling);
  if (!options.dryRun) await note(run, trashed, deleted);
  return {
    checked: blobs.length,
    unreferenced: old.map(({ hex, sizeBytes, modifiedAt }) => ({
      digest: `sha256:${hex}`,
      sizeBytes,
      ageMs: Math.round(now - modifiedAt),
    })),
    young: found.length - old.length,
    trashed: trashed.length,
    trashedBytes: sum(trashed),
    deleted: deleted.length,
    freedBytes: sum(deleted),
    dangling: dangling.size,
    forgotten,
  };
}

async function listed(objects: Objects, prefix: string): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for await (const { name, sizeBytes, modifiedAt } of objects.list(prefix)) {
    const hex = hexOfBlobName(name, prefix);
    if (hex) found.push({ hex, sizeBytes, modifiedAt });
  }
  return found;
}

function unreferenced({ options }: Run, blobs: readonly Candidate[], marked: ReadonlySet<string>): Candidate[] {
  return blobs.filter(({ hex }) => !marked.has(hex) && options.isProtected?.(`sha256:${hex}`) !== true);
}

async function mark({ index, objects, hosting }: Run): Promise<Set<string>> {
  const marked = new Set<string>();
  await hosting.ready().catch((cause) => {
    throw new Error(`nothing was collected: ${cause instanceof Error ? cause.message : cause}`, { cause });
  });
  for (const [, { digest }] of hosting.entries()) marked.add(hexOf(digest));
  const markEntry = ({ digest, digests }: StoredEntry): void => markStrings([digest, digests], marked);
  for await (const { found } of entryObjects(objects)) if (found) markEntry(found.entry);
  for await (const [, { entry }] of records.entries(index).entries()) markEntry(entry);
  for await (const [, value] of records.facts<unknown>(index, 'derived').entries()) markStrings(value, marked);
  return marked;
}

/** Every string in a JSON value that is a sha256 digest. */
function markStrings(value: unknown, marked: Set<string>): void {
  if (typeof value === 'string') {
    const hex = sha256Hex(parseDigest(value) ?? '');
    if (hex) marked.add(hex);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      markStrings(key, marked);
      markStrings(inner, marked);
    }
  }
}

/** Looks again at each right before it moves: somebody may have stored or referred to it meanwhile. */
async function trash(run: Run, candidates: readonly Candidate[]): Promise<Candidate[]> {
  const { objects, index, options, now } = run;
  if (candidates.length === 0) return [];
  const still = unreferenced(run, candidates, await mark(run));
  const trashed: Candidate[] = [];
  for (const [done, blob] of still.entries()) {
    options.onProgress?.(done, still.length);
    const facts = await objects.facts(blobName(blob.hex));
    if (!facts || now - facts.modifiedAt < options.graceMs) continue;
    // Its time in the trash begins now.
    await objects.freshen(blobName(blob.hex), now);
    if (!(await objects.move(blobName(blob.hex), trashName(blob.hex)))) continue;
    records.blobs(index).delete(blob.hex);
    trashed.push(blob);
  }
  options.onProgress?.(still.length, still.length);
  return trashed;
}

/** What lay in the trash for the grace period goes for good; what is referred to again goes back. */
async function purge(run: Run): Promise<Candidate[]> {
  const { objects, options, now } = run;
  const lying = await listed(objects, trashPrefix);
  if (lying.length === 0) return [];
  const gone = new Set(unreferenced(run, lying, await mark(run)));
  const deleted: Candidate[] = [];
  for (const blob of lying) {
    if (!gone.has(blob)) await objects.move(trashName(blob.hex), blobName(blob.hex));
    else if (now - blob.modifiedAt >= options.graceMs && (await objects.delete(trashName(blob.hex))))
      deleted.push(blob);
  }
  return deleted;
}

/** Old entries whose bytes are neither stored nor in the trash, by hash. */
async function findDangling(run: Run): Promise<Map<string, KeyedEntry>> {
  const found = new Map<string, KeyedEntry>();
  const look = async (hash: string, keyed: KeyedEntry): Promise<void> => {
    if (await isDangling(run, keyed)) found.set(hash, keyed);
  };
  const indexed = records.entries(run.index);
  for await (const [hash, keyed] of indexed.entries()) await look(hash, keyed);
  for await (const { hash, found: keyed } of entryObjects(run.objects)) {
    // The index knows the later uses.
    if (keyed && !(await indexed.get(hash))) await look(hash, keyed);
  }
  return found;
}

async function isDangling({ objects, options, now }: Run, { entry }: KeyedEntry): Promise<boolean> {
  const hex = entry.digest && sha256Hex(entry.digest);
  if (!hex || now - Math.max(entry.fetchedAt, entry.checkedAt) < options.graceMs) return false;
  return !(await objects.facts(blobName(hex))) && !(await objects.facts(trashName(hex)));
}

/** Looks again at each right before: it may have been fetched anew. */
async function forget(run: Run, dangling: ReadonlyMap<string, KeyedEntry>): Promise<number> {
  const indexed = records.entries(run.index);
  let forgotten = 0;
  for (const hash of dangling.keys()) {
    const bytes = await run.objects.read(entryName(hash));
    const kept = [bytes && decodeEntry(bytes), await indexed.get(hash)].filter((keyed) => keyed !== undefined);
    const still = await Promise.all(kept.map((keyed) => isDangling(run, keyed)));
    if (still.length === 0 || still.includes(false)) continue;
    await run.objects.delete(entryName(hash));
    indexed.delete(hash);
    forgotten++;
  }
  return forgotten;
}

/** For the server's metrics, which this process has no part in. */
async function note(
  { objects, now }: Run,
  trashed: readonly Candidate[],
  deleted: readonly Candidate[],
): Promise<void> {
  const collected: Collected = {
    at: now,
    trashed: trashed.length,
    trashedBytes: sum(trashed),
    deleted: deleted.length,
    freedBytes: sum(deleted),
  };
  await objects.replace(collectedName, JSON.stringify(collected));
}

function sum(blobs: readonly Candidate[]): number {
  return blobs.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);
}

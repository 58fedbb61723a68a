/**
 * Looks at everything in a store and puts right what is wrong, as a list of steps. Harmless beside a running server:
 * blobs never change, what a living process is writing is left alone, and what is removed is looked at twice.
 */
import { createHash } from 'node:crypto';
import { hexOf } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Entry } from '../core/hosting.ts';
import { codeOf, type Disk, disk as realDisk } from './disk.ts';
import { DiskObjects } from './disk-objects.ts';
import { entryObjects, hashOfKey, type KeyedEntry } from './entries.ts';
import { AllHosting, isOrganisation, journalsOf } from './hosting-all.ts';
import { type Index, indexExists, openIndex } from './index.ts';
import { openJournals } from './journal.ts';
import { removeCheckpoints } from './journal-checkpoints.ts';
import {
  blobName,
  blobsPrefix,
  entryName,
  hexOfBlobName,
  journalPrefix,
  quarantinePrefix,
  sha256Hex,
  trashName,
} from './layout.ts';
import { refuseLater } from './layout-version.ts';
import type { ListedObject, Objects } from './objects.ts';
import { StagingArea } from './staging-area.ts';
import { indexOptions, records, type StoreOptions } from './store.ts';

export interface VerifyReport {
  /** Blobs, and their bytes. */
  readonly checked: number;
  readonly bytes: number;
  /** Moved to quarantine, each, but for what is published: that is told and left alone. `digest` is empty for what is no blob. */
  readonly damaged: readonly Damage[];
  /** What is published. */
  readonly hosted: Hosted;
  /** Entries whose bytes are gone; removed. That is what eviction leaves behind, and no damage. */
  readonly danglingEntries: number;
  readonly sweptStaging: number;
  readonly indexRebuilt: boolean;
  /** Nothing was damaged. */
  readonly clean: boolean;
  readonly steps: readonly { readonly name: string; readonly durationMs: number }[];
}

export interface Damage {
  readonly digest: string;
  readonly path: string;
  readonly reason: string;
  /** It is the only copy there is: nobody can be asked for it again. */
  readonly published?: true;
}

export interface Hosted {
  /** Of repositories, and of organisations' own affairs. */
  readonly journals: number;
  readonly changes: number;
  readonly packages: number;
  readonly files: number;
  /** Whether the checkpoints were dropped, all journals read from their first object, and new checkpoints written. */
  readonly rebuilt: boolean;
}

export interface VerifyOptions extends StoreOptions {
  /** Makes the index anew even if nothing is wrong with it, and the checkpoints of all journals. */
  readonly rebuild?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Names and order of what is done. */
const steps: readonly (readonly [name: string, run: (check: Check) => Promise<void>])[] = [
  ['sweep staging', sweepStaging],
  ['check index', checkIndex],
  ['check blobs', checkBlobs],
  ['check published files', checkHosted],
  ['check entries', checkEntries],
  ['check indexed entries', checkIndexedEntries],
  ['bring index up to date', updateIndex],
];

const hashesAtOnce = 4;
const readBytes = 1024 * 1024;

/** What the steps share. */
interface Check {
  readonly options: VerifyOptions;
  readonly disk: Disk;
  readonly objects: Objects;
  readonly area: StagingArea;
  readonly index: Index;
  /** Good blobs by hexadecimal digest. */
  readonly blobs: Map<string, ListedObject>;
  /** Good entries by hash. */
  readonly entries: Map<string, KeyedEntry>;
  readonly damaged: Damage[];
  readonly dangling: Set<string>;
  checked: number;
  bytes: number;
  sweptStaging: number;
  hosted: Hosted;
  rebuild: boolean;
}

/** Rejects where there is no store. */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  const disk = options.disk ?? realDisk;
  await mustExist(options.path, disk);
  const hadIndex = await indexExists(indexOptions(options));
  const area = new StagingArea(options.path, disk);
  const index = await openIndex(indexOptions(options));
  try {
    const check: Check = {
      options,
      disk,
      area,
      index,
      objects: new DiskObjects({ root: options.path, disk, temporary: () => area.next() }),
      blobs: new Map(),
      entries: new Map(),
      damaged: [],
      dangling: new Set(),
      checked: 0,
      bytes: 0,
      sweptStaging: 0,
      hosted: { journals: 0, changes: 0, packages: 0, files: 0, rebuilt: false },
      rebuild: options.rebuild === true || !hadIndex,
    };
    const timed = [];
    for (const [name, run] of steps) {
      const from = performance.now();
      await run(check);
      timed.push({ name, durationMs: performance.now() - from });
    }
    return {
      checked: check.checked,
      bytes: check.bytes,
      damaged: check.damaged,
      danglingEntries: check.dangling.size,
      sweptStaging: check.sweptStaging,
      hosted: check.hosted,
      indexRebuilt: check.rebuild,
      clean: check.damaged.length === 0,
      steps: timed,
    };
  } finally {
    await index.close();
    await area.close();
  }
}

/** Rejects unless there is a folder that can hold a store: a mistyped path is not an empty, clean store. */
export async function mustExist(path: string, disk: Disk): Promise<void> {
  try {
    await disk.readdir(path);
  } catch (error) {
    throw new Error(`there is no store at ${path} (${codeOf(error) ?? String(error)})`, { cause: error });
  }
  // What it wrote looks damaged to us, or as if nothing referred to it.
  const readOnly = new DiskObjects({ root: path, disk, temporary: async () => path });
  await refuseLater(readOnly, path);
}

async function sweepStaging(check: Check): Promise<void> {
  check.sweptStaging = await check.area.sweep();
}

async function checkIndex(check: Check): Promise<void> {
  const wrong = check.index.check();
  if (wrong === undefined) return;
  check.damaged.push({ digest: '', path: 'index/index.sqlite', reason: wrong });
  check.rebuild = true;
  await check.index.beginAnew();
}

async function checkBlobs(check: Check): Promise<void> {
  const listed: ListedObject[] = [];
  for await (const object of check.objects.list(blobsPrefix)) listed.push(object);
  const left = listed.values();
  let done = 0;
  const work = async (): Promise<void> => {
    for (const object of left) {
      await checkBlob(check, object);
      done += 1;
      check.options.onProgress?.(done, listed.length);
    }
  };
  await Promise.all(Array.from({ length: hashesAtOnce }, work));
}

async function checkBlob(check: Check, object: ListedObject): Promise<void> {
  const hex = hexOfBlobName(object.name);
  if (!hex) return quarantine(check, object.name, '', 'no blob belongs here');
  try {
    const found = await hashTwiceIfNeeded(check.objects, object.name);
    // Evicted or collected since it was listed.
    if (!found) return;
    check.checked += 1;
    check.bytes += found.sizeBytes;
    if (found.hex === hex) check.blobs.set(hex, { ...object, sizeBytes: found.sizeBytes });
    else await quarantine(check, object.name, `sha256:${hex}`, `its bytes are sha256:${found.hex}`);
  } catch (error) {
    if (codeOf(error) !== 'EIO') throw error;
    await quarantine(check, object.name, `sha256:${hex}`, 'it cannot be read (EIO)');
  }
}

/** One failed read may be an accident; the second is damage. */
async function hashTwiceIfNeeded(objects: Objects, name: string): ReturnType<typeof hashObject> {
  try {
    return await hashObject(objects, name);
  } catch (error) {
    if (codeOf(error) !== 'EIO') throw error;
    return hashObject(objects, name);
  }
}

async function hashObject(
  objects: Objects,
  name: string,
): Promise<{ readonly hex: string; readonly sizeBytes: number } | undefined> {
  const object = await objects.open(name);
  if (!object) return undefined;
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(Math.min(readBytes, Math.max(1, object.sizeBytes)));
    let position = 0;
    for (;;) {
      const bytes = await object.readInto(buffer, position);
      if (bytes === 0) return { hex: hash.digest('hex'), sizeBytes: position };
      hash.update(buffer.subarray(0, bytes));
      position += bytes;
    }
  } finally {
    await object.close();
  }
}

async function quarantine(check: Check, name: string, digest: string, reason: string): Promise<void> {
  const last = name.slice(name.lastIndexOf('/') + 1);
  check.damaged.push({ digest, path: name, reason });
  publish('store.damaged', { digest: digest || name, reason });
  await check.objects.move(name, `${quarantinePrefix}/${last}.${Date.now()}`);
}

/** Every object of every journal is read, however many checkpoints there are: a backup is only as good as its first object. */
async function checkHosted(check: Check): Promise<void> {
  const { objects, options } = check;
  const rebuilt = options.rebuild === true;
  const names = await journalsOf(objects);
  if (rebuilt) for (const name of names) await removeCheckpoints(objects, name);
  // With one for every object a checkpoint is due as soon as all are read.
  const journals = openJournals({ objects, fromCheckpoints: false, checkpointEvery: rebuilt ? 1 : 0 });
  let changes = 0;
  const countChanges: typeof journals.open = (journal) =>
    journals.open({
      ...journal,
      apply(written) {
        changes += 1;
        journal.apply(written);
      },
    });
  const hosting = new AllHosting({ objects, openJournal: countChanges });
  await hosting.open();
  for (const name of names.filter(isOrganisation)) {
    await countChanges({ name, apply() {} }).catch((error) => damagedJournal(check, name, error));
  }
  for (const [name, error] of hosting.unreadable) damagedJournal(check, name, error);
  for (const [repository, entry] of hosting.entries()) await checkHostedFile(check, repository, entry);
  await journals.settled();
  let packages = 0;
  let files = 0;
  for (const one of hosting.loaded.values()) {
    const usage = one.usage();
    packages += usage.packages;
    files += usage.files;
  }
  check.hosted = { journals: names.length, changes, packages, files, rebuilt };
}

function damagedJournal(check: Check, name: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  check.damaged.push({ digest: '', path: `${journalPrefix}/${name}`, reason, published: true });
}

async function checkHostedFile(check: Check, repository: string, { path, digest, size }: Entry): Promise<void> {
  const hex = hexOf(digest);
  const blob = check.blobs.get(hex) ?? (await ofTrash(check, hex)) ?? (await check.objects.facts(blobName(hex)));
  if (blob?.sizeBytes === size) return;
  const where = `${repository}: ${path}`;
  const reason = blob
    ? `${where} is published with ${size} bytes, and ${blob.sizeBytes} are there`
    : `${where} is published, and its bytes are missing; put ${blobName(hex)} back from a backup, or publish them again`;
  check.damaged.push({ digest, path: where, reason, published: true });
}

/** A collector that died, or did not know, took it out: it goes back where it belongs. */
async function ofTrash(check: Check, hex: string): Promise<ListedObject | undefined> {
  const name = blobName(hex);
  if (!(await check.objects.move(trashName(hex), name))) return undefined;
  const facts = await check.objects.facts(name);
  if (!facts) return undefined;
  await checkBlob(check, { name, ...facts });
  return check.blobs.get(hex);
}

async function checkEntries(check: Check): Promise<void> {
  for await (const { hash, name, found } of entryObjects(check.objects)) {
    if (!found) await quarantine(check, name, '', 'its checksum does not match');
    else if (hashOfKey(found.key) !== hash) await quarantine(check, name, '', 'its key belongs elsewhere');
    else if (await dangles(check, found)) await removeEntry(check, hash);
    else check.entries.set(hash, found);
  }
}

async function checkIndexedEntries(check: Check): Promise<void> {
  if (check.rebuild) return;
  for await (const [hash, found] of records.entries(check.index).entries()) {
    if (await dangles(check, found)) await removeEntry(check, hash);
  }
}

/** Its blob is missing, or of another length than the entry says. */
async function dangles(check: Check, { entry }: KeyedEntry): Promise<boolean> {
  const hex = entry.digest && sha256Hex(entry.digest);
  if (!hex) return false;
  // Not among those that were checked: it may have arrived since.
  const blob = check.blobs.get(hex) ?? (await check.objects.facts(blobName(hex)));
  return !blob || (entry.size !== undefined && entry.size !== blob.sizeBytes);
}

async function removeEntry(check: Check, hash: string): Promise<void> {
  check.dangling.add(hash);
  await check.objects.delete(entryName(hash));
  records.entries(check.index).delete(hash);
}

async function updateIndex(check: Check): Promise<void> {
  const blobs = records.blobs(check.index);
  const before = new Map<string, readonly [number, number]>();
  for await (const [hex, saved] of blobs.entries()) before.set(hex, saved);
  if (check.rebuild) {
    await blobs.clear();
    await records.entries(check.index).clear();
    for (const [hash, keyed] of check.entries) records.entries(check.index).set(hash, keyed);
  }
  for (const [hex, { sizeBytes, modifiedAt }] of check.blobs) {
    const [savedBytes, usedAt] = before.get(hex) ?? [undefined, Math.round(modifiedAt)];
    if (check.rebuild || savedBytes !== sizeBytes) blobs.set(hex, [sizeBytes, usedAt]);
  }
  for (const hex of before.keys()) {
    if (!check.blobs.has(hex) && !(await check.objects.facts(blobName(hex)))) blobs.delete(hex);
  }
  await check.index.flush();
}

/** Writes what was chosen of a store, and what of it the other side lacks, as a bundle. */
import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { zstdCompressSync } from 'node:zlib';
import { hexOf } from '../core/digest.ts';
import type { OpenObject } from '../store/objects.ts';
import type { Choice } from './choice.ts';
import {
  type BundleHeader,
  bundleFormat,
  type EntryRecord,
  formatVersion,
  names,
  parseRecord,
  placeOf,
  printOf,
} from './format.ts';
import { type InventoryLine, inventoryEntry, type Known } from './inventory.ts';
import type { SecretKey } from './keys.ts';
import { type LineWriter, linesOf, lineWriter, readFileBytes } from './lines.ts';
import { openOutput } from './parts.ts';
import { type NamedUpstream, namesByIdentity, recordsOf, withFacts } from './records.ts';
import type { StoreView } from './store-view.ts';
import { blobName, openWriter, type Writer } from './writer.ts';

export interface PlanOptions {
  readonly view: StoreView;
  readonly upstreams: readonly NamedUpstream[];
  readonly choice: Choice;
  /** Repositories whose published packages come along. */
  readonly hosted: readonly string[];
  /** What the other side has. */
  readonly known: Known;
  /** Path for a file of records; removed by `discard`. */
  readonly spool: string;
}

/** Something that was chosen and is not in the bundle. */
export interface Left {
  readonly what: string;
  readonly why: string;
}

export interface Plan {
  readonly records: number;
  /** Bytes of the records, and of the blobs. */
  readonly recordBytes: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly left: readonly Left[];
  readonly sizes: ReadonlyMap<string, number>;
  readonly spool: FileHandle;
  discard(): Promise<void>;
}

export interface ExportOptions {
  readonly view: StoreView;
  readonly plan: Plan;
  readonly known: Known;
  readonly id: string;
  readonly path: string;
  readonly partBytes?: number;
  /** Absent: the bundle is not signed. */
  readonly secret?: SecretKey;
  readonly tool: BundleHeader['tool'];
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

export interface Exported {
  readonly id: string;
  readonly files: readonly string[];
  readonly blobs: number;
  readonly bytes: number;
  /** Besides those of the plan. */
  readonly left: readonly Left[];
  /** Digests of blobs that could not be read after all, in hexadecimal digits. */
  readonly withdrawn: ReadonlySet<string>;
}

/** Blobs up to this size are read as a whole, and several at a time. */
const wholeBytes = 1024 * 1024;
const readsAhead = 8;
const pieceBytes = 1024 * 1024;
/** How often everything is listed again because something changed meanwhile. */
const mostPasses = 5;
/** What a server put a moment ago may not be in its index yet. */
const indexLagMs = 200;

const evicted = 'its bytes are not stored any more';

/**
 * Lists what is to be written. While a server runs, an index and the signature beside it may change between one look and the
 * other, so it is looked at until nothing changed.
 */
export async function planExport(options: PlanOptions): Promise<Plan> {
  const spool = await open(options.spool, 'w+');
  const discard = async (): Promise<void> => {
    await spool.close().catch(() => {});
    await rm(options.spool, { force: true });
  };
  try {
    for (let pass = 1; ; pass += 1) {
      await spool.truncate(0);
      const { stamp, ...plan } = await list(options, spool);
      await delay(indexLagMs);
      if (pass === mostPasses || stamp === (await stampOf(options))) return { ...plan, spool, discard };
    }
  } catch (error) {
    await discard();
    throw error;
  }
}

async function list(
  { view, upstreams, choice, hosted, known }: PlanOptions,
  spool: FileHandle,
): Promise<Omit<Plan, 'spool' | 'discard'> & { readonly stamp: string }> {
  const identities = new Map(upstreams.map(({ name, identity }) => [name, identity]));
  const sizes = new Map<string, number>();
  const left: Left[] = [];
  const writer = positioned(spool);
  const stamp = new Stamp();
  let records = 0;
  for await (const record of chosen({ view, upstreams, choice })) {
    stamp.add(record);
    if (known.hasRecord(record)) continue;
    if (!(await takeBlob(view, known, record, sizes))) {
      left.push({ what: `${record.upstream} ${record.path}`, why: evicted });
      continue;
    }
    await writer.write(JSON.stringify(await withFacts(record, identities.get(record.upstream) ?? '', view)));
    records += 1;
  }
  for (const what of choice.missed()) left.push({ what, why: 'nothing is stored for it' });
  for (const repository of hosted) {
    for await (const { number, text } of view.journal(repository, known.journal(repository))) {
      await writer.write(JSON.stringify({ is: 'journal', repository, number, text }));
      records += 1;
    }
    for (const { digest, size, path } of await view.published(repository)) {
      const hex = hexOf(digest);
      if (known.hasBlob(hex) || sizes.has(hex)) continue;
      if ((await view.sizeOf(hex)) === size) sizes.set(hex, size);
      else
        left.push({ what: `${repository} ${path}`, why: 'it is published, and its bytes are missing: larder verify' });
    }
  }
  await writer.flush();
  const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  return { records, recordBytes: writer.size, blobs: sizes.size, bytes, left, sizes, stamp: stamp.text };
}

/** False: its bytes are neither here nor there. */
async function takeBlob(
  view: StoreView,
  known: Known,
  { entry }: EntryRecord,
  sizes: Map<string, number>,
): Promise<boolean> {
  if (entry.digest === undefined) return true;
  const hex = hexOf(entry.digest);
  if (known.hasBlob(hex) || sizes.has(hex)) return true;
  const size = await view.sizeOf(hex);
  if (size === undefined || (entry.size !== undefined && entry.size !== size)) return false;
  sizes.set(hex, size);
  return true;
}

async function* chosen({
  view,
  upstreams,
  choice,
}: Pick<PlanOptions, 'view' | 'upstreams' | 'choice'>): AsyncGenerator<EntryRecord> {
  const byIdentity = namesByIdentity(upstreams);
  for await (const keyed of view.entries.list()) {
    for (const record of recordsOf(keyed, byIdentity)) if (choice.takes(record)) yield record;
  }
}

async function stampOf(options: PlanOptions): Promise<string> {
  const stamp = new Stamp();
  for await (const record of chosen(options)) stamp.add(record);
  return stamp.text;
}

/** Of all records, in whichever order they come. */
class Stamp {
  #high = 0;
  #low = 0;
  #count = 0;

  add(record: EntryRecord): void {
    const digest = createHash('sha256')
      .update(`${placeOf(record)}\n${printOf(record.entry)}`)
      .digest();
    this.#high ^= digest.readInt32LE(0);
    this.#low ^= digest.readInt32LE(4);
    this.#count += 1;
  }

  get text(): string {
    return `${this.#count} ${this.#high} ${this.#low}`;
  }
}

/** A file that was cut off is written from its beginning again. */
function positioned(file: FileHandle): LineWriter {
  let position = 0;
  return lineWriter({
    async write(bytes: Uint8Array, from: number) {
      const { bytesWritten } = await file.write(bytes, from, bytes.length - from, position);
      position += bytesWritten;
      return { bytesWritten };
    },
  });
}

export interface Estimate {
  /** Of the bundle. */
  readonly sizeBytes: number;
  readonly durationMs: number;
}

const sampleBlobs = 32;
const sampleBytes = 256 * 1024;

/** Reads, hashes and packs a little of it. */
export async function estimate({ sizes, bytes, recordBytes }: Plan, view: StoreView): Promise<Estimate> {
  const all = [...sizes.keys()];
  const every = Math.max(1, Math.floor(all.length / sampleBlobs));
  let taken = 0;
  let packed = 0;
  const from = performance.now();
  for (const hex of all.filter((_, place) => place % every === 0).slice(0, sampleBlobs)) {
    const piece = await beginningOf(hex, view);
    createHash('sha256').update(piece).digest();
    packed += zstdCompressSync(piece).length;
    taken += piece.length;
  }
  const ratio = taken === 0 ? 1 : packed / taken;
  const msPerByte = taken === 0 ? 0 : (performance.now() - from) / taken;
  // Records are JSON and shrink well.
  return { sizeBytes: Math.round(bytes * ratio + recordBytes / 8), durationMs: Math.round(bytes * msPerByte) };
}

async function beginningOf(hex: string, view: StoreView): Promise<Buffer> {
  const object = await view.open(hex);
  if (!object) return Buffer.alloc(0);
  try {
    const piece = Buffer.alloc(Math.min(object.sizeBytes, sampleBytes));
    return piece.subarray(0, await object.readInto(piece, 0));
  } finally {
    await object.close();
  }
}

/** Nothing of it has its final name before it is whole. */
export async function writeExport(options: ExportOptions): Promise<Exported> {
  const { plan, known, id, secret } = options;
  const header: BundleHeader = {
    format: bundleFormat,
    version: formatVersion,
    id,
    createdAt: new Date().toISOString(),
    tool: options.tool,
    deltaOf: known.from,
    ...(secret ? { key: secret.public.id } : {}),
    planned: { records: plan.records, blobs: plan.blobs, bytes: plan.bytes },
  };
  const writer = await openWriter(openOutput(options.path, id, options.partBytes), header);
  try {
    await writer.stream(names.records, plan.recordBytes, readFileBytes(plan.spool));
    const blobs = await writeBlobs(options, writer);
    return { id, files: await writer.finish(secret), ...blobs };
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** A blob that is on its way into the bundle: as a whole, or open. */
type Fetched = { readonly bytes: Buffer } | { readonly object: OpenObject } | { readonly why: string };

async function writeBlobs(
  { plan, view, onProgress }: ExportOptions,
  writer: Writer,
): Promise<Omit<Exported, 'id' | 'files'>> {
  const left: Left[] = [];
  const withdrawn: string[] = [];
  let blobs = 0;
  let bytes = 0;
  let passed = 0;
  for await (const { hex, size, fetched } of ahead(plan.sizes, view)) {
    const why = 'why' in fetched ? fetched.why : await writeBlob(writer, hex, size, fetched);
    passed += size;
    onProgress?.(passed, plan.bytes);
    if (why === undefined) {
      blobs += 1;
      bytes += size;
      continue;
    }
    left.push({ what: `sha256:${hex}`, why });
    withdrawn.push(hex);
  }
  if (withdrawn.length > 0) await writer.add(names.withdrawn, Buffer.from(JSON.stringify(withdrawn)));
  return { blobs, bytes, left, withdrawn: new Set(withdrawn) };
}

/** In order; the next few small ones are read meanwhile. */
async function* ahead(
  sizes: ReadonlyMap<string, number>,
  view: StoreView,
): AsyncGenerator<{ readonly hex: string; readonly size: number; readonly fetched: Fetched }> {
  const waiting: { readonly hex: string; readonly size: number; readonly fetched: Promise<Fetched> }[] = [];
  async function* first(): AsyncGenerator<{ readonly hex: string; readonly size: number; readonly fetched: Fetched }> {
    const next = waiting.shift();
    if (next) yield { ...next, fetched: await next.fetched };
  }
  for (const [hex, size] of sizes) {
    waiting.push({ hex, size, fetched: fetchBlob(hex, size, view) });
    if (waiting.length >= readsAhead) yield* first();
  }
  while (waiting.length > 0) yield* first();
}

async function fetchBlob(hex: string, size: number, view: StoreView): Promise<Fetched> {
  try {
    const object = await view.open(hex);
    if (!object) return { why: evicted };
    if (size > wholeBytes) return { object };
    const bytes = Buffer.allocUnsafe(size);
    const read = await object.readInto(bytes, 0).finally(() => object.close());
    const isWhole = read === size && createHash('sha256').update(bytes).digest('hex') === hex;
    return isWhole ? { bytes } : { why: damagedBlob };
  } catch (error) {
    return { why: `it can't be read (${(error as { code?: string }).code ?? error})` };
  }
}

/** While the writer has the one, the other one is filled. */
const buffers = [Buffer.alloc(pieceBytes), Buffer.alloc(pieceBytes)] as const;

const damagedBlob = 'its bytes are damaged: larder verify';

/** Returns why it is of no use; then its place in the bundle is filled all the same. */
async function writeBlob(
  writer: Writer,
  hex: string,
  size: number,
  fetched: { readonly bytes: Buffer } | { readonly object: OpenObject },
): Promise<string | undefined> {
  if ('bytes' in fetched) {
    await writer.add(blobName(hex), fetched.bytes, hex);
    return undefined;
  }
  const { object } = fetched;
  let why: string | undefined;
  let turn = 0;
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let position = 0; position < size; ) {
      turn += 1;
      const piece = buffers[turn % 2 === 0 ? 0 : 1].subarray(0, size - position);
      const read = why === undefined ? await object.readInto(piece, position).catch(() => 0) : 0;
      if (read < piece.length) {
        why = damagedBlob;
        piece.fill(0, read);
      }
      position += piece.length;
      yield piece;
    }
  }
  try {
    const found = await writer.stream(blobName(hex), size, pieces());
    return found === hex ? undefined : damagedBlob;
  } finally {
    await object.close();
  }
}

/** What the other side will have once it took this bundle in: for the next `--since`. `before`: what it had. */
export async function* afterwards({
  plan,
  before,
  withdrawn,
}: {
  readonly plan: Plan;
  readonly before: AsyncIterable<InventoryLine>;
  readonly withdrawn: ReadonlySet<string>;
}): AsyncGenerator<InventoryLine> {
  yield* before;
  for await (const line of linesOf(readFileBytes(plan.spool))) {
    const record = parseRecord(line);
    if (record.is === 'journal') yield { is: 'journal', repository: record.repository, number: record.number };
    else if (!withdrawn.has(hexOf(record.entry.digest ?? 'sha256:'))) yield inventoryEntry(record);
  }
  for (const [hex, size] of plan.sizes) if (!withdrawn.has(hex)) yield { is: 'blob', digest: `sha256:${hex}`, size };
}

export function newId(): string {
  return randomUUID();
}

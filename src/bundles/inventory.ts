/** What a server has, as a file that is brought to the other side; and what the other side has, as an export sees it. */
import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress, createZstdDecompress } from 'node:zlib';
import type { Digest } from '../core/digest.ts';
import { hexOf } from '../core/digest.ts';
import {
  BundleError,
  type EntryRecord,
  formatVersion,
  inventoryFormat,
  otherVersion,
  parsed,
  placeOf,
  printOf,
} from './format.ts';
import { linesOf, readFileBytes } from './lines.ts';
import { type NamedUpstream, namesByIdentity, recordsOf } from './records.ts';
import type { StoreView } from './store-view.ts';

export interface InventoryHeader {
  readonly format: typeof inventoryFormat;
  readonly version: number;
  /** Random. */
  readonly id: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly tool: { readonly name: string; readonly version: string };
}

/** An entry without what only its server needs. */
export interface InventoryEntry {
  readonly is: 'entry';
  readonly upstream: string;
  readonly format: string;
  readonly document?: string;
  readonly path: string;
  readonly representation?: string;
  readonly status: number;
  readonly digest?: Digest;
  readonly size?: number;
  readonly print: string;
}

/** How far a repository's journal goes. */
export interface InventoryJournal {
  readonly is: 'journal';
  readonly repository: string;
  readonly number: number;
}

/** A blob that nothing in the inventory names: one of a published file. */
export interface InventoryBlob {
  readonly is: 'blob';
  readonly digest: Digest;
  readonly size: number;
}

export type InventoryLine = InventoryEntry | InventoryJournal | InventoryBlob;

export function inventoryEntry({
  is,
  upstream,
  format,
  document,
  path,
  representation,
  entry,
}: EntryRecord): InventoryEntry {
  return {
    is,
    upstream,
    format,
    ...(document === undefined ? {} : { document }),
    path,
    ...(representation === undefined ? {} : { representation }),
    status: entry.status,
    ...(entry.digest === undefined ? {} : { digest: entry.digest }),
    ...(entry.size === undefined ? {} : { size: entry.size }),
    print: printOf(entry),
  };
}

export interface InventoryOptions {
  readonly view: StoreView;
  readonly upstreams: readonly NamedUpstream[];
  /** Repositories that packages are published in. */
  readonly hosted: readonly string[];
}

/** All that a store has of the upstreams and repositories that are named, as far as its bytes are there. */
export async function* inventoryOf({ view, upstreams, hosted }: InventoryOptions): AsyncGenerator<InventoryLine> {
  const names = namesByIdentity(upstreams);
  for await (const keyed of view.entries.list()) {
    const { digest } = keyed.entry;
    if (digest !== undefined && (await view.sizeOf(hexOf(digest))) === undefined) continue;
    for (const record of recordsOf(keyed, names)) yield inventoryEntry(record);
  }
  for (const repository of hosted) {
    let last = 0;
    for await (const { number } of view.journal(repository, 0)) last = number;
    if (last === 0) continue;
    yield { is: 'journal', repository, number: last };
    for (const { digest } of await view.published(repository)) {
      const size = await view.sizeOf(hexOf(digest));
      if (size !== undefined) yield { is: 'blob', digest, size };
    }
  }
}

/** Replaces what is there when it is whole. Resolves to the number of lines. */
export async function writeInventory(
  path: string,
  lines: AsyncIterable<InventoryLine> | Iterable<InventoryLine>,
  tool: InventoryHeader['tool'],
  id: string = randomUUID(),
): Promise<number> {
  const unfinished = `${path}.unfinished`;
  const file = await open(unfinished, 'w');
  const header: InventoryHeader = {
    format: inventoryFormat,
    version: formatVersion,
    id,
    createdAt: new Date().toISOString(),
    tool,
  };
  let count = 0;
  async function* text(): AsyncGenerator<Buffer> {
    let waiting = `${JSON.stringify(header)}\n`;
    for await (const line of lines) {
      count += 1;
      waiting += `${JSON.stringify(line)}\n`;
      if (waiting.length < 64 * 1024) continue;
      yield Buffer.from(waiting);
      waiting = '';
    }
    yield Buffer.from(waiting);
  }
  try {
    await pipeline(text, createZstdCompress(), file.createWriteStream());
    await rename(unfinished, path);
    return count;
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** Rejects with a `BundleError` on what is no inventory; `header` is told before the first line. */
export async function* readInventory(
  path: string,
  header: (header: InventoryHeader) => void,
): AsyncGenerator<InventoryLine> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (error) {
    throw new BundleError('file', `${path} can't be read (${(error as { code?: string }).code})`, { cause: error });
  }
  try {
    const opened = file;
    const unpacked = createZstdDecompress();
    const fed = pipeline(() => readFileBytes(opened), unpacked);
    fed.catch(() => {});
    let begun = false;
    for await (const line of linesOf(unpacked)) {
      const value = parsed(line) as InventoryLine | InventoryHeader | undefined;
      if (begun) {
        if (!value || !('is' in value)) throw new Error('a line is none');
        yield value;
        continue;
      }
      begun = true;
      const first = value as InventoryHeader | undefined;
      if (first?.format !== inventoryFormat) throw new BundleError('unknown', `${path} is no inventory of Larder`);
      if (first.version !== formatVersion) {
        throw new BundleError('version', otherVersion('inventory', first.version, first.tool?.version));
      }
      header(first);
    }
    if (!begun) throw new BundleError('unknown', `${path} is no inventory of Larder`);
  } catch (error) {
    if (error instanceof BundleError) throw error;
    throw new BundleError('damaged', `${path} is damaged, or no inventory: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    await file.close().catch(() => {});
  }
}

/** What the other side has. Some forty bytes for each entry and each blob. */
export class Known {
  readonly #prints = new Map<string, string>();
  readonly #blobs = new Set<string>();
  readonly #journals = new Map<string, number>();
  /** Of the files it was learnt from. */
  readonly from: string[] = [];

  get isEmpty(): boolean {
    return this.from.length === 0;
  }

  add(line: InventoryLine): void {
    switch (line.is) {
      case 'entry':
        this.#prints.set(shortened(placeOf(line)), line.print);
        if (line.digest !== undefined) this.#blobs.add(hexOf(line.digest));
        break;
      case 'blob':
        this.#blobs.add(hexOf(line.digest));
        break;
      case 'journal':
        this.#journals.set(line.repository, Math.max(line.number, this.#journals.get(line.repository) ?? 0));
        break;
    }
  }

  hasBlob(hex: string): boolean {
    return this.#blobs.has(hex);
  }

  hasRecord(record: EntryRecord): boolean {
    return this.#prints.get(shortened(placeOf(record))) === printOf(record.entry);
  }

  /** The last object of a journal that it has. */
  journal(repository: string): number {
    return this.#journals.get(repository) ?? 0;
  }
}

function shortened(place: string): string {
  return createHash('sha256').update(place).digest('base64').slice(0, 22);
}

/** What a path of a source points to: in memory, in the index, and for what has bytes also in a small object that outlives the index. */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../core/digest.ts';
import { handfuls } from './disk-objects.ts';
import type { Health } from './health.ts';
import type { Records } from './index.ts';
import { entriesPrefix, entryName, hashOf, hashOfEntryName } from './layout.ts';
import type { Objects } from './objects.ts';
import { Turns } from './turns.ts';

export interface EntryKey {
  readonly source: string;
  readonly path: string;
  readonly representation?: string;
}

export interface StoredEntry {
  readonly status: 200 | 404 | 410;
  /** Final upstream URL. */
  readonly url: string;
  /** sha256 of the stored bytes. */
  readonly digest?: Digest;
  readonly size?: number;
  readonly contentType?: string;
  /** All that were computed. */
  readonly digests?: readonly Digest[];
  readonly verified?: 'digest' | 'length';
  /** Upstream's validators. */
  readonly etag?: string;
  readonly lastModified?: string;
  /** The few upstream headers that are kept. */
  readonly headers?: Readonly<Record<string, string>>;
  /** When these bytes arrived, in ms. */
  readonly fetchedAt: number;
  /** When upstream last confirmed them, in ms. */
  readonly checkedAt: number;
  /** Upstream says 404 or 410, but the bytes are kept. */
  readonly gone?: { readonly count: number; readonly firstAt: number; readonly lastAt: number };
  readonly name?: string;
  readonly version?: string;
  readonly publishedAt?: string;
}

export interface Entries {
  get(key: EntryKey): Promise<StoredEntry | undefined>;
  put(key: EntryKey, entry: StoredEntry): Promise<void>;
  /** Index only, for what may be forgotten: recency, `checkedAt`, `gone`. */
  touch(key: EntryKey, entry: StoredEntry): void;
  delete(key: EntryKey): Promise<void>;
  list(): AsyncIterable<KeyedEntry>;
}

export interface KeyedEntry {
  readonly key: EntryKey;
  readonly entry: StoredEntry;
}

export interface StoredEntriesParts {
  readonly objects: Objects;
  readonly records: Records<KeyedEntry>;
  readonly health: Health;
}

/** Entry objects read at a time while going through all of them. */
const readsAtOnce = 16;
const mostInMemory = 4_000;
/** Then the index is asked again: another process may have written. */
const memoryMs = 1_000;
/** "Not here" is worth remembering while an upstream is away, but not for ever. */
const negativeMs = 30 * 24 * 3_600_000;

export class StoredEntries implements Entries {
  readonly #parts: StoredEntriesParts;
  readonly #turns = new Turns();
  readonly #memory = new LRUCache<string, StoredEntry>({ max: mostInMemory, ttl: memoryMs, ttlResolution: 100 });

  constructor(parts: StoredEntriesParts) {
    this.#parts = parts;
  }

  async get(key: EntryKey): Promise<StoredEntry | undefined> {
    const text = textOf(key);
    const remembered = this.#memory.get(text);
    if (remembered) return remembered;
    const hash = hashOf(text);
    const found =
      (await this.#parts.records.get(hash)) ?? (await this.#turns.take(hash, () => this.#readThrough(hash)));
    // Whatever was put meanwhile is newer than what was read.
    const newer = this.#memory.get(text);
    if (newer) return newer;
    if (found) this.#memory.set(text, found.entry);
    return found?.entry;
  }

  put(key: EntryKey, entry: StoredEntry): Promise<void> {
    const text = textOf(key);
    const hash = hashOf(text);
    return this.#turns.take(hash, async () => {
      if (entry.status === 200) await this.#write(hash, { key, entry });
      else await this.#parts.objects.delete(entryName(hash));
      this.#remember(text, hash, { key, entry });
    });
  }

  touch(key: EntryKey, entry: StoredEntry): void {
    const text = textOf(key);
    this.#remember(text, hashOf(text), { key, entry });
  }

  delete(key: EntryKey): Promise<void> {
    const text = textOf(key);
    const hash = hashOf(text);
    return this.#turns.take(hash, async () => {
      await this.#parts.objects.delete(entryName(hash));
      this.#memory.delete(text);
      this.#parts.records.delete(hash);
    });
  }

  async *list(): AsyncIterable<KeyedEntry> {
    const told = new Set<string>();
    for await (const [hash, found] of this.#parts.records.entries()) {
      told.add(hash);
      yield found;
    }
    for await (const { hash, found } of entryObjects(this.#parts.objects, (hash) => told.has(hash))) {
      if (found && hash === hashOf(textOf(found.key))) yield found;
    }
  }

  async #readThrough(hash: string): Promise<KeyedEntry | undefined> {
    const { objects, records, health } = this.#parts;
    try {
      const bytes = await objects.read(entryName(hash));
      const found = bytes && decodeEntry(bytes);
      // Touched meanwhile: that is newer than the object.
      const indexed = await records.get(hash);
      if (indexed) return indexed;
      if (found) records.set(hash, found);
      return found;
    } catch (error) {
      health.readFailed(error);
      return undefined;
    }
  }

  async #write(hash: string, keyed: KeyedEntry): Promise<void> {
    try {
      await this.#parts.objects.replace(entryName(hash), encodeEntry(keyed));
    } catch (error) {
      throw this.#parts.health.failed(error);
    }
  }

  #remember(text: string, hash: string, keyed: KeyedEntry): void {
    this.#memory.set(text, keyed.entry);
    this.#parts.records.set(hash, keyed, keyed.entry.status === 200 ? undefined : negativeMs);
  }
}

/** Every entry object below the data folder, `found` absent where it is torn. */
export async function* entryObjects(
  objects: Objects,
  skip: (hash: string) => boolean = () => false,
): AsyncIterable<{ readonly hash: string; readonly name: string; readonly found: KeyedEntry | undefined }> {
  for await (const names of handfuls(objects.names(entriesPrefix), readsAtOnce)) {
    const read = names.map(async (name) => {
      const hash = hashOfEntryName(name);
      if (!hash || skip(hash)) return undefined;
      const bytes = await objects.read(name);
      return bytes && { hash, name, found: decodeEntry(bytes) };
    });
    for (const one of await Promise.all(read)) if (one) yield one;
  }
}

const opening = '{"sha256":"';
const middle = '","record":';

/** JSON that carries a checksum of its own: the object is not synced, so a crash of the machine may tear it. */
export function encodeEntry(keyed: KeyedEntry): string {
  const record = JSON.stringify(keyed);
  return `${opening}${hashOf(record)}${middle}${record}}`;
}

/** `undefined` unless it is whole. */
export function decodeEntry(bytes: Buffer): KeyedEntry | undefined {
  const text = bytes.toString('utf8');
  const from = opening.length + 64 + middle.length;
  const record = text.slice(from, -1);
  if (text !== `${opening}${hashOf(record)}${middle}${record}}`) return undefined;
  return JSON.parse(record) as KeyedEntry;
}

/** The hash under which the index and the disk know a key. */
export function hashOfKey(key: EntryKey): string {
  return hashOf(textOf(key));
}

function textOf(key: EntryKey): string {
  return JSON.stringify([key.source, key.path, key.representation ?? '']);
}

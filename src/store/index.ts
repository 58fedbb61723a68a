/**
 * The index: small records by namespace and key, all of which can be rebuilt or fetched again. keyv over SQLite on one
 * machine, over Redis on several. Writes are gathered and go out together; reads see what waits.
 */
import { join } from 'node:path';
import KeyvRedis, { createClient, defaultReconnectStrategy } from '@keyv/redis';
import { Keyv } from 'keyv';
import { publish } from '../core/events.ts';
import type { Disk } from './disk.ts';
import { codeOf } from './disk.ts';
import { type SqliteTable, SqliteTables } from './sqlite-tables.ts';

export interface Records<T> {
  get(key: string): Promise<T | undefined>;
  /** Visible to reads at once, in the backend a moment later. */
  set(key: string, value: T, ttlMs?: number): void;
  delete(key: string): void;
  /** Everything, including what waits to be written. */
  entries(): AsyncIterable<[key: string, value: T]>;
  /** The same in handfuls, for reading very many. */
  pages(): AsyncIterable<readonly [key: string, value: T][]>;
  clear(): Promise<void>;
}

export interface Index {
  records<T>(namespace: string): Records<T>;
  /** Whatever was set before is in the backend, or a `fault` was published. */
  flush(): Promise<void>;
  /** Why it can't be asked now. */
  trouble(): string | undefined;
  /** What is, or at opening was, wrong with the backend's file; reads all of it. */
  check(): string | undefined;
  /** Throws everything away. */
  beginAnew(): Promise<void>;
  close(): Promise<void>;
}

export interface IndexOptions {
  readonly kind: 'sqlite' | 'memory' | `redis://${string}`;
  /** Folder of the SQLite file. */
  readonly path: string;
  readonly disk: Disk;
  readonly clock: () => number;
}

/** Where records of all namespaces end up. */
interface Backend {
  namespace(name: string): BackendNamespace;
  /** `undefined` when it can be asked now. */
  trouble(): string | undefined;
  check(): string | undefined;
  beginAnew(): Promise<void>;
  close(): Promise<void>;
}

interface BackendNamespace {
  readonly keyv: Keyv<Stored>;
  /** Everything; row by row through keyv costs several times as much. */
  pages(): AsyncIterable<readonly (readonly [key: string, stored: Stored])[]>;
  /** Gives back the space of what expired. */
  purge?(): void;
}

/** Times are by the store's own clock, which in tests is not the backend's. */
interface Stored {
  readonly v: unknown;
  readonly e?: number;
}

const flushEveryMs = 50;
const flushAgainMs = 1_000;
const flushAt = 500;
/** Writes in one transaction: a few milliseconds at most. */
const writesAtOnce = 200;
const pageRows = 1_000;
const purgeEveryMs = 600_000;
/** Writes waiting for a backend that does not answer; beyond, the oldest are given up: the index may forget. */
const mostWaiting = 100_000;
const redisTimeoutMs = 2_000;

export async function openIndex(options: IndexOptions): Promise<Index> {
  const { kind } = options;
  if (kind === 'sqlite') return new BatchedIndex(await openSqlite(options), options.clock);
  if (kind === 'memory') return new BatchedIndex(sqliteBackend(new SqliteTables(':memory:')), options.clock);
  return new BatchedIndex(await openRedis(kind), options.clock);
}

/** Whether there is a SQLite file; `true` for indexes that are no files. */
export async function indexExists(options: IndexOptions): Promise<boolean> {
  if (options.kind !== 'sqlite') return true;
  try {
    await options.disk.stat(sqlitePath(options));
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

class BatchedIndex implements Index {
  readonly #backend: Backend;
  readonly #clock: () => number;
  readonly #namespaces = new Map<string, Namespace>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  #waiting = 0;
  #failing = false;
  #closed = false;
  #purgedAt: number;

  constructor(backend: Backend, clock: () => number) {
    this.#backend = backend;
    this.#clock = clock;
    this.#purgedAt = clock();
  }

  records<T>(name: string): Records<T> {
    let namespace = this.#namespaces.get(name);
    if (!namespace) {
      namespace = new Namespace(this.#backend.namespace(name), this.#clock, {
        changed: () => this.#changed(),
        flush: () => this.flush(),
        trouble: () => this.#backend.trouble(),
      });
      this.#namespaces.set(name, namespace);
    }
    return namespace as Records<T>;
  }

  async flush(): Promise<void> {
    // A flush under way may have begun before the caller's last write.
    while (this.#flushing) await this.#flushing;
    if (this.#closed) return;
    this.#flushing = this.#flush();
    try {
      await this.#flushing;
    } finally {
      this.#flushing = undefined;
    }
  }

  trouble(): string | undefined {
    return this.#backend.trouble();
  }

  check(): string | undefined {
    return this.#backend.check();
  }

  beginAnew(): Promise<void> {
    return this.#backend.beginAnew();
  }

  async close(): Promise<void> {
    await this.flush();
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#backend.close();
  }

  #changed(): void {
    // What a late reader still touches is lost, and no loss.
    if (this.#closed) return;
    this.#waiting += 1;
    if (this.#waiting === flushAt && !this.#failing) setImmediate(() => this.#flushLater());
    if (this.#timer) return;
    this.#timer = setTimeout(() => this.#flushLater(), this.#failing ? flushAgainMs : flushEveryMs);
    this.#timer.unref();
  }

  #flushLater(): void {
    if (!this.#flushing) void this.flush();
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = 0;
    try {
      for (const namespace of this.#namespaces.values()) await namespace.write();
      this.#failing = false;
      this.#purgeNowAndThen();
    } catch (error) {
      // Said once, not every second.
      if (!this.#failing) publish('fault', { where: 'index', error });
      this.#failing = true;
      this.#changed();
    }
  }

  #purgeNowAndThen(): void {
    const now = this.#clock();
    if (now - this.#purgedAt < purgeEveryMs) return;
    this.#purgedAt = now;
    for (const namespace of this.#namespaces.values()) namespace.purge();
  }
}

type Waiting = { readonly stored: Stored; readonly ttlMs?: number } | 'deleted';

class Namespace implements Records<unknown> {
  readonly #backend: BackendNamespace;
  readonly #clock: () => number;
  readonly #index: { changed(): void; flush(): Promise<void>; trouble(): string | undefined };
  #waiting = new Map<string, Waiting>();
  /** On its way to the backend. */
  #writing = new Map<string, Waiting>();

  constructor(
    backend: BackendNamespace,
    clock: () => number,
    index: { changed(): void; flush(): Promise<void>; trouble(): string | undefined },
  ) {
    this.#backend = backend;
    this.#clock = clock;
    this.#index = index;
  }

  async get(key: string): Promise<unknown> {
    const waiting = this.#waiting.get(key) ?? this.#writing.get(key);
    if (waiting) return waiting === 'deleted' ? undefined : this.#alive(waiting.stored);
    if (this.#index.trouble() !== undefined) return undefined;
    try {
      return this.#alive(await this.#backend.keyv.get(key));
    } catch (error) {
      publish('fault', { where: 'index', error });
      return undefined;
    }
  }

  set(key: string, value: unknown, ttlMs?: number): void {
    const stored = ttlMs === undefined ? { v: value } : { v: value, e: this.#clock() + ttlMs };
    this.#wait(key, ttlMs === undefined ? { stored } : { stored, ttlMs });
  }

  delete(key: string): void {
    this.#wait(key, 'deleted');
  }

  async *entries(): AsyncIterable<[string, unknown]> {
    for await (const page of this.pages()) yield* page;
  }

  async *pages(): AsyncIterable<[string, unknown][]> {
    await this.#index.flush();
    // What could not be written, or came since, is told from here; the backend's version of it is older.
    const unwritten = new Map(this.#waiting);
    if (this.#index.trouble() === undefined) {
      for await (const rows of this.#backend.pages()) {
        const page: [string, unknown][] = [];
        for (const [key, stored] of rows) {
          const value = unwritten.has(key) ? undefined : this.#alive(stored);
          if (value !== undefined) page.push([key, value]);
        }
        yield page;
      }
    }
    const last: [string, unknown][] = [];
    for (const [key, waiting] of unwritten) if (waiting !== 'deleted') last.push([key, waiting.stored.v]);
    yield last;
  }

  async clear(): Promise<void> {
    this.#waiting.clear();
    await this.#index.flush();
    await this.#backend.keyv.clear();
  }

  /** Sends what waits, a batch at a time with room for others in between; what fails waits again. */
  async write(): Promise<void> {
    while (this.#waiting.size > 0) {
      const trouble = this.#index.trouble();
      if (trouble !== undefined) throw new Error(trouble);
      this.#writing = takeFirst(this.#waiting, writesAtOnce);
      try {
        await this.#send();
        this.#writing = new Map();
      } catch (error) {
        this.#waiting = new Map([...this.#writing, ...this.#waiting]);
        this.#writing = new Map();
        throw error;
      }
      if (this.#waiting.size > 0) await new Promise(setImmediate);
    }
  }

  purge(): void {
    this.#backend.purge?.();
  }

  async #send(): Promise<void> {
    const deleted: string[] = [];
    const set: { key: string; value: Stored; ttl?: number }[] = [];
    for (const [key, waiting] of this.#writing) {
      if (waiting === 'deleted') deleted.push(key);
      else set.push({ key, value: waiting.stored, ...(waiting.ttlMs === undefined ? {} : { ttl: waiting.ttlMs }) });
    }
    if (set.length > 0) await this.#backend.keyv.setMany(set);
    if (deleted.length > 0) await this.#backend.keyv.deleteMany(deleted);
  }

  #wait(key: string, waiting: Waiting): void {
    // Set anew, so that the order is the order of writing.
    this.#waiting.delete(key);
    this.#waiting.set(key, waiting);
    if (this.#waiting.size > mostWaiting) takeFirst(this.#waiting, 1);
    this.#index.changed();
  }

  #alive(stored: Stored | undefined): unknown {
    if (stored === undefined || (stored.e !== undefined && stored.e <= this.#clock())) return undefined;
    return stored.v;
  }
}

function takeFirst<K, V>(from: Map<K, V>, count: number): Map<K, V> {
  const taken = new Map<K, V>();
  for (const [key, value] of from) {
    if (taken.size === count) break;
    taken.set(key, value);
    from.delete(key);
  }
  return taken;
}

/** keyv's own serialisation walks every value; plain JSON is what the records are. */
const json = {
  serialize: (data: unknown) => JSON.stringify(data),
  deserialize: (text: string) => JSON.parse(text),
  throwOnErrors: true,
  useKeyPrefix: false,
};

function sqlitePath(options: IndexOptions): string {
  return join(options.path, 'index.sqlite');
}

async function openSqlite(options: IndexOptions): Promise<Backend> {
  try {
    await options.disk.mkdir(options.path);
    if (!(await indexExists(options))) await options.disk.writeFile(sqlitePath(options), '');
    return sqliteBackend(new SqliteTables(sqlitePath(options)));
  } catch (error) {
    // A disk that takes no index still serves what it has; only warmth is lost.
    publish('fault', { where: 'index', error });
    return sqliteBackend(new SqliteTables(':memory:'));
  }
}

function sqliteBackend(tables: SqliteTables): Backend {
  return {
    namespace(name) {
      const store: SqliteTable = tables.table(name);
      const keyv = new Keyv<Stored>({ store, namespace: name, ...json });
      return { keyv, pages: () => sqlitePages(store), purge: () => store.purge() };
    },
    trouble: () => undefined,
    check: () => tables.damage ?? tables.check(),
    beginAnew: async () => tables.beginAnew(),
    close: async () => tables.close(),
  };
}

async function* sqlitePages(store: SqliteTable): AsyncIterable<[string, Stored][]> {
  for (const rows of store.pages()) {
    yield rows.map(([key, value]) => [key, (json.deserialize(value) as { readonly value: Stored }).value]);
    await new Promise(setImmediate);
  }
}

async function* redisPages(keyv: Keyv<Stored>): AsyncIterable<[string, Stored][]> {
  let page: [string, Stored][] = [];
  for await (const row of keyv.iterator?.(undefined) ?? []) {
    page.push(row as [string, Stored]);
    if (page.length < pageRows) continue;
    yield page;
    page = [];
  }
  yield page;
}

async function openRedis(url: string): Promise<Backend> {
  let trouble: string | undefined = 'the index (Redis) has not answered yet';
  const client = createClient({
    url,
    // Without a connection a call fails at once instead of waiting in line.
    disableOfflineQueue: true,
    // A connection that went silent is found by the pings.
    pingInterval: redisTimeoutMs,
    socket: {
      connectTimeout: redisTimeoutMs,
      socketTimeout: 2 * redisTimeoutMs,
      reconnectStrategy: defaultReconnectStrategy,
    },
  });
  client.on('error', (error: unknown) => {
    if (trouble === undefined) publish('fault', { where: 'index', error });
    trouble = `the index (Redis) does not answer: ${codeOf(error) ?? String(error)}`;
  });
  client.on('ready', () => {
    trouble = undefined;
  });
  const connected = client.connect().catch(() => {});
  const timeout = Promise.withResolvers<void>();
  const timer = setTimeout(timeout.resolve, redisTimeoutMs);
  await Promise.race([connected, timeout.promise]);
  clearTimeout(timer);
  const spaces: Keyv<Stored>[] = [];
  return {
    namespace(name) {
      const store = new KeyvRedis(client as never, { throwOnErrors: true, throwOnConnectError: true });
      const keyv = new Keyv<Stored>({ store, namespace: `larder:${name}`, ...json });
      keyv.on('error', () => {});
      spaces.push(keyv);
      return { keyv, pages: () => redisPages(keyv) };
    },
    trouble: () => trouble,
    check: () => undefined,
    beginAnew: async () => {
      for (const space of spaces) await space.clear();
    },
    close: async () => {
      if (client.isOpen) client.destroy();
    },
  };
}

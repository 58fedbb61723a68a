/**
 * Key-value tables in one SQLite file, each shaped like a storage adapter of keyv. Calls are synchronous below and
 * short: a read is a few microseconds, a write is part of a batch. A file that proves damaged is moved aside and begun anew.
 */
import { renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { publish } from '../core/events.ts';
import { primaryCode } from './process-lock.ts';

/** Rows read at a time while iterating, so that nobody waits long in between. */
const pageRows = 1_000;
/** Long enough for another process to finish its batch, short enough not to be felt. */
const busyTimeoutMs = 50;
const openTimeoutMs = 2_000;
const corrupt = 11;
const notADatabase = 26;
const memory = ':memory:';
/** Rows written before the write-ahead log is copied into the file: a few megabytes. */
const longLogPages = 16_000;
const checkpointRows = 4_000;

interface Row {
  readonly key: string;
  readonly value: string;
  readonly ttl?: number;
}

export class SqliteTables {
  readonly #path: string;
  #file: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #tables = new Set<string>();

  #rowsLogged = 0;
  #checkpointing = false;
  /** What was wrong with the file that was moved aside. */
  damage: string | undefined;

  /** Opens or creates. Throws when there can be no file at this path. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#file = openFile(path);
    } catch (error) {
      if (!isDamage(error)) throw error;
      publish('fault', { where: 'index', error });
      this.damage = String(error);
      moveAside(path);
      this.#file = openFile(path);
    }
  }

  table(name: string): SqliteTable {
    return new SqliteTable(this, name);
  }

  /** Runs `work`; if the file proves damaged it is begun anew and `lost` is the result. */
  guard<T>(work: () => T, lost: T): T {
    try {
      return work();
    } catch (error) {
      if (!isDamage(error)) throw error;
      publish('fault', { where: 'index', error });
      this.beginAnew();
      return lost;
    }
  }

  transaction(work: () => void): void {
    this.guard(() => {
      this.#file.exec('BEGIN IMMEDIATE');
      try {
        work();
        this.#file.exec('COMMIT');
      } catch (error) {
        this.#forget();
        if (this.#file.isTransaction) this.#file.exec('ROLLBACK');
        throw error;
      }
    }, undefined);
  }

  /** So many rows more are in the write-ahead log. Copying it into the file waits for the disk, so a thread does it. */
  logged(rows: number): void {
    this.#rowsLogged += rows;
    if (this.#rowsLogged < checkpointRows || this.#checkpointing || this.#path === memory) return;
    this.#rowsLogged = 0;
    this.#checkpointing = true;
    const worker = new Worker(new URL('./sqlite-checkpoint.ts', import.meta.url), { workerData: this.#path });
    worker.unref();
    worker.on('error', (error) => publish('fault', { where: 'index', error }));
    worker.on('exit', () => {
      this.#checkpointing = false;
    });
  }

  /** The first thing wrong with the file, if any; reads all of it. */
  check(): string | undefined {
    try {
      const row = this.#file.prepare('PRAGMA quick_check(1)').get();
      const said = String(row?.quick_check);
      return said === 'ok' ? undefined : said;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return String(error);
    }
  }

  beginAnew(): void {
    this.#forget();
    this.#file.close();
    moveAside(this.#path);
    this.#file = openFile(this.#path);
  }

  close(): void {
    this.#forget();
    this.#file.close();
  }

  #makeTable(table: string): void {
    if (this.#tables.has(table)) return;
    // Looked for first: making one takes the lock for writing, even if it is there already.
    const index = `${table}_expires`;
    if (!this.#file.prepare('SELECT 1 FROM sqlite_schema WHERE name = ?').get(index)) {
      this.#file.exec(
        `CREATE TABLE IF NOT EXISTS "${table}" (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value TEXT NOT NULL, expires INTEGER) STRICT;
         CREATE INDEX IF NOT EXISTS "${index}" ON "${table}" (expires) WHERE expires IS NOT NULL;`,
      );
    }
    this.#tables.add(table);
  }

  /** A table made inside a transaction is gone with it. */
  #forget(): void {
    this.#statements.clear();
    this.#tables.clear();
  }

  /** Prepared once; makes the table when it is first used. */
  prepare(table: string, sql: string): StatementSync {
    const key = `${table}\n${sql}`;
    let statement = this.#statements.get(key);
    if (!statement) {
      this.#makeTable(table);
      statement = this.#file.prepare(sql.replaceAll('$table', `"${table}"`));
      this.#statements.set(key, statement);
    }
    return statement;
  }
}

/** What keyv asks of a storage adapter. */
export class SqliteTable {
  readonly opts = { dialect: 'sqlite', url: '' };
  namespace: string | undefined;
  readonly #tables: SqliteTables;
  readonly #name: string;

  constructor(tables: SqliteTables, name: string) {
    if (!/^[a-z][a-z0-9_-]*$/.test(name)) throw new Error(`not a name for a table: ${name}`);
    this.#tables = tables;
    this.#name = name;
  }

  on(): this {
    return this;
  }

  async get(key: string): Promise<string | undefined> {
    const row = this.#tables.guard(() => this.#prepare('SELECT value FROM $table WHERE key = ?').get(key), undefined);
    return typeof row?.value === 'string' ? row.value : undefined;
  }

  async set(key: string, value: string, ttl?: number): Promise<void> {
    await this.setMany([{ key, value, ...(ttl === undefined ? {} : { ttl }) }]);
  }

  async setMany(rows: readonly Row[]): Promise<void> {
    const now = Date.now();
    this.#tables.transaction(() => {
      const insert = this.#prepare(
        `INSERT INTO $table (key, value, expires) VALUES (?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires`,
      );
      for (const { key, value, ttl } of rows) insert.run(key, value, ttl === undefined ? null : now + ttl);
    });
    this.#tables.logged(rows.length);
  }

  async delete(key: string): Promise<boolean> {
    return this.deleteMany([key]);
  }

  async deleteMany(keys: readonly string[]): Promise<boolean> {
    let deleted = 0;
    this.#tables.transaction(() => {
      const statement = this.#prepare('DELETE FROM $table WHERE key = ?');
      for (const key of keys) deleted += Number(statement.run(key).changes);
    });
    this.#tables.logged(deleted);
    return deleted > 0;
  }

  async clear(): Promise<void> {
    this.#tables.guard(() => void this.#prepare('DELETE FROM $table').run(), undefined);
  }

  /** Rows whose time is over are never read; this gives their space back, a page at a time. */
  purge(): void {
    const sql = `DELETE FROM $table WHERE id IN (SELECT id FROM $table WHERE expires < ? LIMIT ${pageRows})`;
    this.#tables.guard(() => void this.#prepare(sql).run(Date.now()), undefined);
  }

  async *iterator(): AsyncGenerator<[string, string], void> {
    for (const page of this.pages()) yield* page;
  }

  *pages(): Generator<[key: string, value: string][], void> {
    let after = 0;
    for (;;) {
      const sql = `SELECT id, key, value FROM $table WHERE id > ? ORDER BY id LIMIT ${pageRows}`;
      const rows = this.#tables.guard(() => {
        const statement = this.#prepare(sql);
        // Half the price of an object for each row.
        statement.setReturnArrays(true);
        return statement.all(after) as unknown as [id: number, key: string, value: string][];
      }, []);
      const last = rows.at(-1);
      if (!last) return;
      yield rows.map(([, key, value]) => [key, value]);
      after = last[0];
    }
  }

  #prepare(sql: string): StatementSync {
    return this.#tables.prepare(this.#name, sql);
  }
}

function openFile(path: string): DatabaseSync {
  const file = new DatabaseSync(path);
  try {
    file.exec(`PRAGMA busy_timeout=${openTimeoutMs}`);
    if (path !== memory)
      file.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=16777216');
    // Should the thread fail, a log that became long is copied here after all.
    if (path !== memory) file.exec(`PRAGMA wal_autocheckpoint=${longLogPages}`);
    // Reading the schema finds a file that is no database at all.
    file.exec('SELECT count(*) FROM sqlite_schema');
    file.exec(`PRAGMA busy_timeout=${busyTimeoutMs}`);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Kept once, for whoever wants to know what happened; the next damage replaces it. */
function moveAside(path: string): void {
  if (path === memory) return;
  for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true });
  renameSync(path, join(dirname(path), 'damaged.sqlite'));
}

function isDamage(error: unknown): boolean {
  const code = primaryCode(error);
  return code === corrupt || code === notADatabase;
}

/** The store as the rest of Larder sees it: bytes by digest, entries by path, small facts, and stages for what is coming in. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { publish } from '../core/events.ts';
import type { OpenJournal } from '../core/journal.ts';
import type { OpenStage } from '../core/staging.ts';
import { type Blobs, StoredBlobs } from './blobs.ts';
import { codeOf, type Disk, disk as realDisk } from './disk.ts';
import { DiskObjects } from './disk-objects.ts';
import { type Entries, type KeyedEntry, StoredEntries } from './entries.ts';
import { Health } from './health.ts';
import type { Hosting } from './hosting.ts';
import { AllHosting } from './hosting-all.ts';
import { type Index, openIndex } from './index.ts';
import { type Journals, openJournals } from './journal.ts';
import { indexFolder } from './layout.ts';
import { claimLayout } from './layout-version.ts';
import { BlobScan } from './scan.ts';
import { type SavedBlob, Space } from './space.ts';
import { StagedFile } from './staged-file.ts';
import { StagingArea } from './staging-area.ts';
import { Turns } from './turns.ts';
import { StoredUploads, type Uploads } from './uploads.ts';

export interface StoreOptions {
  /** Folder, created if absent. */
  readonly path: string;
  /** Absent: only the disk's own limit. */
  readonly maxSizeBytes?: number;
  /** Below this the disk counts as full. Default 256 MiB. */
  readonly keepFreeBytes?: number;
  /** Default `sqlite`. */
  readonly index?: 'sqlite' | 'memory' | `redis://${string}`;
  readonly disk?: Disk;
  /** In ms. */
  readonly clock?: () => number;
}

/** Small facts that can be found out again. Values are JSON. */
export interface Facts<T> {
  get(key: string): Promise<T | undefined>;
  /** Visible to reads at once, on disk a moment later. */
  set(key: string, value: T, ttlMs?: number): void;
  delete(key: string): void;
  entries(): AsyncIterable<[key: string, value: T]>;
}

export interface Store {
  readonly blobs: Blobs;
  readonly entries: Entries;
  /** By namespace: lower-case letters, digits, `-`, `_`. A sha256 digest anywhere in a value of `derived` keeps that blob from being collected. */
  facts<T>(namespace: string): Facts<T>;
  readonly stage: OpenStage;
  readonly openJournal: OpenJournal;
  /** What is published in a repository (`org/name`); one for all who ask. `overwrites` is as it was last told. */
  hosting(repository: string, options: { readonly overwrites: boolean }): Promise<Hosting>;
  readonly uploads: Uploads;
  /** `bytes` counts evicted files until they are deleted. */
  usage(): {
    readonly bytes: number;
    readonly blobs: number;
    readonly reservedBytes: number;
    readonly maxBytes: number | undefined;
  };
  /** Why the store can't take new bytes now, or why it is unusable. */
  health(): { readonly writable: boolean; readonly usable: boolean; readonly reason?: string };
  /** What was put or set is on disk afterwards. */
  flush(): Promise<void>;
  /** Resolves when everything on the disk is known; sooner, `has` and `usage` may lack some of it. */
  scanned(): Promise<void>;
  close(): Promise<void>;
}

export const defaultKeepFreeBytes = 256 * 1024 * 1024;
const probeBytes = 64 * 1024;

/**
 * While a store is closed, a record in the index and a file beside it hold the same random text if the index lacks
 * nothing. An index that was begun anew, or was left out because it could not be opened, does not know the text.
 */
const completeKey = 'complete';

export async function openStore(options: StoreOptions): Promise<Store> {
  const disk = options.disk ?? realDisk;
  await disk.mkdir(options.path);
  const area = new StagingArea(options.path, disk);
  await area.sweep().catch((error) => publish('fault', { where: 'staging', error }));
  await claimLayout(new DiskObjects({ root: options.path, disk, temporary: () => area.next() }), options.path);
  const index = await openIndex(indexOptions(options));
  const store = new OpenedStore(options, disk, area, index);
  await store.start();
  return {
    blobs: store.blobs,
    entries: store.entries,
    stage: store.stage,
    uploads: store.uploads,
    openJournal: (options) => store.openJournal(options),
    hosting: (repository, options) => store.hosting(repository, options),
    facts: (namespace) => store.facts(namespace),
    usage: () => store.usage(),
    health: () => store.health(),
    flush: () => store.flush(),
    scanned: () => store.scanned(),
    close: () => store.close(),
  };
}

/** How the index of a store is opened, also by whoever looks at the store without serving it. */
export function indexOptions(options: StoreOptions): Parameters<typeof openIndex>[0] {
  return {
    kind: options.index ?? 'sqlite',
    path: join(options.path, indexFolder),
    disk: options.disk ?? realDisk,
    clock: options.clock ?? Date.now,
  };
}

/** Namespaces in the index. */
export const records = {
  blobs: (index: Index) => index.records<SavedBlob>('blob'),
  entries: (index: Index) => index.records<KeyedEntry>('entry'),
  facts: <T>(index: Index, namespace: string) => index.records<T>(`fact_${namespace}`),
  state: (index: Index) => index.records<string>('state'),
};

class OpenedStore implements Store {
  readonly blobs: StoredBlobs;
  readonly entries: Entries;
  readonly stage: OpenStage;
  readonly uploads: StoredUploads;
  readonly openJournal: OpenJournal;
  readonly #options: StoreOptions;
  readonly #disk: Disk;
  readonly #area: StagingArea;
  readonly #index: Index;
  readonly #health: Health;
  readonly #space: Space;
  readonly #scan: BlobScan;
  readonly #journals: Journals;
  readonly #hosting: AllHosting;
  /** Files of stages that nobody holds any more. */
  readonly #closingFiles = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor(options: StoreOptions, disk: Disk, area: StagingArea, index: Index) {
    this.#options = options;
    this.#disk = disk;
    this.#area = area;
    this.#index = index;
    const clock = options.clock ?? Date.now;
    const objects = new DiskObjects({ root: options.path, disk, temporary: () => area.next() });
    this.#health = new Health({ clock, probe: () => this.#probe() });
    this.#space = new Space({
      maxSizeBytes: options.maxSizeBytes,
      keepFreeBytes: options.keepFreeBytes ?? defaultKeepFreeBytes,
      clock,
      health: this.#health,
      saved: records.blobs(index),
      freeBytes: () => this.#freeBytes(),
      remove: (hex, stillDoomed) => this.blobs.removeEvicted(hex, stillDoomed),
    });
    this.#journals = openJournals({ objects, clock });
    this.openJournal = this.#journals.open;
    this.#hosting = new AllHosting({ objects, openJournal: this.openJournal, clock });
    this.#space.protect((hex) => this.#hosting.refersTo(`sha256:${hex}`));
    this.stage = ({ expectedSize }) => this.#openStage(expectedSize ?? 0);
    const parts = { objects, space: this.#space, health: this.#health, clock, stage: this.stage };
    const protectionKnown = (): Promise<void> => this.#hosting.ready();
    this.blobs = new StoredBlobs({ ...parts, turns: new Turns(), protectionKnown });
    this.uploads = new StoredUploads({
      root: options.path,
      disk,
      health: this.#health,
      clock,
      reserve: (bytes) => this.#space.reserve(bytes),
      adopt: (...args) => this.blobs.adopt(...args),
    });
    this.entries = new StoredEntries({ objects, records: records.entries(index), health: this.#health });
    this.#scan = new BlobScan({ objects, space: this.#space });
  }

  /** Learns what is there: from the index, and from the disk in the background if the index may lack something. */
  async start(): Promise<void> {
    await this.#area.next().catch((error) => this.#health.failed(error));
    // Nothing makes way before it is known what is published.
    await this.#hosting.open().catch((error) => publish('fault', { where: 'journal', error }));
    const complete = await this.#takeCompleteness();
    await this.#scan.fromIndex(records.blobs(this.#index));
    await this.#index.flush();
    if (complete) this.#space.trim();
    else this.#scan.start();
    await this.uploads.start().catch((error) => publish('fault', { where: 'uploads', error }));
    this.#space.announce();
  }

  facts<T>(namespace: string): Facts<T> {
    return records.facts<T>(this.#index, namespace);
  }

  hosting(repository: string, { overwrites }: { readonly overwrites: boolean }): Promise<Hosting> {
    return this.#hosting.hosting(repository, overwrites);
  }

  usage(): ReturnType<Store['usage']> {
    return { ...this.#space.usage(), maxBytes: this.#options.maxSizeBytes };
  }

  health(): ReturnType<Store['health']> {
    const { full } = this.#health;
    // Nobody may be writing because we said so; then asking is the occasion to look again.
    if (full !== undefined && this.#health.isDue()) void this.#tryRoom();
    const unusable = this.#health.unreadable ?? this.#index.trouble();
    const reason = unusable ?? full;
    return {
      writable: full === undefined,
      usable: unusable === undefined,
      ...(reason === undefined ? {} : { reason }),
    };
  }

  async flush(): Promise<void> {
    await this.#index.flush();
  }

  scanned(): Promise<void> {
    return this.#scan.done;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const complete = await this.#scan.stop();
    await this.#space.settled();
    await this.#journals.settled();
    this.blobs.close();
    const text = randomUUID();
    records.state(this.#index).set(completeKey, text);
    await this.#index.close();
    // What another process knows, and may have lost when it died, is not in our hands.
    const alone = await this.#area.alone().catch(() => false);
    if (complete && alone && !this.#health.doubtful) {
      // Without it the next start looks at every blob, which is all that can come of this.
      await this.#disk.writeFile(this.#completeFile, text).catch(() => {});
    }
    await this.#area.close();
    await Promise.all(this.#closingFiles);
  }

  /** Until it is closed in good order, a crash may cost the index its last writes. */
  async #takeCompleteness(): Promise<boolean> {
    const state = records.state(this.#index);
    const told = await state.get(completeKey);
    state.delete(completeKey);
    try {
      const text = await this.#disk.readFile(this.#completeFile);
      await this.#disk.unlink(this.#completeFile);
      return text.toString() === told;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') publish('fault', { where: 'index', error });
      return false;
    }
  }

  get #completeFile(): string {
    return join(this.#options.path, indexFolder, completeKey);
  }

  async #openStage(expectedSize: number): Promise<StagedFile> {
    const reservation = await this.#space.reserve(expectedSize);
    try {
      const path = await this.#area.next();
      const file = await this.#openFile(path);
      return new StagedFile({
        path,
        file,
        disk: this.#disk,
        health: this.#health,
        reservation,
        onClosing: (closed) => {
          const forgotten: Promise<void> = closed.then(() => void this.#closingFiles.delete(forgotten));
          this.#closingFiles.add(forgotten);
        },
        adopt: (...args) => this.blobs.adopt(...args),
      });
    } catch (error) {
      reservation.release();
      throw this.#health.failed(error);
    }
  }

  async #openFile(path: string): ReturnType<Disk['open']> {
    try {
      return await this.#disk.open(path, 'wx+');
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await this.#disk.mkdir(join(path, '..'));
      return this.#disk.open(path, 'wx+');
    }
  }

  async #freeBytes(): Promise<number | undefined> {
    try {
      const { bavail, bsize } = await this.#disk.statfs(this.#options.path);
      return bavail * bsize;
    } catch {
      // Some file systems do not tell; then writing finds out.
      return undefined;
    }
  }

  /** What a download would do, in small. */
  async #probe(): Promise<void> {
    const path = await this.#area.next();
    try {
      const file = await this.#openFile(path);
      try {
        await file.write(Buffer.alloc(probeBytes), 0, probeBytes, 0);
        await file.datasync();
      } finally {
        await file.close();
      }
    } finally {
      await this.#disk.rm(path);
    }
  }

  async #tryRoom(): Promise<void> {
    try {
      const reservation = await this.#space.reserve(1);
      reservation.release();
    } catch {
      // Still full: `health` says so.
    }
  }
}

/** Looks now and then at what nobody is told of: how full the disk is, what lies beside what is stored, what `gc` did in a process of its own. */
import { publish } from '../core/events.ts';
import { type Disk, disk as realDisk } from './disk.ts';
import { DiskObjects } from './disk-objects.ts';
import { collectedName, quarantinePrefix, stagingFolder, trashPrefix, uploadsFolder } from './layout.ts';

export interface MeasuringOptions {
  /** Of the store. */
  readonly path: string;
  readonly disk?: Disk;
  readonly diskEveryMs?: number;
  readonly besideEveryMs?: number;
}

export interface Measuring {
  close(): Promise<void>;
}

/** What `collect` leaves behind for whoever looks. */
export interface Collected {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly trashed: number;
  readonly trashedBytes: number;
  readonly deleted: number;
  readonly freedBytes: number;
}

const places = {
  trash: trashPrefix,
  quarantine: quarantinePrefix,
  staging: stagingFolder,
  uploads: uploadsFolder,
} as const;

/** A look at a million files takes a while: it takes no more than this share of the time. */
const mostOfTime = 1 / 50;

export function startMeasuring(options: MeasuringOptions): Measuring {
  const { path, disk = realDisk, diskEveryMs = 10_000, besideEveryMs = 300_000 } = options;
  const objects = new DiskObjects({
    root: path,
    disk,
    temporary: () => Promise.reject(new Error('nothing is written')),
  });
  let closed = false;

  async function lookAtDisk(): Promise<void> {
    const { bavail, bsize, blocks } = await disk.statfs(path);
    if (blocks !== undefined) publish('store.disk', { freeBytes: bavail * bsize, sizeBytes: blocks * bsize });
  }

  async function lookBeside(): Promise<void> {
    for (const [place, prefix] of Object.entries(places) as [keyof typeof places, string][]) {
      let bytes = 0;
      let count = 0;
      for await (const { sizeBytes } of objects.list(prefix)) {
        if (closed) return;
        bytes += sizeBytes;
        count += 1;
      }
      publish('store.beside', { place, bytes, objects: count });
    }
    const collected = await objects.read(collectedName);
    if (collected) publish('store.collected', JSON.parse(collected.toString()) as Collected);
  }

  const looking = [repeat(lookAtDisk, diskEveryMs), repeat(lookBeside, besideEveryMs)];
  return {
    async close() {
      closed = true;
      await Promise.all(looking.map((one) => one.end()));
    },
  };
}

/** At once, and again after each time; later where it takes long. What fails is told once and tried again. */
function repeat(look: () => Promise<void>, everyMs: number): { end(): Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  let failing = false;
  async function turn(): Promise<void> {
    const startedAt = performance.now();
    try {
      await look();
      failing = false;
    } catch (error) {
      if (!failing) publish('fault', { where: 'measuring', error });
      failing = true;
    }
    if (ended) return;
    const tookMs = performance.now() - startedAt;
    timer = setTimeout(
      () => {
        running = turn();
      },
      Math.max(everyMs, tookMs / mostOfTime),
    ).unref();
  }
  let running = turn();
  return {
    async end() {
      ended = true;
      clearTimeout(timer);
      await running;
    },
  };
}

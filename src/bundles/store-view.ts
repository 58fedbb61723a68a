/** A store as it lies on the disk, to be looked at beside a running server: nothing is written, and no use is noted. */
import type { Entry } from '../core/hosting.ts';
import { disk as realDisk } from '../store/disk.ts';
import { DiskObjects } from '../store/disk-objects.ts';
import { type Entries, StoredEntries } from '../store/entries.ts';
import { Health } from '../store/health.ts';
import { AllHosting } from '../store/hosting-all.ts';
import { type Index, openIndex } from '../store/index.ts';
import { openJournals } from '../store/journal.ts';
import { blobName, journalObjectName, trashName } from '../store/layout.ts';
import type { Objects, OpenObject } from '../store/objects.ts';
import { indexOptions, records, type StoreOptions } from '../store/store.ts';
import { mustExist } from '../store/verify.ts';

export interface StoreView {
  readonly entries: Pick<Entries, 'list'>;
  readonly index: Index;
  readonly objects: Objects;
  /** Bytes of a blob; `undefined`: it is not there. */
  sizeOf(hex: string): Promise<number | undefined>;
  open(hex: string): Promise<OpenObject | undefined>;
  /** Objects of a repository's journal after a number, in order. */
  journal(repository: string, after: number): AsyncIterable<{ readonly number: number; readonly text: string }>;
  /** Files that are published now in a repository. Rejects when its journal can't be read. */
  published(repository: string): Promise<readonly Entry[]>;
  close(): Promise<void>;
}

/** Rejects where there is no store. */
export async function viewStore(options: StoreOptions): Promise<StoreView> {
  const disk = options.disk ?? realDisk;
  await mustExist(options.path, disk);
  const index = await openIndex(indexOptions(options));
  const clock = options.clock ?? Date.now;
  const objects = new DiskObjects({
    root: options.path,
    disk,
    temporary: () => Promise.reject(new Error('read only')),
  });
  const health = new Health({ clock, probe: async () => {} });
  const hosting = new AllHosting({ objects, openJournal: openJournals({ objects, checkpointEvery: 0 }).open });

  async function sizeOf(hex: string): Promise<number | undefined> {
    const there = (await objects.facts(blobName(hex))) ?? (await objects.facts(trashName(hex)));
    return there?.sizeBytes;
  }

  return {
    index,
    objects,
    entries: new StoredEntries({ objects, records: records.entries(index), health }),
    sizeOf,
    open: async (hex) => (await objects.open(blobName(hex))) ?? (await objects.open(trashName(hex))),
    async *journal(repository, after) {
      for (let number = after + 1; ; number += 1) {
        const bytes = await objects.read(journalObjectName(repository, number));
        if (!bytes) return;
        yield { number, text: bytes.toString() };
      }
    },
    async published(repository) {
      await hosting.ready();
      return [...(hosting.loaded.get(repository)?.entries() ?? [])];
    },
    close: () => index.close(),
  };
}

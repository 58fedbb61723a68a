import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import { type Disk, disk } from '../../src/store/disk.ts';
import { blobName, sha256Hex } from '../../src/store/layout.ts';
import type { Store } from '../../src/store/store.ts';
import { eventually } from '../support/wait.ts';
import {
  bytesOf,
  digestFor,
  diskWith,
  fileOperations,
  folder,
  heard,
  holdsDeleted,
  opened,
  standingClock,
} from './opened.ts';

async function filled(store: Store, names: readonly string[], size = 1000): Promise<void> {
  for (const name of names) await store.blobs.add(bytesOf(name, size));
}

async function* pieces(...bytes: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* bytes;
}

function kept(store: Store, names: string, size = 1000): string {
  return [...names].filter((name) => store.blobs.has(digestFor(name, size))).join('');
}

/** A disk on which blobs are deleted only when the test says so. */
function heldDeletions(): { readonly disk: Disk; waiting(): number; synced(): number; letGo(): void } {
  const held = Promise.withResolvers<void>();
  let waiting = 0;
  let synced = 0;
  return {
    disk: diskWith({
      open: async (path, flags, mode) => {
        const file = await disk.open(path, flags, mode);
        return {
          ...fileOperations(file),
          datasync: async () => {
            await file.datasync();
            synced += 1;
          },
        };
      },
      unlink: async (path) => {
        if (path.includes('/trash/')) {
          waiting += 1;
          await held.promise;
        }
        await disk.unlink(path);
      },
    }),
    waiting: () => waiting,
    synced: () => synced,
    letGo: held.resolve,
  };
}

describe('eviction', () => {
  test('takes the least recently used, and only as many as needed', async () => {
    const evicted = heard('store.evicted');
    const store = await opened({ maxSizeBytes: 4000 });
    await filled(store, ['a', 'b', 'c', 'd']);
    (await store.blobs.open(digestFor('a')))?.close();
    store.blobs.touch(digestFor('b'));
    await filled(store, ['e']);
    expect(kept(store, 'abcde')).toBe('abde');
    await store.blobs.add(bytesOf('f', 1500));
    expect(kept(store, 'abcde')).toBe('be');
    expect(evicted.map(({ digest }) => digest)).toEqual([digestFor('c'), digestFor('d'), digestFor('a')]);
    expect(store.usage().bytes).toBeLessThanOrEqual(4000);
    await eventually('the files are gone', () =>
      ['a', 'c', 'd'].every((name) => !existsSync(join(store.path, blobName(sha256Hex(digestFor(name)) ?? '')))),
    );
  });

  test('never takes what is being read', async () => {
    const store = await opened({ maxSizeBytes: 2000 });
    await filled(store, ['a']);
    const reader = await store.blobs.open(digestFor('a'));
    await filled(store, ['b', 'c', 'd']);
    expect(kept(store, 'abcd')).toBe('ad');
    reader?.close();
    await filled(store, ['e', 'f']);
    expect(kept(store, 'abcdef')).toBe('ef');
  });

  test('never takes what is protected', async () => {
    const store = await opened({ maxSizeBytes: 3000 });
    store.blobs.protect((digest) => digest === digestFor('a'));
    store.blobs.protect((digest) => digest === digestFor('b'));
    await filled(store, ['a', 'b', 'c', 'd']);
    expect(kept(store, 'abcd')).toBe('abd');
    await expect(store.blobs.add(bytesOf('e', 1500))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(kept(store, 'abcd')).toBe('abd');
  });

  test('never takes what is being written, and counts it', async () => {
    const store = await opened({ maxSizeBytes: 3000 });
    await filled(store, ['a']);
    const stage = await store.stage({ expectedSize: 2000 });
    expect(store.usage()).toMatchObject({ bytes: 1000, reservedBytes: 2000 });
    await filled(store, ['b']);
    expect(kept(store, 'ab')).toBe('b');
    await expect(store.stage({ expectedSize: 1500 })).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(kept(store, 'ab')).toBe('b');
    await stage.discard();
    (await store.stage({ expectedSize: 1500 })).discard();
  });

  test('counts what waits for deletion, and new bytes wait for it only when far behind', async () => {
    const deletions = heldDeletions();
    const store = await opened({
      maxSizeBytes: 10_000,
      disk: deletions.disk,
    });
    await filled(store, [...'abcdefghij']);
    await store.blobs.add(bytesOf('k', 400));
    expect(store.usage().bytes).toBe(10_000 - 1000 + 400 + 1000);
    let done = false;
    const waiting = store.blobs.add(bytesOf('l', 2000)).then(() => {
      done = true;
    });
    await eventually('the deletions wait', () => deletions.waiting() === 3);
    expect(done).toBe(false);
    deletions.letGo();
    await waiting;
    expect(store.usage().bytes).toBe(9400);
  });

  test('spares what is stored again before its file is deleted', async () => {
    const deletions = heldDeletions();
    const store = await opened({
      maxSizeBytes: 200_000,
      disk: deletions.disk,
    });
    const names = Array.from({ length: 200 }, (_, index) => `${index}`);
    await filled(store, names);
    // Four are deleted at a time, so the fifth still waits.
    await store.blobs.add(bytesOf('new', 5_000));
    await eventually('the deletions wait', () => deletions.waiting() === 4);
    expect(await store.blobs.open(digestFor('4'))).toBeUndefined();
    await store.blobs.add(bytesOf('4'));
    // The file of this one is being deleted right now.
    const other = store.blobs.add(bytesOf('2'));
    await eventually('its bytes are synced', () => deletions.synced() === 203);
    for (let turn = 0; turn < 300; turn += 1) await new Promise(setImmediate);
    deletions.letGo();
    await other;
    await eventually('the deletions are over', () => store.usage().bytes <= 200_000);
    expect(await store.blobs.bytes(digestFor('4'))).toEqual(bytesOf('4'));
    expect(await store.blobs.bytes(digestFor('2'))).toEqual(bytesOf('2'));
    expect(await store.blobs.open(digestFor('3'))).toBeUndefined();
  });

  test('that fails leaves the blob counted', async () => {
    const faults = heard('fault');
    let broken = true;
    const store = await opened({
      maxSizeBytes: 2000,
      disk: diskWith({
        unlink: (path) =>
          broken && path.includes('/trash/')
            ? Promise.reject(Object.assign(new Error('no'), { code: 'EIO' }))
            : disk.unlink(path),
      }),
    });
    await filled(store, ['a', 'b', 'c']);
    await eventually('the failure is told', () => faults.length > 0);
    expect(faults[0]).toMatchObject({ where: 'eviction' });
    expect(store.blobs.has(digestFor('a'))).toBe(true);
    expect(store.usage().bytes).toBe(3000);
    broken = false;
    await filled(store, ['d']);
    await eventually('the budget holds again', () => store.usage().bytes <= 2000);
  });

  test('gives the space back at once, also of a file that was just read', async () => {
    const store = await opened({ maxSizeBytes: 2006 });
    await filled(store, ['a'], 1003);
    await store.blobs.bytes(digestFor('a', 1003));
    await filled(store, ['b', 'c'], 1003);
    await eventually('no descriptor holds a deleted file', () => store.usage().bytes === 2006 && !holdsDeleted(1003));
  });

  test('counts bytes once while a stage becomes a blob', async () => {
    const store = await opened({ maxSizeBytes: 3000 });
    await store.scanned();
    const seen: number[] = [];
    onTestFinished(
      subscribe('store.size', () => {
        const { bytes, reservedBytes } = store.usage();
        seen.push(bytes + reservedBytes);
      }),
    );
    await filled(store, ['a', 'b', 'c']);
    expect(seen).toEqual([1000, 2000, 3000]);
  });

  test('brings a store below a limit that was lowered', async () => {
    const path = await folder();
    const before = await opened({ path });
    await filled(before, [...'abcde']);
    before.blobs.touch(digestFor('a'));
    await before.close();
    const store = await opened({ path, maxSizeBytes: 2500 });
    await eventually('the budget holds', () => store.usage().bytes <= 2500);
    expect(store.usage().blobs).toBe(2);
  });

  test('knows after a restart what was used last', async () => {
    const path = await folder();
    const clock = standingClock();
    const before = await opened({ path, clock });
    for (const name of 'abc') {
      clock.forward(1000);
      await before.blobs.add(bytesOf(name));
    }
    await before.flush();
    clock.forward(600_000);
    before.blobs.touch(digestFor('a'));
    await before.close();
    const store = await opened({ path, clock, maxSizeBytes: 3000 });
    await filled(store, ['d']);
    expect(kept(store, 'abcd')).toBe('acd');
  });
});

describe('what does not fit', () => {
  test('ever is told from what does not fit now', async () => {
    const store = await opened({ maxSizeBytes: 3000 });
    await expect(store.stage({ expectedSize: 3001 })).rejects.toMatchObject({ code: 'ENOSPC', message: /never fit/ });
    expect(store.health().writable).toBe(true);
    const stage = await store.stage({ expectedSize: 3000 });
    await expect(store.stage({ expectedSize: 1 })).rejects.toMatchObject({ code: 'ENOSPC', message: /no room now/ });
    expect(store.health()).toMatchObject({ writable: false, usable: true, reason: /no room now/ });
    await stage.discard();
    (await store.stage({ expectedSize: 1 })).discard();
    expect(store.health()).toEqual({ writable: true, usable: true });
  });

  test('is found out while a stage without a known size grows; what was written stays readable', async () => {
    const store = await opened({ maxSizeBytes: 3000 });
    await filled(store, ['a', 'b']);
    const stage = await store.stage({});
    await stage.write(bytesOf('x', 1000));
    expect(store.usage().reservedBytes).toBe(1000);
    await stage.write(bytesOf('y', 1500));
    expect(kept(store, 'ab')).toBe('');
    await expect(stage.write(bytesOf('z', 1000))).rejects.toMatchObject({ code: 'ENOSPC', message: /never fit/ });
    expect(await stage.read(0, 1000)).toEqual(bytesOf('x', 1000));
    await expect(stage.commit(digestFor('x'))).rejects.toMatchObject({ code: 'ENOSPC' });
    await stage.discard();
    expect(store.usage().reservedBytes).toBe(0);
  });

  test('is no trouble of the disk: who needs less gets it at once', async () => {
    const clock = standingClock();
    const store = await opened({ maxSizeBytes: 3000, clock });
    const stage = await store.stage({});
    await expect(stage.write(bytesOf('x', 3001))).rejects.toMatchObject({ code: 'ENOSPC', message: /never fit/ });
    expect(store.health()).toEqual({ writable: true, usable: true });
    await filled(store, ['a']);
    const upload = await store.uploads.open({ repository: 'acme/files', name: 'n', by: 'anna' });
    await expect(upload.append(pieces(bytesOf('y', 3001)), 1e6)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(store.health()).toEqual({ writable: true, usable: true });
    const large = await store.stage({ expectedSize: 2900 });
    await expect(upload.append(pieces(bytesOf('z', 200)), 1e6)).rejects.toMatchObject({ message: /no room now/ });
    expect(store.health().writable).toBe(false);
    await large.discard();
    await filled(store, ['b']);
    expect(store.health()).toEqual({ writable: true, usable: true });
    await Promise.all([stage.discard(), upload.discard().then(() => upload.release())]);
  });

  test('costs nobody their place: evicting for nothing is not done', async () => {
    const store = await opened({ maxSizeBytes: 4000 });
    await filled(store, ['a', 'b']);
    const stage = await store.stage({ expectedSize: 2000 });
    await expect(store.stage({ expectedSize: 3000 })).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(kept(store, 'ab')).toBe('ab');
    await stage.discard();
  });
});

describe('a disk that failed', () => {
  test('is tried again after its time, also while writes that began before go on being refused', async () => {
    const clock = standingClock();
    let fails = false;
    const store = await opened({
      clock,
      disk: diskWith({
        open: async (path, flags, mode) => {
          const file = await disk.open(path, flags, mode);
          return {
            ...fileOperations(file),
            write: async (...args) => {
              if (fails) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
              return file.write(...args);
            },
          };
        },
      }),
    });
    const stages = await Promise.all([1, 2, 3].map(() => store.stage({})));
    fails = true;
    for (const stage of stages) {
      await expect(stage.write(bytesOf('x'))).rejects.toMatchObject({ code: 'ENOSPC' });
      clock.forward(1000);
    }
    fails = false;
    await filled(store, ['a']);
    expect(store.health()).toEqual({ writable: true, usable: true });
    await Promise.all(stages.map((stage) => stage.discard()));
  });
});

describe('the space that stays free on the disk', () => {
  function diskOf(free: { bytes: number }) {
    return diskWith({
      statfs: async () => ({ bavail: free.bytes, bsize: 1 }),
      unlink: async (path) => {
        if (path.includes('/trash/')) free.bytes += 1000;
        await disk.unlink(path);
      },
    });
  }

  test('is kept by evicting, if that is enough', async () => {
    const free = { bytes: 10_000 };
    const clock = standingClock();
    const store = await opened({ keepFreeBytes: 5000, disk: diskOf(free), clock });
    await filled(store, [...'abc']);
    clock.forward(2000);
    free.bytes = 5500;
    await filled(store, ['d']);
    expect(kept(store, 'abcd')).toBe('bcd');
    expect(store.health().writable).toBe(true);
  });

  test('when others took it, evicts nothing and refuses until they give it back', async () => {
    const full = heard('store.full');
    const free = { bytes: 10_000 };
    const clock = standingClock();
    const store = await opened({ keepFreeBytes: 5000, disk: diskOf(free), clock });
    await filled(store, [...'abc']);
    clock.forward(2000);
    free.bytes = 100;
    await expect(store.blobs.add(bytesOf('d'))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(kept(store, 'abcd')).toBe('abc');
    expect(store.health()).toMatchObject({ writable: false, usable: true, reason: /5000 bytes/ });
    expect(await store.blobs.bytes(digestFor('a'))).toEqual(bytesOf('a'));
    clock.forward(2000);
    free.bytes = 10_000;
    await filled(store, ['d']);
    expect(store.health().writable).toBe(true);
    expect(full.map((event) => event.full)).toEqual([true, false]);
  });

  test('is not bought with the whole cache where evicting frees nothing', async () => {
    const free = { bytes: 20_000 };
    const clock = standingClock();
    const store = await opened({
      keepFreeBytes: 5000,
      disk: diskWith({ statfs: async () => ({ bavail: free.bytes, bsize: 1 }) }),
      clock,
    });
    await filled(store, [...'abcdef']);
    free.bytes = 4500;
    for (let attempt = 0; attempt < 5; attempt += 1) {
      clock.forward(5000);
      await expect(store.blobs.add(bytesOf('g'))).rejects.toMatchObject({ code: 'ENOSPC' });
    }
    expect(kept(store, 'abcdef')).toBe('cdef');
  });

  test('counts what is promised but not yet written', async () => {
    const free = { bytes: 10_000 };
    const store = await opened({ keepFreeBytes: 5000, disk: diskOf(free), clock: standingClock() });
    const stage = await store.stage({ expectedSize: 3000 });
    await expect(store.stage({ expectedSize: 3000 })).rejects.toMatchObject({ code: 'ENOSPC' });
    await stage.write(bytesOf('a', 3000));
    await expect(store.stage({ expectedSize: 3000 })).rejects.toMatchObject({ code: 'ENOSPC' });
    await stage.discard();
  });

  test('is not asked of a disk that does not tell', async () => {
    const store = await opened({
      keepFreeBytes: 5000,
      disk: diskWith({ statfs: () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOSYS' })) }),
    });
    await filled(store, ['a']);
    expect(kept(store, 'a')).toBe('a');
  });
});

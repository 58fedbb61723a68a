import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { disk } from '../../src/store/disk.ts';
import { openStore } from '../../src/store/store.ts';
import { eventually } from '../support/wait.ts';
import {
  bytesOf,
  collected,
  digestFor,
  diskWith,
  fileOperations,
  folder,
  heard,
  opened,
  standingClock,
} from './opened.ts';

describe('facts', () => {
  test('are kept by namespace and key, over a restart', async () => {
    const path = await folder();
    const store = await opened({ path });
    store.facts<{ a: number }>('links').set('one', { a: 1 });
    store.facts('derived').set('one', 'other');
    expect(await store.facts('links').get('one')).toEqual({ a: 1 });
    await store.close();
    const again = await opened({ path });
    expect(await again.facts('links').get('one')).toEqual({ a: 1 });
    expect(await collected(again.facts('derived').entries())).toEqual([['one', 'other']]);
    again.facts('links').delete('one');
    expect(await again.facts('links').get('one')).toBeUndefined();
  });

  test('live as long as they are told to', async () => {
    const clock = standingClock(Date.now());
    const store = await opened({ clock });
    store.facts('x').set('one', 1, 5000);
    clock.forward(4999);
    expect(await store.facts('x').get('one')).toBe(1);
    clock.forward(1);
    expect(await store.facts('x').get('one')).toBeUndefined();
  });

  test('of a namespace that is no name are refused', async () => {
    const store = await opened();
    expect(() => store.facts('a"; drop table entry')).toThrow('name');
  });
});

describe('the start', () => {
  async function withBlobs(path: string, count = 20): Promise<void> {
    const store = await opened({ path });
    for (let i = 0; i < count; i += 1) await store.blobs.add(bytesOf(`${i}`));
    await store.close();
  }

  test('knows every blob from the index, without a look at the blobs', async () => {
    const path = await folder();
    await withBlobs(path);
    let looks = 0;
    const store = await opened({
      path,
      disk: diskWith({
        readdir: (folder) => {
          if (folder.includes('blobs')) looks += 1;
          return disk.readdir(folder);
        },
      }),
    });
    expect(store.usage()).toMatchObject({ blobs: 20, bytes: 20_000 });
    expect(store.blobs.has(digestFor('7'))).toBe(true);
    await store.scanned();
    expect(looks).toBe(0);
  });

  test.each<[string, (path: string) => void]>([
    ['without an index', (path) => rmSync(join(path, 'index'), { recursive: true })],
    ['with a damaged index', (path) => writeFileSync(join(path, 'index/index.sqlite'), 'nonsense'.repeat(1000))],
  ])('%s serves at once and knows every blob a little later', async (_, damage) => {
    heard('fault');
    const path = await folder();
    await withBlobs(path);
    damage(path);
    const held = Promise.withResolvers<void>();
    const store = await opened({
      path,
      disk: diskWith({
        readdir: async (folder) => {
          if (folder.includes('blobs')) await held.promise;
          return disk.readdir(folder);
        },
      }),
    });
    expect(store.blobs.has(digestFor('7'))).toBe(false);
    expect(await store.blobs.bytes(digestFor('7'))).toEqual(bytesOf('7'));
    expect(store.usage().blobs).toBe(1);
    held.resolve();
    await store.scanned();
    expect(store.usage()).toMatchObject({ blobs: 20, bytes: 20_000 });
    await store.close();
    expect((await opened({ path })).usage()).toMatchObject({ blobs: 20, bytes: 20_000 });
  });

  test('after a crash finds the blobs that the index had not heard of, and forgets those that are gone', async () => {
    const path = await folder();
    await withBlobs(path, 3);
    const crashed = await opened({ path });
    // As a crash leaves it: the store was opened, not closed, and its last blob is not in the index.
    const other = await opened({ path, index: 'memory' });
    await other.blobs.add(bytesOf('unheard of'));
    await other.blobs.delete(digestFor('1'));
    const store = await opened({ path });
    await store.scanned();
    expect(store.usage()).toMatchObject({ blobs: 3, bytes: 3000 });
    expect(store.blobs.has(digestFor('unheard of'))).toBe(true);
    expect(store.blobs.has(digestFor('1'))).toBe(false);
    await crashed.close();
  });

  test('counts as not finished in good order from the first moment on', async () => {
    const path = await folder();
    await withBlobs(path, 2);
    await opened({ path });
    // What a crash right now would leave.
    const left = join(await folder(), 'left');
    cpSync(path, left, { recursive: true });
    let looks = 0;
    const store = await opened({
      path: left,
      disk: diskWith({
        readdir: (folder) => {
          if (folder.includes('blobs')) looks += 1;
          return disk.readdir(folder);
        },
      }),
    });
    await store.scanned();
    expect(looks).toBeGreaterThan(0);
  });

  test('looks at every blob after another process died beside the one that closed last', async () => {
    const path = await folder();
    await withBlobs(path, 2);
    const store = await opened({ path });
    // As a process that was killed leaves it.
    writeFileSync(join(path, 'staging/1-0123456789ab.lock'), '');
    await store.close();
    let looks = 0;
    const after = await opened({
      path,
      disk: diskWith({
        readdir: (folder) => {
          if (folder.includes('blobs')) looks += 1;
          return disk.readdir(folder);
        },
      }),
    });
    await after.scanned();
    expect(looks).toBeGreaterThan(0);
  });

  test('without an index evicts by age of the files, once it knows them', async () => {
    const path = await folder();
    await withBlobs(path, 6);
    rmSync(join(path, 'index'), { recursive: true });
    for (const [index, name] of ['3', '1', '5', '0', '2', '4'].entries()) {
      const hex = digestFor(name).slice(7);
      await disk.utimes(join(path, 'blobs/v1/sha256', hex.slice(0, 2), hex.slice(2, 4), hex), 1e12 + index * 1000);
    }
    const store = await opened({ path, maxSizeBytes: 3000 });
    await store.scanned();
    expect(['0', '1', '2', '3', '4', '5'].filter((name) => store.blobs.has(digestFor(name)))).toEqual(['0', '2', '4']);
  });

  test('survives foreign files among the blobs', async () => {
    const path = await folder();
    await withBlobs(path, 2);
    mkdirSync(join(path, 'blobs/v1/sha256/lost+found'), { recursive: true });
    writeFileSync(join(path, 'blobs/v1/sha256/lost+found/#123'), 'x');
    writeFileSync(join(path, 'blobs/v1/sha256/README'), 'x');
    rmSync(join(path, 'index'), { recursive: true });
    const store = await opened({ path });
    await store.scanned();
    expect(store.usage().blobs).toBe(2);
  });

  test('makes its folder for the owner alone', async () => {
    const path = join(await folder(), 'deep/data');
    await opened({ path });
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  test('in a place that is no folder fails with a reason', async () => {
    const path = join(await folder(), 'file');
    writeFileSync(path, '');
    await expect(openStore({ path })).rejects.toThrow(path);
  });

  test.skipIf(process.getuid?.() === 0)(
    'in a folder that cannot be written serves what is there (root may write anywhere)',
    async () => {
      heard('fault');
      const path = await folder();
      await withBlobs(path, 2);
      chmodSync(path, 0o500);
      const store = await opened({ path });
      expect(await store.blobs.bytes(digestFor('1'))).toEqual(bytesOf('1'));
      chmodSync(path, 0o700);
    },
  );
});

describe('a disk that fails to write', () => {
  const refusals = ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO'];

  function failing(state: { code: string | undefined }) {
    return diskWith({
      open: async (path, flags, mode) => {
        const file = await disk.open(path, flags, mode);
        return {
          ...fileOperations(file),
          write: async (...args) => {
            if (state.code) throw Object.assign(new Error(state.code), { code: state.code });
            return file.write(...args);
          },
        };
      },
    });
  }

  test.each(refusals)('with %s is left alone for a while, serves on, and is used again when it works', async (code) => {
    const full = heard('store.full');
    const clock = standingClock();
    const state: { code: string | undefined } = { code: undefined };
    const store = await opened({ disk: failing(state), clock });
    await store.blobs.add(bytesOf('before'));

    state.code = code;
    const stage = await store.stage({});
    await expect(stage.write(bytesOf('a'))).rejects.toMatchObject({ code });
    await stage.discard();
    expect(store.health()).toMatchObject({ writable: false, usable: true, reason: expect.stringContaining(code) });
    expect(await store.blobs.bytes(digestFor('before'))).toEqual(bytesOf('before'));

    state.code = undefined;
    await expect(store.stage({})).rejects.toMatchObject({ code: 'ENOSPC' });
    clock.forward(5000);
    await store.blobs.add(bytesOf('after'));
    expect(store.health()).toEqual({ writable: true, usable: true });
    expect(full).toMatchObject([
      { full: true, reason: expect.stringContaining(code) },
      { full: false, reason: '' },
    ]);
    expect(store.usage()).toMatchObject({ blobs: 2, bytes: 2000, reservedBytes: 0 });
  });

  test('and still does when tried again stays full, and is not tried for every request', async () => {
    const full = heard('store.full');
    const clock = standingClock();
    const state: { code: string | undefined } = { code: 'ENOSPC' };
    const store = await opened({ disk: failing(state), clock });
    await expect(store.blobs.add(bytesOf('a'))).rejects.toMatchObject({ code: 'ENOSPC' });
    for (let attempt = 0; attempt < 5; attempt += 1) {
      clock.forward(2000);
      await expect(store.blobs.add(bytesOf('a'))).rejects.toMatchObject({ code: 'ENOSPC' });
    }
    expect(store.health().writable).toBe(false);
    expect(full).toHaveLength(1);
    expect(readdirSync(join(store.path, 'staging')).filter((name) => !name.endsWith('.lock'))).toEqual([]);
  });

  test('is tried again when somebody only asks for its health', async () => {
    const clock = standingClock();
    const state: { code: string | undefined } = { code: 'EIO' };
    const store = await opened({ disk: failing(state), clock });
    await expect(store.blobs.add(bytesOf('a'))).rejects.toMatchObject({ code: 'EIO' });
    state.code = undefined;
    clock.forward(5000);
    await eventually('the store is writable again', () => store.health().writable);
  });

  test('in the middle of a stage leaves what was written readable, and takes nothing after the gap', async () => {
    const state: { code: string | undefined } = { code: undefined };
    const store = await opened({ disk: failing(state), clock: standingClock() });
    const stage = await store.stage({});
    await stage.write(bytesOf('a'));
    state.code = 'ENOSPC';
    const failed = stage.write(bytesOf('b'));
    const next = stage.write(bytesOf('c'));
    await expect(failed).rejects.toMatchObject({ code: 'ENOSPC' });
    await expect(next).rejects.toMatchObject({ code: 'ENOSPC' });
    state.code = undefined;
    await expect(stage.write(bytesOf('d'))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(stage.size).toBe(1000);
    expect(await stage.read(0, 5000)).toEqual(bytesOf('a'));
    await expect(stage.commit(digestFor('a'))).rejects.toMatchObject({ code: 'ENOSPC' });
    await stage.discard();
  });
});

test('a closed store takes nothing new, leaves no process waiting, and can be closed again', async () => {
  const faults = heard('fault');
  const store = await opened();
  await store.blobs.add(bytesOf('a'));
  const reader = await store.blobs.open(digestFor('a'));
  await store.close();
  await store.close();
  expect(await reader?.read(0, 1000)).toEqual(bytesOf('a'));
  reader?.close();
  await expect(store.blobs.add(bytesOf('b'))).rejects.toThrow('closed');
  store.facts('x').set('one', 1);
  await store.flush();
  expect(readdirSync(join(store.path, 'staging'))).toEqual([]);
  expect(faults).toEqual([]);
});

test('a closed store has closed the files of its stages', async () => {
  const open = new Map<object, string>();
  const slow = diskWith({
    open: async (path, flags, mode) => {
      const file = await disk.open(path, flags, mode);
      open.set(file, path);
      return {
        ...fileOperations(file),
        async close() {
          for (let turn = 0; turn < 100; turn += 1) await disk.stat('.');
          await file.close();
          open.delete(file);
        },
      };
    },
  });
  const store = await opened({ disk: slow });
  const stage = await store.stage({});
  const release = stage.retain();
  await stage.discard();
  release();
  expect(open.size).toBeGreaterThan(0);
  await store.close();
  expect([...open.values()]).toEqual([]);
});

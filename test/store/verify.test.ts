import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { disk } from '../../src/store/disk.ts';
import { encodeEntry, hashOfKey } from '../../src/store/entries.ts';
import { blobName, entryName, sha256Hex } from '../../src/store/layout.ts';
import { verify } from '../../src/store/verify.ts';
import { bytesOf, collected, digestFor, diskWith, entryFor, fileOperations, folder, heard, opened } from './opened.ts';

function blobFile(path: string, name: string): string {
  return join(path, blobName(sha256Hex(digestFor(name)) ?? ''));
}

function keyOf(name: string) {
  return { source: 'x', path: `/${name}` };
}

function entryFile(path: string, name: string): string {
  return join(path, entryName(hashOfKey(keyOf(name))));
}

/** A closed store with blobs a to e and an entry for each. */
async function stored(names = 'abcde'): Promise<string> {
  const path = await folder();
  const store = await opened({ path });
  for (const name of names) {
    await store.blobs.add(bytesOf(name));
    await store.entries.put(keyOf(name), entryFor(digestFor(name), { size: 1000 }));
  }
  await store.close();
  return path;
}

test('a store that is whole is clean, and every blob was looked at', async () => {
  const path = await stored();
  const progress: (readonly [number, number])[] = [];
  const report = await verify({ path, onProgress: (...at) => progress.push(at) });
  expect(report).toMatchObject({
    checked: 5,
    bytes: 5000,
    damaged: [],
    danglingEntries: 0,
    sweptStaging: 0,
    indexRebuilt: false,
    clean: true,
  });
  expect(report.steps.map(({ name }) => name)).toContain('check blobs');
  expect(progress).toEqual([1, 2, 3, 4, 5].map((done) => [done, 5]));
});

test('where there is no store it says so, and makes none', async () => {
  const path = join(await folder(), 'mistyped');
  await expect(verify({ path })).rejects.toThrow(path);
  expect(existsSync(path)).toBe(false);
});

describe('a damaged blob', () => {
  test.each<[string, (file: string) => void]>([
    ['truncated', (file) => truncateSync(file, 10)],
    ['empty', (file) => truncateSync(file, 0)],
    ['longer', (file) => appendFileSync(file, 'x')],
    ['of the same length', (file) => writeFileSync(file, Buffer.alloc(1000, 1))],
  ])('%s is named and moved to quarantine, and its entry goes', async (_, damage) => {
    const damaged = heard('store.damaged');
    const path = await stored();
    damage(blobFile(path, 'c'));
    const report = await verify({ path });
    expect(report).toMatchObject({ checked: 5, danglingEntries: 1, clean: false });
    expect(report.damaged).toEqual([
      { digest: digestFor('c'), path: expect.stringContaining('blobs/v1'), reason: expect.stringContaining('sha256:') },
    ]);
    expect(damaged).toHaveLength(1);
    expect(readdirSync(join(path, 'quarantine'))).toEqual([expect.stringContaining(digestFor('c').slice(7))]);
    expect(await verify({ path })).toMatchObject({ checked: 4, clean: true, danglingEntries: 0 });
    const store = await opened({ path });
    expect(await store.entries.get(keyOf('c'))).toBeUndefined();
    expect(await store.blobs.open(digestFor('c'))).toBeUndefined();
    expect(store.usage()).toMatchObject({ blobs: 4, bytes: 4000 });
  });

  test('under a name where it does not belong is moved away', async () => {
    const path = await stored();
    renameSync(blobFile(path, 'c'), join(dirname(blobFile(path, 'c')), 'odd-name'));
    const report = await verify({ path });
    expect(report.damaged).toMatchObject([{ digest: '', path: expect.stringContaining('odd-name') }]);
    expect(report.danglingEntries).toBe(1);
    expect((await verify({ path })).clean).toBe(true);
  });

  test('that cannot be read is moved away', async () => {
    const path = await stored('a');
    const report = await verify({
      path,
      disk: diskWith({
        open: async (file, flags, mode) => {
          const opened = await disk.open(file, flags, mode);
          return {
            ...fileOperations(opened),
            read: async () => Promise.reject(Object.assign(new Error('broken'), { code: 'EIO' })),
          };
        },
      }),
    });
    expect(report.damaged).toMatchObject([{ digest: digestFor('a'), reason: expect.stringContaining('EIO') }]);
  });
});

describe('an entry', () => {
  test('whose blob is gone is removed, on the disk and in the index, and that is no damage', async () => {
    const path = await stored();
    rmSync(blobFile(path, 'b'));
    expect(await verify({ path })).toMatchObject({ clean: true, danglingEntries: 1 });
    expect(existsSync(entryFile(path, 'b'))).toBe(false);
    const store = await opened({ path });
    expect(await store.entries.get(keyOf('b'))).toBeUndefined();
    expect(await store.entries.get(keyOf('a'))).toMatchObject({ digest: digestFor('a') });
    expect(store.usage().blobs).toBe(4);
  });

  test('that only the index knows is removed when its blob is gone', async () => {
    const path = await stored('a');
    const store = await opened({ path });
    store.entries.touch(keyOf('z'), entryFor(digestFor('z')));
    store.entries.touch(keyOf('none'), { ...entryFor(undefined), status: 404 });
    await store.close();
    expect(await verify({ path })).toMatchObject({ danglingEntries: 1 });
    const again = await opened({ path });
    expect((await collected(again.entries.list())).map(({ key }) => key.path).sort()).toEqual(['/a', '/none']);
  });

  test('that tells another length than its blob has is removed', async () => {
    const path = await stored('a');
    const store = await opened({ path });
    await store.entries.put(keyOf('z'), entryFor(digestFor('a'), { size: 999 }));
    await store.close();
    expect(await verify({ path })).toMatchObject({ danglingEntries: 1, clean: true });
  });

  test.each<[string, (path: string) => void]>([
    ['torn', (path) => truncateSync(entryFile(path, 'b'), 40)],
    [
      'under the name of another',
      (path) => writeFileSync(entryFile(path, 'b'), encodeEntry({ key: keyOf('q'), entry: entryFor(digestFor('a')) })),
    ],
  ])('%s is named and moved to quarantine', async (_, damage) => {
    heard('store.damaged');
    const path = await stored();
    damage(path);
    const report = await verify({ path, rebuild: true });
    expect(report).toMatchObject({ clean: false, damaged: [{ path: expect.stringContaining('entries/v1') }] });
    expect((await verify({ path })).clean).toBe(true);
    expect(await (await opened({ path })).entries.get(keyOf('b'))).toBeUndefined();
  });
});

describe('the index', () => {
  test.each<[string, boolean, (path: string) => void]>([
    ['that is missing', true, (path) => rmSync(join(path, 'index'), { recursive: true })],
    ['that is no database', false, (path) => writeFileSync(join(path, 'index/index.sqlite'), 'x'.repeat(9000))],
    ['that is damaged inside', false, damageInside],
  ])('%s is made anew from what is on the disk', async (_, clean, damage) => {
    heard('fault');
    const path = await stored('abcdefghijklmnopqrstuvwxyz');
    damage(path);
    expect(await verify({ path })).toMatchObject({ indexRebuilt: true, clean, danglingEntries: 0 });
    // Without the entries on the disk, only the index can tell.
    rmSync(join(path, 'entries'), { recursive: true });
    const store = await opened({ path });
    expect(await store.entries.get(keyOf('b'))).toEqual(entryFor(digestFor('b'), { size: 1000 }));
    expect(store.usage().blobs).toBe(26);
  });

  test('is made anew on request, and knows nothing then that is not on the disk', async () => {
    const path = await stored('a');
    const store = await opened({ path });
    await store.entries.put(keyOf('none'), { ...entryFor(undefined), status: 404 });
    store.facts('links').set('kept', 1);
    await store.close();
    expect(await verify({ path, rebuild: true })).toMatchObject({ indexRebuilt: true, clean: true });
    const again = await opened({ path });
    expect(await again.entries.get(keyOf('none'))).toBeUndefined();
    expect(await again.entries.get(keyOf('a'))).toMatchObject({ status: 200 });
    expect(await again.facts('links').get('kept')).toBe(1);
  });

  test('learns of blobs it had not heard of, and forgets those that are gone', async () => {
    const path = await stored('abc');
    const unheard = await opened({ path, index: 'memory' });
    await unheard.blobs.add(bytesOf('z'));
    await unheard.blobs.delete(digestFor('a'));
    await unheard.close();
    await verify({ path });
    const store = await opened({ path });
    expect(store.usage()).toMatchObject({ blobs: 3, bytes: 3000 });
    expect([store.blobs.has(digestFor('z')), store.blobs.has(digestFor('a'))]).toEqual([true, false]);
  });
});

describe('beside a running server', () => {
  test('what is being written, read and looked up goes on', async () => {
    const path = await stored();
    const server = await opened({ path });
    const stage = await server.stage({});
    await stage.write(bytesOf('new').subarray(0, 500));
    const reader = await server.blobs.open(digestFor('a'));
    server.facts('links').set('one', 1);

    expect(await verify({ path, rebuild: true })).toMatchObject({ clean: true, sweptStaging: 0, checked: 5 });

    await stage.write(bytesOf('new').subarray(500));
    await stage.commit(digestFor('new'));
    await server.entries.put(keyOf('new'), entryFor(digestFor('new')));
    expect(await reader?.read(0, 1000)).toEqual(bytesOf('a'));
    reader?.close();
    expect(await server.blobs.bytes(digestFor('new'))).toEqual(bytesOf('new'));
    expect(await server.entries.get(keyOf('b'))).toMatchObject({ digest: digestFor('b') });
    expect(await server.facts('links').get('one')).toBe(1);
    await server.close();
    expect(await verify({ path })).toMatchObject({ clean: true, checked: 6, danglingEntries: 0 });
  });

  test('a blob that arrives while it looks is neither damaged nor missing', async () => {
    const path = await stored('ab');
    const server = await opened({ path });
    let arrived = false;
    const report = await verify({
      path,
      disk: diskWith({
        readdir: async (folder) => {
          const found = await disk.readdir(folder);
          // After the blobs were listed, before the entries are.
          if (folder.endsWith('entries/v1') && !arrived) {
            arrived = true;
            await server.blobs.add(bytesOf('late'));
            await server.entries.put(keyOf('late'), entryFor(digestFor('late'), { size: 1000 }));
            await server.flush();
          }
          return found;
        },
      }),
    });
    expect(arrived).toBe(true);
    expect(report).toMatchObject({ clean: true, danglingEntries: 0 });
    await server.close();
    const again = await opened({ path });
    expect(again.blobs.has(digestFor('late'))).toBe(true);
    expect(await again.entries.get(keyOf('late'))).toBeDefined();
  });

  test('a blob that is evicted while it looks is no damage', async () => {
    const path = await stored('ab');
    const report = await verify({
      path,
      disk: diskWith({
        open: async (file, flags, mode) => {
          if (file === blobFile(path, 'a')) rmSync(file, { force: true });
          return disk.open(file, flags, mode);
        },
      }),
    });
    expect(report).toMatchObject({ clean: true, checked: 1, danglingEntries: 1 });
  });
});

test('what dead processes left in staging is swept and counted', async () => {
  const path = await stored('a');
  mkdirSync(join(path, 'staging'), { recursive: true });
  writeFileSync(join(path, 'staging/1-0123456789ab-1'), 'x');
  writeFileSync(join(path, 'staging/1-0123456789ab.lock'), '');
  expect(await verify({ path })).toMatchObject({ sweptStaging: 1, clean: true });
  expect(readdirSync(join(path, 'staging'))).toEqual([]);
});

/** Overwrites the middle of the database, where rows are. */
function damageInside(path: string): void {
  const file = join(path, 'index/index.sqlite');
  const { size } = statSync(file);
  expect(size).toBeGreaterThan(20_000);
  const damage = Buffer.alloc(size - 8192, 0xa5);
  writeAt(file, damage, 4096);
}

function writeAt(file: string, bytes: Buffer, position: number): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, bytes, 0, bytes.length, position);
  closeSync(fd);
}

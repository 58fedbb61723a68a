import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { disk } from '../../src/store/disk.ts';
import { decodeEntry, type EntryKey, encodeEntry, hashOfKey } from '../../src/store/entries.ts';
import { entryName } from '../../src/store/layout.ts';
import { collected, digestFor, diskWith, entryFor, folder, heard, opened } from './opened.ts';

const key: EntryKey = { source: 'npmjs', path: '/lib/-/lib-1.0.0.tgz' };
const entry = entryFor(digestFor('lib'), { size: 1000, etag: '"v1"', headers: { 'x-kept': 'é' }, verified: 'digest' });

function fileOf(path: string, of = key): string {
  return join(path, entryName(hashOfKey(of)));
}

async function withoutIndex(path: string): Promise<Awaited<ReturnType<typeof opened>>> {
  rmSync(join(path, 'index'), { recursive: true });
  return opened({ path });
}

test('what was put is what one gets, also after a restart', async () => {
  const path = await folder();
  const store = await opened({ path });
  expect(await store.entries.get(key)).toBeUndefined();
  await store.entries.put(key, entry);
  expect(await store.entries.get(key)).toEqual(entry);
  await store.entries.put(key, { ...entry, checkedAt: 7 });
  expect(await store.entries.get(key)).toMatchObject({ checkedAt: 7 });
  await store.close();
  expect(await (await opened({ path })).entries.get(key)).toEqual({ ...entry, checkedAt: 7 });
});

test.each<[string, EntryKey, EntryKey]>([
  ['sources', { source: 'a', path: '/x' }, { source: 'b', path: '/x' }],
  ['paths', { source: 'a', path: '/x' }, { source: 'a', path: '/x?y' }],
  ['representations', { source: 'a', path: '/x' }, { source: 'a', path: '/x', representation: 'abbreviated' }],
  ['where one ends and the next begins', { source: 'a', path: 'b/x' }, { source: 'ab', path: '/x' }],
])('keys differ by %s', async (_, one, other) => {
  const { entries } = await opened();
  await entries.put(one, entry);
  expect(await entries.get(other)).toBeUndefined();
  await entries.put(other, { ...entry, checkedAt: 2 });
  expect(await entries.get(one)).toEqual(entry);
});

test('a path may be as long and as strange as a client likes', async () => {
  const path = await folder();
  const { entries } = await opened({ path });
  const strange = { source: 'x', path: `/${'../'.repeat(2000)}\0\n"é?a=b#c` };
  await entries.put(strange, entry);
  const store = await withoutIndex(path);
  expect(await store.entries.get(strange)).toEqual(entry);
});

describe('without its index', () => {
  test('what has bytes is found, what was only touched is as it was put', async () => {
    const path = await folder();
    const store = await opened({ path });
    await store.entries.put(key, entry);
    store.entries.touch(key, { ...entry, checkedAt: 99, gone: { count: 1, firstAt: 5, lastAt: 5 } });
    expect(await store.entries.get(key)).toMatchObject({ checkedAt: 99 });
    await store.close();
    const warm = await opened({ path });
    expect(await warm.entries.get(key)).toMatchObject({ checkedAt: 99, gone: { count: 1 } });
    await warm.close();
    expect(await (await withoutIndex(path)).entries.get(key)).toEqual(entry);
  });

  test('what upstream does not have is forgotten', async () => {
    const path = await folder();
    const store = await opened({ path });
    await store.entries.put(key, { status: 404, url: entry.url, fetchedAt: 1, checkedAt: 1 });
    expect(await store.entries.get(key)).toMatchObject({ status: 404 });
    await store.close();
    expect(await (await withoutIndex(path)).entries.get(key)).toBeUndefined();
  });

  test('an answer of 404 does not bring back what was there before', async () => {
    const path = await folder();
    const store = await opened({ path });
    await store.entries.put(key, entry);
    await store.entries.put(key, { status: 410, url: entry.url, fetchedAt: 1, checkedAt: 1 });
    await store.close();
    expect(await (await withoutIndex(path)).entries.get(key)).toBeUndefined();
  });
});

test('what was deleted is gone, from the disk too', async () => {
  const path = await folder();
  const { entries } = await opened({ path });
  await entries.put(key, entry);
  await entries.delete(key);
  await entries.delete(key);
  expect(await entries.get(key)).toBeUndefined();
  expect(existsSync(fileOf(path))).toBe(false);
  expect(await (await withoutIndex(path)).entries.get(key)).toBeUndefined();
});

test('everything is listed once, whether the index knows it or only the disk', async () => {
  const path = await folder();
  const store = await opened({ path });
  for (let i = 0; i < 5; i += 1) await store.entries.put({ source: 'a', path: `/${i}` }, entry);
  await store.close();
  const { entries } = await withoutIndex(path);
  await entries.get({ source: 'a', path: '/3' });
  await entries.put({ source: 'a', path: '/5' }, entry);
  await entries.put({ source: 'a', path: '/6' }, { status: 404, url: 'x', fetchedAt: 1, checkedAt: 1 });
  const paths = (await collected(entries.list())).map((one) => one.key.path);
  expect(paths.sort()).toEqual(['/0', '/1', '/2', '/3', '/4', '/5', '/6']);
});

describe('an entry on the disk that is torn', () => {
  const whole = encodeEntry({ key, entry });

  test.each<[string, string | Buffer]>([
    ['empty', ''],
    ['cut', whole.slice(0, -30)],
    ['cut by a byte', whole.slice(0, -1)],
    ['longer', `${whole}\n`],
    ['full of zeros', Buffer.alloc(whole.length)],
    ['changed', whole.replace('"status":200', '"status":410')],
    ['without its checksum', JSON.stringify({ key, entry })],
  ])('because it is %s counts as not there', async (_, bytes) => {
    const path = await folder();
    mkdirSync(dirname(fileOf(path)), { recursive: true });
    writeFileSync(fileOf(path), bytes);
    const { entries } = await opened({ path });
    expect(await entries.get(key)).toBeUndefined();
    expect(await collected(entries.list())).toEqual([]);
    await entries.put(key, entry);
    expect(decodeEntry(readFileSync(fileOf(path)))).toEqual({ key, entry });
  });

  test('and one that is not decodes to what it was', () => {
    expect(decodeEntry(Buffer.from(whole))).toEqual({ key, entry });
  });
});

test('puts of one key at the same time leave index and disk agreeing', async () => {
  const path = await folder();
  const store = await opened({ path });
  await Promise.all(Array.from({ length: 20 }, (_, at) => store.entries.put(key, { ...entry, checkedAt: at })));
  const last = await store.entries.get(key);
  expect(decodeEntry(readFileSync(fileOf(path)))?.entry).toEqual(last);
});

describe('a read that began before', () => {
  /** A store without an index, whose entries on the disk are read slowly enough for others to overtake. */
  async function slow(path: string, whenRead = (): void => {}): Promise<Awaited<ReturnType<typeof opened>>> {
    rmSync(join(path, 'index'), { recursive: true });
    return opened({
      path,
      disk: diskWith({
        readFile: async (file) => {
          const bytes = await disk.readFile(file);
          if (!file.endsWith('.json')) return bytes;
          whenRead();
          for (let turn = 0; turn < 500; turn += 1) await new Promise(setImmediate);
          return bytes;
        },
      }),
    });
  }

  async function stored(): Promise<string> {
    const path = await folder();
    const store = await opened({ path });
    await store.entries.put(key, entry);
    await store.close();
    return path;
  }

  test.each<[string, (store: Awaited<ReturnType<typeof opened>>) => Promise<void>]>([
    ['a put', (store) => store.entries.put(key, { ...entry, checkedAt: 9 })],
    ['a touch', async (store) => store.entries.touch(key, { ...entry, checkedAt: 9 })],
    [
      'a touch that comes a little later',
      async (store) => {
        for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
        store.entries.touch(key, { ...entry, checkedAt: 9 });
      },
    ],
  ])('%s does not bring the old entry back', async (_, change) => {
    const path = await stored();
    const store = await slow(path);
    await Promise.all([store.entries.get(key), change(store)]);
    expect(await store.entries.get(key)).toMatchObject({ checkedAt: 9 });
    await store.close();
    expect(await (await opened({ path })).entries.get(key)).toMatchObject({ checkedAt: 9 });
  });

  test('a delete does not bring the entry back', async () => {
    const path = await stored();
    const read = Promise.withResolvers<void>();
    const store = await slow(path, read.resolve);
    const reading = store.entries.get(key);
    await read.promise;
    await Promise.all([reading, store.entries.delete(key)]);
    await store.close();
    expect(await (await opened({ path })).entries.get(key)).toBeUndefined();
  });

  test('a touch, from the index, does not bring the old entry back either', async () => {
    const store = await opened({ path: await stored() });
    const reading = store.entries.get(key);
    store.entries.touch(key, { ...entry, checkedAt: 9 });
    await reading;
    expect(await store.entries.get(key)).toMatchObject({ checkedAt: 9 });
  });
});

test('what was read from the disk is in the index from then on', async () => {
  const path = await folder();
  const store = await opened({ path });
  await store.entries.put(key, entry);
  await store.close();
  const cold = await withoutIndex(path);
  await cold.entries.get(key);
  await cold.close();
  rmSync(join(path, 'entries'), { recursive: true });
  expect(await (await opened({ path })).entries.get(key)).toEqual(entry);
});

test('a disk that cannot be read makes entries count as not stored', async () => {
  heard('fault');
  const { entries, health } = await opened({
    disk: diskWith({ readFile: () => Promise.reject(Object.assign(new Error('broken'), { code: 'EIO' })) }),
  });
  expect(await entries.get(key)).toBeUndefined();
  expect(health().usable).toBe(false);
});

test('a disk that takes no entry rejects it, leaves the old one, and is said to be full', async () => {
  let full = false;
  const store = await opened({
    disk: diskWith({
      writeFile: (path, bytes) =>
        full ? Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })) : disk.writeFile(path, bytes),
    }),
  });
  await store.entries.put(key, entry);
  full = true;
  await expect(store.entries.put(key, { ...entry, checkedAt: 3 })).rejects.toMatchObject({ code: 'ENOSPC' });
  expect(await store.entries.get(key)).toEqual(entry);
  expect(store.health()).toMatchObject({ writable: false, reason: expect.stringContaining('full') });
});

test('an entry that cannot be put in its place leaves nothing in staging', async () => {
  const store = await opened({
    disk: diskWith({ rename: () => Promise.reject(Object.assign(new Error('no'), { code: 'EIO' })) }),
  });
  await expect(store.entries.put(key, entry)).rejects.toMatchObject({ code: 'EIO' });
  expect(readdirSync(join(store.path, 'staging')).filter((name) => !name.endsWith('.lock'))).toEqual([]);
});

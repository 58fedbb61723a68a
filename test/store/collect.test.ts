import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type CollectReport, collect } from '../../src/store/collect.ts';
import { disk } from '../../src/store/disk.ts';
import type { EntryKey } from '../../src/store/entries.ts';
import { blobName, trashName } from '../../src/store/layout.ts';
import { verify } from '../../src/store/verify.ts';
import { bytesOf, digestFor, diskWith, entryFor, folder, opened, standingClock } from './opened.ts';

const hour = 3_600_000;
const graceMs = hour;

function hexFor(name: string): string {
  return digestFor(name).slice('sha256:'.length);
}

/** A closed store: a and b have entries, c and f are part of derived documents, d and e are referred to by nothing. */
async function stored(): Promise<{ path: string; clock: ReturnType<typeof standingClock> }> {
  const path = await folder();
  const clock = standingClock(Date.now());
  const store = await opened({ path, clock });
  for (const name of 'abcdef') await store.blobs.add(bytesOf(name));
  await store.entries.put({ source: 'x', path: '/a' }, entryFor(digestFor('a')));
  store.entries.touch({ source: 'x', path: '/b' }, entryFor(undefined, { digests: [digestFor('b')] }));
  store.facts('derived').set('document', { parts: [{ body: `sha256:${hexFor('c').toUpperCase()}` }] });
  store.facts('derived').set('map', { [digestFor('f')]: true });
  store.facts('links').set('document', [digestFor('d')]);
  await store.close();
  clock.forward(2 * hour);
  return { path, clock };
}

function names(report: CollectReport): string {
  return [...'abcdefgh']
    .filter((name) => report.unreferenced.some(({ digest }) => digest === digestFor(name)))
    .join('');
}

test('a dry run tells what nothing refers to, and touches nothing', async () => {
  const { path, clock } = await stored();
  const report = await collect({ path, clock, graceMs, dryRun: true });
  expect(names(report)).toBe('de');
  expect(report).toMatchObject({ checked: 6, young: 0, trashed: 0, deleted: 0, freedBytes: 0 });
  expect(report.unreferenced[0]).toMatchObject({ sizeBytes: 1000 });
  expect(report.unreferenced[0]?.ageMs).toBeGreaterThanOrEqual(hour);
  expect((await opened({ path })).usage().blobs).toBe(6);
});

test('what nothing refers to goes to the trash, and one grace period later for good', async () => {
  const { path, clock } = await stored();
  expect(await collect({ path, clock, graceMs, dryRun: false })).toMatchObject({
    trashed: 2,
    trashedBytes: 2000,
    deleted: 0,
  });
  expect(existsSync(join(path, blobName(hexFor('d'))))).toBe(false);
  expect(existsSync(join(path, trashName(hexFor('d'))))).toBe(true);
  expect((await verify({ path })).clean).toBe(true);

  clock.forward(hour / 2);
  expect(await collect({ path, clock, graceMs, dryRun: false })).toMatchObject({ trashed: 0, deleted: 0 });
  clock.forward(hour);
  expect(await collect({ path, clock, graceMs, dryRun: true })).toMatchObject({ deleted: 0 });
  expect(await collect({ path, clock, graceMs, dryRun: false })).toMatchObject({ deleted: 2, freedBytes: 2000 });
  expect(existsSync(join(path, trashName(hexFor('d'))))).toBe(false);
  const store = await opened({ path });
  expect(store.usage()).toMatchObject({ blobs: 4, bytes: 4000 });
  for (const name of 'abc') expect(await store.blobs.bytes(digestFor(name))).toEqual(bytesOf(name));
});

test('without a grace period everything goes at once', async () => {
  const { path, clock } = await stored();
  expect(await collect({ path, clock, graceMs: 0, dryRun: false })).toMatchObject({ trashed: 2, deleted: 2 });
  expect(readdirSync(join(path, 'trash'), { recursive: true, withFileTypes: true }).filter((e) => e.isFile())).toEqual(
    [],
  );
});

test('what is protected stays', async () => {
  const { path, clock } = await stored();
  const isProtected = (digest: string): boolean => digest === digestFor('d');
  expect(names(await collect({ path, clock, graceMs, dryRun: true, isProtected }))).toBe('e');
});

describe('what is in the trash', () => {
  test('comes back when somebody asks for it', async () => {
    const { path, clock } = await stored();
    await collect({ path, clock, graceMs, dryRun: false });
    const store = await opened({ path, clock });
    expect(await store.blobs.bytes(digestFor('d'))).toEqual(bytesOf('d'));
    expect(store.usage().blobs).toBe(5);
    await store.close();
    clock.forward(2 * hour);
    expect(await collect({ path, clock, graceMs: 24 * hour, dryRun: false })).toMatchObject({ trashed: 0, deleted: 0 });
    expect(await (await opened({ path })).blobs.bytes(digestFor('d'))).toEqual(bytesOf('d'));
  });

  test('goes back when something refers to it again', async () => {
    const { path, clock } = await stored();
    await collect({ path, clock, graceMs, dryRun: false });
    const store = await opened({ path, clock });
    await store.entries.put({ source: 'x', path: '/e' }, entryFor(digestFor('e')));
    await store.close();
    clock.forward(2 * hour);
    expect(await collect({ path, clock, graceMs, dryRun: false })).toMatchObject({ deleted: 1 });
    expect(existsSync(join(path, blobName(hexFor('e'))))).toBe(true);
  });
});

describe('beside a running server', () => {
  test('what is young, staged or being read is never taken', async () => {
    const { path, clock } = await stored();
    const server = await opened({ path, clock });
    const reader = await server.blobs.open(digestFor('e'));
    const stage = await server.stage({});
    await stage.write(bytesOf('h'));
    await server.blobs.add(bytesOf('g'));
    const now = clock();
    await disk.utimes(join(path, blobName(hexFor('g'))), now - hour + 1000);

    const report = await collect({ path, clock, graceMs, dryRun: false });
    expect(names(report)).toBe('de');
    expect(report.young).toBe(1);
    expect(await reader?.read(0, 1000)).toEqual(bytesOf('e'));
    reader?.close();
    await stage.commit(digestFor('h'));
    expect(await server.blobs.bytes(digestFor('h'))).toEqual(bytesOf('h'));
    expect(await server.blobs.bytes(digestFor('g'))).toEqual(bytesOf('g'));
  });

  test.each<[string, (server: Awaited<ReturnType<typeof opened>>) => Promise<void>]>([
    [
      'an entry refers to it',
      async (server) => {
        await server.entries.put({ source: 'x', path: '/late' }, entryFor(digestFor('d')));
      },
    ],
    [
      'it is committed once more',
      async (server) => {
        const stage = await server.stage({});
        await stage.write(bytesOf('d'));
        await stage.commit(digestFor('d'));
      },
    ],
  ])('a blob stays when, between the two looks, %s', async (_, meanwhile) => {
    const { path, clock } = await stored();
    const server = await opened({ path, clock });
    let looks = 0;
    const report = await collect({
      path,
      clock,
      graceMs,
      dryRun: false,
      disk: diskWith({
        readdir: async (folder) => {
          // The second look at the entries begins.
          if (folder.endsWith('entries/v1')) {
            looks += 1;
            if (looks === 2) await meanwhile(server);
          }
          return disk.readdir(folder);
        },
      }),
    });
    expect(looks).toBeGreaterThan(1);
    expect(report).toMatchObject({ trashed: 1 });
    expect(existsSync(join(path, blobName(hexFor('d'))))).toBe(true);
    expect(existsSync(join(path, blobName(hexFor('e'))))).toBe(false);
  });

  test('a blob that was taken out and is asked for comes back at once', async () => {
    const { path, clock } = await stored();
    const server = await opened({ path, clock });
    expect(await server.blobs.bytes(digestFor('d'))).toEqual(bytesOf('d'));
    await collect({ path, clock, graceMs, dryRun: false });
    clock.forward(60_000);
    expect(await server.blobs.bytes(digestFor('d'))).toEqual(bytesOf('d'));
    expect(statSync(join(path, blobName(hexFor('d')))).size).toBe(1000);
  });
});

test('where there is no store it says so', async () => {
  const path = join(await folder(), 'mistyped');
  await expect(collect({ path, graceMs, dryRun: true })).rejects.toThrow(path);
});

test('an index that does not answer ends it before anything is taken', async () => {
  const { path, clock } = await stored();
  const collecting = collect({ path, clock, graceMs, dryRun: false, index: 'redis://127.0.0.1:1' });
  await expect(collecting).rejects.toThrow('nothing was collected');
  expect((await opened({ path })).usage().blobs).toBe(6);
});

describe('entries of bytes that were evicted', () => {
  const key = (path: string): EntryKey => ({ source: 'x', path });

  async function evicted(): Promise<{ path: string; clock: ReturnType<typeof standingClock> }> {
    const kept = await stored();
    const store = await opened({ ...kept });
    for (const name of ['a', 'b', 'd'])
      await store.entries.put(
        key(`/${name}`),
        entryFor(digestFor(name), { fetchedAt: kept.clock(), checkedAt: kept.clock() }),
      );
    await store.blobs.delete(digestFor('a'));
    await store.blobs.delete(digestFor('d'));
    await store.close();
    return kept;
  }

  const filesOf = (path: string): number =>
    readdirSync(join(path, 'entries'), { recursive: true, withFileTypes: true }).filter((found) => found.isFile())
      .length;

  test('are forgotten once they are older than the grace period, on the disk and in the index', async () => {
    const { path, clock } = await evicted();
    expect(await collect({ path, clock, graceMs, dryRun: false })).toMatchObject({ dangling: 0, forgotten: 0 });
    clock.forward(2 * hour);
    expect(await collect({ path, clock, graceMs, dryRun: true })).toMatchObject({ dangling: 2, forgotten: 0 });
    expect(filesOf(path)).toBe(3);
    expect(await collect({ path, clock, graceMs, dryRun: false })).toMatchObject({ dangling: 2, forgotten: 2 });
    expect(filesOf(path)).toBe(1);
    const store = await opened({ path, clock });
    expect(await store.entries.get(key('/a'))).toBeUndefined();
    expect(await store.entries.get(key('/d'))).toBeUndefined();
    expect((await store.entries.get(key('/b')))?.digest).toBe(digestFor('b'));
  });

  test('stay when they were asked for a moment ago, which only the index knows', async () => {
    const { path, clock } = await evicted();
    clock.forward(2 * hour);
    const store = await opened({ path, clock });
    store.entries.touch(key('/a'), entryFor(digestFor('a'), { checkedAt: clock() }));
    await store.close();
    expect(await collect({ path, clock, graceMs, dryRun: false })).toMatchObject({ forgotten: 1 });
    expect(await (await opened({ path, clock })).entries.get(key('/a'))).toBeDefined();
  });

  test('stay while their bytes are in the trash, from where they come back', async () => {
    const { path, clock } = await evicted();
    clock.forward(2 * hour);
    await mkdir(dirname(join(path, trashName(hexFor('a')))), { recursive: true });
    await writeFile(join(path, trashName(hexFor('a'))), bytesOf('a'));
    await collect({ path, clock, graceMs, dryRun: false });
    expect(await (await opened({ path, clock })).entries.get(key('/a'))).toBeDefined();
  });

  test('all stay where there is not a single blob: a volume may be missing', async () => {
    const { path, clock } = await evicted();
    clock.forward(2 * hour);
    await rename(join(path, 'blobs'), join(path, 'elsewhere'));
    expect(await collect({ path, clock, graceMs, dryRun: false })).toMatchObject({ dangling: 0, forgotten: 0 });
    expect(filesOf(path)).toBe(3);
  });
});

/**
 * Every disk operation fails once, in every way a disk can fail. Whatever happened, nothing half-written is ever a hit,
 * the store is clean afterwards, and what failed works when it is done again.
 */
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { collect } from '../../src/store/collect.ts';
import type { EntryKey } from '../../src/store/entries.ts';
import { openStore, type Store, type StoreOptions } from '../../src/store/store.ts';
import { verify } from '../../src/store/verify.ts';
import { bytesOf, digestFor } from '../store/named-bytes.ts';
import { type Fault, type FaultyDisk, faults, faultyDisk } from '../support/faulty-disk.ts';

/** Thousands of syncs: where there is a file system in memory, nobody waits for a disk. */
const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

async function temporaryFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(base, 'larder-faults-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

const names = ['kept', 'streamed', 'small', 'again'];

function keyOf(name: string): EntryKey {
  return { source: 'x', path: `/${name}` };
}

async function enter(store: Store, name: string): Promise<void> {
  const digest = digestFor(name);
  await store.entries.put(keyOf(name), { status: 200, url: name, digest, size: 1000, fetchedAt: 1, checkedAt: 1 });
}

async function stream(store: Store, name: string): Promise<void> {
  const stage = await store.stage({});
  const release = stage.retain();
  try {
    await stage.write(bytesOf(name).subarray(0, 600));
    await stage.write(bytesOf(name).subarray(600));
    expect((await stage.read(590, 20)).equals(bytesOf(name).subarray(590, 610))).toBe(true);
    await stage.commit(digestFor(name));
    expect((await stage.read(0, 1000)).equals(bytesOf(name))).toBe(true);
  } finally {
    release();
    await stage.discard();
  }
}

/** What a server does, each step by itself: after one fails the others go on. */
const steps: Record<string, (store: Store) => Promise<unknown>> = {
  'add a blob': (store) => store.blobs.add(bytesOf('small')),
  'stream a blob': (store) => stream(store, 'streamed'),
  'enter them': async (store) => {
    if (await store.blobs.bytes(digestFor('small'))) await enter(store, 'small');
    if (await store.blobs.bytes(digestFor('streamed'))) await enter(store, 'streamed');
  },
  'commit what is there already': (store) => stream(store, 'kept'),
  'replace an entry': (store) => enter(store, 'kept'),
  'read a blob': (store) => mustBeRight(store, 'kept'),
  'evict for a new one': async (store) => {
    await store.blobs.add(bytesOf('again'));
    await enter(store, 'again');
  },
  'delete a blob': (store) => store.blobs.delete(digestFor('again')),
  'delete an entry': (store) => store.entries.delete(keyOf('again')),
};

/** A hit is right or it is no hit. */
async function mustBeRight(store: Store, name: string): Promise<void> {
  const entry = await store.entries.get(keyOf(name));
  const bytes = entry?.digest && (await store.blobs.bytes(entry.digest));
  if (bytes && !bytes.equals(bytesOf(name))) throw new Error(`a hit with wrong bytes: ${name}`);
}

function expectInjected(error: unknown): void {
  const told = String(error);
  if (!/injected|ENOSPC|EIO|disk|no room/.test(told)) throw error;
}

async function scenario(options: StoreOptions): Promise<void> {
  let store: Store;
  try {
    store = await openStore(options);
  } catch (error) {
    return expectInjected(error);
  }
  for (const step of Object.values(steps)) await step(store).catch(expectInjected);
  await store.close();
}

/** Without anybody's help, the next start accounts for every blob there is. */
async function everyBlobIsCounted(options: StoreOptions): Promise<void> {
  const store = await openStore({ ...options, maxSizeBytes: 1_000_000 });
  await store.scanned();
  const files = await readdir(join(options.path, 'blobs'), { recursive: true, withFileTypes: true });
  expect(store.usage().blobs).toBe(files.filter((file) => file.isFile()).length);
  await store.close();
}

/** With a disk that works again: clean, no wrong hit, and everything can be done. */
async function aftermath(options: StoreOptions, maxSizeBytes: number): Promise<void> {
  const report = await verify(options);
  expect(report.damaged).toEqual([]);
  const store = await openStore({ ...options, maxSizeBytes });
  try {
    for (const name of names) await mustBeRight(store, name);
    for (const step of Object.values(steps)) await step(store);
    await store.scanned();
    for (const name of ['kept', 'streamed']) {
      expect((await store.blobs.bytes(digestFor(name)))?.equals(bytesOf(name))).toBe(true);
      expect(await store.entries.get(keyOf(name))).toMatchObject({ digest: digestFor(name) });
    }
    expect(store.usage()).toMatchObject({ reservedBytes: 0 });
    expect(store.usage().bytes).toBeLessThanOrEqual(maxSizeBytes);
    expect(store.health()).toEqual({ writable: true, usable: true });
  } finally {
    await store.close();
  }
}

/** Makes copies of a store that holds one blob and its entry. */
async function template(): Promise<() => Promise<{ path: string; remove(): Promise<void> }>> {
  const { path: original, remove } = await temporaryFolder();
  onTestFinished(remove);
  const store = await openStore({ path: original, keepFreeBytes: 0 });
  await store.blobs.add(bytesOf('kept'));
  await enter(store, 'kept');
  await store.close();
  return async () => {
    const copy = await temporaryFolder();
    await cp(original, copy.path, { recursive: true });
    return copy;
  };
}

/** Runs `work` with the n-th operation failing, for every n until none fails any more; returns what failed. */
async function forEveryOperation(
  fault: Fault,
  work: (disk: FaultyDisk) => Promise<void>,
  which?: (operation: string) => boolean,
): Promise<ReadonlySet<string>> {
  const failed = new Set<string>();
  for (let failAt = 1; ; failAt += 1) {
    const disk = faultyDisk(failAt, fault, which);
    try {
      await work(disk);
    } catch (error) {
      throw new Error(`after operation ${failAt} failed (${disk.failed})`, { cause: error });
    }
    if (!disk.failed) return failed;
    failed.add(disk.failed);
  }
}

const writing = ['open', 'write', 'writeFile', 'mkdir', 'link', 'rename', 'datasync'];

const kinds: readonly (readonly [name: keyof typeof faults, operations: readonly string[] | 'all'])[] = [
  ['full: nothing, or only half, is written', writing],
  ['broken: nothing, or only half, is written', 'all'],
  ['broken: it is done, but reported as failed', 'all'],
  ['short: half is written and said so', ['write']],
];

describe.each(kinds)('a disk that is %s', (name, operations) => {
  test('once, at any operation, costs that operation and nothing else', { timeout: 60_000 }, async () => {
    const copy = await template();
    const which = (operation: string): boolean => operations === 'all' || operations.includes(operation);
    const failed = await forEveryOperation(
      faults[name],
      async (disk) => {
        const { path, remove } = await copy();
        const options = { path, maxSizeBytes: 3500, keepFreeBytes: 1 };
        try {
          await scenario({ ...options, disk });
          expect(disk.leftOpen).toEqual([]);
          await everyBlobIsCounted(options);
          await aftermath(options, options.maxSizeBytes);
        } finally {
          await remove();
        }
      },
      which,
    );
    const expected = operations === 'all' ? [...writing, 'unlink', 'close', 'readdir', 'statNow'] : operations;
    expect([...failed]).toEqual(expect.arrayContaining([...expected]));
  });
});

describe('a disk that fails once', () => {
  const fault = faults['broken: nothing, or only half, is written'];

  test('while the store is verified leaves it as whole as it was', { timeout: 60_000 }, async () => {
    const { path, remove } = await (await template())();
    onTestFinished(remove);
    const options = { path, keepFreeBytes: 1 };
    const failed = await forEveryOperation(fault, async (disk) => {
      await verify({ ...options, disk, rebuild: true }).catch(expectInjected);
      const store = await openStore(options);
      const entry = await store.entries.get(keyOf('kept'));
      const bytes = await store.blobs.bytes(digestFor('kept'));
      expect([entry?.digest, bytes && digestOf(bytes)]).toEqual([digestFor('kept'), digestFor('kept')]);
      await store.close();
      expect((await verify(options)).clean).toBe(true);
    });
    expect(failed).toContain('readFile');
  });

  test('while it is collected loses nothing that is referred to', { timeout: 60_000 }, async () => {
    const { path, remove } = await (await template())();
    onTestFinished(remove);
    const options = { path, keepFreeBytes: 1 };
    const failed = await forEveryOperation(fault, async (disk) => {
      const store = await openStore(options);
      await store.blobs.add(bytesOf('forgotten'));
      await store.close();
      const clock = (): number => Date.now() + 3_600_000;
      await collect({ ...options, disk, clock, graceMs: 60_000, dryRun: false }).catch(expectInjected);
      const again = await openStore(options);
      expect((await again.blobs.bytes(digestFor('kept')))?.equals(bytesOf('kept'))).toBe(true);
      await again.close();
      expect((await verify(options)).clean).toBe(true);
    });
    expect(failed).toContain('rename');
  });
});

import { appendFileSync, chmodSync, existsSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { blobName, sha256Hex } from '../../src/store/layout.ts';
import { blobsConformance } from '../conformance/blobs.ts';
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

blobsConformance('disk', () => opened({ index: 'memory' }));

function fileOf(path: string, name: string, size?: number): string {
  return join(path, blobName(sha256Hex(digestFor(name, size)) ?? ''));
}

test('a blob lies below its digest, for the owner alone', async () => {
  const { path, blobs } = await opened();
  await blobs.add(bytesOf('one'));
  const hex = sha256Hex(digestFor('one')) ?? '';
  const file = join(path, 'blobs/v1/sha256', hex.slice(0, 2), hex.slice(2, 4), hex);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(join(path, 'blobs')).mode & 0o777).toBe(0o700);
  expect(statSync(join(path, 'staging')).mode & 0o777).toBe(0o700);
});

test('nothing stays in staging after a commit or a discard', async () => {
  const { path, blobs, stage } = await opened();
  await blobs.add(bytesOf('one'));
  const again = await stage({});
  await again.write(bytesOf('one'));
  await again.commit(digestFor('one'));
  const never = await stage({});
  await never.write(bytesOf('two'));
  await never.discard();
  expect(readdirSync(join(path, 'staging')).filter((name) => !name.endsWith('.lock'))).toEqual([]);
});

describe('a blob that is damaged on disk', () => {
  test.each<[string, (file: string) => void]>([
    ['shorter', (file) => truncateSync(file, 10)],
    ['empty', (file) => truncateSync(file, 0)],
    ['longer', (file) => appendFileSync(file, 'more')],
  ])('because it is %s is not there, goes to quarantine, and can be stored anew', async (_, damage) => {
    const damaged = heard('store.damaged');
    const path = await folder();
    const before = await opened({ path });
    await before.blobs.add(bytesOf('one'));
    await before.close();
    damage(fileOf(path, 'one'));
    const { blobs, usage } = await opened({ path });
    expect(await blobs.open(digestFor('one'))).toBeUndefined();
    expect(blobs.has(digestFor('one'))).toBe(false);
    expect(damaged).toMatchObject([{ digest: digestFor('one'), reason: expect.stringContaining('1000') }]);
    expect(readdirSync(join(path, 'quarantine'))).toHaveLength(1);
    expect(usage().bytes).toBe(0);
    await blobs.add(bytesOf('one'));
    expect(await blobs.bytes(digestFor('one'))).toEqual(bytesOf('one'));
  });

  test('because it is empty is found out even where nobody knows its length', async () => {
    const damaged = heard('store.damaged');
    const path = await folder();
    const before = await opened({ path });
    await before.blobs.add(bytesOf('one'));
    await before.close();
    truncateSync(fileOf(path, 'one'), 0);
    rmSync(join(path, 'index'), { recursive: true });
    const { blobs, scanned } = await opened({ path });
    await scanned();
    expect(await blobs.open(digestFor('one'))).toBeUndefined();
    expect(damaged).toHaveLength(1);
  });

  test('makes way for a commit of the right bytes', async () => {
    const { path, stage, blobs } = await opened();
    await blobs.add(bytesOf('one'));
    truncateSync(fileOf(path, 'one'), 10);
    const again = await stage({});
    await again.write(bytesOf('one'));
    await again.commit(digestFor('one'));
    expect(await blobs.bytes(digestFor('one'))).toEqual(bytesOf('one'));
    expect(readdirSync(join(path, 'quarantine'))).toHaveLength(1);
  });

  test('while it is being read fails the read instead of giving fewer bytes', async () => {
    const { path, blobs } = await opened();
    await blobs.add(bytesOf('one'));
    const blob = await blobs.open(digestFor('one'));
    truncateSync(fileOf(path, 'one'), 500);
    await expect(blob?.read(0, 1000)).rejects.toMatchObject({ code: 'EIO' });
    blob?.close();
  });
});

describe('a blob whose file vanished', () => {
  test('is not there, and no longer counted', async () => {
    const { path, blobs, usage } = await opened();
    await blobs.add(bytesOf('one'));
    rmSync(fileOf(path, 'one'));
    expect(await blobs.open(digestFor('one'))).toBeUndefined();
    expect(usage()).toMatchObject({ bytes: 0, blobs: 0 });
  });

  test('is not there although it was read a moment ago', async () => {
    const { path, blobs } = await opened();
    await blobs.add(bytesOf('one'));
    expect(await blobs.bytes(digestFor('one'))).toEqual(bytesOf('one'));
    rmSync(fileOf(path, 'one'));
    expect(await blobs.open(digestFor('one'))).toBeUndefined();
  });

  test('and was stored again by another process is found', async () => {
    const path = await folder();
    const [one, other] = [await opened({ path }), await opened({ path })];
    await one.blobs.add(bytesOf('one'));
    expect(await other.blobs.bytes(digestFor('one'))).toEqual(bytesOf('one'));
    expect(other.usage()).toMatchObject({ blobs: 1, bytes: 1000 });
  });
});

describe('open files', () => {
  test('of a blob in demand are shared and reused, and opened by name again after a while', async () => {
    let opens = 0;
    const clock = standingClock();
    const { open } = diskWith({});
    const disk = diskWith({
      open: (path, flags, mode) => {
        if (path.includes('/blobs/')) opens += 1;
        return open(path, flags, mode);
      },
    });
    const { blobs } = await opened({ disk, clock });
    await blobs.add(bytesOf('one'));
    const readers = await Promise.all(Array.from({ length: 20 }, () => blobs.open(digestFor('one'))));
    expect(opens).toBe(1);
    expect(new Set(readers.map((blob) => blob?.fd)).size).toBe(1);
    for (const reader of readers) reader?.close();
    expect(await blobs.bytes(digestFor('one'))).toEqual(bytesOf('one'));
    expect(opens).toBe(1);
    clock.forward(60_000);
    expect(await blobs.bytes(digestFor('one'))).toEqual(bytesOf('one'));
    expect(opens).toBe(2);
  });

  test('are closed: of many blobs read one after the other few stay open', async () => {
    const { blobs, close } = await opened();
    const before = readdirSync('/dev/fd').length;
    for (let i = 0; i < 300; i += 1) await blobs.bytes(await blobs.add(bytesOf(`file ${i}`)));
    expect(readdirSync('/dev/fd').length - before).toBeLessThan(200);
    await close();
    expect(readdirSync('/dev/fd').length - before).toBeLessThan(5);
  });

  test('of a deleted blob give its space back, also when it was just read', async () => {
    const { blobs, path } = await opened();
    await blobs.bytes(await blobs.add(bytesOf('one', 1007)));
    expect(await blobs.delete(digestFor('one', 1007))).toBe(true);
    await eventually('no descriptor holds a deleted file', () => !holdsDeleted(1007));
    expect(existsSync(fileOf(path, 'one', 1007))).toBe(false);
  });

  test('that are kept for comfort go when descriptors run out', async () => {
    let spare = Number.POSITIVE_INFINITY;
    const { open } = diskWith({});
    const disk = diskWith({
      open: async (path, flags, mode) => {
        if (!path.includes('/blobs/')) return open(path, flags, mode);
        if (spare < 1) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
        spare -= 1;
        const file = await open(path, flags, mode);
        return {
          ...fileOperations(file),
          close: () => {
            spare += 1;
            return file.close();
          },
        };
      },
    });
    const { blobs } = await opened({ disk });
    await blobs.add(bytesOf('one'));
    await blobs.add(bytesOf('two'));
    spare = 1;
    expect(await blobs.bytes(digestFor('one'))).toEqual(bytesOf('one'));
    expect(await blobs.bytes(digestFor('two'))).toEqual(bytesOf('two'));
    const reader = await blobs.open(digestFor('two'));
    await expect(blobs.open(digestFor('one'))).rejects.toMatchObject({ code: 'EMFILE' });
    reader?.close();
  });
});

describe('a file system', () => {
  test.each(['EPERM', 'ENOTSUP', 'EMLINK'])(
    'without hard links (%s) gets a rename, and an existing blob stays',
    async (code) => {
      const disk = diskWith({ link: () => Promise.reject(Object.assign(new Error(code), { code })) });
      const { path, blobs, stage } = await opened({ disk });
      await blobs.add(bytesOf('one'));
      const { ino } = statSync(fileOf(path, 'one'));
      const again = await stage({});
      await again.write(bytesOf('one'));
      await again.commit(digestFor('one'));
      expect(statSync(fileOf(path, 'one')).ino).toBe(ino);
      expect(await blobs.bytes(digestFor('one'))).toEqual(bytesOf('one'));
    },
  );

  test('that is stored while somebody looks for it in vain is not forgotten', async () => {
    const reached = Promise.withResolvers<void>();
    const until = Promise.withResolvers<void>();
    const missed = Promise.withResolvers<void>();
    const { link, open } = diskWith({});
    const disk = diskWith({
      open: (path, flags, mode) =>
        open(path, flags, mode).catch((error: unknown) => {
          if (path.includes('/blobs/')) missed.resolve();
          throw error;
        }),
      link: async (from, to) => {
        if (to.includes('/blobs/')) {
          reached.resolve();
          await until.promise;
        }
        await link(from, to);
      },
    });
    const { blobs, usage } = await opened({ disk });
    const storing = blobs.add(bytesOf('one'));
    await reached.promise;
    const reading = blobs.bytes(digestFor('one'));
    // What follows waits for its turn.
    await missed.promise;
    until.resolve();
    await storing;
    expect(await reading).toEqual(bytesOf('one'));
    expect(blobs.has(digestFor('one'))).toBe(true);
    expect(usage().bytes).toBe(bytesOf('one').length);
  });

  test('that cannot be read makes the blob count as not stored, and the store say that it is unusable', async () => {
    const faults = heard('fault');
    let broken = false;
    const { open } = diskWith({});
    const disk = diskWith({
      open: (path, flags, mode) =>
        broken && path.includes('/blobs/')
          ? Promise.reject(Object.assign(new Error('broken'), { code: 'EIO' }))
          : open(path, flags, mode),
    });
    const { blobs, health } = await opened({ disk });
    await blobs.add(bytesOf('one'));
    broken = true;
    expect(await blobs.open(digestFor('one'))).toBeUndefined();
    expect(health()).toMatchObject({ usable: false, reason: expect.stringContaining('EIO') });
    expect(faults).toHaveLength(1);
    broken = false;
    expect(await blobs.bytes(digestFor('one'))).toEqual(bytesOf('one'));
    expect(health()).toEqual({ writable: true, usable: true });
  });

  test.skipIf(process.getuid?.() === 0)(
    'that forbids reading counts as unusable too (root may read anything)',
    async () => {
      heard('fault');
      const { path, blobs, health } = await opened();
      await blobs.add(bytesOf('one'));
      chmodSync(fileOf(path, 'one'), 0);
      expect(await blobs.open(digestFor('one'))).toBeUndefined();
      expect(health().usable).toBe(false);
    },
  );
});

test('a staged file that became shorter fails the read instead of giving fewer bytes', async () => {
  const { path, stage } = await opened();
  const staged = await stage({});
  await staged.write(bytesOf('one'));
  for (const name of readdirSync(join(path, 'staging'))) {
    if (!name.endsWith('.lock')) truncateSync(join(path, 'staging', name), 500);
  }
  await expect(staged.read(0, 1000)).rejects.toMatchObject({ code: 'EIO' });
  expect(await staged.read(0, 500)).toEqual(bytesOf('one').subarray(0, 500));
  await staged.discard();
});

test('a commit of what is there already makes the blob young again', async () => {
  const clock = standingClock();
  const { path, blobs, stage } = await opened({ clock });
  await blobs.add(bytesOf('one'));
  clock.forward(3_600_000);
  const again = await stage({});
  await again.write(bytesOf('one'));
  await again.commit(digestFor('one'));
  expect(statSync(fileOf(path, 'one')).mtimeMs).toBe(clock());
});

import { chmodSync, existsSync, linkSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Digest, digestOf } from '../../src/core/digest.ts';
import { disk } from '../../src/store/disk.ts';
import { lockFile } from '../../src/store/process-lock.ts';
import type { Store } from '../../src/store/store.ts';
import { type HeldUpload, sessionMs, type UploadOwner } from '../../src/store/uploads.ts';
import { faults, faultyDisk } from '../support/faulty-disk.ts';
import { bytesOf, diskWith, fileOperations, folder, heard, opened, standingClock } from './opened.ts';

const owner: UploadOwner = { repository: 'acme/hub', name: 'app', by: 'user:acme/ann' };
const limit = 1_000_000;
const nobodys = '0b6a3d1e-0000-4000-8000-000000000000';

async function* pieces(...some: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* some;
}

/** Sends bytes in a request of their own. */
async function send(store: Store, id: string, ...some: readonly Uint8Array[]): Promise<void> {
  const held = (await store.uploads.hold(id, owner)) as HeldUpload;
  await held.append(pieces(...some), limit).finally(() => held.release());
}

async function begun(store: Store, ...some: readonly Uint8Array[]): Promise<string> {
  const held = await store.uploads.open(owner);
  await held.append(pieces(...some), limit).finally(() => held.release());
  return held.id;
}

async function finish(store: Store, id: string, digest: Digest): Promise<void> {
  const held = (await store.uploads.hold(id, owner)) as HeldUpload;
  try {
    await held.verify(digest);
    await held.commit(digest);
  } finally {
    await held.release();
  }
}

const filesIn = (path: string): string[] => {
  const uploads = join(path, 'uploads/v1');
  return existsSync(uploads) ? readdirSync(uploads) : [];
};

const one = bytesOf('one', 1000);
const two = bytesOf('two', 300);
const both = Buffer.concat([one, two]);

describe('an upload', () => {
  test('is locked from the first one on, into an empty folder', async () => {
    const troubles = heard('fault');
    const store = await opened();
    const held = await store.uploads.open(owner);
    const other = await opened({ path: store.path });
    expect(await other.uploads.hold(held.id, owner).catch((error: Error) => error.message)).toContain(
      'Another request',
    );
    await held.release();
    expect(troubles).toEqual([]);
  });

  test('in one piece becomes a blob, and nothing else stays', async () => {
    const store = await opened();
    const id = await begun(store, one);
    await finish(store, id, digestOf(one));
    expect(await store.blobs.bytes(digestOf(one))).toEqual(one);
    expect(filesIn(store.path)).toEqual([]);
    expect(store.usage()).toMatchObject({ bytes: 1000, reservedBytes: 0 });
    expect(await store.uploads.hold(id, owner)).toBeUndefined();
  });

  test('in several requests goes on where it was', async () => {
    const store = await opened();
    const id = await begun(store);
    expect(await store.uploads.sizeOf(id, owner)).toBe(0);
    await send(store, id, one);
    expect(await store.uploads.sizeOf(id, owner)).toBe(1000);
    await send(store, id, two);
    await finish(store, id, digestOf(both));
    expect(await store.blobs.bytes(digestOf(both))).toEqual(both);
  });

  test('goes on after a restart', async () => {
    const path = await folder();
    const before = await opened({ path });
    const id = await begun(before, one);
    await before.close();
    const after = await opened({ path });
    expect(after.usage().reservedBytes).toBe(1000);
    await send(after, id, two);
    await finish(after, id, digestOf(both));
    expect(await after.blobs.bytes(digestOf(both))).toEqual(both);
    expect(after.usage().reservedBytes).toBe(0);
  });

  test('goes on in another process on the folder, and back', async () => {
    const path = await folder();
    const here = await opened({ path });
    const there = await opened({ path });
    const id = await begun(here, one);
    await send(there, id, two);
    await send(here, id, one);
    const all = Buffer.concat([both, one]);
    await finish(there, id, digestOf(all));
    expect(await there.blobs.bytes(digestOf(all))).toEqual(all);
    expect(await here.uploads.sizeOf(id, owner)).toBeUndefined();
  });

  test('of bytes that are a blob already is dropped for that one', async () => {
    const store = await opened();
    await store.blobs.add(one);
    const id = await begun(store, one);
    await finish(store, id, digestOf(one));
    expect(filesIn(store.path)).toEqual([]);
    expect(store.usage()).toMatchObject({ bytes: 1000, reservedBytes: 0 });
  });

  test('of nothing is the empty blob', async () => {
    const store = await opened();
    const id = await begun(store);
    await finish(store, id, digestOf(Buffer.alloc(0)));
    expect(await store.blobs.bytes(digestOf(Buffer.alloc(0)))).toEqual(Buffer.alloc(0));
  });

  test('is told by sha256 and by whatever else is asked for', async () => {
    const store = await opened();
    const id = await begun(store, one, two);
    const held = (await store.uploads.hold(id, owner)) as HeldUpload;
    onTestFinished(() => held.release());
    expect(await held.verify(digestOf(both, 'sha512'))).toEqual([digestOf(both), digestOf(both, 'sha512')]);
    expect(await held.verify(digestOf(both))).toEqual([digestOf(both)]);
    expect(await held.read(990, 20)).toEqual(both.subarray(990, 1010));
    expect(await held.read(1295, 20)).toHaveLength(5);
  });

  test('is on the disk before it is a blob', async () => {
    const steps: string[] = [];
    const store = await opened({
      disk: diskWith({
        async open(path, flags, mode) {
          const file = await disk.open(path, flags, mode);
          if (!path.endsWith('.data')) return file;
          return {
            ...fileOperations(file),
            datasync: async () => {
              await file.datasync();
              steps.push('synced');
            },
          };
        },
        async link(from, to) {
          await disk.link(from, to);
          if (to.includes('/blobs/')) steps.push('linked');
        },
      }),
    });
    const id = await begun(store, one);
    await finish(store, id, digestOf(one));
    expect(steps).toEqual(['synced', 'linked']);
  });

  test('of another digest ends', async () => {
    const store = await opened();
    const id = await begun(store, one);
    await expect(finish(store, id, digestOf(two))).rejects.toMatchObject({ code: 'digest_mismatch' });
    expect(filesIn(store.path)).toEqual([]);
    expect(store.usage()).toMatchObject({ bytes: 0, reservedBytes: 0 });
    expect(await store.uploads.sizeOf(id, owner)).toBeUndefined();
  });

  test('that is given up leaves nothing', async () => {
    const store = await opened();
    const id = await begun(store, one);
    const held = (await store.uploads.hold(id, owner)) as HeldUpload;
    await held.discard();
    await held.release();
    expect(filesIn(store.path)).toEqual([]);
    expect(store.usage().reservedBytes).toBe(0);
  });

  test('above the limit ends', async () => {
    const store = await opened();
    const id = await begun(store, one);
    const held = (await store.uploads.hold(id, owner)) as HeldUpload;
    await expect(held.append(pieces(two, two), 1500)).rejects.toMatchObject({ code: 'too_large' });
    await held.release();
    expect(filesIn(store.path)).toEqual([]);
  });

  test('whose request broke off keeps what came', async () => {
    const store = await opened();
    const id = await begun(store);
    const held = (await store.uploads.hold(id, owner)) as HeldUpload;
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield one;
      throw new Error('gone');
    }
    await expect(held.append(broken(), limit)).rejects.toThrow('gone');
    await held.release();
    expect(await store.uploads.sizeOf(id, owner)).toBe(1000);
    await send(store, id, two);
    await finish(store, id, digestOf(both));
  });
});

describe('a session', () => {
  test.each([
    ['repository', { ...owner, repository: 'acme/other' }],
    ['name', { ...owner, name: 'other' }],
    ['owner', { ...owner, by: 'user:acme/bob' }],
  ])('is unknown to another %s', async (_what, other) => {
    const store = await opened();
    const id = await begun(store, one);
    expect(await store.uploads.sizeOf(id, other)).toBeUndefined();
    expect(await store.uploads.hold(id, other)).toBeUndefined();
  });

  test.each(['', '..', '../../index/larder', '0', nobodys, `${nobodys}.json`])(
    'that is none is unknown: %j',
    async (id) => {
      const store = await opened();
      expect(await store.uploads.sizeOf(id, owner)).toBeUndefined();
      expect(await store.uploads.hold(id, owner)).toBeUndefined();
    },
  );

  test('is written to by one request at a time', async () => {
    const store = await opened();
    const id = await begun(store, one);
    const held = (await store.uploads.hold(id, owner)) as HeldUpload;
    await expect(store.uploads.hold(id, owner)).rejects.toMatchObject({ code: 'conflict' });
    await held.release();
    await held.release();
    const again = (await store.uploads.hold(id, owner)) as HeldUpload;
    expect(again.size).toBe(1000);
    await again.release();
  });

  test('is written to by one process at a time', async () => {
    const path = await folder();
    const here = await opened({ path });
    const there = await opened({ path });
    const id = await begun(here, one);
    const held = (await here.uploads.hold(id, owner)) as HeldUpload;
    await expect(there.uploads.hold(id, owner)).rejects.toMatchObject({ code: 'conflict' });
    await held.release();
    await ((await there.uploads.hold(id, owner)) as HeldUpload).release();
  });

  test('ends a day after it began, also for who has it', async () => {
    const clock = standingClock(Date.now());
    const store = await opened({ clock });
    const id = await begun(store, one);
    clock.forward(sessionMs - 1);
    expect(await store.uploads.sizeOf(id, owner)).toBe(1000);
    clock.forward(1);
    expect(await store.uploads.sizeOf(id, owner)).toBeUndefined();
    await begun(store);
    expect(await store.uploads.sweep()).toBe(0);
    expect(filesIn(store.path).filter((name) => name.startsWith(id))).toEqual([]);
    expect(store.usage().reservedBytes).toBe(0);
  });

  test('that is too old is swept at the next start, and what is left of others', async () => {
    const path = await folder();
    const clock = standingClock(Date.now());
    const store = await opened({ path, clock });
    await begun(store, one);
    const left = crypto.randomUUID();
    writeFileSync(join(path, 'uploads/v1', `${left}.data`), 'bytes of a session without an owner');
    writeFileSync(join(path, 'uploads/v1', `${crypto.randomUUID()}.json`), '{"repository":');
    await store.close();
    await (await opened({ path, clock })).close();
    expect(filesIn(path).length).toBeGreaterThan(2);
    clock.forward(sessionMs + 60_000);
    const after = await opened({ path, clock });
    expect(filesIn(path)).toEqual([]);
    expect(after.usage().reservedBytes).toBe(0);
  });

  test('that somebody else works on is not swept', async () => {
    const path = await folder();
    const clock = standingClock(Date.now());
    const store = await opened({ path, clock });
    const id = await begun(store, one);
    const lock = lockFile(join(path, 'uploads/v1', `${id}.lock`));
    clock.forward(sessionMs);
    expect(await store.uploads.sweep()).toBe(0);
    lock?.release();
    expect(await store.uploads.sweep()).toBe(1);
  });

  test('whose file is a blob already is not written to again', async () => {
    const store = await opened();
    const id = await begun(store, one);
    const data = join(store.path, 'uploads/v1', `${id}.data`);
    linkSync(data, join(store.path, 'blob'));
    expect(await store.uploads.hold(id, owner)).toBeUndefined();
    expect(statSync(join(store.path, 'blob')).size).toBe(1000);
    expect(filesIn(store.path)).toEqual([]);
  });

  test('whose file is gone has ended', async () => {
    const store = await opened();
    const id = await begun(store, one);
    rmSync(join(store.path, 'uploads/v1', `${id}.data`));
    expect(await store.uploads.sizeOf(id, owner)).toBeUndefined();
    expect(await store.uploads.hold(id, owner)).toBeUndefined();
    expect(filesIn(store.path)).toEqual([]);
  });
});

describe('space', () => {
  test('is reserved before it is written', async () => {
    const store = await opened({ maxSizeBytes: 1200 });
    const id = await begun(store, one);
    expect(store.usage().reservedBytes).toBe(1000);
    await expect(send(store, id, two)).rejects.toMatchObject({ code: 'ENOSPC' });
  });

  test('is made by what is only cached', async () => {
    const store = await opened({ maxSizeBytes: 1200 });
    await store.blobs.add(two);
    await begun(store, one);
    expect(store.blobs.has(digestOf(two))).toBe(false);
  });

  test('that the disk does not have is told, and the session goes on when there is some', async () => {
    let full = true;
    const clock = standingClock(Date.now());
    const store = await opened({
      clock,
      disk: diskWith({
        async open(path, flags, mode) {
          const file = await disk.open(path, flags, mode);
          if (!path.endsWith('.data')) return file;
          return {
            ...fileOperations(file),
            write: async (bytes, offset, length, position) => {
              if (!full) return file.write(bytes, offset, length, position);
              await file.write(bytes, offset, 100, position);
              throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
            },
          };
        },
      }),
    });
    const held = await store.uploads.open(owner);
    await expect(held.append(pieces(one), limit)).rejects.toMatchObject({ code: 'ENOSPC' });
    await held.release();
    expect(store.health().writable).toBe(false);
    full = false;
    clock.forward(10_000);
    expect(await store.uploads.sizeOf(held.id, owner)).toBe(100);
    await send(store, held.id, one.subarray(100));
    await finish(store, held.id, digestOf(one));
  });
});

test('files are for the owner of the process alone', async () => {
  const store = await opened();
  const id = await begun(store, one);
  for (const kind of ['json', 'data']) {
    expect(statSync(join(store.path, 'uploads/v1', `${id}.${kind}`)).mode & 0o077).toBe(0);
  }
  expect(statSync(join(store.path, 'uploads/v1')).mode & 0o077).toBe(0);
});

test.skipIf(process.getuid?.() === 0)(
  'a folder that may not be read does not keep the store from opening',
  async () => {
    const path = await folder();
    const store = await opened({ path });
    await begun(store, one);
    await store.close();
    chmodSync(join(path, 'uploads/v1'), 0);
    await opened({ path });
    chmodSync(join(path, 'uploads/v1'), 0o700);
  },
);

describe('a disk that is', () => {
  const kinds = Object.entries(faults).filter(([name]) => name.startsWith('broken'));

  test.each(kinds)('%s, once, costs one request and nothing else', async (_name, fault) => {
    for (let failAt = 1; ; failAt++) {
      let armed = false;
      const failing = faultyDisk(failAt, fault, () => armed);
      const clock = standingClock(Date.now());
      const store = await opened({ disk: failing, clock });
      let id = '';
      armed = true;
      try {
        id = await begun(store, one);
        await send(store, id, two);
        await finish(store, id, digestOf(both));
      } catch {
        // Whoever uploads hears of it, and asks how far it came.
      }
      failing.heal();
      clock.forward(10_000);
      if (!(await store.blobs.bytes(digestOf(both)))) {
        const size = (await store.uploads.sizeOf(id, owner)) ?? 0;
        if (size === 0) id = await begun(store);
        await send(store, id, both.subarray(size));
        await finish(store, id, digestOf(both));
      }
      expect(await store.blobs.bytes(digestOf(both)), failing.failed).toEqual(both);
      clock.forward(sessionMs);
      await store.uploads.sweep();
      expect(filesIn(store.path), failing.failed).toEqual([]);
      expect(store.usage().reservedBytes, failing.failed).toBe(0);
      armed = false;
      await store.close();
      expect(failing.leftOpen, failing.failed).toEqual([]);
      if (failing.failed === undefined) break;
    }
  });
});

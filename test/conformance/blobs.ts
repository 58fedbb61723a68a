/** What every store of bytes must do. Called with a constructor; a store's own test adds what is peculiar to it. */
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/core/digest.ts';
import type { OpenStage, Stage } from '../../src/core/staging.ts';
import type { Blobs } from '../../src/store/blobs.ts';

export interface BlobStore {
  readonly blobs: Blobs;
  readonly stage: OpenStage;
  usage(): { readonly bytes: number; readonly blobs: number; readonly reservedBytes: number };
}

/** `open` makes an empty store that ends with the test. */
export function blobsConformance(name: string, open: () => Promise<BlobStore>): void {
  const some = Buffer.from('some bytes, and then some more');
  const digest = digestOf(some);

  async function staged(store: BlobStore, bytes: Uint8Array = some, expectedSize?: number): Promise<Stage> {
    const stage = await store.stage(expectedSize === undefined ? {} : { expectedSize });
    for (let from = 0; from < bytes.length; from += 7) await stage.write(bytes.subarray(from, from + 7));
    return stage;
  }

  describe(`${name}: blobs`, () => {
    test('what is added can be opened by its digest and read at any position', async () => {
      const { blobs } = await open();
      expect(await blobs.add(some)).toBe(digest);
      expect(blobs.has(digest)).toBe(true);
      const blob = await blobs.open(digest);
      expect(blob?.size).toBe(some.length);
      expect(await blob?.read(0, some.length)).toEqual(some);
      expect(await blob?.read(5, 3)).toEqual(some.subarray(5, 8));
      expect(await blob?.read(some.length - 2, 100)).toEqual(some.subarray(-2));
      expect(await blob?.read(some.length + 5, 100)).toHaveLength(0);
      blob?.close();
    });

    test('readInto fills a buffer of the caller, up to the end of the blob', async () => {
      const { blobs } = await open();
      await blobs.add(some);
      const blob = await blobs.open(digest);
      const buffer = Buffer.alloc(some.length);
      expect(await blob?.readInto(buffer, 10)).toBe(some.length - 10);
      expect(buffer.subarray(0, some.length - 10)).toEqual(some.subarray(10));
      expect(await blob?.readInto(buffer.subarray(0, 4), 0)).toBe(4);
      expect(await blob?.readInto(buffer, some.length)).toBe(0);
      blob?.close();
    });

    test.each<[string, Digest]>([
      ['a digest nobody stored', digestOf(Buffer.from('other'))],
      ['another algorithm', digestOf(some, 'sha512')],
      ['something that is no digest', 'sha256:../../../etc/passwd'],
      ['upper case', `sha256:${digest.slice(7).toUpperCase()}`],
    ])('is not there: %s', async (_, asked) => {
      const { blobs } = await open();
      await blobs.add(some);
      expect(await blobs.open(asked)).toBeUndefined();
      expect(await blobs.bytes(asked)).toBeUndefined();
      expect(blobs.has(asked)).toBe(false);
      expect(await blobs.delete(asked)).toBe(false);
    });

    test('no bytes at all are a blob too', async () => {
      const { blobs } = await open();
      expect(await blobs.bytes(await blobs.add(Buffer.alloc(0)))).toHaveLength(0);
    });

    test('the same bytes added often, also at once, are one blob', async () => {
      const store = await open();
      await Promise.all(Array.from({ length: 8 }, () => store.blobs.add(some)));
      await store.blobs.add(some);
      expect(store.usage()).toMatchObject({ blobs: 1, bytes: some.length, reservedBytes: 0 });
      expect(await store.blobs.bytes(digest)).toEqual(some);
    });

    test('a deleted blob is gone and can be added again', async () => {
      const store = await open();
      await store.blobs.add(some);
      expect(await store.blobs.delete(digest)).toBe(true);
      expect(await store.blobs.open(digest)).toBeUndefined();
      expect(store.usage()).toMatchObject({ blobs: 0, bytes: 0 });
      expect(await store.blobs.delete(digest)).toBe(false);
      await store.blobs.add(some);
      expect(await store.blobs.bytes(digest)).toEqual(some);
    });

    test('a blob that is being read is not deleted', async () => {
      const { blobs } = await open();
      await blobs.add(some);
      const [one, other] = [await blobs.open(digest), await blobs.open(digest)];
      one?.close();
      one?.close();
      expect(await blobs.delete(digest)).toBe(false);
      expect(await other?.read(0, 4)).toEqual(some.subarray(0, 4));
      other?.close();
      expect(await blobs.delete(digest)).toBe(true);
    });

    test('a quarantined blob is gone for new readers, and old ones finish', async () => {
      const { blobs } = await open();
      await blobs.add(some);
      const reader = await blobs.open(digest);
      await blobs.quarantine(digest, 'test');
      expect(blobs.has(digest)).toBe(false);
      expect(await blobs.open(digest)).toBeUndefined();
      expect(await reader?.read(0, some.length)).toEqual(some);
      reader?.close();
      await blobs.add(some);
      expect(await blobs.bytes(digest)).toEqual(some);
    });
  });

  describe(`${name}: stages`, () => {
    test('bytes are readable while they arrive, and no blob before the commit', async () => {
      const store = await open();
      const stage = await store.stage({ expectedSize: some.length });
      await stage.write(some.subarray(0, 10));
      expect(stage.size).toBe(10);
      expect(await stage.read(0, 100)).toEqual(some.subarray(0, 10));
      expect(await stage.read(4, 2)).toEqual(some.subarray(4, 6));
      expect(await stage.read(10, 5)).toHaveLength(0);
      await stage.write(some.subarray(10));
      expect(await stage.read(8, 100)).toEqual(some.subarray(8));
      expect(await store.blobs.open(digest)).toBeUndefined();
      await stage.commit(digest);
      expect(await store.blobs.bytes(digest)).toEqual(some);
      await stage.discard();
      expect(await store.blobs.bytes(digest)).toEqual(some);
    });

    test('writes that do not wait for each other arrive in order', async () => {
      const store = await open();
      const stage = await store.stage({});
      await Promise.all(Array.from(some, (_, index) => stage.write(some.subarray(index, index + 1))));
      expect(await stage.read(0, 100)).toEqual(some);
      await stage.discard();
    });

    test.each(['commit', 'discard'] as const)('who retains it reads on after %s', async (end) => {
      const store = await open();
      const stage = await staged(store);
      const release = stage.retain();
      await (end === 'commit' ? stage.commit(digest) : stage.discard());
      expect(await stage.read(3, 5)).toEqual(some.subarray(3, 8));
      release();
      release();
      await expect(stage.read(3, 5)).rejects.toThrow();
    });

    test('a discarded stage leaves nothing, and discarding again is harmless', async () => {
      const store = await open();
      const stage = await staged(store, some, 1000);
      expect(store.usage().reservedBytes).toBe(1000);
      await Promise.all([stage.discard(), stage.discard()]);
      await stage.discard();
      expect(store.usage()).toMatchObject({ bytes: 0, blobs: 0, reservedBytes: 0 });
      expect(await store.blobs.open(digest)).toBeUndefined();
    });

    test.each([
      ['nothing was promised', undefined],
      ['less was promised', 3],
      ['more was promised', 10_000],
    ])('reserves what it takes, when %s', async (_, expectedSize) => {
      const store = await open();
      const stage = await staged(store, some, expectedSize);
      expect(store.usage().reservedBytes).toBe(Math.max(some.length, expectedSize ?? 0));
      await stage.commit(digest);
      expect(store.usage()).toMatchObject({ bytes: some.length, reservedBytes: 0 });
    });

    test('many at once, with the same bytes, become one blob', async () => {
      const store = await open();
      const stages = await Promise.all(Array.from({ length: 6 }, () => staged(store)));
      await Promise.all(stages.map((stage) => stage.commit(digest)));
      expect(store.usage()).toMatchObject({ bytes: some.length, blobs: 1, reservedBytes: 0 });
      expect(await store.blobs.bytes(digest)).toEqual(some);
    });

    test('is over after its end: no write, no second commit', async () => {
      const store = await open();
      const stage = await staged(store);
      await stage.commit(digest);
      await expect(stage.write(some)).rejects.toThrow();
      await expect(stage.commit(digest)).rejects.toThrow();
      expect(await store.blobs.bytes(digest)).toEqual(some);
    });

    test('a commit under a digest of another algorithm is refused', async () => {
      const store = await open();
      const stage = await staged(store);
      await expect(stage.commit(digestOf(some, 'sha512'))).rejects.toThrow('sha256');
      await stage.discard();
    });
  });
}

/** Downloads into the real store while its disk fails: who asks gets the right bytes, and the store is clean afterwards. */
import { expect, onTestFinished, test } from 'vitest';
import type { Digest } from '../../src/core/digest.ts';
import { openStore } from '../../src/store/store.ts';
import { verify } from '../../src/store/verify.ts';
import { createDownloads, type DownloadRequest } from '../../src/upstream/download.ts';
import { faults, faultyDisk } from '../support/faulty-disk.ts';
import { temporaryFolder } from '../support/folder.ts';
import { collect, expectBytes, sample, scene, sha256 } from '../upstream/download-scene.ts';

const body = sample(400_000);
const digest = sha256(body);

test.each(Object.entries(faults))(
  'the n-th operation of the disk is %s, for every n until none fails',
  async (_name, fault) => {
    const { upstream, request } = await scene();
    let isClean = false;
    for (let n = 1; !isClean; n += 1) {
      const folder = await temporaryFolder();
      onTestFinished(() => folder.remove());
      let isArmed = false;
      const disk = faultyDisk(n, fault, () => isArmed);
      const store = await openStore({ path: folder.path, index: 'memory', disk });
      // Small enough for readers to need the file.
      const downloads = createDownloads({ stage: store.stage, windowBytes: 70_000, backoffMs: 1, lingerMs: 1 });
      const wanted: Partial<DownloadRequest> = {
        expected: [digest],
        store: (stage, facts) => stage.commit(facts.digests[0] as Digest),
      };
      upstream.at('/file', { body, etag: '"1"', cuts: [150_000] });

      isArmed = true;
      const { download } = downloads.start('file', () => request(wanted));
      const readers = [download.read(), download.read(100_000, 300_000), download.read(399_999)];
      const slow = download.read();
      const got = await Promise.allSettled(readers.map(collect));
      const late = await Promise.allSettled([collect(slow)]);
      const done = await download.done;
      isArmed = false;
      const hint = `${n}: ${disk.failed}`;
      const wants = [body, body.subarray(100_000, 300_000), body.subarray(399_999), body];
      for (const [index, result] of [...got, ...late].entries()) {
        if (result.status === 'fulfilled') expectBytes(result.value, wants[index] as Buffer, hint);
        // Whose own bytes can't be read has nothing to get.
        else expect([hint, disk.failed]).toEqual([hint, 'read']);
      }

      const blob = await store.blobs.bytes(digest);
      if (done.stored) expectBytes(blob ?? Buffer.alloc(0), body, hint);
      await downloads.drain(1000);
      await store.close();
      // The file outlasts its last reader by the time that is kept for one who is on the way.
      await expect.poll(() => [hint, ...disk.leftOpen]).toEqual([hint]);
      isClean = disk.failed === undefined;
      if (isClean) expect(done.stored).toBe(true);

      expect((await verify({ path: folder.path, index: 'memory' })).damaged, hint).toEqual([]);
      const reopened = await openStore({ path: folder.path, index: 'memory' });
      const again = createDownloads({ stage: reopened.stage }).start('file', () => request(wanted)).download;
      expectBytes(await collect(again.read()), body, hint);
      expect(await again.done, hint).toMatchObject({ stored: true });
      expectBytes((await reopened.blobs.bytes(digest)) ?? Buffer.alloc(0), body, hint);
      await reopened.close();
    }
  },
);

test('a store that may not grow any more passes bytes through, and says that it did not keep them', async () => {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const store = await openStore({ path: folder.path, index: 'memory', maxSizeBytes: 300_000 });
  onTestFinished(() => store.close());
  const { upstream, start } = await scene({ stage: store.stage });
  for (const length of [undefined, false as const]) {
    upstream.at('/file', { body, ...(length === undefined ? {} : { length }) });
    const download = start({ expected: [digest] });
    expectBytes(await collect(download.read()), body);
    expect(await download.done).toMatchObject({ stored: false, verified: 'digest' });
  }
  expect(store.usage()).toMatchObject({ blobs: 0, bytes: 0, reservedBytes: 0 });
});

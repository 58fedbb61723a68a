import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { DownloadReader } from '../../src/upstream/download.ts';
import { collect, fromBuffer, randomFrom, sha256Of, synthetic } from '../support/bytes.ts';
import { scene } from './download-scene.ts';

const blockSize = 64 * 1024;
// Made before memory is measured, and sent without copies.
const body = fromBuffer(collect(synthetic(100 * 1024 * 1024)));

/** Every block begins with its own number: cheaper to check for 200 readers than a digest, and as telling about places. */
async function check(reader: DownloadReader, from: number, isLazy: () => boolean, leaveAt: number): Promise<number> {
  let at = from;
  let wrong = 0;
  for await (const chunk of reader) {
    const firstBlock = Math.ceil(at / blockSize);
    for (let start = firstBlock * blockSize; start + 4 <= at + chunk.length; start += blockSize) {
      if (chunk.readUInt32LE(start - at) !== start / blockSize) wrong += 1;
    }
    at += chunk.length;
    if (at >= leaveAt) break;
    if (isLazy()) await turn();
  }
  expect(wrong).toBe(0);
  return at;
}

test('200 readers of 100 MB, half of them leaving and upstream cutting three times, cost one download and little memory', async () => {
  const random = randomFrom(7);
  const { upstream, start, stages } = await scene();
  const cuts = [10_000_000, 50_000_000, 90_000_000];
  upstream.at('/file', { body, etag: '"1"', cuts });
  globalThis.gc?.();
  const before = process.memoryUsage();
  let mostRss = 0;
  let mostOutside = 0;
  const watch = setInterval(() => {
    const { rss, arrayBuffers } = process.memoryUsage();
    mostRss = Math.max(mostRss, rss);
    mostOutside = Math.max(mostOutside, arrayBuffers);
  }, 20);

  const digest = `sha256:${sha256Of(body)}` as const;
  const download = start({ expected: [digest], keepGoing: false, store: async () => {} });
  const readers = Array.from({ length: 200 }, (_, index) => {
    const from = index % 5 === 1 ? Math.floor(random() * body.size) : 0;
    const leaveAt = index % 2 === 0 ? Math.floor(random() * body.size) : Number.POSITIVE_INFINITY;
    const laziness = index % 10 === 3 ? 0.5 : 0;
    const end = check(download.read(from), from, () => random() < laziness, leaveAt);
    return { end, leaveAt };
  });
  for (const { end, leaveAt } of readers) {
    const at = await end;
    if (leaveAt === Number.POSITIVE_INFINITY) expect(at).toBe(body.size);
  }
  expect(await download.done).toMatchObject({ size: body.size, verified: 'digest' });
  clearInterval(watch);
  expect(upstream.count('/file')).toBe(1 + cuts.length);
  expect(stages.steps.filter((step) => step === 'open')).toHaveLength(1);
  expect(mostRss - before.rss).toBeLessThan(150 * 1024 * 1024);
  expect(mostOutside - before.arrayBuffers).toBeLessThan(100 * 1024 * 1024);
});

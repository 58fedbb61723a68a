/** A whole server whose upstream breaks off: once at every byte, and at every kind of place for big files. */
import { afterAll, expect, test, vi } from 'vitest';
import { sha256Of, synthetic } from '../support/bytes.ts';
import type { PublishedVersion } from '../support/fake-registry.ts';
import { scene } from '../support/scene.ts';

const { registry, upstream, larder } = await scene({}, afterAll);
const atOnce = 50;
// Thousands of answers, on a machine that may have others to serve.
vi.setConfig({ testTimeout: 60_000 });

async function inGroups<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += atOnce) await Promise.all(items.slice(from, from + atOnce).map(work));
}

function sizeOf(bytes: PublishedVersion['bytes']): number {
  return Buffer.isBuffer(bytes) ? bytes.length : bytes.size;
}

test('a small tarball that is cut at any byte arrives whole, and each part of it comes once', async () => {
  const first = registry.publish({ name: 'cut', version: '1.0.0' });
  const offsets = Array.from({ length: sizeOf(first.bytes) + 1 }, (_, offset) => offset);
  await inGroups(offsets, async (offset) => {
    const { path, bytes, sha256 } = registry.publish({ name: `cut-${offset}`, version: '1.0.0' });
    upstream.at(path, { body: bytes, etag: `"${offset}"`, cuts: [offset] });
    const answer = await larder.npm(path);
    expect([offset, answer.status, answer.complete]).toEqual([offset, 200, true]);
    expect([offset, sha256Of(answer.body)]).toEqual([offset, sha256]);
    const ranges = upstream.requests.filter((seen) => seen.path === path).map((seen) => seen.headers.range);
    if (offset > 0 && offset < sizeOf(bytes))
      expect([offset, ranges]).toEqual([offset, [undefined, `bytes=${offset}-`]]);
  });
});

test('a document that is cut at any byte arrives whole or not at all', async () => {
  registry.publish({ name: 'document', version: '1.0.0' });
  const length = registry.document('document').length;
  const offsets = Array.from({ length: length + 1 }, (_, offset) => offset);
  await inGroups(offsets, async (offset) => {
    const name = `document-${offset}`;
    registry.publish({ name, version: '1.0.0' });
    const body = registry.document(name);
    upstream.at(`/${name}`, { body, contentType: 'application/json', ranges: false, cuts: [offset] });
    const answer = await larder.npm(`/${name}`);
    const isWhole = answer.status === 200 && (answer.json() as { name?: string }).name === name;
    expect([offset, isWhole || answer.status >= 500]).toEqual([offset, true]);
    const next = await larder.npm(`/${name}`);
    expect([offset, next.status, (next.json() as { name?: string }).name]).toEqual([offset, 200, name]);
  });
});

const kilobyte = 1024;
const places = [
  0,
  1,
  64 * kilobyte,
  128 * kilobyte - 1,
  128 * kilobyte,
  128 * kilobyte + 1,
  256 * kilobyte,
  399_999,
  400_000,
];

test.each([
  { what: 'knows ranges and validators', reply: { etag: '"1"' } },
  { what: 'knows ranges and dates', reply: { lastModified: 'Wed, 01 Jan 2020 00:00:00 GMT' } },
  { what: 'knows no validators', reply: {} },
  { what: 'knows no ranges', reply: { etag: '"1"', ranges: false } },
  { what: 'tells no length', reply: { etag: '"1"', length: false as const } },
])('a big tarball is right wherever an upstream cuts it that $what', async ({ what, reply }) => {
  const bytes = synthetic(400_000);
  await inGroups(places, async (offset) => {
    const name = `big-${what.replace(/\W/g, '-')}-${offset}`;
    const { path, sha256 } = registry.publish({ name, version: '1.0.0', bytes });
    upstream.at(path, { ...reply, body: bytes, cuts: [offset] });
    const answers = await Promise.all([
      larder.npm(path),
      larder.npm(path, { range: 'bytes=100000-299999' }),
      larder.npm(path),
    ]);
    for (const [index, answer] of answers.entries()) {
      if (answer.status === 206)
        expect([offset, index, answer.complete, answer.body.length]).toEqual([offset, index, true, 200_000]);
      else if (answer.complete) expect([offset, index, sha256Of(answer.body)]).toEqual([offset, index, sha256]);
      else expect([offset, index, answer.body.length < bytes.size]).toEqual([offset, index, true]);
    }
    expect([offset, sha256Of((await larder.npm(path)).body)]).toEqual([offset, sha256]);
  });
});

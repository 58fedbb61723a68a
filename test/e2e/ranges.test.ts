/** Ranges and HEAD, from disk and while the file is still arriving. */
import { describe, expect, test } from 'vitest';
import { collect, sha256Of, synthetic } from '../support/bytes.ts';
import { gate } from '../support/fake-upstream.ts';
import { ask } from '../support/http.ts';
import { scene, untilStored } from '../support/scene.ts';

const size = 1_000_000;
const bytes = synthetic(size);

const satisfiable = [
  { range: 'bytes=0-0', from: 0, to: 1 },
  { range: 'bytes=0-99', from: 0, to: 100 },
  { range: 'bytes=500000-599999', from: 500_000, to: 600_000 },
  { range: 'bytes=999999-', from: 999_999, to: size },
  { range: 'bytes=900000-99999999', from: 900_000, to: size },
  { range: 'bytes=-1', from: size - 1, to: size },
  { range: 'bytes=-2000000', from: 0, to: size },
];

describe.each(['hit', 'miss'])('on a %s', (when) => {
  test.each(satisfiable)('$range is a slice of the whole', async ({ range, from, to }) => {
    const { registry, upstream, larder } = await scene();
    const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    if (when === 'hit') await larder.npm(path);
    const answer = await larder.npm(path, { range });
    expect(answer.status).toBe(206);
    expect(answer.headers['content-range']).toBe(`bytes ${from}-${to - 1}/${size}`);
    expect(answer.headers['content-length']).toBe(String(to - from));
    expect(answer.body.equals(collect(bytes, from, to))).toBe(true);
    expect(sha256Of((await larder.npm(path)).body)).toBe(sha256Of(bytes));
    expect(upstream.count(path)).toBe(1);
  });

  test.each([
    { range: 'bytes=1000000-', status: 416 },
    { range: 'bytes=-0', status: 416 },
    { range: 'bytes=0-1,5-6', status: 200 },
    { range: 'bytes=9-1', status: 200 },
    { range: 'lines=1-2', status: 200 },
    { range: 'bytes=abc', status: 200 },
  ])('$range gets $status', async ({ range, status }) => {
    const { registry, larder } = await scene();
    const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    if (when === 'hit') await larder.npm(path);
    const answer = await larder.npm(path, { range });
    expect(answer.status).toBe(status);
    if (status === 416) expect(answer.headers['content-range']).toBe(`bytes */${size}`);
    else expect(answer.body.length).toBe(size);
  });

  test('HEAD tells what GET tells', async () => {
    const { registry, larder } = await scene();
    const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    if (when === 'hit') await larder.npm(path);
    const head = await ask(`${larder.url}/public/npm${path}`, { method: 'HEAD' });
    const whole = await larder.npm(path);
    expect(head.status).toBe(200);
    expect(head.body.length).toBe(0);
    for (const name of ['content-length', 'content-type', 'etag', 'accept-ranges', 'cache-control', 'last-modified'])
      expect([name, head.headers[name]]).toEqual([name, whole.headers[name]]);
    expect(head.headers['content-length']).toBe(String(size));
  });
});

test('HEAD for something nobody has fetched costs no download', async () => {
  const { registry, upstream, larder } = await scene();
  const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  await ask(`${larder.url}/public/npm${path}`, { method: 'HEAD' });
  expect(upstream.count(path, 'GET')).toBe(0);
  const head = await ask(`${larder.url}/public/npm/big`, { method: 'HEAD' });
  expect(head.status).toBe(200);
  expect(Number(head.headers['content-length'])).toBe((await larder.npm('/big')).body.length);
});

test('a range inside what has arrived is answered before the download ends', async () => {
  const { registry, upstream, larder } = await scene();
  const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const until = gate();
  upstream.at(path, { body: bytes, hold: { at: 600_000, until } });
  const whole = larder.npm(path);
  await until.reached;
  const part = await larder.npm(path, { range: 'bytes=1000-1999' });
  expect(part).toMatchObject({ status: 206, complete: true });
  expect(part.body.equals(collect(bytes, 1000, 2000))).toBe(true);
  const end = larder.npm(path, { range: 'bytes=-1000' });
  until.open();
  expect((await end).body.equals(collect(bytes, size - 1000, size))).toBe(true);
  expect(sha256Of((await whole).body)).toBe(sha256Of(bytes));
  expect(upstream.count(path)).toBe(1);
});

test('ranges are announced only where they are given', async () => {
  const { registry, larder } = await scene();
  const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  for (const answer of [await larder.npm(path), await larder.npm(path)])
    expect(answer.headers['accept-ranges']).toBe('bytes');
});

test('If-Range gives the part when the tag is right and the whole when it is not', async () => {
  const { registry, larder } = await scene();
  const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const etag = (await larder.npm(path)).headers.etag ?? '';
  expect(etag).toMatch(/^"/);
  expect((await larder.npm(path, { range: 'bytes=0-9', 'if-range': etag })).status).toBe(206);
  expect((await larder.npm(path, { range: 'bytes=0-9', 'if-range': '"other"' })).status).toBe(200);
  expect((await larder.npm(path, { range: 'bytes=0-9', 'if-range': `W/${etag}` })).status).toBe(200);
});

test('the tag of a file is the same before and after it was stored, and gives 304', async () => {
  const { registry, larder } = await scene();
  const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const cold = await larder.npm(path);
  const warm = await larder.npm(path);
  expect(warm.headers.etag).toBe(cold.headers.etag);
  const same = await larder.npm(path, { 'if-none-match': String(cold.headers.etag) });
  expect(same.status).toBe(304);
  expect(same.body.length).toBe(0);
});

test('ranges work for an upstream that knows none', async () => {
  const { registry, upstream, larder } = await scene();
  const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  upstream.at(path, { body: bytes, ranges: false });
  const part = await larder.npm(path, { range: 'bytes=10-19' });
  expect(part.status).toBe(206);
  expect(part.body.equals(collect(bytes, 10, 20))).toBe(true);
});

test('while nobody knows how long the file is, no ranges are announced, and everything is sent', async () => {
  const { registry, upstream, larder } = await scene();
  const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  upstream.at(path, { body: bytes, ranges: false, length: false });
  const whole = await larder.npm(path, { range: 'bytes=10-19' });
  expect(whole.status).toBe(200);
  expect(whole.headers['accept-ranges']).toBeUndefined();
  expect(sha256Of(whole.body)).toBe(sha256Of(bytes));
  await untilStored(larder, path);
  expect((await larder.npm(path, { range: 'bytes=10-19' })).status).toBe(206);
});

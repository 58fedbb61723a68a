/** Files below an upstream's address, of no ecosystem in particular. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { startFakeUpstream } from '../support/fake-upstream.ts';
import { startLarder } from '../support/larder.ts';
import { scene, untilStored } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

const immutable = { files: { options: { immutable: ['pool/**', '**/by-hash/**'] } } };

describe('by path', () => {
  test('what never changes is asked for once', async () => {
    const { upstream, larder } = await scene({ ...immutable, source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    upstream.at('/pool/a_1.deb', { body: 'a package', etag: '"1"' });
    for (let i = 0; i < 3; i++) expect((await larder.files('/pool/a_1.deb')).text()).toBe('a package');
    expect(upstream.count('/pool/a_1.deb')).toBe(1);
  });

  test('everything else is asked about again, and 304 keeps the bytes', async () => {
    const { upstream, larder } = await scene({ ...immutable, source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    upstream.at('/dists/Release', { body: 'one', etag: '"1"' });
    await larder.files('/dists/Release');
    await eventually('upstream is asked again', async () => {
      return (await larder.files('/dists/Release')).headers['x-larder-cache'] === 'revalidated';
    });
    upstream.at('/dists/Release', { body: 'two', etag: '"2"' });
    expect((await larder.files('/dists/Release')).text()).toBe('two');
  });

  test('within its time to live it is not', async () => {
    const { upstream, larder } = await scene({ source: { ttl: '1h' } });
    upstream.at('/dists/Release', { body: 'one', lastModified: 'Wed, 01 Jan 2020 00:00:00 GMT' });
    await larder.files('/dists/Release');
    await untilStored(larder, '/dists/Release', 'files');
    expect(upstream.count('/dists/Release')).toBe(1);
  });
});

test('a checksum file is a file like any other, also when it is asked for first', async () => {
  const { upstream, larder } = await scene();
  upstream.at('/tool.tar.gz.sha256', { body: 'abc  tool.tar.gz\n', contentType: 'text/plain' });
  upstream.at('/tool.tar.gz', { body: 'bytes' });
  expect((await larder.files('/tool.tar.gz.sha256')).text()).toBe('abc  tool.tar.gz\n');
  expect((await larder.files('/tool.tar.gz')).text()).toBe('bytes');
  expect((await larder.files('/nothing.sha256')).status).toBe(404);
});

test("type, date and length are upstream's", async () => {
  const { upstream, larder } = await scene();
  upstream.at('/a.json', {
    body: '{}',
    contentType: 'application/json',
    lastModified: 'Wed, 01 Jan 2020 00:00:00 GMT',
  });
  for (let i = 0; i < 2; i++)
    expect((await larder.files('/a.json')).headers).toMatchObject({
      'content-type': 'application/json',
      'last-modified': 'Wed, 01 Jan 2020 00:00:00 GMT',
      'content-length': '2',
    });
});

test.each(['/a+b.whl', '/a%2Bb.whl', '/a%2bb.whl'])('%s is one file', async (path) => {
  const { upstream, larder } = await scene();
  upstream.at('/a+b.whl', { body: 'x' });
  upstream.at('/a%2Bb.whl', { body: 'x' });
  expect((await larder.files(path)).status).toBe(200);
  await untilStored(larder, '/a+b.whl', 'files');
  expect(upstream.requests).toHaveLength(1);
});

test('a path far longer than a file name may be is kept like any other', async () => {
  const { upstream, larder } = await scene();
  const path = `/${'a'.repeat(400)}/${'b'.repeat(400)}/${'c'.repeat(400)}`;
  upstream.at(path, { body: 'x' });
  await larder.files(path);
  await untilStored(larder, path, 'files');
});

test.each(['', '/'])('an upstream below a path, written with "%s" at its end', async (end) => {
  const upstream = await startFakeUpstream();
  onTestFinished(() => upstream.close());
  const larder = await startLarder({ upstreamUrl: `${upstream.url}/debian${end}` });
  onTestFinished(() => larder.close());
  upstream.at('/debian/dists/Release', { body: 'x' });
  expect((await larder.files('/dists/Release')).text()).toBe('x');
});

test('a query is no part of a file', async () => {
  const { upstream, larder } = await scene();
  upstream.at('/x.bin', (request) => ({ body: request.url }));
  const answer = await larder.files('/x.bin?token=1');
  expect([200, 400, 404]).toContain(answer.status);
});

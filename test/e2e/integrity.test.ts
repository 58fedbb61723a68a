/** Bytes that are not what was promised: nobody can mistake them for the file, nothing of them is kept, and the next request heals. */
import { readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { gzipBomb, sha256Of, synthetic } from '../support/bytes.ts';
import type { Reply } from '../support/fake-upstream.ts';
import { scene, untilStored } from '../support/scene.ts';

async function blobFiles(storage: string): Promise<string[]> {
  const folder = join(storage, 'blobs');
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const files: string[] = [];
  for (const name of names) if ((await stat(join(folder, name))).isFile()) files.push(join(folder, name));
  return files;
}

const bytes = synthetic(1_000_000);

describe('a big tarball', () => {
  const lies: readonly { readonly what: string; readonly reply: Reply }[] = [
    { what: 'with one wrong bit in the middle', reply: { body: bytes, corruptAt: 500_000 } },
    { what: 'with one wrong bit at the end', reply: { body: bytes, corruptAt: 999_999 } },
    { what: 'with a byte too many', reply: { body: synthetic(1_000_001) } },
    { what: 'that ends early and says so honestly', reply: { body: synthetic(999_999) } },
    { what: 'that ends early without a length', reply: { body: bytes, truncateAt: 700_000, length: false } },
    { what: 'that is another file of the same size', reply: { body: synthetic(1_000_000, 99) } },
  ];
  test.each(lies)('$what never arrives whole, is not stored, and is right the next time', async ({ reply }) => {
    const { registry, upstream, larder } = await scene();
    const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    upstream.at(path, { ...reply, ranges: false }, { body: bytes });
    const poisoned = await larder.npm(path);
    if (poisoned.status === 200) {
      expect(poisoned.complete).toBe(false);
      expect(poisoned.body.length).toBeLessThan(bytes.size);
    } else expect(poisoned.status).toBe(502);
    const healed = await larder.npm(path);
    expect(sha256Of(healed.body)).toBe(sha256);
    expect(healed.headers['x-larder-cache']).toBe('miss');
    await untilStored(larder, path);
    expect((await blobFiles(larder.storage)).filter((file) => file.endsWith(sha256))).toHaveLength(1);
  });

  test('everybody who waited for poisoned bytes is cut off', async () => {
    const { registry, upstream, larder } = await scene();
    const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    upstream.at(path, { body: bytes, corruptAt: 999_000, ranges: false });
    const answers = await Promise.all(Array.from({ length: 20 }, () => larder.npm(path)));
    expect(answers.filter((answer) => answer.complete && answer.status === 200)).toEqual([]);
  });

  test('the mismatch is counted', async () => {
    const { registry, upstream, larder } = await scene();
    const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    upstream.at(path, { body: bytes, corruptAt: 1 });
    await larder.npm(path);
    const metrics = await larder.metrics();
    const counted = metrics.samples.filter((sample) => /mismatch/.test(sample.name) && sample.value > 0);
    expect(counted.length).toBeGreaterThan(0);
  });
});

test('a small tarball with wrong bytes is a 502 that says what is wrong', async () => {
  const { registry, upstream, larder } = await scene();
  const published = registry.publish({ name: 'lib', version: '1.0.0' });
  upstream.at(published.path, { body: published.bytes, corruptAt: 30, ranges: false });
  const poisoned = await larder.npm(published.path);
  expect(poisoned.status).toBe(502);
  expect(poisoned.json()).toMatchObject({ error: expect.stringMatching(/sha|digest|integrity/i) });
  upstream.at(published.path, { body: published.bytes });
  expect(sha256Of((await larder.npm(published.path)).body)).toBe(published.sha256);
});

test('bytes that are wrong once and of which no client has seen any are fetched again at once', async () => {
  const { registry, upstream, larder } = await scene();
  const published = registry.publish({ name: 'lib', version: '1.0.0' });
  upstream.at(published.path, { body: published.bytes, corruptAt: 3, ranges: false }, { body: published.bytes });
  expect(sha256Of((await larder.npm(published.path)).body)).toBe(published.sha256);
  expect(upstream.count(published.path)).toBe(2);
});

test('a tarball asked for without its document is checked against the document all the same', async () => {
  const { registry, upstream, larder } = await scene();
  const published = registry.publish({ name: 'lib', version: '1.0.0' });
  upstream.at(published.path, { body: published.bytes, corruptAt: 3, ranges: false });
  expect((await larder.npm(published.path)).status).toBe(502);
  expect(registry.documentRequests('lib')).toBe(1);
});

test('shasum is enough where a version has no integrity', async () => {
  const { registry, upstream, larder } = await scene();
  const published = registry.publish({ name: 'old', version: '1.0.0', dist: { integrity: undefined } });
  upstream.at(published.path, { body: published.bytes, corruptAt: 3, ranges: false });
  expect((await larder.npm(published.path)).status).toBe(502);
  upstream.at(published.path, { body: published.bytes });
  expect((await larder.npm(published.path)).status).toBe(200);
});

describe('a stored file that was damaged on disk', () => {
  test.each([
    { what: 'cut short', damage: (file: string) => truncate(file, 100) },
    { what: 'gone', damage: (file: string) => rm(file) },
    { what: 'longer than it was', damage: (file: string) => writeFile(file, Buffer.alloc(2_000_000)) },
  ])('$what is fetched anew', async ({ damage }) => {
    const { registry, larder } = await scene();
    const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    await larder.npm(path);
    await untilStored(larder, path);
    const [file] = (await blobFiles(larder.storage)).filter((name) => name.endsWith(sha256));
    await damage(file ?? '');
    const answer = await larder.npm(path);
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(sha256Of(answer.body)).toBe(sha256);
  });
});

describe('garbage instead of a document', () => {
  const garbage: readonly { readonly what: string; readonly reply: Reply }[] = [
    { what: 'an HTML page with 200', reply: { body: '<html>Log in</html>', contentType: 'text/html' } },
    { what: 'an HTML page that calls itself JSON', reply: { body: '<html></html>', contentType: 'application/json' } },
    {
      what: 'truncated JSON',
      reply: { body: '{"name":"lib","versions":{"1.0.0":{"na', contentType: 'application/json' },
    },
    { what: 'nothing', reply: { body: '', contentType: 'application/json' } },
    { what: 'null', reply: { body: 'null', contentType: 'application/json' } },
    { what: 'a list', reply: { body: '[]', contentType: 'application/json' } },
    { what: 'a number', reply: { body: '5', contentType: 'application/json' } },
    {
      what: 'versions that are a text',
      reply: { body: '{"name":"lib","versions":"x"}', contentType: 'application/json' },
    },
    { what: 'bytes that are no text', reply: { body: synthetic(5000), contentType: 'application/json' } },
    { what: 'gzip that is none', reply: { body: '{}', headers: { 'content-encoding': 'gzip' } } },
    { what: 'a coding nobody knows', reply: { body: '{}', headers: { 'content-encoding': 'sdch' } } },
    { what: 'no HTTP at all', reply: { raw: 'SSH-2.0-OpenSSH_9.0\r\n' } },
    { what: 'a status line and nothing more', reply: { raw: 'HTTP/1.1 200 OK\r\n' } },
    { what: 'headers without end', reply: { raw: `HTTP/1.1 200 OK\r\n${'x: '.padEnd(200_000, 'y')}\r\n\r\n` } },
    { what: 'a length that is none', reply: { raw: 'HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nabc' } },
    {
      what: 'a chunked body that is none',
      reply: { raw: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n' },
    },
    { what: 'a redirect to itself', reply: { status: 302, headers: { location: '/lib' } } },
    { what: 'a redirect to nowhere', reply: { status: 302, headers: {} } },
    { what: 'a redirect to a file', reply: { status: 302, headers: { location: 'file:///etc/passwd' } } },
    { what: 'a status nobody knows', reply: { raw: 'HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n' } },
    { what: '204', reply: { status: 204 } },
    {
      what: '206 that nobody asked for',
      reply: { status: 206, body: '{}', headers: { 'content-range': 'bytes 0-1/2' } },
    },
  ];

  test.each(garbage)(
    '$what is an error in the words of npm, nothing is stored, and the next answer is right',
    async (row) => {
      const { registry, upstream, larder } = await scene({ upstream: { timeoutMs: 500 } });
      registry.publish({ name: 'lib', version: '1.0.0' });
      upstream.at('/lib', row.reply);
      const answer = await larder.npm('/lib');
      expect(answer.status).toBeGreaterThanOrEqual(502);
      expect(answer.status).toBeLessThanOrEqual(508);
      expect(answer.json()).toMatchObject({ error: expect.stringMatching(/\w/) });
      expect(await blobFiles(larder.storage)).toEqual([]);
      upstream.at('/lib', { body: registry.document('lib'), contentType: 'application/json' });
      expect((await larder.npm('/lib')).json()).toMatchObject({ name: 'lib' });
    },
  );

  test.each(garbage)('$what does not replace a good copy', async (row) => {
    const { registry, upstream, larder } = await scene({
      upstream: { timeoutMs: 500 },
      source: { ttl: '0s', staleWhileRevalidate: '0s' },
    });
    registry.publish({ name: 'lib', version: '1.0.0' });
    const good = await larder.npm('/lib');
    upstream.at('/lib', row.reply);
    const answer = await larder.npm('/lib');
    expect(answer.status).toBe(200);
    expect(answer.headers['x-larder-cache']).toBe('stale');
    expect(answer.text()).toBe(good.text());
  });

  test('a document for another package is refused', async () => {
    const { registry, upstream, larder } = await scene();
    registry.publish({ name: 'other', version: '1.0.0' });
    upstream.at('/lib', { body: registry.document('other'), contentType: 'application/json' });
    expect((await larder.npm('/lib')).status).toBe(502);
  });

  test('a gzip bomb is refused before it is unpacked', async () => {
    const { upstream, larder } = await scene();
    const bomb = await gzipBomb(2_000_000_000);
    upstream.at('/lib', { body: bomb, headers: { 'content-encoding': 'gzip' }, contentType: 'application/json' });
    const before = process.memoryUsage().rss;
    const answer = await larder.npm('/lib');
    expect(answer.status).toBe(502);
    expect(process.memoryUsage().rss - before).toBeLessThan(600_000_000);
    expect(await blobFiles(larder.storage)).toEqual([]);
    expect((await larder.ask('/healthz')).status).toBe(200);
  });

  test('a document that never ends is refused', async () => {
    const { upstream, larder } = await scene();
    upstream.at('/lib', { body: synthetic(5_000_000_000), contentType: 'application/json', length: false });
    expect((await larder.npm('/lib')).status).toBe(502);
  });
});

describe('garbage instead of a file', () => {
  test.each([
    { what: 'an HTML page with 200', reply: { body: '<html>Log in</html>', contentType: 'text/html' } },
    { what: 'nothing', reply: { body: '' } },
  ])('$what is no tarball', async ({ reply }) => {
    const { registry, upstream, larder } = await scene();
    const { path, bytes: good } = registry.publish({ name: 'lib', version: '1.0.0' });
    upstream.at(path, reply);
    expect((await larder.npm(path)).status).toBe(502);
    upstream.at(path, { body: good });
    expect((await larder.npm(path)).status).toBe(200);
  });

  test('a file longer than the limit is refused', async () => {
    const { upstream, larder } = await scene({ repository: { maxArtifactSize: '100KB' } });
    upstream.at('/announced.bin', { body: synthetic(200_000) });
    expect((await larder.files('/announced.bin')).status).toBe(502);
    upstream.at('/silent.bin', { body: synthetic(200_000), length: false });
    const silent = await larder.files('/silent.bin');
    expect(silent.status === 502 || !silent.complete).toBe(true);
    expect(await blobFiles(larder.storage)).toEqual([]);
  });
});

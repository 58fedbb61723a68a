/** What every answer carries, what never leaves or enters, and what many requests over one connection do. */
import { Agent } from 'node:http';
import { describe, expect, test } from 'vitest';
import { sha256Of, synthetic } from '../support/bytes.ts';
import { ask, raw } from '../support/http.ts';
import { scene, untilStored } from '../support/scene.ts';

describe('below a repository', () => {
  test.each([
    { what: 'a document', path: '/lib' },
    { what: 'an abbreviated document', path: '/lib', accept: 'application/vnd.npm.install-v1+json' },
    { what: 'a version', path: '/lib/1.0.0' },
    { what: 'dist-tags', path: '/-/package/lib/dist-tags' },
    { what: 'a tarball', path: '/lib/-/lib-1.0.0.tgz' },
    { what: 'a ping', path: '/-/ping' },
    { what: 'a search', path: '/-/v1/search?text=lib' },
    { what: 'something that is not there', path: '/nothing' },
    { what: 'a bad path', path: '/a/../b' },
    { what: 'an address that means nothing', path: '/a/b/c/d/e' },
  ])('$what is never a page, and can be found in the log', async ({ path, accept = '*/*' }) => {
    const { registry, larder } = await scene();
    registry.publish({ name: 'lib', version: '1.0.0' });
    for (let round = 0; round < 2; round++) {
      const { headers } = await larder.npm(path, { accept });
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['content-security-policy']).toMatch(/\bsandbox\b/);
      expect(headers['x-request-id']).toMatch(/\S/);
    }
  });

  test('an HTML file is delivered as it is, and sandboxed', async () => {
    const { upstream, larder } = await scene();
    upstream.at('/docs/index.html', { body: '<script>alert(1)</script>', contentType: 'text/html' });
    const answer = await larder.files('/docs/index.html');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-security-policy']).toMatch(/\bsandbox\b/);
    expect(answer.headers['x-content-type-options']).toBe('nosniff');
  });
});

test('X-Larder-Cache tells where an answer came from', async () => {
  const { registry, upstream, larder } = await scene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
  const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
  const seen: unknown[] = [];
  const look = async (where: string): Promise<void> => {
    seen.push((await larder.npm(where)).headers['x-larder-cache']);
  };
  await look('/lib');
  await look('/lib');
  await look(path);
  await untilStored(larder, path);
  await look(path);
  await upstream.stop();
  await look('/lib');
  await look(path);
  expect(seen).toEqual(['miss', 'revalidated', 'miss', 'hit', 'stale', 'hit']);
});

test('a tarball may be kept for ever, a document has to be asked about', async () => {
  const { registry, larder } = await scene();
  const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
  const file = await larder.npm(path);
  expect(file.headers['content-type']).toBe('application/octet-stream');
  expect(file.headers['cache-control']).toMatch(/immutable/);
  expect(file.headers.etag).toMatch(/^"[^"]+"$/);
  const document = await larder.npm('/lib');
  expect(document.headers['cache-control'] ?? '').not.toMatch(/immutable/);
  expect(document.headers.etag).toMatch(/^(W\/)?"[^"]+"$/);
  expect(String(document.headers.vary).toLowerCase()).toContain('accept');
});

test('hop-by-hop headers and those of the upstream alone stay where they belong', async () => {
  const { registry, upstream, larder } = await scene();
  const { path, bytes } = registry.publish({ name: 'lib', version: '1.0.0' });
  const noise = {
    connection: 'keep-alive, x-secret-hop',
    'x-secret-hop': '1',
    'keep-alive': 'timeout=99',
    'set-cookie': 'session=1',
    'x-powered-by': 'x',
    'access-control-allow-origin': '*',
    'content-security-policy': 'default-src *',
    'strict-transport-security': 'max-age=99',
    'x-larder-cache': 'forged',
  };
  upstream.at(path, { body: bytes, headers: noise });
  upstream.at('/lib', { body: registry.document('lib'), contentType: 'application/json', headers: noise });
  for (const where of [path, '/lib', path, '/lib']) {
    const { headers } = await larder.npm(where);
    for (const name of [
      'x-secret-hop',
      'set-cookie',
      'x-powered-by',
      'access-control-allow-origin',
      'strict-transport-security',
    ])
      expect([name, headers[name]]).toEqual([name, undefined]);
    expect(headers['x-larder-cache']).not.toBe('forged');
    expect(headers['content-security-policy']).not.toContain('*');
  }
  await larder.npm('/other', { te: 'trailers', 'x-custom': 'x', connection: 'close, x-custom', upgrade: 'h2c' });
  const asked = upstream.requests.at(-1);
  expect(asked?.path).toBe('/other');
  for (const name of ['te', 'x-custom', 'upgrade', 'x-forwarded-for']) expect(asked?.headers[name]).toBeUndefined();
});

test('upstream sees the request id of the log line', async () => {
  const { registry, upstream, larder } = await scene();
  registry.publish({ name: 'lib', version: '1.0.0' });
  const answer = await larder.npm('/lib');
  expect(upstream.requests[0]?.headers['x-request-id']).toBe(answer.headers['x-request-id']);
});

test('one connection carries many requests, also pipelined ones, in order', async () => {
  const { registry, larder } = await scene();
  const names = ['one', 'two', 'three'];
  for (const name of names) registry.publish({ name, version: '1.0.0' });
  const message = names.map(
    (name, i) => `GET /public/npm/${name}/1.0.0 HTTP/1.1\r\nHost: x\r\n${i === 2 ? 'Connection: close\r\n' : ''}\r\n`,
  );
  const text = (await raw(larder.port, message.join(''))).toString();
  const order = names.map((name) => text.indexOf(`"name":"${name}"`));
  expect(order.every((at) => at > 0)).toBe(true);
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(3);

  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const answers = [];
  for (let i = 0; i < 20; i++) answers.push(await ask(`${larder.url}/public/npm/one/-/one-1.0.0.tgz`, { agent }));
  agent.destroy();
  expect(new Set(answers.map((answer) => sha256Of(answer.body))).size).toBe(1);
});

test('a client that leaves during a big answer leaves nothing open', async () => {
  const { registry, larder } = await scene();
  const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes: synthetic(20_000_000) });
  await larder.npm(path);
  for (let i = 0; i < 20; i++) {
    const leaving = new AbortController();
    await ask(`${larder.url}/public/npm${path}`, { signal: leaving.signal, onData: () => leaving.abort() }).catch(
      () => {},
    );
  }
  expect(sha256Of((await larder.npm(path)).body)).toBe(sha256);
  await larder.stop();
});

/** Requests that no package manager sends. Each gets a clear answer, asks nothing of the upstream, and harms nothing. */
import { request } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { gzipBomb } from '../support/bytes.ts';
import { ask, raw } from '../support/http.ts';
import { type Scene, scene } from '../support/scene.ts';

async function expectAlive({ registry, larder }: Scene): Promise<void> {
  registry.publish({ name: 'alive', version: '1.0.0' });
  expect((await larder.npm('/alive')).status).toBe(200);
  expect((await larder.ask('/healthz')).status).toBe(200);
}

const shared = await scene({}, afterAll);

const paths = [
  '/../../etc/passwd',
  '/..',
  '/lib/..',
  '/lib/../other',
  '/lib/./-/lib-1.0.0.tgz',
  '/%2e%2e/%2e%2e/etc/passwd',
  '/lib/%2e%2e/x',
  '/%2e/lib',
  '/.%2e/lib',
  '/lib%2f..%2f..%2fx',
  '/@acme%2f..%2fx',
  '/@acme%252flib',
  '/%252e%252e/lib',
  '/lib%00.tgz',
  '/lib%00',
  '/lib%0d%0aX-Injected:%20yes',
  '/lib%0a',
  '/lib%5c..%5cx',
  '/lib\\..\\x',
  '//lib',
  '/lib//-/lib-1.0.0.tgz',
  '/%',
  '/%zz',
  '/%c0%ae%c0%ae/x',
  '/%ff%fe',
  '/lib;x=/../..',
  '/..;/x',
  `/${'a'.repeat(600)}`,
  `/${'a/'.repeat(900)}`,
  `/${'%61'.repeat(600)}`,
];

test.each(paths)('the path %s is refused and goes nowhere', async (path) => {
  const all = shared;
  all.upstream.forget();
  const { upstream, larder } = all;
  for (const repository of ['npm', 'files']) {
    const answer = await ask(`${larder.url}/public/${repository}${path}`);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(answer.headers['x-injected']).toBeUndefined();
    if (repository === 'npm') expect(answer.json()).toMatchObject({ error: expect.stringMatching(/\w/) });
  }
  expect(upstream.requests.map((seen) => seen.url)).toEqual([]);
  await expectAlive(all);
});

test.each([
  '/public/../public/npm/lib',
  '/public/npm/../../metrics',
  '/%70ublic/npm%2f..',
  '/public%2fnpm/lib',
  '//public/npm/lib',
])('tricks before the repository lead nowhere: %s', async (path) => {
  const all = shared;
  all.upstream.forget();
  const answer = await all.larder.ask(path);
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  expect(all.upstream.requests).toEqual([]);
});

test.each([20_000, 200_000])('a target of %i bytes is refused', async (length) => {
  const all = shared;
  all.upstream.forget();
  const text = (
    await raw(all.larder.port, `GET /public/npm/${'a'.repeat(length)} HTTP/1.1\r\nHost: x\r\n\r\n`)
  ).toString();
  expect(text).toMatch(/^HTTP\/1\.1 (414|431)/);
  await expectAlive(all);
});

test('the query is limited too', async () => {
  const all = shared;
  all.upstream.forget();
  const answer = await all.larder.npm(`/-/v1/search?text=${'a'.repeat(9000)}`);
  expect([400, 414]).toContain(answer.status);
});

describe('on the wire', () => {
  const messages: readonly { readonly what: string; readonly message: string; readonly status: RegExp }[] = [
    { what: 'no HTTP', message: 'HELLO\r\n\r\n', status: /^HTTP\/1\.1 400/ },
    {
      what: 'a method nobody knows',
      message: 'BREW /public/npm/lib HTTP/1.1\r\nHost: x\r\n\r\n',
      status: /^HTTP\/1\.1 400/,
    },
    {
      what: 'CONNECT',
      message: 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n',
      status: /^(HTTP\/1\.1 4|$)/,
    },
    { what: 'TRACE', message: 'TRACE /public/npm/lib HTTP/1.1\r\nHost: x\r\n\r\n', status: /^HTTP\/1\.1 405/ },
    ...['0.9', '2.0', '3.0'].map((version) => ({
      what: `version ${version} of HTTP in plain text`,
      message: `GET /healthz HTTP/${version}\r\nHost: x\r\nConnection: close\r\n\r\n`,
      status: /^(HTTP\/1\.1 (200|4)|$)/,
    })),
    { what: 'no Host', message: 'GET /public/npm/lib HTTP/1.1\r\n\r\n', status: /^HTTP\/1\.1 400/ },
    {
      what: 'two Hosts',
      message: 'GET /public/npm/lib HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
      status: /^HTTP\/1\.1 400/,
    },
    {
      what: 'many headers',
      message: `GET /public/npm/lib HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(5000)}\r\n`,
      status: /^HTTP\/1\.1 431/,
    },
    {
      what: 'a huge header',
      message: `GET /public/npm/lib HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(100_000)}\r\n\r\n`,
      status: /^HTTP\/1\.1 431/,
    },
    {
      what: 'a header with a line feed in its name',
      message: 'GET /public/npm/lib HTTP/1.1\r\nHost: x\r\nA\nB: c\r\n\r\n',
      status: /^HTTP\/1\.1 400/,
    },
    {
      what: 'a folded header',
      message: 'GET /public/npm/lib HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n',
      status: /^HTTP\/1\.1 (400|404)/,
    },
    {
      what: 'a NUL in a header',
      message: 'GET /public/npm/lib HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n',
      status: /^HTTP\/1\.1 400/,
    },
    {
      what: 'length and chunks at once',
      message:
        'POST /public/npm/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      status: /^HTTP\/1\.1 400/,
    },
    {
      what: 'two lengths',
      message:
        'POST /public/npm/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
      status: /^HTTP\/1\.1 400/,
    },
    {
      what: 'a chunk size that is none',
      message:
        'POST /public/npm/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      status: /^(HTTP\/1\.1 400|$)/,
    },
    {
      what: 'an absolute target elsewhere',
      message: 'GET http://example.com/public/npm/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      status: /^HTTP\/1\.1 4/,
    },
    {
      what: 'an Expect that nobody knows',
      message: 'GET /public/npm/lib HTTP/1.1\r\nHost: x\r\nExpect: coffee\r\nConnection: close\r\n\r\n',
      status: /^HTTP\/1\.1 417/,
    },
    {
      what: 'OPTIONS *',
      message: 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      status: /^HTTP\/1\.1 (2|4)/,
    },
  ];

  test.each(messages)('$what', async ({ message, status }) => {
    const all = shared;
    all.upstream.forget();
    expect((await raw(all.larder.port, message, 1000)).toString('latin1')).toMatch(status);
    await expectAlive(all);
  });
});

describe('headers', () => {
  test.each([
    { range: 'bytes=-' },
    { range: 'bytes=99999999999999999999-' },
    { range: `bytes=${'0-1,'.repeat(2000)}5-6` },
    { 'if-none-match': '"'.repeat(5000) },
    { 'if-modified-since': 'yesterday' },
    { 'accept-encoding': 'gzip;q=abc, ;;;' },
    { 'accept-encoding': `${'x,'.repeat(5000)}gzip` },
    { accept: `${'a/b,'.repeat(3000)}*/*` },
    { accept: ';;;,,,///' },
    { 'x-forwarded-for': `${'1.1.1.1,'.repeat(1500)}` },
    { forwarded: '"'.repeat(4000) },
    { authorization: 'Bearer ' },
    { authorization: 'Basic !!!!' },
    { authorization: 'x'.repeat(8000) },
  ])('%o', async (headers) => {
    const all = shared;
    all.upstream.forget();
    const { path } = all.registry.publish({ name: 'lib', version: '1.0.0' });
    for (const where of [path, '/lib']) {
      const answer = await all.larder.npm(where, headers as Record<string, string>);
      expect(answer.status).toBeLessThan(500);
    }
    await expectAlive(all);
  });
});

describe('bodies', () => {
  const bulk = '/public/npm/-/npm/v1/security/advisories/bulk';

  test('one that is too long is refused with 413', async () => {
    const all = await scene({ server: { limits: { bodyBytes: '100KB' } } });
    const answer = await all.larder.ask(bulk, { method: 'POST', body: Buffer.alloc(200_000, '{') });
    expect(answer.status).toBe(413);
    expect(answer.json()).toMatchObject({ error: expect.stringMatching(/\w/) });
    expect(all.upstream.requests).toEqual([]);
    await expectAlive(all);
  });

  test('one that says nothing about its length is counted', async () => {
    const all = await scene({ server: { limits: { bodyBytes: '100KB' } } });
    const status = await new Promise<number>((resolve, reject) => {
      const outgoing = request(`${all.larder.url}${bulk}`, { method: 'POST' }, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      outgoing.on('error', reject);
      for (let i = 0; i < 20; i++) outgoing.write(Buffer.alloc(10_000, 'x'));
    });
    expect(status).toBe(413);
    await expectAlive(all);
  });

  test('one that announces more than is allowed is refused before it is sent', async () => {
    const all = await scene();
    const message = `POST ${bulk} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n`;
    expect((await raw(all.larder.port, message, 1000)).toString()).toMatch(/^HTTP\/1\.1 413/);
    await expectAlive(all);
  });

  test('a bomb sent by a client does not go off here', async () => {
    const all = await scene();
    const before = process.memoryUsage().rss;
    const answer = await all.larder.ask(bulk, {
      method: 'POST',
      headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' },
      body: await gzipBomb(2_000_000_000),
    });
    expect(answer.status).toBeGreaterThan(0);
    expect(process.memoryUsage().rss - before).toBeLessThan(600_000_000);
    await expectAlive(all);
  });

  test('one with a GET is read over', async () => {
    const all = await scene();
    all.registry.publish({ name: 'lib', version: '1.0.0' });
    const answer = await all.larder.ask('/public/npm/lib', { body: gzipSync('x'), method: 'GET' });
    expect([200, 400]).toContain(answer.status);
    await expectAlive(all);
  });

  test.each(['PUT', 'DELETE', 'PATCH', 'POST'])(
    '%s on a package is refused: nothing can be published here',
    async (method) => {
      const all = await scene();
      const headers = { 'content-type': 'application/json', 'content-length': '2' };
      const answer = await all.larder.ask('/public/npm/lib', { method, headers, body: '{}' });
      expect([404, 405]).toContain(answer.status);
      expect(answer.json()).toMatchObject({ error: expect.stringMatching(/\w/) });
      expect(all.upstream.requests).toEqual([]);
    },
  );
});

// The rest of a body is waited for, for 15 seconds, so that its sender may read the answer.
test('clients that send nothing, or stop in the middle, hold up nobody and are closed', {
  timeout: 60_000,
}, async () => {
  const all = await scene({ server: { limits: { headersTimeout: '300ms', requestTimeout: '500ms' } } });
  const messages = [
    'GET /public/npm/lib HTTP/1.1\r\nHost:',
    'POST /public/npm/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{',
  ];
  const closed = messages.map(
    (message) =>
      new Promise<void>((resolve) => {
        const socket = connect(all.larder.port, '127.0.0.1', () => socket.write(message));
        socket.on('close', () => resolve());
        socket.resume();
      }),
  );
  await expectAlive(all);
  await Promise.all(closed);
  expect(all.upstream.requests.filter((seen) => seen.method === 'POST')).toEqual([]);
});

test('a path that differs only in its encoding is the same path', async () => {
  const { registry, upstream, larder } = await scene();
  registry.publish({ name: '@acme/lib', version: '1.0.0+build' });
  const spellings = ['/@acme%2flib', '/@acme%2Flib', '/@acme/lib', '/%40acme%2flib', '/%40acme/lib'];
  const texts = [];
  for (const spelling of spellings) texts.push((await larder.npm(spelling)).text());
  expect(new Set(texts).size).toBe(1);
  expect(registry.documentRequests('@acme/lib')).toBe(1);
  const files = [
    '/@acme/lib/-/lib-1.0.0+build.tgz',
    '/@acme%2flib/-/lib-1.0.0%2Bbuild.tgz',
    '/%40acme/lib/-/lib-1.0.0%2bbuild.tgz',
  ];
  for (const file of files) expect([file, (await larder.npm(file)).status]).toEqual([file, 200]);
  expect(upstream.requests.filter((seen) => seen.path.endsWith('.tgz'))).toHaveLength(1);
});

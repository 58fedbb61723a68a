/** Files that are put, read, replaced and deleted by path, over HTTP. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startFakeUpstream } from '../support/fake-upstream.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type Answer, type AskOptions, ask, type Headers } from '../support/http.ts';

let server: HostedServer;
let alice: Headers;
const closing: (() => Promise<void>)[] = [];

const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` });

async function at(path: string, options: AskOptions = {}): Promise<Answer> {
  return ask(`${server.url}${path}`, { ...options, headers: { ...alice, ...options.headers } });
}

const put = (path: string, body: string | Buffer, headers: Headers = {}): Promise<Answer> =>
  at(path, { method: 'PUT', body, headers });

beforeAll(async () => {
  server = await startHosted({ format: 'generic', options: { mutable: ['**/latest/**'] } });
  closing.push(() => server.close());
  alice = bearer(await server.token('alice'));
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

test('a file is put, read in whole and in parts, and deleted', async () => {
  const bytes = Buffer.alloc(300_000, 'abc');
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const sent = await put('/one/a%20b.bin', bytes, { 'content-type': 'application/x-tool' });
  expect(sent.status, sent.text()).toBe(201);
  expect(sent.headers).toMatchObject({ etag: `"sha256-${sha256}"`, location: `${server.url}/one/a%20b.bin` });
  const read = await at('/one/a%20b.bin');
  expect(read.body.equals(bytes)).toBe(true);
  expect(read.headers).toMatchObject({ etag: sent.headers.etag, 'content-type': 'application/x-tool' });
  expect((await at('/one/a%20b.bin', { method: 'HEAD' })).headers['content-length']).toBe('300000');
  expect((await at('/one/a%20b.bin', { headers: { range: 'bytes=1-3' } })).text()).toBe('bca');
  expect((await at('/one/a%20b.bin', { headers: { 'if-none-match': String(sent.headers.etag) } })).status).toBe(304);
  expect((await at('/one/a%20b.bin', { method: 'DELETE' })).status).toBe(204);
  expect((await at('/one/a%20b.bin')).status).toBe(404);
  expect((await put('/one/a%20b.bin', 'other')).status).toBe(409);
  expect((await put('/one/a%20b.bin', bytes)).status).toBe(201);
});

test('a file may be empty', async () => {
  expect((await put('/empty', '')).status).toBe(201);
  expect(await at('/empty')).toMatchObject({ status: 200, body: Buffer.alloc(0) });
});

test('the content of a page is no page of ours', async () => {
  await put('/page.html', '<script>alert(1)</script>', { 'content-type': 'text/html' });
  const { headers } = await at('/page.html');
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['content-security-policy']).toContain('sandbox');
});

test('what was replaced is what is read, at once', async () => {
  for (const body of ['one', 'two', 'three']) {
    expect((await put('/x/latest/version', body)).status).toBe(body === 'one' ? 201 : 200);
    expect((await at('/x/latest/version')).text()).toBe(body);
  }
});

test('of many who create a file, one does', async () => {
  const headers = { 'if-none-match': '*' };
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, nth) => put('/x/latest/lock', `holder ${nth}`, headers)),
  );
  expect(answers.map(({ status }) => status).toSorted()).toEqual([201, ...Array.from({ length: 9 }, () => 412)]);
  const winner = answers.findIndex(({ status }) => status === 201);
  expect((await at('/x/latest/lock')).text()).toBe(`holder ${winner}`);
});

test('a file larger than all that may be stored is refused for good, and nobody else is', async () => {
  const folder = await temporaryFolder();
  const storage = { path: join(folder.path, 'data'), maxSize: '1MB' };
  const small = await startHosted({ format: 'generic', folder: folder.path, more: { storage } });
  closing.push(folder.remove, () => small.close());
  const headers = bearer(await small.token('alice'));
  const large = await ask(`${small.url}/large`, { method: 'PUT', body: Buffer.alloc(2_000_000), headers });
  expect(large.status, large.text()).toBe(413);
  expect(large.text()).toContain('storage.maxSize');
  expect(large.headers['retry-after']).toBeUndefined();
  expect((await ask(`${small.url}/tiny`, { method: 'PUT', body: 'x', headers })).status).toBe(201);
});

describe('what can not be taken', () => {
  test.each<[string, string, Headers, number]>([
    ['other bytes than were claimed', '/bad/a', { 'x-checksum-sha256': '0'.repeat(64) }, 400],
    ['a condition that does not hold', '/bad/a', { 'if-match': '"x"' }, 412],
    ['packed bytes', '/bad/a', { 'content-encoding': 'gzip' }, 415],
    ['a part', '/bad/a', { 'content-range': 'bytes 0-1/2' }, 400],
    ['a folder', '/bad/', {}, 400],
    ['a path that leads elsewhere', '/bad/%2e%2e/a', {}, 400],
  ])('%s', async (_name, path, headers, status) => {
    const answer = await put(path, 'hello', headers);
    expect(answer.status).toBe(status);
    expect(answer.text()).toMatch(/\w{3,} \w/);
    expect((await at('/bad/')).status).toBe(404);
  });
});

describe('somebody', () => {
  test.each<[string, () => Promise<Headers> | Headers, number]>([
    ['who shows nothing', () => ({}), 401],
    ['with a token of nobody', () => bearer(wrongToken), 401],
    ['with a token that has expired', async () => bearer(await server.expiredToken()), 401],
    ['who only reads', async () => bearer(await server.token('rita')), 403],
    ['with a token for other paths', async () => bearer(await server.token('alice', { names: ['docs/*'] })), 404],
    ['whom no rule knows', async () => bearer(await server.token('nobody')), 404],
    ['of another organisation', async () => bearer(await server.token('olga')), 404],
  ])('%s puts and deletes nothing', async (_name, credentials, status) => {
    await put('/who/a', 'hello');
    const headers = { authorization: '', ...(await credentials()) };
    const { authorization, ...without } = headers;
    const shown = authorization === '' ? without : headers;
    const asked = (method: string, path: string): Promise<Answer> =>
      ask(`${server.url}${path}`, { method, headers: shown, ...(method === 'PUT' ? { body: 'x' } : {}) });
    expect((await asked('PUT', '/who/b')).status).toBe(status);
    expect((await asked('DELETE', '/who/a')).status).toBe(status);
    expect((await at('/who/')).text()).toBe('a\n');
  });

  test('sees of a folder what they may read', async () => {
    await put('/open/a', 'hello');
    await put('/closed/a', 'hello');
    const narrow = bearer(await server.token('alice', { names: ['open/*'] }));
    const seen = await ask(`${server.url}/`, { headers: narrow });
    expect(seen.text()).toBe('open/\n');
    expect((await ask(`${server.url}/closed/`, { headers: narrow })).status).toBe(404);
    expect((await ask(`${server.url}/closed/a`, { headers: narrow })).status).toBe(404);
    expect((await at('/')).text()).toContain('closed/\n');
  });
});

test('a path that is published here is not asked for elsewhere, and others are', async () => {
  const upstream = await startFakeUpstream();
  closing.push(() => upstream.close());
  upstream.at('/tool', { body: 'upstream' });
  upstream.at('/other', { body: 'upstream' });
  const both = await startHosted({
    format: 'generic',
    upstreams: { files: { url: upstream.url, format: 'generic' } },
    sources: [{ hosted: true, claims: ['private/*'] }, { remote: 'files' }],
  });
  closing.push(() => both.close());
  const headers = bearer(await both.token('alice'));
  const read = async (path: string): Promise<string> => (await ask(`${both.url}${path}`, { headers })).text();
  expect((await ask(`${both.url}/tool`, { method: 'PUT', body: 'ours', headers })).status).toBe(201);
  expect(await read('/tool')).toBe('ours');
  expect(await read('/other')).toBe('upstream');
  await read('/private/x');
  expect(await read('/')).toBe('tool\n');
  expect(upstream.requests.map(({ path }) => path)).toEqual(['/other']);
});

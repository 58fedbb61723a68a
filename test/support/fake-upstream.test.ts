import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { collect, gzipBomb, hashOf, sha256Of, synthetic } from './bytes.ts';
import { selfSigned } from './certificate.ts';
import { startFakeRegistry } from './fake-registry.ts';
import { type FakeUpstream, gate, startFakeUpstream } from './fake-upstream.ts';
import { get } from './http.ts';
import { tarball } from './tarball.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function upstream(): Promise<FakeUpstream> {
  const started = await startFakeUpstream();
  open.push(started);
  return started;
}

test('answers in the order that was asked for and repeats the last answer', async () => {
  const server = await upstream();
  server.at('/x', { status: 503 }, { body: 'good' });
  const statuses = [];
  for (let i = 0; i < 3; i++) statuses.push((await get(`${server.url}/x`)).status);
  expect(statuses).toEqual([503, 200, 200]);
  expect(server.count('/x')).toBe(3);
});

test('a cut connection gives the bytes before the cut and no end, once for each cut', async () => {
  const server = await upstream();
  server.at('/x', { body: synthetic(300_000), cuts: [100_000, 200_000], etag: '"1"' });
  const first = await get(`${server.url}/x`);
  expect(first).toMatchObject({ status: 200, complete: false });
  expect(first.body.length).toBe(100_000);
  const second = await get(`${server.url}/x`, { range: 'bytes=100000-', 'if-range': '"1"' });
  expect(second).toMatchObject({ status: 206, complete: false });
  const third = await get(`${server.url}/x`, { range: 'bytes=200000-', 'if-range': '"1"' });
  expect(third).toMatchObject({ status: 206, complete: true });
  expect(sha256Of(Buffer.concat([first.body, second.body, third.body]))).toBe(sha256Of(synthetic(300_000)));
});

test('holds a body until the gate opens', async () => {
  const server = await upstream();
  const until = gate();
  server.at('/x', { body: 'abcdef', hold: { at: 3, until } });
  const answer = get(`${server.url}/x`);
  await until.reached;
  expect(server.bytesSent).toBe(3);
  until.open();
  expect((await answer).body.toString()).toBe('abcdef');
});

test('corrupts one bit, and lies about the length', async () => {
  const server = await upstream();
  server.at('/x', { body: 'aaaa', corruptAt: 2 });
  expect((await get(`${server.url}/x`)).body.toString()).toBe('aa`a');
  server.at('/y', { body: 'aaaa', length: 10 });
  expect(await get(`${server.url}/y`)).toMatchObject({ complete: false, headers: { 'content-length': '10' } });
});

test('codes bodies, asked or unasked', async () => {
  const server = await upstream();
  server.at('/x', { body: 'hello', codings: ['br', 'gzip'] });
  expect((await get(`${server.url}/x`)).headers['content-encoding']).toBeUndefined();
  const coded = await get(`${server.url}/x`, { 'accept-encoding': 'gzip, br;q=0' });
  expect(gunzipSync(coded.body).toString()).toBe('hello');
  server.at('/y', { body: 'hello', coding: 'gzip' });
  expect((await get(`${server.url}/y`)).body).toEqual(gzipSync('hello'));
});

test('a range of synthetic bytes is a slice of them', () => {
  const bytes = synthetic(1_000_000, 5);
  expect(collect(bytes, 65_000, 200_001)).toEqual(collect(bytes).subarray(65_000, 200_001));
});

test('the gzip bomb is a right gzip file', async () => {
  const bomb = await gzipBomb(8 * 1024 * 1024);
  expect(bomb.length).toBeLessThan(32_000);
  expect(gunzipSync(bomb).equals(Buffer.alloc(8 * 1024 * 1024, ' '))).toBe(true);
});

test('a stopped server refuses connections and comes back on the same port', async () => {
  const server = await upstream();
  server.at('/x', { body: 'good' });
  await server.stop();
  await expect(get(`${server.url}/x`)).rejects.toThrow(/ECONNREFUSED/);
  await server.start();
  expect((await get(`${server.url}/x`)).status).toBe(200);
});

test('speaks TLS with a certificate made on the spot', async () => {
  const certificate = selfSigned();
  const server = await startFakeUpstream({ tls: certificate });
  open.push(server);
  server.at('/x', { body: 'secret' });
  const status = await new Promise((resolve, reject) => {
    httpsRequest(`${server.url}/x`, { ca: certificate.cert }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    })
      .on('error', reject)
      .end();
  });
  expect(status).toBe(200);
});

test('tar reads the tarballs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'larder-tarball-'));
  try {
    const file = join(folder, 'x.tgz');
    await writeFile(file, tarball({ 'package.json': '{}', 'lib/a.js': 'a'.repeat(600) }, { executable: ['lib/a.js'] }));
    expect(execFileSync('tar', ['-tzf', file]).toString().trim().split('\n')).toEqual([
      'package/package.json',
      'package/lib/a.js',
    ]);
    expect(execFileSync('tar', ['-xzOf', file, 'package/lib/a.js']).length).toBe(600);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the registry serves both forms of a document, and tarballs that agree with it', async () => {
  const registry = await startFakeRegistry();
  open.push(registry);
  const published = registry.publish({ name: '@acme/lib', version: '1.0.0' });
  const full = JSON.parse((await get(`${registry.url}/@acme%2flib`)).body.toString());
  expect(full.time['1.0.0']).toBe('2020-01-01T00:00:00.000Z');
  const short = await get(`${registry.url}/@acme%2flib`, { accept: 'application/vnd.npm.install-v1+json' });
  expect(JSON.parse(short.body.toString())).not.toHaveProperty('time');
  const { dist } = full.versions['1.0.0'];
  const file = await get(dist.tarball);
  expect(`sha512-${hashOf(file.body, 'sha512', 'base64')}`).toBe(dist.integrity);
  expect(published.path).toBe('/@acme/lib/-/lib-1.0.0.tgz');
  const again = await get(`${registry.url}/@acme%2flib`, {
    'if-none-match': short.headers.etag ?? '',
    accept: 'application/vnd.npm.install-v1+json',
  });
  expect(again.status).toBe(304);
});

test('a big document has about the size that was asked for', async () => {
  const registry = await startFakeRegistry();
  open.push(registry);
  registry.publishBig('huge', 200, 1_600_000);
  expect(registry.document('huge').length).toBeGreaterThan(1_500_000);
  expect(registry.document('huge').length).toBeLessThan(1_700_000);
});

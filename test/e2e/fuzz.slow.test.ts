/** A hundred thousand requests that make little sense, the same ones in every run, against an upstream that makes as little. */
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { verify } from '../../src/store/verify.ts';
import { collect, randomFrom, sha256Of, synthetic } from '../support/bytes.ts';
import type { Reply, SeenRequest } from '../support/fake-upstream.ts';
import { sceneWithProcess } from '../support/scene.ts';

const total = 100_000;
const batchSize = 50;
const connections = 12;

type Random = () => number;

function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)] as T;
}

const methods = [
  'GET',
  'GET',
  'GET',
  'GET',
  'GET',
  'GET',
  'HEAD',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'OPTIONS',
  'TRACE',
];
const roots = [
  '/public/npm',
  '/public/npm',
  '/public/npm',
  '/public/files',
  '/public',
  '/nobody/npm',
  '',
  '/-',
  '/metrics',
  '/healthz',
  '/v2',
  '/api',
];
const segments = [
  'lib',
  '@acme',
  '@acme%2flib',
  '@acme%2Flib',
  'big',
  '-',
  'lib-1.0.0.tgz',
  'big-1.0.0.tgz',
  '1.0.0',
  'latest',
  '9.9.9',
  'npm',
  'v1',
  'search',
  'ping',
  'whoami',
  'package',
  'dist-tags',
  'security',
  'advisories',
  'bulk',
  'keys',
  'attestations',
  '..',
  '.',
  '%2e%2e',
  '%252f',
  '%00',
  '%',
  '%zz',
  '%ff',
  '%5c',
  '%2f',
  '',
  '+',
  '%2B',
  '@',
  '@@',
  '*',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  'a'.repeat(300),
  '%F0%9F%92%A9',
  '<script>',
  "'",
  '"',
  ';x=1',
  '~',
];
const paths = [
  '/lib',
  '/lib',
  '/@acme%2flib',
  '/@acme/lib',
  '/lib/1.0.0',
  '/lib/latest',
  '/lib/-/lib-1.0.0.tgz',
  '/big/-/big-1.0.0.tgz',
  '/@acme/lib/-/lib-1.0.0.tgz',
  '/-/ping',
  '/-/whoami',
  '/-/v1/search?text=lib',
  '/-/package/lib/dist-tags',
  '/-/npm/v1/security/advisories/bulk',
  '/-/npm/v1/keys',
  '/dists/Release',
  '/pool/a.deb',
];
const headers = [
  'Accept: application/vnd.npm.install-v1+json',
  'Accept: */*',
  'Accept: ;;,',
  'Accept-Encoding: gzip',
  'Accept-Encoding: br, zstd;q=0.1',
  'Accept-Encoding: *;q=0',
  'Range: bytes=0-0',
  'Range: bytes=-5',
  'Range: bytes=5-1',
  'Range: bytes=0-1,3-4',
  'Range: bytes=999999999-',
  'Range: lines=1',
  'If-Range: "x"',
  'If-None-Match: *',
  'If-None-Match: "x"',
  'If-Modified-Since: yesterday',
  'Authorization: Bearer x',
  'Authorization: Basic !',
  'X-Forwarded-Host: evil',
  'Forwarded: host=evil',
  'Via: 1.1 larder',
  'Cache-Control: no-cache',
  'Content-Type: application/json',
  'Content-Encoding: gzip',
  'TE: trailers',
  'Cookie: a=b',
  'X-Request-Id: a b c',
  `X-Long: ${'y'.repeat(5000)}`,
];

/** These end the connection or leave it in doubt where the next request begins, so one of them at most comes last. */
const breaking = [
  'GET / HTTP/1.1\r\nBad Header\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n',
  'GET /public/npm/💩 HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET /public/npm/a b HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET /public/npm/lib HTTP/9.9\r\nHost: x\r\n\r\n',
  'GET /public/npm/lib\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'POST /public/npm/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{',
  'POST /public/npm/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
  'POST /public/npm/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n',
  'POST /public/npm/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  'GET /public/npm/lib HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n',
  'GET /public/npm/lib HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc',
  'CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n',
  '\u0016\u0003\u0001\u0002\u0000\u0001\u0000',
];

function path(random: Random): string {
  if (random() < 0.6) return pick(random, paths);
  if (random() < 0.005) return `/odd/${Math.ceil(random() * 4)}`;
  const parts = Array.from({ length: 1 + Math.floor(random() * 6) }, () => pick(random, segments));
  return `/${parts.join('/')}${random() < 0.1 ? `?${pick(random, segments)}=${pick(random, segments)}` : ''}`;
}

/** One request whose end is where it seems to be. */
function message(random: Random): string {
  const method = pick(random, methods);
  const lines = [`${method} ${pick(random, roots)}${path(random)} HTTP/1.1`, 'Host: 127.0.0.1'];
  while (random() < 0.45) lines.push(pick(random, headers));
  if (random() > 0.1 || method === 'GET' || method === 'HEAD') return `${lines.join('\r\n')}\r\n\r\n`;
  const body = '{"lib":["1.0.0"]}'.slice(0, Math.floor(random() * 20));
  return `${lines.join('\r\n')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

/** The last one says good-bye, breaks off in the middle, has a wrong byte or is no request at all. */
function last(random: Random): Buffer {
  if (random() < 0.6) return Buffer.from('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  if (random() < 0.5) return Buffer.from(pick(random, breaking));
  const bytes = Buffer.from(message(random));
  bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
  return bytes.subarray(0, 1 + Math.floor(random() * bytes.length));
}

/** An upstream that answers paths below /odd with something else each time. */
function odd(random: Random): (request: SeenRequest) => Reply {
  const replies: readonly Reply[] = [
    { body: 'fine' },
    { body: synthetic(50_000) },
    { body: synthetic(50_000), truncateAt: 20_000 },
    { body: synthetic(50_000), truncateAt: 20_000, length: false },
    { body: 'short', length: 100 },
    { status: 404 },
    { status: 410 },
    { status: 500 },
    { status: 304 },
    { status: 204 },
    { status: 302, headers: { location: '/odd/2' } },
    { status: 301, headers: { location: 'http://169.254.169.254/' } },
    { hangUp: true },
    { raw: 'nonsense\r\n\r\n' },
    { body: 'x', headers: { 'content-encoding': 'gzip' } },
    { body: '<html>', contentType: 'text/html' },
  ];
  return () => pick(random, replies);
}

interface Tally {
  readonly statuses: Map<number, number>;
  /** Something came back that is no sequence of HTTP answers. */
  garbled: number;
}

/** Counts the answers in what one connection gave; HEAD answers have no body, so a body is only skipped where one was announced and is there. */
function countAnswers(bytes: Buffer, tally: Tally): void {
  for (const [, status = ''] of bytes
    .toString('latin1')
    .matchAll(/HTTP\/1\.1 (\d{3}) [A-Za-z -]+\r\n(?:[\w-]+: [^\r\n]*\r\n)+\r\n/g))
    tally.statuses.set(Number(status), (tally.statuses.get(Number(status)) ?? 0) + 1);
  if (bytes.length > 0 && !bytes.subarray(0, 9).equals(Buffer.from('HTTP/1.1 '))) tally.garbled += 1;
}

function batch(port: number, random: Random, tally: Tally): Promise<void> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const leaves = random() < 0.05;
    const socket = connect(port, '127.0.0.1');
    const finish = (): void => {
      socket.destroy();
      countAnswers(Buffer.concat(chunks), tally);
      resolve();
    };
    socket.setTimeout(1000, finish);
    socket.on('error', finish);
    socket.on('close', finish);
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (leaves) finish();
    });
    const requests = Array.from({ length: batchSize - 1 }, () => message(random)).join('');
    socket.write(Buffer.concat([Buffer.from(requests), last(random)]));
  });
}

test('a hundred thousand odd requests leave a healthy process and a clean store', async () => {
  const { registry, upstream, larder } = await sceneWithProcess({
    source: { ttl: '100ms', staleWhileRevalidate: '0s', negativeTtl: '100ms' },
    server: { limits: { headersTimeout: '2s', requestTimeout: '2s' } },
    upstream: { timeoutMs: 1000, breaker: { failures: 1_000_000 } },
    more: { log: { access: false } },
  });
  const random = randomFrom(4_711);
  const small = registry.publish({ name: 'lib', version: '1.0.0' });
  const scoped = registry.publish({ name: '@acme/lib', version: '1.0.0' });
  const big = registry.publish({ name: 'big', version: '1.0.0', bytes: synthetic(30_000) });
  upstream.at('/dists/Release', { body: 'release' });
  upstream.at('/pool/a.deb', { body: synthetic(10_000) });
  for (let i = 1; i <= 4; i++) upstream.at(`/odd/${i}`, odd(random));

  const tally: Tally = { statuses: new Map(), garbled: 0 };
  let sent = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (sent < total) {
        sent += batchSize;
        await batch(larder.port, random, tally);
      }
    }),
  );

  expect(tally.statuses.get(500)).toBeUndefined();
  expect(tally.garbled).toBe(0);
  // Whoever leaves early and whatever breaks off costs some answers, but not many.
  expect([...tally.statuses.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(total * 0.7);
  expect(tally.statuses.get(200)).toBeGreaterThan(total * 0.05);
  expect((await larder.ask('/healthz')).status).toBe(200);
  expect((await larder.ask('/readyz')).status).toBe(200);
  for (const { path: file, sha256 } of [small, scoped, big])
    expect(sha256Of((await larder.npm(file)).body)).toBe(sha256);
  expect(sha256Of((await larder.files('/pool/a.deb')).body)).toBe(sha256Of(collect(synthetic(10_000))));
  expect((await larder.memory()).rssBytes).toBeLessThan(600_000_000);
  // Nothing of this is Larder's fault, so nothing is logged as one; what upstream got wrong is.
  const complaints = larder.log.filter((line) => !/^\{"level":[1-4]0,/.test(line) && !line.includes('/odd/'));
  expect(complaints).toEqual([]);
  await larder.stop();
  expect(await larder.exited).toBe(0);
  expect(await verify({ path: larder.storage })).toMatchObject({ clean: true, damaged: [] });
});

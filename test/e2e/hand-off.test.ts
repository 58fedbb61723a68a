/** What the proxy in front is left to send, and what it never is. The proxy itself is a client here that says what a proxy says. */
import { chmod, readFile, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Digest } from '../../src/core/digest.ts';
import { type Events, subscribe } from '../../src/core/events.ts';
import { listFormats, loadFormat } from '../../src/formats/load.ts';
import { disk } from '../../src/store/disk.ts';
import { collect, sha256Of, synthetic } from '../support/bytes.ts';
import { gate } from '../support/fake-upstream.ts';
import { ask, type Headers } from '../support/http.ts';
import { root, startLarder } from '../support/larder.ts';
import { type Scene, type SceneOptions, scene, untilStored } from '../support/scene.ts';
import { createToken } from '../support/tokens.ts';
import { eventually } from '../support/wait.ts';

const size = 1_000_000;
const bytes = synthetic(size);
const hex = sha256Of(bytes);
const address = `/larder-blobs/sha256/${hex.slice(0, 2)}/${hex.slice(2, 4)}/${hex}`;
const offer: Headers = { 'x-larder-hand-off': '/larder-blobs/' };
const path = '/big.bin';
const server = { trustedProxies: ['127.0.0.1/32'], handOff: { from: '1MB' } };

const blobOf = (folder: string): string => join(folder, 'blobs/v1', address.slice('/larder-blobs/'.length));

async function stored(options: SceneOptions = {}): Promise<Scene> {
  const made = await scene({ server, ...options });
  made.upstream.at(path, { body: bytes, etag: '"upstream"', lastModified: 'Mon, 02 Nov 2026 10:00:00 GMT' });
  await made.larder.files(path);
  await untilStored(made.larder, path, 'files');
  return made;
}

function requests(): Events['request'][] {
  const told: Events['request'][] = [];
  onTestFinished(subscribe('request', (event) => told.push(event)));
  return told;
}

test('a proxy that offers it is told the name of the file, with our headers and no body', async () => {
  const { larder } = await stored();
  const plain = await larder.files(path);
  expect(plain.headers['x-accel-redirect']).toBeUndefined();
  const answer = await larder.files(path, offer);
  expect(answer.status).toBe(200);
  expect(answer.body.length).toBe(0);
  expect(answer.headers['content-length']).toBe('0');
  expect(answer.headers['x-accel-redirect']).toBe(address);
  // These are the proxy's to make.
  const {
    'accept-ranges': _ranges,
    'content-length': _length,
    date: _date,
    'x-request-id': _id,
    ...same
  } = plain.headers;
  expect(answer.headers).toMatchObject(same);
  expect(answer.headers['x-request-id']).toMatch(/./);
  expect((await readFile(blobOf(larder.storage))).equals(collect(bytes))).toBe(true);
});

describe('the bytes come from Larder', () => {
  test.each<[string, Headers]>([
    ['without an offer', {}],
    ['when the proxy names another location', { 'x-larder-hand-off': '/other/' }],
    ['when the proxy gives it back', { 'x-larder-hand-off': 'returned' }],
    [
      'when a date is to be compared, which a proxy does with the age of the file',
      { ...offer, 'if-unmodified-since': 'Mon, 02 Nov 2026 10:00:00 GMT' },
    ],
    ['when another date is to be compared', { ...offer, 'if-modified-since': 'Mon, 01 Jun 2026 10:00:00 GMT' }],
    ['when an entity tag is required', { ...offer, 'if-match': '*' }],
    ['when several ranges are asked for', { ...offer, range: 'bytes=0-1,5-6' }],
    ['when a range is not honoured', { ...offer, range: 'bytes=0-1', 'if-range': '"something else"' }],
  ])('%s', async (_name, headers) => {
    const { larder } = await stored();
    const answer = await larder.files(path, headers);
    expect(answer.status).toBe(200);
    expect(answer.headers['x-accel-redirect']).toBeUndefined();
    expect(sha256Of(answer.body)).toBe(hex);
  });

  test('when the offer comes from somebody who is no trusted proxy', async () => {
    const { larder } = await stored({ server: { ...server, trustedProxies: ['192.0.2.0/24'] } });
    const answer = await larder.files(path, offer);
    expect(answer.headers['x-accel-redirect']).toBeUndefined();
    expect(sha256Of(answer.body)).toBe(hex);
  });

  test('when the setting is off', async () => {
    const { larder } = await stored({ server: { trustedProxies: ['127.0.0.1'] } });
    expect((await larder.files(path, offer)).body.length).toBe(size);
  });

  test('when they are to be slowed', async () => {
    const { larder } = await stored({ server: { ...server, limits: { perAddress: { download: '500MB' } } } });
    const answer = await larder.files(path, offer);
    expect([answer.headers['x-accel-redirect'], sha256Of(answer.body)]).toEqual([undefined, hex]);
  });

  test('when there is less than the least', async () => {
    const { larder } = await stored({ server: { ...server, handOff: { from: size + 1 } } });
    expect((await larder.files(path, offer)).body.length).toBe(size);
  });

  test('while they are still arriving, and for whoever joins', async () => {
    const { larder, upstream } = await scene({ server });
    const until = gate();
    upstream.at(path, { body: bytes, hold: { at: 500_000, until } });
    const first = larder.files(path, offer);
    await eventually('the download runs', async () => upstream.count(path) > 0 || undefined);
    const second = larder.files(path, offer);
    until.open();
    for (const answer of await Promise.all([first, second])) {
      expect(answer.headers['x-accel-redirect']).toBeUndefined();
      expect(sha256Of(answer.body)).toBe(hex);
    }
  });

  test('when the file cannot be opened to others', async () => {
    const { upstream } = await scene();
    upstream.at(path, { body: bytes });
    const refuses = async (): Promise<never> => {
      throw Object.assign(new Error('not ours'), { code: 'EPERM' });
    };
    const larder = await startLarder({ upstreamUrl: upstream.url, server }, { disk: { ...disk, chmod: refuses } });
    onTestFinished(() => larder.close());
    const faults: string[] = [];
    onTestFinished(subscribe('fault', ({ where }) => faults.push(where)));
    await larder.files(path);
    await untilStored(larder, path, 'files');
    for (let i = 0; i < 3; i++) expect((await larder.files(path, offer)).body.length).toBe(size);
    expect(faults).toEqual(['letting the proxy in front read stored bytes']);
  });
});

test('HEAD, an unchanged file and an impossible range are answered whole', async () => {
  const { larder } = await stored();
  const url = `${larder.url}/public/files${path}`;
  const head = await ask(url, { method: 'HEAD', headers: offer });
  expect(head.headers).toMatchObject({ 'content-length': String(size), 'accept-ranges': 'bytes' });
  const unchanged = await ask(url, { headers: { ...offer, 'if-none-match': String(head.headers.etag) } });
  const outside = await ask(url, { headers: { ...offer, range: `bytes=${size}-` } });
  expect([unchanged.status, outside.status, outside.headers['content-range']]).toEqual([304, 416, `bytes */${size}`]);
  for (const answer of [head, unchanged, outside]) expect(answer.headers['x-accel-redirect']).toBeUndefined();
});

test('what the proxy sends is counted as sent, and in the access line as what the client gets', async () => {
  const { larder } = await stored();
  const told = requests();
  await larder.files(path, offer);
  await larder.files(path, { ...offer, range: 'bytes=10-19' });
  await larder.files(path, { 'x-larder-hand-off': 'returned' });
  await eventually('all are told', async () => told.length === 3 || undefined);
  expect(told.map(({ status, bytesSent, handOff, outcome }) => [status, bytesSent, handOff, outcome])).toEqual([
    [200, size, 'given', 'hit'],
    [206, 10, 'given', 'hit'],
    [200, size, 'returned', 'hit'],
  ]);
  const metrics = await larder.metrics();
  const repository = { repository: 'public/files' };
  expect(metrics.sum('larder_handed_off_total', repository)).toBe(2);
  expect(metrics.sum('larder_handed_off_bytes_total', repository)).toBe(size + 10);
  expect(metrics.sum('larder_handed_off_returned_total', repository)).toBe(1);
  expect(metrics.sum('larder_client_bytes_total', { ...repository, outcome: 'hit' })).toBeGreaterThanOrEqual(
    2 * size + 10,
  );
});

test('every header that a format gives its files is one that the page tells nginx to keep', async () => {
  const page = await readFile(join(root, 'docs/proxies.md'), 'utf8');
  const digests = ['md5', 'sha1', 'sha256', 'sha512'].map((algorithm) => `${algorithm}:00` as Digest);
  for (const id of listFormats()) {
    const format = await loadFormat(id);
    const facts = { digests, size: 1, contentType: 'application/octet-stream' };
    const given = { ...format.headers, ...format.artifactHeaders?.({ kind: 'artifact', path: 'x' }, facts) };
    for (const header of Object.keys(given).filter((name) => name !== 'content-type')) {
      const line = `add_header ${header} $upstream_http_${header.replaceAll('-', '_')};`;
      expect(page.toLowerCase(), `${id}: ${header}`).toContain(line);
    }
  }
});

test('small answers come out of memory as ever', async () => {
  const { registry, larder } = await scene({ server: { ...server, handOff: { from: 1 } } });
  const { path } = registry.publish({ name: 'small', version: '1.0.0' });
  for (let i = 0; i < 3; i++) await larder.npm(path, offer);
  await untilStored(larder, path);
  const told = requests();
  const answer = await larder.npm(path, offer);
  expect(answer.headers['x-accel-redirect']).toBeUndefined();
  expect(answer.body.length).toBeGreaterThan(0);
  await eventually('it is told', async () => told.length === 1 || undefined);
  expect(told[0]).toMatchObject({ outcome: 'hit' });
  expect(told[0]).not.toHaveProperty('handOff');
});

test('only what is handed off is opened to the group', async () => {
  const { larder, upstream } = await stored();
  upstream.at('/other.bin', { body: synthetic(size, 2) });
  await larder.files('/other.bin');
  await untilStored(larder, '/other.bin', 'files');
  const modeOf = async (name: string): Promise<string> =>
    ((await stat(join(larder.storage, name))).mode & 0o777).toString(8);
  const name = blobOf('');
  await chmod(larder.storage, 0o700);
  expect(await modeOf(name)).toBe('600');
  await larder.files(path, offer);
  const folders = ['', 'blobs', 'blobs/v1', 'blobs/v1/sha256', `blobs/v1/sha256/${hex.slice(0, 2)}`, join(name, '..')];
  expect(await Promise.all(folders.map(modeOf))).toEqual(folders.map(() => '710'));
  expect(await modeOf(name)).toBe('640');
  const other = sha256Of(synthetic(size, 2));
  expect(await modeOf(`blobs/v1/sha256/${other.slice(0, 2)}/${other.slice(2, 4)}/${other}`)).toBe('600');
  for (const closed of ['journal', 'index', 'keys', 'staging', 'entries'])
    expect([closed, await modeOf(closed).catch(() => '700')]).toEqual([closed, '700']);
});

test('a file that is gone by then is fetched again, and comes whole', async () => {
  const { larder, upstream } = await stored();
  expect((await larder.files(path, offer)).headers['x-accel-redirect']).toBe(address);
  await rm(blobOf(larder.storage));
  const again = await larder.files(path, { 'x-larder-hand-off': 'returned' });
  expect([again.status, sha256Of(again.body), upstream.count(path)]).toEqual([200, hex, 2]);
});

test('a file that was cut is not handed off', async () => {
  const { larder, upstream } = await stored();
  await truncate(blobOf(larder.storage), 1000);
  const answer = await larder.files(path, offer);
  expect([answer.headers['x-accel-redirect'], sha256Of(answer.body), upstream.count(path)]).toEqual([
    undefined,
    hex,
    2,
  ]);
});

test('what was handed off is not evicted before the proxy can have opened it', async () => {
  const { larder, upstream } = await stored({ storage: { maxSize: 2.5 * size, keepFree: 0 } });
  await larder.files(path, offer);
  for (const seed of [2, 3, 4, 5]) {
    upstream.at(`/${seed}.bin`, { body: synthetic(size, seed) });
    await larder.files(`/${seed}.bin`);
    await untilStored(larder, `/${seed}.bin`, 'files');
  }
  expect((await stat(blobOf(larder.storage))).size).toBe(size);
});

test('the rules stand before it, for what is published here too', async () => {
  const { upstream } = await scene();
  const repositories = { own: { format: 'generic', sources: [{ hosted: true }] } };
  const access = [{ who: ['members'], may: ['read', 'publish'] }];
  const larder = await startLarder({
    upstreamUrl: upstream.url,
    server,
    more: { orgs: { acme: { repositories, access, teams: { all: ['alice'] } } } },
  });
  onTestFinished(() => larder.close());
  const authorization = `Bearer ${await createToken(larder.storage, { org: 'acme', user: 'alice', may: ['read', 'publish'] })}`;
  const url = `${larder.url}/acme/own/v1/tool`;
  expect((await ask(url, { method: 'PUT', body: collect(bytes), headers: { authorization } })).status).toBe(201);
  const refused = await ask(url, { headers: offer });
  expect([refused.status, refused.headers['x-accel-redirect']]).toEqual([401, undefined]);
  const answer = await ask(url, { headers: { ...offer, authorization } });
  expect(answer.headers).toMatchObject({
    'x-accel-redirect': address,
    'x-larder-cache': 'hosted',
    'content-length': '0',
  });
});

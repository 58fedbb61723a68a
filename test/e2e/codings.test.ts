/** What upstream sends coded, and what clients accept: every pair gives the same document, and files stay as they are. */
import { brotliDecompressSync, gunzipSync, gzipSync, zstdDecompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { sha256Of } from '../support/bytes.ts';
import type { Coding } from '../support/fake-upstream.ts';
import type { Answer } from '../support/http.ts';
import { scene } from '../support/scene.ts';

function decoded(answer: Answer): string {
  const coding = answer.headers['content-encoding'];
  switch (coding) {
    case undefined:
      return answer.text();
    case 'gzip':
      return gunzipSync(answer.body).toString();
    case 'br':
      return brotliDecompressSync(answer.body).toString();
    case 'zstd':
      return zstdDecompressSync(answer.body).toString();
    default:
      throw new Error(`No client asked for ${coding}`);
  }
}

const upstreamCodings: readonly (Coding | 'identity')[] = ['identity', 'gzip', 'br', 'zstd', 'deflate'];
const clientAccepts = [
  { accept: undefined, allowed: [undefined] },
  { accept: 'identity', allowed: [undefined] },
  { accept: 'gzip', allowed: [undefined, 'gzip'] },
  { accept: 'gzip, deflate', allowed: [undefined, 'gzip'] },
  { accept: 'gzip, deflate, br', allowed: [undefined, 'gzip', 'br'] },
  { accept: 'zstd,gzip,deflate', allowed: [undefined, 'gzip', 'zstd'] },
  { accept: 'gzip, deflate, br, zstd', allowed: [undefined, 'gzip', 'br', 'zstd'] },
  { accept: 'br;q=1.0, gzip;q=0', allowed: [undefined, 'br'] },
  { accept: '*', allowed: [undefined, 'gzip', 'br', 'zstd'] },
  { accept: 'x-nobody-knows', allowed: [undefined] },
];

describe.each(upstreamCodings)('an upstream that sends %s', (coding) => {
  test('gives every client the same document, in a coding it accepts', async () => {
    const { registry, upstream, larder } = await scene();
    for (let i = 0; i < 30; i++) registry.publish({ name: 'lib', version: `1.${i}.0` });
    upstream.at('/lib', {
      body: registry.document('lib'),
      contentType: 'application/json',
      ...(coding === 'identity' ? {} : { coding }),
    });
    const plain = await larder.npm('/lib');
    expect(Object.keys((plain.json() as { versions: object }).versions)).toHaveLength(30);
    for (const { accept, allowed } of clientAccepts) {
      for (let round = 0; round < 2; round++) {
        const answer = await larder.npm('/lib', accept === undefined ? {} : { 'accept-encoding': accept });
        expect(answer.complete).toBe(true);
        expect(allowed).toContain(answer.headers['content-encoding']);
        expect(decoded(answer)).toBe(plain.text());
        expect(String(answer.headers.vary).toLowerCase()).toContain('accept-encoding');
      }
    }
    expect(upstream.count('/lib')).toBe(1);
  });

  test('gives every client the same tarball, never coded', async () => {
    const { registry, upstream, larder } = await scene();
    const published = registry.publish({ name: 'lib', version: '1.0.0' });
    upstream.at(published.path, { body: published.bytes, ...(coding === 'identity' ? {} : { coding }) });
    for (const { accept } of clientAccepts) {
      const answer = await larder.npm(published.path, accept === undefined ? {} : { 'accept-encoding': accept });
      expect(answer.headers['content-encoding']).toBeUndefined();
      expect(sha256Of(answer.body)).toBe(published.sha256);
      expect(answer.complete).toBe(true);
    }
    expect(upstream.count(published.path)).toBe(1);
  });
});

test('a document of some size is sent compressed to those who ask, whichever coding they prefer', async () => {
  const { registry, larder } = await scene();
  for (let i = 0; i < 50; i++) registry.publish({ name: 'lib', version: `1.${i}.0` });
  for (const coding of ['gzip', 'br', 'zstd']) {
    const answer = await larder.npm('/lib', { 'accept-encoding': coding });
    expect(answer.headers['content-encoding']).toBe(coding);
    expect(answer.headers['content-length']).toBe(String(answer.body.length));
  }
});

test('the validator of each coding gives 304 for that coding', async () => {
  const { registry, larder } = await scene();
  for (let i = 0; i < 50; i++) registry.publish({ name: 'lib', version: `1.${i}.0` });
  for (const coding of ['identity', 'gzip', 'br', 'zstd']) {
    const headers = { 'accept-encoding': coding };
    const etag = String((await larder.npm('/lib', headers)).headers.etag);
    expect((await larder.npm('/lib', { ...headers, 'if-none-match': etag })).status).toBe(304);
  }
});

test('a file that is itself compressed goes through byte for byte', async () => {
  const { upstream, larder } = await scene();
  const file = gzipSync('what the package says');
  upstream.at('/pool/Packages.gz', { body: file, contentType: 'application/gzip' });
  const answer = await larder.files('/pool/Packages.gz', { 'accept-encoding': 'gzip' });
  expect(answer.headers['content-encoding']).toBeUndefined();
  expect(answer.body.equals(file)).toBe(true);
});

test('artifacts are asked for uncoded', async () => {
  const { registry, upstream, larder } = await scene();
  const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
  await larder.npm(path, { 'accept-encoding': 'gzip, br' });
  const seen = upstream.requests.find((request) => request.path === path);
  expect(seen?.headers['accept-encoding'] ?? 'identity').toBe('identity');
});

/** The address that documents name for tarballs: the one under which the client reached us. */

import { writeFile } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { selfSigned } from '../support/certificate.ts';
import { temporaryFolder } from '../support/folder.ts';
import { ask } from '../support/http.ts';
import { scene } from '../support/scene.ts';

async function tarballUrl(server: Record<string, unknown>, headers: Record<string, string>): Promise<string> {
  const { registry, larder } = await scene({ server });
  registry.publish({ name: '@acme/lib', version: '1.0.0' });
  const answer = await larder.npm('/@acme%2flib', headers);
  expect(answer.status).toBe(200);
  const text =
    (answer.json() as { versions: Record<string, { dist: { tarball: string } }> }).versions['1.0.0']?.dist.tarball ??
    '';
  return text.replace(`:${larder.port}`, ':PORT');
}

const path = '/public/npm/@acme/lib/-/lib-1.0.0.tgz';
const trusted = { trustedProxies: ['127.0.0.1/32'] };
const publicUrl = { publicUrl: 'https://larder.example.com/packages/' };

const cases: readonly {
  what: string;
  server: Record<string, unknown>;
  headers: Record<string, string>;
  base: string;
}[] = [
  { what: 'nothing said', server: {}, headers: {}, base: 'http://127.0.0.1:PORT' },
  { what: 'Host', server: {}, headers: { host: 'mirror.example.com' }, base: 'http://mirror.example.com' },
  {
    what: 'Host with a port',
    server: {},
    headers: { host: 'mirror.example.com:8080' },
    base: 'http://mirror.example.com:8080',
  },
  { what: 'Host with IPv6', server: {}, headers: { host: '[::1]:5273' }, base: 'http://[::1]:5273' },
  {
    what: 'forwarded headers of a stranger',
    server: {},
    headers: {
      host: 'good.example.com',
      'x-forwarded-host': 'evil.example.com',
      'x-forwarded-proto': 'https',
      forwarded: 'host=evil.example.com',
    },
    base: 'http://good.example.com',
  },
  {
    what: 'X-Forwarded-* of a trusted proxy',
    server: trusted,
    headers: { 'x-forwarded-host': 'npm.example.com', 'x-forwarded-proto': 'https' },
    base: 'https://npm.example.com',
  },
  {
    what: 'a forwarded port',
    server: trusted,
    headers: { 'x-forwarded-host': 'npm.example.com', 'x-forwarded-proto': 'https', 'x-forwarded-port': '8443' },
    base: 'https://npm.example.com:8443',
  },
  {
    what: 'a sub-path that the proxy removed',
    server: trusted,
    headers: { 'x-forwarded-host': 'example.com', 'x-forwarded-proto': 'https', 'x-forwarded-prefix': '/larder' },
    base: 'https://example.com/larder',
  },
  {
    what: 'Forwarded with IPv6',
    server: trusted,
    headers: { forwarded: 'for="[2001:db8::1]";proto=https;host="[2001:db8::2]:8443"' },
    base: 'https://[2001:db8::2]:8443',
  },
  {
    what: 'publicUrl',
    server: publicUrl,
    headers: { host: 'other.example.com' },
    base: 'https://larder.example.com/packages',
  },
  {
    what: 'publicUrl behind a trusted proxy',
    server: { ...trusted, ...publicUrl },
    headers: { 'x-forwarded-host': 'other.example.com' },
    base: 'https://larder.example.com/packages',
  },
];

test.each(cases)('$what: $base', async ({ server, headers, base }) => {
  expect(await tarballUrl(server, headers)).toBe(base + path);
});

test('two addresses at once: each client gets its own, and validators differ', async () => {
  const { registry, larder } = await scene();
  registry.publish({ name: 'lib', version: '1.0.0' });
  const [a, b, again] = [
    await larder.npm('/lib', { host: 'a.example.com' }),
    await larder.npm('/lib', { host: 'b.example.com' }),
    await larder.npm('/lib', { host: 'a.example.com' }),
  ];
  expect(a.text()).toContain('http://a.example.com/');
  expect(b.text()).toContain('http://b.example.com/');
  expect(again.text()).toBe(a.text());
  expect(a.headers.etag).not.toBe(b.headers.etag);
  expect(registry.documentRequests('lib')).toBe(1);
});

test.each(['a b', 'a/b', 'a@b', '<script>', 'a\\b', 'x:99999', '[::1', 'a,b'])(
  'the host "%s" is refused',
  async (host) => {
    const { registry, larder } = await scene();
    registry.publish({ name: 'lib', version: '1.0.0' });
    expect((await larder.npm('/lib', { host })).status).toBe(400);
  },
);

describe('over TLS', () => {
  test('documents name https addresses, with HTTP/1.1 and with HTTP/2', async () => {
    const folder = await temporaryFolder();
    onTestFinished(() => folder.remove());
    const certificate = selfSigned();
    const [cert, key] = [join(folder.path, 'cert.pem'), join(folder.path, 'key.pem')];
    await writeFile(cert, certificate.cert);
    await writeFile(key, certificate.key);
    const { registry, larder } = await scene({ server: { tls: { cert, key } } });
    const published = registry.publish({ name: 'lib', version: '1.0.0' });
    expect(larder.url).toMatch(/^https:/);
    const answer = await ask(`${larder.url}/public/npm/lib`, { ca: certificate.cert });
    expect(answer.text()).toContain(`https://127.0.0.1:${larder.port}/public/npm/lib/-/lib-1.0.0.tgz`);

    const session = connectHttp2(larder.url, { ca: certificate.cert });
    onTestFinished(() => session.close());
    const [status, body] = await new Promise<[number, Buffer]>((resolve, reject) => {
      const stream = session.request({ ':path': `/public/npm${published.path}` });
      const chunks: Buffer[] = [];
      let code = 0;
      stream.on('response', (headers) => {
        code = Number(headers[':status']);
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => resolve([code, Buffer.concat(chunks)]));
      stream.on('error', reject);
      stream.end();
    });
    expect(status).toBe(200);
    expect(body.equals(published.bytes as Buffer)).toBe(true);
  });
});

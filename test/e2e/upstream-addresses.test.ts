/** Where links and redirects may lead, and what goes along: credentials stay with the address they were given for. */
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { selfSigned } from '../support/certificate.ts';
import { type FakeUpstream, type FakeUpstreamOptions, startFakeUpstream } from '../support/fake-upstream.ts';
import { startLarder } from '../support/larder.ts';
import { scene } from '../support/scene.ts';

async function another(options: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
  const started = await startFakeUpstream(options);
  onTestFinished(() => started.close());
  return started;
}

const bearer = { auth: { bearer: 'secret-token' } };

describe('credentials', () => {
  test.each([
    { auth: { bearer: 'secret-token' }, header: 'Bearer secret-token' },
    { auth: { username: 'joe', password: 'pass:word' }, header: `Basic ${btoa('joe:pass:word')}` },
  ])('$header goes to the upstream it was configured for', async ({ auth, header }) => {
    const { registry, upstream, larder } = await scene({ upstream: { auth } });
    const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
    expect((await larder.npm(path)).status).toBe(200);
    expect(upstream.requests.map((seen) => seen.headers.authorization)).toEqual([header, header]);
  });

  test('a redirect within the origin keeps them, one to another origin does not', async () => {
    const other = await another();
    const { registry, upstream, larder } = await scene({
      upstream: { ...bearer, hosts: [`127.0.0.1:${other.port}`] },
    });
    const { path, bytes } = registry.publish({ name: 'lib', version: '1.0.0' });
    upstream.at(path, { status: 302, headers: { location: '/moved' } });
    upstream.at('/moved', { status: 307, headers: { location: `${other.url}/file` } });
    other.at('/file', { body: bytes });
    expect((await larder.npm(path)).status).toBe(200);
    expect(upstream.requests.find((seen) => seen.path === '/moved')?.headers.authorization).toBe('Bearer secret-token');
    expect(other.requests).toHaveLength(1);
    expect(other.requests[0]?.headers.authorization).toBeUndefined();
    expect(other.requests[0]?.headers.cookie).toBeUndefined();
  });

  test('a redirect that comes back to the origin does not bring them back to life unasked', async () => {
    const other = await another();
    const { registry, upstream, larder } = await scene({
      upstream: { ...bearer, hosts: [`127.0.0.1:${other.port}`] },
    });
    const { path, bytes } = registry.publish({ name: 'lib', version: '1.0.0' });
    upstream.at(path, { status: 302, headers: { location: `${other.url}/hop` } });
    other.at('/hop', { status: 302, headers: { location: `${upstream.url}/back` } });
    upstream.at('/back', { body: bytes });
    await larder.npm(path);
    expect(other.requests[0]?.headers.authorization).toBeUndefined();
  });

  test('a tarball that the document places on another host is fetched there without them', async () => {
    const cdn = await another();
    const { registry, larder } = await scene({
      registry: { tarballBase: cdn.url },
      upstream: { ...bearer, hosts: [`127.0.0.1:${cdn.port}`] },
    });
    const { path, bytes } = registry.publish({ name: 'lib', version: '1.0.0' });
    cdn.at(path, { body: bytes });
    expect((await larder.npm(path)).status).toBe(200);
    expect(registry.tarballRequests()).toBe(0);
    expect(cdn.requests[0]?.headers.authorization).toBeUndefined();
  });

  test("a client's own credentials and cookies never reach the upstream", async () => {
    const { registry, upstream, larder } = await scene();
    const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
    const headers = {
      authorization: 'Bearer of-the-client',
      cookie: 'a=b',
      'npm-otp': '123456',
      'proxy-authorization': 'x',
    };
    expect((await larder.npm(path, headers)).status).toBe(200);
    await larder.npm('/-/v1/search?text=lib', headers);
    expect(upstream.requests.length).toBeGreaterThan(2);
    for (const seen of upstream.requests)
      expect(JSON.stringify(seen.headers)).not.toMatch(/of-the-client|a=b|123456|proxy-auth/);
  });

  test('they are in no metric, no answer and no error', async () => {
    const { upstream, larder } = await scene({ upstream: { auth: { bearer: 'very-secret' } } });
    upstream.at('/lib', { status: 401 });
    const answer = await larder.npm('/lib');
    expect(answer.text() + JSON.stringify(answer.headers)).not.toContain('very-secret');
    expect((await larder.ask('/metrics')).text()).not.toContain('very-secret');
  });
});

const guarded = await scene({}, afterAll);

describe('addresses that a document or a redirect names', () => {
  const privateAddresses = [
    'http://127.0.0.1:1/x.tgz',
    'http://localhost:1/x.tgz',
    'http://10.0.0.1/x.tgz',
    'http://192.168.1.1/x.tgz',
    'http://172.16.0.1/x.tgz',
    'http://169.254.169.254/latest/meta-data',
    'http://[::1]:1/x.tgz',
    'http://[fd00::1]/x.tgz',
    'http://[::ffff:127.0.0.1]:1/x.tgz',
    'http://2130706433:1/x.tgz',
    'http://0x7f.1:1/x.tgz',
    'http://0.0.0.0:1/x.tgz',
    'http://100.64.0.1/x.tgz',
    'ftp://example.com/x.tgz',
    'file:///etc/passwd',
  ];

  test.each(privateAddresses)('%s is refused in a document', async (tarball) => {
    const { registry, larder } = guarded;
    const name = `document-${privateAddresses.indexOf(tarball)}`;
    const { path } = registry.publish({ name, version: '1.0.0', dist: { tarball } });
    const answer = await larder.npm(path);
    expect(answer.status).toBe(502);
    expect(answer.json()).toMatchObject({ error: expect.stringContaining('hosts') });
  });

  test.each(privateAddresses)('%s is refused in a redirect', async (location) => {
    const { registry, upstream, larder } = guarded;
    const { path } = registry.publish({ name: `redirect-${privateAddresses.indexOf(location)}`, version: '1.0.0' });
    upstream.at(path, { status: 302, headers: { location } });
    expect((await larder.npm(path)).status).toBe(502);
  });

  test('a service beside the upstream is not asked, although it listens on the same machine', async () => {
    const victim = await another();
    const { registry, upstream, larder } = await scene();
    const { path } = registry.publish({ name: 'lib', version: '1.0.0', dist: { tarball: `${victim.url}/admin` } });
    await larder.npm(path);
    upstream.at('/other', { status: 302, headers: { location: `${victim.url}/admin` } });
    await larder.npm('/other');
    expect(victim.requests).toEqual([]);
  });

  test('with onlyHosts even public hosts are refused', async () => {
    const { registry, larder } = await scene({ upstream: { onlyHosts: true } });
    const tarball = 'http://198.51.100.7/x.tgz';
    const { path } = registry.publish({ name: 'lib', version: '1.0.0', dist: { tarball } });
    expect((await larder.npm(path)).status).toBe(502);
  });

  test('redirects in a circle end', async () => {
    const { upstream, larder } = await scene();
    upstream.at('/a', { status: 302, headers: { location: '/b' } });
    upstream.at('/b', { status: 302, headers: { location: '/a' } });
    expect((await larder.files('/a')).status).toBe(502);
    expect(upstream.requests.length).toBeLessThan(40);
  });
});

describe('loops', () => {
  test('two Larders that have each other as upstream answer 508 and say so', async () => {
    const first = await startLarder({ upstreamUrl: 'http://127.0.0.1:9' });
    onTestFinished(() => first.close());
    const second = await startLarder({ upstreamUrl: `${first.url}/public/npm` });
    onTestFinished(() => second.close());
    await first.stop();
    const looped = await startLarder({
      folder: first.folder,
      upstreamUrl: `${second.url}/public/npm`,
      server: { listen: `127.0.0.1:${first.port}` },
    });
    onTestFinished(() => looped.stop());
    const answer = await looped.npm('/lib');
    expect(answer.status).toBe(508);
    expect(answer.json()).toMatchObject({ error: expect.stringMatching(/loop/i) });
  });

  test('a Larder behind a Larder is no loop', async () => {
    const { registry, larder } = await scene();
    const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
    const outer = await startLarder({ upstreamUrl: `${larder.url}/public/npm` });
    onTestFinished(() => outer.close());
    const answer = await outer.npm(path);
    expect(answer.status).toBe(200);
    expect((await outer.npm('/lib')).text()).toContain(`${outer.url}/public/npm/lib/-/lib-1.0.0.tgz`);
    expect(registry.upstream.requests.at(-1)?.headers.via).toMatch(/larder/i);
  });
});

describe('an upstream over TLS', () => {
  test('is trusted with its own authority, and not without', async () => {
    const certificate = selfSigned();
    const { registry, larder } = await scene({ registry: { tls: certificate }, upstream: { ca: certificate.cert } });
    const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
    expect((await larder.npm(path)).status).toBe(200);
    const strict = await startLarder({ upstreamUrl: registry.url, upstream: { retries: 0 } });
    onTestFinished(() => strict.close());
    expect([502, 503]).toContain((await strict.npm('/lib')).status);
  });
});

test('no upstream address is left in a document, in any spelling', async () => {
  const { registry, upstream, larder } = await scene();
  registry.publish({
    name: 'lib',
    version: '1.0.0',
    dist: { attestations: { url: 'http://upstream.test/-/npm/v1/attestations/lib@1.0.0', provenance: {} } },
  });
  upstream.at('/lib', {
    body: registry.document('lib').toString().replaceAll('/', '\\/'),
    contentType: 'application/json',
  });
  for (const accept of ['application/json', 'application/vnd.npm.install-v1+json'])
    for (const path of ['/lib', '/lib/1.0.0']) {
      const text = (await larder.npm(path, { accept })).text();
      expect(text).toContain(`${larder.url}/public/npm/lib/-/lib-1.0.0.tgz`);
      expect(text.replaceAll('\\/', '/')).not.toContain(upstream.url);
      expect(text).not.toContain('upstream.test');
    }
});

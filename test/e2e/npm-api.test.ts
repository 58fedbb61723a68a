/** What reading npm clients call, and what they get for it. */
import { describe, expect, test } from 'vitest';
import { sha256Of } from '../support/bytes.ts';
import { ask } from '../support/http.ts';
import { scene } from '../support/scene.ts';

const abbreviated = { accept: 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*' };

const manifest = {
  description: 'A library',
  dependencies: { other: '^1.0.0' },
  devDependencies: { tool: '*' },
  scripts: { install: 'node build.js' },
  bin: { lib: 'index.js' },
  engines: { node: '>=20' },
  'x-unknown': { kept: true },
};

type Document = Record<string, unknown> & {
  versions: Record<string, Record<string, unknown>>;
  time?: Record<string, string>;
};

describe.each([{ knows: true }, { knows: false }])(
  'an upstream that knows abbreviated documents: $knows',
  ({ knows }) => {
    test('full documents keep everything, times and unknown fields included', async () => {
      const { registry, larder } = await scene({ registry: { abbreviated: knows } });
      registry.publish({ name: 'lib', version: '1.0.0', manifest, publishedAt: '2021-05-05T05:05:05.555Z' });
      const document = (await larder.npm('/lib')).json() as Document;
      const original = registry.packument('lib');
      expect(document.time).toEqual(original.time);
      expect(document.versions['1.0.0']).toMatchObject(manifest);
      expect(document.readme).toBe(original.readme);
      expect(document['dist-tags']).toEqual({ latest: '1.0.0' });
    });

    test('abbreviated documents hold what installing needs, and little else', async () => {
      const { registry, larder } = await scene({ registry: { abbreviated: knows } });
      registry.publish({ name: 'lib', version: '1.0.0', manifest });
      const answer = await larder.npm('/lib', abbreviated);
      expect(answer.headers['content-type']).toMatch(/^application\/vnd\.npm\.install-v1\+json/);
      const document = answer.json() as Document;
      const version = document.versions['1.0.0'] ?? {};
      expect(version).toMatchObject({
        name: 'lib',
        version: '1.0.0',
        dependencies: { other: '^1.0.0' },
        bin: { lib: 'index.js' },
      });
      if (!knows) expect(version.hasInstallScript).toBe(true);
      expect(version).not.toHaveProperty('scripts');
      expect(document).not.toHaveProperty('readme');
      expect(document).toHaveProperty('modified');
    });

    test('a client that wants times gets them, whoever asked before', async () => {
      const { registry, larder } = await scene({ registry: { abbreviated: knows } });
      registry.publish({ name: 'lib', version: '1.0.0' });
      await larder.npm('/lib', abbreviated);
      expect(((await larder.npm('/lib')).json() as Document).time).toHaveProperty(['1.0.0']);
      expect(((await larder.npm('/lib', abbreviated)).json() as Document).versions).toHaveProperty(['1.0.0']);
    });
  },
);

test('one version, by number and by tag, is what the document says about it', async () => {
  const { registry, larder } = await scene();
  const dist = { signatures: [{ keyid: 'SHA256:x', sig: 'MEU=' }] };
  registry.publish({ name: '@acme/lib', version: '1.0.0', manifest, dist });
  registry.publish({ name: '@acme/lib', version: '2.0.0-beta.1', manifest, tag: 'next' });
  const document = (await larder.npm('/@acme%2flib')).json() as Document;
  expect((await larder.npm('/@acme%2flib/1.0.0')).json()).toEqual(document.versions['1.0.0']);
  expect((await larder.npm('/@acme/lib/1.0.0')).json()).toEqual(document.versions['1.0.0']);
  expect((await larder.npm('/@acme%2flib/latest')).json()).toMatchObject({ version: '1.0.0', dist });
  expect((await larder.npm('/@acme%2flib/next')).json()).toMatchObject({ version: '2.0.0-beta.1' });
  expect((await larder.npm('/@acme%2flib/9.9.9')).status).toBe(404);
  expect((await larder.npm('/@acme%2flib/nothing')).status).toBe(404);
});

test('dist-tags', async () => {
  const { registry, larder } = await scene();
  registry.publish({ name: '@acme/lib', version: '1.0.0' });
  registry.publish({ name: '@acme/lib', version: '2.0.0-beta.1', tag: 'next' });
  expect((await larder.npm('/-/package/@acme%2flib/dist-tags')).json()).toEqual({
    latest: '1.0.0',
    next: '2.0.0-beta.1',
  });
});

test('tarballs come under every address that clients compute', async () => {
  const { registry, upstream, larder } = await scene();
  const { sha256 } = registry.publish({ name: '@acme/lib', version: '1.0.0' });
  for (const path of [
    '/@acme/lib/-/lib-1.0.0.tgz',
    '/@acme%2flib/-/lib-1.0.0.tgz',
    '/@acme%2Flib/-/lib-1.0.0.tgz',
    '/%40acme%2flib/-/lib-1.0.0.tgz',
    '/@acme/lib/-/@acme/lib-1.0.0.tgz',
  ]) {
    const answer = await larder.npm(path);
    expect([path, answer.status]).toEqual([path, 200]);
    expect(sha256Of(answer.body)).toBe(sha256);
  }
  expect(upstream.requests.filter((seen) => seen.path.endsWith('.tgz'))).toHaveLength(1);
});

test('a tarball whose address upstream is of another shape is found all the same', async () => {
  const { registry, upstream, larder } = await scene();
  const { path, bytes, sha256 } = registry.publish({
    name: '@acme/lib',
    version: '1.0.0',
    dist: { tarball: `${registry.url}/download/@acme/lib/1.0.0/0123456789abcdef?x=1` },
  });
  upstream.at(path, { status: 404 });
  upstream.at('/download/@acme/lib/1.0.0/0123456789abcdef', { body: bytes });
  expect(sha256Of((await larder.npm(path)).body)).toBe(sha256);
  const document = (await larder.npm('/@acme%2flib')).json() as Document;
  expect(document.versions['1.0.0']?.dist).toMatchObject({ tarball: `${larder.url}/public/npm${path}` });
});

test('ping, whoami, and what is not here', async () => {
  const { larder } = await scene();
  expect(await larder.npm('/-/ping')).toMatchObject({ status: 200 });
  expect((await larder.npm('/-/ping?write=true')).json()).toEqual({});
  expect((await larder.npm('/-/whoami')).status).toBe(401);
  expect((await larder.npm('/no-such-package')).status).toBe(404);
  expect((await larder.npm('/no-such-package')).json()).toMatchObject({
    error: expect.stringMatching(/no-such-package/),
  });
  expect((await larder.ask('/public/nothing/lib')).status).toBe(404);
  expect((await larder.ask('/nobody/npm/lib')).status).toBe(404);
});

describe('search', () => {
  test('is passed on, once for neighbouring pages', async () => {
    const { registry, upstream, larder } = await scene();
    registry.publish({ name: 'lib', version: '1.0.0' });
    for (const from of [0, 1]) {
      const found = (await larder.npm(`/-/v1/search?text=lib&size=20&from=${from}`)).json() as { objects: unknown[] };
      expect(found).toMatchObject({ total: 1 });
      expect(found.objects).toHaveLength(1 - from);
    }
    expect(upstream.count('/-/v1/search')).toBe(1);
    expect(Object.fromEntries(upstream.requests[0]?.query ?? [])).toEqual({ text: 'lib', size: '32' });
  });

  test('finds nothing where upstream has none', async () => {
    const { larder } = await scene({ registry: { search: false } });
    const answer = await larder.npm('/-/v1/search?text=lib');
    expect(answer.status).toBe(200);
    expect(answer.json()).toMatchObject({ objects: [], total: 0 });
  });

  test('is 503 while upstream is away', async () => {
    const { upstream, larder } = await scene();
    await upstream.stop();
    expect((await larder.npm('/-/v1/search?text=lib')).status).toBe(503);
  });
});

describe('audit', () => {
  const path = '/public/npm/-/npm/v1/security/advisories/bulk';
  const question = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"lib":["1.0.0"]}' };

  test('is passed on with its body', async () => {
    const { registry, upstream, larder } = await scene();
    registry.advisories.add('lib@1.0.0');
    const answer = await larder.ask(path, question);
    expect(answer.json()).toMatchObject({ lib: [{ severity: 'high' }] });
    expect(upstream.requests[0]?.body.toString()).toBe('{"lib":["1.0.0"]}');
  });

  test('is clean and empty where upstream has none', async () => {
    const { larder } = await scene({ registry: { audit: false } });
    const answer = await larder.ask(path, question);
    expect([answer.status, answer.json()]).toEqual([200, {}]);
  });

  test('is no clean answer while upstream is away or in trouble', async () => {
    const { upstream, larder } = await scene();
    upstream.at('/-/npm/v1/security/advisories/bulk', { status: 500 });
    expect((await larder.ask(path, question)).status).toBe(503);
    await upstream.stop();
    expect((await larder.ask(path, question)).status).toBe(503);
  });
});

test('signing keys and attestations are passed on and kept', async () => {
  const { upstream, larder } = await scene();
  upstream.at('/-/npm/v1/keys', { body: { keys: [{ keyid: 'x' }] } });
  upstream.at('/-/npm/v1/attestations/lib@1.0.0', { body: { attestations: [] } });
  for (let i = 0; i < 2; i++) {
    expect((await larder.npm('/-/npm/v1/keys')).json()).toEqual({ keys: [{ keyid: 'x' }] });
    expect((await larder.npm('/-/npm/v1/attestations/lib@1.0.0')).json()).toEqual({ attestations: [] });
  }
  expect(upstream.requests).toHaveLength(2);
});

test('HEAD on everything tells what GET tells', async () => {
  const { registry, larder } = await scene();
  registry.publish({ name: 'lib', version: '1.0.0' });
  for (const path of [
    '/lib',
    '/lib/1.0.0',
    '/-/package/lib/dist-tags',
    '/lib/-/lib-1.0.0.tgz',
    '/-/ping',
    '/nothing',
  ]) {
    const get = await larder.npm(path);
    const head = await ask(`${larder.url}/public/npm${path}`, { method: 'HEAD' });
    expect([path, head.status]).toEqual([path, get.status]);
    expect(head.body.length).toBe(0);
    for (const name of ['content-type', 'content-length', 'etag'])
      expect([path, name, head.headers[name]]).toEqual([path, name, get.headers[name]]);
  }
});

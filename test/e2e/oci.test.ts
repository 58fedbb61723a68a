/** Container images, asked for as the clients of registries ask, and counted at the registry behind. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { startLog } from '../../src/telemetry/log.ts';
import { type Descriptor, type Image, mediaTypes } from '../support/fake-oci.ts';
import { temporaryFolder } from '../support/folder.ts';
import type { Answer } from '../support/http.ts';
import { blobPath, manifestPath, ociScene } from '../support/oci-scene.ts';
import { eventually } from '../support/wait.ts';

const name = 'library/alpine';
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** Longer than a tag is believed without being looked at. */
const overTheTtlMs = 6 * minuteMs;

function expectImage(answer: Answer, image: Image): void {
  expect(answer.status).toBe(200);
  expect(answer.complete).toBe(true);
  expect(answer.body.equals(image.bytes)).toBe(true);
  expect(answer.headers['content-type']).toBe(image.mediaType);
  expect(answer.headers['docker-content-digest']).toBe(image.digest);
}

const cacheOf = (answer: Answer): unknown => answer.headers['x-larder-cache'];

function errorsOf(answer: Answer): string[] {
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  return (answer.json() as { errors: { code: string }[] }).errors.map(({ code }) => code);
}

describe('a pull', () => {
  it('by tag costs one HEAD and one GET by digest; then nothing; then one HEAD; and a GET when it was moved', async () => {
    const { one, ask, settled, pass, forget } = await ociScene();
    const first = one.image(name, { tags: ['3'], seed: 'first' });
    const path = manifestPath(name, '3');
    expectImage(await ask(path), first);
    expect(one.log()).toEqual([`HEAD tag ${name} 3`, `GET manifest ${name} ${first.digest}`]);

    await settled(path);
    forget();
    for (let pull = 0; pull < 3; pull++) expectImage(await ask(path), first);
    expectImage(await ask(manifestPath(name, first.digest)), first);
    expect(one.log()).toEqual([]);

    pass(overTheTtlMs);
    const checked = await ask(path);
    expectImage(checked, first);
    expect(cacheOf(checked)).toBe('revalidated');
    expect(one.log()).toEqual([`HEAD tag ${name} 3`]);

    const second = one.image(name, { tags: ['3'], seed: 'second' });
    expectImage(await ask(path), first);
    pass(overTheTtlMs);
    forget();
    expectImage(await ask(path), second);
    expect(one.log()).toEqual([`HEAD tag ${name} 3`, `GET manifest ${name} ${second.digest}`]);

    await settled(path);
    one.tag(name, '3', first.digest);
    pass(overTheTtlMs);
    forget();
    expectImage(await ask(path), first);
    expect(one.log()).toEqual([`HEAD tag ${name} 3`]);
    expect(one.counted).toBe(0);
  });

  it('with HEAD of the tag first costs no more, and the tag is known from then on', async () => {
    const { one, ask, head, settled } = await ociScene();
    const image = one.image(name, { tags: ['3'] });
    const found = await head(manifestPath(name, '3'));
    expect(found.headers['docker-content-digest']).toBe(image.digest);
    expectImage(await ask(manifestPath(name, image.digest)), image);
    await settled(manifestPath(name, image.digest));
    expectImage(await ask(manifestPath(name, '3')), image);
    expect(one.log()).toEqual([`HEAD tag ${name} 3`, `GET manifest ${name} ${image.digest}`]);
  });

  it('of what is known by digest asks nobody, however old it is and whatever became of the registry', async () => {
    const { one, ask, settled, pass, forget } = await ociScene({ registries: [{ redirects: true, tokens: true }] });
    const image = one.image(name);
    const [layer] = image.layers;
    if (!layer) throw new Error('An image has a layer');
    const paths = [manifestPath(name, image.digest), blobPath(name, image.config), blobPath(name, layer)];
    for (const path of paths) expect((await ask(path)).status).toBe(200);
    expect(one.log('manifest', 'cdn')).toEqual([
      `GET manifest ${name} ${image.digest}`,
      `GET manifest ${name} ${image.digest}`,
      `GET cdn ${image.config.digest}`,
      `GET cdn ${layer.digest}`,
    ]);
    for (const path of paths) await settled(path);
    forget();
    pass(10 * 365 * 24 * hourMs);
    for (const path of paths) expect(cacheOf(await ask(path))).toBe('hit');
    expect(one.log()).toEqual([]);
    await one.stop();
    for (const path of paths) expect(cacheOf(await ask(path))).toBe('hit');
  });

  it('by tag goes on while the registry is away, marked as stale once the tag is due', async () => {
    const { one, ask, settled, pass } = await ociScene();
    const image = one.image(name, { tags: ['3'] });
    await ask(manifestPath(name, '3'));
    await settled(manifestPath(name, '3'));
    await one.stop();
    expect(cacheOf(await ask(manifestPath(name, '3')))).toBe('hit');
    pass(30 * 24 * hourMs);
    const stale = await ask(manifestPath(name, '3'));
    expectImage(stale, image);
    expect(cacheOf(stale)).toBe('stale');
    expect(Number(stale.headers.age)).toBeGreaterThan(29 * 24 * 3600);
    expect(stale.headers.warning).toMatch(/^\d{3} /);
    await one.start();
    expect(cacheOf(await ask(manifestPath(name, '3')))).toBe('revalidated');
  });

  it('by ten clients at once is one at the registry', async () => {
    const { one, ask } = await ociScene({ registries: [{ redirects: true, tokens: true }] });
    const image = one.image(name, { tags: ['3'], layers: [Buffer.alloc(300_000, 'layer')] });
    const [layer] = image.layers as readonly [Descriptor];
    const ten = <T>(question: () => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: 10 }, question));
    for (const answer of await ten(() => ask(manifestPath(name, '3')))) expectImage(answer, image);
    for (const { body } of await ten(() => ask(blobPath(name, layer)))) expect(digestOf(body)).toBe(layer.digest);
    expect(one.log('tag', 'manifest', 'blob', 'cdn', 'token')).toEqual([
      `HEAD tag ${name} 3`,
      `GET token ${name}`,
      `HEAD tag ${name} 3`,
      `GET manifest ${name} ${image.digest}`,
      `GET blob ${name} ${layer.digest}`,
      `GET cdn ${layer.digest}`,
    ]);
  });

  it('of an index brings what was asked for and no other platform', async () => {
    const { one, ask } = await ociScene();
    const platforms = ['amd64', 'arm64', 's390x'].map((seed) => one.image(name, { seed }));
    const [amd64] = platforms as [Image];
    const index = one.index(name, platforms, ['3'], mediaTypes.dockerList);
    expectImage(await ask(manifestPath(name, '3')), index);
    expectImage(await ask(manifestPath(name, amd64.digest)), amd64);
    expect((await ask(blobPath(name, amd64.config))).status).toBe(200);
    expect(one.log()).toEqual([
      `HEAD tag ${name} 3`,
      `GET manifest ${name} ${index.digest}`,
      `GET manifest ${name} ${amd64.digest}`,
      `GET blob ${name} ${amd64.config.digest}`,
    ]);
  });

  it('takes every kind of layer, manifest and digest as it is', async () => {
    const { one, ask } = await ociScene();
    const images = [
      one.image(name, { tags: ['zstd'], seed: 1, layerType: 'application/vnd.oci.image.layer.v1.tar+zstd' }),
      one.image(name, { tags: ['docker'], seed: 2, mediaType: mediaTypes.dockerManifest }),
      one.image(name, { tags: ['chart'], seed: 3, layerType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip' }),
      one.image(name, { tags: ['sha512'], seed: 4, algorithm: 'sha512' }),
      one.image(name, { tags: ['empty'], seed: 5, layers: [] }),
      one.image(name, { tags: ['hollow'], seed: 6, layers: [Buffer.alloc(0)] }),
    ];
    for (const [at, tag] of ['zstd', 'docker', 'chart', 'sha512', 'empty', 'hollow'].entries()) {
      const image = images[at] as Image;
      expectImage(await ask(manifestPath(name, tag)), image);
      expectImage(await ask(manifestPath(name, image.digest)), image);
      for (const blob of [image.config, ...image.layers]) {
        const answer = await ask(blobPath(name, blob), { headers: { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8' } });
        expect([answer.status, answer.headers['content-type'], answer.headers['content-encoding']]).toEqual([
          200,
          'application/octet-stream',
          undefined,
        ]);
        expect(answer.body.equals(one.bytes(blob.digest))).toBe(true);
        expect(answer.headers['docker-content-digest']).toBe(blob.digest);
      }
    }
  });

  it('of a blob needs no manifest before it', async () => {
    const { one, ask } = await ociScene();
    const blob = one.blob('team/thing', Buffer.from('alone'));
    expect((await ask(blobPath('team/thing', blob))).text()).toBe('alone');
    expect(one.log()).toEqual([`GET blob team/thing ${blob.digest}`]);
  });

  it('finds a blob again whose bytes were lost here', async () => {
    const { one, larder, ask, settled } = await ociScene();
    const bytes = Buffer.alloc(2_000_000, 'a layer that is in no memory');
    const blob = one.blob(name, bytes);
    await ask(blobPath(name, blob));
    await settled(blobPath(name, blob));
    const hex = blob.digest.slice('sha256:'.length);
    const files = await readdir(larder.storage, { recursive: true, encoding: 'utf8' });
    for (const file of files.filter((path) => path.includes(hex))) await rm(join(larder.storage, file));
    const again = await ask(blobPath(name, blob));
    expect([again.status, again.body.equals(bytes)]).toEqual([200, true]);
    expect(one.log()).toEqual([`GET blob ${name} ${blob.digest}`, `GET blob ${name} ${blob.digest}`]);
  });
});

describe('bytes that are here under another name', () => {
  it('are not transferred again, and given out only where the registry has them', async () => {
    const { one, ask, head, settled, forget } = await ociScene();
    const layer = Buffer.from('a layer of many images');
    const blob = one.blob('team/first', layer);
    one.blob('team/second', layer);
    await ask(blobPath('team/first', blob));
    await settled(blobPath('team/first', blob));
    forget();

    const second = await ask(blobPath('team/second', blob));
    expect([second.status, second.text()]).toEqual([200, layer.toString()]);
    expect(one.log()).toEqual([`HEAD blob team/second ${blob.digest}`]);
    expect(one.registry.bytesSent).toBe(0);

    for (const question of [ask, head]) {
      const stranger = await question(blobPath('team/third', blob));
      expect(stranger.status).toBe(404);
      if (question === ask) expect(errorsOf(stranger)).toEqual(['BLOB_UNKNOWN']);
    }
    one.fail('blob', () => ({ status: 404, length: false }));
    expect((await ask(blobPath('team/nobody', blob))).status).toBe(404);
    await one.stop();
    expect((await ask(blobPath('team/fourth', blob))).status).toBe(503);
    expect((await ask(blobPath('team/second', blob))).status).toBe(200);
  });

  it('are refused where the registry refuses', async () => {
    const { one, ask, settled } = await ociScene();
    const image = one.image('team/first');
    await ask(manifestPath('team/first', image.digest));
    await settled(manifestPath('team/first', image.digest));
    one.fail('manifest', () => ({ status: 403 }));
    const answer = await ask(manifestPath('team/second', image.digest));
    expect([answer.status, errorsOf(answer)]).toEqual([403, ['DENIED']]);
  });
});

describe('an address', () => {
  const forms = [
    { form: 'below /v2', at: '/v2/acme/hub', query: '' },
    { form: 'before /v2', at: '/acme/hub/v2', query: '' },
    { form: 'of the default repository', at: '/v2', query: '' },
    { form: 'below /v2 with ns', at: '/v2/acme/hub', query: '?ns=docker.io' },
    { form: 'before /v2 with ns', at: '/acme/hub/v2', query: '?ns=docker.io' },
    { form: 'of no repository with ns', at: '/v2', query: '?ns=docker.io' },
  ];
  const hub = { namespaces: ['docker.io', 'index.docker.io'], shortNames: 'library' };

  it.each(forms)('$form has everything', async ({ at, query }) => {
    const { one, larder } = await ociScene({ upstream: hub });
    const image = one.image(name, { tags: ['3', 'latest'] });
    const signature = one.image(name, { seed: 'signature', subject: image, artifactType: 'application/x-signature' });
    const get = (path: string): Promise<Answer> => larder.ask(`${at}${path}${query}`);
    const ping = await larder.ask(`${at}/${query}`, { headers: { authorization: 'Bearer anonymous' } });
    expect([ping.status, ping.json()]).toEqual([200, {}]);
    expectImage(await get(manifestPath(name, '3')), image);
    expectImage(await get(manifestPath(name, image.digest)), image);
    expectImage(await get(manifestPath(name, image.digest.replace(':', '%3A'))), image);
    expect((await get(blobPath(name, image.config))).body.equals(one.bytes(image.config.digest))).toBe(true);
    const tags = await get(`/${name}/tags/list`);
    // What the client calls the image, at whatever address it is.
    const before = at.split('/').filter((part) => part !== '' && part !== 'v2');
    expect(tags.json()).toEqual({ name: [...before, name].join('/'), tags: ['3', 'latest'] });
    const referrers = await get(`/${name}/referrers/${image.digest}`);
    expect(referrers.json()).toMatchObject({ manifests: [{ digest: signature.digest }] });
    const said = (await get(manifestPath(name, image.digest))).headers['oci-namespace'];
    expect(said).toBe(query === '' ? undefined : 'docker.io');
    // A single part stands below `library` there.
    expectImage(await get(manifestPath('alpine', '3')), image);
    expect(one.log('tag')).toEqual([`HEAD tag ${name} 3`, `HEAD tag ${name} 3`]);
  });

  it.each(['docker.io', 'index.docker.io', 'DOCKER.IO'])('finds an upstream by the name %s', async (ns) => {
    const { one, ask } = await ociScene({ upstream: hub });
    const image = one.image(name, { tags: ['3'] });
    expectImage(await ask(`${manifestPath(name, '3')}?ns=${ns}`), image);
  });

  it.each(['docker.io', 'index.docker.io'])('finds Docker Hub as %s, wherever it is said to be', async (ns) => {
    const { one, ask, restart } = await ociScene();
    const image = one.image(name, { tags: ['3'] });
    const upstreams = { 'docker-hub': { url: one.url, hosts: one.hosts } };
    await restart({ upstreams, repository: { sources: [{ remote: 'docker-hub' }] } });
    expectImage(await ask(`${manifestPath('alpine', '3')}?ns=${ns}`), image);
  });

  it("finds an upstream by its own host's name", async () => {
    const { one, ask } = await ociScene();
    const image = one.image(name, { tags: ['3'] });
    expectImage(await ask(`${manifestPath(name, '3')}?ns=${new URL(one.url).host}`), image);
  });

  it('with a name that no upstream goes by is not there, and nobody is asked', async () => {
    const { one, two, larder } = await ociScene({ registries: [{}, {}], upstreams: { one: hub } });
    one.image(name, { tags: ['3'] });
    const stranger = `127.0.0.1:${two.tokenServer.port}`;
    for (const ns of ['ghcr.io', stranger, `docker.io.evil.example`, 'http://docker.io', '..', '%00']) {
      for (const at of ['/v2/acme/hub', '/acme/hub/v2', '/v2']) {
        const answer = await larder.ask(`${at}${manifestPath(name, '3')}?ns=${encodeURIComponent(ns)}`);
        expect([answer.status, errorsOf(answer)], `${at} ${ns}`).toEqual([404, ['NAME_UNKNOWN']]);
        expect(answer.headers['oci-namespace']).toBeUndefined();
      }
    }
    expect([one.log(), two.log()]).toEqual([[], []]);
  });

  it('narrows a repository of several upstreams to those of the name', async () => {
    const { one, two, ask } = await ociScene({
      registries: [{}, {}],
      upstreams: { one: { namespaces: ['docker.io'] }, two: { namespaces: ['ghcr.io'] } },
    });
    one.image('team/app', { tags: ['1'], seed: 'of one' });
    const image = two.image('team/app', { tags: ['1'], seed: 'of two' });
    expectImage(await ask(`${manifestPath('team/app', '1')}?ns=ghcr.io`), image);
    expect(one.log()).toEqual([]);
  });

  it('of no repository finds another one of the organisation by the name', async () => {
    const { one, two, larder } = await ociScene({
      registries: [{}, {}],
      upstreams: { one: { namespaces: ['docker.io'] }, two: { namespaces: ['ghcr.io'] } },
      repository: { sources: [{ remote: 'one' }] },
      repositories: { ghcr: { format: 'oci', sources: [{ remote: 'two' }] } },
    });
    const image = two.image('team/app', { tags: ['1'] });
    expectImage(await larder.ask(`/v2${manifestPath('team/app', '1')}?ns=ghcr.io`), image);
    expect((await larder.ask(`/v2/acme/hub${manifestPath('team/app', '1')}?ns=ghcr.io`)).status).toBe(404);
    expect(one.log()).toEqual([]);
  });

  it.each(['a/blobs/b', 'manifests/tags/list', 'blobs/uploads', 'a/referrers/manifests', 'v2/v2', 'acme/hub/x'])(
    'may have the name %s in it',
    async (odd) => {
      const { one, larder } = await ociScene();
      const image = one.image(odd, { tags: ['1'] });
      for (const at of ['/v2/acme/hub', '/acme/hub/v2']) {
        const get = (path: string): Promise<Answer> => larder.ask(`${at}${path}`);
        expectImage(await get(manifestPath(odd, '1')), image);
        expect((await get(blobPath(odd, image.config))).status).toBe(200);
        expect((await get(`/${odd}/tags/list`)).json()).toMatchObject({ tags: ['1'] });
        expect((await get(`/${odd}/referrers/${image.digest}`)).json()).toMatchObject({ manifests: [] });
      }
    },
  );

  it('of an upstream may have a path of its own', async () => {
    const { one, ask, restart } = await ociScene();
    const image = one.image('team/a/app', { tags: ['1'] });
    await restart({ upstream: { url: `${one.url}/team/a` } });
    expectImage(await ask(manifestPath('app', '1')), image);
  });

  it('of no repository is told how to be written', async () => {
    const { larder } = await ociScene();
    for (const path of ['/acme/hub/library/alpine/manifests/3', '/v2/acme/other/manifests']) {
      expect((await larder.ask(path)).status, path).toBe(404);
    }
  });
});

describe('a client', () => {
  const anonymous = { authorization: 'Bearer anonymous' };

  it.each(['/v2/', '/v2', '/v2/acme/hub/', '/v2/acme/hub', '/acme/hub/v2/', '/acme/hub/v2', '/v2/?ns=docker.io'])(
    'that asks %s is sent for a token, and let in with it',
    async (path) => {
      const { one, larder } = await ociScene({ upstream: { namespaces: ['docker.io'] } });
      for (const method of ['GET', 'HEAD']) {
        const refused = await larder.ask(path, { method });
        expect(refused.status).toBe(401);
        expect(refused.headers['docker-distribution-api-version']).toBe('registry/2.0');
        const challenge = String(refused.headers['www-authenticate']);
        const [, realm = '', service] = /^Bearer realm="([^"]+)",service="([^"]+)"$/.exec(challenge) ?? [];
        expect([realm, service]).toEqual([`${larder.url}/token`, new URL(larder.url).host]);
        if (method === 'GET') expect(errorsOf(refused)).toEqual(['UNAUTHORIZED']);
        const given = await larder.ask(
          `/token?service=${service}&scope=repository%3A${encodeURIComponent(name)}%3Apull`,
        );
        const { token } = given.json() as { token: string };
        const ping = await larder.ask(path, { method, headers: { authorization: `Bearer ${token}` } });
        expect([ping.status, ping.headers['docker-distribution-api-version']]).toEqual([200, 'registry/2.0']);
      }
      expect(one.log()).toEqual([]);
    },
  );

  it('gets its token by GET and by POST, in the form that every client reads', async () => {
    const { larder } = await ociScene();
    const scope = `repository:${name}:pull`;
    const answers = [
      await larder.ask(`/token?service=larder&scope=${encodeURIComponent(scope)}&account=somebody`),
      await larder.ask('/token', {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ grant_type: 'password', service: 'larder', client_id: 'x', scope }).toString(),
      }),
    ];
    for (const answer of answers) {
      expect([answer.status, answer.headers['cache-control']]).toEqual([200, 'no-store']);
      const given = answer.json() as Record<string, unknown>;
      expect(given).toMatchObject({ token: expect.any(String), access_token: given.token });
      expect(Number(given.expires_in)).toBeGreaterThanOrEqual(60);
      expect(Date.parse(String(given.issued_at))).toBeGreaterThan(0);
      expect(given).not.toHaveProperty('refresh_token');
    }
  });

  it('is sent to the public address, if that is another one', async () => {
    const { larder } = await ociScene({ server: { publicUrl: 'https://images.example.com' } });
    const { headers } = await larder.ask('/v2/');
    expect(headers['www-authenticate']).toMatch(/^Bearer realm="https:\/\/images\.example\.com\/token"/);
  });

  it('may show the credentials of another registry: they are not looked at, passed on or written down', async () => {
    const folder = await temporaryFolder();
    onTestFinished(() => folder.remove());
    const file = join(folder.path, 'log');
    const log = startLog({ level: 'trace', access: true, pretty: false, file });
    const secret = 'dckr_pat_of_somebody_else';
    const basic = Buffer.from(`somebody:${secret}`).toString('base64');
    const { one, ask, larder, pass } = await ociScene({ registries: [{ tokens: true, redirects: true }] });
    const image = one.image(name, { tags: ['3'] });
    for (const authorization of [`Basic ${basic}`, `Bearer ${secret}`, 'Negotiate x', secret]) {
      const headers = { authorization };
      expectImage(await ask(manifestPath(name, '3'), { headers }), image);
      expect((await ask(blobPath(name, image.config), { headers })).status).toBe(200);
      expect((await ask(`/${name}/tags/list`, { headers })).status).toBe(200);
      expect((await ask('/', { headers })).status).toBe(200);
      expect((await larder.ask('/token?account=somebody&service=x', { headers })).status).toBe(200);
      expect((await ask(manifestPath(name, 'none'), { headers })).status).toBe(404);
      pass(hourMs);
    }
    const form = new URLSearchParams({ grant_type: 'password', username: 'somebody', password: secret });
    const posted = await larder.ask('/token', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form.toString(),
    });
    expect(posted.status).toBe(200);
    await larder.ask(`/token?refresh_token=${secret}&password=${secret}`);
    one.fail('tags', () => ({ status: 500 }));
    pass(hourMs);
    await ask('/team/other/tags/list', { headers: { authorization: `Basic ${basic}` } });
    await log.stop();

    const seen = [one.registry, one.tokenServer, one.cdn].flatMap(({ requests }) => requests);
    expect(seen.length).toBeGreaterThan(8);
    const sent = JSON.stringify(seen.map(({ url, headers, body }) => [url, headers, body.toString()]));
    const written = await readFile(file, 'utf8');
    expect(written).toContain(manifestPath(name, '3'));
    expect(written).toContain('"status":503');
    for (const text of [sent, written]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain(basic);
    }
  });

  it('is answered no other way with a token than without', async () => {
    const { one, ask } = await ociScene();
    const image = one.image(name, { tags: ['3'] });
    for (const headers of [{}, anonymous]) expectImage(await ask(manifestPath(name, '3'), { headers }), image);
  });
});

describe('HEAD', () => {
  const told = ['content-length', 'content-type', 'docker-content-digest', 'etag', 'accept-ranges', 'cache-control'];

  it.each([
    { what: 'a tag', registry: {} },
    { what: 'a manifest', registry: {} },
    { what: 'a blob', registry: {} },
    { what: 'a blob', registry: { redirects: true, tokens: true } },
    { what: 'a tag', registry: { headDigest: false } },
    { what: 'a manifest', registry: { headDigest: false } },
  ])('of $what that nobody has asked for says what GET says ($registry)', async ({ what, registry }) => {
    const { one, ask, head, settled } = await ociScene({ registries: [registry] });
    const image = one.image(name, { tags: ['3'] });
    const path =
      what === 'a tag'
        ? manifestPath(name, '3')
        : what === 'a manifest'
          ? manifestPath(name, image.digest)
          : blobPath(name, image.config);
    const cold = await head(path);
    expect([cold.status, cold.body.length]).toEqual([200, 0]);
    const digest = what === 'a blob' ? image.config.digest : image.digest;
    expect(cold.headers).toMatchObject({ 'docker-content-digest': digest, etag: `"${digest}"` });
    expect(one.log('manifest', 'cdn').filter((line) => line.startsWith('GET'))).toEqual([]);
    const got = await ask(path);
    await settled(path);
    const warm = await head(path);
    for (const header of told) {
      expect([header, cold.headers[header]]).toEqual([header, got.headers[header]]);
      expect([header, warm.headers[header]]).toEqual([header, got.headers[header]]);
    }
    expect(Number(cold.headers['content-length'])).toBe(got.body.length);
    for (const method of ['GET', 'HEAD']) {
      const same = await ask(path, { method, headers: { 'if-none-match': `"${digest}"` } });
      expect([same.status, same.body.length]).toEqual([304, 0]);
    }
  });

  it.each(['tag', 'manifest', 'blob'])('of a %s that is not there is 404 without a body', async (kind) => {
    const { head, ask } = await ociScene();
    const none = digestOf(Buffer.from('nothing'));
    const path =
      kind === 'blob' ? blobPath(name, { digest: none }) : manifestPath(name, kind === 'tag' ? 'none' : none);
    const answer = await head(path);
    expect([answer.status, answer.body.length]).toEqual([404, 0]);
    expect(errorsOf(await ask(path))).toEqual([kind === 'blob' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN']);
  });

  it('of a list says what GET says', async () => {
    const { one, ask, head } = await ociScene();
    const image = one.image(name, { tags: ['3', '4', '5'] });
    for (const path of [`/${name}/tags/list?n=2`, `/${name}/referrers/${image.digest}`]) {
      const cold = await head(path);
      const got = await ask(path);
      for (const header of ['content-type', 'content-length', 'link', 'etag']) {
        expect([header, cold.headers[header]]).toEqual([header, got.headers[header]]);
      }
      expect([cold.status, cold.body.length]).toEqual([200, 0]);
    }
  });
});

describe('part of a blob', () => {
  const layer = Buffer.from(Array.from({ length: 500_000 }, (_, at) => (at * 7 + (at >> 8)) & 255));

  it.each(['cold', 'warm'])('is answered from the whole, which is fetched once (%s)', async (when) => {
    const { one, ask, settled } = await ociScene({ registries: [{ redirects: true }] });
    const blob = one.blob(name, layer);
    const path = blobPath(name, blob);
    if (when === 'warm') {
      await ask(path);
      await settled(path);
    }
    for (const [range, from, to] of [
      ['bytes=400000-', 400_000, layer.length],
      ['bytes=1-', 1, layer.length],
      ['bytes=0-0', 0, 1],
      ['bytes=-7', layer.length - 7, layer.length],
    ] as const) {
      const part = await ask(path, { headers: { range } });
      expect([part.status, part.headers['content-range']]).toEqual([206, `bytes ${from}-${to - 1}/${layer.length}`]);
      expect(part.headers['docker-content-digest']).toBe(blob.digest);
      expect(part.body.equals(layer.subarray(from, to))).toBe(true);
    }
    expect((await settled(path)).body.equals(layer)).toBe(true);
    expect(one.log('cdn')).toEqual([`GET cdn ${blob.digest}`]);
    expect(one.cdn.requests.map(({ headers }) => headers.range)).toEqual([undefined]);
  });

  it('is the whole for several ranges, and 416 beyond the end', async () => {
    const { one, ask } = await ociScene();
    const path = blobPath(name, one.blob(name, layer));
    const several = await ask(path, { headers: { range: 'bytes=0-9,100-109' } });
    expect([several.status, several.body.equals(layer)]).toEqual([200, true]);
    const beyond = await ask(path, { headers: { range: `bytes=${layer.length}-` } });
    expect([beyond.status, beyond.headers['content-range']]).toEqual([416, `bytes */${layer.length}`]);
    expect(errorsOf(beyond)).toHaveLength(1);
  });

  it('goes on where a client was cut off, if it is still the same', async () => {
    const { one, ask } = await ociScene();
    const blob = one.blob(name, layer);
    const asked = (etag: string): Promise<Answer> =>
      ask(blobPath(name, blob), { headers: { range: 'bytes=10-', 'if-range': etag } });
    expect((await asked(`"${blob.digest}"`)).status).toBe(206);
    expect((await asked('"another"')).status).toBe(200);
  });
});

describe('a list of tags', () => {
  it('is made of all pages of all upstreams, in order, and cut into pages of its own', async () => {
    const { one, two, ask, larder, forget } = await ociScene({ registries: [{ pageSize: 2 }, {}] });
    one.image(name, { tags: ['3', '10', 'edge', '3.1', 'v1'] });
    two.image(name, { tags: ['3', 'EDGE', 'a_b', '2'] });
    const all = ['10', '2', '3', '3.1', 'EDGE', 'a_b', 'edge', 'v1'];
    const whole = await ask(`/${name}/tags/list`);
    expect(whole.json()).toEqual({ name: `acme/hub/${name}`, tags: all });
    expect(whole.headers.link).toBeUndefined();
    expect([one.log().length, two.log().length]).toEqual([3, 1]);
    forget();

    const pages: string[][] = [];
    for (let path = `/v2/acme/hub/${name}/tags/list?n=3`; path !== ''; ) {
      const page = await larder.ask(path);
      pages.push((page.json() as { tags: string[] }).tags);
      const [, target = '', relation] = /^<([^>]+)>; rel="(\w+)"$/.exec(String(page.headers.link ?? '')) ?? [];
      if (target !== '') expect([target.startsWith('/v2/acme/hub/'), relation]).toEqual([true, 'next']);
      path = target;
    }
    expect(pages).toEqual([all.slice(0, 3), all.slice(3, 6), all.slice(6)]);
    expect((await ask(`/${name}/tags/list?last=3.1`)).json()).toMatchObject({ tags: all.slice(4) });
    const none = await ask(`/${name}/tags/list?n=0`);
    expect([none.json(), none.headers.link]).toEqual([{ name: `acme/hub/${name}`, tags: [] }, undefined]);
    expect([one.log(), two.log()]).toEqual([[], []]);
  });

  it('is that of whoever has the name, and of nobody if nobody has', async () => {
    const { two, ask } = await ociScene({ registries: [{}, {}] });
    two.image(name, { tags: ['1'] });
    expect((await ask(`/${name}/tags/list`)).json()).toMatchObject({ tags: ['1'] });
    const none = await ask('/library/none/tags/list');
    expect([none.status, errorsOf(none)]).toEqual([404, ['NAME_UNKNOWN']]);
  });

  it('is not half a list while one of two upstreams is in trouble, unless that is wanted', async () => {
    for (const [partial, status] of [
      ['refuse', 503],
      ['allow', 200],
    ] as const) {
      const { one, two, ask } = await ociScene({ registries: [{}, {}], repository: { partial } });
      one.image(name, { tags: ['1'] });
      two.fail('tags', () => ({ status: 500 }));
      expect((await ask(`/${name}/tags/list`)).status).toBe(status);
    }
  });

  it('keeps a page that broke off out of itself', async () => {
    const { one, ask } = await ociScene({ registries: [{ pageSize: 1 }] });
    one.image(name, { tags: ['1', '2'] });
    one.fail('tags', (good, { query }) => (query.has('last') ? { status: 404, body: {} } : good));
    expect((await ask(`/${name}/tags/list`)).status).toBe(502);
    one.heal();
    expect((await ask(`/${name}/tags/list`)).json()).toMatchObject({ tags: ['1', '2'] });
  });
});

describe('referrers', () => {
  const sbom = 'application/spdx+json';
  const signed = 'application/vnd.dev.sigstore.bundle.v0.3+json';
  const digests = (answer: Answer): string[] =>
    (answer.json() as { manifests: Descriptor[] }).manifests.map(({ digest }) => digest).sort();

  function expectList(answer: Answer): void {
    expect([answer.status, answer.headers['content-type']]).toEqual([200, mediaTypes.index]);
    expect(answer.json()).toMatchObject({ schemaVersion: 2, mediaType: mediaTypes.index });
  }

  it('of two registries are one list, also if one has only the tag that stands in for it', async () => {
    const { one, two, ask } = await ociScene({ registries: [{ pageSize: 1 }, { referrers: false }] });
    const subject = one.image(name, { tags: ['1'] });
    const theirs = [sbom, signed].map((artifactType, seed) => one.image(name, { seed, subject, artifactType }));
    const other = two.image(name, { seed: 'other', subject, artifactType: sbom });
    two.put(
      name,
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: mediaTypes.index,
          manifests: [
            { mediaType: other.mediaType, digest: other.digest, size: other.size, artifactType: sbom },
            { mediaType: other.mediaType, digest: theirs[0]?.digest, size: theirs[0]?.size, artifactType: sbom },
          ],
        }),
      ),
      mediaTypes.index,
      [subject.digest.replace(':', '-')],
    );
    const path = `/${name}/referrers/${subject.digest}`;
    const all = await ask(path);
    expectList(all);
    expect(digests(all)).toEqual([...theirs, other].map(({ digest }) => digest).sort());
    expect(all.headers['oci-filters-applied']).toBeUndefined();
    expect(one.log()).toHaveLength(2);
    expect(two.log().map((line) => line.split(' ', 2).join(' '))).toEqual(['GET referrers', 'GET tag']);

    const some = await ask(`${path}?artifactType=${encodeURIComponent(signed)}`);
    expectList(some);
    expect([digests(some), some.headers['oci-filters-applied']]).toEqual([[theirs[1]?.digest], 'artifactType']);
    const both = await ask(
      `${path}?artifactType=${encodeURIComponent(signed)}&artifactType=${encodeURIComponent(sbom)}`,
    );
    expect(digests(both)).toEqual(digests(all));
    expect(one.log()).toHaveLength(2);
  });

  it.each([true, false, 'page'] as const)('of nothing are an empty list (%s)', async (referrers) => {
    const { one, ask } = await ociScene({ registries: [{ referrers }] });
    one.image(name, { tags: ['1'] });
    for (const subject of [`sha256:${'0'.repeat(64)}`, digestOf(Buffer.from('unknown'))]) {
      const none = await ask(`/${name}/referrers/${subject}`);
      expectList(none);
      expect(digests(none)).toEqual([]);
    }
  });

  it('are fetched like any other manifest, and forgotten after their time', async () => {
    const { one, ask, pass } = await ociScene();
    const subject = one.image(name, { tags: ['1'] });
    const path = `/${name}/referrers/${subject.digest}`;
    expect(digests(await ask(path))).toEqual([]);
    const late = one.image(name, { seed: 'late', subject, artifactType: signed });
    expect(digests(await ask(path))).toEqual([]);
    pass(overTheTtlMs);
    expect(digests(await ask(path))).toEqual([late.digest]);
    expectImage(await ask(manifestPath(name, late.digest)), late);
  });

  it('under a tag of cosign are a tag like any other, and none for a while where there is none', async () => {
    const { one, ask, pass, forget } = await ociScene();
    const subject = one.image(name, { tags: ['1'] });
    const path = manifestPath(name, `${subject.digest.replace(':', '-')}.sig`);
    expect((await ask(path)).status).toBe(404);
    forget();
    expect((await ask(path)).status).toBe(404);
    expect(one.log()).toEqual([]);
    const signature = one.image(name, { seed: 'signature', tags: [`${subject.digest.replace(':', '-')}.sig`] });
    pass(minuteMs);
    expectImage(await ask(path), signature);
  });
});

describe('a tag that upstream dropped', () => {
  it('keeps its last meaning, marked as stale', async () => {
    const { one, ask, settled, pass, forget } = await ociScene();
    const image = one.image(name, { tags: ['3'] });
    await ask(manifestPath(name, '3'));
    await settled(manifestPath(name, '3'));
    one.untag(name, '3');
    one.remove(name, image.digest);
    for (let day = 0; day < 5; day++) {
      pass(24 * hourMs);
      forget();
      const kept = await ask(manifestPath(name, '3'));
      expectImage(kept, image);
      expect(cacheOf(kept)).toBe('stale');
      expect(one.log()).toEqual([`HEAD tag ${name} 3`]);
    }
    const back = one.image(name, { tags: ['3'], seed: 'back' });
    pass(overTheTtlMs);
    expectImage(await ask(manifestPath(name, '3')), back);
  });

  it('is believed to be gone where the source says so', async () => {
    const takedown = { confirmations: 2, over: '1h' };
    const { one, ask, head, settled, pass } = await ociScene({ source: { takedown } });
    const image = one.image(name, { tags: ['3'] });
    await ask(manifestPath(name, '3'));
    await settled(manifestPath(name, '3'));
    one.untag(name, '3');
    pass(overTheTtlMs);
    expect(cacheOf(await ask(manifestPath(name, '3')))).toBe('stale');
    pass(2 * hourMs);
    const gone = await ask(manifestPath(name, '3'));
    expect([gone.status, errorsOf(gone)]).toEqual([404, ['MANIFEST_UNKNOWN']]);
    expect((await head(manifestPath(name, '3'))).status).toBe(404);
    one.tag(name, '3', image.digest);
    pass(overTheTtlMs);
    expectImage(await ask(manifestPath(name, '3')), image);
  });
});

describe('a tag whose manifest upstream no longer has', () => {
  it('is looked up once more: it means another one by now', async () => {
    const { one, ask, head } = await ociScene();
    const before = one.image(name, { tags: ['3'], seed: 'before' });
    expect((await head(manifestPath(name, '3'))).headers['docker-content-digest']).toBe(before.digest);
    const after = one.image(name, { tags: ['3'], seed: 'after' });
    one.remove(name, before.digest);
    expectImage(await ask(manifestPath(name, '3')), after);
  });

  it('is not there, and the registry is not asked each time', async () => {
    const { one, ask, head, forget } = await ociScene();
    one.image(name, { tags: ['3'] });
    await head(manifestPath(name, '3'));
    one.fail('manifest', () => ({ status: 404, body: {} }));
    expect((await ask(manifestPath(name, '3'))).status).toBe(404);
    forget();
    for (let look = 0; look < 3; look++) expect((await ask(manifestPath(name, '3'))).status).toBe(404);
    expect(one.log()).toEqual([]);
  });
});

describe('an offline source', () => {
  it('serves what is stored, tags included, and asks nobody', async () => {
    const { one, ask, head, settled, pass, restart, forget } = await ociScene();
    const image = one.image(name, { tags: ['3'] });
    const paths = [manifestPath(name, '3'), manifestPath(name, image.digest), blobPath(name, image.config)];
    for (const path of paths) await ask(path);
    for (const path of paths) await settled(path);
    await ask(`/${name}/tags/list`);
    await restart({ source: { offline: true } });
    pass(30 * 24 * hourMs);
    forget();
    for (const path of paths) {
      const kept = await ask(path);
      expect([kept.status, cacheOf(kept)]).toEqual([200, 'offline']);
      expect((await head(path)).headers['docker-content-digest']).toBe(kept.headers['docker-content-digest']);
    }
    expect((await ask(`/${name}/tags/list`)).json()).toMatchObject({ tags: ['3'] });
    const missing = [manifestPath(name, '4'), blobPath(name, image.layers[0] as Descriptor), '/team/x/tags/list'];
    const codes: string[][] = [];
    for (const path of missing) {
      const answer = await ask(path);
      expect(answer.status).toBe(404);
      expect(answer.text()).toContain('offline');
      codes.push(errorsOf(answer));
    }
    expect(codes).toEqual([['MANIFEST_UNKNOWN'], ['BLOB_UNKNOWN'], ['NAME_UNKNOWN']]);
    expect(one.log()).toEqual([]);
  });
});

describe("a registry's limit", () => {
  it('can be read, and pulls of what is known do not touch it', async () => {
    const { one, ask, head, settled, larder, pass } = await ociScene({ registries: [{ quota: 100 }] });
    const platforms = ['amd64', 'arm64'].map((seed) => one.image(name, { seed }));
    const index = one.index(name, platforms, ['3']);
    await ask(manifestPath(name, '3'));
    await ask(manifestPath(name, (platforms[0] as Image).digest));
    await settled(manifestPath(name, (platforms[0] as Image).digest));
    for (let pull = 0; pull < 100; pull++) {
      if (pull % 10 === 0) pass(overTheTtlMs);
      expect((await (pull % 2 === 0 ? head : ask)(manifestPath(name, '3'))).status).toBe(200);
      expect((await ask(manifestPath(name, index.digest))).status).toBe(200);
    }
    expect(one.counted).toBe(2);
    expect(one.log('tag')).toHaveLength(11);
    const metrics = await larder.metrics();
    expect(metrics.sum('larder_upstream_quota_limit', { upstream: 'one' })).toBe(100);
    expect(metrics.sum('larder_upstream_quota_remaining', { upstream: 'one' })).toBe(98);
  });
});

describe('a registry that wants tokens', () => {
  const registries = [{ tokens: true, redirects: true }];

  it('is asked for one for each name, however much is pulled', async () => {
    const { one, ask, pass } = await ociScene({ registries });
    for (const image of ['library/alpine', 'team/app']) {
      const pulled = one.image(image, {
        tags: ['1', '2', '3'],
        layers: [Buffer.from(image), Buffer.from(`${image}2`)],
      });
      for (const tag of ['1', '2', '3']) expectImage(await ask(manifestPath(image, tag)), pulled);
      for (const blob of [pulled.config, ...pulled.layers]) expect((await ask(blobPath(image, blob))).status).toBe(200);
      await ask(`/${image}/tags/list`);
      pass(overTheTtlMs);
      await ask(manifestPath(image, '1'));
    }
    expect(one.log('token')).toEqual(['GET token library/alpine', 'GET token team/app']);
    expect(one.tokenServer.requests[0]?.query.get('service')).toBe('registry.test');
    expect(one.cdn.requests.map(({ headers }) => headers.authorization)).not.toContain(expect.anything());
    expect(one.log('cdn')).toHaveLength(6);
  });

  it('gets another token when one no longer counts', async () => {
    const { one, ask, pass } = await ociScene({ registries });
    const image = one.image(name, { tags: ['3'] });
    expectImage(await ask(manifestPath(name, '3')), image);
    one.revokeTokens();
    pass(overTheTtlMs);
    const again = await ask(manifestPath(name, '3'));
    expect([again.status, cacheOf(again)]).toEqual([200, 'revalidated']);
    expect(one.log('token')).toHaveLength(2);
  });

  it('sees our credentials only at its token server, if that is named, and at no server of blobs', async () => {
    const credentials = { username: 'larder', password: 'pass-of-upstream' };
    const { one, ask, restart, forget } = await ociScene({
      registries: [{ tokens: true, redirects: true, credentials }],
    });
    const image = one.image(name, { tags: ['3'] });
    await restart({ upstream: { auth: credentials } });
    const refused = await ask(manifestPath(name, '3'));
    expect([refused.status, errorsOf(refused)]).toEqual([403, ['DENIED']]);
    expect(refused.text()).toContain('realms');
    expect(one.tokenServer.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);

    forget();
    await restart({ upstream: { auth: credentials, realms: [one.tokenServer.url] } });
    expectImage(await ask(manifestPath(name, '3')), image);
    expect((await ask(blobPath(name, image.config))).status).toBe(200);
    const basic = `Basic ${Buffer.from('larder:pass-of-upstream').toString('base64')}`;
    expect(one.tokenServer.requests.map(({ headers }) => headers.authorization)).toEqual([basic]);
    expect(one.cdn.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it('keeps nobody from what is stored while its token server is down, and lets a known tag stand', async () => {
    const { one, ask, settled, pass, forget, restart } = await ociScene({ registries });
    const image = one.image(name, { tags: ['3'] });
    const paths = [manifestPath(name, '3'), manifestPath(name, image.digest), blobPath(name, image.config)];
    for (const path of paths) await ask(path);
    for (const path of paths) await settled(path);
    // Without the tokens that are in memory.
    await restart({});
    await one.tokenServer.stop();
    forget();
    for (const path of paths) expect(cacheOf(await ask(path))).toBe('hit');
    expect(one.log()).toEqual([]);
    pass(overTheTtlMs);
    const stale = await ask(manifestPath(name, '3'));
    expectImage(stale, image);
    expect(cacheOf(stale)).toBe('stale');
    const unknown = await ask(manifestPath(name, '4'));
    expect([unknown.status, errorsOf(unknown)]).toEqual([503, ['UNAVAILABLE']]);
    expect(Number(unknown.headers['retry-after'])).toBeGreaterThan(0);
    expect(unknown.text()).toContain('token');
    await one.tokenServer.start();
    await eventually(
      'the tag is looked at again',
      async () => cacheOf(await ask(manifestPath(name, '3'))) === 'revalidated',
    );
  });

  it('may answer 403 from its token server: the tag stands, and what is not known is refused', async () => {
    const { one, ask, settled, pass, restart } = await ociScene({ registries });
    one.image(name, { tags: ['3'] });
    await ask(manifestPath(name, '3'));
    await settled(manifestPath(name, '3'));
    await restart({});
    one.fail('token', () => ({ status: 403 }));
    pass(overTheTtlMs);
    expect(cacheOf(await ask(manifestPath(name, '3')))).toBe('stale');
    expect((await ask(manifestPath(name, '4'))).status).toBe(403);
  });
});

/** On the closed side: what is stored is the answer, what is not is said to be missing, and no upstream hears of any of it. */
import { describe, expect, it } from 'vitest';
import { artifactsXml, foreignProperties } from '../formats/p2.samples.ts';
import { collect, synthetic } from '../support/bytes.ts';
import type { Answer } from '../support/http.ts';
import type { Larder } from '../support/larder.ts';
import { mavenScene } from '../support/maven-scene.ts';
import { nugetScene } from '../support/nuget-scene.ts';
import { blobPath, manifestPath, ociScene } from '../support/oci-scene.ts';
import { restartOffline } from '../support/offline.ts';
import { jsonType, pypiScene } from '../support/pypi-scene.ts';
import { gemsScene } from '../support/rubygems-scene.ts';
import { scene } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

interface Ask {
  readonly path: string;
  readonly accept?: string;
  /** Bytes of which a part can be had. */
  readonly file?: true;
}

interface Row {
  readonly larder: Larder;
  readonly stop: () => Promise<void>;
  readonly stored: readonly Ask[];
  /** Never asked for before, and what it is in the dialect of its clients. */
  readonly missing: readonly (Ask & { readonly says: (answer: Answer) => unknown })[];
}

/** The same on both sides, for it stands in documents. */
const host = 'larder.example.com';
const cacheOf = (answer: Answer): unknown => answer.headers['x-larder-cache'];
const text = (answer: Answer): string => answer.text();
const errorOf = (field: string) => (answer: Answer) => (answer.json() as Record<string, unknown>)[field];

const rows: Readonly<Record<string, () => Promise<Row>>> = {
  async npm() {
    const { registry, upstream, larder } = await scene();
    const { path } = registry.publish({ name: '@acme/lib', version: '1.0.0' });
    const abbreviated = 'application/vnd.npm.install-v1+json';
    const says = errorOf('error');
    return {
      larder,
      stop: () => upstream.stop(),
      stored: [
        { path: '/public/npm/@acme%2flib' },
        { path: '/public/npm/@acme%2flib', accept: abbreviated },
        { path: '/public/npm/@acme%2flib/1.0.0' },
        { path: `/public/npm${path}`, file: true },
      ],
      missing: [
        { path: '/public/npm/other', says },
        { path: '/public/npm/other', accept: abbreviated, says },
        { path: '/public/npm/@acme%2flib/2.0.0', says },
        { path: '/public/npm/@acme/lib/-/lib-2.0.0.tgz', says },
      ],
    };
  },
  async generic() {
    const { upstream, larder } = await scene({ files: { options: { immutable: ['pool/**'] } } });
    upstream.at('/pool/a_1.deb', { body: 'a package' });
    upstream.at('/dists/Release', { body: 'an index', etag: '"1"' });
    return {
      larder,
      stop: () => upstream.stop(),
      stored: [
        { path: '/public/files/pool/a_1.deb', file: true },
        { path: '/public/files/dists/Release', file: true },
      ],
      missing: [
        { path: '/public/files/pool/b_1.deb', says: text },
        { path: '/public/files/dists/InRelease', says: text },
      ],
    };
  },
  async pypi() {
    const { index, larder } = await pypiScene({ upstreams: [{ metadata: 'none' }] });
    const [wheel] = index.publish({ name: 'Acme.Lib', version: '1.0', requiresPython: '>=3.8' });
    const at = wheel?.path.replace('/files/', '/wheels/') ?? '';
    return {
      larder,
      stop: () => index.stop(),
      stored: [
        { path: '/public/pypi/simple/acme-lib/', accept: jsonType },
        { path: '/public/pypi/simple/acme-lib/', accept: 'text/html' },
        { path: `/public/pypi${at}`, file: true },
        { path: `/public/pypi${at}.metadata` },
      ],
      missing: [
        { path: '/public/pypi/simple/other/', accept: jsonType, says: text },
        { path: `/public/pypi${at.replaceAll('1.0', '2.0')}`, says: text },
        { path: `/public/pypi${at.replaceAll('1.0', '2.0')}.metadata`, says: text },
      ],
    };
  },
  async rubygems() {
    const { first, larder } = await gemsScene();
    first.publish({ name: 'rack', version: '3.0.9', bytes: collect(synthetic(20_000, 1)) });
    return {
      larder,
      stop: () => first.upstream.stop(),
      stored: [
        { path: '/public/gems/versions', file: true },
        { path: '/public/gems/info/rack' },
        { path: '/public/gems/gems/rack-3.0.9.gem', file: true },
      ],
      missing: [
        { path: '/public/gems/names', says: text },
        { path: '/public/gems/info/tilt', says: text },
        { path: '/public/gems/gems/tilt-2.3.0.gem', says: text },
      ],
    };
  },
  async nuget() {
    const { first, larder } = await nugetScene({ feeds: [{ packages: [{ id: 'Acme.Lib', version: '1.0.0' }] }] });
    const says = (answer: Answer): unknown => answer.headers['x-nuget-warning'];
    return {
      larder,
      stop: () => first.stop(),
      stored: [
        { path: '/public/nuget/v3/index.json' },
        { path: '/public/nuget/v3/flat/acme.lib/index.json' },
        { path: '/public/nuget/v3/flat/acme.lib/1.0.0/acme.lib.1.0.0.nupkg', file: true },
      ],
      missing: [
        { path: '/public/nuget/v3/flat/acme.other/index.json', says },
        { path: '/public/nuget/v3/flat/acme.lib/2.0.0/acme.lib.2.0.0.nupkg', says },
      ],
    };
  },
  async maven() {
    const { central, larder } = await mavenScene();
    const { jar, pom, metadata } = central.publish({ group: 'com.acme', artifact: 'lib', version: '1.0.0' });
    const says = errorOf('detail');
    return {
      larder,
      stop: () => central.upstream.stop(),
      stored: [
        { path: `/public/maven${jar}`, file: true },
        { path: `/public/maven${jar}.sha1` },
        { path: `/public/maven${pom}`, file: true },
        { path: `/public/maven${metadata}` },
        { path: `/public/maven${metadata}.sha1` },
      ],
      missing: [
        { path: `/public/maven${jar.replaceAll('1.0.0', '2.0.0')}`, says },
        { path: `/public/maven${jar.replaceAll('1.0.0', '2.0.0')}.sha1`, says },
        { path: `/public/maven${metadata.replace('lib', 'other')}`, says },
      ],
    };
  },
  async oci() {
    const { one, larder } = await ociScene({ registries: [{ tokens: true }] });
    const image = one.image('library/alpine', { tags: ['3'] });
    const at = (path: string): string => `/v2/acme/hub${path}`;
    const says = (answer: Answer): unknown => (answer.json() as { errors: { message: string }[] }).errors[0]?.message;
    return {
      larder,
      stop: () => one.stop(),
      stored: [
        { path: at(manifestPath('library/alpine', '3')) },
        { path: at(manifestPath('library/alpine', image.digest)) },
        { path: at(blobPath('library/alpine', image.config)), file: true },
        { path: at('/library/alpine/tags/list') },
      ],
      missing: [
        { path: at(manifestPath('library/alpine', '4')), says },
        { path: at(manifestPath('library/other', '3')), says },
        { path: at('/library/other/tags/list'), says },
      ],
    };
  },
  async p2() {
    const { upstream, larder } = await scene({
      repositories: { p2: { format: 'p2', sources: [{ remote: 'inner' }] } },
    });
    const bundle = Buffer.from('PK no bundle, but nobody looks');
    const listed = [{ id: 'com.acme.tool', version: '1.0.0', properties: { 'download.size': String(bundle.length) } }];
    upstream.at('/tools/artifacts.xml', { body: artifactsXml(listed, foreignProperties) });
    upstream.at('/tools/plugins/com.acme.tool_1.0.0.jar', { body: bundle, contentType: 'application/java-archive' });
    return {
      larder,
      stop: () => upstream.stop(),
      stored: [
        { path: '/public/p2/tools/artifacts.xml' },
        { path: '/public/p2/tools/plugins/com.acme.tool_1.0.0.jar', file: true },
      ],
      missing: [
        { path: '/public/p2/other/artifacts.xml', says: text },
        { path: '/public/p2/tools/plugins/com.acme.tool_2.0.0.jar', says: text },
      ],
    };
  },
};

const headersOf = ({ accept }: Ask): Record<string, string> => ({ host, ...(accept === undefined ? {} : { accept }) });

describe.each(Object.entries(rows))('%s while offline', (_, begin) => {
  it('serves what is stored, says of the rest how to get it, and asks nobody', async () => {
    const { larder, stop, stored, missing } = await begin();
    const before = new Map<Ask, Answer>();
    for (const ask of stored) {
      const answer = await eventually(`${ask.path} is stored`, async () => {
        const one = await larder.ask(ask.path, { headers: headersOf(ask) });
        expect([ask.path, one.status, one.text()]).toEqual([ask.path, 200, expect.anything()]);
        return ['miss', 'joined'].includes(String(cacheOf(one))) ? undefined : one;
      });
      before.set(ask, answer);
    }
    await stop();
    const offline = await restartOffline(larder, (configuration) => {
      configuration.offline = true;
    });

    for (const [ask, { body, headers }] of before) {
      const headersAsked = headersOf(ask);
      const kept = await offline.ask(ask.path, { headers: headersAsked });
      expect([ask.path, kept.status, kept.headers.etag]).toEqual([ask.path, 200, headers.etag]);
      expect(kept.body.equals(body), ask.path).toBe(true);
      expect(['offline', 'answered', 'hit']).toContain(cacheOf(kept));
      const head = await offline.ask(ask.path, { method: 'HEAD', headers: headersAsked });
      expect([head.status, head.headers['content-length']]).toEqual([200, String(body.byteLength)]);
      if (!ask.file) continue;
      expect(cacheOf(kept)).toBe('offline');
      const part = await offline.ask(ask.path, { headers: { ...headersAsked, range: 'bytes=1-3' } });
      expect([part.status, part.body]).toEqual([206, body.subarray(1, 4)]);
    }
    for (const { says, ...ask } of missing) {
      for (const method of ['HEAD', 'GET']) {
        const answer = await offline.ask(ask.path, { method, headers: headersOf(ask) });
        expect([ask.path, answer.status, cacheOf(answer)]).toEqual([ask.path, 404, 'offline']);
        expect(answer.headers['retry-after']).toBeUndefined();
        if (method === 'GET') expect(says(answer), ask.path).toMatch(/offline.*connected server.*larder warm/);
      }
    }
    expect(offline.connections()).toBe(0);
  });
});

describe('an offline server', () => {
  it('tells HEAD of no image that GET would not get', async () => {
    const { one, larder } = await ociScene();
    one.image('library/alpine', { tags: ['3'] });
    const path = `/v2/acme/hub${manifestPath('library/alpine', '3')}`;
    expect((await larder.ask(path, { method: 'HEAD' })).status).toBe(200);
    await one.stop();
    const offline = await restartOffline(larder, (configuration) => {
      configuration.offline = true;
    });
    expect((await offline.ask(path, { method: 'HEAD' })).status).toBe(404);
    expect((await offline.ask(path)).text()).toContain('offline');
    expect(offline.connections()).toBe(0);
  });

  it('answers a tag with the image that is here, when it means another one by now that is not', async () => {
    const { one, larder, pass, ask: get, settled } = await ociScene();
    const first = one.image('library/alpine', { tags: ['3'], seed: 1 });
    const path = manifestPath('library/alpine', '3');
    await get(path);
    await settled(path);
    one.image('library/alpine', { tags: ['3'], seed: 2 });
    pass(3_600_000);
    one.fail('manifest', () => ({ status: 503 }));
    await larder.ask(`/v2/acme/hub${path}`, { method: 'HEAD' });
    await one.stop();
    const offline = await restartOffline(larder, (configuration) => {
      configuration.offline = true;
    });
    for (const method of ['GET', 'HEAD']) {
      const answer = await offline.ask(`/v2/acme/hub${path}`, { method });
      expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, first.digest]);
    }
  });

  it('passes nothing on: a search finds nothing, an audit says nothing', async () => {
    const { registry, upstream, larder } = await scene();
    registry.publish({ name: 'lib', version: '1.0.0' });
    await upstream.stop();
    const offline = await restartOffline(larder, (configuration) => {
      configuration.offline = true;
    });
    const search = await offline.ask('/public/npm/-/v1/search?text=lib');
    const audit = await offline.ask('/public/npm/-/npm/v1/security/advisories/bulk', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ lib: ['1.0.0'] }),
    });
    for (const answer of [search, audit]) {
      expect([answer.status < 500, cacheOf(answer), answer.headers['retry-after']]).toEqual([
        true,
        'offline',
        undefined,
      ]);
    }
    expect(offline.connections()).toBe(0);
  });

  it('may be so for one upstream only; the others are asked as ever', async () => {
    const closed = await scene();
    closed.registry.publish({ name: 'kept', version: '1.0.0' });
    await closed.larder.npm('/kept');
    await closed.upstream.stop();
    const open = await scene();
    open.registry.publish({ name: 'other', version: '1.0.0' });
    const larder = await restartOffline(
      closed.larder,
      ({ upstreams, orgs }) => {
        if (upstreams.inner) upstreams.inner.offline = true;
        orgs.public?.repositories.npm?.sources.push({ remote: 'open' });
      },
      { open: { url: open.registry.url } },
    );
    expect(cacheOf(await larder.ask('/public/npm/kept'))).toBe('offline');
    expect(cacheOf(await larder.ask('/public/npm/other'))).toBe('miss');
    expect((await larder.ask('/public/npm/neither')).status).toBe(404);
    expect(larder.connections()).toBe(0);
  });
});

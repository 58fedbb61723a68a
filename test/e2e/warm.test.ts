/** Warming through the whole server, format by format: what is missing before is there afterwards, and upstream is asked once. */
import { describe, expect, it } from 'vitest';
import type { Digest } from '../../src/core/digest.ts';
import { hashOf } from '../support/bytes.ts';
import type { Descriptor } from '../support/fake-oci.ts';
import { mediaTypes } from '../support/fake-oci.ts';
import { ask } from '../support/http.ts';
import { mavenScene } from '../support/maven-scene.ts';
import { nugetScene } from '../support/nuget-scene.ts';
import { ociScene } from '../support/oci-scene.ts';
import { pypiScene } from '../support/pypi-scene.ts';
import { gemsScene } from '../support/rubygems-scene.ts';
import { scene } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';
import { outcomesOf, reasonsOf, stored, type Want, type Warming, warmUp } from '../support/warming.ts';

const wrong: Digest = `sha512:${'0'.repeat(128)}`;

/** Nothing is there and nobody is asked; it is fetched; it is there and nobody is asked. */
async function expectWarmed(place: Warming, wants: readonly Want[], requests: () => number): Promise<void> {
  const none = await stored(place, wants);
  expect(outcomesOf(none)).toEqual(wants.map(() => 'failed'));
  expect(reasonsOf(none).every((why) => why.includes(' 504 '))).toBe(true);
  expect(requests()).toBe(0);
  const first = await warmUp(place, wants);
  expect(reasonsOf(first)).toEqual([]);
  expect(outcomesOf(first)).toEqual(wants.map(() => 'got'));
  expect(first.bytes.got).toBeGreaterThan(0);
  await eventually('all is stored', async () =>
    reasonsOf(await stored(place, wants)).length === 0 ? true : undefined,
  );
  const before = requests();
  const again = await warmUp(place, wants);
  expect(outcomesOf(again)).toEqual(wants.map(() => 'there'));
  expect(outcomesOf(await stored(place, wants))).toEqual(wants.map(() => 'there'));
  expect(requests()).toBe(before);
}

describe('npm', () => {
  it('has document and tarball of what a lockfile names, checked against its digest', async () => {
    const { registry, upstream, larder } = await scene();
    const one = registry.publish({ name: 'left-pad', version: '1.3.0' });
    const scoped = registry.publish({ name: '@acme/web', version: '2.0.0-rc.1' });
    registry.publish({ name: 'newest', version: '1.0.0' });
    const wants: Want[] = [
      { name: one.name, version: one.version, digests: [`sha512:${one.sha512}`] },
      { name: scoped.name, version: scoped.version, digests: [`sha1:${scoped.sha1}`, `sha512:${scoped.sha512}`] },
      { name: 'newest' },
    ];
    await expectWarmed({ base: `${larder.url}/public/npm`, format: 'npm' }, wants, () => upstream.requests.length);
  });

  it('takes the server’s word for what is large and stored, and goes on', async () => {
    const { registry, upstream, larder } = await scene();
    const bytes = Buffer.alloc(600_000, 'x');
    const names = ['one', 'two', 'three', 'four', 'five'];
    const wants = names.map((name): Want => {
      const { sha512 } = registry.publish({ name, version: '1.0.0', bytes });
      return { name, version: '1.0.0', digests: [`sha512:${sha512}`] };
    });
    await expectWarmed({ base: `${larder.url}/public/npm`, format: 'npm' }, wants, () => upstream.requests.length);
  });

  it('names both digests of what is not what the lockfile says, also without sending it', async () => {
    const { registry, larder } = await scene();
    const one = registry.publish({ name: 'left-pad', version: '1.3.0' });
    const place = { base: `${larder.url}/public/npm`, format: 'npm' };
    const wants: Want[] = [{ name: 'left-pad', version: '1.3.0', digests: [wrong] }];
    const why = `left-pad/-/left-pad-1.3.0.tgz: its digest is sha512:${one.sha512}, and the lockfile says ${wrong}`;
    expect(reasonsOf(await warmUp(place, wants))).toEqual([why]);
    await eventually('it is stored', async () => (reasonsOf(await stored(place, wants))[0] === why ? true : undefined));
  });

  it('says what there is not, what is no name, and goes on with the rest', async () => {
    const { registry, larder } = await scene();
    registry.publish({ name: 'left-pad', version: '1.3.0' });
    const warmed = await warmUp({ base: `${larder.url}/public/npm`, format: 'npm' }, [
      { name: 'left-pad', version: '9.9.9' },
      { name: 'no name', version: '1.0.0' },
      { name: 'left-pad', version: '1.3.0' },
    ]);
    expect(outcomesOf(warmed)).toEqual(['failed', 'failed', 'got']);
    expect(reasonsOf(warmed)).toEqual([
      expect.stringMatching(/^left-pad\/-\/left-pad-9\.9\.9\.tgz: 404 .*is not in public\/npm/),
      ': no name is no name of a package',
    ]);
  });

  it('waits as long as it is told while upstream is busy', async () => {
    const { registry, upstream, larder } = await scene({ upstream: { retries: 0 } });
    const one = registry.publish({ name: 'left-pad', version: '1.3.0' });
    upstream.at('/left-pad', (request) =>
      request.nth === 1
        ? { status: 503, headers: { 'retry-after': '1' } }
        : { body: registry.document('left-pad'), contentType: 'application/json' },
    );
    const place = { base: `${larder.url}/public/npm`, format: 'npm' };
    const warmed = await warmUp(place, [{ name: 'left-pad', version: '1.3.0', digests: [`sha512:${one.sha512}`] }]);
    expect(reasonsOf(warmed)).toEqual([]);
  });

  it('asks once for what several want, and tells each of them what became of it', async () => {
    const { registry, upstream, larder } = await scene();
    registry.publish({ name: 'left-pad', version: '1.3.0' });
    const place = { base: `${larder.url}/public/npm`, format: 'npm' };
    const warmed = await warmUp(place, [
      { name: 'left-pad', version: '1.3.0' },
      { name: 'left-pad', version: '1.3.0' },
      { name: 'left-pad', version: '2.0.0' },
      { name: 'left-pad', version: '2.0.0' },
    ]);
    expect(outcomesOf(warmed)).toEqual(['got', 'got', 'failed', 'failed']);
    expect(warmed.requests).toBe(3);
    expect(upstream.count('/left-pad/-/left-pad-1.3.0.tgz')).toBe(1);
  });
});

describe('container images', () => {
  it('have their manifests, configs and layers, of all platforms or of the one that is wanted', async () => {
    const { one, larder } = await ociScene();
    const place = { base: `${larder.url}/acme/hub/v2`, format: 'oci' };
    const built = (architecture: string): object => {
      const { mediaType, digest, size } = one.image('library/app', { layers: [Buffer.from(`for ${architecture}`)] });
      return { mediaType, digest, size, platform: { os: 'linux', architecture } };
    };
    const indexOf = (manifests: readonly object[], tag: string): Descriptor =>
      one.put(
        'library/app',
        Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests })),
        mediaTypes.index,
        [tag],
      );
    const arm = built('arm64');
    indexOf([built('amd64'), arm], '1');
    const index = indexOf([arm], 'arm');
    await expectWarmed(
      place,
      [
        { name: 'library/app', version: '1', platform: 'linux/amd64' },
        { name: 'library/app', version: 'arm', digests: [index.digest] },
      ],
      () => one.log().length,
    );
    expect(reasonsOf(await stored(place, [{ name: 'library/app', version: 'arm' }]))).toEqual([
      expect.stringMatching(/^library\/app\/manifests\/arm: 504 .*/),
    ]);
    const other = await warmUp(place, [{ name: 'library/app', version: '1', platform: 'windows/amd64' }]);
    expect(reasonsOf(other)).toEqual(['library/app/manifests/1: library/app is not there for windows/amd64']);
  });

  it('have no layers that may not be handed on', async () => {
    const { one, larder } = await ociScene();
    const layerType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
    one.image('win/core', {
      tags: ['1'],
      layers: [Buffer.from('far away')],
      layerType,
      mediaType: mediaTypes.dockerManifest,
    });
    const warmed = await warmUp({ base: `${larder.url}/acme/hub/v2`, format: 'oci' }, [
      { name: 'win/core', version: '1' },
    ]);
    expect(reasonsOf(warmed)).toEqual([]);
    expect(one.log('blob')).toHaveLength(1);
  });
});

describe('gems', () => {
  it('have the list of versions, their pages and their files', async () => {
    const { first, url, requests } = await gemsScene();
    const bytes = Buffer.from('a gem');
    first.publish({ name: 'rack', version: '3.0.9', bytes });
    first.publish({ name: 'nokogiri', version: '1.16.0', platform: 'x86_64-linux', bytes });
    first.publish({ name: 'tilt', version: '2.3.0', bytes });
    await expectWarmed(
      { base: url, format: 'rubygems' },
      [
        { name: 'rack', version: '3.0.9', digests: [`sha256:${hashOf(bytes, 'sha256')}`] },
        { name: 'nokogiri', version: '1.16.0', platform: 'x86_64-linux' },
        { name: 'tilt' },
      ],
      () => requests().length,
    );
  });
});

describe('Python packages', () => {
  it('have their page, and the files that a lockfile names by digest, name or version', async () => {
    const { index, larder } = await pypiScene();
    const [lib] = index.publish({ name: 'Acme.Lib', version: '1.0', kinds: ['wheel', 'source'] });
    const [other] = index.publish({ name: 'other', version: '2.0', kinds: ['wheel'] });
    index.publish({ name: 'third', version: '3.0', kinds: ['wheel', 'source'] });
    const place = { base: `${larder.url}/public/pypi`, format: 'pypi' };
    const requests = (): number => index.log().length;
    const wants: Want[] = [
      { name: 'Acme_Lib', version: '1.0', digests: [`sha256:${lib?.sha256}`, `sha256:${'1'.repeat(64)}`] },
      { name: 'other', version: '2.0', file: other?.filename ?? '' },
      { name: 'third', version: '3.0.0' },
    ];
    await expectWarmed(place, wants, requests);
    expect(index.log().filter((line) => line.startsWith('GET') && /acme.*\.tar\.gz/i.test(line))).toEqual([]);
    expect(index.log().filter((line) => /third.*\.tar\.gz/.test(line))).toHaveLength(1);
    const bad = await warmUp(place, [
      { name: 'other', version: '2.0', digests: [wrong] },
      { name: 'other', version: '7' },
      { name: 'other', version: '2.0', file: 'other-2.0.zip' },
    ]);
    expect(reasonsOf(bad)).toEqual([
      'simple/other/: no file of other 2.0 has one of the 1 digests that the lockfile names',
      'simple/other/: the page has no file of other 7',
      'simple/other/: the page of other has no other-2.0.zip',
    ]);
  });
});

describe('a page that is older than the lockfile', () => {
  it('is looked at once more, although it counts as fresh', async () => {
    const { index, larder } = await pypiScene({ source: { ttl: '1h' } });
    index.publish({ name: 'lib', version: '1.0', kinds: ['wheel'] });
    const place = { base: `${larder.url}/public/pypi`, format: 'pypi' };
    expect(outcomesOf(await warmUp(place, [{ name: 'lib', version: '1.0' }]))).toEqual(['got']);
    const [next] = index.publish({ name: 'lib', version: '1.1', kinds: ['wheel'] });
    const wants: Want[] = [{ name: 'lib', version: '1.1', digests: [`sha256:${next?.sha256}`] }];
    expect(outcomesOf(await warmUp(place, wants))).toEqual(['got']);
    // A client that is in a hurry can't have it so.
    const before = index.log().length;
    await ask(`${place.base}/simple/lib/`, { headers: { 'x-larder-refresh': '1' } });
    expect(index.log().length).toBe(before);
  });
});

describe('NuGet packages', () => {
  it('have what a restore reads on the way', async () => {
    const { base, requests } = await nugetScene({
      feeds: [
        {
          packages: [
            { id: 'Acme.Lib', version: '1.0.0' },
            { id: 'Acme.New', version: '2.0.0' },
          ],
        },
      ],
    });
    await expectWarmed(
      { base, format: 'nuget' },
      [{ name: 'Acme.Lib', version: '1.0.0.0' }, { name: 'acme.new' }],
      () => requests().length,
    );
  });
});

describe('Maven modules', () => {
  const pom = (body: string): Buffer => Buffer.from(`<project><modelVersion>4.0.0</modelVersion>${body}</project>`);

  it('have their poms with parents and imports, and their files', async () => {
    const { central, larder, requests } = await mavenScene();
    const lib = central.publish({ group: 'com.acme', artifact: 'lib', version: '1.0' });
    central.put(
      lib.pom,
      pom(
        `<parent><groupId>com.acme</groupId><artifactId>parent</artifactId><version>7</version></parent><artifactId>lib</artifactId>
         <properties><bom>3</bom></properties><dependencyManagement><dependencies><dependency><groupId>com.acme</groupId>
         <artifactId>bom</artifactId><version>\${bom}</version><type>pom</type><scope>import</scope></dependency></dependencies></dependencyManagement>`,
      ),
    );
    central.put('/com/acme/parent/7/parent-7.pom', pom('<groupId>com.acme</groupId><packaging>pom</packaging>'));
    central.put('/com/acme/bom/3/bom-3.pom', pom('<packaging>pom</packaging>'));
    const exact = central.publish({ group: 'com.acme', artifact: 'exact', version: '2' });
    const bytes = central.bytes(exact.jar);
    const place = { base: `${larder.url}/public/maven`, format: 'maven' };
    await expectWarmed(
      place,
      [
        { name: 'com.acme:lib', version: '1.0' },
        { name: 'com.acme:exact', version: '2', file: 'exact-2.jar', digests: [`sha256:${hashOf(bytes, 'sha256')}`] },
      ],
      () => requests().length,
    );
    const asked = requests().join('\n');
    for (const path of [lib.jar, 'com/acme/parent/7/parent-7.pom', 'com/acme/bom/3/bom-3.pom']) {
      expect(asked).toContain(path);
    }
  });

  it('of Gradle have the files that its own list names', async () => {
    const { central, larder, requests } = await mavenScene();
    central.publish({ group: 'com.acme', artifact: 'kit', version: '1', gradle: true });
    const place = { base: `${larder.url}/public/maven`, format: 'maven' };
    expect(reasonsOf(await warmUp(place, [{ name: 'com.acme:kit', version: '1' }]))).toEqual([]);
    expect(requests().join('\n')).toContain('kit-1.module');
    expect(reasonsOf(await warmUp(place, [{ name: 'com.acme:kit', version: '1-SNAPSHOT' }]))).toEqual([
      expect.stringContaining('record one'),
    ]);
  });
});

describe('files', () => {
  it('are found by the path of their address', async () => {
    const { upstream, larder } = await scene({ source: { ttl: '1h' } });
    const bytes = Buffer.alloc(1000, 'x');
    upstream.at('/dist/tool%201.zip', { body: bytes });
    const url = 'https://example.com/dist/tool%201.zip';
    await expectWarmed(
      { base: `${larder.url}/public/files`, format: 'generic' },
      [{ name: 'dist/tool 1.zip', url, digests: [`sha256:${hashOf(bytes, 'sha256')}`] }],
      () => upstream.requests.length,
    );
  });
});

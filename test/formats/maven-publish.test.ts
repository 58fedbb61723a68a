/** What deploying comes to, request by request, and what is told of it afterwards. */
import { describe, expect, it } from 'vitest';
import type { Digest } from '../../src/core/format.ts';
import { Problem } from '../../src/core/problem.ts';
import { format } from '../../src/formats/maven/index.ts';
import { type Metadata, readMetadata } from '../../src/formats/maven/metadata.ts';
import { setups } from '../../src/formats/maven/setup.ts';
import { hashOf } from '../support/bytes.ts';
import { ask, type FakeView, fakeView, type Performed, problemOf } from '../support/hosted-view.ts';
import { artifactXml, groupXml, pomXml, snapshotXml } from './maven.samples.ts';

const jar = Buffer.from('a jar');
const otherJar = Buffer.from('another jar');

interface Hosted {
  readonly view: FakeView;
  put(path: string, body: Uint8Array | string): Promise<number>;
  remove(path: string): Promise<number>;
  metadata(folder: string): Promise<Metadata>;
  refusal(asked: Promise<unknown>): Promise<string>;
  perform(method: string, path: string, body?: Uint8Array | string): Promise<Performed>;
}

function hosted(options: Readonly<Record<string, unknown>> = {}, view = fakeView()): Hosted {
  const own = format.configure?.(options) ?? format;
  const perform: Hosted['perform'] = (method, path, body) =>
    ask(own, view, { method, path: `/${path}`, ...(body === undefined ? {} : { body }) });
  const statusOf = async (asked: Promise<Performed>): Promise<number> => (await asked).body.status ?? 200;
  return {
    view,
    perform,
    put: (path, body) => statusOf(perform('PUT', path, body)),
    remove: (path) => statusOf(perform('DELETE', path)),
    async metadata(folder) {
      const { raw: _, ...doc } = readMetadata((await perform('GET', `${folder}/maven-metadata.xml`)).body.bytes);
      return doc;
    },
    async refusal(asked) {
      try {
        await asked;
        return '';
      } catch (error) {
        if (error instanceof Problem) return `${error.code}: ${error.message}`;
        throw error;
      }
    },
  };
}

/** As Maven does it: a jar, its pom, and the checksums of both. */
async function deploy(here: Hosted, version: string, file = version, artifact = 'lib'): Promise<void> {
  const stem = `com/acme/${artifact}/${version}/${artifact}-${file}`;
  const pom = pomXml(`com.acme:${artifact}:${version}`);
  for (const [extension, bytes] of [
    ['jar', Buffer.from(`${artifact} ${file}`)],
    ['pom', pom],
  ] as const) {
    expect(await here.put(`${stem}.${extension}`, bytes)).toBe(201);
    expect(await here.put(`${stem}.${extension}.sha1`, hashOf(bytes, 'sha1'))).toBe(201);
    expect(await here.put(`${stem}.${extension}.md5`, hashOf(bytes, 'md5'))).toBe(201);
  }
}

describe('a file of a release', () => {
  const path = 'com/acme/lib/1.0/lib-1.0.jar';

  it('is kept for good: the same bytes may come again, others may not', async () => {
    const here = hosted();
    expect(await here.put(path, jar)).toBe(201);
    const { revision } = here.view.about('com.acme:lib') ?? {};
    expect((await here.perform('PUT', path, jar)).change?.records).toBeUndefined();
    expect(await here.put(path, jar)).toBe(200);
    expect(await problemOf(here.put(path, otherJar))).toBe('conflict');
    expect(here.view.bytes(path)).toEqual(jar);
    expect(revision).toBeDefined();
  });

  it('is handed out with its digests, as that of an upstream is', async () => {
    const here = hosted();
    await here.put(path, jar);
    const { body } = await here.perform('GET', path);
    expect(body.headers).toEqual({
      'content-type': 'application/java-archive',
      'x-checksum-sha256': hashOf(jar, 'sha256'),
      'x-checksum-sha1': hashOf(jar, 'sha1'),
      'x-checksum-md5': hashOf(jar, 'md5'),
      'x-checksum-sha512': hashOf(jar, 'sha512'),
      etag: `"{SHA1{${hashOf(jar, 'sha1')}}}"`,
    });
    for (const algorithm of ['sha1', 'md5', 'sha256', 'sha512']) {
      const checksum = await here.perform('GET', `${path}.${algorithm}`);
      expect(Buffer.from(checksum.body.bytes).toString()).toBe(hashOf(jar, algorithm));
    }
  });

  it('may be of any kind, as long as its name begins as its folders say', async () => {
    const here = hosted();
    for (const tail of ['-sources.jar', '.jar.asc', '.tar.gz', '.module', '-linux-1.2.zip', '.pom.sigstore.json']) {
      const body = tail === '.module' ? '{"formatVersion":"1.1"}' : `bytes of ${tail}`;
      expect(await here.put(`com/acme/lib/1.0/lib-1.0${tail}`, body), tail).toBe(201);
    }
    expect(here.view.record('com.acme:lib', '1.0')?.files).toHaveLength(6);
  });

  it.each([
    'lib-1.0.jar',
    'archetype-catalog.xml',
    'com/acme/lib/1.0/other-1.0.jar',
    'com/acme/lib/1.0/lib-1.1.jar',
    'com/acme/lib/notes.txt',
    'com/acme/lib/1.0/',
    'com/acme/lib/1.0/_remote.repositories',
    'com/acme/lib/1.0/lib-1.0.jar.lastUpdated',
    'com/acme/lib/maven-metadata-central.xml',
    '.meta/prefixes.txt',
    '.index/nexus-maven-repository-index.gz',
    'com/acme/lib/1.0/lib-1.0.jar.sha1.md5',
  ])('is not %s, which is no artifact', async (wrong) => {
    const here = hosted();
    const body = wrong.endsWith('.md5') ? hashOf(jar, 'md5') : jar;
    expect(await here.refusal(here.put(wrong, body))).toMatch(/^bad_request: .+ GROUP\/ARTIFACT\/VERSION\//);
    expect(here.view.changedAt).toBe('');
  });

  it.each<[string, string, string]>([
    ['lib-1.0.pom', '', 'no pom'],
    ['lib-1.0.pom', '<project>', 'no pom'],
    ['lib-1.0.pom', '<html/>', 'it is a <html>'],
    ['lib-1.0.pom', '<!DOCTYPE project SYSTEM "file:///etc/passwd"><project/>', 'document type'],
    ['lib-1.0.module', '{"formatVersion":', 'not JSON'],
  ])('that no client could read is none: %s with %j', async (file, text, words) => {
    const here = hosted();
    const refusal = await here.refusal(here.put(`com/acme/lib/1.0/${file}`, text));
    expect(refusal).toMatch(/^invalid_package: /);
    expect(refusal).toContain(words);
  });

  it('in the layout of Ivy, of sbt plugins and of Gradle is one, too', async () => {
    const here = hosted();
    for (const path of [
      'com.acme/lib/1.0/jars/lib.jar',
      'com.acme/lib/1.0/ivys/ivy.xml',
      'com.acme/gradle/1.0/ivy-1.0.xml',
      'com.acme/gradle/1.0/gradle-1.0.jar',
      'com/acme/plugin_2.12_1.0/0.1/plugin-0.1.jar',
    ]) {
      expect(await here.put(path, path), path).toBe(201);
    }
    expect([...here.view.names()]).toEqual(['com.acme:lib', 'com.acme:gradle', 'com.acme:plugin_2.12_1.0']);
  });
});

describe('the source of a package', () => {
  it.each<[string, string | undefined]>([
    ['<scm><url>https://git.example/acme/lib</url></scm>', 'https://git.example/acme/lib'],
    ['<scm><connection>scm:git:https://git.example/lib.git</connection></scm>', 'https://git.example/lib.git'],
    ['<scm><connection>scm:git|ssh://git@git.example/l</connection></scm>', 'ssh://git@git.example/l'],
    [`<scm><url>\${base}/lib</url></scm>`, undefined],
    ['<scm><connection>git.example</connection></scm>', undefined],
    ['<url>https://www.example</url>', undefined],
    ['', undefined],
  ])('is what its pom says: %s', async (xml, source) => {
    const here = hosted();
    const pom = await here.perform('PUT', 'com/acme/lib/1.0/lib-1.0.pom', pomXml('com.acme:lib:1.0', xml));
    expect(pom.change?.records?.[0]?.source).toBe(source);
    // Whatever comes afterwards does not take it back.
    const later = await here.perform('PUT', 'com/acme/lib/1.0/lib-1.0.jar', jar);
    expect(later.change?.records?.[0]?.source).toBe(source);
  });

  it('is not looked for in other files', async () => {
    const here = hosted();
    const text = pomXml('com.acme:lib:1.0', '<scm><url>https://git.example/x</url></scm>');
    const { change } = await here.perform('PUT', 'com/acme/lib/1.0/lib-1.0-old.pom', text);
    expect(change?.records?.[0]?.source).toBeUndefined();
  });
});

describe('a checksum', () => {
  const path = 'com/acme/lib/1.0/lib-1.0.jar';
  const algorithms = ['sha1', 'md5', 'sha256', 'sha512'] as const;

  it.each(algorithms)('.%s of a file that is here is compared, and not kept', async (algorithm) => {
    const here = hosted();
    await here.put(path, jar);
    const { change } = await here.perform('PUT', `${path}.${algorithm}`, `${hashOf(jar, algorithm)}  lib-1.0.jar\n`);
    expect(change?.put ?? change?.records).toBeUndefined();
    expect(await problemOf(here.put(`${path}.${algorithm}`, hashOf(otherJar, algorithm)))).toBe('digest_mismatch');
  });

  it.each(algorithms)('.%s that comes first waits for its file', async (algorithm) => {
    const here = hosted();
    expect(await here.put(`${path}.${algorithm}`, hashOf(jar, algorithm).toUpperCase())).toBe(201);
    expect(await problemOf(here.perform('GET', `${path}.${algorithm}`))).toBe('not_found');
    expect(await problemOf(here.put(path, otherJar))).toBe('digest_mismatch');
    expect(here.view.entry(path)).toBeUndefined();
    expect(await here.put(path, jar)).toBe(201);
    expect(here.view.record('com.acme:lib', '1.0')?.facts).toEqual({});
  });

  it('that was wrong is replaced by the next one', async () => {
    const here = hosted();
    await here.put(`${path}.sha1`, hashOf(otherJar, 'sha1'));
    await here.put(`${path}.md5`, hashOf(jar, 'md5'));
    await here.put(`${path}.sha1`, hashOf(jar, 'sha1'));
    const claims: Readonly<Record<string, readonly Digest[]>> = {
      [path]: [`md5:${hashOf(jar, 'md5')}`, `sha1:${hashOf(jar, 'sha1')}`],
    };
    expect(here.view.record('com.acme:lib', '1.0')?.facts).toEqual({ claims });
    expect(await here.put(path, jar)).toBe(201);
  });

  it('is not waited for without end', async () => {
    const here = hosted();
    const wait = (nth: number): Promise<number> =>
      here.put(`com/acme/lib/1.0/lib-1.0-${nth}.jar.sha1`, hashOf(jar, 'sha1'));
    for (let nth = 0; nth < 400; nth++) await wait(nth);
    expect(await here.refusal(wait(400))).toMatch(/^conflict: com.acme:lib 1.0 .* never came/);
    expect(await wait(399)).toBe(201);
  });

  it.each([
    ['words', 'not found'],
    ['nothing', ''],
    ['the digest of another algorithm', hashOf(jar, 'md5')],
    ['a page', `<p>${hashOf(jar, 'sha1')} `],
  ])('is not %s', async (_what, text) => {
    const here = hosted();
    await here.put(path, jar);
    expect(await here.refusal(here.put(`${path}.sha1`, text))).toMatch(/^bad_request: There is no sha1 in/);
  });

  it('is not long', async () => {
    expect(await problemOf(hosted().put(`${path}.sha1`, `${hashOf(jar, 'sha1')}${' '.repeat(5000)}`))).toBe(
      'too_large',
    );
  });

  it('of metadata is about bytes that are not kept either', async () => {
    const here = hosted();
    await deploy(here, '1.0');
    expect(await here.put('com/acme/lib/maven-metadata.xml.sha1', hashOf(jar, 'sha1'))).toBe(201);
    const { bytes } = (await here.perform('GET', 'com/acme/lib/maven-metadata.xml')).body;
    const ours = await here.perform('GET', 'com/acme/lib/maven-metadata.xml.sha1');
    expect(Buffer.from(ours.body.bytes).toString()).toBe(hashOf(Buffer.from(bytes), 'sha1'));
  });
});

describe('metadata of an artifact', () => {
  it('lists what was deployed in the order of versions, whatever the order of coming', async () => {
    const here = hosted();
    for (const version of ['1.10', '1.9', '2.0-rc1', '1.9.1']) await deploy(here, version);
    await deploy(here, '2.1-SNAPSHOT', '2.1-20260102.030405-1');
    expect(await here.metadata('com/acme/lib')).toEqual({
      groupId: 'com.acme',
      artifactId: 'lib',
      latest: '2.1-SNAPSHOT',
      release: '2.0-rc1',
      versions: ['1.9', '1.9.1', '1.10', '2.0-rc1', '2.1-SNAPSHOT'],
      lastUpdated: expect.stringMatching(/^20260304050\d{3}$/),
    });
  });

  it('has a version once it is described, and no sooner', async () => {
    const here = hosted();
    await here.put('com/acme/lib/1.0/lib-1.0.jar', jar);
    await here.put('com/acme/lib/1.1/lib-1.1.jar.sha1', hashOf(jar, 'sha1'));
    await here.put('com/acme/lib/1.2/lib-1.2.pom.asc', 'signature');
    await here.put('com/acme/lib/1.3/lib-1.3-tests.pom', pomXml('com.acme:lib:1.3'));
    expect(await problemOf(here.metadata('com/acme/lib'))).toBe('not_found');
    await here.put('com/acme/lib/1.0/lib-1.0.pom', pomXml('com.acme:lib:1.0'));
    await here.put('com/acme/lib/1.4/lib-1.4.module', '{}');
    expect(await here.metadata('com/acme/lib')).toMatchObject({ versions: ['1.0', '1.4'], release: '1.4' });
  });

  it('says of what changed last when it did', async () => {
    const here = hosted();
    const { metadata } = here;
    await deploy(here, '1.0');
    const before = (await metadata('com/acme/lib')).lastUpdated ?? '';
    await deploy(here, '1.1');
    expect((await metadata('com/acme/lib')).lastUpdated ?? '').not.toBe(before);
    expect(here.view.about('com.acme:lib')?.changedAt.replace(/\D/g, '').slice(0, 14)).toBe(
      (await metadata('com/acme/lib')).lastUpdated,
    );
  });

  it('that a client sends is dropped, with whatever it took over from elsewhere', async () => {
    const here = hosted();
    await deploy(here, '1.0');
    const { change } = await here.perform(
      'PUT',
      'com/acme/lib/maven-metadata.xml',
      artifactXml({ versions: ['1.0', '99.0'] }),
    );
    expect(change).toEqual({ name: 'com.acme:lib', reply: { status: 201, bytes: new Uint8Array() } });
    expect((await here.metadata('com/acme/lib')).versions).toEqual(['1.0']);
    expect(await problemOf(here.put('com/acme/lib/maven-metadata.xml', '<metadata>'))).toBe('bad_request');
    expect(await problemOf(here.put('com/acme/lib/maven-metadata.xml', '<project/>'))).toBe('bad_request');
  });

  it('is of one folder only, although the layout of Ivy has artifacts of the same name', async () => {
    const here = hosted();
    await here.put('com.acme/lib/2.0/lib-2.0.pom', pomXml('com.acme:lib:2.0'));
    await deploy(here, '1.0');
    expect((await here.metadata('com/acme/lib')).versions).toEqual(['1.0']);
    expect((await here.metadata('com.acme/lib')).versions).toEqual(['2.0']);
    await deploy(here, '3-SNAPSHOT', '3-20260102.030405-1');
    await here.put('com.acme/lib/3-SNAPSHOT/lib-3-20260103.030405-2.pom', pomXml('com.acme:lib:3-SNAPSHOT'));
    expect((await here.metadata('com/acme/lib/3-SNAPSHOT')).snapshot?.buildNumber).toBe('1');
  });
});

describe('metadata of a snapshot', () => {
  const folder = 'com/acme/lib/1.0-SNAPSHOT';

  it('has of each file the newest build', async () => {
    const here = hosted();
    await deploy(here, '1.0-SNAPSHOT', '1.0-20260102.030405-1');
    await here.put(`${folder}/lib-1.0-20260102.030405-1-sources.jar`, jar);
    await deploy(here, '1.0-SNAPSHOT', '1.0-20260103.000000-2');
    expect(await here.metadata(folder)).toEqual({
      modelVersion: '1.1.0',
      groupId: 'com.acme',
      artifactId: 'lib',
      version: '1.0-SNAPSHOT',
      snapshot: { timestamp: '20260103.000000', buildNumber: '2' },
      lastUpdated: expect.stringMatching(/^20260304050\d{3}$/),
      snapshotVersions: [
        { extension: 'jar', value: '1.0-20260103.000000-2', updated: '20260103000000' },
        { extension: 'pom', value: '1.0-20260103.000000-2', updated: '20260103000000' },
        { classifier: 'sources', extension: 'jar', value: '1.0-20260102.030405-1', updated: '20260102030405' },
      ],
    });
    expect(await here.metadata('com/acme/lib')).toMatchObject({ versions: ['1.0-SNAPSHOT'], latest: '1.0-SNAPSHOT' });
  });

  it('takes two builds of one number for what they are, whichever comes last', async () => {
    for (const order of [
      ['20260102.030405', '20260102.030406'],
      ['20260102.030406', '20260102.030405'],
    ]) {
      const here = hosted();
      for (const timestamp of order) await deploy(here, '1.0-SNAPSHOT', `1.0-${timestamp}-3`);
      expect((await here.metadata(folder)).snapshot).toEqual({ timestamp: '20260102.030406', buildNumber: '3' });
    }
  });

  it('does not tell of a build before it is described', async () => {
    const here = hosted();
    await deploy(here, '1.0-SNAPSHOT', '1.0-20260102.030405-1');
    await here.put(`${folder}/lib-1.0-20260103.000000-2.jar`, jar);
    expect(await here.metadata(folder)).toMatchObject({
      snapshot: { timestamp: '20260102.030405', buildNumber: '1' },
      snapshotVersions: [{ value: '1.0-20260102.030405-1' }, { value: '1.0-20260102.030405-1' }],
    });
  });

  it('that a client sends is dropped', async () => {
    const here = hosted();
    await deploy(here, '1.0-SNAPSHOT', '1.0-20260102.030405-1');
    const sent = snapshotXml({ timestamp: '20260909.090909', number: 9, files: [['jar']] });
    expect(await here.put(`${folder}/maven-metadata.xml`, sent)).toBe(201);
    expect((await here.metadata(folder)).snapshot).toEqual({ timestamp: '20260102.030405', buildNumber: '1' });
  });

  it('is not there for files that are called -SNAPSHOT, which may be replaced', async () => {
    const here = hosted();
    const path = `${folder}/lib-1.0-SNAPSHOT.jar`;
    await deploy(here, '1.0-SNAPSHOT');
    expect(await here.put(path, otherJar)).toBe(201);
    expect(here.view.bytes(path)).toEqual(otherJar);
    expect(await here.put(`${path}.sha1`, hashOf(otherJar, 'sha1'))).toBe(201);
    expect(await problemOf(here.metadata(folder))).toBe('not_found');
    expect((await here.metadata('com/acme/lib')).versions).toEqual(['1.0-SNAPSHOT']);
  });

  it('has files of both kinds, if both were deployed', async () => {
    const here = hosted();
    await deploy(here, '1.0-SNAPSHOT', '1.0-20260102.030405-1');
    await here.put(`${folder}/lib-1.0-SNAPSHOT-docs.zip`, jar);
    await here.put(`${folder}/lib-1.0-SNAPSHOT.pom`, pomXml('com.acme:lib:1.0-SNAPSHOT'));
    expect((await here.metadata(folder)).snapshotVersions).toEqual([
      { extension: 'jar', value: '1.0-20260102.030405-1', updated: '20260102030405' },
      { extension: 'pom', value: '1.0-20260102.030405-1', updated: '20260102030405' },
      { classifier: 'docs', extension: 'zip', value: '1.0-SNAPSHOT', updated: expect.stringMatching(/^2026030405/) },
    ]);
  });

  it('has builds that keep their bytes', async () => {
    const here = hosted();
    await deploy(here, '1.0-SNAPSHOT', '1.0-20260102.030405-1');
    expect(await problemOf(here.put(`${folder}/lib-1.0-20260102.030405-1.jar`, otherJar))).toBe('conflict');
  });
});

describe('metadata of a group', () => {
  const path = 'com/acme/build/maven-metadata.xml';
  const plugin = async (here: Hosted, artifact: string): Promise<number> =>
    here.put(`com/acme/build/${artifact}/1/${artifact}-1.pom`, pomXml(`com.acme.build:${artifact}:1`));

  it('has the prefixes of the plugins that are here, and of no others', async () => {
    const here = hosted();
    await plugin(here, 'b-maven-plugin');
    await here.put(
      path,
      groupXml([
        ['b', 'b-maven-plugin'],
        ['upstream', 'other-maven-plugin'],
      ]),
    );
    await plugin(here, 'a-maven-plugin');
    // Whoever read before the other one wrote does not know of it.
    await here.put(path, groupXml([['a', 'a-maven-plugin']]));
    expect(await here.metadata('com/acme/build')).toEqual({
      plugins: [
        { name: 'The a plugin', prefix: 'a', artifactId: 'a-maven-plugin' },
        { name: 'The b plugin', prefix: 'b', artifactId: 'b-maven-plugin' },
      ],
    });
  });

  it('has a plugin under the prefix that it was given last', async () => {
    const here = hosted();
    await plugin(here, 'b-maven-plugin');
    await here.put(path, groupXml([['b', 'b-maven-plugin']]));
    await here.put(path, groupXml([['c', 'b-maven-plugin']]));
    expect((await here.metadata('com/acme/build')).plugins?.map(({ prefix }) => prefix)).toEqual(['c']);
    const again = await here.perform('PUT', `/${path}`.slice(1), groupXml([['c', 'b-maven-plugin']]));
    expect(again.change?.records).toBeUndefined();
  });

  it('is about the group, and so are its checksums', async () => {
    const here = hosted();
    await plugin(here, 'b-maven-plugin');
    const sent = await here.perform('PUT', path, groupXml([['b', 'b-maven-plugin']]));
    expect(sent.change?.name).toBe('com.acme.build:');
    const checksum = await here.perform('PUT', `${path}.sha1`, hashOf(jar, 'sha1'));
    expect(checksum.change).toMatchObject({ name: 'com.acme.build:' });
    const upstreams = await here.perform('PUT', path, groupXml([['z', 'z-maven-plugin']]));
    expect(upstreams.change).toEqual({ name: 'com.acme.build:', reply: expect.anything() });
  });

  it('may be that of an artifact at the same time', async () => {
    const here = hosted();
    await plugin(here, 'b-maven-plugin');
    await deploy(here, '1.0', '1.0', 'build');
    await here.put(path, groupXml([['b', 'b-maven-plugin']]));
    expect(await here.metadata('com/acme/build')).toMatchObject({
      artifactId: 'build',
      versions: ['1.0'],
      plugins: [{ prefix: 'b' }],
    });
  });

  it('can be taken away', async () => {
    const here = hosted();
    await plugin(here, 'b-maven-plugin');
    await here.put(path, groupXml([['b', 'b-maven-plugin']]));
    expect(await here.remove(path)).toBe(204);
    expect(await problemOf(here.metadata('com/acme/build'))).toBe('not_found');
    expect(await problemOf(here.remove(path))).toBe('not_found');
  });
});

describe('what is deleted', () => {
  it('is a version with all its files', async () => {
    const here = hosted();
    await deploy(here, '1.0');
    await deploy(here, '1.1');
    for (const path of ['com/acme/lib/1.0', 'com/acme/lib/1.1/']) {
      const { change, needed } = await here.perform('DELETE', path);
      expect(change?.removes).toHaveLength(1);
      expect(needed).toContain('delete');
    }
    expect([...here.view.names()]).toEqual([]);
    expect(await problemOf(here.put('com/acme/lib/1.0/lib-1.0.jar', otherJar))).toBe('conflict');
  });

  it('is a file, and with the last one the version', async () => {
    const here = hosted();
    await deploy(here, '1.0');
    expect(await here.remove('com/acme/lib/1.0/lib-1.0.jar')).toBe(204);
    expect(here.view.record('com.acme:lib', '1.0')?.files).toHaveLength(1);
    expect((await here.metadata('com/acme/lib')).versions).toEqual(['1.0']);
    expect(await here.remove('com/acme/lib/1.0/lib-1.0.pom')).toBe(204);
    expect(await problemOf(here.metadata('com/acme/lib'))).toBe('not_found');
    expect(here.view.record('com.acme:lib', '1.0')).toBeUndefined();
  });

  it.each([
    'com/acme/lib',
    'com/acme/lib/2.0',
    'com/acme/lib/1.0/lib-1.0.war',
    'com',
    'com/acme/lib/maven-metadata.xml',
  ])('is not %s', async (path) => {
    const here = hosted();
    await deploy(here, '1.0');
    expect(await problemOf(here.remove(path))).toBe('not_found');
  });
});

describe('a repository', () => {
  const release = 'com/acme/lib/1.0/lib-1.0.jar';
  const snapshot = 'com/acme/lib/1.0-SNAPSHOT/lib-1.0-20260102.030405-1.jar';

  it.each<[Readonly<Record<string, boolean>>, string, string]>([
    [{ snapshots: false }, snapshot, 'takes releases only, and com.acme:lib 1.0-SNAPSHOT is a snapshot'],
    [{ releases: false }, release, 'takes snapshots only, and com.acme:lib 1.0 is a release'],
  ])('with %j refuses %s', async (options, refused, words) => {
    const here = hosted(options);
    for (const path of [refused, `${refused}.sha1`]) {
      const refusal = await here.refusal(here.put(path, path === refused ? jar : hashOf(jar, 'sha1')));
      expect(refusal).toMatch(/^bad_request: /);
      expect(refusal).toContain(words);
    }
    expect(await here.put(refused === release ? snapshot : release, jar)).toBe(201);
  });

  it('that lets versions be replaced takes other bytes for them', async () => {
    const here = hosted({}, fakeView({ overwrites: true }));
    await deploy(here, '1.0');
    expect(await here.put(release, otherJar)).toBe(201);
    expect(here.view.bytes(release)).toEqual(otherJar);
    expect(here.view.record('com.acme:lib', '1.0')?.files).toHaveLength(2);
  });

  it('goes on to delete what it takes no longer', async () => {
    const before = hosted();
    await before.put(snapshot, jar);
    expect(await hosted({ snapshots: false }, before.view).remove(snapshot)).toBe(204);
  });

  it.each([[{ releases: 'no' }], [{ snapshots: 1 }], [{ release: true }]])('is not configured with %j', (options) => {
    expect(() => format.configure?.(options)).toThrow(/release|snapshots/);
  });
});

it('says what is wrong in the status line, since Maven before 3.9.11, Gradle and Ivy show nothing else', () => {
  const problem = new Problem('conflict', 'It is there already.');
  expect(format.problem(problem)).toMatchObject({ status: 409, reason: 'It is there already.' });
});

it('is what larder setup tells to deploy to, once there is a token', () => {
  const maven = setups.find(({ client }) => client === 'maven');
  const target = { url: 'https://larder.example/acme/maven', root: '', repository: '', namespaces: [], others: [] };
  const line = expect.stringContaining('-DaltDeploymentRepository=larder::https://larder.example/acme/maven');
  expect(maven?.notes?.({ ...target, tokenVariable: 'TOKEN' })).toContainEqual(line);
  expect(maven?.notes?.(target)).not.toContainEqual(line);
});

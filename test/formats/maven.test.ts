import { describe, expect, it } from 'vitest';
import type { Artifact, Checksum, Digest, Intent } from '../../src/core/format.ts';
import { Problem } from '../../src/core/problem.ts';
import { compileRoutes } from '../../src/core/route.ts';
import { format } from '../../src/formats/maven/index.ts';
import { readFolder, readPlace } from '../../src/formats/maven/layout.ts';
import { metadata } from '../../src/formats/maven/metadata.ts';
import { answered, conformance, intentOf } from '../conformance/format.ts';
import { artifactSample, artifactXml, groupXml, publishSamples, snapshotXml, upstream } from './maven.samples.ts';

conformance(format, {
  documents: [artifactSample],
  examples: {
    root: ['/'],
    prefixes: ['/.meta/prefixes.txt', '/.meta/prefixes.txt.sha1', '/.meta/repository-metadata.xml'],
    metadata: [
      '/com/acme/lib/maven-metadata.xml',
      '/com/acme/lib/1.0-SNAPSHOT/maven-metadata.xml',
      '/commons-io/maven-metadata.xml',
    ],
    checksum: [
      '/com/acme/lib/1.0/lib-1.0.jar.sha1',
      '/com/acme/lib/1.0/lib-1.0.jar.asc.sha1',
      '/com/acme/lib/1.0/lib-1.0.jar.sha1.md5',
      '/com/acme/lib/maven-metadata.xml.sha512',
      '/com/acme/lib/maven-metadata-central.xml.sha1',
      '/archetype-catalog.xml.md5',
    ],
    file: [
      '/com/acme/lib/1.0/lib-1.0.jar',
      '/com/acme/lib/1.0%2Bbuild~1/lib-1.0+build~1-sources.tar.gz.asc',
      '/com/acme/',
      '/archetype-catalog.xml',
      '/.index/nexus-maven-repository-index.gz',
      '/distributions/gradle-8.5-bin.zip',
      '/com/acme/lib/maven-metadata-central.xml',
      '/.sha1',
    ],
    'publish-metadata': ['/com/acme/lib/maven-metadata.xml', '/com/acme/lib/1.0-SNAPSHOT/maven-metadata.xml'],
    'publish-checksum': ['/com/acme/lib/1.0/lib-1.0.jar.sha1', '/com/acme/lib/maven-metadata.xml.md5'],
    publish: ['/com/acme/lib/1.0/lib-1.0.jar', '/com/acme/lib/1.0-SNAPSHOT/lib-1.0-20260102.030405-7.pom', '/x/'],
    delete: ['/com/acme/lib/1.0/lib-1.0.jar', '/com/acme/lib/1.0', '/com/acme/lib/1.0/'],
  },
  publish: publishSamples,
});

const router = compileRoutes(format.routes);

function ask(path: string): Intent | undefined {
  return intentOf(router, 'GET', path)?.intent;
}

function file(path: string): Artifact {
  const intent = ask(path);
  if (intent?.kind !== 'artifact') throw new Error(`${path} is no artifact`);
  return intent;
}

function checksum(path: string): Checksum {
  const intent = ask(path);
  if (intent?.kind !== 'checksum') throw new Error(`${path} is no checksum`);
  return intent;
}

const textOf = (intent: Intent | undefined): string => Buffer.from(answered(intent)?.bytes ?? []).toString();

describe('a path', () => {
  it.each<[string, string, string, string | undefined, string, boolean]>([
    ['com/acme/lib/1.0/lib-1.0.jar', 'com.acme:lib', '1.0', undefined, 'jar', true],
    ['com/acme/lib/1.0/lib-1.0-sources.jar', 'com.acme:lib', '1.0', 'sources', 'jar', true],
    ['com/acme/lib/1.0/lib-1.0.tar.gz', 'com.acme:lib', '1.0', undefined, 'tar.gz', true],
    ['com/acme/lib/1.0/lib-1.0-bin.tar.gz.asc', 'com.acme:lib', '1.0', 'bin', 'tar.gz.asc', true],
    ['com/acme/lib/1.0/lib-1.0.pom.sigstore.json', 'com.acme:lib', '1.0', undefined, 'pom.sigstore.json', true],
    ['com/acme/lib/1.0/lib-1.0-linux-1.2.zip', 'com.acme:lib', '1.0', 'linux-1.2', 'zip', true],
    ['com/acme/lib/1.0+b~2/lib-1.0+b~2.jar', 'com.acme:lib', '1.0+b~2', undefined, 'jar', true],
    ['com/acme/a.b/1.0/a.b-1.0.module', 'com.acme:a.b', '1.0', undefined, 'module', true],
    ['junit/junit/4.13/junit-4.13.pom', 'junit:junit', '4.13', undefined, 'pom', true],
    ['org/x/lib_2.13/1/lib_2.13-1.jar', 'org.x:lib_2.13', '1', undefined, 'jar', true],
    ['org/x/id/id.gradle.plugin/1/id.gradle.plugin-1.pom', 'org.x.id:id.gradle.plugin', '1', undefined, 'pom', true],
    ['a/lib/1.0-SNAPSHOT/lib-1.0-SNAPSHOT.jar', 'a:lib', '1.0-SNAPSHOT', undefined, 'jar', false],
    ['a/lib/1.0-SNAPSHOT/lib-1.0-SNAPSHOT-sources.jar', 'a:lib', '1.0-SNAPSHOT', 'sources', 'jar', false],
    ['a/lib/1.0-SNAPSHOT/lib-1.0-20260102.030405-7.jar', 'a:lib', '1.0-SNAPSHOT', undefined, 'jar', true],
    ['a/lib/1.0-SNAPSHOT/lib-1.0-20260102.030405-7-x.war', 'a:lib', '1.0-SNAPSHOT', 'x', 'war', true],
    // sbt 1 writes the plugin's name with and without its cross versions; clients try both.
    ['a/plugin_2.12_1.0/0.1/plugin_2.12_1.0-0.1.jar', 'a:plugin_2.12_1.0', '0.1', undefined, 'jar', true],
    ['a/plugin_2.12_1.0/0.1/plugin-0.1.jar', 'a:plugin_2.12_1.0', '0.1', undefined, 'jar', true],
    [
      'a/plugin_2.12_1.0/0.1-SNAPSHOT/plugin-0.1-SNAPSHOT.jar',
      'a:plugin_2.12_1.0',
      '0.1-SNAPSHOT',
      undefined,
      'jar',
      false,
    ],
    ['org.x/mod/1.0/jars/mod.jar', 'org.x:mod', '1.0', undefined, 'jar', true],
    ['org.x/mod/1.0/ivys/ivy.xml', 'org.x:mod', '1.0', undefined, 'xml', true],
    ['org.x/mod/1.0-SNAPSHOT/ivys/ivy.xml', 'org.x:mod', '1.0-SNAPSHOT', undefined, 'xml', false],
    ['org.x/mod/1.0/ivy-1.0.xml', 'org.x:mod', '1.0', undefined, 'xml', true],
    ['org.x/mod/scala_2.12/sbt_1.0/0.1/srcs/mod-sources.jar', 'org.x:mod', '0.1', undefined, 'jar', true],
  ])('%s belongs to %s %s', (path, name, version, classifier, extension, isFixed) => {
    const place = readPlace(path);
    expect(place).toMatchObject({ name, isFixed, coordinates: { version, extension } });
    expect(place.coordinates?.classifier).toBe(classifier);
    expect(`${place.coordinates?.group}:${place.coordinates?.artifact}`).toBe(name);
    expect(file(`/${path.replaceAll('+', '%2B')}`)).toMatchObject({
      path,
      name,
      version,
      freshness: isFixed ? 'immutable' : 'revalidate',
    });
  });

  it.each<[string, string | undefined]>([
    ['archetype-catalog.xml', undefined],
    ['.index/nexus-maven-repository-index.gz', undefined],
    ['.index/a/b/c/d.gz', undefined],
    ['distributions/gradle-8.5-bin.zip', 'distributions'],
    ['com/google/group-index.xml', 'com:google'],
    ['com/acme/lib/1.0/other-1.0.jar', 'com.acme:lib'],
    ['com/acme/lib/1.0/lib-1.01.jar', 'com.acme:lib'],
    ['com/acme/lib/1.0-SNAPSHOT/lib-1.0-2026.jar', 'com.acme:lib'],
    ['com/acme/lib/1.0-SNAPSHOT/lib-1.0-20260102.030405-7x.jar', 'com.acme:lib'],
    ['org.x/mod/docs/index.html', 'org.x:mod'],
  ])('%s, which fits no layout or says not what it is, may change', (path, name) => {
    const place = readPlace(path);
    expect(place.coordinates).toBeUndefined();
    expect(place.name).toBe(name);
    expect(file(`/${path}`).freshness).toBe('revalidate');
  });

  it('keeps its letters, and its plus is no blank', () => {
    expect(file('/Com/Acme/Lib/1+1/Lib-1+1%2525.jar').path).toBe('Com/Acme/Lib/1+1/Lib-1+1%25.jar');
    expect(() => ask('/com/acme/../lib.jar')).toThrow(Problem);
  });

  it('tells which group it is of, since one upstream has all of a group', () => {
    const groups = [
      '/com/acme/lib/1/lib-1.pom',
      '/com/acme/other/2/other-2.jar',
      '/com/acme/lib/x/y.txt',
      '/org.x/m/1/jars/m.jar',
    ];
    expect(groups.map((path) => file(path).group)).toEqual(['com/acme', 'com/acme', 'com/acme', 'org.x']);
    expect(file('/archetype-catalog.xml').group).toBeUndefined();
  });

  it('that leads to metadata has the name of the artifact, and of a snapshot the version', () => {
    expect(readFolder('com/acme/lib')).toEqual({ name: 'com.acme:lib', otherNames: ['com.acme.lib:'] });
    expect(readFolder('com/acme/lib/1.0-SNAPSHOT')).toEqual({ name: 'com.acme:lib', version: '1.0-SNAPSHOT' });
    expect(readFolder('commons-io')).toEqual({ name: 'commons-io', otherNames: ['commons-io:'] });
    expect(readFolder('lib/1.0-SNAPSHOT')).toEqual({ name: 'lib:1.0-SNAPSHOT', otherNames: ['lib.1.0-SNAPSHOT:'] });
    expect(ask('/com/acme/lib/maven-metadata.xml')).toMatchObject({
      kind: 'document',
      path: 'com/acme/lib/maven-metadata.xml',
      name: 'com.acme:lib',
      otherNames: ['com.acme.lib:'],
    });
  });

  it.each<[string, readonly string[]]>([
    ['com/acme/lib/notes.txt', ['com:acme', 'com.acme:lib', 'com.acme.lib:']],
    ['com/acme/lib/1.0/other-1.0.jar', ['com:acme', 'com.acme:lib', 'com.acme.lib:1.0', 'com.acme.lib.1.0:']],
    ['com/acme/group-index.xml', ['com:acme', 'com.acme:']],
    ['com.acme/lib/notes.txt', ['com.acme:lib', 'com.acme.lib:']],
    ['distributions/gradle-8.5-bin.zip', ['distributions', 'distributions:']],
    ['com/acme/lib/1.0/lib-1.0.jar', ['com.acme:lib']],
    ['archetype-catalog.xml', []],
  ])('%s, by any group that it may be in, is one of %j', (path, names) => {
    const { name, otherNames = [] } = file(`/${path}`);
    expect([...(name === undefined ? [] : [name]), ...otherNames].sort()).toEqual([...names].sort());
  });
});

describe('a file', () => {
  it.each<[string, string, boolean]>([
    ['lib-1.jar', 'text/html', false],
    ['lib-1.jar', 'application/xhtml+xml', false],
    ['lib-1.jar', 'application/json', false],
    ['lib-1.jar', 'application/problem+json', false],
    ['lib-1.jar', 'text/plain', true],
    ['lib-1.jar', 'application/octet-stream', true],
    ['lib-1.jar', '', true],
    ['lib-1.pom', 'text/html', false],
    ['lib-1.pom', 'text/xml', true],
    ['lib-1.jar.asc', 'text/html', false],
    ['lib-1.jar.asc', 'text/plain', true],
    ['lib-1.module', 'text/html', false],
    ['lib-1.module', 'application/json', true],
    ['lib-1.klib', 'text/html', false],
    ['lib-1.klib', 'application/json', true],
    ['lib-1.html', 'text/html', true],
    ['lib-1.HTM', 'text/html', true],
  ])('%s as %j is taken: %s', (name, contentType, taken) => {
    expect(file(`/a/lib/1/${name}`).accepts?.(contentType) ?? true).toBe(taken);
  });

  it.each([
    ['lib-1.pom', 'application/xml'],
    ['lib-1.module', 'application/json'],
    ['lib-1.jar', 'application/java-archive'],
    ['lib-1.aar', 'application/java-archive'],
    ['lib-1.tar.gz', 'application/gzip'],
    ['lib-1.jar.asc', 'application/pgp-signature'],
    ['lib-1.constructor', undefined],
    ['lib-1.html', undefined],
  ])('%s is passed on as %s', (name, contentType) => {
    expect(file(`/a/lib/1/${name}`).contentType).toBe(contentType);
  });

  it('is neither decoded nor limited', () => {
    expect(Object.keys(file('/a/lib/1/lib-1.pom')).sort()).toEqual(
      ['accepts', 'checksums', 'contentType', 'freshness', 'group', 'kind', 'name', 'path', 'version'].sort(),
    );
  });
});

describe('the digests of a file', () => {
  const sha1 = 'a94a8fe5ccb19ba61c4c0873d391e987982fbbd3';
  const md5 = '098f6bcd4621d373cade4e832627b4f6';
  const sha256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
  const { checksums } = file('/a/lib/1/lib-1.jar');

  it('are looked for beside it', () => {
    expect(checksums?.files).toEqual([
      { path: 'a/lib/1/lib-1.jar.sha1', algorithm: 'sha1' },
      { path: 'a/lib/1/lib-1.jar.sha256', algorithm: 'sha256' },
      { path: 'a/lib/1/lib-1.jar.sha512', algorithm: 'sha512' },
      { path: 'a/lib/1/lib-1.jar.md5', algorithm: 'md5' },
    ]);
  });

  it('are not looked for where their files would have names that are too long', () => {
    const name = (length: number): string => `/a/${'x'.repeat(length)}`;
    expect(file(name(505)).checksums?.files).toHaveLength(4);
    expect(file(name(506)).checksums?.files).toEqual([]);
  });

  it.each(['asc', 'sigstore', 'sigstore.json'])('are not looked for beside a signature (.%s)', (extension) => {
    expect(file(`/a/lib/1/lib-1.jar.${extension}`).checksums).toBeUndefined();
  });

  it.each<[string, string, boolean]>([
    ['hexadecimal digits alone', sha1, true],
    ['an end of line', `${sha1}\r\n`, true],
    ['capital letters', sha1.toUpperCase(), true],
    ['a file name behind', `${sha1}  lib-1.jar\n`, true],
    ['a binary file name behind', `${sha1} *lib-1.jar\n`, true],
    ['a file name in front', `lib-1.jar: ${sha1}\n`, true],
    ['what openssl prints', `SHA1(lib-1.jar)= ${sha1}\n`, true],
    ['a byte order mark', `\uFEFF${sha1}`, true],
    ['a digest of another length', md5, false],
    ['nothing', '', false],
    ['words', 'not found', false],
    ['a page', `<!doctype html><p>${sha1} `, false],
    ['a message', `{ "error": " ${sha1} " }`, false],
    ['a digit too many', `${sha1}0`, false],
  ])('are read from a file with %s: %s', (_name, text, isOne) => {
    expect(checksums?.read(Buffer.from(text), 'sha1')).toBe(isOne ? `sha1:${sha1}` : undefined);
  });

  it('are not looked for in a long file', () => {
    expect(checksums?.read(Buffer.from(`${sha1}${' '.repeat(5000)}`), 'sha1')).toBeUndefined();
  });

  it.each<[string, Readonly<Record<string, string>>, readonly Digest[]]>([
    [
      'X-Checksum',
      { 'x-checksum-sha1': sha1, 'x-checksum-md5': md5, 'x-checksum-sha256': sha256 },
      [`sha1:${sha1}`, `sha256:${sha256}`, `md5:${md5}`],
    ],
    ['Google', { 'x-goog-meta-checksum-sha1': sha1.toUpperCase() }, [`sha1:${sha1}`]],
    ['Amazon', { 'x-amz-meta-checksum-md5': md5 }, [`md5:${md5}`]],
    ['an ETag', { etag: `"{SHA1{${sha1}}}"` }, [`sha1:${sha1}`]],
    ['an ETag and a header that agree', { etag: `"{SHA1{${sha1}}}"`, 'x-checksum-sha1': sha1 }, [`sha1:${sha1}`]],
    ['an ETag that means something else', { etag: `"${sha1}"` }, []],
    ['something else', { 'x-checksum-sha1': 'unknown', 'x-checksum-crc32': '0' }, []],
  ])('are taken from headers: %s', (_name, headers, digests) => {
    expect(checksums?.fromHeaders?.(headers)).toEqual(digests);
  });

  it('are told in the headers that Maven, Gradle and coursier read', () => {
    const facts = { size: 4, contentType: 'x/y' };
    expect(
      format.artifactHeaders?.(file('/a'), { ...facts, digests: [`sha256:${sha256}`, `sha1:${sha1}`, `md5:${md5}`] }),
    ).toEqual({
      'x-checksum-sha256': sha256,
      'x-checksum-sha1': sha1,
      'x-checksum-md5': md5,
      etag: `"{SHA1{${sha1}}}"`,
    });
    expect(format.artifactHeaders?.(file('/a'), { ...facts, digests: [`md5:${md5}`] })).toEqual({
      'x-checksum-md5': md5,
    });
    expect(format.artifactHeaders?.(file('/a'), { ...facts, digests: [] })).toEqual({});
    expect([...format.digests].sort()).toEqual(['md5', 'sha1', 'sha512']);
  });
});

describe('a checksum file', () => {
  it.each(['sha1', 'sha256', 'sha512', 'md5'] as const)('.%s tells the digest of its file', (algorithm) => {
    const found = checksum(`/a/lib/1/lib-1.jar.${algorithm}`);
    expect(found.algorithm).toBe(algorithm);
    expect(found.of).toEqual(file('/a/lib/1/lib-1.jar'));
  });

  it('of metadata is of the very document that is answered', () => {
    const found = checksum('/a/lib/maven-metadata.xml.sha1');
    expect(found.of).toEqual(ask('/a/lib/maven-metadata.xml'));
  });

  it('of a signature is passed on although nobody checks signatures by it', () => {
    const found = checksum('/a/lib/1/lib-1.jar.asc.sha1');
    expect(found.of).toMatchObject({ kind: 'artifact', path: 'a/lib/1/lib-1.jar.asc' });
    expect((found.of as Artifact).checksums?.files[0]?.path).toBe('a/lib/1/lib-1.jar.asc.sha1');
  });

  it('of a checksum file is not there', () => {
    expect(answered(ask('/a/lib/1/lib-1.jar.sha1.md5'))?.status).toBe(404);
  });
});

describe('what is never in a repository', () => {
  it.each(['/', '/com/', '/com/acme/lib/'])('the folder %s: listings are not passed on', (path) => {
    expect(answered(ask(path))?.status).toBe(404);
    expect(textOf(ask(path))).toContain('folder');
  });

  it.each(['/.meta/prefixes.txt', '/.meta/prefixes.txt.sha1', '/.meta/prefixes.txt.asc'])(
    '%s: Maven 4 would ask for nothing that is not in it',
    (path) => {
      expect(answered(ask(path))?.status).toBe(404);
      expect(textOf(ask(path))).toContain('list of what it holds');
    },
  );

  it.each([
    '/com/acme/lib/maven-metadata-central.xml',
    '/com/acme/lib/maven-metadata-central.xml.sha1',
    '/com/acme/lib/resolver-status.properties',
    '/com/acme/lib/1.0/_remote.repositories',
    '/com/acme/lib/1.0/_maven.repositories',
    '/com/acme/lib/1.0/lib-1.0.jar.lastUpdated',
    '/com/acme/lib/1.0/m2e-lastUpdated.properties',
  ])('%s: clients keep it for themselves', (path) => {
    expect(answered(ask(path))?.status).toBe(404);
    expect(textOf(ask(path))).toContain('for themselves');
  });

  it('but an artifact may have a name like that', () => {
    expect(file('/com/acme/maven-metadata-x/1/maven-metadata-x-1.xml').name).toBe('com.acme:maven-metadata-x');
  });
});

it('explains itself to clients that print problem details, and to people', () => {
  const body = format.problem(new Problem('refused', 'Not "today".'));
  expect(body.status).toBe(403);
  expect(body.headers).toEqual({ 'content-type': 'application/problem+json' });
  expect(JSON.parse(Buffer.from(body.bytes).toString())).toEqual({
    title: 'Refused',
    status: 403,
    detail: 'Not "today".',
    code: 'refused',
  });
});

it('has one realm for ever: sbt and coursier compare it', () => {
  const facts = { base: 'https://a', tokenUrl: 'https://a/token' };
  expect(format.auth.challenge({ ...facts, action: 'read' })).toBe('Basic realm="Larder"');
  expect(format.auth.challenge({ ...facts, action: 'publish', name: 'a:b', rejected: true })).toBe(
    'Basic realm="Larder"',
  );
});

describe('metadata', () => {
  const path = 'com/acme/lib/maven-metadata.xml';
  const origin = { url: `${upstream}/${path}`, path, headers: {} };
  type Metadata = ReturnType<typeof metadata.decode>;
  const read = (bytes: Uint8Array): Metadata => metadata.decode(bytes, origin);
  const write = (doc: Metadata): string => Buffer.from(metadata.encode(doc, '', '')?.bytes ?? []).toString();
  const merged = (...documents: Uint8Array[]): Metadata =>
    metadata.merge?.(documents.map(read), path) ?? read(Buffer.alloc(0));
  /** As the next one reads it. */
  const seen = (doc: Metadata): Omit<Metadata, 'raw'> => {
    const { raw: _, ...rest } = read(Buffer.from(write(doc)));
    return rest;
  };
  const without = (doc: Metadata, ...versions: string[]): Metadata =>
    metadata.withhold?.(doc, (version) => (versions.includes(version) ? { rule: 'r', reason: 'x' } : undefined)) ?? doc;

  it('of a single source passes byte for byte, with whatever else is in it', () => {
    const bytes = Buffer.from(
      '<?xml version="1.0" encoding="ISO-8859-1"?>\r\n<metadata><x>\u00fc</x><versioning><versions><version>2</version><version>1</version></versions></versioning></metadata>',
      'latin1',
    );
    expect(Buffer.from(metadata.encode(read(bytes), '', '')?.bytes ?? []).equals(bytes)).toBe(true);
    expect(Buffer.from(metadata.encode(merged(bytes, Buffer.from(bytes)), '', '')?.bytes ?? []).equals(bytes)).toBe(
      true,
    );
  });

  it('of several has all versions in their order, and the highest of them as latest and release', () => {
    const doc = seen(
      merged(
        artifactXml({ versions: ['1.0', '1.10', '3.0-SNAPSHOT'], release: '1.10', lastUpdated: '20250101000000' }),
        artifactXml({ versions: ['1.9', '1.0', '2.0-rc1'], lastUpdated: '20260101000000' }),
        artifactXml({ versions: ['1.2'], lastUpdated: '20240101000000' }),
      ),
    );
    expect(doc).toEqual({
      groupId: 'com.acme',
      artifactId: 'lib',
      latest: '3.0-SNAPSHOT',
      release: '2.0-rc1',
      versions: ['1.0', '1.2', '1.9', '1.10', '2.0-rc1', '3.0-SNAPSHOT'],
      lastUpdated: '20260101000000',
    });
  });

  it('of several is the same bytes every time, and from what is merged already', () => {
    const [a, b] = [artifactXml({ versions: ['1', '2'] }), artifactXml({ versions: ['3'] })];
    const once = write(merged(a, b));
    expect(write(merged(a, b))).toBe(once);
    expect(write(merged(Buffer.from(once), b))).toBe(once);
    expect(once).toBe(artifactXml({ versions: ['1', '2', '3'] }).toString());
  });

  it('of several that only tell their tags keeps those of the first', () => {
    const tags = (latest: string): Buffer =>
      Buffer.from(`<metadata><versioning><latest>${latest}</latest></versioning></metadata>`);
    expect(seen(merged(tags('1'), tags('2')))).toEqual({ latest: '1' });
  });

  it('of a snapshot has the newest build of each file', () => {
    const older = { timestamp: '20260101.000000', number: 9, files: [['jar'], ['jar', 'sources'], ['pom']] } as const;
    const newer = { timestamp: '20260102.000000', number: 2, files: [['jar'], ['pom']] } as const;
    for (const documents of [
      [older, newer],
      [newer, older],
    ]) {
      const doc = seen(merged(...documents.map(snapshotXml)));
      expect(doc.snapshot).toEqual({ timestamp: '20260102.000000', buildNumber: '2' });
      expect(doc.lastUpdated).toBe('20260102000000');
      expect(doc.version).toBe('1.0-SNAPSHOT');
      expect(doc.modelVersion).toBe('1.1.0');
      expect(doc.snapshotVersions).toHaveLength(3);
      expect(doc.snapshotVersions).toEqual(
        expect.arrayContaining([
          { extension: 'jar', value: '1.0-20260102.000000-2', updated: '20260102000000' },
          { extension: 'pom', value: '1.0-20260102.000000-2', updated: '20260102000000' },
          { classifier: 'sources', extension: 'jar', value: '1.0-20260101.000000-9', updated: '20260101000000' },
        ]),
      );
    }
  });

  it('of builds of the same second has the one with the higher number', () => {
    const build = (number: number): Buffer => snapshotXml({ timestamp: '20260101.000000', number, files: [['jar']] });
    const doc = seen(merged(build(9), build(10)));
    expect(doc.snapshot?.buildNumber).toBe('10');
    expect(doc.snapshotVersions?.[0]?.value).toBe('1.0-20260101.000000-10');
  });

  it('of a group has the plugins of all, and of those with the same prefix the first', () => {
    const doc = seen(
      merged(
        groupXml([
          ['a', 'a-maven-plugin'],
          ['b', 'b-maven-plugin'],
        ]),
        groupXml([
          ['b', 'other'],
          ['c', 'c-maven-plugin'],
        ]),
      ),
    );
    expect(doc.plugins).toEqual([
      { name: 'The a plugin', prefix: 'a', artifactId: 'a-maven-plugin' },
      { name: 'The b plugin', prefix: 'b', artifactId: 'b-maven-plugin' },
      { name: 'The c plugin', prefix: 'c', artifactId: 'c-maven-plugin' },
    ]);
    expect(doc.versions).toBeUndefined();
  });

  it('may be of an artifact and of a group at once', () => {
    const doc = seen(merged(artifactXml({ versions: ['1'] }), groupXml([['a', 'a-maven-plugin']])));
    expect(doc.versions).toEqual(['1']);
    expect(doc.plugins).toHaveLength(1);
  });

  it('escapes what it writes', () => {
    const odd = Buffer.from('<metadata><groupId>a&lt;b&amp;c</groupId></metadata>');
    expect(seen(merged(odd, groupXml([])))).toEqual({ groupId: 'a<b&c', plugins: [] });
  });

  it('from which versions were taken moves the tags that were on them, and no others', () => {
    const doc = read(
      artifactXml({ versions: ['1.0', '1.1', '2.0', '2.1-SNAPSHOT'], latest: '2.1-SNAPSHOT', release: '1.1' }),
    );
    expect(seen(without(doc, '2.0'))).toMatchObject({
      versions: ['1.0', '1.1', '2.1-SNAPSHOT'],
      latest: '2.1-SNAPSHOT',
      release: '1.1',
    });
    expect(seen(without(doc, '1.1', '2.1-SNAPSHOT'))).toMatchObject({
      versions: ['1.0', '2.0'],
      latest: '2.0',
      release: '2.0',
    });
    const none = seen(without(doc, '1.0', '1.1', '2.0'));
    expect([none.latest, none.release]).toEqual(['2.1-SNAPSHOT', undefined]);
    expect(write(without(doc, '9'))).toBe(write(doc));
  });

  it('has for policy every version it names, those in its tags included', () => {
    const doc = read(artifactXml({ versions: ['1.0', '2.0', '../3.0', 'a/b'], latest: '4.0', release: '2.0' }));
    expect([...(metadata.links?.(doc, origin) ?? [])]).toEqual([
      { path: 'com/acme/lib/1.0/lib-1.0.pom', version: '1.0' },
      { path: 'com/acme/lib/2.0/lib-2.0.pom', version: '2.0' },
      { path: 'com/acme/lib/4.0/lib-4.0.pom', version: '4.0' },
    ]);
    expect(seen(without(doc, '4.0')).latest).not.toBe('4.0');
  });

  it('that is longer than anybody needs is refused', () => {
    expect(() => read(Buffer.alloc(17 * 1024 * 1024, 0x20))).toThrow('longer');
  });
});

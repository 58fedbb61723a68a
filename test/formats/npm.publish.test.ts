import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../src/core/format.ts';
import { Problem } from '../../src/core/problem.ts';
import { format } from '../../src/formats/npm/index.ts';
import { packument } from '../../src/formats/npm/packument.ts';
import { readPublishBody } from '../../src/formats/npm/publish-body.ts';
import {
  alice,
  ask,
  type FakeView,
  fakeView,
  type HostedRequest,
  type Performed,
  stagedFile,
} from '../support/hosted-view.ts';
import { tarball } from '../support/tarball.ts';
import {
  bundleFor,
  integrityOfBytes,
  type NewPackage,
  packageOf,
  publishDocument,
  publishRequest,
} from './npm.publish.samples.ts';

type Json = Record<string, unknown>;
interface Packument extends Json {
  readonly _rev: string;
  readonly versions: Record<string, Json & { readonly dist: Json }>;
  readonly 'dist-tags': Record<string, string>;
  readonly time: Record<string, string>;
  readonly maintainers: readonly Json[];
}

const bob: Identity = { kind: 'user', name: 'bob', org: 'acme', presented: true };
const robot: Identity = { kind: 'service', name: 'robot', org: 'acme', presented: true };

function textOf({ body }: Performed): string {
  return Buffer.from(body.bytes).toString();
}

async function read<T = Packument>(view: FakeView, path: string, accept = 'application/json'): Promise<T> {
  return JSON.parse(textOf(await ask(format, view, { path, headers: { accept } }))) as T;
}

async function publish(view: FakeView, wanted: NewPackage, by: Identity = alice): Promise<Performed> {
  return ask(format, view, { ...publishRequest(wanted), by });
}

async function viewWith(...packages: readonly NewPackage[]): Promise<FakeView> {
  const view = fakeView();
  for (const one of packages) await publish(view, one);
  return view;
}

async function problem(asked: Promise<unknown>): Promise<Problem> {
  const error = await asked.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof Problem) return error;
  throw error ?? new Error('it was taken');
}

const lib: NewPackage = { name: 'lib', version: '1.0.0' };
const scoped: NewPackage = { name: '@acme/lib', version: '1.0.0' };

describe('the body of a publish', () => {
  const data = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));

  async function* pieces(text: string | Buffer, size: number): AsyncGenerator<Uint8Array> {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }

  async function scan(text: string, size = 64, limit?: number): Promise<{ json: unknown; found: [string, Buffer][] }> {
    const found: [string, Buffer][] = [];
    const json = await readPublishBody(
      pieces(text, size),
      async (key, bytes) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of bytes) chunks.push(Buffer.from(chunk));
        found.push([key, Buffer.concat(chunks)]);
      },
      limit,
    );
    return { json, found };
  }

  const attachment = (key: string, text = data.toString('base64')): string =>
    `"_attachments":{${JSON.stringify(key)}:{"content_type":"a","data":"${text}","length":1000}}`;

  it.each([1, 2, 3, 5, 64, 100_000])('comes apart in pieces of %d bytes', async (size) => {
    for (const text of [
      `{"name":"a\\"b\\\\",${attachment('@a/b-1.0.0.tgz')},"x":[1,{"data":"y"}]}`,
      ` { "x" : [ 1, { "data" : "y" } ] , ${attachment('@a/b-1.0.0.tgz')} , "name" : "a\\"b\\\\" } `,
    ]) {
      const { json, found } = await scan(text, size);
      expect(found).toEqual([['@a/b-1.0.0.tgz', data]]);
      expect(json).toEqual({
        name: 'a"b\\',
        x: [1, { data: 'y' }],
        _attachments: { '@a/b-1.0.0.tgz': { content_type: 'a', data: '', length: 1000 } },
      });
    }
  });

  it.each([
    ['slashes escaped', data.toString('base64').replaceAll('/', '\\/')],
    ['letters escaped', data.toString('base64').replaceAll('+', '\\u002B').replaceAll('/', '\\u002f')],
    ['lines', data.toString('base64').replace(/.{76}/g, '$&\\r\\n')],
    ['no padding', data.toString('base64').replace(/=+$/, '')],
  ])('is read with %s', async (_name, text) => {
    for (const size of [1, 7, 64])
      expect((await scan(`{${attachment('a.tgz', text)}}`, size)).found[0]?.[1]).toEqual(data);
  });

  it.each([
    ['letters that are none', '####'],
    ['padding in between', 'AA==AAAA'],
    ['padding in between, far apart', `AA==${'AAAA'.repeat(100)}`],
    ['too little', 'AAAAA'],
    ['half an escape', 'AAAA\\u00'],
    ['letters of addresses', 'AA-_'],
    ['an escaped quote', 'AAAA\\"AAAA'],
  ])('with %s in its package is refused', async (_name, text) => {
    for (const size of [1, 7, 64]) {
      expect(await problem(scan(`{${attachment('a.tgz', text)}}`, size))).toMatchObject({ code: 'bad_request' });
    }
  });

  it.each([
    ['nothing', ''],
    ['a list', '[]'],
    ['a text', '"x"'],
    ['half of it', `{${attachment('a.tgz')}}`.slice(0, 700)],
    ['all but the end', `{${attachment('a.tgz')}`],
    ['two of them', '{}{}'],
    ['what is no JSON', '{"a":}'],
    ['a broken name', '{"a\\x":1}'],
    ['a tower', '['.repeat(10_000)],
  ])('is not %s', async (_name, text) => {
    expect(await problem(scan(text))).toMatchObject({ code: 'bad_request' });
  });

  it('keeps only what may be kept', async () => {
    const text = `{${attachment('a.tgz', 'A'.repeat(4000))}}`;
    expect((await scan(text, 64, 200)).found[0]?.[1]).toHaveLength(3000);
    expect(await problem(scan(`{"x":"${'x'.repeat(4000)}"}`, 64, 200))).toMatchObject({ code: 'too_large' });
  });

  it('leaves everything alone that is no package', async () => {
    const { json, found } = await scan(
      `{"_attachments":{"a.sigstore":{"data":"{}"},"b":{"data":"x"}},"x":{"c.tgz":{"data":"AAAA"}},"data":"AAAA"}`,
    );
    expect(found).toEqual([]);
    expect(json).toMatchObject({ x: { 'c.tgz': { data: 'AAAA' } }, data: 'AAAA' });
  });
});

describe('publishing', () => {
  it('makes the document that a registry would make', async () => {
    const view = await viewWith({
      ...lib,
      manifest: {
        description: 'A library',
        keywords: ['one'],
        license: 'MIT',
        homepage: 'https://example.com',
        dependencies: { other: '^1.0.0' },
      },
      told: { readme: '# lib', readmeFilename: 'README.md', gitHead: 'abc' },
    });
    const bytes = view.bytes('lib/-/lib-1.0.0.tgz');
    const document = await read(view, '/lib');
    expect(document).toMatchObject({
      _id: 'lib',
      _rev: 'r1',
      name: 'lib',
      'dist-tags': { latest: '1.0.0' },
      time: {
        created: '2026-03-04T05:06:07.000Z',
        modified: '2026-03-04T05:06:07.000Z',
        '1.0.0': '2026-03-04T05:06:07.000Z',
      },
      maintainers: [{ name: 'alice', email: '' }],
      description: 'A library',
      keywords: ['one'],
      license: 'MIT',
      readme: '# lib',
      readmeFilename: 'README.md',
    });
    expect(document.versions['1.0.0']).toMatchObject({
      name: 'lib',
      version: '1.0.0',
      _id: 'lib@1.0.0',
      _npmUser: { name: 'alice' },
      gitHead: 'abc',
      dependencies: { other: '^1.0.0' },
      dist: {
        tarball: 'http://127.0.0.1:5273/acme/repo/lib/-/lib-1.0.0.tgz',
        integrity: integrityOfBytes(bytes ?? Buffer.alloc(0)),
        shasum: createHash('sha1')
          .update(bytes ?? '')
          .digest('hex'),
        fileCount: 2,
        unpackedSize: expect.any(Number),
      },
    });
    expect(document.versions['1.0.0']).not.toHaveProperty('readme');
  });

  it('believes dependencies only of the package itself', async () => {
    const view = await viewWith({
      ...lib,
      manifest: { dependencies: { real: '1' }, scripts: { install: 'x' }, os: ['linux'] },
      told: {
        dependencies: { planted: '1' },
        optionalDependencies: { planted: '1' },
        scripts: {},
        os: [],
        hasInstallScript: false,
      },
    });
    const version = (await read(view, '/lib')).versions['1.0.0'];
    expect(version).toMatchObject({ dependencies: { real: '1' }, os: ['linux'], hasInstallScript: true });
    expect(version).not.toHaveProperty('optionalDependencies');
  });

  it.each([
    ['a build file', { 'binding.gyp': '{}' }, {}, { hasInstallScript: true, _hasShrinkwrap: false }],
    ['a lockfile', { 'npm-shrinkwrap.json': '{}' }, {}, { _hasShrinkwrap: true }],
    ['a build file that is none', { 'binding.gyp': '{}' }, { gypfile: false }, { _hasShrinkwrap: false }],
  ])('tells of %s in the package', async (_name, files, manifest, expected) => {
    const view = await viewWith({ ...lib, files, manifest });
    const version = (await read(view, '/lib', 'application/vnd.npm.install-v1+json')).versions['1.0.0'];
    expect(version).toMatchObject(expected);
    if (!('hasInstallScript' in expected)) expect(version).not.toHaveProperty('hasInstallScript');
  });

  it('says where the package comes from', async () => {
    const view = fakeView();
    const repository = { type: 'git', url: 'git+https://git.example.com/acme/lib.git' };
    const { change } = await publish(view, { ...lib, manifest: { repository } });
    expect(change?.records?.[0]?.source).toBe('https://git.example.com/acme/lib.git');
  });

  it.each([
    ['another name inside', { ...lib, tarball: packageOf({ name: 'other', version: '1.0.0' }) }, 'invalid_package'],
    ['another version inside', { ...lib, tarball: packageOf({ name: 'lib', version: '1.0.1' }) }, 'invalid_package'],
    ['another name in the body', { ...lib, document: { name: 'other' } }, 'bad_request'],
    ['another digest', { ...lib, dist: { integrity: integrityOfBytes(Buffer.from('x')) } }, 'digest_mismatch'],
    ['another old digest', { ...lib, dist: { shasum: '0'.repeat(40) } }, 'digest_mismatch'],
    ['no package', { ...lib, tarball: Buffer.from('x') }, 'invalid_package'],
    ['half a package', { ...lib, tarball: packageOf(lib).subarray(0, 100) }, 'invalid_package'],
    ['no package.json', { ...lib, tarball: tarball({ 'index.js': '' }) }, 'invalid_package'],
    [
      'a package.json further down',
      { ...lib, tarball: tarball({ 'a/package.json': '{"name":"lib","version":"1.0.0"}' }) },
      'invalid_package',
    ],
    ['a package.json that is none', { ...lib, tarball: tarball({ 'package.json': '[]' }) }, 'invalid_package'],
    [
      'a package.json as deep as a stack',
      {
        ...lib,
        tarball: tarball({
          'package.json': `{"name":"lib","version":"1.0.0","dependencies":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
        }),
      },
      'invalid_package',
    ],
    ['a tag that reads as a version', { ...lib, tags: { '1.0': '1.0.0' } }, 'bad_request'],
    ['a tag that reads as a range', { ...lib, tags: { '^1.x': '1.0.0' } }, 'bad_request'],
    ['upper case in its name', { name: 'Lib', version: '1.0.0' }, 'invalid_package'],
    ['a version that is none', { name: 'lib', version: '1.0' }, 'invalid_package'],
    ['a version with zeros nobody can read', { name: 'lib', version: '1.0.0.0' }, 'invalid_package'],
    ['no versions', { ...lib, document: { versions: {} } }, 'invalid_package'],
    ['two packages', { ...lib, attachments: { 'b.tgz': { data: 'AAAA' } } }, 'bad_request'],
    [
      'another length',
      { ...lib, attachments: { 'lib-1.0.0.tgz': { data: packageOf(lib).toString('base64'), length: 3 } } },
      'bad_request',
    ],
    [
      'an attestation that is none',
      { ...lib, attachments: { 'lib-1.0.0.sigstore': { data: '{}' } } },
      'invalid_package',
    ],
    [
      'an attestation of something else',
      { ...lib, attachments: { 'x.sigstore': { data: bundleFor('lib', '1.0.1', packageOf(lib)) } } },
      'invalid_package',
    ],
    [
      'an attestation of other bytes',
      { ...lib, attachments: { 'x.sigstore': { data: bundleFor('lib', '1.0.0', Buffer.alloc(1)) } } },
      'invalid_package',
    ],
  ] as [string, NewPackage, string][])('is refused with %s', async (_name, wanted, code) => {
    const view = fakeView();
    expect(await problem(publish(view, wanted))).toMatchObject({ code });
    expect([...view.names()]).toEqual([]);
  });

  it('is refused where two package.json could each be the one', async () => {
    const twice = {
      'package.json': '{"name":"lib","version":"1.0.0"}',
      './package.json': '{"name":"lib","version":"1.0.0"}',
    };
    const view = fakeView();
    expect(await problem(publish(view, { ...lib, tarball: tarball(twice) }))).toMatchObject({
      code: 'invalid_package',
    });
  });

  it('is refused over a version that is there, whatever build it says', async () => {
    const view = await viewWith(lib);
    for (const wanted of [lib, { ...lib, version: '1.0.0+build' }]) {
      const error = await problem(publish(view, wanted));
      expect(error).toMatchObject({ code: 'conflict' });
      expect(error.message).toContain('You cannot publish over the previously published versions');
    }
  });

  it('replaces a version where the repository lets it', async () => {
    const view = fakeView({ overwrites: true });
    await publish(view, lib);
    await publish(view, { ...lib, files: { 'more.js': '' } });
    const { versions, time } = await read(view, '/lib');
    expect(versions['1.0.0']?.dist.fileCount).toBe(3);
    expect(time['1.0.0']).toBe('2026-03-04T05:06:07.000Z');
  });

  it('takes the whole document again with a new version, as npm sends it after a conflict', async () => {
    const view = await viewWith(lib);
    const before = await read(view, '/lib');
    const next = publishDocument({ ...lib, version: '1.1.0' });
    const versions = { ...before.versions, ...(next.versions as Json) };
    await ask(format, view, { path: '/lib', body: JSON.stringify({ ...before, ...next, versions }) });
    expect(Object.keys((await read(view, '/lib')).versions)).toEqual(['1.0.0', '1.1.0']);
  });

  it('keeps latest where it is, unless it is moved, and always has one', async () => {
    const view = await viewWith({ ...lib, version: '1.0.0-beta.1', tags: { beta: '1.0.0-beta.1' } });
    expect((await read(view, '/lib'))['dist-tags']).toEqual({ latest: '1.0.0-beta.1', beta: '1.0.0-beta.1' });
    await publish(view, { ...lib, version: '1.0.0' });
    await publish(view, { ...lib, version: '2.0.0-beta.1', tags: { beta: '2.0.0-beta.1' } });
    await publish(view, { ...lib, version: '0.9.1', tags: { 'release-0': '0.9.1' } });
    expect((await read(view, '/lib'))['dist-tags']).toEqual({
      latest: '1.0.0',
      beta: '2.0.0-beta.1',
      'release-0': '0.9.1',
    });
  });

  it('keeps what came with the package and tells of it', async () => {
    const data = bundleFor('@acme/lib', '1.0.0', packageOf(scoped));
    const view = await viewWith({
      ...scoped,
      attachments: { '@acme/lib-1.0.0.sigstore': { content_type: 'x', data } },
    });
    const { versions } = await read(view, '/@acme%2flib');
    expect(versions['1.0.0']?.dist.attestations).toEqual({
      url: 'http://127.0.0.1:5273/acme/repo/-/npm/v1/attestations/@acme%2flib@1.0.0',
      provenance: { predicateType: 'https://slsa.dev/provenance/v1' },
    });
    expect(await read<Json>(view, '/-/npm/v1/attestations/@acme%2flib@1.0.0')).toEqual({
      attestations: [{ predicateType: 'https://slsa.dev/provenance/v1', bundle: JSON.parse(data) }],
    });
  });
});

describe('a published version', () => {
  const three = ['1.0.0', '1.1.0', '2.0.0-rc.1'].map((version) => ({
    ...lib,
    version,
    tags: version.includes('rc') ? { next: version } : { latest: version },
  }));

  async function change(
    view: FakeView,
    edit: (document: Packument) => unknown,
    path: (rev: string) => string,
    by = alice,
  ): Promise<Performed> {
    const document = await read(view, '/lib?write=true');
    return ask(format, view, { path: path(document._rev), body: JSON.stringify(edit(document)), by });
  }

  const deprecate =
    (text: string, version = '1.0.0') =>
    (document: Packument) => ({
      ...document,
      versions: { ...document.versions, [version]: { ...document.versions[version], deprecated: text } },
    });
  const without = (version: string) => (document: Packument) => {
    const { [version]: _gone, ...versions } = document.versions;
    const tags = Object.fromEntries(Object.entries(document['dist-tags']).filter(([, target]) => target !== version));
    return { ...document, versions, 'dist-tags': tags };
  };

  it('is deprecated and taken back', async () => {
    const view = await viewWith(...three);
    const { needed } = await change(view, deprecate('Use 2.'), () => '/lib');
    expect(needed).toEqual(['publish']);
    for (const accept of ['application/json', 'application/vnd.npm.install-v1+json']) {
      const { versions } = await read(view, '/lib', accept);
      expect(versions['1.0.0']?.deprecated).toBe('Use 2.');
      expect(versions['1.1.0']).not.toHaveProperty('deprecated');
    }
    await change(view, deprecate(''), () => '/lib');
    expect((await read(view, '/lib')).versions['1.0.0']).not.toHaveProperty('deprecated');
  });

  it('is changed only from the state that was read', async () => {
    const view = await viewWith(...three);
    const old = await read(view, '/lib?write=true');
    await change(view, deprecate('Use 2.'), () => '/lib');
    expect((await read(view, '/lib'))._rev).not.toBe(old._rev);
    for (const path of ['/lib', `/lib/-rev/${old._rev}`]) {
      const body = JSON.stringify(deprecate('Use 3.')(old));
      expect(await problem(ask(format, view, { path, body }))).toMatchObject({ code: 'conflict' });
    }
    const removal: HostedRequest = { method: 'DELETE', path: `/lib/-rev/${old._rev}` };
    expect(await problem(ask(format, view, removal))).toMatchObject({ code: 'conflict' });
    expect(Object.keys((await read(view, '/lib')).versions)).toHaveLength(3);
  });

  it('is taken away, and its tags find another', async () => {
    const view = await viewWith(...three);
    const { needed } = await change(view, without('1.1.0'), (rev) => `/lib/-rev/${rev}`);
    expect(needed).toEqual(['publish', 'delete']);
    const { versions, 'dist-tags': tags, time, _rev } = await read(view, '/lib');
    expect(Object.keys(versions)).toEqual(['1.0.0', '2.0.0-rc.1']);
    expect(tags).toEqual({ latest: '1.0.0', next: '2.0.0-rc.1' });
    expect(time).not.toHaveProperty(['1.1.0']);
    const path = '/lib/-/lib-1.1.0.tgz';
    expect(await problem(ask(format, view, { path }))).toMatchObject({ code: 'not_found' });
    await ask(format, view, { method: 'DELETE', path: `${path}/-rev/${_rev}` });
    expect(Object.keys((await read(view, '/lib')).versions)).toHaveLength(2);
  });

  it('is not taken away by a document that only lacks it', async () => {
    const view = await viewWith(...three);
    await change(view, without('1.1.0'), () => '/lib');
    expect(Object.keys((await read(view, '/lib')).versions)).toHaveLength(3);
  });

  it('takes its tags along where nothing fits', async () => {
    const view = await viewWith(...three);
    await change(view, without('2.0.0-rc.1'), (rev) => `/lib/-rev/${rev}`);
    expect((await read(view, '/lib'))['dist-tags']).toEqual({ latest: '1.1.0' });
  });

  it('comes back with the same bytes only', async () => {
    const view = await viewWith(...three);
    await change(view, without('1.0.0'), (rev) => `/lib/-rev/${rev}`);
    expect(await problem(publish(view, { ...lib, files: { 'x.js': '' } }))).toMatchObject({ code: 'conflict' });
    await publish(view, lib);
    expect((await read(view, '/lib')).versions).toHaveProperty(['1.0.0']);
  });

  it('goes with all the others', async () => {
    const view = await viewWith(...three);
    const { _rev } = await read(view, '/lib');
    const { needed } = await ask(format, view, { method: 'DELETE', path: `/lib/-rev/${_rev}` });
    expect(needed).toEqual(['delete']);
    expect(await problem(read(view, '/lib'))).toMatchObject({ code: 'not_found' });
  });

  it('of somebody else is left alone by a document of several registries', async () => {
    const view = await viewWith(...three);
    const foreign = (document: Packument) => ({
      ...document,
      'dist-tags': { latest: '9.0.0' },
      versions: { ...document.versions, '9.0.0': { name: 'lib', version: '9.0.0', deprecated: 'x' } },
    });
    await change(view, foreign, (rev) => `/lib/-rev/${rev}`);
    expect(await read(view, '/lib')).toMatchObject({ 'dist-tags': { latest: '1.1.0' } });
  });

  it('is not changed where nothing of it is hosted', async () => {
    const view = fakeView();
    const body = JSON.stringify({ name: 'lib', versions: {} });
    for (const request of [
      { path: '/lib', body },
      { path: '/lib/-rev/r1', body },
      { method: 'DELETE', path: '/lib/-rev/r1' },
      { path: '/-/package/lib/dist-tags/stable', body: '"1.0.0"' },
      { method: 'POST', path: '/-/package/lib/access', body: '{"access":"public"}' },
    ]) {
      expect(await problem(ask(format, view, request))).toMatchObject({ code: 'not_found' });
    }
  });
});

describe('dist-tags', () => {
  const tag = (name: string, version: unknown): HostedRequest => ({
    path: `/-/package/lib/dist-tags/${name}`,
    body: JSON.stringify(version),
  });

  it('are added, moved and removed', async () => {
    const view = await viewWith(lib, { ...lib, version: '2.0.0' });
    await ask(format, view, tag('old', '1.0.0'));
    await ask(format, view, tag('latest', '1.0.0'));
    expect(await read<Json>(view, '/-/package/lib/dist-tags')).toEqual({ latest: '1.0.0', old: '1.0.0' });
    expect((await read<Json>(view, '/lib/old')).version).toBe('1.0.0');
    const { needed } = await ask(format, view, { method: 'DELETE', path: '/-/package/lib/dist-tags/old' });
    expect(needed).toEqual(['publish']);
    expect(await read<Json>(view, '/-/package/lib/dist-tags')).toEqual({ latest: '1.0.0' });
  });

  it.each([
    ['a version that is not there', tag('stable', '9.9.9'), 'not_found'],
    ['no version', tag('stable', 1), 'bad_request'],
    ['a range for a name', tag('1.x', '1.0.0'), 'bad_request'],
    ['no JSON', { path: '/-/package/lib/dist-tags/stable', body: '1.0.0' }, 'bad_request'],
    ['latest taken away', { method: 'DELETE', path: '/-/package/lib/dist-tags/latest' }, 'bad_request'],
    ['one that is not there taken away', { method: 'DELETE', path: '/-/package/lib/dist-tags/stable' }, 'not_found'],
    [
      'one that every object has taken away',
      { method: 'DELETE', path: '/-/package/lib/dist-tags/constructor' },
      'not_found',
    ],
    ['a body that has no end', { path: '/-/package/lib/dist-tags/stable', body: ' '.repeat(100_000) }, 'too_large'],
  ] as [string, HostedRequest, string][])('are not changed to %s', async (_name, request, code) => {
    expect(await problem(ask(format, await viewWith(lib), request))).toMatchObject({ code });
  });
});

describe('what comes from the administration', () => {
  /** As versions come from another repository: without anything about the package. */
  async function promoted(...versions: readonly string[]): Promise<FakeView> {
    const view = fakeView();
    for (const version of versions) {
      const from = await viewWith({ ...lib, version });
      const [{ facts = {}, files = [] } = {}] = from.records('lib');
      const put = files.map(({ path, contentType }) => ({
        path,
        contentType,
        file: stagedFile(from.bytes(path) ?? Buffer.alloc(0), format.digests),
      }));
      const records = [{ version, facts, files: files.map(({ path }) => path) }];
      view.apply({ name: 'lib', put, records, about: {}, reply: { bytes: Buffer.alloc(0) } });
    }
    return view;
  }
  const yank = (view: FakeView, version: string, yanked: boolean): void => {
    const facts = view.record('lib', version)?.facts ?? {};
    view.apply({ name: 'lib', records: [{ version, facts, yanked }], reply: { bytes: Buffer.alloc(0) } });
  };
  const tagsIn = async (view: FakeView): Promise<unknown> => (await read(view, '/lib'))['dist-tags'];

  it('has a latest version, the highest, until somebody says otherwise', async () => {
    const view = await promoted('1.0.0', '1.10.0', '1.9.0', '2.0.0-rc.1');
    expect(await tagsIn(view)).toEqual({ latest: '1.10.0' });
    await ask(format, view, { path: '/-/package/lib/dist-tags/old', body: '"1.0.0"' });
    expect(await tagsIn(view)).toEqual({ latest: '1.10.0', old: '1.0.0' });
    expect(view.about('lib')?.facts.tags).toEqual({ old: '1.0.0' });
    await publish(view, { ...lib, version: '2.0.0-rc.2', tags: { rc: '2.0.0-rc.2' } });
    expect(await tagsIn(view)).toEqual({ latest: '1.10.0', old: '1.0.0', rc: '2.0.0-rc.2' });
    expect((await read<Json>(view, '/-/v1/search?text=lib')).objects).toMatchObject([
      { package: { version: '1.10.0' } },
    ]);
  });

  it('loses the tags of a version that was taken away', async () => {
    const view = await viewWith(lib, { ...lib, version: '1.1.0' });
    view.apply({ name: 'lib', removes: ['1.1.0'], reply: { bytes: Buffer.alloc(0) } });
    expect(await tagsIn(view)).toEqual({ latest: '1.0.0' });
  });

  it('calls a yanked version withdrawn and gives its tags to none', async () => {
    const view = await viewWith(lib, { ...lib, version: '1.1.0' });
    await ask(format, view, { path: '/-/package/lib/dist-tags/next', body: '"1.1.0"' });
    yank(view, '1.1.0', true);
    const document = await read(view, '/lib');
    expect(document['dist-tags']).toEqual({ latest: '1.0.0' });
    expect(document.versions['1.1.0']?.deprecated).toBe('This version was withdrawn.');
    await ask(format, view, { path: '/lib', body: JSON.stringify(document) });
    yank(view, '1.1.0', false);
    expect((await read(view, '/lib')).versions['1.1.0']).not.toHaveProperty('deprecated');
    expect(await tagsIn(view)).toEqual({ latest: '1.1.0', next: '1.1.0' });
    for (const version of ['1.0.0', '1.1.0']) yank(view, version, true);
    expect(await tagsIn(view)).toEqual({ latest: '1.1.0', next: '1.1.0' });
  });
});

describe('owners', () => {
  async function setOwners(view: FakeView, names: readonly string[], by: Identity): Promise<Performed> {
    const { _id, _rev } = await read(view, '/lib?write=true');
    const maintainers = names.map((name) => ({ name, email: `${name}@example.com` }));
    return ask(format, view, { path: `/lib/-rev/${_rev}`, body: JSON.stringify({ _id, _rev, maintainers }), by });
  }
  const names = async (view: FakeView): Promise<unknown[]> =>
    (await read(view, '/lib')).maintainers.map(({ name }) => name);

  it('are changed by one of them, or by whoever may administer', async () => {
    const view = await viewWith(lib);
    expect((await setOwners(view, ['alice', 'bob'], alice)).needed).toEqual(['publish']);
    expect(await names(view)).toEqual(['alice', 'bob']);
    expect((await setOwners(view, ['bob'], bob)).needed).toEqual(['publish']);
    expect((await setOwners(view, ['robot'], alice)).needed).toEqual(['publish', 'admin']);
    expect((await setOwners(view, ['bob'], { ...robot, org: 'other' })).needed).toEqual(['publish', 'admin']);
    expect(await read<Json>(view, '/-/package/lib/collaborators')).toEqual({ bob: 'read-write' });
  });

  it('are added and removed one by one, as pnpm does it', async () => {
    const view = await viewWith(lib);
    const add: HostedRequest = { path: '/-/package/lib/owners', body: '{"user":"bob"}' };
    expect((await ask(format, view, add)).needed).toEqual(['publish']);
    expect(await names(view)).toEqual(['alice', 'bob']);
    const remove = (user: string, by: Identity): HostedRequest => ({
      method: 'DELETE',
      path: `/-/package/lib/owners/${user}`,
      by,
    });
    expect((await ask(format, view, remove('alice', robot))).needed).toEqual(['publish', 'admin']);
    expect(await problem(ask(format, view, remove('alice', bob)))).toMatchObject({ code: 'not_found' });
    expect(await problem(ask(format, view, remove('bob', bob)))).toMatchObject({ code: 'bad_request' });
    expect(await problem(ask(format, view, { ...add, body: '{}' }))).toMatchObject({ code: 'bad_request' });
    expect(await names(view)).toEqual(['bob']);
  });

  it('stay when others publish', async () => {
    const view = await viewWith(lib);
    await publish(view, { ...lib, version: '1.1.0' }, bob);
    expect(await names(view)).toEqual(['alice']);
    expect((await read(view, '/lib')).versions['1.1.0']?._npmUser).toEqual({ name: 'bob' });
  });

  it('are nobody after a job has published first', async () => {
    const view = fakeView();
    await publish(view, lib, { kind: 'ci', name: 'github:acme/lib', presented: true });
    expect(await names(view)).toEqual([]);
    expect((await setOwners(view, ['alice'], alice)).needed).toEqual(['publish', 'admin']);
  });

  it.each([
    ['nobody', []],
    ['somebody without a name', [{ email: 'x' }]],
    ['somebody with an odd name', [{ name: 'a\nb' }]],
    ['a text', 'alice'],
  ])('are never %s', async (_name, maintainers) => {
    const view = await viewWith(lib);
    const body = JSON.stringify({ _id: 'lib', maintainers });
    expect(await problem(ask(format, view, { path: '/lib/-rev/r1', body }))).toMatchObject({ code: 'bad_request' });
  });

  it('can be asked about by anybody, without learning who there is', async () => {
    expect(await read<Json>(fakeView(), '/-/user/org.couchdb.user:carol')).toMatchObject({ name: 'carol' });
  });
});

describe('access', () => {
  const set = (body: unknown, by: Identity = alice): HostedRequest => ({
    method: 'POST',
    path: '/-/package/@acme%2flib/access',
    body: JSON.stringify(body),
    by,
  });
  const isPublic = (view: FakeView): Promise<Json> => read<Json>(view, '/-/package/@acme%2flib/visibility');

  it('is what its owners said it is', async () => {
    const view = await viewWith(scoped);
    expect(await isPublic(view)).toEqual({ public: false });
    const { body, needed } = await ask(format, view, set({ access: 'public' }));
    expect(needed).toEqual(['publish']);
    expect(body.headers?.['npm-notice']).toContain('rules');
    expect(await isPublic(view)).toEqual({ public: true });
    expect((await ask(format, view, set({ access: 'restricted' }, bob))).needed).toEqual(['publish', 'admin']);
    expect(await isPublic(view)).toEqual({ public: false });
  });

  it('is what was said when it was published first', async () => {
    const view = await viewWith({ ...scoped, document: { access: 'public' } });
    await publish(view, { ...scoped, version: '1.1.0', document: { access: 'restricted' } });
    expect(await isPublic(view)).toEqual({ public: true });
  });

  it.each([[{ access: 'secret' }], [{ publish_requires_tfa: true }], [{}], [[]]])('is not %j', async (body) => {
    expect(await problem(ask(format, await viewWith(scoped), set(body)))).toMatchObject({ code: 'bad_request' });
  });
});

describe('searching', () => {
  async function found(view: FakeView, query: string): Promise<unknown[]> {
    const { objects } = await read<{ objects: { package: Json }[] }>(view, `/-/v1/search?${query}`);
    return objects.map((one) => one.package.name);
  }

  const all = async (): Promise<FakeView> =>
    viewWith(
      { name: 'other', version: '1.0.0', manifest: { description: 'Not a lib', keywords: ['Parser'] } },
      { name: '@acme/lib', version: '1.0.0', manifest: { author: { name: 'Carol' } } },
      { name: 'lib', version: '1.0.0' },
      { name: 'libel', version: '1.0.0-rc.1' },
    );

  it.each([
    ['text=lib', ['lib', '@acme/lib', 'libel', 'other']],
    ['text=LIB&size=2', ['lib', '@acme/lib']],
    ['text=lib&size=2&from=2', ['libel', 'other']],
    ['text=scope:acme', ['@acme/lib']],
    ['text=%40acme', ['@acme/lib']],
    ['text=keywords:parser', ['other']],
    ['text=not%20a', ['other']],
    ['text=author:carol', ['@acme/lib']],
    ['text=maintainer:alice%20libel', ['libel']],
    ['text=lib%20not:deprecated%20is:unstable', ['lib', '@acme/lib', 'libel', 'other']],
    ['text=nothing', []],
    ['', ['other', '@acme/lib', 'lib', 'libel']],
  ])('%s finds %j', async (query, names) => {
    expect(await found(await all(), query)).toEqual(names);
  });

  it('describes what it finds', async () => {
    expect(await read<Json>(await all(), '/-/v1/search?text=other')).toMatchObject({
      objects: [
        {
          package: {
            name: 'other',
            version: '1.0.0',
            description: 'Not a lib',
            date: '2026-03-04T05:06:07.000Z',
            publisher: { username: 'alice' },
            maintainers: [{ username: 'alice' }],
          },
        },
      ],
      total: 1,
    });
  });
});

describe('releasing', () => {
  async function released(view: FakeView, name: string, version: string): Promise<Json> {
    const record = view.record(name, version);
    if (!record) throw new Error('it is not there');
    const files = new Map(record.files.map(({ path }) => [path, stagedFile(view.bytes(path) ?? Buffer.alloc(0))]));
    const [outgoing] = [...(format.release?.(record, files) ?? [])];
    if (!outgoing) throw new Error('nothing is sent');
    const pieces: Uint8Array[] = [];
    for await (const piece of outgoing.body) pieces.push(piece);
    return { ...outgoing, body: Buffer.concat(pieces).toString() };
  }

  it.each([
    ['1.0.0', 'latest'],
    ['1.0.0-beta.2', 'beta'],
    ['1.0.0-0', 'next'],
  ])('sends version %s as somebody else would take it, tagged %s', async (version, tag) => {
    const bytes = packageOf({ ...scoped, version });
    const attachments = { 'x.sigstore': { data: bundleFor('@acme/lib', version, bytes) } };
    const here = await viewWith({ ...scoped, version, attachments, manifest: {} });
    const { body, ...outgoing } = await released(here, '@acme/lib', version);
    expect(outgoing).toMatchObject({ method: 'PUT', path: '@acme%2flib' });
    expect(body).not.toContain('alice');
    const there = fakeView();
    await ask(format, there, { method: 'PUT', path: `/${outgoing.path}`, body: String(body) });
    expect(there.bytes(`@acme/lib/-/lib-${version}.tgz`)).toEqual(bytes);
    expect(await read(there, `/@acme%2flib`)).toMatchObject({ 'dist-tags': { [tag]: version } });
    expect(await read(there, `/@acme%2flib/${version}`)).toEqual(await read(here, `/@acme%2flib/${version}`));
    expect(await read(there, `/-/npm/v1/attestations/@acme/lib@${version}`)).toEqual(
      await read(here, `/-/npm/v1/attestations/@acme/lib@${version}`),
    );
  });

  it('knows what says that it is there already', async () => {
    const view = await viewWith(lib);
    const { isThere } = (await released(view, 'lib', '1.0.0')) as { isThere(status: number, text: string): boolean };
    expect(isThere(403, 'You cannot publish over the previously published versions: 1.0.0.')).toBe(true);
    expect(isThere(409, 'this package is already present')).toBe(true);
    expect(isThere(403, 'You do not have permission')).toBe(false);
    expect(isThere(500, 'cannot publish over')).toBe(false);
  });
});

describe('merged with upstream', () => {
  it('own versions and own tags win, and the revision is ours', async () => {
    const view = await viewWith(lib);
    const want = { kind: 'document' as const, type: packument, path: 'lib', name: 'lib' };
    const origin = { url: 'https://registry.example/lib', path: 'lib', headers: {} };
    const own = packument.decode(packument.render?.(want, view)?.bytes ?? Buffer.alloc(0), origin);
    const versions = Object.fromEntries(
      ['1.0.0', '2.0.0'].map((version) => [version, { name: 'lib', version, dist: { shasum: '0'.repeat(40) } }]),
    );
    const document = {
      _id: 'lib',
      _rev: '9-x',
      name: 'lib',
      versions,
      'dist-tags': { latest: '2.0.0', next: '2.0.0' },
    };
    const theirs = packument.decode(Buffer.from(JSON.stringify(document)), origin);
    const merged = packument.merge?.([own, theirs], 'lib');
    const json = JSON.parse(
      Buffer.from((merged && packument.encode(merged, 'full', 'http://x'))?.bytes ?? []).toString(),
    );
    expect(json).toMatchObject({ _rev: 'r1', 'dist-tags': { latest: '1.0.0', next: '2.0.0' } });
    expect(Object.keys(json.versions)).toEqual(['1.0.0', '2.0.0']);
    expect(json.versions['1.0.0'].dist.shasum).not.toBe('0'.repeat(40));
  });
});

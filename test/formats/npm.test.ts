import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Body, Forward, Identity, Intent, Origin } from '../../src/core/format.ts';
import { Problem } from '../../src/core/problem.ts';
import { compileRoutes } from '../../src/core/route.ts';
import { format } from '../../src/formats/npm/index.ts';
import { abbreviatedType, type Packument, packument } from '../../src/formats/npm/packument.ts';
import { answered, base, conformance, intentOf } from '../conformance/format.ts';
import { publishSamples } from './npm.publish.samples.ts';
import {
  abbreviatedPackument,
  bytesOf,
  documents,
  integrityOf,
  type Manifest,
  manifest,
  oldPackument,
  packumentJson,
  scopedPackument,
  sha1Of,
  upstream,
} from './npm.samples.ts';

const corgi = 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*';
const hash = 'e2a1f7d3c4b5a6978812345678901234567890ab';

conformance(format, {
  documents,
  publish: publishSamples,
  examples: {
    root: ['/'],
    ping: ['/-/ping', '/-/ping?write=true'],
    whoami: ['/-/whoami'],
    profile: ['/-/npm/v1/user'],
    login: ['/-/v1/login'],
    'login-done': ['/-/v1/done?session=0123abc'],
    'login-password': ['/-/user/org.couchdb.user:alice', '/-/user/org.couchdb.user%3Aalice'],
    'login-password-again': ['/-/user/org.couchdb.user:alice/-rev/1-x'],
    user: ['/-/user/org.couchdb.user:alice', '/-/user/org.couchdb.user:alice?write=true'],
    logout: ['/-/user/token/lrd_abc'],
    tokens: ['/-/npm/v1/tokens'],
    'token-create': ['/-/npm/v1/tokens'],
    'token-revoke': ['/-/npm/v1/tokens/token/abc'],
    'oidc-exchange': [
      '/-/npm/v1/oidc/token/exchange/package/lodash',
      '/-/npm/v1/oidc/token/exchange/package/@acme%2fshop',
    ],
    search: ['/-/v1/search?text=left%20pad&size=20', '/-/v1/search'],
    keys: ['/-/npm/v1/keys'],
    attestations: ['/-/npm/v1/attestations/@acme%2fbar@1.1.0', '/-/npm/v1/attestations/express@4.0.0'],
    'audit-bulk': ['/-/npm/v1/security/advisories/bulk'],
    'audit-quick': ['/-/npm/v1/security/audits/quick'],
    audit: ['/-/npm/v1/security/audits'],
    'dist-tags': ['/-/package/express/dist-tags', '/-/package/@acme%2fbar/dist-tags', '/-/package/@acme/bar/dist-tags'],
    'dist-tag-add': ['/-/package/express/dist-tags/next', '/-/package/@acme%2fbar/dist-tags/next'],
    'dist-tag-remove': ['/-/package/express/dist-tags/next', '/-/package/@acme/bar/dist-tags/next'],
    visibility: ['/-/package/express/visibility', '/-/package/@acme%2fbar/visibility'],
    collaborators: ['/-/package/express/collaborators?format=cli', '/-/package/@acme%2fbar/collaborators'],
    'owner-add': ['/-/package/express/owners', '/-/package/@acme%2fbar/owners'],
    'owner-remove': ['/-/package/express/owners/alice', '/-/package/@acme%2fbar/owners/alice'],
    'access-read': ['/-/package/express/access', '/-/package/@acme%2fbar/access'],
    access: ['/-/package/express/access', '/-/package/@acme%2fbar/access'],
    'tarball-delete': ['/express/-/express-4.0.0.tgz/-rev/1-x', '/@acme/bar/-/bar-1.0.0.tgz/-rev/1-x'],
    unpublish: ['/express/-rev/1-x', '/@acme%2fbar/-rev/1-x'],
    update: ['/express/-rev/1-x', '/@acme%2fbar/-rev/1-x'],
    publish: ['/express', '/@acme%2fbar', '/@acme/bar'],
    tarball: ['/express/-/express-4.0.0.tgz', '/@acme/bar/-/bar-1.0.0.tgz'],
    'tarball-scoped': ['/@acme/bar/-/@acme/bar-1.0.0.tgz'],
    'tarball-cnpm': ['/express/download/express-4.0.0.tgz'],
    'tarball-cnpm-scoped': ['/@acme/bar/download/@acme/bar-1.0.0.tgz'],
    'tarball-github': [`/download/@acme/bar/1.0.0/${hash}`],
    packument: [
      '/express',
      '/@acme%2fbar',
      '/@acme/bar',
      '/express?write=true',
      { path: '/x', headers: { accept: corgi } },
    ],
    version: ['/express/latest', '/express/4.0.0', '/@acme%2fbar/1.0.0', '/@acme/bar/next'],
  },
});

const router = compileRoutes(format.routes);

function intent(path: string, accept?: string): Intent | undefined {
  return intentOf(router, 'GET', { path, headers: accept === undefined ? {} : { accept } })?.intent;
}

function originOf(name: string): Origin {
  return { url: `${upstream}/${name}`, path: name, headers: {} };
}

function read(json: { readonly name: string }): Packument {
  return packument.decode(bytesOf(json), originOf(json.name));
}

interface Written {
  readonly [field: string]: unknown;
  readonly versions: Readonly<Record<string, Manifest>>;
  readonly time?: Readonly<Record<string, string>>;
  readonly 'dist-tags': Readonly<Record<string, string>>;
}

function parsed<T = Written>(body: Body | undefined): T {
  return JSON.parse(Buffer.from(body?.bytes ?? []).toString('utf8')) as T;
}

function write<T = Written>(doc: Packument, variant: string): T {
  return parsed<T>(packument.encode(doc, variant, base));
}

describe('a packument is asked for', () => {
  it.each([
    ['/express', 'express'],
    ['/@acme%2fbar', '@acme/bar'],
    ['/@acme%2Fbar', '@acme/bar'],
    ['/@acme/bar', '@acme/bar'],
    ['/%40acme%2fbar', '@acme/bar'],
    ['/%40acme/bar', '@acme/bar'],
    ['/JSONStream', 'JSONStream'],
    ['/jsonstream', 'jsonstream'],
    ['/lodash.merge', 'lodash.merge'],
    ['/@acme/_private', '@acme/_private'],
    ["/~odd!name'(1)*", "~odd!name'(1)*"],
    ['/npm', 'npm'],
    ['/constructor', 'constructor'],
    [`/${'a'.repeat(214)}`, 'a'.repeat(214)],
  ])('at %s', (path, name) => {
    expect(intent(path)).toMatchObject({ kind: 'document', path: name, name, variant: 'full' });
  });

  it.each([
    ['/-'],
    ['/.hidden'],
    ['/_private'],
    ['/node_modules'],
    ['/favicon.ico'],
    ['/@acme'],
    ['/@acme/'],
    ['/@acme/.bar'],
    ['/@acme/-'],
    ['/@acme%2fbar%2fbaz'],
    ['/@acme/bar/baz/qux'],
    ['/a b'],
    ['/a:b'],
    ['/caf%C3%A9'],
    ['/express/'],
    [`/${'a'.repeat(215)}`],
    ['/-/all'],
    ['/-/stage'],
    ['/-/org/acme/package'],
    ['/-/package/../dist-tags'.replace('..', '-')],
    ['/-/npm/v1/attestations/express'],
    ['/-/npm/v1/attestations/express@latest'],
    ['/-/npm/v1/attestations/@4.0.0'],
  ])('not at %s', (path) => {
    expect(intent(path)).toBeUndefined();
  });

  it.each([
    ['npm up to 9, yarn 1, bun', corgi, 'abbreviated'],
    ['bun and pnpm', `${abbreviatedType}; q=1.0, application/json; q=0.8, */*`, 'abbreviated'],
    ['nothing else', abbreviatedType, 'abbreviated'],
    ['both alike', `application/json, ${abbreviatedType}`, 'abbreviated'],
    ['in another case', abbreviatedType.toUpperCase().toLowerCase(), 'abbreviated'],
    ['npm from 10', 'application/json', 'full'],
    ['pnpm view', 'application/json; q=1.0, */*', 'full'],
    ['yarn 4', undefined, 'full'],
    ['anything', '*/*', 'full'],
    ['the full one rather', `application/json; q=1, ${abbreviatedType}; q=0.5`, 'full'],
    ['not the abbreviated one', `${abbreviatedType}; q=0, */*`, 'full'],
    ['the abbreviated one, how much nobody knows', `${abbreviatedType}; q=high, application/json`, 'full'],
    ['a browser', 'text/html,application/xhtml+xml,*/*;q=0.8', 'full'],
  ])('with the Accept header of %s', (_name, accept, variant) => {
    expect(intent('/express', accept)).toMatchObject({ variant });
  });

  it('past all caches before it is changed', () => {
    expect(intent('/express?write=true', corgi)).toMatchObject({ variant: 'full', fresh: true });
    expect(intent('/express?write=false', corgi)).not.toHaveProperty('fresh');
  });

  it('by version or tag', () => {
    expect(intent('/express/4.0.0')).toMatchObject({ path: 'express', variant: 'version:4.0.0', version: '4.0.0' });
    expect(intent('/@acme/bar/next')).toMatchObject({ path: '@acme/bar', variant: 'version:next' });
    expect(intent('/@acme/bar/next')).not.toHaveProperty('version');
    expect(intent('/@acme%2fbar/next')).toEqual(intent('/@acme/bar/next'));
  });

  it('with other methods in vain', () => {
    const find = (method: string, path: string) => router.find(method, path, (route) => ({ id: route.id }));
    expect(find('POST', '/express')).toEqual({ allow: ['PUT', 'GET', 'HEAD'] });
  });
});

describe('a tarball is asked for', () => {
  it.each([
    ['/@acme/bar/-/bar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/@acme%2fbar/-/bar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/@acme%2Fbar/-/bar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/%40acme/bar/-/bar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/@acme/bar/-/@acme/bar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/@acme%2fbar/-/@acme/bar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/@acme/bar/-/@acme%2fbar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/@acme%2fbar/-/@acme%2Fbar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    [`/download/@acme/bar/1.0.0/${hash}`, '@acme/bar', '1.0.0'],
    [`/download/@acme%2fbar/1.0.0/${hash}`, '@acme/bar', '1.0.0'],
    ['/@acme/bar/download/@acme/bar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/bar/download/bar-1.0.0.tgz', 'bar', '1.0.0'],
    ['/bar/-/bar-1.0.0-rc.1.tgz', 'bar', '1.0.0-rc.1'],
    ['/bar/-/bar-1.0.0%2Bbuild.tgz', 'bar', '1.0.0+build'],
    ['/bar/-/bar-1.0.0+build.tgz', 'bar', '1.0.0+build'],
    ['/a-1.0.0/-/a-1.0.0-2.0.0.tgz', 'a-1.0.0', '2.0.0'],
    ['/_packaging/feed/npm/registry/bar/-/bar-1.0.0.tgz', 'bar', '1.0.0'],
    ['/api/npm/npm-virtual/@acme/bar/-/@acme/bar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/api/npm/@other/thing/@acme/bar/-/@acme/bar-1.0.0.tgz', '@acme/bar', '1.0.0'],
    ['/download/-/download-1.0.0.tgz', 'download', '1.0.0'],
  ])('at %s', (path, name, version) => {
    const bare = name.slice(name.indexOf('/') + 1);
    expect(intent(path)).toMatchObject({
      kind: 'artifact',
      path: `${name}/-/${bare}-${version}.tgz`,
      name,
      version,
      describedBy: { path: name, variant: 'abbreviated' },
    });
  });

  it('under a file name that no version explains, which upstream may have', () => {
    expect(intent('/bar/-/other-1.0.0.tgz')).toMatchObject({ path: 'bar/-/other-1.0.0.tgz', name: 'bar' });
    expect(intent('/bar/-/other-1.0.0.tgz')).not.toHaveProperty('version');
    expect(intent('/bar/-/bar-latest.tgz')).not.toHaveProperty('version');
  });

  it.each([
    ['another scope in the file name', '/@acme/bar/-/@evil/bar-1.0.0.tgz'],
    ['a scope in the file name alone', '/bar/-/@acme/bar-1.0.0.tgz'],
    ['a prefix and a file of another name', '/feed/bar/-/other-1.0.0.tgz'],
    ['a prefix of the registry itself', '/-/feed/bar/-/bar-1.0.0.tgz'],
    ['no version', '/download/@acme/bar/latest/0123456789abcdef0123456789abcdef'],
    ['no digest', '/download/@acme/bar/1.0.0/readme'],
    ['another ending', '/bar/-/bar-1.0.0.zip'],
    ['a name that is reserved', '/-/-/--0.0.1.tgz'],
  ])('but not with %s', (_name, path) => {
    const found = intent(path);
    expect(found?.kind === 'artifact').toBe(false);
  });
});

describe('the full packument', () => {
  const written = write(read(scopedPackument), 'full');

  it('differs from what upstream said in addresses only', () => {
    const { versions, ...rest } = scopedPackument;
    const { versions: ours, ...others } = written;
    expect(others).toEqual(JSON.parse(JSON.stringify(rest)));
    for (const [version, theirs] of Object.entries(versions)) {
      expect(ours[version]).toEqual(
        JSON.parse(
          JSON.stringify({
            ...theirs,
            ...(version === '1.0.0' ? { _resolved: `${base}/@acme/bar/-/bar-1.0.0.tgz` } : {}),
            dist: {
              ...theirs.dist,
              tarball: `${base}/@acme/bar/-/bar-${version}.tgz`,
              ...(version === '1.1.0'
                ? {
                    attestations: {
                      url: `${base}/-/npm/v1/attestations/@acme%2fbar@1.1.0`,
                      provenance: { predicateType: 'x' },
                    },
                  }
                : {}),
            },
          }),
        ),
      );
    }
  });

  it('has the conventional tarball address whatever upstream has', () => {
    const { versions } = write(read(oldPackument), 'full');
    expect(versions['1.2.0']?.dist.tarball).toBe(`${base}/Old.Name/-/Old.Name-1.2.0.tgz`);
    expect(versions['1.0.2beta']?.dist.tarball).toBe(`${base}/Old.Name/-/Old.Name-1.0.2beta.tgz`);
    expect(versions['1.1.0+build.5']?.dist.tarball).toBe(`${base}/Old.Name/-/Old.Name-1.1.0%2Bbuild.5.tgz`);
  });

  it('tells when the package changed, for pnpm, and only then', () => {
    const headers = packument.encode(read(scopedPackument), 'full', base)?.headers;
    expect(headers?.['last-modified']).toBe('Mon, 06 May 2024 07:08:09 GMT');
    const { time, ...timeless } = scopedPackument;
    expect(time.modified).toBeDefined();
    expect(packument.encode(read(timeless), 'full', base)?.headers).not.toHaveProperty('last-modified');
    const odd = packumentJson('x', [manifest('x', '1.0.0')], { time: { modified: 'yesterday' } });
    expect(packument.encode(read(odd), 'full', base)?.headers).not.toHaveProperty('last-modified');
  });

  it('of a package that was unpublished comes through', () => {
    const gone = { _id: 'gone', name: 'gone', time: { created: 'x', unpublished: { time: 'y', versions: ['1.0.0'] } } };
    expect(write(read(gone), 'full')).toEqual(gone);
    expect(write(read(gone), 'abbreviated')).toMatchObject({ name: 'gone', versions: {}, time: gone.time });
  });

  it('keeps a version whose name objects have a meaning for', () => {
    const text = JSON.stringify(packumentJson('p', [manifest('p', '1.0.0')])).replaceAll('"1.0.0":', '"__proto__":');
    const doc = packument.decode(Buffer.from(text), originOf('p'));
    expect(Object.keys(write(doc, 'full').versions)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>).dist).toBeUndefined();
  });

  it('nested more deeply than anybody can write is a problem of upstream', () => {
    const deep = `${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`;
    const text = JSON.stringify(packumentJson('p', [manifest('p', '1.0.0')], { deep: 'here' })).replace('"here"', deep);
    expect(() => packument.encode(packument.decode(Buffer.from(text), originOf('p')), 'full', base)).toThrow();
    try {
      packument.encode(packument.decode(Buffer.from(text), originOf('p')), 'full', base);
    } catch (error) {
      expect(error).toBeInstanceOf(Problem);
      expect(error).toMatchObject({ code: 'upstream_invalid' });
    }
  });
});

describe('the abbreviated packument', () => {
  const doc = read(scopedPackument);
  const written = write(doc, 'abbreviated');

  it('is made from the full one, with its times', () => {
    expect(Object.keys(written).sort()).toEqual(['dist-tags', 'modified', 'name', 'time', 'versions']);
    expect(written.time).toEqual(scopedPackument.time);
    expect(written.modified).toBe(scopedPackument.time.modified);
    expect(packument.encode(doc, 'abbreviated', base)?.headers).toEqual({
      'content-type': abbreviatedType,
      'last-modified': 'Mon, 06 May 2024 07:08:09 GMT',
    });
  });

  it('has of each version what installing takes', () => {
    expect(Object.keys(written.versions['1.1.0'] ?? {}).sort()).toEqual(
      ['name', 'version', 'dependencies', 'dist', 'funding', 'hasInstallScript', 'libc', 'os'].sort(),
    );
    expect(written.versions['2.0.0']).toMatchObject({ deprecated: 'Use something else.' });
    expect(written.versions['2.0.0-rc.1']).toMatchObject({ _hasShrinkwrap: true });
    expect(written.versions['1.1.0']?.dist).toMatchObject({ signatures: [{ keyid: 'SHA256:key', sig: 'MEUC' }] });
  });

  it.each<[string, Readonly<Record<string, unknown>>, boolean | undefined]>([
    ['preinstall', { scripts: { preinstall: 'x' } }, true],
    ['install', { scripts: { install: 'x' } }, true],
    ['postinstall', { scripts: { postinstall: 'x' } }, true],
    ['a gyp file', { gypfile: true }, true],
    ['a gyp file that is not to be built', { gypfile: false }, undefined],
    ['prepare', { scripts: { prepare: 'x' } }, undefined],
    ['an empty script', { scripts: { install: '' } }, undefined],
    ['scripts that are a list', { scripts: ['install'] }, undefined],
    ['the word of upstream', { hasInstallScript: true, scripts: {} }, true],
    ['the word of upstream against it', { hasInstallScript: false, scripts: { install: 'x' } }, false],
  ])('knows a version with %s', (_name, fields, expected) => {
    const made = write(read(packumentJson('p', [manifest('p', '1.0.0', fields)])), 'abbreviated');
    expect(made.versions['1.0.0']?.hasInstallScript).toBe(expected);
  });

  it('that upstream abbreviated itself keeps what we do not know', () => {
    const made = write(read(abbreviatedPackument), 'abbreviated');
    expect(made.versions['1.0.1']).toMatchObject({ 'x-new': 1, hasInstallScript: true });
    expect(made.versions['1.0.1']?.dist.tarball).toBe(`${base}/short/-/short-1.0.1.tgz`);
    expect(packument.encode(read(abbreviatedPackument), 'abbreviated', base)?.headers?.['last-modified']).toBeDefined();
  });

  it('is asked of upstream by name, and what came instead is recognised', () => {
    const forms = packument.representations;
    expect(forms?.of('abbreviated')).toBe('abbreviated');
    for (const variant of ['full', 'tags', 'version:1.0.0', '']) expect(forms?.of(variant)).toBe('full');
    expect(forms?.accept('abbreviated')).toContain(abbreviatedType);
    expect(forms?.accept('full')).toBe('application/json');
    expect(forms?.coveredBy('abbreviated')).toEqual(['full']);
    expect(forms?.coveredBy('full')).toEqual([]);
    const came = (contentType: string | undefined) =>
      forms?.arrived('abbreviated', { ...originOf('x'), headers: { 'content-type': contentType } });
    expect(came(`${abbreviatedType}; charset=utf-8`)).toBe('abbreviated');
    expect(came('application/json')).toBe('full');
    expect(came(undefined)).toBe('full');
  });
});

describe('one version', () => {
  const doc = read(scopedPackument);

  it('is the same in the packument and alone, signatures and all', () => {
    const { versions } = write(doc, 'full');
    for (const version of Object.keys(versions)) expect(write(doc, `version:${version}`)).toEqual(versions[version]);
  });

  it('is found by tag', () => {
    expect(write<Manifest>(doc, 'version:next').version).toBe('2.0.0-rc.1');
  });

  it.each(['version:9.9.9', 'version:nope', 'version:constructor', 'version:__proto__', 'version:'])(
    'that is not there is none: %s',
    (variant) => {
      expect(packument.encode(doc, variant, base)).toBeUndefined();
    },
  );

  it('whose tag leads nowhere is none', () => {
    const dangling = read({ ...scopedPackument, 'dist-tags': { latest: '8.0.0', odd: 7 } } as typeof scopedPackument);
    expect(packument.encode(dangling, 'version:latest', base)).toBeUndefined();
    expect(packument.encode(dangling, 'version:odd', base)).toBeUndefined();
  });

  it('has tags of its own document', () => {
    expect(write(doc, 'tags')).toEqual(scopedPackument['dist-tags']);
    expect(packument.encode(doc, 'tags', base)?.headers).toEqual({ 'content-type': 'application/json' });
  });
});

describe('the links of a packument', () => {
  const linksOf = (json: { readonly name: string }) => [...(packument.links?.(read(json), originOf(json.name)) ?? [])];

  it('tell address, digest, version and time', () => {
    expect(linksOf(scopedPackument)[1]).toEqual({
      path: '@acme/bar/-/bar-1.1.0.tgz',
      url: `${upstream}/@acme/bar/-/bar-1.1.0.tgz`,
      digests: [`sha512:${Buffer.from(integrityOf('@acme/bar@1.1.0').slice(7), 'base64').toString('hex')}`],
      version: '1.1.0',
      publishedAt: '2021-02-03T04:05:06.000Z',
    });
  });

  it('fall back to the checksum of old packages', () => {
    expect(linksOf(scopedPackument)[0]?.digests).toEqual([`sha1:${sha1Of('@acme/bar@1.0.0')}`]);
  });

  it.each<[string, Readonly<Record<string, unknown>>, readonly string[] | undefined]>([
    ['two strengths', { integrity: `sha1-${Buffer.alloc(20).toString('base64')} ${integrityOf('x')}` }, ['sha512']],
    ['two of one strength', { integrity: `${integrityOf('x')} ${integrityOf('y')}` }, ['sha1']],
    ['the same one twice', { integrity: `${integrityOf('x')} ${integrityOf('x')}` }, ['sha512']],
    ['an unknown algorithm', { integrity: 'sha384-AAAA' }, ['sha1']],
    ['garbage', { integrity: 'x', shasum: 'y' }, undefined],
    ['no texts', { integrity: 1, shasum: null }, undefined],
  ])('take from an integrity of %s', (_name, dist, algorithms) => {
    const [link] = linksOf(packumentJson('p', [manifest('p', '1.0.0', {}, dist)]));
    expect(link?.digests?.map((digest) => digest.split(':')[0])).toEqual(algorithms);
  });

  it('lead to the same bytes under upstream’s own file name and without build metadata', () => {
    const links = linksOf(oldPackument);
    const versionAt = (path: string) => links.find((link) => link.path === path)?.version;
    expect(versionAt('Old.Name/-/Old.Name-1.0.2beta.tgz')).toBe('1.0.2beta');
    expect(versionAt('Old.Name/-/Old.Name-1.0.2-beta.tgz')).toBe('1.0.2beta');
    expect(versionAt('Old.Name/-/Old.Name-1.1.0+build.5.tgz')).toBe('1.1.0+build.5');
    expect(versionAt('Old.Name/-/Old.Name-1.1.0.tgz')).toBe('1.1.0+build.5');
  });

  it('never give one version’s path to another', () => {
    const odd = packumentJson('p', [
      manifest('p', '1.0.0', {}, { tarball: `${upstream}/p/-/p-2.0.0.tgz` }),
      manifest('p', '1.0.1', {}, { tarball: `${upstream}/p/-/same.tgz` }),
      manifest('p', '1.0.2', {}, { tarball: `${upstream}/p/-/same.tgz` }),
      manifest('p', '2.0.0'),
    ]);
    const links = linksOf(odd);
    expect(new Set(links.map(({ path }) => path)).size).toBe(links.length);
    expect(links.find(({ path }) => path === 'p/-/p-2.0.0.tgz')?.version).toBe('2.0.0');
  });

  it.each([
    ['relative', '/x/y.tgz', `${upstream}/x/y.tgz`],
    [
      'upgraded where upstream forgot that it has TLS',
      `${upstream.replace('https', 'http')}/y.tgz`,
      `${upstream}/y.tgz`,
    ],
    ['as they are on another host', 'http://cdn.example.com/y.tgz', 'http://cdn.example.com/y.tgz'],
    [
      'as they are on another port',
      `${upstream.replace('https', 'http')}:8080/y.tgz`,
      `${upstream.replace('https', 'http')}:8080/y.tgz`,
    ],
    ['nothing when malformed', 'http://', undefined],
  ])('have addresses that are %s', (_name, tarball, url) => {
    expect(linksOf(packumentJson('p', [manifest('p', '1.0.0', {}, { tarball })]))[0]?.url).toBe(url);
  });

  it('stay below the repository whatever a version is called', () => {
    const versions = ['../../../etc/passwd', '..%2f..', 'a\u0000b', 'x'.repeat(5000)];
    const links = linksOf(
      packumentJson(
        'p',
        versions.map((version) => manifest('p', version)),
      ),
    );
    expect(links.map(({ path }) => path)).toEqual([]);
  });
});

describe('packuments merged', () => {
  const ours = read(packumentJson('p', [manifest('p', '1.0.0', { from: 'ours' }), manifest('p', '2.0.0')]));
  const theirs = read(
    packumentJson('p', [manifest('p', '1.0.0', { from: 'theirs' }), manifest('p', '1.5.0'), manifest('p', '9.0.0')], {
      'dist-tags': { latest: '9.0.0', beta: '1.5.0' },
      time: {
        created: '2019-01-01T00:00:00.000Z',
        modified: '2025-01-01T00:00:00.000Z',
        '1.0.0': '2019-01-01T00:00:00.000Z',
        '1.5.0': '2019-06-01T00:00:00.000Z',
        '0.0.1': '2018-01-01T00:00:00.000Z',
      },
      _rev: '99-theirs',
      'x-theirs': true,
    }),
  );
  const merged = write(packument.merge?.([ours, theirs], 'p') as Packument, 'full');

  it('take each version from the first that has it', () => {
    expect(Object.keys(merged.versions)).toEqual(['1.0.0', '2.0.0', '1.5.0', '9.0.0']);
    expect(merged.versions['1.0.0']).toMatchObject({ from: 'ours' });
  });

  it('never let the later move a tag of the earlier', () => {
    expect(merged['dist-tags']).toEqual({ latest: '2.0.0', beta: '1.5.0' });
  });

  it('have all times, each from where its version is', () => {
    expect(merged.time).toEqual({
      created: '2019-01-01T00:00:00.000Z',
      modified: '2025-01-01T00:00:00.000Z',
      '1.0.0': '2020-02-03T04:05:06.000Z',
      '2.0.0': '2021-02-03T04:05:06.000Z',
      '1.5.0': '2019-06-01T00:00:00.000Z',
      '0.0.1': '2018-01-01T00:00:00.000Z',
    });
  });

  it('do not borrow a time from a document whose version lost', () => {
    const { time: _, ...timeless } = packumentJson('p', [manifest('p', '1.0.0')]);
    const made = write(packument.merge?.([read(timeless), theirs], 'p') as Packument, 'full');
    expect(made.time).not.toHaveProperty(['1.0.0']);
    expect(made.time).toHaveProperty(['1.5.0']);
  });

  it('are otherwise the first', () => {
    expect(merged).toMatchObject({ _rev: '7-abc', readme: '# A package\n' });
    expect(merged).not.toHaveProperty('x-theirs');
  });

  it('of both forms are projected as the full one', () => {
    const short = read({ ...abbreviatedPackument, name: 'p' });
    const made = packument.merge?.([short, theirs], 'p') as Packument;
    expect(Object.keys(write(made, 'abbreviated').versions['9.0.0'] ?? {})).not.toContain('description');
    expect(write(made, 'abbreviated').modified).toBe('2025-01-01T00:00:00.000Z');
    expect(write(made, 'full').modified).toBe('2025-01-01T00:00:00.000Z');
  });

  it('are not unpublished when one of them is there', () => {
    const gone = read({ name: 'p', time: { unpublished: { time: 'y' } } } as { name: string });
    const made = write(packument.merge?.([gone, ours], 'p') as Packument, 'full');
    expect(made.time).not.toHaveProperty('unpublished');
    expect(Object.keys(made.versions)).toEqual(['1.0.0', '2.0.0']);
  });
});

describe('a packument with versions held back', () => {
  function heldBack(tags: Readonly<Record<string, string>>, versions: readonly string[], refused: readonly string[]) {
    const doc = read(
      packumentJson(
        'p',
        versions.map((text) => {
          const [version = '', deprecated] = text.split(' ');
          return manifest('p', version, deprecated ? { deprecated } : {});
        }),
        { 'dist-tags': tags },
      ),
    );
    const kept = packument.withhold?.(doc, (version) =>
      refused.includes(version) ? { rule: 'age', reason: 'Too young.', until: '2026-01-01T00:00:00Z' } : undefined,
    );
    return kept as Packument;
  }

  it.each<[string, Record<string, string>, string[], string[], Record<string, string>]>([
    ['the one before', { latest: '2.1.0' }, ['1.0.0', '2.0.0', '2.1.0'], ['2.1.0'], { latest: '2.0.0' }],
    [
      'an earlier major when need be',
      { latest: '2.0.0' },
      ['1.9.0', '1.10.0', '2.0.0'],
      ['2.0.0'],
      { latest: '1.10.0' },
    ],
    ['no prerelease', { latest: '2.0.0' }, ['1.0.0', '2.0.0-rc.1', '2.0.0'], ['2.0.0'], { latest: '1.0.0' }],
    ['nothing deprecated', { latest: '2.0.0' }, ['1.0.0', '1.1.0 old', '2.0.0'], ['2.0.0'], { latest: '1.0.0' }],
    [
      'something deprecated rather than nothing',
      { latest: '2.0.0' },
      ['1.1.0 old', '2.0.0'],
      ['2.0.0'],
      { latest: '1.1.0' },
    ],
    [
      'nothing that was never latest while there is an earlier',
      { latest: '2.0.0' },
      ['1.0.0', '2.0.0', '3.0.0'],
      ['2.0.0'],
      { latest: '1.0.0' },
    ],
    ['something later rather than nothing', { latest: '2.0.0' }, ['2.0.0', '3.0.0'], ['2.0.0'], { latest: '3.0.0' }],
    [
      'a prerelease rather than nothing',
      { latest: '2.0.0' },
      ['2.0.0-rc.1', '2.0.0'],
      ['2.0.0'],
      { latest: '2.0.0-rc.1' },
    ],
    ['nothing, when nothing is left', { latest: '2.0.0' }, ['2.0.0'], ['2.0.0'], {}],
    ['itself, when it is not held back', { latest: '1.0.0' }, ['1.0.0', '2.0.0'], ['2.0.0'], { latest: '1.0.0' }],
  ])('has latest at %s', (_name, tags, versions, refused, repaired) => {
    expect(write(heldBack(tags, versions, refused), 'full')['dist-tags']).toEqual(repaired);
  });

  it('has other tags within their own line or not at all', () => {
    const versions = [
      '1.0.0',
      '2.0.0',
      '2.1.0',
      '3.0.0-beta.1',
      '3.0.0-canary.1',
      '3.0.0-canary.2',
      '4.0.0-next.0',
      '5.0.0',
    ];
    const tags = {
      latest: '1.0.0',
      canary: '3.0.0-canary.2',
      'release-2': '2.1.0',
      'release-5': '5.0.0',
      next: '4.0.0-next.0',
      odd: 'gone',
    };
    expect(
      write(heldBack(tags, versions, ['3.0.0-canary.2', '2.1.0', '4.0.0-next.0', '5.0.0']), 'full')['dist-tags'],
    ).toEqual({
      latest: '1.0.0',
      canary: '3.0.0-canary.1',
      'release-2': '2.0.0',
      odd: 'gone',
    });
  });

  it.each(['full', 'abbreviated'])('says why, where npm looks for it, also in the %s form', (variant) => {
    const made = write(heldBack({ latest: '2.0.0' }, ['1.0.0', '1.5.0', '2.0.0'], ['1.5.0', '2.0.0']), variant);
    expect(made.policyRestrictions).toEqual({
      versions: { '1.5.0': { name: 'p', version: '1.5.0' }, '2.0.0': { name: 'p', version: '2.0.0' } },
      message: '1.5.0, 2.0.0: Too young. (until 2026-01-01T00:00:00Z)',
    });
    expect(Object.keys(made.versions)).toEqual(['1.0.0']);
    expect(Object.keys(made.time ?? {})).toEqual(['created', 'modified', '1.0.0']);
  });

  it('says so in few words when there are many', () => {
    const versions = Array.from({ length: 300 }, (_, i) => `1.0.${i}`);
    const { policyRestrictions } = write(heldBack({ latest: '1.0.0' }, versions, versions), 'full');
    expect((policyRestrictions as { message: string }).message).toMatch(/^1\.0\.290, .* and 290 more: Too young/);
  });

  it('keeps what upstream holds back itself', () => {
    const upstreams = { versions: { '0.1.0': { version: '0.1.0' } }, message: 'Upstream says no.' };
    const doc = read(packumentJson('p', [manifest('p', '1.0.0')], { policyRestrictions: upstreams }));
    const made = write(packument.withhold?.(doc, () => ({ rule: 'r', reason: 'We say no.' })) as Packument, 'full');
    expect(made.policyRestrictions).toEqual({
      versions: { ...upstreams.versions, '1.0.0': { name: 'p', version: '1.0.0' } },
      message: 'Upstream says no.\n1.0.0: We say no.',
    });
  });
});

describe('upstream is asked', () => {
  it.each([
    ['express', 'express'],
    ['@acme/bar', '@acme%2fbar'],
    ['JSONStream', 'JSONStream'],
    ['@acme/bar/-/bar-1.0.0+x.tgz', '@acme/bar/-/bar-1.0.0%2Bx.tgz'],
    ['express/-/express-4.0.0.tgz', 'express/-/express-4.0.0.tgz'],
    ['-/npm/v1/keys', '-/npm/v1/keys'],
    ['-/npm/v1/attestations/@acme/bar@1.0.0', '-/npm/v1/attestations/@acme%2fbar@1.0.0'],
    ['-/npm/v1/attestations/express@4.0.0', '-/npm/v1/attestations/express@4.0.0'],
  ])('for %s at %s', (path, url) => {
    expect(format.upstream?.locate?.(path, { base: 'https://r.example/npm' })).toBe(`https://r.example/npm/${url}`);
  });
});

describe('what is only passed on', () => {
  function forward(method: string, path: string): Forward {
    const found = intentOf(router, method, path)?.intent;
    if (found?.kind !== 'forward') throw new Error(`${path} is ${found?.kind}`);
    return found;
  }

  it.each([
    ['/-/npm/v1/security/advisories/bulk', {}],
    [
      '/-/npm/v1/security/audits/quick',
      {
        actions: [],
        advisories: {},
        muted: [],
        metadata: {
          vulnerabilities: { info: 0, low: 0, moderate: 0, high: 0, critical: 0 },
          dependencies: 0,
          devDependencies: 0,
          optionalDependencies: 0,
          totalDependencies: 0,
        },
      },
    ],
  ])('is an audit at %s, and clean where upstream has none', (path, clean) => {
    const found = forward('POST', path);
    expect(found.path).toBe(path.slice(1));
    expect(parsed(found.otherwise)).toEqual(clean);
    expect(found.accepts?.('application/json; charset=utf-8')).toBe(true);
    expect(found.accepts?.('text/html')).toBe(false);
    expect(found.headers).toEqual(expect.arrayContaining(['content-type', 'content-encoding']));
    expect(found.headers).not.toContain('authorization');
  });

  const isPrivate = (name: string): boolean => name.startsWith('@acme/');
  const bulk = forward('POST', '/-/npm/v1/security/advisories/bulk').redact;
  const quick = forward('POST', '/-/npm/v1/security/audits/quick').redact;
  const body = bytesOf({ express: ['4.0.0'], '@acme/secret': ['1.0.0'] });

  it('is an audit without the names that must not leave', () => {
    expect(JSON.parse(Buffer.from(bulk?.(body, undefined, isPrivate) ?? []).toString())).toEqual({
      express: ['4.0.0'],
    });
  });

  it('is an audit in the coding it came in', () => {
    const sent = bulk?.(gzipSync(body), 'gzip', isPrivate);
    expect(JSON.parse(gunzipSync(sent ?? Buffer.alloc(0)).toString())).toEqual({ express: ['4.0.0'] });
  });

  it('is an audit as it is when nothing in it is private', () => {
    const packed = gzipSync(body);
    expect(bulk?.(packed, 'gzip', () => false)).toBe(packed);
  });

  it('is a tree without the private names anywhere in it', () => {
    const leaf = { version: '1.0.0', requires: { '@acme/deep': '^1.0.0', ms: '2' } };
    const tree = {
      name: '@acme/app',
      version: '1.0.0',
      requires: { '@acme/secret': '1.0.0', express: '4.0.0' },
      dependencies: {
        '@acme/secret': { version: '1.0.0' },
        express: { ...leaf, dependencies: { '@acme/inner': { version: '1' }, ms: { version: '2', requires: true } } },
      },
      install: ['@acme/secret@1.0.0', 'express@4.0.0'],
      metadata: { node_version: 'v24' },
    };
    const sent = JSON.parse(Buffer.from(quick?.(bytesOf(tree), undefined, isPrivate) ?? []).toString());
    expect(sent).toEqual({
      version: '1.0.0',
      requires: { express: '4.0.0' },
      dependencies: {
        express: { version: '1.0.0', requires: { ms: '2' }, dependencies: { ms: { version: '2', requires: true } } },
      },
      install: ['express@4.0.0'],
      metadata: { node_version: 'v24' },
    });
    expect(JSON.stringify(sent)).not.toContain('@acme');
  });

  it.each<[string, Uint8Array, string | undefined]>([
    ['cut', gzipSync(body).subarray(0, 20), 'gzip'],
    ['in an unknown coding', body, 'compress'],
    ['packed without saying so', gzipSync(body), undefined],
    ['a list', Buffer.from('["@acme/secret"]'), undefined],
    ['packed beyond measure', gzipSync(`{"express":[${' '.repeat(20 * 1024 * 1024)}]}`), 'gzip'],
  ])('is no audit that can’t be looked into: %s', (_name, bytes, encoding) => {
    expect(bulk?.(bytes, encoding, isPrivate)).toBeUndefined();
    expect(quick?.(bytes, encoding, isPrivate)).toBeUndefined();
  });
});

describe('what is answered without looking anything up', () => {
  it.each<[string, Identity, number, unknown]>([
    ['/', { kind: 'anonymous' }, 200, {}],
    ['/-/ping', { kind: 'anonymous' }, 200, {}],
    ['/-/ping?write=true', { kind: 'anonymous' }, 200, {}],
    ['/-/whoami', { kind: 'anonymous' }, 401, { error: expect.any(String) }],
    ['/-/whoami', { kind: 'user', name: 'alice' }, 200, { username: 'alice' }],
  ])('is %s', (path, who, status, json) => {
    const body = answered(intent(path), who);
    expect(body?.status ?? 200).toBe(status);
    expect(parsed(body)).toEqual(json);
  });
});

it('a problem is told where npm, pnpm and yarn look for it', () => {
  const body = format.problem(new Problem('refused', 'evil@1.0.0 is held back: it is known to be malicious.'));
  expect(parsed(body)).toEqual({ error: 'evil@1.0.0 is held back: it is known to be malicious.', code: 'refused' });
  expect(body).toMatchObject({ status: 403, headers: { 'content-type': 'application/json' } });
});

import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readSpecTuples } from '../../src/codecs/gem-marshal.ts';
import type { Document, DocumentType, Heard, Origin } from '../../src/core/format.ts';
import { compileRoutes } from '../../src/core/route.ts';
import { format } from '../../src/formats/rubygems/index.ts';
import { answered, base, conformance, intentOf } from '../conformance/format.ts';
import {
  documents,
  gemFacts,
  md5Of,
  namesPage,
  nokogiriInfo,
  otherSpecs,
  publishSamples,
  rackGemspec,
  rackInfo,
  sha256Of,
  specsList,
  specsMarshal,
  upstream,
  versionList,
  versionsPage,
} from './rubygems.samples.ts';

conformance(format, {
  documents,
  publish: publishSamples,
  examples: {
    root: ['/'],
    versions: ['/versions'],
    names: ['/names'],
    info: ['/info/rack', '/info/RedCloth', '/info/net-http.2_x', '/info/names', '/info/escape'],
    gem: ['/gems/rack-3.0.9.gem', '/gems/nokogiri-1.16.0-x86_64-linux.gem', '/gems/ffi-1.15.7-universal-darwin-20.gem'],
    gemspec: ['/quick/Marshal.4.8/rack-3.0.9.gemspec.rz'],
    specs: ['/specs.4.8.gz'],
    'latest-specs': ['/latest_specs.4.8.gz'],
    'prerelease-specs': ['/prerelease_specs.4.8.gz'],
    dependencies: ['/api/v1/dependencies', '/api/v1/dependencies?gems=rack,tilt'],
    'gem-facts': ['/api/v1/gems/rack.json'],
    'version-list': ['/api/v1/versions/rack.json'],
    latest: ['/api/v1/versions/rack/latest.json'],
    search: ['/api/v1/search.json?query=rack&page=2'],
    autocomplete: ['/api/v1/search/autocomplete?query=ra'],
    attestations: ['/api/v1/attestations/rack-3.0.9.json'],
    owners: ['/api/v1/gems/rack/owners.json'],
    'owners-yaml': ['/api/v1/gems/rack/owners.yaml'],
    push: ['/api/v1/gems'],
    yank: ['/api/v1/gems/yank'],
    'add-owner': ['/api/v1/gems/rack/owners'],
    'remove-owner': ['/api/v1/gems/rack/owners'],
    'sign-in': ['/api/v1/api_key'],
    key: ['/api/v1/api_key'],
  },
});

const router = compileRoutes(format.routes);

function typeNamed(id: string): DocumentType<unknown> {
  const type = format.documents.find((one) => one.id === id);
  if (!type) throw new Error(`there is no ${id}`);
  return type;
}

const originOf = (path: string, headers: Readonly<Record<string, string>> = {}): Origin => ({
  url: `${upstream}/${path}`,
  path,
  headers,
});

function decoded(type: DocumentType<unknown>, path: string, bytes: string | Uint8Array, headers = {}): unknown {
  return type.decode(Buffer.from(bytes), originOf(path, headers));
}

function encoded(type: DocumentType<unknown>, doc: unknown, variant = '') {
  const body = type.encode(doc, variant, base);
  if (!body) throw new Error('there is no such projection');
  return { bytes: Buffer.from(body.bytes), text: Buffer.from(body.bytes).toString(), headers: body.headers ?? {} };
}

function mergedText(type: string, path: string, ...pages: readonly string[]): string {
  const kind = typeNamed(type);
  const docs = pages.map((page) => decoded(kind, path, page));
  return encoded(kind, kind.merge?.(docs, path)).text;
}

const line = (name: string, versions: string, page = `${name} ${versions}`): string =>
  `${name} ${versions} ${md5Of(page)}\n`;

describe('the head of a page', () => {
  it.each([
    ['versions', 'versions', versionsPage],
    ['names', 'names', namesPage],
    ['info', 'info/rack', rackInfo],
  ])('of %s tells MD5 and SHA-256 of what it stands above', (id, path, bytes) => {
    const { headers } = encoded(typeNamed(id), decoded(typeNamed(id), path, bytes));
    const sha256 = createHash('sha256').update(bytes).digest('base64');
    expect(headers).toEqual({
      'content-type': 'text/plain; charset=utf-8',
      etag: `"${md5Of(bytes)}"`,
      'repr-digest': `sha-256=:${sha256}:`,
      digest: `sha-256=${sha256}`,
    });
    expect(typeNamed(id).ranges).toBe(true);
  });
});

describe('the digest that comes with a page', () => {
  const sha256 = createHash('sha256').update(rackInfo).digest('base64');
  const read = (headers: Readonly<Record<string, string>>) => () =>
    decoded(typeNamed('info'), 'info/rack', rackInfo, headers);

  it.each([
    { 'repr-digest': `sha-256=:${sha256}:` },
    { 'repr-digest': `sha-512=:AAAA:, sha-256=:${sha256}:`, digest: 'sha-256=else' },
    { digest: `SHA-256=${sha256}` },
    { 'repr-digest': 'md5=:AAAA:' },
    { digest: 'whatever' },
  ])('is met: %j', (headers) => {
    expect(read(headers)).not.toThrow();
  });

  it.each(['versions', 'names', 'info'])('has to be met by %s', (id) => {
    const bytes = { versions: versionsPage, names: namesPage, info: rackInfo }[id] ?? '';
    const other = createHash('sha256').update('something else').digest('base64');
    expect(() => decoded(typeNamed(id), id, bytes, { 'repr-digest': `sha-256=:${other}:` })).toThrow('SHA-256');
    expect(() => decoded(typeNamed(id), id, bytes, { digest: `sha-256=${other}` })).toThrow('SHA-256');
  });
});

describe('versions of several sources', () => {
  const big = `created_at: 2024-04-01T00:00:05Z\n---\n${line('rack', '3.0.9')}${line('tilt', '2.3.0')}${line('rack', '3.0.10')}${line('rack-test', '1.0')}`;
  const small = `created_at: 2020-01-01T00:00:00Z\n---\n${line('acme', '1.0')}`;

  it('have the largest part last, under its own head, whichever comes first', () => {
    const wanted = `created_at: 2024-04-01T00:00:05Z\n---\n${line('acme', '1.0')}${big.slice(big.indexOf('rack'))}`;
    expect(mergedText('versions', 'versions', small, big)).toBe(wanted);
    expect(mergedText('versions', 'versions', big, small)).toBe(wanted);
  });

  it('only grow at their end while the largest grows', () => {
    const before = mergedText('versions', 'versions', small, big);
    const after = mergedText('versions', 'versions', small, `${big}${line('tilt', '-2.3.0')}`);
    expect(after).toBe(`${before}${line('tilt', '-2.3.0')}`);
  });

  it('are the first source’s for a name that it has, all its lines', () => {
    const ours = `---\n${line('rack', '0.1')}${line('acme', '1.0')}`;
    expect(mergedText('versions', 'versions', ours, big)).toBe(
      `created_at: 2024-04-01T00:00:05Z\n---\n${line('rack', '0.1')}${line('acme', '1.0')}${line('tilt', '2.3.0')}${line('rack-test', '1.0')}`,
    );
    expect(mergedText('versions', 'versions', big, ours)).toContain(line('rack', '3.0.10'));
    expect(mergedText('versions', 'versions', big, ours)).not.toContain(line('rack', '0.1'));
  });

  it('take nothing from a third that the second has', () => {
    const second = `---\n${line('beta', '1.0')}`;
    const third = `---\n${line('beta', '9.9')}${line('gamma', '1.0')}`;
    const merged = mergedText('versions', 'versions', small, second, third);
    expect(merged).not.toContain('9.9');
    expect(merged).toContain(line('beta', '1.0'));
    expect(merged).toContain(line('gamma', '1.0'));
  });

  it('are the first document itself where the others add nothing', () => {
    expect(mergedText('versions', 'versions', big, `---\n${line('rack', '9')}`)).toBe(big);
  });

  it('bear blank lines, which some servers write', () => {
    const gappy = `---\n\n${line('beta', '1.0')}\n\n`;
    expect(mergedText('versions', 'versions', gappy)).toBe(gappy);
    expect(mergedText('versions', 'versions', big, gappy)).toContain(line('beta', '1.0'));
  });
});

describe('names of several sources', () => {
  it('are all of them in order', () => {
    expect(mergedText('names', 'names', namesPage, '---\nacme\nrack\n')).toBe(
      '---\nRedCloth\nacme\nnokogiri\nrack\ntilt\n',
    );
  });
});

describe('the page of a gem', () => {
  const info = typeNamed('info');

  it('tells path, digest and time of each version', () => {
    const links = [...(info.links?.(decoded(info, 'info/nokogiri', nokogiriInfo), originOf('info/nokogiri')) ?? [])];
    expect(links).toEqual(
      [
        ['1.16.0', '2023-12-27T18:25:00Z'],
        ['1.16.0-java', '2023-12-27T18:26:00Z'],
        ['1.16.0-x86_64-linux', '2023-12-27T18:27:00Z'],
      ].map(([version, publishedAt]) => ({
        path: `gems/nokogiri-${version}.gem`,
        version,
        digests: [`sha256:${sha256Of(`nokogiri-${version}`)}`],
        publishedAt,
      })),
    );
  });

  it('without the versions held back has a digest of its own', () => {
    const page = info.withhold?.(decoded(info, 'info/nokogiri', nokogiriInfo), (version) =>
      version === '1.16.0-java' ? { rule: 'age', reason: 'It is too new.' } : undefined,
    );
    const { text, headers } = encoded(info, page);
    expect(text).toBe(nokogiriInfo.replace(/^1\.16\.0-java.*\n/m, ''));
    expect(headers.etag).toBe(`"${md5Of(text)}"`);
  });

  it('of which nothing is left is a page without lines', () => {
    const page = info.withhold?.(decoded(info, 'info/rack', rackInfo), () => ({ rule: 'a', reason: 'b' }));
    expect(encoded(info, page).text).toBe('---\n');
    expect(encoded(info, decoded(info, 'info/rack', '---\n')).text).toBe('---\n');
  });
});

describe('a gem', () => {
  const gem = (full: string) => {
    const found = intentOf(router, 'GET', `/gems/${full}.gem`)?.intent;
    return found?.kind === 'artifact' ? found : undefined;
  };

  it.each([
    ['rack-3.0.9', 'rack', '3.0.9'],
    ['nokogiri-1.16.0-x86_64-linux', 'nokogiri', '1.16.0-x86_64-linux'],
    ['net-http-persistent-4.0.2', 'net-http-persistent', '4.0.2'],
    ['rack-2fa-1.0.0.pre1', 'rack-2fa', '1.0.0.pre1'],
    ['rails_x-1.0-x64-mingw-ucrt', 'rails_x', '1.0-x64-mingw-ucrt'],
  ])('%s has one reading, and the page of its name describes it', (full, name, version) => {
    expect(gem(full)).toMatchObject({
      name,
      version,
      describedBy: { type: { id: 'info' }, path: `info/${name}`, name },
    });
  });

  it.each([
    ['ffi-1.15.7-universal-darwin-20', 'ffi', ['ffi', 'ffi-1.15.7-universal-darwin']],
    ['foo-2-1.0', 'foo-2', ['foo-2', 'foo']],
    ['foo-2-linux-1.0', 'foo-2-linux', ['foo-2-linux', 'foo']],
    ['a-1-x86-mswin32-60', 'a', ['a', 'a-1-x86-mswin32']],
  ])('%s is probably of %s, and the pages are asked in that order', (full, name, asked) => {
    const intent = gem(full);
    expect(intent).toMatchObject({ name, describedBy: { type: { id: 'full-name' }, name } });
    const want = intent?.describedBy as Document;
    const heard: Heard[] = [];
    for (const one of asked) {
      expect(want.type.obtain?.(want, heard)).toEqual({ ask: { path: `info/${one}` } });
      heard.push({ status: 404, headers: {}, url: `${upstream}/info/${one}`, bytes: Buffer.from('Not found') });
    }
    expect(want.type.obtain?.(want, heard)).toEqual({ absent: true });
  });

  it('is found under the name whose page lists it', () => {
    const want = gem('foo-2-1.0')?.describedBy as Document;
    const listed = `2-1.0 |checksum:${sha256Of('foo')},created_at:2024-01-01T00:00:00Z`;
    const page = (bytes: string): Heard => ({ status: 200, headers: {}, url: upstream, bytes: Buffer.from(bytes) });
    const step = want.type.obtain?.(want, [page('---\n1.1 |\n'), page(`---\n2 |\n${listed}\n`)]);
    expect(step && 'bytes' in step && Buffer.from(step.bytes).toString()).toBe(`foo\n${listed}\n`);
    const doc = decoded(want.type, want.path, step && 'bytes' in step ? step.bytes : '');
    expect([...(want.type.links?.(doc, originOf(want.path)) ?? [])]).toEqual([
      {
        path: 'gems/foo-2-1.0.gem',
        version: '2-1.0',
        digests: [`sha256:${sha256Of('foo')}`],
        publishedAt: '2024-01-01T00:00:00Z',
      },
    ]);
  });

  it.each(['rack', '1.0.0', '-1.0.0', 'rack-', 'rack-x', 'ra ck-1.0'])('is never called %s', (full) => {
    expect(gem(encodeURIComponent(full))).toBeUndefined();
  });

  it('is no page and no message', () => {
    const accepts = gem('rack-3.0.9')?.accepts;
    expect(
      ['text/html', 'text/plain', 'application/json', 'application/problem+json'].some((type) => accepts?.(type)),
    ).toBe(false);
    expect(['application/octet-stream', 'application/x-tar', ''].every((type) => accepts?.(type))).toBe(true);
  });

  it('of an upstream without compact index is described by nothing', () => {
    const legacy = compileRoutes(format.configure?.({ compactIndex: false }).routes ?? []);
    const found = intentOf(legacy, 'GET', '/gems/foo-2-1.0.gem')?.intent;
    expect(found).toMatchObject({ kind: 'artifact', name: 'foo-2' });
    expect(found).not.toHaveProperty('describedBy');
  });
});

describe('lists of several sources', () => {
  const specs = typeNamed('spec-list');
  const read = (bytes: Uint8Array): string[] =>
    [...readSpecTuples(gunzipSync(bytes))].map(({ name, version, platform }) => `${name} ${version} ${platform}`);

  it('are the first source’s for a name that it has', () => {
    const docs = [specsList, otherSpecs].map((bytes) => decoded(specs, 'specs.4.8.gz', bytes));
    const merged = read(encoded(specs, specs.merge?.(docs, 'specs.4.8.gz')).bytes);
    expect(merged).toEqual([...read(specsList), 'acme-tool 0.1.0 ruby', 'acme-tool 3.0.9 java']);
    const turned = read(encoded(specs, specs.merge?.(docs.toReversed(), 'specs.4.8.gz')).bytes);
    expect(turned).toEqual([...read(otherSpecs), ...read(specsList).filter((one) => !one.startsWith('rack '))]);
  });

  it('have the time of the newest', () => {
    const [one, other] = ['Mon, 01 Apr 2024 00:00:00 GMT', 'Tue, 02 Jan 2024 00:00:00 GMT'];
    const docs = [
      decoded(specs, 'specs.4.8.gz', specsList, { date: other, 'last-modified': one }),
      decoded(specs, 'specs.4.8.gz', otherSpecs, { 'last-modified': one }),
    ];
    expect(encoded(specs, docs[0]).headers['last-modified']).toBe(other);
    expect(encoded(specs, specs.merge?.(docs, 'specs.4.8.gz')).headers['last-modified']).toBe(one);
  });

  it('are looked at to their end before they are stored', () => {
    const broken = Buffer.from(specsMarshal);
    broken[broken.length - 2] = 0x41;
    expect(() => decoded(specs, 'specs.4.8.gz', gzipSync(broken))).toThrow(Error);
  });

  it.each([
    ['an array of something else', Buffer.from('04085b0669066906', 'hex')],
    ['an object', Buffer.from('04086f3a0b4f626a65637400', 'hex')],
    ['a list and more', Buffer.concat([specsMarshal, Buffer.from('0')])],
  ])('are not %s', (_name, bytes) => {
    expect(() => decoded(specs, 'specs.4.8.gz', bytes)).toThrow(Error);
  });
});

describe('a specification', () => {
  it.each(['rack-3.0.10', 'racks-3.0.9', 'rack-3.0.9.1'])('of another gem is not that of %s', (full) => {
    const gemspec = typeNamed('gemspec');
    expect(() => decoded(gemspec, `quick/Marshal.4.8/${full}.gemspec.rz`, rackGemspec)).toThrow('rack-3.0.9');
  });

  it('may be of a platform', () => {
    expect(() =>
      decoded(typeNamed('gemspec'), 'quick/Marshal.4.8/rack-3.0.9-java.gemspec.rz', rackGemspec),
    ).not.toThrow();
  });
});

describe('the API', () => {
  it('has addresses of ours', () => {
    const type = typeNamed('gem-facts');
    const facts = decoded(type, 'api/v1/gems/rack.json', JSON.stringify({ ...gemFacts, platform: 'java' }));
    expect(JSON.parse(encoded(type, facts).text)).toEqual({
      ...gemFacts,
      platform: 'java',
      gem_uri: `${base}/gems/rack-3.0.10-java.gem`,
    });
  });

  it.each([
    [versionList, '3.0.10'],
    [versionList.slice(0, 1), 'unknown'],
  ])('tells the newest version that is none to try', (list, version) => {
    const type = typeNamed('version-list');
    const doc = decoded(type, 'api/v1/versions/rack.json', JSON.stringify(list));
    expect(JSON.parse(encoded(type, doc, 'latest').text)).toEqual({ version });
  });

  it('has no dependencies, at once', () => {
    expect(answered(intentOf(router, 'GET', '/api/v1/dependencies?gems=rack')?.intent)).toMatchObject({ status: 404 });
  });
});

describe('options', () => {
  it('are what they are said to be', () => {
    expect(() => format.configure?.({ compactIndex: 'no' })).toThrow('true or false');
  });
});

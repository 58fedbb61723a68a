import { describe, expect, it } from 'vitest';
import { readXml, type XmlElement } from '../../src/codecs/xml.ts';
import type { SetupTarget } from '../../src/core/client-setup.ts';
import type { Document, Intent, Origin } from '../../src/core/format.ts';
import { Problem } from '../../src/core/problem.ts';
import { compileRoutes } from '../../src/core/route.ts';
import { escapeXml } from '../../src/formats/nuget/atom.ts';
import { format } from '../../src/formats/nuget/index.ts';
import { packageLeaf } from '../../src/formats/nuget/leaf.ts';
import { registration } from '../../src/formats/nuget/registration.ts';
import { isIndex, locate, serviceIndex } from '../../src/formats/nuget/resources.ts';
import { search } from '../../src/formats/nuget/search.ts';
import { setups } from '../../src/formats/nuget/setup.ts';
import { signatures } from '../../src/formats/nuget/signatures.ts';
import { isSemVer2, isSemVer2Range, normalVersion, sortByVersion } from '../../src/formats/nuget/version.ts';
import { vulnerabilities } from '../../src/formats/nuget/vulnerabilities.ts';
import { base, conformance, intentOf } from '../conformance/format.ts';
import {
  bytesOf,
  catalogLeaf,
  documents,
  hashOf,
  leafJson,
  pageJson,
  publish,
  registrationJson,
  searchHost,
  searchJson,
  serviceIndexJson,
  signaturesJson,
  standaloneLeaf,
  thingsIndex,
  upstream,
} from './nuget.samples.ts';

conformance(format, {
  documents,
  publish,
  examples: {
    root: ['/'],
    'service-index': ['/v3/index.json'],
    versions: ['/v3/flat/newtonsoft.json/index.json', '/v3/flat/Newtonsoft.Json/index.json'],
    nupkg: [
      '/v3/flat/newtonsoft.json/13.0.3/newtonsoft.json.13.0.3.nupkg',
      '/v3/flat/Newtonsoft.Json/13.0.3.0/Newtonsoft.Json.13.0.3.nupkg',
    ],
    nuspec: ['/v3/flat/newtonsoft.json/13.0.3/newtonsoft.json.nuspec'],
    icon: ['/v3/flat/newtonsoft.json/13.0.3/icon'],
    readme: ['/v3/flat/newtonsoft.json/13.0.3/readme'],
    license: ['/v3/flat/newtonsoft.json/13.0.3/license'],
    symbols: ['/v3/flat/newtonsoft.json/13.0.3/newtonsoft.json.13.0.3.snupkg'],
    search: ['/v3/search', '/v3/search?q=json&skip=0&take=26&prerelease=true&semVerLevel=2.0.0'],
    autocomplete: ['/v3/autocomplete?q=newt', '/v3/autocomplete?id=Newtonsoft.Json&prerelease=true'],
    vulnerabilities: ['/v3/vulnerabilities/index.json'],
    'vulnerability-page': ['/v3/vulnerabilities/base-0123456789abcdef.json'],
    'repository-signatures': ['/v3/repository-signatures/index.json'],
    registration: [
      '/v3/registration/newtonsoft.json/index.json',
      '/v3/registration-gz/Newtonsoft.Json/index.json',
      '/v3/registration-semver2/newtonsoft.json/index.json',
    ],
    'registration-page': ['/v3/registration-semver2/newtonsoft.json/page/3.5.8/13.0.3.json'],
    'registration-leaf': ['/v3/registration-semver2/newtonsoft.json/13.0.3.json'],
    'v2-root': ['/v2'],
    'v2-root-slash': ['/v2/'],
    'v2-metadata': ['/v2/$metadata', '/v2/%24metadata'],
    'v2-find': [
      "/v2/FindPackagesById()?id='Newtonsoft.Json'&semVerLevel=2.0.0",
      '/v2/FindPackagesById%28%29?id=%27Newtonsoft.Json%27&$skip=0&$top=40',
    ],
    'v2-packages': [
      "/v2/Packages(Id='Newtonsoft.Json',Version='13.0.3')",
      "/v2/Packages()?$filter=tolower(Id)%20eq%20'x'",
      '/v2/Packages',
    ],
    'v2-search': [
      "/v2/Search()?$filter=IsLatestVersion&searchTerm='json'&targetFramework=''&includePrerelease=false&$skip=0&$top=30",
    ],
    'v2-count': ["/v2/Search()/$count?searchTerm='json'"],
    'v2-package': ['/v2/package/Newtonsoft.Json/13.0.3'],
    push: ['/v3/package'],
    'push-slash': ['/v3/package/'],
    unlist: ['/v3/package/Acme.Things/1.0'],
    relist: ['/v3/package/Acme.Things/1.0'],
    'v2-push': ['/v2/package'],
    'v2-push-slash': ['/v2/package/'],
    'v2-unlist': ['/v2/package/Acme.Things/1.0.0'],
    'v2-relist': ['/v2/package/Acme.Things/1.0.0'],
    'v2-push-api': ['/api/v2/package'],
    'v2-push-api-slash': ['/api/v2/package/'],
    'v2-unlist-api': ['/api/v2/package/Acme.Things/1.0.0'],
    'v2-relist-api': ['/api/v2/package/Acme.Things/1.0.0'],
    'v2-push-source': ['/v2'],
    'v2-push-source-slash': ['/v2/'],
    'v2-unlist-source': ['/v2/Acme.Things/1.0.0'],
    'v2-relist-source': ['/v2/Acme.Things/1.0.0'],
    'push-symbols': ['/v3/symbolpackage'],
    'push-symbols-slash': ['/v3/symbolpackage/'],
  },
});

const router = compileRoutes(format.routes);

function intent(path: string): Intent | undefined {
  return intentOf(router, 'GET', path)?.intent;
}

function originOf(path: string, url = `${upstream}/x`): Origin {
  return { url, path, headers: {} };
}

/** The sample of a type as it is answered to, in a projection. */
function encoded(type: string, variant: string, at = base, bytes?: Uint8Array): string {
  const sample = documents.find((one) => one.type === type);
  const known = format.documents.find(({ id }) => id === type);
  if (!sample || !known) throw new Error(`there is no ${type}`);
  const doc = known.decode(bytes ?? sample.bytes, originOf(sample.path, sample.url));
  return Buffer.from(known.encode(doc, variant, at)?.bytes ?? 'nothing').toString();
}

describe('versions', () => {
  it.each([
    ['1', '1.0.0'],
    ['1.0', '1.0.0'],
    ['1.00.0', '1.0.0'],
    ['1.0.0.0', '1.0.0'],
    ['1.0.0.1', '1.0.0.1'],
    ['01.2.03', '1.2.3'],
    ['1.0.0-Beta', '1.0.0-beta'],
    ['1.0.0-Beta.01+Build.5', '1.0.0-beta.01'],
    ['1.0+x', '1.0.0'],
    ['2147483647.0.0', '2147483647.0.0'],
    ['latest', undefined],
    ['1.0.0.0.0', undefined],
    ['1.0.0-', undefined],
    ['-1.0', undefined],
    ['1.0.0_1', undefined],
    ['v1.0.0', undefined],
    ['', undefined],
  ])('%s is %s', (text, normal) => {
    expect(normalVersion(text)).toBe(normal);
    if (normal !== undefined) expect(normalVersion(normal)).toBe(normal);
  });

  it('have an order', () => {
    const ordered = [
      '0.9',
      '1.0.0-1',
      '1.0.0-2',
      '1.0.0-10',
      '1.0.0-ALPHA',
      '1.0.0-alpha.1',
      '1.0.0-beta',
      '1.0',
      '1.0.0.1',
      '1.0.1',
      '1.10',
    ];
    const mixed = [...ordered].sort((a, b) => (a.length === b.length ? (a < b ? 1 : -1) : b.length - a.length));
    expect(sortByVersion(mixed, (version) => version)).toEqual(ordered);
  });

  it.each([
    ['1.0.0-rc1', false],
    ['1.0.0-rc.1', true],
    ['1.0.0+5', true],
    ['1.0.0.1', false],
  ])('%s is beyond older clients: %s', (version, beyond) => {
    expect(isSemVer2(version)).toBe(beyond);
    expect(isSemVer2Range(`[1.0.0, ${version})`)).toBe(beyond);
    expect(isSemVer2Range(`(${version}, ]`)).toBe(beyond);
  });
});

describe('where things are', () => {
  const decoded = serviceIndex.decode(
    bytesOf(serviceIndexJson),
    originOf('v3/index.json', `${upstream}/v3/index.json`),
  );

  it.each([
    ['v3/index.json', `${upstream}/v3/index.json`],
    ['v3/flat/a.b/index.json', `${upstream}/v3-flatcontainer/a.b/index.json`],
    ['v3/flat/a.b/1.0.0/a.b.1.0.0.nupkg', `${upstream}/v3-flatcontainer/a.b/1.0.0/a.b.1.0.0.nupkg`],
    ['v3/registration/a.b/index.json', `${upstream}/v3/registration5-gz-semver2/a.b/index.json`],
    ['v3/search', `https://${searchHost}/query`],
    ['v3/autocomplete', `https://${searchHost}/autocomplete`],
    ['v3/vulnerabilities/index.json', `${upstream}/v3/vulnerabilities/index.json`],
  ])('%s is %s', (path, url) => {
    expect(locate(path, { base: `${upstream}/v3`, discovered: decoded })).toBe(url);
    // Whoever configures the index itself means the same.
    expect(locate(path, { base: `${upstream}/v3/index.json`, discovered: decoded })).toBe(url);
  });

  it('is the index once more where upstream has no such thing, and that is known for what it is', () => {
    const { search: _, ...less } = decoded;
    expect(locate('v3/search', { base: `${upstream}/v3`, discovered: less })).toBe(`${upstream}/v3/index.json`);
    expect(isIndex(bytesOf(serviceIndexJson))).toBe(true);
    expect(isIndex(bytesOf(searchJson))).toBe(false);
    expect(isIndex(bytesOf({ data: [{ id: '"resources"' }] }))).toBe(false);
  });

  it('says everything by every name that clients know, and signatures over https only', () => {
    const plain = JSON.parse(encoded('service-index', '')) as { resources: { '@id': string; '@type': string }[] };
    const types = plain.resources.map((one) => one['@type']);
    expect(types).toEqual(
      expect.arrayContaining([
        'PackageBaseAddress/3.0.0',
        ...['', '/3.0.0-beta', '/3.0.0-rc', '/3.4.0', '/3.6.0', '/Versioned'].map((as) => `RegistrationsBaseUrl${as}`),
        ...['', '/3.0.0-beta', '/3.0.0-rc', '/3.4.0', '/3.5.0'].map((as) => `SearchQueryService${as}`),
        ...['', '/3.0.0-beta', '/3.5.0'].map((as) => `SearchAutocompleteService${as}`),
        'VulnerabilityInfo/6.7.0',
        'LegacyGallery/2.0.0',
        'PackageDetailsUriTemplate/5.1.0',
      ]),
    );
    expect(new Set(types).size).toBe(types.length);
    // Who advertises it is asked to take packages in.
    expect(types.filter((type) => /Publish|Catalog|Signatures/.test(type))).toEqual([]);
    const encrypted = encoded('service-index', '', 'https://larder.example/public/nuget');
    expect(encrypted.match(/RepositorySignatures/g)).toHaveLength(3);
  });
});

describe('registrations', () => {
  const versionsIn = (hive: string): string[] =>
    (
      JSON.parse(encoded('registration', `index ${hive}`)) as {
        items: { items: { catalogEntry: { version: string } }[] }[];
      }
    ).items.flatMap(({ items }) => items.map(({ catalogEntry }) => catalogEntry.version));

  it('hide from older clients what they can’t read, also if only a dependency is it', () => {
    expect(versionsIn('registration')).toEqual(['1.0.0', '1.1.0-Beta', '1.10.0']);
    expect(versionsIn('registration-gz')).toEqual(versionsIn('registration'));
    expect(versionsIn('registration-semver2')).toEqual([
      '1.0.0',
      '1.1.0-Beta',
      '1.10.0',
      '2.0.0',
      '2.1.0+build.5',
      '3.0.0-rc.1',
    ]);
  });

  it('tell when a version was published, unless it lost its date with its place in the lists', () => {
    const doc = registration.decode(bytesOf(thingsIndex), originOf('v3/registration/acme.things/index.json'));
    const dates = [...(registration.links?.(doc, originOf('')) ?? [])].map(({ version, publishedAt }) => [
      version,
      publishedAt,
    ]);
    expect(dates.slice(0, 3)).toEqual([
      ['1.0.0', '2020-01-02T03:04:05+00:00'],
      ['1.1.0-beta', '2024-01-02T03:04:05.678+00:00'],
      ['1.10.0', undefined],
    ]);
  });

  it('keep what they say beside addresses', () => {
    const text = encoded('registration', 'index registration-semver2');
    for (const kept of [
      'Use the other one.',
      'https://github.com/a',
      'Reads & writes <things>.',
      '2.0.0-rc.1, 3.0.0',
    ]) {
      expect(text).toContain(kept);
    }
    expect(text).toContain(`${base}/v3/flat/acme.things/1.0.0/icon`);
    expect(text).toContain(`${base}/v3/registration-semver2/other.things/index.json`);
  });

  it('are given out in pages from 128 versions on, each of which can be asked for', () => {
    const leaves = Array.from({ length: 128 }, (_, n) => leafJson('Acme.Things', `1.0.${n}`));
    const bytes = bytesOf(registrationJson('Acme.Things', [pageJson('Acme.Things', leaves, '1.0.0', '1.0.127')]));
    const index = JSON.parse(encoded('registration', 'index registration', base, bytes)) as {
      items: { '@id': string; items?: unknown[]; lower: string; upper: string }[];
    };
    expect(index.items.map(({ lower, upper, items }) => [lower, upper, items])).toEqual([
      ['1.0.0', '1.0.63', undefined],
      ['1.0.64', '1.0.127', undefined],
    ]);
    const asked = intent(index.items[1]?.['@id'].slice(base.length) ?? '');
    const page = JSON.parse(encoded('registration', String(asked?.kind === 'document' && asked.variant), base, bytes));
    expect(page.items).toHaveLength(64);
    expect(page).toMatchObject({ lower: '1.0.64', upper: '1.0.127', '@id': index.items[1]?.['@id'] });
  });
});

describe('a leaf', () => {
  const origin = originOf('v3/registration/acme.things/1.0.0.json');
  const linkOf = (bytes: Uint8Array) => [...(packageLeaf.links?.(packageLeaf.decode(bytes, origin), origin) ?? [])][0];

  it('tells the digest, the size and the first date that the catalog has', () => {
    expect(linkOf(bytesOf({ leaf: standaloneLeaf, entry: catalogLeaf }))).toEqual({
      path: 'v3/flat/acme.things/1.0.0/acme.things.1.0.0.nupkg',
      version: '1.0.0',
      digests: [`sha512:${Buffer.from(hashOf('acme.things.1.0.0'), 'base64').toString('hex')}`],
      size: 17,
      publishedAt: '2019-12-31T00:00:00Z',
    });
  });

  it('tells less where there is less', () => {
    expect(linkOf(bytesOf({ leaf: { ...standaloneLeaf, published: '1900-01-01T00:00:00Z' } }))).toEqual({
      path: 'v3/flat/acme.things/1.0.0/acme.things.1.0.0.nupkg',
      version: '1.0.0',
    });
    expect(linkOf(bytesOf({ versions: { versions: ['1.0'] } }))).toMatchObject({ version: '1.0.0' });
  });
});

describe('the second version of the protocol', () => {
  const feed = (variant: string): XmlElement => readXml(Buffer.from(encoded('registration', variant)));
  const entries = (root: XmlElement): XmlElement[] => root.children.filter(({ name }) => name === 'entry');
  const property = (entry: XmlElement | undefined, name: string): string | undefined =>
    entry?.children.find((one) => one.name === 'properties')?.children.find((one) => one.name === name)?.text;

  it('has entries that say what a package needs, and where it is', () => {
    const [first] = entries(feed('v2-find registration-semver2 0 100 all'));
    expect(property(first, 'Id')).toBe('Acme.Things');
    expect(property(first, 'Dependencies')).toBe('Other.Things:1.2.0:netstandard2.0|::net45');
    expect(property(first, 'Description')).toBe('Reads & writes <things>.');
    expect(property(first, 'Published')).toBe('2020-01-02T03:04:05.000');
    const content = first?.children.find(({ name }) => name === 'content');
    expect(content?.attributes.src).toBe(`${base}/v2/package/Acme.Things/1.0.0`);
    expect(intent('/v2/package/Acme.Things/1.0.0')).toMatchObject({
      path: 'v3/flat/acme.things/1.0.0/acme.things.1.0.0.nupkg',
    });
  });

  it.each([
    ['all', ['1.0.0', '1.1.0-Beta', '1.10.0', '2.0.0', '2.1.0+build.5', '3.0.0-rc.1']],
    ['all desc', ['3.0.0-rc.1', '2.1.0+build.5', '2.0.0', '1.10.0', '1.1.0-Beta', '1.0.0']],
    ['latest', ['2.1.0+build.5']],
    ['absolute', ['3.0.0-rc.1']],
    ['stable', ['1.0.0', '1.10.0', '2.0.0', '2.1.0+build.5']],
    ['=1.10.0', ['1.10.0']],
  ])('gives %s', (which, versions) => {
    const found = entries(feed(`v2-find registration-semver2 0 100 ${which}`));
    expect(found.map((entry) => property(entry, 'Version'))).toEqual(versions);
  });

  it.each(['1900-01-01T00:00:00Z', '2024-01-01T00:00:00Z'])(
    'says of what is not listed that it was published in the year 1900, not %s',
    (published) => {
      const leaves = [leafJson('Acme.Things', '1.10.0', { listed: false, published })];
      const bytes = bytesOf(registrationJson('Acme.Things', [pageJson('Acme.Things', leaves, '1.10.0', '1.10.0')]));
      const xml = encoded('registration', 'v2-find registration-semver2 0 1 all', base, bytes);
      expect(property(entries(readXml(Buffer.from(xml)))[0], 'Published')).toBe('1900-01-01T00:00:00');
    },
  );

  it.each<[string, Partial<Document>]>([
    ["/v2/FindPackagesById()?id='Acme.Things'&$skip=0&$top=40", { variant: 'v2-find registration-gz 0 40 all' }],
    [
      "/v2/FindPackagesById()?ID='Acme.Things'&semVerLevel=2.0.0",
      { variant: 'v2-find registration-semver2 0 100000 all' },
    ],
    // nuget.exe 2.8.7
    [
      "/v2/FindPackagesById()?$filter=IsLatestVersion&$orderby=Version%20desc&$top=1&id='Acme.Things'",
      { variant: 'v2-find registration-gz 0 1 latest desc' },
    ],
    ["/v2/FindPackagesById(id='Acme.Things')", { variant: 'v2-find registration-gz 0 100000 all' }],
    ["/v2/Packages(Id='Acme.Things',Version='1.0')", { variant: 'v2-entry registration-semver2 1.0.0' }],
    // Chocolatey 0.10
    [
      "/v2/Packages()?$filter=(tolower(Id)%20eq%20'acme.things')%20and%20IsLatestVersion",
      { variant: 'v2-find registration-gz 0 100000 latest' },
    ],
    [
      "/v2/Packages()?$filter=Id%20eq%20'Acme.Things'%20and%20IsAbsoluteLatestVersion",
      { variant: 'v2-find registration-gz 0 100000 absolute' },
    ],
  ])('%s is about one package', (path, expected) => {
    expect(intent(path)).toMatchObject({ type: registration, name: 'acme.things', ...expected });
  });

  it.each([
    ["/v2/Search()?$filter=IsLatestVersion&searchTerm='it''s'&$skip=30&$top=30", 'v2 registration-gz 30 30'],
    ["/v2/Search()?searchTerm='x'&includePrerelease=true&semVerLevel=2.0.0", 'v2 registration-semver2 0 30 all'],
    ["/v2/Search()/$count?searchTerm='x'", 'v2-count registration-gz 0 30'],
    ['/v2/Packages()?$filter=IsAbsoluteLatestVersion&$orderby=Id&$top=100', 'v2 registration-gz 0 100'],
  ])('%s is a search', (path, variant) => {
    expect(intent(path)).toMatchObject({ type: search, variant });
  });

  it.each([
    '/v2/FindPackagesById()',
    "/v2/FindPackagesById()?id='a b'",
    "/v2/Packages(Id='x')",
    '/v2/GetUpdates()',
    "/v2/Packages(Id='x',Version='y')",
    // nuget.exe 2.8 looks for updates of several packages at once: half an answer would hide the other half.
    "/v2/Packages()?$filter=(tolower(Id)%20eq%20'a')%20or%20(tolower(Id)%20eq%20'b')",
    "/v2/Packages()?$filter=startswith(Id,'a')",
    "/v2/FindPackagesById()?id='a'&$filter=DownloadCount%20gt%205",
    "/v2/Search()?searchTerm='a'&$filter=Published%20gt%20DateTime'2024-01-01T00:00:00'",
  ])('%s is nothing that it knows', (path) => {
    expect(intent(path)).toBeUndefined();
  });

  it('writes nothing that XML can’t say', () => {
    expect(escapeXml('a\u0000<b>&"\ud800\uffff')).toBe('a&lt;b&gt;&amp;&quot;\ufffd');
  });
});

describe('questions', () => {
  function upstreamAsks(path: string): Record<string, string> {
    const found = intent(path);
    const step = found?.kind === 'document' ? found.type.obtain?.(found, []) : undefined;
    if (!step || !('ask' in step) || !('path' in step.ask)) throw new Error('it asks for no path');
    return Object.fromEntries(new URLSearchParams(step.ask.query));
  }

  it('ask from the beginning, so that pages of several sources can be put together', () => {
    expect(
      upstreamAsks('/v3/search?q=json&skip=20&take=20&prerelease=true&semVerLevel=2.0.0&packageType=DotnetTool'),
    ).toEqual({
      q: 'json',
      skip: '0',
      take: '64',
      prerelease: 'true',
      semVerLevel: '2.0.0',
      packageType: 'DotnetTool',
    });
    expect(upstreamAsks('/v3/search')).toEqual({ q: '', skip: '0', take: '32', prerelease: 'false' });
    expect(upstreamAsks('/v3/search?take=100000&skip=-1&q=%00%2F..')).toMatchObject({ take: '1000', q: '\u0000/..' });
  });

  it('that mean the same are the same document', () => {
    const pathOf = (query: string) => (intent(`/v3/search?${query}`) as Document).path;
    expect(pathOf('q=json&take=20')).toBe(pathOf('take=10&q=%20json%20&prerelease=false&x=1'));
    expect(pathOf('q=json')).not.toBe(pathOf('q=json&prerelease=true'));
    expect(pathOf('q=json')).not.toBe(pathOf('q=json&semVerLevel=2.0.0'));
  });

  it.each([
    ['Acme.Things', 'acme.things'],
    ['packageid:Acme.Things', 'acme.things'],
    ['id:"Acme.Things"', 'acme.things'],
    ['acme things', undefined],
    ['', undefined],
  ])('for "%s" are about %s', (text, name) => {
    expect(intent(`/v3/search?q=${encodeURIComponent(text)}`)).toMatchObject({
      across: true,
      ...(name === undefined ? {} : { otherNames: [name] }),
    });
    if (name === undefined) expect(intent(`/v3/search?q=${encodeURIComponent(text)}`)).not.toHaveProperty('otherNames');
  });

  it('that are too long are refused', () => {
    expect(() => intent(`/v3/search?q=${'a'.repeat(400)}`)).toThrow('too long');
  });
});

it('leaves out of a search what nobody could ask for', () => {
  const data = [
    { id: 'Ünicode', version: '1.0.0' },
    { id: 'Odd', version: 'latest' },
    { id: 'Fine', version: '1.0.0', versions: [{ version: '1.0.0' }, { version: 'odd' }] },
  ];
  const { found } = search.decode(bytesOf({ totalHits: 3, data }), originOf(''));
  expect(found.map(({ id, versions }) => [id, versions])).toEqual([['fine', [{ version: '1.0.0' }]]]);
});

describe('several sources', () => {
  it('demand signatures only if all are one', () => {
    const said = signatures.decode(bytesOf(signaturesJson), originOf(''));
    const nothing = signatures.decode(bytesOf({ allRepositorySigned: false, signingCertificates: [] }), originOf(''));
    const [certificate] = signaturesJson.signingCertificates;
    const otherwise = signatures.decode(
      bytesOf({
        allRepositorySigned: true,
        signingCertificates: [{ ...certificate, subject: 'CN=Other', fingerprints: { x: 'y' } }],
      }),
      originOf(''),
    );
    expect(said.all).toBe(true);
    expect(signatures.merge?.([said, nothing], '')).toMatchObject({ all: false, certificates: said.certificates });
    expect(signatures.merge?.([said, otherwise], '')).toMatchObject({ all: false });
    const unsafe = bytesOf({
      allRepositorySigned: true,
      signingCertificates: [certificate, { ...certificate, contentUrl: 'http://x/y' }],
    });
    expect(signatures.decode(unsafe, originOf(''))).toMatchObject({ all: false, certificates: [certificate] });
  });

  it('never have two pages of vulnerabilities by one name', () => {
    const [first, second] = [`${upstream}/a.json`, 'https://other.example/a.json'].map((url) =>
      vulnerabilities.decode(bytesOf([{ '@name': 'base', '@id': url }]), originOf('')),
    );
    const merged = vulnerabilities.merge?.([first ?? [], second ?? []], '') ?? [];
    expect(merged.map(({ name }) => name)).toEqual(['base', expect.stringMatching(/^base-[0-9a-f]{8}$/)]);
  });

  it('are searched in turns, and what both have is one result with the versions of both', () => {
    const result = (...data: object[]) => search.decode(bytesOf({ totalHits: 100, data }), originOf(''));
    const merged = search.merge?.(
      [
        result({ id: 'A', version: '1.0.0' }, { id: 'B', version: '1.0.0' }),
        result({ id: 'C', version: '1.0.0' }, { id: 'b', version: '2.0.0', description: 'not ours' }),
      ],
      '',
    );
    expect(merged?.found.map(({ id }) => id)).toEqual(['a', 'c', 'b']);
    expect(merged?.found[2]).toMatchObject({
      json: { id: 'B', version: '2.0.0' },
      versions: [{ version: '1.0.0' }, { version: '2.0.0' }],
    });
    expect(merged?.found[2]?.json).not.toHaveProperty('description');
  });
});

describe('an error', () => {
  it('is a warning that NuGet prints, on one line', () => {
    const body = format.problem(new Problem('upstream_unavailable', 'No answer.\r\nSet-Cookie: “x”'));
    expect(body.headers?.['x-nuget-warning']).toBe('No answer. Set-Cookie: x');
    expect(format.problem(new Problem('not_found', 'Not here.')).headers).not.toHaveProperty('x-nuget-warning');
  });

  it.each(['push', 'v2-push'])('is the status line of %s, and no warning where credentials are asked for', (route) => {
    const body = format.problem({ status: 401, code: 'unauthorized', message: 'The token has expired.', route });
    expect(body.reason).toBe('The token has expired.');
    expect(body.headers).not.toHaveProperty('x-nuget-warning');
  });

  it('is XML for clients that read no JSON', () => {
    const body = format.problem({ status: 404, code: 'not_found', message: 'a < b', route: 'v2-find' });
    expect(readXml(body.bytes)).toMatchObject({ name: 'error', children: [{ text: 'not_found' }, { text: 'a < b' }] });
  });
});

describe('what people are told to do', () => {
  const target = (url: string, tokenVariable?: string): SetupTarget => ({
    url: `${url}/acme/nuget`,
    root: url,
    repository: 'acme/nuget',
    namespaces: [],
    others: [],
    ...(tokenVariable === undefined ? {} : { tokenVariable }),
  });
  const notes = (client: string, at: SetupTarget): string =>
    (setups.find((setup) => setup.client === client)?.notes?.(at) ?? []).join('\n');

  it('allows plain http by name, only where it is, and warns when it leaves the machine', () => {
    expect(notes('dotnet', target('http://localhost:5273'))).toContain(
      'dotnet nuget add source http://localhost:5273/acme/nuget/v3/index.json --name larder --protocol-version 3 --allow-insecure-connections\n',
    );
    expect(notes('dotnet', target('http://localhost:5273'))).not.toContain('Without TLS');
    expect(notes('dotnet', target('http://larder.lan'))).toContain('Without TLS');
    expect(notes('dotnet', target('https://larder.example'))).not.toContain('insecure');
  });

  it.each([
    [
      'dotnet',
      '--username token --password "$TOKEN" --store-password-in-clear-text --valid-authentication-types basic',
    ],
    ['nuget', '-UserName token -Password "$TOKEN" -StorePasswordInClearText -ValidAuthenticationTypes basic'],
    ['choco', '--user=token --password="$env:TOKEN"'],
  ])('%s gets a token from the environment', (client, words) => {
    expect(notes(client, target('https://larder.example', 'TOKEN'))).toContain(words);
    expect(notes(client, target('https://larder.example'))).not.toContain('token');
  });

  it.each([
    ['dotnet', 'dotnet nuget push PACKAGE.nupkg --source larder --api-key "$TOKEN"'],
    ['nuget', 'nuget push PACKAGE.nupkg "$TOKEN" -Source larder'],
    ['choco', 'choco push PACKAGE.nupkg --source=https://larder.example/acme/nuget/v2/ --api-key="$env:TOKEN"'],
  ])('%s publishes with the same token', (client, words) => {
    expect(notes(client, target('https://larder.example', 'TOKEN'))).toContain(words);
    expect(notes(client, target('https://larder.example'))).not.toContain('push');
  });
});

/** Documents as NuGet's servers write them, with everything that has to be rewritten, kept or left out. */
import { createHash } from 'node:crypto';
import type { DocumentSample, PublishSample, Question } from '../conformance/format.ts';
import type { HostedRequest } from '../support/hosted-view.ts';
import { formOf, monoFormOf, nuspecOf, type PackageFacts, packageOf, symbolsOf } from '../support/nuget-packages.ts';

export const upstreamHost = 'api.upstream.example';
export const upstream = `https://${upstreamHost}`;
/** Search is at another host, as it is at nuget.org. */
export const searchHost = 'search.upstream.example';

export function bytesOf(json: unknown): Buffer {
  return Buffer.from(JSON.stringify(json));
}

export function hashOf(text: string): string {
  return createHash('sha512').update(text).digest('base64');
}

export const serviceIndexJson = {
  version: '3.0.0',
  resources: [
    { '@id': `https://${searchHost}/query`, '@type': 'SearchQueryService', comment: 'Query endpoint (primary)' },
    {
      '@id': `https://other.${searchHost}/query`,
      '@type': 'SearchQueryService',
      comment: 'Query endpoint (secondary)',
    },
    { '@id': `https://${searchHost}/autocomplete`, '@type': 'SearchAutocompleteService/3.5.0' },
    { '@id': `${upstream}/v3/catalog0/index.json`, '@type': 'Catalog/3.0.0' },
    { '@id': `${upstream}/v3/registration5-semver1/`, '@type': 'RegistrationsBaseUrl' },
    { '@id': `${upstream}/v3/registration5-gz-semver1/`, '@type': 'RegistrationsBaseUrl/3.4.0' },
    { '@id': `${upstream}/v3/registration5-gz-semver2/`, '@type': 'RegistrationsBaseUrl/3.6.0' },
    {
      '@id': `${upstream}/v3/registration5-gz-semver2/`,
      '@type': 'RegistrationsBaseUrl/Versioned',
      clientVersion: '4.3.0-alpha',
    },
    { '@id': '/v3-flatcontainer/', '@type': 'PackageBaseAddress/3.0.0' },
    { '@id': 'https://www.upstream.example/api/v2/package', '@type': 'PackagePublish/2.0.0' },
    { '@id': `${upstream}/v3-index/repository-signatures/5.0.0/index.json`, '@type': 'RepositorySignatures/5.0.0' },
    { '@id': `${upstream}/v3/vulnerabilities/index.json`, '@type': 'VulnerabilityInfo/6.7.0' },
    {
      '@id': 'https://www.upstream.example/packages/{id}/{version}?_src=template',
      '@type': 'PackageDetailsUriTemplate/5.1.0',
    },
    { '@id': `${upstream}/v3-flatcontainer/{lower_id}/{lower_version}/readme`, '@type': 'ReadmeUriTemplate/6.13.0' },
  ],
  '@context': { '@vocab': 'http://schema.nuget.org/services#' },
};

export interface LeafFacts {
  readonly listed?: boolean;
  readonly published?: string;
  readonly dependencyGroups?: readonly unknown[];
  readonly more?: Readonly<Record<string, unknown>>;
}

const hive = `${upstream}/v3/registration5-gz-semver2`;

/** As it stands in a page of a registration. */
export function leafJson(id: string, version: string, facts: LeafFacts = {}): Record<string, unknown> {
  const lower = id.toLowerCase();
  const plain = version.split('+')[0]?.toLowerCase() ?? '';
  const catalog = `${upstream}/v3/catalog0/data/2024.01.02.03.04.05/${lower}.${plain}.json`;
  return {
    '@id': `${hive}/${lower}/${plain}.json`,
    '@type': 'Package',
    commitId: '8b8e4ba9-7d39-4c41-ae6c-5b1a15e9ea2c',
    catalogEntry: {
      '@id': catalog,
      '@type': 'PackageDetails',
      authors: 'Alice',
      description: 'Reads & writes <things>.',
      iconUrl: `${upstream}/v3-flatcontainer/${lower}/${plain}/icon`,
      id,
      language: '',
      licenseExpression: 'MIT',
      licenseUrl: 'https://www.upstream.example/packages/x/license',
      listed: facts.listed ?? true,
      minClientVersion: '2.12',
      packageContent: `${upstream}/v3-flatcontainer/${lower}/${plain}/${lower}.${plain}.nupkg`,
      projectUrl: 'https://example.com/things',
      published: facts.published ?? '2024-01-02T03:04:05.678+00:00',
      requireLicenseAcceptance: false,
      summary: '',
      tags: ['one', 'two'],
      title: 'Things',
      version,
      ...(facts.dependencyGroups ? { dependencyGroups: facts.dependencyGroups } : {}),
      ...facts.more,
    },
    packageContent: `${upstream}/v3-flatcontainer/${lower}/${plain}/${lower}.${plain}.nupkg`,
    registration: `${hive}/${lower}/index.json`,
  };
}

export function pageJson(id: string, leaves: readonly unknown[], lower: string, upper: string, inside = true) {
  const index = `${hive}/${id.toLowerCase()}/index.json`;
  return {
    '@id': inside ? `${index}#page/${lower}/${upper}` : `${hive}/${id.toLowerCase()}/page/${lower}/${upper}.json`,
    '@type': 'catalog:CatalogPage',
    commitTimeStamp: '2024-01-02T03:04:05.678+00:00',
    count: leaves.length,
    ...(inside ? { items: leaves } : {}),
    parent: index,
    lower,
    upper,
  };
}

export function registrationJson(id: string, pages: readonly unknown[]) {
  return {
    '@id': `${hive}/${id.toLowerCase()}/index.json`,
    '@type': ['catalog:CatalogRoot', 'PackageRegistration', 'catalog:Permalink'],
    commitId: '8b8e4ba9-7d39-4c41-ae6c-5b1a15e9ea2c',
    count: pages.length,
    items: pages,
    '@context': { '@vocab': 'http://schema.nuget.org/schema#', items: { '@id': 'catalog:item', '@container': '@set' } },
  };
}

const dependencyGroups = [
  {
    '@id': `${upstream}/v3/catalog0/data/x.json#dependencygroup/.netstandard2.0`,
    '@type': 'PackageDependencyGroup',
    targetFramework: '.NETStandard2.0',
    dependencies: [
      {
        '@id': `${upstream}/v3/catalog0/data/x.json#dependencygroup/.netstandard2.0/other.things`,
        '@type': 'PackageDependency',
        id: 'Other.Things',
        range: '[1.2.0, )',
        registration: `${hive}/other.things/index.json`,
      },
    ],
  },
  { '@type': 'PackageDependencyGroup', targetFramework: '.NETFramework4.5' },
];

const semVer2Dependency = [
  { targetFramework: 'net8.0', dependencies: [{ id: 'Other.Things', range: '[2.0.0-rc.1, 3.0.0)' }] },
];

/** Versions in the order of the catalog, one of them unlisted, one with metadata, one beyond old clients for a dependency alone. */
export const things = [
  leafJson('Acme.Things', '1.0.0', { dependencyGroups, published: '2020-01-02T03:04:05+00:00' }),
  leafJson('Acme.Things', '1.1.0-Beta', {
    more: {
      deprecation: {
        '@id': `${upstream}/v3/catalog0/data/x.json#deprecation`,
        reasons: ['Legacy'],
        message: 'Use the other one.',
        alternatePackage: {
          '@id': `${upstream}/v3/catalog0/data/x.json#deprecation/alternatePackage`,
          id: 'Other',
          range: '*',
        },
      },
      vulnerabilities: [
        {
          '@id': `${upstream}/v3/catalog0/data/x.json#vulnerability/GitHub/1`,
          advisoryUrl: 'https://github.com/a',
          severity: '2',
        },
      ],
    },
  }),
  leafJson('Acme.Things', '1.10.0', { listed: false, published: '1900-01-01T00:00:00+00:00' }),
  leafJson('Acme.Things', '2.0.0', { dependencyGroups: semVer2Dependency }),
  leafJson('Acme.Things', '2.1.0+build.5'),
  leafJson('Acme.Things', '3.0.0-rc.1'),
];

export const thingsIndex = registrationJson('Acme.Things', [pageJson('Acme.Things', things, '1.0.0', '3.0.0-rc.1')]);

const otherIndex = registrationJson('acme.things', [
  pageJson(
    'acme.things',
    [
      leafJson('acme.things', '1.0.0', { published: '2021-01-01T00:00:00Z' }),
      leafJson('acme.things', '0.9.0'),
      leafJson('acme.things', '4.0.0'),
    ],
    '0.9.0',
    '4.0.0',
  ),
]);

/** The same with a page that the index only names. */
const skeleton = registrationJson('Acme.Things', [
  pageJson('Acme.Things', things.slice(0, 3), '1.0.0', '1.10.0', false),
  pageJson('Acme.Things', things.slice(3), '2.0.0', '3.0.0-rc.1'),
]);

const firstPage = pageJson('Acme.Things', things.slice(0, 3), '1.0.0', '1.10.0');

const isUrl = (question: Question): string => ('url' in question.ask ? question.ask.url : '');

export const standaloneLeaf = {
  '@id': `${hive}/acme.things/1.0.0.json`,
  '@type': ['Package', 'http://schema.nuget.org/catalog#Permalink'],
  catalogEntry: `${upstream}/v3/catalog0/data/2020.01.02.03.04.05/acme.things.1.0.0.json`,
  listed: true,
  packageContent: `${upstream}/v3-flatcontainer/acme.things/1.0.0/acme.things.1.0.0.nupkg`,
  published: '2020-01-02T03:04:05+00:00',
  registration: `${hive}/acme.things/index.json`,
};

export const catalogLeaf = {
  '@id': `${upstream}/v3/catalog0/data/2020.01.02.03.04.05/acme.things.1.0.0.json`,
  '@type': ['PackageDetails', 'catalog:Permalink'],
  created: '2019-12-31T00:00:00Z',
  id: 'Acme.Things',
  version: '1.0.0',
  listed: true,
  packageHash: hashOf('acme.things.1.0.0'),
  packageHashAlgorithm: 'SHA512',
  packageSize: 17,
  published: '2020-01-02T03:04:05+00:00',
};

export const searchJson = {
  '@context': { '@vocab': 'http://schema.nuget.org/schema#', '@base': `${upstream}/v3/registration5-gz-semver2/` },
  totalHits: 1234,
  data: [
    {
      '@id': `${hive}/acme.things/index.json`,
      '@type': 'Package',
      registration: `${hive}/acme.things/index.json`,
      id: 'Acme.Things',
      version: '2.1.0+build.5',
      description: 'Reads & writes <things>.',
      summary: '',
      title: 'Things',
      iconUrl: `${upstream}/v3-flatcontainer/acme.things/2.1.0/icon`,
      tags: ['one', 'two'],
      authors: ['Alice'],
      owners: ['alice'],
      totalDownloads: 5_000_000_000,
      verified: true,
      packageTypes: [{ name: 'Dependency' }],
      versions: [
        { version: '1.0.0', downloads: 5, '@id': `${hive}/acme.things/1.0.0.json` },
        { version: '2.1.0+build.5', downloads: 6, '@id': `${hive}/acme.things/2.1.0.json` },
      ],
      vulnerabilities: [],
    },
    { id: 'Other_Things', version: '1.0.0-beta', iconUrl: 'https://example.com/icon.png' },
  ],
};

export const vulnerabilitiesJson = [
  {
    '@name': 'base',
    '@id': `${upstream}/v3-vulnerabilities/2024.01.01/vulnerability.base.json`,
    '@updated': '2024-01-01T00:00:00Z',
    comment: 'The base data',
  },
  {
    '@name': 'update',
    '@id': '../v3-vulnerabilities/2024.01.02/vulnerability.update.json',
    '@updated': '2024-01-02T00:00:00Z',
  },
];

export const signaturesJson = {
  allRepositorySigned: true,
  signingCertificates: [
    {
      fingerprints: { '2.16.840.1.101.3.4.2.1': '0e5f38f57dc1bcc806d8494f4f90fbcedd988b46760709cbeec6f4219aa6157d' },
      subject: 'CN=Upstream',
      issuer: 'CN=CA',
      notBefore: '2018-04-10T00:00:00Z',
      notAfter: '2021-04-14T12:00:00Z',
      contentUrl: 'https://certificates.example/a.crt',
    },
  ],
};

export const nuspecXml = `\ufeff<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd">
  <metadata minClientVersion="2.12">
    <id>Acme.Things</id>
    <version>1.0</version>
    <repository type="git" url="${upstream}/git" />
  </metadata>
</package>
`;

const heardAt = (url: string, bytes: Uint8Array, status = 200) => ({ status, headers: {}, url, bytes });

const searchPath = `v3/search/${Buffer.from('["things",true,true,32,{}]').toString('base64url')}`;
const completionsPath = `v3/autocomplete/${Buffer.from('["acm",false,false,32,{}]').toString('base64url')}`;

export const documents: readonly DocumentSample[] = [
  {
    type: 'service-index',
    path: 'v3/index.json',
    url: `${upstream}/v3/index.json`,
    bytes: bytesOf(serviceIndexJson),
    variants: [''],
    wrong: {
      'one of version 2': bytesOf({ ...serviceIndexJson, version: '2.0.0' }),
      'one without packages': bytesOf({
        version: '3.0.0',
        resources: [{ '@id': `${upstream}/r/`, '@type': 'RegistrationsBaseUrl' }],
      }),
      'one without registrations': bytesOf({
        version: '3.0.0',
        resources: [{ '@id': `${upstream}/f/`, '@type': 'PackageBaseAddress/3.0.0' }],
      }),
      'one whose resources are texts': bytesOf({ version: '3.0.0', resources: ['a'] }),
    },
  },
  {
    type: 'versions',
    path: 'v3/flat/acme.things/index.json',
    url: `${upstream}/v3-flatcontainer/acme.things/index.json`,
    bytes: bytesOf({ versions: ['1.0.0', '1.1.0-beta', '1.10.0', '1.2', '2.0.0.0', 'latest'] }),
    other: bytesOf({ versions: ['0.1.0', '1.0.0', '1.9.0'] }),
    variants: [''],
    wrong: { 'a list of numbers': bytesOf({ versions: [1] }), 'a text': bytesOf({ versions: '1.0.0' }) },
  },
  {
    type: 'registration',
    path: 'v3/registration/acme.things/index.json',
    url: `${hive}/acme.things/index.json`,
    bytes: bytesOf(thingsIndex),
    other: bytesOf(otherIndex),
    replies: (question) =>
      heardAt(`${hive}/acme.things/index.json`, bytesOf(isUrl(question) === '' ? skeleton : firstPage)),
    variants: ['index registration', 'index registration-gz', 'index registration-semver2'],
    projections: [
      'page registration-semver2 1.0.0 2.0.0',
      'page registration 1.0.0 1.10.0',
      'listed registration-semver2',
      'listed registration-semver2 prerelease',
      'listed registration prerelease',
      'v2-find registration-gz 0 100 all',
      'v2-find registration-gz 0 1 latest desc',
      'v2-find registration-semver2 0 40 stable',
      'v2-entry registration-semver2 1.0.0',
    ],
    wrong: {
      'another package': bytesOf(
        registrationJson('Other', [pageJson('Other', [leafJson('Other', '1.0.0')], '1', '1')]),
      ),
      'one without a page': bytesOf(skeleton),
      'one whose pages are texts': bytesOf(registrationJson('Acme.Things', ['a'])),
      'one without entries': bytesOf(registrationJson('Acme.Things', [{ items: [{ '@id': 'x' }] }])),
    },
  },
  {
    type: 'leaf',
    path: 'v3/registration/acme.things/1.0.0.json',
    url: `${hive}/acme.things/1.0.0.json`,
    bytes: bytesOf({ leaf: standaloneLeaf, entry: catalogLeaf }),
    replies: (question) =>
      heardAt(`${hive}/acme.things/1.0.0.json`, bytesOf(isUrl(question) === '' ? standaloneLeaf : catalogLeaf)),
    variants: ['registration', 'registration-gz', 'registration-semver2'],
    wrong: {
      'another version': bytesOf({ leaf: standaloneLeaf, entry: { ...catalogLeaf, version: '1.0.1' } }),
      'another package': bytesOf({ leaf: standaloneLeaf, entry: { ...catalogLeaf, id: 'Other' } }),
      'one whose hash is none': bytesOf({ leaf: standaloneLeaf, entry: { ...catalogLeaf, packageHash: 'abcd' } }),
      'one whose entry is a list': bytesOf({ leaf: standaloneLeaf, entry: [] }),
      'a list of other versions': bytesOf({ versions: { versions: ['1.0.1'] } }),
    },
  },
  {
    type: 'nuspec',
    path: 'v3/flat/acme.things/1.0.0/acme.things.nuspec',
    url: `${upstream}/v3-flatcontainer/acme.things/1.0.0/acme.things.nuspec`,
    bytes: Buffer.from(nuspecXml),
    variants: [''],
    verbatim: true,
    wrong: {
      'the nuspec of another version': Buffer.from(nuspecXml.replace('1.0<', '1.1<')),
      'the nuspec of another package': Buffer.from(nuspecXml.replace('Acme.Things', 'Acme.Thing')),
      'one with a document type': Buffer.from(nuspecXml.replace('<package', '<!DOCTYPE package>\n<package')),
    },
  },
  {
    type: 'search',
    path: searchPath,
    url: `https://${searchHost}/query`,
    bytes: bytesOf(searchJson),
    replies: () => heardAt(`https://${searchHost}/query`, bytesOf(searchJson)),
    variants: ['v3 registration-semver2 0 20', 'v3 registration-gz 0 20'],
    projections: [
      'v2 registration-semver2 0 20',
      'v2 registration-semver2 0 20 all',
      'v2-count registration-gz 0 20',
      'v3 registration-gz 1 1',
    ],
    wrong: {
      'results without ids': bytesOf({ totalHits: 1, data: [{ version: '1.0.0' }] }),
      'results that are texts': bytesOf({ totalHits: 1, data: ['a'] }),
    },
  },
  {
    type: 'autocomplete',
    path: completionsPath,
    url: `https://${searchHost}/autocomplete`,
    bytes: bytesOf({ totalHits: 2, data: ['Acme.Things', 'Acmetric'], '@context': { '@vocab': 'x' } }),
    replies: () =>
      heardAt(`https://${searchHost}/autocomplete`, bytesOf({ totalHits: 2, data: ['Acme.Things', 'Acmetric'] })),
    variants: ['0 20'],
    projections: ['1 1'],
  },
  {
    type: 'vulnerabilities',
    path: 'v3/vulnerabilities/index.json',
    url: `${upstream}/v3/vulnerabilities/index.json`,
    bytes: bytesOf(vulnerabilitiesJson),
    replies: () => heardAt(`${upstream}/v3/vulnerabilities/index.json`, bytesOf(vulnerabilitiesJson)),
    other: bytesOf([
      vulnerabilitiesJson[0],
      { '@name': 'base', '@id': 'https://other.example/base.json', '@updated': '2024-01-01T00:00:00Z' },
    ]),
    variants: [''],
    wrong: {
      'a page with an odd name': bytesOf([{ '@name': '../x', '@id': 'https://other.example/base.json' }]),
      'a page without address': bytesOf([{ '@name': 'base' }]),
    },
  },
  {
    type: 'vulnerability-page',
    path: 'v3/vulnerabilities/base-0123456789abcdef.json',
    url: `${upstream}/v3-vulnerabilities/2024.01.01/vulnerability.base.json`,
    bytes: bytesOf({
      'acme.things': [{ url: 'https://github.com/advisories/GHSA-1', severity: 2, versions: '(, 1.0.0]' }],
    }),
    variants: [''],
    verbatim: true,
    wrong: { 'a message': bytesOf({ error: 'not_found' }) },
  },
  {
    type: 'repository-signatures',
    path: 'v3/repository-signatures/index.json',
    url: `${upstream}/v3-index/repository-signatures/5.0.0/index.json`,
    bytes: bytesOf(signaturesJson),
    replies: () => heardAt(`${upstream}/v3-index/repository-signatures/5.0.0/index.json`, bytesOf(signaturesJson)),
    variants: [''],
    wrong: { 'one that says neither yes nor no': bytesOf({ ...signaturesJson, allRepositorySigned: 'yes' }) },
  },
];

export const png = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');

/** With everything that stands beside a package, in the spellings in which packers write it. */
export const hostedThings: PackageFacts = {
  id: 'Acme.Things',
  version: '1.0',
  dependencies: [{ id: 'Other.Things', range: '1.2.0' }],
  metadata: [
    '    <title>Things &amp; more</title>\n    <tags>one, two</tags>\n    <icon>images\\icon.png</icon>\n',
    '    <readme>docs/Read me.md</readme>\n    <license type="file">LICENSE.txt</license>\n',
    '    <licenseUrl>https://aka.ms/deprecateLicenseUrl</licenseUrl>\n    <projectUrl>https://example.com/things</projectUrl>\n',
    '    <repository type="git" url="https://git.example.com/acme/things.git" commit="0123abcd" />\n',
  ].join(''),
  files: {
    'images/icon.png': png,
    'docs/Read%20me.md': Buffer.from('# Things\n'),
    'LICENSE.txt': Buffer.from('Do as you like.\n'),
  },
};

export function pushOf(bytes: Uint8Array, path = '/v3/package/'): HostedRequest {
  const { contentType, body } = formOf(bytes);
  // What stands behind the last boundary is of no account, so that a request without it is no half one.
  return { method: 'PUT', path, headers: { 'content-type': contentType }, body: body.subarray(0, -2) };
}

const thingsPackage = packageOf(hostedThings);
const barePackage = packageOf({ id: 'acme.bare', version: '2.0.0-RC.1' });

const emptyFeed = [
  '/v3/index.json',
  '/v3/search?q=',
  '/v3/autocomplete?q=',
  '/v2/Search()',
  '/v3/repository-signatures/index.json',
];

export const publish: readonly PublishSample[] = [
  {
    title: 'a package with all that lies beside it',
    request: pushOf(thingsPackage),
    other: pushOf(packageOf({ ...hostedThings, library: Buffer.from('MZ something else') })),
    again: 'conflict',
    files: {
      '/v3/flat/acme.things/1.0.0/acme.things.1.0.0.nupkg': thingsPackage,
      '/v2/package/Acme.Things/1.0': thingsPackage,
      '/v3/flat/acme.things/1.0.0/acme.things.nuspec': Buffer.from(nuspecOf(hostedThings)),
      '/v3/flat/acme.things/1.0.0/icon': png,
      '/v3/flat/acme.things/1.0.0/readme': Buffer.from('# Things\n'),
      '/v3/flat/acme.things/1.0.0/license': Buffer.from('Do as you like.\n'),
    },
    documents: [
      '/v3/flat/acme.things/index.json',
      '/v3/registration/acme.things/index.json',
      '/v3/registration-gz/acme.things/index.json',
      '/v3/registration-semver2/acme.things/index.json',
      '/v3/registration-semver2/acme.things/page/1.0.0/1.0.0.json',
      '/v3/registration-semver2/acme.things/1.0.0.json',
      '/v3/autocomplete?id=acme.things',
      "/v2/FindPackagesById()?id='Acme.Things'",
      "/v2/Packages(Id='Acme.Things',Version='1.0.0')",
    ],
    always: emptyFeed,
  },
  {
    title: 'a package as the body itself, by an address of the second version',
    request: {
      method: 'PUT',
      path: '/api/v2/package/',
      headers: { 'content-type': 'application/octet-stream' },
      body: barePackage,
    },
    again: 'conflict',
    files: { '/v3/flat/acme.bare/2.0.0-rc.1/acme.bare.2.0.0-rc.1.nupkg': barePackage },
    documents: ['/v3/flat/acme.bare/index.json', '/v3/registration-semver2/acme.bare/index.json'],
    always: emptyFeed,
  },
  {
    title: 'a package in a form whose last line ends as on Unix',
    request: {
      method: 'PUT',
      path: '/v2/',
      headers: { 'content-type': monoFormOf(barePackage).contentType },
      body: monoFormOf(barePackage).body,
    },
    again: 'conflict',
    files: { '/v3/flat/acme.bare/2.0.0-rc.1/acme.bare.2.0.0-rc.1.nupkg': barePackage },
    documents: ['/v3/flat/acme.bare/index.json'],
    always: emptyFeed,
  },
  {
    title: 'the symbols of a package',
    before: [pushOf(thingsPackage)],
    request: pushOf(symbolsOf(hostedThings), '/v3/symbolpackage/'),
    other: pushOf(symbolsOf({ ...hostedThings, version: '1.0.0.0' }), '/v3/symbolpackage'),
    again: 'conflict',
    files: { '/v3/flat/acme.things/1.0.0/acme.things.1.0.0.snupkg': symbolsOf(hostedThings) },
    documents: [],
    always: emptyFeed,
  },
];

/** Documents as registries write them, with everything that has to be rewritten, kept or left out. */
import { createHash } from 'node:crypto';
import type { DocumentSample } from '../conformance/format.ts';

export const upstreamHost = 'registry.upstream.example';
export const upstream = `https://${upstreamHost}`;

export function integrityOf(text: string): string {
  return `sha512-${createHash('sha512').update(text).digest('base64')}`;
}

export function sha1Of(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

export interface Manifest {
  readonly [field: string]: unknown;
  readonly name: string;
  readonly version: string;
  readonly dist: Readonly<Record<string, unknown>>;
}

export function manifest(
  name: string,
  version: string,
  more: Readonly<Record<string, unknown>> = {},
  dist: Readonly<Record<string, unknown>> = {},
): Manifest {
  const file = `${name.slice(name.indexOf('/') + 1)}-${version}.tgz`;
  return {
    name,
    version,
    description: 'A package',
    scripts: { test: 'node test.js' },
    dependencies: { once: '^1.0.0' },
    _id: `${name}@${version}`,
    _npmUser: { name: 'alice' },
    ...more,
    dist: {
      integrity: integrityOf(`${name}@${version}`),
      shasum: sha1Of(`${name}@${version}`),
      tarball: `${upstream}/${name}/-/${file}`,
      fileCount: 3,
      unpackedSize: 1234,
      signatures: [{ keyid: 'SHA256:key', sig: 'MEUC' }],
      ...dist,
    },
  };
}

export function packumentJson(
  name: string,
  versions: readonly Manifest[],
  more: Readonly<Record<string, unknown>> = {},
) {
  const latest = versions.at(-1)?.version;
  return {
    _id: name,
    _rev: '7-abc',
    name,
    description: 'A package',
    'dist-tags': { latest },
    versions: Object.fromEntries(versions.map((one) => [one.version, one])),
    time: {
      created: '2020-01-01T00:00:00.000Z',
      modified: '2024-05-06T07:08:09.123Z',
      ...Object.fromEntries(versions.map(({ version }, i) => [version, `202${i}-02-03T04:05:06.000Z`])),
    },
    maintainers: [{ name: 'alice', email: 'alice@example.com' }],
    readme: '# A package\n',
    readmeFilename: 'README.md',
    users: { bob: true },
    'x-unknown': { kept: ['as', { it: 'is' }] },
    ...more,
  };
}

export function bytesOf(json: unknown): Buffer {
  return Buffer.from(JSON.stringify(json));
}

const scoped = '@acme/bar';

/** Slashes escaped as PHP writes them, an address left over from publishing, attestations, and a document without `integrity`. */
export const scopedPackument = packumentJson(
  scoped,
  [
    manifest(scoped, '1.0.0', { _resolved: `${upstream}/@acme/bar/-/bar-1.0.0.tgz` }, { integrity: undefined }),
    manifest(
      scoped,
      '1.1.0',
      { scripts: { postinstall: 'node build.js' }, os: ['linux'], libc: ['glibc'], funding: 'https://example.com' },
      {
        attestations: {
          url: `${upstream}/-/npm/v1/attestations/@acme%2fbar@1.1.0`,
          provenance: { predicateType: 'x' },
        },
      },
    ),
    manifest(scoped, '2.0.0-rc.1', { _hasShrinkwrap: true, gypfile: true }),
    manifest(scoped, '2.0.0', { deprecated: 'Use something else.' }),
  ],
  { 'dist-tags': { latest: '2.0.0', next: '2.0.0-rc.1', old: '1.1.0' } },
);

/** What another source has of it: one version in common, two of its own. */
const otherScoped = packumentJson(
  scoped,
  [
    manifest(scoped, '1.1.0', { description: 'Another one' }, { integrity: integrityOf('other') }),
    manifest(scoped, '1.2.0'),
    manifest(scoped, '3.0.0'),
  ],
  { 'dist-tags': { latest: '3.0.0', beta: '1.2.0' } },
);

/** Versions from times when registries took what they were given, and file names that do not follow from them. */
export const oldPackument = packumentJson('Old.Name', [
  manifest('Old.Name', '0.1.0', { bundledDependencies: ['x'] }),
  manifest('Old.Name', '1.0.2beta', {}, { tarball: `http://${upstreamHost}/Old.Name/-/Old.Name-1.0.2-beta.tgz` }),
  manifest('Old.Name', '1.1.0+build.5'),
  manifest('Old.Name', '1.2.0', {}, { tarball: `${upstream}/download/Old.Name/1.2.0/${'0'.repeat(64)}` }),
  manifest('Old.Name', '1.3.0', {}, { tarball: '/relative/Old.Name-1.3.0.tgz' }),
]);

export const abbreviatedPackument = {
  name: 'short',
  'dist-tags': { latest: '1.0.1' },
  modified: '2024-05-06T07:08:09.123Z',
  versions: Object.fromEntries(
    ['1.0.0', '1.0.1'].map((version) => {
      const { name, dependencies, dist } = manifest('short', version);
      return [version, { name, version, dependencies, dist, hasInstallScript: true, 'x-new': 1 }];
    }),
  ),
};

const wrong = (name: string): Record<string, Buffer> => ({
  'another package': bytesOf(packumentJson(`${name}x`, [manifest(`${name}x`, '1.0.0')])),
  'a name in another case': bytesOf(packumentJson(name.toUpperCase(), [manifest(name, '1.0.0')])),
  'a document without versions': bytesOf({ name, 'dist-tags': {} }),
  'versions in a list': bytesOf({ name, versions: [] }),
  'versions that are texts': bytesOf({ name, versions: { '1.0.0': 'x' } }),
  'tags that are a text': bytesOf({ name, versions: {}, 'dist-tags': 'latest' }),
});

export const keysJson = { keys: [{ keyid: 'SHA256:x', keytype: 'ecdsa', scheme: 's', key: 'MF', expires: null }] };

/** `left pad`, as many as a first page needs. */
export const searchPath = `-/v1/search/${Buffer.from(JSON.stringify(['left pad', 32, {}])).toString('base64url')}`;
export const searchJson = {
  objects: ['left-pad', 'pad'].map((name) => ({
    package: { name, version: '1.0.0', links: { npm: `https://example.com/${name}` } },
    score: { final: 0.5 },
  })),
  total: 2,
};

const projections = ['tags', 'version:1.1.0', 'version:latest'];

export const documents: readonly DocumentSample[] = [
  {
    type: 'packument',
    path: scoped,
    url: `${upstream}/@acme%2fbar`,
    headers: { 'content-type': 'application/json' },
    bytes: Buffer.from(JSON.stringify(scopedPackument).replaceAll('/', '\\/')),
    other: bytesOf(otherScoped),
    variants: ['full', 'abbreviated'],
    projections: [...projections, 'version:next', 'version:1.0.0'],
    wrong: wrong(scoped),
  },
  {
    type: 'packument',
    path: 'Old.Name',
    url: `${upstream}/Old.Name`,
    bytes: bytesOf(oldPackument),
    variants: ['full', 'abbreviated'],
    projections: ['tags', 'version:1.0.2beta', 'version:1.1.0+build.5'],
  },
  {
    type: 'packument',
    path: 'short',
    url: `${upstream}/short`,
    headers: { 'content-type': 'application/vnd.npm.install-v1+json' },
    bytes: bytesOf(abbreviatedPackument),
    variants: ['abbreviated'],
    projections: ['tags', 'version:1.0.1'],
    wrong: wrong('short'),
  },
  {
    type: 'search',
    path: searchPath,
    url: `${upstream}/-/v1/search`,
    headers: { 'content-type': 'application/json' },
    bytes: bytesOf(searchJson),
    variants: ['0 20'],
    projections: ['1 1'],
    wrong: { 'a list of texts': bytesOf({ objects: 'x' }) },
    replies: () => ({
      status: 200,
      headers: { 'content-type': 'application/json' },
      url: `${upstream}/-/v1/search`,
      bytes: bytesOf(searchJson),
    }),
    nothing: bytesOf({ objects: [], total: 0 }),
  },
  {
    type: 'keys',
    path: '-/npm/v1/keys',
    url: `${upstream}/-/npm/v1/keys`,
    bytes: Buffer.from(JSON.stringify(keysJson, null, 3)),
    variants: [''],
    verbatim: true,
  },
  {
    type: 'attestations',
    path: '-/npm/v1/attestations/@acme/bar@1.1.0',
    url: `${upstream}/-/npm/v1/attestations/@acme%2fbar@1.1.0`,
    bytes: Buffer.from('{ "attestations": [ {"predicateType":"https:\\/\\/slsa.dev\\/provenance\\/v1"} ] }\n'),
    variants: [''],
    verbatim: true,
  },
];

/**
 * The registries of the upgrade test, all in one HTTP proxy: names below `.invalid` lead nowhere without it, so whoever reads the data
 * later finds them gone. A few small packages, the same bytes each time.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { packageOf as npmPackageOf } from '../formats/npm.publish.samples.ts';
import { gemFile } from '../support/gem-file.ts';
import { packageOf as nugetPackageOf } from '../support/nuget-packages.ts';
import { wheelOf } from '../support/pypi-packages.ts';

export const hash = (bytes: string | Buffer, algorithm = 'sha256', form: 'hex' | 'base64' = 'hex'): string =>
  createHash(algorithm).update(bytes).digest(form);

interface Page {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

const pages = new Map<string, Page>();

function put(host: string, path: string, body: string | Buffer, type = 'application/octet-stream', headers = {}): void {
  const bytes = Buffer.from(body);
  const own = { 'content-type': type, etag: `"${hash(bytes, 'sha1')}"`, ...headers };
  pages.set(`http://${host}.invalid${path}`, { body: bytes, headers: own });
}

const json = (value: unknown): string => JSON.stringify(value);

const npmTarball = npmPackageOf({ name: 'lib', version: '1.0.0' });
put(
  'npm',
  '/lib',
  json({
    _id: 'lib',
    name: 'lib',
    'dist-tags': { latest: '1.0.0' },
    time: {
      created: '2020-01-01T00:00:00.000Z',
      modified: '2020-01-01T00:00:00.000Z',
      '1.0.0': '2020-01-01T00:00:00.000Z',
    },
    versions: {
      '1.0.0': {
        name: 'lib',
        version: '1.0.0',
        dist: {
          tarball: 'http://npm.invalid/lib/-/lib-1.0.0.tgz',
          integrity: `sha512-${hash(npmTarball, 'sha512', 'base64')}`,
          shasum: hash(npmTarball, 'sha1'),
        },
      },
    },
  }),
  'application/json',
);
put('npm', '/lib/-/lib-1.0.0.tgz', npmTarball);

const ociType = 'application/vnd.oci.image.manifest.v1+json';
const ociConfig = '{"architecture":"amd64","os":"linux"}';
const ociLayer = Buffer.from('layer of the mirrored image');
const ociManifest = json({
  schemaVersion: 2,
  mediaType: ociType,
  config: {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: `sha256:${hash(ociConfig)}`,
    size: ociConfig.length,
  },
  layers: [
    { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${hash(ociLayer)}`, size: ociLayer.length },
  ],
});
const told = { 'docker-content-digest': `sha256:${hash(ociManifest)}` };
put('oci', '/v2/base/manifests/1.0', ociManifest, ociType, told);
put('oci', `/v2/base/manifests/sha256:${hash(ociManifest)}`, ociManifest, ociType, told);
for (const blob of [ociConfig, ociLayer]) put('oci', `/v2/base/blobs/sha256:${hash(blob)}`, blob);

const maven = '/com/example/lib';
put(
  'maven',
  `${maven}/maven-metadata.xml`,
  '<metadata><groupId>com.example</groupId><artifactId>lib</artifactId><versioning><latest>1.0</latest><release>1.0</release><versions><version>1.0</version></versions><lastUpdated>20200101000000</lastUpdated></versioning></metadata>',
  'text/xml',
);
put('maven', `${maven}/1.0/lib-1.0.jar`, 'a mirrored jar', 'application/java-archive');
put('maven', `${maven}/1.0/lib-1.0.jar.sha1`, hash('a mirrored jar', 'sha1'), 'text/plain');

const nupkg = nugetPackageOf({ id: 'Lib', version: '1.0.0' });
put(
  'nuget',
  '/v3/index.json',
  json({
    version: '3.0.0',
    resources: [
      { '@id': 'http://nuget.invalid/v3/flat/', '@type': 'PackageBaseAddress/3.0.0' },
      { '@id': 'http://nuget.invalid/v3/registration/', '@type': 'RegistrationsBaseUrl/3.6.0' },
    ],
  }),
  'application/json',
);
const leafUrl = 'http://nuget.invalid/v3/registration/lib/1.0.0.json';
const content = 'http://nuget.invalid/v3/flat/lib/1.0.0/lib.1.0.0.nupkg';
put(
  'nuget',
  '/v3/registration/lib/index.json',
  json({
    '@id': 'http://nuget.invalid/v3/registration/lib/index.json',
    count: 1,
    items: [
      {
        '@id': 'http://nuget.invalid/v3/registration/lib/index.json#page/1.0.0/1.0.0',
        count: 1,
        lower: '1.0.0',
        upper: '1.0.0',
        items: [
          {
            '@id': leafUrl,
            catalogEntry: {
              '@id': 'http://nuget.invalid/v3/catalog/lib.1.0.0.json',
              id: 'Lib',
              version: '1.0.0',
              listed: true,
            },
            packageContent: content,
          },
        ],
      },
    ],
  }),
  'application/json',
);
put(
  'nuget',
  '/v3/catalog/lib.1.0.0.json',
  json({
    id: 'Lib',
    version: '1.0.0',
    packageHash: hash(nupkg, 'sha512', 'base64'),
    packageHashAlgorithm: 'SHA512',
    packageSize: nupkg.length,
  }),
  'application/json',
);
put(
  'nuget',
  '/v3/registration/lib/1.0.0.json',
  json({
    '@id': leafUrl,
    catalogEntry: 'http://nuget.invalid/v3/catalog/lib.1.0.0.json',
    packageContent: content,
    listed: true,
  }),
  'application/json',
);
put('nuget', '/v3/flat/lib/index.json', json({ versions: ['1.0.0'] }), 'application/json');
put('nuget', '/v3/flat/lib/1.0.0/lib.1.0.0.nupkg', nupkg);

const wheel = wheelOf({ name: 'lib', version: '1.0' });
put(
  'pypi',
  '/simple/lib/',
  json({
    meta: { 'api-version': '1.1' },
    name: 'lib',
    versions: ['1.0'],
    files: [
      {
        filename: wheel.filename,
        url: `http://pypi.invalid/files/${wheel.filename}`,
        hashes: { sha256: hash(wheel.bytes) },
      },
    ],
  }),
  'application/vnd.pypi.simple.v1+json',
);
put('pypi', `/files/${wheel.filename}`, wheel.bytes);

const gem = gemFile({ name: 'lib', version: '1.0.0' });
const info = `---\n1.0.0 |checksum:${hash(gem)}\n`;
const plain = 'text/plain; charset=utf-8';
put('rubygems', '/info/lib', info, plain);
put('rubygems', '/versions', `created_at: 2020-01-01T00:00:00Z\n---\nlib 1.0.0 ${hash(info, 'md5')}\n`, plain);
put('rubygems', '/names', '---\nlib\n', plain);
put('rubygems', '/gems/lib-1.0.0.gem', gem);

put('generic', '/tool/1.0/tool.bin', 'a mirrored tool');
for (const name of ['a', 'b', 'c', 'd']) put('generic', `/large/${name}.bin`, Buffer.alloc(600_000, name));

put(
  'p2',
  '/content.xml',
  "<?xml version='1.0'?><?metadataRepository version='1.1.0'?><repository name='site' type='org.eclipse.equinox.internal.p2.metadata.repository.LocalMetadataRepository' version='1'><units size='0'/></repository>",
  'application/xml',
);
put('p2', '/plugins/lib_1.0.0.jar', 'a mirrored plug-in', 'application/java-archive');

export interface Outside {
  /** Of the proxy. */
  readonly url: string;
  readonly asked: readonly string[];
  close(): void;
}

export async function startOutside(): Promise<Outside> {
  const asked: string[] = [];
  const server = createServer((req, res) => {
    const url = (req.url ?? '').split('?', 1)[0] ?? '';
    asked.push(`${req.method} ${url}`);
    const page = pages.get(url);
    if (!page) return void res.writeHead(404).end();
    res.writeHead(200, { ...page.headers, 'content-length': page.body.length });
    res.end(req.method === 'HEAD' ? undefined : page.body);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Listings as Python package indexes hand them out. */
import type { DocumentSample, PublishSample } from '../conformance/format.ts';
import { type BuiltFile, sourceOf, wheelOf } from '../support/pypi-packages.ts';
import { hexOf, uploadOf } from '../support/pypi-uploads.ts';

/** Files lie on another host than the index, as on PyPI. */
export const index = 'https://index.upstream.test';
export const filesHost = 'https://files.upstream.test';

export const sha = (digit: string): string => digit.repeat(64);

interface FileJson {
  readonly filename: string;
  readonly [key: string]: unknown;
}

export function fileJson(filename: string, digit: string, more: Readonly<Record<string, unknown>> = {}): FileJson {
  return {
    filename,
    url: `${filesHost}/packages/${digit}/${encodeURIComponent(filename)}`,
    hashes: { sha256: sha(digit) },
    'requires-python': '>=3.8',
    size: 1000,
    'upload-time': '2024-01-02T03:04:05.000000Z',
    yanked: false,
    'core-metadata': false,
    ...more,
  };
}

export function projectJson(files: readonly FileJson[], more: Readonly<Record<string, unknown>> = {}): Buffer {
  const json = { meta: { 'api-version': '1.4', '_last-serial': 1 }, name: 'acme-lib', files, ...more };
  return Buffer.from(JSON.stringify(json));
}

const ours: readonly FileJson[] = [
  fileJson('acme_lib-1.0-py3-none-any.whl', '1', {
    'core-metadata': { sha256: sha('a') },
    'data-dist-info-metadata': { sha256: sha('a') },
    provenance: `${index}/integrity/acme-lib/1.0/acme_lib-1.0-py3-none-any.whl/provenance`,
  }),
  fileJson('acme.lib-1.0.tar.gz', '2', { 'requires-python': '>=3.8, <"4"' }),
  fileJson('acme_lib-1.1+local.1-py3-none-any.whl', '3', {
    yanked: 'broken <b>',
    'core-metadata': true,
    'upload-time': '2024-02-02T03:04:05.000000Z',
    'gpg-sig': true,
  }),
  fileJson('acme-lib-0.1.zip', '4', { hashes: { md5: 'd'.repeat(32) }, yanked: true }),
];

export const projectSample: DocumentSample = {
  type: 'project',
  path: 'simple/acme-lib',
  url: `${index}/simple/acme-lib/`,
  headers: { 'content-type': 'application/vnd.pypi.simple.v1+json' },
  bytes: projectJson(ours, {
    versions: ['0.1', '1.0', '1.1+local.1'],
    'project-status': { status: 'deprecated', reason: 'Use acme instead & <soon>.' },
    'alternate-locations': ['https://mirror.example.org/simple/acme-lib/'],
  }),
  variants: ['json', 'html', 'text'],
  other: projectJson([ours[0] as FileJson, fileJson('acme_lib-2.0-py3-none-any.whl', '5')], {
    versions: ['1.0', '2.0'],
  }),
  wrong: {
    'of another version of the index': projectJson(ours, { meta: { 'api-version': '2.0' } }),
    'without a version of the index': projectJson(ours, { meta: undefined }),
    'of another project': projectJson(ours, { name: 'acme' }),
    'without files': projectJson(ours, { files: undefined }),
    'with a file without a name': projectJson([{ ...(ours[0] as FileJson), filename: undefined as unknown as string }]),
    'with a file without an address': projectJson([{ ...(ours[0] as FileJson), url: 1 }]),
    'a page to sign in': Buffer.from('<html><body><a href="/login">Sign in</a> <a href="/help">Help</a></body></html>'),
    'a page that was cut in a link': Buffer.from(
      '<a href="acme_lib-1.0-py3-none-any.whl">acme_lib-1.0</a><a href="acme_lib',
    ),
  },
};

export const htmlPage = `<!DOCTYPE html>
<html>
  <head>
    <meta name="pypi:repository-version" content="1.0">
    <title>Links for Acme.Lib</title>
  </head>
  <body>
    <h1>Links for Acme.Lib</h1>
    <a href="${filesHost}/packages/1/acme_lib-1.0-py3-none-any.whl#sha256=${sha('1')}" data-requires-python="&gt;=3.8" data-dist-info-metadata="sha256=${sha('a')}">acme_lib-1.0-py3-none-any.whl</a><br />
    <A class=x HREF='../../packages/acme.lib-1.0.tar.gz#md5=${'d'.repeat(32)}' data-yanked>acme.lib-1.0.tar.gz</A><br />
    <a href="/packages/acme_lib-1.1%2Blocal.1-py3-none-any.whl" data-yanked="too &quot;new&quot;" data-core-metadata="true">any text</a>
    <a href="https://example.org/homepage">Home page</a>
    <!-- <a href="acme_lib-9.9.tar.gz">not listed</a> -->
  </body>
</html>
`;

export const htmlSample: DocumentSample = {
  type: 'project',
  path: 'simple/acme-lib',
  url: `${index}/simple/acme-lib/`,
  headers: { 'content-type': 'text/html' },
  bytes: Buffer.from(htmlPage),
  variants: ['json', 'html', 'text'],
};

export const listSample: DocumentSample = {
  type: 'project-list',
  path: 'simple',
  url: `${index}/simple/`,
  bytes: Buffer.from(
    JSON.stringify({
      meta: { 'api-version': '1.1', '_last-serial': 1 },
      projects: [{ name: 'Acme.Lib', '_last-serial': 1 }, { name: 'other' }, { name: 'not a name' }],
    }),
  ),
  variants: ['json', 'html', 'text'],
  wrong: {
    'of another version of the index': Buffer.from('{"meta":{"api-version":"2.0"},"projects":[]}'),
    'without projects': Buffer.from('{"meta":{"api-version":"1.0"}}'),
    'a page to sign in': Buffer.from('<html><body><a href="/login">Sign in</a></body></html>'),
  },
};

const releaseFile = (filename: string, digit: string): Readonly<Record<string, unknown>> => ({
  filename,
  url: `${filesHost}/packages/${digit}/${filename}`,
  digests: { blake2b_256: sha('b'), md5: 'd'.repeat(32), sha256: sha(digit) },
  md5_digest: 'd'.repeat(32),
  packagetype: 'sdist',
  upload_time_iso_8601: '2024-01-02T03:04:05.000000Z',
  yanked: false,
});

export const releaseSample: DocumentSample = {
  type: 'release',
  path: 'pypi/acme-lib/json',
  url: `${index}/pypi/acme-lib/json`,
  bytes: Buffer.from(
    JSON.stringify({
      info: { name: 'Acme.Lib', version: '1.1', package_url: 'https://example.org/project/acme-lib/' },
      last_serial: 1,
      releases: {
        '0.9': [],
        '1.0': [releaseFile('acme_lib-1.0-py3-none-any.whl', '1'), releaseFile('acme.lib-1.0.tar.gz', '2')],
        '1.1': [releaseFile('acme_lib-1.1.tar.gz', '3')],
      },
      urls: [releaseFile('acme_lib-1.1.tar.gz', '3')],
      vulnerabilities: [],
    }),
  ),
  variants: [''],
  wrong: {
    'of another project': Buffer.from('{"info":{"name":"acme"},"urls":[]}'),
    'without a list of files': Buffer.from('{"info":{"name":"acme-lib"}}'),
  },
};

const pagesOfHosted = [
  { path: '/simple/acme-lib/', headers: { accept: 'application/vnd.pypi.simple.v1+json' } },
  '/simple/acme-lib/',
  '/simple/',
  '/pypi/acme-lib/json',
  '/pypi/acme-lib/1.0/json',
];

const hostedPath = ({ filename, bytes }: BuiltFile): string => `/files/acme-lib/${hexOf(bytes)}/${filename}`;

const made = { name: 'Acme.Lib', version: '1.0', requires: ['other>=1'], requiresPython: '>=3.6' };
const wheel = wheelOf(made);
const source = sourceOf(made);

export const publishSamples: readonly PublishSample[] = [
  {
    title: 'a wheel',
    request: uploadOf(wheel),
    other: uploadOf(wheelOf({ ...made, requires: [] })),
    files: { [hostedPath(wheel)]: wheel.bytes, [`${hostedPath(wheel)}.metadata`]: wheel.metadata },
    documents: pagesOfHosted,
  },
  {
    title: 'a source distribution with a signature',
    request: uploadOf(source, { signature: '-----BEGIN PGP SIGNATURE-----\n' }),
    other: uploadOf(sourceOf({ ...made, requires: [] })),
    files: {
      [hostedPath(source)]: source.bytes,
      [`${hostedPath(source)}.asc`]: Buffer.from('-----BEGIN PGP SIGNATURE-----\n'),
    },
    documents: pagesOfHosted,
  },
];

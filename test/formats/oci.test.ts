import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import type { Body, Document, DocumentType, Heard, Intent, Origin } from '../../src/core/format.ts';
import { isSafePath } from '../../src/core/path.ts';
import { type Code, Problem, problems } from '../../src/core/problem.ts';
import { compileRoutes } from '../../src/core/route.ts';
import { format } from '../../src/formats/oci/index.ts';
import { nextLink } from '../../src/formats/oci/link-header.ts';
import { manifest } from '../../src/formats/oci/manifest.ts';
import { isManifestType } from '../../src/formats/oci/media-types.ts';
import { clientName, isName, isTag, locate, readDigest, referrersTag, splitPath } from '../../src/formats/oci/name.ts';
import { referrers } from '../../src/formats/oci/referrers.ts';
import { tag } from '../../src/formats/oci/tag.ts';
import { tagList } from '../../src/formats/oci/tag-list.ts';
import { answered, conformance, intentOf, type Question } from '../conformance/format.ts';
import {
  amd64,
  arm64,
  bytesOf,
  config,
  descriptor,
  dockerList,
  dockerManifest,
  documents,
  heard,
  image,
  imageBytes,
  imageIndex,
  imageManifest,
  indexOf,
  layer,
  list,
  publish,
  type Reply,
  sbom,
  signature,
  subject,
  tagOf,
  untyped,
  upstream,
  zstdLayer,
} from './oci.samples.ts';

const sha256 = digestOf(imageBytes);
const sha512 = digestOf(imageBytes, 'sha512');
const emptyBlob = digestOf(Buffer.alloc(0));
const base = 'http://localhost:5273/v2/acme/hub';

conformance(format, {
  documents,
  publish,
  examples: {
    ping: ['/', '/?ns=docker.io'],
    manifest: [
      '/library/alpine/manifests/3.20',
      `/library/alpine/manifests/${sha256}`,
      `/library/alpine/manifests/${sha256.replace(':', '%3A')}`,
      `/a/manifests/${sha512}`,
      '/a/blobs/b/manifests/c/manifests/latest',
      '/library/alpine/manifests/3.20?ns=docker.io',
      '/Alpine/manifests/latest',
      '/alpine/manifests/.INVALID_MANIFEST_NAME',
    ],
    'manifest-push': [
      '/library/alpine/manifests/3.20',
      `/library/alpine/manifests/${sha256}`,
      `/a/manifests/${sha512}?tag=a&tag=b`,
      '/alpine/manifests/.INVALID_MANIFEST_NAME',
    ],
    'manifest-delete': ['/library/alpine/manifests/3.20', `/library/alpine/manifests/${sha256}`],
    'upload-start': [
      '/library/alpine/blobs/uploads/',
      '/library/alpine/blobs/uploads/?mount=x&from=y',
      `/library/alpine/blobs/uploads/?mount=${sha256}&from=library/debian`,
      `/library/alpine/blobs/uploads/?digest=${sha256}`,
      '/a/blobs/uploads/?digest-algorithm=sha512',
    ],
    upload: ['/library/alpine/blobs/uploads/0b6a3d1e', '/blobs/uploads/blobs/uploads/1?_state=x'],
    'upload-append': [
      '/library/alpine/blobs/uploads/0b6a3d1e',
      { path: '/a/blobs/uploads/1', headers: { 'content-range': '0-99' } },
    ],
    'upload-finish': [`/library/alpine/blobs/uploads/0b6a3d1e?digest=${sha256}`, '/a/blobs/uploads/1'],
    'upload-cancel': ['/library/alpine/blobs/uploads/0b6a3d1e'],
    'blob-delete': [`/library/alpine/blobs/${sha256}`],
    blob: [`/library/alpine/blobs/${sha256}`, `/blobs/uploads/blobs/blobs/${sha512}`, '/alpine/blobs/uploads'],
    tags: [
      '/library/alpine/tags/list',
      '/alpine/tags/list?n=10&last=3.9',
      '/manifests/tags/tags/list',
      '/a/tags/list?n=x',
    ],
    referrers: [
      `/library/alpine/referrers/${sha256}`,
      `/alpine/referrers/${sha512}?artifactType=application/spdx%2Bjson`,
      '/alpine/referrers/latest',
    ],
    catalog: ['/_catalog', '/_catalog?n=10'],
  },
});

const router = compileRoutes(format.routes);

function intent(path: string, method = 'GET'): Intent | undefined {
  return intentOf(router, method, path)?.intent;
}

function parsed<T = Record<string, unknown>>(body: Body | undefined): T {
  return JSON.parse(Buffer.from(body?.bytes ?? []).toString('utf8')) as T;
}

interface Errors {
  readonly errors: readonly { readonly code: string; readonly message: string; readonly detail: unknown }[];
}

/** Status and code of an answer that is an error in the dialect. */
function errorAt(path: string, method = 'GET'): [number | undefined, string | undefined] {
  const body = answered(intent(path, method));
  expect(body?.headers).toMatchObject({ 'content-type': 'application/json' });
  const { errors } = parsed<Errors>(body);
  expect(errors).toHaveLength(1);
  expect(errors[0]?.message).toMatch(/^.{10,400}$/);
  return [body?.status, errors[0]?.code];
}

describe('the grammar', () => {
  it.each([
    'a',
    'alpine',
    'library/alpine',
    'a.b/c_d/e__f/g-h/i--j',
    '0/1',
    'a/blobs/b',
    'manifests/tags/list',
    'x'.repeat(255),
  ])('has the name %s', (name) => expect(isName(name)).toBe(true));
  it.each([
    '',
    'A',
    'a/',
    '/a',
    'a//b',
    '-a',
    'a-',
    'a..b',
    'a___b',
    'a._b',
    '.a',
    '_catalog',
    'a b',
    'a:b',
    'ä',
    'a\n',
    '__proto__',
    'x'.repeat(256),
  ])('does not have the name %j', (name) => expect(isName(name)).toBe(false));

  it.each(['latest', '3.20', '_', 'A', 'sha256-abc.sig', 'x'.repeat(128)])('has the tag %s', (text) =>
    expect(isTag(text)).toBe(true),
  );
  it.each(['', '.a', '-a', 'a/b', 'a:b', 'a+b', 'a\n', 'x'.repeat(129)])('does not have the tag %j', (text) =>
    expect(isTag(text)).toBe(false),
  );

  it.each([sha256, sha512, emptyBlob])('has the digest %s', (text) => expect(readDigest(text)).toBe(text));
  it.each([
    '',
    'sha256:',
    sha256.toUpperCase(),
    `sha256:${sha256.slice(7).toUpperCase()}`,
    `${sha256}0`,
    sha256.slice(0, -1),
    `sha512:${sha256.slice(7)}`,
    `md5:${'0'.repeat(32)}`,
    `sha1:${'0'.repeat(40)}`,
    `sha256+b64:${'0'.repeat(64)}`,
    `${sha256}\n`,
  ])('does not have the digest %j', (text) => expect(readDigest(text)).toBeUndefined());
});

describe('a path is read from the right', () => {
  it.each([
    ['/a/manifests/b', 'manifest', 'a', 'a/manifests/b'],
    ['/a/b/c/d/e/f/manifests/b', 'manifest', 'a/b/c/d/e/f', 'a/b/c/d/e/f/manifests/b'],
    ['/manifests/manifests/manifests', 'manifest', 'manifests', 'manifests/manifests/manifests'],
    [`/blobs/${'a'.repeat(3)}/blobs/${sha256}`, 'blob', 'blobs/aaa', `blobs/aaa/blobs/${sha256}`],
    ['/a/manifests/tags/list', 'tags', 'a/manifests', 'a/manifests/tags/list'],
    ['/tags/list/manifests/tags', 'manifest', 'tags/list', 'tags/list/manifests/tags'],
    [`/a/tags/list/referrers/${sha256}`, 'referrers', 'a/tags/list', `a/tags/list/referrers/${sha256}`],
    [`/a%2Fb/blobs/${sha256.replace(':', '%3a')}`, 'blob', 'a/b', `a/b/blobs/${sha256}`],
  ])('%s is about a %s of %s', (path, id, name, expected) => {
    const found = intentOf(router, 'GET', path);
    expect(found?.route.id).toBe(id);
    expect(found?.intent).toMatchObject({ name, path: expected });
    expect(splitPath(expected).name).toBe(name);
  });

  it.each([
    '/manifests/latest',
    `/blobs/${sha256}`,
    '/tags/list',
    '/library/alpine',
    '/a/manifests/',
    '/a/tags/list/',
    '/_catalog/',
  ])('%s is no address', (path) => expect(intent(path)).toBeUndefined());
});

describe('an address that can have no answer', () => {
  it.each([
    ['an upper-case name', '/Library/alpine/manifests/3.20', 400, 'NAME_INVALID'],
    ['a name that is too long', `/${'a'.repeat(256)}/manifests/3.20`, 400, 'NAME_INVALID'],
    ['a name that is none, of a blob', `/a..b/blobs/${sha256}`, 400, 'NAME_INVALID'],
    ['a name that is none, of tags', '/-a/tags/list', 400, 'NAME_INVALID'],
    ['a name that is none, of referrers', `/a-/referrers/${sha256}`, 400, 'NAME_INVALID'],
    ['a digest cut short', '/a/manifests/sha256:abc', 400, 'DIGEST_INVALID'],
    ['a digest in upper case', `/a/blobs/sha256:${sha256.slice(7).toUpperCase()}`, 400, 'DIGEST_INVALID'],
    ['a digest of another algorithm', `/a/blobs/md5:${'0'.repeat(32)}`, 400, 'DIGEST_INVALID'],
    ['a blob by tag', '/a/blobs/latest', 400, 'DIGEST_INVALID'],
    ['referrers of a tag', '/a/referrers/latest', 400, 'DIGEST_INVALID'],
    ['a tag that is none', '/a/manifests/.INVALID_MANIFEST_NAME', 404, 'MANIFEST_UNKNOWN'],
    ['a tag with a slash', '/a/manifests/b%2Fc', 404, 'MANIFEST_UNKNOWN'],
    ['a tag that is too long', `/a/manifests/${'a'.repeat(129)}`, 404, 'MANIFEST_UNKNOWN'],
    ['a number of tags that is none', '/a/tags/list?n=x', 400, 'UNSUPPORTED'],
    ['a negative number of tags', '/a/tags/list?n=-1', 400, 'UNSUPPORTED'],
    ['a number of names that is none', '/_catalog?n=x', 400, 'UNSUPPORTED'],
  ])('because of %s says so', (_name, path, status, code) => expect(errorAt(path)).toEqual([status, code]));
});

describe('writing', () => {
  it.each([
    ['PUT', '/Library/alpine/manifests/3.20', 'NAME_INVALID'],
    ['PUT', '/library/alpine/manifests/.3.20', 'MANIFEST_INVALID'],
    ['PUT', '/library/alpine/manifests/sha256:abc', 'DIGEST_INVALID'],
    ['DELETE', '/library/alpine/manifests/md5:abc', 'DIGEST_INVALID'],
    ['DELETE', '/library/alpine/blobs/latest', 'DIGEST_INVALID'],
    ['POST', '/Library/alpine/blobs/uploads/', 'NAME_INVALID'],
    ['POST', '/library/alpine/blobs/uploads/?digest=', 'DIGEST_INVALID'],
    ['POST', '/library/alpine/blobs/uploads/?digest=md5:0', 'DIGEST_INVALID'],
    ['POST', '/library/alpine/blobs/uploads/?digest-algorithm=md5', 'DIGEST_INVALID'],
    ['PUT', '/library/alpine/blobs/uploads/1', 'DIGEST_INVALID'],
    ['PUT', '/library/alpine/blobs/uploads/1?digest=x', 'DIGEST_INVALID'],
  ])('%s %s is refused before anything is read', (method, path, code) => {
    expect(errorAt(path, method)).toEqual([400, code]);
  });

  it.each([
    ['POST', '/library/alpine/manifests/3.20'],
    ['POST', '/library/alpine/tags/list'],
    ['DELETE', `/library/alpine/referrers/${sha256}`],
    ['PUT', '/_catalog'],
  ])('with %s %s is not possible', (method, path) => {
    const found = router.find(method, path.split('?')[0] ?? '', (route, params) =>
      route.intent({ method, params, query: new URLSearchParams(), headers: {}, base }),
    );
    expect(found).toHaveProperty('allow');
  });
});

describe('the ping', () => {
  it('is answered to those who showed something, and challenges everybody else', () => {
    const ping = intent('/');
    expect(ping).toMatchObject({ kind: 'answer', challenges: true });
    expect(Buffer.from(answered(ping)?.bytes ?? []).toString()).toBe('{}');
    expect(answered(ping)?.headers).toEqual({ 'content-type': 'application/json' });
    expect(format.headers).toEqual({ 'docker-distribution-api-version': 'registry/2.0' });
  });
});

const accept = [
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.artifact.manifest.v1+json',
];

describe('a manifest', () => {
  it.each([sha256, sha512])('by digest never changes: %s', (digest) => {
    const found = intent(`/library/alpine/manifests/${digest}`);
    expect(found).toMatchObject({
      kind: 'artifact',
      path: `library/alpine/manifests/${digest}`,
      name: 'library/alpine',
      group: 'library/alpine',
      digest,
      limit: 4 * 1024 * 1024,
    });
    expect(found).not.toHaveProperty('freshness');
    expect(found).not.toHaveProperty('describedBy');
    expect(found).not.toHaveProperty('contentType');
  });

  it('by tag is what the tag says now', () => {
    const path = 'library/alpine/manifests/3.20';
    const found = intent(`/${path}`);
    expect(found).toMatchObject({
      kind: 'artifact',
      path,
      version: '3.20',
      freshness: 'described',
      describedBy: { kind: 'document', path, name: 'library/alpine' },
    });
    expect(found).not.toHaveProperty('digest');
  });

  it.each(['/a/manifests/latest', `/a/manifests/${sha256}`])('%s is asked for in every form there is', (path) => {
    const found = intent(path);
    if (found?.kind !== 'artifact') throw new Error('no artifact');
    expect(found.accept?.split(', ')).toEqual(accept);
    expect(found.reads).toBe(manifest);
    expect(accept.filter((type) => !found.accepts?.(type))).toEqual([]);
  });

  it.each([
    ['application/vnd.cncf.oras.artifact.manifest.v1+json', true],
    ['', false],
    ['text/html', false],
    ['text/plain', false],
    ['application/json', false],
    ['application/octet-stream', false],
    ['application/vnd.docker.distribution.manifest.v1+json', false],
    ['application/vnd.docker.distribution.manifest.v1+prettyjws', false],
    ['application/vnd.oci.image.layer.v1.tar+gzip', false],
  ])('may come as %j: %s', (type, may) => expect(isManifestType(type)).toBe(may));

  const read = (json: unknown, contentType = '', path = `library/alpine/manifests/${sha256}`) => {
    const bytes = json instanceof Uint8Array ? json : bytesOf(json);
    const origin: Origin = { url: `${upstream}/v2/${path}`, path, headers: { 'content-type': contentType } };
    return [...(manifest.links?.(manifest.decode(bytes, origin), origin) ?? [])];
  };

  it('links to its config, its layers and its subject, each once', () => {
    expect(read(imageBytes, imageManifest)).toEqual([
      { path: `library/alpine/blobs/${config.digest}`, digests: [config.digest], size: config.size },
      { path: `library/alpine/blobs/${layer.digest}`, digests: [layer.digest], size: layer.size },
      { path: `library/alpine/blobs/${zstdLayer.digest}`, digests: [zstdLayer.digest], size: zstdLayer.size },
      {
        path: `library/alpine/manifests/${subject.digest}`,
        digests: [subject.digest],
        size: subject.size,
        contentType: imageManifest,
      },
    ]);
  });

  it('that is an index links to its children', () => {
    expect(read(list, dockerList, 'a/manifests/b')).toEqual(
      [amd64, arm64].map(({ digest, size }) => ({
        path: `a/manifests/${digest}`,
        digests: [digest],
        size,
        contentType: dockerManifest,
      })),
    );
  });

  it('of the kind that artifacts once had links to its blobs', () => {
    const artifact = { mediaType: accept[4], artifactType: 'a/b', blobs: [layer], subject };
    expect(read(artifact, accept[4]).map(({ path }) => path)).toEqual([
      `library/alpine/blobs/${layer.digest}`,
      `library/alpine/manifests/${subject.digest}`,
    ]);
  });

  it('does not lead to the addresses that foreign layers name', () => {
    const foreign = {
      ...layer,
      mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
      urls: ['http://x/'],
    };
    expect(read({ ...image, layers: [foreign] }).filter((link) => 'url' in link)).toEqual([]);
  });

  it('knows the size of nothing but the empty blob to be zero', () => {
    const zero = descriptor('', layer.mediaType);
    const lie = { ...layer, size: 0 };
    const links = read({ schemaVersion: 2, layers: [zero, lie] });
    expect(links).toEqual([
      { path: `library/alpine/blobs/${emptyBlob}`, digests: [emptyBlob], size: 0 },
      { path: `library/alpine/blobs/${layer.digest}`, digests: [layer.digest] },
    ]);
  });

  it.each<[string, unknown]>([
    ['no layers', { schemaVersion: 2, config, layers: [] }],
    ['layers that are null', { schemaVersion: 2, config, layers: null }],
    ['no children', indexOf([])],
    ['children that are null', { ...indexOf([]), manifests: null }],
    ['no media type', { schemaVersion: 2, config, layers: [layer] }],
    ['an empty media type', { schemaVersion: 2, mediaType: '', config, layers: [layer] }],
    ['a digest that nobody here can compute', { ...image, layers: [{ ...layer, digest: 'blake3:00ff' }] }],
    ['fields of its own', { ...image, x: { y: [1] } }],
  ])('may have %s', (_name, json) => expect(read(json)).toBeInstanceOf(Array));

  it('is not index and image at once, whatever its type', () => {
    const both = { schemaVersion: 2, layers: [layer], manifests: [amd64] };
    for (const type of ['', imageIndex, imageManifest, 'application/vnd.example.thing+json'])
      expect(() => read(both, type)).toThrow(/at once/);
  });

  it('is told to be of schema 1', () => {
    const signed = { schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [{ blobSum: layer.digest }], history: [] };
    expect(() => read(signed, '')).toThrow(/schema 1,/);
  });

  it.each<[string, unknown, string]>([
    ['an image under the type of an index', { schemaVersion: 2, config, layers: [layer] }, imageIndex],
    ['an index under the type of an image', { schemaVersion: 2, manifests: [amd64] }, imageManifest],
    ['a type inside that is not the one it came as', image, dockerManifest],
  ])('is not %s', (_name, json, type) => expect(() => read(json, type)).toThrow(/it came as/));

  it('comes out byte for byte, under the type it came as', () => {
    const origin: Origin = { url: upstream, path: `a/manifests/${sha256}`, headers: { 'content-type': imageManifest } };
    const body = manifest.encode(manifest.decode(imageBytes, origin), '', base);
    expect(Buffer.from(body?.bytes ?? []).equals(imageBytes)).toBe(true);
    expect(body?.headers).toEqual({ 'content-type': imageManifest });
  });
});

describe('a blob', () => {
  it.each([sha256, sha512, emptyBlob])('never changes and is only bytes: %s', (digest) => {
    expect(intent(`/library/alpine/blobs/${digest}`)).toEqual({
      kind: 'artifact',
      path: `library/alpine/blobs/${digest}`,
      name: 'library/alpine',
      group: 'library/alpine',
      digest,
      contentType: 'application/octet-stream',
      sentIfMissing: true,
    });
  });
});

describe('bytes are answered with their digest', () => {
  const facts = { digests: [sha512, sha256], size: 1, contentType: 'a/b' } as const;
  const headersOf = (path: string, known: Partial<typeof facts> = {}) => {
    const want = intent(path);
    if (want?.kind !== 'artifact') throw new Error('no artifact');
    return format.artifactHeaders?.(want, { ...facts, ...known });
  };
  it.each([
    ['by the one they were asked for', `/a/manifests/${sha512}`, sha512],
    ['by the one that is known beside sha256 when asked by tag', '/a/manifests/latest', sha512],
    ['of a blob', `/a/blobs/${sha256}`, sha256],
  ])('%s', (_name, path, digest) => {
    expect(headersOf(path)).toMatchObject({ 'docker-content-digest': digest, etag: `"${digest}"` });
  });

  it('and with their content type alone', () => {
    const contentType = `${imageManifest}; charset=utf-8`;
    const want = intent('/a/manifests/latest');
    if (want?.kind !== 'artifact') throw new Error('no artifact');
    expect(format.artifactHeaders?.(want, { ...facts, contentType })).toMatchObject({ 'content-type': imageManifest });
  });

  it('or with the only one there is, or with none', () => {
    const want = intent('/a/manifests/latest');
    if (want?.kind !== 'artifact') throw new Error('no artifact');
    const known = { size: undefined, contentType: 'a/b' };
    for (const digest of [sha512, sha256]) {
      expect(format.artifactHeaders?.(want, { ...known, digests: [digest] })).toEqual({
        'content-type': 'a/b',
        'docker-content-digest': digest,
        etag: `"${digest}"`,
      });
    }
    expect(format.artifactHeaders?.(want, { ...known, digests: [] })).toEqual({ 'content-type': 'a/b' });
  });
});

describe('the registry that a client of a mirror means', () => {
  it.each([
    '/a/manifests/latest',
    `/a/manifests/${sha256}`,
    `/a/blobs/${sha256}`,
    '/a/tags/list',
    `/a/referrers/${sha256}`,
  ])('is said back to it: %s', (path) => {
    expect(intent(`${path}?ns=docker.io`)).toMatchObject({ headers: { 'oci-namespace': 'docker.io' } });
    expect(intent(`${path}?ns=registry.example:5000`)).toMatchObject({
      headers: { 'oci-namespace': 'registry.example:5000' },
    });
    expect(intent(path)).not.toHaveProperty('headers');
  });

  it.each(['', 'a b', 'a%0d%0ax:y', 'http://x/', 'x'.repeat(256), '%C3%A4'])('is not when it is none: %j', (ns) =>
    expect(intent(`/a/manifests/latest?ns=${ns}`)).not.toHaveProperty('headers'),
  );
});

describe('upstream is asked at', () => {
  const hub = 'https://registry-1.docker.io';
  it.each<[string, string, string | undefined, string]>([
    ['a/b/manifests/1', hub, undefined, `${hub}/v2/a/b/manifests/1`],
    ['a/manifests/1', hub, undefined, `${hub}/v2/a/manifests/1`],
    ['a/manifests/1', hub, 'library', `${hub}/v2/library/a/manifests/1`],
    ['a/b/manifests/1', hub, 'library', `${hub}/v2/a/b/manifests/1`],
    ['library/a/manifests/1', hub, 'library', `${hub}/v2/library/a/manifests/1`],
    [`a/blobs/${sha256}`, hub, 'library', `${hub}/v2/library/a/blobs/${sha256}`],
    ['a/tags/list', hub, 'library', `${hub}/v2/library/a/tags/list`],
    [`a/referrers/${sha256}`, hub, 'library', `${hub}/v2/library/a/referrers/${sha256}`],
    ['manifests/manifests/manifests', hub, 'library', `${hub}/v2/library/manifests/manifests/manifests`],
    ['a/manifests/1', 'http://[::1]:5000', undefined, 'http://[::1]:5000/v2/a/manifests/1'],
    ['a/manifests/1', 'https://r.example/team/x', undefined, 'https://r.example/v2/team/x/a/manifests/1'],
    ['a/manifests/1', 'https://r.example/v2', undefined, 'https://r.example/v2/a/manifests/1'],
    ['a/manifests/1', 'https://r.example/v2/acme/hub', undefined, 'https://r.example/v2/acme/hub/a/manifests/1'],
    ['a/manifests/1', 'https://r.example/api/x/v2', undefined, 'https://r.example/api/x/v2/a/manifests/1'],
    ['a/manifests/1', 'https://r.example/acme/v2x', undefined, 'https://r.example/v2/acme/v2x/a/manifests/1'],
    [
      'a/manifests/1',
      'https://r.example/v2/acme/hub',
      'library',
      'https://r.example/v2/acme/hub/library/a/manifests/1',
    ],
  ])('%s below %s (short names: %s)', (path, url, shortNames, expected) => {
    expect(locate(path, { base: url, ...(shortNames === undefined ? {} : { shortNames }) })).toBe(expected);
  });
});

describe('a challenge', () => {
  const facts = { base, tokenUrl: 'https://larder.example:5273/token', action: 'read' } as const;
  const plain = 'Bearer realm="https://larder.example:5273/token",service="larder.example:5273"';

  it.each([
    ['http://h/v2/acme/hub', 'acme/hub/library/alpine'],
    ['http://h/acme/hub/v2', 'acme/hub/library/alpine'],
    ['http://h/v2', 'library/alpine'],
    ['http://h/prefix/v2/acme/hub', 'acme/hub/library/alpine'],
    ['http://h/prefix/acme/hub/v2', 'prefix/acme/hub/library/alpine'],
    ['http://h/v2/acme/v2', 'acme/v2/library/alpine'],
    ['http://h/acme/hub', 'acme/hub/library/alpine'],
  ])('at %s is about %s', (at, name) => {
    expect(clientName(at, 'library/alpine')).toBe(name);
    expect(format.auth.challenge({ ...facts, base: at, name: 'library/alpine' })).toBe(
      `${plain},scope="repository:${name}:pull"`,
    );
  });

  it('says what has to be allowed', () => {
    const of = (action: 'read' | 'publish' | 'delete' | 'admin') =>
      /scope="([^"]*)"/.exec(format.auth.challenge({ ...facts, action, name: 'a' }))?.[1];
    expect([of('read'), of('publish'), of('delete'), of('admin')]).toEqual([
      'repository:acme/hub/a:pull',
      'repository:acme/hub/a:pull,push',
      'repository:acme/hub/a:delete',
      'repository:acme/hub/a:*',
    ]);
  });

  it('is about nothing in particular when nothing was asked for', () => {
    expect(format.auth.challenge(facts)).toBe(plain);
  });

  it('names the error when what was shown does not count', () => {
    expect(format.auth.challenge({ ...facts, rejected: true })).toBe(`${plain},error="invalid_token"`);
    expect(format.auth.challenge({ ...facts, name: 'a', rejected: true })).toBe(
      `${plain},scope="repository:acme/hub/a:pull",error="insufficient_scope"`,
    );
  });

  it('has no port in the service when the address has none', () => {
    expect(format.auth.challenge({ ...facts, tokenUrl: 'https://larder.example/token' })).toContain(
      'service="larder.example"',
    );
  });
});

interface Look {
  readonly steps: readonly string[];
  readonly end: 'absent' | Uint8Array;
}

/** Every step that a look takes, as `METHOD path?query` or `METHOD url`, and what it comes to. */
function look(
  type: DocumentType<never> | DocumentType<unknown>,
  path: string,
  reply: (step: Question, n: number) => Reply,
): Look {
  const want: Document = { kind: 'document', type: type as DocumentType<unknown>, path };
  const answers: Heard[] = [];
  const steps: string[] = [];
  for (;;) {
    const step = type.obtain?.(want, answers);
    if (!step) throw new Error('it is not obtained in steps');
    if ('absent' in step) return { steps, end: 'absent' };
    if ('bytes' in step) return { steps, end: step.bytes };
    const { ask, method = 'GET' } = step;
    steps.push(`${method} ${'url' in ask ? ask.url : `${ask.path}${ask.query === undefined ? '' : `?${ask.query}`}`}`);
    if ('path' in ask) expect(isSafePath(ask.path)).toBe(true);
    expect(steps.length, steps.join('\n')).toBeLessThan(20);
    answers.push(heard(step, reply(step, answers.length)));
  }
}

const originOf = (path: string): Origin => ({ url: `${upstream}/v2/${path}`, path, headers: {} });

function decoded<T>(type: DocumentType<T>, path: string, { end }: Look): T {
  if (end === 'absent') throw new Error('it is absent');
  return type.decode(end, originOf(path));
}

describe('a tag', () => {
  const path = 'library/alpine/manifests/3.20';
  const full = {
    'docker-content-digest': tagOf.digest,
    'content-type': imageManifest,
    'content-length': String(tagOf.size),
  };

  it('is asked about with HEAD alone', () => {
    const got = look(tag, path, () => ({ headers: full }));
    expect(got.steps).toEqual([`HEAD ${path}`]);
    expect(decoded(tag, path, got)).toEqual(tagOf);
  });

  it('is asked about in every form there is', () => {
    const step = tag.obtain?.({ kind: 'document', type: tag, path }, []);
    expect(step && 'ask' in step && step.accept?.split(', ')).toEqual(accept);
  });

  it('leads to the very bytes', () => {
    expect([...(tag.links?.(tagOf, originOf(path)) ?? [])]).toEqual([
      {
        path,
        at: `library/alpine/manifests/${tagOf.digest}`,
        digests: [tagOf.digest],
        size: tagOf.size,
        contentType: imageManifest,
      },
    ]);
    expect(intent(`/library/alpine/manifests/${tagOf.digest}`)).toMatchObject({ digest: tagOf.digest });
  });

  it('comes without the parameters of its type', () => {
    const headers = { ...full, 'content-type': 'Application/vnd.oci.image.manifest.v1+json; charset=utf-8' };
    expect(
      decoded(
        tag,
        path,
        look(tag, path, () => ({ headers })),
      ).mediaType,
    ).toBe(imageManifest);
  });

  it('may be told by another digest', () => {
    const headers = { ...full, 'docker-content-digest': sha512 };
    expect(
      decoded(
        tag,
        path,
        look(tag, path, () => ({ headers })),
      ).digest,
    ).toBe(sha512);
  });

  it.each([404, 410])('is not there when HEAD is answered %i', (status) => {
    expect(look(tag, path, () => ({ status }))).toEqual({ steps: [`HEAD ${path}`], end: 'absent' });
  });

  const manifestReply: Reply = { headers: { 'content-type': imageManifest }, body: imageBytes };

  it.each<[string, Reply]>([
    ['is not possible', { status: 405 }],
    ['is not known', { status: 501 }],
    ['is not understood', { status: 400 }],
    ['says no digest', { headers: { ...full, 'docker-content-digest': '' } }],
    ['says a digest that is none', { headers: { ...full, 'docker-content-digest': 'sha256:abc' } }],
    ['says no length', { headers: { ...full, 'content-length': '' } }],
    ['says that there is nothing', { headers: { ...full, 'content-length': '0' } }],
    ['says a length that is none', { headers: { ...full, 'content-length': '1e3' } }],
    ['says more than a manifest may have', { headers: { ...full, 'content-length': '4194305' } }],
    ['says no type', { headers: { ...full, 'content-type': '' } }],
    ['says a type that no manifest has', { headers: { ...full, 'content-type': 'text/html' } }],
    ['is about a packed answer', { headers: { ...full, 'content-encoding': 'gzip' } }],
  ])('is looked at whole when HEAD %s', (_name, head) => {
    const got = look(tag, path, ({ method }) => (method === 'HEAD' ? head : manifestReply));
    expect(got.steps).toEqual([`HEAD ${path}`, `GET ${path}`]);
    expect(decoded(tag, path, got)).toEqual(tagOf);
  });

  const afterHead = (reply: Reply): Look =>
    look(tag, path, ({ method }) => (method === 'HEAD' ? { status: 405 } : reply));

  it('is computed in the algorithm that upstream names', () => {
    const headers = { 'content-type': imageManifest, 'docker-content-digest': sha512 };
    expect(decoded(tag, path, afterHead({ headers, body: imageBytes })).digest).toBe(sha512);
  });

  it.each([404, 410])('is not there when GET after that is answered %i', (status) => {
    expect(afterHead({ status }).end).toBe('absent');
  });

  it.each<[string, Reply, RegExp]>([
    ['a page', { headers: { 'content-type': 'text/html' }, body: '<p>Sign in' }, /text\/html/],
    ['a page under a good type', { headers: { 'content-type': imageManifest }, body: '<p>Sign in' }, /not JSON/],
    ['a message', { headers: { 'content-type': imageManifest }, body: { errors: [] } }, /neither/],
    ['a manifest under no type', { body: imageBytes }, /nothing in particular/],
    [
      'a manifest under another type',
      { headers: { 'content-type': dockerManifest }, body: imageBytes },
      /says otherwise/,
    ],
    [
      'another manifest than it says',
      { headers: { 'content-type': imageManifest, 'docker-content-digest': subject.digest }, body: imageBytes },
      /another digest/,
    ],
    [
      'schema 1',
      { headers: { 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' }, body: '{}' },
      /prettyjws/,
    ],
    ['a failure', { status: 405 }, /405/],
  ])('is not known when upstream then sends %s', (_name, reply, reason) => {
    expect(() => decoded(tag, path, afterHead(reply))).toThrow(reason);
  });
});

describe('the list of tags', () => {
  const path = 'library/alpine/tags/list';
  const first = `GET ${path}?n=1000`;
  const page = (tags: readonly unknown[] | null, link?: string): Reply => ({
    body: { name: 'library/alpine', tags },
    ...(link === undefined ? {} : { headers: { link } }),
  });

  it('is one page when upstream names no other', () => {
    const got = look(tagList, path, () => page(['b', 'a']));
    expect(got.steps).toEqual([first]);
    expect(decoded(tagList, path, got)).toEqual({ name: 'library/alpine', tags: ['a', 'b'] });
  });

  it.each([
    ['relative to the host', '</v2/library/alpine/tags/list?last=b&n=2>; rel="next"', `GET ${path}?last=b&n=2`],
    ['relative to the list', '<list?last=b&n=2>; rel="next"', `GET ${path}?last=b&n=2`],
    ['absolute', `<${upstream}/v2/library/alpine/tags/list?last=b>; rel=next`, `GET ${path}?last=b`],
    [
      'of a host only upstream knows',
      '<http://10.0.0.1:5000/v2/library/alpine/tags/list?last=b>; rel="next"',
      `GET ${path}?last=b`,
    ],
    [
      'without the prefix that stands before it',
      '</library/alpine/tags/list?next_page=x%2By>; rel="next"',
      `GET ${path}?next_page=x%2By`,
    ],
    ['of somewhere else', '</v2/_pages/7?of=library>; rel="next"', `GET ${upstream}/v2/_pages/7?of=library`],
    [
      'among others',
      '</a>; rel="prev"; title="<x>", </v2/library/alpine/tags/list?last=b>; rel="last next"',
      `GET ${path}?last=b`,
    ],
  ])('goes on at an address %s', (_name, link, second) => {
    const got = look(tagList, path, (_step, n) => (n === 0 ? page(['b', 'a'], link) : page(['c', 'b'])));
    expect(got.steps).toEqual([first, second]);
    expect(decoded(tagList, path, got).tags).toEqual(['a', 'b', 'c']);
  });

  it('goes on as long as there are pages', () => {
    const got = look(tagList, path, (_step, n) =>
      page([`t${n}`], n < 9 ? `</v2/${path}?last=t${n}&n=1>; rel="next"` : undefined),
    );
    expect(got.steps).toHaveLength(10);
    expect(decoded(tagList, path, got).tags).toEqual(Array.from({ length: 10 }, (_, n) => `t${n}`));
  });

  it.each([
    ['the same page again', `</v2/${path}?n=1000>; rel="next"`],
    ['a page in a circle', `</v2/${path}?last=a>; rel="next"`],
    ['a page elsewhere in a circle', '</elsewhere>; rel="next"'],
    ['something that is no address', '<http://[>; rel="next"'],
  ])('ends at %s', (_name, link) => {
    const got = look(tagList, path, () => page(['a'], link));
    expect(got.steps.length).toBeLessThan(3);
    expect(decoded(tagList, path, got).tags).toEqual(['a']);
  });

  it.each([404, 405, 410, 501])('is not there when upstream answers %i', (status) => {
    expect(look(tagList, path, () => ({ status }))).toEqual({ steps: [first], end: 'absent' });
  });

  const thousand = Array.from({ length: 1000 }, (_, n) => `t${n}`);
  it.each<[string, Reply]>([
    ['refuses the number', { status: 400 }],
    ['obeys it and does not say how to go on', page(thousand)],
  ])('is asked for without a number where upstream %s', (_name, reply) => {
    const got = look(tagList, path, ({ ask }) => {
      if ('path' in ask && ask.query === 'n=1000') return reply;
      return 'path' in ask && ask.query === undefined
        ? page([...thousand, 'z'], `</v2/${path}?last=z>; rel="next"`)
        : page(['zz']);
    });
    expect(got.steps).toEqual([first, `GET ${path}`, `GET ${path}?last=z`]);
    expect(decoded(tagList, path, got).tags).toEqual([...thousand, 'z', 'zz'].sort());
  });

  it.each<[string, Reply]>([
    ['a thousand and a next page', page(thousand, `</v2/${path}?last=t999&n=1000>; rel="next"`)],
    ['more than asked for', page([...thousand, 'z'])],
    ['less than asked for', page(thousand.slice(1))],
  ])('is built upon a first page of %s', (_name, reply) => {
    const got = look(tagList, path, (_step, n) => (n === 0 ? reply : page(['zz'])));
    expect(got.steps).not.toContain(`GET ${path}`);
    expect(decoded(tagList, path, got).tags.length).toBeGreaterThan(998);
  });

  it.each([400, 416])('is not known when upstream answers %i whatever is asked', (status) => {
    expect(() =>
      decoded(
        tagList,
        path,
        look(tagList, path, () => ({ status })),
      ),
    ).toThrow(String(status));
  });

  it.each<[string, Reply, RegExp]>([
    ['is not found', { status: 404 }, /404/],
    ['is a page of another kind', { body: '<p>Sign in' }, /not JSON/],
    ['has no tags', { body: { name: 'library/alpine' } }, /no list of tags/],
  ])('is not known when a later page %s', (_name, reply, reason) => {
    const replies = (_step: unknown, n: number): Reply =>
      n === 0 ? page(['a'], `</v2/${path}?last=a>; rel="next"`) : reply;
    expect(() => decoded(tagList, path, look(tagList, path, replies))).toThrow(reason);
  });

  it('has no tags that nobody could ask for, and none twice', () => {
    const got = look(tagList, path, () => page(['b', 'a', 'b', '../x', 'a b', 7, '', 'B', '_', '10', '9']));
    expect(decoded(tagList, path, got).tags).toEqual(['10', '9', 'B', '_', 'a', 'b']);
  });

  it('may be empty, which Go writes as null', () => {
    expect(
      decoded(
        tagList,
        path,
        look(tagList, path, () => page(null)),
      ).tags,
    ).toEqual([]);
  });

  it('of several sources is one list', () => {
    const docs = [['c', 'a'], ['b', 'a'], []].map((tags) => tagList.decode(bytesOf({ tags }), originOf(path)));
    expect(tagList.merge?.(docs, path)).toEqual({ name: 'library/alpine', tags: ['a', 'b', 'c'] });
  });

  const doc = { name: 'library/alpine', tags: ['a', 'b', 'c', 'd', 'e'] };
  /** As a client that asks with this query is answered. */
  function answer(query: string, at = base): { tags: unknown; link: string | undefined; name: unknown } {
    const want = intent(`/${path}${query}`);
    if (want?.kind !== 'document') throw new Error('no document');
    const body = tagList.encode(doc, want.variant ?? '', at);
    const { tags, name } = parsed(body);
    expect(body?.headers?.['content-type']).toBe('application/json');
    return { tags, name, link: body?.headers?.link };
  }
  const link = (query: string): string => `</v2/acme/hub/library/alpine/tags/list?${query}>; rel="next"`;

  it.each<[string, string[], string | undefined]>([
    ['', ['a', 'b', 'c', 'd', 'e'], undefined],
    ['?n=', ['a', 'b', 'c', 'd', 'e'], undefined],
    ['?n=2', ['a', 'b'], link('last=b&n=2')],
    ['?n=2&last=b', ['c', 'd'], link('last=d&n=2')],
    ['?last=d&n=2', ['e'], undefined],
    ['?last=c&n=2', ['d', 'e'], undefined],
    ['?n=5', ['a', 'b', 'c', 'd', 'e'], undefined],
    ['?n=100', ['a', 'b', 'c', 'd', 'e'], undefined],
    ['?n=0', [], undefined],
    ['?n=0&last=a', [], undefined],
    ['?last=bb', ['c', 'd', 'e'], undefined],
    ['?last=e', [], undefined],
    ['?last=z&n=3', [], undefined],
    ['?last=B&n=1', ['a'], link('last=a&n=1')],
    ['?n=1&ns=docker.io', ['a'], link('last=a&n=1&ns=docker.io')],
  ])('asked for with %j is %j', (query, tags, next) => {
    expect(answer(query)).toEqual({ tags, link: next, name: 'acme/hub/library/alpine' });
  });

  it('followed from page to page is all of it', () => {
    const all: unknown[] = [];
    for (let query: string | undefined = '?n=2'; query !== undefined; ) {
      const { tags, link: next } = answer(query);
      all.push(...(tags as unknown[]));
      query = next === undefined ? undefined : new URL(nextLink(next) ?? '', base).search;
    }
    expect(all).toEqual(doc.tags);
  });

  it.each([
    ['http://h/acme/hub/v2', 'acme/hub/library/alpine', '/acme/hub/v2/library/alpine/tags/list'],
    ['http://h/v2', 'library/alpine', '/v2/library/alpine/tags/list'],
  ])('at %s goes by the name that the client uses', (at, name, list) => {
    expect(answer('?n=1', at)).toEqual({ tags: ['a'], name, link: `<${list}?last=a&n=1>; rel="next"` });
  });

  it('goes on where the client can follow', () => {
    const { link: next } = answer('?n=1');
    const target = new URL(nextLink(next) ?? '', base);
    expect(target.host).toBe('localhost:5273');
    expect(intent(`${target.pathname.slice('/v2/acme/hub'.length)}${target.search}`)).toMatchObject({ path });
  });
});

describe('referrers', () => {
  const path = `library/alpine/referrers/${sha256}`;
  const tagPath = `library/alpine/manifests/sha256-${sha256.slice(7)}`;
  const index = (manifests: readonly unknown[], link?: string): Reply => ({
    headers: { 'content-type': imageIndex, ...(link === undefined ? {} : { link }) },
    body: indexOf(manifests),
  });
  const digests = (got: Look): string[] => decoded(referrers, path, got).manifests.map(({ digest }) => digest);

  it('are what upstream lists', () => {
    const got = look(referrers, path, () => index([signature, sbom]));
    expect(got.steps).toEqual([`GET ${path}`]);
    expect(digests(got)).toEqual([signature.digest, sbom.digest]);
  });

  it('are read from all pages', () => {
    const next = `</v2/${path.replace(':', '%3A')}?nextToken=x>; rel="next"`;
    const got = look(referrers, path, (_step, n) => (n === 0 ? index([signature], next) : index([sbom, signature])));
    expect(got.steps).toEqual([`GET ${path}`, `GET ${path}?nextToken=x`]);
    expect(digests(got)).toEqual([signature.digest, sbom.digest]);
  });

  const unsupported: [string, Reply][] = [
    ['not found', { status: 404, body: { errors: [] } }],
    ['not possible', { status: 405 }],
    ['gone', { status: 410 }],
    ['not implemented', { status: 501 }],
    ['a page with status 200', { headers: { 'content-type': 'text/html' }, body: '<!doctype html>' }],
    ['JSON of some kind', { headers: { 'content-type': 'application/json' }, body: {} }],
  ];

  it.each(unsupported)('come from the tag where the list is %s', (_name, reply) => {
    const got = look(referrers, path, (_step, n) => (n === 0 ? reply : index([signature, untyped])));
    expect(got.steps).toEqual([`GET ${path}`, `GET ${tagPath}`]);
    expect(decoded(referrers, path, got).manifests).toEqual([signature, untyped]);
  });

  it.each<[string, Reply]>([
    ['is not there', { status: 404 }],
    ['is gone', { status: 410 }],
    ['is an image', { headers: { 'content-type': imageManifest }, body: imageBytes }],
    ['lists nothing', index([])],
  ])('are none where there is no list and the tag %s', (_name, reply) => {
    const got = look(referrers, path, (_step, n) => (n === 0 ? { status: 404 } : reply));
    expect(digests(got)).toEqual([]);
  });

  it.each<[string, (n: number) => Reply, RegExp]>([
    [
      'a page instead of the tag',
      (n) => (n === 0 ? { status: 404 } : { headers: { 'content-type': 'text/html' } }),
      /html/,
    ],
    ['garbage as a list', () => ({ headers: { 'content-type': imageIndex }, body: '<p>' }), /not JSON/],
    ['an image as a list', () => ({ headers: { 'content-type': imageIndex }, body: image }), /no image index/],
    [
      'garbage as the tag',
      (n) => (n === 0 ? { status: 404 } : { headers: { 'content-type': imageIndex }, body: '{' }),
      /not JSON/,
    ],
    ['a refusal instead of the tag', (n) => ({ status: n === 0 ? 404 : 400 }), /400/],
    [
      'nothing in the middle of the list',
      (n) => (n === 0 ? index([signature], `</v2/${path}?x=1>; rel="next"`) : { status: 404 }),
      /404/,
    ],
  ])('are not known when upstream sends %s', (_name, reply, reason) => {
    const got = (): Look => look(referrers, path, (_step, n) => reply(n));
    expect(() => decoded(referrers, path, got())).toThrow(reason);
  });

  it('are under a tag of 128 letters at most, whatever the digest', () => {
    expect(referrersTag(sha256)).toBe(sha256.replace(':', '-'));
    expect(referrersTag(sha512)).toBe(`sha512-${sha512.slice(7, 71)}`);
    expect(isTag(referrersTag(sha512))).toBe(true);
  });

  it('of several sources are one list, each once', () => {
    const other = { ...sbom, annotations: { from: 'elsewhere' } };
    const docs = [[signature, sbom], [other, untyped], []].map((manifests) =>
      referrers.decode(bytesOf(indexOf(manifests)), originOf(path)),
    );
    expect(referrers.merge?.(docs, path)).toEqual({ manifests: [signature, sbom, untyped] });
  });

  function answer(query: string): { readonly body: Body | undefined; readonly manifests: unknown } {
    const want = intent(`/${path}${query}`);
    if (want?.kind !== 'document') throw new Error('no document');
    const body = referrers.encode({ manifests: [signature, sbom, untyped] as never }, want.variant ?? '', base);
    const json = parsed(body);
    expect(json).toMatchObject({ schemaVersion: 2, mediaType: imageIndex });
    return { body, manifests: json.manifests };
  }

  it.each<[string, unknown[], boolean]>([
    ['', [signature, sbom, untyped], false],
    ['?artifactType=', [signature, sbom, untyped], false],
    ['?artifactType=application/spdx%2Bjson', [sbom], true],
    ['?artifactType=application%2Fspdx%2Bjson&ns=docker.io', [sbom], true],
    ['?artifactType=none', [], true],
    [`?artifactType=none&artifactType=${encodeURIComponent(signature.artifactType as string)}`, [signature], true],
    [
      `?artifactType=application/spdx%2Bjson&artifactType=${encodeURIComponent(signature.artifactType as string)}`,
      [signature, sbom],
      true,
    ],
  ])('asked for with %j are those of that type', (query, manifests, isFiltered) => {
    const { body, manifests: got } = answer(query);
    expect(got).toEqual(manifests);
    expect(body?.headers).toEqual({
      'content-type': imageIndex,
      ...(isFiltered ? { 'oci-filters-applied': 'artifactType' } : {}),
    });
  });

  it('asked for in another order are the same question', () => {
    const variant = (query: string): string | undefined => {
      const want = intent(`/${path}${query}`);
      return want?.kind === 'document' ? want.variant : undefined;
    };
    expect(variant('?artifactType=b&artifactType=a&artifactType=b')).toBe(variant('?artifactType=a&artifactType=b'));
  });

  it('link to manifests of the same image', () => {
    const links = [...(referrers.links?.({ manifests: [sbom] }, originOf(path)) ?? [])];
    expect(links).toEqual([
      {
        path: `library/alpine/manifests/${sbom.digest}`,
        digests: [sbom.digest],
        size: sbom.size,
        contentType: imageManifest,
      },
    ]);
  });
});

describe('an error', () => {
  const said = (code: Code, route?: string): string | undefined => {
    const { message } = new Problem(code, 'Something that a person can read.');
    const { status } = problems[code];
    const body = format.problem({ status, code, message, ...(route === undefined ? {} : { route }) });
    expect(body.status).toBe(code === 'upstream_refused' ? 403 : status);
    expect(body.headers).toEqual({ 'content-type': 'application/json' });
    const [error, ...others] = parsed<Errors>(body).errors;
    expect(others).toEqual([]);
    const isUnlisted = route === 'catalog' && status === 404;
    expect(error).toEqual({
      code: error?.code,
      message: isUnlisted ? expect.stringContaining('Only images that were pushed here') : message,
      detail: { reason: code },
    });
    return error?.code;
  };

  it.each<[Code, string | undefined, string]>([
    ['not_found', 'manifest', 'MANIFEST_UNKNOWN'],
    ['not_found', 'blob', 'BLOB_UNKNOWN'],
    ['not_found', 'tags', 'NAME_UNKNOWN'],
    ['not_found', 'referrers', 'NAME_UNKNOWN'],
    ['not_found', undefined, 'NAME_UNKNOWN'],
    ['not_found', 'manifest-push', 'NAME_UNKNOWN'],
    ['not_found', 'manifest-delete', 'MANIFEST_UNKNOWN'],
    ['not_found', 'blob-delete', 'BLOB_UNKNOWN'],
    ['not_found', 'upload-start', 'NAME_UNKNOWN'],
    ['not_found', 'upload', 'BLOB_UPLOAD_UNKNOWN'],
    ['not_found', 'upload-append', 'BLOB_UPLOAD_UNKNOWN'],
    ['not_found', 'upload-finish', 'BLOB_UPLOAD_UNKNOWN'],
    ['not_found', 'upload-cancel', 'BLOB_UPLOAD_UNKNOWN'],
    ['not_found', 'catalog', 'UNSUPPORTED'],
    ['conflict', 'manifest-push', 'DENIED'],
    ['conflict', 'upload-append', 'BLOB_UPLOAD_INVALID'],
    ['digest_mismatch', 'upload-finish', 'DIGEST_INVALID'],
    ['quota_exceeded', 'upload-append', 'DENIED'],
    ['too_many_requests', 'blob', 'TOOMANYREQUESTS'],
    ['storage_unavailable', 'upload-append', 'UNAVAILABLE'],
    ['offline', 'manifest', 'MANIFEST_UNKNOWN'],
    ['offline', 'blob', 'BLOB_UNKNOWN'],
    ['unauthorized', 'manifest', 'UNAUTHORIZED'],
    ['forbidden', 'manifest', 'DENIED'],
    ['refused', 'blob', 'DENIED'],
    ['bad_path', undefined, 'NAME_INVALID'],
    ['method_not_allowed', undefined, 'UNSUPPORTED'],
    ['too_large', 'blob', 'SIZE_INVALID'],
    ['range_not_satisfiable', 'blob', 'SIZE_INVALID'],
    ['upstream_unavailable', 'manifest', 'UNAVAILABLE'],
    ['busy', 'blob', 'UNAVAILABLE'],
    ['upstream_invalid', 'manifest', 'UNKNOWN'],
    ['upstream_refused', 'manifest', 'DENIED'],
    ['internal', undefined, 'UNKNOWN'],
  ])('%s of a %s is %s', (code, route, expected) => expect(said(code, route)).toBe(expected));

  it('with status 429 is too many requests, whatever it is here', () => {
    const body = format.problem({ status: 429, code: 'busy', message: 'Wait.' });
    expect(parsed<Errors>(body).errors[0]?.code).toBe('TOOMANYREQUESTS');
  });

  /** Distribution specification 1.1, "Error Codes": below 500 no others may be said. */
  const codes = [
    'BLOB_UNKNOWN',
    'BLOB_UPLOAD_INVALID',
    'BLOB_UPLOAD_UNKNOWN',
    'DIGEST_INVALID',
    'MANIFEST_BLOB_UNKNOWN',
    'MANIFEST_INVALID',
    'MANIFEST_UNKNOWN',
    'NAME_INVALID',
    'NAME_UNKNOWN',
    'SIZE_INVALID',
    'UNAUTHORIZED',
    'DENIED',
    'UNSUPPORTED',
    'TOOMANYREQUESTS',
  ];
  const client = (Object.keys(problems) as Code[]).filter((code) => problems[code].status < 500);
  it.each(client)('%s has a code of the specification on every route', (code) => {
    for (const route of [undefined, ...format.routes.map(({ id }) => id)]) expect(codes).toContain(said(code, route));
  });
});

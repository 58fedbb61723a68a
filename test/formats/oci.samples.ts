/** Manifests and lists as registries hand them out, and an upstream that answers for them. */
import { digestOf } from '../../src/core/digest.ts';
import type { Heard } from '../../src/core/format.ts';
import type { DocumentSample, PublishSample, Question } from '../conformance/format.ts';
import type { HostedRequest } from '../support/hosted-view.ts';

export const upstreamHost = 'registry.upstream.example';
export const upstream = `https://${upstreamHost}`;

export const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';
export const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const imageManifest = 'application/vnd.oci.image.manifest.v1+json';
export const imageIndex = 'application/vnd.oci.image.index.v1+json';

export function bytesOf(json: unknown): Buffer {
  return Buffer.from(JSON.stringify(json));
}

export interface Descriptor {
  readonly [field: string]: unknown;
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export function descriptor(text: string, mediaType: string, more: Readonly<Record<string, unknown>> = {}): Descriptor {
  return { mediaType, digest: digestOf(Buffer.from(text)), size: Buffer.byteLength(text), ...more };
}

export const config = descriptor('config', 'application/vnd.oci.image.config.v1+json');
export const layer = descriptor('layer', 'application/vnd.oci.image.layer.v1.tar+gzip');
export const zstdLayer = descriptor('zstd layer', 'application/vnd.oci.image.layer.v1.tar+zstd');
export const subject = descriptor('subject', imageManifest);

export const image = {
  schemaVersion: 2,
  mediaType: imageManifest,
  config,
  layers: [layer, zstdLayer, layer],
  subject,
  annotations: { 'org.opencontainers.image.created': '2026-01-02T03:04:05Z' },
};
/** Spaces and all: only these bytes have its digest. */
export const imageBytes = Buffer.from(`${JSON.stringify(image, null, 3)}\n`);

export const amd64 = descriptor('amd64', dockerManifest, { platform: { architecture: 'amd64', os: 'linux' } });
export const arm64 = descriptor('arm64', dockerManifest, { platform: { architecture: 'arm64', os: 'linux' } });
export const list = { schemaVersion: 2, mediaType: dockerList, manifests: [amd64, arm64] };

export const signature = descriptor('signature', imageManifest, {
  artifactType: 'application/vnd.dev.cosign.simplesigning.v1+json',
  annotations: { 'org.opencontainers.image.created': '2026-01-02T03:04:05Z' },
});
export const sbom = descriptor('sbom', imageManifest, { artifactType: 'application/spdx+json' });
export const untyped = descriptor('untyped', imageIndex);

export function indexOf(manifests: readonly unknown[], more: Readonly<Record<string, unknown>> = {}) {
  return { schemaVersion: 2, mediaType: imageIndex, manifests, ...more };
}

export const tagOf = { digest: digestOf(imageBytes), mediaType: imageManifest, size: imageBytes.length };

/** What an upstream says to a step; headers as they arrive. */
export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export function heard(step: Question, { status = 200, headers = {}, body = '' }: Reply, from = upstream): Heard {
  const { ask } = step;
  const url =
    'path' in ask
      ? `${from}/v2/${ask.path}${ask.query === undefined ? '' : `?${ask.query}`}`
      : new URL(ask.url, from).href;
  const bytes = typeof body === 'string' ? Buffer.from(body) : body instanceof Uint8Array ? body : bytesOf(body);
  return { status, headers, url, bytes: step.method === 'HEAD' ? Buffer.alloc(0) : bytes };
}

const wrongManifests = {
  'of schema 1': bytesOf({ schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [], history: [], signatures: [] }),
  'of no version': bytesOf({ config, layers: [] }),
  'of version 3': bytesOf({ schemaVersion: 3, config, layers: [] }),
  'about nothing': bytesOf({ schemaVersion: 2 }),
  'index and image at once': bytesOf({ schemaVersion: 2, config, layers: [layer], manifests: [amd64] }),
  'with layers that are none': bytesOf({ schemaVersion: 2, config, layers: ['layer'] }),
  'with layers in an object': bytesOf({ schemaVersion: 2, config, layers: {} }),
  'with a layer without digest': bytesOf({ schemaVersion: 2, config, layers: [{ mediaType: 'a/b', size: 1 }] }),
  'with a layer without a type': bytesOf({ schemaVersion: 2, config, layers: [{ ...layer, mediaType: undefined }] }),
  'with a digest that is none': bytesOf({ schemaVersion: 2, config: { ...config, digest: '../../x' }, layers: [] }),
  'with a size that is none': bytesOf({ schemaVersion: 2, config: { ...config, size: -1 }, layers: [] }),
  'with a size in words': bytesOf({ schemaVersion: 2, config: { ...config, size: '6' }, layers: [] }),
  'of a media type that no manifest has': bytesOf({ ...image, mediaType: 'text/html' }),
  'of another media type than it came as': bytesOf({ ...image, mediaType: dockerManifest }),
};

const wrongIndexes = {
  'an image': bytesOf(image),
  'a list of texts': bytesOf(indexOf(['a'])),
  'manifests in an object': bytesOf({ ...indexOf([]), manifests: {} }),
  'a descriptor without digest': bytesOf(indexOf([{ mediaType: imageManifest, size: 1 }])),
};

export const documents: readonly DocumentSample[] = [
  {
    type: 'manifest',
    path: `library/alpine/manifests/${digestOf(imageBytes)}`,
    url: `${upstream}/v2/library/alpine/manifests/${digestOf(imageBytes)}`,
    headers: { 'content-type': `${imageManifest}; charset=utf-8` },
    bytes: imageBytes,
    variants: [''],
    verbatim: true,
    wrong: wrongManifests,
  },
  {
    type: 'manifest',
    path: `alpine/manifests/${digestOf(bytesOf(list))}`,
    url: `${upstream}/v2/alpine/manifests/${digestOf(bytesOf(list))}`,
    headers: { 'content-type': dockerList },
    bytes: bytesOf(list),
    variants: [''],
    verbatim: true,
  },
  {
    type: 'tag',
    path: 'library/alpine/manifests/3.20',
    url: `${upstream}/v2/library/alpine/manifests/3.20`,
    bytes: bytesOf(tagOf),
    variants: [''],
    replies: (step) =>
      heard(
        step,
        step.method === 'HEAD' ? { status: 405 } : { headers: { 'content-type': imageManifest }, body: imageBytes },
      ),
    wrong: {
      'a manifest': imageBytes,
      'a digest that is none': bytesOf({ ...tagOf, digest: 'sha256:00' }),
      'a digest nobody can check': bytesOf({ ...tagOf, digest: `md5:${'0'.repeat(32)}` }),
      'a page': bytesOf({ ...tagOf, mediaType: 'text/html' }),
      'nothing under a digest': bytesOf({ ...tagOf, size: 0 }),
      'without a size': bytesOf({ ...tagOf, size: undefined }),
    },
  },
  {
    type: 'tags',
    path: 'library/alpine/tags/list',
    url: `${upstream}/v2/library/alpine/tags/list?n=1000`,
    bytes: bytesOf({ name: 'library/alpine', tags: ['3.20', '3.9', 'edge', 'latest'] }),
    variants: ['', 'n=1000', 'n=2', 'last=3.9', 'last=3.9&n=1', 'n=0'],
    replies: (step) =>
      'path' in step.ask && step.ask.query === 'n=1000'
        ? heard(step, {
            headers: { link: '</v2/library/alpine/tags/list?last=edge&n=1000>; rel="next"' },
            body: { name: 'library/alpine', tags: ['latest', '3.9', 'edge'] },
          })
        : heard(step, { body: { name: 'library/alpine', tags: ['3.20', 'edge'] } }),
    wrong: {
      'tags in an object': bytesOf({ name: 'library/alpine', tags: {} }),
    },
  },
  {
    type: 'referrers',
    path: `library/alpine/referrers/${subject.digest}`,
    url: `${upstream}/v2/library/alpine/referrers/${subject.digest}`,
    bytes: bytesOf(indexOf([signature, sbom, untyped])),
    other: bytesOf(indexOf([{ ...sbom, annotations: { from: 'elsewhere' } }, descriptor('another', imageManifest)])),
    variants: ['', 'artifactType=application%2Fspdx%2Bjson', 'artifactType=none'],
    replies: (step) =>
      'path' in step.ask && step.ask.path.includes('/manifests/')
        ? heard(step, { headers: { 'content-type': imageIndex }, body: indexOf([signature, sbom, untyped]) })
        : heard(step, { status: 404, headers: { 'content-type': 'text/html' }, body: '<!doctype html>' }),
    wrong: wrongIndexes,
  },
  {
    type: 'catalog',
    path: '_catalog',
    url: `${upstream}/v2/_catalog`,
    bytes: bytesOf({ repositories: ['app', 'library/alpine', 'tools/jq'] }),
    variants: [],
    projections: ['', 'n=1', 'n=0', 'last=library%2Falpine&n=5'],
    // Nobody is asked for it.
    replies: (step) => heard(step, { status: 500 }),
    wrong: {
      'names in an object': bytesOf({ repositories: {} }),
      'a list of tags': bytesOf({ name: 'library/alpine', tags: [] }),
    },
  },
];

/** The whole blob in one request. */
export function blobPush(name: string, text: string): HostedRequest {
  const digest = digestOf(Buffer.from(text));
  return { method: 'POST', path: `/${name}/blobs/uploads/?digest=${digest}`, body: Buffer.from(text) };
}

export function manifestPush(name: string, reference: string, json: unknown, type?: string): HostedRequest {
  const { mediaType = imageManifest } = json as { readonly mediaType?: string };
  const body = json instanceof Uint8Array ? json : bytesOf(json);
  return { path: `/${name}/manifests/${reference}`, headers: { 'content-type': type ?? mediaType }, body };
}

const pushed = { schemaVersion: 2, mediaType: imageManifest, config, layers: [layer, zstdLayer] };
const pushedBytes = bytesOf(pushed);
const pushedDigest = digestOf(pushedBytes);
const parts = ['config', 'layer', 'zstd layer'];
const child = { mediaType: imageManifest, digest: pushedDigest, size: pushedBytes.length };
const signed = {
  schemaVersion: 2,
  mediaType: imageManifest,
  artifactType: 'application/vnd.example.signature',
  config,
  layers: [],
  subject: child,
  annotations: { why: 'because' },
};

export const publish: readonly PublishSample[] = [
  {
    title: 'an image under a tag',
    before: parts.map((text) => blobPush('library/app', text)),
    request: manifestPush('library/app', '1.0', pushed),
    files: {
      '/library/app/manifests/1.0': pushedBytes,
      [`/library/app/manifests/${pushedDigest}`]: pushedBytes,
    },
    documents: ['/library/app/tags/list'],
    always: [`/library/app/referrers/${pushedDigest}`, '/_catalog'],
  },
  {
    title: 'an index',
    before: [...parts.map((text) => blobPush('app', text)), manifestPush('app', pushedDigest, pushed)],
    request: manifestPush('app', 'all', indexOf([child])),
    files: { '/app/manifests/all': bytesOf(indexOf([child])) },
    documents: [],
    undo: [{ method: 'DELETE', path: `/app/manifests/${digestOf(bytesOf(indexOf([child])))}` }],
  },
  {
    title: 'what is about an image that is not here',
    before: [blobPush('app', 'config')],
    request: manifestPush('app', digestOf(bytesOf(signed)), signed),
    files: { [`/app/manifests/${digestOf(bytesOf(signed))}`]: bytesOf(signed) },
    documents: [],
    always: [`/app/referrers/${pushedDigest}`],
  },
  {
    title: 'a blob',
    request: blobPush('app', 'some bytes'),
    files: { [`/app/blobs/${digestOf(Buffer.from('some bytes'))}`]: Buffer.from('some bytes') },
    documents: [],
    undo: [{ method: 'DELETE', path: `/app/blobs/${digestOf(Buffer.from('some bytes'))}` }],
  },
];

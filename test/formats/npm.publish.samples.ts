/** Requests that publish, as the clients send them. */
import { createHash } from 'node:crypto';
import type { PublishSample } from '../conformance/format.ts';
import type { HostedRequest } from '../support/hosted-view.ts';
import { type Files, tarball } from '../support/tarball.ts';

export interface NewPackage {
  readonly name: string;
  readonly version: string;
  /** Further fields of package.json, in the package and in the request. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** Fields that only the request has. */
  readonly told?: Readonly<Record<string, unknown>>;
  /** Fields of `dist` in the request; `undefined` leaves one out. */
  readonly dist?: Readonly<Record<string, unknown>>;
  readonly files?: Files;
  /** In place of one that is made of the above. */
  readonly tarball?: Buffer;
  readonly tags?: Readonly<Record<string, string>>;
  /** Fields of the whole document. */
  readonly document?: Readonly<Record<string, unknown>>;
  /** Yarn sends the package before what is said about it. */
  readonly attachmentsFirst?: boolean;
  readonly attachments?: Readonly<Record<string, unknown>>;
}

export function packageOf({ name, version, manifest, files, tarball: bytes }: NewPackage): Buffer {
  if (bytes) return bytes;
  return tarball({ 'package.json': JSON.stringify({ name, version, ...manifest }), 'index.js': '// x\n', ...files });
}

export function integrityOfBytes(bytes: Uint8Array): string {
  return `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
}

/** The document that is sent, as JSON. */
export function publishDocument(wanted: NewPackage): Record<string, unknown> {
  const { name, version, manifest = {}, told = {}, dist = {}, tags = { latest: version } } = wanted;
  const bytes = packageOf(wanted);
  const file = `${name}-${version}.tgz`;
  const rest = {
    _id: name,
    name,
    description: manifest.description,
    'dist-tags': tags,
    versions: {
      [version]: {
        name,
        version,
        ...manifest,
        ...told,
        _id: `${name}@${version}`,
        _nodeVersion: '24.0.0',
        dist: {
          integrity: integrityOfBytes(bytes),
          shasum: createHash('sha1').update(bytes).digest('hex'),
          tarball: `http://elsewhere.example/${name}/-/${file}`,
          ...dist,
        },
      },
    },
    access: null,
    ...wanted.document,
  };
  const _attachments = {
    [file]: { content_type: 'application/octet-stream', data: bytes.toString('base64'), length: bytes.length },
    ...wanted.attachments,
  };
  return wanted.attachmentsFirst ? { _attachments, ...rest } : { ...rest, _attachments };
}

const json = { 'content-type': 'application/json' };

export function publishRequest(wanted: NewPackage): HostedRequest {
  return {
    method: 'PUT',
    path: `/${wanted.name.replace('/', '%2f')}`,
    headers: json,
    body: JSON.stringify(publishDocument(wanted)),
  };
}

const first: NewPackage = {
  name: 'left',
  version: '1.0.0',
  manifest: {
    description: 'Goes left.',
    dependencies: { other: '^1.0.0' },
    scripts: { install: 'node build.js' },
    readme: '# left',
  },
};
const scoped: NewPackage = {
  name: '@acme/bar',
  version: '2.0.0-rc.1+build.5',
  tags: { next: '2.0.0-rc.1+build.5' },
  attachmentsFirst: true,
};

function documentsOf(name: string, version: string): PublishSample['documents'] {
  return [
    `/${name}`,
    { path: `/${name}`, headers: { accept: 'application/vnd.npm.install-v1+json' } },
    `/${name}?write=true`,
    `/${name}/${version}`,
    `/${name}/latest`,
    `/-/package/${name}/dist-tags`,
    `/-/package/${name}/access`,
    `/-/package/${name}/visibility`,
    `/-/package/${name}/collaborators`,
  ];
}

/** What a bundle of Sigstore's says, without its signature: that is the clients' to check. */
export function bundleFor(name: string, version: string, bytes: Uint8Array): string {
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [
      {
        name: `pkg:npm/${name.replace('@', '%40')}@${version}`,
        digest: { sha512: createHash('sha512').update(bytes).digest('hex') },
      },
    ],
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {},
  };
  return JSON.stringify({
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    dsseEnvelope: {
      payload: Buffer.from(JSON.stringify(statement)).toString('base64'),
      payloadType: 'application/vnd.in-toto+json',
      signatures: [{ sig: 'MEU=', keyid: '' }],
    },
  });
}

const proven: NewPackage = { name: 'proven', version: '3.0.0' };
const bundle = bundleFor('proven', '3.0.0', packageOf(proven));

export const publishSamples: readonly PublishSample[] = [
  {
    title: 'a package as npm sends it',
    request: publishRequest(first),
    other: publishRequest({ ...first, files: { 'more.js': '// y\n' } }),
    again: 'conflict',
    files: { '/left/-/left-1.0.0.tgz': packageOf(first) },
    documents: documentsOf('left', '1.0.0'),
    always: ['/-/v1/search?text=left'],
    undo: [{ method: 'DELETE', path: '/left/-rev/r1' }],
  },
  {
    title: 'a package with a scope as Yarn sends it',
    request: publishRequest(scoped),
    other: publishRequest({ ...scoped, files: { 'more.js': '// y\n' } }),
    again: 'conflict',
    files: {
      '/@acme/bar/-/bar-2.0.0-rc.1+build.5.tgz': packageOf(scoped),
      '/@acme%2fbar/-/bar-2.0.0-rc.1%2Bbuild.5.tgz': packageOf(scoped),
    },
    documents: [...documentsOf('@acme%2fbar', '2.0.0-rc.1+build.5'), '/@acme/bar/next'],
    always: ['/-/v1/search?text=scope:acme'],
    undo: [{ method: 'DELETE', path: '/@acme%2fbar/-/bar-2.0.0-rc.1+build.5.tgz/-rev/r1' }],
  },
  {
    title: 'a package with its provenance',
    request: publishRequest({
      ...proven,
      attachments: {
        'proven-3.0.0.sigstore': { content_type: 'application/vnd.dev.sigstore.bundle.v0.3+json', data: bundle },
      },
    }),
    again: 'conflict',
    files: { '/proven/-/proven-3.0.0.tgz': packageOf(proven) },
    documents: [...documentsOf('proven', '3.0.0'), '/-/npm/v1/attestations/proven@3.0.0'],
  },
];

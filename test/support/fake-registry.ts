/** An npm registry over the fake upstream: real tarballs made in memory, documents with true digests and times. */
import { createHash } from 'node:crypto';
import { type Bytes, hashOf, isBytes, randomFrom } from './bytes.ts';
import {
  type Coding,
  type FakeUpstream,
  type FakeUpstreamOptions,
  type Reply,
  type SeenRequest,
  startFakeUpstream,
} from './fake-upstream.ts';
import { type Files, tarball } from './tarball.ts';

export const abbreviatedType = 'application/vnd.npm.install-v1+json';

export interface FakeRegistryOptions extends FakeUpstreamOptions {
  /** Default true: knows the abbreviated form. */
  readonly abbreviated?: boolean;
  /** Default true: documents have an `ETag` and answer `If-None-Match`. */
  readonly validators?: boolean;
  /** Default true. */
  readonly search?: boolean;
  /** Default true: the bulk advisories endpoint. */
  readonly audit?: boolean;
  /** Codings that documents are sent in when the client accepts them. Default: gzip. */
  readonly codings?: readonly Coding[];
  /** Host part of `dist.tarball`; default: the registry's own. */
  readonly tarballBase?: string;
}

export interface NewVersion {
  readonly name: string;
  readonly version: string;
  /** Beside package.json. */
  readonly files?: Files;
  /** Further fields of package.json. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** The bytes themselves, when they are not to be a package at all (huge or broken ones). */
  readonly bytes?: Buffer | Bytes;
  /** Default: one day after the version before, the first on 2020-01-01. */
  readonly publishedAt?: string;
  /** Default `latest`. */
  readonly tag?: string;
  /** Further fields of `dist`; `undefined` removes one. */
  readonly dist?: Readonly<Record<string, unknown>>;
}

export interface PublishedVersion {
  readonly name: string;
  readonly version: string;
  /** Raw path of the tarball at the fake registry, and below a Larder repository too. */
  readonly path: string;
  readonly bytes: Buffer | Bytes;
  readonly sha256: string;
  readonly sha512: string;
  readonly sha1: string;
  readonly integrity: string;
}

type Manifest = Record<string, unknown> & { name: string; version: string };

interface Packument {
  readonly _id: string;
  _rev: string;
  readonly name: string;
  readonly description: string;
  readonly 'dist-tags': Record<string, string>;
  readonly versions: Record<string, Manifest>;
  readonly time: Record<string, string>;
  readonly readme: string;
}

interface Rendered {
  readonly bytes: Buffer;
  readonly etag: string;
}

export interface FakeRegistry {
  readonly upstream: FakeUpstream;
  readonly url: string;
  publish(version: NewVersion): PublishedVersion;
  /** Removes a version from the document; its tarball answers 404. */
  unpublish(name: string, version: string): void;
  /** A package whose full document has about this many bytes. Its tarballs do not exist. */
  publishBig(name: string, versions: number, sizeBytes: number): void;
  /** Changes a document in place. */
  edit(name: string, change: (packument: Packument) => void): void;
  packument(name: string): Packument;
  /** The full document as bytes. */
  document(name: string): Buffer;
  /** Requests for a document, in any spelling of its name. */
  documentRequests(name: string): number;
  tarballRequests(): number;
  /** Versions (`name@version`) that the audit endpoint reports. */
  readonly advisories: Set<string>;
  close(): Promise<void>;
}

const abbreviatedFields = [
  'name',
  'version',
  'deprecated',
  'dependencies',
  'optionalDependencies',
  'devDependencies',
  'bundleDependencies',
  'peerDependencies',
  'peerDependenciesMeta',
  'bin',
  'directories',
  'dist',
  'engines',
  'os',
  'cpu',
  'hasInstallScript',
  'funding',
];

function baseName(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}

function nameOf(path: string): string {
  try {
    return decodeURIComponent(path.slice(1));
  } catch {
    return '';
  }
}

function render(document: unknown): Rendered {
  const bytes = Buffer.from(JSON.stringify(document));
  return { bytes, etag: `"${createHash('sha256').update(bytes).digest('hex').slice(0, 24)}"` };
}

function abbreviate(packument: Packument): unknown {
  const versions = Object.entries(packument.versions).map(([version, manifest]) => [
    version,
    Object.fromEntries(abbreviatedFields.filter((key) => key in manifest).map((key) => [key, manifest[key]])),
  ]);
  return {
    name: packument.name,
    'dist-tags': packument['dist-tags'],
    versions: Object.fromEntries(versions),
    modified: packument.time.modified,
  };
}

function bigManifest(name: string, version: string, sizeBytes: number, url: string, random: () => number): Manifest {
  const hex = (length: number): string => Array.from({ length }, () => Math.floor(random() * 16).toString(16)).join('');
  const manifest: Manifest = {
    name,
    version,
    description: `Version ${version} of a package that has very many of them`,
    license: 'MIT',
    dependencies: {} as Record<string, string>,
    dist: {
      tarball: `${url}/${name}/-/${baseName(name)}-${version}.tgz`,
      shasum: hex(40),
      integrity: `sha512-${Buffer.from(hex(128), 'hex').toString('base64')}`,
      fileCount: 1000,
      unpackedSize: 80_000_000,
    },
    scripts: {} as Record<string, string>,
  };
  const dependencies = manifest.dependencies as Record<string, string>;
  const scripts = manifest.scripts as Record<string, string>;
  let size = JSON.stringify(manifest).length;
  for (let i = 0; size < sizeBytes; i++) {
    const isDependency = i % 8 === 0;
    const key = `${isDependency ? '@scope/part' : 'task'}-${hex(6)}`;
    const value = isDependency
      ? `^${i}.0.${Math.floor(random() * 100)}`
      : `node scripts/${hex(40)}.js --flag ${hex(20)}`;
    (isDependency ? dependencies : scripts)[key] = value;
    size += key.length + value.length + 6;
  }
  return manifest;
}

function auditAnswer(request: SeenRequest, advisories: ReadonlySet<string>): Reply {
  const report: Record<string, unknown[]> = {};
  for (const advisory of advisories) {
    const at = advisory.lastIndexOf('@');
    const name = advisory.slice(0, at);
    report[name] = [
      {
        id: 1001,
        url: 'https://example.com/advisories/1001',
        title: `A made-up weakness in ${name}`,
        severity: 'high',
        vulnerable_versions: advisory.slice(at + 1),
        cwe: ['CWE-1'],
        cvss: { score: 7.5, vectorString: null },
      },
    ];
  }
  return request.method === 'POST' ? { body: report } : { status: 405, body: {} };
}

/** Starts it; a test must `close` it. */
export async function startFakeRegistry(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const upstream = await startFakeUpstream(options);
  const packuments = new Map<string, Packument>();
  const rendered = new Map<string, { full: Rendered; abbreviated: Rendered }>();
  const advisories = new Set<string>();
  const tarballBase = options.tarballBase ?? upstream.url;

  function documentOf(name: string): { full: Rendered; abbreviated: Rendered } | undefined {
    const packument = packuments.get(name);
    if (!packument) return undefined;
    let made = rendered.get(name);
    if (!made) {
      made = { full: render(packument), abbreviated: render(abbreviate(packument)) };
      rendered.set(name, made);
    }
    return made;
  }

  function answerDocument(request: SeenRequest): Reply {
    const made = documentOf(nameOf(request.path));
    if (!made) return { status: 404, body: { error: 'Not found' } };
    const isAbbreviated = options.abbreviated !== false && (request.headers.accept ?? '').includes(abbreviatedType);
    const form = isAbbreviated ? made.abbreviated : made.full;
    return {
      body: form.bytes,
      contentType: isAbbreviated ? abbreviatedType : 'application/json',
      codings: options.codings ?? ['gzip'],
      ranges: false,
      ...(options.validators === false ? {} : { etag: form.etag }),
      headers: { vary: 'accept, accept-encoding' },
    };
  }

  function answer(request: SeenRequest): Reply {
    if (request.path === '/-/v1/search')
      return options.search === false ? { status: 404, body: {} } : answerSearch(request);
    if (request.path === '/-/npm/v1/security/advisories/bulk')
      return options.audit === false ? { status: 404, body: {} } : auditAnswer(request, advisories);
    if (request.path === '/-/ping') return { body: {} };
    return request.path.startsWith('/-/') ? { status: 404, body: { error: 'Not found' } } : answerDocument(request);
  }

  function answerSearch(request: SeenRequest): Reply {
    const text = request.query.get('text') ?? '';
    const found = [...packuments.values()].filter((packument) => packument.name.includes(text));
    const objects = found.map((packument) => {
      const version = packument['dist-tags'].latest ?? '';
      return {
        package: {
          name: packument.name,
          version,
          description: packument.description,
          date: packument.time[version],
          links: {},
          publisher: { username: 'somebody' },
          maintainers: [],
          keywords: [],
        },
        score: { final: 1, detail: { quality: 1, popularity: 1, maintenance: 1 } },
        searchScore: 1,
      };
    });
    return { body: { objects, total: objects.length, time: new Date().toISOString() } };
  }

  function open(name: string): Packument {
    const known = packuments.get(name);
    if (known) return known;
    const fresh: Packument = {
      _id: name,
      _rev: '1-0',
      name,
      description: `The package ${name}`,
      'dist-tags': {},
      versions: {},
      time: { created: '2020-01-01T00:00:00.000Z', modified: '2020-01-01T00:00:00.000Z' },
      readme: `# ${name}`,
    };
    packuments.set(name, fresh);
    return fresh;
  }

  function edit(name: string, change: (packument: Packument) => void): void {
    change(open(name));
    rendered.delete(name);
  }

  function publish(wanted: NewVersion): PublishedVersion {
    const { name, version } = wanted;
    const manifest = { name, version, ...wanted.manifest };
    const bytes =
      wanted.bytes ??
      tarball({
        'package.json': JSON.stringify(manifest, undefined, 2),
        'index.js': `module.exports = ${JSON.stringify(`${name}@${version}`)};\n`,
        ...wanted.files,
      });
    const path = `/${name}/-/${baseName(name)}-${version}.tgz`;
    const sha1 = hashOf(bytes, 'sha1');
    const sha512 = hashOf(bytes, 'sha512');
    const integrity = `sha512-${Buffer.from(sha512, 'hex').toString('base64')}`;
    edit(name, (packument) => {
      const number = Object.keys(packument.versions).length;
      const publishedAt = wanted.publishedAt ?? new Date(Date.UTC(2020, 0, 1 + number)).toISOString();
      packument.versions[version] = {
        ...manifest,
        _id: `${name}@${version}`,
        dist: { tarball: `${tarballBase}${path}`, shasum: sha1, integrity, fileCount: 2, ...wanted.dist },
      };
      packument['dist-tags'][wanted.tag ?? 'latest'] = version;
      packument.time[version] = publishedAt;
      packument.time.modified = publishedAt;
      packument._rev = `${number + 2}-0`;
    });
    const size = isBytes(bytes) ? bytes.size : (bytes as Buffer).length;
    upstream.at(path, {
      body: bytes,
      etag: `"${sha1.slice(0, 16)}-${size}"`,
      lastModified: 'Wed, 01 Jan 2020 00:00:00 GMT',
    });
    return { name, version, path, bytes, sha256: hashOf(bytes, 'sha256'), sha512, sha1, integrity };
  }

  function publishBig(name: string, versions: number, sizeBytes: number): void {
    const random = randomFrom(versions);
    edit(name, (packument) => {
      for (let i = 0; i < versions; i++) {
        const version = `${Math.floor(i / 100)}.${i % 100}.0`;
        packument.versions[version] = bigManifest(name, version, sizeBytes / versions - 60, upstream.url, random);
        packument.time[version] = new Date(Date.UTC(2015, 0, 1) + i * 3_600_000).toISOString();
        packument['dist-tags'].latest = version;
      }
    });
  }

  upstream.otherwise(answer);

  return {
    upstream,
    url: upstream.url,
    publish,
    unpublish(name, version) {
      edit(name, (packument) => {
        delete packument.versions[version];
        delete packument.time[version];
        const rest = Object.keys(packument.versions);
        const last = rest.at(-1);
        if (last !== undefined) packument['dist-tags'].latest = last;
      });
      upstream.at(`/${name}/-/${baseName(name)}-${version}.tgz`, { status: 404, body: { error: 'Not found' } });
    },
    publishBig,
    edit,
    packument: open,
    document(name) {
      const made = documentOf(name);
      if (!made) throw new Error(`Nothing was published as ${name}`);
      return made.full.bytes;
    },
    documentRequests(name) {
      return upstream.requests.filter((seen) => nameOf(seen.path) === name).length;
    },
    tarballRequests() {
      return upstream.requests.filter((seen) => seen.path.endsWith('.tgz')).length;
    },
    advisories,
    close: () => upstream.close(),
  };
}

/**
 * A registry of container images over the fake upstream, with a token server and a server of blobs at addresses of their
 * own, as Docker Hub has them. It holds what a test puts into it, byte for byte, and can be told, while it runs, to do wrong.
 */
import { digestOf } from '../../src/core/digest.ts';
import type { Digest } from '../../src/core/format.ts';
import { type FakeUpstream, type Reply, type SeenRequest, startFakeUpstream } from './fake-upstream.ts';

export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
} as const;

/** What is asked for. `blob` is the registry's own answer, `cdn` the bytes behind its redirect. */
export type OciKind = 'ping' | 'tag' | 'manifest' | 'blob' | 'cdn' | 'tags' | 'referrers' | 'token' | 'other';

export interface FakeOciOptions {
  /** Only who has a token for a name may read it. Default: everybody may. */
  readonly tokens?: boolean;
  /** The token server then hands out tokens for these only. */
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Default 300, as Docker Hub's. */
  readonly tokenLifeSeconds?: number;
  /** False: the answer to HEAD of a manifest leaves its digest out. */
  readonly headDigest?: boolean;
  /** False: no referrers API, `text/plain` 404. `page`: a redirect to a page, as GitHub's registry does it. */
  readonly referrers?: boolean | 'page';
  /** Blobs are redirected to another server. */
  readonly redirects?: boolean;
  /** At most so many tags or referrers at a time. */
  readonly pageSize?: number;
  /** Answers about manifests say how much of the limit is left; each GET counts. */
  readonly quota?: number;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly [field: string]: unknown;
}

export interface NewImage {
  readonly tags?: readonly string[];
  /** Default: one small layer of the image's own. */
  readonly layers?: readonly Buffer[];
  readonly layerType?: string;
  readonly mediaType?: string;
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  /** Of any other two images. */
  readonly seed?: string | number;
  readonly algorithm?: 'sha256' | 'sha512';
}

export interface Image extends Descriptor {
  readonly bytes: Buffer;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** Changes the answer that would have been given. */
export type OciFault = (good: Reply, request: SeenRequest) => Reply | Promise<Reply>;

export interface FakeOci {
  readonly registry: FakeUpstream;
  readonly tokenServer: FakeUpstream;
  readonly cdn: FakeUpstream;
  /** Of the registry; no trailing slash. */
  readonly url: string;
  /** `host:port` of the other two servers: they are private addresses, so they have to be allowed. */
  readonly hosts: readonly string[];
  /** An image of one platform, or an artifact. */
  image(name: string, image?: NewImage): Image;
  index(name: string, manifests: readonly Descriptor[], tags?: readonly string[], mediaType?: string): Image;
  /** Any bytes as a manifest. */
  put(name: string, bytes: Buffer, mediaType: string, tags?: readonly string[]): Descriptor;
  blob(name: string, bytes: Buffer, algorithm?: 'sha256' | 'sha512'): Descriptor;
  bytes(digest: Digest): Buffer;
  tag(name: string, tag: string, digest: Digest): void;
  untag(name: string, tag: string): void;
  /** The bytes are gone, from this name alone. */
  remove(name: string, digest: Digest): void;
  /** Method, kind and what it was about, in the order of arrival; those of some kinds only. */
  log(...kinds: readonly OciKind[]): string[];
  /** Those that Docker Hub counts against its limit: GET of a manifest, by tag or by digest. */
  readonly counted: number;
  forget(): void;
  /** For requests of this kind, until it is healed. */
  fail(kind: OciKind, fault: OciFault): void;
  heal(): void;
  /** What was handed out counts no longer. */
  revokeTokens(): void;
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

interface Target {
  readonly kind: OciKind;
  readonly name: string;
  readonly reference: string;
}

/** Read from the right: a part of a name may itself be called `blobs`. */
function targetOf(path: string): Target {
  if (/^\/v2\/?$/.test(path)) return { kind: 'ping', name: '', reference: '' };
  const [, name = '', what = '', rest = ''] =
    /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(path) ?? [];
  const reference = decodeURIComponent(rest);
  switch (what) {
    case 'manifests':
      return { kind: reference.includes(':') ? 'manifest' : 'tag', name, reference };
    case 'blobs':
      return { kind: 'blob', name, reference };
    case 'tags':
    case 'referrers':
      return { kind: what, name, reference };
    default:
      return { kind: 'other', name: path, reference };
  }
}

/** One image's name at the registry. */
interface Shelf {
  readonly tags: Map<string, Digest>;
  /** Media types by digest; `''` for a blob. */
  readonly held: Map<Digest, string>;
}

interface Token {
  readonly scopes: readonly string[];
  readonly expiresAt: number;
}

function error(status: number, code: string, message: string): Reply {
  return { status, body: { errors: [{ code, message, detail: null }] } };
}

/** Indented as nobody else does it, so that only these bytes have the digest. */
function jsonBytes(json: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(json, undefined, 3)}\n`);
}

/** Starts all three servers; a test must `close` it. */
export async function startFakeOci(options: FakeOciOptions = {}): Promise<FakeOci> {
  const registry = await startFakeUpstream();
  const tokenServer = await startFakeUpstream();
  const cdn = await startFakeUpstream();
  const servers = [registry, tokenServer, cdn];
  const shelves = new Map<string, Shelf>();
  const contents = new Map<Digest, Buffer>();
  const tokens = new Map<string, Token>();
  const faults = new Map<OciKind, OciFault>();
  const order: { readonly kind: OciKind; readonly line: string; readonly request: SeenRequest }[] = [];
  let handedOut = 0;
  let remaining = options.quota ?? 0;

  function shelfOf(name: string): Shelf {
    const known = shelves.get(name);
    if (known) return known;
    const fresh: Shelf = { tags: new Map(), held: new Map() };
    shelves.set(name, fresh);
    return fresh;
  }

  function keep(name: string, bytes: Buffer, mediaType: string, algorithm: 'sha256' | 'sha512' = 'sha256'): Descriptor {
    const digest = digestOf(bytes, algorithm);
    contents.set(digest, bytes);
    shelfOf(name).held.set(digest, mediaType);
    return { mediaType, digest, size: bytes.length };
  }

  function put(name: string, bytes: Buffer, mediaType: string, tags: readonly string[] = []): Descriptor {
    const descriptor = keep(name, bytes, mediaType);
    for (const tag of tags) shelfOf(name).tags.set(tag, descriptor.digest);
    return descriptor;
  }

  function image(name: string, wanted: NewImage = {}): Image {
    const { tags = [], seed = name, mediaType = mediaTypes.manifest, algorithm = 'sha256' } = wanted;
    const { subject, artifactType } = wanted;
    const config = {
      ...keep(name, jsonBytes({ architecture: 'amd64', os: 'linux', seed }), '', algorithm),
      mediaType: mediaTypes.config,
    };
    const layers = (wanted.layers ?? [Buffer.from(`the only layer of ${seed}`)]).map((bytes) => ({
      ...keep(name, bytes, '', algorithm),
      mediaType: wanted.layerType ?? mediaTypes.layer,
    }));
    const bytes = jsonBytes({
      schemaVersion: 2,
      mediaType,
      ...(artifactType === undefined ? {} : { artifactType }),
      config,
      layers,
      ...(subject === undefined
        ? {}
        : { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size } }),
    });
    const descriptor = keep(name, bytes, mediaType, algorithm);
    for (const tag of tags) shelfOf(name).tags.set(tag, descriptor.digest);
    return { ...descriptor, bytes, config, layers };
  }

  function index(
    name: string,
    manifests: readonly Descriptor[],
    tags: readonly string[] = [],
    mediaType: string = mediaTypes.index,
  ): Image {
    const children = manifests.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
    const bytes = jsonBytes({ schemaVersion: 2, mediaType, manifests: children });
    const descriptor = put(name, bytes, mediaType, tags);
    return { ...descriptor, bytes, config: descriptor, layers: [] };
  }

  /** Everything on the shelf whose subject it is, as the specification wants it described. */
  function referrersOf(name: string, digest: string): Descriptor[] {
    const found: Descriptor[] = [];
    for (const [own, mediaType] of shelfOf(name).held) {
      const bytes = contents.get(own);
      if (mediaType === '' || !bytes) continue;
      let json: { subject?: Descriptor; artifactType?: string; config?: Descriptor; annotations?: object };
      try {
        json = JSON.parse(bytes.toString());
      } catch {
        continue;
      }
      if (json.subject?.digest !== digest) continue;
      const artifactType = json.artifactType ?? json.config?.mediaType;
      found.push({
        mediaType,
        digest: own,
        size: bytes.length,
        ...(artifactType === undefined ? {} : { artifactType }),
        ...(json.annotations === undefined ? {} : { annotations: json.annotations }),
      });
    }
    return found;
  }

  function challenge(name: string, problem?: string): Reply {
    const scope = name === '' ? '' : `,scope="repository:${name}:pull"`;
    const value = `Bearer realm="${tokenServer.url}/token",service="registry.test"${scope}${problem === undefined ? '' : `,error="${problem}"`}`;
    return { ...error(401, 'UNAUTHORIZED', 'authentication required'), headers: { 'www-authenticate': value } };
  }

  function mayRead({ headers }: SeenRequest, name: string): 'yes' | 'nothing shown' | 'not enough' {
    if (options.tokens !== true) return 'yes';
    const shown = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
    if (shown === undefined) return 'nothing shown';
    const token = tokens.get(shown);
    if (!token || token.expiresAt <= Date.now()) return 'not enough';
    return name === '' || token.scopes.includes(name) ? 'yes' : 'not enough';
  }

  function manifestReply(request: SeenRequest, digest: Digest): Reply {
    const mediaType = [...shelves.values()].map(({ held }) => held.get(digest)).find((type) => type) ?? '';
    const hides = options.headDigest === false && request.method === 'HEAD';
    if (request.method === 'GET' && options.quota !== undefined) remaining -= 1;
    return {
      body: bytesOf(digest),
      contentType: mediaType,
      etag: `"${digest}"`,
      ranges: false,
      headers: {
        'docker-content-digest': hides ? undefined : digest,
        ...(options.quota === undefined
          ? {}
          : { 'ratelimit-limit': `${options.quota};w=21600`, 'ratelimit-remaining': `${remaining};w=21600` }),
      },
    };
  }

  function listReply(request: SeenRequest, all: readonly string[], body: (page: readonly string[]) => object): Reply {
    const last = request.query.get('last') ?? '';
    const wanted = Number(request.query.get('n') ?? Number.POSITIVE_INFINITY);
    const rest = last === '' ? all : all.slice(all.indexOf(last) + 1);
    const page = rest.slice(0, Math.min(wanted, options.pageSize ?? wanted));
    const query = new URLSearchParams({ last: page.at(-1) ?? '' });
    if (request.query.has('n')) query.set('n', request.query.get('n') ?? '');
    return {
      body: body(page),
      ...(page.length > 0 && page.length < rest.length
        ? { headers: { link: `<${request.path}?${query}>; rel="next"` } }
        : {}),
    };
  }

  function honest(request: SeenRequest, { kind, name, reference }: Target): Reply {
    const shelf = shelves.get(name);
    switch (kind) {
      case 'ping':
        return { body: {} };
      case 'tag': {
        const digest = shelf?.tags.get(reference);
        return digest ? manifestReply(request, digest) : error(404, 'MANIFEST_UNKNOWN', 'manifest unknown');
      }
      case 'manifest': {
        const digest = reference as Digest;
        if (!shelf?.held.get(digest)) return error(404, 'MANIFEST_UNKNOWN', 'manifest unknown');
        return manifestReply(request, digest);
      }
      case 'blob': {
        const digest = reference as Digest;
        if (!shelf?.held.has(digest)) return error(404, 'BLOB_UNKNOWN', 'blob unknown to registry');
        if (options.redirects)
          return { status: 307, headers: { location: `${cdn.url}/${digest}?signature=${request.nth}` } };
        return { body: bytesOf(digest), headers: { 'docker-content-digest': digest } };
      }
      case 'tags': {
        if (!shelf) return error(404, 'NAME_UNKNOWN', 'repository name not known to registry');
        return listReply(request, [...shelf.tags.keys()].sort(), (tags) => ({ name, tags }));
      }
      case 'referrers': {
        if (options.referrers === false)
          return { status: 404, body: '404 page not found\n', contentType: 'text/plain' };
        if (options.referrers === 'page') return { status: 303, headers: { location: '/nothing-here' } };
        const all = referrersOf(name, reference);
        const digests = all.map(({ digest }) => digest);
        return {
          ...listReply(request, digests, (page) => ({
            schemaVersion: 2,
            mediaType: mediaTypes.index,
            manifests: all.filter(({ digest }) => page.includes(digest)),
          })),
          contentType: mediaTypes.index,
        };
      }
      case 'cdn':
      case 'token':
      case 'other':
        return { status: 404, body: '<!DOCTYPE html><title>Not found</title>', contentType: 'text/html' };
    }
  }

  function bytesOf(digest: Digest): Buffer {
    const bytes = contents.get(digest);
    if (!bytes) throw new Error(`The registry holds nothing under ${digest}`);
    return bytes;
  }

  async function answer(request: SeenRequest, { kind, name, reference }: Target, good: () => Reply): Promise<Reply> {
    order.push({
      kind,
      request,
      line: `${request.method} ${kind} ${[name, reference].filter(Boolean).join(' ')}`.trim(),
    });
    const fault = faults.get(kind);
    return fault ? await fault(good(), request) : good();
  }

  registry.otherwise((request) => {
    const target = targetOf(request.path);
    return answer(request, target, () => {
      const may = mayRead(request, target.name);
      if (may === 'yes') return honest(request, target);
      return challenge(target.name, may === 'not enough' ? 'invalid_token' : undefined);
    });
  });

  tokenServer.otherwise((request) => {
    const scopes = request.query.getAll('scope').flatMap((scope) => /^repository:(.+):pull$/.exec(scope)?.[1] ?? []);
    return answer(request, { kind: 'token', name: scopes.join(','), reference: '' }, () => {
      if (options.credentials) {
        const { username, password } = options.credentials;
        const wanted = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
        if (request.headers.authorization !== wanted) return error(401, 'UNAUTHORIZED', 'incorrect password');
      }
      handedOut += 1;
      const token = `token-${handedOut}-of-upstream`;
      const lifeSeconds = options.tokenLifeSeconds ?? 300;
      tokens.set(token, { scopes, expiresAt: Date.now() + lifeSeconds * 1000 });
      return { body: { token, expires_in: lifeSeconds, issued_at: new Date().toISOString() } };
    });
  });

  // Signed addresses are their own credentials: S3 answers 400 to a request that brings others as well.
  cdn.otherwise((request) => {
    const reference = request.path.slice(1);
    return answer(request, { kind: 'cdn', name: '', reference }, () =>
      request.headers.authorization === undefined
        ? { body: bytesOf(reference as Digest) }
        : { status: 400, body: '<Error><Code>InvalidArgument</Code></Error>', contentType: 'application/xml' },
    );
  });

  return {
    registry,
    tokenServer,
    cdn,
    url: registry.url,
    hosts: [`127.0.0.1:${tokenServer.port}`, `127.0.0.1:${cdn.port}`],
    image,
    index,
    put,
    blob: (name, bytes, algorithm) => keep(name, bytes, '', algorithm),
    bytes: bytesOf,
    tag: (name, tag, digest) => void shelfOf(name).tags.set(tag, digest),
    untag: (name, tag) => void shelfOf(name).tags.delete(tag),
    remove: (name, digest) => void shelfOf(name).held.delete(digest),
    log: (...kinds) => order.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind)).map(({ line }) => line),
    get counted() {
      return order.filter(({ kind, request }) => request.method === 'GET' && (kind === 'tag' || kind === 'manifest'))
        .length;
    },
    forget() {
      order.length = 0;
      for (const server of servers) server.forget();
    },
    fail: (kind, fault) => void faults.set(kind, fault),
    heal: () => faults.clear(),
    revokeTokens: () => tokens.clear(),
    stop: async () => void (await Promise.all(servers.map((server) => server.stop()))),
    start: async () => void (await Promise.all(servers.map((server) => server.start()))),
    close: async () => void (await Promise.all(servers.map((server) => server.close()))),
  };
}

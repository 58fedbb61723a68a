/**
 * A registry that behaves as Docker Hub does, in front of a real one: a challenge with a scope, a token server at another
 * address, blobs that are elsewhere and take no credentials, a rate limit that only manifests count against. It writes
 * down every request and can be told, while it runs, to do wrong.
 */
import { randomUUID } from 'node:crypto';
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Image } from './oci-images.ts';
import { type OciRegistry, startOciRegistry } from './oci-registry.ts';

/** What is asked for. `blob` is the registry's redirect, `cdn` the bytes behind it. */
export type OciRequestKind = 'ping' | 'tag' | 'manifest' | 'blob' | 'cdn' | 'tags' | 'referrers' | 'token' | 'other';

export interface OciRequest {
  readonly kind: OciRequestKind;
  readonly method: string;
  /** Path and query, raw. */
  readonly url: string;
  readonly hasAuthorization: boolean;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** `undefined` until it is answered. */
  readonly status: number | undefined;
}

/** What goes wrong. */
export type OciFault =
  | { readonly kind: 'unauthorized' | 'forbidden' | 'broken' | 'gone' }
  /** 429; `Retry-After` in seconds. */
  | { readonly kind: 'throttled'; readonly retryAfterSeconds?: number }
  /** No answer until the fault is cleared. */
  | { readonly kind: 'stalled' }
  /** The body stops half-way until the fault is cleared. */
  | { readonly kind: 'stalled-body' }
  /** A sign-in page with status 200. */
  | { readonly kind: 'page' }
  /** One bit differs; everything else is as it should be. */
  | { readonly kind: 'wrong-bytes' }
  /** The connection ends after so many bytes of the body; default: half of it. */
  | { readonly kind: 'cut'; readonly atBytes?: number };

export type OciFaultKind = OciFault['kind'];

export interface OciUpstreamOptions {
  /** Default: only what somebody has a token for may be read. */
  readonly open?: boolean;
  /** The token server then hands out tokens for these only. */
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Default 300, as Docker Hub's. */
  readonly tokenLifeSeconds?: number;
  /** Default: blobs are redirected to the third server. */
  readonly redirects?: boolean;
  /** Answer `referrers/` from the tag that stands in for it; docker-registry 2.8 has no such API. */
  readonly referrers?: boolean;
}

export interface FaultLimits {
  /** Only so many requests. */
  readonly times?: number;
  /** Only requests whose URL holds this, such as a digest. */
  readonly only?: string;
}

export interface OciUpstream {
  /** Of the registry; no trailing slash. */
  readonly url: string;
  /** Origin of the token server. */
  readonly tokenUrl: string;
  /** `host:port` of the token server and of the server of blobs: they are private addresses, so they have to be allowed. */
  readonly hosts: readonly string[];
  readonly registry: OciRegistry;
  readonly requests: readonly OciRequest[];
  /** All, or those of some kinds. */
  count(...kinds: readonly OciRequestKind[]): number;
  /** Those that Docker Hub counts against its limit: GET of a manifest, by tag or by digest. */
  readonly counted: number;
  /** Bytes of blobs handed to the system so far. */
  readonly blobBytesSent: number;
  /** Blob transfers now running, and the most there were at once. */
  readonly mostTransfers: number;
  forget(): void;
  /** For requests of this kind until it is cleared; one fault per kind at a time. */
  fail(kind: OciRequestKind, fault: OciFault, limits?: FaultLimits): void;
  /** Of all kinds; whoever is stalled gets the right answer. */
  heal(): void;
  /** What was handed out counts no longer. */
  revokeTokens(): void;
  /** Manifests that may still be had; beyond them 429. Default: no end. */
  allow(manifests: number): void;
  push(image: Image, tags?: readonly string[]): Promise<void>;
  /** Refuses connections and drops the open ones, at all three addresses; `start` undoes it. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

interface Token {
  readonly scopes: readonly string[];
  readonly expiresAt: number;
}

/** A server that can be stopped and started again at the same port. */
interface Listener {
  readonly port: number;
  start(): Promise<void>;
  stop(): Promise<void>;
}

class Cut extends Error {}

function createListener(handle: (incoming: IncomingMessage, response: ServerResponse) => Promise<void>): Listener {
  const sockets = new Set<Socket>();
  let server: Server;
  let port = 0;
  return {
    get port() {
      return port;
    },
    async start() {
      server = createServer((incoming, response) => {
        handle(incoming, response).catch((error: unknown) => {
          // Whatever was written reaches the client first; then the connection ends without the end of the message.
          const { socket } = incoming;
          if (response.headersSent) socket.end(() => socket.destroy());
          else socket.destroy();
          if (!(error instanceof Cut) && !response.destroyed && !incoming.destroyed) throw error;
        });
      });
      server.keepAliveTimeout = 60_000;
      server.on('connection', (socket: Socket) => {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.once('close', () => sockets.delete(socket));
      });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', resolve);
      });
      port = (server.address() as AddressInfo).port;
    },
    async stop() {
      if (!server.listening) return;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

interface Target {
  readonly kind: OciRequestKind;
  readonly name: string;
  readonly reference: string;
}

/** Read from the right: a part of a name may itself be called `blobs`. */
function targetOf(path: string): Target {
  if (/^\/v2\/?$/.test(path)) return { kind: 'ping', name: '', reference: '' };
  const [, name = '', what = '', reference = ''] =
    /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(path) ?? [];
  const decoded = decodeURIComponent(reference);
  switch (what) {
    case 'manifests':
      return { kind: decoded.includes(':') ? 'manifest' : 'tag', name, reference: decoded };
    case 'blobs':
      return { kind: 'blob', name, reference: decoded };
    case 'tags':
    case 'referrers':
      return { kind: what, name, reference: decoded };
    default:
      return { kind: 'other', name, reference: decoded };
  }
}

function errorBody(code: string, message: string): string {
  return JSON.stringify({ errors: [{ code, message, detail: null }] });
}

const page =
  '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in to use this network.</body></html>\n';
const limitOf = 'w=21600';

/** Starts all of it, docker-registry included; a test must `close` it. */
export async function startOciUpstream(options: OciUpstreamOptions = {}): Promise<OciUpstream> {
  const registry = await startOciRegistry();
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const faults = new Map<OciRequestKind, { readonly fault: OciFault; readonly only: string; left: number }>();
  const tokens = new Map<string, Token>();
  let waiting: (() => void)[] = [];
  let requests: { -readonly [K in keyof OciRequest]: OciRequest[K] }[] = [];
  let remaining = Number.POSITIVE_INFINITY;
  let blobBytesSent = 0;
  let transfers = 0;
  let mostTransfers = 0;

  function takeFault(kind: OciRequestKind, incoming: IncomingMessage): OciFault | undefined {
    const found = faults.get(kind);
    if (!found || !incoming.url?.includes(found.only)) return undefined;
    found.left -= 1;
    if (found.left <= 0) faults.delete(kind);
    return found.fault;
  }

  /** Until the fault is cleared or the client has left. */
  function stall(response: ServerResponse): Promise<void> {
    return new Promise((resolve, reject) => {
      waiting.push(resolve);
      response.once('close', () => reject(new Cut()));
    });
  }

  function note(kind: OciRequestKind, incoming: IncomingMessage, response: ServerResponse): void {
    const seen: (typeof requests)[number] = {
      kind,
      method: incoming.method ?? '',
      url: incoming.url ?? '',
      hasAuthorization: incoming.headers.authorization !== undefined,
      headers: Object.fromEntries(Object.entries(incoming.headers).map(([key, value]) => [key, value?.toString()])),
      status: undefined,
    };
    requests.push(seen);
    response.once('close', () => {
      if (response.headersSent) seen.status = response.statusCode;
    });
  }

  function send(
    response: ServerResponse,
    status: number,
    body: string,
    headers: Readonly<Record<string, string>> = {},
  ): void {
    response.writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      ...headers,
    });
    response.end(response.req.method === 'HEAD' ? undefined : body);
  }

  function challenge(response: ServerResponse, name: string, error?: string): void {
    const scope = name === '' ? '' : `,scope="repository:${name}:pull"`;
    const value = `Bearer realm="${tokenUrl()}/token",service="registry.test"${scope}${error === undefined ? '' : `,error="${error}"`}`;
    send(response, 401, errorBody('UNAUTHORIZED', 'authentication required'), { 'www-authenticate': value });
  }

  function tooMany(response: ServerResponse, retryAfterSeconds: number | undefined): void {
    const text = 'You have reached your unauthenticated pull rate limit.';
    const headers = retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) };
    send(response, 429, errorBody('TOOMANYREQUESTS', text), headers);
  }

  /** Faults that are an answer of their own. */
  async function failAtOnce(fault: OciFault | undefined, response: ServerResponse, name: string): Promise<boolean> {
    switch (fault?.kind) {
      case 'unauthorized':
        challenge(response, name, 'insufficient_scope');
        return true;
      case 'forbidden':
        send(response, 403, errorBody('DENIED', 'requested access to the resource is denied'));
        return true;
      case 'broken':
        send(response, 500, errorBody('UNKNOWN', 'unknown error'));
        return true;
      case 'gone':
        send(response, 404, errorBody('MANIFEST_UNKNOWN', 'manifest unknown'));
        return true;
      case 'throttled':
        tooMany(response, fault.retryAfterSeconds);
        return true;
      case 'page':
        send(response, 200, page, { 'content-type': 'text/html; charset=utf-8' });
        return true;
      case 'stalled':
        await stall(response);
        return false;
      case 'stalled-body':
      case 'wrong-bytes':
      case 'cut':
      case undefined:
        return false;
    }
  }

  /** What the real registry says, headers of our own added. */
  async function forward(
    incoming: IncomingMessage,
    response: ServerResponse,
    path: string,
    fault: OciFault | undefined,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const asked: Record<string, string | string[]> = {};
    for (const name of ['accept', 'range', 'if-none-match', 'if-range', 'if-modified-since']) {
      const value = incoming.headers[name];
      if (value !== undefined) asked[name] = value;
    }
    const reply = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({
        host: '127.0.0.1',
        port: registry.port,
        path,
        method: incoming.method,
        headers: asked,
        agent,
      });
      outgoing.on('error', reject);
      outgoing.on('response', resolve);
      outgoing.end();
    });
    const passed: Record<string, string> = {};
    for (const [name, value] of Object.entries(reply.headers)) {
      if (!['connection', 'keep-alive', 'transfer-encoding'].includes(name) && value !== undefined)
        passed[name] = value.toString();
    }
    response.writeHead(reply.statusCode ?? 502, { ...passed, ...headers });
    const isBlob = path.includes('/blobs/');
    const length = Number(reply.headers['content-length'] ?? 0);
    let sent = 0;
    async function* spoiled(): AsyncGenerator<Buffer> {
      for await (const chunk of reply as AsyncIterable<Buffer>) {
        let piece = chunk;
        const stop = fault?.kind === 'cut' ? (fault.atBytes ?? Math.floor(length / 2)) : Math.floor(length / 2);
        const holds = sent <= stop && stop < sent + piece.length;
        if (holds && fault?.kind === 'wrong-bytes') {
          piece = Buffer.from(piece);
          piece[stop - sent] = (piece[stop - sent] ?? 0) ^ 1;
        }
        if (holds && (fault?.kind === 'cut' || fault?.kind === 'stalled-body')) {
          yield piece.subarray(0, stop - sent);
          if (isBlob) blobBytesSent += stop - sent;
          if (fault.kind === 'cut') throw new Cut();
          await stall(response);
          piece = piece.subarray(stop - sent);
          sent = stop;
        }
        sent += piece.length;
        if (isBlob) blobBytesSent += piece.length;
        yield piece;
      }
    }
    if (incoming.method === 'HEAD') {
      reply.resume();
      response.end();
      return;
    }
    if (isBlob) {
      transfers += 1;
      mostTransfers = Math.max(mostTransfers, transfers);
      response.once('close', () => {
        transfers -= 1;
      });
    }
    // A body that ends too early must not be ended properly, so the pieces are written by hand.
    for await (const piece of spoiled()) {
      if (response.destroyed) {
        reply.destroy();
        throw new Cut();
      }
      if (piece.length === 0 || response.write(piece)) continue;
      await new Promise<void>((resolve) => {
        const go = (): void => {
          response.off('drain', go);
          response.off('close', go);
          resolve();
        };
        response.on('drain', go);
        response.on('close', go);
      });
    }
    response.end();
  }

  function mayRead(incoming: IncomingMessage, name: string): 'yes' | 'nothing shown' | 'not enough' {
    if (options.open) return 'yes';
    const shown = /^Bearer (.+)$/i.exec(incoming.headers.authorization ?? '')?.[1];
    if (shown === undefined) return 'nothing shown';
    const token = tokens.get(shown);
    if (!token || token.expiresAt <= Date.now()) return 'not enough';
    if (name === '') return 'yes';
    return token.scopes.includes(name) ? 'yes' : 'not enough';
  }

  async function answerReferrers(incoming: IncomingMessage, response: ServerResponse, target: Target): Promise<void> {
    const body = await new Promise<string>((resolve, reject) => {
      const path = `/v2/${target.name}/manifests/${target.reference.replace(':', '-')}`;
      const accept = 'application/vnd.oci.image.index.v1+json';
      const outgoing = request({ host: '127.0.0.1', port: registry.port, path, headers: { accept }, agent });
      outgoing.on('error', reject);
      outgoing.on('response', (reply) => {
        const chunks: Buffer[] = [];
        reply.on('data', (chunk: Buffer) => chunks.push(chunk));
        reply.on('end', () => resolve(reply.statusCode === 200 ? Buffer.concat(chunks).toString() : ''));
      });
      outgoing.end();
    });
    const index = body === '' ? { manifests: [] } : (JSON.parse(body) as { manifests: { artifactType?: string }[] });
    const wanted = new URLSearchParams((incoming.url ?? '').split('?')[1]).get('artifactType');
    const manifests = index.manifests.filter(({ artifactType }) => wanted === null || artifactType === wanted);
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    send(response, 200, JSON.stringify({ schemaVersion: 2, mediaType, manifests }), {
      'content-type': mediaType,
      ...(wanted === null ? {} : { 'oci-filters-applied': 'artifactType' }),
    });
  }

  async function answerRegistry(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = ''] = (incoming.url ?? '').split('?');
    const target = targetOf(path);
    note(target.kind, incoming, response);
    const may = mayRead(incoming, target.name);
    if (may !== 'yes') return challenge(response, target.name, may === 'not enough' ? 'invalid_token' : undefined);
    const fault = takeFault(target.kind, incoming);
    if (await failAtOnce(fault, response, target.name)) return;
    if (target.kind === 'tag' || target.kind === 'manifest') {
      if (incoming.method === 'GET') {
        if (remaining <= 0) return tooMany(response, 60);
        remaining -= 1;
      }
      const left = Number.isFinite(remaining) ? remaining : 100;
      return await forward(incoming, response, incoming.url ?? '', fault, {
        'ratelimit-limit': `100;${limitOf}`,
        'ratelimit-remaining': `${left};${limitOf}`,
        'docker-ratelimit-source': '192.0.2.1',
      });
    }
    if (target.kind === 'referrers') {
      if (options.referrers) return await answerReferrers(incoming, response, target);
      return send(response, 404, '404 page not found\n', { 'content-type': 'text/plain; charset=utf-8' });
    }
    // Docker Hub redirects HEAD as well.
    if (target.kind === 'blob' && options.redirects !== false && fault === undefined) {
      const location = `${cdnUrl()}/${target.name}/${target.reference}?verify=${randomUUID()}`;
      response.writeHead(307, { location, 'content-length': '0' });
      response.end();
      return;
    }
    await forward(incoming, response, incoming.url ?? '', fault);
  }

  async function answerToken(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    note('token', incoming, response);
    const url = new URL(incoming.url ?? '', 'http://127.0.0.1');
    const fault = takeFault('token', incoming);
    if (await failAtOnce(fault, response, '')) return;
    if (incoming.method !== 'GET' || url.pathname !== '/token') return send(response, 404, errorBody('UNKNOWN', 'no'));
    if (url.searchParams.get('service') !== 'registry.test')
      return send(response, 400, JSON.stringify({ details: 'invalid service' }));
    if (options.credentials) {
      const { username, password } = options.credentials;
      const wanted = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
      if (incoming.headers.authorization !== wanted)
        return send(response, 401, JSON.stringify({ details: 'incorrect username or password' }));
    }
    const lifeSeconds = options.tokenLifeSeconds ?? 300;
    const scopes = url.searchParams
      .getAll('scope')
      .flatMap((scope) => scope.split(' '))
      .flatMap((scope) => {
        const [, name, actions] = /^repository:(.+):([^:]+)$/.exec(scope) ?? [];
        return name !== undefined && actions?.split(',').includes('pull') ? [name] : [];
      });
    const token = `token-${randomUUID()}`;
    tokens.set(token, { scopes, expiresAt: Date.now() + lifeSeconds * 1000 });
    const issued = new Date().toISOString();
    send(response, 200, JSON.stringify({ token, access_token: token, expires_in: lifeSeconds, issued_at: issued }));
  }

  /** Signed addresses are their own credentials: S3 answers 400 to a request that brings others as well. */
  async function answerCdn(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    note('cdn', incoming, response);
    const [, name = '', digest = ''] = /^\/(.+)\/(sha256:[0-9a-f]{64})\?verify=/.exec(incoming.url ?? '') ?? [];
    const fault = takeFault('cdn', incoming);
    if (incoming.headers.authorization !== undefined) {
      const text = '<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>';
      return send(response, 400, text, { 'content-type': 'application/xml' });
    }
    if (await failAtOnce(fault, response, name)) return;
    await forward(incoming, response, `/v2/${name}/blobs/${digest}`, fault, {
      'content-type': 'application/octet-stream',
    });
  }

  const front = createListener(answerRegistry);
  const tokenServer = createListener(answerToken);
  const cdn = createListener(answerCdn);
  const listeners = [front, tokenServer, cdn];
  const tokenUrl = (): string => `http://127.0.0.1:${tokenServer.port}`;
  const cdnUrl = (): string => `http://127.0.0.1:${cdn.port}`;

  async function start(): Promise<void> {
    await Promise.all(listeners.map((one) => one.start()));
  }
  async function stop(): Promise<void> {
    await Promise.all(listeners.map((one) => one.stop()));
  }
  function heal(): void {
    faults.clear();
    const released = waiting;
    waiting = [];
    for (const go of released) go();
  }
  await start();

  return {
    url: `http://127.0.0.1:${front.port}`,
    tokenUrl: tokenUrl(),
    hosts: [`127.0.0.1:${tokenServer.port}`, `127.0.0.1:${cdn.port}`],
    registry,
    get requests() {
      return requests;
    },
    count: (...kinds) => requests.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind)).length,
    get counted() {
      return requests.filter(({ kind, method }) => method === 'GET' && (kind === 'tag' || kind === 'manifest')).length;
    },
    get blobBytesSent() {
      return blobBytesSent;
    },
    get mostTransfers() {
      return mostTransfers;
    },
    forget() {
      requests = [];
      blobBytesSent = 0;
      mostTransfers = transfers;
    },
    fail(kind, fault, limits = {}) {
      faults.set(kind, { fault, only: limits.only ?? '', left: limits.times ?? Number.POSITIVE_INFINITY });
    },
    heal,
    revokeTokens: () => tokens.clear(),
    allow(manifests) {
      remaining = manifests;
    },
    push: (image, tags) => registry.push(image, tags),
    stop,
    start,
    async close() {
      heal();
      await stop();
      agent.destroy();
      await registry.close();
    },
  };
}

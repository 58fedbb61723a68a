/**
 * A server on 127.0.0.1 that does what a test tells it: it counts and remembers every request, stalls, cuts, corrupts
 * and lies. Paths are compared as they were sent, still percent-encoded, without the query.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { type Bytes, fromBuffer, isBytes } from './bytes.ts';
import type { Certificate } from './certificate.ts';

export type Coding = 'gzip' | 'br' | 'zstd' | 'deflate';

export interface SeenRequest {
  readonly method: string;
  /** Path and query, raw. */
  readonly url: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** As sent, still coded. */
  readonly body: Buffer;
  /** 1 for the first request for this path. */
  readonly nth: number;
}

/** What to answer. Everything left out is done as an honest server would. */
export interface Reply {
  readonly status?: number;
  /** Added last; `undefined` removes a header that would have been sent. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string | Buffer | Bytes | object;
  readonly contentType?: string;
  /** Sent coded like this, whatever the client accepts. */
  readonly coding?: Coding;
  /** Sent in the first of these that the client accepts, else plain. */
  readonly codings?: readonly Coding[];
  /** `If-None-Match` and `If-Range` are honoured when set. */
  readonly etag?: string;
  /** `If-Modified-Since` and `If-Range` are honoured when set. */
  readonly lastModified?: string;
  /** Default true; false: always 200 with everything, and no `Accept-Ranges`. */
  readonly ranges?: boolean;
  /** Says this length, whatever is sent; false: no length, chunked. */
  readonly length?: number | false;
  /** Nothing is sent before the gate opens. */
  readonly holdHeaders?: Gate;
  /** The body stops at this offset until the gate opens. */
  readonly hold?: { readonly at: number; readonly until: Gate };
  /** Offsets at which connections are cut, one cut each, in this order, over all requests for the path. */
  readonly cuts?: readonly number[];
  /** Flips a bit of the byte at this offset. */
  readonly corruptAt?: number;
  /** Sends only so many bytes and then ends as if all were well. */
  readonly truncateAt?: number;
  /** Closes the connection instead of answering. */
  readonly hangUp?: boolean;
  /** A piece of so many bytes at a time, with a pause after each. */
  readonly drip?: { readonly bytes: number; readonly pauseMs: number };
  /** Written to the socket as it is; then the connection is closed. */
  readonly raw?: string | Buffer;
}

export type Script = Reply | ((request: SeenRequest) => Reply | Promise<Reply>);

/** A place where the server waits for the test. */
export interface Gate {
  readonly opened: Promise<void>;
  /** Resolves as soon as a request has come this far. */
  readonly reached: Promise<void>;
  open(): void;
  /** Called by the server. */
  arrive(): void;
}

export function gate(): Gate {
  const opened = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  return {
    opened: opened.promise,
    reached: reached.promise,
    open: () => opened.resolve(),
    arrive: () => reached.resolve(),
  };
}

export interface FakeUpstreamOptions {
  readonly tls?: Certificate;
  /** Host name in `url`; default 127.0.0.1. */
  readonly hostname?: string;
  /** Default: chosen by the system. */
  readonly port?: number;
}

export interface FakeUpstream {
  /** No trailing slash. */
  readonly url: string;
  readonly port: number;
  readonly requests: readonly SeenRequest[];
  /** Answers for a path: the first request gets the first one, the last one is repeated. Replaces what was said before. */
  at(path: string, ...scripts: readonly Script[]): void;
  /** Answers for everything no `at` was said for. Default: 404. */
  otherwise(script: Script): void;
  /** How many requests came, for this path or at all. */
  count(path?: string, method?: string): number;
  /** Resolves once so many requests have come for the path. */
  waitFor(path: string, requests: number): Promise<void>;
  /** Requests now being answered. */
  readonly inFlight: number;
  /** Highest number of requests that were being answered at the same time. */
  readonly mostInFlight: number;
  /** Body bytes handed to the system so far. */
  readonly bytesSent: number;
  /** Forgets counts and requests, keeps the answers. */
  forget(): void;
  /** Refuses connections and drops the open ones; `start` undoes it on the same port. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

class Cut extends Error {}

function encode(bytes: Buffer, coding: Coding): Buffer {
  switch (coding) {
    case 'gzip':
      return gzipSync(bytes);
    case 'br':
      return brotliCompressSync(bytes);
    case 'zstd':
      return zstdCompressSync(bytes);
    case 'deflate':
      return deflateSync(bytes);
  }
}

function toBytes(body: Reply['body']): Bytes {
  if (body === undefined) return fromBuffer(Buffer.alloc(0));
  if (Buffer.isBuffer(body)) return fromBuffer(body);
  if (isBytes(body)) return body;
  return fromBuffer(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
}

function toBuffer(bytes: Bytes): Buffer {
  return Buffer.concat([...bytes.read(0, bytes.size)]);
}

function parseRange(header: string | undefined, size: number): { from: number; to: number } | 'none' | 'bad' {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match) return 'none';
  const [, first, last] = match;
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'bad' : { from: size - length, to: size };
  }
  const from = Number(first);
  if (from >= size) return 'bad';
  return { from, to: last === '' ? size : Math.min(Number(last) + 1, size) };
}

interface Plan {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly bytes: Bytes;
  readonly from: number;
  readonly to: number;
}

function accepts(request: SeenRequest, coding: Coding): boolean {
  return (request.headers['accept-encoding'] ?? '').split(',').some((part) => {
    const [name, ...options] = part.trim().split(';');
    return name === coding && !options.some((option) => /^\s*q=0(\.0*)?\s*$/.test(option));
  });
}

function isNotModified(request: SeenRequest, reply: Reply): boolean {
  const noneMatch = request.headers['if-none-match'];
  if (noneMatch !== undefined)
    return reply.etag !== undefined && (noneMatch === '*' || noneMatch.split(/\s*,\s*/).includes(reply.etag));
  const since = request.headers['if-modified-since'];
  return since !== undefined && reply.lastModified !== undefined && Date.parse(since) >= Date.parse(reply.lastModified);
}

function plan(request: SeenRequest, reply: Reply): Plan {
  const status = reply.status ?? 200;
  let bytes = toBytes(reply.body);
  const headers: Record<string, string> = {
    'content-type':
      reply.contentType ??
      (typeof reply.body === 'object' && !Buffer.isBuffer(reply.body) && !isBytes(reply.body)
        ? 'application/json'
        : 'application/octet-stream'),
  };
  const coding = reply.coding ?? reply.codings?.find((offered) => accepts(request, offered));
  if (coding) {
    bytes = fromBuffer(encode(toBuffer(bytes), coding));
    headers['content-encoding'] = coding;
  }
  if (reply.codings) headers.vary = 'accept-encoding';
  if (reply.etag !== undefined) headers.etag = reply.etag;
  if (reply.lastModified !== undefined) headers['last-modified'] = reply.lastModified;
  if (status === 200 && isNotModified(request, reply))
    return { status: 304, headers, bytes: fromBuffer(Buffer.alloc(0)), from: 0, to: 0 };
  const all = { from: 0, to: bytes.size };
  if (status !== 200 || reply.ranges === false) return { status, headers, bytes, ...all };
  headers['accept-ranges'] = 'bytes';
  const ifRange = request.headers['if-range'];
  const isCurrent = ifRange === undefined || ifRange === reply.etag || ifRange === reply.lastModified;
  const range = isCurrent ? parseRange(request.headers.range, bytes.size) : 'none';
  if (range === 'none') return { status, headers, bytes, ...all };
  if (range === 'bad') {
    headers['content-range'] = `bytes */${bytes.size}`;
    return { status: 416, headers, bytes, from: 0, to: 0 };
  }
  headers['content-range'] = `bytes ${range.from}-${range.to - 1}/${bytes.size}`;
  return { status: 206, headers, bytes, ...range };
}

async function send(response: ServerResponse, piece: Buffer, sent: (bytes: number) => void): Promise<void> {
  if (response.destroyed) throw new Cut();
  sent(piece.length);
  if (response.write(piece)) return;
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

/** The pieces between two offsets, none longer than `limit`, split where something is to happen. */
function* pieces(
  bytes: Bytes,
  from: number,
  to: number,
  stops: readonly number[],
  limit: number,
): Generator<[number, Buffer]> {
  let at = from;
  for (const piece of bytes.read(from, to)) {
    let rest = piece;
    while (rest.length > 0) {
      const stop = Math.min(at + limit, ...stops.filter((offset) => offset > at));
      const part = rest.subarray(0, Math.max(1, stop - at));
      yield [at, part];
      at += part.length;
      rest = rest.subarray(part.length);
    }
  }
}

/** Starts it; a test must `close` it. */
export async function startFakeUpstream(options: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
  const scripts = new Map<string, readonly Script[]>();
  const cutsDone = new Map<string, number>();
  const waiting = new Set<() => void>();
  const sockets = new Set<Socket>();
  let requests: SeenRequest[] = [];
  let counts = new Map<string, number>();
  let fallback: Script = { status: 404, body: { error: 'Not found' } };
  let inFlight = 0;
  let mostInFlight = 0;
  let bytesSent = 0;
  let port = options.port ?? 0;

  function count(path?: string, method?: string): number {
    if (method === undefined) return path === undefined ? requests.length : (counts.get(path) ?? 0);
    return requests.filter((seen) => (path === undefined || seen.path === path) && seen.method === method).length;
  }

  async function sendBody(response: ServerResponse, reply: Reply, path: string, ready: Plan): Promise<void> {
    const nextCut = (): number | undefined => reply.cuts?.[cutsDone.get(path) ?? 0];
    const end = Math.min(ready.to, reply.truncateAt ?? ready.to);
    const stops = [nextCut(), reply.hold?.at, reply.corruptAt, reply.truncateAt].filter(
      (offset) => offset !== undefined,
    );
    const limit = reply.drip?.bytes ?? Number.POSITIVE_INFINITY;
    async function stopAt(offset: number): Promise<void> {
      if (reply.hold && reply.hold.at === offset) {
        reply.hold.until.arrive();
        await reply.hold.until.opened;
      }
      if (nextCut() === offset) {
        cutsDone.set(path, (cutsDone.get(path) ?? 0) + 1);
        throw new Cut();
      }
    }
    for (const [offset, piece] of pieces(ready.bytes, ready.from, end, stops, limit)) {
      await stopAt(offset);
      let out = piece;
      if (reply.corruptAt === offset) {
        out = Buffer.from(piece);
        out[0] = (out[0] ?? 0) ^ 1;
      }
      await send(response, out, (bytes) => {
        bytesSent += bytes;
      });
      if (reply.drip) await delay(reply.drip.pauseMs);
    }
    await stopAt(end);
  }

  async function answer(request: SeenRequest, response: ServerResponse): Promise<void> {
    const list = scripts.get(request.path);
    const script = list ? (list[Math.min(request.nth, list.length) - 1] ?? fallback) : fallback;
    const reply = typeof script === 'function' ? await script(request) : script;
    if (reply.holdHeaders) {
      reply.holdHeaders.arrive();
      await reply.holdHeaders.opened;
    }
    if (reply.hangUp) throw new Cut();
    if (reply.raw !== undefined) {
      const socket = response.socket;
      socket?.write(reply.raw, () => socket.end());
      return;
    }
    const ready = plan(request, reply);
    const headers = ready.headers;
    if (reply.length !== false && ready.status !== 304)
      headers['content-length'] = String(reply.length ?? ready.to - ready.from);
    for (const [name, value] of Object.entries(reply.headers ?? {})) {
      if (value === undefined) delete headers[name];
      else headers[name] = value;
    }
    response.writeHead(ready.status, headers);
    if (request.method === 'HEAD' || ready.status === 304) {
      response.end();
      return;
    }
    response.flushHeaders();
    await sendBody(response, reply, request.path, ready);
    const isShort = reply.length !== false && (reply.length ?? 0) > ready.to - ready.from;
    if (isShort || (reply.truncateAt !== undefined && reply.length !== false)) throw new Cut();
    response.end();
  }

  async function receive(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const url = incoming.url ?? '';
    const path = url.split('?')[0] ?? '';
    const seen: SeenRequest = {
      method: incoming.method ?? '',
      url,
      path,
      query: new URLSearchParams(url.slice(path.length)),
      headers: Object.fromEntries(Object.entries(incoming.headers).map(([name, value]) => [name, value?.toString()])),
      body: Buffer.concat(chunks),
      nth: count(path) + 1,
    };
    requests.push(seen);
    counts.set(path, seen.nth);
    for (const check of waiting) check();
    inFlight += 1;
    mostInFlight = Math.max(mostInFlight, inFlight);
    response.once('close', () => {
      inFlight -= 1;
    });
    await answer(seen, response);
  }

  function onRequest(incoming: IncomingMessage, response: ServerResponse): void {
    receive(incoming, response).catch((error: unknown) => {
      // Whatever was written reaches the client first; then the connection ends without the end of the message.
      const socket = incoming.socket;
      if (response.headersSent) socket.end(() => socket.destroy());
      else socket.destroy();
      if (!(error instanceof Cut) && !incoming.destroyed) throw error;
    });
  }

  let server: Server;

  async function start(): Promise<void> {
    server = options.tls ? createHttpsServer(options.tls, onRequest) : createHttpServer(onRequest);
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
  }

  async function stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  await start();

  return {
    get url() {
      return `${options.tls ? 'https' : 'http'}://${options.hostname ?? '127.0.0.1'}:${port}`;
    },
    get port() {
      return port;
    },
    get requests() {
      return requests;
    },
    get inFlight() {
      return inFlight;
    },
    get mostInFlight() {
      return mostInFlight;
    },
    get bytesSent() {
      return bytesSent;
    },
    at(path, ...list) {
      scripts.set(path, list);
      cutsDone.delete(path);
      counts.delete(path);
      requests = requests.filter((seen) => seen.path !== path);
    },
    otherwise(script) {
      fallback = script;
    },
    count,
    waitFor(path, wanted) {
      return new Promise((resolve) => {
        const check = (): void => {
          if (count(path) < wanted) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      });
    },
    forget() {
      requests = [];
      counts = new Map();
      cutsDone.clear();
      bytesSent = 0;
      mostInFlight = inFlight;
    },
    stop,
    start,
    close: stop,
  };
}

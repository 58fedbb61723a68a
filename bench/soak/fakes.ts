/** The upstreams of the soak: a server for each format, that goes wrong in every way there is, counts what it does and listens for names it must never hear. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { allOf, type Content } from './bytes.ts';
import { type Catalog, type FormatId, formats, type Thing } from './catalog.ts';

const faults = [
  '500',
  '503',
  '429',
  '403',
  'hang up',
  'stall',
  'stall in the middle',
  'cut',
  'page',
  'too long',
  'trickle',
  'wrong byte',
  'too short',
] as const;
export type Fault = (typeof faults)[number];

/** Where nobody can know the bytes, these would simply be other bytes. */
const undetectable: ReadonlySet<Fault> = new Set(['wrong byte', 'too short']);
/** A page in place of a file that may be anything is a file. */
const undetectableInPlain: ReadonlySet<Fault> = new Set([...undetectable, 'page']);

export interface Tally {
  heard: number;
  /** Answers by status class whose head went out. */
  readonly heads: Record<string, number>;
  /** Bytes of bodies handed to the system. */
  bytes: number;
  /** Of those, in answers that arrived whole. */
  wholeBytes: number;
  /** Answers that Larder left before their end, or that may have been lost with their connection. */
  left: number;
  readonly faults: Record<string, number>;
  refusals: number;
}

export interface Fake {
  readonly format: FormatId;
  readonly url: string;
  readonly tally: Tally;
  /** Share of answers that go wrong; 0 is good weather. */
  rate: number;
  /** Whether something went wrong there within so many milliseconds. */
  troubled(withinMs: number): boolean;
  /** The machine itself stood still, so that this upstream may have seemed to. */
  stoodStill(): void;
  /** How often a path was asked for with GET and answered. */
  asked(path: string): number;
  /** Refuses connections for a while. */
  refuse(ms: number): Promise<void>;
  close(): Promise<void>;
}

export interface FakesOptions {
  readonly catalogs: Readonly<Record<FormatId, Catalog>>;
  readonly random: () => number;
  readonly nowMs: () => number;
  /** Part of every name that must not leave. */
  readonly secret: string;
  readonly violation: (what: string) => void;
}

/** A connection that ends after so long ends because nobody needed it. */
const idleMs = 2500;
/** Longer than Larder waits. */
const longestStallMs = 20_000;

function acceptsGzip(request: IncomingMessage): boolean {
  return /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
}

interface Range {
  readonly from: number;
  readonly to: number;
}

function rangeIn(request: IncomingMessage, size: number, etag: string | undefined): Range | 'bad' | undefined {
  const found = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
  const condition = request.headers['if-range'];
  if (!found || (condition !== undefined && condition !== etag)) return undefined;
  const [, first = '', last = ''] = found;
  if (first === '') return { from: Math.max(0, size - Number(last)), to: size };
  if (Number(first) >= size) return 'bad';
  return { from: Number(first), to: last === '' ? size : Math.min(size, Number(last) + 1) };
}

/** Resolves when it may go on, or the connection is gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      response.off('drain', go);
      response.off('close', go);
      resolve();
    };
    response.on('drain', go);
    response.on('close', go);
  });
}

async function startFake(format: FormatId, options: FakesOptions): Promise<Fake> {
  const { catalogs, random, nowMs, secret, violation } = options;
  const catalog = catalogs[format];
  const tally: Tally = { heard: 0, heads: {}, bytes: 0, wholeBytes: 0, left: 0, faults: {}, refusals: 0 };
  const askedFor = new Map<string, number>();
  const sockets = new Set<Socket>();
  /** Connections that were destroyed here, whatever was still on its way. */
  const cutOff = new WeakSet<Socket>();
  /** To be called when the last whole answer on a connection has arrived. */
  const arrivals = new Map<Socket, () => void>();
  let lastTrouble = Number.NEGATIVE_INFINITY;
  let refusing = false;
  let origin = '';

  function pick(thing: Thing | undefined): Fault | undefined {
    if (random() >= fake.rate) return undefined;
    // A page instead of the answer that there is nothing is a file as well, where any file may be.
    const kind = thing?.kind ?? (format === 'generic' || format === 'p2' ? 'plain' : 'document');
    const possible = faults.filter((fault) =>
      kind === 'artifact'
        ? true
        : kind === 'document'
          ? !undetectable.has(fault)
          : kind === 'plain'
            ? !undetectableInPlain.has(fault)
            : // Other things are only late, broken or not to be had: what they would say wrongly, nobody could know.
              /^5|429|hang|stall|cut/.test(fault),
    );
    return possible[Math.floor(random() * possible.length)];
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    tally.heard += 1;
    arrivals.get(request.socket)?.();
    const url = request.url ?? '';
    let body = '';
    for await (const piece of request) body += (piece as Buffer).toString('latin1');
    if (`${url} ${decodeURIComponent(url)} ${body}`.includes(secret))
      violation(`the upstream of ${format} heard ${url}`);
    const path = url.split('?', 1)[0] ?? '';
    const thing = catalog.answer({
      path,
      accept: request.headers.accept ?? '',
      authorization: request.headers.authorization,
      origin,
      nowMs: nowMs(),
    });
    if (request.method === 'GET') askedFor.set(path, (askedFor.get(path) ?? 0) + 1);
    if (askedFor.size > 50_000) askedFor.clear();
    const fault = pick(thing);
    if (fault !== undefined) {
      lastTrouble = nowMs();
      tally.faults[fault] = (tally.faults[fault] ?? 0) + 1;
    }
    await send(request, response, thing, fault);
  }

  function head(response: ServerResponse, status: number, headers: Record<string, string | number>): void {
    const kind = `${Math.floor(status / 100)}xx`;
    tally.heads[kind] = (tally.heads[kind] ?? 0) + 1;
    response.writeHead(status, headers);
  }

  function short(
    request: IncomingMessage,
    response: ServerResponse,
    status: number,
    type: string,
    text: string,
    more = {},
  ): void {
    head(response, status, { 'content-type': type, 'content-length': text.length, ...more });
    if (request.method === 'HEAD') {
      endWhole(response, 0);
      return;
    }
    tally.bytes += text.length;
    response.write(text);
    endWhole(response, text.length);
  }

  /**
   * What is handed to the system may still be lost with its connection, or left unread there. It arrived once the next request
   * comes on the same connection, or that ends well after some seconds without one. Whoever ends it right away may have left
   * before the answer was there.
   */
  function endWhole(response: ServerResponse, bytes: number): void {
    const { socket } = response;
    if (!socket) {
      tally.left += 1;
      return;
    }
    const settle = (hasArrived: boolean): void => {
      socket.off('close', close);
      arrivals.delete(socket);
      if (hasArrived) tally.wholeBytes += bytes;
      else tally.left += 1;
    };
    let sentAt = Number.POSITIVE_INFINITY;
    const close = (hadError: boolean): void =>
      settle(!hadError && !cutOff.has(socket) && performance.now() - sentAt > idleMs);
    socket.on('close', close);
    arrivals.set(socket, () => settle(true));
    response.end(() => {
      sentAt = performance.now();
    });
  }

  async function send(
    request: IncomingMessage,
    response: ServerResponse,
    thing: Thing | undefined,
    fault: Fault | undefined,
  ): Promise<void> {
    if (fault === '500' || fault === '503' || fault === '403')
      return short(request, response, Number(fault), 'text/html', `<html>${fault}</html>`);
    if (fault === '429') return short(request, response, 429, 'text/plain', 'slower', { 'retry-after': '1' });
    if (fault === 'hang up') {
      response.destroy();
      return;
    }
    if (fault === 'stall') {
      await Promise.race([once(response, 'close'), delay(longestStallMs, undefined, { ref: false })]);
      response.destroy();
      return;
    }
    if (fault === 'page')
      return short(
        request,
        response,
        200,
        'text/html; charset=utf-8',
        '<!DOCTYPE html><html><body>Sign in</body></html>',
      );
    if (!thing) return short(request, response, 404, 'text/plain', 'not found');
    if (thing.status !== undefined)
      return short(request, response, thing.status, thing.type, allOf(thing.content).toString('latin1'), thing.headers);
    const etag = thing.headers?.etag;
    if (etag !== undefined && request.headers['if-none-match']?.includes(etag)) {
      head(response, 304, { ...thing.headers });
      endWhole(response, 0);
      return;
    }
    const coded = thing.kind === 'document' && acceptsGzip(request) && thing.content.size > 500;
    const packed = coded ? gzipSync(allOf(thing.content)) : undefined;
    const content: Pick<Content, 'size' | 'read'> = packed
      ? { size: packed.length, read: (from, to) => [packed.subarray(from, to)] }
      : thing.content;
    const range = thing.kind === 'document' ? undefined : rangeIn(request, content.size, etag);
    if (range === 'bad') {
      head(response, 416, { 'content-range': `bytes */${content.size}`, 'content-length': 0 });
      endWhole(response, 0);
      return;
    }
    const { from, to } = range ?? { from: 0, to: content.size };
    // Some servers do not say how long a document is.
    const chunked = thing.kind === 'document' && content.size % 3 === 0;
    const length = to - from;
    const stop = Math.floor(random() * length);
    const told =
      fault === 'too long'
        ? length + 1 + stop
        : fault === 'too short'
          ? Math.max(0, length - 1 - (stop % 100))
          : length;
    head(response, range ? 206 : 200, {
      'content-type': thing.type,
      ...thing.headers,
      ...(packed ? { 'content-encoding': 'gzip' } : {}),
      ...(chunked ? {} : { 'content-length': told }),
      ...(range ? { 'content-range': `bytes ${from}-${to - 1}/${content.size}` } : {}),
      ...(thing.kind === 'document' ? {} : { 'accept-ranges': 'bytes' }),
    });
    if (request.method === 'HEAD') {
      endWhole(response, 0);
      return;
    }
    response.flushHeaders();
    const breaks = fault === 'cut' || fault === 'stall in the middle' || fault === 'too long';
    const end =
      fault === 'too short' ? from + told : fault === 'cut' || fault === 'stall in the middle' ? from + stop : to;
    let sent = 0;
    const startedAt = performance.now();
    for (const piece of content.read(from, end)) {
      if (response.destroyed) break;
      let out = piece;
      if (fault === 'wrong byte' && sent <= stop && stop < sent + piece.length) {
        out = Buffer.from(piece);
        out[stop - sent] = (out[stop - sent] ?? 0) ^ 1;
      }
      if (fault === 'trickle' && performance.now() - startedAt < 4000) {
        for (let at = 0; at < out.length && !response.destroyed; at += 4096) {
          response.write(out.subarray(at, at + 4096));
          await delay(40);
          if (performance.now() - startedAt > 4000) {
            response.write(out.subarray(at + 4096));
            break;
          }
        }
      } else if (!response.write(out)) await drained(response);
      sent += out.length;
      tally.bytes += out.length;
    }
    if (response.destroyed) {
      tally.left += 1;
      return;
    }
    if (fault === 'stall in the middle') {
      await Promise.race([once(response, 'close'), delay(longestStallMs, undefined, { ref: false })]);
      response.destroy();
      return;
    }
    if (breaks) {
      // What was written arrives; then the connection ends without the end of the message.
      const socket = response.socket;
      socket?.end(() => socket.destroy());
      return;
    }
    endWhole(response, sent);
  }

  const server: Server = createServer({ keepAliveTimeout: 5000, requestTimeout: 0 }, (request, response) => {
    response.on('error', () => {});
    answer(request, response).catch((error: unknown) => {
      response.destroy();
      if (!request.destroyed) violation(`the fake upstream of ${format} failed: ${String(error)}`);
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  origin = `http://127.0.0.1:${port}`;

  const fake: Fake = {
    format,
    url: origin,
    tally,
    rate: 0,
    troubled: (withinMs) => refusing || nowMs() - lastTrouble < withinMs,
    stoodStill() {
      lastTrouble = nowMs();
    },
    asked: (path) => askedFor.get(path) ?? 0,
    async refuse(ms) {
      if (refusing) return;
      refusing = true;
      tally.refusals += 1;
      server.close();
      for (const socket of sockets) {
        cutOff.add(socket);
        socket.destroy();
      }
      await delay(ms);
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      refusing = false;
      lastTrouble = nowMs();
    },
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return fake;
}

export async function startFakes(options: FakesOptions): Promise<Readonly<Record<FormatId, Fake>>> {
  const started = await Promise.all(formats.map(async (format) => [format, await startFake(format, options)] as const));
  return Object.fromEntries(started) as Record<FormatId, Fake>;
}

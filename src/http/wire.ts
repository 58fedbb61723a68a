/**
 * The front of the plain HTTP port. A request that is exactly what package clients send (a GET without a body, well
 * formed, whole in one read) and whose answer is hot is answered here, from the socket, at a fraction of what a request
 * costs otherwise. Everything else, and every connection on which anything else appears, is handed to Node's HTTP server
 * with all its bytes, and stays there: this file never refuses and never guesses.
 */
import type { Server } from 'node:http';
import net, { type Socket } from 'node:net';
import { isAnonymous } from '../access/identify.ts';
import { publish } from '../core/events.ts';
import type { Identity } from '../core/identity.ts';
import { codingFor } from './coding.ts';
import type { Connections } from './connections.ts';
import { type HotAnswer, type HotAnswers, isShownBeside, isUnmodified, keyOf, publishHit } from './hot.ts';
import type { Limits } from './limits.ts';
import type { Recognition } from './recognition.ts';
import { newRequestId } from './request-id.ts';

export interface WireOptions {
  readonly server: Server;
  readonly hot: HotAnswers;
  readonly recognition: Recognition;
  readonly baseOf: (facts: {
    readonly encrypted: boolean;
    readonly remoteAddress: string;
    readonly headers: Readonly<Record<string, string | undefined>>;
  }) => { readonly base: string; readonly remote: string };
  /** For the first request of a connection; afterwards it may idle for the time below. */
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** For whoever takes nothing of what waits for it. */
  readonly readerTimeoutMs: () => number;
  readonly headerBytes: number;
  readonly urlBytes: number;
  readonly limits: Limits;
  readonly connections: Connections;
}

/** A request head that may be answered here. */
interface Head {
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly coding: string;
  /** Unless it says no more than that there is nothing to show. */
  readonly authorization: string | undefined;
  /** What the same head came to when it last arrived from this address. */
  question?: { readonly remoteAddress: string; readonly remote: string; readonly key: string };
}

interface Found {
  readonly answer: HotAnswer;
  /** Address of the client. */
  readonly remote: string;
  /** Who is known to ask. */
  readonly reader: Identity | undefined;
}

const requestLine = /^GET (\/[\x21-\x7e]*) HTTP\/1\.1$/;
const headerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff]*?)[ \t]*$/;

/** With any of these there is more to decide than this file decides. */
const notHere = new Set([
  'content-length',
  'expect',
  'if-match',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'proxy-authorization',
  'range',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
  'x-request-id',
  'x-larder-refresh',
]);

/** `undefined`: not for here. Strict on purpose: what two parsers could read differently is left to Node's. */
export function parseHead(text: string, urlBytes: number): Head | undefined {
  const lines = text.slice(0, -4).split('\r\n');
  const url = requestLine.exec(lines[0] ?? '')?.[1];
  if (url === undefined || url.length > urlBytes) return undefined;
  const headers: Record<string, string> = Object.create(null);
  for (let i = 1; i < lines.length; i++) {
    const [, name, value] = headerLine.exec(lines[i] as string) ?? [];
    if (name === undefined || value === undefined) return undefined;
    const key = name.toLowerCase();
    if (key in headers) return undefined;
    if (notHere.has(key)) return undefined;
    headers[key] = value;
  }
  if (headers.host === undefined) return undefined;
  if (headers.connection !== undefined && headers.connection.toLowerCase() !== 'keep-alive') return undefined;
  const authorization = isAnonymous(headers.authorization) ? undefined : headers.authorization;
  return { url, headers, coding: codingFor(headers['accept-encoding']), authorization };
}

interface Trace {
  readonly traceparent?: string;
  readonly tracestate?: string;
}

const traceLine = /\r\n(traceparent|tracestate):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)[ \t]*(?=\r\n)/gi;

/** What differs in each request of a traced client, and the head without it; `undefined`: nothing, or it is said twice. */
export function withoutTrace(text: string): { readonly text: string; readonly trace: Trace } | undefined {
  const trace: { traceparent?: string; tracestate?: string } = {};
  let isFine = true;
  const plain = text.replace(traceLine, (_, name: string, value: string) => {
    const key = name.toLowerCase() as 'traceparent' | 'tracestate';
    if (trace[key] !== undefined) isFine = false;
    trace[key] = value;
    return '';
  });
  return isFine && plain.length < text.length ? { text: plain, trace } : undefined;
}

/** Clients repeat themselves to the byte; so many different heads up to this length are remembered. The token of a CI job has 1.5 KB. */
const headsKept = 4096;
const longestKept = 3072;
/** Bytes waiting for a slow reader above which nothing more is read from it. */
const waitingBytes = 1024 * 1024;

/** A part of a string keeps all of it in memory: of one that came with the head of an upload, up to 64 KiB. */
const copyOf = (text: string): string => Buffer.from(text, 'latin1').toString('latin1');

let dateText = '';
let dateSecond = 0;

function dateLine(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `date: ${new Date(second * 1000).toUTCString()}\r\n`;
  }
  return dateText;
}

/** Up to here copying head and body into one piece costs less than writing two. */
const largestCopy = 64 * 1024;
const largestHead = 8 * 1024;
let scratch = Buffer.allocUnsafeSlow(largestCopy + largestHead);

/** One write from memory that is used again and again: a write that the system took whole, as nearly all are, is done with it. */
function writeCopy(socket: Socket, head: string, body: Uint8Array): void {
  if (head.length > largestHead) {
    socket.write(head, 'latin1');
    socket.write(body);
    return;
  }
  scratch.write(head, 0, 'latin1');
  scratch.set(body, head.length);
  socket.write(scratch.subarray(0, head.length + body.byteLength));
  if (socket.writableLength > 0) scratch = Buffer.allocUnsafeSlow(largestCopy + largestHead);
}

export function createWire(options: WireOptions): net.Server {
  const { server, hot, recognition, baseOf, limits, connections } = options;
  const keepAlive = `connection: keep-alive\r\nkeep-alive: timeout=${Math.floor(options.keepAliveTimeoutMs / 1000)}\r\n`;
  const heads = new Map<string, Head | null>();

  /** Of the head that was looked at last: heads are shared by all requests that are the same but for it. */
  let trace: Trace | undefined;

  function headOf(text: string): Head | undefined {
    trace = undefined;
    if (text.length > options.headerBytes) return undefined;
    if (text.length > longestKept) return parseHead(text, options.urlBytes);
    const known = heads.get(text);
    if (known !== undefined) return known ?? undefined;
    const plain = withoutTrace(text);
    if (!plain) return keptHead(text);
    trace = plain.trace;
    const same = heads.get(plain.text);
    return same === undefined ? keptHead(plain.text) : (same ?? undefined);
  }

  function keptHead(text: string): Head | undefined {
    const own = copyOf(text);
    const head = parseHead(own, options.urlBytes);
    // What differs each time, and is not for here anyway, would push out what comes again.
    if (!head && !own.startsWith('GET ')) return undefined;
    if (heads.size >= headsKept) heads.clear();
    heads.set(own, head ?? null);
    return head;
  }

  function answerTo(head: Head, remoteAddress: string): Found | undefined {
    const isKnown = head.authorization !== undefined;
    const reader = head.authorization === undefined ? undefined : recognition.find(head.authorization);
    if (isKnown && !reader) return undefined;
    if (head.question?.remoteAddress !== remoteAddress) {
      try {
        const { base, remote } = baseOf({ encrypted: false, remoteAddress, headers: head.headers });
        const key = keyOf({ known: isKnown, base, url: head.url, accept: head.headers.accept, coding: head.coding });
        head.question = { remoteAddress, remote, key };
      } catch {
        return undefined;
      }
    }
    const { key, remote } = head.question;
    const answer = hot.findKey(key, reader);
    if (!answer || isShownBeside(answer, head.headers)) return undefined;
    return { answer, remote, reader };
  }

  function write(socket: Socket, head: Head, { answer, remote, reader }: Found, startedAt: number): void {
    const id = newRequestId();
    const unmodified = isUnmodified(answer, head.headers['if-none-match']);
    const text = `${unmodified ? answer.unmodifiedHead : answer.head}x-request-id: ${id}\r\n${dateLine()}${keepAlive}\r\n`;
    if (unmodified) socket.write(text, 'latin1');
    else if (answer.body.byteLength <= largestCopy) writeCopy(socket, text, answer.body);
    else {
      socket.cork();
      socket.write(text, 'latin1');
      socket.write(answer.body, hot.lend(answer.body));
      socket.uncork();
    }
    publishHit(answer, {
      id,
      method: 'GET',
      url: head.url,
      remote,
      userAgent: head.headers['user-agent'] ?? '',
      startedAt,
      status: unmodified ? 304 : 200,
      bytesSent: unmodified ? 0 : answer.body.byteLength,
      who: reader?.kind,
      traceparent: trace ? trace.traceparent : head.headers.traceparent,
      tracestate: trace ? trace.tracestate : head.headers.tracestate,
    });
  }

  function connected(socket: Socket): void {
    const accepted = connections.accept(socket);
    if (!accepted) return;
    const connection = accepted;
    const remoteAddress = socket.remoteAddress ?? '';
    const broken = (): void => void socket.destroy();

    function late(): void {
      if (socket.writableLength > 0) publish('client.slow', { kind: 'reader', remote: remoteAddress });
      else if (!answered) publish('client.slow', { kind: 'headers', remote: remoteAddress });
      socket.destroy();
    }

    /** Whoever would take more than it may is refused, or slowed, by those who can say so. */
    function mayHave(head: Head, { answer, remote, reader }: Found): boolean {
      const bytes = isUnmodified(answer, head.headers['if-none-match']) ? 0 : answer.body.byteLength;
      return limits.takeHot(connection, remote, answer.repository, bytes, reader);
    }

    const ended = (): void => void socket.end();

    function handOver(rest: Buffer): void {
      socket.off('data', read);
      socket.off('timeout', late);
      socket.off('error', broken);
      socket.off('end', ended);
      socket.off('drain', proceed);
      socket.setTimeout(0);
      socket.pause();
      socket.unshift(rest);
      server.emit('connection', socket);
      process.nextTick(() => socket.resume());
    }

    function proceed(): void {
      if (!socket.isPaused()) return;
      socket.setTimeout(options.keepAliveTimeoutMs);
      socket.resume();
    }

    let answered = false;

    function read(chunk: Buffer): void {
      const startedAt = performance.now();
      connection.lastAt = startedAt;
      const text = chunk.toString('latin1');
      let at = 0;
      while (at < text.length) {
        const end = text.indexOf('\r\n\r\n', at);
        const head =
          end === -1 ? undefined : headOf(at === 0 && end + 4 === text.length ? text : text.slice(at, end + 4));
        const found = head && answerTo(head, remoteAddress);
        if (!head || !found || (limits.isActive && !mayHave(head, found))) {
          handOver(chunk.subarray(at));
          return;
        }
        write(socket, head, found, startedAt);
        at = end + 4;
        if (!answered) {
          answered = true;
          socket.setTimeout(options.keepAliveTimeoutMs);
        }
      }
      if (socket.writableLength > waitingBytes) {
        socket.pause();
        socket.setTimeout(options.readerTimeoutMs());
      }
    }

    socket.setTimeout(options.headersTimeoutMs);
    socket.on('timeout', late);
    socket.on('error', broken);
    socket.on('end', ended);
    socket.on('drain', proceed);
    socket.on('data', read);
  }

  return net.createServer({ noDelay: true, allowHalfOpen: true }, connected);
}

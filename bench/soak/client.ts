/** A client that checks every byte as it arrives and keeps none, leaves when it is told to, reads slowly when it is told to. */
import { createHash } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Content } from './bytes.ts';

export interface Wish {
  /** Path and query, as they go over the wire. */
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Content | Buffer | string;
  /** No length is told. */
  readonly chunked?: boolean;
  /** Leaves after sending so many bytes of the body. */
  readonly leaveAfterSending?: number;
  /** Leaves after so many bytes of the answer have come; -1: before anything comes. */
  readonly leaveAfter?: number;
  /** A pause after every piece. */
  readonly pauseMs?: number;
  /** What the bytes of a 200 or 206 must be. */
  readonly expect?: Content;
  /** Hands out the body; for documents. */
  readonly keep?: boolean;
  readonly signal?: AbortSignal;
}

export interface Answer {
  /** 0: none came. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Bytes of the body, as they came over the wire. */
  readonly bytes: number;
  /** The message ended as it should. */
  readonly complete: boolean;
  /** The client left of its own will. */
  readonly left: boolean;
  /** Where the first wrong byte was seen; a text. */
  readonly wrong: string | undefined;
  /** Right bytes under a wrong length: what upstream said, and nobody knows better before the end. */
  readonly lied: string | undefined;
  readonly sha256: string;
  readonly body: Buffer;
  readonly error: string | undefined;
  readonly ms: number;
}

const longestMs = 60_000;
const keptBytes = 8_000_000;

export interface Client {
  ask(wish: Wish): Promise<Answer>;
  /** Bytes on a connection of their own; what came back until its end, or until it was quiet for a while. */
  raw(bytes: Buffer | string, quietMs?: number): Promise<string>;
  close(): void;
}

export function createClient(port: number): Client {
  const agents = new Set<Agent>();
  let agent = newAgent();
  let made = 0;

  function newAgent(): Agent {
    const one = new Agent({ keepAlive: true, maxSockets: 200, maxFreeSockets: 24 });
    agents.add(one);
    return one;
  }

  function retire(old: Agent): void {
    agents.delete(old);
    old.destroy();
  }

  function ask(wish: Wish): Promise<Answer> {
    // Connections of clients do not live for ever.
    made += 1;
    if (made % 2000 === 0) {
      setTimeout(retire, longestMs + 5000, agent).unref();
      agent = newAgent();
    }
    return once(wish, agent, port);
  }

  return {
    ask,
    raw: (bytes, quietMs = 1500) =>
      new Promise((resolve) => {
        const pieces: Buffer[] = [];
        const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
        const end = (): void => {
          socket.destroy();
          resolve(Buffer.concat(pieces).toString('latin1'));
        };
        socket.setTimeout(quietMs, end);
        socket.on('data', (piece) => pieces.push(piece));
        socket.on('error', end);
        socket.on('close', end);
      }),
    close() {
      for (const old of agents) retire(old);
      agent = newAgent();
    },
  };
}

/** Where a 206 begins. */
function offsetOf(status: number, headers: IncomingHttpHeaders): number {
  if (status !== 206) return 0;
  return Number(/^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1] ?? Number.NaN);
}

function once(wish: Wish, agent: Agent, port: number): Promise<Answer> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    let incoming: IncomingMessage | undefined;
    let bytes = 0;
    let left = false;
    let wrong: string | undefined;
    let lied: string | undefined;
    let failure: string | undefined;
    let settled = false;
    const hash = createHash('sha256');
    const pieces: Buffer[] = [];
    const outgoing = httpRequest({
      host: '127.0.0.1',
      port,
      agent,
      path: wish.path,
      method: wish.method ?? 'GET',
      headers: lengthOf(wish),
      ...(wish.signal ? { signal: wish.signal } : {}),
    });
    const late = setTimeout(() => {
      failure = `no end after ${longestMs} ms`;
      outgoing.destroy();
    }, longestMs);

    function settle(): void {
      if (settled) return;
      settled = true;
      clearTimeout(late);
      resolve({
        status: incoming?.statusCode ?? 0,
        headers: incoming?.headers ?? {},
        bytes,
        complete: incoming?.complete ?? false,
        left,
        wrong,
        lied,
        sha256: hash.digest('hex'),
        body: Buffer.concat(pieces),
        error: failure,
        ms: performance.now() - startedAt,
      });
    }

    function leave(): void {
      left = true;
      outgoing.destroy();
    }

    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      if (!left) failure ??= error.code ?? error.message;
    });
    // Without an answer; with one, its own end counts.
    outgoing.on('close', () => (incoming ? setImmediate(settle) : settle()));
    outgoing.on('response', (response) => {
      incoming = response;
      const { statusCode: status = 0, headers } = response;
      const start = offsetOf(status, headers);
      const checked = status === 200 || status === 206 ? wish.expect : undefined;
      if (checked && status === 206 && Number.isNaN(start))
        wrong = `a 206 with content-range ${headers['content-range']}`;
      response.on('error', () => {});
      response.on('data', (piece: Buffer) => {
        if (checked && wrong === undefined && !checked.matches(start + bytes, piece)) {
          wrong = `other bytes from ${start + bytes} on, in a piece of ${piece.length}`;
        }
        hash.update(piece);
        bytes += piece.length;
        if ((wish.keep || status >= 400) && bytes < keptBytes) pieces.push(piece);
        if (wish.leaveAfter !== undefined && wish.leaveAfter >= 0 && bytes >= wish.leaveAfter && !left) leave();
        else if (wish.pauseMs) {
          response.pause();
          setTimeout(() => response.resume(), wish.pauseMs);
        }
      });
      response.on('end', () => {
        if (!checked || wrong !== undefined) return;
        const told = /^bytes \d+-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '');
        const end = status === 206 ? Number(told?.[1]) + 1 : checked.size;
        if (start + bytes !== end) wrong = `${bytes} bytes instead of ${end - start}`;
        if (status === 206 && Number(told?.[2]) !== checked.size)
          lied = `content-range ${headers['content-range']} of ${checked.size} bytes`;
      });
      response.on('close', settle);
    });
    if (wish.leaveAfter === -1) outgoing.on('finish', () => setTimeout(leave, 5 + Math.random() * 40));
    void sendBody(wish, outgoing, leave);
  });
}

function lengthOf({ headers, body, chunked }: Wish): Record<string, string> {
  const size =
    body === undefined
      ? undefined
      : typeof body === 'string'
        ? Buffer.byteLength(body)
        : 'size' in body
          ? body.size
          : body.length;
  return {
    ...headers,
    ...(size === undefined ? {} : chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(size) }),
  };
}

async function sendBody(
  { body, leaveAfterSending }: Wish,
  outgoing: ReturnType<typeof httpRequest>,
  leave: () => void,
): Promise<void> {
  if (body === undefined) {
    outgoing.end();
    return;
  }
  const pieces =
    typeof body === 'string' || Buffer.isBuffer(body) ? [Buffer.from(body as string)] : body.read(0, body.size);
  let sent = 0;
  for (const piece of pieces) {
    if (outgoing.destroyed) return;
    if (leaveAfterSending !== undefined && sent + piece.length >= leaveAfterSending) {
      outgoing.write(piece.subarray(0, leaveAfterSending - sent));
      await delay(20);
      leave();
      return;
    }
    sent += piece.length;
    if (!outgoing.write(piece)) {
      await new Promise<void>((resolve) => {
        const go = (): void => {
          outgoing.off('drain', go);
          outgoing.off('close', go);
          resolve();
        };
        outgoing.on('drain', go);
        outgoing.on('close', go);
      });
    }
  }
  outgoing.end();
}

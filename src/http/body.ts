/** Request bodies: limited, refused before they are read when they say that they are too long, and given up when too little comes. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { publish } from '../core/events.ts';
import { Problem } from '../core/problem.ts';
import type { Pace } from './limits-pacer.ts';

export interface BodyLimits {
  readonly limitBytes: number;
  /** Longest wait for the next piece. */
  readonly idleMs: number;
  /** Longest time for all of it. Default: no limit. */
  readonly totalMs?: number;
  /** So fast it has to come over each window. */
  readonly least?: { readonly bytesPerSecond: number; readonly windowMs: number };
  /** Asked after each piece. */
  readonly pace?: Pace | undefined;
  /** For whoever counts slow clients. */
  readonly remote?: string;
}

/** Bytes of the body as sent, still in its content coding. Throws `too_large`, or `request_timeout` when the client breaks off. */
export async function readBody(req: IncomingMessage, res: ServerResponse, limits: BodyLimits): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of streamBody(req, res, limits)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * The same, piece by piece, at the pace of whoever takes the pieces. A client that waits for it is told to go on
 * (RFC 9110, 10.1.1) when the first piece is wanted, so not before its rights were looked at.
 */
export async function* streamBody(
  req: IncomingMessage,
  res: ServerResponse,
  limits: BodyLimits,
): AsyncGenerator<Buffer> {
  const { limitBytes, pace } = limits;
  const tooLarge = (): Problem =>
    new Problem('too_large', `The request body is longer than the ${limitBytes} bytes allowed here.`);
  if (Number(req.headers['content-length'] ?? 0) > limitBytes) throw tooLarge();
  if (req.headers.expect?.toLowerCase() === '100-continue') res.writeContinue();
  const patience = new Patience(limits);
  // The connection is still needed for the answer when the rest of the body is not.
  const pieces = req.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let size = 0;
  try {
    for (;;) {
      const next = await patience.waitFor(pieces.next());
      if (next.done) break;
      size += next.value.byteLength;
      if (size > limitBytes) throw tooLarge();
      publish('client.body', { bytes: next.value.byteLength });
      await pace?.take(next.value.byteLength);
      yield next.value;
    }
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem('request_timeout', 'The request body broke off before its end.', { cause: error });
  } finally {
    // Not waited for: behind a piece that never comes it would wait for ever.
    pieces.return?.().catch(() => {});
  }
}

/** How long and how slowly a body may come. Only time that is spent waiting for the client counts towards how fast it is. */
class Patience {
  readonly #idleMs: number;
  readonly #endsAt: number;
  readonly #windowMs: number;
  readonly #leastBytes: number;
  readonly #remote: string;
  /** In this window. */
  #waitedMs = 0;
  #bytes = 0;

  constructor({ idleMs, totalMs = Number.POSITIVE_INFINITY, least, remote = '' }: BodyLimits) {
    this.#idleMs = idleMs;
    this.#endsAt = performance.now() + totalMs;
    this.#windowMs = least?.windowMs ?? Number.POSITIVE_INFINITY;
    this.#leastBytes = least ? (least.bytesPerSecond * least.windowMs) / 1000 : 0;
    this.#remote = remote;
  }

  async waitFor(coming: Promise<IteratorResult<Buffer>>): Promise<IteratorResult<Buffer>> {
    let leftMs = Math.min(this.#idleMs, this.#endsAt - performance.now());
    for (;;) {
      const from = performance.now();
      const next = await within(Math.min(leftMs, this.#windowMs - this.#waitedMs), coming);
      const tookMs = performance.now() - from;
      leftMs -= tookMs;
      this.#waitedMs += tookMs;
      if (next?.done) return next;
      if (next) this.#bytes += next.value.byteLength;
      else if (leftMs <= 0) throw this.#tooSlow('Nothing more came of the request body for too long.');
      if (this.#waitedMs >= this.#windowMs) this.#look();
      if (next) return next;
    }
  }

  #look(): void {
    if (this.#bytes < this.#leastBytes) {
      throw this.#tooSlow(
        `The request body came too slowly: ${this.#bytes} bytes in ${Math.round(this.#waitedMs / 1000)} seconds, and at least ${Math.ceil(this.#leastBytes)} have to.`,
      );
    }
    this.#waitedMs = 0;
    this.#bytes = 0;
  }

  #tooSlow(message: string): Problem {
    publish('client.slow', { kind: 'body', remote: this.#remote });
    return new Problem('request_timeout', message);
  }
}

/** `undefined`: not in that time. */
async function within<T>(ms: number, coming: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((settle) => {
    timer = setTimeout(() => settle(undefined), Math.max(1, Math.min(ms, 2 ** 31 - 1)));
  });
  try {
    return await Promise.race([coming, late]);
  } finally {
    clearTimeout(timer);
    coming.catch(() => {});
  }
}

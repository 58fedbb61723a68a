/** Request bodies: limited, refused before they are read when they say that they are too long, and given up when nothing comes any more. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Problem } from '../core/problem.ts';

export interface BodyLimits {
  readonly limitBytes: number;
  /** Longest wait for the next piece. */
  readonly idleMs: number;
  /** Longest time for all of it. Default: no limit. */
  readonly totalMs?: number;
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
  { limitBytes, idleMs, totalMs = Number.POSITIVE_INFINITY }: BodyLimits,
): AsyncGenerator<Buffer> {
  const tooLarge = (): Problem =>
    new Problem('too_large', `The request body is longer than the ${limitBytes} bytes allowed here.`);
  if (Number(req.headers['content-length'] ?? 0) > limitBytes) throw tooLarge();
  if (req.headers.expect?.toLowerCase() === '100-continue') res.writeContinue();
  const endsAt = performance.now() + totalMs;
  // The connection is still needed for the answer when the rest of the body is not.
  const pieces = req.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let size = 0;
  try {
    for (;;) {
      const next = await before(Math.min(idleMs, endsAt - performance.now()), pieces.next());
      if (next.done) break;
      size += next.value.byteLength;
      if (size > limitBytes) throw tooLarge();
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

async function before<T>(ms: number, wait: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(
      () => fail(new Problem('request_timeout', 'Nothing more came of the request body for too long.')),
      Math.max(1, Math.min(ms, 2 ** 31 - 1)),
    );
  });
  try {
    return await Promise.race([wait, late]);
  } finally {
    clearTimeout(timer);
    wait.catch(() => {});
  }
}

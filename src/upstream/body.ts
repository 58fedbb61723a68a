/** The body of an answer as it arrives: counted, with errors that keep their names, and given back when nobody wants it. */
import type { Dispatcher } from 'undici';
import { bodyError, type FailureKind, kindOf } from './failure.ts';

// So much of an unwanted body is read to keep its connection; more costs more than a new connection.
const dumpBytes = 64 * 1024;
const dumpMs = 1000;

/** Can be read once. Leaving the loop destroys it. */
export interface Body extends AsyncIterable<Buffer> {
  destroy(error?: Error): void;
}

export interface BodyWatch {
  onBytes(bytes: number): void;
  /** The connection is free again, or gone. Called once. */
  onEnd(failure: { readonly kind: FailureKind; readonly error: Error } | undefined): void;
}

type Readable = Dispatcher.ResponseData['body'];

export interface OpenedBody {
  readonly body: Body;
  discard(): void;
}

export function openBody(readable: Readable, watch: BodyWatch, signal: AbortSignal | undefined): OpenedBody {
  let ours: { readonly reason: unknown } | undefined;
  let failure: { readonly kind: FailureKind; readonly error: Error } | undefined;

  readable.on('error', (error: Error) => {
    if (ours || signal?.aborted) return;
    const kind = kindOf(error, 'body');
    if (kind !== 'aborted') failure = { kind, error };
  });
  readable.once('close', () => {
    // What had come and was not read when it was left.
    if (readable.readableLength > 0) watch.onBytes(readable.readableLength);
    watch.onEnd(failure);
  });

  function destroy(error?: Error): void {
    if (readable.destroyed) return;
    ours = { reason: error };
    readable.destroy(error);
  }

  function explain(error: unknown): unknown {
    if (signal?.aborted) return signal.reason;
    if (ours) return ours.reason ?? bodyError('aborted', error);
    return bodyError(kindOf(error, 'body'), error);
  }

  const body: Body = {
    destroy,
    [Symbol.asyncIterator]() {
      const inner = readable[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
      return {
        async next() {
          try {
            const result = await inner.next();
            if (result.done !== true) watch.onBytes(result.value.length);
            return result;
          } catch (error) {
            throw explain(error);
          }
        },
        // Not the inner iterator's, which would first wait for the chunk somebody may be waiting for.
        async return() {
          destroy();
          return { value: undefined, done: true };
        },
      };
    },
  };

  function discard(): void {
    if (readable.destroyed || readable.readableEnded) return;
    ours = { reason: undefined };
    readable.dump({ limit: dumpBytes, signal: AbortSignal.timeout(dumpMs) }).catch(() => undefined);
    // They came over the wire, too.
    readable.on('data', (chunk: Buffer) => watch.onBytes(chunk.length));
  }

  return { body, discard };
}

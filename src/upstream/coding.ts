/** Content codings of upstream's answers: undone while the bytes stream in, with a limit on what may come out. */
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib';
import { Problem } from '../core/problem.ts';

const chunkSizeBytes = 64 * 1024;

// RFC 9659: a window of 8 MiB is what a decoder of this content coding has to offer; more is memory an upstream could make us spend.
const zstdWindowLog = 23;

// No server applies more than two; a long list is an attempt to multiply one bomb by another.
const maxCodings = 4;

// Documents shrink to a fiftieth at best. Below the first figure a high ratio costs nothing and may be honest (a file full of zeros).
const ratioFreeBytes = 16 * 1024 * 1024;
const maxRatio = 250;

type Coding = 'gzip' | 'deflate' | 'br' | 'zstd';

const names: ReadonlyMap<string, Coding> = new Map([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
  ['zstd', 'zstd'],
]);

export interface DecodeLimits {
  /** Of the decoded body; one byte more is an error. */
  readonly maxBytes: number;
}

/**
 * The body without its codings. Errors of `body` pass through as they are; everything wrong with the coded bytes (cut
 * short, trailing bytes, unknown coding, too long, blown up) is `upstream_invalid`. An error, like leaving the loop,
 * also leaves `body`.
 */
export async function* decodeBody(
  body: AsyncIterable<Buffer>,
  contentEncoding: string | undefined,
  limits: DecodeLimits,
): AsyncGenerator<Buffer> {
  let codings: Coding[];
  try {
    codings = codingsOf(contentEncoding);
  } catch (error) {
    leave(body[Symbol.asyncIterator]());
    throw error;
  }
  let decoded = body;
  // Listed in the order they were applied, so the last one comes off first.
  for (const coding of codings.reverse()) decoded = undo(coding, decoded);

  let size = 0;
  for await (const chunk of decoded) {
    size += chunk.length;
    if (size > limits.maxBytes) throw invalid(`is longer than the limit of ${limits.maxBytes} bytes`);
    yield chunk;
  }
}

/** In the order they were applied; `identity` says nothing and is left out. */
function codingsOf(contentEncoding: string | undefined): Coding[] {
  const found: Coding[] = [];
  for (const part of (contentEncoding ?? '').split(',')) {
    const name = part.trim().toLowerCase();
    if (name === '' || name === 'identity') continue;
    const coding = names.get(name);
    if (!coding)
      throw invalid(`is in a content coding that Larder does not know (${JSON.stringify(name.slice(0, 32))})`);
    if (found.push(coding) > maxCodings) throw invalid(`has more than ${maxCodings} content codings`);
  }
  return found;
}

async function* undo(coding: Coding, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const source = body[Symbol.asyncIterator]();
  const head: Buffer[] = [];
  let taken = 0;
  let made = 0;
  let ended = false;
  let broken: { readonly error: unknown } | undefined;

  async function take(): Promise<Buffer | undefined> {
    try {
      const next = await source.next();
      if (next.done !== true) {
        taken += next.value.length;
        return next.value;
      }
    } catch (error) {
      // Remembered, because the decoder would report the cut as damaged bytes.
      broken = { error };
      ended = true;
      throw error;
    }
    ended = true;
    return undefined;
  }

  async function* coded(): AsyncGenerator<Buffer> {
    yield* head;
    for (let chunk = await take(); chunk; chunk = await take()) yield chunk;
  }

  try {
    if (coding === 'deflate') {
      // Two bytes tell the two things apart that servers call deflate.
      while (taken < 2) {
        const chunk = await take();
        if (!chunk) break;
        head.push(chunk);
      }
    }
    const decoder = decoderOf(coding, head);
    // The error also reaches the loop below.
    const fed = pipeline(coded(), decoder).catch(() => undefined);
    for await (const chunk of decoder as AsyncIterable<Buffer>) {
      made += chunk.length;
      if (made > ratioFreeBytes && made > taken * maxRatio) {
        throw invalid(`grows to more than ${maxRatio} times its size when decoded`);
      }
      yield chunk;
    }
    await fed;
  } catch (error) {
    if (broken) throw broken.error;
    if (error instanceof Problem) throw error;
    throw invalid(`does not decode as ${coding}`, error);
  } finally {
    if (!ended) leave(source);
  }
}

/** Not awaited: a body that waits for its next chunk would hold up whoever leaves. */
function leave(source: AsyncIterator<Buffer>): void {
  void Promise.resolve(source.return?.()).catch(() => undefined);
}

function decoderOf(coding: Coding, head: readonly Buffer[]): Transform {
  const chunkSize = chunkSizeBytes;
  switch (coding) {
    case 'gzip':
      // Several members in a row are one body; the decoder itself refuses anything else after the end.
      return createGunzip({ chunkSize });
    case 'deflate':
      return isZlib(Buffer.concat(head))
        ? createInflate({ chunkSize, rejectGarbageAfterEnd: true })
        : createInflateRaw({ chunkSize, rejectGarbageAfterEnd: true });
    case 'br':
      return createBrotliDecompress({ chunkSize, rejectGarbageAfterEnd: true });
    case 'zstd':
      return createZstdDecompress({
        chunkSize,
        rejectGarbageAfterEnd: true,
        params: { [constants.ZSTD_d_windowLogMax]: zstdWindowLog },
      });
  }
}

function isZlib(head: Buffer): boolean {
  if (head.length < 2) return true;
  const first = head.readUInt16BE(0);
  return ((first >> 8) & 0x0f) === 8 && first % 31 === 0;
}

function invalid(what: string, cause?: unknown): Problem {
  return new Problem('upstream_invalid', `The answer from upstream ${what}; nothing of it was kept.`, { cause });
}

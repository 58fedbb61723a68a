/** Bytes that follow from a name alone: whoever sees a piece of them at an offset can tell whether it is right, without keeping any. */
import { createHash } from 'node:crypto';
import { randomFrom } from '../../test/support/bytes.ts';

/** Bytes that can be read in any part, and compared with what arrived. */
export interface Content {
  readonly size: number;
  read(from: number, to: number): Iterable<Buffer>;
  /** Whether this piece is what is there at this offset. */
  matches(at: number, piece: Buffer): boolean;
}

export type Algorithm = 'md5' | 'sha1' | 'sha256' | 'sha512';

/** Of one seed: all contents are cut out of it, each from another place. */
const poolBytes = 1 << 20;
/** Each block begins with the name's digest and its own number, so that one at the wrong place, or of another file, is noticed. */
const blockBytes = 4096;
const markBytes = 16;
const pieceBytes = 64 * 1024;

const pool = Buffer.allocUnsafe(poolBytes + pieceBytes + blockBytes);
const poolRandom = randomFrom(7);
for (let at = 0; at < pool.length; at += 4) pool.writeUInt32LE(Math.floor(poolRandom() * 2 ** 32), at);
// It goes round: a piece that begins near its end goes on at its beginning.
pool.copy(pool, poolBytes, 0, pieceBytes + blockBytes);

/** A number below `below` that belongs to the name. */
export function numberOf(name: string, below: number): number {
  return createHash('sha256').update(name).digest().readUInt32LE(8) % below;
}

/** That do not compress. */
export function made(name: string, size: number): Content {
  const mark = createHash('sha256').update(name).digest();
  const start = mark.readUInt32LE(0) % poolBytes;

  /** At most `pieceBytes`, from the beginning of a block. */
  function blocks(from: number, to: number): Buffer {
    const length = to - from;
    const at = (start + from) % poolBytes;
    const out = Buffer.allocUnsafe(length);
    pool.copy(out, 0, at, at + length);
    for (let offset = 0; offset < length; offset += blockBytes) {
      // Also where only some bytes of it are wanted: what is there must not depend on who asks.
      mark.writeUInt32LE((from + offset) / blockBytes, markBytes - 4);
      mark.copy(out, offset, 0, Math.min(markBytes, length - offset));
    }
    return out;
  }

  function* read(from: number, to: number): Generator<Buffer> {
    for (let at = from; at < to; ) {
      const first = at - (at % blockBytes);
      const end = Math.min(to, first + pieceBytes);
      yield blocks(first, end).subarray(at - first);
      at = end;
    }
  }

  return {
    size,
    read,
    matches(at, piece) {
      if (at + piece.length > size) return false;
      let seen = 0;
      for (const part of read(at, at + piece.length)) {
        if (part.compare(piece, seen, seen + part.length) !== 0) return false;
        seen += part.length;
      }
      return true;
    },
  };
}

export function held(bytes: Buffer): Content {
  return {
    size: bytes.length,
    *read(from, to) {
      for (let at = from; at < to; at += pieceBytes) yield bytes.subarray(at, Math.min(to, at + pieceBytes));
    },
    matches: (at, piece) =>
      at + piece.length <= bytes.length && bytes.compare(piece, 0, piece.length, at, at + piece.length) === 0,
  };
}

export function hashOf(
  content: Content | Buffer | string,
  algorithm: Algorithm,
  encoding: 'hex' | 'base64' = 'hex',
): string {
  const hash = createHash(algorithm);
  if (typeof content === 'string' || Buffer.isBuffer(content)) hash.update(content);
  else for (const piece of content.read(0, content.size)) hash.update(piece);
  return hash.digest(encoding);
}

export function allOf(content: Content): Buffer {
  return Buffer.concat([...content.read(0, content.size)]);
}

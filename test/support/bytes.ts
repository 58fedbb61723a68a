/** Bodies for tests: small ones held in memory, and big ones that are computed while they are sent. */
import { createHash } from 'node:crypto';
import { constants, crc32, createDeflateRaw } from 'node:zlib';

/** Bytes that can be read in any part, in pieces, without being held whole. */
export interface Bytes {
  readonly size: number;
  read(from: number, to: number): Iterable<Buffer>;
}

const blockSize = 64 * 1024;

export function isBytes(value: unknown): value is Bytes {
  return typeof value === 'object' && value !== null && 'read' in value && 'size' in value;
}

export function fromBuffer(buffer: Buffer): Bytes {
  return {
    size: buffer.length,
    *read(from, to) {
      for (let at = from; at < to; at += blockSize) yield buffer.subarray(at, Math.min(at + blockSize, to));
    },
  };
}

/** Numbers from a seed (mulberry32): the same ones in every run. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `size` bytes that do not compress; every 64 KiB block differs from every other, so that a block at the wrong place is noticed. */
export function synthetic(size: number, seed = 1): Bytes {
  const random = randomFrom(seed);
  const pattern = Buffer.allocUnsafe(blockSize);
  for (let at = 0; at < blockSize; at += 4) pattern.writeUInt32LE(Math.floor(random() * 2 ** 32), at);
  return {
    size,
    *read(from, to) {
      for (let at = from; at < to; ) {
        const index = Math.floor(at / blockSize);
        const block = Buffer.from(pattern);
        block.writeUInt32LE(index, 0);
        block.writeUInt32LE(index ^ seed, blockSize / 2);
        const start = at - index * blockSize;
        const end = Math.min(blockSize, to - index * blockSize);
        yield block.subarray(start, end);
        at += end - start;
      }
    },
  };
}

export function collect(bytes: Bytes, from = 0, to = bytes.size): Buffer {
  return Buffer.concat([...bytes.read(from, to)]);
}

export function hashOf(bytes: Bytes | Buffer, algorithm: string, encoding: 'hex' | 'base64' = 'hex'): string {
  const hash = createHash(algorithm);
  for (const piece of Buffer.isBuffer(bytes) ? [bytes] : bytes.read(0, bytes.size)) hash.update(piece);
  return hash.digest(encoding);
}

export function sha256Of(bytes: Bytes | Buffer): string {
  return hashOf(bytes, 'sha256');
}

/** A small gzip file that is right in every respect and unpacks to `size` blanks: legal white space for a JSON parser. */
export async function gzipBomb(size: number): Promise<Buffer> {
  const piece = Buffer.alloc(1024 * 1024, ' ');
  const deflate = createDeflateRaw({ level: 9 });
  const parts: Buffer[] = [];
  deflate.on('data', (chunk: Buffer) => parts.push(chunk));
  const packed = await new Promise<Buffer>((resolve) => {
    deflate.write(piece);
    // After a full flush the coder remembers nothing, so its output can be repeated.
    deflate.flush(constants.Z_FULL_FLUSH, () => resolve(Buffer.concat(parts)));
  });
  deflate.destroy();
  const repeats = Math.ceil(size / piece.length);
  let check = 0;
  for (let i = 0; i < repeats; i++) check = crc32(piece, check);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(check >>> 0, 0);
  trailer.writeUInt32LE((repeats * piece.length) % 2 ** 32, 4);
  const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
  const lastBlock = Buffer.from([3, 0]);
  return Buffer.concat([header, ...Array.from({ length: repeats }, () => packed), lastBlock, trailer]);
}

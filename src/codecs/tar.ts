/** Tar archives as they stream in: one file after the other, with an end to everything that an archive can make long. */
import { type Extract, extract } from 'tar-stream';

export interface TarLimits {
  /** Of every kind, folders included. Default 100 000. */
  readonly entries?: number;
  /** Of the archive, unpacked: what is skipped counts too. Default 16 GiB. */
  readonly bytes?: number;
}

/** A file in the archive. */
export interface TarEntry {
  /** As the archive has it, up to 4096 bytes; not to be used as a path. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Whatever of it was not read when the next entry is asked for is skipped. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

const defaults = { entries: 100_000, bytes: 16 * 1024 ** 3 } as const satisfies TarLimits;
const maxNameBytes = 4096;

/** Resolves when more may be written, or nothing any more. */
function isReady(unpack: Extract): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      unpack.off('drain', done);
      unpack.off('close', done);
      resolve();
    };
    unpack.on('drain', done);
    unpack.on('close', done);
  });
}

async function feed(archive: AsyncIterable<Uint8Array>, unpack: Extract, maxBytes: number): Promise<void> {
  let size = 0;
  try {
    for await (const chunk of archive) {
      size += chunk.byteLength;
      if (size > maxBytes) throw new Error(`the archive is longer than ${maxBytes} bytes`);
      if (unpack.destroying) return;
      if (!unpack.write(chunk)) await isReady(unpack);
    }
    unpack.end(null);
  } catch (error) {
    unpack.destroy(error instanceof Error ? error : new Error('the archive broke off', { cause: error }));
  }
}

/** Leaving a loop over it early does not end the archive. */
async function* piecesOf(inner: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (let next = await inner.next(); next.done !== true; next = await inner.next()) yield next.value;
}

/**
 * The regular files of an archive that is not packed (`node:zlib` unpacks), in its order; folders, links and devices are passed
 * over. A name may come twice. Throws an Error on what is no tar archive, on one that ends too early, and past the limits.
 */
export async function* tarEntries(
  archive: AsyncIterable<Uint8Array>,
  limits: TarLimits = {},
): AsyncGenerator<TarEntry> {
  const { entries, bytes } = { ...defaults, ...limits };
  const unpack = extract();
  const fed = feed(archive, unpack, bytes);
  let count = 0;
  try {
    for await (const entry of unpack) {
      if (++count > entries) throw new Error(`the archive has more than ${entries} entries`);
      const { name, size, type } = entry.header;
      if (Buffer.byteLength(name) > maxNameBytes) throw new Error('a name in the archive is too long');
      const rest = piecesOf((entry as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]());
      if (type === 'file' || type === 'contiguous-file') yield { name, size, bytes: piecesOf(rest) };
      for await (const _ of rest);
    }
    await fed;
  } finally {
    unpack.destroy(null);
  }
}

/** All bytes in one piece. Throws an Error past the limit, without having kept more. */
export async function readAll(bytes: AsyncIterable<Uint8Array>, limit: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of bytes) {
    size += piece.byteLength;
    if (size > limit) throw new Error(`it is longer than ${limit} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces, size);
}

/** Writes a bundle from front to back: nothing of it is held in memory but one line of the manifest for each member. */
import { createHash, type Hash } from 'node:crypto';
import { constants, createZstdCompress } from 'node:zlib';
import { type BundleHeader, blobPrefix, names } from './format.ts';
import { type SecretKey, signatureFile } from './keys.ts';
import type { Output } from './parts.ts';
import { tarEnd, tarHeader, tarPadding } from './tar.ts';

/** What zstd and `tar --zstd` use when nobody says otherwise. */
export const compressionLevel = 3;
const pieceBytes = 1024 * 1024;

export interface Writer {
  /** A member whose bytes are at hand; `hex` is their sha256, if it is known. */
  add(name: string, bytes: Uint8Array, hex?: string): Promise<void>;
  /** `bytes` must come to exactly `size`; a piece is let go when the one after the next is asked for. Resolves to their sha256 in hexadecimal digits. */
  stream(name: string, size: number, bytes: AsyncIterable<Uint8Array>): Promise<string>;
  /** Manifest, signature and end. Resolves to the files that were written. */
  finish(secret: SecretKey | undefined): Promise<readonly string[]>;
  /** Removes what was written. */
  abandon(): Promise<void>;
}

/** The header is the first thing in it. */
export async function openWriter(output: Output, header: BundleHeader): Promise<Writer> {
  const zstd = createZstdCompress({
    chunkSize: pieceBytes,
    params: { [constants.ZSTD_c_compressionLevel]: compressionLevel, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const manifest: string[] = [];
  let members = 0;
  let bytes = 0;
  const drained = (async () => {
    for await (const chunk of zstd) await output.write(chunk as Buffer);
  })();
  let failure: unknown;
  drained.catch((error: unknown) => {
    failure = error;
    zstd.destroy();
  });

  let pending: Promise<void> = Promise.resolve();
  // A write that is under way when it ends is never called back.
  let release = (): void => {};
  zstd.once('close', () => release());

  /** Resolves when the piece before was packed: while this one is, the next one can be read and hashed. */
  async function push(chunk: Uint8Array): Promise<void> {
    await pending;
    if (failure !== undefined) throw failure;
    if (chunk.length === 0) return;
    pending = new Promise((resolve) => {
      release = resolve;
      zstd.write(chunk, () => resolve());
    });
  }

  async function stream(name: string, size: number, pieces: AsyncIterable<Uint8Array>): Promise<string> {
    await push(tarHeader(name, size));
    const hash: Hash = createHash('sha256');
    for await (const piece of pieces) {
      hash.update(piece);
      await push(piece);
    }
    await push(tarPadding(size));
    const hex = hash.digest('hex');
    note(hex, name, size);
    return hex;
  }

  async function put(name: string, content: Uint8Array): Promise<void> {
    await push(tarHeader(name, content.length));
    await push(content);
    await push(tarPadding(content.length));
  }

  function note(hex: string, name: string, size: number): void {
    manifest.push(manifestLine(hex, name));
    members += 1;
    bytes += size;
  }

  const writer: Writer = {
    stream,
    async add(name, content, hex = createHash('sha256').update(content).digest('hex')) {
      await put(name, content);
      note(hex, name, content.length);
    },
    async finish(secret) {
      const text = Buffer.from(manifest.join(''));
      await put(names.manifest, text);
      if (secret) {
        const comment = `larder bundle ${header.id} of ${header.createdAt}: ${members} members, ${bytes} bytes`;
        await put(names.signature, Buffer.from(signatureFile(secret, text, comment)));
      }
      await push(tarEnd);
      // Ended while the last piece is under way, zlib adds an empty frame.
      await pending;
      if (failure !== undefined) throw failure;
      zstd.end();
      await drained;
      return output.finish();
    },
    async abandon() {
      zstd.destroy();
      await drained.catch(() => {});
      await output.abandon();
    },
  };
  await writer.add(names.header, Buffer.from(`${JSON.stringify(header, undefined, 2)}\n`));
  return writer;
}

/** As `sha256sum -c` reads it. */
export function manifestLine(hex: string, name: string): string {
  return `${hex}  ${name}\n`;
}

export function blobName(hex: string): string {
  return `${blobPrefix}${hex}`;
}

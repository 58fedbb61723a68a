/** Writes a minimal `.tgz`, always the same bytes for the same files. */
import { gzipSync } from 'node:zlib';

export type Files = Readonly<Record<string, string | Buffer>>;

export interface TarballOptions {
  readonly executable?: readonly string[];
  /** 0 stores the bytes as they are: quick for large contents. */
  readonly level?: number;
}

const recordSize = 512;
const fixedTimeSeconds = 499_162_500;

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, '0')}\0`;
}

/** What stands before a file in a tar archive; the file's bytes follow, filled up with zeros to a multiple of 512. */
export function tarHeader(name: string, size: number, mode = 0o644): Buffer {
  if (Buffer.byteLength(name) > 100) throw new Error(`The name is too long for this tar writer: ${name}`);
  const block = Buffer.alloc(recordSize);
  block.write(name, 0);
  block.write(octal(mode, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(fixedTimeSeconds, 12), 136);
  block.write('        ', 148);
  block.write('0', 156);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** Not compressed. */
export function tarArchive(files: Files, executable: readonly string[] = []): Buffer {
  const parts: Buffer[] = [];
  for (const [name, content] of Object.entries(files)) {
    const bytes = Buffer.from(content);
    parts.push(tarHeader(name, bytes.length, executable.includes(name) ? 0o755 : 0o644), bytes);
    const rest = bytes.length % recordSize;
    if (rest > 0) parts.push(Buffer.alloc(recordSize - rest));
  }
  parts.push(Buffer.alloc(2 * recordSize));
  return Buffer.concat(parts);
}

/** Files as npm packs them: everything below `package/`. */
export function tarball(files: Files, options: TarballOptions = {}): Buffer {
  const inPackage = (name: string): string => `package/${name}`;
  const packed = Object.fromEntries(Object.entries(files).map(([name, content]) => [inPackage(name), content]));
  return gzipSync(tarArchive(packed, options.executable?.map(inPackage)), { level: options.level ?? 6 });
}

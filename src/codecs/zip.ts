/** Zip archives that stand for one file: an entry read with limits, and an archive written so that the same entry is the same bytes. */
import { crc32 } from 'node:zlib';
import { unzipSync, zipSync } from 'fflate';

export interface ZipLimits {
  /** Of the entry, unpacked. */
  readonly maxSizeBytes: number;
  /** Unpacked to packed bytes. Deflate itself can do about 1030. */
  readonly maxRatio: number;
}

/** Entries beside the one that is wanted are looked at by name only, and still there is an end to it. */
const maxEntries = 1000;
/** Without a zone, because the library writes local time: the date that Gradle gives to archives that are to be reproducible. */
const writtenAt = '1980-02-01T00:00:00';

export function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
}

/** The bytes of the entry of that name; `undefined`: the archive has none. Throws on a damaged archive and past the limits. */
export function readZipEntry(archive: Uint8Array, name: string, limits: ZipLimits): Uint8Array | undefined {
  let entries = 0;
  let packedSize = 0;
  let size: number | undefined;
  const { [name]: bytes } = unzipSync(archive, {
    filter(entry) {
      entries += 1;
      if (entries > maxEntries) throw new Error(`the archive has more than ${maxEntries} entries`);
      if (entry.name !== name) return false;
      if (size !== undefined) throw new Error(`the archive has ${name} twice`);
      packedSize = entry.size;
      size = entry.originalSize;
      if (size > limits.maxSizeBytes) throw new Error(`${name} is longer than ${limits.maxSizeBytes} bytes`);
      if (size > packedSize * limits.maxRatio) throw new Error(`${name} is packed more than ${limits.maxRatio}:1`);
      return true;
    },
  });
  if (bytes === undefined || size === undefined) return undefined;
  if (bytes.byteLength !== size || !hasChecksum(archive, crc32(bytes), packedSize, size)) {
    throw new Error(`${name} is damaged in the archive`);
  }
  return bytes;
}

/** The library unpacks and does not compare. The directory has the three of them side by side (APPNOTE.TXT 4.3.12). */
function hasChecksum(archive: Uint8Array, checksum: number, packedSize: number, size: number): boolean {
  const row = Buffer.alloc(12);
  row.writeUInt32LE(checksum, 0);
  row.writeUInt32LE(packedSize, 4);
  row.writeUInt32LE(size, 8);
  return Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength).lastIndexOf(row) >= 0;
}

/** An archive with this one entry: the same name and bytes make the same archive, everywhere and always. */
export function writeZipEntry(name: string, bytes: Uint8Array): Uint8Array {
  return zipSync({ [name]: bytes }, { level: 6, mtime: writtenAt });
}

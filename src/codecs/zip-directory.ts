/** One entry of a Zip archive that is read piece by piece: its directory stands at the end, and only what is wanted is unpacked. */
import { crc32, inflateRawSync } from 'node:zlib';

/** Bytes at hand: at most `length` of them, fewer only at the end. */
export interface RandomAccess {
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array>;
}

export interface EntryLimits {
  /** Of the entry, unpacked. */
  readonly maxSizeBytes: number;
}

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly flags: number;
  readonly checksum: number;
  readonly packedSize: number;
  readonly size: number;
  readonly offset: number;
}

interface Directory {
  readonly offset: number;
  readonly size: number;
  readonly entries: number;
}

/** End of central directory: the fixed part, and the longest comment behind it (APPNOTE.TXT 4.3.16). */
const endSize = 22;
const maxCommentSize = 0xffff;
const locatorSize = 20;
/** Of a hundred and fifty thousand entries. */
const maxDirectorySize = 32 * 1024 * 1024;

const damaged = (why: string): never => {
  throw new Error(`the archive is damaged: ${why}`);
};

async function readAt(file: RandomAccess, offset: number, length: number): Promise<Buffer> {
  if (offset < 0 || offset + length > file.size) damaged('something in it lies outside');
  const bytes = await file.read(offset, length);
  if (bytes.byteLength !== length) damaged('it ends early');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function whole(value: bigint): number {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : damaged('a number in it is too large');
}

async function findDirectory(file: RandomAccess): Promise<Directory> {
  const tailSize = Math.min(file.size, endSize + maxCommentSize + locatorSize);
  const tail = await readAt(file, file.size - tailSize, tailSize);
  for (let at = tailSize - endSize; at >= 0; at--) {
    // The comment reaches exactly to the end, so bytes in it that look like a beginning are none.
    if (tail.readUInt32LE(at) !== 0x06054b50 || at + endSize + tail.readUInt16LE(at + 20) !== tailSize) continue;
    const plain = {
      entries: tail.readUInt16LE(at + 10),
      size: tail.readUInt32LE(at + 12),
      offset: tail.readUInt32LE(at + 16),
    };
    const isLong = plain.entries === 0xffff || plain.size === 0xffffffff || plain.offset === 0xffffffff;
    if (!isLong || at < locatorSize || tail.readUInt32LE(at - locatorSize) !== 0x07064b50) return plain;
    const record = await readAt(file, whole(tail.readBigUInt64LE(at - locatorSize + 8)), 56);
    if (record.readUInt32LE(0) !== 0x06064b50) damaged('its long directory is not where it is said to be');
    return {
      entries: whole(record.readBigUInt64LE(32)),
      size: whole(record.readBigUInt64LE(40)),
      offset: whole(record.readBigUInt64LE(48)),
    };
  }
  return damaged('it has no directory');
}

/** Sizes and offsets that do not fit into 32 bits stand in the extra field, only those and in this order (4.5.3). */
function withLong(extra: Buffer, entry: Entry): Entry {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue;
    const field = extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2));
    let next = 0;
    const long = (value: number): number => {
      if (value !== 0xffffffff) return value;
      if (next + 8 > field.length) damaged('a size in it is missing');
      next += 8;
      return whole(field.readBigUInt64LE(next - 8));
    };
    const size = long(entry.size);
    const packedSize = long(entry.packedSize);
    return { ...entry, size, packedSize, offset: long(entry.offset) };
  }
  return entry;
}

function* entriesOf(directory: Buffer, count: number): Iterable<Entry> {
  let at = 0;
  for (let nth = 0; nth < count; nth++) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== 0x02014b50) damaged('its directory is cut');
    const nameEnd = at + 46 + directory.readUInt16LE(at + 28);
    const extraEnd = nameEnd + directory.readUInt16LE(at + 30);
    const end = extraEnd + directory.readUInt16LE(at + 32);
    if (end > directory.length) damaged('its directory is cut');
    yield withLong(directory.subarray(nameEnd, extraEnd), {
      flags: directory.readUInt16LE(at + 8),
      method: directory.readUInt16LE(at + 10),
      checksum: directory.readUInt32LE(at + 16),
      packedSize: directory.readUInt32LE(at + 20),
      size: directory.readUInt32LE(at + 24),
      offset: directory.readUInt32LE(at + 42),
      name: directory.toString('utf8', at + 46, nameEnd),
    });
    at = end;
  }
}

async function unpack(file: RandomAccess, entry: Entry, { maxSizeBytes }: EntryLimits): Promise<Buffer> {
  const { name, method, flags, packedSize, size } = entry;
  if ((flags & 1) !== 0) throw new Error(`${name} is encrypted`);
  if (size > maxSizeBytes || packedSize > maxSizeBytes + 1024) {
    throw new Error(`${name} is longer than ${maxSizeBytes} bytes`);
  }
  const header = await readAt(file, entry.offset, 30);
  if (header.readUInt32LE(0) !== 0x04034b50) damaged(`${name} is not where it is said to be`);
  const from = entry.offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  const packed = await readAt(file, from, packedSize);
  let bytes = packed;
  if (method === 8) bytes = inflateRawSync(packed, { maxOutputLength: Math.max(1, size) });
  else if (method !== 0) throw new Error(`${name} is packed in a way that is not read here (${method})`);
  if (bytes.byteLength !== size || crc32(bytes) !== entry.checksum) damaged(`${name} is not what its checksum says`);
  return bytes;
}

/**
 * The one entry whose name is wanted; `undefined`: the archive has none. Throws on bytes that are no Zip archive, a
 * damaged one, several such entries, and past the limits.
 */
export async function readEntry(
  file: RandomAccess,
  isWanted: (name: string) => boolean,
  limits: EntryLimits,
): Promise<Uint8Array | undefined> {
  if (file.size < endSize) damaged('it is too short');
  const { offset, size, entries } = await findDirectory(file);
  if (size > maxDirectorySize) throw new Error(`the directory of the archive is longer than ${maxDirectorySize} bytes`);
  let found: Entry | undefined;
  for (const entry of entriesOf(await readAt(file, offset, size), entries)) {
    if (!isWanted(entry.name)) continue;
    if (found) throw new Error(`the archive has both ${found.name} and ${entry.name}`);
    found = entry;
  }
  return found && unpack(file, found, limits);
}

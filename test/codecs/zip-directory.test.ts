import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { type RandomAccess, readEntry } from '../../src/codecs/zip-directory.ts';

interface Watched extends RandomAccess {
  /** Bytes that were read. */
  taken(): number;
}

function fileOf(bytes: Uint8Array): Watched {
  let taken = 0;
  return {
    size: bytes.length,
    taken: () => taken,
    read: async (offset, length) => {
      taken += length;
      return bytes.subarray(offset, offset + length);
    },
  };
}

const limits = { maxSizeBytes: 10_000 };
const text = Buffer.from('Metadata-Version: 2.1\nName: acme\n'.repeat(20));
const files = { 'acme/__init__.py': Buffer.from('x = 1\n'), 'acme-1.dist-info/METADATA': text };
const archive = Buffer.from(zipSync(files));
const isMetadata = (name: string): boolean => name.endsWith('/METADATA');
const read = async (bytes: Uint8Array): Promise<string | undefined> => {
  const entry = await readEntry(fileOf(bytes), isMetadata, limits);
  return entry && Buffer.from(entry).toString();
};

/** The directory's last record, which every look begins at. */
const endOf = (bytes: Buffer): number => bytes.lastIndexOf(Buffer.from('504b0506', 'hex'));

function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(archive);
  change(bytes);
  return bytes;
}

/** The same archive as it is written when its numbers do not fit into 32 bits (APPNOTE.TXT 4.3.14, 4.3.15). */
function long(bytes: Buffer): Buffer {
  const end = endOf(bytes);
  const [entries, size, offset] = [
    bytes.readUInt16LE(end + 10),
    bytes.readUInt32LE(end + 12),
    bytes.readUInt32LE(end + 16),
  ];
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeBigUInt64LE(BigInt(entries), 24);
  record.writeBigUInt64LE(BigInt(entries), 32);
  record.writeBigUInt64LE(BigInt(size), 40);
  record.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(end), 8);
  locator.writeUInt32LE(1, 16);
  const last = Buffer.from(bytes.subarray(end));
  last.fill(0xff, 8, 20);
  return Buffer.concat([bytes.subarray(0, end), record, locator, last]);
}

describe('an entry', () => {
  it.each([
    ['packed', archive],
    ['stored', Buffer.from(zipSync(files, { level: 0 }))],
    ['of an archive with a comment', commented('a comment')],
    ['of an archive whose comment looks like an end', commented('PK\u0005\u0006'.padEnd(40, '\0'))],
    ['of an archive of the long kind', long(archive)],
  ])('%s is read', async (_what, bytes) => expect(await read(bytes)).toBe(text.toString()));

  it('that is not there is undefined', async () => {
    expect(await read(zipSync({ a: Buffer.from('a') }))).toBeUndefined();
    expect(await read(zipSync({}))).toBeUndefined();
  });

  it('is read without the rest of a large archive', async () => {
    const large = Buffer.concat(Array.from({ length: 40_000 }, (_, nth) => Buffer.from(`${Math.sin(nth)}`)));
    const file = fileOf(zipSync({ large, ...files }, { level: 0 }));
    expect(Buffer.from((await readEntry(file, isMetadata, limits)) ?? []).toString()).toBe(text.toString());
    expect(file.size).toBeGreaterThan(500_000);
    expect(file.taken()).toBeLessThan(70_000);
  });
});

function commented(comment: string): Buffer {
  const bytes = Buffer.from(archive);
  bytes.writeUInt16LE(comment.length, endOf(bytes) + 20);
  return Buffer.concat([bytes, Buffer.from(comment, 'latin1')]);
}

describe('an archive is refused', () => {
  const nameAt = archive.indexOf('acme-1.dist-info/METADATA');
  const row = archive.lastIndexOf('acme-1.dist-info/METADATA') - 46;

  it.each<[string, Uint8Array]>([
    ['that is none', Buffer.from('<html>'.repeat(20))],
    ['that is empty', Buffer.alloc(0)],
    ['that was cut', archive.subarray(0, -1)],
    ['whose directory was cut', Buffer.concat([archive.subarray(0, -60), archive.subarray(endOf(archive))])],
    ['whose directory lies outside', changed((bytes) => bytes.writeUInt32LE(archive.length, endOf(bytes) + 16))],
    ['with more entries than its directory has', changed((bytes) => bytes.writeUInt16LE(9, endOf(bytes) + 10))],
    ['with an entry that is not where it is said to be', changed((bytes) => bytes.writeUInt32LE(3, row + 42))],
    ['with an entry that reaches outside', changed((bytes) => bytes.writeUInt32LE(9000, row + 20))],
    ['with a changed entry', changed((bytes) => bytes.writeUInt8(bytes.readUInt8(nameAt + 40) ^ 1, nameAt + 40))],
    ['with another checksum', changed((bytes) => bytes.writeUInt32LE(1, row + 16))],
    ['with an entry that is longer than it says', changed((bytes) => bytes.writeUInt32LE(5, row + 24))],
    ['with an entry that is shorter than it says', changed((bytes) => bytes.writeUInt32LE(5000, row + 24))],
    ['with an encrypted entry', changed((bytes) => bytes.writeUInt16LE(1, row + 8))],
    ['with an entry packed in an unknown way', changed((bytes) => bytes.writeUInt16LE(12, row + 10))],
    ['with two such entries', zipSync({ 'a.dist-info/METADATA': text, 'b.dist-info/METADATA': text })],
    ['with an entry above the limit', zipSync({ 'a/METADATA': Buffer.alloc(10_001) })],
  ])('%s', async (_what, bytes) => {
    await expect(read(bytes)).rejects.toThrow(Error);
  });
});

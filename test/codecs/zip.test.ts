import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { isZip, readZipEntry, writeZipEntry } from '../../src/codecs/zip.ts';

const limits = { maxSizeBytes: 1_000_000, maxRatio: 100 };
const text = Buffer.from('<repository>é</repository>\n');

function archiveOf(entries: Readonly<Record<string, Uint8Array>>, level: 0 | 6 = 6): Buffer {
  return Buffer.from(zipSync(entries, { level }));
}

/** The archive with its first occurrence of these bytes replaced by others of the same length. */
function replaced(archive: Buffer, from: Buffer, to: Buffer, isLast = false): Buffer {
  const changed = Buffer.from(archive);
  to.copy(changed, isLast ? changed.lastIndexOf(from) : changed.indexOf(from));
  return changed;
}

function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

describe('an entry', () => {
  it.each([
    ['packed', archiveOf({ 'content.xml': text })],
    ['stored', archiveOf({ 'content.xml': text }, 0)],
    ['among others', archiveOf({ 'META-INF/MANIFEST.MF': Buffer.from('a'), 'content.xml': text, z: Buffer.from('z') })],
    ['in a part of a larger buffer', Buffer.concat([Buffer.from('x'), archiveOf({ 'content.xml': text })]).subarray(1)],
    ['written here', writeZipEntry('content.xml', text)],
  ])('%s is read', (_name, archive) => {
    expect(Buffer.from(readZipEntry(archive, 'content.xml', limits) ?? [])).toEqual(text);
  });

  it('of no bytes is read', () => {
    expect(readZipEntry(writeZipEntry('a', Buffer.alloc(0)), 'a', limits)).toHaveLength(0);
  });

  it.each(['artifacts.xml', 'Content.xml', 'toString', '__proto__'])('that is not there is none: %s', (name) => {
    expect(readZipEntry(archiveOf({ 'content.xml': text }), name, limits)).toBeUndefined();
  });
});

describe('an archive is refused', () => {
  const archive = archiveOf({ 'content.xml': text });
  const big = archiveOf({ 'content.xml': Buffer.alloc(500_000) });

  it.each<[string, Uint8Array, RegExp | undefined]>([
    ['of nothing', Buffer.alloc(0), undefined],
    ['that is a page', Buffer.from('<!doctype html>'), undefined],
    ['of zeroes', Buffer.alloc(1000), undefined],
    ['cut short', archive.subarray(0, -30), undefined],
    ['with nothing but its beginning', archive.subarray(0, 40), undefined],
    [
      'with a bit turned over',
      replaced(archiveOf({ 'content.xml': text }, 0), Buffer.from('repo'), Buffer.from('rePo')),
      /damaged/,
    ],
    [
      'that says it unpacks to less',
      replaced(archive, littleEndian(text.length), littleEndian(text.length - 3), true),
      /damaged|invalid/,
    ],
    [
      'that says it unpacks to more',
      replaced(archive, littleEndian(text.length), littleEndian(text.length + 3), true),
      /damaged/,
    ],
    ['packed in another way', replaced(archive, Buffer.from([8, 0]), Buffer.from([9, 0]), true), undefined],
    ['packed beyond reason', big, /100:1/],
    ['too long', archiveOf({ 'content.xml': Buffer.alloc(1_000_001, 'abcdefghij') }, 0), /longer than 1000000/],
    [
      'that says it is longer than memory',
      replaced(big, littleEndian(500_000), littleEndian(0xffffffff), true),
      /longer than 1000000/,
    ],
    [
      'with the entry twice',
      replaced(
        replaced(
          archiveOf({ 'content.xml': text, 'contend.xml': text }),
          Buffer.from('contend'),
          Buffer.from('content'),
        ),
        Buffer.from('contend'),
        Buffer.from('content'),
      ),
      /twice/,
    ],
    [
      'with entries without end',
      archiveOf(Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`x${i}`, Buffer.alloc(0)]))),
      /more than 1000 entries/,
    ],
  ])('%s', (_name, bytes, message) => {
    expect(() => readZipEntry(bytes, 'content.xml', limits)).toThrow(message ?? Error);
  });
});

describe('an archive that is written', () => {
  it('is the same for the same bytes, wherever and whenever', () => {
    const before = process.env.TZ;
    const written = ['UTC', 'Pacific/Kiritimati', 'America/Los_Angeles'].map((zone) => {
      process.env.TZ = zone;
      return Buffer.from(writeZipEntry('content.xml', text)).toString('hex');
    });
    process.env.TZ = before;
    if (before === undefined) delete process.env.TZ;
    expect(new Set(written).size).toBe(1);
    expect(writeZipEntry('content.xml', Buffer.from('other'))).not.toEqual(writeZipEntry('content.xml', text));
  });

  it('is known by its first bytes', () => {
    expect(isZip(writeZipEntry('a', text))).toBe(true);
    expect(isZip(text)).toBe(false);
    expect(isZip(Buffer.from('PK'))).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import { fileBytes } from '../../src/codecs/file-bytes.ts';
import { readAll, type TarLimits, tarEntries } from '../../src/codecs/tar.ts';
import { tarArchive, tarHeader } from '../support/tarball.ts';

async function* inPieces(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

async function namesIn(bytes: Uint8Array, limits?: TarLimits): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of tarEntries(inPieces(bytes), limits)) names.push(name);
  return names;
}

const big = Buffer.alloc(200_001, 'x');
const archive = tarArchive({ 'a.txt': 'first', 'b/c.txt': big, empty: '', 'd.txt': 'last' });

/** A header of another kind than a file. */
function header(name: string, size: number, kind: string): Buffer {
  const block = tarHeader(name, size);
  block.write('        ', 148);
  block.write(kind, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

const filled = (text: string): Buffer => Buffer.concat([Buffer.from(text), Buffer.alloc(512 - (text.length % 512))]);

describe('an archive', () => {
  it.each([1, 511, 4096, 1_000_000])('is read in pieces of %i bytes', async (size) => {
    const found: [string, number, string][] = [];
    for await (const { name, size: told, bytes } of tarEntries(inPieces(archive, size))) {
      found.push([name, told, Buffer.from(await readAll(bytes, 1e6)).toString()]);
    }
    expect(found).toEqual([
      ['a.txt', 5, 'first'],
      ['b/c.txt', big.length, big.toString()],
      ['empty', 0, ''],
      ['d.txt', 4, 'last'],
    ]);
  });

  it('skips what nobody reads, and the rest of what somebody began', async () => {
    expect(await namesIn(archive)).toEqual(['a.txt', 'b/c.txt', 'empty', 'd.txt']);
    const found: string[] = [];
    for await (const { name, bytes } of tarEntries(inPieces(archive))) {
      for await (const piece of bytes) {
        found.push(`${name} ${piece.byteLength > 0}`);
        break;
      }
    }
    expect(found).toEqual(['a.txt true', 'b/c.txt true', 'd.txt true']);
  });

  it('may be left early', async () => {
    let asked = 0;
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const piece of inPieces(archive, 512)) {
        asked++;
        yield piece;
      }
    }
    for await (const { name } of tarEntries(counted())) if (name === 'a.txt') break;
    expect(asked).toBeLessThan(100);
  });

  it('has long names, and what is no file is passed over', async () => {
    const long = 'n'.repeat(300);
    const odd = Buffer.concat([
      header('folder/', 0, '5'),
      header('link', 0, '2'),
      header('PaxHeaders', 310, 'x'),
      filled(`310 path=${long}\n`.padEnd(310, ' ')),
      tarHeader('short', 4),
      filled('text'),
      Buffer.alloc(1024),
    ]);
    expect(await namesIn(odd)).toEqual([long]);
  });

  it.each([
    ['text', Buffer.alloc(2000, 'no archive'), {}, /tar/i],
    ['cut off in a file', archive.subarray(0, 5000), {}, /end/],
    ['cut off in a header', archive.subarray(0, 700), {}, /end/],
    ['with too many entries', archive, { entries: 3 }, /more than 3 entries/],
    ['that is too long', archive, { bytes: 100_000 }, /longer than 100000 bytes/],
    [
      'with a name without end',
      Buffer.concat([header('x', 5000, 'L'), filled('n'.repeat(5000)), tarHeader('a', 0)]),
      {},
      /name/,
    ],
    [
      'with a header without end',
      Buffer.concat([header('x', 8 * 1024 ** 2 - 1, 'L'), Buffer.alloc(9e6, 'n')]),
      {},
      /header/i,
    ],
  ])('is none: %s', async (_what, bytes, limits, message) => {
    await expect(namesIn(bytes, limits)).rejects.toThrow(message);
  });

  it('that breaks off says why', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield archive.subarray(0, 10_000);
      throw new Error('the line went dead');
    }
    const reading = (async () => {
      for await (const { bytes } of tarEntries(broken())) for await (const _ of bytes);
    })();
    await expect(reading).rejects.toThrow('the line went dead');
  });

  it('is not kept past a limit', async () => {
    await expect(readAll(inPieces(big), 100_000)).rejects.toThrow('longer than 100000 bytes');
  });
});

describe('a file', () => {
  const file = (bytes: Uint8Array, size = bytes.byteLength) => ({
    size,
    read: async (offset: number, length: number) => bytes.subarray(offset, offset + Math.min(length, 50_000)),
  });

  it('is a stream of all its bytes', async () => {
    expect(await readAll(fileBytes(file(big)), 1e6)).toEqual(big);
  });

  it('that is shorter than it said is an error', async () => {
    await expect(readAll(fileBytes(file(big, big.length + 1)), 1e6)).rejects.toThrow('too early');
  });
});

/** Tar archives as bundles are: plain files one after the other, in the oldest format that every tar reads (POSIX ustar). */
import type { Bytes } from './bytes.ts';
import { BundleError } from './format.ts';

const blockBytes = 512;
/** Eleven octal digits; beyond, GNU tar's binary form. */
const mostOctal = 8 * 1024 ** 3 - 1;
const longestName = 100;
const sizeAt = 124;
const checksumAt = 148;
const typeAt = 156;
const magicAt = 257;

/** `name`: at most 100 bytes of ASCII. Times are left at zero, so that the same content is the same archive. */
export function tarHeader(name: string, size: number): Buffer {
  if (name.length > longestName) throw new Error(`${name} is too long for a tar header`);
  const block = Buffer.alloc(blockBytes);
  block.write(name, 0, 'latin1');
  block.write('0000644\0', 100, 'latin1');
  block.write('0000000\0', 108, 'latin1');
  block.write('0000000\0', 116, 'latin1');
  if (size <= mostOctal) block.write(`${octal(size, 11)}\0`, sizeAt, 'latin1');
  else {
    block[sizeAt] = 0x80;
    block.writeBigUInt64BE(BigInt(size), sizeAt + 4);
  }
  block.write(`${octal(0, 11)}\0`, 136, 'latin1');
  block.write('        ', checksumAt, 'latin1');
  block.write('0', typeAt, 'latin1');
  block.write('ustar\u000000', magicAt, 'latin1');
  block.write(`${octal(sumOf(block), 6)}\0 `, checksumAt, 'latin1');
  return block;
}

/** What fills the last block of a file. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);
}

/** What ends an archive. */
export const tarEnd: Buffer = Buffer.alloc(2 * blockBytes);

export interface TarMember {
  readonly name: string;
  readonly size: number;
}

/** The next member, or `undefined` at the archive's end. Throws a `BundleError` on what no bundle has. */
export async function nextMember(from: Bytes): Promise<TarMember | undefined> {
  const block = await from.exactly(blockBytes);
  if (isZero(block)) {
    if (!isZero(await from.exactly(blockBytes))) throw damaged('its end is not one');
    return undefined;
  }
  const told = Number.parseInt(block.toString('latin1', checksumAt, checksumAt + 8), 8);
  const copy = Buffer.from(block);
  copy.write('        ', checksumAt, 'latin1');
  if (told !== sumOf(copy)) throw damaged('a header in it does not match its own checksum');
  if (block.toString('latin1', magicAt, magicAt + 5) !== 'ustar')
    throw damaged('a header in it is not of a tar archive');
  const name = block.toString('latin1', 0, longestName).replace(/\0[\s\S]*$/, '');
  if (block[typeAt] !== 0x30) throw damaged(`${name} is no plain file`);
  const size =
    block[sizeAt] === 0x80
      ? Number(block.readBigUInt64BE(sizeAt + 4))
      : Number.parseInt(block.toString('latin1', sizeAt, sizeAt + 12), 8);
  if (!Number.isSafeInteger(size) || size < 0) throw damaged(`${name} has no size`);
  return { name, size };
}

/** The bytes of a member whose header was read just now; all of them have to be taken. */
export async function* bytesOf({ size }: TarMember, from: Bytes): AsyncGenerator<Buffer> {
  for (let left = size; left > 0; ) {
    const piece = await from.some(left);
    left -= piece.length;
    yield piece;
  }
  await from.exactly((blockBytes - (size % blockBytes)) % blockBytes);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

function sumOf(block: Buffer): number {
  let sum = 0;
  for (const byte of block) sum += byte;
  return sum;
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

function damaged(why: string): BundleError {
  return new BundleError('damaged', `the bundle is damaged: ${why}`);
}

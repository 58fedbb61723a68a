import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { bytesFrom } from '../../src/bundles/bytes.ts';
import { BundleError } from '../../src/bundles/format.ts';
import { bytesOf, nextMember, tarEnd, tarHeader, tarPadding } from '../../src/bundles/tar.ts';
import { temporaryFolder } from '../support/folder.ts';

const run = promisify(execFile);

async function* inPieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let from = 0; from < bytes.length; from += length) yield bytes.subarray(from, from + length);
}

const archive = (files: Readonly<Record<string, string>>): Buffer =>
  Buffer.concat([
    ...Object.entries(files).flatMap(([name, text]) => [
      tarHeader(name, Buffer.byteLength(text)),
      Buffer.from(text),
      tarPadding(Buffer.byteLength(text)),
    ]),
    tarEnd,
  ]);

const files = { 'bundle.json': '{}', empty: '', block: 'x'.repeat(512), 'a/b': 'y'.repeat(1300) };

test.each([1, 7, 512, 100_000])('what is written is read again, from pieces of %d bytes', async (length) => {
  const bytes = bytesFrom(inPieces(archive(files), length));
  const found: Record<string, string> = {};
  for (let member = await nextMember(bytes); member; member = await nextMember(bytes)) {
    let text = '';
    for await (const piece of bytesOf(member, bytes)) text += piece;
    found[member.name] = text;
  }
  expect(found).toEqual(files);
  expect(await bytes.ended()).toBe(true);
});

test('other programs read it', async () => {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  await writeFile(join(folder.path, 'x.tar'), archive(files));
  const { stdout } = await run('tar', ['--list', '--verbose', '--file', join(folder.path, 'x.tar')]);
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/)[2]),
  ).toEqual(['2', '0', '512', '1300']);
});

test.each([8 * 1024 ** 3 - 1, 8 * 1024 ** 3, 3 * 1024 ** 4])('a file of %d bytes has its size', async (size) => {
  const header = tarHeader('x', size);
  expect(await nextMember(bytesFrom(inPieces(header, 512)))).toEqual({ name: 'x', size });
});

test.each([
  ['a header with a wrong byte', (bytes: Buffer) => bytes.writeUInt8(66, 0)],
  ['a link', (bytes: Buffer) => rewritten(bytes, 156, '2')],
  ['a tar of another kind', (bytes: Buffer) => rewritten(bytes, 257, 'other')],
  ['a negative size', (bytes: Buffer) => rewritten(bytes, 124, '-0000000001')],
])('%s is refused', async (_, change) => {
  const bytes = tarHeader('AAAA', 5);
  change(bytes);
  await expect(nextMember(bytesFrom(inPieces(bytes, 512)))).rejects.toThrow(BundleError);
});

/** With a checksum that is right. */
function rewritten(block: Buffer, at: number, text: string): void {
  block.write(text, at, 'latin1');
  block.write('        ', 148, 'latin1');
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

test('an archive that ends in the middle says so', async () => {
  const whole = archive(files);
  const bytes = bytesFrom(inPieces(whole.subarray(0, 1300), 512));
  await nextMember(bytes);
  await bytes.exactly(512);
  await expect(nextMember(bytes)).rejects.toMatchObject({ trouble: 'cut' });
});

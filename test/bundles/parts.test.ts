/** What is read of a bundle that was cut into parts. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { findParts, readParts } from '../../src/bundles/parts.ts';
import { temporaryFolder } from '../support/folder.ts';

test.each([
  ['small', 1000],
  ['as large as what is read at a time', 1024 * 1024],
  ['larger', 1024 * 1024 + 1],
])('pieces of parts that are %s stay as they are while the next one is read', async (_, size) => {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const names = ['x.larder.001', 'x.larder.002', 'x.larder.003', 'x.larder.004'].map((name) => join(folder.path, name));
  for (const [at, name] of names.entries()) await writeFile(name, Buffer.alloc(size, at + 1));
  let before: { readonly piece: Buffer; readonly copy: Buffer } | undefined;
  let total = 0;
  for await (const piece of readParts(await findParts(names))) {
    if (before) expect(before.piece.equals(before.copy)).toBe(true);
    before = { piece, copy: Buffer.from(piece) };
    total += piece.length;
  }
  expect(total).toBe(names.length * size);
});

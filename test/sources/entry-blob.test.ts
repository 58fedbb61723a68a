import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { hexOf } from '../../src/core/digest.ts';
import { openEntry } from '../../src/sources/entry-blob.ts';
import { openStore } from '../../src/store/store.ts';
import { temporaryFolder } from '../support/folder.ts';

it('takes a file that is shorter than its entry says for damaged, also when nothing else remembers its length', async () => {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const options = { path: folder.path, keepFreeBytes: 0, index: 'memory' } as const;
  const before = await openStore(options);
  const digest = await before.blobs.add(Buffer.from('ten bytes.'));
  await before.close();
  const hex = hexOf(digest);
  await truncate(join(folder.path, 'blobs/v1/sha256', hex.slice(0, 2), hex.slice(2, 4), hex), 5);
  const store = await openStore(options);
  onTestFinished(() => store.close());
  const entry = { status: 200, url: 'http://upstream/x', digest, size: 10, fetchedAt: 0, checkedAt: 0 } as const;
  expect(await openEntry(store, entry)).toBeUndefined();
  expect(await store.blobs.open(digest)).toBeUndefined();
});

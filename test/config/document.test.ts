import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { editorSchema, page } from '../../src/config/document.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

it.each([
  ['docs/configuration.md', page],
  ['config/schema.json', editorSchema],
])('%s is what the schema says (else: node src/config/document.ts)', async (file, make) => {
  expect(make()).toBe(await readFile(join(root, file), 'utf8'));
});

it('every option says what it means', () => {
  const rows = page()
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  expect(rows.length).toBeGreaterThan(60);
  expect(rows.filter((row) => / \|\s*\|$/.test(row))).toEqual([]);
});

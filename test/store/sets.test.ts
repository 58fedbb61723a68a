import { appendFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openSets, type SetLine } from '../../src/store/sets.ts';
import { temporaryFolder } from '../support/folder.ts';

async function opened() {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  return { folder: folder.path, sets: openSets(folder.path) };
}

const line = (path: string, more: Partial<SetLine> = {}): SetLine => ({
  repository: 'acme/npm',
  upstream: 'npmjs',
  format: 'npm',
  path,
  ...more,
});

it('reads lines in the order in which they were added first, each once', async () => {
  const { sets } = await opened();
  await sets.append('build-42', [line('b'), line('a')]);
  await sets.append('build-42', [line('a'), line('c', { type: 'packument', representation: 'full' }), line('b')]);
  expect(await sets.read('build-42')).toEqual([
    line('b'),
    line('a'),
    line('c', { type: 'packument', representation: 'full' }),
  ]);
});

it('keeps one line each in data/sets/v1, for others to read', async () => {
  const { folder, sets } = await opened();
  await sets.append('build', [line('a'), line('ü\n', { representation: '' })]);
  expect(await readFile(join(folder, 'sets/v1/build.ndjson'), 'utf8')).toBe(
    '{"repository":"acme/npm","upstream":"npmjs","format":"npm","path":"a"}\n{"repository":"acme/npm","upstream":"npmjs","format":"npm","path":"ü\\n"}\n',
  );
  expect((await stat(join(folder, 'sets/v1/build.ndjson'))).mode & 0o077).toBe(0);
});

it('knows which sets there are, and none where nothing was recorded', async () => {
  const { folder, sets } = await opened();
  expect(await sets.list()).toEqual([]);
  await sets.append('two', [line('a')]);
  await sets.append('one', [line('a')]);
  await writeFile(join(folder, 'sets/v1/.hidden.ndjson'), 'x');
  await writeFile(join(folder, 'sets/v1/notes.txt'), 'x');
  await mkdir(join(folder, 'sets/v1/folder.ndjson'));
  expect(await sets.list()).toEqual([
    { name: 'one', sizeBytes: 71, changedAt: expect.any(Number) },
    { name: 'two', sizeBytes: 71, changedAt: expect.any(Number) },
  ]);
});

it('forgets a set that is removed', async () => {
  const { sets } = await opened();
  await sets.append('one', [line('a')]);
  expect(await sets.remove('one')).toBe(true);
  expect(await sets.remove('one')).toBe(false);
  expect(await sets.read('one')).toBeUndefined();
  expect(await sets.list()).toEqual([]);
});

it.each(['', '.', '..', '../x', 'A', '-a', '_a', 'a/b', 'a\0', 'ä', 'a'.repeat(101), 'a b'])(
  'takes %j for no name',
  async (name) => {
    const { sets } = await opened();
    await expect(sets.append(name, [line('a')])).rejects.toThrow('is no name of a set');
    await expect(sets.read(name)).rejects.toThrow('is no name of a set');
    await expect(sets.remove(name)).rejects.toThrow('is no name of a set');
  },
);

it('takes a name of a hundred characters', async () => {
  const { sets } = await opened();
  await sets.append('a.b-c_'.padEnd(100, '0'), [line('a')]);
  expect(await sets.list()).toMatchObject([{ name: 'a.b-c_'.padEnd(100, '0') }]);
});

it('loses no line to one that a crash cut short', async () => {
  const { folder, sets } = await opened();
  await sets.append('build', [line('a')]);
  await appendFile(join(folder, 'sets/v1/build.ndjson'), '{"repository":"acme/n');
  await sets.append('build', [line('b')]);
  await appendFile(join(folder, 'sets/v1/build.ndjson'), 'null\n7\n{"repository":"acme/npm"}\n');
  await sets.append('build', [line('c')]);
  expect((await sets.read('build'))?.map(({ path }) => path)).toEqual(['a', 'b', 'c']);
});

it('keeps all lines of many that write at once', async () => {
  const { folder } = await opened();
  const writers = Array.from({ length: 8 }, () => openSets(folder));
  const paths = Array.from({ length: 200 }, (_, index) => `${index}`.padStart(300, '-'));
  await Promise.all(
    writers.map((sets, writer) =>
      sets.append(
        'build',
        paths.filter((_, index) => index % 8 === writer).map((path) => line(path)),
      ),
    ),
  );
  const read = await openSets(folder).read('build');
  expect(read?.map(({ path }) => path).sort()).toEqual(paths);
});

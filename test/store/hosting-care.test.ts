/** What verify and collect do about what is published. */
import { existsSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { type CollectReport, collect } from '../../src/store/collect.ts';
import { disk } from '../../src/store/disk.ts';
import { blobName, checkpointsPrefix, journalObjectName, trashName } from '../../src/store/layout.ts';
import { verify } from '../../src/store/verify.ts';
import { type Publisher, publisher, repository, signature } from './hosted.ts';
import { diskWith, folder, opened, standingClock } from './opened.ts';

const hour = 3_600_000;

function hexFor(text: string): string {
  return digestOf(Buffer.from(text)).slice('sha256:'.length);
}

/** A closed store with versions 1 to 3 of `a`, of which 2 was removed. */
async function published(more: (one: Publisher) => Promise<unknown> = async () => {}): Promise<string> {
  const path = await folder();
  const store = await opened({ path });
  const one = await publisher(store);
  for (const version of ['1', '2', '3']) await one.publish('a', version, `text ${version}`);
  await one.commit({ name: 'a', removes: ['2'] });
  await more(one);
  const tokens = await store.openJournal<string>({ name: 'acme/-', apply() {} });
  await tokens.append('x', signature, () => 'a token');
  await store.close();
  return path;
}

test('what an organisation keeps beside its packages is taken for no packages', async () => {
  const path = await published();
  const store = await opened({ path });
  const webhooks = await store.openJournal<{ readonly id: string }>({ name: 'acme/-webhooks', apply() {} });
  await webhooks.append('x', signature, () => ({ id: 'x' }));
  await store.close();
  expect(await verify({ path, rebuild: true })).toMatchObject({
    clean: true,
    hosted: { journals: 3, changes: 6, packages: 1, files: 2, rebuilt: true },
  });
  expect(existsSync(join(path, checkpointsPrefix('acme/-webhooks')))).toBe(false);
});

test('what is published and whole is clean, and counted', async () => {
  const path = await published();
  expect(await verify({ path })).toMatchObject({
    clean: true,
    damaged: [],
    hosted: { journals: 2, changes: 5, packages: 1, files: 2, rebuilt: false },
  });
});

test('a missing file is damage, and named by its repository and path', async () => {
  const path = await published();
  rmSync(join(path, blobName(hexFor('text 3'))));
  expect(await verify({ path })).toMatchObject({
    clean: false,
    damaged: [
      {
        digest: digestOf(Buffer.from('text 3')),
        path: 'acme/npm: a/a-3.tgz',
        reason: expect.stringMatching(/^acme\/npm: a\/a-3.tgz is published, and its bytes are missing; put blobs\/v1/),
        published: true,
      },
    ],
  });
});

test('a damaged file is damage twice: its bytes are set aside, and then they are missing', async () => {
  const path = await published();
  truncateSync(join(path, blobName(hexFor('text 1'))), 3);
  const { damaged } = await verify({ path });
  expect(damaged.map(({ published }) => published)).toEqual([undefined, true]);
});

test('a file in the trash goes back where it belongs', async () => {
  const path = await published();
  const [blob, trash] = [join(path, blobName(hexFor('text 1'))), join(path, trashName(hexFor('text 1')))];
  await disk.mkdir(dirname(trash));
  renameSync(blob, trash);
  expect((await verify({ path })).clean).toBe(true);
  expect(existsSync(blob)).toBe(true);
});

test('a journal that can not be read is damage, and the others are looked at all the same', async () => {
  const path = await published();
  writeFileSync(join(path, journalObjectName(repository, 2)), '{');
  writeFileSync(join(path, journalObjectName('acme/-', 1)), '{');
  const { damaged, clean } = await verify({ path });
  expect(clean).toBe(false);
  expect(damaged).toMatchObject([
    { path: 'journal/v1/acme/-', reason: expect.stringContaining('Object 1 of the journal of acme/-') },
    { path: 'journal/v1/acme/npm', reason: expect.stringContaining('Object 2 of the journal of acme/npm') },
  ]);
  // Nothing is made worse.
  expect(existsSync(join(path, blobName(hexFor('text 1'))))).toBe(true);
});

test('made anew, checkpoints come from the journal alone', async () => {
  const path = await published();
  const checkpoints = join(path, checkpointsPrefix(repository));
  await disk.mkdir(checkpoints);
  writeFileSync(join(checkpoints, '00000000000000000003.ndjson'), 'nonsense');
  expect((await verify({ path, rebuild: true })).hosted).toEqual({
    journals: 2,
    changes: 5,
    packages: 1,
    files: 2,
    rebuilt: true,
  });
  expect(readdirSync(checkpoints)).toEqual(['00000000000000000004.ndjson']);
  // What a start makes of it is what was there.
  const store = await opened({
    path,
    disk: diskWith({
      readFile: (file) =>
        /npm\/\d+\.json$/.test(file) ? Promise.reject(new Error('not needed')) : disk.readFile(file),
    }),
  });
  const { hosting } = await publisher(store);
  expect(
    hosting
      .view()
      .records('a')
      .map(({ version, files }) => [version, files.length]),
  ).toEqual([
    ['1', 1],
    ['3', 1],
  ]);
  expect(hosting.usage()).toEqual({ bytes: 12, files: 2, versions: 2, packages: 1 });
});

test('an object is looked at even when a checkpoint makes it needless for a start', async () => {
  const path = await published();
  await verify({ path, rebuild: true });
  writeFileSync(join(path, journalObjectName(repository, 1)), '{');
  expect(await verify({ path })).toMatchObject({ clean: false, damaged: [{ path: 'journal/v1/acme/npm' }] });
  const { hosting } = await publisher(await opened({ path }));
  expect(hosting.usage().files).toBe(2);
});

test('everything survives a checkpoint', async () => {
  const path = await published(async (one) => {
    await one.publish('gone', '1');
    await one.commit({ name: 'gone', removes: ['1'] });
    await one.publish('b', '1', 'b', {
      about: { owner: 'ann' },
      records: [
        { version: '1', facts: { a: [1] }, yanked: true, source: 'https://code.example/b', files: ['b/b-1.tgz'] },
      ],
    });
    const file = await one.stage('tag');
    await one.commit({ name: 'early', about: { owner: 'bob' } });
    await one.commit({ name: 'b', put: [{ path: 'b/latest', file, contentType: 'text/plain', mutable: true }] });
  });
  const look = async () => {
    const store = await opened({ path });
    const one = await publisher(store);
    const view = one.hosting.view();
    const seen = {
      usage: one.hosting.usage(),
      changedAt: view.changedAt,
      revisions: ['a', 'b', 'gone', 'early', undefined].map((name) => one.hosting.revision(name)),
      source: one.hosting.sourceOf('b'),
      packages: [...view.names()].map((name) => [
        name,
        { ...view.about(name) },
        view.records(name).map((record) => ({ ...record })),
        [...view.entries(name)],
      ]),
    };
    await expect(one.publish('a', '2', 'other')).rejects.toMatchObject({ code: 'conflict' });
    await expect(one.publish('gone', '1', 'other')).rejects.toMatchObject({ code: 'conflict' });
    expect(await one.commit({ name: 'early', about: { owner: 'bob' } })).toMatchObject({ changed: false });
    await store.close();
    return seen;
  };
  const replayed = await look();
  await verify({ path, rebuild: true });
  const checkpoint = readdirSync(join(path, checkpointsPrefix(repository)));
  expect(checkpoint).toHaveLength(1);
  expect(await look()).toEqual(replayed);
});

test('collected is what was deleted, and nothing that is published', async () => {
  const path = await published();
  const clock = standingClock(Date.now() + 2 * hour);
  const names = (report: CollectReport) => report.unreferenced.map(({ digest }) => digest);
  const report = await collect({ path, clock, graceMs: hour, dryRun: false });
  expect(names(report)).toEqual([digestOf(Buffer.from('text 2'))]);
  expect((await verify({ path })).clean).toBe(true);
});

test('what is published while blobs are collected stays', async () => {
  const path = await published();
  const clock = standingClock(Date.now() + 2 * hour);
  const store = await opened({ path });
  const one = await publisher(store);
  let asked = false;
  await collect({
    path,
    clock,
    graceMs: hour,
    dryRun: false,
    disk: diskWith({
      async rename(from, to) {
        // Published again at the last moment before it moves.
        if (to.includes('/trash/') && !asked) {
          asked = true;
          await one.publish('a', '2', 'text 2');
        }
        await disk.rename(from, to);
      },
    }),
  });
  expect(asked).toBe(true);
  expect(await store.blobs.bytes(digestOf(Buffer.from('text 2')))).toEqual(Buffer.from('text 2'));
});

test('nothing is collected while a journal can not be read', async () => {
  const path = await published();
  writeFileSync(join(path, journalObjectName(repository, 2)), '{');
  const clock = standingClock(Date.now() + 2 * hour);
  await expect(collect({ path, clock, graceMs: hour, dryRun: false })).rejects.toThrow(
    /^nothing was collected: Object 2/,
  );
});

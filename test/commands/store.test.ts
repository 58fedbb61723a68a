import { mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Digest, digestOf, hexOf } from '../../src/core/digest.ts';
import { openStore } from '../../src/store/store.ts';
import { publisher } from '../store/hosted.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { command, larder, type Run } from './larder.ts';

let folder: TemporaryFolder;
let config: string;
let data: string;

beforeEach(async () => {
  folder = await temporaryFolder('larder-command');
  config = join(folder.path, 'larder.yaml');
  data = join(folder.path, 'data');
  await writeFile(config, `storage: { path: '${data}', keepFree: 0 }\n`);
});

afterEach(() => folder.remove());

const run = (name: string, ...args: readonly string[]): Promise<Run> => command([name, '--config', config, ...args]);

/** Puts texts into the store; each third one is referred to by nothing. */
async function fill(...texts: readonly string[]): Promise<Digest[]> {
  const store = await openStore({ path: data, keepFreeBytes: 0 });
  const digests: Digest[] = [];
  for (const [index, text] of texts.entries()) {
    const digest = await store.blobs.add(Buffer.from(text));
    digests.push(digest);
    if (index % 3 === 2) continue;
    const entry = { status: 200, url: 'https://a.example.com/x', digest, fetchedAt: 1, checkedAt: 1 } as const;
    await store.entries.put({ source: 'a', path: text }, entry);
  }
  await store.flush();
  await store.close();
  return digests;
}

async function pathOf(digest: Digest): Promise<string> {
  const files = await readdir(data, { recursive: true });
  const found = files.find((file) => file.endsWith(hexOf(digest)));
  if (found === undefined) throw new Error(`${digest} is not in the store`);
  return join(data, found);
}

describe('verify', () => {
  it('says that all is well', async () => {
    await fill('one', 'two');
    expect(await larder(['verify', '--config', config])).toEqual({
      code: 0,
      out: '2 objects, 6 B: all as they should be.\n',
      err: '',
    });
    const { code, out } = await run('verify', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ storage: data, checked: 2, bytes: 6, damaged: [], clean: true });
  });

  it('names what is damaged, sets it aside and exits with 3; after that all is well', async () => {
    const [one = 'sha256:'] = await fill('one', 'two');
    await truncate(await pathOf(one), 1);
    const first = await run('verify');
    expect(first.code).toBe(3);
    expect(first.out).toMatch(new RegExp(`^damaged  ${one}  .+\n.*1 damaged, set aside\\.\n`));
    expect(await run('verify', '--json')).toMatchObject({ code: 0 });
  });

  it('makes the index anew when told so, and when it is gone', async () => {
    await fill('one');
    expect((await run('verify', '--rebuild')).out).toContain('Index made anew.');
    await rm(join(data, 'index'), { recursive: true });
    expect((await run('verify')).out).toContain('Index made anew.');
    expect((await run('verify')).out).not.toContain('Index');
  });

  it('says what is published, and names what is missing of it', async () => {
    const store = await openStore({ path: data, keepFreeBytes: 0 });
    await (await publisher(store)).publish('left-pad', '1.0.0', 'text');
    await store.close();
    expect(await run('verify', '--rebuild')).toMatchObject({
      code: 0,
      out: expect.stringContaining(
        '1 journals with 1 changes: 1 packages with 1 files are published. Read from the first change on, and new checkpoints written.\n',
      ),
    });
    await rm(await pathOf(digestOf(Buffer.from('text'))));
    const { code, out } = await run('verify');
    expect(code).toBe(3);
    expect(out).toMatch(
      /^damaged {2}sha256:\S+ {2}acme\/npm: left-pad\/left-pad-1\.0\.0\.tgz is published.*\n.*1 published and not whole\./,
    );
  });

  it('takes a wrong path for a mistake, not for an empty store', async () => {
    expect(await run('verify')).toEqual({ code: 1, out: '', err: `larder: there is no store at ${data} (ENOENT)\n` });
  });
});

describe('gc', () => {
  it('only tells what it would do, unless told to do it', async () => {
    const [, , third = 'sha256:'] = await fill('one', 'two', 'three');
    const { code, out, err } = await larder(['gc', '--config', config, '--grace', '0']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toBe(
      `${third}  5 B  0 h old\n1 of 3 objects, 5 B, are referred to by nothing.\n` +
        'Nothing was changed. larder gc --delete moves them to the trash.\n',
    );
    expect(await pathOf(third)).toContain('blobs');
    const done = await run('gc', '--grace', '0', '--delete', '--json');
    expect(JSON.parse(done.out)).toMatchObject({ storage: data, dryRun: false, trashed: 1, trashedBytes: 5 });
    expect((await run('gc', '--grace', '0')).out).toBe('0 of 2 objects, 0 B, are referred to by nothing.\n');
  });

  it('leaves what is young alone', async () => {
    await fill('one', 'two', 'three');
    expect((await run('gc')).out).toBe(
      '0 of 3 objects, 0 B, are referred to by nothing.\n1 more are younger than the grace period.\n',
    );
  });

  it('fails where there is no store', async () => {
    await mkdir(join(folder.path, 'other'));
    expect(await run('gc', '--delete')).toMatchObject({ code: 1, err: expect.stringContaining('there is no store') });
  });
});

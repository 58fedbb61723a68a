/** Bundles from the command line: what goes in, what comes out, and what is refused before anything is visible. */
import { randomBytes } from 'node:crypto';
import { copyFile, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { digestOf, hexOf } from '../../src/core/digest.ts';
import { openSets } from '../../src/store/sets.ts';
import { type Site, sites } from '../bundles/sites.ts';
import { publisher, repository } from '../store/hosted.ts';

const noise = (bytes: number): Buffer => randomBytes(bytes);

interface Pair {
  readonly a: Site;
  readonly b: Site;
  readonly folder: string;
  readonly bundle: string;
}

/** Side A has a key that side B trusts. */
async function pair(): Promise<Pair> {
  const { a, b, folder } = await sites();
  await a.run('keys', 'create');
  await b.run('keys', 'trust', join(a.storage, 'keys/bundle.key.pub'));
  return { a, b, folder, bundle: join(folder, 'x.larder') };
}

const texts = { 'a.tgz': 'first', 'b.tgz': 'second', 'again.tgz': 'first' };

describe('round trip', () => {
  test('everything is there on the other side, whose upstream has the same name and another address', async () => {
    const { a, b, bundle } = await pair();
    await a.fill(texts);
    await a.fill({ left: 'a document' }, { document: 'packument' });
    const exported = await a.run('export', '-o', bundle);
    expect(exported).toMatchObject({ code: 0, err: '' });
    expect(exported.out).toContain('4 records and 3 files of 21 B');
    const imported = await b.run('import', bundle);
    expect(imported).toMatchObject({ code: 0, err: '' });
    expect(imported.out).toContain('3 files came, 21 B; 0 were here already.');
    for (const [path, text] of Object.entries(texts)) expect(await b.read(path)).toBe(text);
    expect(await b.read('left', { document: 'packument' })).toBe('a document');
    expect(await b.entry('a.tgz')).toEqual(await a.entry('a.tgz'));
    expect((await b.run('verify')).code).toBe(0);
  });

  test('it can be repeated, and what is newer here stays', async () => {
    const { a, b, bundle } = await pair();
    await a.fill(texts, { at: 1000 });
    await a.run('export', '-o', bundle);
    await b.fill({ 'a.tgz': 'newer here' }, { at: 2000 });
    await b.fill({ 'b.tgz': 'older here' }, { at: 500 });
    expect((await b.run('import', bundle)).out).toContain('2 entries are new or newer, 1 were as new here.');
    expect((await b.run('import', bundle)).out).toContain('0 files came, 0 B; 2 were here already.');
    expect(await b.read('a.tgz')).toBe('newer here');
    expect(await b.read('b.tgz')).toBe('second');
  });

  test('links and first sights of documents come along', async () => {
    const { a, b, bundle } = await pair();
    await a.fill({ left: 'a document' }, { document: 'packument' });
    const digest = digestOf(Buffer.from('a document'));
    const [from, to] = await Promise.all([identityOf(a), identityOf(b)]);
    const store = await a.open();
    store.facts('links').set(`npm\npackument\nleft\n\n${from}\n${digest}`, [{ path: 'left.tgz' }]);
    store.facts('seen').set(`${from}\npackument\nleft`, { '1.0.0': 5, '2.0.0': 9 });
    await store.close();
    const here = await b.open();
    here.facts('seen').set(`${to}\npackument\nleft`, { '1.0.0': 7, '0.1.0': 1 });
    await here.close();
    await a.run('export', '-o', bundle);
    await b.run('import', bundle);
    const after = await b.open();
    expect(await after.facts('links').get(`npm\npackument\nleft\n\n${to}\n${digest}`)).toEqual([{ path: 'left.tgz' }]);
    expect(await after.facts('seen').get(`${to}\npackument\nleft`)).toEqual({ '0.1.0': 1, '1.0.0': 5, '2.0.0': 9 });
    await after.close();
  });

  test('an upstream that the other side does not have is named, and the rest is taken', async () => {
    const { a, b, bundle } = await pair();
    await a.fill(texts);
    await a.fill({ x: 'y', z: 'y' }, { upstream: 'other' });
    await a.run('export', '-o', bundle);
    const { code, out } = await b.run('import', bundle);
    expect(code).toBe(3);
    expect(out).toContain('left out  upstream other: the configuration has none of this name (2 entries)');
    expect(await b.count()).toBe(3);
  });
});

async function identityOf({ open, fill, folder }: Site): Promise<string> {
  void folder;
  await fill({ probe: 'probe' });
  const store = await open();
  try {
    for await (const { key } of store.entries.list()) return key.source.split('/')[0] ?? '';
  } finally {
    await store.close();
  }
  throw new Error('nothing is stored');
}

describe('what is chosen', () => {
  test('is a repository, a named set, or all', async () => {
    const { a, bundle } = await pair();
    await a.fill(texts);
    await a.fill({ file: 'generic' }, { format: 'generic' });
    const records = async (...args: string[]): Promise<number> => {
      const { out } = await a.run('export', '--dry-run', '--json', ...args);
      return JSON.parse(out).records;
    };
    expect(await records()).toBe(4);
    expect(await records('--repository', 'acme/npm')).toBe(3);
    expect(await records('--repository', 'acme/npm', '--repository', 'acme/files')).toBe(4);
    expect(await records('acme/files')).toBe(1);
    await openSets(a.storage).append('build', [
      { repository: 'acme/npm', upstream: 'inner', format: 'npm', path: 'b.tgz' },
      { repository: 'acme/npm', upstream: 'inner', format: 'npm', path: 'gone.tgz' },
    ]);
    expect(await records('--set', 'build')).toBe(1);
    const { code, out } = await a.run('export', '--set', 'build', '-o', bundle);
    expect(code).toBe(3);
    expect(out).toContain('left out  inner gone.tgz: nothing is stored for it');
  });

  test('and can no longer be read is named, and left out', async () => {
    const { a, b, bundle } = await pair();
    await a.fill({ ...texts, 'large.tgz': noise(3_000_000) });
    await rm(await blobOf(a, 'second'));
    const large = (await a.entry('large.tgz'))?.digest ?? 'sha256:';
    const path = await blobAt(a, hexOf(large));
    const bytes = await readFile(path);
    bytes[2_000_000] = (bytes[2_000_000] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const { code, out } = await a.run('export', '-o', bundle);
    expect(code).toBe(3);
    expect(out).toContain('left out  inner b.tgz: its bytes are not stored any more');
    expect(out).toContain(`left out  ${large}: its bytes are damaged: larder verify`);
    const imported = await b.run('import', bundle);
    expect(imported.code).toBe(3);
    expect(imported.out).toContain('left out  inner large.tgz: its bytes were damaged where the bundle was made');
    expect(await b.read('a.tgz')).toBe('first');
    expect(await b.entry('large.tgz')).toBeUndefined();
    expect((await b.run('verify')).code).toBe(0);
  });
});

async function blobOf(site: Site, text: string): Promise<string> {
  return blobAt(site, hexOf(digestOf(Buffer.from(text))));
}

async function blobAt({ storage }: Site, hex: string): Promise<string> {
  const found = (await readdir(storage, { recursive: true })).find((file) => file.endsWith(hex));
  if (found === undefined) throw new Error(`there is no blob ${hex}`);
  return join(storage, found);
}

describe('a delta', () => {
  test.each(['--since', '--inventory'])('with %s holds what is new and nothing else', async (how) => {
    const { a, b, bundle, folder } = await pair();
    await a.fill({ ...texts, 'big.tgz': noise(400_000) });
    await a.run('export', '-o', bundle);
    await b.run('import', bundle);
    const inventory = join(folder, 'b.inventory');
    expect((await b.run('inventory', '-o', inventory)).code).toBe(0);
    // Confirmed once more without a change: that is nothing new.
    await a.fill({ 'b.tgz': 'second' }, { at: 3000 });
    await a.fill({ 'new.tgz': noise(50_000) });
    await a.fill({ 'a.tgz': 'changed' }, { at: 3000 });
    const delta = join(folder, 'delta.larder');
    const { out } = await a.run('export', how, how === '--since' ? bundle : inventory, '-o', delta, '--json');
    expect(JSON.parse(out)).toMatchObject({ records: 2, blobs: 2, bytes: 50_007 });
    const { size } = await stat(delta);
    expect(size).toBeGreaterThan(50_000);
    expect(size).toBeLessThan(53_000);
    expect((await b.run('import', delta)).code).toBe(0);
    expect(await b.read('a.tgz')).toBe('changed');
    expect((await b.read('new.tgz'))?.length).toBe((await a.read('new.tgz'))?.length);
    // What the other side has by now is known from the last bundle alone.
    const again = await a.run('export', '--dry-run', '--json', '--since', delta);
    expect(JSON.parse(again.out).records).toBe(0);
  });

  test('of a bundle whose inventory is gone is made against the bundle itself', async () => {
    const { a, bundle } = await pair();
    await a.fill(texts);
    await a.run('export', '-o', bundle);
    await rm(`${bundle}.inventory`);
    await a.fill({ 'new.tgz': 'new' });
    const { out } = await a.run('export', '--dry-run', '--json', '--since', bundle);
    expect(JSON.parse(out)).toMatchObject({ records: 1, blobs: 1 });
  });

  test('taken in without what it is a delta of says so, and takes what it can', async () => {
    const { a, b, bundle, folder } = await pair();
    await a.fill(texts);
    await a.run('export', '-o', bundle);
    await a.fill({ 'copy.tgz': 'second', 'new.tgz': 'new' });
    const delta = join(folder, 'delta.larder');
    await a.run('export', '--since', bundle, '-o', delta);
    const { code, out } = await b.run('import', delta);
    expect(code).toBe(3);
    expect(out).toContain(
      'left out  inner copy.tgz: its bytes are neither here nor in the bundle: take in first what it is a delta of',
    );
    expect(await b.read('new.tgz')).toBe('new');
  });
});

describe('refused before anything is visible', () => {
  async function refusal({ b, bundle }: Pair, ...args: string[]): Promise<string> {
    const { code, out, err } = await b.run('import', bundle, ...args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(await b.count()).toBe(0);
    expect(err).toMatch(/^larder: refused, and nothing of it is visible: /);
    return err;
  }

  async function exported(...args: string[]): Promise<Pair> {
    const made = await pair();
    await made.a.fill({ ...texts, 'c.tgz': noise(30_000), 'd.tgz': noise(2_000_000) });
    await made.a.run('export', '-o', made.bundle, ...args);
    return made;
  }

  test('a flipped bit, wherever it is', async () => {
    const made = await exported();
    const whole = await readFile(made.bundle);
    for (const share of [0, 0.0001, 0.001, 0.2, 0.5, 0.9, 0.999, 0.99999]) {
      const bytes = Buffer.from(whole);
      const at = Math.floor(share * (whole.length - 1));
      bytes[at] = (bytes[at] ?? 0) ^ 4;
      await writeFile(made.bundle, bytes);
      expect(await refusal(made)).toMatch(/damaged|none|ends too early/);
    }
    await writeFile(made.bundle, whole);
    expect((await made.b.run('import', made.bundle)).code).toBe(0);
  });

  /** What somebody could do who packs it anew: no checksum of the compression gives it away. */
  async function repacked({ bundle }: Pair, change: (tar: Buffer) => Buffer | undefined): Promise<void> {
    const tar = zstdDecompressSync(await readFile(bundle));
    await writeFile(bundle, zstdCompressSync(change(tar) ?? tar));
  }

  function offsetOf(tar: Buffer, name: string): number {
    const at = tar.indexOf(name);
    expect(at % 512).toBe(0);
    return at + 512;
  }

  test('a blob with other bytes', async () => {
    const made = await exported();
    await repacked(made, (tar) => void tar.write('F', tar.indexOf('first\0')));
    expect(await refusal(made)).toContain(
      `blob ${hexOf(digestOf(Buffer.from('first')))} has other bytes than its digest says`,
    );
    expect(await refusal(made, '--unsigned')).toContain('has other bytes');
  });

  test('a record that was changed', async () => {
    const made = await exported();
    await repacked(made, (tar) => void tar.write('z.tgz', tar.indexOf('"a.tgz"') + 1));
    expect(await refusal(made)).toContain('records.ndjson has other bytes, which its manifest tells');
  });

  test('a manifest that was made to fit', async () => {
    const made = await exported();
    await repacked(made, (tar) => {
      const before = tar.subarray(offsetOf(tar, 'records.ndjson'), tar.indexOf('\0', offsetOf(tar, 'records.ndjson')));
      const old = hexOf(digestOf(before));
      tar.write('z.tgz', tar.indexOf('"a.tgz"') + 1);
      tar.write(hexOf(digestOf(before)), tar.indexOf(old));
    });
    expect(await refusal(made)).toContain('the signature is wrong');
  });

  test('something after its end', async () => {
    const made = await exported();
    const bytes = await readFile(made.bundle);
    await writeFile(made.bundle, Buffer.concat([bytes, Buffer.from('and more')]));
    expect(await refusal(made)).toContain('something follows the end of the bundle');
    await writeFile(made.bundle, bytes);
    await repacked(made, (tar) => Buffer.concat([tar, Buffer.alloc(512)]));
    expect(await refusal(made)).toContain('something follows its end');
  });

  test.each([0, 1, 10, 40_000, 1_000_000])('one that lacks all but %d of its bytes', async (length) => {
    const made = await exported();
    await truncate(made.bundle, length);
    expect(await refusal(made)).toMatch(/ends too early|none/);
  });

  test('one that lacks its last byte', async () => {
    const made = await exported();
    await truncate(made.bundle, (await stat(made.bundle)).size - 1);
    expect(await refusal(made)).toContain('ends too early');
  });

  test('another format version, older or newer', async () => {
    const made = await exported();
    await repacked(made, (tar) => void tar.write('"version": 2', tar.indexOf('"version": 1')));
    expect(await refusal(made)).toMatch(/a newer format, version 2 \(by Larder .+\); this Larder reads version 1/);
    await repacked(made, (tar) => void tar.write('"version": 0', tar.indexOf('"version": 2')));
    expect(await refusal(made, '--unsigned')).toContain('an older format, version 0');
  });

  test('a key that nobody trusts, and none', async () => {
    const made = await exported();
    const [id = ''] = /[0-9A-F]{16}/.exec((await made.b.run('keys', 'list')).out) ?? [];
    expect((await made.b.run('keys', 'distrust', id)).code).toBe(0);
    expect(await refusal(made)).toContain(`signed by key ${id}, which is not trusted (no key is trusted here)`);
    await made.b.run('keys', 'create');
    expect(await refusal(made)).toMatch(/which is not trusted \(trusted here: [0-9A-F]{16}\)/);
    await made.a.run('export', '-o', made.bundle, '--unsigned');
    expect(await refusal(made)).toContain('the bundle is not signed');
    expect((await made.b.run('import', made.bundle, '--unsigned')).code).toBe(0);
  });

  test('what is no bundle at all', async () => {
    const made = await pair();
    await writeFile(made.bundle, 'hello');
    expect(await refusal(made)).toMatch(/or none/);
    await writeFile(made.bundle, zstdCompressSync(Buffer.alloc(2048, 'x')));
    expect(await refusal(made)).toContain('damaged');
    await rm(made.bundle);
    expect(await refusal(made)).toContain('there is no ');
  });

  test('a part that is missing, damaged, or another one', async () => {
    const made = await exported('--parts', '500KB');
    const part = (number: number): string => `${made.bundle}.00${number}`;
    expect((await readdir(made.folder)).filter((name) => name.startsWith('x.larder.0'))).toHaveLength(5);
    await rename(part(3), join(made.folder, 'away'));
    expect(await refusal(made)).toContain('a part is missing: x.larder.003');
    await rm(`${made.bundle}.parts`);
    expect(await refusal(made)).toContain('a part is missing: x.larder.003');
  });

  test('parts in the wrong place', async () => {
    const made = await exported('--parts', '500KB');
    const part = (number: number): string => `${made.bundle}.00${number}`;
    await rename(part(2), join(made.folder, 'away'));
    await rename(part(3), part(2));
    await rename(join(made.folder, 'away'), part(3));
    expect(await refusal(made)).toContain('part x.larder.002 has other bytes than were written');
    await truncate(part(2), 10);
    expect(await refusal(made)).toContain('part x.larder.002 has 10 bytes instead of 500000');
  });
});

test('without room for all of it nothing is written', async () => {
  const { a, b, bundle } = await pair();
  await a.fill({ ...texts, 'c.tgz': noise(40_000), 'd.tgz': noise(30_000) });
  await a.run('export', '-o', bundle);
  const config = JSON.parse(await readFile(b.configFile, 'utf8'));
  await writeFile(b.configFile, JSON.stringify({ ...config, storage: { ...config.storage, maxSize: '50KB' } }));
  const { code, err } = await b.run('import', bundle);
  expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining('there is not enough room for it') });
  expect(await b.count()).toBe(0);
  expect((await b.run('verify')).out).toContain('0 objects');
});

test('what was begun and never finished stands in the way of nobody', async () => {
  const { a, bundle, folder } = await pair();
  await a.fill({ 'c.tgz': noise(2_000_000) });
  await writeFile(`${bundle}.unfinished`, 'left over');
  expect((await a.run('export', '-o', bundle, '--parts', '1MB')).code).toBe(0);
  const names = (await readdir(folder)).filter((name) => name.startsWith('.') || name.endsWith('.unfinished'));
  expect(names).toEqual(['x.larder.unfinished']);
});

describe('parts', () => {
  test('are taken in any order, from several folders, with or without their list', async () => {
    const { a, b, bundle, folder } = await pair();
    await a.fill({ ...texts, 'c.tgz': noise(400_000) });
    await a.run('export', '-o', bundle, '--parts', '100KB');
    const elsewhere = b.folder;
    await rename(`${bundle}.002`, join(elsewhere, 'x.larder.002'));
    await copyFile(`${bundle}.parts`, join(folder, 'kept'));
    for (const _ of ['with its list', 'without']) {
      const run = await b.run('import', `${bundle}.004`, join(elsewhere, 'x.larder.002'), `${bundle}.001`);
      expect(run).toMatchObject({ code: 0, err: '' });
      await rm(`${bundle}.parts`, { force: true });
    }
    expect(await b.count()).toBe(4);
  });
});

describe('published packages', () => {
  async function publish(site: Site, ...versions: string[]): Promise<void> {
    const store = await site.open();
    const { publish } = await publisher(store);
    for (const version of versions) await publish('@acme/web', version);
    await store.close();
  }

  async function versionsAt(site: Site): Promise<string[]> {
    const store = await site.open();
    const hosting = await store.hosting(repository, { overwrites: false });
    await hosting.ready();
    const versions = hosting
      .view()
      .records('@acme/web')
      .map(({ version, files }) => `${version} ${files.map(({ digest }) => store.blobs.has(digest))}`);
    await store.close();
    return versions;
  }

  test('travel with their journal if asked', async () => {
    const { a, b, bundle, folder } = await pair();
    await publish(a, '1.0.0', '1.1.0');
    await a.run('export', '-o', bundle);
    await b.run('import', bundle);
    expect(await versionsAt(b)).toEqual([]);
    await a.run('export', '-o', bundle, '--hosted');
    expect(await b.run('import', bundle)).toMatchObject({ code: 0 });
    expect(await versionsAt(b)).toEqual(['1.0.0 true', '1.1.0 true']);
    await publish(a, '1.2.0');
    const delta = join(folder, 'delta.larder');
    const { out } = await a.run('export', '-o', delta, '--hosted', '--since', bundle, '--json');
    expect(JSON.parse(out)).toMatchObject({ records: 1, blobs: 1 });
    expect((await b.run('import', delta)).out).toContain('1 changes of published packages');
    expect(await versionsAt(b)).toEqual(['1.0.0 true', '1.1.0 true', '1.2.0 true']);
    expect((await b.run('import', bundle)).code).toBe(0);
    expect(await b.run('verify')).toMatchObject({ code: 0 });
  });

  test('are refused where something else was published, and where the beginning is missing', async () => {
    const { a, b, bundle, folder } = await pair();
    await publish(a, '1.0.0');
    await a.run('export', '-o', bundle, '--hosted');
    await publish(a, '1.1.0');
    const delta = join(folder, 'delta.larder');
    await a.run('export', '-o', delta, '--hosted', '--since', bundle);
    const early = await b.run('import', delta);
    expect(early.code).toBe(3);
    expect(early.out).toContain(
      'left out  packages of acme/npm: the bundle begins with change 2, and those before it are not here',
    );
    await publish(b, '9.0.0');
    const { code, out } = await b.run('import', bundle);
    expect(code).toBe(3);
    expect(out).toContain(
      'left out  packages of acme/npm: change 1 here is another one: something was published on both sides',
    );
    expect(await versionsAt(b)).toEqual(['9.0.0 true']);
  });
});

test('diff tells what one side has and the other lacks', async () => {
  const { a, b, bundle, folder } = await pair();
  await a.fill(texts);
  await a.run('export', '-o', bundle);
  await b.run('import', bundle);
  await b.fill({ 'b.tgz': 'changed' }, { at: 5000 });
  await b.fill({ 'only.tgz': 'here' });
  await a.fill({ 'more.tgz': 'there' });
  const inventory = join(folder, 'b.inventory');
  await b.run('inventory', '-o', inventory);
  const expected = [
    { is: 'changed', upstream: 'inner', path: 'b.tgz', size: 7 },
    { is: 'only-a', upstream: 'inner', path: 'more.tgz', size: 5 },
    { is: 'only-b', upstream: 'inner', path: 'only.tgz', size: 4 },
  ];
  expect(JSON.parse((await a.run('diff', a.configFile, inventory, '--json')).out)).toMatchObject(expected);
  expect(JSON.parse((await b.run('diff', a.configFile, '--json')).out)).toMatchObject(expected);
  expect((await b.run('diff', bundle)).out).toBe(
    '~ inner  b.tgz  7 B\n+ inner  only.tgz  4 B\nOnly in A: 0, 0 B. Only in B: 1, 4 B. Other bytes: 1, 7 B.\n',
  );
});

describe('wrong use', () => {
  test.each([
    [['export'], 'export needs a file to write: larder export -o FILE'],
    [['export', '-o', 'x'], 'there is no key to sign the bundle with: larder keys create makes one'],
    [['export', '-o', 'x', '--unsigned', '--parts', 'many'], '--parts many is no size'],
    [
      ['export', '-o', 'x', '--unsigned', 'acme/pypi'],
      'there is no repository acme/pypi; there is acme/npm, acme/files',
    ],
    [['export', '-o', 'x', '--unsigned', '--set', 'build'], 'there is no set build; there is none'],
    [['export', '-o', '/nowhere/x', '--unsigned'], 'nothing can be written to /nowhere (ENOENT)'],
    [['export', '-o', 'x', '--unsigned', '--since', './x'], 'x would be replaced, and is what it is to be a delta of'],
    [['import'], 'import needs a bundle'],
    [['import', 'x', '--trust', 'nothing'], 'nothing is neither a file nor a public key'],
    [['keys'], 'keys needs one of create, list, trust, distrust'],
    [['keys', 'distrust', 'x'], 'x is no id of a key'],
    [['inventory'], 'inventory needs a file to write'],
    [['diff'], 'diff needs two sides'],
  ])('%j: exit code 2', async ([name = '', ...args], message) => {
    const { b } = await sites();
    const { code, err } = await b.run(name, ...args);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(message) });
  });

  test('a key is never replaced, and nobody else can read it', async () => {
    const { a } = await pair();
    expect(await a.run('keys', 'create')).toMatchObject({ code: 2 });
    expect((await stat(join(a.storage, 'keys/bundle.key'))).mode & 0o777).toBe(0o600);
  });
});

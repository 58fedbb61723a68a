import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/core/digest.ts';
import type { ChangeSet } from '../../src/core/hosting.ts';
import { disk as realDisk } from '../../src/store/disk.ts';
import type { Effect } from '../../src/store/hosting.ts';
import { blobName, journalObjectName, sha256Hex } from '../../src/store/layout.ts';
import { faults, faultyDisk } from '../support/faulty-disk.ts';
import { eventually } from '../support/wait.ts';
import { type Publisher, publisher, putOf, reply, repository, signature } from './hosted.ts';
import { collected, diskWith, fileOperations, folder, opened } from './opened.ts';

function blobFile(path: string, text: string): string {
  return join(path, blobName(sha256Hex(digestOf(Buffer.from(text))) ?? ''));
}

function objects(path: string): number {
  const folder = join(path, 'journal/v1', repository);
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')).length : 0;
}

async function fresh(overwrites = false): Promise<Publisher & { readonly path: string }> {
  const store = await opened();
  return { ...(await publisher(store, overwrites)), path: store.path };
}

/** All that a view tells. */
function told({ hosting }: Publisher): unknown {
  const view = hosting.view();
  return {
    changedAt: view.changedAt,
    usage: hosting.usage(),
    revision: hosting.revision(),
    packages: [...view.names()].map((name) => ({
      about: { ...view.about(name) },
      revision: hosting.revision(name),
      source: hosting.sourceOf(name),
      records: view.records(name).map((record) => ({ ...record })),
      entries: [...view.entries(name)],
    })),
  };
}

test('what is published is seen at once, and after a start; its bytes are blobs', async () => {
  const path = await folder();
  const store = await opened({ path, clock: () => Date.parse('2026-01-02T03:04:05Z') });
  const one = await publisher(store);
  expect(one.hosting.has('left-pad')).toBe(false);
  expect(one.hosting.view().changedAt).toBe('');
  const committed = await one.publish('left-pad', '1.0.0', 'bytes', { about: { tags: { latest: '1.0.0' } } });
  expect(committed).toMatchObject({ number: 1, changed: true, set: { name: 'left-pad' } });
  const view = one.hosting.view();
  const entry = {
    path: 'left-pad/left-pad-1.0.0.tgz',
    name: 'left-pad',
    digest: digestOf(Buffer.from('bytes')),
    digests: [digestOf(Buffer.from('bytes')), digestOf(Buffer.from('bytes'), 'sha1')],
    size: 5,
    contentType: 'application/octet-stream',
    publishedAt: '2026-01-02T03:04:05.000Z',
  };
  expect([...view.names()]).toEqual(['left-pad']);
  expect(view.entry(entry.path)).toEqual(entry);
  expect([...view.entries('left-pad', 'left-pad/')]).toEqual([entry]);
  expect([...view.entries('left-pad', 'other')]).toEqual([]);
  expect(view.record('left-pad', '1.0.0')).toEqual({
    name: 'left-pad',
    version: '1.0.0',
    facts: { version: '1.0.0' },
    files: [entry],
    publishedAt: entry.publishedAt,
    changedAt: entry.publishedAt,
  });
  expect(view.about('left-pad')).toEqual({
    facts: { tags: { latest: '1.0.0' } },
    createdAt: entry.publishedAt,
    changedAt: entry.publishedAt,
    revision: one.hosting.revision('left-pad'),
  });
  expect(view.changedAt).toBe(entry.publishedAt);
  expect(one.hosting.usage()).toEqual({ bytes: 5, files: 1, versions: 1, packages: 1 });
  const before = told(one);
  await store.close();
  const again = await opened({ path });
  const other = await publisher(again);
  expect(told(other)).toEqual(before);
  expect(await again.blobs.bytes(entry.digest)).toEqual(Buffer.from('bytes'));
  expect(await collected(other.hosting.history())).toMatchObject([
    { number: 1, by: signature.by, change: { action: 'publish', name: 'left-pad', records: [{ version: '1.0.0' }] } },
  ]);
});

test('the same again changes nothing and writes nothing', async () => {
  const one = await fresh();
  await one.publish('a', '1.0.0');
  const before = told(one);
  expect(await one.publish('a', '1.0.0')).toMatchObject({ number: undefined, changed: false });
  expect(told(one)).toEqual(before);
  expect(objects(one.path)).toBe(1);
});

test('the same again brings bytes back that were lost', async () => {
  const one = await fresh();
  await one.publish('a', '1.0.0', 'text');
  rmSync(blobFile(one.path, 'text'));
  expect((await one.publish('a', '1.0.0', 'text')).changed).toBe(false);
  expect(existsSync(blobFile(one.path, 'text'))).toBe(true);
});

describe('a published file', () => {
  test('gets no other bytes, and who tries is told which are there', async () => {
    const one = await fresh();
    await one.publish('a', '1.0.0', 'first');
    const before = told(one);
    const [here, now] = ['first', 'second'].map((text) => digestOf(Buffer.from(text)).slice(0, 15));
    await expect(one.publish('a', '1.0.0', 'second')).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(`a/a-1.0.0.tgz .*${here}.*${now}`),
    });
    expect(told(one)).toEqual(before);
    expect(existsSync(blobFile(one.path, 'second'))).toBe(false);
  });

  test('gets other bytes where the repository lets it, and that is told to who judges', async () => {
    const one = await fresh(true);
    const effects: Effect[] = [];
    await one.publish('a', '1.0.0', 'first');
    const file = await one.stage('second');
    const put = [putOf('a/a-1.0.0.tgz', file)];
    await one.commit({ name: 'a', put }, { judge: (_, effect) => void effects.push(effect) });
    expect(effects[0]).toEqual({
      addedBytes: 6,
      removed: [],
      dropped: [],
      replaced: ['a/a-1.0.0.tgz'],
      isNew: false,
    });
    expect(one.hosting.view().record('a', '1.0.0')?.files[0]?.size).toBe(6);
    expect(one.hosting.usage()).toMatchObject({ bytes: 6, files: 1 });
  });

  test('that is mutable gets other bytes only as one that is mutable', async () => {
    const one = await fresh();
    const put = async (text: string, mutable?: boolean) =>
      one.commit({ name: 'a', put: [putOf('a/latest', await one.stage(text), mutable)] });
    await put('one', true);
    await put('two', true);
    expect(one.hosting.view().entry('a/latest')).toMatchObject({ size: 3, mutable: true });
    await expect(put('three')).rejects.toMatchObject({ code: 'conflict' });
    await one.commit({ name: 'a', drop: ['a/latest'] });
    await put('four');
    await expect(put('five', true)).rejects.toMatchObject({ code: 'conflict' });
  });

  test('that was taken away comes back only as it was, also after a start', async () => {
    const one = await fresh(true);
    await one.publish('a', '1.0.0', 'first');
    await one.publish('a', '2.0.0', 'other');
    await one.commit({ name: 'a', removes: ['1.0.0'] });
    expect(one.hosting.view().entry('a/a-1.0.0.tgz')).toBeUndefined();
    const refusal = {
      code: 'conflict',
      message: expect.stringMatching(/deleted; it can come back only with the same bytes/),
    };
    await expect(one.publish('a', '1.0.0', 'second')).rejects.toMatchObject(refusal);
    const other = await publisher(await opened({ path: one.path }));
    await expect(other.publish('a', '1.0.0', 'second')).rejects.toMatchObject(refusal);
    expect((await other.publish('a', '1.0.0', 'first')).changed).toBe(true);
    expect(
      other.hosting
        .view()
        .records('a')
        .map(({ version }) => version),
    ).toEqual(['2.0.0', '1.0.0']);
  });

  test('belongs to the package that it came with', async () => {
    const one = await fresh();
    await one.publish('a', '1.0.0', 'text');
    const put = [putOf('a/a-1.0.0.tgz', await one.stage('text'))];
    await expect(one.commit({ name: 'b', put })).rejects.toMatchObject({
      code: 'conflict',
      message: /belongs to another package/,
    });
    await expect(one.commit({ name: 'b', drop: ['a/a-1.0.0.tgz'] })).rejects.toMatchObject({ code: 'conflict' });
  });

  test('can be had at another path, too, and its bytes count once', async () => {
    const one = await fresh();
    await one.publish('a', '1.0.0', 'text');
    const effects: Effect[] = [];
    await one.commit(
      { name: 'b', put: [putOf('b/copy', { from: 'a/a-1.0.0.tgz' })] },
      { judge: (_, effect) => void effects.push(effect) },
    );
    expect(effects.at(-1)).toMatchObject({ addedBytes: 0, isNew: true });
    expect(one.hosting.view().entry('b/copy')).toMatchObject({ name: 'b', digests: [expect.anything(), /^sha1:/] });
    expect(one.hosting.usage()).toMatchObject({ bytes: 4, files: 2, packages: 2 });
    await one.commit({ name: 'a', removes: ['1.0.0'] });
    expect(one.hosting.usage()).toMatchObject({ bytes: 4, files: 1, packages: 1 });
    await expect(one.commit({ name: 'b', put: [putOf('b/c', { from: 'a/a-1.0.0.tgz' })] })).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('a version', () => {
  test('that is removed takes the files along that no other has', async () => {
    const one = await fresh();
    await one.publish('a', '1.0.0');
    await one.publish('a', '2.0.0', 'two', {
      records: [{ version: '2.0.0', facts: {}, files: ['a/a-2.0.0.tgz', 'a/a-1.0.0.tgz'] }],
    });
    const effects: Effect[] = [];
    await one.commit({ name: 'a', removes: ['2.0.0'] }, { judge: (_, effect) => void effects.push(effect) });
    expect(effects.at(-1)).toMatchObject({ removed: ['2.0.0'], dropped: ['a/a-2.0.0.tgz'] });
    expect([...one.hosting.view().entries('a')].map(({ path }) => path)).toEqual(['a/a-1.0.0.tgz']);
    expect(await collected(one.hosting.history(4))).toMatchObject([
      { change: { removes: ['2.0.0'], drop: ['a/a-2.0.0.tgz'] } },
      {},
      {},
    ]);
  });

  test('keeps its date and its state when its facts change', async () => {
    let now = 1_000_000_000_000;
    const one = await publisher(await opened({ clock: () => (now += 1000) }));
    await one.publish('a', '1.0.0');
    const record = () => one.hosting.view().record('a', '1.0.0');
    const { publishedAt } = record() ?? {};
    await one.commit({ name: 'a', records: [{ version: '1.0.0', facts: {}, yanked: true }] });
    await one.commit({ name: 'a', records: [{ version: '1.0.0', facts: { deprecated: 'yes' } }] });
    expect(record()).toMatchObject({ facts: { deprecated: 'yes' }, yanked: true, publishedAt, files: [{ size: 7 }] });
    expect(record()?.changedAt).not.toBe(publishedAt);
    await one.commit({ name: 'a', records: [{ version: '1.0.0', facts: { deprecated: 'yes' }, yanked: false }] });
    expect(record()?.yanked).toBe(false);
  });

  test('loses a file that is dropped', async () => {
    const one = await fresh();
    await one.publish('a', '1.0.0');
    await one.commit({ name: 'a', drop: ['a/a-1.0.0.tgz'] });
    expect(one.hosting.view().record('a', '1.0.0')?.files).toEqual([]);
    await one.publish('a', '2.0.0', 'two', { put: [putOf('a/a-1.0.0.tgz', await one.stage('a 1.0.0'))], records: [] });
    expect(one.hosting.view().record('a', '1.0.0')?.files).toEqual([]);
  });

  test('copied by whoever reads it has all that it has', async () => {
    const one = await fresh();
    await one.publish('a', '1.0.0');
    const record = one.hosting.view().record('a', '1.0.0');
    expect({ ...record }).toMatchObject({ facts: { version: '1.0.0' }, files: [{ size: 7 }] });
    // Whoever spoils what was read spoils nobody else's.
    Object.assign(record?.facts ?? {}, { version: 'spoiled' });
    expect(one.hosting.view().record('a', '1.0.0')?.facts).toEqual({ version: '1.0.0' });
  });
});

test('a package that has nothing left is gone, and begins anew when it comes back; its revision is never one it had', async () => {
  const one = await fresh();
  const revisions = new Set([one.hosting.revision('a')]);
  const note = () => revisions.add(one.hosting.revision('a'));
  await one.publish('a', '1.0.0', 'text', { about: { owner: 'ann' } });
  note();
  await one.publish('b', '1.0.0');
  const before = one.hosting.revision();
  await one.commit({ name: 'a', removes: ['1.0.0'] });
  note();
  expect(one.hosting.revision()).not.toBe(before);
  expect(one.hosting.has('a')).toBe(false);
  expect([...one.hosting.view().names()]).toEqual(['b']);
  expect(one.hosting.view().about('a')).toBeUndefined();
  await one.publish('a', '2.0.0');
  note();
  expect([...one.hosting.view().names()]).toEqual(['b', 'a']);
  expect(one.hosting.view().about('a')?.facts).toEqual({});
  expect(revisions.size).toBe(4);
});

test('a revision is of its package only, and the same in every process', async () => {
  const one = await fresh();
  await one.publish('a', '1.0.0');
  const before = one.hosting.revision('a');
  await one.publish('b', '1.0.0');
  expect(one.hosting.revision('a')).toBe(before);
  const other = await publisher(await opened({ path: one.path }));
  for (const name of ['a', 'b', 'c', undefined]) expect(other.hosting.revision(name)).toBe(one.hosting.revision(name));
});

test('the source project is that of the newest version that names one', async () => {
  const one = await fresh();
  const publish = (version: string, source?: string) =>
    one.publish('a', version, version, {
      records: [{ version, facts: {}, files: [`a/a-${version}.tgz`], ...(source === undefined ? {} : { source }) }],
    });
  await publish('1.0.0', 'https://code.example/one');
  await publish('2.0.0', 'https://code.example/two');
  await publish('3.0.0');
  expect(one.hosting.sourceOf('a')).toBe('https://code.example/two');
  expect(one.hosting.sourceOf('b')).toBeUndefined();
  await one.commit({ name: 'a', records: [{ version: '1.0.0', facts: { deprecated: true } }] });
  expect(one.hosting.sourceOf('a')).toBe('https://code.example/two');
  await one.commit({ name: 'a', removes: ['2.0.0'] });
  expect(one.hosting.sourceOf('a')).toBe('https://code.example/one');
});

test('a narrowed view tells of nothing else', async () => {
  let now = 1_000_000_000_000;
  const one = await publisher(await opened({ clock: () => (now += 1000) }));
  await one.publish('a', '1.0.0');
  const { changedAt } = one.hosting.view();
  await one.publish('b', '1.0.0');
  for (const view of [one.hosting.view({ only: 'a' }), one.hosting.view({ sees: (name) => name !== 'b' })]) {
    expect([...view.names()]).toEqual(['a']);
    expect(view.records('a')).toHaveLength(1);
    expect(view.records('b')).toEqual([]);
    expect(view.record('b', '1.0.0')).toBeUndefined();
    expect(view.about('b')).toBeUndefined();
    expect(view.entry('b/b-1.0.0.tgz')).toBeUndefined();
    expect([...view.entries('b')]).toEqual([]);
    expect(view.changedAt).toBe(changedAt);
  }
  expect([...one.hosting.view({ only: 'a', sees: () => false }).names()]).toEqual([]);
});

describe('a change set is refused', () => {
  const facts = {};
  const other: Digest = `sha256:${'0'.repeat(64)}`;
  const file = { size: 1, digests: [digestOf(Buffer.from('x'))], read: async () => Buffer.from('x') };
  const many = Array.from({ length: 10_001 }, (_, n) => `${n}`);
  const sets: readonly (readonly [string, string, Partial<ChangeSet>])[] = [
    ['with a path that leaves its place', 'bad_path', { put: [putOf('a/../b', file)] }],
    ['with an absolute path', 'bad_path', { put: [putOf('/etc/passwd', file)] }],
    ['with a path that is too long', 'bad_path', { put: [putOf('a/'.repeat(1100), file)] }],
    ['with an empty path', 'bad_path', { put: [putOf('', file)] }],
    [
      'with a header in its content type',
      'invalid_package',
      { put: [{ ...putOf('a/x', file), contentType: 'a\r\nb: c' }] },
    ],
    ['without a name', 'invalid_package', { name: '' }],
    ['with a name that is too long', 'invalid_package', { name: 'a'.repeat(513) }],
    ['with a version that is no text', 'invalid_package', { records: [{ version: '1\n2', facts }] }],
    ['with a file that is not there', 'invalid_package', { records: [{ version: '2', facts, files: ['a/none'] }] }],
    [
      'with a file that goes',
      'invalid_package',
      { drop: ['a/a-1.tgz'], records: [{ version: '2', facts, files: ['a/a-1.tgz'] }] },
    ],
    ['with a path that is not there', 'not_found', { drop: ['a/none'] }],
    ['with a version that is not there', 'not_found', { removes: ['9'] }],
    ['with a copy of what is not there', 'not_found', { put: [putOf('a/x', { from: 'a/none' })] }],
    ['with one path twice', 'invalid_package', { put: [putOf('a/x', file), putOf('a/x', { from: 'a/a-1.tgz' })] }],
    ['with too many files', 'too_large', { put: many.map((path) => putOf(path, file)) }],
    ['with too many versions', 'too_large', { records: many.map((version) => ({ version, facts })) }],
    [
      'with too much to say',
      'too_large',
      { records: [{ version: '2', facts: { text: 'x'.repeat(4 * 1024 * 1024) } }] },
    ],
    ['with too much about itself', 'too_large', { about: { text: 'x'.repeat(4 * 1024 * 1024) } }],
    [
      'with another digest than claimed',
      'digest_mismatch',
      { put: [putOf('a/x', file)], expect: [{ path: 'a/x', digest: other }] },
    ],
    ['with another digest than published', 'digest_mismatch', { expect: [{ path: 'a/a-1.tgz', digest: other }] }],
    [
      'with a digest that is not known',
      'digest_mismatch',
      { expect: [{ path: 'a/a-1.tgz', digest: digestOf(Buffer.from('a 1'), 'md5') }] },
    ],
    ['with a digest of nothing', 'not_found', { expect: [{ path: 'a/none', digest: other }] }],
  ];

  test.each(sets)('%s', async (_, code, set) => {
    const one = await fresh();
    await one.publish('a', '1');
    const before = told(one);
    await expect(one.commit({ name: 'a', ...set })).rejects.toMatchObject({ code });
    expect(told(one)).toEqual(before);
    expect(objects(one.path)).toBe(1);
  });

  test('by who judges it, with nothing changed and no blob made', async () => {
    const one = await fresh();
    const file = await one.stage('text');
    const judge = () => {
      throw new Error('no rights');
    };
    await expect(one.commit({ name: 'a', put: [putOf('a/x', file)] }, { judge })).rejects.toThrow('no rights');
    expect(existsSync(blobFile(one.path, 'text'))).toBe(false);
    expect(one.hosting.usage()).toEqual({ bytes: 0, files: 0, versions: 0, packages: 0 });
  });

  test('and a claimed digest that is right refuses nothing', async () => {
    const one = await fresh();
    await one.publish('a', '1', 'text', {
      expect: [{ path: 'a/a-1.tgz', digest: digestOf(Buffer.from('text'), 'sha1') }],
    });
  });
});

describe('two processes', () => {
  async function two(): Promise<readonly [Publisher, Publisher]> {
    const path = await folder();
    return [await publisher(await opened({ path })), await publisher(await opened({ path }))];
  }

  test('see what the other published as soon as they look', async () => {
    const [one, other] = await two();
    await one.publish('a', '1.0.0');
    expect(other.hosting.isCurrent()).toBe(false);
    expect(other.hosting.has('a')).toBe(false);
    await other.hosting.ready();
    expect(other.hosting.isCurrent()).toBe(true);
    expect(told(other)).toEqual(told(one));
  });

  test('that publish the same version agree on who was first', async () => {
    const [one, other] = await two();
    const results = await Promise.allSettled([one.publish('a', '1.0.0', 'one'), other.publish('a', '1.0.0', 'other')]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'conflict' } });
    await Promise.all([one.hosting.ready(), other.hosting.ready()]);
    expect(told(one)).toEqual(told(other));
  });

  test('decide and judge again when the other came first', async () => {
    const [one, other] = await two();
    const seen: string[][] = [];
    let judged = 0;
    await one.publish('a', '1.0.0');
    const file = await other.stage('two');
    await other.commit(
      (view) => {
        seen.push(view.records('a').map(({ version }) => version));
        return { name: 'a', put: [putOf('a/two', file)], reply };
      },
      {
        judge() {
          judged += 1;
        },
        land: async (staged) => {
          // The longest way between deciding and writing.
          await one.publish('a', '1.5.0');
          await (await stageOf(other, staged))();
        },
      },
    );
    expect(seen).toEqual([['1.0.0'], ['1.0.0', '1.5.0']]);
    expect(judged).toBe(2);
  });

  test('keep what the other published from eviction, and bytes that are being published this moment', async () => {
    const path = await folder();
    const small = await opened({ path, maxSizeBytes: 3000 });
    const bytes = Buffer.alloc(1000, 'x');
    // It lies here for another reason, and is the next to go.
    await small.blobs.add(bytes);
    const other = await publisher(await opened({ path }));
    const file = await other.stage(bytes);
    await other.commit({ name: 'a', put: [putOf('a/x', file)] });
    for (const fill of 'abcdefgh') await small.blobs.add(Buffer.alloc(900, fill));
    await small.close();
    expect(existsSync(join(path, blobName(sha256Hex(digestOf(bytes)) ?? '')))).toBe(true);
  });

  test('bring bytes back that the other cleared away just before it knew', async () => {
    const path = await folder();
    let landed = false;
    const store = await opened({
      path,
      disk: diskWith({
        async link(from, to) {
          // The last moment at which nothing tells that they are wanted.
          if (landed && to.includes('/journal/')) rmSync(blobFile(path, 'text'), { force: true });
          await realDisk.link(from, to);
          landed ||= to.includes('/blobs/');
        },
      }),
    });
    const other = await publisher(store);
    const mine = await other.stage('text');
    await other.commit({ name: 'a', put: [putOf('a/x', mine)] });
    expect(existsSync(blobFile(path, 'text'))).toBe(true);
  });
});

test('published bytes are never evicted, not even at a start; deleted ones are', async () => {
  const path = await folder();
  const text = 'x'.repeat(1000);
  const first = await opened({ path, maxSizeBytes: 10_000 });
  const one = await publisher(first);
  await one.publish('a', '1.0.0', text);
  await one.publish('a', '2.0.0', `${text}2`);
  await one.commit({ name: 'a', removes: ['2.0.0'] });
  await first.close();
  const store = await opened({ path, maxSizeBytes: 2500 });
  await store.scanned();
  for (const fill of 'abcdef') await store.blobs.add(Buffer.alloc(1000, fill));
  expect(await store.blobs.bytes(digestOf(Buffer.from(text)))).toEqual(Buffer.from(text));
  expect(await store.blobs.delete(digestOf(Buffer.from(text)))).toBe(false);
  expect(store.blobs.has(digestOf(Buffer.from(`${text}2`)))).toBe(false);
});

test('while a journal can not be read nothing is evicted, and nothing is published there', async () => {
  const path = await folder();
  const first = await opened({ path });
  const one = await publisher(first);
  await one.publish('a', '1.0.0', 'x'.repeat(1000));
  await first.close();
  const file = join(path, journalObjectName(repository, 1));
  const text = await realDisk.readFile(file);
  await realDisk.rm(file);
  await realDisk.writeFile(file, '{');
  let now = Date.now();
  const store = await opened({ path, maxSizeBytes: 2500, clock: () => now });
  // The server starts all the same, and serves what else there is.
  const late = await publisher(store);
  const refusal = {
    code: 'storage_unavailable',
    message: expect.stringContaining('Object 1 of the journal of acme/npm'),
  };
  await expect(late.hosting.ready()).rejects.toMatchObject(refusal);
  await expect(late.publish('b', '1.0.0')).rejects.toMatchObject(refusal);
  expect(late.hosting.isCurrent()).toBe(false);
  for (const ask of ['has', 'sourceOf', 'revision'] as const) {
    expect(() => late.hosting[ask]('a')).toThrow(/Object 1 of the journal/);
  }
  expect(() => late.hosting.view()).toThrow(/Object 1 of the journal/);
  await store.scanned();
  await store.blobs.add(Buffer.alloc(1000, 'a'));
  await expect(store.blobs.add(Buffer.alloc(1000, 'b'))).rejects.toMatchObject({ code: 'ENOSPC' });
  await realDisk.rm(file);
  await realDisk.writeFile(file, text);
  await late.hosting.ready();
  expect(late.hosting.has('a')).toBe(true);
  expect((await late.publish('b', '1.0.0')).changed).toBe(true);
  now += 10_000;
  await store.blobs.add(Buffer.alloc(1000, 'b'));
  expect(await store.blobs.bytes(digestOf(Buffer.from('x'.repeat(1000))))).toBeDefined();
});

describe('whatever disk operation fails while something is published', () => {
  const kinds = Object.entries(faults).filter(([, fault]) => fault.code !== undefined);

  // Every third one is enough to see something break.
  test.each(kinds.map((kind, first) => [...kind, first + 1] as const))('%s', async (_, fault, first) => {
    let failed = 0;
    for (let at = first; ; at += 3) {
      let armed = false;
      const disk = faultyDisk(at, fault, () => armed);
      const store = await opened({ disk });
      const one = await publisher(store);
      armed = true;
      const outcome = await one.publish('a', '1', 'text').then(
        () => 'acknowledged',
        (error) => (/may have happened/.test(error.message) ? 'unclear' : 'refused'),
      );
      disk.heal();
      await store.close();
      expect(disk.leftOpen, disk.failed).toEqual([]);
      const again = await opened({ path: store.path });
      const other = await publisher(again);
      if (outcome !== 'unclear') expect(other.hosting.has('a'), disk.failed).toBe(outcome === 'acknowledged');
      const entry = other.hosting.view().entry('a/a-1.tgz');
      if (entry) expect((await again.blobs.bytes(entry.digest))?.toString()).toBe('text');
      await other.publish('a', '1', 'text');
      await again.close();
      if (disk.failed === undefined) break;
      failed += 1;
    }
    expect(failed).toBeGreaterThan(5);
  });
});

test('changes of several packages that wait are written at once, and one path goes to one of them', async () => {
  let isHeld = false;
  let letGo = (): void => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let ready = 0;
  const disk = diskWith({
    async link(from, to) {
      if (isHeld && to.includes('/journal/')) await gate;
      await realDisk.link(from, to);
    },
    async open(path, flags, mode) {
      const file = await realDisk.open(path, flags, mode);
      const close = () => file.close().finally(() => (ready += isHeld && path.includes('/blobs/') ? 1 : 0));
      return { ...fileOperations(file), close };
    },
  });
  const store = await opened({ disk });
  const one = await publisher(store);
  await one.publish('a', '1.0.0');
  isHeld = true;
  const copy = (name: string, path: string) =>
    one.commit({ name, put: [putOf(path, { from: 'a/a-1.0.0.tgz' })] }).then(({ number }) => number);
  const first = copy('b', 'b/x');
  await eventually('the first one has its bytes', () => ready === 1);
  const others = [copy('c', 'shared'), copy('d', 'd/x'), copy('e', 'shared'), copy('f', 'f/x')];
  // After its folder is synced nothing is between a change and the queue.
  await eventually('the others have theirs', () => ready === 5);
  await new Promise(setImmediate);
  letGo();
  expect(await first).toBe(2);
  const results = await Promise.allSettled(others);
  expect(results.filter(({ status }) => status === 'rejected')).toMatchObject([
    { reason: { code: 'conflict', message: expect.stringMatching('at the same path at this moment. Try again.') } },
  ]);
  expect(results.map((result) => 'value' in result && result.value).toSorted()).toEqual([3, 3, 3, false]);
  expect(told(one)).toEqual(told(await publisher(await opened({ path: store.path }))));
});

test('who judges sees the bytes of those who are written at the same moment', async () => {
  const one = await fresh();
  const quota = 10;
  const judge = (_: ChangeSet, { addedBytes }: Effect) => {
    if (one.hosting.usage().bytes + addedBytes > quota) throw new Error('too much');
  };
  const results = await Promise.allSettled(
    ['a', 'b', 'c', 'd'].map(async (name) =>
      one.commit({ name, put: [putOf(`${name}/x`, await one.stage(`${name}234`))] }, { judge }),
    ),
  );
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
  expect(one.hosting.usage().bytes).toBe(8);
});

test('what is nested so deeply that it can hardly be written is refused', async () => {
  const one = await fresh();
  const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
  for (const levels of [1000, 100_000]) {
    const change = one.commit({ name: 'a', records: [{ version: '1', facts: { deep: deep(levels) } }] });
    await expect(change).rejects.toMatchObject({ code: 'invalid_package' });
  }
  await one.commit({ name: 'a', records: [{ version: '1', facts: { deep: deep(400) } }] });
});

test('room is given once to those who waited for somebody who wrote nothing in the end', async () => {
  let isHeld = false;
  let letGo = (): void => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let landed = 0;
  const disk = diskWith({
    async link(from, to) {
      if (!isHeld || !to.includes('/journal/')) return realDisk.link(from, to);
      await gate;
      isHeld = false;
      throw Object.assign(new Error('link'), { code: 'EIO' });
    },
    async open(path, flags, mode) {
      const file = await realDisk.open(path, flags, mode);
      const close = () => file.close().finally(() => (landed += isHeld && path.includes('/blobs/') ? 1 : 0));
      return { ...fileOperations(file), close };
    },
  });
  const one = await publisher(await opened({ disk }));
  await one.publish('a', '1.0.0', '1234');
  isHeld = true;
  const judge = (_: ChangeSet, { addedBytes }: Effect) => {
    if (one.hosting.usage().bytes + addedBytes > 10) throw new Error('too much');
  };
  const put = async (name: string) =>
    one.commit({ name, put: [putOf(`${name}/x`, await one.stage(`${name}234`))] }, { judge });
  const first = one.commit({ name: 'z', about: { is: 'never written' } });
  const others = ['b', 'c', 'd'].map(put);
  await eventually('all have their bytes', () => landed >= 3);
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  letGo();
  await expect(first).rejects.toMatchObject({ code: 'storage_unavailable' });
  const results = await Promise.allSettled(others);
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(one.hosting.usage().bytes).toBe(8);
});

test('whether versions may be replaced is as it was last told', async () => {
  const store = await opened();
  const one = await publisher(store, false);
  await one.publish('a', '1.0.0', 'first');
  await expect(one.publish('a', '1.0.0', 'second')).rejects.toMatchObject({ code: 'conflict' });
  const other = await publisher(store, true);
  expect(other.hosting).toBe(one.hosting);
  expect(one.hosting.view().overwrites).toBe(true);
  expect((await one.publish('a', '1.0.0', 'second')).changed).toBe(true);
});

async function stageOf(one: Publisher, file: { readonly size: number }): Promise<() => Promise<void>> {
  const hosted = await one.stage('two');
  expect(hosted.size).toBe(file.size);
  return async () => {
    await one.commit({ name: 'b', put: [putOf('b/two', hosted)] });
  };
}

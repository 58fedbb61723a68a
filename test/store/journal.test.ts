import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf, hexOf } from '../../src/core/digest.ts';
import type { Journal, Written } from '../../src/core/journal.ts';
import { type Disk, disk as realDisk } from '../../src/store/disk.ts';
import { DiskObjects } from '../../src/store/disk-objects.ts';
import { type JournalsOptions, openJournals } from '../../src/store/journal.ts';
import { checkpointName, checkpointsPrefix, journalObjectName } from '../../src/store/layout.ts';
import type { Objects } from '../../src/store/objects.ts';
import { StagingArea } from '../../src/store/staging-area.ts';
import { faults, faultyDisk } from '../support/faulty-disk.ts';
import { collected, diskWith, fileOperations, folder, heard } from './opened.ts';

const name = 'acme/npm';
const by = { by: 'user:acme/ann' };

interface Opened extends Journal<string> {
  readonly path: string;
  /** What was applied, in order. */
  readonly applied: string[];
  readonly all: Written<string>[];
  settled(): Promise<void>;
}

function objectsIn(path: string, disk: Disk = realDisk): Objects {
  const area = new StagingArea(path, disk);
  onTestFinished(() => area.close());
  return new DiskObjects({ root: path, disk, temporary: () => area.next() });
}

/** A journal of texts whose state is the list of them. */
async function journal(path: string, options: Partial<JournalsOptions> & { disk?: Disk } = {}): Promise<Opened> {
  const journals = openJournals({ objects: objectsIn(path, options.disk), ...options });
  const applied: string[] = [];
  const all: Written<string>[] = [];
  const opened = await journals.open<string>({
    name,
    apply(written) {
      applied.push(written.change);
      all.push(written);
    },
    snapshot: () => applied,
    restore(values) {
      applied.length = 0;
      for (const value of values) applied.push(value as string);
    },
  });
  return Object.assign(Object.create(opened, { number: { get: () => opened.number } }), {
    ...bound(opened),
    path,
    applied,
    all,
    settled: journals.settled,
  });
}

function bound(opened: Journal<string>): Omit<Journal<string>, 'number'> {
  return {
    isCurrent: () => opened.isCurrent(),
    catchUp: () => opened.catchUp(),
    append: (...args) => opened.append(...args),
    history: (before) => opened.history(before),
  };
}

function fileOf(path: string, number: number): string {
  return join(path, journalObjectName(name, number));
}

function checkpoints(path: string): string[] {
  const folder = join(path, checkpointsPrefix(name));
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

async function write(to: Opened, ...changes: string[]): Promise<void> {
  for (const change of changes) await to.append('x', by, () => change);
}

test('what was written is numbered from 1, signed, applied, and there when it is opened again', async () => {
  const one = await journal(await folder(), { clock: () => Date.parse('2026-01-02T03:04:05Z') });
  expect(one.number).toBe(0);
  const written = await one.append('x', { by: 'user:acme/ann', token: 't1', requestId: 'r1' }, () => 'a');
  expect(written).toEqual({
    number: 1,
    index: 0,
    at: '2026-01-02T03:04:05.000Z',
    by: 'user:acme/ann',
    token: 't1',
    requestId: 'r1',
    change: 'a',
  });
  await write(one, 'b');
  expect(one.applied).toEqual(['a', 'b']);
  const again = await journal(one.path);
  expect(again.number).toBe(2);
  expect(again.all[0]).toEqual(written);
  expect(again.applied).toEqual(['a', 'b']);
});

test('nothing to write is nothing written, and what make throws comes back', async () => {
  const one = await journal(await folder());
  expect(await one.append('x', by, () => undefined)).toBeUndefined();
  await expect(one.append('x', by, () => Promise.reject(new Error('not this')))).rejects.toThrow('not this');
  expect(one.number).toBe(0);
  await write(one, 'a');
  expect(one.applied).toEqual(['a']);
});

test('those that wait are written together, but of one turn each sees the one before', async () => {
  const one = await journal(await folder());
  const seen: string[] = [];
  const append = (turn: string, change: string) =>
    one.append(turn, by, () => {
      seen.push(`${change} after ${one.applied.join('')}`);
      return change;
    });
  const numbers = await Promise.all([append('x', 'a'), append('y', 'b'), append('x', 'c'), append('z', 'd')]);
  expect(numbers.map((written) => [written?.number, written?.index])).toEqual([
    [1, 0],
    [1, 1],
    [2, 0],
    [1, 2],
  ]);
  expect(seen).toEqual(['a after ', 'b after ', 'd after ', 'c after abd']);
  expect(await collected(one.history())).toMatchObject([
    { number: 2, change: 'c' },
    { number: 1, index: 2, change: 'd' },
    { number: 1, index: 1, change: 'b' },
    { number: 1, index: 0, change: 'a' },
  ]);
  expect(await collected(one.history(2))).toHaveLength(3);
});

test('one that throws does not spoil those it is written with', async () => {
  const one = await journal(await folder());
  const results = await Promise.allSettled([
    one.append('x', by, () => 'a'),
    one.append('y', by, () => {
      throw new Error('refused');
    }),
    one.append('z', by, () => 'c'),
  ]);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(one.applied).toEqual(['a', 'c']);
});

test('what another process wrote is noticed with one look, and read', async () => {
  const path = await folder();
  const [one, other] = [await journal(path), await journal(path)];
  expect(one.isCurrent()).toBe(true);
  await write(other, ...'abcdefghijklmnopqrstuvwxyz');
  expect(one.isCurrent()).toBe(false);
  expect(one.applied).toEqual([]);
  await one.catchUp();
  expect(one.isCurrent()).toBe(true);
  expect(one.applied.join('')).toBe('abcdefghijklmnopqrstuvwxyz');
});

test('whoever comes second is asked again, having seen the first', async () => {
  const path = await folder();
  const [one, other] = [await journal(path), await journal(path)];
  const asked: string[] = [];
  const written = await one.append('x', by, async () => {
    asked.push(one.applied.join(''));
    if (asked.length === 1) await write(other, 'first');
    return 'second';
  });
  expect(written?.number).toBe(2);
  expect(asked).toEqual(['', 'first']);
  expect(one.applied).toEqual(['first', 'second']);
  await other.catchUp();
  expect(other.applied).toEqual(['first', 'second']);
});

test('two that write at the same time lose nothing, and see the same order', async () => {
  const path = await folder();
  const both = [await journal(path), await journal(path)] as const;
  await Promise.all(
    both.flatMap((one, which) =>
      Array.from({ length: 40 }, (_, n) => one.append(`${n % 3}`, by, () => `${which}-${n}`)),
    ),
  );
  for (const one of both) await one.catchUp();
  expect(both[0].applied).toEqual(both[1].applied);
  expect(new Set(both[0].applied).size).toBe(80);
  expect(readdirSync(dirname(fileOf(path, 1)))).toHaveLength(both[0].number);
  expect((await journal(path)).applied).toEqual(both[0].applied);
});

test('a number that is taken by the very object that was to be written was taken by ourselves', async () => {
  // A file system over a network may do a thing twice and tell of the second time.
  const one = await journal(await folder(), {
    disk: diskWith({
      async link(from, to) {
        await realDisk.link(from, to);
        await realDisk.link(from, to);
      },
    }),
  });
  await write(one, 'a', 'b');
  expect(one.number).toBe(2);
  expect((await journal(one.path)).applied).toEqual(['a', 'b']);
});

test('an object and every folder above it is synced before it counts', async () => {
  const path = await folder();
  const synced: string[] = [];
  const disk = diskWith({
    async open(file, flags, mode) {
      const opened = await realDisk.open(file, flags, mode);
      const place = relative(path, file).replace(/\d+-\w+-\d+/, 'new') || '.';
      const note = (kind: string) => synced.push(`${kind} ${place}`);
      return {
        ...fileOperations(opened),
        datasync: () => opened.datasync().then(() => void note('data')),
        sync: () => opened.sync().then(() => void note('folder')),
      };
    },
  });
  const one = await journal(path, { disk });
  await one.append('x', by, () => 'a').then(() => synced.push('acknowledged'));
  expect(synced.shift()).toBe('data staging/new');
  expect(synced.pop()).toBe('acknowledged');
  expect(synced.sort()).toEqual([
    'folder .',
    'folder ..',
    'folder journal',
    'folder journal/v1',
    'folder journal/v1/acme',
    'folder journal/v1/acme/npm',
  ]);
  synced.length = 0;
  await write(one, 'b');
  expect(synced).toEqual(['data staging/new', 'folder journal/v1/acme/npm']);
});

describe('an object that can not be read', () => {
  const texts: readonly (readonly [string, string, RegExp])[] = [
    ['is torn', '{"v":1,"writer":"x","at":"2026-', /it is no JSON/],
    ['is empty', '', /it is no JSON/],
    ['is something else', '{"hello":1}', /it is no object of a journal/],
    ['is of a newer version', '{"v":2}', /newer version of Larder wrote it \(v 2\)/],
  ];

  test.each(texts)('because it %s stops everything after it, and says what to do', async (_, text, why) => {
    const one = await journal(await folder());
    const other = await journal(one.path);
    await write(one, 'a', 'b', 'c');
    await other.catchUp();
    await write(one, 'd', 'e');
    writeFileSync(fileOf(one.path, 4), text);
    const refusal = { code: 'storage_unavailable', message: expect.stringMatching(why) };
    await expect(other.catchUp()).rejects.toMatchObject(refusal);
    await expect(other.append('x', by, () => 'f')).rejects.toMatchObject(refusal);
    await expect(journal(one.path)).rejects.toMatchObject({
      message: expect.stringContaining(journalObjectName(name, 4)),
    });
    expect(other.applied).toEqual(['a', 'b', 'c']);
    expect(existsSync(fileOf(one.path, 6))).toBe(false);
  });

  test('because it is missing before others stops everything, too', async () => {
    const one = await journal(await folder());
    await write(one, 'a', 'b', 'c');
    rmSync(fileOf(one.path, 2));
    await expect(journal(one.path)).rejects.toMatchObject({ code: 'storage_unavailable' });
  });

  test('for the moment is read when it can be', async () => {
    const path = await folder();
    await write(await journal(path), 'a');
    let broken = false;
    const disk = diskWith({
      existsNow(file) {
        if (broken) throw Object.assign(new Error('no'), { code: 'EIO' });
        return realDisk.existsNow(file);
      },
    });
    const one = await journal(path, { disk });
    broken = true;
    expect(one.isCurrent()).toBe(false);
    await expect(one.catchUp()).rejects.toMatchObject({ code: 'storage_unavailable' });
    broken = false;
    await one.catchUp();
    await write(one, 'b');
    expect(one.applied).toEqual(['a', 'b']);
  });
});

test('a temporary file that a crash left half-written is no object', async () => {
  const path = await folder();
  const one = await journal(path);
  await write(one, 'a');
  writeFileSync(join(path, 'staging', '99999-0123456789ab-1'), '{"v":1,"writer"');
  const again = await journal(path);
  await write(again, 'b');
  expect(again.applied).toEqual(['a', 'b']);
});

describe('checkpoints', () => {
  const options = { checkpointEvery: 10 };

  async function written(count: number): Promise<Opened> {
    const one = await journal(await folder(), options);
    for (let n = 1; n <= count; n += 1) await write(one, `${n}`);
    await one.settled();
    return one;
  }

  /** What is left of a start when the objects up to the checkpoint need not be read. */
  async function replayed(path: string): Promise<{ applied: string[]; read: number }> {
    let read = 0;
    const again = await journal(path, {
      ...options,
      disk: diskWith({
        readFile(file) {
          if (/\/\d{20}\.json$/.test(file)) read += 1;
          return realDisk.readFile(file);
        },
        // Looking ahead is not what is counted.
        existsNow: realDisk.existsNow,
      }),
    });
    await again.settled();
    return { applied: again.applied, read: Math.min(read, again.all.length) };
  }

  const numbers = (count: number) => Array.from({ length: count }, (_, n) => `${n + 1}`);

  test('spare a start the objects before them; the last two are kept', async () => {
    const one = await written(45);
    expect(checkpoints(one.path).map((file) => Number.parseInt(file, 10))).toEqual([30, 40]);
    expect(await replayed(one.path)).toEqual({ applied: numbers(45), read: 5 });
    expect((await collected(one.history())).at(-1)).toMatchObject({ number: 1, change: '1' });
  });

  const damages: readonly (readonly [string, (text: string) => string])[] = [
    ['cut off', (text) => text.slice(0, -40)],
    ['cut off at the end of a line', (text) => text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1)],
    ['empty', () => ''],
    ['full of zeros', (text) => '\0'.repeat(text.length)],
    ['changed', (text) => text.replace('"17"', '"71"')],
    ['of another version', (text) => signed(text.replace('"v":1', '"v":2'))],
    ['of another journal', (text) => signed(text.replace(name, 'acme/gem'))],
    ['of another number', (text) => signed(text.replace('"number":40', '"number":41'))],
  ];

  /** With the digest that it ought to have. */
  function signed(text: string): string {
    const footerAt = text.lastIndexOf('\n', text.length - 2) + 1;
    const body = text.slice(0, footerAt);
    const footer = { ...JSON.parse(text.slice(footerAt)), sha256: hexOf(digestOf(Buffer.from(body))) };
    return `${body}${JSON.stringify(footer)}\n`;
  }

  test.each(damages)('that are %s are not believed: the one before is', async (_, damage) => {
    const one = await written(45);
    const file = join(one.path, checkpointName(name, 40));
    writeFileSync(file, damage(readFileSync(file, 'utf8')));
    expect(await replayed(one.path)).toEqual({ applied: numbers(45), read: 15 });
    rmSync(join(one.path, checkpointName(name, 30)));
    expect(await replayed(one.path)).toMatchObject({ applied: numbers(45), read: 45 });
  });

  test('that know more than the journal are not believed: an older journal was put back', async () => {
    const one = await written(45);
    for (let number = 36; number <= 45; number += 1) rmSync(fileOf(one.path, number));
    expect(await replayed(one.path)).toEqual({ applied: numbers(35), read: 5 });
  });

  test('that can not be restored cost only a longer start', async () => {
    const told = heard('fault');
    const one = await written(15);
    const journals = openJournals({ objects: objectsIn(one.path) });
    const applied: string[] = [];
    await journals.open<string>({
      name,
      apply: ({ change }) => void applied.push(change),
      restore(values) {
        for (const _ of values) throw new Error('what is this');
      },
    });
    expect(applied).toEqual(numbers(15));
    expect(told).toMatchObject([{ where: 'journal' }]);
  });

  test('of much are written less often', async () => {
    const path = await folder();
    const journals = openJournals({ objects: objectsIn(path), checkpointEvery: 10 });
    const one = await journals.open<string>({
      name,
      apply() {},
      snapshot: () => Array.from({ length: 100 }, (_, n) => n),
      restore() {},
    });
    for (let n = 1; n <= 34; n += 1) await one.append('x', by, () => `${n}`);
    await journals.settled();
    expect(checkpoints(path)).toHaveLength(1);
    await one.append('x', by, () => '35');
    await journals.settled();
    expect(checkpoints(path)).toHaveLength(2);
  });

  test('that can not be written are told of, and nothing else is lost', async () => {
    const told = heard('fault');
    const path = await folder();
    mkdirSync(join(path, 'journal/v1', name), { recursive: true });
    writeFileSync(join(path, checkpointsPrefix(name)), 'in the way');
    const one = await journal(path, { checkpointEvery: 2 });
    await write(one, 'a', 'b', 'c');
    await one.settled();
    expect(told[0]).toMatchObject({ where: 'journal' });
    expect((await journal(path)).applied).toEqual(['a', 'b', 'c']);
  });
});

describe('whatever disk operation fails while two write', () => {
  const kinds = Object.entries(faults).filter(([, fault]) => fault.code !== undefined);

  // Every third one is enough to see something break; all of them take a minute.
  test.each(kinds.map((kind, first) => [...kind, first + 1] as const))('%s', async (_, fault, first) => {
    let failed = 0;
    for (let at = first; ; at += 3) {
      const path = await folder();
      const disk = faultyDisk(at, fault);
      const acknowledged: string[] = [];
      const refused: string[] = [];
      const unclear: string[] = [];
      const other = await journal(path);
      const one = await journal(path, { disk, checkpointEvery: 2 }).catch(() => undefined);
      if (!one) continue;
      const append = (to: Opened, change: string) =>
        to
          .append('x', by, () => change)
          .then(
            () => acknowledged.push(change),
            (error) => {
              expect(error).toMatchObject({ code: 'storage_unavailable' });
              (/may have happened/.test(error.message) ? unclear : refused).push(change);
            },
          );
      for (let n = 0; n < 3; n += 1) await Promise.all([append(one, `one ${n}`), append(other, `other ${n}`)]);
      disk.heal();
      await one.settled();
      await one.catchUp();
      await other.catchUp();
      const { applied } = await journal(path);
      expect(applied).toEqual(one.applied);
      expect(applied).toEqual(other.applied);
      expect(new Set(applied).size).toBe(applied.length);
      expect(applied.filter((change) => !unclear.includes(change)).sort()).toEqual(acknowledged.sort());
      expect(refused.filter((change) => applied.includes(change))).toEqual([]);
      expect(acknowledged.length).toBeGreaterThanOrEqual(4);
      if (disk.failed === undefined) break;
      failed += 1;
    }
    expect(failed).toBeGreaterThan(10);
  });
});

import { expect, it, onTestFinished } from 'vitest';
import { publish } from '../../src/core/events.ts';
import { createMissing, type MissingJobs } from '../../src/jobs/missing.ts';
import type { Facts } from '../../src/store/store.ts';

/** As the index keeps them, only in memory. */
function facts(): Facts<unknown> & { readonly size: number } {
  const all = new Map<string, unknown>();
  return {
    get: async (key) => all.get(key),
    set: (key, value) => void all.set(key, value),
    delete: (key) => void all.delete(key),
    async *entries() {
      yield* [...all];
    },
    get size() {
      return all.size;
    },
  };
}

function begin(kept: Facts<unknown>, most?: number): MissingJobs & { pass(ms: number): void } {
  let at = Date.parse('2026-01-01T00:00:00Z');
  const jobs = createMissing({ facts: kept, now: () => at, ...(most === undefined ? {} : { most }) });
  onTestFinished(() => jobs.close());
  return {
    ...jobs,
    pass(ms) {
      at += ms;
    },
  };
}

const miss = (path: string, repository = 'acme/npm', accept?: string): void =>
  publish('offline.miss', { repository, path, ...(accept === undefined ? {} : { accept }) });

const pathsOf = async (jobs: MissingJobs): Promise<string[]> => (await jobs.list('acme')).map(({ path }) => path);

it('counts what was asked for several times, and tells first and last', async () => {
  const jobs = begin(facts());
  miss('/b');
  jobs.pass(1000);
  miss('/a', 'acme/npm', 'text/html');
  miss('/b');
  miss('/b');
  expect(await jobs.list('acme')).toEqual([
    {
      repository: 'acme/npm',
      path: '/a',
      accept: 'text/html',
      count: 1,
      firstAt: '2026-01-01T00:00:01.000Z',
      lastAt: '2026-01-01T00:00:01.000Z',
    },
    {
      repository: 'acme/npm',
      path: '/b',
      count: 3,
      firstAt: expect.stringContaining('2026-01-01'),
      lastAt: '2026-01-01T00:00:01.000Z',
    },
  ]);
});

it('tells an organisation of its own repositories, and forgets those alone', async () => {
  const jobs = begin(facts());
  miss('/a');
  miss('/a', 'acme-2/npm');
  expect(await pathsOf(jobs)).toEqual(['/a']);
  expect(await jobs.clear('acme')).toBe(1);
  expect(await jobs.clear('acme')).toBe(0);
  expect(await jobs.list('acme')).toEqual([]);
  expect(await jobs.list('acme-2')).toHaveLength(1);
});

it('forgets what nobody asked for the longest when there is too much, also after it was begun anew', async () => {
  const kept = facts();
  const first = begin(kept, 3);
  for (const path of ['/a', '/b', '/c', '/a', '/d']) {
    miss(path);
    first.pass(1);
    await first.list('acme');
  }
  expect(await pathsOf(first)).toEqual(['/a', '/c', '/d']);
  await first.close();
  const second = begin(kept, 3);
  second.pass(1000);
  miss('/e');
  miss('/x'.repeat(3000));
  expect(await pathsOf(second)).toEqual(['/a', '/d', '/e']);
  expect(kept.size).toBe(3);
});

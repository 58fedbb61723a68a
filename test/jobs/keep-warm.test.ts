import { expect, it, onTestFinished } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import type { Repository } from '../../src/core/repository.ts';
import { createKeepWarm } from '../../src/jobs/keep-warm.ts';
import type { Facts } from '../../src/store/store.ts';

const hourMs = 3_600_000;

/** A repository that nothing is asked of. */
const repository = { id: 'acme/npm', org: 'acme', name: 'npm', sources: [] } as unknown as Repository;

it('begins when it is due, counted from when it was seen first, and across a restart', async () => {
  const kept = new Map<string, unknown>();
  const facts: Facts<unknown> = {
    get: async (key) => kept.get(key),
    set: (key, value) => void kept.set(key, value),
    delete: (key) => void kept.delete(key),
    async *entries() {
      yield* [...kept];
    },
  };
  let at = Date.parse('2026-01-01');
  let runs = 0;
  onTestFinished(subscribe('keep-warm', () => void runs++));
  const begin = () => {
    const jobs = createKeepWarm({
      facts,
      repositories: () => [repository, { ...repository, id: 'acme/other' }],
      settings: (id) => (id === 'acme/npm' ? { everyMs: 6 * hourMs, usedWithinMs: 24 * hourMs } : undefined),
      documents: {
        derived: { get: () => Promise.reject(new Error('nothing is derived')) },
        now: () => at,
        optionsOf: () => ({}),
      },
      origin: () => 'http://localhost',
      now: () => at,
    });
    onTestFinished(() => jobs.close());
    return jobs;
  };
  const first = begin();
  await first.look();
  at += 5 * hourMs;
  await first.look();
  expect(runs).toBe(0);
  at += hourMs;
  await first.look();
  await first.look();
  expect(runs).toBe(1);
  expect(first.state('acme/npm')).toMatchObject({ running: false, endedAt: '2026-01-01T06:00:00.000Z', failed: 0 });
  expect(first.state('acme/other')).toBeUndefined();
  await first.close();
  const second = begin();
  at += 5 * hourMs;
  await second.look();
  expect(runs).toBe(1);
  at += hourMs;
  await second.look();
  expect(runs).toBe(2);
});

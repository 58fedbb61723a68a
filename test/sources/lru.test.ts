import { expect, test } from 'vitest';
import { lruOf } from '../../src/sources/lru.ts';

test('what was used least recently makes way, as soon as there are too many', () => {
  const cache = lruOf<number>(2);
  cache.set('a', 1);
  cache.set('b', 2);
  cache.get('a');
  cache.set('c', 3);
  expect([...cache.keys()].toSorted()).toEqual(['a', 'c']);
});

test('a large one that is empty costs next to nothing', () => {
  const before = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  const caches = Array.from({ length: 100 }, () => lruOf<number>(100_000));
  const after = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  expect(caches).toHaveLength(100);
  expect(after - before).toBeLessThan(20_000_000);
});

/** Memory beside the heap is given back while bytes pass through, without a look at all of the heap. */
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { expect, onTestFinished, test } from 'vitest';
import { publish } from '../src/core/events.ts';
import { collectWhileBytesPass, garbageCollection } from '../src/garbage.ts';
import { eventually } from './support/wait.ts';

const pass = (bytes: number): void => publish('upstream.bytes', { upstream: 'u', bytes });

test('what is young is looked through once for each six megabytes that come, from upstreams and from clients', () => {
  const collected: unknown[] = [];
  const end = collectWhileBytesPass((options) => void collected.push(options));
  onTestFinished(end);
  for (let n = 0; n < 95; n += 1) pass(65_536);
  expect(collected).toEqual([]);
  publish('client.body', { bytes: 65_536 });
  expect(collected).toEqual([{ type: 'minor' }]);
  for (let n = 0; n < 95; n += 1) pass(65_536);
  expect(collected).toHaveLength(1);
  pass(65_536);
  expect(collected).toHaveLength(2);
  end();
  pass(1e9);
  expect(collected).toHaveLength(2);
});

test('V8 takes it for a look at the young alone', async () => {
  const kinds: unknown[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) kinds.push((entry as unknown as { detail: { kind: number } }).detail.kind);
  });
  observer.observe({ entryTypes: ['gc'] });
  onTestFinished(() => observer.disconnect());
  garbageCollection()({ type: 'minor' });
  await eventually('the collection is reported', () => kinds.length > 0);
  expect(kinds).toContain(constants.NODE_PERFORMANCE_GC_MINOR);
});

test('small buffers are cut from slabs of eight kilobytes', () => {
  onTestFinished(collectWhileBytesPass(() => {}));
  // What Node has begun to cut is used up first.
  const slabs = Array.from({ length: 100 }, () => Buffer.from('x'.repeat(3000)).buffer.byteLength);
  expect(new Set(slabs.slice(-50))).toEqual(new Set([8192]));
});

import { afterEach, beforeEach, expect, it } from 'vitest';
import { publish } from '../../src/core/events.ts';
import { type Metrics, startMetrics } from '../../src/telemetry/metrics.ts';
import { parseMetrics, type Metrics as Samples } from '../support/metrics.ts';

let metrics: Metrics;

beforeEach(() => {
  metrics = startMetrics({ upstreams: ['hub'] });
});
afterEach(() => metrics.stop());

const samples = async (): Promise<Samples> => parseMetrics((await metrics.text()).text);

it('says nothing of the disk and of gc before somebody looked: 0 would be an alarm', async () => {
  const names = (await samples()).samples.map(({ name }) => name);
  const later = ['larder_disk_free_bytes', 'larder_disk_bytes', 'larder_gc_timestamp_seconds', 'larder_gc_bytes'];
  expect(names.filter((name) => later.includes(name))).toEqual([]);
  publish('store.disk', { freeBytes: 10, sizeBytes: 100 });
  publish('store.collected', { at: 5000, trashed: 1, trashedBytes: 20, deleted: 2, freedBytes: 30 });
  const now = await samples();
  expect(later.map((name) => now.sum(name))).toEqual([10, 100, 5, 50]);
  expect(now.sum('larder_gc_bytes', { what: 'deleted' })).toBe(30);
});

it('tells what lies beside what is stored, as it was last seen', async () => {
  publish('store.beside', { place: 'trash', bytes: 10, objects: 1 });
  publish('store.beside', { place: 'trash', bytes: 30, objects: 3 });
  publish('store.beside', { place: 'quarantine', bytes: 0, objects: 0 });
  const now = await samples();
  expect(now.sum('larder_store_beside_bytes', { place: 'trash' })).toBe(30);
  expect(now.sum('larder_store_beside_objects', { place: 'trash' })).toBe(3);
});

it('tells how long nobody had used what was evicted', async () => {
  publish('store.evicted', { digest: 'sha256:a', bytes: 1, idleMs: 30_000 });
  publish('store.evicted', { digest: 'sha256:b', bytes: 1, idleMs: 5 * 86_400_000 });
  const now = await samples();
  expect(now.sum('larder_store_evicted_idle_seconds_bucket', { le: '60' })).toBe(1);
  expect(now.sum('larder_store_evicted_idle_seconds_bucket', { le: '604800' })).toBe(2);
});

it('counts when an upstream says that it is too much', async () => {
  const about = { exchange: 1, upstream: 'hub', origin: 'https://hub', method: 'GET', durationMs: 1 };
  expect((await samples()).samples).toContainEqual({
    name: 'larder_upstream_throttled_total',
    labels: { upstream: 'hub' },
    value: 0,
  });
  publish('upstream.response', { ...about, status: 429 });
  publish('upstream.response', { ...about, status: 404 });
  expect((await samples()).sum('larder_upstream_throttled_total', { upstream: 'hub' })).toBe(1);
});

import { channel } from 'node:diagnostics_channel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { publish } from '../../src/core/events.ts';
import { Problem, problems } from '../../src/core/problem.ts';
import { type Metrics, startMetrics } from '../../src/telemetry/metrics.ts';
import { parseMetrics, type Metrics as Samples } from '../support/metrics.ts';
import { eventually } from '../support/wait.ts';
import { request } from './events.ts';

let metrics: Metrics;

beforeEach(() => {
  metrics = startMetrics({ version: '1.2.3', maxSizeBytes: 5000, upstreams: ['npmjs'] });
});

afterEach(() => metrics.stop());

async function samples(): Promise<Samples> {
  return parseMetrics((await metrics.text()).text);
}

describe('requests', () => {
  it('are counted by repository, format, route, outcome and class of status', async () => {
    publish('request', request());
    publish('request', request());
    publish('request', request({ status: 304, outcome: 'revalidated', bytesSent: 0 }));
    publish('request', request({ repository: 'acme/npm', route: 'tarball', bytesSent: 7 }));
    const now = await samples();
    const labels = { repository: 'public/npm', format: 'npm', route: 'packument', outcome: 'hit', status_class: '2xx' };
    expect(now.sum('larder_requests_total', labels)).toBe(2);
    expect(now.sum('larder_requests_total', { outcome: 'revalidated', status_class: '3xx' })).toBe(1);
    expect(now.sum('larder_requests_total')).toBe(4);
    expect(now.sum('larder_client_bytes_total', { repository: 'public/npm', route: 'packument' })).toBe(200);
    expect(now.sum('larder_client_bytes_total', { repository: 'acme/npm', route: 'tarball' })).toBe(7);
  });

  it('fall into buckets that add up', async () => {
    for (const durationMs of [0.1, 0.5, 3, 3, 400_000]) publish('request', request({ durationMs }));
    const now = await samples();
    const bucket = (le: string): number =>
      now.sum('larder_request_duration_seconds_bucket', { format: 'npm', outcome: 'hit', le });
    expect(bucket('0.0005')).toBe(2);
    expect(bucket('0.0025')).toBe(2);
    expect(bucket('0.005')).toBe(4);
    expect(bucket('300')).toBe(4);
    expect(bucket('+Inf')).toBe(5);
    expect(now.sum('larder_request_duration_seconds_count')).toBe(5);
    expect(now.sum('larder_request_duration_seconds_sum')).toBeCloseTo(400.0066, 6);
  });

  it('that failed are counted by code, and every code is there from the start', async () => {
    const before = await samples();
    const codes = before.samples.filter(({ name }) => name === 'larder_failures_total');
    expect(codes.map(({ labels }) => labels.code).sort()).toEqual(Object.keys(problems).sort());
    publish('request', request({ status: 503, error: new Problem('upstream_unavailable', 'x') }));
    publish('request', request({ status: 500, error: new TypeError('x'), aborted: true }));
    const now = await samples();
    expect(now.sum('larder_failures_total', { code: 'upstream_unavailable' })).toBe(1);
    expect(now.sum('larder_failures_total', { code: 'internal' })).toBe(1);
    expect(now.sum('larder_failures_total')).toBe(2);
    expect(now.sum('larder_requests_aborted_total', { format: 'npm' })).toBe(1);
  });

  it('count the same however often they are read', async () => {
    publish('request', request());
    await samples();
    expect((await samples()).sum('larder_requests_total')).toBe(1);
  });

  it('cannot fill memory with labels', async () => {
    for (let i = 0; i < 21_000; i++) publish('request', request({ route: `r${i}` }));
    const now = await samples();
    const labels = now.samples.filter(({ name }) => name === 'larder_requests_total');
    expect(labels.length).toBeLessThanOrEqual(20_001);
    expect(now.sum('larder_requests_total', { route: 'other', repository: 'other' })).toBe(1000);
    expect(now.sum('larder_requests_total')).toBe(21_000);
  });
});

it('tells about upstreams', async () => {
  const before = await samples();
  expect(before.samples).toContainEqual({
    name: 'larder_upstream_retries_total',
    labels: { upstream: 'npmjs' },
    value: 0,
  });
  expect(before.samples).toContainEqual({
    name: 'larder_upstream_bytes_total',
    labels: { upstream: 'npmjs' },
    value: 0,
  });
  const about = { exchange: 1, upstream: 'npmjs', origin: 'https://a', method: 'GET' };
  publish('upstream.response', { ...about, status: 200, durationMs: 30 });
  publish('upstream.response', { ...about, status: 404, durationMs: 30 });
  publish('upstream.failure', { ...about, code: 'timeout', durationMs: 30 });
  publish('upstream.retry', { upstream: 'npmjs', attempt: 1, waitMs: 10 });
  publish('upstream.bytes', { upstream: 'npmjs', bytes: 10 });
  publish('upstream.bytes', { upstream: 'npmjs', bytes: 5 });
  publish('upstream.queue', { upstream: 'npmjs', waiting: 4, running: 2, own: { waiting: 4, running: 2 } });
  publish('upstream.quota', { upstream: 'npmjs', limit: 100 });
  publish('upstream.quota', { upstream: 'npmjs', remaining: 99 });
  publish('breaker', { origin: 'https://a', state: 'open' });
  publish('breaker', { origin: 'https://b', state: 'half-open' });
  const now = await samples();
  const upstream = { upstream: 'npmjs' };
  expect(now.sum('larder_upstream_responses_total', { ...upstream, status_class: '4xx' })).toBe(1);
  expect(now.sum('larder_upstream_duration_seconds_bucket', { ...upstream, le: '0.05' })).toBe(2);
  expect(now.sum('larder_upstream_failures_total', { ...upstream, code: 'timeout' })).toBe(1);
  expect(now.sum('larder_upstream_retries_total', upstream)).toBe(1);
  expect(now.sum('larder_upstream_bytes_total', upstream)).toBe(15);
  expect(now.sum('larder_upstream_waiting', upstream)).toBe(4);
  expect(now.sum('larder_upstream_running', upstream)).toBe(2);
  expect(now.sum('larder_upstream_quota_limit', upstream)).toBe(100);
  expect(now.sum('larder_upstream_quota_remaining', upstream)).toBe(99);
  expect(now.sum('larder_breaker_state', { origin: 'https://a' })).toBe(2);
  expect(now.sum('larder_breaker_state', { origin: 'https://b' })).toBe(1);
});

it('keeps the number of origins small, because documents may name any', async () => {
  for (let i = 0; i < 300; i++) publish('breaker', { origin: `https://h${i}`, state: 'open' });
  const now = await samples();
  expect(now.samples.filter(({ name }) => name === 'larder_breaker_state')).toHaveLength(201);
});

it('tells about downloads', async () => {
  const url = 'https://a/x';
  expect((await samples()).samples).toContainEqual({
    name: 'larder_downloads_total',
    labels: { outcome: 'abandoned' },
    value: 0,
  });
  publish('download.start', { download: 1, url });
  publish('download.start', { download: 2, url });
  publish('download.end', { download: 1, url, bytes: 1, outcome: 'stored' });
  publish('download.reader', { change: 1, joined: false });
  publish('download.reader', { change: 1, joined: true });
  publish('download.reader', { change: -1, joined: true });
  publish('download.resume', { url, offset: 1 });
  publish('download.mismatch', { url, expected: 'a', actual: 'b' });
  const now = await samples();
  expect(now.sum('larder_downloads_in_flight')).toBe(1);
  expect(now.sum('larder_downloads_total', { outcome: 'stored' })).toBe(1);
  expect(now.sum('larder_download_readers')).toBe(1);
  expect(now.sum('larder_download_joined_total')).toBe(1);
  expect(now.sum('larder_download_resumes_total')).toBe(1);
  expect(now.sum('larder_download_mismatches_total')).toBe(1);
});

it('tells about documents, the store and faults', async () => {
  publish('document.derived', { format: 'npm', type: 'packument', durationMs: 2, where: 'worker', bytes: 1 });
  publish('document.invalid', { url: 'https://a', reason: 'x' });
  publish('contradiction', { repository: 'public/npm', path: 'x', kept: 'a', told: 'b' });
  publish('store.size', { bytes: 123, entries: 4 });
  publish('store.evicted', { digest: 'sha256:a', bytes: 6, idleMs: 7_200_000 });
  publish('store.full', { full: true, reason: 'disk' });
  publish('store.damaged', { digest: 'sha256:a', reason: 'short' });
  publish('fault', { where: 'storing some/package', error: new Error('x') });
  publish('fault', { where: 'storing another/package', error: new Error('x') });
  const now = await samples();
  expect(now.sum('larder_documents_derived_total', { format: 'npm', type: 'packument', where: 'worker' })).toBe(1);
  expect(now.sum('larder_document_derive_duration_seconds_count', { where: 'worker' })).toBe(1);
  expect(now.sum('larder_documents_invalid_total')).toBe(1);
  expect(now.sum('larder_contradictions_total', { repository: 'public/npm' })).toBe(1);
  expect(now.sum('larder_store_bytes')).toBe(123);
  expect(now.sum('larder_store_entries')).toBe(4);
  expect(now.sum('larder_store_max_bytes')).toBe(5000);
  expect(now.sum('larder_store_evictions_total')).toBe(1);
  expect(now.sum('larder_store_evicted_bytes_total')).toBe(6);
  expect(now.sum('larder_store_full')).toBe(1);
  expect(now.sum('larder_store_damaged_total')).toBe(1);
  expect(now.sum('larder_faults_total', { where: 'storing' })).toBe(2);
  publish('store.full', { full: false, reason: '' });
  expect((await samples()).sum('larder_store_full')).toBe(0);
});

it('tells about the process', async () => {
  const now = await samples();
  expect(now.sum('larder_build_info', { version: '1.2.3', node: process.version })).toBe(1);
  expect(now.sum('process_resident_memory_bytes')).toBeGreaterThan(1_000_000);
});

it('sees a held-up event loop once, and not for ever', async () => {
  const longest = async (): Promise<number> =>
    (await samples()).sum('larder_event_loop_delay_seconds', { quantile: '1' });
  await longest();
  await eventually('it is seen', async () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
    await new Promise((done) => setImmediate(done));
    return (await longest()) > 0.1;
  });
  await eventually('it is forgotten', async () => (await longest()) < 0.1);
});

it('hears nothing after it was stopped, and can be started again', async () => {
  metrics.stop();
  expect(channel('larder:request').hasSubscribers).toBe(false);
  metrics = startMetrics();
  expect((await samples()).sum('larder_requests_total')).toBe(0);
  publish('request', request());
  const { contentType, text } = await metrics.text();
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(parseMetrics(text).sum('larder_requests_total')).toBe(1);
});

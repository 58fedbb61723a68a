import { afterEach, beforeEach, expect, it } from 'vitest';
import { publish } from '../../src/core/events.ts';
import { Problem } from '../../src/core/problem.ts';
import { type Metrics, startMetrics } from '../../src/telemetry/metrics.ts';
import { parseMetrics, type Metrics as Samples } from '../support/metrics.ts';
import { request } from './events.ts';

let metrics: Metrics;

beforeEach(() => {
  metrics = startMetrics();
});
afterEach(() => metrics.stop());

const samples = async (): Promise<Samples> => parseMetrics((await metrics.text()).text);

it('tells requests of one organisation from those of another', async () => {
  publish('request', request({ repository: 'acme/npm', durationMs: 20 }));
  publish('request', request({ repository: 'acme/more', durationMs: 20 }));
  publish('request', request({ repository: 'public/npm', aborted: true }));
  publish('request', request({ repository: '-', format: '-', outcome: '-' }));
  const now = await samples();
  expect(now.sum('larder_requests_total', { org: 'acme' })).toBe(2);
  expect(now.sum('larder_client_bytes_total', { org: 'acme', repository: 'acme/more' })).toBe(100);
  expect(
    now.sum('larder_request_duration_seconds_bucket', { org: 'acme', format: 'npm', outcome: 'hit', le: '0.025' }),
  ).toBe(2);
  expect(now.sum('larder_requests_aborted_total', { org: 'public', format: 'npm' })).toBe(1);
  expect(now.sum('larder_requests_total', { org: '-' })).toBe(1);
});

it('measures the first byte apart from the last, of those that had one', async () => {
  publish('request', request({ firstByteMs: 3, durationMs: 4000 }));
  const { firstByteMs: _none, ...without } = request({ durationMs: 4000 });
  publish('request', without);
  const now = await samples();
  const labels = { org: 'public', format: 'npm', outcome: 'hit' };
  expect(now.sum('larder_request_first_byte_seconds_bucket', { ...labels, le: '0.0025' })).toBe(0);
  expect(now.sum('larder_request_first_byte_seconds_bucket', { ...labels, le: '0.005' })).toBe(1);
  expect(now.sum('larder_request_first_byte_seconds_count', labels)).toBe(1);
  expect(now.sum('larder_request_first_byte_seconds_sum', labels)).toBeCloseTo(0.003, 9);
  expect(now.sum('larder_request_duration_seconds_count', labels)).toBe(2);
  expect(now.sum('larder_request_duration_seconds_bucket', { ...labels, le: '2.5' })).toBe(0);
  expect(now.sum('larder_request_duration_seconds_bucket', { ...labels, le: '5' })).toBe(2);
});

it('counts who asked, and whoever is nobody that is known as the rest', async () => {
  publish('request', request({ repository: 'acme/npm' }));
  publish('request', request({ repository: 'acme/npm', who: 'user' }));
  publish('request', request({ repository: 'acme/npm', who: 'user' }));
  publish('request', request({ repository: 'acme/files', who: 'ci' }));
  publish('request', request({ repository: 'public/npm', who: 'rejected' }));
  publish('request', request({ repository: '-', format: '-', outcome: '-' }));
  const now = await samples();
  const count = (org: string, kind: string): number => now.sum('larder_identities_total', { org, kind });
  expect(count('acme', 'user')).toBe(2);
  expect(count('acme', 'ci')).toBe(1);
  expect(count('acme', 'anonymous')).toBe(1);
  expect(count('public', 'rejected')).toBe(1);
  expect(count('public', 'anonymous')).toBe(0);
  expect(now.sum('larder_identities_total')).toBe(5);
});

it.each([
  ['unauthorized', undefined, 'anonymous'],
  ['unauthorized', 'rejected', 'rejected'],
  ['forbidden', 'service', 'service'],
  ['quota_exceeded', 'user', 'user'],
  ['too_many_requests', undefined, 'anonymous'],
] as const)('counts %s of %s as a refusal', async (code, who, kind) => {
  publish(
    'request',
    request({
      repository: 'acme/npm',
      status: 403,
      error: new Problem(code, 'x'),
      ...(who === undefined ? {} : { who }),
    }),
  );
  expect((await samples()).sum('larder_access_refusals_total', { org: 'acme', code, kind })).toBe(1);
});

it('counts as a refusal neither other problems nor those of the control plane', async () => {
  publish('request', request({ status: 404, error: new Problem('not_found', 'x') }));
  publish('request', request({ repository: '-', status: 401, error: new Problem('unauthorized', 'x') }));
  expect((await samples()).sum('larder_access_refusals_total')).toBe(0);
});

it('has histograms of so many organisations and no more; what is beyond still counts', async () => {
  for (let i = 0; i < 2100; i++) publish('request', request({ repository: `org${i}/npm` }));
  publish('request', request({ repository: 'org7/npm' }));
  const now = await samples();
  const groups = now.samples.filter(({ name }) => name === 'larder_request_duration_seconds_count');
  expect(groups).toHaveLength(2001);
  expect(now.sum('larder_request_duration_seconds_count', { org: 'org7' })).toBe(2);
  expect(now.sum('larder_request_duration_seconds_count', { org: 'other' })).toBe(100);
  expect(now.sum('larder_request_first_byte_seconds_count')).toBe(2101);
});

it('writes every label so that it can be read again', async () => {
  publish('request', request({ route: 'a"b\\c\nd' }));
  const { text } = await metrics.text();
  expect(text).toContain('route="a\\"b\\\\c\\nd"');
});

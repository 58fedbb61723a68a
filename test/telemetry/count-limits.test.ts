import { afterEach, beforeEach, expect, it } from 'vitest';
import { publish } from '../../src/core/events.ts';
import { type Metrics, startMetrics } from '../../src/telemetry/metrics.ts';
import { parseMetrics, type Metrics as Samples } from '../support/metrics.ts';

let metrics: Metrics;

beforeEach(() => {
  metrics = startMetrics();
});

afterEach(() => metrics.stop());

async function samples(): Promise<Samples> {
  return parseMetrics((await metrics.text()).text);
}

it('tells who met which limit, and whose it was', async () => {
  const name = 'larder_limited_total';
  const { samples: before } = await samples();
  for (const kind of ['requests', 'transfers', 'bandwidth', 'connections']) {
    expect(before).toContainEqual({ name, labels: { org: '-', by: 'address', kind }, value: 0 });
  }
  publish('limited', { by: 'identity', kind: 'requests', org: 'acme', remote: '192.0.2.1', requestId: 'r' });
  publish('limited', { by: 'identity', kind: 'requests', org: 'acme', remote: '192.0.2.2', requestId: 's' });
  publish('limited', { by: 'address', kind: 'connections', org: '-', remote: '192.0.2.1' });
  const now = await samples();
  expect(now.sum(name, { org: 'acme', by: 'identity', kind: 'requests' })).toBe(2);
  expect(now.sum(name, { org: '-', by: 'address', kind: 'connections' })).toBe(1);
  expect(now.sum(name)).toBe(3);
});

it('tells how long transfers waited, who was too slow, and who is connected', async () => {
  publish('throttled', { by: 'org', org: 'acme', ms: 1500 });
  publish('throttled', { by: 'org', org: 'acme', ms: 500 });
  publish('client.slow', { kind: 'body', remote: '192.0.2.1' });
  publish('connections', { open: 12, idle: 7 });
  publish('connections', { open: 10, idle: 5 });
  const now = await samples();
  expect(now.sum('larder_throttled_seconds_total', { org: 'acme', by: 'org' })).toBe(2);
  expect(now.sum('larder_slow_clients_total', { kind: 'body' })).toBe(1);
  expect(now.sum('larder_slow_clients_total', { kind: 'reader' })).toBe(0);
  expect(now.sum('larder_connections', { state: 'open' })).toBe(10);
  expect(now.sum('larder_connections', { state: 'idle' })).toBe(5);
});

import { afterEach, beforeEach, expect, it } from 'vitest';
import { publish } from '../../src/core/events.ts';
import { type Metrics, startMetrics } from '../../src/telemetry/metrics.ts';
import { parseMetrics, type Metrics as Samples } from '../support/metrics.ts';

let metrics: Metrics;
let published: { org: string; bytes: number; maxBytes?: number }[];

beforeEach(() => {
  published = [
    { org: 'acme', bytes: 700, maxBytes: 1000 },
    { org: 'beta', bytes: 5 },
  ];
  metrics = startMetrics({ hosted: () => published });
});

afterEach(() => metrics.stop());

async function samples(): Promise<Samples> {
  return parseMetrics((await metrics.text()).text);
}

it('tells who waits for an upstream and who was turned away', async () => {
  const acme = { upstream: 'npmjs', org: 'acme' };
  publish('upstream.queue', { ...acme, waiting: 9, running: 4, own: { waiting: 7, running: 3 } });
  publish('upstream.queue', { upstream: 'npmjs', waiting: 9, running: 4, own: { waiting: 2, running: 1 } });
  const before = await samples();
  expect(before.samples).toContainEqual({ name: 'larder_upstream_turned_away_total', labels: acme, value: 0 });
  publish('upstream.turned-away', acme);
  publish('upstream.turned-away', { upstream: 'npmjs' });
  const now = await samples();
  expect(now.sum('larder_upstream_org_waiting', acme)).toBe(7);
  expect(now.sum('larder_upstream_org_running', acme)).toBe(3);
  expect(now.sum('larder_upstream_org_waiting', { org: '-' })).toBe(2);
  expect(now.sum('larder_upstream_turned_away_total', acme)).toBe(1);
  expect(now.sum('larder_upstream_turned_away_total')).toBe(2);
});

it('tells what is published, and what may be', async () => {
  const before = await samples();
  expect(before.sum('larder_org_hosted_bytes', { org: 'acme' })).toBe(700);
  expect(before.sum('larder_org_hosted_bytes', { org: 'beta' })).toBe(5);
  const allowed = before.samples.filter(({ name }) => name === 'larder_org_hosted_max_bytes');
  expect(allowed).toEqual([{ name: 'larder_org_hosted_max_bytes', labels: { org: 'acme' }, value: 1000 }]);

  published = [{ org: 'acme', bytes: 900, maxBytes: 1000 }];
  expect((await samples()).sum('larder_org_hosted_bytes')).toBe(900);
});

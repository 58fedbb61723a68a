import { afterEach, expect, it } from 'vitest';
import { publish } from '../../src/core/events.ts';
import type { Known } from '../../src/telemetry/count.ts';
import { type Metrics, startMetrics } from '../../src/telemetry/metrics.ts';
import { parseMetrics, type Metrics as Samples } from '../support/metrics.ts';

let metrics: Metrics | undefined;

afterEach(() => metrics?.stop());

function start(known: Known = {}): () => Promise<Samples> {
  const started = startMetrics(known);
  metrics = started;
  return async () => parseMetrics((await started.text()).text);
}

it('counts sign-ins by how and with what outcome, each from 0', async () => {
  const samples = start();
  expect((await samples()).samples).toContainEqual({
    name: 'larder_sign_ins_total',
    labels: { how: 'exchange', outcome: 'failed' },
    value: 0,
  });
  publish('sign-in', { how: 'password', outcome: 'refused' });
  publish('sign-in', { how: 'password', outcome: 'refused' });
  publish('sign-in', { how: 'registry', outcome: 'done' });
  const now = await samples();
  expect(now.sum('larder_sign_ins_total', { how: 'password', outcome: 'refused' })).toBe(2);
  expect(now.sum('larder_sign_ins_total')).toBe(3);
});

it('looks up how many tokens there are each time it is asked', async () => {
  let org = 'acme';
  const samples = start({ tokens: () => [{ org, kind: 'service', state: 'expiring', count: 3 }] });
  const labels = { org: 'acme', kind: 'service', state: 'expiring' };
  expect((await samples()).sum('larder_tokens', labels)).toBe(3);
  org = 'other';
  expect((await samples()).sum('larder_tokens', labels)).toBe(0);
  expect((await samples()).sum('larder_tokens')).toBe(3);
});

it('counts what policy holds back by its rule, and what is published by what was done; names stay out', async () => {
  const samples = start();
  const repository = 'acme/npm';
  publish('policy.block', { repository, name: '@acme/secret', version: '1.0.0', rule: 'age', reason: 'young' });
  const change = {
    repository,
    format: 'npm',
    name: '@acme/secret',
    versions: ['1.0.0'],
    number: 1,
    by: 'user:acme/ann',
  };
  publish('hosted.change', { ...change, action: 'publish', bytes: 500 });
  publish('hosted.change', { ...change, action: 'publish', bytes: 700 });
  publish('hosted.change', { ...change, action: 'delete', bytes: 0 });
  const now = await samples();
  expect(now.sum('larder_policy_blocks_total', { repository, rule: 'age' })).toBe(1);
  expect(now.sum('larder_hosted_changes_total', { repository, format: 'npm', action: 'publish' })).toBe(2);
  expect(now.sum('larder_hosted_changes_total', { action: 'delete' })).toBe(1);
  expect(now.sum('larder_hosted_added_bytes_total', { repository })).toBe(1200);
  expect((await metrics?.text())?.text).not.toMatch(/secret|ann\b/);
});

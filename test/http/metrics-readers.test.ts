import type { IncomingMessage } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fileSchema } from '../../src/config/schema.ts';
import { Problem } from '../../src/core/problem.ts';
import { createBase } from '../../src/http/base.ts';
import { factsOf } from '../../src/http/facts.ts';
import { createReaders } from '../../src/http/metrics-readers.ts';
import { startLarder } from '../support/larder.ts';

const { from: usual } = fileSchema.shape.metrics.parse(undefined);

/** 200, or the code with which a request from there is refused. */
function asked(
  address: string,
  headers: Readonly<Record<string, string>> = {},
  { from = usual, trustedProxies = [] }: { from?: readonly string[]; trustedProxies?: readonly string[] } = {},
): number | string {
  const baseOf = createBase({ trustedProxies });
  const refuseOthers = createReaders({ from: () => from, remoteOf: (req) => baseOf(factsOf(req)).remote });
  const req = { socket: { remoteAddress: address }, headers: { host: 'larder', ...headers } };
  try {
    refuseOthers(req as unknown as IncomingMessage);
    return 200;
  } catch (error) {
    return error instanceof Problem ? error.code : String(error);
  }
}

describe('metrics, unless something else is set', () => {
  it.each([
    ['loopback', '127.0.0.1'],
    ['loopback, version 6', '::1'],
    ['loopback as a dual-stack socket tells it', '::ffff:127.0.0.1'],
    ['a network of containers', '172.18.0.5'],
    ['a pod', '10.244.3.7'],
    ['a pod in shared address space', '100.64.1.1'],
    ['an office', '192.168.1.20'],
    ['a private network, version 6', 'fd12:3456::1'],
  ])('are shown to %s', (_, address) => expect(asked(address)).toBe(200));

  it.each([
    ['the internet', '203.0.113.9'],
    ['the internet, version 6', '2001:db8::1'],
    ['the internet through a dual-stack socket', '::ffff:203.0.113.9'],
    ['what is nearly private', '172.32.0.1'],
    ['a connection without an address', ''],
  ])('are not shown to %s', (_, address) => expect(asked(address)).toBe('forbidden'));
});

describe('metrics through a proxy', () => {
  const outside = { 'x-forwarded-for': '203.0.113.9' };
  const inside = { 'x-forwarded-for': '10.1.2.3' };
  const known = { trustedProxies: ['127.0.0.1'] };

  it('that is trusted go by the address it tells', () => {
    expect(asked('127.0.0.1', outside, known)).toBe('forbidden');
    expect(asked('127.0.0.1', inside, known)).toBe(200);
    expect(asked('127.0.0.1', { forwarded: 'for=203.0.113.9' }, known)).toBe('forbidden');
    expect(asked('127.0.0.1', { ...outside, forwarded: 'for=10.1.2.3' }, known)).toBe('forbidden');
    expect(asked('127.0.0.1', { 'x-forwarded-for': '127.0.0.1, 203.0.113.9' }, known)).toBe('forbidden');
  });

  it('that is trusted and tells no address are not shown', () => {
    expect(asked('127.0.0.1', { 'x-forwarded-for': 'unknown' }, known)).toBe('forbidden');
    expect(asked('127.0.0.1', { forwarded: 'for=_hidden' }, known)).toBe('forbidden');
    expect(asked('127.0.0.1', { 'x-forwarded-host': 'larder.example' }, known)).toBe('forbidden');
  });

  it('that nobody trusts are not shown, whatever it says', () => {
    for (const headers of [outside, inside, { forwarded: 'for=10.1.2.3' }, { 'x-real-ip': '10.1.2.3' }]) {
      expect(asked('127.0.0.1', headers)).toBe('forbidden');
    }
  });
});

it('shows metrics to those who are named, and to everybody if all are', () => {
  const from = ['203.0.113.0/24'];
  expect(asked('203.0.113.9', {}, { from })).toBe(200);
  expect(asked('127.0.0.1', {}, { from })).toBe('forbidden');
  expect(asked('127.0.0.1', {}, { from: [] })).toBe('forbidden');
  const everybody = { from: ['0.0.0.0/0', '::/0'] };
  expect(asked('203.0.113.9', {}, everybody)).toBe(200);
  expect(asked('2001:db8::1', {}, everybody)).toBe(200);
  expect(asked('127.0.0.1', { 'x-forwarded-for': 'unknown' }, everybody)).toBe(200);
});

it('answers 403 and says where it is set', async () => {
  const larder = await startLarder({
    upstreamUrl: 'http://127.0.0.1:1',
    server: { trustedProxies: ['127.0.0.1'] },
    more: { metrics: { from: ['127.0.0.1'] } },
  });
  onTestFinished(() => larder.close());
  expect((await larder.ask('/metrics')).status).toBe(200);
  const refused = await larder.ask('/metrics', { headers: { 'x-forwarded-for': '203.0.113.9' } });
  expect(refused.status).toBe(403);
  expect(refused.text()).toContain('metrics.from');
  expect(refused.text()).not.toContain('public/npm');
  expect((await larder.ask('/healthz', { headers: { 'x-forwarded-for': '203.0.113.9' } })).status).toBe(200);
});

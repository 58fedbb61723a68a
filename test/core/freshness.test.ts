import { describe, expect, it } from 'vitest';
import {
  type FreshnessPolicy,
  hearGone,
  isNegativeFresh,
  isTakenDown,
  judge,
  mayServeStale,
} from '../../src/core/freshness.ts';

const policy: FreshnessPolicy = { ttlMs: 1000, staleWhileRevalidateMs: 500, staleIfErrorMs: 5000 };
const entry = { checkedAt: 100_000 };

describe('a stored answer', () => {
  it.each([
    ['just checked', 0, 'fresh'],
    ['a moment before its time is over', 999, 'fresh'],
    ['when its time is over', 1000, 'revalidate-behind'],
    ['a moment before the grace is over', 1499, 'revalidate-behind'],
    ['when the grace is over', 1500, 'revalidate'],
    ['checked a moment ahead of the clock, as by a replica', -200, 'fresh'],
    ['checked far ahead of the clock, as before it was set back', -1_000_000, 'revalidate'],
  ])('%s is %s', (_name, ageMs, verdict) => {
    expect(judge(entry, entry.checkedAt + ageMs, policy)).toBe(verdict);
  });

  it('is asked about every time when its time is zero', () => {
    expect(judge(entry, entry.checkedAt, { ttlMs: 0, staleWhileRevalidateMs: 0 })).toBe('revalidate');
  });

  it('stands in for upstream as long as the policy says', () => {
    expect(mayServeStale(entry, entry.checkedAt + 5999, policy)).toBe(true);
    expect(mayServeStale(entry, entry.checkedAt + 6000, policy)).toBe(false);
  });

  it('stands in for upstream for ever unless a limit is set', () => {
    const unlimited = { ttlMs: 0, staleWhileRevalidateMs: 0, staleIfErrorMs: undefined };
    expect(mayServeStale(entry, entry.checkedAt + 1e12, unlimited)).toBe(true);
  });

  it('that says "not here" stands for its own, shorter time', () => {
    expect(isNegativeFresh(entry, entry.checkedAt + 29, 30)).toBe(true);
    expect(isNegativeFresh(entry, entry.checkedAt + 30, 30)).toBe(false);
  });
});

describe('a takedown', () => {
  const takedown = { confirmations: 3, overMs: 1000 };

  it('needs enough confirmations over enough time', () => {
    let gone = hearGone(undefined, 0);
    expect(isTakenDown(gone, takedown)).toBe(false);
    gone = hearGone(gone, 500);
    expect(isTakenDown(gone, takedown)).toBe(false);
    gone = hearGone(gone, 999);
    expect(gone).toEqual({ count: 3, firstAt: 0, lastAt: 999 });
    expect(isTakenDown(gone, takedown)).toBe(false);
    expect(isTakenDown(hearGone(gone, 1000), takedown)).toBe(true);
  });

  it('is not confirmed by the mere passing of time', () => {
    expect(isTakenDown({ count: 2, firstAt: 0, lastAt: 1e9 }, takedown)).toBe(false);
  });

  it('is not confirmed by many clients asking at once', () => {
    let gone = hearGone(undefined, 0, 100);
    for (let at = 1; at < 100; at++) gone = hearGone(gone, at, 100);
    expect(gone).toEqual({ count: 1, firstAt: 0, lastAt: 0 });
    expect(hearGone(gone, 100, 100)).toEqual({ count: 2, firstAt: 0, lastAt: 100 });
  });

  it('never heard of is none', () => {
    expect(isTakenDown(undefined, { confirmations: 0, overMs: 0 })).toBe(false);
  });
});

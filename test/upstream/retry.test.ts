import { describe, expect, it } from 'vitest';
import { backOffMs, createPauses, retryAfterMs } from '../../src/upstream/retry.ts';

const now = Date.parse('2026-03-01T12:00:00Z');

describe('Retry-After', () => {
  it.each([
    ['0', 0],
    ['2', 2000],
    [' 120 ', 120_000],
    ['Sun, 01 Mar 2026 12:00:30 GMT', 30_000],
    ['Sunday, 01-Mar-26 12:00:30 GMT', 30_000],
    ['Sun, 01 Mar 2026 11:00:00 GMT', 0],
    ['999999999', 3_600_000],
    ['Fri, 01 Jan 2100 00:00:00 GMT', 3_600_000],
    ['99999999999999999999', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['Sunny', undefined],
    ['2026-03-01T12:00:30Z', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('"%s" is %s ms', (header, expected) => {
    expect(retryAfterMs(header, now)).toBe(expected);
  });
});

describe('the back-off', () => {
  it.each([
    [1, 200],
    [2, 400],
    [3, 800],
    [20, 5000],
    [2000, 5000],
  ])('before retry %i is anything up to %i ms', (attempt, longest) => {
    expect(backOffMs(attempt, () => 0)).toBe(0);
    expect(backOffMs(attempt, () => 0.5)).toBe(longest / 2);
    expect(backOffMs(attempt, () => 1)).toBe(longest);
  });
});

describe('pauses', () => {
  it('end by themselves', () => {
    let at = now;
    const pauses = createPauses(() => at);
    pauses.set('a', 1000);
    expect(pauses.until('a')).toBe(now + 1000);
    expect(pauses.until('b')).toBeUndefined();
    at += 1000;
    expect(pauses.until('a')).toBeUndefined();
  });

  it('are bounded in number: the oldest go first', () => {
    const pauses = createPauses(() => now);
    for (let n = 0; n < 6000; n += 1) pauses.set(String(n), 1000);
    expect(pauses.until('0')).toBeUndefined();
    expect(pauses.until('999')).toBeUndefined();
    expect(pauses.until('1000')).toBe(now + 1000);
    expect(pauses.until('5999')).toBe(now + 1000);
  });
});

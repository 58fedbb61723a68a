import { describe, expect, it } from 'vitest';
import { type ByteRange, parseRange } from '../../src/core/range.ts';

describe('a range of ten bytes', () => {
  it.each<[string, string | undefined, ByteRange | 'unsatisfiable' | undefined]>([
    ['no header', undefined, undefined],
    ['first to last', 'bytes=0-9', { from: 0, to: 10 }],
    ['one byte', 'bytes=3-3', { from: 3, to: 4 }],
    ['beyond the end', 'bytes=5-100', { from: 5, to: 10 }],
    ['far beyond the end', `bytes=5-${'9'.repeat(400)}`, { from: 5, to: 10 }],
    ['without an end', 'bytes=4-', { from: 4, to: 10 }],
    ['all without an end', 'bytes=0-', { from: 0, to: 10 }],
    ['the last bytes', 'bytes=-3', { from: 7, to: 10 }],
    ['more last bytes than there are', 'bytes=-100', { from: 0, to: 10 }],
    ['no last bytes', 'bytes=-0', 'unsatisfiable'],
    ['starting at the end', 'bytes=10-', 'unsatisfiable'],
    ['starting behind the end', 'bytes=11-20', 'unsatisfiable'],
    ['starting far behind the end', `bytes=${'9'.repeat(400)}-`, 'unsatisfiable'],
    ['blanks around', 'bytes= 1-2 ', { from: 1, to: 3 }],
    ['another case', 'Bytes=1-2', { from: 1, to: 3 }],
    ['backwards', 'bytes=5-4', undefined],
    ['several', 'bytes=0-1,3-4', undefined],
    ['one and an empty one', 'bytes=0-1,', undefined],
    ['another unit', 'items=0-1', undefined],
    ['no unit', '0-1', undefined],
    ['no numbers', 'bytes=-', undefined],
    ['negative', 'bytes=-1-2', undefined],
    ['fractions', 'bytes=1.5-2', undefined],
    ['hexadecimal', 'bytes=0x1-2', undefined],
    ['nothing', '', undefined],
    ['a blank inside', 'bytes=1 -2', undefined],
  ])('with %s', (_name, header, range) => {
    expect(parseRange(header, 10)).toEqual(range);
  });
});

it('nothing of an empty file can be had', () => {
  expect(parseRange('bytes=0-', 0)).toBe('unsatisfiable');
  expect(parseRange('bytes=-5', 0)).toBe('unsatisfiable');
});

describe('a range of something whose size is not known', () => {
  it.each<[string, string, unknown]>([
    ['first to last', 'bytes=2-5', { from: 2, to: 6 }],
    ['without an end', 'bytes=2-', { from: 2 }],
    ['beyond all numbers', `bytes=2-${'9'.repeat(400)}`, { from: 2 }],
    ['starting beyond all numbers', `bytes=${'9'.repeat(400)}-`, undefined],
    ['the last bytes', 'bytes=-3', undefined],
    ['backwards', 'bytes=5-4', undefined],
  ])('with %s', (_name, header, range) => {
    expect(parseRange(header, undefined)).toEqual(range);
  });
});

it('a satisfiable range is never empty, lies within the bytes and is what slice would give', () => {
  const bytes = Buffer.from('0123456789abcdef');
  const numbers = ['', '0', '1', '7', '14', '15', '16', '17', '400'];
  for (let size = 0; size <= bytes.length; size++) {
    const whole = bytes.subarray(0, size);
    for (const first of numbers) {
      for (const last of numbers) {
        const range = parseRange(`bytes=${first}-${last}`, size);
        if (range === undefined) {
          expect(first === '' ? last === '' : last !== '' && Number(last) < Number(first)).toBe(true);
          continue;
        }
        const wanted =
          first === ''
            ? whole.subarray(Math.max(0, size - Number(last)))
            : whole.subarray(Number(first), last === '' ? size : Number(last) + 1);
        if (range === 'unsatisfiable') {
          expect(wanted.length).toBe(0);
          continue;
        }
        expect(range.from).toBeGreaterThanOrEqual(0);
        expect(range.from).toBeLessThan(range.to);
        expect(range.to).toBeLessThanOrEqual(size);
        expect(whole.subarray(range.from, range.to)).toEqual(wanted);
      }
    }
  }
});

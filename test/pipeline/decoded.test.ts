import { expect, test } from 'vitest';
import { createDecoded } from '../../src/pipeline/decoded.ts';

function scene() {
  let time = 0;
  let waiting: { readonly work: () => void; readonly at: number }[] = [];
  const clock = {
    now: () => time,
    later: (work: () => void, ms: number) => void waiting.push({ work, at: time + ms }),
  };
  return {
    decoded: createDecoded({ mostBytes: 100, keepMs: 1000, clock }),
    pass(ms: number) {
      time += ms;
      const due = waiting.filter(({ at }) => at <= time);
      waiting = waiting.filter(({ at }) => at > time);
      for (const { work } of due) work();
    },
    /** How often something is looked at later. */
    get waiting() {
      return waiting.length;
    },
  };
}

test('what was used last stays, and the others make way', () => {
  const { decoded } = scene();
  decoded.set('a', 'A', 40);
  decoded.set('b', 'B', 40);
  expect(decoded.get('a')).toBe('A');
  decoded.set('c', 'C', 40);
  expect(['a', 'b', 'c'].map((key) => decoded.get(key))).toEqual(['A', undefined, 'C']);
});

test('one that is larger than all may be together is kept alone', () => {
  const { decoded } = scene();
  decoded.set('a', 'A', 40);
  decoded.set('big', 'BIG', 400);
  expect(['a', 'big'].map((key) => decoded.get(key))).toEqual([undefined, 'BIG']);
  decoded.set('b', 'B', 40);
  expect(['big', 'b'].map((key) => decoded.get(key))).toEqual([undefined, 'B']);
});

test('the same again counts once', () => {
  const { decoded } = scene();
  for (let n = 0; n < 10; n++) decoded.set('a', n, 40);
  decoded.set('b', 'B', 40);
  expect(['a', 'b'].map((key) => decoded.get(key))).toEqual([9, 'B']);
});

test('what nobody asked for any more goes, though others are asked for all the time', () => {
  const { decoded, pass } = scene();
  decoded.set('old', 'OLD', 1);
  decoded.set('used', 'USED', 1);
  for (let n = 0; n < 11; n++) {
    pass(100);
    decoded.set(`new-${n}`, n, 1);
    expect(decoded.get('used')).toBe('USED');
  }
  expect(decoded.get('old')).toBeUndefined();
  expect(decoded.get('new-5')).toBe(5);
});

test('in the end nothing is kept, and nothing looked at', () => {
  const at = scene();
  at.decoded.set('a', 'A', 1);
  at.pass(500);
  at.decoded.set('b', 'B', 1);
  expect(at.waiting).toBe(1);
  for (let n = 0; n < 3; n++) at.pass(1000);
  expect(at.waiting).toBe(0);
  expect(['a', 'b'].map((key) => at.decoded.get(key))).toEqual([undefined, undefined]);
});

import { expect, it } from 'vitest';
import { parseJson } from '../../src/codecs/json.ts';

it('reads one object, also out of the middle of a buffer', () => {
  expect(parseJson(Buffer.from('..{"a":[1]}..').subarray(2, 11))).toEqual({ a: [1] });
});

it.each(['', '[]', 'null', '"secret"', '1', '{"a":1}{}', '{"a":', '<html>secret'])(
  'refuses %j without repeating it',
  (text) => {
    expect(() => parseJson(Buffer.from(text))).toThrow(/^the document is (?:no JSON object|not JSON, or was cut)$/);
  },
);

import { describe, expect, it } from 'vitest';
import { codingFor } from '../../src/http/coding.ts';
import { matchesEtag, rangeApplies } from '../../src/http/conditional.ts';

describe('If-None-Match', () => {
  it.each([
    ['the same tag', '"a"', '"a"', true],
    ['a weak form of it', 'W/"a"', '"a"', true],
    ['any', '*', '"a"', true],
    ['one of several', '"x", "a"', '"a"', true],
    ['the same content in another coding', '"a-gzip"', '"a"', true],
    ['the same content in one coding and another', '"a-br"', '"a-zstd"', true],
    ['another tag', '"b"', '"a"', false],
    ['a tag that only begins alike', '"ab"', '"a"', false],
  ])('knows %s', (_name, sent, ours, same) => {
    expect(matchesEtag(sent, ours)).toBe(same);
  });
});

describe('If-Range', () => {
  it.each([
    ['is absent', undefined, true],
    ['names the tag', '"a"', true],
    ['names another tag', '"b"', false],
    ['names a weak tag', 'W/"a"', false],
    ['names the date', 'Sat, 21 Nov 2026 08:00:00 GMT', true],
    ['names another date', 'Sat, 21 Nov 2026 08:00:01 GMT', false],
  ])('when it %s', (_name, sent, applies) => {
    expect(rangeApplies(sent, '"a"', 'Sat, 21 Nov 2026 08:00:00 GMT')).toBe(applies);
  });

  it('never applies by a date that we do not have', () => {
    expect(rangeApplies('Sat, 21 Nov 2026 08:00:00 GMT', '"a"', undefined)).toBe(false);
  });
});

describe('the coding of a document', () => {
  it.each([
    ['npm', 'gzip,deflate', 'gzip'],
    ['yarn 4', 'gzip, deflate, br', 'br'],
    ['bun', 'gzip, deflate, br, zstd', 'zstd'],
    ['pnpm', 'zstd,gzip,deflate', 'zstd'],
    ['nobody in particular', undefined, 'identity'],
    ['a client that weighs', 'br;q=0.5, gzip;q=0.9', 'gzip'],
    ['a client that refuses', 'gzip;q=0, br', 'br'],
    ['a client that takes anything', '*', 'identity'],
    ['a client that wants it plain', 'identity', 'identity'],
    ['a client of another world', 'compress', 'identity'],
  ])('for %s', (_name, sent, coding) => {
    expect(codingFor(sent)).toBe(coding);
  });
});

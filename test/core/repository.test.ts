import { describe, expect, it } from 'vitest';
import { matchesName } from '../../src/core/repository.ts';

describe('name patterns', () => {
  it.each([
    ['@acme/*', '@acme/app', true],
    ['@acme/*', '@acme/', true],
    ['@acme/*', '@acme', false],
    ['*', '', true],
    ['*', 'a/b:c', true],
    ['**', 'a', true],
    ['', '', true],
    ['', 'a', false],
    ['a', 'a', true],
    ['a', 'ab', false],
    ['a.b', 'axb', false],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['*-internal', 'x-internal-internal', true],
    ['*-internal', 'x-internal-', false],
    ['a*b*c', 'abbc', true],
    ['a*b*c', 'acbc', true],
    ['a*bc*bc', 'abc', false],
    ['a*bc*bc', 'abcbc', true],
    ['*x*', 'line\nx\nline', true],
    ['(a+)+$', '(a+)+$', true],
  ])('%j and %j: %s', (pattern, name, expected) => {
    expect(matchesName(pattern, name)).toBe(expected);
  });

  it('are compared in as many steps as name and pattern have characters, whoever thought of them', () => {
    const name = 'a'.repeat(500);
    expect(matchesName(`${'*a'.repeat(149)}*b`, name)).toBe(false);
  });
});

import { expect, it } from 'vitest';
import { compareVersions, parseVersion, type Version } from '../../src/codecs/semver.ts';

function version(text: string): Version {
  const parsed = parseVersion(text);
  if (!parsed) throw new Error(`${text} is no version`);
  return parsed;
}

it('orders versions as Semantic Versioning does', () => {
  const ordered = [
    '0.0.1',
    '0.9.9',
    '1.0.0-0',
    '1.0.0-1',
    '1.0.0-9',
    '1.0.0-10',
    '1.0.0-99999999999999999999998',
    '1.0.0-99999999999999999999999',
    '1.0.0--',
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.0.1',
    '1.2.0',
    '1.10.0',
    '2.0.0-canary.1',
    '2.0.0',
    '10.0.0',
    '99999999999999999998.0.0',
    '99999999999999999999.0.0',
  ];
  const shuffled = ordered.toSorted((a, b) => (a.length % 3) - (b.length % 3) || a.localeCompare(b));
  expect(shuffled).not.toEqual(ordered);
  expect(shuffled.sort((a, b) => compareVersions(version(a), version(b)))).toEqual(ordered);
});

it.each([
  ['build metadata', '1.0.0+a', '1.0.0+b'],
  ['a v', 'v1.0.0', '1.0.0'],
  ['leading zeros', '01.0.0', '1.0.0'],
  ['a missing hyphen', '1.0.2beta', '1.0.2-beta'],
])('makes no difference for %s', (_name, a, b) => {
  expect(compareVersions(version(a), version(b))).toBe(0);
});

it.each([
  '',
  'latest',
  '1',
  '1.0',
  '1.0.0.0',
  '^1.0.0',
  '1.0.x',
  '1.0.0-',
  '1.0.0-a..b',
  `1.0.0-${'a'.repeat(300)}`,
  '1.0.0/..',
])('%s is no version', (text) => {
  expect(parseVersion(text)).toBeUndefined();
});

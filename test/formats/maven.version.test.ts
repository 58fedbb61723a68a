/** The order of versions; the examples are those of Maven's POM reference and of its own tests of `ComparableVersion`. */
import { expect, it } from 'vitest';
import { compareVersions, isSnapshot, sortVersions } from '../../src/formats/maven/version.ts';

it.each([
  [
    'pre-releases, by their names and their numbers',
    '1-alpha2snapshot 1-alpha2 1-alpha-123 1-beta-2 1-beta123 1-m2 1-m11 1-rc 1-cr2 1-rc123 1-SNAPSHOT 1 1-sp 1-sp2 1-sp123 1-abc 1-def 1-pom-1 1-1-snapshot 1-1 1-2 1-123',
  ],
  [
    'numbers after dots and after hyphens',
    '2.0 2.0.a 2-1 2.0.2 2.0.123 2.1.0 2.1-a 2.1b 2.1-c 2.1-1 2.1.0.1 2.2 2.123 11.a2 11.a11 11.b2 11.b11 11.m2 11.m11 11 11.a 11b 11c 11m',
  ],
  [
    'a chain of pre-releases',
    '1.0-alpha-1-SNAPSHOT 1.0-alpha-1 1.0-alpha-2 1.0-beta-1 1.0-SNAPSHOT 1.0 1.0-1 1.0-2 1.0.1',
  ],
  ['qualifiers that nobody knows', '2.0.1 2.0.1-klm 2.0.1-lmn 2.0.1-xyz 2.0.1-123'],
  ['leading zeroes', '0.2 0.7 1.0.7 2 010'],
  [
    'numbers longer than a double holds',
    '20190126.230843 1234567890.12345 123456789012345.1H.5-beta 12345678901234567890.1H.5-beta 12345678901234567891',
  ],
  ['a letter in the middle', '6.1.0rc3 6.1.0 6.1H.5-beta'],
  ['a release and its service packs', '1.0.final-redhat 1.0-sp1-redhat 1.0-sp-2-redhat'],
  ['zeroes before a qualifier', '1-0.alpha 1-0.beta 1'],
  ['separators before a qualifier', '1.0.0.RC1 1.0.0-RC2 1.0.0'],
  ['dates', '20030203 20040616 20240102.030405'],
  ['builds for several platforms', '32.0-android 32.0-jre 32.0.1-android 32.0.1-jre 32.1.0-android'],
])('puts %s in order', (_name, text) => {
  const versions = text.split(' ');
  expect(sortVersions(versions.toReversed())).toEqual(versions);
  for (const [at, low] of versions.entries()) {
    for (const high of versions.slice(at + 1)) {
      expect(compareVersions(low, high), `${low} before ${high}`).toBeLessThan(0);
      expect(compareVersions(high, low), `${high} after ${low}`).toBeGreaterThan(0);
    }
  }
});

it.each([
  ['1', '1.0', '1.0.0', '1-0', '1.0-0', '1-', '1.', '01', '1ga', '1.FINAL', '1-release', '1.0.0-0.0.0'],
  ['1-a', '1a', '1.0-a', '1.0.0a', '1.A'],
  ['1-rc', '1cr', '1.CR', '1.0.0-Rc'],
  ['1-alpha-1', '1a1', '1.0.alpha1'],
  ['1-milestone-3', '1m3', '1MileStone3'],
  ['1-foo', '1.0.0-foo.0.0'],
  ['1-1.foo-bar1baz-.1', '1-1.foo-bar-1-baz-0.1'],
])('takes %s and its other spellings for the same', (first, ...others) => {
  for (const other of others) {
    expect([other, compareVersions(first, other)]).toEqual([other, 0]);
    expect([other, compareVersions(other, first)]).toEqual([other, 0]);
  }
});

it('leaves versions that are the same in the order they came in', () => {
  expect(sortVersions(['2', '1.0', '1', '1.0.0'])).toEqual(['1.0', '1', '1.0.0', '2']);
});

it('sorts whatever upstream may write there', () => {
  const odd = ['', '.', '-', '..', '1..2', '$' + '{project.version}', 'é', 'x'.repeat(10_000), '-'.repeat(10_000_000)];
  expect(sortVersions(odd)).toHaveLength(odd.length);
});

it('looks at no more of a version than Maven 4 allows it to have', () => {
  const long = `1${'.1'.repeat(128)}`;
  expect(compareVersions(long, `${long}.1`)).toBe(0);
  expect(compareVersions(long.slice(0, -2), long.slice(0, -4))).toBeGreaterThan(0);
});

it.each([
  ['1.0-SNAPSHOT', true],
  ['SNAPSHOT', true],
  ['1.0', false],
  ['1.0-snapshot', false],
  ['1.0-SNAPSHOT-1', false],
])('knows whether %s changes: %s', (version, changes) => {
  expect(isSnapshot(version)).toBe(changes);
});

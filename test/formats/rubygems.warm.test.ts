import { describe, expect, it } from 'vitest';
import { format } from '../../src/formats/rubygems/index.ts';
import { next, pathsOf, stepsFor } from '../support/warm-steps.ts';

describe('what Bundler asks for', () => {
  it.each([
    [{ name: 'rack', version: '3.0.9' }, 'rack-3.0.9'],
    [{ name: 'nokogiri', version: '1.16.0', platform: 'x86_64-linux' }, 'nokogiri-1.16.0-x86_64-linux'],
    [{ name: 'rack', version: '3.0.9', platform: 'ruby' }, 'rack-3.0.9'],
  ])('of %j is the list of versions, the page, and %s', (want, full) => {
    const steps = stepsFor(format, want);
    expect(pathsOf(steps)).toEqual([
      'versions',
      `info/${want.name}`,
      `gems/${full}.gem`,
      `quick/Marshal.4.8/${full}.gemspec.rz`,
    ]);
    expect(steps.map(({ further = false }) => further)).toEqual([false, false, false, true]);
  });

  it('without a version is the last one that is released, for the platform', () => {
    const page = '---\n1.0.0 |checksum:a\n1.1.0 |checksum:b\n1.1.0-java |checksum:c\n2.0.0.rc1 |checksum:d\n';
    expect(pathsOf(next(stepsFor(format, { name: 'one' }), page))[0]).toBe('gems/one-1.1.0.gem');
    expect(pathsOf(next(stepsFor(format, { name: 'one', platform: 'java' }), page))[0]).toBe('gems/one-1.1.0-java.gem');
    expect(() => next(stepsFor(format, { name: 'one' }), '---\n')).toThrow('one has no version');
  });

  it('of what can be no gem is nothing', () => {
    expect(() => stepsFor(format, { name: 'no/gem', version: '1' })).toThrow('no/gem is no name of a gem');
  });
});

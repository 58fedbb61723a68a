import { describe, expect, it } from 'vitest';
import { format } from '../../src/formats/nuget/index.ts';
import { pathsOf, stepsFor } from '../support/warm-steps.ts';

describe('what a restore asks for', () => {
  it('is what the feed says about itself, the versions, and the package under its one spelling', () => {
    const steps = stepsFor(format, { name: 'Acme.Lib', version: '1.02.0.0-RC+7' });
    expect(pathsOf(steps.filter(({ optional }) => !optional))).toEqual([
      'v3/index.json',
      'v3/flat/acme.lib/index.json',
      'v3/flat/acme.lib/1.2.0-rc/acme.lib.1.2.0-rc.nupkg',
    ]);
    expect(steps.at(-1)).toEqual({
      path: 'v3/registration-semver2/acme.lib/index.json',
      headersOnly: true,
      optional: true,
      further: true,
    });
  });

  it('has the pages of known vulnerabilities that its index names', () => {
    const step = stepsFor(format, { name: 'a', version: '1' }).find(({ path }) => path.includes('vulnerabilities'));
    const index = [
      { '@id': 'http://here/acme/nuget/v3/vulnerabilities/abc-1.json' },
      { '@id': 'https://example.com/x' },
      {},
    ];
    expect(pathsOf(step?.read?.next(Buffer.from(JSON.stringify(index))) ?? [])).toEqual([
      'v3/vulnerabilities/abc-1.json',
    ]);
  });

  it('without a version is the newest that is released', () => {
    const step = stepsFor(format, { name: 'A' }).find(({ path }) => path === 'v3/flat/a/index.json');
    const bytes = (versions: readonly string[]): Buffer => Buffer.from(JSON.stringify({ versions }));
    expect(pathsOf(step?.read?.next(bytes(['1.0.0', '2.0.0', '3.0.0-rc'])) ?? [])).toEqual([
      'v3/flat/a/2.0.0/a.2.0.0.nupkg',
    ]);
    expect(() => [...(step?.read?.next(bytes([])) ?? [])]).toThrow('a has no version');
  });

  it('of what can be no package is nothing', () => {
    expect(() => stepsFor(format, { name: 'a/b', version: '1' })).toThrow('a/b is no id of a package');
    expect(() => stepsFor(format, { name: 'a', version: 'one' })).toThrow('one is no version of a');
  });
});

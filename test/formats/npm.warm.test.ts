import { describe, expect, it } from 'vitest';
import type { Digest } from '../../src/core/digest.ts';
import { format } from '../../src/formats/npm/index.ts';
import { next, pathsOf, stepsFor } from '../support/warm-steps.ts';

const digest: Digest = `sha512:${'ab'.repeat(64)}`;

describe('what npm’s clients ask for', () => {
  it.each([
    ['left-pad', '1.3.0', 'left-pad', 'left-pad/-/left-pad-1.3.0.tgz'],
    ['@acme/web', '2.0.0-rc.1', '@acme%2fweb', '@acme/web/-/web-2.0.0-rc.1.tgz'],
    ['built', '1.0.0+7', 'built', 'built/-/built-1.0.0%2B7.tgz'],
  ])('of %s %s is %s and %s', (name, version, packument, tarball) => {
    const steps = stepsFor(format, { name, version, digests: [digest] });
    expect(steps).toMatchObject([
      { path: packument, headers: { accept: 'application/json' }, further: true },
      { path: packument, headers: { accept: expect.stringMatching(/^application\/vnd\.npm\.install-v1\+json;/) } },
      { path: tarball, digests: [digest] },
    ]);
  });

  it('without a version is the latest, with the digest that the document tells', () => {
    const integrity = `sha512-${Buffer.from('ab'.repeat(64), 'hex').toString('base64')}`;
    const document = { 'dist-tags': { latest: '2.0.0' }, versions: { '2.0.0': { dist: { integrity } } } };
    expect(next(stepsFor(format, { name: 'one' }), document)).toEqual([
      { path: 'one/-/one-2.0.0.tgz', digests: [digest] },
    ]);
    expect(() => next(stepsFor(format, { name: 'one' }), {})).toThrow('one has no latest version');
  });

  it.each([
    ['../up', '1.0.0', '../up is no name of a package'],
    ['one', '^1.0.0', '^1.0.0 is no version of one'],
  ])('of %s %s is nothing', (name, version, message) => {
    expect(() => pathsOf(stepsFor(format, { name, version }))).toThrow(message);
  });
});

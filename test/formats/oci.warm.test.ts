import { describe, expect, it } from 'vitest';
import type { Digest } from '../../src/core/digest.ts';
import { format } from '../../src/formats/oci/index.ts';
import { next, pathsOf, stepsFor } from '../support/warm-steps.ts';

const index = 'application/vnd.oci.image.index.v1+json';
const image = 'application/vnd.oci.image.manifest.v1+json';
const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const of = (letter: string, mediaType: string, platform?: object): object => ({
  mediaType,
  digest: digest(letter),
  size: 5,
  ...(platform ? { platform } : {}),
});

const manifests = [
  of('a', image, { os: 'linux', architecture: 'amd64' }),
  of('b', image, { os: 'linux', architecture: 'arm', variant: 'v7' }),
  of('c', image, { os: 'linux', architecture: 'arm', variant: 'v6' }),
  of('d', image, { os: 'unknown', architecture: 'unknown' }),
];

describe('what is asked for when an image is pulled', () => {
  it.each([
    [{ name: 'library/app' }, 'latest'],
    [{ name: 'library/app', version: '3' }, '3'],
    [{ name: 'library/app', version: '3', digests: [digest('f')] }, digest('f')],
  ])('of %j is %s first', (want, reference) => {
    const [step] = stepsFor(format, want);
    expect(step).toMatchObject({
      path: `library/app/manifests/${reference}`,
      headers: { accept: expect.stringContaining(index) },
    });
    expect(step?.digests).toEqual(reference.includes(':') ? [reference] : undefined);
  });

  it.each([
    [undefined, 'abcd'],
    ['linux/amd64', 'a'],
    ['linux/arm', 'bc'],
    ['linux/arm/v7', 'b'],
  ])('for the platform %s are %s', (platform, letters) => {
    const steps = stepsFor(format, { name: 'app', ...(platform ? { platform } : {}) });
    const found = next(steps, { schemaVersion: 2, mediaType: index, manifests });
    expect(pathsOf(found)).toEqual([...letters].map((letter) => `app/manifests/${digest(letter)}`));
  });

  it('are config and layers of an image, each with its digest, but none that may not be handed on', () => {
    const found = next(stepsFor(format, { name: 'app' }), {
      schemaVersion: 2,
      mediaType: image,
      config: of('1', 'application/vnd.oci.image.config.v1+json'),
      layers: [
        of('2', 'application/vnd.oci.image.layer.v1.tar+gzip'),
        of('3', 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'),
      ],
    });
    expect(found).toEqual(['1', '2'].map((one) => ({ path: `app/blobs/${digest(one)}`, digests: [digest(one)] })));
  });

  it('of what is no image is nothing', () => {
    expect(() => stepsFor(format, { name: 'App' })).toThrow('App is no name of an image');
    expect(() => stepsFor(format, { name: 'app', version: 'a b' })).toThrow("a b can't be a tag of app");
  });
});

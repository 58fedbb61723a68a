import { describe, expect, it } from 'vitest';
import { format } from '../../src/formats/pypi/index.ts';
import { next, pathsOf, stepsFor } from '../support/warm-steps.ts';

const sha = (letter: string): string => letter.repeat(64);

const names = [
  'lib-1.0-py3-none-any.whl',
  'lib-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
  'lib-1.0-cp312-cp312-musllinux_1_2_aarch64.whl',
  'lib-1.0-cp312-cp312-macosx_11_0_universal2.whl',
  'lib-1.0-cp312-cp312-win_amd64.whl',
  'lib-1.0-cp312-cp312-win32.whl',
  'lib-1.0.tar.gz',
];

const page = {
  files: names.map((filename, at) => ({
    filename,
    url: `../../files/lib/${sha(String(at))}/${filename}`,
    hashes: { sha256: sha(String(at)) },
    'core-metadata': at === 0,
  })),
};

const files = (want: object): string[] =>
  pathsOf(next(stepsFor(format, { name: 'Lib', version: '1.0', ...want }), page)).map((path) =>
    path.slice(path.lastIndexOf('/') + 1),
  );

describe('what Python’s installers ask for', () => {
  it('is the page first, in the form that they want most', () => {
    expect(stepsFor(format, { name: 'Acme_Lib.x', version: '1' })).toMatchObject([
      {
        path: 'simple/acme-lib-x/',
        headers: { accept: expect.stringMatching(/^application\/vnd\.pypi\.simple\.v1\+json,/) },
      },
    ]);
  });

  it('is all of a version when nothing says more, with the metadata that the page tells of', () => {
    expect(files({}).toSorted()).toEqual([...names, 'lib-1.0-py3-none-any.whl.metadata'].toSorted());
    expect(files({ version: '1.0.0' })).toHaveLength(8);
  });

  it('is what has one of the digests, or the file of that name', () => {
    expect(files({ digests: [`sha256:${sha('6')}`, `sha256:${sha('a')}`] })).toEqual(['lib-1.0.tar.gz']);
    expect(files({ file: 'lib-1.0-cp312-cp312-win32.whl' })).toEqual(['lib-1.0-cp312-cp312-win32.whl']);
  });

  it.each([
    ['linux/amd64', [1]],
    ['linux/arm64', [2]],
    ['darwin/arm64', [3]],
    ['darwin/amd64', [3]],
    ['windows/amd64', [4]],
    ['windows/386', [5]],
  ])('for %s is what runs there, and what runs anywhere', (platform, those) => {
    const expected = [0, ...those, 6].map((at) => names[at]);
    expect(files({ platform }).filter((name) => !name.endsWith('.metadata'))).toEqual(expected);
  });

  it('of another host is nothing', () => {
    const elsewhere = { files: [{ ...page.files[0], url: 'https://example.com/lib-1.0.tar.gz' }] };
    expect(() => next(stepsFor(format, { name: 'lib', version: '1.0' }), elsewhere)).toThrow(
      'the page has no file of lib 1.0',
    );
  });
});

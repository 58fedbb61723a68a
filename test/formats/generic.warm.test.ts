import { expect, it } from 'vitest';
import { format } from '../../src/formats/generic/index.ts';
import { pathsOf, stepsFor } from '../support/warm-steps.ts';

it.each([
  [{ name: 'dist/a b.zip' }, 'dist/a%20b.zip'],
  [{ name: 'ignored', url: 'https://example.com/dist/a%20b.zip?x=1' }, 'dist/a%20b.zip?x=1'],
])('%j is a file by its path', (want, path) => {
  expect(pathsOf(stepsFor(format, want))).toEqual([path]);
});

it.each([
  [{ name: 'x', url: 'https://example.com/' }, 'https://example.com/ names no file'],
  [{ name: 'folder/' }, 'folder/ names no file'],
  [{ name: 'x', url: 'nothing' }, 'nothing is no address'],
])('%j is none', (want, message) => {
  expect(() => stepsFor(format, want)).toThrow(message);
});

import { describe, expect, it } from 'vitest';
import { compileRoutes } from '../../src/core/route.ts';
import { format } from '../../src/formats/generic/index.ts';
import { conformance, intentOf } from '../conformance/format.ts';

const folderFile = (name: string, digit: string): Readonly<Record<string, unknown>> => ({
  name,
  size: 3,
  sha256: digit.repeat(64),
  contentType: 'text/plain',
  publishedAt: '2026-03-04T05:06:07.000Z',
});
const folderOf = (folders: readonly string[], files: readonly unknown[]): Buffer =>
  Buffer.from(JSON.stringify({ path: 'a', folders, files }));

conformance(format, {
  documents: [
    {
      type: 'folder',
      path: 'folder/a',
      url: 'http://hosted.invalid/folder/a',
      bytes: folderOf(['b'], [folderFile('c&d.txt', '1'), folderFile('e', '2')]),
      variants: ['json'],
      projections: ['text', 'html'],
      wrong: {
        'with a file without a name': folderOf([], [{ ...folderFile('a', '1'), name: undefined }]),
        'with a folder without a name': folderOf([1 as unknown as string], []),
      },
      isHostedOnly: true,
    },
  ],
  examples: {
    root: ['/'],
    file: ['/node/v24.0.0/SHASUMS256.txt', '/a.tar.gz', '/a.tar.gz.sha256', '/folder/', '/x?y=z'],
    put: ['/a.tar.gz', '/deep/down/a%20b'],
    delete: ['/a.tar.gz'],
  },
  publish: [
    {
      title: 'a file',
      request: { path: '/deep/down/a%20b.txt', body: 'hello' },
      other: { path: '/deep/down/a%20b.txt', body: 'good-bye' },
      files: { '/deep/down/a%20b.txt': Buffer.from('hello') },
      documents: ['/', '/deep/', { path: '/deep/down/', headers: { accept: 'application/json' } }],
      undo: [{ method: 'DELETE', path: '/deep/down/a%20b.txt' }],
    },
  ],
});

function freshnessOf(options: Readonly<Record<string, unknown>>, path: string): string | undefined {
  const router = compileRoutes((format.configure?.(options) ?? format).routes);
  const intent = intentOf(router, 'GET', path)?.intent;
  return intent?.kind === 'artifact' ? intent.freshness : undefined;
}

describe('a file', () => {
  it('may have changed unless a rule says otherwise, whatever its name promises', () => {
    expect(freshnessOf({}, '/releases/1.0.0/tool-1.0.0.tar.gz')).toBe('revalidate');
    expect(freshnessOf({}, `/sha256/${'0'.repeat(64)}`)).toBe('revalidate');
  });

  it.each([
    ['releases/**', '/releases/1.0.0/a.zip', true],
    ['releases/**', '/releases/a', true],
    ['releases/**', '/other/releases/a', false],
    ['releases/*', '/releases/1.0.0/a.zip', false],
    ['releases/*/*.zip', '/releases/1.0.0/a.zip', true],
    ['*.whl', '/deep/down/a.whl', true],
    ['*.whl', '/a.whl.sha256', false],
    ['**/*.zip', '/a.zip', true],
    ['**/*.zip', '/b/c/a.zip', true],
    ['a/**/b', '/a/b', true],
    ['a/**/b', '/a/x/y/b', true],
    ['a/**/b', '/ab', false],
    ['a?.txt', '/a1.txt', true],
    ['a?.txt', '/a12.txt', false],
    ['*.{zip,tar.gz}', '/x/a.tar.gz', true],
    ['*.{zip,tar.gz}', '/x/atar.gz', false],
    ['*.{zip,tar.gz}', '/x/a.tar', false],
    ['a.b', '/axb', false],
    ['a+(b)[c]$', '/a+(b)[c]$', true],
    ['}', '/}', true],
    ['a,b', '/a,b', true],
    ['v[0-9]', '/v1', false],
  ])('matches %s at %s: %s', (glob, path, immutable) => {
    expect(freshnessOf({ immutable: [glob] }, path)).toBe(immutable ? 'immutable' : 'revalidate');
  });

  it('that one rule calls immutable and another mutable is mutable', () => {
    const options = { immutable: ['releases/**'], mutable: ['*.txt', '**/latest/**'] };
    expect(freshnessOf(options, '/releases/1/a.zip')).toBe('immutable');
    expect(freshnessOf(options, '/releases/1/index.txt')).toBe('revalidate');
    expect(freshnessOf(options, '/releases/latest/a.zip')).toBe('revalidate');
  });

  it('is asked for at the path it has upstream, checksums like any other', () => {
    const router = compileRoutes(format.routes);
    expect(intentOf(router, 'GET', '/a%20b/c%2Bd.tar.gz.sha256')?.intent).toEqual({
      kind: 'artifact',
      path: 'a b/c+d.tar.gz.sha256',
      name: 'a b/c+d.tar.gz.sha256',
      freshness: 'revalidate',
    });
  });
});

describe('its options', () => {
  it.each<[string, Readonly<Record<string, unknown>>, string]>([
    ['an unknown one', { immutible: [] }, 'immutible'],
    ['a text', { mutable: '**' }, 'mutable must be a list'],
    ['a list of something else', { immutable: [1] }, 'immutable must be a list'],
    ['a pattern that begins with a slash', { immutable: ['/a'] }, '"/a"'],
    ['an empty pattern', { mutable: [''] }, 'mutable: ""'],
    ['a brace without end', { mutable: ['a{b'] }, 'mutable: a{b'],
  ])('are refused with %s', (_name, options, message) => {
    expect(() => format.configure?.(options)).toThrow(message);
  });
});

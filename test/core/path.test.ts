import { describe, expect, it } from 'vitest';
import {
  decodePath,
  encodePath,
  encodeSegment,
  isSafePath,
  maxPathBytes,
  maxSegmentBytes,
} from '../../src/core/path.ts';
import { Problem } from '../../src/core/problem.ts';

function codeOf(raw: string): string {
  try {
    decodePath(raw);
  } catch (error) {
    return error instanceof Problem ? error.code : `no problem but ${String(error)}`;
  }
  return 'accepted';
}

describe('a request path', () => {
  it.each<[string, string, string[]]>([
    ['one segment', '/express', ['express']],
    ['several', '/a/b/c', ['a', 'b', 'c']],
    ['the root', '/', ['']],
    ['a trailing slash', '/simple/requests/', ['simple', 'requests', '']],
    ['an escaped slash, which is no border', '/@acme%2fbar/1.0.0', ['@acme/bar', '1.0.0']],
    ['an escaped slash in upper case', '/@acme%2Fbar', ['@acme/bar']],
    ['an escaped at sign', '/%40acme/bar', ['@acme', 'bar']],
    ['a plus', '/torch-2.0+cpu.whl', ['torch-2.0+cpu.whl']],
    ['an escaped plus, which is the same', '/torch-2.0%2Bcpu.whl', ['torch-2.0+cpu.whl']],
    ['an escaped plus in lower case', '/torch-2.0%2bcpu.whl', ['torch-2.0+cpu.whl']],
    ['an escaped blank, which no plus is', '/a%20b', ['a b']],
    ['letters outside ASCII', '/caf%C3%A9', ['café']],
    ['a percent sign', '/100%25', ['100%']],
    ['a percent sign before ordinary digits', '/100%2541', ['100%41']],
    ['dots inside', '/a..b/...c/d.', ['a..b', '...c', 'd.']],
    ['a hidden file', '/.well-known/x', ['.well-known', 'x']],
    ['a tilde and a colon', '/~user/sha256:00', ['~user', 'sha256:00']],
  ])('with %s is decoded once', (_name, raw, segments) => {
    expect(decodePath(raw)).toEqual(segments);
  });

  it.each([
    ['a parent', '/a/../b'],
    ['a parent at the end', '/a/..'],
    ['an escaped parent', '/%2e%2e/etc/passwd'],
    ['a half escaped parent', '/.%2E/x'],
    ['a parent behind an escaped slash', '/a%2f..%2fb'],
    ['a parent before an escaped slash', '/..%2fb'],
    ['a parent with a parameter', '/..;/x'],
    ['itself', '/a/./b'],
    ['itself, escaped', '/a/%2e/b'],
    ['nothing between slashes', '/a//b'],
    ['nothing at the start', '//a'],
    ['nothing between escaped slashes', '/a%2f%2fb'],
    ['an escaped slash at the end', '/a%2f'],
    ['an escaped slash at the start', '/%2fetc'],
    ['an escaped slash before a slash', '/a%2f/b'],
    ['a zero byte', '/a%00b'],
    ['a line feed', '/a%0ab'],
    ['a delete character', '/a%7f'],
    ['a control character of two bytes', '/a%c2%85'],
    ['a backslash', '/a\\b'],
    ['an escaped backslash', '/a%5c..%5cb'],
    ['a dot escaped twice', '/%252e%252e/x'],
    ['a slash escaped twice', '/@s%252fn'],
    ['a slash escaped three times', '/@s%25252fn'],
    ['a backslash escaped twice', '/a%255cb'],
    ['a zero byte escaped twice', '/a%2500'],
    ['half an escape', '/a%2'],
    ['an escape of no digits', '/a%zz'],
    ['an escape that is not UTF-8', '/a%ff'],
    ['an overlong slash', '/a%c0%afb'],
    ['bytes outside ASCII', '/caf\u00e9'],
    ['no slash at the start', 'a'],
    ['nothing', ''],
    ['a segment that is too long', `/${'a'.repeat(maxSegmentBytes + 1)}`],
    ['a segment that is too long once it is decoded', `/${'%C3%A9'.repeat(maxSegmentBytes / 2 + 1)}`],
  ])('with %s is refused', (_name, raw) => {
    expect(codeOf(raw)).toBe('bad_path');
  });

  it('is accepted up to its limits and no further', () => {
    const segment = 'a'.repeat(maxSegmentBytes);
    expect(codeOf(`/${segment}`)).toBe('accepted');
    const long = `/${'a/'.repeat(maxPathBytes / 2 - 1)}a`;
    expect(long).toHaveLength(maxPathBytes);
    expect(codeOf(long)).toBe('accepted');
    expect(codeOf(`${long}b`)).toBe('uri_too_long');
  });

  it('that was accepted is safe wherever its segments are joined', () => {
    for (const raw of ['/@acme%2fbar/-/bar-1.0.0.tgz', '/a/b', '/%40s/n', '/x%2by']) {
      expect(isSafePath(decodePath(raw).join('/'))).toBe(true);
    }
  });
});

describe('a path that goes into a URL', () => {
  it.each([
    ['@acme/bar/-/bar-1.0.0.tgz', '@acme/bar/-/bar-1.0.0.tgz'],
    ['a b/c+d', 'a%20b/c%2Bd'],
    ['x?y#z%', 'x%3Fy%23z%25'],
    ['café', 'caf%C3%A9'],
    ["~user/sha256:0=1,2&3$4!'()*", "~user/sha256:0=1,2&3$4!'()*"],
  ])('%s becomes %s and comes back', (path, encoded) => {
    expect(encodePath(path)).toBe(encoded);
    expect(decodePath(`/${encoded}`).join('/')).toBe(path);
  });

  it('keeps a slash inside a segment escaped', () => {
    expect(encodeSegment('@acme/bar')).toBe('@acme%2Fbar');
  });
});

describe('a decoded path', () => {
  it.each([
    ['a/b.tgz', true],
    ['@s/n', true],
    ['a/b/', false],
    ['/a', false],
    ['', false],
    ['a/../b', false],
    ['./a', false],
    ['a\u0000b', false],
    ['a\\b', false],
    ['a/%2e%2e/b', false],
    ['a'.repeat(maxSegmentBytes + 1), false],
    ['ab/'.repeat(1000), false],
  ])('%s is safe: %s', (path, safe) => {
    expect(isSafePath(path)).toBe(safe);
  });
});

import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readOrCreateKey } from '../../src/access/keys.ts';
import { Failures, hashPassword, isPassword } from '../../src/access/password.ts';
import { overlap } from '../../src/access/patterns.ts';
import { hashOfToken, isWellFormed, newToken, tokenPattern } from '../../src/access/token.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';

describe('a token', () => {
  it('is recognisable, and another one each time', () => {
    const tokens = new Set(Array.from({ length: 200 }, newToken));
    expect(tokens.size).toBe(200);
    for (const token of tokens) expect(token).toMatch(/^lrd_[0-9A-Za-z]{36}$/);
    expect(tokenPattern.test([...tokens][0] ?? '')).toBe(true);
  });

  it('is known by its checksum', () => {
    const token = newToken();
    expect(isWellFormed(token)).toBe(true);
    for (let at = 4; at < token.length; at++) {
      const other = token[at] === 'x' ? 'y' : 'x';
      expect(isWellFormed(`${token.slice(0, at)}${other}${token.slice(at + 1)}`), `letter ${at}`).toBe(false);
    }
    expect(isWellFormed(token.slice(0, -1))).toBe(false);
    expect(isWellFormed(`${token}x`)).toBe(false);
  });

  it('has the checksum that the page for scanners describes', () => {
    // CRC-32 (as zlib and gzip have it) of the thirty, in base 62 with digits before capitals before small letters.
    expect(isWellFormed(`lrd_${'a'.repeat(30)}1yLcDB`)).toBe(true);
  });

  it('is stored as its digest', () => {
    expect(hashOfToken('lrd_x')).toBe(createHash('sha256').update('lrd_x').digest('hex'));
  });
});

describe('a password', () => {
  it('is kept as a hash that only it fits', async () => {
    const kept = await hashPassword('correct horse');
    expect(kept).toMatch(/^scrypt\$16384\$8\$1\$/);
    expect(kept).not.toContain('correct');
    expect(await isPassword('correct horse', kept)).toBe(true);
    expect(await isPassword('correct horsf', kept)).toBe(false);
    expect(await hashPassword('correct horse')).not.toBe(kept);
  });

  it('of a configuration may be in clear', async () => {
    expect(await isPassword('secret', 'secret')).toBe(true);
    expect(await isPassword('Secret', 'secret')).toBe(false);
  });

  it('is guessed more and more slowly', () => {
    let now = 0;
    const failures = new Failures(() => now);
    const waits = Array.from({ length: 14 }, () => {
      failures.failed('acme/alice');
      return failures.waitMs('acme/alice');
    });
    expect(waits).toEqual([0, 0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000]);
    expect(failures.waitMs('acme/bob')).toBe(0);
    now += 59_000;
    expect(failures.waitMs('acme/alice')).toBe(1000);
    now += 16 * 60_000;
    failures.failed('acme/alice');
    expect(failures.waitMs('acme/alice')).toBe(0);
    for (let i = 0; i < 6; i++) failures.failed('acme/alice');
    failures.succeeded('acme/alice');
    expect(failures.waitMs('acme/alice')).toBe(0);
  });
});

describe('the key for short-lived tokens', () => {
  let folder: TemporaryFolder;
  beforeAll(async () => {
    folder = await temporaryFolder('larder-key');
  });
  afterAll(() => folder.remove());

  it('is made once, by however many processes, and for nobody else to read', async () => {
    const path = join(folder.path, 'keys', 'sealing');
    const keys = await Promise.all(Array.from({ length: 20 }, () => readOrCreateKey(path)));
    expect(new Set(keys.map((key) => Buffer.from(key).toString('hex'))).size).toBe(1);
    expect(keys[0]).toHaveLength(32);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(folder.path, 'keys'))).toEqual(['sealing']);
  });
});

describe('two patterns', () => {
  it.each([
    ['a', 'a', true],
    ['a', 'b', false],
    ['a*', '*b', true],
    ['@acme/*', '@other/*', false],
    ['@acme/*', '@*/ui', true],
    ['*', '', true],
    ['a*c', 'ab', false],
    ['a*c', 'ab*', true],
    ['x*y*z', 'xz', false],
    ['x*y*z', 'xyz', true],
    ['**', 'abc', true],
  ])('%s and %s have a text in common: %s', (one, other, expected) => {
    expect(overlap(one, other)).toBe(expected);
    expect(overlap(other, one)).toBe(expected);
  });

  it('of nothing but stars are no more work than others', () => {
    const stars = '*'.repeat(300);
    for (let times = 0; times < 200; times++) expect(overlap(stars, `${stars}x`)).toBe(true);
  });
});

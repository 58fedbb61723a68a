/** Reads what a test wrote, or a fixture that a real program wrote. */
import { readFileSync } from 'node:fs';
import { type ReadLockfile, readLockfile } from '../../src/lockfiles/index.ts';

export function read(fileName: string, text: string): ReadLockfile {
  return readLockfile(fileName, Buffer.from(text));
}

/** `npm-11/package-lock.json` and so on. `from` begins with the file's own name. */
export function readFixture(path: string): ReadLockfile {
  return readLockfile(path.split('/').at(-1) ?? path, fixture(path));
}

export function fixture(path: string): Buffer {
  return readFileSync(new URL(`fixtures/${path}`, import.meta.url));
}

/** `name version` of everything wanted, and what else was said about it in the order of the fields. */
export function wantedIn({ wanted }: ReadLockfile): string[] {
  return wanted.map(({ name, version, platform, file, optional }) =>
    [name, version, platform, file, optional ? 'optional' : undefined].filter(Boolean).join(' '),
  );
}

export function skippedIn({ skipped }: ReadLockfile): Record<string, string> {
  return Object.fromEntries(skipped.map(({ what, why }) => [what, why]));
}

export const sha256 = 'ab'.repeat(32);
export const otherSha256 = 'cd'.repeat(32);
/** Base64 of 64 zero bytes and its digest. */
export const sri = `sha512-${Buffer.alloc(64).toString('base64')}`;
export const sha512 = `sha512:${'00'.repeat(64)}`;

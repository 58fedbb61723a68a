/** Lockfiles, manifests and lists of every kind, read into what a build will ask for. */
import { LockfileError, type ReadLockfile } from './lockfile.ts';

export { LockfileError, type MissedRequest, type ReadLockfile, type Skipped } from './lockfile.ts';

/** A kind of file that is read. */
export interface KnownKind {
  readonly id: string;
  /** The names by which it is recognised, for people: `package-lock.json`. */
  readonly names: readonly string[];
}

/** In the order in which they are tried. */
export const kinds: readonly KnownKind[] = [];

/**
 * What a lockfile asks for. `fileName` may have folders in front; it is what `from` begins with. A file that is not recognised by its
 * name is recognised by its contents. Throws `LockfileError`, and nothing else, on what can't be read.
 */
export function readLockfile(fileName: string, _bytes: Uint8Array): ReadLockfile {
  throw new LockfileError(`${fileName}: no known kind of lockfile`);
}

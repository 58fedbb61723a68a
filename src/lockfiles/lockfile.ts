/** What reading a lockfile gives, and what the reader of each kind is handed. */
import type { Wanted } from '../core/warm.ts';

/** Something that a lockfile names and that no repository hands out, or that nobody can tell from the file. */
export interface Skipped {
  readonly what: string;
  /** A sentence without its full stop. */
  readonly why: string;
  /** As `Wanted.from`. */
  readonly from: string;
}

/** A request as it was made and missed, of a list that `larder missing` wrote. */
export interface MissedRequest {
  /** `ORG/REPOSITORY`. */
  readonly repository: string;
  /** Raw, below the repository, with its query; without a slash in front. */
  readonly path: string;
  /** The `Accept` header that it came with. */
  readonly accept?: string;
  readonly from: string;
}

export interface ReadLockfile {
  /** Id of its kind, one of `kinds`. */
  readonly kind: string;
  /**
   * What a build needs, the same thing once. Of Python packages: with `file` that file, without it the files of that version that
   * have one of the digests (all of them, when there are no digests either). Of Maven with `file` that file, without it what the
   * module consists of. Of images the digest is that of the manifest or index.
   */
  readonly wanted: readonly Wanted[];
  readonly skipped: readonly Skipped[];
  /** What this file does not say, and what to do then: whole sentences for people. */
  readonly notes: readonly string[];
  /** Only of the list that `larder missing` writes; `wanted` is empty then. */
  readonly requests: readonly MissedRequest[];
}

/** The file is of no known kind, damaged, or beyond a limit. The message is one line and says what to do. */
export class LockfileError extends Error {
  override readonly name = 'LockfileError';
}

export const limits = { fileBytes: 20_000_000, entries: 200_000, depth: 100 } as const;

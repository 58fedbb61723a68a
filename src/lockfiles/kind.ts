/** What there is to know about one kind of file. */
import type { Contents } from './contents.ts';
import type { Findings } from './findings.ts';

export interface Kind {
  readonly id: string;
  /** The names by which it is recognised, for people. */
  readonly names: readonly string[];
  isNamed(contents: Contents): boolean;
  /** Whether contents without a telling name are of this kind. Must not throw on anything but what is no text. */
  looksLike?(contents: Contents): boolean;
  /** Throws on what is damaged; any error does, and becomes a `LockfileError`. */
  read(contents: Contents, findings: Findings): void;
}

/** Compares the last part of the path, in any case. */
export function named(...names: readonly string[]): (contents: Contents) => boolean {
  return ({ name }) => names.some((one) => one.toLowerCase() === name.toLowerCase());
}

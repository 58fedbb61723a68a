/**
 * The truth about what can't be fetched again: a list of numbered objects, each created only if its number is free, which
 * is what orders writers in several processes. Everything else about it is kept in memory and can be made from it.
 */

/** What a change is written with. */
export interface Signature {
  /** `nameOfIdentity`, or `system`. */
  readonly by: string;
  /** Id of the token that was shown. */
  readonly token?: string;
  readonly requestId?: string;
}

export interface Written<C> extends Signature {
  /** Of the object it is in, from 1. */
  readonly number: number;
  /** Its place in the object, from 0. */
  readonly index: number;
  /** ISO 8601. */
  readonly at: string;
  readonly change: C;
}

export interface Journal<C> {
  /** Of the last object that was applied; 0: there is none. */
  readonly number: number;
  /** Whether nobody wrote since; one look at the disk, no waiting. */
  isCurrent(): boolean;
  /** Applies what others wrote. Free when nothing was. Rejects with a Problem (`storage_unavailable`) when it can't be read. */
  catchUp(): Promise<void>;
  /**
   * Writes the change that `make` comes to, and applies it; on disk for good (file and folder synced) when it resolves. `make` is
   * asked when everything before is applied, and again when somebody else's change came first; what it throws is what this
   * rejects with, and nothing is written. `undefined`: there is nothing to write. Changes of different `turn` may share an
   * object; those of the same `turn` see each other.
   */
  append(
    turn: string,
    signature: Signature,
    make: () => C | undefined | Promise<C | undefined>,
  ): Promise<Written<C> | undefined>;
  /** What was written, newest first, from before an object's number (default: the end). */
  history(before?: number): AsyncIterable<Written<C>>;
}

export interface JournalOptions<C> {
  /** Below `journal/v1/`: `acme/npm` for a repository's packages, `acme/-` for an organisation's tokens, members and rights. */
  readonly name: string;
  /** Called in order, for what is replayed and for what is new. Must not fail. */
  apply(written: Written<C>): void;
  /** Everything that `apply` made so far, as JSON values one by one, so that a later start need not replay it all. */
  snapshot?(): Iterable<unknown>;
  /** Begins anew from what `snapshot` gave. */
  restore?(values: Iterable<unknown>): void;
}

/** Loaded when it resolves. */
export type OpenJournal = <C>(options: JournalOptions<C>) => Promise<Journal<C>>;

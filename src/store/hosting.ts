/** The hosted packages of one repository: kept in memory, made from its journal, and changed only through it. */
import type { Digest } from '../core/digest.ts';
import type { ChangeSet, Decide, StagedFile, View } from '../core/hosting.ts';
import type { Signature, Written } from '../core/journal.ts';

export interface Hosting {
  /** What others published is known afterwards. Free when nothing was. Rejects with a Problem (`storage_unavailable`). */
  ready(): Promise<void>;
  /** Whether nobody published since; one look at the disk, no waiting. */
  isCurrent(): boolean;
  /** Whether the package has a version or a file. */
  has(name: string): boolean;
  /** URL of the source project that the newest record with one names. */
  sourceOf(name: string): string | undefined;
  /** Of one name, or of what may be seen. It tells what is hosted at the moment it is asked, not when it was made. */
  view(narrowed?: Narrowed): View;
  /** Of a package, or of everything: another one after every change of it, the same in every process. */
  revision(name?: string): string;
  /** Bytes count once, however many paths have them. */
  usage(): {
    readonly bytes: number;
    readonly files: number;
    readonly versions: number;
    readonly packages: number;
  };
  /** Safe on the disk when it resolves, and visible. Rejects with the Problem of `decide`, of `judge` or of the rules; then nothing is changed. */
  commit(request: CommitRequest): Promise<Committed>;
  /** Newest first, from before an object's number (default: the end). */
  history(before?: number): AsyncIterable<Written<HostedChange>>;
}

export interface Narrowed {
  readonly only?: string;
  readonly sees?: (name: string) => boolean;
}

export interface CommitRequest {
  /** Asked again when somebody else's change came first. */
  readonly decide: Decide;
  /** Rights and quotas; throws. Called after `decide`, each time, before anything is written. */
  judge(set: ChangeSet, effect: Effect): void;
  /** Makes a staged file a blob, synced. Called again when it is not there any more. */
  land(file: StagedFile): Promise<void>;
  readonly signature: Signature;
  /** What the journal calls it: publish, delete, promote. */
  readonly action: string;
}

/** What a change set comes to, where it is judged. */
export interface Effect {
  /** Bytes that no path of the repository had before. */
  readonly addedBytes: number;
  /** Versions that go. */
  readonly removed: readonly string[];
  /** Paths that go, with those of the versions that go. */
  readonly dropped: readonly string[];
  /** Paths of immutable files that get other bytes. */
  readonly replaced: readonly string[];
  /** The package had no version and no file. */
  readonly isNew: boolean;
}

export interface Committed {
  readonly set: ChangeSet;
  /** Of the journal's object; `undefined` when there was nothing to write. */
  readonly number: number | undefined;
  /** False: everything was so already. */
  readonly changed: boolean;
}

/** A change as the journal has it; plain JSON. Everything is told that it does, so that replaying it decides nothing. */
export interface HostedChange {
  readonly action: string;
  readonly name: string;
  readonly put?: readonly {
    readonly path: string;
    /** sha256. */
    readonly digest: Digest;
    readonly digests: readonly Digest[];
    readonly size: number;
    readonly contentType: string;
    readonly mutable?: boolean;
  }[];
  /** Paths, those of the removed versions among them. */
  readonly drop?: readonly string[];
  readonly records?: readonly {
    readonly version: string;
    readonly facts: Readonly<Record<string, unknown>>;
    /** Paths that are added to the version's. */
    readonly files?: readonly string[];
    readonly yanked?: boolean;
    readonly source?: string;
  }[];
  readonly removes?: readonly string[];
  readonly about?: Readonly<Record<string, unknown>>;
}

/** What is published here: what a format may see of it, and what a change of it comes to. */
import type { Digest } from './digest.ts';
import type { Body, Call, ReadableFile } from './format.ts';
import type { Identity } from './identity.ts';
import type { Action } from './repository.ts';

/** A file that was published. */
export interface Entry {
  readonly path: string;
  /** Of the package that it belongs to. */
  readonly name: string;
  /** sha256. */
  readonly digest: Digest;
  /** All that were computed when it came; sha256 first, then those of `Format.digests`. */
  readonly digests: readonly Digest[];
  /** Bytes. */
  readonly size: number;
  readonly contentType: string;
  /** ISO 8601. */
  readonly publishedAt: string;
  /** May be replaced by other bytes (a tag, a snapshot). */
  readonly mutable?: boolean;
}

/** One published version. */
export interface PackageRecord {
  readonly name: string;
  readonly version: string;
  /** In the order of their coming. */
  readonly files: readonly Entry[];
  /** The format's own facts about the version, e.g. its package.json. JSON. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** ISO 8601; of its first publication, whatever was changed since. */
  readonly publishedAt: string;
  /** ISO 8601; of the last change. */
  readonly changedAt: string;
  readonly yanked?: boolean;
}

/** What is known of a package as a whole. */
export interface PackageFacts {
  /** What the format keeps about it: dist-tags, owners. JSON; empty when nothing was ever said. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly changedAt: string;
  /** Another one after every change of this package; never one that it had before. */
  readonly revision: string;
}

/**
 * What is published here, at one moment; what a reader may not see is not in it. Names are spelled as intents spell them.
 * Rendering a document with a name may look at that name only; one without a name may look at all.
 */
export interface View {
  /** Packages that have a version or a file, in the order of their first publication. */
  names(): Iterable<string>;
  /** In the order of their publication; empty when there is no such package. */
  records(name: string): readonly PackageRecord[];
  record(name: string, version: string): PackageRecord | undefined;
  /** `undefined`: there is no such package. */
  about(name: string): PackageFacts | undefined;
  entry(path: string): Entry | undefined;
  /** Files of one package whose path begins so. */
  entries(name: string, prefix?: string): Iterable<Entry>;
  /** Whether the repository lets published versions be replaced. */
  readonly overwrites: boolean;
  /** Of the last change of anything in it; ISO 8601. Empty when nothing ever was published. */
  readonly changedAt: string;
}

/** Something is published, changed or taken away. */
export interface Change {
  readonly kind: 'change';
  /** The right that is needed; taking something away needs `delete` besides. */
  readonly action: 'publish' | 'delete' | 'admin';
  /** Absent: the body says it. It is judged as soon as it is known, and before anything is changed. */
  readonly name?: string;
  readonly version?: string;
  /** Bytes of the request body; a longer one is refused before it is read, if it says so. Default: the repository's largest file. */
  readonly limit?: number;
  /** Takes the body and checks what can be checked without knowing what is hosted. Throws a Problem on what is no such thing. */
  receive(call: Call, body: AsyncIterable<Uint8Array>, desk: Desk): Promise<Decide>;
}

/**
 * What the request comes to, given what is hosted now. Pure: asked again when somebody else's change came first. Throws a
 * Problem (`conflict`, `not_found`, …) when it comes to nothing.
 */
export type Decide = (hosted: View) => ChangeSet;

/** What `receive` works with. */
export interface Desk {
  /** Writes bytes to a file of its own, which is thrown away unless a change set puts it somewhere. Refuses more than `limit` bytes. */
  add(bytes: AsyncIterable<Uint8Array> | Uint8Array, limit?: number): Promise<StagedFile>;
  /** What is hosted at the moment; only `Decide` sees what it will be changed from. */
  readonly hosted: View;
  /** The bytes of a published file. `undefined`: there is none at that path. */
  open(path: string): Promise<ReadableFile | undefined>;
  /** Who asks. */
  readonly by: Identity;
  /** The moment of the change, ISO 8601. */
  readonly now: string;
  /** Bytes of the largest file that the repository takes. */
  readonly limit: number;
}

/** Read as any file; its digests are known. */
export interface StagedFile extends ReadableFile {
  /** sha256 first, then those of `Format.digests`. */
  readonly digests: readonly Digest[];
}

/** What a publish, yank or delete comes to. Happens as a whole or not at all. */
export interface ChangeSet {
  /** The one package that it is about, spelled as intents spell it. */
  readonly name: string;
  /**
   * Files that come. At a path that has other bytes already it is a conflict, unless both are `mutable` or the repository
   * lets versions be replaced; with the same bytes nothing happens. What was taken away never comes back with other bytes.
   */
  readonly put?: readonly Put[];
  /** Paths that go. */
  readonly drop?: readonly string[];
  /** Versions that come, and those whose facts change. */
  readonly records?: readonly RecordChange[];
  /** Versions that go, with all files that no other version has. */
  readonly removes?: readonly string[];
  /** Facts about the package as a whole, in place of those before. */
  readonly about?: Readonly<Record<string, unknown>>;
  /** Digests that the client claims for published paths; a mismatch refuses the change (`digest_mismatch`). */
  readonly expect?: readonly { readonly path: string; readonly digest: Digest }[];
  /** A right that is needed beside the intent's (owners, visibility). */
  readonly needs?: Action;
  readonly reply: Body;
}

export interface Put {
  readonly path: string;
  /** What came in, or the path of a published file of this repository with the same bytes. */
  readonly file: StagedFile | { readonly from: string };
  readonly contentType: string;
  readonly mutable?: boolean;
}

export interface RecordChange {
  readonly version: string;
  /** In place of those before. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** Paths, added to those that the version has. */
  readonly files?: readonly string[];
  readonly yanked?: boolean;
  /** URL of the source project that the package itself names. */
  readonly source?: string;
}

/** One step of a resumable upload of one file; the core owns the session. */
export interface Upload {
  readonly kind: 'upload';
  /**
   * `open` begins a session; with `mount` it may be done at once. `append` adds the body. `finish` adds the body, if there
   * is one, and puts the file at its place; without a session it is the whole upload.
   */
  readonly step: 'open' | 'status' | 'append' | 'finish' | 'cancel';
  readonly name: string;
  readonly session?: string;
  /** Where the client says that its bytes begin. */
  readonly offset?: number;
  /** What is being finished. Other bytes are refused (`digest_mismatch`), and the session ends. */
  readonly target?: { readonly path: string; readonly digest: Digest; readonly contentType: string };
  readonly mount?: {
    /** As the client names it: a name in this repository, or `org/repository/name`. Absent: any that the client may read. */
    readonly from?: string;
    readonly digest: Digest;
    /** Where the file is in the repository it is taken from, by its name there. */
    readonly at: (name: string) => string;
    /** Where it goes. */
    readonly path: string;
    readonly contentType: string;
  };
  readonly reply: (state: UploadState) => Body;
}

export interface UploadState {
  readonly session: string;
  /** Bytes that arrived. */
  readonly size: number;
  /** `misplaced`: the bytes do not begin where the last ones ended, and were not taken. */
  readonly state: 'open' | 'done' | 'cancelled' | 'misplaced';
}

/** Somebody wants to be known, or to manage what makes them known (npm login, gem signin). */
export interface Credentials {
  readonly kind: 'credentials';
  /** Takes the body apart; throws a Problem on what is no such thing. */
  ask(call: Call, body: Uint8Array): CredentialsAsk;
  reply(outcome: CredentialsOutcome, call: Call): Body;
}

export type CredentialsAsk =
  /** A token for whoever shows these, or is known already. */
  | {
      readonly want: 'token';
      readonly user?: string;
      /** A password, or a token in its place. */
      readonly password?: string;
      /** What it is for, in the user's words. */
      readonly description?: string;
      /** Narrower than what its owner may. */
      readonly may?: readonly Action[];
      readonly expiresInDays?: number;
    }
  /** A token for minutes for the ID token of a CI job; for this package alone, if one is named. */
  | { readonly want: 'exchange'; readonly idToken: string; readonly name?: string }
  /** Sign in with a browser: an address for people, and one to ask whether they have. */
  | { readonly want: 'web-open' }
  | { readonly want: 'web-poll'; readonly session: string }
  /** One's own tokens. */
  | { readonly want: 'list' }
  /** By id, or the token itself. */
  | { readonly want: 'revoke'; readonly token: string };

export type CredentialsOutcome =
  | { readonly is: 'token'; readonly token: string; readonly id: string; readonly user: string }
  | { readonly is: 'web-opened'; readonly loginUrl: string; readonly session: string }
  | { readonly is: 'web-waiting'; readonly retryAfterSeconds: number }
  | { readonly is: 'tokens'; readonly tokens: readonly TokenFacts[] }
  | { readonly is: 'revoked' };

/** What may be told of a token; never the token. */
export interface TokenFacts {
  readonly id: string;
  readonly user: string;
  readonly description?: string;
  readonly may: readonly Action[];
  /** Patterns; absent: all. */
  readonly repositories?: readonly string[];
  readonly names?: readonly string[];
  /** ISO 8601, all of them. */
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly lastUsedAt?: string;
}

/** What is sent to publish a version somewhere else. */
export interface Outgoing {
  readonly method: 'PUT' | 'POST';
  /** Below the upstream's base URL. */
  readonly path: string;
  /** Lower case; credentials are added by who sends it. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
  /** Whether such a refusal says that the very version is there already. */
  readonly isThere?: (status: number, text: string) => boolean;
}

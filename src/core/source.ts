/** Where an answer comes from: hosted packages, an upstream, another repository. All three answer the same questions. */
import type { Reader } from './access.ts';
import type { Claims } from './claims.ts';
import type { Algorithm, Digest } from './digest.ts';
import type { Outcome } from './events.ts';
import type { Artifact, Document, Forward, Link, Origin } from './format.ts';

/** What accompanies every question. */
export interface Asking {
  readonly requestId: string;
  /** Nothing but size and type is wanted: no bytes need to be fetched. */
  readonly head?: boolean;
  /** Caches are passed by: `revalidate` asks with validators, `unconditional` without. */
  readonly fresh?: 'revalidate' | 'unconditional';
  /** What a fresh look is for: the same thing is not looked for again before a negative answer would expire. */
  readonly lookingFor?: string;
  readonly priority?: 'client' | 'background';
  /** The organisation whose repository was asked from outside: what is shared is shared between these. */
  readonly org?: string;
  /** Everybody who waits for what this is asked for, once that may be several. Absent: only whoever asks. */
  readonly claims?: Claims;
  /** `Via` of the request (RFC 9110, 7.6.3), passed on so that whoever is asked can recognise a circle. */
  readonly via?: string;
  /** The policy gate: throws the refusal. Asked before a byte of an artifact is fetched or answered. */
  readonly admit?: (facts: VersionFacts) => void;
  /** Who will read the answer. Absent: nobody in particular, and everything may be told. */
  readonly reader?: Reader;
  /** No upstream is asked, whatever the configuration says: what is stored is the answer, however old, or `offline` is thrown. */
  readonly offline?: boolean;
  /** Told of everything stored, or about to be, that the answer is made of. */
  readonly used?: (use: Use) => void;
}

/** Something that an answer was made of, by names that mean the same on another server. */
export interface Use {
  /** `org/name` of the repository whose own source it is. */
  readonly repository: string;
  /** Name of the upstream; `hosted` for what is published in the repository. */
  readonly upstream: string;
  /** Id. */
  readonly format: string;
  /** Id of the kind of document; absent: an artifact. */
  readonly type?: string;
  readonly path: string;
  /** Of a document that upstream has in several forms. */
  readonly representation?: string;
}

/** What policy judges. Times in milliseconds since 1970, or as the document said them. */
export interface VersionFacts {
  readonly name?: string;
  readonly version?: string;
  readonly publishedAt?: string;
  readonly firstSeenAt?: number;
}

export interface FoundArtifact {
  readonly outcome: Outcome;
  /** Bytes; `undefined` while upstream has not said. */
  readonly size: number | undefined;
  readonly contentType: string;
  /** The strongest digest known; the same one before and after the bytes were stored. */
  readonly digest?: Digest;
  /** All that are known: promised ones while the bytes arrive, computed ones afterwards. */
  readonly digests: readonly Digest[];
  readonly lastModified?: string;
  readonly immutable: boolean;
  /** Milliseconds since 1970 at which upstream last confirmed it. */
  readonly checkedAt: number;
  /** Of bytes that a document describes: until when (milliseconds since 1970) it says so without being asked again. */
  readonly freshUntil?: number;
  /** Whether the document still says the same; cheap. */
  readonly isCurrent?: () => boolean;
  /** Complete and on disk: positional reads into the caller's buffer, bytes read returned. */
  readonly readInto?: (buffer: Uint8Array, position: number) => Promise<number>;
  /** Of complete ones: whoever has the same object reads the same open file. */
  readonly same?: object;
  /**
   * Of complete ones: lets the web server in front read their file, and tells its name below the folder of all stored bytes. It stays
   * there until `close`. `undefined`: not possible.
   */
  readonly share?: () => Promise<string | undefined>;
  /** Of bytes that are arriving: when they are verified and stored, or could not be. Nobody has to listen. */
  readonly landed?: Promise<unknown>;
  /** Tells the store that the bytes are in use although nobody opens them. */
  readonly touch?: () => void;
  /** Bytes [from, to), as they become available. A failure is thrown between chunks. */
  read(from?: number, to?: number): AsyncIterable<Buffer>;
  /** Must be called once, whether or not anything was read. */
  close(): void;
}

export interface FoundDocument {
  readonly outcome: Outcome;
  /** Names the exact input: the same key, the same bytes from the same place. */
  readonly key: string;
  readonly origin: Origin;
  readonly size: number;
  /** Milliseconds since 1970 until which it may be answered without asking again; 0: not at all. */
  readonly freshUntil: number;
  readonly checkedAt: number;
  readonly lastModified?: string;
  /** Whether this is still what the source would answer with; cheap. */
  isCurrent(): boolean;
  bytes(): Promise<Uint8Array>;
  /** What it links to, if its kind links at all. */
  links(): Promise<readonly Link[]>;
  /** Milliseconds since 1970 at which each version was first seen here. */
  firstSeen(): Promise<Readonly<Record<string, number>>>;
}

export interface ForwardCall {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Only those the format named, and `content-type` and `content-encoding` of a body. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface ForwardReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: AsyncIterable<Buffer>;
  discard(): void;
}

export interface Source {
  /** For logs and explanations: `npmjs`, `acme/npm`. */
  readonly id: string;
  /** Name patterns with `*` that only this source answers for. */
  readonly claims: readonly string[];
  /** What was published elsewhere is known afterwards. Free when nothing was. */
  ready?(): Promise<void>;
  /** Whether the name is this source's own, so that no other is asked for it. After `ready`. */
  owns?(name: string): boolean;
  /** What is told of a document without a name is only what its reader may see, one package at a time. */
  readonly filters?: boolean;
  /**
   * Changes whenever what would be answered for the name may have changed without anybody asking; cheap. `undefined`: there
   * may be news, so ask. Absent: only what is answered knows.
   */
  stamp?(name: string | undefined): string | undefined;
  /** Whether it holds what a mirror's client calls by this registry's name (`docker.io`). Absent: it holds anything. */
  answersFor?(namespace: string): boolean;
  /** `undefined`: not here. Trouble is thrown as a Problem. */
  artifact(want: Artifact, asking: Asking): Promise<FoundArtifact | undefined>;
  document(want: Document, asking: Asking): Promise<readonly FoundDocument[]>;
  /** The digest of an artifact without its bytes: of stored ones, else what is told beside it. `undefined`: nobody tells. */
  digest?(want: Artifact, algorithm: Algorithm, asking: Asking): Promise<Digest | undefined>;
  /** Whether the bytes are here already, so that asking for them costs no request. */
  holds?(want: Artifact): Promise<boolean>;
  /** Only a remote has it; `undefined`: upstream has no such endpoint. */
  forward?(want: Forward, call: ForwardCall, asking: Asking): Promise<ForwardReply | undefined>;
}

/**
 * What an ecosystem is to Larder: a table of routes and pure functions about its documents. A format sees no disk,
 * no network, no clock and no HTTP server; the core sees no format.
 */
import type { Algorithm, Digest } from './digest.ts';
import type { Change, Credentials, Outgoing, PackageRecord, Upload, View } from './hosting.ts';
import type { Identity } from './identity.ts';
import type { ProblemFacts } from './problem.ts';
import type { Wanted, WarmStep } from './warm.ts';

export type { Algorithm, Digest } from './digest.ts';
export type {
  Change,
  ChangeSet,
  Credentials,
  CredentialsAsk,
  CredentialsOutcome,
  Decide,
  Desk,
  Entry,
  Outgoing,
  PackageFacts,
  PackageRecord,
  Put,
  RecordChange,
  StagedFile,
  TokenFacts,
  Upload,
  UploadState,
  View,
} from './hosting.ts';
export type { Identity } from './identity.ts';

/** One request, already routed to a repository and stripped of the HTTP server. */
export interface Call {
  readonly method: string;
  /** Decoded exactly once, after the raw path was split at its slashes. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Names in lower case. Of a GET only `accept`: answers are remembered by address, `accept` and coding, by nothing else. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Public URL of the repository, no trailing slash. */
  readonly base: string;
}

export interface Format {
  /** Also the name of its folder. */
  readonly id: string;
  /**
   * Only for clients that insist on their own first segment. With `v2` a repository is also found at `/v2/{org}/{repo}/…`
   * and `/{org}/{repo}/v2/…`, and the one that the configuration's `hosts` names for the host at `/v2/…`.
   */
  readonly root?: string;
  /** How intents spell a name that people spell in several ways (upper case, `_` for `-`); applied to what is claimed. `*` stays. */
  readonly spell?: (pattern: string) => string;
  /**
   * Clients put a slash of their own behind a repository's address that ends with one (`gem push --host {address}/`): of two
   * there, one is passed over before the path is looked at, and no other anywhere.
   */
  readonly extraSlash?: boolean;
  /** Query parameter in which clients of a mirror name the registry they mean (`ns`): a key, never an address to dial. */
  readonly namespaceParameter?: string;
  /** What is kept stays right when upstream drops its name (a tag): "gone" is then never believed unless the configuration says so. */
  readonly keepsGone?: boolean;
  /** On every answer, errors included; lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  /** On every answer with an artifact's bytes, or to HEAD for them; lower case. `etag` (quotes included) and `content-type` replace ours. */
  readonly artifactHeaders?: (want: Artifact, facts: ArtifactFacts) => Readonly<Record<string, string>>;
  /** Computed for every artifact while its bytes stream in, beside sha256, which always is. */
  readonly digests: readonly Algorithm[];
  readonly upstream?: {
    /** Read before anything else from an upstream (NuGet's service index, Cargo's config.json). */
    readonly discover?: Document;
    /** The URL of a path. Default: base URL, slash, path. */
    readonly locate?: (path: string, at: UpstreamFacts) => string;
    /** Response headers that `Origin` must carry beside `content-type`, lower case. */
    readonly reads?: readonly string[];
  };
  readonly auth: {
    /** `raw`: `Authorization` with the token and no scheme. */
    readonly from: readonly ('basic' | 'bearer' | 'raw' | `header:${string}`)[];
    /** Value of `WWW-Authenticate`. */
    readonly challenge: (facts: ChallengeFacts) => string;
  };
  readonly routes: readonly Route[];
  /** Every kind of document the routes mention: a worker thread finds them here by id. */
  readonly documents: readonly DocumentType<unknown>[];
  /** Where published versions hang together. Absent: each stands for itself. */
  readonly bonds?: VersionBonds;
  /** An error in the client's own dialect. */
  readonly problem: (problem: ProblemFacts) => Body;
  /**
   * What to send to an upstream so that a version that is published here is published there, in the upstream's own protocol;
   * `files` by path. Absent: that can't be done.
   */
  readonly release?: (record: PackageRecord, files: ReadonlyMap<string, ReadableFile>) => Iterable<Outgoing>;
  /** What clients ask for that have this in a lockfile: the file, and whatever they read on the way. Absent: nothing is known of lockfiles. */
  readonly warm?: (wanted: Wanted) => Iterable<WarmStep>;
  /** Settings a repository of this format may have (`options:` in the configuration); throws an Error that names what is wrong. */
  readonly configure?: (options: Readonly<Record<string, unknown>>) => Format;
}

/** What a format may know of the upstream that it names a path of. */
export interface UpstreamFacts {
  /** Without trailing slash. */
  readonly base: string;
  readonly discovered?: unknown;
  /** Names of a single part stand below this one there (`library` at Docker Hub). */
  readonly shortNames?: string;
}

/** How versions of a package hang together that is published here; what concerns one of them concerns others. */
export interface VersionBonds {
  /** Versions that are copied with it: without them it would not be whole (what a tag means, what an index lists). */
  along(view: View, name: string, version: string): readonly string[];
  /** Versions that go with it: they would mean nothing (tags). Throws a Problem when it may not go. */
  leaving(view: View, name: string, version: string): readonly string[];
  /** Whether a file stays what it is in this repository, although it could change where it is copied from. */
  stays?(path: string): boolean;
}

/** What a challenge is about. */
export interface ChallengeFacts {
  /** Public URL of the repository, no trailing slash. */
  readonly base: string;
  /** Public URL at which registry tokens are handed out. */
  readonly tokenUrl: string;
  /** What is asked for; the name as the format's intent gives it. */
  readonly action: 'read' | 'publish' | 'delete' | 'admin';
  readonly name?: string;
  /** Credentials were shown and do not count. */
  readonly rejected?: boolean;
}

/** What is known of an artifact's bytes when they are answered. */
export interface ArtifactFacts {
  /** All that are known, computed or promised; sha256 is among them once the bytes are stored. */
  readonly digests: readonly Digest[];
  /** Bytes; `undefined` while upstream has not said. */
  readonly size: number | undefined;
  readonly contentType: string;
}

export interface Route {
  /** Metric label, log field and anchor in the docs page. */
  readonly id: string;
  /** GET also answers HEAD. */
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** `{x}` is one segment, `{x+}` one or more. First match wins. */
  readonly path: string;
  /** `undefined`: this is no path of the ecosystem after all; the next route is tried. */
  readonly intent: (call: Call) => Intent | undefined;
}

export type Intent = Artifact | Document | Checksum | Excerpt | Change | Upload | Credentials | Forward | Answer;

/** Bytes the server never looks into. Streamed, never buffered. */
export interface Artifact {
  readonly kind: 'artifact';
  readonly path: string;
  readonly name?: string;
  /**
   * Further names that the path may be about, which it does not tell apart (a group's and an artifact's). Whoever claims or
   * owns one of them is asked alone, too.
   */
  readonly otherNames?: readonly string[];
  readonly version?: string;
  /**
   * Default `immutable`. `revalidate`: upstream is asked again when the time to live is over. `described`: what
   * `describedBy` says now decides; stored bytes that agree with it are fresh however old they are.
   */
  readonly freshness?: 'immutable' | 'revalidate' | 'described';
  /** Known from the URL itself (OCI, by-hash). */
  readonly digest?: Digest;
  /** The document that tells its digest and, if it lives elsewhere, its URL. */
  readonly describedBy?: Document;
  /** What `describedBy` does not list is fetched all the same, checked by length only. Default: it is not there. */
  readonly unlisted?: 'fetch';
  /** Overrides what upstream said. */
  readonly contentType?: string;
  /** `Accept` for upstream. */
  readonly accept?: string;
  /** Bytes; a longer one is refused. Default: the repository's limit. */
  readonly limit?: number;
  /** Whether bytes of this content type (lower case, no parameters; `''` when upstream said none) can be it at all: a sign-in page with status 200 is not. Default: anything. */
  readonly accepts?: (contentType: string) => boolean;
  /** Where upstream tells its digest when no document and no URL does. */
  readonly checksums?: Checksums;
  /** Decoded before it is stored, so that what does not decode never is, and read for its links by whoever walks along them. Needs `limit`. */
  readonly reads?: DocumentType<unknown>;
  /** Things of one group lie at one upstream; the one that had something is asked first for the rest of the group. */
  readonly group?: string;
  /**
   * Clients ask with HEAD whether they have to send it. Whoever may publish it hears only of what is published here, then: what
   * lies in a cache may be gone tomorrow.
   */
  readonly sentIfMissing?: boolean;
  /** Answer headers that only this request is due; lower case. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Digests that upstream gives beside the bytes: in headers of the same answer, or in files of their own. */
export interface Checksums {
  /** Those that upstream's answer tells in its headers (lower case). */
  fromHeaders?(headers: Readonly<Record<string, string | undefined>>): readonly Digest[];
  /** Tried in this order until one is there; the one that was there is tried first from then on. */
  readonly files: readonly { readonly path: string; readonly algorithm: Algorithm }[];
  /** The digest that such a file holds; `undefined`: it is no such file. */
  read(bytes: Uint8Array, algorithm: Algorithm): Digest | undefined;
}

/** Bytes the server may have to understand. Size-limited. */
export interface Document {
  readonly kind: 'document';
  readonly type: DocumentType<unknown>;
  readonly path: string;
  readonly name?: string;
  /**
   * Further names that the path may be about, which it does not tell apart (a group's and an artifact's). Whoever claims or
   * owns one of them is asked alone, too; what is rendered may look at them as well.
   */
  readonly otherNames?: readonly string[];
  /** The names only say whom to ask: what is rendered is looked for in everything there is (a search whose words may be a name). */
  readonly across?: boolean;
  readonly version?: string;
  /** Which projection the client asked for, e.g. `abbreviated`, `version:1.2.3`. Default: `''`. */
  readonly variant?: string;
  /** The client must see the newest there is (npm's `?write=true`): caches are passed by. */
  readonly fresh?: boolean;
  /** Answer headers that only this request is due; lower case. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A kind of document. Leaving a function out is a statement about the ecosystem, not a gap. */
export interface DocumentType<T> {
  readonly id: string;
  /** In bytes, decoded; a longer answer from upstream is refused. */
  readonly limit: number;
  /** Content type of answers that pass through unencoded. Default: what upstream said. */
  readonly contentType?: string;
  /** Much more work than its size says (a packed list): never done on the event loop. */
  readonly heavy?: boolean;
  /** Clients take parts of it by range (an index that only grows); of the unpacked bytes. Default: they get all of it. */
  readonly ranges?: boolean;
  /** Where upstream serves one document in several representations. Absent: it has one. */
  readonly representations?: Representations;
  /**
   * For a document that upstream does not hand out in one piece or with one GET: says what to ask next, given what was
   * heard so far, until it can say what the document's bytes are. Pure; asked again from the start for every look. Throws when
   * what was heard makes no such document, as `decode` does.
   */
  obtain?(want: Document, heard: readonly Heard[]): Step;
  /** Throws on anything that is not such a document: then nothing is stored. */
  decode(bytes: Uint8Array, origin: Origin): T;
  /** Absent: it tells nothing about other paths. */
  links?(doc: T, origin: Origin): Iterable<Link>;
  /** Absent: the first source that has it wins. Earlier documents take precedence. */
  merge?(docs: readonly T[], path: string): T;
  /**
   * What an upstream would hand out that had what is published here: `decode` reads it. With the content type, where `decode`
   * looks at it. Absent: nothing of this kind is ever hosted. `undefined`: there is no such document.
   */
  render?(want: Document, view: View): Body | undefined;
  /** Without the versions that policy refuses: tags that pointed at them moved, reasons placed where the protocol has a slot. Absent: it lists no versions. */
  withhold?(doc: T, refused: (version: string) => Refusal | undefined): T;
  /** As the client asked for it, with URLs that point at `base`. `undefined`: the document is there, this projection of it is not. */
  encode(doc: T, variant: string, base: string): Body | undefined;
}

/** One document, several forms at the upstream (npm: full and abbreviated). Each form is an entry of its own. */
export interface Representations {
  /** Every form there is. */
  readonly all: readonly string[];
  /** Which form answers this variant. */
  of(variant: string): string;
  /** Accept header that asks for it. */
  accept(representation: string): string;
  /** Other forms that hold everything this one holds; a fresh one of them saves a request. */
  coveredBy(representation: string): readonly string[];
  /** What the answer in truth is, when upstream does not know the form that was asked for. */
  arrived(asked: string, origin: Origin): string;
}

/** One answer of upstream's, read to its end. Trouble (401, 403, 429, 5xx, time-outs) is never heard: it ends the look. */
export interface Heard {
  readonly status: number;
  /** Lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** After redirects. */
  readonly url: string;
  /** Decoded; empty for HEAD. */
  readonly bytes: Uint8Array;
}

export type Step =
  /** Ask this: a path (with a query, without its mark), or a URL relative to the last one heard. Default method GET. */
  | {
      readonly ask: { readonly path: string; readonly query?: string } | { readonly url: string };
      readonly method?: 'GET' | 'HEAD';
      readonly accept?: string;
    }
  /** The document. */
  | { readonly bytes: Uint8Array; readonly contentType?: string }
  /** Upstream has no such document. */
  | { readonly absent: true };

/** What a document says should be found at a path, and where. */
export interface Link {
  readonly path: string;
  readonly url?: string;
  /** The path under which the very bytes lie, where `path` is only a name for them (a tag): they are fetched and kept there. */
  readonly at?: string;
  readonly digests?: readonly Digest[];
  readonly size?: number;
  readonly contentType?: string;
  /** What the policy gate judges; as the document said it, never our own clock. */
  readonly version?: string;
  readonly publishedAt?: string;
}

/** Where bytes came from. */
export interface Origin {
  readonly url: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/**
 * The digest of whatever the other intent would answer, in hexadecimal. Of an artifact that is not stored it is what
 * upstream says beside it, where the artifact has `checksums`.
 */
export interface Checksum {
  readonly kind: 'checksum';
  readonly of: Artifact | Document;
  readonly algorithm: Algorithm;
}

/** Something taken out of an artifact's bytes where upstream does not hand it out by itself (a wheel's METADATA). */
export interface Excerpt {
  readonly kind: 'excerpt';
  readonly of: Artifact;
  /** `undefined`: there is no such thing in it. Throws on bytes that are no such file. */
  take(file: ReadableFile): Promise<Body | undefined>;
}

/** Bytes at hand, read piece by piece. */
export interface ReadableFile {
  readonly size: number;
  /** At most `length` bytes; fewer only at the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Passed to the first upstream, never stored (search, audit). */
export interface Forward {
  readonly kind: 'forward';
  /** Path and query below the upstream's base URL. */
  readonly path: string;
  readonly name?: string;
  /** The answer when upstream has no such endpoint (404, 405, 410, 501), or there is no upstream to ask. */
  readonly otherwise?: Body;
  /** Request headers that go along, lower case. Credentials never do. */
  readonly headers?: readonly string[];
  /** Response headers that come back beside `content-type` and `content-encoding`, lower case. */
  readonly passes?: readonly string[];
  /** Whether this content type may be passed back; anything else counts as no answer. Default: anything. */
  readonly accepts?: (contentType: string) => boolean;
  /**
   * The request body without the names that must not leave; `undefined` when it cannot be inspected, and then nothing
   * is sent and `otherwise` is the answer. Absent: a body with names is never sent where names are claimed.
   */
  readonly redact?: (
    body: Uint8Array,
    encoding: string | undefined,
    isPrivate: (name: string) => boolean,
  ) => Uint8Array | undefined;
}

/** Known without looking anything up (ping, service index). */
export interface Answer {
  readonly kind: 'answer';
  readonly body: Body | ((who: Identity) => Body);
  /** Whoever shows nothing is challenged, although everybody may read: clients take the challenge from here or never. */
  readonly challenges?: boolean;
}

export interface Body {
  /** Default 200. */
  readonly status?: number;
  /** Of an error: text of the status line, for clients that show nothing else of it. Only what can stand there does. */
  readonly reason?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
}

/** Why policy keeps a version back, in words for the person who asked, and until when if that is known. */
export interface Refusal {
  readonly rule: string;
  readonly reason: string;
  readonly until?: string;
}

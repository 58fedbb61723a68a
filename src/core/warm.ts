/** What a lockfile asks for, and what its clients will ask of a repository because of it. */
import type { Digest } from './digest.ts';

/** One thing that a build needs, as its lockfile says it. */
export interface Wanted {
  /** Id of the format whose clients ask for it. */
  readonly format: string;
  /** As its clients name it (`@acme/web`, `com.acme:lib`, `library/alpine`). */
  readonly name: string;
  /** Absent: whatever is newest, or all. Of an image the tag. */
  readonly version?: string;
  /** Where the lockfile says that it lies: a hint, never an address to ask. */
  readonly url?: string;
  /** Name of the file, where a version has several (wheels, classifiers). */
  readonly file?: string;
  /** Of the file as it is sent; it must have one of them. Empty: the lockfile says none, or of something else. */
  readonly digests: readonly Digest[];
  /** Operating system and architecture of an image (`linux/amd64`), platform of a gem. Absent: any. */
  readonly platform?: string;
  /** What clients call the registry that it is in (`docker.io`), where the lockfile says so. */
  readonly registry?: string;
  /** A build can do without it (optional dependencies for other platforms). */
  readonly optional?: boolean;
  /** Where it stands, for people: `package-lock.json: node_modules/left-pad`. */
  readonly from: string;
}

/** One request that clients will make. */
export interface WarmStep {
  /** Raw, below the repository, with its query. */
  readonly path: string;
  /** Lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  /** A document, which is stored before the first byte of it is answered: its headers are enough, unless it is read. */
  readonly headersOnly?: boolean;
  /** The bytes must have one of these. Absent or empty: whatever comes was checked as any answer is. */
  readonly digests?: readonly Digest[];
  /** Clients do without it when it is not there. */
  readonly optional?: boolean;
  /** Only clients that resolve anew ask for it, without the lockfile or for something newer. */
  readonly further?: boolean;
  /** What else is asked for, once this was read. At most `limit` bytes of it are. Throws on what is no such thing. */
  readonly read?: { readonly limit: number; next(bytes: Uint8Array): Iterable<WarmStep> };
}

/** What is kept of an upstream's artifacts: under which key, with which facts, and as something that can be answered. */
import { type Algorithm, algorithmOf, type Digest } from '../core/digest.ts';
import type { Artifact } from '../core/format.ts';
import type { FoundArtifact, VersionFacts } from '../core/source.ts';
import type { EntryKey, StoredEntry } from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import { bytesOf, openEntry } from './entry-blob.ts';

export interface Kept {
  keyOf(want: Artifact): EntryKey;
  entryOf(want: Artifact): Promise<StoredEntry | undefined>;
  /** `undefined` when the bytes are not there any more. */
  open(want: Artifact, entry: StoredEntry, outcome: FoundArtifact['outcome']): Promise<FoundArtifact | undefined>;
}

const strength: readonly Algorithm[] = ['sha512', 'sha256', 'sha1', 'md5'];

/** The strongest digest of a list: the validator that clients see, the same before and after the bytes are stored. */
export function strongest(digests: readonly Digest[]): Digest | undefined {
  for (const algorithm of strength) {
    const found = digests.find((digest) => algorithmOf(digest) === algorithm);
    if (found) return found;
  }
  return undefined;
}

/** What the policy gate judges. */
export function factsOf(want: Artifact, more: { version?: string; publishedAt?: string }): VersionFacts {
  // A path may be an alias, and then the version in it is not the one the document tells.
  const version = more.version ?? want.version;
  return {
    ...(want.name === undefined ? {} : { name: want.name }),
    ...(version === undefined ? {} : { version }),
    ...(more.publishedAt === undefined ? {} : { publishedAt: more.publishedAt }),
  };
}

/** `source` names the upstream and the format. */
export function createKept(store: Store, source: string): Kept {
  const keyOf = ({ path }: Artifact): EntryKey => ({ source, path });

  async function open(
    want: Artifact,
    entry: StoredEntry,
    outcome: FoundArtifact['outcome'],
  ): Promise<FoundArtifact | undefined> {
    if (entry.status !== 200 || entry.digest === undefined) return undefined;
    const blob = await openEntry(store, entry);
    if (!blob) return undefined;
    const digest = strongest(entry.digests ?? [entry.digest]);
    return {
      ...bytesOf(blob, want.path),
      outcome,
      contentType: entry.contentType ?? 'application/octet-stream',
      ...(digest ? { digest } : {}),
      digests: entry.digests ?? [entry.digest],
      ...(entry.lastModified === undefined ? {} : { lastModified: entry.lastModified }),
      immutable: want.freshness !== 'revalidate',
      checkedAt: entry.checkedAt,
      touch: () => store.blobs.touch(blob.digest),
    };
  }

  return { keyOf, entryOf: (want) => store.entries.get(keyOf(want)), open };
}

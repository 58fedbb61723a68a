/** The bytes an entry points to. */
import { Problem } from '../core/problem.ts';
import type { FoundArtifact } from '../core/source.ts';
import type { OpenBlob } from '../store/blobs.ts';
import type { StoredEntry } from '../store/entries.ts';
import type { Store } from '../store/store.ts';

/**
 * `undefined` when they were evicted, or are not as long as the entry says: after the index was lost the entry is all
 * that remembers a length, and a file of another one is damaged.
 */
export async function openEntry(store: Store, entry: StoredEntry): Promise<OpenBlob | undefined> {
  if (entry.digest === undefined) return undefined;
  const blob = await store.blobs.open(entry.digest);
  if (!blob || entry.size === undefined || blob.size === entry.size) return blob;
  blob.close();
  await store.blobs.quarantine(entry.digest, `${blob.size} bytes instead of ${entry.size}`);
  return undefined;
}

const pieceBytes = 256 * 1024;

/** What an answer needs of stored bytes; `path` is for the message when they end early. */
export function bytesOf(
  blob: OpenBlob,
  path: string,
): Pick<FoundArtifact, 'size' | 'same' | 'read' | 'share' | 'close'> & {
  readonly readInto: NonNullable<FoundArtifact['readInto']>;
} {
  return {
    size: blob.size,
    same: blob.same,
    readInto: (buffer, position) => blob.readInto(buffer, position),
    async *read(from = 0, to = blob.size) {
      for (let at = from; at < to; ) {
        const chunk = await blob.read(at, Math.min(pieceBytes, to - at));
        if (chunk.byteLength === 0) throw new Problem('internal', `The stored bytes of ${path} end early.`);
        at += chunk.byteLength;
        yield chunk;
      }
    },
    share: () => blob.share(),
    close: () => blob.close(),
  };
}

/** The bytes an entry points to. */
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

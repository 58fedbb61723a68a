/** Which coding a document goes out in. */
import { LRUCache } from 'lru-cache';
import Negotiator from 'negotiator';
import type { Coding } from '../pipeline/derive.ts';

/** Version 1.0 takes an order of ours for codings of equal weight; its published types do not know that yet. */
interface Preferring {
  encoding(available: readonly string[], options: { readonly preferred: readonly string[] }): string | undefined;
}

const preferred: readonly Coding[] = ['zstd', 'br', 'gzip', 'identity'];
const known = new LRUCache<string, Coding>({ max: 500 });

/** By the client's weights first, by ours among equals; `identity` when nothing else is acceptable (RFC 9110, 12.5.3). */
export function codingFor(acceptEncoding: string | undefined): Coding {
  if (acceptEncoding === undefined || acceptEncoding === '') return 'identity';
  let coding = known.get(acceptEncoding);
  if (coding === undefined) {
    // A bare `*` comes from clients that have not thought about codings: only what is named is sent.
    const named = preferred.filter((one) => one === 'identity' || acceptEncoding.toLowerCase().includes(one));
    const negotiator = new Negotiator({ headers: { 'accept-encoding': acceptEncoding } }) as unknown as Preferring;
    coding = (negotiator.encoding(named, { preferred: named }) as Coding | undefined) ?? 'identity';
    known.set(acceptEncoding, coding);
  }
  return coding;
}

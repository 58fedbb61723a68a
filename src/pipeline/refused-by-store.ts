/** What becomes of an upload that the store does not take: an answer, not a fault. */
import { Problem } from '../core/problem.ts';
import { NoSpace } from '../core/staging.ts';

/** Throws a Problem: `too_large` where the bytes can never be stored here, else `storage_unavailable`. Problems stay what they are. */
export function refusedByStore(error: unknown): never {
  if (error instanceof Problem) throw error;
  if (error instanceof NoSpace && error.isForGood) {
    const message =
      'The file is larger than all that this server may store. Whoever runs it can raise storage.maxSize; trying again does not help.';
    throw new Problem('too_large', message, { cause: error });
  }
  const message = 'This server has no room for what was sent now; try again later, and tell whoever runs it.';
  throw new Problem('storage_unavailable', message, { cause: error, retryAfterSeconds: 30 });
}

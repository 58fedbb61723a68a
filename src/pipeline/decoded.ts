/**
 * Decoded documents for as long as questions about them follow each other. They take several times the memory of their bytes, so each goes
 * a moment after it was used last, however busy it is with others.
 */
import type { Decoded } from './derive.ts';

export interface DecodedOptions {
  /** Of raw bytes; a single document may have more. */
  readonly mostBytes: number;
  readonly keepMs: number;
  readonly clock?: DecodedClock;
}

interface DecodedClock {
  /** Milliseconds, never set back. */
  now(): number;
  /** Holds up nobody's end. */
  later(work: () => void, ms: number): void;
}

const clock: DecodedClock = {
  now: () => performance.now(),
  later: (work, ms) => void setTimeout(work, ms).unref(),
};

interface Kept {
  readonly doc: unknown;
  readonly bytes: number;
  usedAt: number;
}

export function createDecoded({ mostBytes, keepMs, clock: { now, later } = clock }: DecodedOptions): Decoded {
  /** Used last, last. */
  const kept = new Map<string, Kept>();
  let keptBytes = 0;
  let isWaiting = false;

  function forget(key: string): void {
    keptBytes -= kept.get(key)?.bytes ?? 0;
    kept.delete(key);
  }

  function wait(ms: number): void {
    if (!isWaiting) later(forgetOld, ms);
    isWaiting = true;
  }

  function forgetOld(): void {
    isWaiting = false;
    for (const [key, { usedAt }] of kept) {
      const left = usedAt + keepMs - now();
      if (left > 0) {
        wait(left);
        return;
      }
      forget(key);
    }
  }

  return {
    get(key) {
      const found = kept.get(key);
      if (!found) return undefined;
      kept.delete(key);
      found.usedAt = now();
      kept.set(key, found);
      return found.doc;
    },
    set(key, doc, bytes) {
      forget(key);
      for (const oldest of kept.keys()) {
        if (keptBytes + bytes <= mostBytes) break;
        forget(oldest);
      }
      kept.set(key, { doc, bytes, usedAt: now() });
      keptBytes += bytes;
      wait(keepMs);
    },
  };
}

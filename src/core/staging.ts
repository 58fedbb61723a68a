/** Bytes on their way in: written once from the front, read at any offset meanwhile, then committed or discarded. */
import type { Digest } from './digest.ts';

export interface Stage {
  /** Bytes written so far. */
  readonly size: number;
  /** Appends. Rejects with the operating system's error (`ENOSPC`, `EIO`, …); what was written before stays readable. */
  write(chunk: Uint8Array): Promise<void>;
  /** Up to `length` bytes at `position`; fewer only at the end of what is written. Also after commit and after discard, while `retain` is held. */
  read(position: number, length: number): Promise<Buffer>;
  /** Keeps the bytes readable until the returned function is called, whatever becomes of the stage. */
  retain(): () => void;
  /** Makes the bytes a blob: synced, then one rename. The digest has been verified by the caller. A blob that exists already is kept and this copy dropped. */
  commit(digest: Digest): Promise<void>;
  /** Forgets the bytes; idempotent, and harmless after commit. */
  discard(): Promise<void>;
}

/** What a store refuses with code `ENOSPC`. `isForGood`: waiting helps nobody, as the bytes are more than it may ever hold. */
export class NoSpace extends Error {
  readonly code = 'ENOSPC';
  readonly isForGood: boolean;

  constructor(message: string, options: { readonly isForGood?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.isForGood = options.isForGood ?? false;
  }
}

/** Opens a stage. `expectedSize` in bytes is reserved first, so the disk is never promised twice; rejects with code `ENOSPC` when there is no room. */
export type OpenStage = (options: { readonly expectedSize?: number }) => Promise<Stage>;

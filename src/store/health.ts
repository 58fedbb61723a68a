/** Whether the store can take new bytes, why not, and when to try again. */
import { publish } from '../core/events.ts';
import { NoSpace } from '../core/staging.ts';
import { codeOf } from './disk.ts';

/** What a disk answers that takes no more bytes, for now or for good. */
const refusals = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EACCES', 'EPERM', 'ENXIO', 'ESTALE', 'ENOTCONN']);
/** What a disk answers that gives nothing back, as opposed to not having it. */
const unreadable = new Set(['EIO', 'EACCES', 'EPERM', 'ESTALE', 'ENOTCONN', 'ENXIO']);
/** After a failed write the disk is left alone for this long. */
const retryMs = 3_000;

export interface HealthOptions {
  readonly clock: () => number;
  /** Writes and removes a small file; rejects as a download would. */
  readonly probe: () => Promise<void>;
}

export class Health {
  readonly #clock: () => number;
  readonly #probe: () => Promise<void>;
  #full: { readonly reason: string; readonly byDisk: boolean } | undefined;
  #triedAt = 0;
  #reading: string | undefined;
  #doubtful = false;

  constructor(options: HealthOptions) {
    this.#clock = options.clock;
    this.#probe = options.probe;
  }

  /** Why no new bytes are taken. */
  get full(): string | undefined {
    return this.#full?.reason;
  }

  /** Something failed and may have happened all the same: what is known of the disk may be wrong. */
  doubt(): void {
    this.#doubtful = true;
  }

  get doubtful(): boolean {
    return this.#doubtful;
  }

  /** Why not even what is stored can be read. */
  get unreadable(): string | undefined {
    return this.#reading;
  }

  /** Rejects with `ENOSPC` while a disk that failed is left alone; then one caller tries it. */
  async admit(): Promise<void> {
    if (!this.#full?.byDisk) return;
    if (!this.isDue()) throw new NoSpace(this.#full.reason);
    this.#triedAt = this.#clock();
    try {
      await this.#probe();
    } catch (error) {
      this.failed(error);
      throw new NoSpace(describe(error), { cause: error });
    }
    this.#set(undefined);
  }

  /** Whether enough time went by to look again. */
  isDue(): boolean {
    return this.#clock() - this.#triedAt >= retryMs;
  }

  /** A write failed: if the disk is the reason, and not a refusal of ours, new bytes are refused for a while. Returns the error. */
  failed(error: unknown): unknown {
    if (error instanceof NoSpace) return error;
    if (!refusals.has(codeOf(error) ?? '')) return error;
    this.#doubtful = true;
    this.#triedAt = this.#clock();
    this.#set({ reason: describe(error), byDisk: true });
    return error;
  }

  /** The budget, or the space kept free, refuses new bytes. */
  refused(reason: string): Error {
    this.#triedAt = this.#clock();
    this.#set({ reason, byDisk: false });
    return new NoSpace(reason);
  }

  /** Room was found. */
  accepted(): void {
    if (this.#full) this.#set(undefined);
  }

  /** A read failed: if the disk is the reason, it counts as not stored and the trouble is remembered; any other error is thrown. */
  readFailed(error: unknown): void {
    if (!unreadable.has(codeOf(error) ?? '')) throw error;
    if (!this.#reading) publish('fault', { where: 'store', error });
    this.#reading = `the store cannot be read: ${codeOf(error) ?? String(error)}`;
  }

  readWorked(): void {
    this.#reading = undefined;
  }

  #set(full: { readonly reason: string; readonly byDisk: boolean } | undefined): void {
    const before = this.#full;
    this.#full = full;
    if (before?.reason !== full?.reason)
      publish('store.full', { full: full !== undefined, reason: full?.reason ?? '' });
  }
}

function describe(error: unknown): string {
  const code = codeOf(error) ?? 'unknown';
  const said: Record<string, string> = {
    ENOSPC: 'the disk is full',
    EDQUOT: 'the disk quota is used up',
    EROFS: 'the file system is read-only',
    EIO: 'the disk fails to write',
    EACCES: 'the data folder may not be written',
    EPERM: 'the data folder may not be written',
  };
  return `${said[code] ?? 'the disk refuses to write'} (${code})`;
}

/** Bytes at a pace: transfers that share one take turns, a slice each, so each gets the same part of it. */

/** Time as limits see it; tests bring their own. */
export interface Clock {
  /** Milliseconds of a clock that is never set back. */
  readonly now: () => number;
  /** Returns the function that calls it off. */
  readonly after: (ms: number, work: () => void) => () => void;
}

export const clock: Clock = {
  now: () => performance.now(),
  after(ms, work) {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
};

/** What is asked before each slice of a transfer. */
export interface Pace {
  /** No more than this may be asked for at once. */
  readonly sliceBytes: number;
  /** `undefined`: at once. Otherwise settles when it is this transfer's turn. */
  take(bytes: number): Promise<void> | undefined;
}

const largestSlice = 64 * 1024;
const smallestSlice = 1024;
/** So many turns a second at least: a client that gets nothing for long gives up. */
const turnsPerSecond = 8;

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
}

/** A bucket of bytes, one second's worth at most. It may be overdrawn by a slice, so a slice of any size gets through. */
export class Pacer implements Pace {
  readonly #clock: Clock;
  /** First come, first served; each transfer stands in it once, which is what shares it evenly. By whoever waits. */
  readonly #queue = new Map<object, Waiting>();
  #bytesPerSecond: number;
  #credit: number;
  #at: number;
  #callOff: (() => void) | undefined;

  constructor(bytesPerSecond: number, time: Clock) {
    this.#clock = time;
    this.#bytesPerSecond = bytesPerSecond;
    this.#credit = bytesPerSecond;
    this.#at = time.now();
  }

  get sliceBytes(): number {
    return Math.max(smallestSlice, Math.min(largestSlice, Math.ceil(this.#bytesPerSecond / turnsPerSecond)));
  }

  /** Also for transfers that are under way. */
  set bytesPerSecond(bytesPerSecond: number) {
    this.#refill();
    this.#bytesPerSecond = bytesPerSecond;
    this.#credit = Math.min(this.#credit, bytesPerSecond);
    this.#callOff?.();
    this.#callOff = undefined;
    this.#next();
  }

  /** Everybody may go: it is needed no longer. */
  end(): void {
    this.#callOff?.();
    const all = [...this.#queue.values()];
    this.#queue.clear();
    for (const { go } of all) go();
  }

  /** `who`: for leaving before it is their turn; they wait for one turn at a time. */
  take(bytes: number, now = this.#clock.now(), who: object = {}): Promise<void> | undefined {
    this.#refill(now);
    if (this.#credit > 0 && this.#queue.size === 0) {
      this.#credit -= bytes;
      return undefined;
    }
    return new Promise((go) => {
      this.#queue.set(who, { bytes, go });
      this.#next();
    });
  }

  /** Needs nothing any more: the turn is somebody else's. */
  leave(who: object): void {
    const waiting = this.#queue.get(who);
    this.#queue.delete(who);
    waiting?.go();
  }

  /** Whether the next slice would have to wait. */
  isBusy(now: number): boolean {
    this.#refill(now);
    return this.#credit <= 0 || this.#queue.size > 0;
  }

  /** Whether nobody could tell it from a new one. */
  get isAtRest(): boolean {
    this.#refill();
    return this.#queue.size === 0 && this.#credit >= this.#bytesPerSecond;
  }

  #refill(now = this.#clock.now()): void {
    if (now === this.#at) return;
    const earned = ((now - this.#at) * this.#bytesPerSecond) / 1000;
    this.#at = now;
    this.#credit = Math.min(this.#bytesPerSecond, this.#credit + earned);
  }

  #next(): void {
    if (this.#callOff) return;
    this.#refill();
    for (const [who, { bytes, go }] of this.#queue) {
      if (this.#credit <= 0) break;
      this.#queue.delete(who);
      this.#credit -= bytes;
      go();
    }
    if (this.#queue.size === 0) return;
    const ms = Math.max(1, Math.ceil((-this.#credit / this.#bytesPerSecond) * 1000));
    this.#callOff = this.#clock.after(ms, () => {
      this.#callOff = undefined;
      this.#next();
    });
  }
}

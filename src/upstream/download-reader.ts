/** One client's way through a download: its own position, its own speed. */
import { publish } from '../core/events.ts';
import { Problem } from '../core/problem.ts';
import type { DownloadReader } from './download.ts';
import type { Ledger } from './download-ledger.ts';

export interface ReaderSettings {
  /** First byte, and the one after the last; `Infinity`: to the end, wherever that is. */
  readonly from: number;
  readonly to: number;
  /** The download was under way for somebody else. */
  readonly joined: boolean;
  /** Called once, when the reader has come to its end, failed or left. */
  readonly onLeave: (reader: Reader) => void;
}

type Step = IteratorResult<Buffer, undefined>;

/**
 * Written by hand instead of as an async generator because a generator can't be left while it waits: `return()` here
 * takes effect at once, also in the middle of a stalled download.
 */
export class Reader implements DownloadReader {
  readonly #settings: ReaderSettings;
  #ledger: Ledger;
  #position: number;
  #waiting: PromiseWithResolvers<Step> | undefined;
  #isReadingDisk = false;
  #isOver = false;
  /** Waits to be thrown by the next `next()`. */
  #problem: Problem | undefined;

  constructor(ledger: Ledger, settings: ReaderSettings) {
    this.#ledger = ledger;
    this.#settings = settings;
    this.#position = settings.from;
    publish('download.reader', { change: 1, joined: settings.joined });
  }

  /** Bytes before this offset it has no use for any more. */
  get needsFrom(): number {
    return this.#position < this.#settings.to ? this.#position : Number.POSITIVE_INFINITY;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Step> {
    if (this.#waiting) return this.#waiting.promise.then(() => this.next());
    const waiting = Promise.withResolvers<Step>();
    this.#waiting = waiting;
    this.#advance();
    return waiting.promise;
  }

  async return(): Promise<Step> {
    this.#leave();
    this.#problem = undefined;
    this.#settle({ done: true, value: undefined });
    return { done: true, value: undefined };
  }

  /** Something changed that it may have waited for. */
  wake(): void {
    if (this.#waiting && !this.#isReadingDisk) this.#advance();
  }

  /** The download begins again; only before it handed out a byte. */
  follow(ledger: Ledger): void {
    this.#ledger = ledger;
  }

  /** Ends it for a reason of its own, while the download goes on. */
  drop(problem: Problem): void {
    this.#problem = problem;
    this.#leave();
    this.wake();
  }

  #advance(): void {
    if (this.#isOver) {
      const problem = this.#problem;
      this.#problem = undefined;
      if (problem) this.#reject(problem);
      else this.#settle({ done: true, value: undefined });
      return;
    }
    const offer = this.#ledger.offer(this.#position, this.#settings.to);
    switch (offer.kind) {
      case 'bytes':
        this.#handOver(offer.bytes);
        return;
      case 'disk':
        void this.#readDisk(offer.length);
        return;
      case 'wait':
        return;
      case 'end':
        this.#leave();
        this.#settle({ done: true, value: undefined });
        return;
      case 'failed':
        this.#leave();
        this.#reject(offer.problem);
    }
  }

  async #readDisk(length: number): Promise<void> {
    const ledger = this.#ledger;
    this.#isReadingDisk = true;
    const bytes = await ledger.readStaged(this.#position, length);
    this.#isReadingDisk = false;
    // It left, or the download failed or began again meanwhile: then these bytes are no longer what it asked for.
    if (this.#isOver || ledger !== this.#ledger || ledger.problem) {
      this.wake();
      return;
    }
    if (bytes instanceof Problem) {
      this.drop(bytes);
      return;
    }
    ledger.markDelivered();
    this.#handOver(bytes);
  }

  #handOver(bytes: Buffer): void {
    this.#position += bytes.length;
    this.#settle({ done: false, value: bytes });
    this.#ledger.moved();
  }

  #leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    publish('download.reader', { change: -1, joined: this.#settings.joined });
    this.#settings.onLeave(this);
  }

  #settle(step: Step): void {
    this.#waiting?.resolve(step);
    this.#waiting = undefined;
  }

  #reject(problem: Problem): void {
    this.#waiting?.reject(problem);
    this.#waiting = undefined;
  }
}

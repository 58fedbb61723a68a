/**
 * Refusals at a pace. One costs ten times what an answer out of memory does, so whoever is refused and asks again at once would take
 * from others more than they were refused.
 */
import { LRUCache } from 'lru-cache';
import { addressKey } from './limits-address.ts';
import type { Clock } from './limits-pacer.ts';

/** For one address: so many at once, and then so many a second. */
const atOnce = 100;
const everyMs = 10;
/** Whoever would have to wait for longer hears nothing: the connection is closed. */
const longestMs = 10_000;
/** Addresses that are kept apart; one that is forgotten has as many at once again. */
const mostAddresses = 10_000;

export class Refusals {
  readonly #clock: Clock;
  /** By address: when the next one would be due. */
  readonly #due = new LRUCache<string, number>({ max: mostAddresses });

  constructor(time: Clock) {
    this.#clock = time;
  }

  /** True: it may be said at once. Otherwise settles when it may be; false: not at all. */
  turn(remote: string): boolean | Promise<true> {
    const key = addressKey(remote);
    const now = this.#clock.now();
    const due = Math.max(this.#due.get(key) ?? 0, now - atOnce * everyMs) + everyMs;
    const ms = due - now;
    if (ms > longestMs) return false;
    this.#due.set(key, due);
    return ms <= 0 || new Promise((done) => this.#clock.after(ms, () => done(true)));
  }
}

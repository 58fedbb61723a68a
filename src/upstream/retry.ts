/** When to ask again: what upstream says about it, and how long to wait when it says nothing. */

const firstWaitMs = 200;
const longestWaitMs = 5000;

// A slip in an upstream's configuration must not make a path unavailable until the next restart.
const longestRetryAfterMs = 60 * 60 * 1000;

/** `Retry-After` in milliseconds from `now`: seconds or an HTTP date. `undefined` when absent or unreadable. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,15}$/.test(text)) return Math.min(Number(text) * 1000, longestRetryAfterMs);
  // Only with a weekday in front: the date parser takes nearly anything for a date.
  if (!/^(?:mon|tue|wed|thu|fri|sat|sun)/i.test(text)) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.min(Math.max(at - now, 0), longestRetryAfterMs);
}

/** Exponential with full jitter: clients that failed together do not come back together. `attempt` counts from 1. */
export function backOffMs(attempt: number, random: () => number): number {
  return Math.round(random() * Math.min(longestWaitMs, firstWaitMs * 2 ** (attempt - 1)));
}

// An upstream that limits one kind of request (searches, say) answers others in between; one that limits whoever asks does not.
const enoughRefusals = 3;

// What is asked for may be another kind of request after all, so it is tried from time to time.
const longestForAllMs = 60 * 1000;

const maxCounted = 1000;

/** Tells when "too many requests" (429) is said to everything that is asked, and no longer to one thing. */
export interface Throttling {
  /** With a 429, which said to wait for so long. Returns for how long nothing is to be asked, if so. */
  refused(key: string, pauseMs: number): number | undefined;
  /** With anything that tells of what was asked for; a challenge or an outage does not. */
  answered(key: string): void;
}

export function createThrottling(): Throttling {
  const refusals = new Map<string, number>();
  return {
    refused(key, pauseMs) {
      const inARow = (refusals.get(key) ?? 0) + 1;
      refusals.delete(key);
      refusals.set(key, inARow);
      const [oldest] = refusals.keys();
      if (refusals.size > maxCounted && oldest !== undefined) refusals.delete(oldest);
      return inARow < enoughRefusals || pauseMs === 0 ? undefined : Math.min(pauseMs, longestForAllMs);
    },
    answered(key) {
      // Nearly always there is nothing to forget.
      if (refusals.size > 0) refusals.delete(key);
    },
  };
}

const maxPauses = 5000;

/** Addresses we were told not to ask again before a certain time. */
export interface Pauses {
  /** Milliseconds since the epoch; `undefined` when nothing holds us back. */
  until(key: string): number | undefined;
  set(key: string, pauseMs: number): void;
}

/** Bounded: the oldest ones are forgotten first. */
export function createPauses(clock: () => number): Pauses {
  const ends = new Map<string, number>();
  return {
    until(key) {
      // Nearly always there is nothing to look up.
      if (ends.size === 0) return undefined;
      const end = ends.get(key);
      if (end === undefined || end > clock()) return end;
      ends.delete(key);
      return undefined;
    },
    set(key, pauseMs) {
      ends.delete(key);
      ends.set(key, clock() + pauseMs);
      const [oldest] = ends.keys();
      if (ends.size > maxPauses && oldest !== undefined) ends.delete(oldest);
    },
  };
}

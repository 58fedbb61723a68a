/** How long a stored answer may stand for upstream's. Pure: it is asked, and does nothing itself. */

export interface FreshnessPolicy {
  /** As long as this after the last check nobody asks upstream. */
  readonly ttlMs: number;
  /** As long as this after that, the stored answer goes out at once and upstream is asked behind it. */
  readonly staleWhileRevalidateMs: number;
  /** As long as this after the ttl, the stored answer stands in while upstream is in trouble; absent: without limit. */
  readonly staleIfErrorMs?: number | undefined;
}

export type Verdict = 'fresh' | 'revalidate-behind' | 'revalidate';

/** When upstream last confirmed something, in milliseconds. */
export interface Checked {
  readonly checkedAt: number;
}

/**
 * A check that lies ahead of the clock counts by its distance all the same: a little is two replicas whose clocks
 * differ, much is a clock that was set back, and then asking again is the safe side.
 */
function ageMs(entry: Checked, now: number): number {
  return Math.abs(now - entry.checkedAt);
}

export function judge(entry: Checked, now: number, policy: FreshnessPolicy): Verdict {
  const age = ageMs(entry, now);
  if (age < policy.ttlMs) return 'fresh';
  return age < policy.ttlMs + policy.staleWhileRevalidateMs ? 'revalidate-behind' : 'revalidate';
}

/** Whether the stored answer may stand in for an upstream that is in trouble. */
export function mayServeStale(entry: Checked, now: number, policy: FreshnessPolicy): boolean {
  if (policy.staleIfErrorMs === undefined) return true;
  return ageMs(entry, now) < policy.ttlMs + policy.staleIfErrorMs;
}

/** Whether upstream's "not here" still stands. */
export function isNegativeFresh(entry: Checked, now: number, negativeTtlMs: number): boolean {
  return ageMs(entry, now) < negativeTtlMs;
}

/** How often and how long upstream has to say "gone" before bytes that we keep are taken for gone too. */
export interface TakedownPolicy {
  readonly confirmations: number;
  readonly overMs: number;
}

/** Upstream says 404 or 410 about something that it once had and that is still kept here. */
export interface Gone {
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** Another "gone" was heard. Several within `spacingMs` count as one, so that a burst of clients does not confirm anything. */
export function hearGone(before: Gone | undefined, now: number, spacingMs = 0): Gone {
  if (!before) return { count: 1, firstAt: now, lastAt: now };
  if (Math.abs(now - before.lastAt) < spacingMs) return before;
  return { count: before.count + 1, firstAt: Math.min(before.firstAt, now), lastAt: now };
}

/** One "gone" may be an accident of upstream's; enough of them over enough time are a takedown. */
export function isTakenDown(gone: Gone | undefined, policy: TakedownPolicy): boolean {
  return gone !== undefined && gone.count >= policy.confirmations && gone.lastAt - gone.firstAt >= policy.overMs;
}

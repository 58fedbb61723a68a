/** Stops asking an origin that only fails, and finds out with one request at a time whether it is back. */

export interface BreakerSettings {
  /** So many failures within the window open it, if they are also at least half of all answers. */
  readonly failures: number;
  readonly windowMs: number;
  readonly openMs: number;
  /** A probe that has no answer by then counts as failed, so that a stalled one cannot keep everybody out. */
  readonly probeTimeoutMs: number;
}

export type BreakerState = 'closed' | 'open' | 'half-open';

/** One request that was let through. What it reports counts only while the breaker is in the same generation. */
export interface Pass {
  /** Only a probe has one: its answer is worth nothing later, and its connection is wanted for the next. */
  readonly timeoutMs?: number;
  succeed(): void;
  fail(): void;
  /** It says nothing about the origin: the client left, or the request was never sent. */
  cancel(): void;
}

export interface Breaker {
  readonly state: BreakerState;
  /** Milliseconds until asking makes sense again; `undefined`: `enter` may be called, without waiting in between. */
  refusedForMs(): number | undefined;
  enter(): Pass;
}

export interface BreakerOptions {
  readonly clock: () => number;
  readonly onChange: (state: BreakerState) => void;
}

interface Bucket {
  readonly index: number;
  failed: number;
  total: number;
}

const bucketsPerWindow = 10;
const failedShare = 0.5;

export function createBreaker(settings: BreakerSettings, { clock, onChange }: BreakerOptions): Breaker {
  const bucketMs = Math.max(1, settings.windowMs / bucketsPerWindow);
  let state: BreakerState = 'closed';
  // Whoever was let through in an earlier generation reports about a time that is over.
  let generation = 0;
  let buckets: Bucket[] = [];
  let openUntil = 0;
  let probeDeadline = 0;

  function change(next: BreakerState): void {
    state = next;
    generation += 1;
    buckets = [];
    onChange(next);
  }

  function open(from: number): void {
    openUntil = from + settings.openMs;
    change('open');
  }

  function record(failed: boolean): void {
    const index = Math.floor(clock() / bucketMs);
    let last = buckets.at(-1);
    if (last?.index !== index) {
      last = { index, failed: 0, total: 0 };
      buckets.push(last);
      buckets = buckets.filter((bucket) => bucket.index > index - bucketsPerWindow);
    }
    last.total += 1;
    if (!failed) return;
    last.failed += 1;
    let failures = 0;
    let total = 0;
    for (const bucket of buckets) {
      failures += bucket.failed;
      total += bucket.total;
    }
    if (failures >= settings.failures && failures >= total * failedShare) open(clock());
  }

  function expireProbe(): void {
    if (state === 'half-open' && clock() >= probeDeadline) open(probeDeadline);
  }

  function probe(): Pass {
    change('half-open');
    probeDeadline = clock() + settings.probeTimeoutMs;
    const own = generation;
    function settle(act: () => void): void {
      expireProbe();
      if (generation === own) act();
    }
    return {
      timeoutMs: settings.probeTimeoutMs,
      succeed: () => settle(() => change('closed')),
      fail: () => settle(() => open(clock())),
      // The next request probes at once.
      cancel: () => settle(() => open(clock() - settings.openMs)),
    };
  }

  return {
    get state() {
      return state;
    },
    refusedForMs() {
      expireProbe();
      const until = state === 'open' ? openUntil : state === 'half-open' ? probeDeadline : 0;
      const waitMs = until - clock();
      return waitMs > 0 ? waitMs : undefined;
    },
    enter() {
      if (state !== 'closed') return probe();
      const own = generation;
      return {
        succeed() {
          if (generation === own) record(false);
        },
        fail() {
          if (generation === own) record(true);
        },
        cancel() {},
      };
    },
  };
}

/** A clock that goes when the test says so, and calls whoever waits on the way. */
import type { Clock } from '../../src/http/limits-pacer.ts';

export interface ManualClock extends Clock {
  /** In steps of what is waited for, so that each sees the time it asked for. */
  advance(ms: number): Promise<void>;
}

export function manualClock(): ManualClock {
  let time = 1000;
  const waiting = new Set<{ readonly at: number; readonly work: () => void }>();
  return {
    now: () => time,
    after(ms, work) {
      const one = { at: time + ms, work };
      waiting.add(one);
      return () => waiting.delete(one);
    },
    async advance(ms) {
      const end = time + ms;
      for (;;) {
        // Whoever was let go asks for more before the next one's turn comes.
        await new Promise((done) => setImmediate(done));
        const due = [...waiting].filter(({ at }) => at <= end).sort((one, other) => one.at - other.at)[0];
        if (!due) break;
        waiting.delete(due);
        time = Math.max(time, due.at);
        due.work();
      }
      time = end;
    },
  };
}

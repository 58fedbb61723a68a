/** Turns at one origin: no more requests at a time than it should get, and people before prefetching. */
import PQueue from 'p-queue';

export interface QueueSettings {
  readonly concurrency: number;
  /** Beyond so many waiting ones the next is turned away. */
  readonly maxWaiting: number;
}

export interface Turn {
  /** Higher goes first. */
  readonly priority: number;
  /** Takes a waiting request out again. */
  readonly signal?: AbortSignal | undefined;
  /** It has waited before (a retry, the next hop of a redirect) and is not turned away now. */
  readonly continued: boolean;
}

export interface Queue {
  readonly waiting: number;
  readonly running: number;
  /** Resolves with the function that gives the place back; `undefined`: too many are waiting already. Rejects with the signal's reason. */
  enter(turn: Turn): Promise<() => void> | undefined;
}

export function createQueue(settings: QueueSettings): Queue {
  const queue = new PQueue({ concurrency: settings.concurrency });
  return {
    get waiting() {
      return queue.size;
    },
    get running() {
      return queue.pending;
    },
    enter({ priority, signal, continued }) {
      const isFull = queue.pending >= settings.concurrency && queue.size >= settings.maxWaiting;
      if (isFull && !continued) return undefined;
      return new Promise((resolve, reject) => {
        // The task is over when the place is given back, or when the signal ends the request.
        const task = () => new Promise<void>((leave) => resolve(leave));
        queue.add(task, { priority, signal }).catch(reject);
      });
    },
  };
}

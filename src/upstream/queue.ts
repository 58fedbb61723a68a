/** Turns at something shared: no more at a time than it should get, people before prefetching, and no organisation at another's expense. */
import type { Claims } from '../core/claims.ts';
import { createLines } from './lines.ts';

export interface QueueSettings {
  readonly concurrency: number;
  /**
   * So many may wait; people and the background each have such a room. When it is full, whoever comes is turned away unless
   * their organisation has less than its share of it, so with n organisations waiting no more than 1 + 1/2 + … + 1/n rooms are filled.
   */
  readonly maxWaiting: number;
}

export interface Turn {
  readonly claims: Claims;
  /** Takes a waiting request out again, and ends the turn of a running one. */
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

interface Guest {
  readonly claims: Claims;
  /** `org` is the one whose turn it is. */
  readonly start: (org: string) => void;
}

export function createQueue({ concurrency, maxWaiting }: QueueSettings): Queue {
  const lines = createLines<Guest>();
  let running = 0;

  function goOn(): void {
    while (running < concurrency) {
      const next = lines.next();
      if (!next) return;
      running += 1;
      next.waiting.start(next.org);
    }
  }

  return {
    get waiting() {
      return lines.size;
    },
    get running() {
      return running;
    },
    enter({ claims, signal, continued }) {
      const isFree = running < concurrency;
      if (!isFree && !continued && lines.isFull(claims.first, maxWaiting)) return undefined;
      const entered = Promise.withResolvers<() => void>();
      let giveBack: (() => void) | undefined;
      const guest: Guest = {
        claims,
        start(org) {
          let isOver = false;
          giveBack = () => {
            if (isOver) return;
            isOver = true;
            signal?.removeEventListener('abort', leave);
            running -= 1;
            lines.left(org);
            goOn();
          };
          entered.resolve(giveBack);
        },
      };
      const leave = (): void => {
        if (giveBack) {
          giveBack();
          return;
        }
        lines.remove(guest);
        entered.reject(signal?.reason);
      };
      if (signal?.aborted) {
        entered.reject(signal.reason);
        return entered.promise;
      }
      signal?.addEventListener('abort', leave, { once: true });
      if (isFree) {
        running += 1;
        guest.start(lines.began(claims.first));
      } else lines.add(guest);
      return entered.promise;
    },
  };
}

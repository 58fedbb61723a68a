/** Who is next: people before the background, and among those the organisation that has the fewest turns now. */
import type { Claim, Claims } from '../core/claims.ts';

/** Somebody in the waiting room. */
export interface Waiting {
  readonly claims: Claims;
}

export interface Lines<W extends Waiting> {
  readonly size: number;
  /** Whether one more would be more than its organisation's share of the room. */
  isFull(claim: Claim, room: number): boolean;
  add(waiting: W): void;
  remove(waiting: W): void;
  /** Whoever is next, and the organisation whose turn it is; it has the turn until `left`. */
  next(): { readonly waiting: W; readonly org: string } | undefined;
  /** A turn that nobody had to wait for. */
  began(claim: Claim): string;
  left(org: string): void;
}

const ranks: Readonly<Record<Claim['priority'], 0 | 1>> = { client: 0, background: 1 };

const orgOf = ({ org = '' }: Claim): string => org;

export function createLines<W extends Waiting>(): Lines<W> {
  /** Per rank and organisation, in order of coming. Whoever is waited for by several organisations stands in several lines. */
  const lines: readonly [Map<string, Set<W>>, Map<string, Set<W>>] = [new Map(), new Map()];
  /** Of each who waits: how to stop hearing of others who wait for the same. */
  const joining = new Map<W, () => void>();
  /** By organisation: turns that it has now. */
  const running = new Map<string, number>();
  /** By organisation, as long as it waits or has a turn: when it got one last, counted in turns. */
  const served = new Map<string, number>();
  let turns = 0;

  function stand(waiting: W, claim: Claim): void {
    const lined = lines[ranks[claim.priority]];
    const line = lined.get(orgOf(claim)) ?? new Set();
    line.add(waiting);
    lined.set(orgOf(claim), line);
  }

  function take(org: string): string {
    turns += 1;
    served.set(org, turns);
    running.set(org, (running.get(org) ?? 0) + 1);
    return org;
  }

  function forgetIdle(org: string): void {
    if (!running.has(org) && !lines.some((lined) => lined.has(org))) served.delete(org);
  }

  function remove(waiting: W): void {
    joining.get(waiting)?.();
    joining.delete(waiting);
    for (const claim of waiting.claims.all) {
      const org = orgOf(claim);
      const lined = lines[ranks[claim.priority]];
      const line = lined.get(org);
      if (!line?.delete(waiting) || line.size > 0) continue;
      lined.delete(org);
      forgetIdle(org);
    }
  }

  /** Fewest turns, and among equals the one that got one longest ago. */
  function nextOrg(lined: ReadonlyMap<string, Set<W>>): string | undefined {
    let best: string | undefined;
    for (const org of lined.keys()) if (best === undefined || goesBefore(org, best)) best = org;
    return best;
  }

  function goesBefore(one: string, other: string): boolean {
    const difference = (running.get(one) ?? 0) - (running.get(other) ?? 0);
    return difference === 0 ? (served.get(one) ?? 0) < (served.get(other) ?? 0) : difference < 0;
  }

  return {
    get size() {
      return joining.size;
    },
    isFull(claim, room) {
      const lined = lines[ranks[claim.priority]];
      const own = lined.get(orgOf(claim))?.size ?? 0;
      const orgs = lined.size + (own === 0 ? 1 : 0);
      if (own >= Math.ceil(room / orgs)) {
        let all = 0;
        for (const line of lined.values()) all += line.size;
        return all >= room;
      }
      return false;
    },
    add(waiting) {
      joining.set(
        waiting,
        waiting.claims.listen((claim) => stand(waiting, claim)),
      );
      for (const claim of waiting.claims.all) stand(waiting, claim);
    },
    remove,
    next() {
      for (const lined of lines) {
        const org = nextOrg(lined);
        if (org === undefined) continue;
        const [waiting] = lined.get(org) ?? [];
        if (!waiting) continue;
        take(org);
        remove(waiting);
        return { waiting, org };
      }
      return undefined;
    },
    began: (claim) => take(orgOf(claim)),
    left(org) {
      const count = (running.get(org) ?? 0) - 1;
      if (count > 0) running.set(org, count);
      else running.delete(org);
      forgetIdle(org);
    },
  };
}

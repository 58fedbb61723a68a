/** What the load generator asked and what it heard, counted in the words of the metrics. */
import type { Answer, Wish } from './client.ts';

export interface Cell {
  count: number;
  /** Of answers that were read to their end. */
  bytes: number;
}

export interface Ledger {
  /** Read to the end: by repository, status class and what `X-Larder-Cache` said. */
  readonly cells: ReadonlyMap<string, Cell>;
  /** Of answers that were not read to the end: what is known of them. */
  readonly open: ReadonlyMap<string, OpenCell>;
  readonly statuses: ReadonlyMap<string, number>;
  readonly steps: Map<string, number>;
  readonly violations: string[];
  /** Parts of files that proved wrong only after the part had been sent. */
  early: number;
  violationCount: number;
  add(repository: string, wish: Wish, answer: Answer): void;
  /** A request that may not be one. */
  maybe(repository: string): void;
  step(name: string): void;
  violation(what: string): void;
}

/** Requests that ended before their answer did, by repository. */
export interface OpenCell {
  /** Without even a status. */
  unseen: number;
  /** With a status: the client left, or the server cut it. */
  seen: number;
  readonly byClass: Record<string, number>;
  /** That arrived of them. */
  bytes: number;
  /** That the answers may have had at most. */
  mostBytes: number;
}

const mostViolations = 200;
/** What is counted with an answer whose length nobody told. */
const unknownBytes = 64_000_000;

export function cellKey(repository: string, statusClass: string, outcome: string): string {
  return `${repository} ${statusClass} ${outcome}`;
}

export function createLedger(say: (text: string) => void): Ledger {
  const cells = new Map<string, Cell>();
  const open = new Map<string, OpenCell>();
  const statuses = new Map<string, number>();
  const steps = new Map<string, number>();
  const violations: string[] = [];

  function openCell(repository: string): OpenCell {
    let cell = open.get(repository);
    if (!cell) {
      cell = { unseen: 0, seen: 0, byClass: {}, bytes: 0, mostBytes: 0 };
      open.set(repository, cell);
    }
    return cell;
  }

  const ledger: Ledger = {
    cells,
    open,
    statuses,
    steps,
    violations,
    early: 0,
    violationCount: 0,
    add(repository, wish, answer) {
      const statusClass = `${Math.floor(answer.status / 100)}xx`;
      if (answer.status !== 0) {
        const key = `${repository} ${answer.status}`;
        statuses.set(key, (statuses.get(key) ?? 0) + 1);
      }
      if (!answer.complete) {
        const cell = openCell(repository);
        if (answer.status === 0) cell.unseen += 1;
        else {
          cell.seen += 1;
          cell.byClass[statusClass] = (cell.byClass[statusClass] ?? 0) + 1;
        }
        cell.bytes += answer.bytes;
        const told = Number(answer.headers['content-length'] ?? wish.expect?.size ?? unknownBytes);
        cell.mostBytes += wish.method === 'HEAD' ? 0 : told;
        return;
      }
      const key = cellKey(repository, statusClass, String(answer.headers['x-larder-cache'] ?? '-'));
      const cell = cells.get(key) ?? { count: 0, bytes: 0 };
      cell.count += 1;
      cell.bytes += answer.bytes;
      cells.set(key, cell);
    },
    maybe(repository) {
      openCell(repository).unseen += 1;
    },
    step(name) {
      steps.set(name, (steps.get(name) ?? 0) + 1);
    },
    violation(what) {
      ledger.violationCount += 1;
      if (violations.length < mostViolations) violations.push(what);
      if (ledger.violationCount <= 50) say(`VIOLATION: ${what}`);
    },
  };
  return ledger;
}

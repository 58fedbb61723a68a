/**
 * Counts requests. A busy server ends tens of thousands of them a second, so an event costs a few look-ups and
 * additions here; numbers become metrics only when somebody asks for them.
 */
import type { Events } from '../core/events.ts';

/** Upper bounds in seconds: from an answer out of memory to a big file over a slow line. */
export const durationBounds: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
];

const boundsMs = durationBounds.map((seconds) => seconds * 1000);

/** Labels are bounded by the configuration and the formats' route tables; should that ever fail, memory still is. */
const mostCells = 20_000;

export interface Cell {
  readonly repository: string;
  readonly format: string;
  readonly route: string;
  readonly outcome: string;
  /** 2 for 200 to 299. */
  readonly statusClass: number;
  count: number;
  aborted: number;
  bytesSent: number;
  durationMs: number;
  /** One for each bound and one for what is longer; not cumulative. */
  readonly buckets: number[];
}

type Request = Events['request'];
type Outcomes = Map<string, (Cell | undefined)[]>;

export class RequestCounts {
  readonly #byRepository = new Map<string, Map<string, Outcomes>>();
  readonly #cells: Cell[] = [];

  get cells(): readonly Cell[] {
    return this.#cells;
  }

  readonly add = (request: Request): void => {
    const statusClass = (request.status / 100) | 0;
    const cell =
      this.#byRepository.get(request.repository)?.get(request.route)?.get(request.outcome)?.[statusClass] ??
      this.#open(request, statusClass);
    cell.count++;
    cell.bytesSent += request.bytesSent;
    cell.durationMs += request.durationMs;
    if (request.aborted) cell.aborted++;
    let bucket = 0;
    // biome-ignore lint/style/noNonNullAssertion: The loop ends with the list.
    while (bucket < boundsMs.length && request.durationMs > boundsMs[bucket]!) bucket++;
    // biome-ignore lint/style/noNonNullAssertion: There is one more bucket than bounds.
    cell.buckets[bucket]!++;
  };

  #open(request: Request, statusClass: number): Cell {
    const full = this.#cells.length >= mostCells;
    const repository = full ? 'other' : request.repository;
    const route = full ? 'other' : request.route;
    const routes = within(this.#byRepository, repository, () => new Map<string, Outcomes>());
    const outcomes = within(routes, route, (): Outcomes => new Map());
    const classes = within(outcomes, request.outcome, (): (Cell | undefined)[] => []);
    const found = classes[statusClass];
    if (found) return found;
    const cell: Cell = {
      repository,
      format: full ? 'other' : request.format,
      route,
      outcome: request.outcome,
      statusClass,
      count: 0,
      aborted: 0,
      bytesSent: 0,
      durationMs: 0,
      buckets: new Array<number>(boundsMs.length + 1).fill(0),
    };
    classes[statusClass] = cell;
    this.#cells.push(cell);
    return cell;
  }
}

function within<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

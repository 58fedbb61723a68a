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
  /** The organisation in `repository`; `-` for the control plane. */
  readonly org: string;
  /** As Prometheus writes them, without the class of status. */
  readonly labels: string;
  /** Only those that histograms have. */
  readonly groupLabels: string;
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
  /** The same for the time until the first byte of the answer, of those that had one. */
  readonly firstByte: { count: number; ms: number; readonly buckets: number[] };
}

/** Requests of those who are known, and of those who showed what does not count. */
export interface Identified {
  readonly org: string;
  readonly kind: NonNullable<Request['who']>;
  count: number;
}

type Request = Events['request'];
type Outcomes = Map<string, (Cell | undefined)[]>;

export class RequestCounts {
  readonly #byRepository = new Map<string, Map<string, Outcomes>>();
  readonly #cells: Cell[] = [];
  readonly #identified = new Map<string, Identified>();

  get cells(): readonly Cell[] {
    return this.#cells;
  }

  get identified(): Iterable<Identified> {
    return this.#identified.values();
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
    // biome-ignore lint/style/noNonNullAssertion: There is one more bucket than bounds.
    cell.buckets[bucketOf(request.durationMs)]!++;
    if (request.firstByteMs !== undefined) {
      const { firstByte } = cell;
      firstByte.count++;
      firstByte.ms += request.firstByteMs;
      // biome-ignore lint/style/noNonNullAssertion: There is one more bucket than bounds.
      firstByte.buckets[bucketOf(request.firstByteMs)]!++;
    }
    if (request.who !== undefined) this.#identify(orgOf(request.repository), request.who);
  };

  #identify(org: string, kind: Identified['kind']): void {
    const key = `${kind} ${org}`;
    const found = this.#identified.get(key);
    if (found) found.count++;
    else if (this.#identified.size < mostCells) this.#identified.set(key, { org, kind, count: 1 });
  }

  #open(request: Request, statusClass: number): Cell {
    const full = this.#cells.length >= mostCells;
    const repository = full ? 'other' : request.repository;
    const route = full ? 'other' : request.route;
    const routes = within(this.#byRepository, repository, () => new Map<string, Outcomes>());
    const outcomes = within(routes, route, (): Outcomes => new Map());
    const classes = within(outcomes, request.outcome, (): (Cell | undefined)[] => []);
    const found = classes[statusClass];
    if (found) return found;
    const { outcome } = request;
    const org = orgOf(repository);
    const format = full ? 'other' : request.format;
    const cell: Cell = {
      ...{ org, repository, format, route, outcome },
      labels: labelText({ org, repository, format, route, outcome }),
      groupLabels: labelText({ org, format, outcome }),
      statusClass,
      count: 0,
      aborted: 0,
      bytesSent: 0,
      durationMs: 0,
      buckets: emptyBuckets(),
      firstByte: { count: 0, ms: 0, buckets: emptyBuckets() },
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

const emptyBuckets = (): number[] => new Array<number>(boundsMs.length + 1).fill(0);

function bucketOf(ms: number): number {
  let bucket = 0;
  // biome-ignore lint/style/noNonNullAssertion: The loop ends with the list.
  while (bucket < boundsMs.length && ms > boundsMs[bucket]!) bucket++;
  return bucket;
}

/** Of `org/name`; what has none stays as it is. */
export function orgOf(repository: string): string {
  const slash = repository.indexOf('/');
  return slash === -1 ? repository : repository.slice(0, slash);
}

/** As Prometheus' text format has it, without the braces. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  const escaped = (value: string): string => value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n');
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',');
}

/** Requests of clients: how many, how long, how much, by whom, and which were refused. */
import { Counter } from 'prom-client';
import { type Code, problems, toProblem } from '../core/problem.ts';
import { bounded, type Counting } from './count.ts';
import { type Cell, durationBounds, labelText, orgOf, RequestCounts } from './requests.ts';

/** Problems that mean: this one may not, or not so much. */
const refusals: readonly Code[] = ['unauthorized', 'forbidden', 'refused', 'quota_exceeded', 'too_many_requests'];
/** Of histograms; each is some twenty lines. What comes later counts as of the organisation `other`. */
const mostGroups = 2000;
const mostOrgs = 1000;

export function countRequests({ registers, on, text }: Counting): void {
  const counts = new RequestCounts();
  text(() => [...requestLines(counts.cells), ...histograms(counts.cells)]);
  new Counter({
    name: 'larder_identities_total',
    help: 'Requests to repositories by what kind of identity asked; rejected: what was shown does not count.',
    labelNames: ['org', 'kind'],
    registers,
    collect() {
      this.reset();
      const known = new Map<string, number>();
      for (const { org, kind, count } of counts.identified) {
        this.inc({ org, kind }, count);
        known.set(org, (known.get(org) ?? 0) + count);
      }
      const all = new Map<string, number>();
      for (const { org, count } of counts.cells) all.set(org, (all.get(org) ?? 0) + count);
      all.delete('-');
      // Counted with the same event, so that the difference never shrinks.
      for (const [org, count] of all) this.inc({ org, kind: 'anonymous' }, Math.max(0, count - (known.get(org) ?? 0)));
    },
  });

  const failures = new Counter({
    name: 'larder_failures_total',
    help: 'Requests that ended in a problem, by its code.',
    labelNames: ['code'],
    registers,
  });
  for (const code of Object.keys(problems)) failures.inc({ code }, 0);
  const refused = new Counter({
    name: 'larder_access_refusals_total',
    help: 'Requests to repositories that ended in a refusal, by its code and by the kind of identity that asked.',
    labelNames: ['org', 'code', 'kind'],
    registers,
  });
  const orgs = bounded(mostOrgs);
  on('request', (request) => {
    counts.add(request);
    if (request.error === undefined) return;
    const { code } = toProblem(request.error);
    failures.inc({ code });
    if (request.repository === '-' || !refusals.includes(code)) return;
    refused.inc({ org: orgs(orgOf(request.repository)), code, kind: request.who ?? 'anonymous' });
  });
}

/** Written here and not by the library: there can be thousands of lines, and it takes ten times as long for each, in which nobody is served. */
function* requestLines(cells: readonly Cell[]): Generator<string> {
  yield* head('larder_requests_total', 'counter', 'Requests, after their last byte.');
  for (const cell of cells) {
    yield `larder_requests_total{${cell.labels},status_class="${cell.statusClass}xx"} ${cell.count}`;
  }
  yield* head('larder_client_bytes_total', 'counter', 'Bytes of bodies sent to clients.');
  for (const [labels, bytes] of sums(cells, ({ labels, bytesSent }) => [labels, bytesSent])) {
    yield `larder_client_bytes_total{${labels}} ${bytes}`;
  }
  const aborted = 'larder_requests_aborted_total';
  yield* head(aborted, 'counter', 'Requests whose client left, or whose answer was cut because it proved wrong.');
  for (const [labels, count] of sums(cells, (cell) => [
    labelText({ org: cell.org, format: cell.format }),
    cell.aborted,
  ])) {
    yield `${aborted}{${labels}} ${count}`;
  }
}

function head(name: string, type: 'counter' | 'histogram', help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function sums(
  cells: readonly Cell[],
  of: (cell: Cell) => readonly [labels: string, value: number],
): Map<string, number> {
  const found = new Map<string, number>();
  for (const cell of cells) {
    const [labels, value] = of(cell);
    found.set(labels, (found.get(labels) ?? 0) + value);
  }
  return found;
}

interface Spread {
  count: number;
  ms: number;
  readonly buckets: number[];
}

/**
 * By organisation, format and outcome: enough for a dashboard's variables, while repository and route, which the counters have, would
 * make them ten times as long.
 */
function* histograms(cells: readonly Cell[]): Generator<string> {
  const whole = new Map<string, Spread>();
  const first = new Map<string, Spread>();
  for (const cell of cells) {
    const { groupLabels: labels, format, outcome } = cell;
    // Cells stay in the order in which they were opened, so what a cell is part of never changes.
    const known = whole.has(labels) || whole.size < mostGroups ? labels : labelText({ org: 'other', format, outcome });
    add(whole, known, { count: cell.count, ms: cell.durationMs, buckets: cell.buckets });
    add(first, known, cell.firstByte);
  }
  yield* histogram(
    'larder_request_duration_seconds',
    'From the first byte of a request to the last of its answer.',
    whole,
  );
  yield* histogram(
    'larder_request_first_byte_seconds',
    'From the first byte of a request to the first of its answer, which a slow client does not make longer.',
    first,
  );
}

function add(groups: Map<string, Spread>, labels: string, { count, ms, buckets }: Spread): void {
  const group = groups.get(labels) ?? { count: 0, ms: 0, buckets: buckets.map(() => 0) };
  group.count += count;
  group.ms += ms;
  for (const [index, value] of buckets.entries()) group.buckets[index] = (group.buckets[index] ?? 0) + value;
  groups.set(labels, group);
}

const steps = [...durationBounds.map(String), '+Inf'];

function* histogram(name: string, help: string, groups: ReadonlyMap<string, Spread>): Generator<string> {
  yield* head(name, 'histogram', help);
  for (const [labels, { count, ms, buckets }] of groups) {
    let below = 0;
    for (const [index, le] of steps.entries()) {
      below += buckets[index] ?? 0;
      yield `${name}_bucket{${labels},le="${le}"} ${below}`;
    }
    yield `${name}_sum{${labels}} ${ms / 1000}`;
    yield `${name}_count{${labels}} ${count}`;
  }
}

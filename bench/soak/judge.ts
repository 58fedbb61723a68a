/** Compares what Larder says of itself with what clients and upstreams counted: equal where that can be, between bounds where it cannot, with the reason. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Code, problems } from '../../src/core/problem.ts';
import type { Metrics } from '../../test/support/metrics.ts';
import { type FormatId, formats } from './catalog.ts';
import type { Fake } from './fakes.ts';
import { cellKey, type Ledger } from './ledger.ts';

export interface Check {
  readonly name: string;
  /** What Larder says. */
  readonly said: string;
  /** What it should be. */
  readonly counted: string;
  readonly ok: boolean;
  /** Why there are only bounds. */
  readonly reason?: string;
}

/** What `X-Larder-Cache` says; every other outcome is told by the status alone. */
const told = new Set(['hit', 'miss', 'joined', 'revalidated', 'stale', 'hosted', 'negative', 'offline']);
const headerOf = (outcome: string): string => (told.has(outcome) ? outcome : '-');

export function between(name: string, said: number, low: number, high: number, reason: string): Check {
  const counted = low === high ? `${low}` : `${low} to ${high}`;
  return { name, said: `${said}`, counted, ok: said >= low && said <= high, ...(low === high ? {} : { reason }) };
}

function exactly(name: string, said: number, counted: number): Check {
  return between(name, said, counted, counted, '');
}

const leftReason = 'clients left, or were cut off, before they saw the end';

export function judgeRequests(metrics: Metrics, ledger: Ledger): Check[] {
  const name = 'larder_requests_total';
  const repositories = new Set([
    ...[...ledger.cells.keys(), ...ledger.open.keys()].map((key) => key.split(' ', 1)[0] ?? ''),
    ...metrics.samples.filter((sample) => sample.name === name).map(({ labels }) => labels.repository ?? ''),
  ]);
  repositories.delete('-');
  const checks: Check[] = [];
  let total = 0;
  let low = 0;
  let high = 0;
  let equal = 0;
  let within = 0;
  const odd: string[] = [];
  const said = new Map<string, number>();
  for (const { name: of, labels, value } of metrics.samples) {
    if (of !== name || labels.repository === '-') continue;
    const key = cellKey(labels.repository ?? '', labels.status_class ?? '', headerOf(labels.outcome ?? ''));
    said.set(key, (said.get(key) ?? 0) + value);
  }
  for (const repository of repositories) {
    const open = ledger.open.get(repository);
    const known = [...ledger.cells].filter(([key]) => key.startsWith(`${repository} `));
    const count = known.reduce((sum, [, cell]) => sum + cell.count, 0) + (open?.seen ?? 0);
    const mine = metrics.sum(name, { repository });
    total += mine;
    low += count;
    high += count + (open?.unseen ?? 0);
    if (mine < count || mine > count + (open?.unseen ?? 0)) {
      odd.push(`${repository}: ${mine} instead of ${count} to ${count + (open?.unseen ?? 0)}`);
    }
    const keys = new Set([
      ...known.map(([key]) => key),
      ...[...said.keys()].filter((key) => key.startsWith(`${repository} `)),
    ]);
    for (const key of keys) {
      const statusClass = key.split(' ')[1] ?? '';
      const least = ledger.cells.get(key)?.count ?? 0;
      const slack = (open?.byClass[statusClass] ?? 0) + (open?.unseen ?? 0);
      const value = said.get(key) ?? 0;
      if (value === least) equal += 1;
      else if (value > least && value <= least + slack) within += 1;
      else odd.push(`${key}: ${value} instead of ${least} to ${least + slack}`);
    }
  }
  checks.push(between('requests, all repositories', total, low, high, leftReason));
  checks.push({
    name: 'requests by repository, status class and outcome',
    said: `${equal + within + odd.length} series`,
    counted: `${equal} equal, ${within} within bounds${odd.length === 0 ? '' : `, ${odd.length} WRONG: ${odd.slice(0, 5).join('; ')}`}`,
    ok: odd.length === 0,
    reason: leftReason,
  });
  const all = metrics.sum(name);
  checks.push(
    exactly('observations of the duration histogram', metrics.sum('larder_request_duration_seconds_count'), all),
  );
  return checks;
}

export function judgeBytes(metrics: Metrics, ledger: Ledger): Check[] {
  const whole = [...ledger.cells].filter(([key]) => !key.startsWith('- '));
  const open = [...ledger.open].filter(([key]) => key !== '-');
  const bytes = whole.reduce((sum, [, cell]) => sum + cell.bytes, 0);
  const least = open.reduce((sum, [, cell]) => sum + cell.bytes, 0);
  const most = open.reduce((sum, [, cell]) => sum + cell.mostBytes, 0);
  const said = metrics.sum('larder_client_bytes_total') - metrics.sum('larder_client_bytes_total', { repository: '-' });
  const checks = [
    between('bytes to clients', said, bytes + least, bytes + most, 'of answers that clients left, part was on its way'),
  ];
  // Where nobody left, every byte counts.
  const exact = formats
    .flatMap((format) => ['open', 'acme', 'beta'].map((org) => `${org}/${format}`))
    .filter((one) => !ledger.open.has(one));
  const sums = exact.map((repository) => {
    const counted = whole
      .filter(([key]) => key.startsWith(`${repository} `))
      .reduce((sum, [, cell]) => sum + cell.bytes, 0);
    return { repository, counted, said: metrics.sum('larder_client_bytes_total', { repository }) };
  });
  const odd = sums.filter(({ counted, said: mine }) => counted !== mine);
  checks.push({
    name: 'bytes to clients of repositories that nobody left',
    said: `${sums.reduce((sum, one) => sum + one.said, 0)}`,
    counted: `${sums.reduce((sum, one) => sum + one.counted, 0)} in ${sums.length} repositories${odd.length === 0 ? '' : `; WRONG: ${JSON.stringify(odd.slice(0, 3))}`}`,
    ok: odd.length === 0,
  });
  checks.push(
    between(
      'requests aborted',
      metrics.sum('larder_requests_aborted_total'),
      0,
      [...ledger.open.values()].reduce((sum, cell) => sum + cell.seen + cell.unseen, 0) + 1e4,
      'whoever leaves after the last byte was handed to the system is not noticed',
    ),
  );
  return checks;
}

/** Problems by their status, against what clients were answered. */
export function judgeFailures(metrics: Metrics, ledger: Ledger): Check[] {
  const said = new Map<number, number>();
  for (const { name, labels, value } of metrics.samples) {
    if (name !== 'larder_failures_total') continue;
    const status = problems[labels.code as Code]?.status ?? 0;
    said.set(status, (said.get(status) ?? 0) + value);
  }
  const heard = new Map<number, number>();
  for (const [key, count] of ledger.statuses) {
    const status = Number(key.split(' ')[1]);
    heard.set(status, (heard.get(status) ?? 0) + count);
  }
  const open = [...ledger.open.values()].reduce((sum, cell) => sum + cell.seen + cell.unseen, 0);
  return [500, 502, 503].map((status) =>
    between(
      `failures that are ${status}`,
      said.get(status) ?? 0,
      heard.get(status) ?? 0,
      (heard.get(status) ?? 0) + open,
      'an answer that was cut counts as a failure, and had its status before',
    ),
  );
}

/** What limits refused, against the clients that were told so. */
export function judgeLimits(metrics: Metrics, ledger: Ledger): Check[] {
  const heard = [...ledger.statuses].filter(([key]) => key.endsWith(' 429')).reduce((sum, [, count]) => sum + count, 0);
  const refused = ['requests', 'transfers'].reduce(
    (sum, kind) => sum + metrics.sum('larder_limited_total', { kind }),
    0,
  );
  const beta = [...ledger.open]
    .filter(([key]) => key.startsWith('beta/'))
    .reduce((sum, [, cell]) => sum + cell.unseen, 0);
  return [between('requests refused by limits', refused, heard, heard + beta, leftReason)];
}

export function judgeUpstreams(metrics: Metrics, fakes: Readonly<Record<FormatId, Fake>>): Check[] {
  return formats.flatMap((format) => {
    const { tally } = fakes[format];
    const upstream = `up-${format}`;
    const classes = Object.entries(tally.heads).map(([statusClass, count]) => {
      const said = metrics.sum('larder_upstream_responses_total', { upstream, status_class: statusClass });
      return { statusClass, said, count };
    });
    const said = classes.reduce((sum, one) => sum + one.said, 0);
    const count = classes.reduce((sum, one) => sum + one.count, 0);
    const odd = classes.filter((one) => one.said > one.count || one.said < one.count - tally.left);
    return [
      {
        ...between(
          `answers of ${upstream}`,
          said,
          count - tally.left,
          count,
          'some were left, or lost with their connection, on the way',
        ),
        ok: odd.length === 0,
        counted: classes
          .map((one) => `${one.statusClass} ${one.said === one.count ? one.count : `${one.said} of ${one.count}`}`)
          .join(', '),
      },
      between(
        `bytes from ${upstream}`,
        metrics.sum('larder_upstream_bytes_total', { upstream }),
        tally.wholeBytes,
        tally.bytes,
        'answers that broke off arrived in part',
      ),
    ];
  });
}

/** A few faults may all hit what nobody was still waiting for. */
const manyFaults = 20;

export function judgeRest(metrics: Metrics, faults: Readonly<Record<string, number>>): Check[] {
  const none = (name: string, metric: string): Check => exactly(name, metrics.sum(metric), 0);
  const some = (name: string, metric: string): Check => {
    const said = metrics.sum(metric);
    return { name, said: `${said}`, counted: 'more than none', ok: said > 0 };
  };
  const often = (fault: string): boolean => (faults[fault] ?? 0) >= manyFaults;
  return [
    none('downloads in flight', 'larder_downloads_in_flight'),
    none('readers of downloads', 'larder_download_readers'),
    none('requests to upstreams under way', 'larder_upstream_running'),
    none('requests waiting for upstreams', 'larder_upstream_waiting'),
    none('objects damaged', 'larder_store_damaged_total'),
    none('failures in the background', 'larder_faults_total'),
    some('evictions', 'larder_store_evictions_total'),
    some('downloads joined', 'larder_download_joined_total'),
    ...(often('wrong byte') ? [some('downloads that proved wrong', 'larder_download_mismatches_total')] : []),
    ...(often('cut') ? [some('downloads resumed', 'larder_download_resumes_total')] : []),
  ];
}

export interface LogSummary {
  readonly requests: number;
  /** Lines that are errors, less those of requests. */
  readonly errors: readonly string[];
}

/** What upstream sent wrongly is an error, and was meant to be. What is no line of the log is a process that dies. */
function isError(line: string): boolean {
  if (!line.startsWith('{')) return true;
  return /^\{"level":(?:50|60),/.test(line) && !line.includes('upstream sent bytes that are not what was promised');
}

export async function readLog(path: string): Promise<LogSummary> {
  let requests = 0;
  const errors: string[] = [];
  for await (const line of createInterface({ input: createReadStream(path) })) {
    if (line.includes('"msg":"request"')) {
      requests += 1;
      if (/"status":500\b/.test(line) && errors.length < 50) errors.push(line.slice(0, 1500));
    } else if (isError(line) && errors.length < 50) errors.push(line.slice(0, 1500));
  }
  return { requests, errors };
}

/** The table, on the terminal and in `bench/results.md`. What people wrote below the marker stays as it is. */
import type { Contender, Contest, Outcome, Round, Spread, Target, Unit } from './contest.ts';
import { median, ratios, reached } from './contest.ts';
import type { Usage } from './machine.ts';

export const marker = '<!-- Below this line: written by hand, kept when the bench writes this file. -->';

export const notYet = 'not yet measured';

const names: Record<Contender, string> = {
  larder: 'Larder',
  nginx: 'nginx `proxy_cache`',
  'nginx-open': 'nginx `proxy_cache` with `open_file_cache`',
  verdaccio: 'Verdaccio',
  'docker-registry': '`docker-registry` as cache',
  'registry-own': '`docker-registry`',
  straight: 'straight to the upstream',
  'nginx-file': 'nginx serving the file to everybody',
  'larder-alone': 'Larder without nginx',
  'larder-calm': 'Larder before they came',
};

export interface Facts {
  readonly date: Date;
  readonly machine: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
}

type Usages = ReadonlyMap<Contender, Usage>;

interface Cells {
  readonly what: string;
  readonly ours: string;
  readonly against: string;
  readonly theirs: string;
  readonly ratio: string;
  readonly target: string;
  readonly verdict: string;
  readonly busy: string;
  readonly cost: string;
}

const head: Cells = {
  what: 'What',
  ours: 'Larder',
  against: 'Against',
  theirs: 'Other',
  ratio: 'Ratio (min–max)',
  target: 'Target',
  verdict: '',
  busy: 'Core in use',
  cost: 'CPU each',
};

/** Speed first, then memory: what the servers had, and what was measured of it. */
export function tablesOf(contests: readonly Contest[], outcomes: readonly Outcome[], usages: Usages): string {
  const speed = contests.filter(({ unit }) => unit !== 'MB');
  const memory = contests.filter(({ unit }) => unit === 'MB');
  return [
    ...(speed.length > 0 ? [tableOf(speed, outcomes)] : []),
    ...(usages.size > 0 ? [memoryTable(usages)] : []),
    ...(memory.length > 0 ? [tableOf(memory, outcomes)] : []),
  ].join('\n\n');
}

/** A line for each contest, measured or not, and each opponent. */
export function tableOf(contests: readonly Contest[], outcomes: readonly Outcome[]): string {
  const known = new Map(outcomes.map((outcome) => [outcome.contest.id, outcome]));
  const lines = contests.flatMap((contest) => linesOf(contest, known.get(contest.id)));
  const columns = Object.keys(head) as (keyof Cells)[];
  const widths = columns.map((column) => Math.max(3, ...[head, ...lines].map((line) => line[column].length)));
  const print = (line: Cells): string =>
    `| ${columns.map((column, n) => line[column].padEnd(widths[n] ?? 0)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [print(head), rule, ...lines.map(print)].join('\n');
}

function linesOf(contest: Contest, outcome: Outcome | undefined): Cells[] {
  const blank = { ours: '', against: '', theirs: '', ratio: '', target: '', verdict: '', busy: '', cost: '' };
  if (outcome && 'failure' in outcome)
    return [{ ...blank, what: contest.title, verdict: `failed: ${outcome.failure}` }];
  const against = contest.against.length > 0 ? contest.against : [undefined];
  return against.map((other, n): Cells => {
    const what = n === 0 ? contest.title : '';
    const limit = n === 0 ? contest.limit : undefined;
    const target =
      limit !== undefined ? `≤ ${quantity(limit, contest.unit)}` : other?.target ? written(other.target) : '';
    const opponent = other ? names[other.contender] : '';
    if (!outcome) return { ...blank, what, against: opponent, target, verdict: notYet };
    const { rounds, note } = outcome;
    const value = (who: Contender): string => quantity(median(turnsOf(who, 'value')), contest.unit);
    const turnsOf = (who: Contender, key: 'value' | 'busy'): number[] =>
      rounds.map((round) => round.get(who)?.[key]).filter((found) => found !== undefined);
    const pair = (['larder', ...(other ? [other.contender] : [])] as Contender[]).filter(
      (who) => turnsOf(who, 'busy').length > 0,
    );
    const busy = pair.map((who) => `${Math.round(median(turnsOf(who, 'busy')) * 100)} %`);
    const cost = contest.unit === 'req/s' ? pair.map((who) => `${figure(microsecondsEach(rounds, who))} µs`) : [];
    const ratio = other && ratios(rounds, other.contender);
    const isReached =
      limit !== undefined
        ? median(turnsOf('larder', 'value')) <= limit
        : ratio && other.target && reached(other.target, ratio.median);
    const verdict = isReached === undefined ? '' : isReached ? 'reached' : 'missed';
    return {
      what: n === 0 && note ? `${what} (${note})` : what,
      ours: n === 0 ? value('larder') : '',
      against: opponent,
      theirs: other ? value(other.contender) : '',
      ratio: ratio ? spreadText(ratio) : '',
      target,
      verdict,
      busy: busy.join(', '),
      cost: cost.join(', '),
    };
  });
}

/** Of the server's core, per answer: what is left of a comparison when the load or a busy machine was the limit. */
function microsecondsEach(rounds: readonly Round[], who: Contender): number {
  const turns = rounds.map((round) => round.get(who)).filter((turn) => turn !== undefined);
  return median(turns.map(({ value, busy = Number.NaN }) => (busy / value) * 1e6));
}

function written(target: Target): string {
  return 'atLeast' in target ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`;
}

function spreadText({ median, min, max }: Spread): string {
  return `${figure(median)} (${figure(min)}–${figure(max)})`;
}

/** Three figures say all that a bench can say. */
function figure(value: number): string {
  return value >= 100 ? Math.round(value).toString() : value.toPrecision(3);
}

function quantity(value: number, unit: Unit): string {
  if (Number.isNaN(value)) return '';
  return `${value >= 1000 ? Math.round(value).toLocaleString('en-US') : figure(value)} ${unit}`;
}

function memoryTable(usages: Usages): string {
  const lines = [...usages].map(
    ([who, { residentBytes, peakBytes }]) =>
      `| ${names[who]} | ${mebibytes(residentBytes)} | ${mebibytes(peakBytes)} |`,
  );
  return ['| Server | Resident after the run | Peak |', '| --- | --- | --- |', ...lines].join('\n');
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** @param before What the file holds now; its part below the marker is kept. */
export function documentOf(facts: Facts, tables: string, before: string | undefined): string {
  const at = before?.indexOf(marker) ?? -1;
  const kept = before !== undefined && at !== -1 ? before.slice(at + marker.length).trim() : unwritten;
  return `# Results

Made by \`npm run bench\` on ${facts.date.toISOString().slice(0, 10)}: ${facts.rounds} rounds, ${facts.seconds} s a turn under load. In each round the
contenders take turns; a value is the median over the rounds, a ratio is Larder's value divided by the other's in the
same round, as median, smallest and largest. "Core in use" is how much of its core each of the two needed: well below
100 %, the load was the limit and not the server. "CPU each" is the time of that core that one answer took.

${facts.machine.map((line) => `- ${line}`).join('\n')}

Every server has one core for all its threads and processes, the load and the upstream have the other one; access logs
are on, in files. nginx has one worker, \`sendfile\`, and a buffered log; the lines with \`open_file_cache\` are shown to
know what is possible beyond the usual configuration. Files of 200 MB are read by \`bench/reader.ts\`, because wrk is slower than the
servers there; everything else is asked by wrk with one thread. Status and length of every answer count, and its digest
before and after; during warm rows the upstream is not asked once. Only \`docker-registry\` (\`proxy.remoteurl\`, descriptors in memory) asks it for
each tag, which is how it works. Manifests are those of ten images in turn; a client that is told to get a token asks for \`/v2/\` and for
the token first. Where somebody has a token, all are sent it, and only Larder looks at it: nginx lets in everybody. Published is what is new each time; \`docker-registry\` is then no cache. The growth of memory is the peak less what a Larder had that has only just started and served one small layer.

${tables}

${marker}

${kept}
`;
}

const unwritten = `## Where the time goes

Not yet written.

## What was tried

Not yet written.`;

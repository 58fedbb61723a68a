/** The result of a soak as tables, and the page that keeps it. */
import type { Outcome } from './run.ts';
import type { Slope } from './watch.ts';

const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
const slope = ({ perHour, plusMinus }: Slope): string => `${mb(perHour)} ± ${mb(plusMinus)} MB an hour`;
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function counts(of: Readonly<Record<string, number>>): string {
  return Object.entries(of)
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

export function summaryOf(outcome: Outcome): string {
  const { memory, checks, samples } = outcome;
  const facts: readonly (readonly [string, string])[] = [
    ['length', `${(outcome.seconds / 60).toFixed(1)} minutes, seed ${outcome.options.seed}`],
    ['requests', `${outcome.requests}, ${mb(outcome.clientBytes)} MB of bodies`],
    ['processor', `${(outcome.cpuShare * 100).toFixed(0)} % of one core`],
    [
      'machine stood still',
      `${outcome.standstills} times for more than a second and a half, with other programs on it`,
    ],
    ['steps', counts(outcome.steps)],
    ['statuses', counts(outcome.statuses)],
    ['faults of upstreams', counts(outcome.faults)],
    [
      'resident memory',
      `${mb(memory.afterWarmUp)} MB after warm-up, ${mb(memory.peak)} MB at most, ${mb(memory.atEnd)} MB at the end, ${mb(memory.afterIdle)} MB after a rest`,
    ],
    ['slope of resident memory, second half', slope(memory.rss)],
    ['slope of the heap in use, second half', slope(memory.heap)],
    [
      'most descriptors',
      `${Math.max(...samples.map(({ descriptors }) => Object.values(descriptors).reduce((sum, one) => sum + one, 0)))}`,
    ],
    [
      'event loop delay, p99',
      `${Math.max(...samples.map(({ loopDelayP99Ms }) => loopDelayP99Ms)).toFixed(0)} ms in the worst ten seconds`,
    ],
  ];
  const rows = checks.map(
    ({ name, said, counted, ok, reason }) =>
      `| ${ok ? 'yes' : '**NO**'} | ${name} | ${cell(said)} | ${cell(counted)} | ${reason ?? ''} |`,
  );
  return [
    '| | |',
    '|---|---|',
    ...facts.map(([name, value]) => `| ${name} | ${cell(value)} |`),
    '',
    '| as it should be | what | Larder says | clients and upstreams counted | why there are only bounds |',
    '|---|---|---|---|---|',
    ...rows,
    ...(outcome.violations.length > 0 ? ['', 'Wrong:', '', ...outcome.violations.map((one) => `- ${one}`)] : []),
    ...(outcome.errors.length > 0
      ? ['', 'Errors in the log:', '', ...outcome.errors.map((one) => `- \`${one}\``)]
      : []),
  ].join('\n');
}

function curveOf({ samples }: Outcome): string {
  const step = Math.max(1, Math.floor(samples.length / 20));
  const rows = samples
    .filter((_, nth) => nth % step === 0 || nth === samples.length - 1)
    .map(
      (one) =>
        `| ${(one.atMs / 60_000).toFixed(1)} | ${mb(one.rssBytes)} | ${mb(one.heapBytes)} | ${mb(one.externalBytes)} | ${Object.values(one.descriptors).reduce((sum, count) => sum + count, 0)} | ${mb(one.storeBytes)} | ${one.requests} |`,
    );
  return [
    '| minute | resident, MB | heap, MB | outside of it, MB | descriptors | store, MB | requests |',
    '|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

const marker = '<!-- Everything below is written by `npm run soak`. -->';
const heading = '# Soak\n\nWhat a soak is, and what its numbers mean.\n';

/** The part above the mark is kept as it was written by hand. */
export function documentOf(
  outcome: Outcome,
  machine: readonly string[],
  date: Date,
  before: string | undefined,
): string {
  const kept = before?.split(marker, 1)[0]?.trimEnd() ?? heading.trimEnd();
  return [
    kept,
    '',
    marker,
    '',
    `Run on ${date.toISOString().slice(0, 10)}:`,
    '',
    ...machine.map((line) => `- ${line}`),
    '',
    summaryOf(outcome),
    '',
    '## Over time',
    '',
    curveOf(outcome),
    '',
  ].join('\n');
}

import { describe, expect, it } from 'vitest';
import { type Contest, type Outcome, type Round, ratios, reached, spread } from '../../bench/contest.ts';
import { judge, type Load } from '../../bench/load.ts';
import { readOptions } from '../../bench/options.ts';
import { documentOf, type Facts, marker, notYet, tableOf } from '../../bench/report.ts';
import { contestsOf, rows } from '../../bench/rows.ts';

const contest: Contest = {
  id: 'speed',
  title: 'Speed',
  unit: 'req/s',
  against: [{ contender: 'nginx', target: { atLeast: 1 } }],
};

function rounds(...pairs: readonly [number, number][]): Round[] {
  return pairs.map(
    ([ours, theirs]): Round =>
      new Map([
        ['larder', { value: ours }],
        ['nginx', { value: theirs }],
      ]),
  );
}

describe('numbers of several rounds', () => {
  it.each([
    ['an odd count', [3, 1, 2], { median: 2, min: 1, max: 3 }],
    ['an even count', [4, 1, 2, 3], { median: 2.5, min: 1, max: 4 }],
    ['one', [7], { median: 7, min: 7, max: 7 }],
    ['none', [], undefined],
  ])('have a median, a smallest and a largest: %s', (_name, values, expected) => {
    expect(spread(values)).toEqual(expected);
  });

  it('are divided within their round, and not one median by the other', () => {
    expect(ratios(rounds([10, 10], [30, 10], [20, 40]), 'nginx')).toEqual({ median: 1, min: 0.5, max: 3 });
  });

  it.each([
    [{ atLeast: 1 }, 1, true],
    [{ atLeast: 1 }, 0.99, false],
    [{ atMost: 0.7 }, 0.7, true],
    [{ atMost: 0.7 }, 0.71, false],
  ])('reach %j with %d: %s', (target, ratio, expected) => {
    expect(reached(target, ratio)).toBe(expected);
  });
});

describe('what wrk counted', () => {
  const load: Load = {
    url: 'http://127.0.0.1/x',
    headers: {},
    connections: 2,
    seconds: 1,
    headBytes: 200,
    bodyBytes: 1000,
    slackBytes: 20,
  };
  const clean = {
    requests: 100,
    bytes: 120_000,
    durationUs: 2e6,
    connect: 0,
    read: 0,
    write: 0,
    status: 0,
    timeout: 0,
  };

  it('becomes rates', () => {
    expect(judge(clean, load)).toEqual({ requestsPerSecond: 50, megabytesPerSecond: 0.06 });
  });

  it.each([
    ['an answer with another status', { status: 1 }],
    ['a broken connection', { read: 1 }],
    ['an answer that did not come in time', { timeout: 1 }],
    ['answers that are too short', { bytes: 115_000 }],
    ['answers that are too long', { bytes: 130_000 }],
    ['no answer at all', { requests: 0, bytes: 0 }],
  ])('is no measurement after %s', (_name, change) => {
    expect(() => judge({ ...clean, ...change }, load)).toThrow(load.url);
  });
});

describe('the table', () => {
  const measured: Outcome = { contest, rounds: rounds([90, 100], [95, 100], [110, 100]) };

  it('has a line for what was not measured', () => {
    expect(tableOf([contest], [])).toContain(notYet);
  });

  it('tells a missed target from a reached one', () => {
    expect(tableOf([contest], [measured])).toContain('missed');
    expect(tableOf([contest], [{ contest, rounds: rounds([101, 100]) }])).toContain('reached');
  });

  it('shows the reason of a failure and no number', () => {
    const table = tableOf([contest], [{ contest, failure: 'wrong bytes' }]);
    expect(table).toContain('failed: wrong bytes');
    expect(table).not.toContain('req/s');
  });
});

describe('the file of results', () => {
  const facts: Facts = { date: new Date(0), machine: [], rounds: 1, seconds: 1 };

  it('keeps what people wrote below the marker, and only that', () => {
    const first = documentOf(facts, 'old table', undefined);
    const edited = `${first.slice(0, first.indexOf(marker))}${marker}\n\n## Where the time goes\n\nIn write().\n`;
    const second = documentOf(facts, 'new table', edited);
    expect(second).toContain('In write().');
    expect(second).toContain('new table');
    expect(second).not.toContain('old table');
    expect(documentOf(facts, 'new table', second)).toBe(second);
  });
});

describe('the rows', () => {
  it('have different names', () => {
    const ids = rows.flatMap(contestsOf).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('are all chosen and written by default, and not written when some are left out', () => {
    expect(readOptions([], 'main.ts')).toMatchObject({ rows, write: true });
    expect(readOptions(['--only', 'cold'], 'main.ts')).toMatchObject({ write: false });
    expect(readOptions(['--quick'], 'main.ts')).toMatchObject({ write: false });
  });

  it.each([
    ['a row that does not exist', ['--only', 'cache']],
    ['no rounds', ['--rounds', '0']],
    ['an unknown option', ['--fast']],
  ])('are refused with a reason for %s', (_name, args) => {
    expect(() => readOptions(args, 'main.ts')).toThrow();
  });
});

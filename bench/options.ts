/** What can be said after `npm run bench --`. */
import { parseArgs } from 'node:util';
import { contestsOf, type Row, rows } from './rows.ts';

export interface Options {
  readonly rows: readonly Row[];
  readonly rounds: number;
  readonly seconds: number;
  /** Kept afterwards, with copies of what came from the registry. Absent: a temporary folder. */
  readonly workFolder?: string;
  readonly program: string;
  readonly profile: boolean;
  /** Results go to `bench/results.md`. */
  readonly write: boolean;
}

export const usage = `npm run bench -- [options]
  --only NAME      only rows whose name starts so; more than once for more (${[...new Set(rows.map((row) => row.contest.id.split('-')[0]))].join(', ')}; --list for all)
  --list           names of all rows
  --rounds N       default 5
  --seconds N      of one turn under load, default 4
  --quick          two rounds of one second: to see that everything works
  --write          write bench/results.md also after an incomplete or quick run (a full one always does)
  --work FOLDER    keep what was fetched and what the servers stored
  --program FILE   Larder's command, default bin/larder
  --profile        CPU profile of Larder: what took its time, over all chosen rows`;

/** Throws an error whose message is for people. */
export function readOptions(args: readonly string[], program: string): Options | 'list' | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true },
      list: { type: 'boolean' },
      help: { type: 'boolean' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean' },
      write: { type: 'boolean' },
      work: { type: 'string' },
      program: { type: 'string' },
      profile: { type: 'boolean' },
    },
  });
  if (values.help) return 'help';
  if (values.list) return 'list';
  const chosen = values.only ? rows.filter((row) => values.only?.some((name) => named(row, name))) : rows;
  if (chosen.length === 0) throw new Error(`No row is called ${values.only?.join(' or ')}; --list shows them.`);
  const full = !values.only && !values.quick && !values.profile;
  return {
    rows: chosen,
    rounds: positive('--rounds', values.rounds ?? (values.quick ? '2' : '5')),
    seconds: positive('--seconds', values.seconds ?? (values.quick ? '1' : '4')),
    ...(values.work === undefined ? {} : { workFolder: values.work }),
    program: values.program ?? program,
    profile: values.profile ?? false,
    write: full || (values.write ?? false),
  };
}

function named(row: Row, name: string): boolean {
  return contestsOf(row).some((contest) => contest.id.startsWith(name));
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option} must be a whole number from 1.`);
  return value;
}

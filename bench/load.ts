/** The two ways of asking as fast as a server can answer: wrk for requests, a reader of our own for bytes. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** One request of several that are made in turn. */
export interface Step {
  readonly path: string;
  /** Without the headers of the load. */
  readonly bare?: boolean;
}

export interface Load {
  readonly url: string;
  /** Only for wrk. Absent: the URL, over and over. */
  readonly steps?: readonly Step[];
  /** How many of the steps are to be refused. */
  readonly refusals?: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
  /** Of one answer, or of the steps' answers on average: status line with headers, and body. */
  readonly headBytes: number;
  readonly bodyBytes: number;
  /** By how much one answer may differ from the others: an age, a request id, the lines around chunks. */
  readonly slackBytes: number;
}

export interface Measured {
  readonly requestsPerSecond: number;
  readonly megabytesPerSecond: number;
}

interface WrkSummary {
  readonly requests: number;
  readonly bytes: number;
  readonly durationUs: number;
  readonly connect: number;
  readonly read: number;
  readonly write: number;
  readonly status: number;
  readonly timeout: number;
}

export async function wrk(load: Load): Promise<Measured> {
  const headers = Object.entries(load.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const { stdout } = await run('wrk', [
    '-t1',
    `-c${load.connections}`,
    `-d${load.seconds}s`,
    '--timeout=30s',
    ...['-s', join(import.meta.dirname, 'wrk.lua')],
    ...headers,
    load.url,
    '--',
    ...(load.steps ?? []).map(({ path, bare }) => (bare ? `bare ${path}` : path)),
  ]);
  return judge(JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as WrkSummary, load);
}

/** Turns what wrk counted into rates; throws when an answer was not what was probed before. */
export function judge(summary: WrkSummary, load: Load): Measured {
  const { requests, bytes, connect, read, write, status, timeout } = summary;
  const steps = load.steps?.length ?? 1;
  // Steps are begun in turn, but end in another order, and the last turn is not a whole one.
  const uneven = steps > 1 ? steps + load.connections : 0;
  const refused = ((load.refusals ?? 0) / steps) * requests;
  const unexpected = Math.abs(status - refused);
  const odd = unexpected > (refused > 0 ? uneven : 0) ? Math.ceil(unexpected) : 0;
  const bad = Object.entries({ connect, read, write, status: odd, timeout }).filter(([, count]) => count > 0);
  if (bad.length > 0) throw new Error(`${load.url}: ${bad.map(([name, n]) => `${n} ${name} errors`).join(', ')}`);
  if (requests === 0) throw new Error(`${load.url}: no answer in ${load.seconds} s.`);
  // Every connection may be amid one more answer when time is up.
  const least = Math.max(0, requests - uneven) * (load.bodyBytes + load.headBytes - load.slackBytes);
  const most = (requests + load.connections + uneven) * (load.bodyBytes + load.headBytes + load.slackBytes);
  if (bytes < least || bytes > most) {
    throw new Error(`${load.url}: ${requests} answers came to ${bytes} bytes instead of ${least} to ${most}.`);
  }
  const seconds = summary.durationUs / 1e6;
  return { requestsPerSecond: requests / seconds, megabytesPerSecond: bytes / 1e6 / seconds };
}

/** wrk reads 8 KB at a time and is slower than the servers with long bodies, so these are read by `reader.ts`. */
export async function readFast(load: Load): Promise<Measured> {
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'reader.ts'), JSON.stringify(load)]);
  return JSON.parse(stdout) as Measured;
}

/** What the numbers came from, and on which core things run. */
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Everything under test runs on `server`; everything that measures it, and the upstream, on `load`. */
export const cores = { server: 0, load: 1 } as const;

export interface Usage {
  readonly cpuMs: number;
  readonly residentBytes: number;
  readonly peakBytes: number;
}

/** Processes of the bench itself leave the servers' core. What they start from now on inherits that. */
export async function leaveServerCore(): Promise<void> {
  if (process.platform !== 'linux') throw new Error('The bench pins processes to cores with taskset: it needs Linux.');
  if (cpus().length < 2) throw new Error('The bench needs two cores: one for the server, one for the load.');
  await run('taskset', ['-a', '-c', '-p', String(cores.load), String(process.pid)]).catch((error: unknown) => {
    throw new Error('taskset is missing or refused. Install it: apt-get install util-linux', { cause: error });
  });
}

/** A process and everything it started. Clock ticks are hundredths of a second on every Linux that Node runs on. */
export async function usageOf(pid: number): Promise<Usage> {
  const base = `/proc/${pid}`;
  const [stat, status, threads] = await Promise.all([
    readFile(`${base}/stat`, 'latin1'),
    readFile(`${base}/status`, 'latin1'),
    readdir(`${base}/task`),
  ]);
  // The second field is the command in parentheses and may hold blanks.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  let cpuMs = (Number(fields[11]) + Number(fields[12])) * 10;
  let residentBytes = kibibytes(status, 'VmRSS') * 1024;
  let peakBytes = kibibytes(status, 'VmHWM') * 1024;
  for (const thread of threads) {
    const children = await readFile(`${base}/task/${thread}/children`, 'latin1').catch(() => '');
    for (const child of children.split(' ').filter(Boolean)) {
      // It may end while it is looked at.
      const usage = await usageOf(Number(child)).catch(() => undefined);
      if (!usage) continue;
      cpuMs += usage.cpuMs;
      residentBytes += usage.residentBytes;
      peakBytes += usage.peakBytes;
    }
  }
  return { cpuMs, residentBytes, peakBytes };
}

/** Its peak starts again from what it has now (proc(5), `clear_refs`). */
export async function forgetPeakOf(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

function kibibytes(status: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
}

/** One line a fact, for the head of the results. */
export async function describeMachine(): Promise<string[]> {
  const found = cpus();
  const commit = await run('git', ['describe', '--always', '--dirty'], { cwd: import.meta.dirname })
    .then(({ stdout }) => stdout.trim())
    .catch(() => 'unknown');
  return [
    `${found[0]?.model.trim() ?? 'unknown processor'}, ${found.length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB memory`,
    `Linux ${release()}`,
    `Larder ${commit} on Node ${process.versions.node}`,
  ];
}

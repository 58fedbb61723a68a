/** Runs commands: as people do, or within the test's own process, which is faster. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { run } from '../../src/commands/run.ts';
import { compiled } from '../support/larder.ts';
import { placed } from '../support/namespace.ts';

export const root: string = fileURLToPath(new URL('../..', import.meta.url));
export const program: string = fileURLToPath(new URL('../../bin/larder', import.meta.url));

export interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly program?: string;
}

/** bin/larder, with an environment of its own: only PATH and what is given. */
export async function larder(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const child = spawn(...placed(options.program ?? program, args), {
    cwd: options.cwd ?? root,
    env: { PATH: process.env.PATH ?? '', ...compiled, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const code = new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, out, err };
}

/** The same without a process. */
export async function command(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(args, {
    environment,
    say: (line) => out.push(`${line}\n`),
    warn: (line) => err.push(`${line}\n`),
  });
  return { code, out: out.join(''), err: err.join('') };
}

/** The image run by podman, where this machine lets it: the way people run it, with the limits of their engine. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../support/wait.ts';

const run = promisify(execFile);
const patienceMs = 60_000;

export interface Said {
  readonly code: number;
  readonly out: string;
}

export interface Container {
  /** A program inside it. */
  exec(...command: string[]): Promise<Said>;
  /** The image's own health check. */
  health(): Promise<Said>;
  signal(name: 'HUP' | 'STOP' | 'CONT'): Promise<void>;
  /** Waits for a line of its log. */
  logged(part: string): Promise<void>;
  /** Resolves to the exit code. */
  stop(): Promise<number>;
  remove(): Promise<void>;
}

export interface Engine {
  /** Read-only and without capabilities. `args` are options of `podman run`. */
  start(args?: readonly string[]): Promise<Container>;
}

/** An engine for the images below `store`, or why there is none. */
export async function podman(store: string): Promise<Engine | string> {
  const driver = readFileSync(join(store, 'driver'), 'utf8').trim();
  const place = ['--storage-driver', driver, '--root', join(store, 'images'), '--runroot', join(store, 'run')];
  async function call(...args: string[]): Promise<Said> {
    try {
      const { stdout, stderr } = await run('podman', [...place, ...args], { timeout: patienceMs });
      return { code: 0, out: `${stdout}${stderr}` };
    } catch (error) {
      const { code, stdout = '', stderr = '' } = error as { code?: unknown; stdout?: string; stderr?: string };
      return {
        code: typeof code === 'number' ? code : 1,
        out: `${stdout}${stderr}${code === 'ENOENT' ? 'no podman' : ''}`,
      };
    }
  }

  // An engine asks for more open files than a machine may grant. What this process may have is enough.
  const hard = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? '1024';
  const limits = ['--ulimit', `nofile=${hard}:${hard}`, '--ulimit', 'nproc=4096:4096'];
  const usual = [...limits, '--network', 'none', '--read-only', '--read-only-tmpfs=false', '--cap-drop', 'all'];
  const tried = await call('run', '--rm', '--no-healthcheck', ...usual, '--entrypoint', 'node', 'larder', '-e', '0');
  if (tried.code !== 0) return `podman runs nothing here: ${tried.out.trim().split('\n').at(-1)}`;

  return {
    async start(args = []) {
      const started = await call('run', '--detach', ...usual, ...args, 'larder');
      if (started.code !== 0) throw new Error(started.out);
      // Without systemd podman complains that it can't run health checks by itself.
      const id = /^[0-9a-f]{64}$/m.exec(started.out)?.[0] ?? '';
      const container: Container = {
        exec: (...command) => call('exec', id, ...command),
        health: () => call('healthcheck', 'run', id),
        signal: async (name) => void (await call('kill', '--signal', name, id)),
        logged: async (part) => {
          await eventually(`a line with ${part}`, async () => (await call('logs', id)).out.includes(part) || undefined);
        },
        async stop() {
          await call('stop', '--time', '20', id);
          return Number((await call('inspect', '--format', '{{.State.ExitCode}}', id)).out);
        },
        remove: async () => void (await call('rm', '--force', '--time', '0', '--volumes', id)),
      };
      try {
        await container.logged('"listening"');
      } catch (cause) {
        const log = await call('logs', id);
        await container.remove();
        throw new Error(`the container does not listen:\n${log.out}`, { cause });
      }
      return container;
    },
  };
}

/** Starts a program on the servers' core and keeps an eye on it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { cores, forgetPeakOf, type Usage, usageOf } from './machine.ts';

/** What the upstream has, each below a path of its own; images are where their clients look, below `/v2` at the root. */
export type Place =
  | 'registry'
  | 'files'
  | 'maven'
  | 'images'
  | 'rubygems'
  | 'pypi'
  | 'nuget'
  | 'p2'
  | 'own-packages'
  | 'own-images';

export interface Server {
  readonly name: string;
  /** Where the same path means the same thing as at the upstream; no trailing slash. Throws when this server has none of it. */
  at(place: Place): string;
  usage(): Promise<Usage>;
  /** Open ones. */
  descriptors(): Promise<number>;
  /** From now on the peak is that of what follows. */
  forgetPeak(): Promise<void>;
  stop(): Promise<void>;
}

interface Program {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Standard output and standard error go to a file in here, as a supervisor would do it. */
  readonly folder: string;
  readonly port: number;
  /** Answers 200 when the server is ready. */
  readonly readyPath: string;
  /** Where the upstream's places are found here. */
  readonly places: Partial<Readonly<Record<Place, string>>>;
}

/**
 * A port that was free a moment ago: neither nginx nor Verdaccio can be asked which one they got. Below the range from
 * which systems give ports to outgoing connections, of which a bench makes many.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const probe = createServer();
    const port = 12_000 + Math.floor(Math.random() * 20_000);
    const listening = once(probe.listen(port, '127.0.0.1'), 'listening');
    const free = await listening.then(
      () => true,
      () => false,
    );
    if (!free) continue;
    probe.close();
    await once(probe, 'close');
    return port;
  }
}

/** Resolves once it answers. */
export async function startServer(program: Program): Promise<Server> {
  await mkdir(program.folder, { recursive: true });
  const outputPath = join(program.folder, 'output.log');
  const output = await open(outputPath, 'w');
  // Its own process group: Ctrl-C at the terminal reaches the bench alone, which then stops them in order.
  const child = spawn('taskset', ['-c', String(cores.server), program.command, ...program.args], {
    cwd: program.folder,
    detached: true,
    env: { PATH: process.env.PATH, HOME: program.folder, NODE_ENV: 'production', ...program.env },
    stdio: ['ignore', output.fd, output.fd],
  });
  await once(child, 'spawn');
  await output.close();
  const pid = child.pid ?? 0;
  const url = `http://127.0.0.1:${program.port}`;

  async function stop(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await exit;
    clearTimeout(late);
  }

  async function lastWords(): Promise<string> {
    const lines = (await readFile(outputPath, 'utf8')).trimEnd().split('\n').slice(-20);
    return `Its last words:\n${lines.join('\n')}`;
  }

  async function usage(): Promise<Usage> {
    const { exitCode, signalCode } = child;
    if (exitCode === null && signalCode === null) return usageOf(pid);
    throw new Error(`${program.name} ended with ${signalCode ?? exitCode}. ${await lastWords()}`);
  }

  const deadline = Date.now() + 30_000;
  for (;;) {
    const answer = await fetch(url + program.readyPath).catch(() => undefined);
    await answer?.body?.cancel();
    const hasEnded = child.exitCode !== null || child.signalCode !== null;
    // Another one may answer at the address that ours did not get.
    if (answer?.ok && !hasEnded) break;
    if (hasEnded || Date.now() > deadline) {
      await stop();
      throw new Error(`${program.name} did not get ready (${answer?.status ?? 'no answer'}). ${await lastWords()}`);
    }
    await delay(50);
  }
  return {
    name: program.name,
    at(place) {
      const path = program.places[place];
      if (path === undefined) throw new Error(`${program.name} has no ${place}.`);
      return url + path;
    },
    usage,
    descriptors: async () => (await readdir(`/proc/${pid}/fd`)).length,
    forgetPeak: () => forgetPeakOf(pid),
    stop,
  };
}

/** How long something takes, and the share of that time in which the server's core was in use. */
export async function watched<T>(
  server: Server,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly seconds: number; readonly busy: number }> {
  const before = await server.usage();
  const startedAt = performance.now();
  const result = await work();
  const seconds = (performance.now() - startedAt) / 1000;
  return { result, seconds, busy: ((await server.usage()).cpuMs - before.cpuMs) / 1000 / seconds };
}

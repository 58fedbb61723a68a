/** What thousands of idle and hundreds of slow clients cost those who come beside them. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Arena } from './arena.ts';
import { type Contender, type Contest, median, type Outcome, type Round, type Turn } from './contest.ts';
import type { Crowd } from './crowd.ts';
import { expectStored } from './probe.ts';
import type { Server } from './server.ts';

export interface IdleRow {
  readonly kind: 'idle';
  /** Of the first thing asked; the others are in `more`. */
  readonly contest: Contest;
  readonly more: readonly Contest[];
  readonly idle: number;
  readonly slow: number;
}

const whats = ['hit of 20 KB', 'document of 2 KB', 'miss of 20 KB'] as const;
const percentiles = [0.5, 0.99] as const;

function contestsFor(idle: number, slow: number): readonly Contest[] {
  return whats.flatMap((what) =>
    percentiles.map((percentile): Contest => {
      const id = `idle-${what.split(' ')[0]}-${percentile === 0.5 ? 'median' : 'p99'}`;
      const title = `Time of a ${what} beside ${idle.toLocaleString('en-US')} idle clients and ${slow} slow readers of 200 MB: ${percentile === 0.5 ? 'median' : '99th percentile'}`;
      return { id, title, unit: 'ms', against: [{ contender: 'larder-calm', target: { atMost: 2 } }] };
    }),
  );
}

const [first, ...more] = contestsFor(2000, 500);
export const idleRow: IdleRow = { kind: 'idle', contest: first as Contest, more, idle: 2000, slow: 500 };

/** One after the other over one connection, as a client beside the crowd would. As many as a 99th percentile needs that is not one accident. */
const warmAsks = 3000;
const coldAsks = 500;
const mostRounds = 3;

export async function measureIdle(row: IdleRow, arena: Arena): Promise<Outcome[]> {
  const rounds = new Map<Contest, Round[]>([row.contest, ...row.more].map((contest) => [contest, []]));
  const costs: string[] = [];
  for (let n = 1; n <= Math.min(arena.rounds, mostRounds); n++) {
    arena.say(`Idle and slow clients: round ${n} of ${Math.min(arena.rounds, mostRounds)}`);
    const server = await arena.another('larder');
    try {
      const files = server.at('files');
      await expectStored(`${files}/20k`, {}, {});
      await expectStored(`${server.at('registry')}/bench-document`, {}, {});
      await expectStored(`${files}/200m`, {}, {});
      // The code is compiled before it is measured.
      await times(server);
      const calm = await times(server);
      const crowded = await beside(row, server, () => times(server), costs);
      let at = 0;
      for (const contest of [row.contest, ...row.more]) {
        const turn = (found: readonly number[]): Turn => ({ value: found[at] ?? Number.NaN });
        rounds.get(contest)?.push(
          new Map<Contender, Turn>([
            ['larder', turn(crowded)],
            ['larder-calm', turn(calm)],
          ]),
        );
        at++;
      }
    } finally {
      await server.stop();
    }
  }
  const note = costs.at(-1);
  return [...rounds].map(([contest, found], at) => ({
    contest,
    rounds: found,
    ...(at === 0 && note !== undefined ? { note } : {}),
  }));
}

/** While the crowd is there; what it costs is added to `costs`. */
async function beside<T>(row: IdleRow, server: Server, work: () => Promise<T>, costs: string[]): Promise<T> {
  const urls = { idleUrl: `${server.at('files')}/20k`, slowUrl: `${server.at('files')}/200m` };
  const start = await settled(server);
  const idle = await openCrowd({ ...urls, idle: row.idle, slow: 0, bytesPerSecond: 0 });
  try {
    const withIdle = await settled(server);
    const slow = await openCrowd({ ...urls, idle: 0, slow: row.slow, bytesPerSecond: 32_768 });
    try {
      const withAll = await settled(server);
      const found = await work();
      const each = (bytes: number, count: number): string => `${(bytes / count / 1024).toFixed(1)} KiB`;
      costs.push(
        `memory ${each(withIdle.bytes - start.bytes, row.idle)} an idle client and ${each(withAll.bytes - withIdle.bytes, row.slow)} a slow reader, ${withAll.files} descriptors`,
      );
      return found;
    } finally {
      await slow();
    }
  } finally {
    await idle();
  }
}

/** After what is only passing. */
async function settled(server: Server): Promise<{ readonly bytes: number; readonly files: number }> {
  await delay(2000);
  const { residentBytes } = await server.usage();
  return { bytes: residentBytes, files: await server.descriptors() };
}

/** Resolves once everybody is there, to what sends them away. */
async function openCrowd(crowd: Crowd): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crowd.ts'), JSON.stringify(crowd)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const ready = await Promise.race([once(child.stdout, 'data').then(() => true), ended.then(() => false)]);
  if (!ready) throw new Error('The crowd could not be opened.');
  return async () => {
    if (child.exitCode !== null) throw new Error('The crowd did not stay.');
    child.stdin.end();
    await ended;
  };
}

/** In the order of the contests. */
async function times(server: Server): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const hits = () => `${server.at('files')}/20k`;
  const documents = () => `${server.at('registry')}/bench-document`;
  const misses = () => `${server.at('files')}/cold/0/20480/0/${randomUUID()}`;
  const found: number[] = [];
  for (const [urlOf, count] of [
    [hits, warmAsks],
    [documents, warmAsks],
    [misses, coldAsks],
  ] as const) {
    const all: number[] = [];
    for (let n = 0; n < count; n++) all.push(await timeOf(urlOf(), agent));
    all.sort((a, b) => a - b);
    found.push(median(all), all[Math.ceil(all.length * 0.99) - 1] ?? Number.NaN);
  }
  agent.destroy();
  return found;
}

async function timeOf(url: string, agent: Agent): Promise<number> {
  const startedAt = performance.now();
  await new Promise<void>((resolve, reject) => {
    request(url, { agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${url} answered ${response.statusCode}.`));
      response.resume().on('end', resolve).on('error', reject);
    })
      .on('error', reject)
      .end();
  });
  return performance.now() - startedAt;
}

/** `npm run bench`: starts everything, measures row by row, prints the table and keeps it in `bench/results.md`. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Arena, isPeer, openArena } from './arena.ts';
import { measureCold, measureEarly } from './cold.ts';
import type { Outcome } from './contest.ts';
import { measureHandOff } from './hand-off.ts';
import { measureIdle } from './idle.ts';
import { measureInstall } from './install.ts';
import { describeMachine, leaveServerCore } from './machine.ts';
import { measureManifests } from './manifests.ts';
import { measureMemory } from './memory.ts';
import { type Options, readOptions, usage } from './options.ts';
import { versionOf } from './peers.ts';
import { summarise } from './profile.ts';
import { measurePublish } from './publish.ts';
import { measurePull } from './pull.ts';
import { registryUrl } from './registry.ts';
import { documentOf, tablesOf } from './report.ts';
import { contestsOf, type Row, rows } from './rows.ts';
import { startUpstream } from './upstream.ts';
import { measureWarm } from './warm.ts';

const resultsPath = join(import.meta.dirname, 'results.md');

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2), join(import.meta.dirname, '../bin/larder'));
  if (options === 'help') {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  if (options === 'list') {
    process.stdout.write(`${rows.map((row) => `${row.contest.id}  ${row.contest.title}`).join('\n')}\n`);
    return 0;
  }
  const programs = await programsFor(options.rows);
  await leaveServerCore();
  const machine = [...(await describeMachine()), programs.map(([name, version]) => `${name} ${version}`).join(', ')];
  const workFolder = await openWorkFolder(options);
  const profileFolder = join(workFolder, 'profile');
  const upstream = await startUpstream(await registryUrl(), join(workFolder, 'copies'));
  const nodeOptions = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`] : [];
  const grounds = { upstreamUrl: upstream.url, workFolder, program: options.program, nodeOptions };
  const arena = openArena(upstream, grounds, { rounds: options.rounds, seconds: options.seconds, say });
  const stopped = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => reject(new Error(`Stopped by ${signal}.`)));
  });
  try {
    const outcomes = await Promise.race([measureAll(options.rows, arena, options.program), stopped]);
    const contests = (options.write ? rows : options.rows).flatMap(contestsOf);
    const usages = await arena.usages();
    const head = `${machine.join('\n')}\n${options.rounds} rounds, ${options.seconds} s a turn`;
    process.stdout.write(`${head}\n\n${tablesOf(contests, outcomes, usages)}\n`);
    if (options.write) {
      const before = await readFile(resultsPath, 'utf8').catch(() => undefined);
      const facts = { date: new Date(), machine, rounds: options.rounds, seconds: options.seconds };
      await writeFile(resultsPath, documentOf(facts, tablesOf(contests, outcomes, usages), before));
    }
    return outcomes.some((outcome) => 'failure' in outcome) ? 1 : 0;
  } finally {
    await arena.close();
    if (options.profile) process.stdout.write(`\n${await summarise(profileFolder)}\n`);
    if (options.workFolder === undefined) await rm(workFolder, { recursive: true, force: true });
  }
}

async function measureAll(chosen: readonly Row[], arena: Arena, program: string): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const row of chosen) {
    outcomes.push(
      ...(await measure(row, arena, program).catch((error: unknown): Outcome[] => {
        const failure = messageOf(error);
        say(`${row.contest.id} failed: ${failure}`);
        return contestsOf(row).map((contest) => ({ contest, failure: failure.split('\n')[0] ?? '' }));
      })),
    );
  }
  return outcomes;
}

function measure(row: Row, arena: Arena, program: string): Promise<Outcome[]> {
  switch (row.kind) {
    case 'warm':
      return measureWarm(row, arena);
    case 'cold':
      return measureCold(row, arena);
    case 'early':
      return measureEarly(row, arena);
    case 'install':
      return measureInstall(row, arena);
    case 'pull':
      return measurePull(row, arena);
    case 'manifests':
      return measureManifests(row, arena);
    case 'memory':
      return measureMemory(row, arena);
    case 'publish':
      return measurePublish(row, arena);
    case 'idle':
      return measureIdle(row, arena);
    case 'hand-off':
      return measureHandOff(row, arena, program);
  }
}

/** Names and versions of what the rows need; throws with what to install for all that are missing. */
async function programsFor(chosen: readonly Row[]): Promise<[string, string][]> {
  const contenders = chosen.flatMap((row) => row.contest.against.map((other) => other.contender));
  const needed = new Set(contenders.filter(isPeer));
  const programs = [
    ...(needed.has('nginx') || needed.has('nginx-open') || chosen.some(({ kind }) => kind === 'hand-off')
      ? ['nginx' as const]
      : []),
    ...(needed.has('verdaccio') ? ['verdaccio' as const] : []),
    ...(needed.has('docker-registry') || needed.has('registry-own') ? ['docker-registry' as const] : []),
    ...(chosen.some(({ kind, contest }) => kind === 'pull' || contest.id === 'publish-image')
      ? ['skopeo' as const]
      : []),
    ...(chosen.some((row) => row.kind === 'manifests' || (row.kind === 'warm' && row.reader === 'wrk'))
      ? ['wrk' as const]
      : []),
    'npm' as const,
  ];
  const found = await Promise.allSettled(
    programs.map(async (name): Promise<[string, string]> => [name, await versionOf(name)]),
  );
  const missing = found.flatMap((each) => (each.status === 'rejected' ? [messageOf(each.reason)] : []));
  if (missing.length > 0) throw new Error(missing.join('\n'));
  return found.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
}

async function openWorkFolder(options: Options): Promise<string> {
  if (options.workFolder === undefined) return mkdtemp(join(tmpdir(), 'larder-bench-'));
  const folder = resolve(options.workFolder);
  // Copies of the registry's answers may stay; what the servers stored belongs to an upstream on another port.
  for (const part of [
    'larder',
    'nginx',
    'nginx-open',
    'verdaccio',
    'docker-registry',
    'hand-off',
    'others',
    'install',
    'profile',
  ]) {
    await rm(join(folder, part), { recursive: true, force: true });
  }
  await mkdir(folder, { recursive: true });
  return folder;
}

function say(what: string): void {
  process.stderr.write(`${what}\n`);
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message} (${messageOf(error.cause)})`;
}

try {
  process.exitCode = await main();
} catch (error) {
  say(messageOf(error));
  process.exitCode = 1;
}

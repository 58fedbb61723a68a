/** `npm run soak`: a mixed load of every format for minutes on end, with upstreams that go wrong; what is left behind, what grows, and whether all numbers agree. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine, leaveServerCore } from './machine.ts';
import { documentOf, summaryOf } from './soak/report.ts';
import { soak } from './soak/run.ts';

const resultsPath = join(import.meta.dirname, 'soak.md');

const usage = `npm run soak -- [options]
  --minutes N      default 4
  --seed N         what happens follows from it, but for what time decides; default 1
  --rate N         times the usual number of steps a second; default 1
  --max-size MB    of the store, so small that it is always too full; default 250
  --program FILE   Larder's command, default bin/larder
  --work FOLDER    keep data, log and result
  --node-option O  for Larder's process; more than once for more
  --write          write bench/soak.md (a run of 30 minutes or more always does)`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string' },
      seed: { type: 'string' },
      rate: { type: 'string' },
      'max-size': { type: 'string' },
      program: { type: 'string' },
      work: { type: 'string' },
      'node-option': { type: 'string', multiple: true },
      write: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const number = (option: 'minutes' | 'seed' | 'rate' | 'max-size', otherwise: number): number => {
    const value = Number(values[option] ?? otherwise);
    if (!(value > 0)) throw new Error(`--${option} must be a number above 0.`);
    return value;
  };
  await leaveServerCore();
  const folder = values.work === undefined ? await mkdtemp(join(tmpdir(), 'larder-soak-')) : resolve(values.work);
  if (values.work !== undefined) await rm(folder, { recursive: true, force: true });
  const minutes = number('minutes', 4);
  const machine = await describeMachine();
  const enough = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => enough.abort());
  try {
    const outcome = await soak({
      minutes,
      seed: number('seed', 1),
      rate: number('rate', 1),
      maxSizeBytes: number('max-size', 250) * 1e6,
      folder,
      program: resolve(values.program ?? join(import.meta.dirname, '../bin/larder')),
      nodeOptions: values['node-option'] ?? [],
      pinned: true,
      sampleMs: 10_000,
      idleMs: Math.min(60_000, minutes * 5000),
      signal: enough.signal,
      say: (text) => process.stderr.write(`${text}\n`),
    });
    process.stdout.write(`${summaryOf(outcome)}\n`);
    if (values.work !== undefined) await writeFile(join(folder, 'soak.json'), JSON.stringify(outcome, undefined, 1));
    if (values.write || minutes >= 30) {
      const before = await readFile(resultsPath, 'utf8').catch(() => undefined);
      await writeFile(resultsPath, documentOf(outcome, machine, new Date(), before));
    }
    return outcome.checks.every(({ ok }) => ok) ? 0 : 1;
  } finally {
    if (values.work === undefined) await rm(folder, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}

/** One line per thing that is measured: the median of several runs, after a warm-up. */
import { performance } from 'node:perf_hooks';
import { spread } from '../contest.ts';

/** What was made last; kept, so that nothing is optimised away. */
export let kept: unknown;

/** Prints how long `work` takes. */
export function measure(name: string, work: () => unknown, options: { readonly bytes?: number } = {}): void {
  const runs: number[] = [];
  let repeats = 1;
  const once = (): number => {
    const startedAt = performance.now();
    for (let n = 0; n < repeats; n++) kept = work();
    return performance.now() - startedAt;
  };
  // Fast things are repeated until a run takes long enough for the clock.
  while (once() < 20 && repeats < 1e7) repeats *= 2;
  for (let n = 0; n < 9; n++) runs.push(once() / repeats);
  const found = spread(runs);
  if (!found) return;
  const rate = options.bytes === undefined ? '' : `  ${(options.bytes / found.median / 1000).toFixed(0)} MB/s`;
  const text = `${time(found.median)} (${time(found.min)}–${time(found.max)})`;
  process.stdout.write(`${name.padEnd(48)} ${text}${rate}\n`);
}

function time(milliseconds: number): string {
  if (milliseconds >= 1) return `${figure(milliseconds)} ms`;
  if (milliseconds >= 0.001) return `${figure(milliseconds * 1000)} µs`;
  return `${figure(milliseconds * 1e6)} ns`;
}

function figure(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

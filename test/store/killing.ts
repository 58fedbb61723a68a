/** A process that is killed again and again, and a look at what it leaves. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { verify } from '../../src/store/verify.ts';
import { eventually } from '../support/wait.ts';
import { bytesOf, folder, opened } from './opened.ts';

const hammer = fileURLToPath(new URL('./hammer-process.ts', import.meta.url));

/** Numbers below `below`, the same in every run (mulberry32). */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Lets it work for so many lines and a little longer, then kills it. */
async function hammerAndKill(path: string, seed: number, lines: number, spins: number): Promise<void> {
  const child = spawn(process.execPath, [hammer, path, `${seed}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  onTestFinished(() => void child.kill('SIGKILL'));
  let left = lines;
  for await (const _ of createInterface(child.stdout)) {
    left -= 1;
    if (left <= 0) break;
  }
  // Not at a line, but anywhere: the child goes on while we turn the loop.
  for (let spin = 0; spin < spins; spin += 1) await new Promise(setImmediate);
  child.kill('SIGKILL');
  expect(await ended).toEqual([null, 'SIGKILL']);
}

/** The store is whole each time, and the next process goes on with it. */
export async function killAgainAndAgain(kills: number, seed: number): Promise<void> {
  const path = await folder();
  const random = seeded(seed);
  let readable = 0;
  for (let kill = 0; kill < kills; kill += 1) {
    await hammerAndKill(path, kill, 1 + random(20), random(200));
    // Every other time the next process finds it as the dead one left it.
    if (random(2) === 0) continue;
    const report = await verify({ path });
    expect(report).toMatchObject({ damaged: [], clean: true, indexRebuilt: false });
    expect(readdirSync(join(path, 'staging'))).toEqual([]);
  }
  expect((await verify({ path })).clean).toBe(true);

  const store = await opened({ path, maxSizeBytes: 400_000 });
  await store.scanned();
  await eventually('the budget holds', () => store.usage().bytes <= 400_000);
  for await (const { key, entry } of store.entries.list()) {
    const [, name = '', size] = key.path.split('/');
    const bytes = entry.digest && (await store.blobs.bytes(entry.digest));
    if (!bytes) continue;
    expect(digestOf(bytes)).toBe(entry.digest);
    expect(bytes.equals(bytesOf(name, Number(size)))).toBe(true);
    readable += 1;
  }
  expect(readable).toBeGreaterThan(5);
}

/**
 * A process that publishes as fast as it can: 50 versions of its own, and at each step one that all the others want as well, with
 * other bytes. Says on its output what it was told, one line for each, before it goes on.
 */
import { createHash } from 'node:crypto';
import { Problem } from '../../src/core/problem.ts';
import { openStore } from '../../src/store/store.ts';
import { publisher } from './hosted.ts';

const [path = '', id = '0', packages = '1', count = '50'] = process.argv.slice(2);
const store = await openStore({ path, keepFreeBytes: 0 });
const one = await publisher(store);

async function publish(name: string, version: string): Promise<void> {
  // Not seen before, so that whose bytes are there tells who was acknowledged.
  const text = createHash('sha256').update(`${id} ${name} ${version}`).digest('hex');
  console.log(`begun ${name} ${version} ${text}`);
  try {
    await one.publish(name, version, text);
    console.log(`acknowledged ${name} ${version} ${text}`);
  } catch (error) {
    console.log(`${error instanceof Problem ? error.code : `failed:${error}`} ${name} ${version} ${text}`);
  }
}

async function work(from: number): Promise<void> {
  for (let step = from; step < Number(count); step += 2) {
    const name = `package-${step % Number(packages)}`;
    await publish(name, `1.${id}.${step}`);
    if (step % 5 === 0) await publish(name, `2.0.${step}`);
  }
}

await Promise.all([work(0), work(1)]);
await store.close();

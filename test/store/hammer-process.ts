/**
 * A process that uses a store as hard as it can until it is killed. Every name always has the same bytes, so whoever
 * looks at the store afterwards knows what is right.
 */
import { openStore } from '../../src/store/store.ts';
import { bytesOf, digestFor } from './named-bytes.ts';

const [path = '', seed = '0'] = process.argv.slice(2);
const store = await openStore({ path, keepFreeBytes: 0, maxSizeBytes: 400_000 });
let step = Number(seed) * 1000;

async function work(worker: number): Promise<void> {
  for (;;) {
    step += 1;
    const name = `${worker}-${step % 97}`;
    const size = 1 + ((step * 7919) % 20_000);
    const digest = digestFor(name, size);
    const key = { source: 'hammer', path: `/${name}/${size}` };
    const entry = await store.entries.get(key);
    const bytes = entry?.digest && (await store.blobs.bytes(entry.digest));
    if (!bytes) {
      const stage = await store.stage(step % 2 ? { expectedSize: size } : {});
      const whole = bytesOf(name, size);
      for (let from = 0; from < size; from += 4096) await stage.write(whole.subarray(from, from + 4096));
      if (step % 11 === 0) await stage.discard();
      else {
        await stage.commit(digest);
        const url = 'https://upstream.example/';
        await store.entries.put(key, { status: 200, url, digest, size, fetchedAt: step, checkedAt: step });
      }
    } else if (step % 13 === 0) await store.entries.delete(key);
    else if (step % 17 === 0) await store.blobs.delete(digest);
    else store.entries.touch(key, { ...entry, checkedAt: step });
    if (step % 5 === 0) store.facts('derived').set(name, { digest });
    if (step % 10 === 0) process.stdout.write(`${step}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, (_, worker) => work(worker)));

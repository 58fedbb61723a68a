/** Many documents that are too big for the event loop: the threads that work on them keep none. */
import { expect, onTestFinished, test } from 'vitest';
import { startFakeUpstream } from '../support/fake-upstream.ts';
import { spawnLarder } from '../support/larder.ts';
import { eventually } from '../support/wait.ts';

const megabyte = 1_000_000;
const versions = 800;

/** Some 250 KB. */
function packument(name: string, origin: string): object {
  const manifest = (version: string): object => ({
    name,
    version,
    dist: {
      tarball: `${origin}/${name}/-/${name}-${version}.tgz`,
      integrity: `sha512-${'A'.repeat(86)}==`,
      shasum: 'a'.repeat(40),
    },
  });
  const all = Array.from({ length: versions }, (_, nth) => `1.0.${nth}`);
  return { name, 'dist-tags': { latest: '1.0.0' }, versions: Object.fromEntries(all.map((v) => [v, manifest(v)])) };
}

test('what was worked on is given back a moment later', {
  retry: 2,
  timeout: 120_000,
}, async () => {
  const upstream = await startFakeUpstream();
  onTestFinished(() => upstream.close());
  const larder = await spawnLarder({
    upstreamUrl: upstream.url,
    server: { hotMemory: '8MiB' },
    more: { documents: { memory: '8MiB', threads: 1 } },
  });
  onTestFinished(() => larder.close());
  let nth = 0;
  async function askForMore(count: number): Promise<number> {
    for (const until = nth + count; nth < until; nth++) {
      const name = `many-${nth}`;
      upstream.at(`/${name}`, { body: packument(name, upstream.url), contentType: 'application/json' });
      const answer = await larder.npm(`/${name}`, { 'accept-encoding': 'gzip' });
      expect(answer.status).toBe(200);
    }
    return (await larder.memory()).rssBytes;
  }

  const after = await askForMore(400);
  // Long before an idle thread ends, and all that it has with it.
  const given = async (): Promise<boolean> => (await larder.memory()).rssBytes < after - 50 * megabyte;
  await eventually('the memory is given back', given, 15_000);
});

/** `kill -9` in the middle of work: nothing torn is ever served or left behind. */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { verify } from '../../src/store/verify.ts';
import { randomFrom, sha256Of, synthetic } from '../support/bytes.ts';
import { type PublishedVersion, startFakeRegistry } from '../support/fake-registry.ts';
import { temporaryFolder } from '../support/folder.ts';
import { ask } from '../support/http.ts';
import { spawnLarder } from '../support/larder.ts';

const rounds = 20;
const downloads = 50;

test('killed twenty times in the middle of fifty downloads, the store is clean each time and no byte is wrong', async () => {
  const registry = await startFakeRegistry();
  onTestFinished(() => registry.close());
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const random = randomFrom(20_260_101);
  const published: PublishedVersion[] = [];
  let cutShort = 0;

  for (let round = 0; round < rounds; round++) {
    const larder = await spawnLarder({ upstreamUrl: registry.url, folder: folder.path });
    onTestFinished(() => larder.kill());
    // What earlier rounds left is served right, from disk or anew.
    for (let i = 0; i < 10 && published.length > 0; i++) {
      const one = published[Math.floor(random() * published.length)] as PublishedVersion;
      expect(sha256Of((await larder.npm(one.path)).body)).toBe(one.sha256);
    }
    const fresh = Array.from({ length: downloads }, (_, index) => {
      const bytes = synthetic(150_000 + Math.floor(random() * 750_000), round * downloads + index);
      return registry.publish({ name: `p${index}`, version: `1.${round}.0`, bytes });
    });
    published.push(...fresh);
    let begun = 0;
    const half = Promise.withResolvers<void>();
    const answers = fresh.map(async (one) => {
      const hash = createHash('sha256');
      const answer = await ask(`${larder.url}/public/npm${one.path}`, {
        onHead: () => {
          begun += 1;
          if (begun === downloads / 2) half.resolve();
        },
        onData: (piece) => hash.update(piece),
      }).catch(() => undefined);
      if (!answer?.complete) cutShort += 1;
      else expect(hash.digest('hex')).toBe(one.sha256);
    });
    // Between the first answers and the last: somewhere in the middle, another place each time.
    await half.promise;
    await delay(random() * 150);
    await larder.kill();
    await Promise.all(answers);
    const report = await verify({ path: `${folder.path}/data` });
    expect(report).toMatchObject({ damaged: [], clean: true });
  }
  expect(cutShort).toBeGreaterThan(rounds);

  const larder = await spawnLarder({ upstreamUrl: registry.url, folder: folder.path });
  onTestFinished(() => larder.kill());
  for (const one of published) {
    const answer = await larder.npm(one.path);
    expect([one.path, answer.status, sha256Of(answer.body)]).toEqual([one.path, 200, one.sha256]);
  }
});

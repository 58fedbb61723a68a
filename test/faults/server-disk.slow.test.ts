/** A whole server on a disk that fails once: who asks gets the right bytes or a clean error, and afterwards all is well. */
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { verify } from '../../src/store/verify.ts';
import { sha256Of, synthetic } from '../support/bytes.ts';
import { startFakeRegistry } from '../support/fake-registry.ts';
import { faults, faultyDisk } from '../support/faulty-disk.ts';
import { temporaryFolder } from '../support/folder.ts';
import type { Answer } from '../support/http.ts';
import { type Larder, startLarder } from '../support/larder.ts';

const registry = await startFakeRegistry();
afterAll(() => registry.close());
const bytes = synthetic(200_000);
const { path, sha256 } = registry.publish({ name: 'lib', version: '1.0.0', bytes });
registry.upstream.at('/dists/Release', { body: 'release', etag: '"1"' });

/** The connection ended before there was an answer. */
const brokenOff: Answer = {
  status: 0,
  headers: {},
  body: Buffer.alloc(0),
  complete: false,
  text: () => '',
  json: () => ({}),
};

/** A document, a file that is checked by digest, a file that may change; each cold and warm. */
async function useEverything(larder: Larder, judge: (answer: Answer, isRight: boolean) => void): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const document = await larder.npm('/lib').catch(() => brokenOff);
    judge(
      document,
      document.status === 200 && document.complete && Object.hasOwn(document.json() as object, 'versions'),
    );
    const file = await larder.npm(path).catch(() => brokenOff);
    judge(file, file.status === 200 && file.complete && sha256Of(file.body) === sha256);
    const part = await larder.npm(path, { range: 'bytes=150000-' }).catch(() => brokenOff);
    judge(part, part.status === 206 && part.complete && part.body.length === 50_000);
    const release = await larder.files('/dists/Release').catch(() => brokenOff);
    judge(release, release.status === 200 && release.complete && release.text() === 'release');
  }
}

/** Every other operation of each kind, and those between of the next: each takes a whole server. */
const kinds = Object.entries(faults).map(([name, fault], nth) => [name, fault, 1 + (nth % 2)] as const);

describe.each(kinds)('the n-th operation of the disk is %s', (_name, fault, first) => {
  test('until none fails: no wrong byte, a server that goes on, and a clean store', async () => {
    let isClean = false;
    for (let n = first; !isClean; n += 2) {
      const { path: folder, remove } = await temporaryFolder();
      onTestFinished(remove);
      let isArmed = false;
      const disk = faultyDisk(n, fault, () => isArmed);
      const settings = {
        upstreamUrl: registry.url,
        folder,
        source: { ttl: '0s', staleWhileRevalidate: '0s' },
        more: { index: 'memory', log: { level: 'silent' } },
      };
      const larder = await startLarder(settings, { disk });
      isArmed = true;
      await useEverything(larder, (answer, isRight) => {
        const hint = `${n}: ${disk.failed}, ${answer.status} ${answer.complete ? answer.text().slice(0, 200) : 'cut off'}`;
        // Reading what is stored may fail; taking something in may not: it is passed on instead.
        const mayFail = /read|open|stat/.test(disk.failed ?? '');
        const isCleanError = answer.status >= 500 || !answer.complete;
        expect([hint, isRight || (mayFail && isCleanError)]).toEqual([hint, true]);
      });
      disk.heal();
      await useEverything(larder, (answer, isRight) => {
        expect([n, disk.failed, answer.status, isRight]).toEqual([n, disk.failed, answer.status, true]);
      });
      isArmed = false;
      await larder.close();
      // A file outlasts its last reader by the time that is kept for one who is on the way.
      await expect.poll(() => [n, disk.failed, disk.leftOpen]).toEqual([n, disk.failed, []]);
      isClean = disk.failed === undefined;
      expect([n, disk.failed, (await verify({ path: `${folder}/data`, index: 'memory' })).damaged]).toEqual([
        n,
        disk.failed,
        [],
      ]);
    }
  });
});

/** Half a minute of everything at once; `npm run soak` goes on for longer. */
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { soak } from '../../bench/soak/run.ts';
import { temporaryFolder } from '../support/folder.ts';
import { root } from '../support/larder.ts';

test('a mixed load of every format leaves no wrong byte, no open descriptor and no number that disagrees', async () => {
  const folder = await temporaryFolder('larder-soak');
  onTestFinished(() => folder.remove());
  const said: string[] = [];
  const { checks, violations, errors, requests } = await soak({
    minutes: 0.5,
    seed: 7,
    folder: folder.path,
    program: join(root, 'bin/larder'),
    nodeOptions: [],
    // So little that it is too full within seconds, and more than what is read and written at once on a busy machine.
    maxSizeBytes: 90e6,
    rate: 1,
    pinned: false,
    sampleMs: 2000,
    idleMs: 500,
    say: (text) => said.push(text),
  });
  const wrong = [...violations, ...errors, ...checks.filter(({ ok }) => !ok).map((check) => JSON.stringify(check))];
  if (wrong.length > 0) console.log(said.join('\n'));
  expect(wrong, wrong.join('\n').slice(0, 3000)).toEqual([]);
  expect(requests).toBeGreaterThan(100);
});

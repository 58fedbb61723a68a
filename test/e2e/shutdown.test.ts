/** The other side of patience: what an end does not wait for. `life.test.ts` has the gentle side. */
import { expect, test } from 'vitest';
import { synthetic } from '../support/bytes.ts';
import { gate } from '../support/fake-upstream.ts';
import { sceneWithProcess } from '../support/scene.ts';

test('a transfer that takes longer than the time for it is cut, and the exit code is 0', async () => {
  const { registry, upstream, larder } = await sceneWithProcess({
    upstream: { timeoutMs: 20_000 },
    server: { drain: '200ms' },
  });
  const bytes = synthetic(3_000_000);
  const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const until = gate();
  upstream.at(path, { body: bytes, hold: { at: 1_000_000, until } });
  const running = larder.npm(path);
  await until.reached;
  process.kill(larder.pid, 'SIGTERM');
  expect((await running).complete).toBe(false);
  expect(await larder.exited).toBe(0);
});

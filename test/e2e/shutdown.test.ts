/** Signals: an end that lets running transfers finish, and a configuration that is read again. */
import { writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { expect, test } from 'vitest';
import { sha256Of, synthetic } from '../support/bytes.ts';
import { gate } from '../support/fake-upstream.ts';
import { configurationOf } from '../support/larder.ts';
import { sceneWithProcess } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1');
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => end(true));
    socket.on('error', () => end(false));
  });
}

test('SIGTERM lets a running transfer finish, takes nobody new, and ends with 0', async () => {
  const { registry, upstream, larder } = await sceneWithProcess({ upstream: { timeoutMs: 20_000 } });
  const bytes = synthetic(3_000_000);
  const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const until = gate();
  upstream.at(path, { body: bytes, hold: { at: 1_000_000, until } });
  const running = larder.npm(path);
  await until.reached;
  process.kill(larder.pid, 'SIGTERM');
  await eventually('nobody new is taken', async () => !(await isListening(larder.port)));
  until.open();
  const answer = await running;
  expect([answer.complete, sha256Of(answer.body)]).toEqual([true, sha256]);
  expect(await larder.exited).toBe(0);
});

test('a transfer that takes longer than the time for it is cut', async () => {
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

test('SIGTERM with nothing to do ends at once, connections kept alive or not', async () => {
  const { larder } = await sceneWithProcess({ server: { drain: '1h' } });
  const socket = createConnection(larder.port, '127.0.0.1');
  socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  process.kill(larder.pid, 'SIGTERM');
  expect(await larder.exited).toBe(0);
  socket.destroy();
});

test('SIGHUP takes over a new configuration, and leaves everything as it is when that has mistakes', async () => {
  const { registry, larder } = await sceneWithProcess();
  registry.publish({ name: 'lib', version: '1.0.0' });
  const more = { format: 'npm', sources: [{ remote: 'inner' }] };
  expect((await larder.ask('/public/more/lib')).status).toBe(404);

  const good = { upstreamUrl: registry.url, repositories: { more } };
  await writeFile(larder.configFile, configurationOf(good, larder.folder));
  process.kill(larder.pid, 'SIGHUP');
  await eventually('the new repository is there', async () => (await larder.ask('/public/more/lib')).status === 200);

  await writeFile(larder.configFile, configurationOf({ ...good, server: { nonsense: true } }, larder.folder));
  process.kill(larder.pid, 'SIGHUP');
  await eventually('the mistake is in the log', () => larder.log.some((line) => line.includes('nonsense')));
  expect((await larder.ask('/public/more/lib')).status).toBe(200);
});

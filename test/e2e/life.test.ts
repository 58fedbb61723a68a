import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { sha256Of, synthetic } from '../support/bytes.ts';
import { gate } from '../support/fake-upstream.ts';
import { scene, sceneWithProcess } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

it('stops on a signal: the running transfer ends whole, new connections are refused, the exit code is 0', async () => {
  const { registry, upstream, larder } = await sceneWithProcess();
  const bytes = synthetic(3_000_000);
  const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const middle = gate();
  upstream.at(path, { body: bytes, hold: { at: 1_500_000, until: middle } });
  const transfer = larder.npm(path);
  await middle.reached;
  process.kill(larder.pid, 'SIGTERM');
  await eventually('new connections are refused', async () => {
    const socket = connect(larder.port, '127.0.0.1');
    const [event] = await Promise.race([
      once(socket, 'connect').then(() => ['connect']),
      once(socket, 'error').then(() => ['error']),
    ]).catch(() => ['error']);
    socket.destroy();
    return event === 'error';
  });
  middle.open();
  const answer = await transfer;
  expect(answer.complete).toBe(true);
  expect(sha256Of(answer.body)).toBe(sha256Of(bytes));
  expect(await larder.exited).toBe(0);
});

it('does not wait for idle connections when it stops', async () => {
  const { larder } = await sceneWithProcess();
  const agent = new http.Agent({ keepAlive: true });
  await larder.ask('/public/npm/-/ping', { agent });
  const silent = connect(larder.port, '127.0.0.1');
  await once(silent, 'connect');
  process.kill(larder.pid, 'SIGTERM');
  expect(await larder.exited).toBe(0);
  agent.destroy();
});

it('reads its configuration again on SIGHUP, and keeps the old one when the new one has mistakes', async () => {
  const { registry, larder } = await sceneWithProcess();
  registry.publish({ name: 'lib', version: '1.0.0' });
  expect((await larder.npm('/lib')).status).toBe(200);
  expect((await larder.npm('/lib')).headers['x-larder-cache']).toBe('hit');
  const config = JSON.parse(await readFile(larder.configFile, 'utf8'));

  await writeFile(larder.configFile, JSON.stringify({ ...config, nonsense: true }));
  process.kill(larder.pid, 'SIGHUP');
  await eventually('the mistake is told', async () => larder.log.some((line) => line.includes('not reloaded')));
  expect((await larder.npm('/lib')).status).toBe(200);

  config.orgs.public.access = [{ who: ['user:nobody'], may: ['read'] }];
  config.orgs.public.repositories.second = config.orgs.public.repositories.npm;
  await writeFile(larder.configFile, JSON.stringify(config));
  process.kill(larder.pid, 'SIGHUP');
  await eventually('the new rules are in force', async () => (await larder.npm('/lib')).status === 401);
  expect((await larder.npm('/lib')).headers['www-authenticate']).toBeDefined();
  expect((await larder.ask('/public/second/lib')).status).toBe(401);
});

it('tells anonymous strangers nothing of a repository that only some may read', async () => {
  const rules = [{ who: ['user:alice'], may: ['read'] }];
  const { registry, upstream, larder } = await scene({
    more: {
      orgs: { public: { repositories: { npm: { format: 'npm', sources: [{ remote: 'inner' }] } }, access: rules } },
    },
  });
  registry.publish({ name: 'lib', version: '1.0.0' });
  for (const path of ['/lib', '/absent', '/lib/-/lib-1.0.0.tgz', '/-/v1/search?text=lib', '/-/ping']) {
    const answer = await larder.npm(path);
    expect([path, answer.status]).toEqual([path, 401]);
    expect(answer.headers['www-authenticate']).toBeDefined();
  }
  expect(upstream.requests).toEqual([]);
});

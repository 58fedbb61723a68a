/** What is used is refreshed before anybody asks for it again, and its newest version is here when somebody does. */
import { expect, it, onTestFinished } from 'vitest';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Answer, ask } from '../support/http.ts';
import { parseMetrics } from '../support/metrics.ts';
import { startPyPiUpstream } from '../support/pypi-upstream.ts';
import { eventually } from '../support/wait.ts';

const hourMs = 3_600_000;
const cacheOf = (answer: Answer): unknown => answer.headers['x-larder-cache'];

interface Warm {
  readonly server: HostedServer;
  pass(ms: number): void;
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  /** Until it is over. */
  run(): Promise<unknown>;
}

async function warm(
  format: string,
  url: string,
  hosts: readonly string[] = [],
  keepWarm: object = {},
  { source = {}, folder }: { readonly source?: object; readonly folder?: string } = {},
): Promise<Warm> {
  let aheadMs = 0;
  const server = await startHosted({
    format: 'generic',
    upstreams: { inner: { url, hosts } },
    repositories: { warm: { format, sources: [{ remote: 'inner', ...source }], keepWarm } },
    access: [
      { who: ['everyone'], may: ['read'] },
      { who: ['team:admins'], may: ['admin'] },
    ],
    now: () => Date.now() + aheadMs,
    ...(folder === undefined ? {} : { folder }),
  });
  onTestFinished(() => server.close());
  const headers = { authorization: `Bearer ${await server.token('adam')}` };
  const job = `${server.root}/api/v1/orgs/acme/repositories/warm/keep-warm`;
  return {
    server,
    pass(ms) {
      aheadMs += ms;
    },
    get: (path, more = {}) => ask(`${server.root}/acme/warm${path}`, { headers: more }),
    async run() {
      const begun = await ask(job, { method: 'POST', headers });
      expect([begun.status, begun.text()]).toEqual([202, expect.stringContaining('startedAt')]);
      return eventually('it is over', async () => {
        const told = (await ask(job, { headers })).json() as { running: boolean };
        return told.running ? undefined : told;
      });
    },
  };
}

async function registryWith(): Promise<FakeRegistry> {
  const registry = await startFakeRegistry();
  onTestFinished(() => registry.close());
  for (const name of ['used', 'looked-at', 'old']) registry.publish({ name, version: '1.0.0' });
  return registry;
}

it('documents that were used are confirmed, and packages that were used get their newest version', async () => {
  const registry = await registryWith();
  const { server, pass, get, run } = await warm('npm', registry.url, [], { usedWithin: '2d' });
  await get('/old');
  pass(3 * 24 * hourMs);
  for (const path of ['/used', '/used/1.0.0', '/used/-/used-1.0.0.tgz', '/looked-at'])
    expect((await get(path)).status).toBe(200);
  pass(2 * hourMs);
  const newest = registry.publish({ name: 'used', version: '1.1.0' });
  registry.publish({ name: 'used', version: '2.0.0-rc.1', tag: 'next' });
  registry.publish({ name: 'looked-at', version: '1.1.0' });
  registry.upstream.forget();

  expect(await run()).toMatchObject({ running: false, documents: 2, artifacts: 1, failed: 0 });
  expect(registry.upstream.requests.map(({ path }) => path).sort()).toEqual(['/looked-at', '/used', newest.path]);
  registry.upstream.forget();
  expect(cacheOf(await get('/looked-at'))).toBe('hit');
  expect((await get('/used')).text()).toContain('1.1.0');
  expect(cacheOf(await get(newest.path))).toBe('hit');
  expect(registry.upstream.requests).toEqual([]);

  // Nothing is new, and keeping warm is no use.
  expect(await run()).toMatchObject({ artifacts: 0, failed: 0 });
  expect(registry.upstream.requests.every(({ path }) => !path.endsWith('.tgz'))).toBe(true);
  const metrics = parseMetrics((await ask(`${server.root}/metrics`)).text());
  expect(metrics.sum('larder_keep_warm_artifacts_total', { repository: 'acme/warm' })).toBe(1);
  pass(3 * 24 * hourMs);
  registry.upstream.forget();
  expect(await run()).toMatchObject({ documents: 0, artifacts: 0, failed: 0 });
  expect(registry.upstream.requests).toEqual([]);
});

it('of the newest version only files for the platforms that were used are fetched', async () => {
  const index = await startPyPiUpstream();
  onTestFinished(() => index.close());
  const [wheel] = index.publish({ name: 'lib', version: '1.0', kinds: ['wheel', 'source'] });
  const { get, run } = await warm('pypi', index.url, [new URL(index.files.url).host]);
  await get('/simple/lib/');
  expect((await get(wheel?.path ?? '')).status).toBe(200);
  const [next, source] = index.publish({ name: 'lib', version: '1.1', kinds: ['wheel', 'source'] });
  await eventually(
    'the newest wheel is fetched',
    async () => (await run()) && cacheOf(await get(next?.path ?? '')) === 'hit',
  );
  expect(cacheOf(await get(source?.path ?? ''))).toBe('miss');
});

it('goes on after trouble, and counts it', async () => {
  const registry = await registryWith();
  const { pass, get, run } = await warm('npm', registry.url);
  for (const path of ['/used', '/looked-at']) await get(path);
  pass(2 * hourMs);
  registry.upstream.at('/used', { status: 500 });
  expect(await run()).toMatchObject({ failed: 1, documents: 1 });
});

it('asks nobody who is offline', async () => {
  const registry = await registryWith();
  const open = await warm('npm', registry.url);
  for (const path of ['/used', '/used/-/used-1.0.0.tgz']) expect((await open.get(path)).status).toBe(200);
  await open.server.stop();
  registry.upstream.forget();
  const closed = await warm('npm', registry.url, [], {}, { source: { offline: true }, folder: open.server.folder });
  expect(cacheOf(await closed.get('/used'))).toBe('offline');
  expect(await closed.run()).toMatchObject({ failed: 0, documents: 0, artifacts: 0 });
  expect(registry.upstream.requests).toEqual([]);
});

it('is off unless the configuration says so', async () => {
  const server = await startHosted({ format: 'generic' });
  onTestFinished(() => server.close());
  const headers = { authorization: `Bearer ${await server.token('adam')}` };
  const job = `${server.root}/api/v1/orgs/acme/repositories/packages/keep-warm`;
  expect((await ask(job, { method: 'POST', headers })).status).toBe(404);
  expect((await ask(job, { headers })).text()).toContain('keepWarm');
  const rita = { authorization: `Bearer ${await server.token('rita')}` };
  expect((await ask(job, { method: 'POST', headers: rita })).status).toBe(403);
});

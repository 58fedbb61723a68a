/** What builds asked for in vain on the closed side is listed, in a form that is fetched from on the connected side. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { command } from '../commands/larder.ts';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Answer, ask } from '../support/http.ts';
import { parseMetrics } from '../support/metrics.ts';

const abbreviated = 'application/vnd.npm.install-v1+json';
const readers = [
  { who: ['everyone'], may: ['read'] },
  { who: ['team:admins'], may: ['admin'] },
];

async function closed(): Promise<HostedServer & { readonly registry: FakeRegistry }> {
  const registry = await startFakeRegistry();
  onTestFinished(() => registry.close());
  const server = await startHosted({
    format: 'npm',
    sources: [{ remote: 'inner' }],
    upstreams: { inner: { url: registry.url } },
    repositories: {
      all: { format: 'npm', sources: [{ repository: 'acme/packages' }] },
      files: { format: 'generic', sources: [{ remote: 'inner' }] },
      own: { format: 'generic', sources: [{ hosted: true }] },
    },
    access: readers,
    more: { offline: true },
  });
  onTestFinished(() => server.close());
  return Object.assign(server, { registry });
}

async function statusesOf(server: HostedServer, asks: readonly (readonly [path: string, headers?: object])[]) {
  const all: number[] = [];
  for (const [path, headers = {}] of asks) {
    all.push((await ask(`${server.root}${path}`, { headers: { ...headers } })).status);
  }
  return all;
}

it('lists what a repository that is offline was asked for, once each, and takes it for no more when it is cleared', async () => {
  const server = await closed();
  const token = await server.token('adam');
  expect(
    await statusesOf(server, [
      ['/acme/packages/lib', { accept: abbreviated }],
      ['/acme/packages/lib', { accept: abbreviated }],
      ['/acme/packages/@acme%2flib'],
      ['/acme/packages/lib/-/lib-1.0.0.tgz'],
      ['/acme/all/other?write=true&token=hunter2'],
      ['/acme/files/dists/Release'],
      // Nobody was to be asked in any case.
      ['/acme/own/nothing'],
      ['/acme/none/lib'],
      ['/acme/packages/-/v1/search?text=lib'],
    ]),
  ).toEqual([404, 404, 404, 404, 404, 404, 404, 404, 404]);
  expect(await statusesOf(server, [['/acme/packages/cached', { 'cache-control': 'only-if-cached' }]])).toEqual([504]);

  const missing = (...more: string[]) => command(['missing', '--url', server.root, '--token', token, ...more]);
  const list = `# larder missing 1
acme/all\t/other?write=true
acme/files\t/dists/Release
acme/packages\t/@acme%2flib
acme/packages\t/lib\t${abbreviated}
acme/packages\t/lib/-/lib-1.0.0.tgz
`;
  expect(await missing()).toEqual({ code: 0, out: list, err: '' });
  expect(JSON.parse((await missing('--json')).out)[3]).toMatchObject({ path: '/lib', count: 2 });
  const metrics = parseMetrics((await ask(`${server.root}/metrics`)).text());
  expect(metrics.sum('larder_offline_misses_total', { repository: 'acme/packages' })).toBe(4);
  expect(metrics.sum('larder_offline_misses_total', { repository: 'acme/own' })).toBe(0);
  expect(await missing('--clear', '--org', 'acme')).toMatchObject({ out: list });
  expect(await missing()).toMatchObject({ out: '# larder missing 1\n' });
  expect(server.registry.upstream.requests).toEqual([]);
});

it('is for those who administer', async () => {
  const server = await closed();
  const call = async (user: string, method: string): Promise<Answer> =>
    ask(`${server.root}/api/v1/orgs/acme/missing`, {
      method,
      headers: { authorization: `Bearer ${await server.token(user)}` },
    });
  expect((await call('rita', 'GET')).status).toBe(403);
  expect((await call('rita', 'DELETE')).status).toBe(403);
  expect((await call('adam', 'GET')).json()).toEqual({ items: [] });
  expect((await call('adam', 'DELETE')).json()).toEqual({ cleared: 0 });
  const rita = await command(['missing', '--url', server.root, '--token', await server.token('rita')]);
  expect(rita).toMatchObject({ code: 1, err: expect.stringContaining('administer no organisation') });
});

it('does not list what upstream was known not to have', async () => {
  const registry = await startFakeRegistry();
  onTestFinished(() => registry.close());
  const settings = {
    format: 'npm',
    sources: [{ remote: 'inner' }],
    upstreams: { inner: { url: registry.url } },
    access: readers,
  };
  const open = await startHosted(settings);
  onTestFinished(() => open.close());
  expect(await statusesOf(open, [['/acme/packages/never']])).toEqual([404]);
  await open.stop();
  const server = await startHosted({ ...settings, folder: open.folder, more: { offline: true } });
  onTestFinished(() => server.close());
  expect(await statusesOf(server, [['/acme/packages/never'], ['/acme/packages/unknown']])).toEqual([404, 404]);
  const { out } = await command(['missing', '--url', server.root, '--token', await server.token('adam')]);
  expect(out).toBe('# larder missing 1\nacme/packages\t/unknown\n');
});

it('sends nothing that was published here to an upstream that is offline', async () => {
  const server = await startHosted({
    format: 'npm',
    upstreams: { inner: { url: 'http://127.0.0.1:9', offline: true } },
  });
  onTestFinished(() => server.close());
  const answer = await ask(
    `${server.root}/api/v1/orgs/acme/repositories/packages/packages/lib/versions/1.0.0/promote`,
    {
      method: 'POST',
      headers: { authorization: `Bearer ${await server.token('adam')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ upstream: 'inner' }),
    },
  );
  expect([answer.status, answer.text()]).toEqual([409, expect.stringContaining('offline')]);
});

it('is what a connected server is warmed with', async () => {
  const server = await closed();
  const { path } = server.registry.publish({ name: '@acme/lib', version: '1.0.0' });
  await statusesOf(server, [['/acme/packages/@acme%2flib', { accept: abbreviated }], [`/acme/packages${path}`]]);
  const { out } = await command(['missing', '--url', server.root, '--token', await server.token('adam')]);
  const list = join(server.folder, 'missing.txt');
  await writeFile(list, out);
  const connected = await startHosted({
    format: 'npm',
    sources: [{ remote: 'inner' }],
    upstreams: { inner: { url: server.registry.url } },
    access: readers,
  });
  onTestFinished(() => connected.close());
  const warmed = await command(['warm', list, '--url', connected.root]);
  expect(warmed, warmed.err).toMatchObject({ code: 0, out: expect.stringMatching(/^2 got/) });
  expect(server.registry.upstream.count(path)).toBe(1);
});

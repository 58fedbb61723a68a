/**
 * A Larder that is used by several organisations at once, with everything that a dashboard is to show: hits and misses, upstreams in
 * trouble and with quotas, refusals, publishes, evictions. What would take a proxy, a policy or a week is told instead of done.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { publish } from '../../src/core/events.ts';
import { collectedName } from '../../src/store/layout.ts';
import { createBrowser } from './browser.ts';
import { type FakeRegistry, startFakeRegistry } from './fake-registry.ts';
import { type FakeUpstream, gate, startFakeUpstream } from './fake-upstream.ts';
import { temporaryFolder } from './folder.ts';
import { type HostedServer, startHosted, wrongToken } from './hosted-server.ts';
import { type AskOptions, ask } from './http.ts';
import { type Issuer, startIssuer } from './issuer.ts';

export interface Busy {
  readonly server: HostedServer;
  /** Host and port. */
  readonly address: string;
  /** A second or less of work; different things each time. */
  round(): Promise<void>;
  close(): Promise<void>;
}

const day = 86_400_000;
const fileBytes = 400_000;
const eager = { ttl: '200ms', staleWhileRevalidate: '0s', negativeTtl: '1m', patience: '500ms' };
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

interface Upstreams {
  readonly registry: FakeRegistry;
  readonly failing: FakeRegistry;
  readonly files: FakeUpstream;
  readonly hub: FakeUpstream;
  readonly issuer: Issuer;
}

export async function startBusy(): Promise<Busy> {
  const folder = await temporaryFolder('larder-busy');
  const path = join(folder.path, 'data');
  await mkdir(join(path, 'index'), { recursive: true });
  const collected = { at: Date.now() - 3 * day, trashed: 3, trashedBytes: 30_000, deleted: 2, freedBytes: 20_000 };
  await writeFile(join(path, collectedName), JSON.stringify(collected));
  const upstreams: Upstreams = {
    registry: await startFakeRegistry(),
    failing: await startFakeRegistry(),
    files: await startFakeUpstream(),
    hub: await startFakeUpstream(),
    issuer: await startIssuer(),
  };
  const server = await start(folder.path, path, upstreams);
  const round = await rounds(server, upstreams);
  return {
    server,
    address: new URL(server.root).host,
    round,
    async close() {
      await server.close();
      const { registry, failing, files, hub, issuer } = upstreams;
      for (const one of [registry, failing, files, hub, issuer]) await one.close();
      await folder.remove();
    },
  };
}

function start(
  folder: string,
  path: string,
  { registry, failing, files, hub, issuer }: Upstreams,
): Promise<HostedServer> {
  const generic = (remote: string, more: object = {}) => ({
    format: 'generic',
    sources: [{ remote, ...eager, ...more }],
  });
  return startHosted({
    folder,
    format: 'npm',
    sources: [{ hosted: true }, { remote: 'registry', ...eager }],
    upstreams: {
      registry: { url: registry.url },
      failing: { url: failing.url, retries: 1, breaker: { failures: 2, open: '1m' } },
      files: { url: files.url },
      hub: { url: hub.url, retries: 0 },
    },
    repositories: { files: { format: 'generic', sources: [{ hosted: true }] } },
    org: {
      maxSize: '60KB',
      users: { alice: {}, adam: {}, rita: {}, nobody: {}, bob: { password: 'of bob' }, robot: { service: true } },
      access: [
        { who: ['team:developers', 'user:robot'], may: ['read', 'publish', 'delete'] },
        { who: ['team:readers'], may: ['read'] },
        { who: ['ci:forge:job:*'], may: ['read'] },
      ],
    },
    orgs: {
      public: {
        repositories: {
          npm: { format: 'npm', sources: [{ remote: 'registry', ...eager }] },
          unsteady: { format: 'npm', sources: [{ remote: 'failing', ...eager }] },
          files: generic('files'),
          hub: generic('hub'),
          frozen: generic('files', { offline: true }),
        },
        access: [{ who: ['everyone'], may: ['read'] }],
      },
      crowd: {
        repositories: { files: generic('files') },
        access: [{ who: ['everyone'], may: ['read'] }],
        limits: { total: { requests: '2/s', burst: 2 }, perAddress: { download: '400KB' } },
      },
    },
    more: { storage: { path, maxSize: '3MB' }, issuers: { forge: { url: issuer.url } } },
  });
}

async function rounds(server: HostedServer, upstreams: Upstreams): Promise<() => Promise<void>> {
  const { registry, failing, files, hub, issuer } = upstreams;
  const get = (path: string, options: AskOptions = {}) => ask(`${server.root}${path}`, options);
  const tokens = {
    alice: await server.token('alice', { expiresAt: Date.now() + 30 * day }),
    robot: await server.token('robot', { expiresAt: Date.now() + 3 * day }),
    rita: await server.token('rita'),
    ended: await server.expiredToken('rita'),
  };
  failing.publish({ name: 'unsteady', version: '1.0.0' });
  await get('/public/unsteady/unsteady');
  await failing.upstream.stop();
  let nth = 0;

  async function install(): Promise<void> {
    const { name, path } = registry.publish({ name: `package-${nth}`, version: '1.0.0' });
    for (const repository of ['/public/npm', '/public/npm', '/public/npm']) {
      await get(`${repository}/${name}`);
      await get(`${repository}${path}`);
    }
    await get(`/acme/packages/${name}`, { headers: bearer(tokens.alice) });
    await get(`/public/npm/package-${Math.floor(nth / 2)}`);
    await get(`/public/npm/none-${nth % 3}`);
    await get('/public/unsteady/unsteady');
  }

  /** Two clients, one download; one that is cut and resumed; one that is wrong; one that nobody waits for. */
  async function download(): Promise<void> {
    const body = Buffer.alloc(fileBytes, `file ${nth} `);
    const held = gate();
    files.at(`/shared-${nth}`, { body, holdHeaders: held });
    const both = [get(`/public/files/shared-${nth}`), get(`/public/files/shared-${nth}`)];
    await held.reached;
    held.open();
    await Promise.all(both);
    await get(`/public/files/shared-${nth}`);
    await get(`/public/files/shared-${Math.max(0, nth - 2)}`);
    files.at(`/cut-${nth}`, { body: body.subarray(0, 20_000), etag: `"${nth}"`, cuts: [5000] });
    await get(`/public/files/cut-${nth}`);
    const wrong = registry.publish({ name: `wrong-${nth}`, version: '1.0.0', bytes: Buffer.alloc(5000, 'x') });
    registry.upstream.at(wrong.path, { body: Buffer.alloc(5000, 'x'), corruptAt: 100 });
    await get(`/public/npm/wrong-${nth}`);
    await get(`/public/npm${wrong.path}`).catch(() => undefined);
    files.at(`/slow-${nth}`, { body, drip: { bytes: 50_000, pauseMs: 20 } });
    const leaving = new AbortController();
    const response = await fetch(`${server.root}/public/files/slow-${nth}`, { signal: leaving.signal });
    await response.body?.getReader().read();
    leaving.abort();
    const remaining = Math.max(5, 90 - nth);
    const quota = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': `${remaining};w=21600` };
    hub.at(`/image-${nth}`, { body: `image ${nth}`, headers: quota });
    hub.at(`/busy-${nth}`, { status: 429, headers: { ...quota, 'retry-after': '1' } });
    await get(`/public/hub/image-${nth}`);
    await get(`/public/hub/busy-${nth}`);
    files.at(`/broken-${nth}`, { status: 500 });
    await get(`/public/files/broken-${nth}`);
    await get(`/public/frozen/never-${nth}`);
    files.at('/crowded', { body: body.subarray(0, 100_000) });
    await Promise.all(Array.from({ length: 4 }, () => get('/crowd/files/crowded')));
  }

  async function sayWho(): Promise<void> {
    await get('/acme/packages/anything');
    for (const token of [tokens.ended, wrongToken]) await get('/acme/packages/anything', { headers: bearer(token) });
    await get('/acme/files/one', { method: 'PUT', headers: bearer(tokens.rita), body: 'x' });
    const shown = (token: string) => ({
      headers: { authorization: `Basic ${Buffer.from(`alice:${token}`).toString('base64')}` },
    });
    for (const token of [tokens.alice, wrongToken]) await get('/token', shown(token));
    const [idToken, stranger] = await Promise.all(
      ['job:a', 'other:b'].map((sub) => issuer.token({ sub, aud: 'localhost' })),
    );
    for (const token of [idToken, stranger]) {
      const answer = await get('/api/v1/oidc/exchange', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token }),
      });
      if (answer.status !== 200) continue;
      const { token: given } = answer.json() as { token: string };
      await get('/acme/packages/package-0', { headers: bearer(given) });
    }
    const browser = createBrowser();
    await browser.open(`${server.root}/ui/login`);
    await browser.submit('password', { user: 'bob', password: nth % 2 === 0 ? 'of bob' : 'of somebody else' });
  }

  async function publishSome(): Promise<void> {
    const put = (name: string, body: string) =>
      get(`/acme/files/${name}`, { method: 'PUT', headers: bearer(tokens.robot), body });
    await put(`file-${nth}`, `file ${nth} `.repeat(100));
    await put(`large-${nth}`, 'x'.repeat(80_000));
    await get(`/acme/files/file-${nth}`, { headers: bearer(tokens.alice) });
    if (nth % 3 === 0) await get(`/acme/files/file-${nth}`, { method: 'DELETE', headers: bearer(tokens.robot) });
  }

  /** What would take a proxy in front, a policy, an upstream that cheats or half a day. */
  function tell(): void {
    const repository = 'public/npm';
    publish('policy.block', { repository, name: 'x', version: '1', rule: 'minimum-age', reason: 'young' });
    publish('contradiction', { repository, path: '/x', kept: 'a', told: 'b' });
    publish('keep-warm', { repository, documents: 3, artifacts: 1, failed: 1, durationMs: 1 });
    publish('upstream.turned-away', { upstream: 'registry', org: 'public' });
    for (const handOff of ['given', 'returned'] as const) {
      publish('request', {
        ...{ id: 'r', method: 'GET', url: '/', status: 200, repository: 'public/files', format: 'generic' },
        ...{ route: 'file', outcome: 'hit', bytesSent: 1_000_000, durationMs: 1, remote: '', userAgent: '', handOff },
      });
    }
  }

  return async () => {
    await Promise.all([install(), download(), sayWho(), publishSome()]);
    tell();
    nth++;
  };
}

/** What one client may take of the server, over HTTP: who is refused, who is slowed, and who notices nothing of it. */

import { readFile, writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { gate, startFakeUpstream } from '../support/fake-upstream.ts';
import { type HostedOptions, type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type Answer, type AskOptions, ask, type Headers } from '../support/http.ts';
import { startLarder } from '../support/larder.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { parseMetrics } from '../support/metrics.ts';
import { eventually } from '../support/wait.ts';

const everybodyReads = [
  { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
  { who: ['everyone'], may: ['read'] },
];
const proxied = { trustedProxies: ['127.0.0.1/32', '::1/128'] };
const few = { requests: '1/s', burst: 3 };
const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` });

interface Scene {
  readonly server: HostedServer;
  readonly clock: ManualClock;
  readonly alice: Headers;
  /** Below the repository `acme/packages`. */
  at(path: string, options?: AskOptions): Promise<Answer>;
  metric(name: string, labels: Readonly<Record<string, string>>): Promise<number>;
}

async function started(
  options: Omit<HostedOptions, 'format'>,
  files: Record<string, Buffer | string> = {},
): Promise<Scene> {
  const clock = manualClock();
  const server = await startHosted({
    format: 'generic',
    access: everybodyReads,
    clock,
    ...options,
    // Who is slowed by a clock that stands still is not waited for.
    server: { drain: '50ms', ...options.server },
  });
  onTestFinished(() => server.close());
  const alice = bearer(await server.token('alice'));
  const ca = server.caFile === '' ? undefined : await readFile(server.caFile, 'utf8');
  const at: Scene['at'] = (path, asked) => ask(`${server.url}${path}`, { ...(ca ? { ca } : {}), ...asked });
  for (const [path, body] of Object.entries(files)) {
    const put = await at(path, { method: 'PUT', body, headers: { ...alice, 'x-forwarded-for': '198.51.100.99' } });
    expect(put.status, put.text()).toBe(201);
  }
  return {
    server,
    clock,
    alice,
    at,
    metric: async (name, labels) =>
      parseMetrics((await ask(`${server.root}/metrics`, ca ? { ca } : {})).text()).sum(name, labels),
  };
}

const statuses = async (count: number, one: () => Promise<{ readonly status: number }>): Promise<number[]> => {
  const seen: number[] = [];
  for (let at = 0; at < count; at++) seen.push((await one()).status);
  return seen;
};

async function session(server: HostedServer): Promise<ClientHttp2Session> {
  const opened = connectHttp2(server.root, { ca: await readFile(server.caFile, 'utf8') });
  onTestFinished(() => opened.destroy());
  return opened;
}

function overHttp2(
  opened: ClientHttp2Session,
  path: string,
  headers: Headers = {},
): Promise<{ status: number; retryAfter: unknown }> {
  return new Promise((resolve, reject) => {
    const stream = opened.request({ ':path': path, ...headers });
    let head: Record<string, unknown> = {};
    stream.on('response', (got) => {
      head = got;
    });
    stream.on('error', reject);
    stream.on('close', () => resolve({ status: Number(head[':status']), retryAfter: head['retry-after'] }));
    stream.resume();
  });
}

/** A request that nothing in memory may answer. */
const notHot = { via: '1.1 proxy' };

describe.each([
  { what: 'the wire', tls: false, headers: {} },
  { what: 'the pipeline', tls: false, headers: notHot },
  { what: 'HTTP/2 out of memory', tls: true, headers: {} },
  { what: 'HTTP/2 through the pipeline', tls: true, headers: notHot },
])('over $what', ({ tls, headers }) => {
  test('the same requests are answered and refused, and the same time later answered again', async () => {
    const { server, clock, at } = await started(
      { server: { limits: { perAddress: { requests: '1/s', burst: 4 } } }, tls },
      { '/file': 'some bytes' },
    );
    // Into memory; a connection over which something came that was not there is never the wire's again.
    await at('/file');
    await clock.advance(100_000);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const opened = tls ? await session(server) : undefined;
    const one = async (): Promise<{ status: number; retryAfter: unknown }> => {
      if (opened) return overHttp2(opened, '/acme/packages/file', headers);
      const { status, headers: told } = await at('/file', { headers, agent });
      return { status, retryAfter: told['retry-after'] };
    };
    expect(await statuses(5, one)).toEqual([200, 200, 200, 200, 429]);
    expect(await one()).toEqual({ status: 429, retryAfter: '1' });
    await clock.advance(2000);
    expect(await statuses(3, one)).toEqual([200, 200, 429]);
  });
});

test('what is refused says so in the words of the format, and how long to wait', async () => {
  const { server } = await started({
    server: { limits: { perAddress: { requests: '1/m', burst: 1 } } },
    repositories: {
      npm: { format: 'npm', sources: [{ hosted: true }] },
      images: { format: 'oci', sources: [{ hosted: true }] },
    },
  });
  await ask(`${server.root}/acme/npm/lib`);
  const npm = await ask(`${server.root}/acme/npm/lib`);
  expect(npm.status).toBe(429);
  expect(npm.headers).toMatchObject({ 'retry-after': '60', 'cache-control': 'no-store' });
  expect(npm.json()).toMatchObject({ error: expect.stringContaining('Go on in 60 seconds') });
  const image = await ask(`${server.root}/v2/acme/images/app/manifests/latest`);
  expect(image.json()).toMatchObject({ errors: [{ code: 'TOOMANYREQUESTS' }] });
});

test('health checks are never refused; other pages of the server count apart from all orgs', async () => {
  const { server, at } = await started({ server: { limits: { perAddress: few } } });
  const below = (path: string) => () => ask(`${server.root}${path}`);
  expect(await statuses(5, below('/healthz'))).toEqual(Array(5).fill(200));
  expect(await statuses(4, below('/nothing/there'))).toEqual([404, 404, 404, 429]);
  expect((await below('/-/whoami')()).status).toBe(429);
  expect((await below('/acme/nowhere/file')()).status).toBe(429);
  expect((await ask(`${server.root}/acme/packages/file`, { headers: { host: 'not a host' } })).status).toBe(429);
  expect((await below('/healthz')()).status).toBe(200);
  expect((await at('/file')).status).toBe(404);
});

describe('who is refused and asks again at once', () => {
  const once = { server: { limits: { perAddress: { requests: '1/h', burst: 1 } }, drain: '50ms' } };

  test('hears it at a pace', async () => {
    const { at, clock } = await started(once);
    await at('/file');
    let said = 0;
    const all = Promise.all(
      Array.from({ length: 120 }, async () => {
        const { status } = await at('/file');
        said++;
        return status;
      }),
    );
    await eventually('the first hundred are said', () => said >= 100);
    expect(said).toBe(100);
    await clock.advance(1000);
    expect(new Set(await all)).toEqual(new Set([429]));
  });

  test('is cut when there would be too much to wait for', async () => {
    const { server, at } = await started(once);
    await at('/file');
    const { port } = new URL(server.root);
    const socket = connect(Number(port), '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => {});
    socket.resume();
    const closed = new Promise((done) => socket.once('close', done));
    socket.write('GET /acme/packages/file HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1500));
    await closed;
    expect((await ask(`${server.root}/healthz`)).status).toBe(200);
  });
});

describe('a noisy org', () => {
  test('uses up its own share, and the quiet one has all of its own', async () => {
    const { server, metric } = await started({
      org: { limits: { total: { requests: '1/s', burst: 5 } } },
      server: { limits: { perAddress: { requests: '1/s', burst: 20 } } },
    });
    const olga = bearer(await server.token('olga'));
    const noisy = await statuses(30, () => ask(`${server.url}/file`));
    const quiet = await statuses(10, () => ask(`${server.root}/other/packages/file`, { headers: olga }));
    expect(noisy.slice(0, 5)).toEqual(Array(5).fill(404));
    expect(noisy.slice(5)).toEqual(Array(25).fill(429));
    expect(quiet).toEqual(Array(10).fill(404));
    expect(await metric('larder_limited_total', { org: 'acme', by: 'org', kind: 'requests' })).toBe(15);
    expect(await metric('larder_limited_total', { org: 'acme', by: 'address', kind: 'requests' })).toBe(10);
    expect(await metric('larder_limited_total', { org: 'other' })).toBe(0);
  });

  test('and many at once leave the quiet one its turn', async () => {
    const { server } = await started({ org: { limits: { total: { transfers: 2 } } } });
    const olga = bearer(await server.token('olga'));
    const noisy = Array.from({ length: 50 }, () => ask(`${server.url}/file`));
    const quiet = await Promise.all(
      Array.from({ length: 10 }, () => ask(`${server.root}/other/packages/file`, { headers: olga })),
    );
    expect(quiet.map(({ status }) => status)).toEqual(Array(10).fill(404));
    await Promise.all(noisy);
  });
});

test('who is not let in uses up their address, and neither the org nor those whose name they try', async () => {
  const { at, alice } = await started({
    access: [{ who: ['team:developers'], may: ['read', 'publish'] }],
    server: { ...proxied, limits: { perIdentity: few } },
    org: { limits: { perAddress: { requests: '1/s', burst: 10 }, total: few } },
  });
  const stranger = (headers: Headers) => () =>
    at('/file', { headers: { ...headers, 'x-forwarded-for': '192.0.2.66' } });
  expect(await statuses(5, stranger(bearer(wrongToken)))).toEqual(Array(5).fill(401));
  expect(await statuses(6, stranger({}))).toEqual([...Array(5).fill(401), 429]);
  const hers = () => at('/file', { headers: { ...alice, 'x-forwarded-for': '192.0.2.1' } });
  expect(await statuses(4, hers)).toEqual([404, 404, 404, 429]);
});

test('somebody known is known at every address, and each of two at one address has their own', async () => {
  const { server, at, alice } = await started({ server: { ...proxied, limits: { perIdentity: few } } });
  const rita = bearer(await server.token('rita'));
  const from = (headers: Headers, remote: string) =>
    at('/file', { headers: { ...headers, 'x-forwarded-for': remote } });
  expect(await statuses(2, () => from(alice, '192.0.2.1'))).toEqual([404, 404]);
  expect(await statuses(2, () => from(alice, '192.0.2.2'))).toEqual([404, 429]);
  expect((await from(rita, '192.0.2.2')).status).toBe(404);
});

describe('the address that counts', () => {
  const from = ({ at }: Scene, remote: string) => at('/file', { headers: { 'x-forwarded-for': remote } });

  test("is the client's behind trusted proxies, and of IPv6 its network", async () => {
    const scene = await started({ server: { ...proxied, limits: { perAddress: few } } });
    expect(await statuses(4, () => from(scene, '192.0.2.1'))).toEqual([404, 404, 404, 429]);
    expect((await from(scene, '192.0.2.2')).status).toBe(404);
    expect((await from(scene, '192.0.2.1')).status).toBe(429);
    // Made up by the client, left of what the proxy saw.
    expect((await from(scene, '203.0.113.5, 192.0.2.1')).status).toBe(429);
    let host = 1;
    expect(await statuses(4, () => from(scene, `2001:db8::${host++}`))).toEqual([404, 404, 404, 429]);
  });

  test('is the one of the connection when anybody else says otherwise', async () => {
    const scene = await started({ server: { limits: { perAddress: few } } });
    let host = 1;
    expect(await statuses(4, () => from(scene, `192.0.2.${host++}`))).toEqual([404, 404, 404, 429]);
    const forwarded = () => scene.at('/file', { headers: { forwarded: `for=192.0.2.${host++}` } });
    expect((await forwarded()).status).toBe(429);
  });

  test('is found again for each request of a connection that a proxy keeps open', async () => {
    const scene = await started({ server: { ...proxied, limits: { perAddress: few } } }, { '/file': 'bytes' });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const hit = (remote: string) => () => scene.at('/file', { agent, headers: { 'x-forwarded-for': remote } });
    expect(await statuses(3, hit('192.0.2.1'))).toEqual([200, 200, 200]);
    expect(await statuses(3, hit('192.0.2.2'))).toEqual([200, 200, 200]);
    expect(await statuses(1, hit('192.0.2.1'))).toEqual([429]);
    expect(await statuses(1, hit('192.0.2.3'))).toEqual([200]);
  });
});

describe('bandwidth', () => {
  const size = 1_000_000;
  const file = Buffer.alloc(size, 'larder');

  /** How much of a transfer has come so far. */
  function transfer({ at }: Scene, headers: Headers = {}, path = '/large') {
    const got = { bytes: 0, hash: Buffer.alloc(0), status: 0 };
    const done = at(path, {
      headers,
      onHead: (status) => {
        got.status = status;
      },
      onData: (piece) => {
        got.bytes += piece.byteLength;
      },
    });
    return { got, done };
  }

  /** Until nothing more comes without the clock. */
  async function settled(...transfers: ReturnType<typeof transfer>[]): Promise<number[]> {
    const bytes = () => transfers.map(({ got }) => got.bytes);
    let before = '';
    let same = 0;
    await eventually('transfers stand still', async () => {
      const now = String(bytes());
      same = now === before ? same + 1 : 0;
      before = now;
      return same >= 3;
    });
    return bytes();
  }

  test.each([
    { what: 'an address', server: { limits: { perAddress: { download: '100KB' } } }, org: {} },
    { what: 'an org', server: {}, org: { limits: { total: { download: '100KB' } } } },
  ])('of $what is shared evenly by its transfers, and no transfer is cut', async ({ server, org }) => {
    const scene = await started({ server, org }, { '/large': file });
    const transfers = [transfer(scene), transfer(scene)];
    const [first = 0, second = 0] = await settled(...transfers);
    expect(first + second).toBeLessThan(100_000 + 30_000);
    // A slice at a time, so that whose turn it is shows.
    for (let step = 0; step < 16; step++) {
      await scene.clock.advance(125);
      await settled(...transfers);
    }
    const [one = 0, other = 0] = transfers.map(({ got }) => got.bytes);
    expect(one + other).toBeGreaterThan(250_000);
    expect(one + other).toBeLessThan(300_000 + 30_000);
    // What there was at once went to whoever came first.
    expect(Math.abs(one - first - (other - second))).toBeLessThan(2 * 12_500 + 1);
    const finished = Promise.all(transfers.map(({ done }) => done));
    let over = false;
    void finished.then(() => {
      over = true;
    });
    await eventually('both are through', async () => {
      await scene.clock.advance(1000);
      return over;
    });
    for (const { complete } of await finished) expect(complete).toBe(true);
    expect(transfers.map(({ got }) => got.bytes)).toEqual([size, size]);
    expect(await scene.metric('larder_limited_total', { org: 'acme', kind: 'bandwidth' })).toBe(2);
    expect(await scene.metric('larder_throttled_seconds_total', { org: 'acme' })).toBeGreaterThan(0);
  });

  test('is not kept for transfers whose clients are gone', async () => {
    const scene = await started({ org: { limits: { total: { download: '100KB' } } } }, { '/large': file });
    const agents = Array.from({ length: 60 }, () => new Agent());
    const gone = agents.map((agent) => scene.at('/large', { agent }).catch(() => undefined));
    await eventually('all wait', async () => (await scene.metric('larder_limited_total', { kind: 'bandwidth' })) >= 60);
    for (const agent of agents) agent.destroy();
    await Promise.all(gone);
    await eventually(
      'nothing is under way',
      async () => (await scene.metric('larder_connections', { state: 'open' })) <= 2,
    );
    const one = transfer(scene);
    onTestFinished(() => void one.done.catch(() => {}));
    for (let step = 0; step < 4; step++) {
      await scene.clock.advance(500);
      await settled(one);
    }
    expect(one.got.bytes).toBeGreaterThan(150_000);
  });

  test('of one address leaves another alone, and one that is used up is slow also for what lies in memory', async () => {
    const limits = { perAddress: { download: '100KB' } };
    const scene = await started({ server: { ...proxied, limits } }, { '/large': file, '/small': Buffer.alloc(1000) });
    await scene.at('/small', { headers: { 'x-forwarded-for': '192.0.2.3' } });
    const first = transfer(scene, { 'x-forwarded-for': '192.0.2.1' });
    await settled(first);
    const small = transfer(scene, { 'x-forwarded-for': '192.0.2.1' }, '/small');
    const other = transfer(scene, { 'x-forwarded-for': '192.0.2.2' }, '/small');
    await other.done;
    expect(await settled(small)).toEqual([0]);
    await scene.clock.advance(2000);
    await small.done;
    expect(small.got.bytes).toBe(1000);
    expect(first.got.bytes).toBeLessThan(size);
  });

  test('of uploads is slowed, too', async () => {
    const scene = await started({ server: { limits: { perIdentity: { upload: '100KB' } } } });
    let over = false;
    const put = scene.at('/up', { method: 'PUT', body: file, headers: scene.alice }).then((answer) => {
      over = true;
      return answer;
    });
    await eventually('it waits', async () => (await scene.metric('larder_limited_total', { kind: 'bandwidth' })) > 0);
    expect(over).toBe(false);
    let seconds = 0;
    await eventually('it is through', async () => {
      await scene.clock.advance(1000);
      seconds++;
      return over;
    });
    expect((await put).status).toBe(201);
    expect(seconds).toBeGreaterThanOrEqual(8);
    expect((await scene.at('/up')).body.equals(file)).toBe(true);
  });
});

test('who is slowed in the middle of a download does not hold up others who wait for the same', async () => {
  const clock = manualClock();
  const upstream = await startFakeUpstream();
  onTestFinished(() => upstream.close());
  const larder = await startLarder(
    { upstreamUrl: upstream.url, server: { ...proxied, drain: '50ms', limits: { perAddress: { download: '1MB' } } } },
    { clock },
  );
  onTestFinished(() => larder.close());
  const rest = gate();
  const body = Buffer.alloc(900_000, 'larder');
  upstream.at('/first', { body: Buffer.alloc(1_000_000) });
  upstream.at('/joined', { body, hold: { at: 100_000, until: rest } });
  const slow = { 'x-forwarded-for': '192.0.2.1' };
  const quick = { 'x-forwarded-for': '192.0.2.2' };
  expect((await larder.files('/first', slow)).body.byteLength).toBe(1_000_000);
  let over = false;
  const slowed = larder.files('/joined', slow).then((answer) => {
    over = true;
    return answer;
  });
  await rest.reached;
  const other = larder.files('/joined', quick);
  rest.open();
  expect((await other).body.equals(body)).toBe(true);
  expect(over).toBe(false);
  await eventually('it is through', async () => {
    await clock.advance(200);
    return over;
  });
  expect((await slowed).body.equals(body)).toBe(true);
  expect(upstream.count('/joined')).toBe(1);
});

test('new limits take effect with the next request, and cut no transfer', async () => {
  const scene = await started(
    { server: { limits: { perAddress: { download: '100KB' } } } },
    { '/large': Buffer.alloc(1_000_000, 'x') },
  );
  const { server, at } = scene;
  let bytes = 0;
  const running = at('/large', {
    onData: (piece) => {
      bytes += piece.byteLength;
    },
  });
  await eventually('it has begun', () => bytes > 0);
  const text = await readFile(server.configFile, 'utf8');
  await writeFile(
    server.configFile,
    text
      .replace('"download":"100KB"', '"requests":"1/s","burst":2')
      .replace(/"download": "100KB"/, '"requests": "1/s", "burst": 2'),
  );
  await server.larder.reload(await loadConfig(server.configFile, {}));
  const whole = await running;
  expect(whole.complete).toBe(true);
  expect(bytes).toBe(1_000_000);
  expect(await statuses(3, () => at('/nothing'))).toEqual([404, 404, 429]);
});

/** Clients that take their time: with a body, with an answer, with a connection; and those that must not notice. */
import { readdir, readFile } from 'node:fs/promises';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Events, subscribe } from '../../src/core/events.ts';
import { collect, synthetic } from '../support/bytes.ts';
import { gate, startFakeUpstream } from '../support/fake-upstream.ts';
import { type HostedOptions, type HostedServer, startHosted } from '../support/hosted-server.ts';
import { ask, raw } from '../support/http.ts';
import { manualClock } from '../support/manual-clock.ts';
import { scene } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

/** What was said of slow clients while the test runs. */
function slowOnes(): Events['client.slow']['kind'][] {
  const kinds: Events['client.slow']['kind'][] = [];
  onTestFinished(subscribe('client.slow', ({ kind }) => void kinds.push(kind)));
  return kinds;
}

async function hosted(limits: Record<string, unknown>, options: Partial<HostedOptions> = {}) {
  const server = await startHosted({ format: 'generic', server: { limits, drain: '50ms' }, ...options });
  onTestFinished(() => server.close());
  return { server, token: await server.token('alice') };
}

async function staged({ folder }: HostedServer): Promise<string[]> {
  const found: string[] = [];
  for (const place of ['staging', 'uploads']) {
    const entries = await readdir(join(folder, 'data', place), { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    found.push(...entries.filter((entry) => entry.isFile()).map(({ name }) => name));
  }
  return found.filter((name) => !/\.(?:lock|json|pid)$/.test(name) && !/lock/.test(name));
}

function opened(port: number): Socket & { readonly text: () => string } {
  const socket = connect(port, '127.0.0.1');
  let got = '';
  socket.on('data', (piece) => {
    got += piece.toString('latin1');
  });
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return Object.assign(socket, { text: () => got });
}

const portOf = (root: string): number => Number(new URL(root).port);

describe('an upload that comes too slowly', () => {
  test('is answered 408, and nothing of it stays', async () => {
    const kinds = slowOnes();
    const { server, token } = await hosted({ uploadRate: '1KB', uploadWindow: '300ms' });
    const before = await staged(server);
    const socket = opened(portOf(server.root));
    socket.write(
      `PUT /acme/packages/slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 1000000\r\n\r\n`,
    );
    const drip = setInterval(() => socket.write('ten bytes!'), 50);
    onTestFinished(() => clearInterval(drip));
    await eventually('it was answered', () => socket.text().includes('\r\n\r\n'));
    expect(socket.text()).toMatch(/^HTTP\/1\.1 408 /);
    expect(socket.text()).toContain('came too slowly');
    expect(kinds).toEqual(['body']);
    await eventually('nothing is staged', async () => String(await staged(server)) === String(before));
    expect((await ask(`${server.url}/slow`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(404);
  });

  test('is cut over HTTP/2 as well', async () => {
    const kinds = slowOnes();
    const { server, token } = await hosted({ uploadRate: '1KB', uploadWindow: '300ms' }, { tls: true });
    const session = connectHttp2(server.root, { ca: await readFile(server.caFile, 'utf8') });
    onTestFinished(() => session.destroy());
    const stream = session.request({
      ':method': 'PUT',
      ':path': '/acme/packages/slow',
      authorization: `Bearer ${token}`,
    });
    stream.on('error', () => {});
    const drip = setInterval(() => stream.writable && stream.write('ten bytes!'), 50);
    onTestFinished(() => clearInterval(drip));
    const status = await new Promise((done) => stream.on('response', (headers) => done(headers[':status'])));
    expect(status).toBe(408);
    expect(kinds).toEqual(['body']);
  });

  test('is not one that comes at that rate, and not one that we are too slow for', async () => {
    const kinds = slowOnes();
    const clock = manualClock();
    const limits = { uploadRate: '10GB', uploadWindow: '100ms', perIdentity: { upload: '100KB' } };
    const { server, token } = await hosted(limits, { clock });
    const body = Buffer.alloc(500_000, 'x');
    let over = false;
    const put = ask(`${server.url}/paced`, { method: 'PUT', body, headers: { authorization: `Bearer ${token}` } });
    void put.then(() => {
      over = true;
    });
    await eventually('it is through', async () => {
      await clock.advance(100);
      return over;
    });
    expect((await put).status).toBe(201);
    expect(kinds).toEqual([]);
  });
});

describe('a reader that takes nothing', () => {
  const bytes = synthetic(48 * 1024 * 1024);

  test('is cut, and whoever reads the same download goes on', async () => {
    const kinds = slowOnes();
    const { upstream, larder } = await scene({ server: { limits: { readerTimeout: '300ms' } } });
    const rest = gate();
    upstream.at('/large', { body: bytes, hold: { at: 40 * 1024 * 1024, until: rest } });
    const stuck = connect(larder.port, '127.0.0.1');
    onTestFinished(() => void stuck.destroy());
    stuck.on('error', () => {});
    stuck.pause();
    stuck.write('GET /public/files/large HTTP/1.1\r\nHost: x\r\n\r\n');
    await upstream.waitFor('/large', 1);
    let taken = 0;
    const other = ask(`${larder.url}/public/files/large`, {
      onData: (piece) => {
        taken += piece.byteLength;
      },
    });
    await eventually('the other is at what has come so far', () => taken >= 39 * 1024 * 1024);
    await eventually('the stuck one is cut', () => kinds.length === 1);
    expect(kinds).toEqual(['reader']);
    rest.open();
    expect((await other).complete).toBe(true);
    expect(taken).toBe(bytes.size);
    expect(upstream.count('/large')).toBe(1);
    expect((await larder.metrics()).sum('larder_slow_clients_total', { kind: 'reader' })).toBe(1);
  });

  test('is cut on a connection that the wire answers', async () => {
    const kinds = slowOnes();
    const { upstream, larder } = await scene({ server: { limits: { readerTimeout: '300ms' } } });
    upstream.at('/hot', { body: collect(synthetic(400_000)) });
    await larder.files('/hot');
    await eventually('it is hot', async () => (await larder.files('/hot')).headers['x-larder-cache'] === 'hit');
    const stuck = connect(larder.port, '127.0.0.1');
    onTestFinished(() => void stuck.destroy());
    stuck.on('error', () => {});
    stuck.pause();
    stuck.write(`GET /public/files/hot HTTP/1.1\r\nHost: 127.0.0.1:${larder.port}\r\n\r\n`.repeat(60));
    await eventually('it is cut', () => kinds.length === 1);
    expect(kinds).toEqual(['reader']);
  });

  test('is cut over HTTP/2, and its connection goes on', async () => {
    const kinds = slowOnes();
    const { server, token } = await hosted({ readerTimeout: '300ms' }, { tls: true });
    const ca = await readFile(server.caFile, 'utf8');
    const headers = { authorization: `Bearer ${token}` };
    await ask(`${server.url}/large`, { method: 'PUT', body: Buffer.alloc(4_000_000), headers, ca });
    const session = connectHttp2(server.root, { ca });
    onTestFinished(() => session.destroy());
    const stuck = session.request({ ':path': '/acme/packages/large', ...headers });
    stuck.pause();
    stuck.on('error', () => {});
    const ended = new Promise((done) => stuck.on('close', () => done(stuck.rstCode)));
    expect(await ended).toBe(constants.NGHTTP2_CANCEL);
    expect(kinds).toEqual(['reader']);
    const next = session.request({ ':path': '/healthz' });
    const status = await new Promise((done) => next.on('response', (told) => done(told[':status'])));
    next.resume();
    expect(status).toBe(200);
  });

  test('is not one that waits for us', async () => {
    const kinds = slowOnes();
    const { upstream, larder } = await scene({
      server: { limits: { readerTimeout: '100ms' } },
      upstream: { timeoutMs: 20_000 },
    });
    const held = gate();
    upstream.at('/late', { body: 'late', holdHeaders: held });
    upstream.at('/large', { body: bytes });
    const waiting = larder.files('/late');
    await held.reached;
    // Two others come and are cut meanwhile, each after as long as the first has been waiting at least.
    for (let round = 1; round <= 2; round++) {
      const stuck = connect(larder.port, '127.0.0.1');
      stuck.on('error', () => {});
      stuck.pause();
      stuck.write('GET /public/files/large HTTP/1.1\r\nHost: x\r\n\r\n');
      await eventually('it is cut', () => kinds.length === round);
      stuck.destroy();
    }
    held.open();
    expect((await waiting).text()).toBe('late');
  });
});

describe('connections', () => {
  const get = (port: number, path: string): string => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;

  /** One that has had an answer and waits for what it may ask next. */
  async function idle(port: number): Promise<Socket & { readonly text: () => string }> {
    const socket = opened(port);
    socket.write(get(port, '/healthz'));
    await eventually('it was answered', () => socket.text().includes('ok'));
    return socket;
  }

  test('beyond the limit cost the one its place that has been idle for longest', async () => {
    const { larder } = await scene({
      server: { limits: { connections: 3, perAddress: { connections: 'unlimited' } } },
    });
    const all = [await idle(larder.port), await idle(larder.port), await idle(larder.port)];
    const [first, second, third] = all;
    // The first one is the last to have asked.
    first?.write(get(larder.port, '/healthz'));
    await eventually('it was answered again', () => first?.text().match(/"ok"/g)?.length === 2);
    const newcomer = await idle(larder.port);
    await eventually('the second is closed', () => second?.destroyed);
    expect([first?.destroyed, third?.destroyed, newcomer.destroyed]).toEqual([false, false, false]);
  });

  test('that are at work keep their place, and a newcomer is closed', async () => {
    const { upstream, larder } = await scene({
      server: { limits: { connections: 2, perAddress: { connections: 2 } } },
    });
    const held = gate();
    upstream.at('/a', { body: 'a', holdHeaders: held });
    upstream.at('/b', { body: 'b', holdHeaders: held });
    const busy = [larder.files('/a'), larder.files('/b')];
    await upstream.waitFor('/a', 1);
    await upstream.waitFor('/b', 1);
    expect((await raw(larder.port, get(larder.port, '/healthz'))).byteLength).toBe(0);
    held.open();
    expect((await Promise.all(busy)).map((answer) => answer.text())).toEqual(['a', 'b']);
    const { sum } = await larder.metrics();
    expect(sum('larder_limited_total', { by: 'address', kind: 'connections' })).toBe(1);
  });

  test('that are at work over HTTP/2 keep their place, too, and lose it when they are idle', async () => {
    const upstream = await startFakeUpstream();
    onTestFinished(() => upstream.close());
    const held = gate();
    upstream.at('/a', { body: 'a', holdHeaders: held });
    const { server } = await hosted(
      { connections: 1 },
      {
        tls: true,
        sources: [{ remote: 'one' }],
        upstreams: { one: { url: upstream.url } },
        access: [{ who: ['everyone'], may: ['read'] }],
      },
    );
    const ca = await readFile(server.caFile, 'utf8');
    const session = connectHttp2(server.root, { ca });
    onTestFinished(() => session.destroy());
    const busy = session.request({ ':path': '/acme/packages/a' });
    await held.reached;
    await expect(ask(`${server.root}/healthz`, { ca })).rejects.toThrow();
    held.open();
    const status = await new Promise((done) => busy.on('response', (headers) => done(headers[':status'])));
    expect(status).toBe(200);
    busy.resume();
    await new Promise((done) => busy.once('close', done));
    const next = await eventually('a newcomer has its place', () =>
      ask(`${server.root}/healthz`, { ca }).catch(() => undefined),
    );
    expect(next.status).toBe(200);
    await eventually('the first is closed', () => session.destroyed);
  });

  test('of one address leave room for others, except of a trusted proxy', async () => {
    const limits = { connections: 100, perAddress: { connections: 2 } };
    const { larder } = await scene({ server: { limits } });
    const all = [await idle(larder.port), await idle(larder.port), await idle(larder.port)];
    await eventually('the first is closed', () => all[0]?.destroyed);
    const behind = await scene({ server: { limits, trustedProxies: ['127.0.0.1/32'] } });
    for (let at = 0; at < 5; at++) await idle(behind.larder.port);
    const { sum } = await behind.larder.metrics();
    expect(sum('larder_connections', { state: 'open' })).toBe(6);
    expect(sum('larder_connections', { state: 'idle' })).toBe(5);
  });

  test('count from before the handshake', async () => {
    const { server } = await hosted({ connections: 2, perAddress: { connections: 2 } }, { tls: true });
    const silent = [opened(portOf(server.root)), opened(portOf(server.root))];
    await Promise.all(silent.map((socket) => new Promise((done) => socket.once('connect', done))));
    const ca = await readFile(server.caFile, 'utf8');
    const secure = connectTls({ port: portOf(server.root), host: 'localhost', ca });
    onTestFinished(() => void secure.destroy());
    await new Promise((done) => secure.once('secureConnect', done));
    await eventually('the first is closed', () => silent[0]?.destroyed);
    expect(silent[1]?.destroyed).toBe(false);
  });

  test('on which nothing is asked are slow ones, those that wait between requests are not', async () => {
    const kinds = slowOnes();
    const { larder } = await scene({ server: { limits: { headersTimeout: '200ms', keepAliveTimeout: '200ms' } } });
    const silent = opened(larder.port);
    const half = opened(larder.port);
    half.write('GET /healthz HTTP/1.1\r\n');
    const idler = await idle(larder.port);
    await eventually('all are closed', () => silent.destroyed && half.destroyed && idler.destroyed);
    expect(kinds).toEqual(['headers', 'headers']);
  });
});

test('a client of HTTP/2 that opens and gives up streams without end loses its connection, and others notice nothing', async () => {
  const { server } = await hosted({}, { tls: true });
  const ca = await readFile(server.caFile, 'utf8');
  const session = connectHttp2(server.root, { ca });
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  await new Promise((done) => session.once('connect', done));
  const tick = () => new Promise((done) => setImmediate(done));
  let given = 0;
  const goaway = new Promise<number>((done) => session.on('goaway', (code) => done(code)));
  while (!session.closed && !session.destroyed && given < 5000) {
    const streams = Array.from({ length: 50 }, () => session.request({ ':path': '/acme/packages/file' }));
    for (const stream of streams) stream.on('error', () => {});
    // What is given up before it is sent is never sent.
    await tick();
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
    given += streams.length;
    await tick();
  }
  expect(await goaway).not.toBe(constants.NGHTTP2_NO_ERROR);
  expect(given).toBeLessThan(800);
  expect((await ask(`${server.root}/healthz`, { ca })).status).toBe(200);
});

test('a client of HTTP/2 is told how many streams it may have', async () => {
  const { server } = await hosted({ streams: 7 }, { tls: true });
  const session = connectHttp2(server.root, { ca: await readFile(server.caFile, 'utf8') });
  onTestFinished(() => session.destroy());
  const settings = await new Promise<{ maxConcurrentStreams?: number }>((done) => session.on('remoteSettings', done));
  expect(settings.maxConcurrentStreams).toBe(7);
});

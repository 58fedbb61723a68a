/** Real reverse proxies in front, with the configurations of docs/proxies.md: what clients get through them is what they get without. */
import { createHash } from 'node:crypto';
import { chmod, rm, writeFile } from 'node:fs/promises';
import http2 from 'node:http2';
import { request as tlsRequest } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Events, subscribe } from '../../src/core/events.ts';
import { collect, synthetic } from '../support/bytes.ts';
import { issued } from '../support/certificate.ts';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { gate } from '../support/fake-upstream.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Answer, type AskOptions, ask, type Headers } from '../support/http.ts';
import { parseMetrics } from '../support/metrics.ts';
import { eventually } from '../support/wait.ts';
import { missingPrograms } from './image-clients.ts';
import {
  folderFor,
  freePort,
  type Relay,
  type ReverseProxy,
  type Surroundings,
  startCaddy,
  startNginx,
  startRelay,
} from './reverse-proxies.ts';

const absent = missingPrograms('nginx', 'caddy');
const size = 3_000_000;
const bytes = collect(synthetic(size));
const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

let folder: TemporaryFolder;
let registry: FakeRegistry;
let ca = '';
let around: Omit<Surroundings, 'larderPort'>;
let server: HostedServer;
let below: HostedServer;
let belowPort = 0;
let alice: Headers;
const closing: (() => Promise<void>)[] = [];

const portOf = ({ root }: HostedServer): number => Number(new URL(root).port);

async function serverIn(name: string, more: Readonly<Record<string, unknown>>): Promise<HostedServer> {
  const place = await folderFor(folder.path, name);
  const inner = [{ remote: 'inner' }];
  const started = await startHosted({
    format: 'npm',
    folder: place,
    upstreams: { inner: { url: registry.url } },
    repositories: {
      files: { format: 'generic', sources: [{ hosted: true }] },
      images: { format: 'oci', sources: [{ hosted: true }] },
      maven: { format: 'maven', sources: [{ hosted: true }] },
    },
    orgs: {
      public: {
        repositories: { npm: { format: 'npm', sources: inner }, files: { format: 'generic', sources: inner } },
        access: [{ who: ['everyone'], may: ['read'] }],
      },
    },
    server: { trustedProxies: ['127.0.0.1/32'], handOff: {}, ...more },
  });
  closing.push(() => started.close());
  return started;
}

beforeAll(async () => {
  if (absent) return;
  folder = await temporaryFolder('larder-proxies');
  closing.push(() => folder.remove());
  registry = await startFakeRegistry();
  closing.push(() => registry.close());
  registry.publish({ name: '@scope/left-pad', version: '1.3.0' });
  const { ca: authority, cert, key } = issued();
  ca = authority;
  const [certFile, keyFile] = [join(folder.path, 'proxy.crt'), join(folder.path, 'proxy.key')];
  await Promise.all([writeFile(certFile, cert), writeFile(keyFile, key)]);
  server = await serverIn('root', {});
  around = { folder: folder.path, certificate: { certFile, keyFile }, storage: join(server.folder, 'data') };
  belowPort = await freePort();
  below = await serverIn('below', { publicUrl: `https://localhost:${belowPort}/larder` });
  alice = { authorization: `Bearer ${await server.token('alice')}` };
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

const get = (url: string, headers: Headers = {}, options: AskOptions = {}): Promise<Answer> =>
  ask(url, { ca, headers, ...options });

interface Setting {
  readonly name: string;
  readonly start: (around: Surroundings) => Promise<ReverseProxy>;
  readonly path: string;
  readonly to: () => HostedServer;
  /** Whether container clients find their way. */
  readonly images: boolean;
}

const nginx = (block: string) => (at: Surroundings) => startNginx(block, at);
const caddy = (block: string) => (at: Surroundings) => startCaddy(block, at);
const root = { path: '', to: () => server, images: true };
const settings: readonly Setting[] = [
  { name: 'nginx', start: nginx('root'), ...root },
  { name: 'nginx with hand-off', start: nginx('hand-off'), ...root },
  { name: 'nginx, below a path', start: nginx('path'), path: '/larder', to: () => below, images: true },
  { name: 'nginx, taking a path off', start: nginx('prefix'), path: '/larder', to: () => server, images: false },
  { name: 'Caddy', start: caddy('root'), ...root },
  { name: 'Caddy, below a path', start: caddy('path'), path: '/larder', to: () => below, images: true },
  { name: 'Caddy, taking a path off', start: caddy('prefix'), path: '/larder', to: () => server, images: false },
];

describe.skipIf(absent).each(settings)('$name', ({ name, start, path, to, images }) => {
  let relay: Relay;
  let proxy: ReverseProxy;
  let base = '';
  const ends: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    relay = await startRelay(portOf(to()));
    ends.push(() => relay.close());
    proxy = await start({ ...around, larderPort: relay.port, ...(to() === below ? { port: belowPort } : {}) });
    ends.push(() => proxy.close());
    base = `${proxy.origin}${path}`;
  });

  afterAll(async () => {
    for (const end of ends.reverse()) await end();
  });

  test('passes names on as they were written, and answers hold the public address', async () => {
    const answer = await get(`${base}/public/npm/@scope%2fleft-pad`);
    expect(answer.status, answer.text()).toBe(200);
    expect(relay.asked()).toMatch(/GET \S*\/public\/npm\/@scope%2fleft-pad HTTP\/1\.1/);
    const { versions } = answer.json() as { versions: Record<string, { dist: { tarball: string } }> };
    const tarball = versions['1.3.0']?.dist.tarball ?? '';
    expect(tarball).toMatch(`${base}/public/npm/@scope/left-pad/-/`);
    expect((await get(tarball)).status).toBe(200);
  });

  test('believes no client about addresses', async () => {
    const remotes: string[] = [];
    onTestFinished(subscribe('request', ({ url, remote }) => url.includes('?spoofed') && remotes.push(remote)));
    const answer = await get(`${base}/public/npm/@scope%2fleft-pad?spoofed`, {
      forwarded: 'for=203.0.113.9;host=evil.example.com;proto=http',
      'x-forwarded-host': 'evil.example.com',
      'x-forwarded-proto': 'http',
      'x-forwarded-port': '666',
      'x-forwarded-prefix': '/evil',
      'x-forwarded-for': '203.0.113.9',
      'x-larder-hand-off': '/larder-blobs/',
    });
    expect(answer.text()).toContain(`"${base}/public/npm/@scope/left-pad/-/`);
    await eventually('it is told', () => remotes.length > 0);
    expect(remotes).toEqual(['127.0.0.1']);
  });

  test('passes on what arrives before all of it has', async () => {
    const until = gate();
    const file = `/streamed-${name.replace(/\W+/g, '-')}.bin`;
    registry.upstream.at(file, { body: bytes, hold: { at: 1_000_000, until } });
    const seen = { through: 0, straight: 0 };
    const counting = (way: keyof typeof seen) => ({
      onData(piece: Buffer): void {
        seen[way] += piece.length;
      },
    });
    const answer = get(`${base}/public/files${file}`, {}, counting('through'));
    const straight = get(`${to().root}/public/files${file}`, {}, counting('straight'));
    // Larder keeps the last piece to itself, until it knows more; the proxy has nothing to keep.
    await eventually('all that Larder sends', () => seen.straight >= 900_000 && seen.through === seen.straight);
    until.open();
    expect([(await answer).status, (await straight).status]).toEqual([200, 200]);
    expect(seen).toEqual({ through: size, straight: size });
  });

  test('passes on bodies of requests before all of them are there, however large', async () => {
    const url = new URL(`${base}/acme/files/v1/${name.replace(/\W+/g, '-')}`);
    const early = Promise.withResolvers<number>();
    const outgoing = tlsRequest(url, { method: 'PUT', ca, agent: false, headers: { 'content-length': size } });
    outgoing.on('error', () => {});
    outgoing.on('response', (incoming) => {
      early.resolve(incoming.statusCode ?? 0);
      incoming.resume();
    });
    outgoing.write(bytes.subarray(0, 1_000_000));
    // Who may not publish hears so at once.
    expect(await early.promise).toBe(401);
    outgoing.destroy();
    const token = await to().token('alice');
    const answer = await get(url.href, { authorization: `Bearer ${token}` }, { method: 'PUT', body: bytes });
    expect(answer.status, answer.text()).toBe(201);
    // What a client says about sending files does not get to Larder.
    const read = await get(url.href, { authorization: `Bearer ${token}`, 'x-larder-hand-off': '/larder-blobs/' });
    expect(read.body.equals(bytes)).toBe(true);
  });

  test('keeps its connections to Larder', async () => {
    await get(`${base}/healthz`);
    const before = relay.connections;
    for (let i = 0; i < 20; i++) expect((await get(`${base}/public/npm/@scope%2fleft-pad`)).status).toBe(200);
    expect(relay.connections - before).toBeLessThan(3);
  });

  test('speaks HTTP/2 to clients', async () => {
    const session = http2.connect(proxy.origin, { ca });
    onTestFinished(() => void session.destroy());
    const stream = session.request({ ':path': `${path}/public/npm/@scope%2fleft-pad` });
    let text = '';
    stream.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
    await new Promise((done) => stream.once('end', done));
    expect(text).toContain(`"${base}/public/npm/@scope/left-pad/-/`);
  });

  test.runIf(images)('tells container clients where the token service is', async () => {
    const answer = await get(`${proxy.origin}/v2/acme/images/app/manifests/1`);
    expect(answer.status).toBe(401);
    const realm = /realm="([^"]+)"/.exec(String(answer.headers['www-authenticate']))?.[1];
    expect(realm).toBe(`${base}/token`);
    expect((await get(`${realm}?service=x&scope=repository:acme/images/app:pull`)).status).toBe(200);
  });
});

/** What a proxy and not Larder says, or says of the connection. */
const ofProxy = ['date', 'server', 'connection', 'keep-alive', 'alt-svc', 'x-request-id', 'transfer-encoding'];

function headersOf({ status, headers }: Answer): Record<string, unknown> {
  // A part says by itself that there are parts, and nginx leaves it at that.
  const silent = status === 206 ? [...ofProxy, 'accept-ranges'] : ofProxy;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !silent.includes(name)));
}

interface Sender {
  readonly name: string;
  /** Of the file's date it only knows the disk's: it leaves it out, and takes no range to be of the same file. */
  readonly knowsDates: boolean;
  readonly start: (around: Surroundings) => Promise<ReverseProxy>;
}

const senders: readonly Sender[] = [
  { name: 'nginx', start: nginx('hand-off'), knowsDates: true },
  { name: 'Caddy', start: caddy('hand-off'), knowsDates: false },
];

describe.skipIf(absent).each(senders)('$name sends files that', ({ name, start, knowsDates }) => {
  let relay: Relay;
  let proxy: ReverseProxy;
  const told: Events['request'][] = [];
  const ends: (() => void | Promise<void>)[] = [];
  const kept = `/kept-${name}.bin`;

  beforeAll(async () => {
    relay = await startRelay(portOf(server));
    ends.push(() => relay.close());
    proxy = await start({ ...around, larderPort: relay.port });
    ends.push(() => proxy.close());
    ends.push(subscribe('request', (event) => void told.push(event)));
    registry.upstream.at(kept, {
      body: bytes,
      contentType: 'text/plain',
      lastModified: 'Mon, 02 Nov 2026 10:00:00 GMT',
    });
    await stored(kept);
  });

  afterAll(async () => {
    for (const end of ends.reverse()) await end();
  });

  async function stored(path: string): Promise<void> {
    await eventually(`${path} is stored`, async () => {
      const answer = await ask(`${server.root}/public/files${path}`);
      return answer.headers['x-larder-cache'] === 'hit';
    });
  }

  /** How often a file was handed off while `work` ran, and came back. */
  async function handed(work: () => Promise<unknown>): Promise<{ readonly given: number; readonly returned: number }> {
    told.length = 0;
    await work();
    const count = (what: string): number => told.filter(({ handOff }) => handOff === what).length;
    return { given: count('given'), returned: count('returned') };
  }

  function compared(answer: Answer): Record<string, unknown> {
    const { 'last-modified': date, ...rest } = headersOf(answer);
    return knowsDates ? { date, ...rest } : rest;
  }

  const blobFile = (hex: string): string =>
    join(server.folder, 'data/blobs/v1/sha256', hex.slice(0, 2), hex.slice(2, 4), hex);

  test.each<[string, Headers, boolean]>([
    ['all of it', {}, true],
    ['gzip', { 'accept-encoding': 'gzip, br' }, true],
    ['the beginning', { range: 'bytes=0-99' }, true],
    ['the middle', { range: 'bytes=1000000-1999999' }, true],
    ['the end', { range: 'bytes=-7' }, true],
    ['what lies outside', { range: `bytes=${size}-` }, false],
    ['several parts', { range: 'bytes=0-1,5-6' }, false],
    ['a part of the same file', { range: 'bytes=5-9', 'if-range': `"${digest.replace(':', '-')}"` }, true],
    ['a part of the same date', { range: 'bytes=5-9', 'if-range': 'Mon, 02 Nov 2026 10:00:00 GMT' }, true],
    ['a part of another file', { range: 'bytes=5-9', 'if-range': '"another"' }, false],
    ['what is known', { 'if-none-match': `"${digest.replace(':', '-')}"` }, false],
    ['what is not known', { 'if-none-match': '"another"' }, true],
    ['what is newer', { 'if-modified-since': 'Mon, 01 Jun 2026 10:00:00 GMT' }, false],
    ['what has not changed', { 'if-modified-since': 'Mon, 02 Nov 2026 10:00:00 GMT' }, false],
    [
      'the rest, if it is the same',
      { range: 'bytes=9-', 'if-unmodified-since': 'Mon, 02 Nov 2026 10:00:00 GMT' },
      false,
    ],
  ])('are asked for: %s', async (_what, headers, isHanded) => {
    const straight = await ask(`${server.root}/public/files${kept}`, { headers });
    let through = straight;
    const before = relay.answeredBytes;
    const { given, returned } = await handed(async () => {
      through = await get(`${proxy.origin}/public/files${kept}`, headers);
    });
    if (!knowsDates && isHanded && headers['if-range']) {
      expect([through.status, through.body.equals(bytes)]).toEqual([200, true]);
      return;
    }
    expect({ status: through.status, ...compared(through) }).toEqual({
      status: straight.status,
      ...compared(straight),
    });
    expect(through.body.equals(straight.body)).toBe(true);
    expect(through.headers['x-request-id']).toMatch(/./);
    expect([given, returned]).toEqual([isHanded ? 1 : 0, 0]);
    if (!isHanded) return;
    expect(relay.answeredBytes - before).toBeLessThan(2000);
    expect(told[0]).toMatchObject({ status: straight.status, bytesSent: straight.body.length, handOff: 'given' });
  });

  test('are only asked about, without sending them', async () => {
    const through = await get(`${proxy.origin}/public/files${kept}`, {}, { method: 'HEAD' });
    const straight = await ask(`${server.root}/public/files${kept}`, { method: 'HEAD' });
    expect(headersOf(through)).toEqual(headersOf(straight));
    expect(through.headers['content-length']).toBe(String(size));
  });

  test('are asked for over HTTP/2', async () => {
    const session = http2.connect(proxy.origin, { ca });
    onTestFinished(() => void session.destroy());
    const { given } = await handed(async () => {
      const stream = session.request({ ':path': `/public/files${kept}` });
      const hash = createHash('sha256');
      for await (const piece of stream) hash.update(piece);
      expect(`sha256:${hash.digest('hex')}`).toBe(digest);
    });
    expect(given).toBe(1);
  });

  test('are named over connections that stay open', async () => {
    const before = relay.connections;
    const { given } = await handed(async () => {
      for (let i = 0; i < 10; i++) await get(`${proxy.origin}/public/files${kept}`, { range: 'bytes=0-9' });
    });
    expect([given, relay.connections - before < 3]).toEqual([10, true]);
  });

  test('were published here, for those who may read them, with the headers of their kind', async () => {
    const blob = `/v2/acme/images/app/blobs/${digest}`;
    const jar = '/acme/maven/org/example/tool/1.0/tool-1.0.jar';
    const upload = await ask(`${server.root}/v2/acme/images/app/blobs/uploads/?digest=${digest}`, {
      method: 'POST',
      headers: { ...alice, 'content-type': 'application/octet-stream' },
      body: bytes,
    });
    expect(upload.status, upload.text()).toBe(201);
    const put = await ask(`${server.root}${jar}`, { method: 'PUT', headers: alice, body: bytes });
    expect(put.status, put.text()).toBeLessThan(300);
    for (const path of [blob, jar]) {
      const straight = await ask(`${server.root}${path}`, { headers: alice });
      const { given } = await handed(async () => {
        const through = await get(`${proxy.origin}${path}`, alice);
        expect({ path, ...compared(through) }).toEqual({ path, ...compared(straight) });
        expect(through.body.equals(bytes)).toBe(true);
      });
      expect([path, given]).toEqual([path, 1]);
      const refused = await get(`${proxy.origin}${path}`);
      expect([refused.status, refused.body.length < 1000, refused.headers['x-accel-redirect']]).toEqual([
        401,
        true,
        undefined,
      ]);
    }
  });

  test('nobody gets by their name, whatever they say', async () => {
    const hex = digest.slice(7);
    const path = `/larder-blobs/sha256/${hex.slice(0, 2)}/${hex.slice(2, 4)}/${hex}`;
    for (const headers of [{}, { 'x-larder-hand-off': '/larder-blobs/' }, { 'x-accel-redirect': path }] as Headers[]) {
      const answer = await get(`${proxy.origin}${path}`, headers);
      expect([answer.status, answer.body.length < 1000]).toEqual([404, true]);
    }
  });

  test('are gone when it wants to open them: Larder fetches them once more', async () => {
    const gone = synthetic(size, 7);
    const path = `/gone-${name}.bin`;
    registry.upstream.at(path, { body: gone });
    await stored(path);
    const hex = createHash('sha256').update(collect(gone)).digest('hex');
    relay.before('/larder-blobs/sha256', () => rm(blobFile(hex)));
    const counts = await handed(async () => {
      const answer = await get(`${proxy.origin}/public/files${path}`);
      expect([answer.status, answer.complete, answer.body.equals(collect(gone))]).toEqual([200, true, true]);
    });
    expect([counts.given, registry.upstream.count(path)]).toEqual([1, 2]);
  });

  test('it may not open: Larder sends them, a part as well as all, and says so in a metric', async () => {
    const metric = async (): Promise<number> =>
      parseMetrics((await ask(`${server.root}/metrics`)).text()).sum('larder_handed_off_returned_total');
    const before = await metric();
    for (const headers of [{}, { range: 'bytes=10-19' }] as Headers[]) {
      relay.before('/larder-blobs/sha256', () => chmod(blobFile(digest.slice(7)), 0));
      const counts = await handed(async () => {
        const answer = await get(`${proxy.origin}/public/files${kept}`, headers);
        const expected = headers.range ? bytes.subarray(10, 20) : bytes;
        expect([answer.status, answer.body.equals(expected)]).toEqual([headers.range ? 206 : 200, true]);
      });
      expect(counts).toEqual({ given: 1, returned: 1 });
    }
    expect((await metric()) - before).toBe(2);
    // It had to be opened to the group again.
    await get(`${proxy.origin}/public/files${kept}`);
  });
});

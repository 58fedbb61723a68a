import { createServer, request as forward, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { selfSigned } from '../support/certificate.ts';
import { startFakeUpstream } from '../support/fake-upstream.ts';
import { deadPort, failureOf, heard, later, problemOf, textOf, upstreamAt } from './asking.ts';

interface FakeProxy {
  readonly url: string;
  /** Method, target and credentials of every request. */
  readonly seen: readonly string[];
}

interface ProxyOptions {
  /** Other than 200 refuses. */
  readonly status?: number;
  readonly stall?: boolean;
  /** Where a port really is. */
  readonly ports?: Readonly<Record<string, number>>;
}

/** Sends everything to 127.0.0.1, whatever name is asked for. */
async function startProxy(options: ProxyOptions = {}): Promise<FakeProxy> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const { status = 200, stall = false, ports = {} } = options;
  const note = ({ method, url, headers }: IncomingMessage): void => {
    seen.push(`${method} ${url} ${headers['proxy-authorization'] ?? '-'} ${headers.authorization ?? '-'}`);
  };
  const proxy = createServer((incoming, response) => {
    note(incoming);
    if (stall) return;
    if (status !== 200) {
      response.writeHead(status).end();
      return;
    }
    const target = new URL(incoming.url ?? '');
    const port = ports[target.port || '80'] ?? target.port;
    const options = { host: '127.0.0.1', port, path: target.pathname, headers: incoming.headers };
    incoming.pipe(
      forward({ ...options, method: incoming.method }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
        answer.on('close', () => answer.complete || response.destroy());
      }),
    );
  });
  proxy.on('connect', (incoming: IncomingMessage, socket: Socket) => {
    note(incoming);
    if (stall) return;
    if (status !== 200) {
      socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
      return;
    }
    const port = incoming.url?.split(':')[1] ?? '';
    const away = connect(ports[port] ?? Number(port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      away.pipe(socket).pipe(away);
    });
    away.on('error', () => socket.destroy());
    socket.on('error', () => away.destroy());
  });
  proxy.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  later(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => proxy.close(resolve));
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, seen };
}

async function startPair(secure: boolean) {
  const certificate = selfSigned();
  const server = await startFakeUpstream(secure ? { tls: certificate } : {});
  later(() => server.close());
  server.at('/x', { body: 'hello' });
  server.at('/slow', { body: 'hello', length: 10 });
  // A name only the proxy knows; the certificate is for localhost.
  const url = server.url.replace('127.0.0.1', secure ? 'localhost' : 'registry.example.com');
  return { server, url, ca: certificate.cert };
}

describe('behind an egress proxy', () => {
  it.each([
    ['plain http is forwarded', false],
    ['https is tunnelled', true],
  ])('%s, with names resolved there and each credential where it belongs', async (_what, secure) => {
    const { server, url, ca } = await startPair(secure);
    const proxy = await startProxy();
    const lookup = () => {
      throw new Error('Names are the business of the proxy');
    };
    const upstream = upstreamAt(
      url,
      { ca, proxy: proxy.url.replace('//', '//me:pw@'), auth: { bearer: 'secret' } },
      { lookup },
    );
    for (let n = 0; n < 3; n += 1) {
      expect(await textOf(await upstream.ask({ method: 'GET', url: `${url}/x` }))).toBe('hello');
    }
    const basic = `Basic ${Buffer.from('me:pw').toString('base64')}`;
    const port = new URL(url).port;
    expect(proxy.seen[0]).toBe(secure ? `CONNECT localhost:${port} ${basic} -` : `GET ${url}/x ${basic} Bearer secret`);
    expect(server.requests[0]?.headers.authorization).toBe('Bearer secret');
    expect(server.count()).toBe(3);
    if (secure) expect(server.requests[0]?.headers['proxy-authorization']).toBeUndefined();
  });

  it.each([
    [407, false, 'upstream_refused', 'proxy_auth'],
    [407, true, 'upstream_refused', 'proxy_auth'],
    [403, true, 'upstream_unavailable', 'proxy'],
    [502, true, 'upstream_unavailable', 'proxy'],
  ])('a refusal with %i (tunnel: %s) is told from one of the upstream', async (status, secure, code, kind) => {
    const { url, ca } = await startPair(secure);
    const proxy = await startProxy({ status });
    const failures = heard('upstream.failure');
    const upstream = upstreamAt(url, { ca, proxy: proxy.url, retries: 0 });
    const problem = await problemOf(upstream.ask({ method: 'GET', url: `${url}/x` }));
    expect(problem.code).toBe(code);
    expect(failures.map((failure) => failure.code)).toEqual([kind]);
  });

  it.each([false, true])('a proxy that stalls (tunnel: %s) does not hold us', async (secure) => {
    const { url, ca } = await startPair(secure);
    const proxy = await startProxy({ stall: true });
    const more = { ca, proxy: proxy.url, retries: 0, timeoutMs: 150, connectTimeoutMs: 150 };
    const problem = await problemOf(upstreamAt(url, more).ask({ method: 'GET', url: `${url}/x` }));
    expect(problem.code).toBe('upstream_unavailable');
  });

  it('a proxy that is not there makes the upstream unavailable', async () => {
    const { url, ca } = await startPair(true);
    const more = { ca, proxy: `http://127.0.0.1:${await deadPort()}`, retries: 0 };
    const problem = await problemOf(upstreamAt(url, more).ask({ method: 'GET', url: `${url}/x` }));
    expect(problem.code).toBe('upstream_unavailable');
    expect(problem.message).not.toContain('127.0.0.1');
  });

  it.each([false, true])('a body that breaks (tunnel: %s) has a code all the same', async (secure) => {
    const { url, ca } = await startPair(secure);
    const proxy = await startProxy();
    const reply = await upstreamAt(url, { ca, proxy: proxy.url }).ask({ method: 'GET', url: `${url}/slow` });
    expect(await failureOf(textOf(reply))).toMatchObject({ code: 'UPSTREAM_CUT' });
  });

  it.each(['http://127.0.0.1:1/', 'http://localhost:1/', 'http://metadata.google.internal/', 'http://redis:6379/'])(
    'a link to %s is refused, although the proxy would resolve it',
    async (link) => {
      const { url } = await startPair(false);
      const proxy = await startProxy();
      const upstream = upstreamAt(url, { proxy: proxy.url });
      const problem = await problemOf(upstream.ask({ method: 'GET', url: link, linked: true }));
      expect(problem.code).toBe('upstream_invalid');
      expect(proxy.seen).toEqual([]);
    },
  );

  it('credentials for http do not go to https on the same host, where no port tells them apart', async () => {
    const [plain, secure] = [await startPair(false), await startPair(true)];
    plain.server.at('/x', { status: 302, headers: { location: 'https://localhost/x' } });
    const proxy = await startProxy({ ports: { 80: plain.server.port, 443: secure.server.port } });
    const more = { ca: secure.ca, proxy: proxy.url, hosts: ['localhost'], auth: { bearer: 'secret' } };
    const reply = await upstreamAt('http://localhost', more).ask({ method: 'GET', url: 'http://localhost/x' });
    expect(await textOf(reply)).toBe('hello');
    expect(plain.server.requests[0]?.headers.authorization).toBe('Bearer secret');
    expect(secure.server.requests[0]?.headers.authorization).toBeUndefined();
  });

  it('a link to a public name is asked for through it', async () => {
    const { server, url } = await startPair(false);
    const proxy = await startProxy();
    const link = `http://cdn.example.net:${server.port}/x`;
    const upstream = upstreamAt(url, { proxy: proxy.url, auth: { bearer: 'secret' } });
    expect(await textOf(await upstream.ask({ method: 'GET', url: link, linked: true }))).toBe('hello');
    expect(proxy.seen).toEqual([`GET ${link} - -`]);
  });
});

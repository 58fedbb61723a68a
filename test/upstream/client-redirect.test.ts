import type { LookupFunction } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { Ask, UpstreamSettings, UpstreamsOptions } from '../../src/upstream/client.ts';
import { selfSigned } from '../support/certificate.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/fake-upstream.ts';
import { eventually } from '../support/wait.ts';
import { heard, later, problemOf, settingsFor, startRudeServer, textOf, upstreamAt, upstreamsFor } from './asking.ts';

async function fake(options: Parameters<typeof startFakeUpstream>[0] = {}): Promise<FakeUpstream> {
  const server = await startFakeUpstream(options);
  server.at('/end', { body: 'the end' });
  later(() => server.close());
  return server;
}

const to = (location: string, status = 302) => ({ status, headers: { location }, body: 'moved' });

/** What a server saw of credentials, in the order of its requests. */
function shown(server: FakeUpstream): (string | undefined)[] {
  return server.requests.map(({ path, headers }) => {
    const parts = [headers.authorization, headers.cookie].filter((part) => part !== undefined);
    return `${path} ${parts.join(' ') || '-'}`;
  });
}

const auth = { bearer: 'secret' };
const headers = { cookie: 'session=1' };

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308])('with %i is followed, with the same method', async (status) => {
    const server = await fake();
    server.at('/start', to('/middle', status));
    server.at('/middle', to('end?x=1#y', status));
    const upstream = upstreamAt(server.url);
    const reply = await upstream.ask({ method: 'GET', url: `${server.url}/start` });
    expect(await textOf(reply)).toBe('the end');
    expect(reply.url).toBe(`${server.url}/end?x=1`);
    const head = await upstream.ask({ method: 'HEAD', url: `${server.url}/start` });
    expect([head.status, head.url]).toEqual([200, `${server.url}/end?x=1`]);
    expect(server.requests.map(({ method }) => method)).toEqual(['GET', 'GET', 'GET', 'HEAD', 'HEAD', 'HEAD']);
  });

  it('takes headers of the request along', async () => {
    const server = await fake();
    server.at('/start', to('/end'));
    const range = { range: 'bytes=0-2', 'if-none-match': '"x"' };
    const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/start`, headers: range });
    reply.discard();
    expect(server.requests.at(-1)?.headers).toMatchObject({ ...range, via: '1.1 larder' });
  });

  it('needs no second place in the queue', async () => {
    const server = await fake();
    server.at('/start', to('/end'));
    const reply = await upstreamAt(server.url, { concurrency: 1, maxQueue: 0 }).ask({
      method: 'GET',
      url: `${server.url}/start`,
    });
    expect(await textOf(reply)).toBe('the end');
  });

  it('is followed five times and no more', async () => {
    const server = await fake();
    for (let n = 1; n < 7; n += 1) server.at(`/${n}`, to(n === 6 ? '/end' : `/${n + 1}`));
    const upstream = upstreamAt(server.url);
    expect(await textOf(await upstream.ask({ method: 'GET', url: `${server.url}/2` }))).toBe('the end');
    server.forget();
    const problem = await problemOf(upstream.ask({ method: 'GET', url: `${server.url}/1` }));
    expect(problem.code).toBe('upstream_invalid');
    expect(server.count()).toBe(6);
  });

  it('in a circle ends', async () => {
    const server = await fake();
    server.at('/a', to('/b'));
    server.at('/b', to('/a'));
    const problem = await problemOf(upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/a` }));
    expect(problem.code).toBe('upstream_invalid');
  });

  it('of a POST is not followed', async () => {
    const server = await fake();
    server.at('/start', to('/end', 307));
    const body = Buffer.from('{}');
    const problem = await problemOf(upstreamAt(server.url).ask({ method: 'POST', url: `${server.url}/start`, body }));
    expect(problem.code).toBe('upstream_invalid');
    expect(server.count('/end')).toBe(0);
  });

  it.each([
    'http://',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'http://user:pw@127.0.0.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://localhost:1/',
    'http://[::ffff:127.0.0.1]:1/',
  ])('to %s is refused', async (location) => {
    const server = await fake();
    server.at('/start', to(location));
    const upstream = upstreamAt(server.url, { concurrency: 1 });
    const problem = await problemOf(upstream.ask({ method: 'GET', url: `${server.url}/start` }));
    expect(problem.code).toBe('upstream_invalid');
    // The answer that led there is over and done with.
    expect(await textOf(await upstream.ask({ method: 'GET', url: `${server.url}/end` }))).toBe('the end');
  });

  it('to another port of this machine is refused, and with onlyHosts so is every other host', async () => {
    const [server, other] = [await fake(), await fake()];
    server.at('/start', to(`${other.url}/end`));
    const start: Ask = { method: 'GET', url: `${server.url}/start` };
    expect((await problemOf(upstreamAt(server.url).ask(start))).code).toBe('upstream_invalid');
    server.at('/start', to('http://8.8.8.8/end'));
    const strict = upstreamAt(server.url, { onlyHosts: true, hosts: ['cdn.example.net'] });
    expect((await problemOf(strict.ask(start))).code).toBe('upstream_invalid');
    expect(other.count()).toBe(0);
  });
});

describe('credentials', () => {
  async function three() {
    const [home, away] = [await fake(), await fake()];
    return { home, away, hosts: [`127.0.0.1:${away.port}`] };
  }

  it('go along while the redirect stays at home', async () => {
    const { home, hosts } = await three();
    home.at('/start', to('/end'));
    const reply = await upstreamAt(home.url, { auth, hosts }).ask({ method: 'GET', url: `${home.url}/start`, headers });
    reply.discard();
    expect(shown(home)).toEqual(['/start Bearer secret session=1', '/end Bearer secret session=1']);
  });

  it('are dropped when it leads to another port of the same host', async () => {
    const { home, away, hosts } = await three();
    home.at('/start', to(`${away.url}/end`));
    const reply = await upstreamAt(home.url, { auth, hosts }).ask({ method: 'GET', url: `${home.url}/start`, headers });
    expect(await textOf(reply)).toBe('the end');
    expect(shown(home)).toEqual(['/start Bearer secret session=1']);
    expect(shown(away)).toEqual(['/end -']);
  });

  it('stay off when it leads back home', async () => {
    const { home, away, hosts } = await three();
    home.at('/start', to(`${away.url}/bounce`));
    away.at('/bounce', to(`${home.url}/again`));
    home.at('/again', to('/end'));
    const reply = await upstreamAt(home.url, { auth, hosts }).ask({ method: 'GET', url: `${home.url}/start`, headers });
    expect(await textOf(reply)).toBe('the end');
    expect(shown(home)).toEqual(['/start Bearer secret session=1', '/again -', '/end -']);
    expect(shown(away)).toEqual(['/bounce -']);
  });

  it('do not go to a host that a document links to, nor home from there', async () => {
    const { home, away, hosts } = await three();
    away.at('/file', to(`${home.url}/end`));
    const upstream = upstreamAt(home.url, { auth, hosts });
    const reply = await upstream.ask({ method: 'GET', url: `${away.url}/file`, linked: true, headers });
    expect(await textOf(reply)).toBe('the end');
    expect(shown(away)).toEqual(['/file -']);
    expect(shown(home)).toEqual(['/end -']);
  });

  it('do not go to another origin even when nobody says that it is a link', async () => {
    const { home, away, hosts } = await three();
    const upstream = upstreamAt(home.url, { auth, hosts });
    (await upstream.ask({ method: 'GET', url: `${away.url}/end`, headers })).discard();
    expect(shown(away)).toEqual(['/end -']);
  });

  it('go to a link to the very origin of the upstream', async () => {
    const { home, hosts } = await three();
    const upstream = upstreamAt(`${home.url}/npm`, { auth, hosts });
    (await upstream.ask({ method: 'GET', url: `${home.url}/end`, linked: true })).discard();
    expect(shown(home)).toEqual(['/end Bearer secret']);
  });

  it('are still off after a retry', async () => {
    const { home, away, hosts } = await three();
    home.at('/start', to(`${away.url}/shaky`));
    away.at('/shaky', { status: 503 }, { body: 'ok' });
    const reply = await upstreamAt(home.url, { auth, hosts }).ask({ method: 'GET', url: `${home.url}/start`, headers });
    expect(await textOf(reply)).toBe('ok');
    expect(shown(away)).toEqual(['/shaky -', '/shaky -']);
    expect(shown(home)).toEqual(['/start Bearer secret session=1']);
  });

  it('are dropped between http and https of one host name', async () => {
    const certificate = selfSigned();
    const secure = await fake({ tls: certificate });
    const plain = await fake();
    plain.at('/start', to(`https://127.0.0.1:${secure.port}/end`));
    const more = { auth, hosts: ['127.0.0.1'], ca: certificate.cert };
    (await upstreamAt(plain.url, more).ask({ method: 'GET', url: `${plain.url}/start` })).discard();
    expect(shown(secure)).toEqual(['/end -']);
  });
});

describe('TLS', () => {
  it('trusts the configured authority and nobody unknown', async () => {
    const certificate = selfSigned();
    const server = await fake({ tls: certificate });
    const retries = heard('upstream.retry');
    const trusting = upstreamAt(server.url, { ca: certificate.cert });
    expect(await textOf(await trusting.ask({ method: 'GET', url: `${server.url}/end` }))).toBe('the end');
    const wary = upstreamAt(server.url);
    const problem = await problemOf(wary.ask({ method: 'GET', url: `${server.url}/end` }));
    expect(problem.code).toBe('upstream_invalid');
    expect(problem.message).toContain('ca');
    expect(retries).toEqual([]);
  });

  it('that the other side does not speak is its problem', async () => {
    const plain = await fake();
    const url = plain.url.replace('http:', 'https:');
    const failures = heard('upstream.failure');
    const problem = await problemOf(upstreamAt(url).ask({ method: 'GET', url: `${url}/end` }));
    expect(problem.code).toBe('upstream_invalid');
    expect(failures.map(({ code }) => code)).toEqual(['tls']);
  });

  it('is not given up by a redirect, unless the upstream never had it', async () => {
    const certificate = selfSigned();
    const secure = await fake({ tls: certificate });
    const plain = await fake();
    secure.at('/start', to(`${plain.url}/end`));
    plain.at('/start', to(`${secure.url}/start`));
    const more = { hosts: ['127.0.0.1'], ca: certificate.cert };
    const refused = upstreamAt(secure.url, more).ask({ method: 'GET', url: `${secure.url}/start` });
    expect((await problemOf(refused)).code).toBe('upstream_invalid');
    expect(plain.count('/end')).toBe(0);
    const followed = upstreamAt(plain.url, more).ask({ method: 'GET', url: `${plain.url}/start` });
    expect(await textOf(await followed)).toBe('the end');
  });
});

describe('a name that a document names', () => {
  /** Every name is on this machine, as a rebinding name would be the moment we connect. */
  const lookup: LookupFunction = (_name, options, callback) => {
    if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
    else callback(null, '127.0.0.1', 4);
  };

  function asking(home: FakeUpstream, more: Partial<UpstreamSettings> = {}, options: Partial<UpstreamsOptions> = {}) {
    return upstreamAt(home.url, more, { lookup, ...options });
  }

  it('is connected to only where its address is public', async () => {
    const home = await fake();
    const url = `http://cdn.example.net:${home.port}/end`;
    const failures = heard('upstream.failure');
    const problem = await problemOf(asking(home).ask({ method: 'GET', url, linked: true }));
    expect(problem.code).toBe('upstream_invalid');
    expect(problem.message).toContain('hosts');
    expect(failures.map(({ code }) => code)).toEqual(['forbidden']);
    expect(home.count()).toBe(0);
  });

  it('may be private when the operator named it, or when it is the upstream itself', async () => {
    const home = await fake();
    const url = `http://cdn.example.net:${home.port}/end`;
    const named = asking(home, { hosts: ['*.example.net'] });
    expect(await textOf(await named.ask({ method: 'GET', url, linked: true }))).toBe('the end');
    const itself = upstreamAt(`http://cdn.example.net:${home.port}/npm`, {}, { lookup });
    expect(await textOf(await itself.ask({ method: 'GET', url, linked: true }))).toBe('the end');
  });

  it('does not find the connection that another upstream was allowed to make', async () => {
    const home = await fake();
    const url = `http://cdn.example.net:${home.port}/end`;
    const upstreams = upstreamsFor({ lookup });
    const allowed = upstreams.open(settingsFor(`http://cdn.example.net:${home.port}`));
    expect(await textOf(await allowed.ask({ method: 'GET', url }))).toBe('the end');
    const stranger = upstreams.open(settingsFor(home.url));
    expect((await problemOf(stranger.ask({ method: 'GET', url, linked: true }))).code).toBe('upstream_invalid');
    expect(home.count('/end')).toBe(1);
  });

  it('that stands for many hosts does not leave one connection pool each behind', async () => {
    const server = await startRudeServer((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
    const upstream = upstreamAt(server.url, { hosts: ['*.example.net'] }, { lookup });
    for (let n = 0; n < 260; n += 1) {
      const url = `http://h${n}.example.net:${server.port}/x`;
      expect(await textOf(await upstream.ask({ method: 'GET', url, linked: true }))).toBe('ok');
    }
    expect(server.connections).toBe(260);
    await eventually('the oldest are closed', () => server.open <= 200);
  });
});

import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createClaims } from '../../src/core/claims.ts';
import type { EventName } from '../../src/core/events.ts';
import type { Ask, UpstreamSettings, UpstreamsOptions } from '../../src/upstream/client.ts';
import { createTokens } from '../../src/upstream/tokens.ts';
import { selfSigned } from '../support/certificate.ts';
import {
  type FakeUpstream,
  type Gate,
  gate,
  type Reply,
  type Script,
  type SeenRequest,
  startFakeUpstream,
} from '../support/fake-upstream.ts';
import { eventually } from '../support/wait.ts';
import {
  deadPort,
  failureOf,
  heard,
  later,
  problemOf,
  settingsFor,
  startRudeServer,
  textOf,
  upstreamAt,
  upstreamsFor,
} from './asking.ts';

const auth = { username: 'u', password: 'p' };
const basic = 'Basic dTpw';

async function fake(options: Parameters<typeof startFakeUpstream>[0] = {}): Promise<FakeUpstream> {
  const server = await startFakeUpstream(options);
  later(() => server.close());
  return server;
}

function nameIn(path: string): string {
  return path.split('/')[1] ?? '';
}

function challengeOf(realm: string, scope: string, more = ''): Reply {
  return {
    status: 401,
    headers: { 'www-authenticate': `Bearer realm="${realm}",service="registry.example",scope="${scope}"${more}` },
    body: 'who are you?',
  };
}

/**
 * A registry in which `/a/…` wants a token for the scope `repository:a:pull`, and the token server it names. Tokens
 * are `<scope>#<n>`, counted per server.
 */
async function registry(more: Partial<UpstreamSettings> = {}, options: Partial<UpstreamsOptions> = {}) {
  const [home, desk] = [await fake(), await fake()];
  const realm = `${desk.url}/token`;
  const valid = new Set<string>();
  let issued = 0;

  function issue(request: SeenRequest): string {
    issued += 1;
    const token = `${request.query.getAll('scope').join('+')}#${issued}`;
    valid.add(`Bearer ${token}`);
    return token;
  }

  desk.at('/token', (request) => ({ body: { token: issue(request), expires_in: 300 } }));
  home.otherwise((request) => {
    const scope = `repository:${nameIn(request.path)}:pull`;
    const { authorization = '' } = request.headers;
    return valid.has(authorization) && authorization.startsWith(`Bearer ${scope}#`)
      ? { body: `${request.method} ${request.path}`, etag: '"1"' }
      : challengeOf(realm, scope);
  });

  const settings = settingsFor(home.url, { hosts: [`127.0.0.1:${desk.port}`], ...more });
  const upstreams = upstreamsFor(options);
  const upstream = upstreams.open(settings);
  function to(path: string, about: string | undefined = nameIn(path)): Ask {
    return { method: 'GET', url: `${home.url}${path}`, ...(about === undefined ? {} : { about }) };
  }
  return {
    home,
    desk,
    realm,
    valid,
    issue,
    settings,
    upstreams,
    upstream,
    to,
    get: async (path: string, about?: string) => textOf(await upstream.ask(to(path, about))),
  };
}

/** What a server was asked, and with which credentials. */
function shown(server: FakeUpstream): string[] {
  return server.requests.map(({ path, headers }) => `${path} ${headers.authorization ?? '-'}`);
}

describe('a challenge', () => {
  it('is answered with a token for what it names, asked for at the server it names', async () => {
    const { home, desk, get } = await registry();
    expect(await get('/a/x')).toBe('GET /a/x');
    expect(shown(home)).toEqual(['/a/x -', '/a/x Bearer repository:a:pull#1']);
    expect(desk.requests).toMatchObject([
      { method: 'GET', headers: { accept: 'application/json', via: '1.1 larder' }, body: Buffer.alloc(0) },
    ]);
    expect([...(desk.requests[0]?.query ?? [])]).toEqual([
      ['service', 'registry.example'],
      ['scope', 'repository:a:pull'],
    ]);
  });

  it('of several scopes asks for each of them', async () => {
    const { home, desk, realm, get } = await registry();
    home.at('/a/x', challengeOf(realm, 'repository:a:pull repository:b:pull,push'), { body: 'ok' });
    expect(await get('/a/x')).toBe('ok');
    expect(desk.requests[0]?.query.getAll('scope')).toEqual(['repository:a:pull', 'repository:b:pull,push']);
  });

  it.each(['HEAD', 'POST'] as const)('of a %s is answered with the same request', async (method) => {
    const { home, upstream, to } = await registry();
    const body = Buffer.from('{"a":1}');
    const headers = { 'if-match': '"x"' };
    const reply = await upstream.ask({ ...to('/a/x'), method, headers, ...(method === 'POST' ? { body } : {}) });
    expect(reply.status).toBe(200);
    reply.discard();
    const sent = { method, headers, body: method === 'POST' ? body : Buffer.alloc(0) };
    expect(home.requests).toMatchObject([sent, sent]);
  });

  it.each<[string, readonly string[]]>([
    ['before', ['Bearer', 'Basic realm="r"']],
    ['after', ['Basic realm="r"', 'Bearer']],
  ])('%s one for Basic, in a header of its own, is the one that counts', async (_place, schemes) => {
    const desk = await fake();
    desk.at('/token', { body: { token: 'abc' } });
    const lines = schemes.map((scheme) =>
      scheme === 'Bearer' ? `Bearer realm="${desk.url}/token",service="r"` : scheme,
    );
    const home = await startRudeServer((socket, _nth, request) => {
      const isIn = /^authorization: Bearer abc$/im.test(request);
      const head = isIn ? ['200 OK'] : ['401 Unauthorized', ...lines.map((line) => `WWW-Authenticate: ${line}`)];
      socket.write(`HTTP/1.1 ${head.join('\r\n')}\r\nContent-Length: 2\r\n\r\nok`);
    });
    const upstream = upstreamAt(home.url, { auth, hosts: ['127.0.0.1'] });
    expect(await textOf(await upstream.ask({ method: 'GET', url: `${home.url}/x` }))).toBe('ok');
  });

  it.each([
    ['that says nothing', undefined],
    ['for Basic', 'Basic realm="r"'],
    ['whose realm is no address', 'Bearer realm="users",service="r"'],
    ['that is cut', 'Bearer realm="http://127.0.0.1/token'],
  ])('%s is a refusal, at once', async (_what, header) => {
    const { home, desk, upstream, to } = await registry({ auth });
    home.at('/a/x', { status: 401, headers: { 'www-authenticate': header } });
    const problem = await problemOf(upstream.ask(to('/a/x')));
    expect([problem.code, problem.cause]).toMatchObject(['upstream_refused', { code: 'HTTP_401' }]);
    expect([home.count(), desk.count()]).toEqual([1, 0]);
  });

  it('is not answered for a 403', async () => {
    const { home, desk, realm, upstream, to } = await registry();
    home.at('/a/x', { ...challengeOf(realm, 'repository:a:pull'), status: 403 });
    expect((await problemOf(upstream.ask(to('/a/x')))).code).toBe('upstream_refused');
    expect([home.count(), desk.count()]).toEqual([1, 0]);
  });

  it('that comes again for a new token is a refusal', async () => {
    const { home, desk, realm, upstream, to } = await registry();
    home.at('/a/x', challengeOf(realm, 'repository:a:pull', ',error="insufficient_scope"'));
    for (const asked of [2, 3]) {
      const problem = await problemOf(upstream.ask(to('/a/x')));
      expect([problem.code, problem.cause]).toMatchObject(['upstream_refused', { code: 'HTTP_401' }]);
      // The second time a new token is tried at once: rights may have been given in the meantime.
      expect(home.count()).toBe(asked);
      expect(desk.count()).toBe(asked - 1);
    }
  });

  it('that changes without end is a refusal', async () => {
    const { home, desk, realm, upstream, to } = await registry();
    home.at('/a/x', ({ nth }) => challengeOf(realm, `scope-${nth}`));
    expect((await problemOf(upstream.ask(to('/a/x')))).code).toBe('upstream_refused');
    expect([home.count(), desk.count()]).toEqual([3, 2]);
  });

  it('that asks for more than the first one did is answered too', async () => {
    const { home, desk, realm, get } = await registry();
    home.at('/a/x', challengeOf(realm, ''), challengeOf(realm, 'a'), ({ headers }) => ({
      body: headers.authorization ?? '',
    }));
    expect(await get('/a/x')).toBe('Bearer a#2');
    expect(desk.count()).toBe(2);
  });

  it('does not keep the place in the queue', async () => {
    const home = await fake();
    home.at('/token', { body: { token: 'abc' } });
    home.at('/x', ({ headers }) => (headers.authorization ? { body: 'ok' } : challengeOf(`${home.url}/token`, 'a')));
    const upstream = upstreamAt(home.url, { concurrency: 1, maxQueue: 0 });
    expect(await textOf(await upstream.ask({ method: 'GET', url: `${home.url}/x` }))).toBe('ok');
  });
});

describe('the next request', () => {
  it('about the same thing brings its token at once', async () => {
    const { home, desk, get } = await registry();
    await get('/a/x');
    home.forget();
    await get('/a/y');
    await get('/a/z');
    expect(shown(home)).toEqual(['/a/y Bearer repository:a:pull#1', '/a/z Bearer repository:a:pull#1']);
    expect(desk.count()).toBe(1);
  });

  it('about another thing brings nothing, and gets a token of its own', async () => {
    const { home, desk, get } = await registry();
    await get('/a/x');
    await get('/b/x');
    await get('/a/y');
    await get('/b/y');
    expect(shown(home)).toEqual([
      '/a/x -',
      '/a/x Bearer repository:a:pull#1',
      '/b/x -',
      '/b/x Bearer repository:b:pull#2',
      '/a/y Bearer repository:a:pull#1',
      '/b/y Bearer repository:b:pull#2',
    ]);
    expect(desk.count()).toBe(2);
  });

  it('that is not said to be about anything brings the token met last, and no other is lost by that', async () => {
    const { home, desk, upstream, to } = await registry();
    const get = async (path: string) => textOf(await upstream.ask({ method: 'GET', url: to(path).url }));
    await get('/a/x');
    await get('/a/y');
    await get('/b/x');
    await get('/a/z');
    expect(shown(home)).toEqual([
      '/a/x -',
      '/a/x Bearer repository:a:pull#1',
      '/a/y Bearer repository:a:pull#1',
      '/b/x Bearer repository:a:pull#1',
      '/b/x Bearer repository:b:pull#2',
      '/a/z Bearer repository:b:pull#2',
      '/a/z Bearer repository:a:pull#1',
    ]);
    expect(desk.count()).toBe(2);
  });

  it('of another upstream with the same address and credentials brings the same token', async () => {
    const { home, desk, upstreams, settings, get, to } = await registry({ auth });
    await get('/a/x');
    home.forget();
    const twin = upstreams.open({ ...settings, name: 'twin' });
    expect(await textOf(await twin.ask(to('/a/y')))).toBe('GET /a/y');
    expect(shown(home)).toEqual(['/a/y Bearer repository:a:pull#1']);
    expect(desk.count()).toBe(1);
  });

  it.each<[string, Partial<UpstreamSettings>]>([
    ['credentials', { auth: { username: 'other', password: 'p' } }],
    ['realms', { realms: [] }],
  ])('of another upstream with other %s does not', async (_what, other) => {
    const { desk, upstreams, settings, get, to } = await registry({ auth });
    const allowed = upstreams.open({ ...settings, realms: [desk.url] });
    (await allowed.ask(to('/a/x'))).discard();
    const stranger = upstreams.open({ ...settings, realms: [desk.url], ...other });
    (await stranger.ask(to('/a/x'))).discard();
    expect(desk.count()).toBe(2);
    expect(desk.requests[0]?.headers.authorization).toBe(basic);
    expect(desk.requests[1]?.headers.authorization).not.toBe(basic);
    await get('/a/y');
  });

  it('tells the upstream the same identity as before', async () => {
    const { upstream, get } = await registry({ auth });
    const { identity } = upstream;
    await get('/a/x');
    expect(upstream.identity).toBe(identity);
    expect(upstreamAt(upstream.url, { auth, realms: ['https://t.example'] }).identity).toBe(identity);
  });
});

describe('fifty requests at once', () => {
  it('about one thing cost one token', async () => {
    const { home, desk, get } = await registry({ concurrency: 50 });
    const stop = gate();
    desk.at('/token', ({ query }) => ({ holdHeaders: stop, body: { token: `${query.get('scope')}#0` } }));
    const valid = 'Bearer repository:a:pull#0';
    home.otherwise(({ headers }) =>
      headers.authorization === valid ? { body: 'ok' } : challengeOf(`${desk.url}/token`, 'repository:a:pull'),
    );
    const all = Promise.all(Array.from({ length: 50 }, (_, n) => get(`/a/${n}`)));
    await eventually('all were challenged', () => home.count() === 50);
    stop.open();
    expect(new Set(await all)).toEqual(new Set(['ok']));
    expect([home.count(), desk.count()]).toEqual([100, 1]);
  });

  it('with a token that was revoked cost one new token', async () => {
    const { home, desk, valid, get } = await registry({ concurrency: 50 });
    await get('/a/x');
    valid.clear();
    expect(await Promise.all(Array.from({ length: 50 }, (_, n) => get(`/a/${n}`)))).toHaveLength(50);
    expect(desk.count()).toBe(2);
    expect(home.count()).toBeLessThanOrEqual(102);
  });

  it('end one by one when their clients leave, and the token is there all the same', async () => {
    const { home, desk, issue, upstream, to, get } = await registry();
    const stop = gate();
    desk.at('/token', (request) => ({ holdHeaders: stop, body: { token: issue(request) } }));
    const leaving = new AbortController();
    const reason = new Error('gone');
    const left = failureOf(upstream.ask({ ...to('/a/x'), signal: leaving.signal }));
    await stop.reached;
    const stays = get('/a/y');
    leaving.abort(reason);
    expect(await left).toBe(reason);
    stop.open();
    expect(await stays).toBe('GET /a/y');
    expect(shown(home)).toEqual(['/a/x -', '/a/y Bearer repository:a:pull#1']);
    expect(desk.count()).toBe(1);
  });
});

describe('a token', () => {
  it.each<[string, object, number]>([
    ['that says how long', { token: 't', expires_in: 300 }, 270],
    ['that does not say how long', { token: 't' }, 50],
    ['that says too little', { token: 't', expires_in: 1 }, 50],
    ['that says less than nothing', { token: 't', expires_in: -5 }, 50],
    ['that says it in words', { token: 't', expires_in: '300' }, 50],
    ['that lasts for ever', { token: 't', expires_in: 1e300 }, 24 * 60 * 60 - 30],
    ['under its other name', { access_token: 't', expires_in: 100 }, 100 - 100 / 6],
    ['beside an empty one', { token: '', access_token: 't', expires_in: 100 }, 100 - 100 / 6],
  ])('%s is sent until shortly before its end, and then renewed beforehand', async (_what, answer, seconds) => {
    let now = Date.UTC(2026, 0, 1);
    const start = now;
    const { home, desk, realm, get } = await registry({}, { clock: () => now });
    desk.at('/token', { body: answer });
    home.otherwise(({ headers }) =>
      headers.authorization === 'Bearer t' ? { body: 'ok' } : challengeOf(realm, 'repository:a:pull'),
    );
    await get('/a/x');
    now = start + seconds * 1000 - 10;
    await get('/a/x');
    expect([home.count(), desk.count()]).toEqual([3, 1]);
    now = start + seconds * 1000;
    await get('/a/x');
    expect([home.count(), desk.count()]).toEqual([4, 2]);
  });

  it('that is refused is replaced once', async () => {
    const { home, desk, valid, get } = await registry();
    await get('/a/x');
    valid.clear();
    home.forget();
    await get('/a/y');
    expect(shown(home)).toEqual(['/a/y Bearer repository:a:pull#1', '/a/y Bearer repository:a:pull#2']);
    await get('/a/z');
    expect([home.count(), desk.count()]).toEqual([3, 2]);
  });

  it('that is refused without a word is forgotten, with the challenge', async () => {
    const { home, desk, valid, get } = await registry();
    await get('/a/x');
    valid.clear();
    home.forget();
    home.at('/a/y', { status: 401 }, challengeOf(`${desk.url}/token`, 'repository:a:pull'), { body: 'ok' });
    expect(await get('/a/y')).toBe('ok');
    expect(shown(home)).toEqual(['/a/y Bearer repository:a:pull#1', '/a/y -', '/a/y Bearer repository:a:pull#2']);
  });

  it('gives way to our credentials where only those are wanted', async () => {
    const { home, desk, get } = await registry({ auth });
    await get('/a/x');
    home.forget();
    home.at('/a/y', ({ headers }) =>
      headers.authorization === basic
        ? { body: 'ok' }
        : { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } },
    );
    expect(await get('/a/y')).toBe('ok');
    expect(await get('/a/y')).toBe('ok');
    expect(shown(home)).toEqual(['/a/y Bearer repository:a:pull#1', `/a/y ${basic}`, `/a/y ${basic}`]);
    expect(desk.count()).toBe(1);
  });

  it('outlasts trouble of the upstream', async () => {
    const { home, desk, get } = await registry();
    await get('/a/x');
    home.forget();
    home.at('/a/y', { status: 503 }, { body: 'ok' });
    expect(await get('/a/y')).toBe('ok');
    expect(shown(home)).toEqual(['/a/y Bearer repository:a:pull#1', '/a/y Bearer repository:a:pull#1']);
    expect(desk.count()).toBe(1);
  });

  it('and a challenge of thousands are not kept for ever', async () => {
    const tokens = createTokens(() => 0);
    for (let n = 0; n <= 1001; n += 1) {
      await tokens.obtain(`${n}`, async () => ({ value: `t${n}`, usableUntil: 1 }), {});
      expect(tokens.get('1')).toBe(n === 0 ? undefined : 't1');
    }
    expect(['0', '1', '2', '1001'].map((key) => tokens.get(key))).toEqual([undefined, 't1', undefined, 't1001']);
    const challenge = { realm: 'https://t.example', scopes: [], key: '' };
    for (let n = 0; n <= 5000; n += 1) tokens.challenges.set(`${n}`, challenge);
    expect(['0', '1', '5000'].map((key) => tokens.challenges.get(key))).toEqual([undefined, challenge, challenge]);
  });

  it('gets into no event and no error', async () => {
    const names: readonly EventName[] = [
      'upstream.response',
      'upstream.failure',
      'upstream.retry',
      'upstream.queue',
      'breaker',
      'fault',
    ];
    const events = names.map((name) => heard(name));
    const { home, desk, realm, upstream, to } = await registry({ auth });
    desk.at(
      '/token',
      { body: { token: 'top-secret' } },
      { body: '{"token":"top-secret' },
      { body: { token: 'top-secret\n' } },
    );
    home.otherwise(challengeOf(realm, 'repository:a:pull'));
    const told: unknown[] = [];
    for (let n = 0; n < 3; n += 1) told.push(await problemOf(upstream.ask(to('/a/x'))));
    expect(desk.count()).toBe(3);
    const text = inspect([told, events], { depth: 20, showHidden: true });
    expect(text).toContain('upstream_invalid');
    expect(text).not.toMatch(/top-secret|dTpw/);
  });
});

describe('our credentials', () => {
  it('go first, then to a token server on the same origin, and then the token goes in their place', async () => {
    const home = await fake();
    home.at('/token', ({ headers }) =>
      headers.authorization === basic ? { body: { token: 'abc' } } : { status: 401 },
    );
    home.otherwise(({ headers }) =>
      headers.authorization === 'Bearer abc' ? { body: 'ok' } : challengeOf(`${home.url}/token`, 'a'),
    );
    const upstream = upstreamAt(home.url, { auth });
    for (const path of ['/x', '/y']) {
      expect(await textOf(await upstream.ask({ method: 'GET', url: `${home.url}${path}` }))).toBe('ok');
    }
    expect(shown(home)).toEqual([`/x ${basic}`, `/token ${basic}`, '/x Bearer abc', '/y Bearer abc']);
  });

  it('go to a token server that is named under realms', async () => {
    const { home, desk, upstreams, settings, to } = await registry({ auth });
    const upstream = upstreams.open({ ...settings, realms: ['https://t.example', desk.url] });
    expect(await textOf(await upstream.ask(to('/a/x')))).toBe('GET /a/x');
    expect(shown(home)).toEqual([`/a/x ${basic}`, '/a/x Bearer repository:a:pull#1']);
    expect(shown(desk)).toEqual([`/token ${basic}`]);
  });

  it.each<[string, (desk: FakeUpstream) => readonly string[]]>([
    ['no other', () => []],
    ['its host with another port', () => ['http://127.0.0.1:1']],
    ['its host with another scheme', ({ port }) => [`https://127.0.0.1:${port}`]],
    ['its port with another host', ({ port }) => [`http://localhost:${port}`]],
  ])('do not go to a token server when %s is named', async (_what, realms) => {
    const { desk, upstreams, settings, to } = await registry({ auth });
    const upstream = upstreams.open({ ...settings, realms: realms(desk) });
    expect(await textOf(await upstream.ask(to('/a/x')))).toBe('GET /a/x');
    expect(shown(desk)).toEqual(['/token -']);
  });

  it('that were kept from a token server are said to be when we are refused', async () => {
    const { home, desk, realm, upstream, upstreams, settings, to } = await registry({ auth });
    desk.at('/token', ({ headers }) => (headers.authorization ? { body: { token: 'abc' } } : { status: 401 }));
    expect((await problemOf(upstream.ask(to('/a/x')))).message).toContain('"realms"');
    desk.at('/token', { body: { token: 'abc' } });
    home.otherwise(challengeOf(realm, 'repository:a:pull'));
    expect((await problemOf(upstream.ask(to('/a/x')))).message).toContain('"realms"');
    const allowed = upstreams.open({ ...settings, realms: [desk.url] });
    expect((await problemOf(allowed.ask(to('/a/x')))).message).not.toContain('realms');
    const anonymous = upstreamAt(home.url, { hosts: settings.hosts });
    expect((await problemOf(anonymous.ask(to('/a/x')))).message).not.toContain('realms');
  });

  it('that are a token already are not exchanged for one', async () => {
    const { home, desk, upstream, to } = await registry({ auth: { bearer: 'ours' } });
    const problem = await problemOf(upstream.ask(to('/a/x')));
    expect(problem.code).toBe('upstream_refused');
    expect(shown(home)).toEqual(['/a/x Bearer ours']);
    expect(desk.count()).toBe(0);
  });

  it('of a request itself go nowhere', async () => {
    const { home, desk, upstream, to } = await registry();
    (await upstream.ask({ ...to('/a/x'), headers: { authorization: 'Bearer of-the-client' } })).discard();
    expect(shown(home)).toEqual(['/a/x -', '/a/x Bearer repository:a:pull#1']);
    expect(shown(desk)).toEqual(['/token -']);
  });

  it('do not follow a token server that redirects to another origin', async () => {
    const { desk, upstreams, settings, to } = await registry({ auth });
    const away = await fake();
    desk.at('/token', { status: 307, headers: { location: `${away.url}/token` } });
    away.at('/token', { status: 307, headers: { location: `${desk.url}/again` } });
    desk.at('/again', { body: { token: 'abc' } });
    const hosts = [...settings.hosts, `127.0.0.1:${away.port}`];
    const upstream = upstreams.open({ ...settings, realms: [desk.url], hosts });
    await failureOf(upstream.ask(to('/a/x')));
    expect(shown(desk)).toEqual([`/token ${basic}`, '/again -']);
    expect(shown(away)).toEqual(['/token -']);
  });
});

describe('a token of the upstream', () => {
  it('does not follow a redirect to another origin, nor back from there', async () => {
    const { home, upstreams, settings, to, get } = await registry();
    const cdn = await fake();
    await get('/a/x');
    home.forget();
    home.at('/a/blob', { status: 307, headers: { location: `${cdn.url}/signed` } });
    cdn.at('/signed', { status: 302, headers: { location: `${home.url}/a/free` } });
    home.at('/a/free', { body: 'ok' });
    const hosts = [...settings.hosts, `127.0.0.1:${cdn.port}`];
    const upstream = upstreams.open({ ...settings, hosts });
    expect(await textOf(await upstream.ask(to('/a/blob')))).toBe('ok');
    expect(shown(home)).toEqual(['/a/blob Bearer repository:a:pull#1', '/a/free -']);
    expect(shown(cdn)).toEqual(['/signed -']);
  });

  it('is not asked for when the challenge comes from elsewhere, or from home by way of elsewhere', async () => {
    const { home, desk, realm, upstreams, settings, to, get } = await registry();
    const cdn = await fake();
    await get('/a/x');
    desk.forget();
    home.at('/a/away', { status: 307, headers: { location: `${cdn.url}/signed` } });
    home.at('/a/back', { status: 307, headers: { location: `${cdn.url}/back` } });
    cdn.at('/signed', challengeOf(realm, 'repository:other:pull'));
    cdn.at('/back', { status: 302, headers: { location: `${home.url}/a/closed` } });
    const upstream = upstreams.open({ ...settings, hosts: [...settings.hosts, `127.0.0.1:${cdn.port}`] });
    for (const path of ['/a/away', '/a/back']) {
      expect((await problemOf(upstream.ask(to(path)))).code).toBe('upstream_refused');
    }
    const link: Ask = { method: 'GET', url: `${cdn.url}/signed`, linked: true, about: 'a' };
    expect((await problemOf(upstream.ask(link))).code).toBe('upstream_refused');
    expect(shown(cdn)).toEqual(['/signed -', '/back -', '/signed -']);
    expect(home.requests.at(-1)).toMatchObject({ path: '/a/closed', nth: 1 });
    expect(home.requests.at(-1)?.headers.authorization).toBeUndefined();
    expect(desk.count()).toBe(0);
  });

  it('follows a redirect at home', async () => {
    const { home, get } = await registry();
    home.at('/a/x', { status: 302, headers: { location: '/a/y' } });
    expect(await get('/a/x')).toBe('GET /a/y');
    expect(shown(home)).toEqual(['/a/x -', '/a/y -', '/a/y Bearer repository:a:pull#1']);
  });
});

describe('a token server', () => {
  it.each<[string, (desk: FakeUpstream) => string, RegExp]>([
    ['at a private address', ({ url }) => `${url}/token`, /not a public address.*"hosts"/],
    ['in the cloud', () => 'http://169.254.169.254/token', /not a public address/],
    ['that is called localhost', ({ port }) => `http://localhost:${port}/token`, /not a public address/],
    ['with credentials in its address', ({ port }) => `http://u:p@127.0.0.1:${port}/token`, /carries credentials/],
  ])('%s is not gone to, unless it is named under hosts', async (_what, realmAt, message) => {
    const { home, desk, upstreams, settings, to } = await registry({ auth });
    home.otherwise(challengeOf(realmAt(desk), 'a'));
    // Not even when it may be shown our credentials.
    const upstream = upstreams.open({ ...settings, hosts: [], realms: [desk.url] });
    const problem = await problemOf(upstream.ask(to('/a/x')));
    expect(problem.code).toBe('upstream_invalid');
    expect(problem.message).toMatch(/^Asked for a token, the upstream "inner" /);
    expect(problem.message).toMatch(message);
    expect(desk.count()).toBe(0);
  });

  it('without https is not gone to for an upstream that has it, not even through a redirect', async () => {
    const certificate = selfSigned();
    const [secure, plain] = [await fake({ tls: certificate }), await fake()];
    plain.at('/token', { body: { token: 'abc' } });
    secure.at('/token', { status: 302, headers: { location: `${plain.url}/token` } });
    const upstream = upstreamAt(secure.url, { ca: certificate.cert, hosts: ['127.0.0.1'], realms: [plain.url] });
    for (const realm of [`${plain.url}/token`, `${secure.url}/token`]) {
      secure.at('/x', challengeOf(realm, 'a'));
      const problem = await problemOf(upstream.ask({ method: 'GET', url: `${secure.url}/x` }));
      expect(problem.code).toBe('upstream_invalid');
      expect(problem.message).toContain('without');
    }
    expect(secure.count('/token')).toBe(1);
    expect(plain.count()).toBe(0);
  });

  it.each<[string, Script]>([
    ['no JSON', { body: '<html>' }],
    ['nothing', { body: '' }],
    ['a list', { body: '[]' }],
    ['null', { body: 'null' }],
    ['a text', { body: '"abc"' }],
    ['no token', { body: { expires_in: 300 } }],
    ['an empty token', { body: { token: '' } }],
    ['a token that is a number', { body: { token: 5 } }],
    ['a token that would end the header', { body: { token: 'a\r\nx-admin: 1' } }],
    ['a token of two words', { body: { token: 'a b' } }],
    ['a token longer than servers take', { body: { token: 'a'.repeat(17_000) } }],
    ['more than 64 KiB', { body: { token: 'abc', junk: 'a'.repeat(70_000) } }],
    ['endless text', { body: Buffer.alloc(1_000_000, ' '), length: false }],
    ['coded bytes nobody asked for', { body: { token: 'abc' }, coding: 'gzip' }],
    ['a page that is not there', { status: 404 }],
    ['a token on a page that is not there', { status: 404, body: { token: 'abc' } }],
    ['a method that is not allowed', { status: 405 }],
    ['nothing new', { status: 304 }],
    ['a redirect to nowhere', { status: 302 }],
  ])('that sends %s is invalid, and not asked again', async (_what, script) => {
    const { home, desk, upstream, to } = await registry();
    desk.at('/token', script);
    const problem = await problemOf(upstream.ask(to('/a/x')));
    expect(problem.code).toBe('upstream_invalid');
    expect(problem.message).toContain('inner');
    expect(problem.message).not.toContain(String(desk.port));
    expect([home.count(), desk.count()]).toEqual([1, 1]);
    await eventually('its answer is over', () => desk.inFlight === 0);
  });

  it.each([401, 403])('that answers %i refuses us', async (status) => {
    const { home, desk, upstream, to } = await registry();
    // It is not asked for a token to get a token with.
    desk.at('/token', { ...challengeOf(`${desk.url}/token`, 'b'), status });
    const problem = await problemOf(upstream.ask(to('/a/x')));
    expect([problem.code, problem.cause]).toMatchObject(['upstream_refused', { code: `HTTP_${status}` }]);
    expect([home.count(), desk.count()]).toEqual([1, 1]);
  });

  it.each<[string, Script, number, number]>([
    ['answers 500', { status: 500 }, 5, 1],
    ['answers 503 again and again', { status: 503 }, 5, 3],
    ['is busy for a while', { status: 503, headers: { 'retry-after': '17' } }, 17, 1],
    ['has had enough of us', { status: 429, headers: { 'retry-after': '30' } }, 30, 1],
    ['hangs up', { hangUp: true }, 5, 3],
    ['breaks off', { body: { token: 'abc' }, truncateAt: 5 }, 5, 1],
  ])('that %s is trouble that passes', async (_what, script, retryAfterSeconds, asked) => {
    const { home, desk, issue, upstream, to, get } = await registry();
    desk.at('/token', script);
    const problem = await problemOf(upstream.ask(to('/a/x')));
    expect([problem.code, problem.retryAfterSeconds]).toEqual(['upstream_unavailable', retryAfterSeconds]);
    expect(problem.message).toContain('Asked for a token, the upstream "inner" ');
    expect([home.count(), desk.count()]).toEqual([1, asked]);
    if (retryAfterSeconds > 5) return;
    desk.at('/token', (request) => ({ body: { token: issue(request) } }));
    expect(await get('/a/x')).toBe('GET /a/x');
  });

  it('that asked us to wait is not asked by anybody meanwhile, and the upstream may be', async () => {
    let now = Date.UTC(2026, 0, 1);
    const { home, desk, issue, upstream, to, get } = await registry({}, { clock: () => now });
    home.at('/free', { body: 'free' });
    desk.at('/token', { status: 429, headers: { 'retry-after': '30' } }, (request) => ({
      body: { token: issue(request) },
    }));
    await problemOf(upstream.ask(to('/a/x')));
    now += 10_000;
    const problem = await problemOf(upstream.ask(to('/b/x')));
    expect([problem.code, problem.retryAfterSeconds]).toEqual(['upstream_unavailable', 20]);
    expect(desk.count()).toBe(1);
    expect(await get('/free')).toBe('free');
    now += 20_000;
    expect(await get('/a/x')).toBe('GET /a/x');
  });

  it('that cannot be reached is trouble that passes', async () => {
    const { home, upstream, to } = await registry({ hosts: ['127.0.0.1'] });
    home.otherwise(challengeOf(`http://127.0.0.1:${await deadPort()}/token`, 'a'));
    const problem = await problemOf(upstream.ask(to('/a/x')));
    expect([problem.code, problem.retryAfterSeconds]).toEqual(['upstream_unavailable', 5]);
  });

  it.each<[string, Script]>([
    ['does not answer', { holdHeaders: gate() }],
    ['never comes to an end', { body: Buffer.alloc(60_000, ' '), drip: { bytes: 1, pauseMs: 20 } }],
  ])('that %s is left after the time-out', async (_what, script) => {
    const { desk, upstream, to } = await registry({ timeoutMs: 300 });
    desk.at('/token', script);
    const problem = await problemOf(upstream.ask(to('/a/x')));
    expect([problem.code, problem.retryAfterSeconds]).toEqual(['upstream_unavailable', 5]);
    expect(desk.count()).toBe(1);
  });

  it('has a breaker of its own', async () => {
    const breaker = { failures: 3, windowMs: 60_000, openMs: 30_000, probeTimeoutMs: 5000 };
    const { home, desk, upstream, to, get } = await registry({ breaker, retries: 0 });
    const breakers = heard('breaker');
    home.at('/free', { body: 'free' });
    desk.at('/token', { status: 500 });
    for (let n = 0; n < 5; n += 1) {
      expect((await problemOf(upstream.ask(to('/a/x')))).code).toBe('upstream_unavailable');
    }
    expect(desk.count()).toBe(3);
    expect(breakers).toEqual([{ origin: desk.url, state: 'open' }]);
    expect(await get('/free')).toBe('free');
  });

  it('that is replaced by another one is found, though the old one is gone', async () => {
    let now = Date.UTC(2026, 0, 1);
    const { home, desk, valid, upstream, to, get } = await registry({ hosts: ['127.0.0.1'] }, { clock: () => now });
    await get('/a/x');
    const next = await fake();
    next.at('/token', { body: { token: 'repository:a:pull#9' } });
    valid.add('Bearer repository:a:pull#9');
    home.otherwise(({ headers }) =>
      headers.authorization === 'Bearer repository:a:pull#9'
        ? { body: 'ok' }
        : challengeOf(`${next.url}/token`, 'repository:a:pull'),
    );
    await desk.stop();
    now += 300_000;
    expect((await problemOf(upstream.ask(to('/a/x')))).code).toBe('upstream_unavailable');
    expect(await get('/a/x')).toBe('ok');
  });

  it('is asked in turns, and nobody is turned away there who has waited already', async () => {
    const { desk, get } = await registry({ concurrency: 2, maxQueue: 50 });
    await Promise.all(Array.from({ length: 20 }, (_, n) => get(`/n${n}/x`)));
    expect(desk.count()).toBe(20);
    expect(desk.mostInFlight).toBeLessThanOrEqual(2);
  });
});

describe('a token server that organisations share', () => {
  /** Ten requests of one wait for it, the last of them for `n9`; `next` answers the one that is asked and says what is asked then. */
  async function flooded() {
    const { desk, issue, upstream, to } = await registry({ concurrency: 1 });
    const stops: Gate[] = [];
    later(() => {
      for (const stop of stops) stop.open();
    });
    desk.at('/token', (request) => {
      const stop = gate();
      stops.push(stop);
      return { body: { token: issue(request) }, holdHeaders: stop };
    });
    const [queue, responses] = [heard('upstream.queue'), heard('upstream.response')];
    const ask = (org: string, name: string): Promise<string> =>
      upstream.ask({ ...to(`/${name}/x`), claims: createClaims({ org, priority: 'client' }) }).then(textOf);
    const challenged = (count: number) =>
      eventually(`${count} were sent for a token`, () => {
        return responses.filter(({ status }) => status === 401).length === count;
      });
    // Those that are left at the end have nobody to ask.
    for (let n = 0; n < 10; n += 1) void failureOf(ask('acme', `n${n}`));
    await challenged(10);
    await eventually('all but one wait', () => queue.at(-1)?.waiting === 9);
    async function next(): Promise<string | null | undefined> {
      const before = desk.count();
      stops.at(-1)?.open();
      await eventually('the next one is asked', () => desk.count() > before);
      return desk.requests.at(-1)?.query.get('scope');
    }
    return { desk, ask, challenged, next };
  }

  it('is asked for the other one next', async () => {
    const { ask, challenged, next } = await flooded();
    const own = ask('beta', 'b');
    await challenged(11);
    expect(await next()).toBe('repository:b:pull');
    await next();
    expect(await own).toBe('GET /b/x');
  });

  it('is asked next for what the other one waits for too, and once', async () => {
    const { desk, ask, next } = await flooded();
    // What was challenged before brings its token along, so it waits for it at once.
    const own = ask('beta', 'n9');
    expect(await next()).toBe('repository:n9:pull');
    await next();
    expect(await own).toBe('GET /n9/x');
    expect(desk.requests.filter(({ query }) => query.get('scope') === 'repository:n9:pull')).toHaveLength(1);
  });
});

it('closing ends who was going to ask for a token', async () => {
  const { desk, upstreams, upstream, to } = await registry();
  const stop = gate();
  desk.at('/token', { holdHeaders: stop, body: { token: 'abc' } });
  const asked = problemOf(upstream.ask(to('/a/x')));
  await stop.reached;
  const closed = upstreams.close();
  stop.open();
  expect((await asked).code).toBe('busy');
  await closed;
});

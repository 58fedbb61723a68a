import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Issuer, startIssuer } from '../support/issuer.ts';

const sub = 'repo:acme/shop:ref:refs/heads/main';
let issuer: Issuer;
let server: HostedServer;

beforeAll(async () => {
  issuer = await startIssuer();
  server = await startHosted({
    format: 'npm',
    repositories: {
      images: { format: 'oci', sources: [{ hosted: true }] },
      open: { format: 'oci', sources: [{ hosted: true }] },
    },
    access: [
      { who: ['team:developers'], may: ['read', 'publish'] },
      { who: ['everyone'], may: ['read'], repositories: ['open'] },
      {
        who: [`ci:ci:repo:acme/*`],
        may: ['read', 'publish'],
        repositories: ['packages'],
        claims: { ref: 'refs/heads/main' },
      },
    ],
    org: { users: { alice: {}, adam: {}, rita: {}, nobody: {}, bob: { password: 'bobs password' } } },
    more: { issuers: { ci: { url: issuer.url, audience: 'larder' } } },
  });
});
afterAll(async () => {
  await server.close();
  await issuer.close();
});

const basic = (user: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`,
});
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function json(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>;
}

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${server.root}${path}`, { headers });

async function post(path: string, body: string | object, headers: Record<string, string> = {}): Promise<Response> {
  const isForm = typeof body === 'string';
  return fetch(`${server.root}${path}`, {
    method: 'POST',
    headers: { 'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json', ...headers },
    body: isForm ? body : JSON.stringify(body),
  });
}

const whoami = async (token: string) => json(await get('/api/v1/whoami', bearer(token)));

describe('the token service', () => {
  it('gives whoever shows a token of ours another one, which lives for minutes', async () => {
    const response = await get(
      '/token?service=localhost&scope=repository:acme/images/app:pull,push&account=alice',
      basic('alice', await server.token('alice')),
    );
    expect(response.headers.get('cache-control')).toBe('no-store');
    const given = await json(response);
    expect(given).toMatchObject({ expires_in: 900, access_token: given.token });
    expect(given).not.toHaveProperty('refresh_token');
    expect(await whoami(String(given.token))).toMatchObject({ kind: 'user', name: 'alice', org: 'acme' });
    expect((await get('/v2/acme/images/', bearer(String(given.token)))).status).toBe(200);
  });

  it.each<[string, (token: string) => string]>([
    ['a password', (token) => `grant_type=password&username=alice&password=${token}`],
    ['a refresh token', (token) => `grant_type=refresh_token&refresh_token=${token}`],
  ])('takes it by POST as %s', async (_name, form) => {
    const response = await post(
      '/token',
      `${form(await server.token('alice'))}&service=localhost&client_id=docker&scope=repository%3Aacme%2Fimages%2Fapp%3Apull`,
    );
    expect(response.status).toBe(200);
    const given = await json(response);
    expect(given.scope).toBe('repository:acme/images/app:pull');
    expect(await whoami(String(given.token))).toMatchObject({ name: 'alice' });
  });

  it('takes a user’s password, whatever the scope', async () => {
    for (const scope of ['', '&scope=repository:acme/images/app:pull', '&scope=repository:library/alpine:pull']) {
      const given = await json(await get(`/token?service=localhost${scope}`, basic('bob', 'bobs password')));
      expect(await whoami(String(given.token))).toMatchObject({ name: 'bob', org: 'acme' });
    }
    expect((await get('/token', basic('bob', 'wrong'))).status).toBe(401);
  });

  it.each<[string, Record<string, string>]>([
    ['nothing', {}],
    ['a login of Docker Hub', basic('dockerhubuser', 'dckr_pat_secret')],
    ['the anonymous pass', bearer('anonymous')],
  ])('gives whoever shows %s the pass of anonymous readers', async (_name, headers) => {
    const given = await json(await get('/token?scope=repository:acme/open/app:pull', headers));
    expect(given.token).toBe('anonymous');
    expect((await get('/v2/acme/open/', bearer('anonymous'))).status).toBe(200);
    expect((await get('/v2/acme/images/', bearer('anonymous'))).status).toBe(401);
  });

  it('refuses tokens of ours that do not count, in words that clients show', async () => {
    for (const headers of [basic('alice', await server.expiredToken()), bearer(await server.expiredToken())]) {
      const response = await get('/token?service=localhost', headers);
      expect(response.status).toBe(401);
      expect(await json(response)).toMatchObject({
        errors: [{ code: 'UNAUTHORIZED', message: expect.stringMatching(/^This token expired on /) }],
      });
    }
    const posted = await post('/token', 'grant_type=refresh_token&refresh_token=lrd_x');
    expect(posted.status).toBe(401);
  });

  it('is not what refuses them: they are refused everywhere, also where everybody may read', async () => {
    const expired = await server.expiredToken();
    for (const headers of [bearer(expired), basic('alice', expired), basic(expired, '')]) {
      const response = await get('/v2/acme/open/app/tags/list', headers);
      expect(response.status).toBe(401);
      expect(JSON.stringify(await json(response))).toMatch(/This token expired on /);
    }
    expect((await get('/v2/acme/open/app/tags/list', basic('hubuser', 'secret'))).status).toBe(404);
  });

  it('gives tokens of other organisations, too: what is asked decides', async () => {
    const given = await json(
      await get('/token?scope=repository:acme/images/app:pull', basic('x', await server.token('olga'))),
    );
    expect(await whoami(String(given.token))).toMatchObject({ name: 'olga', org: 'other' });
    expect((await get('/v2/acme/images/app/tags/list', bearer(String(given.token)))).status).toBe(404);
  });

  it('wants a form', async () => {
    expect((await post('/token', { grant_type: 'password' })).status).toBe(415);
  });
});

describe('whoami', () => {
  it('knows tokens wherever clients put them', async () => {
    const token = await server.token('alice', { may: ['read'], names: ['x'] });
    for (const headers of [bearer(token), basic('x', token), { authorization: token }, { 'x-nuget-apikey': token }]) {
      expect(await json(await get('/api/v1/whoami', headers))).toMatchObject({
        kind: 'user',
        name: 'alice',
        teams: ['developers'],
        token: { may: ['read'], names: ['x'] },
      });
    }
  });

  it('says nobody of nobody, and why a token does not count', async () => {
    expect(await json(await get('/api/v1/whoami'))).toEqual({ kind: 'anonymous' });
    const response = await get('/api/v1/whoami', bearer(await server.expiredToken()));
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer realm="Larder", Basic realm="Larder"');
    expect((await json(response)).error).toMatch(/^This token expired/);
  });
});

describe('an ID token of a CI job', () => {
  const idToken = (claims: object = {}) => issuer.token({ sub, aud: 'larder', ref: 'refs/heads/main', ...claims });

  it('is exchanged for one of ours, which may what rules say of the job', async () => {
    const given = await json(await post('/api/v1/oidc/exchange', { token: await idToken() }));
    expect(given).toMatchObject({ expiresInSeconds: 900, identity: { kind: 'ci', name: `ci:${sub}` } });
    const token = String(given.token);
    expect(await whoami(token)).toMatchObject({ kind: 'ci', claims: { ref: 'refs/heads/main' } });
    expect((await get('/acme/packages/anything', bearer(token))).status).toBe(404);
    expect((await get('/acme/packages/anything')).status).toBe(401);
    expect((await json(await get('/acme/packages/anything', bearer(token)))).error).not.toMatch(/no repository/);
    expect((await json(await get('/other/packages/anything', bearer(token)))).error).toMatch(/no repository/);
  });

  it.each<[string, () => Promise<string>, number, RegExp]>([
    ['is for somebody else', () => idToken({ aud: 'https://github.com/acme' }), 401, /made out for somebody else/],
    [
      'is of a job that no rule is about',
      () => idToken({ sub: 'repo:evil/x' }),
      403,
      /No access rule of this server is about ci:ci:repo:evil/,
    ],
    ['says what no rule wants', () => idToken({ ref: 'refs/heads/x' }), 403, /No access rule/],
    ['is none', async () => 'x', 401, /no JWT/],
  ])('is not, when it %s', async (_name, make, status, reason) => {
    const response = await post('/api/v1/oidc/exchange', { token: await make() });
    expect(response.status).toBe(status);
    expect((await json(response)).error).toMatch(reason);
  });

  it('is exchanged where npm does it, for that one package', async () => {
    const audience = `npm:${new URL(server.root).hostname}`;
    for (const name of ['@acme%2fshop', '@acme/shop']) {
      const response = await fetch(`${server.root}/-/npm/v1/oidc/token/exchange/package/${name}`, {
        method: 'POST',
        headers: bearer(await idToken({ aud: audience })),
      });
      expect(response.status).toBe(201);
      const { token } = await json(response);
      expect(await whoami(String(token))).toMatchObject({
        kind: 'ci',
        limits: { may: ['read', 'publish'], names: ['@acme/shop'] },
      });
    }
    const refused = await fetch(`${server.root}/-/npm/v1/oidc/token/exchange/package/x`, {
      method: 'POST',
      headers: bearer(await idToken({ aud: audience, sub: 'repo:evil/x' })),
    });
    expect(refused.status).toBe(403);
    expect((await json(refused)).message).toMatch(/No access rule/);
    for (const name of ['*', '@acme%2f*', 'a%2fb%2fc']) {
      const response = await fetch(`${server.root}/-/npm/v1/oidc/token/exchange/package/${name}`, {
        method: 'POST',
        headers: bearer(await idToken({ aud: audience })),
      });
      expect([400, 404]).toContain(response.status);
    }
  });

  it('is exchanged where twine and uv do it', async () => {
    const { audience } = await json(await get('/_/oidc/audience'));
    expect(audience).toBe('localhost');
    const response = await post('/_/oidc/mint-token', { token: await idToken({ aud: audience }) });
    expect(response.status).toBe(200);
    const minted = await json(response);
    expect(minted).toMatchObject({ success: true });
    expect(await whoami(String(minted.token))).toMatchObject({ kind: 'ci', limits: { may: ['read', 'publish'] } });
    const refused = await post('/_/oidc/mint-token', { token: await idToken({ sub: 'repo:evil/x' }) });
    expect(refused.status).toBe(422);
    expect(await json(refused)).toMatchObject({ errors: [{ code: 'invalid-publisher' }] });
  });

  it('is exchanged where gem does it', async () => {
    const below = await post('/acme/packages/api/v1/oidc/trusted_publisher/exchange_token', { jwt: await idToken() });
    expect(below.status).toBe(201);
    const response = await post('/api/v1/oidc/trusted_publisher/exchange_token', { jwt: await idToken() });
    expect(response.status).toBe(201);
    const given = await json(response);
    expect(given).toMatchObject({ name: `ci:${sub}`, scopes: ['push_rubygem'] });
    expect(Date.parse(String(given.expires_at))).toBeGreaterThan(Date.now());
    expect(await whoami(String(given.rubygems_api_key))).toMatchObject({ kind: 'ci' });
  });

  it('made out for another server is not taken because the sender says that this is it', async () => {
    const token = await idToken({ aud: 'npm:evil.example.com' });
    const asked = new URL(`${server.root}/api/v1/oidc/exchange`);
    const { request } = await import('node:http');
    const status = await new Promise<number | undefined>((done, fail) => {
      const sent = request(
        asked,
        { method: 'POST', headers: { host: 'evil.example.com', 'content-type': 'application/json' } },
        (response) => {
          response.resume();
          done(response.statusCode);
        },
      );
      sent.on('error', fail);
      sent.end(JSON.stringify({ token }));
    });
    expect(status).toBe(401);
  });

  it('buys no further tokens', async () => {
    const { token } = await json(await post('/api/v1/oidc/exchange', { token: await idToken() }));
    const login = await fetch(`${server.url}/-/user/org.couchdb.user:x`, {
      method: 'PUT',
      headers: { ...bearer(String(token)), 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'x', password: String(token) }),
    });
    expect(login.status).toBe(403);
  });
});

it('without issuers there is nothing to exchange', async () => {
  const plain = await startHosted({ format: 'npm' });
  try {
    for (const path of ['/api/v1/oidc/exchange', '/_/oidc/mint-token', '/-/npm/v1/oidc/token/exchange/package/x']) {
      expect((await fetch(`${plain.root}${path}`, { method: 'POST', body: '{}' })).status).toBe(404);
    }
    expect((await fetch(`${plain.root}/_/oidc/audience`)).status).toBe(404);
  } finally {
    await plain.close();
  }
});

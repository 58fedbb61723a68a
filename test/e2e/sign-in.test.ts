import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBrowser } from '../support/browser.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Issuer, startIssuer } from '../support/issuer.ts';

let issuer: Issuer;
let server: HostedServer;
const users = {
  alice: {},
  adam: {},
  rita: {},
  nobody: {},
  bob: { password: 'bobs password' },
  robot: { service: true },
};
const password = { user: 'bob', password: 'bobs password' };

beforeAll(async () => {
  issuer = await startIssuer({ clientSecret: 'a secret', terse: true });
  server = await startHosted({
    format: 'npm',
    org: { users },
    more: {
      signIn: {
        issuer: issuer.url,
        clientId: 'larder',
        clientSecret: 'a secret',
        org: 'acme',
        teams: { engineers: 'developers', bosses: ['admins', 'readers'] },
      },
    },
  });
});
afterAll(async () => {
  await server.close();
  await issuer.close();
});

async function begin(): Promise<{ readonly loginUrl: string; readonly doneUrl: string }> {
  const response = await fetch(`${server.url}/-/v1/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  expect(response.status).toBe(200);
  return (await response.json()) as { loginUrl: string; doneUrl: string };
}

const whoami = async (token: string) =>
  (await (
    await fetch(`${server.root}/api/v1/whoami`, { headers: { authorization: `Bearer ${token}` } })
  ).json()) as object;

describe('a login that npm began', () => {
  it('ends with a token once somebody signed in and allowed it', async () => {
    const { loginUrl, doneUrl } = await begin();
    const waiting = await fetch(doneUrl);
    expect(waiting.status).toBe(202);
    expect(Number(waiting.headers.get('retry-after'))).toBeGreaterThan(0);
    const browser = createBrowser();
    expect((await browser.open(loginUrl)).text).toContain('wants to log in to <b>acme</b>');
    const asked = await browser.submit('Sign in', password);
    expect(asked.text).toContain('bob of acme');
    expect(asked.text).toContain('everything that you may');
    expect((await browser.submit('Allow it')).text).toContain('You are logged in');
    const done = await fetch(doneUrl);
    expect(done.status).toBe(200);
    const { token } = (await done.json()) as { token: string };
    expect(await whoami(token)).toMatchObject({
      kind: 'user',
      name: 'bob',
      token: { description: 'Login with a browser' },
    });
    expect((await browser.open(loginUrl)).status).toBe(404);
    expect((await fetch(doneUrl)).status).toBe(404);
  });

  it('ends without one when it is refused', async () => {
    const { loginUrl, doneUrl } = await begin();
    const browser = createBrowser();
    await browser.open(loginUrl);
    await browser.submit('Sign in', password);
    expect((await browser.submit('Refuse')).text).toContain('The login is refused');
    expect((await fetch(doneUrl)).status).toBe(403);
  });

  it('is not for a member of another organisation to allow', async () => {
    const { loginUrl } = await begin();
    const browser = createBrowser();
    await browser.open(loginUrl);
    await browser.submit('Sign in', { user: '', password: await server.token('olga') });
    const answer = await browser.submit('Allow it');
    expect(answer.status).toBe(403);
    expect(answer.text).toContain('a member of other, and this login is to acme');
  });

  it('gives no more than the token that somebody signed in with', async () => {
    const { loginUrl, doneUrl } = await begin();
    const browser = createBrowser();
    await browser.open(loginUrl);
    const secret = await server.token('alice', { may: ['read'], names: ['@acme/*'] });
    const asked = await browser.submit('Sign in', { user: '', password: secret });
    expect(asked.text).toMatch(/<dt>May<\/dt><dd>read<\/dd>[\s\S]*<dd>@acme\/\*<\/dd>/);
    await browser.submit('Allow it');
    const { token } = (await (await fetch(doneUrl)).json()) as { token: string };
    expect(await whoami(token)).toMatchObject({ name: 'alice', token: { may: ['read'], names: ['@acme/*'] } });
  });
});

describe('the pages', () => {
  it('let nothing in that is not theirs, and are kept by nobody', async () => {
    const { headers, text } = await createBrowser().open(`${server.root}/ui/login`);
    expect(headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/=]+'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'$/,
    );
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('set-cookie')).toMatch(
      /^larder_visitor=[\w-]+; Path=\/ui; Max-Age=3600; HttpOnly; SameSite=Lax$/,
    );
    expect(text).not.toMatch(/<script|\son\w+=|style="/);
  });

  it.each(['/ui/login', '/larder/ui/login'])('are found at %s below a public address with a path', async (path) => {
    const behind = await startHosted({
      format: 'npm',
      org: { users },
      server: { publicUrl: 'https://packages.example.com/larder/' },
    });
    try {
      const response = await fetch(`${behind.root}${path}`);
      expect(response.status).toBe(200);
      expect(response.headers.get('set-cookie')).toMatch(/; Path=\/larder\/ui; .*; Secure$/);
      expect(await response.text()).toContain('action="https://packages.example.com/larder/ui/login"');
    } finally {
      await behind.close();
    }
  });

  it('say no more of a wrong password than of nobody', async () => {
    const browser = createBrowser();
    await browser.open(`${server.root}/ui/login`);
    for (const user of ['rita', 'zoe', '<b>']) {
      const answer = await browser.submit('Sign in', { user, password: 'wrong' });
      expect(answer.status).toBe(401);
      expect(answer.text).toContain(
        `There is no user ${user.replace('<', '&lt;').replace('>', '&gt;')} with this password.`,
      );
      expect(answer.text).not.toContain('<b>');
    }
    expect(browser.cookie('larder_session')).toBeUndefined();
  });

  it.each<[string, Record<string, string>, 'session' | 'visitor']>([
    ['without the key', { key: '' }, 'visitor'],
    ['with the key of another cookie', { key: 'x'.repeat(43) }, 'visitor'],
  ])('take no form %s', async (_name, fields) => {
    const browser = createBrowser();
    await browser.open(`${server.root}/ui/login`);
    expect((await browser.submit('Sign in', { ...password, ...fields })).status).toBe(403);
    expect(browser.cookie('larder_session')).toBeUndefined();
  });

  it('take no form that another site sends', async () => {
    const browser = createBrowser();
    const { text } = await browser.open(`${server.root}/ui/login`);
    const key = /name="key" value="([^"]+)"/.exec(text)?.[1] ?? '';
    const response = await fetch(`${server.root}/ui/login`, {
      method: 'POST',
      headers: { cookie: `larder_visitor=${browser.cookie('larder_visitor')}`, 'sec-fetch-site': 'cross-site' },
      body: new URLSearchParams({ ...password, key }),
    });
    expect(response.status).toBe(403);
  });

  it('list one’s tokens, end one, and sign out', async () => {
    const browser = createBrowser();
    const secret = await server.token('rita');
    const others = await server.token('adam');
    await browser.open(`${server.root}/ui/account`);
    const account = await browser.submit('Sign in', { user: 'x', password: secret });
    expect(account.url).toBe(`${server.root}/ui/account`);
    expect(account.text).toContain('rita of acme');
    expect(account.text).toContain('Teams: readers.');
    const id = /name="id" value="(\w+)"/.exec(account.text)?.[1] ?? '';
    expect(account.text).not.toContain(secret);
    const adams = (await server.larder.access.administration.tokens('acme', 'adam'))[0]?.id ?? '';
    expect((await browser.submit('Revoke', { id: adams })).status).toBe(404);
    expect(await whoami(others)).toMatchObject({ name: 'adam' });
    await browser.open(`${server.root}/ui/account`);
    // What was signed in with is gone, and with it the session.
    expect((await browser.submit('Revoke', { id })).url).toBe(`${server.root}/ui/login`);
    expect(await whoami(secret)).toHaveProperty('error');
    await browser.submit('Sign in', password);
    expect((await browser.submit('Sign out')).url).toBe(`${server.root}/ui/login`);
    expect((await browser.open(`${server.root}/ui/account`)).url).toBe(`${server.root}/ui/login`);
  });

  it('take no cookie that was made for something else', async () => {
    const browser = createBrowser();
    await browser.open(`${server.root}/ui/login`);
    const { access } = server.larder;
    const alice = await access.identify('acme', { kind: 'bearer', user: '', secret: await server.token('alice') });
    const sealed = await access.seal(alice);
    browser.setCookie('larder_session', sealed.token.slice('lrd_'.length));
    expect((await browser.open(`${server.root}/ui/account`)).url).toBe(`${server.root}/ui/login`);
    const session = await access.people.openSession(alice);
    expect(await access.identify('acme', { kind: 'bearer', user: '', secret: `lrd_${session}` })).toHaveProperty(
      'rejected',
    );
    browser.setCookie('larder_session', session);
    expect((await browser.open(`${server.root}/ui/account`)).text).toContain('alice of acme');
  });
});

describe('sign-in through an issuer', () => {
  const signIn = async (person: object, path = '/ui/login/openid') => {
    issuer.person = { ...person };
    const browser = createBrowser();
    return { browser, page: await browser.open(`${server.root}${path}`) };
  };
  const teamsOf = async (user: string) =>
    (await server.larder.access.administration.users('acme')).find(({ name }) => name === user)?.teams;

  it('is offered', async () => {
    expect((await createBrowser().open(`${server.root}/ui/login`)).text).toContain(
      '/ui/login/openid">Sign in with 127.0.0.1',
    );
  });

  it('makes a member of who is new, with the teams that the groups stand for', async () => {
    const { page } = await signIn({ sub: '7', preferred_username: 'carol', groups: ['engineers', 'other'] });
    expect(page.url).toBe(`${server.root}/ui/account`);
    expect(page.text).toContain('carol of acme');
    expect(page.text).toContain('Teams: developers.');
    await signIn({ sub: '7', preferred_username: 'carol', groups: ['bosses'] });
    expect(await teamsOf('carol')).toEqual(['admins', 'readers']);
    await signIn({ sub: '7', preferred_username: 'carol' });
    expect(await teamsOf('carol')).toEqual([]);
  });

  it('knows somebody by what the issuer calls them, whatever their name is now', async () => {
    await signIn({ sub: '8', preferred_username: 'dave' });
    const { page } = await signIn({ sub: '8', preferred_username: 'david' });
    expect(page.text).toContain('dave of acme');
  });

  it.each<[string, object, string]>([
    [
      'has the name of somebody else',
      { sub: '99', preferred_username: 'erin' },
      'The name erin belongs to somebody else here.',
    ],
    ['has the name of a service account', { sub: '9', preferred_username: 'robot' }, 'robot is a service account'],
    ['has no name', { sub: '10' }, 'is no name for a user here'],
    ['has a name that is none', { sub: '11', preferred_username: 'a b' }, 'is no name for a user here'],
  ])('lets nobody in who %s', async (_name, person, message) => {
    await signIn({ sub: 'erin', preferred_username: 'erin' });
    const { page, browser } = await signIn(person);
    expect(page.status).toBe(403);
    expect(page.text).toContain(message);
    expect(browser.cookie('larder_session')).toBeUndefined();
  });

  it('goes on with the login that a client began', async () => {
    const { loginUrl, doneUrl } = await begin();
    const code = new URL(loginUrl).searchParams.get('session');
    const { browser, page } = await signIn(
      { sub: '12', preferred_username: 'frank' },
      `/ui/login/openid?session=${code}`,
    );
    expect(page.text).toContain('frank of acme');
    await browser.submit('Allow it');
    const { token } = (await (await fetch(doneUrl)).json()) as { token: string };
    expect(await whoami(token)).toMatchObject({ name: 'frank' });
  });

  it('does not count that began in another browser, was changed, or was refused', async () => {
    issuer.person = { sub: '13', preferred_username: 'grace' };
    const begun = await fetch(`${server.root}/ui/login/openid`, { redirect: 'manual' });
    const cookie = begun.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    const back = await fetch(begun.headers.get('location') ?? '', { redirect: 'manual' });
    const callback = new URL(back.headers.get('location') ?? '');
    const ask = (url: URL | string, headers: Record<string, string>) => fetch(url, { headers, redirect: 'manual' });
    expect((await ask(callback, {})).status).toBe(401);
    const changed = new URL(callback);
    changed.searchParams.set('state', 'another');
    expect((await ask(changed, { cookie })).status).toBe(401);
    const refused = await ask(
      `${server.root}/ui/login/callback?error=access_denied&state=${callback.searchParams.get('state')}`,
      { cookie },
    );
    expect(refused.status).toBe(401);
    expect(await refused.text()).toContain('did not sign you in: access_denied');
    expect((await ask(callback, { cookie })).status).toBe(303);
    // A code counts once.
    expect((await ask(callback, { cookie })).status).toBe(401);
  });

  it('says that the issuer does not answer', async () => {
    const other = await startIssuer();
    const alone = await startHosted({
      format: 'npm',
      more: { signIn: { issuer: other.url, clientId: 'larder', org: 'acme' } },
    });
    try {
      other.down = true;
      expect((await fetch(`${alone.root}/ui/login/openid`)).status).toBe(503);
      other.down = false;
      expect((await fetch(`${alone.root}/ui/login/openid`, { redirect: 'manual' })).status).toBe(303);
    } finally {
      await alone.close();
      await other.close();
    }
  });
});

import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AccessControl } from '../../src/access/access.ts';
import type { OrgSettings } from '../../src/access/settings.ts';
import type { Shown } from '../../src/core/access.ts';
import type { Identity } from '../../src/core/identity.ts';
import { type AccessScene, openAccess, repositoryOf, settingsOf } from '../support/access.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';

const acme: Partial<OrgSettings> = {
  teams: { web: ['alice'] },
  users: { bob: { password: 'bobs password' }, robot: { service: true } },
  access: [{ who: ['members'], may: ['read'] }],
};
const by = { by: 'system' };
const minute = 60_000;
const day = 24 * 60 * minute;
const npm = repositoryOf('acme/npm');

let folder: TemporaryFolder;
let number = 0;
const open: AccessScene[] = [];

beforeAll(async () => {
  folder = await temporaryFolder('larder-access');
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
afterAll(() => folder.remove());

async function start(
  options: Parameters<typeof openAccess>[2] & { at?: string; orgs?: Record<string, Partial<OrgSettings>> } = {},
) {
  const {
    at = join(folder.path, String(number++)),
    orgs = { acme, other: { users: { olga: {} } } },
    ...rest
  } = options;
  await mkdir(at, { recursive: true });
  const scene = await openAccess(at, orgs, rest);
  open.push(scene);
  return { access: scene.access, at, close: () => scene.close() };
}

const basic = (user: string, secret: string): Shown => ({ kind: 'basic', user, secret });
const bearer = (secret: string): Shown => ({ kind: 'bearer', user: '', secret });

async function tokenOf(access: AccessControl, user = 'alice', more: object = {}): Promise<string> {
  return (await access.administration.createToken('acme', { user, ...more }, by)).token;
}

const reads = (access: AccessControl, identity: Identity): boolean => access.mayDo(npm, identity, 'read', 'x');

it('what was given for a password of the configuration ends with it', async () => {
  const orgsWith = (password: string) => settingsOf({ acme: { users: { bob: { password } } } }).orgs;
  const { access } = await start({ orgs: orgsWith('the first one') });
  const bob = await access.identify('acme', basic('bob', 'the first one'));
  const shown = bearer((await access.seal(bob)).token);
  const cookie = await access.people.openSession(bob);
  await access.update({ ...settingsOf({}), orgs: orgsWith('the first one') });
  expect(await access.identify('acme', shown)).toMatchObject({ name: 'bob' });
  expect(await access.people.session(cookie)).toMatchObject({ name: 'bob' });
  await access.update({ ...settingsOf({}), orgs: orgsWith('another one') });
  expect((await access.identify('acme', shown)).rejected).toMatch(/^The password of bob was changed/);
  expect(await access.people.session(cookie)).toBeUndefined();
});

it('a job’s short-lived token ends when its issuer is believed no more', async () => {
  const { orgs } = settingsOf({ acme: { access: [{ who: ['ci:forge:*'], may: ['read'] }] } });
  const forge = { url: 'https://forge.example', audiences: [] };
  const { access } = await start({ orgs, issuers: { forge } });
  const job: Identity = { kind: 'ci', name: 'forge:repo:acme/app', presented: true, claims: {} };
  const shown = bearer((await access.seal(job)).token);
  expect(await access.identify('acme', shown)).toMatchObject({ kind: 'ci' });
  await access.update(settingsOf(orgs, { issuers: { other: forge } }));
  expect((await access.identify('acme', shown)).rejected).toMatch(/not believed here any more/);
});

describe('what is shown', () => {
  it.each<[string, (token: string) => Shown]>([
    ['as a bearer', (token) => bearer(token)],
    ['as a password of any user', (token) => basic('__token__', token)],
    ['as a user name', (token) => basic(token, '')],
    ['as a user name with any password', (token) => basic(token, 'x-oauth-basic')],
    ['without a scheme', (token) => ({ kind: 'raw', user: '', secret: token })],
    ['in a header', (token) => ({ kind: 'header', user: '', secret: token })],
    ['with a line break behind it', (token) => basic('x', `${token}\n`)],
  ])('is a token %s', async (_name, show) => {
    const { access } = await start();
    const token = await tokenOf(access);
    expect(await access.identify('acme', show(token))).toMatchObject({ kind: 'user', name: 'alice', org: 'acme' });
  });

  it('is nothing, the anonymous pass or somebody else’s, and nobody is refused for it', async () => {
    const { access } = await start();
    expect(await access.identify('acme', undefined)).toEqual({ kind: 'anonymous' });
    for (const shown of [
      bearer('anonymous'),
      bearer('npm_0123456789'),
      basic('dockerhubuser', 'dckr_pat_x'),
      basic('alice', 'whatever'),
      basic('', ''),
      { kind: 'raw', user: '', secret: '' } as const,
    ]) {
      expect(await access.identify('acme', shown)).toEqual({ kind: 'anonymous', presented: true });
    }
  });

  it.each<[string, (token: string) => string, RegExp]>([
    ['mistyped', (token) => `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`, /mistyped/],
    ['cut off', (token) => token.slice(0, 20), /mistyped/],
    ['well-formed and unknown', () => `lrd_${'a'.repeat(30)}1yLcDB`, /no such token/],
    ['a sealed one of somebody else', () => 'lrd_eyJhbGciOiJIUzI1NiJ9.eyJ2Ijp7fX0.x', /short-lived token is damaged/],
    ['an unsigned sealed one', () => 'lrd_eyJhbGciOiJub25lIn0.eyJ2Ijp7fX0.', /short-lived token is damaged/],
  ])('is a token of ours that is %s, and is told so', async (_name, change, reason) => {
    const { access } = await start();
    const identity = await access.identify('acme', bearer(change(await tokenOf(access))));
    expect(identity).toMatchObject({ kind: 'anonymous', presented: true, rejected: expect.stringMatching(reason) });
  });

  it('is a token of another organisation: a stranger here', async () => {
    const { access } = await start();
    const { token } = await access.administration.createToken('other', { user: 'olga' }, by);
    const identity = await access.identify('acme', bearer(token));
    expect(identity).toMatchObject({ kind: 'user', name: 'olga', org: 'other' });
    expect(reads(access, identity)).toBe(false);
    expect(access.mayKnow(npm, identity)).toBe(false);
  });

  it('is a user’s password', async () => {
    const { access } = await start();
    const identity = await access.identify('acme', basic('bob', 'bobs password'));
    expect(identity).toEqual({ kind: 'user', name: 'bob', org: 'acme', presented: true });
    expect(await access.identify('', basic('bob', 'bobs password'))).toEqual(identity);
    expect(await access.identify('other', basic('bob', 'bobs password'))).toEqual({
      kind: 'anonymous',
      presented: true,
    });
    expect((await access.identify('acme', basic('bob', 'another'))).rejected).toMatch(
      /^There is no user bob with this password\.$/,
    );
  });

  it('is a password that was set, changed and taken away', async () => {
    const { access } = await start();
    await access.administration.setPassword('acme', 'alice', 'a first one', by);
    expect(await access.identify('acme', basic('alice', 'a first one'))).toMatchObject({ name: 'alice' });
    await access.administration.setPassword('acme', 'alice', 'a second one', by);
    expect(await access.identify('acme', basic('alice', 'a first one'))).toMatchObject({ kind: 'anonymous' });
    expect(await access.identify('acme', basic('alice', 'a second one'))).toMatchObject({ name: 'alice' });
    await access.administration.setPassword('acme', 'alice', undefined, by);
    expect(await access.identify('acme', basic('alice', 'a second one'))).toEqual({
      kind: 'anonymous',
      presented: true,
    });
  });

  it('is guessed from one place without keeping its owner out at another', async () => {
    const { access } = await start();
    const from = (address: string, password: string): Promise<Identity> =>
      access.identify('acme', { ...basic('bob', password), from: address });
    for (let nth = 0; nth < 6; nth++) await from('2001:db8::7:1', `guess ${nth}`);
    expect((await from('2001:db8::7:2', 'bobs password')).rejected).toMatch(/^Too many wrong passwords for bob/);
    expect(await from('2001:db8:1::1', 'bobs password')).toMatchObject({ kind: 'user', name: 'bob' });
    const all = await Promise.all(Array.from({ length: 40 }, (_, nth) => from('192.0.2.1', `other ${nth}`)));
    expect(all.filter(({ rejected }) => rejected?.startsWith('Too many passwords'))).toHaveLength(37);
  });

  it('is asked for with many requests at once by its owner', async () => {
    const { access } = await start();
    const shown = { ...basic('bob', 'bobs password'), from: '192.0.2.1' };
    const all = await Promise.all(Array.from({ length: 100 }, () => access.identify('acme', shown)));
    expect(all.filter(({ name }) => name === 'bob')).toHaveLength(100);
  });

  it('is guessed ever more slowly, and a password that was right a moment ago goes on being right', async () => {
    let now = Date.parse('2026-01-01');
    const { access } = await start({ now: () => now });
    await access.identify('acme', basic('bob', 'bobs password'));
    for (let i = 0; i < 5; i++) await access.identify('acme', basic('bob', `guess ${i}`));
    expect((await access.identify('acme', basic('bob', 'another guess'))).rejected).toMatch(/try again in 1 seconds/);
    expect(await access.identify('acme', basic('bob', 'bobs password'))).toMatchObject({ name: 'bob' });
    now += 2 * minute;
    expect(await access.identify('acme', basic('bob', 'bobs password'))).toMatchObject({ name: 'bob' });
  });
});

describe('a token', () => {
  it('ends when it expires, and says when that was', async () => {
    let now = Date.parse('2026-01-01T10:00:00Z');
    const { access } = await start({ now: () => now });
    const token = await tokenOf(access, 'alice', { expiresAt: now + minute });
    expect(await access.identify('acme', bearer(token))).toMatchObject({ name: 'alice' });
    now += minute;
    expect((await access.identify('acme', bearer(token))).rejected).toBe('This token expired on 2026-01-01 10:01 UTC.');
  });

  it('ends at once on every replica when one revokes it', async () => {
    const one = await start();
    const other = await start({ at: one.at });
    const { token, facts } = await one.access.administration.createToken('acme', { user: 'alice' }, by);
    expect(await other.access.identify('acme', bearer(token))).toMatchObject({ name: 'alice' });
    await one.access.administration.revokeToken('acme', facts.id, by);
    expect((await other.access.identify('acme', bearer(token))).rejected).toMatch(/^This token was revoked on/);
    await expect(other.access.administration.revokeToken('acme', 'nosuchid', by)).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('of a user who is removed counts no more, also when the name is given again', async () => {
    const { access } = await start();
    await access.administration.createUser('acme', { name: 'carol' }, by);
    const token = await tokenOf(access, 'carol');
    expect(reads(access, await access.identify('acme', bearer(token)))).toBe(true);
    await access.administration.removeUser('acme', 'carol', by);
    expect((await access.identify('acme', bearer(token))).rejected).toMatch(/revoked/);
    await access.administration.createUser('acme', { name: 'carol' }, by);
    expect((await access.identify('acme', bearer(token))).rejected).toMatch(/revoked/);
  });

  it('of a user whom the configuration drops counts no more', async () => {
    const { access } = await start();
    const token = await tokenOf(access, 'alice');
    const identity = await access.identify('acme', bearer(token));
    await access.update(settingsOf({ acme: { ...acme, teams: {} } }));
    expect((await access.identify('acme', bearer(token))).rejected).toMatch(/belongs to alice, who is no member/);
    expect(reads(access, identity)).toBe(false);
    await access.update(settingsOf({}));
    expect((await access.identify('acme', bearer(token))).rejected).toMatch(/no such token/);
  });

  it('needs a user, or makes one where it is told so', async () => {
    const { access } = await start();
    await expect(tokenOf(access, 'dora')).rejects.toMatchObject({ code: 'not_found' });
    const token = await tokenOf(access, 'dora', { create: 'service' });
    expect(await access.identify('acme', bearer(token))).toMatchObject({ kind: 'service', name: 'dora' });
  });

  it('is written nowhere', async () => {
    const { access, at, close } = await start();
    const token = await tokenOf(access);
    await access.identify('acme', bearer(token));
    await close();
    open.splice(0);
    const files = (await readdir(at, { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const bytes = await readFile(join(file.parentPath, file.name));
      expect(bytes.includes(token.slice(4)), file.name).toBe(false);
    }
  });

  it('tells when it was used last, to the minute', async () => {
    let now = Date.parse('2026-01-01T10:00:00Z');
    const { access } = await start({ now: () => now });
    const token = await tokenOf(access);
    const lastUse = async () => (await access.administration.tokens('acme', 'alice'))[0]?.lastUsedAt;
    expect(await lastUse()).toBeUndefined();
    await access.identify('acme', bearer(token));
    now += 30_000;
    await access.identify('acme', bearer(token));
    expect(await lastUse()).toBe('2026-01-01T10:00:00.000Z');
    now += minute;
    await access.identify('acme', bearer(token));
    expect(await lastUse()).toBe('2026-01-01T10:01:30.000Z');
  });
});

describe('a sealed token', () => {
  it('stands for what was shown for it, for a quarter of an hour', async () => {
    let now = Date.parse('2026-01-01T10:00:00Z');
    const { access } = await start({ now: () => now });
    const limits = { may: ['read'], names: ['x'] } as const;
    const shown = await access.identify('acme', bearer(await tokenOf(access, 'alice', limits)));
    const sealed = await access.seal(shown);
    expect(sealed).toMatchObject({ expiresInSeconds: 900, issuedAt: '2026-01-01T10:00:00.000Z' });
    expect(sealed.token).toMatch(/^lrd_eyJ[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(await access.identify('acme', bearer(sealed.token))).toEqual(shown);
    now += 899_000;
    expect(await access.identify('other', basic('x', sealed.token))).toEqual(shown);
    now += 2000;
    expect((await access.identify('acme', bearer(sealed.token))).rejected).toMatch(/has expired/);
  });

  it('ends with the token that it was given for', async () => {
    const { access } = await start();
    const { token, facts } = await access.administration.createToken('acme', { user: 'alice' }, by);
    const sealed = await access.seal(await access.identify('acme', bearer(token)));
    const again = await access.seal(await access.identify('acme', bearer(sealed.token)));
    await access.administration.revokeToken('acme', facts.id, by);
    expect((await access.identify('acme', bearer(sealed.token))).rejected).toMatch(/revoked/);
    expect((await access.identify('acme', bearer(again.token))).rejected).toMatch(/revoked/);
  });

  it('ends when the password that it was given for is changed', async () => {
    let now = Date.parse('2026-01-01T10:00:00Z');
    const { access } = await start({ now: () => now });
    const sealed = await access.seal(await access.identify('acme', basic('bob', 'bobs password')));
    expect(await access.identify('acme', bearer(sealed.token))).toMatchObject({ name: 'bob' });
    now += 5000;
    await access.administration.setPassword('acme', 'bob', 'another password', by);
    expect((await access.identify('acme', bearer(sealed.token))).rejected).toMatch(/password of bob was changed/);
  });

  it('does not live on by being sealed again', async () => {
    let now = Date.parse('2026-01-01T10:00:00Z');
    const { access } = await start({ now: () => now });
    let sealed = await access.seal(await access.identify('acme', basic('bob', 'bobs password')));
    for (let i = 0; i < 3; i++) {
      now += 290_000;
      sealed = await access.seal(await access.identify('acme', bearer(sealed.token)));
    }
    now += 31_000;
    expect((await access.identify('acme', bearer(sealed.token))).rejected).toMatch(/has expired/);
  });

  it('is the anonymous pass for nobody', async () => {
    const { access } = await start();
    expect(await access.seal({ kind: 'anonymous' })).toMatchObject({ token: 'anonymous' });
  });
});

describe('an organisation', () => {
  it('has the same users, tokens, rules and projects after a restart', async () => {
    const one = await start();
    const { administration } = one.access;
    await administration.createUser('acme', { name: 'carol' }, by);
    await administration.addMember('acme', 'web', 'carol', by);
    await administration.addRule('acme', { who: ['team:web'], may: ['publish'] }, by);
    await administration.setProject('acme', 'shop', { visibility: 'internal', members: {}, packages: ['npm:x'] }, by);
    const token = await tokenOf(one.access, 'carol');
    await one.close();
    open.splice(0);
    const { access } = await start({ at: one.at });
    const carol = await access.identify('acme', bearer(token));
    expect(access.mayDo(npm, carol, 'publish', 'y')).toBe(true);
    expect(await access.administration.users('acme')).toContainEqual({
      name: 'carol',
      kind: 'user',
      teams: ['web'],
      hasPassword: false,
      from: 'journal',
    });
    expect((await access.administration.projects('acme')).map(({ name }) => name)).toEqual(['shop']);
    expect((await access.describe(carol)).teams).toEqual(['web']);
  });

  it('knows of another process’s changes once it is asked to be ready', async () => {
    const one = await start();
    const other = await start({ at: one.at });
    const alice: Identity = { kind: 'user', name: 'alice', org: 'acme' };
    const { id = '' } = await one.access.administration.addRule('acme', { who: ['user:alice'], may: ['delete'] }, by);
    expect(other.access.isCurrent('acme')).toBe(false);
    await other.access.ready('acme');
    expect(other.access.isCurrent('acme')).toBe(true);
    expect(other.access.mayDo(npm, alice, 'delete', 'x')).toBe(true);
    await one.access.administration.removeRule('acme', id, by);
    await other.access.ready('acme');
    expect(other.access.mayDo(npm, alice, 'delete', 'x')).toBe(false);
  });

  it.each<[string, (access: AccessControl) => Promise<unknown>, string]>([
    ['a user twice', ({ administration }) => administration.createUser('acme', { name: 'bob' }, by), 'conflict'],
    [
      'a user of no such name',
      async ({ administration }) => administration.createUser('acme', { name: 'a b' }, by),
      'bad_request',
    ],
    [
      'a user of the configuration away',
      ({ administration }) => administration.removeUser('acme', 'bob', by),
      'conflict',
    ],
    ['nobody into a team', ({ administration }) => administration.addMember('acme', 'web', 'nobody', by), 'not_found'],
    [
      'a member of the configuration away',
      ({ administration }) => administration.removeMember('acme', 'web', 'alice', by),
      'conflict',
    ],
    [
      'a short password',
      ({ administration }) => administration.setPassword('acme', 'alice', 'short', by),
      'bad_request',
    ],
    [
      'a rule about nobody',
      ({ administration }) => administration.addRule('acme', { who: [], may: ['read'] }, by),
      'bad_request',
    ],
    [
      'a rule about somebody unclear',
      ({ administration }) => administration.addRule('acme', { who: ['all'], may: ['read'] }, by),
      'bad_request',
    ],
    ['a rule that is not there away', ({ administration }) => administration.removeRule('acme', 'x', by), 'not_found'],
    [
      'anything in an organisation that there is not',
      ({ administration }) => administration.users('none'),
      'not_found',
    ],
  ])('does not take %s', async (_name, act, code) => {
    const { access } = await start();
    await expect((async () => act(access))()).rejects.toMatchObject({ code });
  });

  it('tells its history without secrets', async () => {
    const { access } = await start();
    await access.administration.setPassword('acme', 'alice', 'long enough', { by: 'user:acme/bob' });
    const token = await tokenOf(access);
    const told: unknown[] = [];
    for await (const written of access.history('acme')) told.push(written);
    expect(told).toHaveLength(2);
    const text = JSON.stringify(told);
    expect(text).toContain('user:acme/bob');
    expect(text).not.toMatch(/scrypt|hash/);
    expect(text).not.toContain(token);
  });
});

describe('what clients ask of their own accord', () => {
  const origin = 'https://larder.example.com';

  it('is a token for a password, which expires', async () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    const { access } = await start({ now: () => now });
    const made = await access.credentials(
      'acme',
      { kind: 'anonymous' },
      { want: 'token', user: 'bob', password: 'bobs password' },
      origin,
    );
    if (made.is !== 'token') throw new Error(made.is);
    expect(await access.identify('acme', bearer(made.token))).toMatchObject({ name: 'bob' });
    expect((await access.administration.tokens('acme', 'bob'))[0]).toMatchObject({
      may: ['read', 'publish', 'delete', 'admin'],
      expiresAt: new Date(now + 90 * day).toISOString(),
    });
  });

  it.each([
    ['nothing', {}, 'unauthorized'],
    ['a wrong password', { user: 'bob', password: 'wrong' }, 'unauthorized'],
    ['a user that there is not', { user: 'zoe', password: 'wrong' }, 'unauthorized'],
  ])('is no token for %s', async (_name, shown, code) => {
    const { access } = await start();
    await expect(
      access.credentials('acme', { kind: 'anonymous' }, { want: 'token', ...shown }, origin),
    ).rejects.toMatchObject({ code });
  });

  it('is a token for a token, which may no more and lives no longer', async () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    const { access } = await start({ now: () => now });
    const limits = {
      may: ['read', 'publish'],
      names: ['@acme/*'],
      repositories: ['npm'],
      expiresAt: now + day,
    } as const;
    const parent = await tokenOf(access, 'alice', limits);
    const ask = {
      want: 'token',
      user: 'alice',
      password: parent,
      may: ['publish', 'delete'],
      expiresInDays: 30,
    } as const;
    const made = await access.credentials('acme', { kind: 'anonymous' }, ask, origin);
    if (made.is !== 'token') throw new Error(made.is);
    expect((await access.administration.tokens('acme', 'alice')).find(({ id }) => id === made.id)).toMatchObject({
      may: ['publish'],
      names: ['@acme/*'],
      repositories: ['npm'],
      expiresAt: new Date(now + day).toISOString(),
    });
    await expect(
      access.credentials('acme', { kind: 'anonymous' }, { ...ask, may: ['admin'] }, origin),
    ).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('is a list of one’s own tokens, and an end to one of them', async () => {
    const { access } = await start();
    const token = await tokenOf(access, 'alice');
    const of = await access.identify('acme', bearer(token));
    const bobs = await access.administration.createToken('acme', { user: 'bob' }, by);
    const listed = await access.credentials('acme', of, { want: 'list' }, origin);
    expect(listed).toMatchObject({ is: 'tokens', tokens: [{ user: 'alice' }] });
    for (const other of [bobs.facts.id, bobs.token, 'nosuch', 'lrd_x']) {
      await expect(access.credentials('acme', of, { want: 'revoke', token: other }, origin)).rejects.toMatchObject({
        code: 'not_found',
      });
    }
    const little = await access.administration.createToken('acme', { user: 'alice', may: ['read'] }, by);
    const littleOf = await access.identify('acme', bearer(little.token));
    await expect(access.credentials('acme', littleOf, { want: 'revoke', token }, origin)).rejects.toMatchObject({
      code: 'forbidden',
    });
    expect(await access.credentials('acme', littleOf, { want: 'revoke', token: little.token }, origin)).toEqual({
      is: 'revoked',
    });
    expect(await access.credentials('acme', of, { want: 'revoke', token }, origin)).toEqual({ is: 'revoked' });
    expect((await access.identify('acme', bearer(token))).rejected).toMatch(/revoked/);
  });

  it('is a login with a browser for everybody, however many somebody else begins', async () => {
    const { access } = await start();
    const begin = (from: string): Promise<unknown> =>
      access.credentials('acme', { kind: 'anonymous' }, { want: 'web-open' }, origin, from);
    for (let nth = 0; nth < 100; nth++) await begin('192.0.2.1');
    await expect(begin('192.0.2.1')).rejects.toMatchObject({ code: 'too_many_requests' });
    for (let nth = 0; nth < 1000; nth++) await begin(`2001:db8:0:${nth.toString(16)}::1`);
    expect(await begin('198.51.100.1')).toMatchObject({ is: 'web-opened' });
  });

  it('is nothing for a CI job and for nobody', async () => {
    const { access } = await start();
    const job: Identity = { kind: 'ci', name: 'github:repo:acme/x' };
    await expect(access.credentials('acme', job, { want: 'token' }, origin)).rejects.toMatchObject({
      code: 'forbidden',
    });
    await expect(access.credentials('acme', { kind: 'anonymous' }, { want: 'list' }, origin)).rejects.toMatchObject({
      code: 'unauthorized',
    });
  });

  it('is a login that somebody confirms in a browser', async () => {
    const { access } = await start();
    const opened = await access.credentials('acme', { kind: 'anonymous' }, { want: 'web-open' }, origin);
    if (opened.is !== 'web-opened') throw new Error(opened.is);
    const poll = () =>
      access.credentials('acme', { kind: 'anonymous' }, { want: 'web-poll', session: opened.session }, origin);
    const code = new URL(opened.loginUrl).searchParams.get('session') ?? '';
    expect(opened.loginUrl).toMatch(/^https:\/\/larder\.example\.com\/ui\/login\?session=[\w-]{43}$/);
    expect(opened.loginUrl).not.toContain(opened.session);
    expect(await poll()).toEqual({ is: 'web-waiting', retryAfterSeconds: 2 });
    // The address that people see does not get the token.
    await expect(
      access.credentials('acme', { kind: 'anonymous' }, { want: 'web-poll', session: code }, origin),
    ).rejects.toMatchObject({ code: 'not_found' });
    await access.people.answer(code, await access.identify('acme', basic('bob', 'bobs password')));
    const done = await poll();
    expect(done).toMatchObject({ is: 'token', user: 'bob' });
    await expect(poll()).rejects.toMatchObject({ code: 'not_found' });
    await expect(access.people.answer(code, undefined)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('is a login that somebody refuses, or nobody answers in time', async () => {
    let now = Date.parse('2026-01-01T00:00:00Z');
    const { access } = await start({ now: () => now });
    const begin = async () => {
      const opened = await access.credentials('acme', { kind: 'anonymous' }, { want: 'web-open' }, origin);
      if (opened.is !== 'web-opened') throw new Error(opened.is);
      return { session: opened.session, code: new URL(opened.loginUrl).searchParams.get('session') ?? '' };
    };
    const poll = (session: string) =>
      access.credentials('acme', { kind: 'anonymous' }, { want: 'web-poll', session }, origin);
    const refused = await begin();
    await access.people.answer(refused.code, undefined);
    await expect(poll(refused.session)).rejects.toMatchObject({ code: 'forbidden' });
    const late = await begin();
    now += 11 * minute;
    await expect(poll(late.session)).rejects.toMatchObject({ code: 'not_found' });
  });
});

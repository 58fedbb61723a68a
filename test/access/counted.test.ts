/** What whoever counts is told of sign-ins, and finds out about tokens. */
import { SignJWT } from 'jose';
import { expect, it, onTestFinished } from 'vitest';
import { type Events, subscribe } from '../../src/core/events.ts';
import { anonymous } from '../../src/core/identity.ts';
import { openAccess } from '../support/access.ts';
import { temporaryFolder } from '../support/folder.ts';

const day = 86_400_000;
const by = { by: 'system' };
const orgs = {
  acme: { users: { ann: { service: false, password: 'of ann' }, robot: { service: true } } },
  other: {},
};

async function scene(more: Parameters<typeof openAccess>[2] = {}) {
  const folder = await temporaryFolder();
  const { access, close } = await openAccess(folder.path, orgs, more);
  const told: Events['sign-in'][] = [];
  const end = subscribe('sign-in', (event) => told.push(event));
  onTestFinished(async () => {
    end();
    await close();
    await folder.remove();
  });
  return { access, told };
}

it('tells how a sign-in with a password went, in a browser and from a client', async () => {
  const { access, told } = await scene();
  await access.people.identify('ann', 'of ann', '127.0.0.1');
  await access.people.identify('ann', 'of somebody else', '127.0.0.1');
  const ask = (password: string) =>
    access.credentials('acme', anonymous, { want: 'token', user: 'ann', password }, 'http://localhost');
  await ask('of ann');
  await expect(ask('of somebody else')).rejects.toMatchObject({ code: 'unauthorized' });
  expect(told).toEqual([
    { how: 'password', outcome: 'done' },
    { how: 'password', outcome: 'refused' },
    { how: 'client', outcome: 'done' },
    { how: 'client', outcome: 'refused' },
  ]);
});

it('tells an issuer that cannot be asked from a token that is not taken', async () => {
  const { access, told } = await scene({ issuers: { forge: { url: 'https://forge.example', audiences: [] } } });
  const job = (issuer: string) =>
    new SignJWT({ sub: 'job' })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(issuer)
      .setExpirationTime('1m')
      .sign(new Uint8Array(32));
  const exchange = async (issuer: string) => access.exchange(await job(issuer), 'http://localhost');
  await expect(exchange('https://nobody.example')).rejects.toMatchObject({ code: 'unauthorized' });
  await expect(exchange('https://forge.example')).rejects.toMatchObject({ code: 'upstream_unavailable' });
  expect(told).toEqual([
    { how: 'exchange', outcome: 'refused' },
    { how: 'exchange', outcome: 'failed' },
  ]);
});

it('says nothing where no issuer is configured: clients try it everywhere', async () => {
  const { access, told } = await scene();
  await expect(access.exchange('x', 'http://localhost')).rejects.toMatchObject({ code: 'not_found' });
  expect(told).toEqual([]);
});

it('counts tokens by whose they are and what became of them, as time goes by', async () => {
  let now = Date.now();
  const { access } = await scene({ now: () => now });
  const create = (user: string, days?: number) =>
    access.administration.createToken(
      'acme',
      { user, ...(days === undefined ? {} : { expiresAt: now + days * day }) },
      by,
    );
  await create('ann');
  await create('ann', 30);
  await create('robot', 3);
  const { facts } = await create('robot');
  await access.administration.revokeToken('acme', facts.id, by);
  const counted = () =>
    Object.fromEntries(
      access
        .tokenCounts()
        .filter(({ count }) => count > 0)
        .map(({ org, kind, state, count }) => [`${org} ${kind} ${state}`, count]),
    );
  expect(counted()).toEqual({ 'acme user valid': 2, 'acme service expiring': 1, 'acme service revoked': 1 });
  expect(access.tokenCounts()).toHaveLength(16);
  now += 25 * day;
  expect(counted()).toEqual({
    'acme user valid': 1,
    'acme user expiring': 1,
    'acme service expired': 1,
    'acme service revoked': 1,
  });
});

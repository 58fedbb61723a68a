import { generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createIssuers, type Issuers } from '../../src/access/issuers.ts';
import { type Issuer, startIssuer } from '../support/issuer.ts';

const sub = 'repo:acme/shop:ref:refs/heads/main';
let issuer: Issuer;
let now = 0;

beforeEach(async () => {
  issuer = await startIssuer();
  now = Date.now();
});
afterEach(() => issuer.close());

const issuers = (audiences: readonly string[] = ['larder']): Issuers =>
  createIssuers({ ci: { url: issuer.url, audiences } }, fetch, () => now, 0);

const seconds = (): number => Math.floor(now / 1000);

describe('an ID token', () => {
  it('tells whose job it is, with what the issuer says of it in text', async () => {
    const token = await issuer.token({
      ...{ sub, aud: 'larder', repository: 'acme/shop', run_number: 7, protected: true },
      ...{ nested: { x: 1 }, list: ['a'] },
    });
    expect(await issuers().verify(token, [])).toEqual({
      kind: 'ci',
      name: `ci:${sub}`,
      presented: true,
      claims: { sub, repository: 'acme/shop', run_number: '7', protected: 'true' },
    });
  });

  it.each<[string, () => Promise<string>, RegExp]>([
    ['no JWT', async () => 'nonsense', /it is no JWT/],
    ['too long', async () => `${'x'.repeat(17 * 1024)}`, /it is too long/],
    [
      'of another issuer',
      () => issuer.token({ sub, aud: 'larder', iss: 'https://evil.example.com' }),
      /evil\.example\.com is none of those/,
    ],
    [
      'for somebody else',
      () => issuer.token({ sub, aud: 'https://github.com/acme' }),
      /made out for somebody else; ask for the audience "larder" or "npm:x"/,
    ],
    ['for nobody', () => issuer.token({ sub }), /made out for somebody else/],
    ['expired', () => issuer.token({ sub, aud: 'larder', exp: seconds() - 61 }), /it has expired/],
    ['not valid yet', () => issuer.token({ sub, aud: 'larder', nbf: seconds() + 120 }), /its claim nbf does not hold/],
    ['without an end', () => issuer.token({ sub, aud: 'larder', exp: undefined }), /its claim exp does not hold/],
    ['about nobody', () => issuer.token({ aud: 'larder' }), /its claim sub does not hold/],
    [
      'signed with a key of somebody else',
      async () => {
        const { privateKey } = await generateKeyPair('ES256');
        const good = await issuer.token({ sub, aud: 'larder' });
        const { kid } = JSON.parse(Buffer.from(good.split('.')[0] ?? '', 'base64url').toString()) as { kid: string };
        return new SignJWT({ sub, aud: 'larder', iss: issuer.url, exp: seconds() + 60 })
          .setProtectedHeader({ alg: 'ES256', kid })
          .sign(privateKey);
      },
      /its signature is wrong/,
    ],
    [
      'signed with a secret',
      () =>
        new SignJWT({ sub, aud: 'larder', iss: issuer.url, exp: seconds() + 60 })
          .setProtectedHeader({ alg: 'HS256' })
          .sign(Buffer.alloc(32)),
      /it is signed in a way that is not safe/,
    ],
    [
      'not signed',
      async () => new UnsecuredJWT({ sub, aud: 'larder', iss: issuer.url, exp: seconds() + 60 }).encode(),
      /is malformed|not safe/,
    ],
    [
      'changed on the way',
      async () => {
        const [header, , signature] = (await issuer.token({ sub, aud: 'larder' })).split('.');
        const claims = { sub: 'repo:acme/other', aud: 'larder', iss: issuer.url, exp: seconds() + 60 };
        return [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
      },
      /its signature is wrong/,
    ],
  ])('is not taken that is %s', async (_name, make, reason) => {
    const verifying = issuers().verify(await make(), ['npm:x']);
    await expect(verifying).rejects.toMatchObject({ code: 'unauthorized', message: expect.stringMatching(reason) });
  });

  it('is taken a minute late, for clocks differ', async () => {
    const token = await issuer.token({ sub, aud: 'larder', exp: seconds() - 50, nbf: seconds() + 50 });
    expect(await issuers().verify(token, [])).toMatchObject({ kind: 'ci' });
  });

  it('is taken for any of the audiences, configured or this server’s own', async () => {
    const all = issuers(['one', 'two']);
    for (const aud of ['one', 'two', 'npm:larder.example.com', ['x', 'two']]) {
      expect(await all.verify(await issuer.token({ sub, aud }), ['npm:larder.example.com'])).toMatchObject({
        kind: 'ci',
      });
    }
  });
});

describe('the keys of an issuer', () => {
  it('are asked for once, and again when a token is signed with a new one', async () => {
    const all = issuers();
    for (let i = 0; i < 3; i++) await all.verify(await issuer.token({ sub, aud: 'larder' }), []);
    expect(issuer.keyRequests).toBe(1);
  });

  it('are taken as they are after they were rotated', async () => {
    const before = issuers();
    const old = await issuer.token({ sub, aud: 'larder' });
    expect(await before.verify(old, [])).toMatchObject({ kind: 'ci' });
    await issuer.rotate('RS256');
    expect(await before.verify(await issuer.token({ sub, aud: 'larder' }), [])).toMatchObject({ kind: 'ci' });
    await expect(before.verify(old, [])).rejects.toMatchObject({
      message: expect.stringContaining('a key that its issuer does not have'),
    });
  });

  it('that are not to be had are no fault of the token', async () => {
    const token = await issuer.token({ sub, aud: 'larder' });
    issuer.down = true;
    await expect(issuers().verify(token, [])).rejects.toMatchObject({ code: 'upstream_unavailable' });
  });

  it('are not asked for again and again while there is none', async () => {
    const all = issuers();
    issuer.down = true;
    await expect(all.verify(await issuer.token({ sub, aud: 'larder' }), [])).rejects.toThrow();
    issuer.down = false;
    expect(await all.verify(await issuer.token({ sub, aud: 'larder' }), [])).toMatchObject({ kind: 'ci' });
    now += 2 * 3_600_000;
    issuer.down = true;
    // What is known goes on counting.
    expect(await all.verify(await issuer.token({ sub, aud: 'larder', exp: seconds() + 60 }), [])).toMatchObject({
      kind: 'ci',
    });
  });

  it('are not believed of one that calls itself otherwise', async () => {
    issuer.alias = 'https://other.example.com';
    await expect(issuers().verify(await issuer.token({ sub, aud: 'larder' }), [])).rejects.toMatchObject({
      code: 'upstream_unavailable',
    });
  });
});

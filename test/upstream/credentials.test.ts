import { expect, it } from 'vitest';
import { authorizationOf, identityOf, splitUrl } from '../../src/upstream/credentials.ts';

it('writes what the Authorization header wants', () => {
  expect(authorizationOf({ bearer: 'abc' })).toBe('Bearer abc');
  expect(authorizationOf({ username: 'me', password: 'pä:ss' })).toBe(
    `Basic ${Buffer.from('me:pä:ss').toString('base64')}`,
  );
});

it('names an upstream by address and credentials, and gives neither away', () => {
  const bearer = identityOf('https://a.example/npm', { bearer: 'secret' });
  expect(bearer).toMatch(/^[0-9a-f]{32}$/);
  expect(identityOf('https://a.example/npm', { bearer: 'secret' })).toBe(bearer);
  const others = [
    identityOf('https://a.example/npm', undefined),
    identityOf('https://a.example/npm', { bearer: 'other' }),
    identityOf('https://a.example/npm', { username: 'secret', password: '' }),
    identityOf('https://b.example/npm', { bearer: 'secret' }),
  ];
  expect(new Set([bearer, ...others]).size).toBe(5);
});

it('takes credentials out of an address', () => {
  const { url, auth } = splitUrl('https://me:p%40ss@a.example/npm');
  expect(url.href).toBe('https://a.example/npm');
  expect(auth).toEqual({ username: 'me', password: 'p@ss' });
  expect(splitUrl('https://a.example/npm').auth).toBeUndefined();
});

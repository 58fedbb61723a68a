import { expect, it } from 'vitest';
import { type Claim, claimsOf, createClaims } from '../../src/core/claims.ts';

const acme: Claim = { org: 'acme', priority: 'client' };
const beta: Claim = { org: 'beta', priority: 'client' };
const betaLater: Claim = { org: 'beta', priority: 'background' };

it('hears of everybody who joins, each once', () => {
  const claims = createClaims(acme);
  const heard: Claim[] = [];
  const stop = claims.listen((claim) => heard.push(claim));
  claims.join(createClaims(beta));
  claims.join(createClaims(beta));
  claims.join(createClaims(acme));
  claims.join(createClaims(betaLater));
  stop();
  claims.join(createClaims({ priority: 'client' }));
  expect(heard).toEqual([beta, betaLater]);
  expect(claims.all).toEqual([acme, beta, betaLater, { priority: 'client' }]);
  expect(claims.first).toBe(acme);
});

it('goes on hearing of those who join who joined', () => {
  const [first, second, third] = [acme, beta, betaLater].map(createClaims) as [
    ReturnType<typeof createClaims>,
    ReturnType<typeof createClaims>,
    ReturnType<typeof createClaims>,
  ];
  first.join(second);
  second.join(third);
  expect(first.all).toEqual([acme, beta, betaLater]);
  expect(third.all).toEqual([betaLater]);
});

it('does not go round in circles', () => {
  const [one, other] = [createClaims(acme), createClaims(beta)];
  one.join(one);
  one.join(other);
  other.join(one);
  expect([one.all, other.all]).toEqual([
    [acme, beta],
    [beta, acme],
  ]);
});

it('is what a question says of itself, or who waits for it', () => {
  const joined = createClaims(acme);
  expect(claimsOf({ org: 'beta', priority: 'background' }).all).toEqual([betaLater]);
  expect(claimsOf({}).all).toEqual([{ priority: 'client' }]);
  expect(claimsOf({ org: 'beta', claims: joined })).toBe(joined);
});

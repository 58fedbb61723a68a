import { expect, it } from 'vitest';
import type { Identity } from '../../src/core/identity.ts';
import { Limits } from '../../src/http/limits.ts';

it('What somebody who is known gets out of memory counts as theirs, over every connection, and as nobody else’s', () => {
  const clock = { now: () => 0, after: () => () => {} };
  const perIdentity = { requests: { perSecond: 1, burst: 2 } };
  const limits = new Limits({ accounts: 10, usual: { perAddress: {}, perIdentity }, orgs: {} }, clock);
  const [alice, bob] = ['alice', 'bob'].map((name): Identity => ({ kind: 'user', name, org: 'acme' }));
  const take = (reader: Identity | undefined) =>
    limits.takeHot({ gate: undefined }, '192.0.2.1', 'acme/mirror', 10, reader);
  expect([take(alice), take(alice), take(alice)]).toEqual([true, true, false]);
  expect([take(bob), take(undefined), take(undefined), take(undefined)]).toEqual([true, true, true, true]);
});

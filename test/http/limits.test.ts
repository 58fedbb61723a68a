import { describe, expect, it } from 'vitest';
import { anonymous, type Identity } from '../../src/core/identity.ts';
import type { Problem } from '../../src/core/problem.ts';
import { type LimitSettings, Limits } from '../../src/http/limits.ts';
import { Account, type ClientLimits } from '../../src/http/limits-account.ts';
import { Accounts } from '../../src/http/limits-accounts.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

const few: ClientLimits = { requests: { perSecond: 1, burst: 3 } };
const alice: Identity = { kind: 'user', name: 'alice', org: 'acme' };

interface Said {
  readonly perAddress?: ClientLimits;
  readonly perIdentity?: ClientLimits;
  readonly orgs?: LimitSettings['orgs'];
  readonly accounts?: number;
}

const settingsOf = ({ perAddress = {}, perIdentity = {}, orgs = {}, accounts = 100 }: Said): LimitSettings => ({
  accounts,
  usual: { perAddress, perIdentity },
  orgs,
});

function started(said: Said): { limits: Limits; clock: ManualClock } {
  const clock = manualClock();
  return { limits: new Limits(settingsOf(said), clock), clock };
}

/** `ok`, or how long to wait. */
function ask(limits: Limits, remote: string, { org = 'acme', who = anonymous }: { org?: string; who?: Identity } = {}) {
  try {
    const visit = limits.enter({ requestId: 'r', remote, org });
    try {
      visit?.admit(who);
    } finally {
      visit?.leave();
    }
    return 'ok';
  } catch (error) {
    return (error as Problem).retryAfterSeconds;
  }
}

const times = <T>(count: number, work: () => T): T[] => Array.from({ length: count }, work);

describe('requests of an address', () => {
  it('are let through up to the burst, and then as fast as the rate says', async () => {
    const { limits, clock } = started({ perAddress: few });
    expect(times(5, () => ask(limits, '192.0.2.1'))).toEqual(['ok', 'ok', 'ok', 1, 1]);
    await clock.advance(1000);
    expect(times(2, () => ask(limits, '192.0.2.1'))).toEqual(['ok', 1]);
    await clock.advance(100_000);
    expect(times(4, () => ask(limits, '192.0.2.1'))).toEqual(['ok', 'ok', 'ok', 1]);
  });

  it('are told how long to wait in whole seconds', async () => {
    const { limits, clock } = started({ perAddress: { requests: { perSecond: 1 / 60, burst: 1 } } });
    expect(times(2, () => ask(limits, '192.0.2.1'))).toEqual(['ok', 60]);
    await clock.advance(30_500);
    expect(ask(limits, '192.0.2.1')).toBe(30);
  });

  it('are those of its /64, and of nobody else', () => {
    const { limits } = started({ perAddress: few });
    expect(times(4, () => ask(limits, '2001:db8:0:1::1'))).toEqual(['ok', 'ok', 'ok', 1]);
    expect(ask(limits, '2001:db8:0:1:ffff::2')).toBe(1);
    expect(ask(limits, '2001:db8:0:2::1')).toBe('ok');
  });

  it('in one org leave those in another alone', () => {
    const { limits } = started({ perAddress: few });
    times(10, () => ask(limits, '192.0.2.1', { org: 'noisy' }));
    expect(times(3, () => ask(limits, '192.0.2.1', { org: 'quiet' }))).toEqual(['ok', 'ok', 'ok']);
  });
});

describe('an identity', () => {
  it('has one account, wherever it comes from; nobody known has none', () => {
    const { limits } = started({ perIdentity: few });
    const from = (remote: string) => ask(limits, remote, { who: alice });
    expect([from('192.0.2.1'), from('192.0.2.2'), from('192.0.2.3'), from('192.0.2.4')]).toEqual(['ok', 'ok', 'ok', 1]);
    expect(times(10, () => ask(limits, '192.0.2.1')).every((said) => said === 'ok')).toBe(true);
  });

  it('pays nothing for what the org refuses, and the org nothing for what it is refused', async () => {
    const total = { requests: { perSecond: 1, burst: 2 } };
    const perIdentity = { requests: { perSecond: 0.001, burst: 3 } };
    const { limits, clock } = started({ orgs: { acme: { perAddress: {}, perIdentity, total } } });
    const bob: Identity = { kind: 'user', name: 'bob', org: 'acme' };
    expect(times(4, () => ask(limits, '192.0.2.1', { who: alice }))).toEqual(['ok', 'ok', 1, 1]);
    // Two were refused by the org, so one more of hers is left; and the org lets one more through for each second.
    await clock.advance(1000);
    expect(ask(limits, '192.0.2.1', { who: alice })).toBe('ok');
    await clock.advance(1000);
    expect(ask(limits, '192.0.2.2', { who: bob })).toBe('ok');
  });
});

it('who is not let in has cost the address and nobody else', () => {
  const { limits } = started({
    orgs: { acme: { perAddress: few, perIdentity: few, total: { requests: { perSecond: 1, burst: 1 } } } },
  });
  for (let at = 0; at < 3; at++) limits.enter({ requestId: 'r', remote: '192.0.2.66', org: 'acme' })?.leave();
  expect(ask(limits, '192.0.2.66')).toBe(1);
  expect(ask(limits, '192.0.2.1', { who: alice })).toBe('ok');
});

describe('transfers', () => {
  it('are as many at a time as may be, and each that ends makes room', () => {
    const { limits } = started({ perAddress: { transfers: 2 } });
    const enter = () => limits.enter({ requestId: 'r', remote: '192.0.2.1', org: 'acme' });
    const [first] = [enter(), enter()];
    expect(enter).toThrow('2 requests');
    first?.leave();
    first?.leave();
    enter();
    expect(enter).toThrow('2 requests');
  });

  it('of a client that left before it was let in count for nothing', () => {
    const total = { transfers: 1 };
    const { limits } = started({ orgs: { acme: { perAddress: {}, perIdentity: {}, total } } });
    const visit = limits.enter({ requestId: 'r', remote: '192.0.2.1', org: 'acme' });
    visit?.leave();
    visit?.admit(anonymous);
    expect(ask(limits, '192.0.2.1')).toBe('ok');
  });
});

describe('hot answers', () => {
  const connection = () => ({ gate: undefined });

  it('count as others do, for the address and for the org', () => {
    const total = { requests: { perSecond: 1, burst: 4 } };
    const { limits } = started({ orgs: { acme: { perAddress: few, perIdentity: {}, total } } });
    const mine = connection();
    const hit = (remote: string) => limits.takeHot(mine, remote, 'acme/npm', 10);
    expect([hit('192.0.2.1'), hit('192.0.2.1')]).toEqual([true, true]);
    expect(ask(limits, '192.0.2.1')).toBe('ok');
    expect(hit('192.0.2.1')).toBe(false);
    expect([hit('192.0.2.2'), hit('192.0.2.2')]).toEqual([true, false]);
  });

  it('are left to those who can slow them once the bytes are used up', async () => {
    const { limits, clock } = started({ perAddress: { downloadBytes: 1000 } });
    const mine = connection();
    const hit = (bytes: number) => limits.takeHot(mine, '192.0.2.1', 'acme/npm', bytes);
    expect([hit(800), hit(800), hit(1)]).toEqual([true, true, false]);
    await clock.advance(700);
    expect(hit(1)).toBe(true);
  });
});

describe('a change of limits', () => {
  it('takes effect at once, also for who is known already', () => {
    const { limits } = started({ perAddress: few });
    const mine = { gate: undefined };
    expect(times(4, () => ask(limits, '192.0.2.1'))).toEqual(['ok', 'ok', 'ok', 1]);
    limits.change(settingsOf({ perAddress: { requests: { perSecond: 1000, burst: 1000 } } }));
    expect(ask(limits, '192.0.2.2')).toBe('ok');
    limits.change(settingsOf({ perAddress: { requests: { perSecond: 1, burst: 1 } } }));
    expect(times(2, () => limits.takeHot(mine, '192.0.2.2', 'acme/npm', 1))).toEqual([true, false]);
    limits.change(settingsOf({}));
    expect(limits.isActive).toBe(false);
    expect(limits.enter({ requestId: 'r', remote: '192.0.2.2', org: 'acme' })).toBeUndefined();
  });

  it('lets those go who wait for what is limited no longer', async () => {
    const { limits } = started({ perAddress: { downloadBytes: 10 } });
    const visit = limits.enter({ requestId: 'r', remote: '192.0.2.1', org: 'acme' });
    visit?.download?.take(1000);
    const waiting = visit?.download?.take(1000);
    expect(waiting).toBeInstanceOf(Promise);
    limits.change(settingsOf({ perAddress: {} }));
    await waiting;
  });
});

describe('accounts', () => {
  function opened(most: number) {
    const clock = manualClock();
    const accounts = new Accounts(most, (org) => new Account('address', org, few, clock));
    const spend = (name: string): Account => {
      const account = accounts.of('acme', name);
      while (account.mayRequest()) account.takeRequest();
      return account;
    };
    return { clock, accounts, spend };
  }

  it('are never more than so many, however many addresses there are', () => {
    const { accounts, spend } = opened(100);
    for (let at = 0; at < 10_000; at++) spend(`10.0.${at >> 8}.${at & 255}`);
    expect(accounts.size).toBeLessThanOrEqual(100 + 64);
  });

  it('that are in use are not pushed out by newcomers', () => {
    const { accounts, spend } = opened(100);
    const mine = spend('192.0.2.1');
    for (let at = 0; at < 10_000; at++) spend(`10.0.${at >> 8}.${at & 255}`);
    expect(accounts.of('acme', '192.0.2.1')).toBe(mine);
    expect(mine.isForgotten).toBe(false);
  });

  it('that are full again make room', async () => {
    const { clock, accounts, spend } = opened(100);
    const mine = spend('192.0.2.1');
    for (let at = 0; at < 99; at++) spend(`10.0.0.${at}`);
    await clock.advance(10_000);
    for (let at = 0; at < 100; at++) spend(`10.1.0.${at}`);
    expect(mine.isForgotten).toBe(true);
    expect(accounts.size).toBe(100);
  });

  it('of newcomers without a place are shared, and limited all the same', () => {
    const { accounts, spend } = opened(1);
    spend('192.0.2.1');
    const crowd = new Set(times(1000, () => accounts.of('acme', `10.0.${Math.random()}`)));
    expect(crowd.size).toBeLessThanOrEqual(64);
    expect(crowd.size).toBeGreaterThan(32);
  });
});

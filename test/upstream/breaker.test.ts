import { describe, expect, it } from 'vitest';
import { type BreakerState, createBreaker } from '../../src/upstream/breaker.ts';

const settings = { failures: 4, windowMs: 10_000, openMs: 30_000, probeTimeoutMs: 5000 };

function setUp() {
  const changes: BreakerState[] = [];
  const time = { now: 1_000_000 };
  const breaker = createBreaker(settings, { clock: () => time.now, onChange: (state) => changes.push(state) });
  const fail = (times: number): void => {
    for (let n = 0; n < times; n += 1) breaker.enter().fail();
  };
  const succeed = (times: number): void => {
    for (let n = 0; n < times; n += 1) breaker.enter().succeed();
  };
  const opened = () => {
    fail(4);
    time.now += settings.openMs;
  };
  return { breaker, changes, time, fail, succeed, opened };
}

describe('a closed breaker', () => {
  it('opens at the threshold, and not before', () => {
    const { breaker, fail, changes } = setUp();
    fail(3);
    expect(breaker.refusedForMs()).toBeUndefined();
    fail(1);
    expect(breaker.refusedForMs()).toBe(30_000);
    expect(changes).toEqual(['open']);
  });

  it('stays closed while fewer than half of the answers are failures', () => {
    const { breaker, fail, succeed } = setUp();
    succeed(6);
    fail(5);
    expect(breaker.state).toBe('closed');
    fail(1);
    expect(breaker.state).toBe('open');
  });

  it('forgets what lies outside of the window', () => {
    const { breaker, time, fail } = setUp();
    fail(3);
    time.now += 11_000;
    fail(3);
    expect(breaker.state).toBe('closed');
    time.now += 5000;
    fail(1);
    expect(breaker.state).toBe('open');
  });

  it('does not count what was cancelled', () => {
    const { breaker } = setUp();
    for (let n = 0; n < 10; n += 1) breaker.enter().cancel();
    expect(breaker.state).toBe('closed');
  });
});

describe('an open breaker', () => {
  it('tells how long it still refuses', () => {
    const { breaker, time, fail } = setUp();
    fail(4);
    time.now += 12_000;
    expect(breaker.refusedForMs()).toBe(18_000);
  });

  it('lets exactly one probe through when its time is over', () => {
    const { breaker, opened, changes } = setUp();
    opened();
    expect(breaker.refusedForMs()).toBeUndefined();
    breaker.enter();
    expect(breaker.refusedForMs()).toBe(5000);
    expect(changes).toEqual(['open', 'half-open']);
  });

  it('closes when the probe succeeds, and has forgotten the failures', () => {
    const { breaker, opened, fail, changes } = setUp();
    opened();
    breaker.enter().succeed();
    expect(breaker.refusedForMs()).toBeUndefined();
    fail(3);
    expect(changes).toEqual(['open', 'half-open', 'closed']);
  });

  it('opens again for the whole time when the probe fails', () => {
    const { breaker, opened } = setUp();
    opened();
    breaker.enter().fail();
    expect(breaker.refusedForMs()).toBe(30_000);
  });

  it('lets the next one probe at once when the probe was cancelled', () => {
    const { breaker, opened } = setUp();
    opened();
    breaker.enter().cancel();
    expect(breaker.refusedForMs()).toBeUndefined();
    breaker.enter().succeed();
    expect(breaker.state).toBe('closed');
  });

  it('does not wait for a probe that stalls', () => {
    const { breaker, time, opened, changes } = setUp();
    opened();
    breaker.enter();
    time.now += 5000;
    expect(breaker.refusedForMs()).toBe(30_000);
    time.now += 30_000;
    expect(breaker.refusedForMs()).toBeUndefined();
    breaker.enter().succeed();
    expect(changes).toEqual(['open', 'half-open', 'open', 'half-open', 'closed']);
  });
});

describe('a late answer', () => {
  it.each(['succeed', 'fail', 'cancel'] as const)('of a probe past its deadline changes nothing (%s)', (outcome) => {
    const { breaker, time, opened } = setUp();
    opened();
    const late = breaker.enter();
    time.now += 5001;
    late[outcome]();
    expect(breaker.state).toBe('open');
    expect(breaker.refusedForMs()).toBe(29_999);
  });

  it.each(['succeed', 'fail', 'cancel'] as const)('of an old probe does not touch the new one (%s)', (outcome) => {
    const { breaker, time, opened } = setUp();
    opened();
    const old = breaker.enter();
    time.now += 5000 + settings.openMs;
    expect(breaker.refusedForMs()).toBeUndefined();
    const current = breaker.enter();
    old[outcome]();
    expect(breaker.state).toBe('half-open');
    current.succeed();
    expect(breaker.state).toBe('closed');
  });

  it('from before it opened neither closes it nor opens it again', () => {
    const { breaker, time, fail } = setUp();
    const early = [breaker.enter(), breaker.enter(), breaker.enter(), breaker.enter(), breaker.enter()];
    fail(4);
    early[0]?.succeed();
    expect(breaker.state).toBe('open');
    time.now += settings.openMs;
    breaker.enter().succeed();
    for (const pass of early.slice(1)) pass.fail();
    expect(breaker.state).toBe('closed');
  });
});

import { describe, expect, it } from 'vitest';
import { type Claim, type Claims, createClaims } from '../../src/core/claims.ts';
import { createQueue, type QueueSettings } from '../../src/upstream/queue.ts';

/** A queue whose turns end when the test says so. */
function setUp(settings: Partial<QueueSettings> = {}) {
  const queue = createQueue({ concurrency: 1, maxWaiting: 1000, ...settings });
  /** Names in order of their turns. */
  const order: string[] = [];
  const having: { readonly name: string; readonly leave: () => void }[] = [];
  const turnedAway: string[] = [];

  function enterAs(name: string, claims: Claims, more: { signal?: AbortSignal; continued?: boolean } = {}) {
    const entered = queue.enter({ claims, continued: false, ...more });
    if (!entered) {
      turnedAway.push(name);
      return undefined;
    }
    return entered.then((leave) => {
      order.push(name);
      having.push({ name, leave });
    });
  }

  function enter(name: string, org?: string, priority: Claim['priority'] = 'client') {
    return enterAs(name, createClaims({ priority, ...(org === undefined ? {} : { org }) }));
  }

  /** Ends so many turns, the oldest first, and lets the next begin. */
  async function end(turns: number, name?: string): Promise<void> {
    for (let n = 0; n < turns; n += 1) {
      await null;
      const index = having.findIndex((one) => name === undefined || one.name === name);
      having.splice(index, index < 0 ? 0 : 1)[0]?.leave();
      await null;
    }
    await null;
  }

  const running = (): string[] => having.map(({ name }) => name).sort();
  return { queue, order, turnedAway, running, enter, enterAs, end };
}

describe('turns', () => {
  it('go to those who came first, within one organisation', async () => {
    const { order, enter, end } = setUp({ concurrency: 2 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) void enter(name, 'acme');
    await end(5);
    expect(order).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('go to another organisation next, however many wait before it', async () => {
    const { order, enter, end } = setUp({ concurrency: 4 });
    for (let n = 0; n < 500; n += 1) void enter(`flood${n}`, 'acme');
    void enter('one', 'beta');
    await end(1);
    expect(order.slice(4)).toEqual(['one']);
  });

  it('alternate between organisations that both wait', async () => {
    const { order, enter, end } = setUp();
    for (let n = 0; n < 4; n += 1) void enter('a', 'acme');
    for (const org of ['beta', 'gamma']) for (let n = 0; n < 3; n += 1) void enter(org.slice(0, 1), org);
    await end(10);
    expect(order.join('')).toBe('abgabgabga');
  });

  it('are all one organisation can use when nobody else waits', async () => {
    const { queue, order, enter } = setUp({ concurrency: 4 });
    for (let n = 0; n < 6; n += 1) void enter('a', 'acme');
    await null;
    expect([order.length, queue.running, queue.waiting]).toEqual([4, 4, 2]);
  });

  it('go to whoever has the fewest, so that long ones do not add up', async () => {
    const { running, enter, end } = setUp({ concurrency: 4 });
    for (let n = 0; n < 30; n += 1) void enter('short', 'quick');
    for (let n = 0; n < 8; n += 1) void enter('long', 'slow');
    await end(15, 'short');
    expect(running()).toEqual(['long', 'long', 'short', 'short']);
  });

  it('go to people first, and in the background to each organisation in turn', async () => {
    const { order, enter, end } = setUp();
    void enter('first', 'acme');
    for (let n = 0; n < 3; n += 1) void enter('warm-a', 'acme', 'background');
    for (let n = 0; n < 2; n += 1) void enter('warm-b', 'beta', 'background');
    for (let n = 0; n < 2; n += 1) void enter('a', 'acme');
    void enter('b', 'beta');
    await end(9);
    expect(order).toEqual(['first', 'b', 'a', 'a', 'warm-b', 'warm-a', 'warm-b', 'warm-a', 'warm-a']);
  });

  it('are shared with those who are nobody in particular', async () => {
    const { order, enter, end } = setUp();
    for (let n = 0; n < 3; n += 1) void enter('a', 'acme');
    for (let n = 0; n < 2; n += 1) void enter('n');
    await end(5);
    expect(order.join('')).toBe('anana');
  });
});

describe('what several wait for', () => {
  it('comes when the first of their turns does, and once', async () => {
    const { order, queue, enter, enterAs, end } = setUp();
    for (let n = 0; n < 5; n += 1) void enter('a', 'acme');
    const shared = createClaims({ org: 'acme', priority: 'client' });
    void enterAs('shared', shared);
    void enter('a', 'acme');
    shared.join(createClaims({ org: 'beta', priority: 'client' }));
    expect(queue.waiting).toBe(6);
    await end(2);
    expect(order).toEqual(['a', 'shared', 'a']);
    await end(5);
    expect(order).toEqual(['a', 'shared', 'a', 'a', 'a', 'a', 'a']);
    expect([queue.waiting, queue.running]).toEqual([0, 0]);
  });

  it('is no longer in the background once a person waits for it', async () => {
    const { order, enter, enterAs, end } = setUp();
    void enter('first', 'acme');
    void enter('warm', 'acme', 'background');
    const shared = createClaims({ org: 'acme', priority: 'background' });
    void enterAs('shared', shared);
    void enter('a', 'acme');
    shared.join(createClaims({ org: 'acme', priority: 'client' }));
    await end(4);
    expect(order).toEqual(['first', 'a', 'shared', 'warm']);
  });

  it('costs the organisation whose turn it was', async () => {
    const { order, enter, enterAs, end } = setUp({ concurrency: 2 });
    void enter('first', 'acme');
    const shared = createClaims({ org: 'acme', priority: 'client' });
    shared.join(createClaims({ org: 'beta', priority: 'client' }));
    void enter('second', 'gamma');
    void enterAs('shared', shared);
    void enter('b', 'beta');
    void enter('a', 'acme');
    // With "first" in acme's name, the shared one is beta's; when "first" has ended, it is acme's turn.
    await end(1, 'second');
    await end(1, 'first');
    expect(order).toEqual(['first', 'second', 'shared', 'a']);
  });
});

describe('the waiting room', () => {
  it('turns away an organisation that fills it, and lets another in up to its share', async () => {
    const { turnedAway, queue, enter } = setUp({ maxWaiting: 6 });
    for (let n = 0; n < 10; n += 1) void enter('a', 'acme');
    expect([queue.waiting, turnedAway.length]).toEqual([6, 3]);
    for (let n = 0; n < 10; n += 1) void enter('b', 'beta');
    expect([queue.waiting, turnedAway.length]).toEqual([9, 10]);
    for (let n = 0; n < 10; n += 1) void enter('c', 'gamma');
    expect([queue.waiting, turnedAway.length]).toEqual([11, 18]);
    expect(enter('a', 'acme')).toBeUndefined();
  });

  it('has a place for everybody who has none, however small it is', () => {
    const { turnedAway, enter } = setUp({ maxWaiting: 2 });
    for (let n = 0; n < 5; n += 1) void enter('a', 'acme');
    for (const org of ['beta', 'gamma', 'delta', 'eps']) void enter(org, org);
    expect(turnedAway).toEqual(['a', 'a']);
  });

  it('is none when nobody may wait', () => {
    const { turnedAway, enter } = setUp({ maxWaiting: 0 });
    for (const org of ['acme', 'acme', 'beta']) void enter(org, org);
    expect(turnedAway).toEqual(['acme', 'beta']);
  });

  it('is not filled for people by what waits in the background', () => {
    const { turnedAway, enter } = setUp({ maxWaiting: 2 });
    for (let n = 0; n < 5; n += 1) void enter('warm', 'acme', 'background');
    for (let n = 0; n < 3; n += 1) void enter('person', 'acme');
    expect(turnedAway).toEqual(['warm', 'warm', 'person']);
  });

  it('has room for whoever has waited before', async () => {
    const { order, enter, enterAs, end } = setUp({ maxWaiting: 1 });
    void enter('a', 'acme');
    void enter('b', 'acme');
    void enterAs('again', createClaims({ org: 'acme', priority: 'client' }), { continued: true });
    await end(3);
    expect(order).toEqual(['a', 'b', 'again']);
  });
});

describe('whoever leaves', () => {
  it('while waiting makes room, and gets the reason', async () => {
    const { queue, order, enter, enterAs, end } = setUp({ maxWaiting: 1 });
    void enter('a', 'acme');
    const leaving = new AbortController();
    const shared = createClaims({ org: 'acme', priority: 'client' });
    shared.join(createClaims({ org: 'beta', priority: 'background' }));
    const gone = enterAs('gone', shared, { signal: leaving.signal });
    const reason = new Error('left');
    leaving.abort(reason);
    await expect(gone).rejects.toBe(reason);
    expect(queue.waiting).toBe(0);
    void enter('b', 'acme');
    await end(3);
    expect(order).toEqual(['a', 'b']);
  });

  it('during the turn ends it, once', async () => {
    const { queue, order, enter, enterAs, end } = setUp();
    const leaving = new AbortController();
    void enterAs('a', createClaims({ org: 'acme', priority: 'client' }), { signal: leaving.signal });
    void enter('b', 'acme');
    void enter('c', 'acme');
    await null;
    leaving.abort();
    expect(queue.running).toBe(1);
    await end(1, 'a');
    expect([queue.running, queue.waiting]).toEqual([1, 1]);
    expect(order).toEqual(['a', 'b']);
  });

  it('before coming does not come', async () => {
    const { queue, enterAs } = setUp();
    const signal = AbortSignal.abort(new Error('left'));
    await expect(enterAs('a', createClaims({ priority: 'client' }), { signal })).rejects.toThrow('left');
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });
});

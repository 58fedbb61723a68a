import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createClaims } from '../../src/core/claims.ts';
import type { Ask, Reply, UpstreamSettings } from '../../src/upstream/client.ts';
import { type FakeUpstream, gate, startFakeUpstream } from '../support/fake-upstream.ts';
import { eventually } from '../support/wait.ts';
import { failureOf, heard, later, problemOf, settingsFor, textOf, upstreamAt, upstreamsFor } from './asking.ts';

async function fake(): Promise<FakeUpstream> {
  const server = await startFakeUpstream();
  later(() => server.close());
  return server;
}

describe('the queue', () => {
  /** One place, taken by `/first`, until `stop` opens. */
  async function busy(maxQueue = 100) {
    const server = await fake();
    const stop = gate();
    later(() => stop.open());
    server.otherwise({ body: 'ok' });
    server.at('/first', { body: 'ok', holdHeaders: stop });
    const upstream = upstreamAt(server.url, { concurrency: 1, maxQueue });
    const ask = (path: string, more: Partial<Ask> = {}): Promise<string> =>
      upstream.ask({ method: 'GET', url: `${server.url}${path}`, ...more }).then(textOf);
    const first = ask('/first');
    await stop.reached;
    return { server, stop, ask, first };
  }

  it('lets waiting clients go before the background, and each in order', async () => {
    const { server, stop, ask, first } = await busy();
    const waiting = [
      ask('/b1', { claims: createClaims({ priority: 'background' }) }),
      ask('/c1'),
      ask('/b2', { claims: createClaims({ priority: 'background' }) }),
      ask('/c2', { claims: createClaims({ priority: 'client' }) }),
    ];
    stop.open();
    await Promise.all([first, ...waiting]);
    expect(server.requests.map(({ path }) => path)).toEqual(['/first', '/c1', '/c2', '/b1', '/b2']);
    expect(server.mostInFlight).toBe(1);
  });

  it('turns away who comes when it is full', async () => {
    const { server, stop, ask, first } = await busy(2);
    const queue = heard('upstream.queue');
    const waiting = [ask('/a'), ask('/b')];
    expect(queue.at(-1)).toMatchObject({ waiting: 2 });
    const problem = await problemOf(ask('/c'));
    expect([problem.code, problem.status, problem.retryAfterSeconds]).toEqual(['busy', 503, 2]);
    stop.open();
    expect(await Promise.all([first, ...waiting])).toEqual(['ok', 'ok', 'ok']);
    expect(server.count('/c')).toBe(0);
  });

  it('loses who is aborted while waiting, and makes room', async () => {
    const { server, stop, ask, first } = await busy(1);
    const queue = heard('upstream.queue');
    const leaving = new AbortController();
    const gone = ask('/gone', { signal: leaving.signal });
    const reason = new Error('client left');
    leaving.abort(reason);
    expect(await failureOf(gone)).toBe(reason);
    const stays = ask('/stays');
    expect(queue.at(-1)).toMatchObject({ waiting: 1, running: 1 });
    stop.open();
    expect(await Promise.all([first, stays])).toEqual(['ok', 'ok']);
    expect(server.count('/gone')).toBe(0);
    await eventually('all places are free', () => queue.at(-1)?.running === 0 && queue.at(-1)?.waiting === 0);
  });

  it('is shared by upstreams that ask one origin in the same way', async () => {
    const server = await fake();
    const stop = gate();
    later(() => stop.open());
    server.otherwise({ body: 'ok', holdHeaders: stop });
    const upstreams = upstreamsFor();
    const more = { concurrency: 2, maxQueue: 4 };
    const asking: Promise<Reply>[] = [];
    for (const name of ['one', 'two']) {
      const upstream = upstreams.open(settingsFor(server.url, { ...more, name, auth: { bearer: name } }));
      for (let n = 0; n < 3; n += 1) asking.push(upstream.ask({ method: 'GET', url: `${server.url}/${name}${n}` }));
    }
    await eventually('two are asked', () => server.inFlight === 2);
    stop.open();
    for (const reply of asking) expect(await textOf(await reply)).toBe('ok');
    expect(server.mostInFlight).toBe(2);
  });
});

describe('a passing failure', () => {
  it.each([408, 429, 502, 503, 504])('with status %i is asked again as often as set', async (status) => {
    const server = await fake();
    const retryAfter = status === 429 ? { 'retry-after': '0' } : {};
    const failing = { status, headers: retryAfter };
    server.at('/x', failing, failing, { body: 'ok' });
    server.at('/y', failing);
    const retries = heard('upstream.retry');
    const upstream = upstreamAt(server.url, {}, { random: () => 0.01 });
    expect(await textOf(await upstream.ask({ method: 'GET', url: `${server.url}/x` }))).toBe('ok');
    expect(retries).toEqual([
      { upstream: 'inner', attempt: 1, waitMs: 2 },
      { upstream: 'inner', attempt: 2, waitMs: 4 },
    ]);
    const problem = await problemOf(upstream.ask({ method: 'HEAD', url: `${server.url}/y` }));
    expect(problem.code).toBe('upstream_unavailable');
    expect(server.count('/y')).toBe(3);
  });

  it.each([400, 404, 500, 501, 505, 508, 403])('is not seen in status %i', async (status) => {
    const server = await fake();
    server.at('/x', { status });
    await failureOf(upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x` }));
    expect(server.count('/x')).toBe(1);
  });

  it('of a POST is not asked again', async () => {
    const server = await fake();
    server.at('/x', { status: 503 });
    const body = Buffer.from('{}');
    await problemOf(upstreamAt(server.url).ask({ method: 'POST', url: `${server.url}/x`, body }));
    expect(server.count('/x')).toBe(1);
  });

  it('is asked again as often as the caller says, whatever is set', async () => {
    const server = await fake();
    server.at('/x', { status: 503 });
    server.at('/y', { status: 503 });
    const upstream = upstreamAt(server.url);
    await problemOf(upstream.ask({ method: 'GET', url: `${server.url}/x`, retries: 0 }));
    await problemOf(upstream.ask({ method: 'GET', url: `${server.url}/y`, retries: 4 }));
    expect([server.count('/x'), server.count('/y')]).toEqual([1, 5]);
  });

  it('does not keep its place while it waits to be asked again', async () => {
    const server = await fake();
    server.at('/x', { status: 503, headers: { 'retry-after': '2' } }, { body: 'x' });
    server.at('/y', { body: 'y' });
    const upstream = upstreamAt(server.url, { concurrency: 1, maxQueue: 0 });
    const leaving = new AbortController();
    const retries = heard('upstream.retry');
    const waiting = upstream.ask({ method: 'GET', url: `${server.url}/x`, signal: leaving.signal });
    await eventually('the first attempt failed', () => retries.length === 1);
    expect(await textOf(await upstream.ask({ method: 'GET', url: `${server.url}/y` }))).toBe('y');
    const reason = new Error('client left');
    leaving.abort(reason);
    // Far less than upstream wanted us to wait.
    const late = delay(1000, 'late', { ref: false });
    expect(await Promise.race([failureOf(waiting), late])).toBe(reason);
    expect(server.count('/x')).toBe(1);
  });
});

describe('Retry-After', () => {
  it('of a second is waited for', async () => {
    const server = await fake();
    server.at('/x', { status: 429, headers: { 'retry-after': '1' } }, { body: 'ok' });
    const retries = heard('upstream.retry');
    const upstream = upstreamAt(server.url);
    const startedAt = performance.now();
    expect(await textOf(await upstream.ask({ method: 'GET', url: `${server.url}/x` }))).toBe('ok');
    expect(performance.now() - startedAt).toBeGreaterThan(990);
    expect(retries).toEqual([{ upstream: 'inner', attempt: 1, waitMs: 1000 }]);
    expect(upstream.unavailableUntil(`${server.url}/x`)).toBeUndefined();
  });

  it.each([
    [429, '120', 120],
    [503, '120', 120],
    [500, '30', 30],
    [408, '30', 30],
    [429, 'Sun, 01 Mar 2026 12:01:30 GMT', 90],
    [503, 'Sun, 01 Mar 2026 12:01:30 GMT', 90],
    [503, '86400', 3600],
    [429, undefined, 5],
    [429, 'soon', 5],
  ])('with status %i and "%s" is remembered for that path', async (status, header, seconds) => {
    const server = await fake();
    const time = { now: Date.parse('2026-03-01T12:00:00Z') };
    server.otherwise({ body: 'ok' });
    server.at('/x', { status, headers: { 'retry-after': header } });
    const upstream = upstreamAt(server.url, { retries: 0 }, { clock: () => time.now });
    const url = `${server.url}/x`;
    const first = await problemOf(upstream.ask({ method: 'GET', url }));
    expect([first.code, first.retryAfterSeconds]).toEqual(['upstream_unavailable', seconds]);
    const until = time.now + seconds * 1000;
    expect(upstream.unavailableUntil(url)).toBe(until);
    expect(upstream.unavailableUntil(`${url}?query`)).toBe(until);

    time.now += 2000;
    const second = await problemOf(upstream.ask({ method: 'GET', url }));
    expect([second.code, second.retryAfterSeconds]).toEqual(['upstream_unavailable', seconds - 2]);
    expect(server.count('/x')).toBe(1);

    expect(await textOf(await upstream.ask({ method: 'GET', url: `${server.url}/y` }))).toBe('ok');
    expect(upstream.unavailableUntil(`${server.url}/y`)).toBeUndefined();

    time.now = until;
    expect(upstream.unavailableUntil(url)).toBeUndefined();
    await problemOf(upstream.ask({ method: 'GET', url }));
    expect(server.count('/x')).toBe(2);
  });

  it('of a redirect target is remembered for the address that led there', async () => {
    const [home, away] = [await fake(), await fake()];
    home.at('/x', { status: 302, headers: { location: `${away.url}/file?signature=1` } });
    away.at('/file', { status: 503, headers: { 'retry-after': '60' } });
    const upstream = upstreamAt(home.url, { hosts: ['127.0.0.1'] });
    const problem = await problemOf(upstream.ask({ method: 'GET', url: `${home.url}/x` }));
    expect(problem.retryAfterSeconds).toBe(60);
    expect(upstream.unavailableUntil(`${home.url}/x`)).toBeDefined();
    await problemOf(upstream.ask({ method: 'GET', url: `${home.url}/x` }));
    expect([home.count(), away.count()]).toEqual([1, 1]);
  });

  it('for one credential says nothing about another', async () => {
    const server = await fake();
    server.at('/x', ({ headers }) =>
      headers.authorization ? { body: 'ok' } : { status: 429, headers: { 'retry-after': '60' } },
    );
    const upstreams = upstreamsFor();
    const url = `${server.url}/x`;
    const anonymous = upstreams.open(settingsFor(server.url));
    const known = upstreams.open(settingsFor(server.url, { auth: { bearer: 't' } }));
    await problemOf(anonymous.ask({ method: 'GET', url }));
    expect(anonymous.unavailableUntil(url)).toBeDefined();
    expect(known.unavailableUntil(url)).toBeUndefined();
    expect(await textOf(await known.ask({ method: 'GET', url }))).toBe('ok');
  });

  it('is respected by those that were already waiting for their turn', async () => {
    const server = await fake();
    const stop = gate();
    later(() => stop.open());
    server.at('/x', { status: 429, headers: { 'retry-after': '60' }, holdHeaders: stop });
    const upstream = upstreamAt(server.url, { concurrency: 1 });
    const queue = heard('upstream.queue');
    const asked = ['', '?page=2', '?page=3'].map((query) =>
      problemOf(upstream.ask({ method: 'GET', url: `${server.url}/x${query}` })),
    );
    await stop.reached;
    expect(queue.at(-1)).toMatchObject({ waiting: 2, running: 1 });
    stop.open();
    const problems = await Promise.all(asked);
    expect(problems.map(({ code, retryAfterSeconds }) => [code, retryAfterSeconds])).toEqual(
      Array(3).fill(['upstream_unavailable', 60]),
    );
    expect(server.count()).toBe(1);
  });

  it('cannot be asked of what is no address', () => {
    expect(upstreamAt('http://127.0.0.1:1').unavailableUntil('nothing')).toBeUndefined();
  });
});

describe('an upstream that is asked too much', () => {
  async function setUp(retryAfter: string | undefined) {
    const server = await fake();
    const time = { now: Date.parse('2026-03-01T12:00:00Z') };
    const limited = { status: 429, headers: { 'retry-after': retryAfter } };
    server.otherwise(({ path }) => (path.startsWith('/well') ? { body: 'ok' } : limited));
    const upstreams = upstreamsFor({ clock: () => time.now });
    const upstream = upstreams.open(settingsFor(server.url, { retries: 0, concurrency: 1 }));
    const ask = (path: string): Promise<Reply> => upstream.ask({ method: 'GET', url: `${server.url}${path}` });
    return { server, time, upstreams, upstream, ask };
  }

  it.each([
    ['20', 20],
    ['Sun, 01 Mar 2026 12:00:30 GMT', 30],
    ['3600', 60],
    [undefined, 5],
  ])('is left alone after the third refusal in a row, with Retry-After "%s" for %i s', async (header, seconds) => {
    const { server, time, upstream, ask } = await setUp(header);
    for (const path of ['/a', '/b', '/c']) await problemOf(ask(path));
    const problem = await problemOf(ask('/well'));
    expect([problem.code, problem.status, problem.retryAfterSeconds]).toEqual(['upstream_unavailable', 503, seconds]);
    expect(upstream.unavailableUntil(`${server.url}/well`)).toBe(time.now + seconds * 1000);
    expect(server.count()).toBe(3);
    time.now += seconds * 1000;
    expect(await textOf(await ask('/well'))).toBe('ok');
    await problemOf(ask('/d'));
    expect(await textOf(await ask('/well'))).toBe('ok');
  });

  it('is asked on for what it still answers', async () => {
    const { server, ask } = await setUp('60');
    for (const n of [1, 2, 3, 4]) {
      await problemOf(ask(`/a${n}`));
      await problemOf(ask(`/b${n}`));
      expect(await textOf(await ask('/well'))).toBe('ok');
    }
    expect(server.count()).toBe(12);
  });

  it.each([401, 500])('is left alone although it says %i in between', async (status) => {
    const { server, ask } = await setUp('60');
    server.at('/other', { status });
    for (const path of ['/a', '/other', '/b', '/other', '/c']) await problemOf(ask(path));
    await problemOf(ask('/well'));
    expect(server.count('/well')).toBe(0);
  });

  it('is asked on with other credentials', async () => {
    const { server, upstreams, ask } = await setUp('60');
    for (const path of ['/a', '/b', '/c']) await problemOf(ask(path));
    const known = upstreams.open(settingsFor(server.url, { auth: { bearer: 't' } }));
    expect(await textOf(await known.ask({ method: 'GET', url: `${server.url}/well` }))).toBe('ok');
  });

  it('is not asked by the crowd that was waiting when it said so', async () => {
    const { server, ask } = await setUp('60');
    const asked = await Promise.all(Array.from({ length: 50 }, (_, n) => problemOf(ask(`/${n}`))));
    expect(server.count()).toBe(3);
    expect(asked.every(({ retryAfterSeconds }) => retryAfterSeconds === 60)).toBe(true);
  });
});

describe('the breaker', () => {
  const breaker = { failures: 4, windowMs: 60_000, openMs: 30_000, probeTimeoutMs: 5000 };

  async function setUp(more: Partial<UpstreamSettings> = {}) {
    const server = await fake();
    const time = { now: Date.now() };
    const settings = { breaker, retries: 0, concurrency: 1, ...more };
    const upstream = upstreamAt(server.url, settings, { clock: () => time.now });
    const states = heard('breaker');
    const ask = (path: string, more: Partial<Ask> = {}): Promise<Reply> =>
      upstream.ask({ method: 'GET', url: `${server.url}${path}`, ...more });
    const askTimes = async (path: string, times: number): Promise<void> => {
      for (let n = 0; n < times; n += 1) {
        const answer = await failureOf(ask(path));
        if (typeof answer === 'object' && answer !== null && 'discard' in answer) (answer as Reply).discard();
      }
    };
    server.at('/ok', { body: 'ok' });
    server.at('/ill', { status: 500 });
    return { server, time, upstream, states, ask, askTimes };
  }

  it('opens after too many failures and then answers at once, for every path', async () => {
    const { server, time, states, ask, askTimes } = await setUp();
    await askTimes('/ill', 4);
    time.now += 10_000;
    const problem = await problemOf(ask('/ok'));
    expect([problem.code, problem.retryAfterSeconds]).toEqual(['upstream_unavailable', 20]);
    expect(server.count()).toBe(4);
    expect(states).toEqual([{ origin: server.url, state: 'open' }]);
  });

  it.each([404, 401, 403, 408, 429, 501, 508])('does not care about status %i', async (status) => {
    const { server, states, askTimes } = await setUp();
    server.at('/no', { status, headers: { 'retry-after': '0' } });
    await askTimes('/no', 10);
    expect(server.count('/no')).toBe(10);
    expect(states).toEqual([]);
  });

  it('stays closed while most answers are well', async () => {
    const { states, askTimes } = await setUp();
    await askTimes('/ok', 8);
    await askTimes('/ill', 6);
    expect(states).toEqual([]);
    await askTimes('/ill', 2);
    expect(states.map(({ state }) => state)).toEqual(['open']);
  });

  it('counts connections that break, also in the middle of a body', async () => {
    const { server, states, ask } = await setUp();
    server.at('/cut', { body: 'hello', length: 100 });
    for (let n = 0; n < 4; n += 1) await failureOf(textOf(await ask('/cut')));
    expect(states.map(({ state }) => state)).toEqual(['open']);
  });

  it('counts time-outs and refused connections', async () => {
    const { server, states, askTimes } = await setUp();
    await server.stop();
    await askTimes('/ok', 4);
    await server.start();
    expect(states.map(({ state }) => state)).toEqual(['open']);
  });

  it('does not count clients that leave', async () => {
    const { server, states, ask } = await setUp();
    for (let n = 0; n < 6; n += 1) {
      const stop = gate();
      server.at('/slow', { body: 'x', holdHeaders: stop });
      const leaving = new AbortController();
      const asked = ask('/slow', { signal: leaving.signal });
      await stop.reached;
      leaving.abort();
      await failureOf(asked);
      stop.open();
    }
    expect(states).toEqual([]);
  });

  it('lets one probe through, and closes when that is answered', async () => {
    const { server, time, states, ask, askTimes } = await setUp();
    await askTimes('/ill', 4);
    time.now += 30_000;
    const stop = gate();
    server.at('/probe', { body: 'alive', holdHeaders: stop });
    const probe = ask('/probe').then(textOf);
    await stop.reached;
    const others = await Promise.all([problemOf(ask('/ok')), problemOf(ask('/ok'))]);
    expect(others.map(({ code }) => code)).toEqual(['upstream_unavailable', 'upstream_unavailable']);
    expect(server.count('/ok')).toBe(0);
    stop.open();
    expect(await probe).toBe('alive');
    expect(await textOf(await ask('/ok'))).toBe('ok');
    expect(states.map(({ state }) => state)).toEqual(['open', 'half-open', 'closed']);
  });

  it('is not held by a probe that stalls, and not moved by its late answer', async () => {
    const { server, time, states, ask, askTimes } = await setUp({ concurrency: 2 });
    await askTimes('/ill', 4);
    time.now += 30_000;
    const stop = gate();
    server.at('/probe', { status: 500, body: 'late', holdHeaders: stop });
    const probe = failureOf(ask('/probe'));
    await stop.reached;
    time.now += 5000;
    expect((await problemOf(ask('/ok'))).retryAfterSeconds).toBe(30);
    time.now += 30_000;
    expect(await textOf(await ask('/ok'))).toBe('ok');
    stop.open();
    await probe;
    await askTimes('/ill', 3);
    expect(states.map(({ state }) => state)).toEqual(['open', 'half-open', 'open', 'half-open', 'closed']);
  });

  it('ends a probe that stalls, so that the only connection is free for the next one', async () => {
    const { server, time, states, ask, askTimes } = await setUp({ breaker: { ...breaker, probeTimeoutMs: 100 } });
    await askTimes('/ill', 4);
    time.now += 30_000;
    const stop = gate();
    later(() => stop.open());
    server.at('/probe', { body: 'late', holdHeaders: stop });
    expect((await problemOf(ask('/probe'))).code).toBe('upstream_unavailable');
    time.now += 30_000;
    expect(await textOf(await ask('/ok'))).toBe('ok');
    expect(states.map(({ state }) => state)).toEqual(['open', 'half-open', 'open', 'half-open', 'closed']);
  });

  it('lets the next one probe when the client of the probe left', async () => {
    const { server, time, states, ask, askTimes } = await setUp();
    await askTimes('/ill', 4);
    time.now += 30_000;
    const stop = gate();
    later(() => stop.open());
    server.at('/probe', { body: 'x', holdHeaders: stop });
    const leaving = new AbortController();
    const probe = failureOf(ask('/probe', { signal: leaving.signal }));
    await stop.reached;
    leaving.abort();
    await probe;
    expect(await textOf(await ask('/ok'))).toBe('ok');
    expect(states.at(-1)?.state).toBe('closed');
  });

  it('refuses also those that were waiting when it opened', async () => {
    const server = await fake();
    const stop = gate();
    server.otherwise({ status: 500, holdHeaders: stop });
    const upstream = upstreamAt(server.url, { breaker: { ...breaker, failures: 1 }, concurrency: 1, retries: 0 });
    const asked = Array.from({ length: 5 }, () => problemOf(upstream.ask({ method: 'GET', url: `${server.url}/x` })));
    await stop.reached;
    stop.open();
    const problems = await Promise.all(asked);
    expect(problems.map(({ code }) => code)).toEqual(Array(5).fill('upstream_unavailable'));
    expect(server.count()).toBe(1);
  });

  it('has nothing to say about a further origin', async () => {
    const { server, askTimes } = await setUp();
    await askTimes('/ill', 4);
    const other = await fake();
    other.at('/ok', { body: 'ok' });
    const upstream = upstreamAt(other.url, { breaker });
    expect(await textOf(await upstream.ask({ method: 'GET', url: `${other.url}/ok` }))).toBe('ok');
    expect(server.count('/ok')).toBe(0);
  });
});

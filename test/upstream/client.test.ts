import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Reply } from '../../src/upstream/client.ts';
import { type FakeUpstream, gate, startFakeUpstream } from '../support/fake-upstream.ts';
import { eventually } from '../support/wait.ts';
import { failureOf, heard, later, problemOf, settingsFor, textOf, upstreamAt, upstreamsFor } from './asking.ts';

async function fake(): Promise<FakeUpstream> {
  const server = await startFakeUpstream();
  later(() => server.close());
  return server;
}

describe('an answer', () => {
  it.each([200, 201, 202, 206, 400, 404, 405, 409, 410, 412, 416, 422, 451, 501])(
    'with status %i is passed on with its body',
    async (status) => {
      const server = await fake();
      server.at('/x', { status, body: 'hello', headers: { etag: '"1"' } });
      const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x` });
      expect(reply.status).toBe(status);
      expect(reply.headers.etag).toBe('"1"');
      expect(reply.url).toBe(`${server.url}/x`);
      expect(await textOf(reply)).toBe('hello');
    },
  );

  it.each([
    [401, 'upstream_refused', undefined],
    [403, 'upstream_refused', undefined],
    [407, 'upstream_refused', undefined],
    [408, 'upstream_unavailable', 5],
    [429, 'upstream_unavailable', 5],
    [500, 'upstream_unavailable', 5],
    [502, 'upstream_unavailable', 5],
    [503, 'upstream_unavailable', 5],
    [504, 'upstream_unavailable', 5],
    [508, 'loop', undefined],
    [520, 'upstream_unavailable', 5],
    [300, 'upstream_invalid', undefined],
    [302, 'upstream_invalid', undefined],
    [305, 'upstream_invalid', undefined],
  ])('with status %i is the problem %s', async (status, code, retryAfterSeconds) => {
    const server = await fake();
    server.at('/x', { status, body: 'a page of trouble' });
    const problem = await problemOf(
      upstreamAt(server.url, { retries: 0 }).ask({ method: 'GET', url: `${server.url}/x` }),
    );
    expect([problem.code, problem.retryAfterSeconds]).toEqual([code, retryAfterSeconds]);
    expect(problem.message).toContain('inner');
    expect(problem.message).not.toContain(String(server.port));
    expect(problem.cause).toMatchObject({ code: `HTTP_${status}` });
    // Whatever was sent along does not keep the place in the queue.
    await eventually('the answer is over', () => server.inFlight === 0);
  });

  it('keeps its body as it was sent, coded or not', async () => {
    const server = await fake();
    server.at('/x', { body: 'hello', coding: 'gzip' });
    const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x` });
    expect(reply.headers['content-encoding']).toBe('gzip');
    const chunks: Buffer[] = [];
    for await (const chunk of reply.body) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(gzipSync('hello'))).toBe(true);
  });

  it.each([
    ['HEAD', 200],
    ['GET', 304],
    ['GET', 204],
  ] as const)('to %s with status %i has no body, and nobody has to read it', async (method, status) => {
    const server = await fake();
    server.at('/x', { status, body: status === 200 ? 'hello' : '', headers: { etag: '"1"' } });
    const upstream = upstreamAt(server.url, { concurrency: 1 });
    for (let n = 0; n < 3; n += 1) {
      const reply = await upstream.ask({ method, url: `${server.url}/x` });
      expect([reply.status, reply.headers.etag]).toEqual([status, '"1"']);
      if (n > 0) expect(await textOf(reply)).toBe('');
      if (n > 1) reply.discard();
    }
  });

  it('joins headers that may come twice, and takes the first of those that may not', async () => {
    const server = await fake();
    server.at('/x', {
      raw: 'HTTP/1.1 200 OK\r\nVary: a\r\nvary: b\r\nETag: "1"\r\nETag: "2"\r\n__proto__: x\r\nContent-Length: 0\r\n\r\n',
    });
    const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x` });
    expect(reply.headers.vary).toBe('a, b');
    expect(reply.headers.etag).toBe('"1"');
    reply.discard();
  });
});

describe('a request', () => {
  it('carries our name, Via, the id, and what was asked for', async () => {
    const server = await fake();
    server.at('/x', { body: 'x' });
    const reply = await upstreamAt(server.url).ask({
      method: 'GET',
      url: `${server.url}/x?a=%20b#c`,
      headers: { accept: 'text/plain', via: '1.1 front', 'user-agent': 'npm', 'if-none-match': '"1"' },
      requestId: 'r-1',
    });
    reply.discard();
    const [seen] = server.requests;
    expect(seen?.url).toBe('/x?a=%20b');
    expect(seen?.headers).toMatchObject({
      accept: 'text/plain',
      via: '1.1 front, 1.1 larder',
      'user-agent': 'Larder/test',
      'x-request-id': 'r-1',
      'if-none-match': '"1"',
      host: `127.0.0.1:${server.port}`,
    });
    expect(seen?.headers.authorization).toBeUndefined();
  });

  it('does not carry headers that belong to another connection', async () => {
    const server = await fake();
    server.at('/x', { body: 'x' });
    const reply = await upstreamAt(server.url).ask({
      method: 'GET',
      url: `${server.url}/x`,
      headers: { host: 'evil.example', connection: 'close', te: 'trailers', 'proxy-authorization': 'Basic x' },
    });
    reply.discard();
    const headers = server.requests[0]?.headers ?? {};
    expect(headers.host).toBe(`127.0.0.1:${server.port}`);
    expect(headers).not.toHaveProperty('te');
    expect(headers).not.toHaveProperty('proxy-authorization');
    expect(headers.connection).toBe('keep-alive');
  });

  it('may have a body', async () => {
    const server = await fake();
    server.at('/audit', { body: '{}' });
    const body = gzipSync('{"left-pad":["1.0.0"]}');
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    const reply = await upstreamAt(server.url).ask({ method: 'POST', url: `${server.url}/audit`, headers, body });
    expect(await textOf(reply)).toBe('{}');
    expect(server.requests[0]?.method).toBe('POST');
    expect(server.requests[0]?.body.equals(body)).toBe(true);
    expect(server.requests[0]?.headers['content-encoding']).toBe('gzip');
  });

  it.each([
    ['a bearer token', { auth: { bearer: 't0k' } }, 'Bearer t0k'],
    ['a password', { auth: { username: 'u', password: 'p' } }, 'Basic dTpw'],
  ])('shows %s', async (_what, more, expected) => {
    const server = await fake();
    server.at('/x', { body: 'x' });
    const reply = await upstreamAt(server.url, more).ask({ method: 'GET', url: `${server.url}/x` });
    reply.discard();
    expect(server.requests[0]?.headers.authorization).toBe(expected);
  });

  it('shows credentials written in the address, which appear nowhere else', async () => {
    const server = await fake();
    server.at('/x', { body: 'x' });
    const upstream = upstreamAt(server.url.replace('//', '//u:p@'));
    const reply = await upstream.ask({ method: 'GET', url: `${server.url}/x` });
    reply.discard();
    expect(server.requests[0]?.headers.authorization).toBe('Basic dTpw');
    expect(upstream.url).toBe(server.url);
  });

  it.each([
    ['/npm/../other'],
    ['/npm/%2e%2E/other'],
    ['/npm/..'],
    ['/npm/.%2e?x'],
    ['/npm\\..\\other'],
    ['/npm/.\t./other'],
  ])('for %j never leaves, because it would leave its folder', async (path) => {
    const server = await fake();
    const problem = await problemOf(
      upstreamAt(`${server.url}/npm/`).ask({ method: 'GET', url: `${server.url}${path}` }),
    );
    expect(problem.code).toBe('upstream_invalid');
    expect(server.count()).toBe(0);
  });

  it.each(['', 'nothing', 'http://', 'http://[', 'file:///etc/passwd', 'http://user:pw@127.0.0.1/'])(
    'for "%s" is the problem upstream_invalid',
    async (url) => {
      expect((await problemOf(upstreamAt('http://127.0.0.1:1').ask({ method: 'GET', url }))).code).toBe(
        'upstream_invalid',
      );
    },
  );

  it('with a header that cannot be sent is our mistake and no trouble with upstream', async () => {
    const server = await fake();
    const retries = heard('upstream.retry');
    const error = await failureOf(
      upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x`, headers: { accept: 'a\nb' } }),
    );
    expect(error).toMatchObject({ code: 'UND_ERR_INVALID_ARG' });
    expect(retries).toEqual([]);
  });
});

describe('an upstream', () => {
  it('is known by address and credentials', async () => {
    const upstreams = upstreamsFor();
    const plain = upstreams.open(settingsFor('https://a.example/npm/'));
    expect(plain.url).toBe('https://a.example/npm');
    expect(plain.name).toBe('inner');
    expect(upstreams.open(settingsFor('https://a.example/npm')).identity).toBe(plain.identity);
    expect(upstreams.open(settingsFor('https://u:p@a.example/npm')).identity).toBe(
      upstreams.open(settingsFor('https://a.example/npm', { auth: { username: 'u', password: 'p' } })).identity,
    );
    expect(upstreams.open(settingsFor('https://u:p@a.example/npm')).identity).not.toBe(plain.identity);
  });
});

describe('an ask that is aborted', () => {
  it.each([
    ['before it starts', 'never'],
    ['while upstream thinks', 'headers'],
    ['while the body comes', 'body'],
  ] as const)('%s rejects with the reason and frees its place', async (_when, phase) => {
    const server = await fake();
    const stop = gate();
    later(() => stop.open());
    server.at('/x', phase === 'headers' ? { holdHeaders: stop } : { body: 'hello', hold: { at: 2, until: stop } });
    server.at('/y', { body: 'y' });
    const upstream = upstreamAt(server.url, { concurrency: 1 });
    const leaving = new AbortController();
    const reason = new Error('gone');
    if (phase === 'never') leaving.abort(reason);
    const asked = upstream.ask({ method: 'GET', url: `${server.url}/x`, signal: leaving.signal });
    if (phase === 'body') {
      const reading = textOf(await asked);
      await stop.reached;
      leaving.abort(reason);
      expect(await failureOf(reading)).toBe(reason);
    } else {
      if (phase === 'headers') {
        await stop.reached;
        leaving.abort(reason);
      }
      expect(await failureOf(asked)).toBe(reason);
    }
    expect(await textOf(await upstream.ask({ method: 'GET', url: `${server.url}/y` }))).toBe('y');
  });
});

describe('what happened', () => {
  it('is published: answer, bytes, queue and quota', async () => {
    const server = await fake();
    server.at('/x', {
      body: Buffer.alloc(100_000),
      headers: { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' },
    });
    const [responses, failures, bytes] = [
      heard('upstream.response'),
      heard('upstream.failure'),
      heard('upstream.bytes'),
    ];
    const [queue, quota] = [heard('upstream.queue'), heard('upstream.quota')];
    const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x`, requestId: 'r-1' });
    const busy = { waiting: 0, running: 1 };
    expect(queue.at(-1)).toEqual({ upstream: 'inner', ...busy, own: busy });
    await textOf(reply);
    await eventually('the place is free', () => queue.at(-1)?.running === 0);
    expect(responses).toEqual([
      {
        exchange: expect.any(Number),
        upstream: 'inner',
        origin: server.url,
        method: 'GET',
        status: 200,
        durationMs: expect.any(Number),
        requestId: 'r-1',
      },
    ]);
    expect(bytes.reduce((sum, event) => sum + event.bytes, 0)).toBe(100_000);
    expect(quota).toEqual([{ upstream: 'inner', limit: 100, remaining: 76 }]);
    expect(failures).toEqual([]);
  });

  it('counts the bytes of answers that nobody wants to read', async () => {
    const server = await fake();
    server.at('/x', { status: 404, body: 'nothing here' });
    server.at('/y', { status: 503, body: 'not now' });
    const [bytes, queue] = [heard('upstream.bytes'), heard('upstream.queue')];
    const upstream = upstreamAt(server.url, { retries: 0 });
    (await upstream.ask({ method: 'GET', url: `${server.url}/x` })).discard();
    await problemOf(upstream.ask({ method: 'GET', url: `${server.url}/y` }));
    await eventually('both are over', () => queue.at(-1)?.running === 0);
    expect(bytes.reduce((sum, event) => sum + event.bytes, 0)).toBe(server.bytesSent);
  });

  it.each([
    ['left', ({ body }: Reply) => body.destroy()],
    ['discarded', (reply: Reply) => reply.discard()],
    ['aborted', (_reply: Reply, leaving: AbortController) => leaving.abort(new Error('gone'))],
  ])('counts the bytes of an answer that had come when it was %s', async (_what, leave) => {
    const server = await fake();
    server.at('/x', { raw: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello' });
    const [bytes, queue] = [heard('upstream.bytes'), heard('upstream.queue')];
    const leaving = new AbortController();
    const { signal } = leaving;
    const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x`, signal });
    leave(reply, leaving);
    await eventually('the place is free', () => queue.at(-1)?.running === 0);
    expect(bytes.reduce((sum, event) => sum + event.bytes, 0)).toBe(5);
  });

  it.each([
    ['left', ({ body }: Reply) => body.destroy()],
    ['left with an error', ({ body }: Reply) => body.destroy(new Error('too long'))],
    ['discarded it', (reply: Reply) => reply.discard()],
    ['aborted the request', (_reply: Reply, leaving: AbortController) => leaving.abort(new Error('gone'))],
  ])('is not published when we %s ourselves', async (_what, leave) => {
    const server = await fake();
    const stop = gate();
    later(() => stop.open());
    server.at('/x', { body: 'hello', hold: { at: 2, until: stop } });
    const [failures, queue] = [heard('upstream.failure'), heard('upstream.queue')];
    const leaving = new AbortController();
    const { signal } = leaving;
    const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x`, signal });
    leave(reply, leaving);
    await eventually('the place is free', () => queue.at(-1)?.running === 0);
    expect(failures).toEqual([]);
  });
});

describe('a body', () => {
  async function held() {
    const server = await fake();
    const stop = gate();
    later(() => stop.open());
    server.at('/x', { body: 'hello', hold: { at: 2, until: stop } });
    server.at('/y', { body: 'y' });
    const upstream = upstreamAt(server.url, { concurrency: 1 });
    const reply = await upstream.ask({ method: 'GET', url: `${server.url}/x` });
    const next = async (): Promise<string> => textOf(await upstream.ask({ method: 'GET', url: `${server.url}/y` }));
    return { server, stop, reply, next };
  }

  it('keeps its place in the queue until it has ended', async () => {
    const { server, stop, reply, next } = await held();
    const following = next();
    await stop.reached;
    expect(server.count('/y')).toBe(0);
    stop.open();
    expect(await textOf(reply)).toBe('hello');
    expect(await following).toBe('y');
  });

  it('frees its place when it is discarded, however slow it is', async () => {
    const { reply, next } = await held();
    reply.discard();
    reply.discard();
    expect(await next()).toBe('y');
  });

  it('that is destroyed frees its place, and ends whoever reads it with that error', async () => {
    const { stop, reply, next } = await held();
    const reading = textOf(reply);
    await stop.reached;
    const reason = new Error('not this one');
    reply.body.destroy(reason);
    expect(await failureOf(reading)).toBe(reason);
    expect(await next()).toBe('y');
  });

  it('that is destroyed without an error ends its reader with a code', async () => {
    const { stop, reply } = await held();
    const reading = textOf(reply);
    await stop.reached;
    reply.body.destroy();
    expect(await failureOf(reading)).toMatchObject({ code: 'UPSTREAM_ABORTED' });
  });

  it('that is left in the middle frees its place at once', async () => {
    const { reply, next } = await held();
    for await (const chunk of reply.body) {
      expect(chunk.toString()).toBe('he');
      break;
    }
    expect(await next()).toBe('y');
  });

  it('of a large discarded answer costs a connection rather than its bytes', async () => {
    const server = await fake();
    const size = 64 * 1024 * 1024;
    server.at('/x', { body: Buffer.alloc(size), headers: {} });
    const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x` });
    reply.discard();
    await eventually('the answer is over', () => server.inFlight === 0);
    expect(server.bytesSent).toBeLessThan(size / 2);
  });
});

describe('closing', () => {
  it('lets a running answer end, and takes no new ones', async () => {
    const server = await fake();
    const stop = gate();
    server.at('/x', { body: 'hello', hold: { at: 2, until: stop } });
    const upstreams = upstreamsFor();
    const upstream = upstreams.open(settingsFor(server.url));
    const reading = textOf(await upstream.ask({ method: 'GET', url: `${server.url}/x` }));
    await stop.reached;
    const closed = upstreams.close();
    const problem = await problemOf(upstream.ask({ method: 'GET', url: `${server.url}/x` }));
    expect(problem.code).toBe('busy');
    stop.open();
    expect(await reading).toBe('hello');
    await closed;
    await upstreams.close();
  });

  it('ends who was going to ask again', async () => {
    const server = await fake();
    server.at('/x', { status: 503, headers: { 'retry-after': '1' } });
    const upstreams = upstreamsFor();
    const retries = heard('upstream.retry');
    const asked = problemOf(upstreams.open(settingsFor(server.url)).ask({ method: 'GET', url: `${server.url}/x` }));
    await eventually('the first attempt failed', () => retries.length === 1);
    await upstreams.close();
    expect((await asked).code).toBe('busy');
    expect(server.count()).toBe(1);
  });
});

import { describe, expect, it } from 'vitest';
import { deadPort, failureOf, heard, problemOf, startRudeServer, textOf, upstreamAt } from './asking.ts';

const fine = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('a server', () => {
  it.each([
    ['that resets before its headers', (n: number) => n, 'cut', 'upstream_unavailable', 3],
    ['that closes in the middle of its headers', () => 'HTTP/1.1 200 OK\r\nContent-', 'cut', 'upstream_unavailable', 3],
    ['that talks no HTTP', () => 'SSH-2.0-OpenSSH_9.6\r\n\r\n', 'garbled', 'upstream_invalid', 1],
    [
      'that sends headers without end',
      () => `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`,
      'garbled',
      'upstream_invalid',
      1,
    ],
    ['that invents a status', () => 'HTTP/1.1 banana\r\n\r\n', 'garbled', 'upstream_invalid', 1],
    [
      'that says two lengths',
      () => 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx',
      'garbled',
      'upstream_invalid',
      1,
    ],
  ])('%s', async (_what, answer, kind, code, attempts) => {
    const server = await startRudeServer((socket, n) => {
      const text = answer(n);
      if (typeof text === 'number') socket.resetAndDestroy();
      else socket.end(text);
    });
    const [failures, retries] = [heard('upstream.failure'), heard('upstream.retry')];
    const problem = await problemOf(upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x` }));
    expect(problem.code).toBe(code);
    expect(problem.retryAfterSeconds).toBe(code === 'upstream_unavailable' ? 5 : undefined);
    expect(failures.map((failure) => failure.code)).toEqual(Array(attempts).fill(kind));
    expect(retries.map(({ attempt }) => attempt)).toEqual([1, 2].slice(0, attempts - 1));
    expect(server.connections).toBe(attempts);
  });

  it('that does not answer in time is not asked again', async () => {
    const server = await startRudeServer(() => {});
    const failures = heard('upstream.failure');
    const upstream = upstreamAt(server.url, { timeoutMs: 150 });
    const problem = await problemOf(upstream.ask({ method: 'GET', url: `${server.url}/x` }));
    expect([problem.code, problem.retryAfterSeconds]).toEqual(['upstream_unavailable', 5]);
    expect(failures.map(({ code }) => code)).toEqual(['timeout']);
    expect(server.connections).toBe(1);
  });

  it('that is not there is asked again, and then unavailable', async () => {
    const url = `http://127.0.0.1:${await deadPort()}`;
    const failures = heard('upstream.failure');
    const problem = await problemOf(upstreamAt(url).ask({ method: 'GET', url: `${url}/x` }));
    expect(problem.code).toBe('upstream_unavailable');
    expect(problem.message).not.toContain('127.0.0.1');
    expect(failures.map(({ code }) => code)).toEqual(['connect', 'connect', 'connect']);
  });

  it('whose name nobody knows is unavailable', async () => {
    const failures = heard('upstream.failure');
    const upstream = upstreamAt(
      'http://no.such.example',
      { retries: 0 },
      {
        lookup: (_name, _options, callback) =>
          callback(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }), []),
      },
    );
    const problem = await problemOf(upstream.ask({ method: 'GET', url: 'http://no.such.example/x' }));
    expect(problem.code).toBe('upstream_unavailable');
    expect(failures.map(({ code }) => code)).toEqual(['name']);
  });

  it('whose name takes too long to look up is unavailable', async () => {
    const failures = heard('upstream.failure');
    const more = { retries: 0, connectTimeoutMs: 100 };
    const upstream = upstreamAt('http://slow.example', more, { lookup: () => {} });
    const problem = await problemOf(upstream.ask({ method: 'GET', url: 'http://slow.example/x' }));
    expect(problem.code).toBe('upstream_unavailable');
    expect(failures.map(({ code }) => code)).toEqual(['connect']);
  });

  it('that recovers is asked until it answers', async () => {
    const server = await startRudeServer((socket, n) => (n < 3 ? socket.resetAndDestroy() : socket.write(fine)));
    const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x` });
    expect(await textOf(reply)).toBe('ok');
  });

  it('is not sent a POST twice', async () => {
    const server = await startRudeServer((socket, n) => (n < 2 ? socket.resetAndDestroy() : socket.write(fine)));
    const ask = { method: 'POST', url: `${server.url}/x`, body: Buffer.from('{}') } as const;
    const problem = await problemOf(upstreamAt(server.url).ask(ask));
    expect(problem.code).toBe('upstream_unavailable');
    expect(server.connections).toBe(1);
  });
});

describe('an idle connection that the server closes', () => {
  const script = (cuts: number) => {
    let requests = 0;
    return startRudeServer((socket) => {
      requests += 1;
      if (requests > 1 && requests <= 1 + cuts) socket.resetAndDestroy();
      else socket.write(fine);
    });
  };

  it('costs neither the client an error nor the server its reputation', async () => {
    const server = await script(1);
    const more = { retries: 0, breaker: { failures: 1, windowMs: 60_000, openMs: 30_000, probeTimeoutMs: 5000 } };
    const upstream = upstreamAt(server.url, more);
    for (let n = 0; n < 3; n += 1) {
      expect(await textOf(await upstream.ask({ method: 'GET', url: `${server.url}/x` }))).toBe('ok');
    }
  });

  it('is forgiven once', async () => {
    const server = await script(2);
    const breaker = heard('breaker');
    const more = { retries: 0, breaker: { failures: 1, windowMs: 60_000, openMs: 30_000, probeTimeoutMs: 5000 } };
    const upstream = upstreamAt(server.url, more);
    (await upstream.ask({ method: 'GET', url: `${server.url}/x` })).discard();
    const problem = await problemOf(upstream.ask({ method: 'GET', url: `${server.url}/x` }));
    expect(problem.code).toBe('upstream_unavailable');
    expect(breaker.map(({ state }) => state)).toEqual(['open']);
  });

  it('is not forgiven for a POST, which must not be sent twice', async () => {
    const server = await script(1);
    const upstream = upstreamAt(server.url);
    (await upstream.ask({ method: 'GET', url: `${server.url}/x` })).discard();
    const body = Buffer.from('{}');
    const problem = await problemOf(upstream.ask({ method: 'POST', url: `${server.url}/x`, body }));
    expect(problem.code).toBe('upstream_unavailable');
  });
});

describe('a body', () => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  const close = 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n';

  it.each([
    ['shorter than its length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'end', 'UPSTREAM_CUT', 'cut'],
    [
      'shorter than its length, on a connection that closes',
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nabc',
      'end',
      'UPSTREAM_CUT',
      'cut',
    ],
    ['without its last chunk', `${chunked}3\r\nabc\r\n`, 'end', 'UPSTREAM_CUT', 'cut'],
    ['without its last chunk, on a connection that closes', `${close}3\r\nabc\r\n`, 'end', 'UPSTREAM_CUT', 'cut'],
    ['cut within a chunk', `${chunked}8\r\nabc`, 'end', 'UPSTREAM_CUT', 'cut'],
    ['reset in the middle', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'reset', 'UPSTREAM_CUT', 'cut'],
    ['that stalls', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'stall', 'UPSTREAM_STALLED', 'stalled'],
    ['whose chunks make no sense', `${chunked}3\r\nabc\r\nbanana\r\n`, 'stall', 'UPSTREAM_GARBLED', 'garbled'],
  ] as const)('%s fails with a code', async (_what, text, then, code, kind) => {
    const server = await startRudeServer((socket) => {
      socket.write(text, () => {
        if (then === 'end') socket.end();
        // Only once the bytes are out, or the reset would overtake them.
        if (then === 'reset') setImmediate(() => socket.resetAndDestroy());
      });
    });
    const [failures, queue] = [heard('upstream.failure'), heard('upstream.queue')];
    const upstream = upstreamAt(server.url, { timeoutMs: 200, retries: 2 });
    const reply = await upstream.ask({ method: 'GET', url: `${server.url}/x` });
    expect(await failureOf(textOf(reply))).toMatchObject({ code, cause: expect.any(Error) });
    expect(failures.map((failure) => failure.code)).toEqual([kind]);
    expect(queue.at(-1)?.running).toBe(0);
    // A body is the caller's to ask for again.
    expect(server.connections).toBe(1);
  });

  it('that breaks while nobody reads it is no unhandled error', async () => {
    const server = await startRudeServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', () => socket.end());
    });
    const failures = heard('upstream.failure');
    const reply = await upstreamAt(server.url).ask({ method: 'GET', url: `${server.url}/x` });
    await expect.poll(() => failures.length).toBe(1);
    expect(await failureOf(textOf(reply))).toMatchObject({ code: 'UPSTREAM_CUT' });
  });

  it('that arrives too slowly for its reader is not a stalled one', async () => {
    const size = 4 * 1024 * 1024;
    const server = await startRudeServer((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      socket.write(Buffer.alloc(size));
    });
    const reply = await upstreamAt(server.url, { timeoutMs: 100 }).ask({ method: 'GET', url: `${server.url}/x` });
    let received = 0;
    for await (const chunk of reply.body) {
      // The first pause is longer than upstream may be silent: it is we who are slow.
      if (received === 0) await new Promise((resolve) => setTimeout(resolve, 300));
      received += chunk.length;
    }
    expect(received).toBe(size);
  });
});

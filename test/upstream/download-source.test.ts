import { describe, expect, test } from 'vitest';
import { gate, type Reply, type SeenRequest } from '../support/fake-upstream.ts';
import { expectBytes, hear, readAll, sample, scene, sha256 } from './download-scene.ts';

const body = sample(300_000);
const nothing = Buffer.alloc(0);
const old = { 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT', date: 'Tue, 02 Jan 2024 00:00:00 GMT' };

/** What the fake upstream was asked, the first time aside. */
function resumes(requests: readonly SeenRequest[]): Record<string, string | undefined>[] {
  return requests.slice(1).map(({ headers }) => ({ range: headers.range, ifRange: headers['if-range'] }));
}

describe('a body that breaks off', () => {
  test('goes on where it stopped, as often as it takes, and nobody notices', async () => {
    const { upstream, start, stages } = await scene();
    const heard = hear('download.resume');
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000, 100_001, 250_000] });
    const download = start();
    expectBytes(await readAll(download), body);
    expect(await download.done).toMatchObject({ stored: true });
    expectBytes(stages.blobs.get(sha256(body)) ?? nothing, body);
    expect(resumes(upstream.requests)).toEqual([
      { range: 'bytes=100000-', ifRange: '"1"' },
      { range: 'bytes=100001-', ifRange: '"1"' },
      { range: 'bytes=250000-', ifRange: '"1"' },
    ]);
    expect(heard.map(({ event }) => event)).toMatchObject([
      { offset: 100_000 },
      { offset: 100_001 },
      { offset: 250_000 },
    ]);
  });

  test('goes on after a stall', async () => {
    const { upstream, start } = await scene({ client: { timeoutMs: 50 } });
    const hold = gate();
    upstream.at('/file', { body, etag: '"1"', hold: { at: 1000, until: hold } }, { body, etag: '"1"' });
    expectBytes(await readAll(start()), body);
    expect(resumes(upstream.requests)).toEqual([{ range: 'bytes=1000-', ifRange: '"1"' }]);
    hold.open();
  });

  test('goes on while upstream is away for a moment', async () => {
    const { upstream, start } = await scene();
    upstream.at(
      '/file',
      { body, etag: '"1"', cuts: [100_000] },
      { hangUp: true },
      { status: 503 },
      { body, etag: '"1"' },
    );
    expectBytes(await readAll(start()), body);
    expect(upstream.count('/file')).toBe(4);
  });

  test('does not go on when upstream wants to be left alone for long', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000] }, { status: 503, headers: { 'retry-after': '3600' } });
    await expect(readAll(start())).rejects.toMatchObject({ code: 'upstream_unavailable', retryAfterSeconds: 3600 });
    expect(upstream.count('/file')).toBe(2);
  });

  test('does not go on when upstream refuses', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000] }, { status: 403 });
    await expect(readAll(start())).rejects.toMatchObject({ code: 'upstream_refused' });
    expect(upstream.count('/file')).toBe(2);
  });

  test('goes on only so often', async () => {
    const { upstream, start } = await scene({ maxResumes: 3 });
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000, 100_001, 100_002, 100_003, 100_004] });
    const download = start();
    await expect(readAll(download)).rejects.toMatchObject({ code: 'upstream_unavailable', status: 503 });
    await expect(download.done).rejects.toThrow();
    expect(upstream.count('/file')).toBe(4);
  });

  test('asks once each time, whatever the client of upstream would do by itself', async () => {
    const { upstream, start } = await scene({ maxResumes: 2, client: { retries: 3 } });
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000] }, { status: 503 });
    await expect(readAll(start())).rejects.toMatchObject({ code: 'upstream_unavailable' });
    expect(upstream.count('/file')).toBe(3);
  });

  test('that came plain goes on plain, although a coding was offered at first', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000] });
    expectBytes(await readAll(start({ decode: true })), body);
    expect(upstream.requests.map(({ headers }) => headers['accept-encoding'])).toEqual(['gzip, br, zstd', 'identity']);
  });

  test('goes on without conditions of the first request', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000] });
    const headers = { 'if-none-match': '"0"', 'if-modified-since': 'Mon, 01 Jan 2024 00:00:00 GMT', accept: 'a/b' };
    expectBytes(await readAll(start({ headers })), body);
    expect(upstream.requests[0]?.headers['if-none-match']).toBe('"0"');
    expect(upstream.requests[1]?.headers).toMatchObject({ accept: 'a/b', 'accept-encoding': 'identity' });
    expect(upstream.requests[1]?.headers['if-none-match']).toBeUndefined();
    expect(upstream.requests[1]?.headers['if-modified-since']).toBeUndefined();
  });

  test('that broke before its first byte is asked for again, validators or not', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body, cuts: [0, 0] });
    expectBytes(await readAll(start()), body);
    expect(resumes(upstream.requests)).toEqual([{}, {}]);
  });

  test('of unknown length goes on, also when only its end is missing', async () => {
    const { upstream, start } = await scene();
    for (const cuts of [[100_000], [body.length], [100_000, body.length]]) {
      upstream.at('/file', { body, length: false, etag: '"1"', cuts });
      const download = start();
      expectBytes(await readAll(download), body);
      expect(await download.done).toMatchObject({ stored: true });
      expect(upstream.count('/file')).toBe(2);
    }
  });

  test('goes on after a part that upstream made shorter than asked', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000] }, (request) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0]);
      const part = body.subarray(from, from + 60_000);
      const range = `bytes ${from}-${from + part.length - 1}/${body.length}`;
      return { status: 206, body: part, headers: { 'content-range': range }, etag: '"1"' };
    });
    expectBytes(await readAll(start()), body);
    expect(upstream.count('/file')).toBe(5);
  });

  test('does not wait when the last reader leaves during the pause', async () => {
    const { upstream, start, downloads } = await scene({ backoffMs: 60_000, maxBackoffMs: 60_000 });
    const heard = hear('download.end');
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000] });
    const download = start({ keepGoing: false });
    const reader = download.read();
    await reader.next();
    await reader.return();
    await expect(download.done).rejects.toMatchObject({ code: 'upstream_unavailable' });
    expect(heard[0]?.event).toMatchObject({ outcome: 'abandoned' });
    expect(downloads.active).toBe(0);
  });
});

/** First answer, what follows a cut in its middle, what else is known; then how it must end. */
interface Row {
  readonly first: Reply;
  readonly second: Reply;
  readonly expectDigest?: boolean;
  /** Headers of the request to go on. */
  readonly asked?: { readonly range?: string; readonly ifRange?: string };
  readonly works: boolean;
  readonly requests?: number;
}

const other = Buffer.from(body).reverse();
const middle = 'bytes=100000-';
const rows: Record<string, Row> = {
  'a strong ETag': {
    first: { etag: '"1"' },
    second: { etag: '"1"' },
    asked: { range: middle, ifRange: '"1"' },
    works: true,
  },
  'a weak ETag alone': { first: { etag: 'W/"1"' }, second: { etag: 'W/"1"' }, works: false, requests: 1 },
  'a weak ETag and a digest': {
    first: { etag: 'W/"1"' },
    second: { etag: 'W/"1"' },
    expectDigest: true,
    asked: { range: middle },
    works: true,
  },
  'a date that is old enough': {
    first: { headers: old, lastModified: old['last-modified'] },
    second: { headers: old, lastModified: old['last-modified'] },
    asked: { range: middle, ifRange: old['last-modified'] },
    works: true,
  },
  'a date that is too fresh': {
    first: { headers: { ...old, date: 'Mon, 01 Jan 2024 00:00:30 GMT' } },
    second: { headers: old },
    works: false,
    requests: 1,
  },
  nothing: { first: {}, second: {}, works: false, requests: 1 },
  'a digest alone': { first: {}, second: {}, expectDigest: true, asked: { range: middle }, works: true },
  'no ranges but a strong ETag': { first: { etag: '"1"' }, second: { etag: '"1"', ranges: false }, works: true },
  'no ranges but a digest': { first: {}, second: { ranges: false }, expectDigest: true, works: true },
  'no ranges and a date only': {
    first: { headers: old, lastModified: old['last-modified'] },
    second: { headers: old, ranges: false },
    works: false,
    requests: 2,
  },
  'another ETag by now': { first: { etag: '"1"' }, second: { etag: '"2"', body: other }, works: false, requests: 2 },
  'another ETag by now, and a digest that decides': {
    first: { etag: '"1"' },
    second: { etag: '"2"' },
    expectDigest: true,
    asked: { range: middle, ifRange: '"1"' },
    works: true,
  },
  'another file by now, and a digest that decides': {
    first: { etag: '"1"' },
    second: { etag: '"2"', body: other },
    expectDigest: true,
    works: false,
    requests: 2,
  },
  'another length by now': {
    first: { etag: '"1"' },
    second: { etag: '"2"', body: body.subarray(1) },
    expectDigest: true,
    works: false,
    requests: 2,
  },
  'a whole answer that is shorter than what came before': {
    first: { etag: '"1"' },
    second: { etag: '"1"', length: false, ranges: false, body: body.subarray(0, 50_000) },
    works: false,
    requests: 2,
  },
  'a whole answer that is longer than it was': {
    first: { etag: '"1"' },
    second: { etag: '"1"', length: false, ranges: false, body: Buffer.concat([body, body]) },
    works: false,
    requests: 2,
  },
  'a 404': { first: { etag: '"1"' }, second: { status: 404 }, works: false, requests: 2 },
};

describe('a body that broke off in the middle, with', () => {
  test.each(Object.entries(rows))('%s', async (_name, row) => {
    const { upstream, start, stages } = await scene();
    const holdBack = gate();
    upstream.at(
      '/file',
      { body, cuts: [100_000], hold: { at: 100_000, until: holdBack }, ...row.first },
      { body, ...row.second },
    );
    const download = start(row.expectDigest ? { expected: [sha256(body)] } : {});
    const reader = download.read();
    const chunks: Buffer[] = [];
    const reading = (async () => {
      for await (const chunk of reader) {
        chunks.push(chunk);
        // Not before somebody has bytes: there is no way back then.
        holdBack.open();
      }
    })();
    if (row.works) {
      await reading;
      expectBytes(Buffer.concat(chunks), body);
      expect(await download.done).toMatchObject({ stored: true });
    } else {
      await expect(reading).rejects.toMatchObject({ code: 'upstream_invalid' });
      const received = Buffer.concat(chunks);
      expect(received.length).toBeLessThan(body.length);
      expect(stages.blobs.size).toBe(0);
    }
    if (row.asked)
      expect(resumes(upstream.requests)[0]).toEqual({ range: undefined, ifRange: undefined, ...row.asked });
    if (row.requests !== undefined) expect(upstream.count('/file')).toBe(row.requests);
  });

  const answers: Record<string, Reply> = {
    'another start': { headers: { 'content-range': `bytes 99999-299999/${body.length}` }, body: body.subarray(99_999) },
    'another total': {
      headers: { 'content-range': `bytes 100000-299999/${body.length + 1}` },
      body: body.subarray(100_000),
    },
    'no total': { headers: { 'content-range': 'bytes 100000-299999/*' }, body: body.subarray(100_000) },
    'no range at all': { body: body.subarray(100_000) },
    'nonsense for a range': { headers: { 'content-range': 'bytes 100000-99999/300000' }, body: body.subarray(100_000) },
    'another ETag': {
      headers: { 'content-range': `bytes 100000-299999/${body.length}` },
      body: other.subarray(100_000),
      etag: '"2"',
    },
    'a coding': {
      headers: { 'content-range': `bytes 100000-299999/${body.length}` },
      coding: 'gzip',
      body: body.subarray(100_000),
    },
  };

  test.each(Object.entries(answers))(
    'a part with %s, which is not used, and all of it when asked again',
    async (_name, bad) => {
      const { upstream, start } = await scene();
      upstream.at('/file', { body, etag: '"1"', cuts: [100_000] }, { status: 206, ...bad }, { body, etag: '"1"' });
      expectBytes(await readAll(start()), body);
      expect(resumes(upstream.requests)).toEqual([{ range: middle, ifRange: '"1"' }, {}]);
    },
  );

  test('a part that is wrong every time, until it is given up', async () => {
    const { upstream, start } = await scene();
    const bad: Reply = { status: 206, body: 'x', headers: { 'content-range': 'bytes 0-0/300000' } };
    upstream.at('/file', { body, etag: '"1"', cuts: [100_000] }, bad);
    await expect(readAll(start())).rejects.toMatchObject({ code: 'upstream_unavailable' });
    expect(upstream.count('/file')).toBe(6);
  });
});

test('a body without any validator that breaks before a reader has bytes is downloaded from scratch, once', async () => {
  const { upstream, start, stages } = await scene();
  const small = sample(1000);
  upstream.at('/file', { body: small, cuts: [500] });
  const download = start();
  expectBytes(await readAll(download), small);
  await download.done;
  expect(resumes(upstream.requests)).toEqual([{}]);
  expect(stages.blobs.size).toBe(1);

  upstream.at('/file', { body: small, cuts: [500, 400] });
  await expect(readAll(start())).rejects.toMatchObject({ code: 'upstream_invalid' });
  expect(upstream.count('/file')).toBe(2);
});

test('an answer that stops being HTTP is no cut: it is not asked to go on', async () => {
  const { upstream, start } = await scene();
  const heard = hear('download.resume');
  upstream.at('/file', { raw: 'HTTP/1.1 200 OK\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n' });
  await expect(readAll(start())).rejects.toMatchObject({ code: 'upstream_invalid' });
  expect(heard).toEqual([]);
  // From scratch, once: nobody had a byte.
  expect(upstream.count('/file')).toBe(2);
});

test('pauses between attempts grow, with jitter, up to a limit', async () => {
  const { upstream, start } = await scene({ backoffMs: 8, maxBackoffMs: 32, random: () => 1, maxResumes: 4 });
  upstream.at('/file', { body, etag: '"1"', cuts: [100_000] }, { hangUp: true });
  const at: number[] = [];
  const heard = hear('download.resume');
  heard.push = (...more) => {
    at.push(performance.now());
    return Array.prototype.push.apply(heard, more);
  };
  const begin = performance.now();
  await expect(readAll(start())).rejects.toThrow();
  expect(heard).toHaveLength(4);
  // Timers never fire early, so the sum of 8, 16, 32 and 32 is a lower bound.
  expect((at.at(-1) ?? 0) - begin).toBeGreaterThanOrEqual(85);
});

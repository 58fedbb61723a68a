/** An upstream in trouble: never taken for absence, never remembered as it, and covered by what is stored. */
import { describe, expect, test } from 'vitest';
import { synthetic } from '../support/bytes.ts';
import { gate, type Reply } from '../support/fake-upstream.ts';
import type { Answer } from '../support/http.ts';
import { scene, untilStored } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

interface Trouble {
  readonly what: string;
  readonly reply: Reply;
  readonly status: number;
}

const never = gate();

const troubles: readonly Trouble[] = [
  { what: '401', reply: { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }, status: 502 },
  { what: '403', reply: { status: 403 }, status: 502 },
  { what: '407', reply: { status: 407 }, status: 502 },
  { what: '408', reply: { status: 408 }, status: 503 },
  { what: '429', reply: { status: 429, headers: { 'retry-after': '1' } }, status: 503 },
  { what: '500', reply: { status: 500 }, status: 503 },
  { what: '502', reply: { status: 502, body: '<html>Bad gateway</html>', contentType: 'text/html' }, status: 503 },
  { what: '503', reply: { status: 503 }, status: 503 },
  { what: '504', reply: { status: 504 }, status: 503 },
  { what: 'a connection closed instead of an answer', reply: { hangUp: true }, status: 503 },
  { what: 'silence', reply: { holdHeaders: never }, status: 503 },
];

function expectError(answer: Answer, status: number): void {
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(answer.json()).toMatchObject({ error: expect.stringMatching(/\w/) });
}

/** Nothing of the trouble is remembered; only who was told to wait waits. */
async function expectRecovery(request: () => Promise<Answer>, { reply }: Trouble): Promise<void> {
  if (reply.headers?.['retry-after'] === undefined) expect((await request()).status).toBe(200);
  else await eventually('the wait is over', async () => (await request()).status === 200);
}

describe('cold', () => {
  test.each(troubles)('a document answered with $what is $status, and asked for again the next time', async (row) => {
    const { registry, upstream, larder } = await scene({ upstream: { timeoutMs: 300 } });
    registry.publish({ name: 'lib', version: '1.0.0' });
    upstream.at('/lib', row.reply);
    expectError(await larder.npm('/lib'), row.status);
    expect(upstream.count('/lib')).toBeGreaterThan(0);
    upstream.at('/lib', { body: registry.document('lib'), contentType: 'application/json' });
    await expectRecovery(() => larder.npm('/lib'), row);
  });

  test.each(troubles)('a tarball answered with $what is $status, and asked for again the next time', async (row) => {
    const { registry, upstream, larder } = await scene({ upstream: { timeoutMs: 300 } });
    const { path, bytes } = registry.publish({ name: 'lib', version: '1.0.0' });
    upstream.at(path, row.reply);
    expectError(await larder.npm(path), row.status);
    expect(upstream.count(path)).toBeGreaterThan(0);
    upstream.at(path, { body: bytes });
    await expectRecovery(() => larder.npm(path), row);
  });

  test('an upstream that is not there is 503 with Retry-After', async () => {
    const { upstream, larder } = await scene();
    await upstream.stop();
    const answer = await larder.npm('/lib');
    expectError(answer, 503);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect((answer.json() as { error: string }).error).not.toContain('127.0.0.1');
  });

  test("upstream's Retry-After is passed on", async () => {
    const { upstream, larder } = await scene();
    upstream.at('/lib', { status: 429, headers: { 'retry-after': '17' } });
    const answer = await larder.npm('/lib');
    expectError(answer, 503);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(16);
    expect(Number(answer.headers['retry-after'])).toBeLessThanOrEqual(18);
  });

  test('a failure that passes is not seen by the client when retries are on', async () => {
    const { registry, upstream, larder } = await scene({ upstream: { retries: 2 } });
    registry.publish({ name: 'lib', version: '1.0.0' });
    const good = { body: registry.document('lib'), contentType: 'application/json' };
    upstream.at('/lib', { status: 503 }, { hangUp: true }, good);
    expect((await larder.npm('/lib')).status).toBe(200);
    expect(upstream.count('/lib')).toBe(3);
  });
});

describe('with a stored copy that is out of date', () => {
  test.each(troubles)('a document answered with $what comes from the store, marked as stale', async (row) => {
    const { registry, upstream, larder } = await scene({
      upstream: { timeoutMs: 300 },
      source: { ttl: '0s', staleWhileRevalidate: '0s' },
    });
    registry.publish({ name: 'lib', version: '1.0.0' });
    const before = await larder.npm('/lib');
    expect(before.status).toBe(200);
    upstream.at('/lib', row.reply);
    const answer = await larder.npm('/lib');
    expect(answer.status).toBe(200);
    expect(answer.text()).toBe(before.text());
    expect(answer.headers['x-larder-cache']).toBe('stale');
    expect(Number(answer.headers.age)).toBeGreaterThanOrEqual(0);
    expect(upstream.count('/lib')).toBeGreaterThan(0);
  });

  test('the copy is thrown away by no failure: afterwards it is revalidated, not fetched', async () => {
    const { registry, upstream, larder } = await scene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    const etag = '"v1"';
    const good = { body: registry.document('lib'), contentType: 'application/json', etag };
    upstream.at('/lib', good);
    await larder.npm('/lib');
    upstream.at('/lib', { status: 403 }, { status: 500 }, { hangUp: true }, { status: 408 }, good);
    for (let i = 0; i < 4; i++) expect((await larder.npm('/lib')).status).toBe(200);
    const answer = await larder.npm('/lib');
    expect(answer.headers['x-larder-cache']).toBe('revalidated');
    expect(upstream.requests.at(-1)?.headers['if-none-match']).toBe(etag);
  });

  test('past staleIfError the trouble is told', async () => {
    const { registry, upstream, larder } = await scene({
      source: { ttl: '0s', staleWhileRevalidate: '0s', staleIfError: '0s' },
    });
    registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    upstream.at('/lib', { status: 500 });
    expect((await larder.npm('/lib')).status).toBe(503);
  });

  test('a slow revalidation is not waited for longer than patience allows', async () => {
    const { registry, upstream, larder } = await scene({
      upstream: { timeoutMs: 20_000 },
      source: { ttl: '0s', staleWhileRevalidate: '0s', patience: '100ms' },
    });
    registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    const until = gate();
    upstream.at('/lib', { holdHeaders: until, body: registry.document('lib'), contentType: 'application/json' });
    const answer = await larder.npm('/lib');
    expect(answer.status).toBe(200);
    expect(answer.headers['x-larder-cache']).toBe('stale');
    until.open();
  });

  test('a tarball that is stored needs no upstream at all', async () => {
    const { registry, upstream, larder } = await scene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm(path);
    await untilStored(larder, path);
    await upstream.stop();
    expect(await larder.npm(path)).toMatchObject({ status: 200, headers: { 'x-larder-cache': 'hit' } });
  });
});

describe('the breaker', () => {
  const breaker = { failures: 3, window: '10s', open: '300ms', probeTimeout: '1s' };

  test('opens after real trouble only, answers 503 meanwhile, and closes after one good probe', async () => {
    const { registry, upstream, larder } = await scene({ upstream: { breaker } });
    registry.publish({ name: 'lib', version: '1.0.0' });
    upstream.at('/gone', { status: 404, body: {} });
    upstream.at('/secret', { status: 403 });
    for (let i = 0; i < 6; i++) await larder.npm(`/nothing-${i}`);
    for (let i = 0; i < 6; i++) await larder.npm('/secret');
    expect((await larder.npm('/lib')).status).toBe(200);

    upstream.at('/broken', { status: 500 });
    for (let i = 0; i < 20; i++) await larder.npm('/broken');
    const seen = upstream.requests.length;
    const refused = await larder.npm('/another');
    expect(refused.status).toBe(503);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(upstream.requests.length).toBe(seen);

    registry.publish({ name: 'another', version: '1.0.0' });
    await eventually(
      'the breaker lets requests through again',
      async () => (await larder.npm('/another')).status === 200,
    );
  });

  test('while it is open, stored documents are served', async () => {
    const { registry, upstream, larder } = await scene({
      upstream: { breaker },
      source: { ttl: '0s', staleWhileRevalidate: '0s' },
    });
    registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    await upstream.stop();
    for (let i = 0; i < 8; i++)
      expect(await larder.npm('/lib')).toMatchObject({ status: 200, headers: { 'x-larder-cache': 'stale' } });
  });
});

describe('in the middle of a body', () => {
  test('a cut is resumed and no client notices', async () => {
    const { registry, upstream, larder } = await scene();
    const bytes = synthetic(1_000_000);
    const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    upstream.at(path, { body: bytes, etag: '"1"', cuts: [1000, 400_000, 999_999] });
    const answer = await larder.npm(path);
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(answer.body.length).toBe(1_000_000);
    expect(upstream.count(path)).toBe(4);
    // A reset may take bytes with it that were sent and not yet read, so a part begins at the cut or before it.
    const ranges = upstream.requests.filter((seen) => seen.path === path).map((seen) => seen.headers.range);
    const starts = ranges.slice(1).map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1]));
    expect(ranges[0]).toBeUndefined();
    expect([1000, 400_000, 999_999].map((cut, nth) => (starts[nth] ?? cut + 1) <= cut)).toEqual([true, true, true]);
    expect(starts.at(-1)).toBeGreaterThan(400_000);
    expect(upstream.requests.at(-1)?.headers['if-range']).toBe('"1"');
  });

  test('an upstream that changes its mind between cut and resume does not mix two files', async () => {
    const { upstream, larder } = await scene();
    const old = synthetic(1_000_000, 1);
    const young = synthetic(1_000_000, 2);
    upstream.at('/pool/file.bin', { body: old, etag: '"1"', cuts: [500_000] }, { body: young, etag: '"2"' });
    const answer = await larder.files('/pool/file.bin');
    expect(answer.complete).toBe(false);
    const next = await larder.files('/pool/file.bin');
    expect(next).toMatchObject({ status: 200, complete: true });
    expect(next.body.equals(Buffer.concat([...young.read(0, young.size)]))).toBe(true);
  });

  test('an upstream that breaks off and then refuses ends the client, whose connection is destroyed', async () => {
    const { registry, upstream, larder } = await scene();
    const bytes = synthetic(1_000_000);
    const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    upstream.at(path, { body: bytes, cuts: [300_000] }, { status: 403 });
    const answer = await larder.npm(path);
    expect(answer.complete).toBe(false);
    upstream.at(path, { body: bytes });
    expect(await larder.npm(path)).toMatchObject({ status: 200, complete: true });
  });

  test('a stall ends like a cut does', async () => {
    const { registry, upstream, larder } = await scene({ upstream: { timeoutMs: 300 } });
    const bytes = synthetic(1_000_000);
    const { path } = registry.publish({ name: 'big', version: '1.0.0', bytes });
    const good = { body: bytes, etag: '"1"' };
    upstream.at(path, { ...good, hold: { at: 500_000, until: never } }, good);
    const answer = await larder.npm(path);
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(upstream.count(path)).toBe(2);
  });

  test('a document cut in the middle is an error, and whole the next time', async () => {
    const { registry, upstream, larder } = await scene();
    registry.publish({ name: 'lib', version: '1.0.0' });
    const good = { body: registry.document('lib'), contentType: 'application/json', ranges: false };
    upstream.at('/lib', { ...good, cuts: [100, 100, 100, 100, 100, 100, 100, 100] });
    const answer = await larder.npm('/lib');
    expect(answer.status).toBeGreaterThanOrEqual(500);
    upstream.at('/lib', good);
    expect((await larder.npm('/lib')).json()).toMatchObject({ name: 'lib' });
  });
});

describe('an upstream that says when to come back', () => {
  const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toUTCString();

  test.each([
    ['a number of seconds', () => '40', 40],
    ['a date', () => inSeconds(40), 40],
    ['a day, which is more than anybody is told', () => '86400', 3600],
    ['a date next year', () => inSeconds(365 * 86_400), 3600],
  ])('is told to clients as it was told with %s, and left alone so long', async (_, header, seconds) => {
    const { registry, upstream, larder } = await scene();
    const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    for (const [status, asked] of [[429, '/other'] as const, [503, path] as const]) {
      upstream.at(asked, { status, headers: { 'retry-after': header() } });
      for (let n = 0; n < 2; n += 1) {
        const answer = await larder.npm(asked);
        expectError(answer, 503);
        const told = Number(answer.headers['retry-after']);
        // A date loses the rest of its second, and a slow test some more.
        expect(told).toBeGreaterThan(seconds - 20);
        expect(told).toBeLessThanOrEqual(seconds);
      }
      expect(upstream.count(asked)).toBe(1);
    }
  });

  test('is not asked by one client after the other while it answers nobody', async () => {
    const { upstream, larder } = await scene();
    upstream.otherwise({ status: 429, headers: { 'retry-after': '40' } });
    for (let n = 0; n < 10; n += 1) expectError(await larder.npm(`/lib-${n}`), 503);
    expect(upstream.count()).toBe(3);
  });
});

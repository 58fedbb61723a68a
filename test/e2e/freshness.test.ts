/** When a stored document may be answered, when upstream is asked again, and what is remembered of a "no". */
import { describe, expect, test } from 'vitest';
import { gate } from '../support/fake-upstream.ts';
import type { Answer } from '../support/http.ts';
import { scene } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

const alwaysAsk = { source: { ttl: '0s', staleWhileRevalidate: '0s' } };

function versionsOf(answer: Answer): string[] {
  return Object.keys((answer.json() as { versions: Record<string, unknown> }).versions);
}

test('within its time to live a document costs no upstream request', async () => {
  const { registry, larder } = await scene({ source: { ttl: '1h' } });
  registry.publish({ name: 'lib', version: '1.0.0' });
  expect((await larder.npm('/lib')).headers['x-larder-cache']).toBe('miss');
  expect((await larder.npm('/lib')).headers['x-larder-cache']).toBe('hit');
  expect(registry.documentRequests('lib')).toBe(1);
});

test('after it, upstream is asked with the validator it gave, and 304 keeps the bytes', async () => {
  const { registry, upstream, larder } = await scene(alwaysAsk);
  registry.publish({ name: 'lib', version: '1.0.0' });
  const first = await larder.npm('/lib');
  const second = await larder.npm('/lib');
  expect(second.headers['x-larder-cache']).toBe('revalidated');
  expect(second.text()).toBe(first.text());
  expect(second.headers.etag).toBe(first.headers.etag);
  expect(upstream.requests.at(-1)?.headers['if-none-match']).toMatch(/^"/);
});

test('bytes that made room for others while upstream said that they still hold are fetched again', async () => {
  const { registry, upstream, larder } = await scene({
    source: { ...alwaysAsk.source, patience: '20s' },
    storage: { maxSize: '10MB' },
    upstream: { timeoutMs: 20_000 },
  });
  registry.publish({ name: 'lib', version: '1.0.0' });
  const first = await larder.npm('/lib');
  const body = registry.document('lib');
  const until = gate();
  const unchanged = { status: 304, holdHeaders: until };
  upstream.at('/lib', unchanged, { body, contentType: 'application/json' });
  const asked = larder.npm('/lib');
  await until.reached;
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    upstream.at(`/${name}`, { body: Buffer.alloc(3_000_000, name) });
    expect((await larder.files(`/${name}`)).status).toBe(200);
  }
  await eventually('room was made', async () => (await larder.metrics()).sum('larder_store_evictions_total') > 1);
  until.open();
  const second = await asked;
  expect(second.status, second.text()).toBe(200);
  expect(second.text()).toBe(first.text());
  expect(upstream.requests.filter(({ path }) => path === '/lib').at(-1)?.headers['if-none-match']).toBeUndefined();
});

test.each([{ validators: true }, { validators: false }])(
  'a version published upstream is seen at the next request (validators: $validators)',
  async ({ validators }) => {
    const { registry, larder } = await scene({ ...alwaysAsk, registry: { validators } });
    registry.publish({ name: 'lib', version: '1.0.0' });
    const first = await larder.npm('/lib');
    registry.publish({ name: 'lib', version: '1.1.0' });
    const second = await larder.npm('/lib');
    expect(versionsOf(second)).toEqual(['1.0.0', '1.1.0']);
    expect(second.headers.etag).not.toBe(first.headers.etag);
    const { path } = registry.publish({ name: 'lib', version: '1.2.0' });
    expect((await larder.npm(path)).status).toBe(200);
  },
);

test('our validator comes from the content, whatever upstream says about it', async () => {
  const { registry, upstream, larder } = await scene(alwaysAsk);
  registry.publish({ name: 'lib', version: '1.0.0' });
  const fixed = {
    contentType: 'application/json',
    etag: '"never-changes"',
    lastModified: 'Wed, 01 Jan 2020 00:00:00 GMT',
  };
  upstream.at('/lib', { ...fixed, body: registry.document('lib') });
  const first = await larder.npm('/lib');
  registry.publish({ name: 'lib', version: '1.1.0' });
  const body = registry.document('lib');
  upstream.at('/lib', () => ({ ...fixed, body, etag: '"never-changes-but-answers-200"' }));
  const second = await larder.npm('/lib', { 'if-none-match': String(first.headers.etag) });
  expect(second.status).toBe(200);
  expect(versionsOf(second)).toContain('1.1.0');
});

test('If-None-Match with our validator gives 304 and no body', async () => {
  const { registry, larder } = await scene();
  registry.publish({ name: 'lib', version: '1.0.0' });
  const first = await larder.npm('/lib');
  const etag = String(first.headers.etag);
  for (const value of [etag, `"x", ${etag}`, `W/${etag.replace(/^W\//, '')}`, '*']) {
    const answer = await larder.npm('/lib', { 'if-none-match': value });
    expect([value, answer.status, answer.body.length]).toEqual([value, 304, 0]);
    expect(answer.headers.etag).toBe(etag);
  }
  expect((await larder.npm('/lib', { 'if-none-match': '"other"' })).status).toBe(200);
});

test('nobody gets a 304 who did not ask for one', async () => {
  const { registry, larder } = await scene(alwaysAsk);
  registry.publish({ name: 'lib', version: '1.0.0' });
  await larder.npm('/lib');
  expect((await larder.npm('/lib')).status).toBe(200);
});

test('while a stale copy may be served, nobody waits, and one request refreshes it', async () => {
  const { registry, upstream, larder } = await scene({
    upstream: { timeoutMs: 20_000 },
    // Whoever had to wait would wait until the test is over.
    source: { ttl: '0s', staleWhileRevalidate: '1h', patience: '1h' },
  });
  registry.publish({ name: 'lib', version: '1.0.0' });
  await larder.npm('/lib');
  registry.publish({ name: 'lib', version: '1.1.0' });
  const until = gate();
  upstream.at('/lib', { holdHeaders: until, body: registry.document('lib'), contentType: 'application/json' });
  const answers = await Promise.all(Array.from({ length: 10 }, () => larder.npm('/lib')));
  expect(answers.map((answer) => answer.headers['x-larder-cache'])).toEqual(Array(10).fill('stale'));
  expect(answers.every((answer) => versionsOf(answer).length === 1)).toBe(true);
  await until.reached;
  until.open();
  await eventually('the new version is seen', async () => versionsOf(await larder.npm('/lib')).includes('1.1.0'));
});

describe('a look that the clock would not have asked for', () => {
  test('a 404 on a tarball that the document lists forces one, and the answer is right', async () => {
    const { registry, upstream, larder } = await scene({ source: { ttl: '1h' } });
    const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    registry.unpublish('lib', '1.0.0');
    registry.publish({ name: 'lib', version: '1.0.1' });
    const before = upstream.requests.filter((seen) => seen.path === '/lib').length;
    expect((await larder.npm(path)).status).toBe(404);
    expect(upstream.requests.filter((seen) => seen.path === '/lib').length).toBe(before + 1);
    expect(versionsOf(await larder.npm('/lib'))).toEqual(['1.0.1']);
  });

  test('a version that the stored document does not list does so too', async () => {
    const { registry, larder } = await scene({ source: { ttl: '1h' } });
    registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    const { path } = registry.publish({ name: 'lib', version: '1.1.0' });
    const file = await larder.npm(path);
    expect(file.status).toBe(200);
    expect((await larder.npm('/lib/1.1.0')).json()).toMatchObject({ version: '1.1.0' });
    expect(versionsOf(await larder.npm('/lib'))).toEqual(['1.0.0', '1.1.0']);
  });

  test('one version asked for by name does so as well', async () => {
    const { registry, larder } = await scene({ source: { ttl: '1h' } });
    registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    registry.publish({ name: 'lib', version: '1.1.0' });
    expect((await larder.npm('/lib/1.1.0')).json()).toMatchObject({ version: '1.1.0' });
  });

  test('asking for what does not exist, many times over, does not become a stream of requests', async () => {
    const { registry, larder } = await scene({ source: { ttl: '1h' } });
    registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    for (let i = 0; i < 20; i++) expect((await larder.npm('/lib/9.9.9')).status).toBe(404);
    for (let i = 0; i < 20; i++) expect((await larder.npm('/lib/-/lib-9.9.9.tgz')).status).toBe(404);
    expect(registry.upstream.requests.length).toBeLessThanOrEqual(10);
  });
});

describe('a "no" from upstream', () => {
  test.each([404, 410])('%i is remembered for a short while', async (status) => {
    const { registry, upstream, larder } = await scene({ source: { negativeTtl: '1h' } });
    upstream.at('/lib', { status, body: { error: 'gone' } });
    expect((await larder.npm('/lib')).status).toBe(404);
    expect((await larder.npm('/lib')).status).toBe(404);
    expect(upstream.count('/lib')).toBe(1);
    expect(registry.tarballRequests()).toBe(0);
  });

  test('it is forgotten after its time', async () => {
    const { registry, larder } = await scene({ source: { negativeTtl: '0s' } });
    expect((await larder.npm('/lib')).status).toBe(404);
    registry.publish({ name: 'lib', version: '1.0.0' });
    expect((await larder.npm('/lib')).status).toBe(200);
  });

  test('a single 404 for a document that is stored takes nothing away', async () => {
    const { registry, upstream, larder } = await scene({
      source: { ttl: '0s', staleWhileRevalidate: '0s', takedown: { confirmations: 3, over: '1h' } },
    });
    const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    await larder.npm(path);
    upstream.at('/lib', { status: 404, body: {} });
    const answer = await larder.npm('/lib');
    expect(answer.status).toBe(200);
    expect(answer.headers['x-larder-cache']).toBe('stale');
    expect((await larder.npm(path)).status).toBe(200);
  });

  test('a 404 that is confirmed often enough, over long enough, is believed; the bytes stay', async () => {
    const { registry, upstream, larder } = await scene({
      source: { ttl: '0s', staleWhileRevalidate: '0s', negativeTtl: '0s', takedown: { confirmations: 3, over: '0s' } },
    });
    registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    const body = registry.document('lib');
    upstream.at('/lib', { status: 404, body: {} });
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await larder.npm('/lib')).status);
    expect(statuses.at(0)).toBe(200);
    expect(statuses.at(-1)).toBe(404);
    upstream.at('/lib', { body, contentType: 'application/json' });
    expect((await larder.npm('/lib')).status).toBe(200);
  });
});

test('?write=true asks upstream although the copy is fresh', async () => {
  const { registry, larder } = await scene({ source: { ttl: '1h' } });
  registry.publish({ name: 'lib', version: '1.0.0' });
  await larder.npm('/lib');
  registry.publish({ name: 'lib', version: '1.1.0' });
  expect(versionsOf(await larder.npm('/lib?write=true'))).toContain('1.1.0');
});

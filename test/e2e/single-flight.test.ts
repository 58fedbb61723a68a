/** However many clients ask, and whenever they join: one request goes to the upstream. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { sha256Of, synthetic } from '../support/bytes.ts';
import { gate } from '../support/fake-upstream.ts';
import { type Answer, ask } from '../support/http.ts';
import { countJoins } from '../support/joins.ts';
import { scene, untilStored } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

const clients = 50;

/** A held body is no stall. */
const patient = { upstream: { timeoutMs: 20_000 } };

function outcomes(answers: readonly Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) {
    const outcome = String(answer.headers['x-larder-cache']);
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}

test('fifty clients that want one document at the same time cost one upstream request', async () => {
  const { registry, upstream, larder } = await scene();
  registry.publish({ name: 'lib', version: '1.0.0' });
  const until = gate();
  upstream.at('/lib', { holdHeaders: until, body: registry.document('lib'), contentType: 'application/json' });
  const asked = Array.from({ length: clients }, () => larder.npm('/lib'));
  await until.reached;
  await larder.ask('/healthz');
  until.open();
  const answers = await Promise.all(asked);
  expect(answers.map((answer) => answer.status)).toEqual(Array(clients).fill(200));
  expect(new Set(answers.map((answer) => answer.text())).size).toBe(1);
  expect(upstream.count('/lib')).toBe(1);
  expect(outcomes(answers).miss).toBe(1);
});

test.each(['200', '404'])('repositories with one upstream share one request for a document: %s', async (status) => {
  const files = { format: 'npm', sources: [{ remote: 'inner' }] };
  const { registry, upstream, larder } = await scene({ repositories: { other: files, third: files } });
  registry.publish({ name: 'lib', version: '1.0.0' });
  const joined = countJoins();
  const until = gate();
  const body = status === '200' ? registry.document('lib') : '{}';
  upstream.at('/lib', { holdHeaders: until, status: Number(status), body, contentType: 'application/json' });
  const asked = ['npm', 'other', 'third'].map((name) => larder.ask(`/public/${name}/lib`));
  await until.reached;
  await joined(2);
  until.open();
  const answers = await Promise.all(asked);
  expect(answers.map((answer) => answer.status)).toEqual(Array(3).fill(Number(status)));
  expect(upstream.count('/lib')).toBe(1);
  if (status === '404') return;
  for (const answer of answers) expect(answer.json()).toMatchObject({ versions: { '1.0.0': { version: '1.0.0' } } });
  expect(outcomes(answers)).toEqual({ miss: 1, joined: 2 });
});

test('full and abbreviated forms asked for at the same time cost one request each at most', async () => {
  const { registry, larder } = await scene();
  registry.publish({ name: 'lib', version: '1.0.0' });
  const accepts = ['application/json', 'application/vnd.npm.install-v1+json'];
  const answers = await Promise.all(
    Array.from({ length: clients }, (_, i) => larder.npm('/lib', { accept: accepts[i % 2] ?? '' })),
  );
  expect(answers.every((answer) => answer.status === 200)).toBe(true);
  expect(registry.documentRequests('lib')).toBeLessThanOrEqual(2);
  expect(answers[0]?.json()).toHaveProperty('time');
  expect(answers[1]?.json()).not.toHaveProperty('readme');
});

test('fifty clients that want one tarball at the same time cost one upstream request and all get the right bytes', async () => {
  const { registry, upstream, larder } = await scene();
  const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes: synthetic(3_000_000) });
  const answers = await Promise.all(Array.from({ length: clients }, () => larder.npm(path)));
  expect(new Set(answers.map((answer) => sha256Of(answer.body)))).toEqual(new Set([sha256]));
  expect(upstream.count(path)).toBe(1);
  expect(registry.documentRequests('big')).toBe(1);
  const counts = outcomes(answers);
  expect(counts.miss).toBe(1);
  expect((counts.joined ?? 0) + (counts.hit ?? 0)).toBe(clients - 1);
});

test('a client that comes late gets the bytes that are there already, before the download has ended', async () => {
  const { registry, upstream, larder } = await scene();
  const bytes = synthetic(2_000_000);
  const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const until = gate();
  upstream.at(path, { body: bytes, hold: { at: 1_000_000, until } });
  const early = larder.npm(path);
  await until.reached;
  let seen = 0;
  const late = ask(`${larder.url}/public/npm${path}`, {
    onData: (piece) => {
      seen += piece.length;
    },
  });
  await eventually('the late client has most of what upstream has sent', () => seen > 500_000);
  until.open();
  expect(sha256Of((await early).body)).toBe(sha256);
  expect(await late).toMatchObject({ complete: true, headers: { 'x-larder-cache': 'joined' } });
  expect(seen).toBe(2_000_000);
  expect(upstream.count(path)).toBe(1);
});

test('the first client leaving in the middle harms nobody, and the file is stored', async () => {
  const { registry, upstream, larder } = await scene();
  const bytes = synthetic(2_000_000);
  const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const until = gate();
  upstream.at(path, { body: bytes, hold: { at: 1_000_000, until } });
  const leaving = new AbortController();
  const first = ask(`${larder.url}/public/npm${path}`, { signal: leaving.signal }).catch((error: Error) => error.name);
  await until.reached;
  const second = larder.npm(path);
  leaving.abort();
  await first;
  until.open();
  expect(sha256Of((await second).body)).toBe(sha256);
  await untilStored(larder, path);
  expect(upstream.count(path)).toBe(1);
});

test('a download that every client left is finished all the same', async () => {
  const { registry, upstream, larder } = await scene(patient);
  const bytes = synthetic(2_000_000);
  const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const until = gate();
  upstream.at(path, { body: bytes, hold: { at: 1_000_000, until } });
  const leaving = new AbortController();
  const only = ask(`${larder.url}/public/npm${path}`, { signal: leaving.signal }).catch((error: Error) => error.name);
  await until.reached;
  leaving.abort();
  await only;
  // Long enough for a download that nobody wants to be given up, if it were.
  await delay(1000);
  expect(upstream.inFlight).toBe(1);
  until.open();
  const answer = await larder.npm(path);
  expect(sha256Of(answer.body)).toBe(sha256);
  expect(upstream.count(path)).toBe(1);
});

test('with keepGoing off, a download that every client left is given up, and the next client starts anew', async () => {
  const { registry, upstream, larder } = await scene({ repository: { keepGoing: false }, ...patient });
  const bytes = synthetic(2_000_000);
  const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const until = gate();
  upstream.at(path, { body: bytes, hold: { at: 1_000_000, until } }, { body: bytes });
  const leaving = new AbortController();
  const only = ask(`${larder.url}/public/npm${path}`, { signal: leaving.signal }).catch((error: Error) => error.name);
  await until.reached;
  leaving.abort();
  await only;
  await eventually('the connection to upstream is given up', () => upstream.inFlight === 0);
  expect(sha256Of((await larder.npm(path)).body)).toBe(sha256);
  expect(upstream.count(path)).toBe(2);
});

test('a reader that stands still holds up nobody', async () => {
  const { registry, upstream, larder } = await scene();
  const bytes = synthetic(8_000_000);
  const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes });
  const leaving = new AbortController();
  const stuck = new Promise<void>((resolve) => {
    // Headers are taken, the body never is.
    void fetch(`${larder.url}/public/npm${path}`, { signal: leaving.signal }).then(() => resolve());
  });
  await stuck;
  expect(sha256Of((await larder.npm(path)).body)).toBe(sha256);
  leaving.abort();
  expect(upstream.count(path)).toBe(1);
});

test('the same file asked for in ten parts at once is fetched once', async () => {
  const { registry, upstream, larder } = await scene();
  const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes: synthetic(1_000_000) });
  const parts = await Promise.all(
    Array.from({ length: 10 }, (_, i) => larder.npm(path, { range: `bytes=${i * 100_000}-${i * 100_000 + 99_999}` })),
  );
  expect(parts.map((part) => part.status)).toEqual(Array(10).fill(206));
  expect(sha256Of(Buffer.concat(parts.map((part) => part.body)))).toBe(sha256);
  expect(upstream.count(path)).toBe(1);
});

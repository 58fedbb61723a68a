/** Two organisations in front of one upstream: what one of them asks for must not keep the other one waiting. */
import { expect, it, onTestFinished } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import { type FakeUpstream, type Gate, gate, startFakeUpstream } from '../support/fake-upstream.ts';
import { type Larder, startLarder } from '../support/larder.ts';
import { eventually } from '../support/wait.ts';

const flood = 500;
const crowd = 80;
const connections = 4;

interface Shared {
  readonly upstream: FakeUpstream;
  readonly larder: Larder;
  /** Of each request to the upstream in the order of their coming, the gate behind which its answer waits. */
  readonly turns: { readonly path: string; readonly gate: Gate }[];
  /** Answers so many of the oldest that wait; the next turns then come. */
  answer(count: number): void;
  /** Requests of an organisation that wait, are under way or were turned away. */
  known(org: string): number;
}

/** `nested`: acme and beta have the upstream only through a repository of `public`. */
async function share({ maxQueue = 2000, nested = false, format = 'generic' } = {}): Promise<Shared> {
  const upstream = await startFakeUpstream();
  onTestFinished(() => upstream.close());
  const bodyOf = (path: string) =>
    format === 'npm'
      ? { body: JSON.stringify({ name: path.slice(1), versions: {} }), contentType: 'application/json' }
      : { body: `of ${path}` };
  const turns: { path: string; gate: Gate }[] = [];
  let answered = 0;
  upstream.otherwise(({ path }) => {
    const held = gate();
    turns.push({ path, gate: held });
    return { ...bodyOf(path), holdHeaders: held };
  });
  const source = nested ? { repository: 'public/files' } : { remote: 'inner' };
  const org = {
    repositories: { files: { format, sources: [source] } },
    access: [{ who: ['everyone'], may: ['read'] }],
  };
  const shared = { repositories: { files: { format, sources: [{ remote: 'inner' }] } }, access: org.access };
  const larder = await startLarder({
    upstreamUrl: upstream.url,
    upstream: { concurrency: connections, maxQueue, retries: 0, timeoutMs: 60_000 },
    more: { orgs: { acme: org, beta: org, public: shared } },
  });
  onTestFinished(() => larder.close());
  const queued = new Map<string, number>();
  const turnedAway = new Map<string, number>();
  onTestFinished(subscribe('upstream.queue', ({ org = '', own }) => queued.set(org, own.waiting + own.running)));
  onTestFinished(
    subscribe('upstream.turned-away', ({ org = '' }) => turnedAway.set(org, (turnedAway.get(org) ?? 0) + 1)),
  );
  const known = (org: string): number => (queued.get(org) ?? 0) + (turnedAway.get(org) ?? 0);
  const answer = (count: number): void => {
    for (const { gate: held } of turns.slice(answered, answered + count)) held.open();
    answered += count;
  };
  // Whoever still waits at the end gets an answer, or closing would wait for them.
  onTestFinished(() => {
    upstream.otherwise({ body: 'late' });
    answer(turns.length);
  });
  return { upstream, larder, turns, answer, known };
}

/** Asks for so many different things and returns once all of them wait, are under way or were turned away. */
async function fill({ larder, known }: Shared, org: string, count: number): Promise<Promise<number>[]> {
  const asked = Array.from({ length: count }, async (_, n) => (await larder.ask(`/${org}/files/${org}-${n}`)).status);
  await eventually('all are there', () => known(org) === count);
  return asked;
}

it.each([
  ['of its own', false, flood],
  ['of a third one that both build on', true, crowd],
])(
  'serves a request of one within the next turns while another floods the upstream, by a repository %s',
  async (_, nested, count) => {
    const shared = await share({ nested });
    const asked = await fill(shared, 'acme', count);
    expect(shared.turns).toHaveLength(connections);

    const own = shared.larder.ask('/beta/files/wanted');
    await eventually('it waits', () => shared.known('beta') === 1);
    shared.answer(1);
    await eventually('the next turn came', () => shared.turns.length === connections + 1);
    expect(shared.turns.at(-1)?.path).toBe('/wanted');
    shared.answer(connections);
    expect((await own).text()).toBe('of /wanted');
    expect(shared.turns.length).toBeLessThanOrEqual(2 * connections + 1);
    expect(shared.upstream.mostInFlight).toBe(connections);

    shared.upstream.otherwise(({ path }) => ({ body: `of ${path}` }));
    shared.answer(shared.turns.length);
    expect(new Set(await Promise.all(asked))).toEqual(new Set([200]));
  },
);

it('turns away the one that floods, and not the other', async () => {
  const shared = await share({ maxQueue: 20 });
  const asked = await fill(shared, 'acme', crowd);
  const more = await shared.larder.ask('/acme/files/one-more');
  expect([more.status, more.headers['retry-after']]).toEqual([503, '2']);

  const others = await fill(shared, 'beta', 10);
  const metrics = await shared.larder.metrics();
  expect(metrics.sum('larder_upstream_turned_away_total', { org: 'beta' })).toBe(0);
  expect(metrics.sum('larder_upstream_turned_away_total', { org: 'acme' })).toBe(crowd - connections - 20 + 1);
  shared.upstream.otherwise(({ path }) => ({ body: `of ${path}` }));
  shared.answer(connections);
  expect(await Promise.all(others)).toEqual(Array(10).fill(200));
  const counts = Map.groupBy(await Promise.all(asked), (status) => status);
  expect([counts.get(200)?.length, counts.get(503)?.length]).toEqual([connections + 20, crowd - connections - 20]);
});

it.each([
  ['files', 'generic', false],
  ['files of a repository that both build on', 'generic', true],
  ['documents', 'npm', false],
  ['documents of a repository that both build on', 'npm', true],
])(
  'brings what both want in the turn of whoever is first, although the one that floods asked long before: %s',
  async (...row) => {
    const [, format, nested] = row;
    const shared = await share({ format, nested });
    await fill(shared, 'acme', crowd);
    const last = `acme-${crowd - 1}`;
    const own = shared.larder.ask(`/beta/files/${last}`);
    await eventually('it is its turn', () => {
      shared.answer(1);
      return shared.turns.some(({ path }) => path === `/${last}`);
    });
    // A turn or two may have gone before the request was there.
    expect(shared.turns.length).toBeLessThan(crowd / 2);
    shared.turns.find(({ path }) => path === `/${last}`)?.gate.open();
    expect((await own).text()).toContain(last);
    expect(shared.upstream.count(`/${last}`)).toBe(1);
  },
);

/** As a registry has it, with so many versions that it is work to read. */
function hugeDocument(name: string): string {
  const versions = Array.from({ length: 800 }, (_, n) => {
    const version = `1.0.${n}`;
    const dist = { tarball: `https://r.example/${name}-${version}.tgz`, integrity: `sha512-${'A'.repeat(86)}==` };
    return [version, { name, version, dist, description: 'x'.repeat(200) }];
  });
  return JSON.stringify({ name, 'dist-tags': { latest: '1.0.0' }, versions: Object.fromEntries(versions), time: {} });
}

it('gives one a thread while another has documents waiting for it', async () => {
  const upstream = await startFakeUpstream();
  onTestFinished(() => upstream.close());
  upstream.otherwise(({ path }) => ({ body: hugeDocument(path.slice(1)), contentType: 'application/json' }));
  const org = {
    repositories: { npm: { format: 'npm', sources: [{ remote: 'inner' }] } },
    access: [{ who: ['everyone'], may: ['read'] }],
  };
  const larder = await startLarder({
    upstreamUrl: upstream.url,
    more: { orgs: { acme: org, beta: org }, documents: { threads: 1 } },
  });
  onTestFinished(() => larder.close());
  let ready = 0;
  onTestFinished(subscribe('upstream.end', () => (ready += 1)));
  const many = 12;
  let answered = 0;
  const asked = Array.from({ length: many }, async (_, n) => {
    expect((await larder.ask(`/acme/npm/doc-${n}`)).status).toBe(200);
    answered += 1;
  });
  await eventually('all of them are there to be read', () => ready === many);
  const before = answered;
  expect((await larder.ask('/beta/npm/wanted')).status).toBe(200);
  // Each takes two turns, one to be read and one to be made for the client.
  expect(answered - before).toBeLessThan(many / 2);
  await Promise.all(asked);
});

/** Traces as a collector gets them. They are sent when Larder ends, so that no test waits for a timer. */
import { afterEach, expect, test } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import { synthetic } from '../support/bytes.ts';
import { type FakeCollector, type SeenSpan, startCollector } from '../support/collector.ts';
import { gate } from '../support/fake-upstream.ts';
import { countJoins } from '../support/joins.ts';
import { type SceneOptions, scene } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parent = '00f067aa0ba902b7';
const traceparent = `00-${traceId}-${parent}-01`;
const [server, client] = [2, 3];

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** What is said of every request: the trace it was part of. */
function tracesOfRequests(): Map<string, string | undefined> {
  const traces = new Map<string, string | undefined>();
  ends.push(subscribe('request', ({ url, trace }) => void traces.set(url, trace)));
  return traces;
}

async function traced(tracing: Record<string, unknown> = {}, options: SceneOptions = {}) {
  const collector = await startCollector();
  const set = await scene({ ...options, more: { tracing: { endpoint: collector.url, ...tracing }, ...options.more } });
  return { ...set, collector };
}

const one = (spans: readonly SeenSpan[], fits: (span: SeenSpan) => boolean): SeenSpan => {
  const found = spans.filter(fits);
  expect(found.map(({ name }) => name)).toHaveLength(1);
  return found[0] as SeenSpan;
};
const serverOf = (collector: FakeCollector, path: string): SeenSpan =>
  one(collector.spans, ({ kind, attributes }) => kind === server && attributes['url.path'] === path);

test('a miss is one tree: the request, its exchanges, its download, and what was made of the document', async () => {
  const { registry, upstream, larder, collector } = await traced({
    serviceName: 'cache',
    headers: { 'x-key': 'open' },
  });
  const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
  const document = await larder.npm('/lib', {
    traceparent,
    tracestate: 'vendor=1',
    baggage: 'user=anna',
    authorization: 'Bearer very-secret',
    'user-agent': 'npm/11',
  });
  expect(document.status).toBe(200);
  await larder.npm(`${path}?token=hidden-secret&x=1`, { traceparent });
  await larder.stop();

  const spans = collector.spans;
  expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
  const root = serverOf(collector, '/public/npm/lib');
  expect(root).toMatchObject({
    parentSpanId: parent,
    name: 'GET npm packument',
    status: 0,
    attributes: {
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'larder.repository': 'public/npm',
      'larder.format': 'npm',
      'larder.route': 'packument',
      'larder.outcome': 'miss',
      'user_agent.original': 'npm/11',
    },
    resource: { 'service.name': 'cache' },
  });
  // A machine that is busy elsewhere may have let it wait.
  const below = spans.filter(({ parentSpanId, name }) => parentSpanId === root.spanId && name !== 'wait for turn');
  expect(below.map(({ name }) => name).sort()).toEqual(['GET', 'derive npm packument', 'download']);
  const exchange = one(below, ({ kind }) => kind === client);
  expect(exchange.attributes).toMatchObject({
    'http.response.status_code': 200,
    'server.address': '127.0.0.1',
    'server.port': upstream.port,
    'larder.upstream': 'inner',
    'url.full': `${upstream.url}/lib`,
  });
  for (const span of below) {
    expect(span.startMs).toBeGreaterThanOrEqual(root.startMs - 1);
    expect(span.endMs).toBeGreaterThanOrEqual(span.startMs);
  }
  const tarball = serverOf(collector, `/public/npm${path}`);
  expect(tarball.attributes['url.query']).toBe('token=***&x=1');

  // The upstream is told the id of the exchange and nothing else of the client's.
  const asked = upstream.requests.find((request) => request.path === '/lib');
  expect(asked?.headers.traceparent).toBe(`00-${traceId}-${exchange.spanId}-01`);
  expect(asked?.headers.tracestate).toBeUndefined();
  expect(asked?.headers.baggage).toBeUndefined();

  const [sent] = collector.requests;
  expect(sent?.path).toBe('/v1/traces');
  expect(sent?.headers['x-key']).toBe('open');
  expect(collector.requests.map(({ text }) => text).join('')).not.toMatch(/secret|anna/);
});

test('hits answered on the wire are spans as well, and say which trace they are part of', async () => {
  const { registry, larder, collector } = await traced();
  registry.publish({ name: 'lib', version: '1.0.0' });
  await larder.npm('/lib');
  const traces = tracesOfRequests();
  const hit = await larder.npm('/lib', { traceparent });
  expect(hit.headers['x-larder-cache']).toBe('hit');
  expect(traces.get('/public/npm/lib')).toBe(traceId);
  await larder.stop();
  const span = one(collector.spans, (found) => found.traceId === traceId);
  expect(span).toMatchObject({ parentSpanId: parent, name: 'GET npm packument', kind: server });
  expect(span.attributes['larder.outcome']).toBe('hit');
});

test('who joins a download is linked to it', async () => {
  const { registry, upstream, larder, collector } = await traced({}, { upstream: { timeoutMs: 20_000 } });
  const { path, bytes } = registry.publish({ name: 'big', version: '1.0.0', bytes: synthetic(300_000) });
  await larder.npm('/big');
  const joined = countJoins();
  const until = gate();
  upstream.at(path, { hold: { at: 100_000, until }, body: bytes });
  const first = larder.npm(path);
  await until.reached;
  const second = larder.npm(path, { traceparent });
  await joined(1);
  until.open();
  expect((await Promise.all([first, second])).map(({ status }) => status)).toEqual([200, 200]);
  await larder.stop();
  const download = one(
    collector.spans,
    ({ name, attributes }) => name === 'download' && String(attributes['url.full']).endsWith(path),
  );
  const joiner = one(collector.spans, (found) => found.traceId === traceId);
  expect(joiner.attributes['larder.outcome']).toBe('joined');
  expect(joiner.links).toMatchObject([{ traceId: download.traceId, spanId: download.spanId }]);
  expect(download.attributes['larder.download.bytes']).toBe(300_000);
});

test('who waits for the same document is linked to the request that asks for it', async () => {
  const { registry, upstream, larder, collector } = await traced({}, { upstream: { timeoutMs: 20_000 } });
  registry.publish({ name: 'lib', version: '1.0.0' });
  const joined = countJoins();
  const until = gate();
  upstream.at('/lib', { holdHeaders: until, body: registry.document('lib'), contentType: 'application/json' });
  const first = larder.npm('/lib');
  await until.reached;
  const second = larder.npm('/lib', { traceparent });
  await joined(1);
  until.open();
  await Promise.all([first, second]);
  await larder.stop();
  const joiner = one(collector.spans, ({ kind, traceId: id }) => kind === server && id === traceId);
  const leader = one(
    collector.spans,
    ({ kind, traceId: id, attributes }) =>
      kind === server && id !== traceId && attributes['url.path'] === '/public/npm/lib',
  );
  expect(joiner.links).toMatchObject([{ traceId: leader.traceId, spanId: leader.spanId }]);
});

test('retries are events, and every try is an exchange of its own; trouble is an error', async () => {
  const { upstream, larder, collector } = await traced({}, { upstream: { retries: 1 } });
  upstream.at('/broken', { status: 503 });
  expect((await larder.npm('/broken')).status).toBeGreaterThanOrEqual(502);
  expect((await larder.npm('/absent')).status).toBe(404);
  await larder.stop();
  const broken = serverOf(collector, '/public/npm/broken');
  expect(broken).toMatchObject({
    status: 2,
    attributes: { 'error.type': 'upstream_unavailable' },
    events: ['retry', 'first byte'],
  });
  const tries = collector.spans.filter(({ kind, parentSpanId }) => kind === client && parentSpanId === broken.spanId);
  expect(tries.map(({ status, attributes }) => [status, attributes['http.request.resend_count']])).toEqual([
    [2, undefined],
    [2, 1],
  ]);
  // What a client got wrong is no error of the server.
  expect(serverOf(collector, '/public/npm/absent')).toMatchObject({
    status: 0,
    attributes: { 'error.type': 'not_found' },
  });
});

test('whoever watches over the server is not seen, unless they say so', async () => {
  const { larder, collector } = await traced();
  for (const path of ['/healthz', '/readyz', '/metrics']) await larder.ask(path);
  await larder.ask('/healthz', { headers: { traceparent } });
  await larder.ask('/api/v1/whoami');
  await larder.stop();
  expect(
    collector.spans.map(({ name, traceId: id, attributes }) => [name, id === traceId, attributes['url.path']]),
  ).toEqual([
    ['GET control', true, '/healthz'],
    ['GET control', false, '/api/v1/whoami'],
  ]);
});

test('waiting for a turn is a span', async () => {
  const { upstream, larder, collector } = await traced({}, { upstream: { concurrency: 1, timeoutMs: 20_000 } });
  const until = gate();
  upstream.at('/slow', { holdHeaders: until, status: 404 });
  const slow = larder.files('/slow');
  await until.reached;
  const waiting = larder.files('/waiting', { traceparent });
  await eventually(
    'one waits',
    async () => (await larder.metrics()).sum('larder_upstream_waiting', { upstream: 'inner' }) === 1,
  );
  until.open();
  await Promise.all([slow, waiting]);
  await larder.stop();
  const root = serverOf(collector, '/public/files/waiting');
  const wait = one(
    collector.spans,
    ({ name, parentSpanId }) => name === 'wait for turn' && parentSpanId === root.spanId,
  );
  expect(wait.endMs).toBeGreaterThan(wait.startMs);
});

test('traces that begin here are sampled, those that come are kept or not as their sender says', async () => {
  const { registry, upstream, larder, collector } = await traced({ sample: 0 });
  registry.publish({ name: 'a', version: '1.0.0' });
  registry.publish({ name: 'b', version: '1.0.0' });
  registry.publish({ name: 'c', version: '1.0.0' });
  await larder.npm('/a');
  await larder.npm('/b', { traceparent: `00-${traceId}-${parent}-00` });
  await larder.npm('/c', { traceparent });
  await larder.npm('/c', { traceparent: `00-${traceId.replace('4', '5')}-${parent}-00` });
  await larder.stop();
  expect(new Set(collector.spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
  expect(serverOf(collector, '/public/npm/c').parentSpanId).toBe(parent);
  const flags = ['/a', '/b', '/c'].map((path) =>
    upstream.requests.find((request) => request.path === path)?.headers.traceparent?.slice(-2),
  );
  expect(flags).toEqual(['00', '00', '01']);
});

test.each([
  ['too short', '00-4bf92f3577b34da6-00f067aa0ba902b7-01'],
  ['all zeros', `00-${'0'.repeat(32)}-${parent}-01`],
  ['version ff', `ff-${traceId}-${parent}-01`],
  ['something else', 'hello'],
])("a traceparent that is %s begins no stranger's trace", async (_, wrong) => {
  const { larder, collector } = await traced();
  await larder.npm('/absent', { traceparent: wrong });
  await larder.stop();
  const span = serverOf(collector, '/public/npm/absent');
  expect(span.parentSpanId).toBeUndefined();
  expect(wrong).not.toContain(span.traceId);
});

test.each([
  ['nothing', undefined, undefined],
  ['traceparent', traceparent, undefined],
  ['all', traceparent, 'vendor=1'],
])('without tracing an upstream with traceContext: %s is told just that', async (traceContext, told, state) => {
  const { registry, upstream, larder } = await scene({ upstream: { traceContext } });
  const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
  await larder.npm(path, { traceparent, tracestate: 'vendor=1', baggage: 'a=b' });
  expect(upstream.requests.length).toBeGreaterThan(1);
  for (const { headers } of upstream.requests) {
    expect([headers.traceparent, headers.tracestate, headers.baggage]).toEqual([told, state, undefined]);
  }
});

test("another address than the upstream's own is told of no trace", async () => {
  const elsewhere = await scene();
  const { registry, upstream, larder } = await traced(
    {},
    { upstream: { traceContext: 'all', hosts: [new URL(elsewhere.upstream.url).host] } },
  );
  elsewhere.upstream.at('/moved', { body: 'bytes' });
  upstream.at('/file', { status: 302, headers: { location: `${elsewhere.upstream.url}/moved` } });
  expect((await larder.files('/file', { traceparent, tracestate: 'vendor=1' })).text()).toBe('bytes');
  expect(upstream.requests[0]?.headers.tracestate).toBe('vendor=1');
  expect(elsewhere.upstream.requests[0]?.headers).not.toHaveProperty('traceparent');
  expect(elsewhere.upstream.requests[0]?.headers).not.toHaveProperty('tracestate');
  expect(registry.url).toBe(upstream.url);
});

test.each([
  ['is away', 'http://127.0.0.1:9', 200],
  ['refuses', undefined, 400],
  ['never answers', undefined, undefined],
])('a collector that %s costs no request anything; what is lost is counted', async (_, away, status) => {
  const { registry, larder, collector } = await traced(away === undefined ? {} : { endpoint: away }, {
    server: { drain: '200ms' },
  });
  collector.answer(status);
  registry.publish({ name: 'lib', version: '1.0.0' });
  let dropped = 0;
  ends.push(
    subscribe('trace.dropped', ({ spans }) => {
      dropped += spans;
    }),
  );
  const answers = await Promise.all(Array.from({ length: 20 }, () => larder.npm('/lib')));
  expect(answers.every((answer) => answer.status === 200)).toBe(true);
  await larder.stop();
  expect(dropped).toBeGreaterThanOrEqual(20);
});

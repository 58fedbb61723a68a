/** What is asked of upstreams, and what becomes of it. */
import { Counter, Gauge, Histogram } from 'prom-client';
import { bounded, type Counting, statusClass } from './count.ts';

const breakerStates = { closed: 0, 'half-open': 1, open: 2 } as const;

export function countUpstreams({ registers, on, known }: Counting): void {
  const upstreams = known.upstreams ?? [];
  const labelNames = ['upstream'] as const;
  const responses = new Counter({
    name: 'larder_upstream_responses_total',
    help: 'Answers from upstreams.',
    labelNames: ['upstream', 'status_class'],
    registers,
  });
  const throttled = new Counter({
    name: 'larder_upstream_throttled_total',
    help: 'Answers that say that too much was asked (429).',
    labelNames,
    registers,
  });
  const latency = new Histogram({
    name: 'larder_upstream_duration_seconds',
    help: 'From asking an upstream to the headers of its answer.',
    labelNames,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const failures = new Counter({
    name: 'larder_upstream_failures_total',
    help: 'Requests to upstreams that broke or found nobody, by cause.',
    labelNames: ['upstream', 'code'],
    registers,
  });
  const retries = new Counter({ name: 'larder_upstream_retries_total', help: 'Further tries.', labelNames, registers });
  const received = new Map<string, number>(upstreams.map((upstream) => [upstream, 0]));
  new Counter({
    name: 'larder_upstream_bytes_total',
    help: 'Bytes of bodies received from upstreams, as they came over the wire.',
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const [upstream, bytes] of received) this.inc({ upstream }, bytes);
    },
  });
  const waiting = new Gauge({ name: 'larder_upstream_waiting', help: 'Requests in the queue.', labelNames, registers });
  const running = new Gauge({ name: 'larder_upstream_running', help: 'Requests under way.', labelNames, registers });
  const limit = new Gauge({
    name: 'larder_upstream_quota_limit',
    help: 'What the upstream says it allows.',
    labelNames,
    registers,
  });
  const remaining = new Gauge({
    name: 'larder_upstream_quota_remaining',
    help: 'What the upstream says is left.',
    labelNames,
    registers,
  });
  const breaker = new Gauge({
    name: 'larder_breaker_state',
    help: '0: asked as usual, 1: tried once, 2: left alone for a while.',
    labelNames: ['origin'],
    registers,
  });
  for (const upstream of upstreams) {
    retries.inc({ upstream }, 0);
    throttled.inc({ upstream }, 0);
    waiting.set({ upstream }, 0);
    running.set({ upstream }, 0);
  }
  const origins = bounded(200);
  const codes = bounded(100);
  on('upstream.response', ({ upstream, status, durationMs }) => {
    responses.inc({ upstream, status_class: statusClass(status) });
    latency.observe({ upstream }, durationMs / 1000);
    if (status === 429) throttled.inc({ upstream });
  });
  on('upstream.failure', ({ upstream, code }) => failures.inc({ upstream, code: codes(code) }));
  on('upstream.retry', ({ upstream }) => retries.inc({ upstream }));
  on('upstream.bytes', ({ upstream, bytes }) => {
    received.set(upstream, (received.get(upstream) ?? 0) + bytes);
  });
  on('upstream.queue', (event) => {
    waiting.set({ upstream: event.upstream }, event.waiting);
    running.set({ upstream: event.upstream }, event.running);
  });
  on('upstream.quota', (event) => {
    if (event.limit !== undefined) limit.set({ upstream: event.upstream }, event.limit);
    if (event.remaining !== undefined) remaining.set({ upstream: event.upstream }, event.remaining);
  });
  on('breaker', ({ origin, state }) => breaker.set({ origin: origins(origin) }, breakerStates[state]));
}

/** Prometheus metrics, fed by events only. Every label has few values: names from the configuration, ids of routes, codes from a table. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, collectDefaultMetrics, Gauge, Histogram, type Metric, Registry } from 'prom-client';
import { type EventName, type Events, subscribe } from '../core/events.ts';
import { problems, toProblem } from '../core/problem.ts';
import { durationBounds, RequestCounts } from './requests.ts';

export interface Metrics {
  readonly registry: Registry;
  text(): Promise<{ readonly contentType: string; readonly text: string }>;
  stop(): void;
}

export interface MetricsOptions {
  readonly version?: string;
  readonly maxSizeBytes?: number;
  /** Their counters exist from the start, so that the first failure is an increase and not a new line. */
  readonly upstreams?: readonly string[];
}

const breakerStates = { closed: 0, 'half-open': 1, open: 2 } as const;
const downloadOutcomes = ['stored', 'passed', 'failed', 'abandoned'] as const;
const loopResolutionMs = 10;

export function startMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const ends: (() => void)[] = [];
  const on = <N extends EventName>(name: N, listener: (event: Events[N]) => void): void => {
    ends.push(subscribe(name, listener));
  };

  countRequests(registry, on);
  countUpstreams(registers, options.upstreams ?? [], on);
  countDownloads(registers, on);
  countDocuments(registers, on);
  countOffline(registers, on);
  countStore(registers, options.maxSizeBytes, on);

  const faults = new Counter({
    name: 'larder_faults_total',
    help: 'Failures in the background that no request waited for.',
    labelNames: ['where'],
    registers,
  });
  const wheres = bounded(100);
  // The rest of the text may name a package.
  on('fault', ({ where }) => faults.inc({ where: wheres(where.split(' ', 1)[0] ?? where) }));

  ends.push(watchEventLoop(registers));
  if (options.version !== undefined) {
    new Gauge({ name: 'larder_build_info', help: 'Always 1.', labelNames: ['version', 'node'], registers }).set(
      { version: options.version, node: process.version },
      1,
    );
  }
  const aboutProcess = processMetrics();
  return {
    registry,
    async text() {
      const texts = await Promise.all([registry.metrics(), aboutProcess.metrics()]);
      return { contentType: registry.contentType, text: texts.join('\n') };
    },
    stop() {
      for (const end of ends.splice(0)) end();
      registry.clear();
    },
  };
}

type On = <N extends EventName>(name: N, listener: (event: Events[N]) => void) => void;

/** Lets the first so many values through; whatever comes after them is `other`. */
function bounded(most: number): (value: string) => string {
  const seen = new Set<string>();
  return (value) => {
    if (seen.has(value)) return value;
    if (seen.size >= most) return 'other';
    seen.add(value);
    return value;
  };
}

function statusClass(status: number): string {
  return `${Math.floor(status / 100)}xx`;
}

function countRequests(registry: Registry, on: On): void {
  const counts = new RequestCounts();
  on('request', counts.add);
  const registers = [registry];
  new Counter({
    name: 'larder_requests_total',
    help: 'Requests, after their last byte.',
    labelNames: ['repository', 'format', 'route', 'outcome', 'status_class'],
    registers,
    collect() {
      this.reset();
      for (const { repository, format, route, outcome, statusClass, count } of counts.cells) {
        this.inc({ repository, format, route, outcome, status_class: `${statusClass}xx` }, count);
      }
    },
  });
  new Counter({
    name: 'larder_client_bytes_total',
    help: 'Bytes of bodies sent to clients.',
    labelNames: ['repository', 'format', 'route', 'outcome'],
    registers,
    collect() {
      this.reset();
      for (const { repository, format, route, outcome, bytesSent } of counts.cells) {
        this.inc({ repository, format, route, outcome }, bytesSent);
      }
    },
  });
  new Counter({
    name: 'larder_requests_aborted_total',
    help: 'Requests whose client left, or whose answer was cut because it proved wrong.',
    labelNames: ['format'],
    registers,
    collect() {
      this.reset();
      for (const { format, aborted } of counts.cells) this.inc({ format }, aborted);
    },
  });
  registry.registerMetric(durations(counts));

  const failures = new Counter({
    name: 'larder_failures_total',
    help: 'Requests that ended in a problem, by its code.',
    labelNames: ['code'],
    registers,
  });
  for (const code of Object.keys(problems)) failures.inc({ code }, 0);
  on('request', ({ error }) => {
    if (error !== undefined) failures.inc({ code: toProblem(error).code });
  });
}

/** A histogram made of counts that are there already; the library's own wants to be told of every request. */
function durations(counts: RequestCounts): Metric {
  const name = 'larder_request_duration_seconds';
  const get = async (): Promise<unknown> => {
    const groups = new Map<string, { labels: object; count: number; sum: number; buckets: number[] }>();
    for (const { format, outcome, count, durationMs, buckets } of counts.cells) {
      const key = `${format} ${outcome}`;
      const group = groups.get(key) ?? { labels: { format, outcome }, count: 0, sum: 0, buckets: buckets.map(() => 0) };
      group.count += count;
      group.sum += durationMs / 1000;
      buckets.forEach((value, index) => {
        group.buckets[index] = (group.buckets[index] ?? 0) + value;
      });
      groups.set(key, group);
    }
    const values = [...groups.values()].flatMap(({ labels, count, sum, buckets }) => {
      let below = 0;
      const steps = [...durationBounds, '+Inf'].map((le, index) => {
        below += buckets[index] ?? 0;
        return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: below };
      });
      return [
        ...steps,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: count },
      ];
    });
    return { name, help: 'From the first byte of a request to the last of its answer.', type: 'histogram', values };
  };
  // The registry asks a metric for its name and its values and for nothing else.
  return { name, get, reset() {} } as unknown as Metric;
}

function countUpstreams(registers: Registry[], upstreams: readonly string[], on: On): void {
  const labelNames = ['upstream'] as const;
  const responses = new Counter({
    name: 'larder_upstream_responses_total',
    help: 'Answers from upstreams.',
    labelNames: ['upstream', 'status_class'],
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
    waiting.set({ upstream }, 0);
    running.set({ upstream }, 0);
  }
  const origins = bounded(200);
  const codes = bounded(100);
  on('upstream.response', ({ upstream, status, durationMs }) => {
    responses.inc({ upstream, status_class: statusClass(status) });
    latency.observe({ upstream }, durationMs / 1000);
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

function countDownloads(registers: Registry[], on: On): void {
  const inFlight = new Gauge({
    name: 'larder_downloads_in_flight',
    help: 'Downloads that have not ended, however many clients wait for each.',
    registers,
  });
  const ended = new Counter({
    name: 'larder_downloads_total',
    help: 'Downloads that have ended, by how.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of downloadOutcomes) ended.inc({ outcome }, 0);
  const readers = new Gauge({ name: 'larder_download_readers', help: 'Clients reading from downloads.', registers });
  const joined = new Counter({
    name: 'larder_download_joined_total',
    help: 'Clients that read from a download somebody else had started.',
    registers,
  });
  const resumes = new Counter({
    name: 'larder_download_resumes_total',
    help: 'Downloads that were cut and went on where they had stopped.',
    registers,
  });
  const mismatches = new Counter({
    name: 'larder_download_mismatches_total',
    help: 'Downloads whose bytes were not what had been promised; nothing of them was stored.',
    registers,
  });
  on('download.start', () => inFlight.inc());
  on('download.end', ({ outcome }) => {
    inFlight.dec();
    ended.inc({ outcome });
  });
  on('download.reader', ({ change, joined: isJoined }) => {
    readers.inc(change);
    if (change === 1 && isJoined) joined.inc();
  });
  on('download.resume', () => resumes.inc());
  on('download.mismatch', () => mismatches.inc());
}

function countDocuments(registers: Registry[], on: On): void {
  const derived = new Counter({
    name: 'larder_documents_derived_total',
    help: 'Documents made for clients, on the main thread (inline) or on another one (worker).',
    labelNames: ['format', 'type', 'where'],
    registers,
  });
  const duration = new Histogram({
    name: 'larder_document_derive_duration_seconds',
    help: 'How long that took.',
    labelNames: ['where'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  });
  const invalid = new Counter({
    name: 'larder_documents_invalid_total',
    help: 'Documents from upstreams that were none; they were not stored.',
    registers,
  });
  const contradictions = new Counter({
    name: 'larder_contradictions_total',
    help: 'Documents that name another digest for bytes kept as immutable; the first bytes stay.',
    labelNames: ['repository'],
    registers,
  });
  const repositories = bounded(10_000);
  on('document.derived', ({ format, type, where, durationMs }) => {
    derived.inc({ format, type, where });
    duration.observe({ where }, durationMs / 1000);
  });
  on('document.invalid', () => invalid.inc());
  on('contradiction', ({ repository }) => contradictions.inc({ repository: repositories(repository) }));
}

function countOffline(registers: Registry[], on: On): void {
  const labelNames = ['repository'] as const;
  const misses = new Counter({
    name: 'larder_offline_misses_total',
    help: 'Requests for what is not stored, where no upstream may be asked; `larder missing` lists what it was.',
    labelNames,
    registers,
  });
  const refreshed = new Counter({
    name: 'larder_keep_warm_documents_total',
    help: 'Documents refreshed before anybody asked for them again.',
    labelNames,
    registers,
  });
  const fetched = new Counter({
    name: 'larder_keep_warm_artifacts_total',
    help: 'Newest versions fetched before anybody asked for them.',
    labelNames,
    registers,
  });
  const failed = new Counter({
    name: 'larder_keep_warm_failures_total',
    help: 'What could not be refreshed or fetched.',
    labelNames,
    registers,
  });
  const repositories = bounded(10_000);
  on('offline.miss', (event) => misses.inc({ repository: repositories(event.repository) }));
  on('keep-warm', (event) => {
    const repository = repositories(event.repository);
    refreshed.inc({ repository }, event.documents);
    fetched.inc({ repository }, event.artifacts);
    failed.inc({ repository }, event.failed);
  });
}

function countStore(registers: Registry[], maxSizeBytes: number | undefined, on: On): void {
  const bytes = new Gauge({ name: 'larder_store_bytes', help: 'Bytes stored.', registers });
  const entries = new Gauge({ name: 'larder_store_entries', help: 'Objects stored.', registers });
  const full = new Gauge({
    name: 'larder_store_full',
    help: '1 while disk or budget refuse new bytes, and answers are passed on without being stored.',
    registers,
  });
  const evictions = new Counter({ name: 'larder_store_evictions_total', help: 'Objects evicted.', registers });
  const evicted = new Counter({ name: 'larder_store_evicted_bytes_total', help: 'Bytes evicted.', registers });
  const damaged = new Counter({
    name: 'larder_store_damaged_total',
    help: 'Objects found damaged and set aside.',
    registers,
  });
  if (maxSizeBytes !== undefined) {
    new Gauge({ name: 'larder_store_max_bytes', help: 'What may be stored.', registers }).set(maxSizeBytes);
  }
  on('store.size', (event) => {
    bytes.set(event.bytes);
    entries.set(event.entries);
  });
  on('store.full', (event) => full.set(event.full ? 1 : 0));
  on('store.evicted', (event) => {
    evictions.inc();
    evicted.inc(event.bytes);
  });
  on('store.damaged', () => damaged.inc());
}

/** Each look starts a new measurement, so that an old stall does not hide a new one. */
function watchEventLoop(registers: Registry[]): () => void {
  const histogram = monitorEventLoopDelay({ resolution: loopResolutionMs });
  histogram.enable();
  // What is measured is the time between two ticks of a timer; only what goes beyond its period is delay.
  const seconds = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - loopResolutionMs) / 1000;
  new Gauge({
    name: 'larder_event_loop_delay_seconds',
    help: 'How long the event loop was held up, since the metrics were read last. Quantile 1 is the longest.',
    labelNames: ['quantile'],
    registers,
    collect() {
      const measured = histogram.count > 0;
      this.set({ quantile: '0.5' }, measured ? seconds(histogram.percentile(50)) : 0);
      this.set({ quantile: '0.99' }, measured ? seconds(histogram.percentile(99)) : 0);
      this.set({ quantile: '1' }, measured ? seconds(histogram.max) : 0);
      histogram.reset();
    },
  });
  return () => histogram.disable();
}

let shared: Registry | undefined;

/** Observers of the process cannot be ended again, so there is one set of them however often metrics are started. */
function processMetrics(): Registry {
  if (!shared) {
    shared = new Registry();
    collectDefaultMetrics({ register: shared });
  }
  return shared;
}

/**
 * Traces, made of events only: nobody below knows of them, no context travels with the work, and where nobody listens nothing
 * is done. A request is a tree: the server's span, and below it the turns it waited for, each exchange with an upstream, the
 * download it began, and the documents that were made for it. Names follow OpenTelemetry's semantic conventions for HTTP.
 */
import {
  type Attributes,
  type Context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { parseTraceParent, TraceState } from '@opentelemetry/core';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import { type EventName, type Events, subscribe } from '../core/events.ts';
import { toProblem } from '../core/problem.ts';
import { redactText, redactUrl } from './redact.ts';
import { type Collector, openSpanQueue } from './span-queue.ts';
import { isState } from './trace-context.ts';

export interface TracingOptions extends Collector {
  readonly serviceName: string;
  readonly version: string;
  /** Share of traces that are kept, of those that begin here; a trace that came with a request is kept if its sender keeps it. */
  readonly sample: number;
}

export interface Tracing {
  /** Sends what waits and listens no longer. */
  stop(deadlineMs: number): Promise<void>;
}

/** A request that is not over, or of which something may still be told. */
interface Known {
  readonly context: Context;
  /** Until it is over. */
  span: Span | undefined;
}

/** So many requests are remembered beyond their end, because work they began may go on. */
const mostKnown = 4096;
/** Asked every few seconds by whoever watches over the server. Nobody wants to see them, unless they say so. */
const probes = /\/(?:healthz|readyz|metrics)$/;
/** Waits below this are no waits. */
const shortestWaitMs = 1;
const longestValue = 1024;
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']);

export function startTracing(options: TracingOptions): Tracing {
  const queue = openSpanQueue(options);
  const provider = new TracerProvider({
    // What the environment says about the process (OTEL_RESOURCE_ATTRIBUTES) stays, but for its name.
    resource: defaultResource()
      .merge(detectResources({ detectors: [envDetector] }))
      .merge(resourceFromAttributes({ 'service.name': options.serviceName, 'service.version': options.version })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.sample) }),
    spanLimits: { attributeValueLengthLimit: longestValue, eventCountLimit: 64, linkCountLimit: 16 },
    spanProcessors: [queue.processor],
  });
  const tracer = provider.getTracer('larder', options.version);
  const running = new Map<number, Known>();
  /** By request id. */
  const latest = new Map<string, Known>();
  const exchanges = new Map<number, Span>();
  const downloads = new Map<number, Span>();

  const contextOf = (requestId: string | undefined): Context =>
    (requestId === undefined ? undefined : latest.get(requestId)?.context) ?? ROOT_CONTEXT;
  const spanOf = (requestId: string | undefined): Span | undefined =>
    requestId === undefined ? undefined : latest.get(requestId)?.span;

  function begin(name: string, kind: SpanKind, parent: Context, startedAt: number, attributes: Attributes): Span {
    return tracer.startSpan(name, { kind, startTime: startedAt, attributes }, parent);
  }

  /** Something that is over already. */
  function note(name: string, requestId: string | undefined, durationMs: number, attributes: Attributes): void {
    const parent = contextOf(requestId);
    if (parent === ROOT_CONTEXT) return;
    const endedAt = performance.now();
    begin(name, SpanKind.INTERNAL, parent, endedAt - durationMs, attributes).end(endedAt);
  }

  function requestStarted({ id, serial, method, url, traceparent, tracestate }: Events['request.start']): void {
    const parent = parentOf(traceparent, tracestate);
    if (parent === ROOT_CONTEXT && probes.test(url)) return;
    const span = begin(methodOf(method), SpanKind.SERVER, parent, performance.now(), {});
    const known: Known = { context: trace.setSpan(ROOT_CONTEXT, span), span };
    running.set(serial, known);
    latest.delete(id);
    latest.set(id, known);
    const [oldest] = latest.keys();
    if (latest.size > mostKnown && oldest !== undefined) latest.delete(oldest);
  }

  function requestOver(request: Events['request']): void {
    const { serial, traceparent, tracestate, method, durationMs } = request;
    const known = serial === undefined ? undefined : running.get(serial);
    // Not to be seen, or begun before anybody listened.
    if (serial !== undefined && !known) return;
    const endedAt = performance.now();
    const startedAt = endedAt - durationMs;
    const span =
      known?.span ?? begin(methodOf(method), SpanKind.SERVER, parentOf(traceparent, tracestate), startedAt, {});
    request.trace = span.spanContext().traceId;
    if (serial !== undefined) running.delete(serial);
    if (known) known.span = undefined;
    if (!span.isRecording()) return;
    describe(span, request, startedAt);
    span.end(endedAt);
  }

  function exchangeStarted(event: Events['upstream.request']): void {
    const { exchange, upstream, origin, path, method, requestId, resends, waitedMs, tell, add } = event;
    if (waitedMs >= shortestWaitMs) note('wait for turn', requestId, waitedMs, { 'larder.upstream': upstream });
    const { hostname, port, protocol } = new URL(origin);
    const span = begin(methodOf(method), SpanKind.CLIENT, contextOf(requestId), performance.now(), {
      'http.request.method': methodOf(method),
      'server.address': hostname,
      'server.port': port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
      // The query may be a signature that lets in whoever has it.
      'url.full': redactUrl(`${origin}${path}`),
      'larder.upstream': upstream,
      ...(resends === 0 ? {} : { 'http.request.resend_count': resends }),
    });
    if (span.isRecording()) exchanges.set(exchange, span);
    if (tell === 'nothing') return;
    const { traceId, spanId, traceFlags, traceState } = span.spanContext();
    add('traceparent', `00-${traceId}-${spanId}-${traceFlags & 1 ? '01' : '00'}`);
    if (tell === 'all' && traceState) add('tracestate', traceState.serialize());
  }

  function exchangeFailed({ exchange, code }: Events['upstream.failure']): void {
    const span = exchanges.get(exchange);
    span?.setAttribute('error.type', code);
    span?.setStatus({ code: SpanStatusCode.ERROR, message: code });
  }

  function exchangeAnswered({ exchange, status }: Events['upstream.response']): void {
    const span = exchanges.get(exchange);
    span?.setAttribute('http.response.status_code', status);
    if (status < 400) return;
    span?.setAttribute('error.type', String(status));
    span?.setStatus({ code: SpanStatusCode.ERROR });
  }

  function joined(event: Events['download.join']): void {
    const span = spanOf(event.requestId);
    if (!span?.isRecording()) return;
    const other =
      'download' in event
        ? downloads.get(event.download)?.spanContext()
        : trace.getSpanContext(contextOf(event.leader));
    if (!other) return;
    const link: Link = { context: other, attributes: { 'larder.joined': true } };
    span.addLink(link);
  }

  const ends: (() => void)[] = [];
  const on = <N extends EventName>(name: N, listener: (event: Events[N]) => void): void => {
    ends.push(subscribe(name, listener));
  };
  on('request.start', requestStarted);
  on('request.over', requestOver);
  on('upstream.request', exchangeStarted);
  on('upstream.response', exchangeAnswered);
  on('upstream.failure', exchangeFailed);
  on('upstream.end', ({ exchange }) => {
    exchanges.get(exchange)?.end();
    exchanges.delete(exchange);
  });
  on('upstream.retry', ({ requestId, upstream, attempt, waitMs }) =>
    spanOf(requestId)?.addEvent('retry', { 'larder.upstream': upstream, attempt, wait_ms: waitMs }),
  );
  on('download.start', ({ download, url, requestId }) => {
    const parent = contextOf(requestId);
    const span = begin('download', SpanKind.INTERNAL, parent, performance.now(), { 'url.full': withoutQuery(url) });
    if (span.isRecording()) downloads.set(download, span);
  });
  on('download.end', ({ download, bytes, outcome }) => {
    const span = downloads.get(download);
    downloads.delete(download);
    span?.setAttributes({ 'larder.download.outcome': outcome, 'larder.download.bytes': bytes });
    if (outcome === 'failed') span?.setStatus({ code: SpanStatusCode.ERROR });
    span?.end();
  });
  on('download.join', joined);
  on('document.derived', ({ requestId, format, type, durationMs, where, bytes }) =>
    note(`derive ${format} ${type}`, requestId, durationMs, {
      'larder.format': format,
      'larder.document': type,
      'larder.derived.where': where,
      'larder.derived.bytes': bytes,
    }),
  );

  return {
    async stop(deadlineMs) {
      for (const end of ends.splice(0)) end();
      // Better unfinished than not at all.
      for (const span of [...exchanges.values(), ...downloads.values()]) span.end();
      for (const { span } of running.values()) span?.end();
      await queue.close(deadlineMs);
    },
  };
}

/** The sender's span, if what it says is right; else a trace begins here. */
function parentOf(traceparent: string | undefined, tracestate: string | undefined): Context {
  const parent = traceparent === undefined ? null : parseTraceParent(traceparent);
  if (!parent) return ROOT_CONTEXT;
  const state = isState(tracestate) ? { traceState: new TraceState(tracestate) } : {};
  return trace.setSpanContext(ROOT_CONTEXT, { ...parent, ...state, isRemote: true });
}

/** Unknown ones are strangers' words and would be names of spans. */
const methodOf = (method: string): string => (methods.has(method) ? method : '_OTHER');

/** Nothing that lets anybody in, and no name of who asked. */
function describe(span: Span, request: Events['request'], startedAt: number): void {
  const { method, status, repository, format, route, outcome, error, aborted, firstByteMs } = request;
  const [path = '', query] = redactUrl(request.url).split('?', 2);
  const name = methodOf(method);
  span.updateName(format === '-' ? `${name} ${route === '-' ? 'control' : route}` : `${name} ${format} ${route}`);
  span.setAttributes({
    'http.request.method': name,
    'http.response.status_code': status,
    'http.response.body.size': request.bytesSent,
    'url.path': path,
    ...(query === undefined ? {} : { 'url.query': query }),
    'client.address': request.remote,
    'user_agent.original': request.userAgent,
    'larder.request_id': request.id,
    ...(repository === '-' ? {} : { 'larder.repository': repository, 'larder.format': format, 'larder.route': route }),
    ...(outcome === '-' ? {} : { 'larder.outcome': outcome }),
    ...(aborted ? { 'larder.aborted': true } : {}),
  });
  if (firstByteMs !== undefined) span.addEvent('first byte', startedAt + firstByteMs);
  if (error === undefined) {
    if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    return;
  }
  const { code, message } = toProblem(error);
  span.setAttribute('error.type', code);
  // What a client did wrong is no error of the server's (semantic conventions, HTTP server spans).
  if (status >= 500 || aborted) span.setStatus({ code: SpanStatusCode.ERROR, message: redactText(message) });
}

function withoutQuery(url: string): string {
  return redactUrl(url.split('?', 1)[0] ?? '');
}

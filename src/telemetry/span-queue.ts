/** Spans on their way to the collector. Whatever becomes of it, requests do not notice: so many wait, the rest is counted and forgotten. */
import http from 'node:http';
import https from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter, type SpanProcessor } from '@opentelemetry/sdk-trace';
import { publish } from '../core/events.ts';

export interface Collector {
  /** Where traces are sent to, with its path. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Most spans that wait. */
  readonly queue?: number;
  /** Longest time a span waits for company. */
  readonly delayMs?: number;
  /** Longest time for one export with its retries. */
  readonly timeoutMs?: number;
}

export interface SpanQueue {
  readonly processor: SpanProcessor;
  /** Sends what waits; what is not taken by then is dropped. */
  close(deadlineMs: number): Promise<void>;
}

const batch = 512;
const usually = { queue: 4096, delayMs: 2000, timeoutMs: 5000 };

export function openSpanQueue(collector: Collector): SpanQueue {
  const { url, headers, queue, delayMs, timeoutMs } = { ...usually, ...collector };
  let isClosed = false;
  const agent = openAgent(url, () => isClosed);
  const exporter = new OTLPTraceExporter({
    url,
    headers: { ...headers },
    timeoutMillis: timeoutMs,
    httpAgentOptions: () => agent,
  });
  /** In the queue, and on their way. */
  let waiting = 0;
  let sending = 0;
  let isFailing = false;

  const drop = (spans: number): void => {
    if (spans > 0) publish('trace.dropped', { spans });
  };

  const counted: SpanExporter = {
    export(spans: ReadableSpan[], done) {
      waiting -= spans.length;
      sending += spans.length;
      exporter.export(spans, (result) => {
        sending -= spans.length;
        const failed = result.code !== ExportResultCode.SUCCESS;
        if (failed) drop(spans.length);
        // Once, until it works again: a collector that is away would fill the log.
        if (failed && !isFailing) publish('fault', { where: 'tracing', error: result.error });
        isFailing = failed;
        done(result);
      });
    },
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
  const batches = new BatchSpanProcessor({
    exporter: counted,
    maxQueueSize: queue,
    maxExportBatchSize: Math.min(batch, queue),
    scheduledDelayMillis: delayMs,
    exportTimeoutMillis: 2 * timeoutMs,
  });

  return {
    processor: {
      onStart() {},
      onEnd(span) {
        if (waiting >= queue) return drop(1);
        waiting += 1;
        batches.onEnd(span);
      },
      forceFlush: () => batches.forceFlush(),
      shutdown: () => batches.shutdown(),
    },
    async close(deadlineMs) {
      const late = new AbortController();
      const tooLate = delay(Math.min(deadlineMs, timeoutMs), undefined, { signal: late.signal, ref: false }).catch(
        () => {},
      );
      await Promise.race([batches.shutdown().catch(() => {}), tooLate]);
      late.abort();
      isClosed = true;
      drop(waiting + sending);
      waiting = 0;
      agent.destroy();
    },
  };
}

/**
 * The library tries again for seconds when a connection fails with one of the usual codes, and its timer holds up the end of the
 * process. What could not be sent is worth less than that: such an error is given a code that means nothing to it. But for a
 * connection that was kept: the collector may close it just as it is used again, which says nothing of the collector (RFC 9112,
 * section 9.3.1).
 */
function openAgent(url: string, isClosed: () => boolean): http.Agent {
  const agent = new (url.startsWith('https:') ? https : http).Agent({ keepAlive: true });
  const kept = new WeakSet<object>();
  agent.on('free', (socket: object) => kept.add(socket));
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, done) => {
    if (isClosed()) {
      done?.(new Error('The server is ending.'), undefined as never);
      return undefined;
    }
    const socket = connect(options, done);
    socket?.prependListener('error', (error: NodeJS.ErrnoException) => {
      if (!socket || !kept.has(socket)) error.code = `COLLECTOR_${error.code}`;
    });
    return socket;
  };
  return agent;
}

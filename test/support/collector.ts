/** An OpenTelemetry collector that takes OTLP over HTTP (JSON) and remembers every span. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { eventually } from './wait.ts';

export interface SeenSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly string[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 0 unset, 2 error. */
  readonly status: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface FakeCollector {
  readonly url: string;
  readonly spans: readonly SeenSpan[];
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders; readonly text: string }[];
  /** All spans of a trace once there are so many. */
  trace(id: string, count: number): Promise<readonly SeenSpan[]>;
  /** What it answers from now on; `undefined`: it does not answer. */
  answer(status: number | undefined): void;
}

interface Value {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
}

interface Pair {
  readonly key: string;
  readonly value: Value;
}

interface Told {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Pair[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly traceId: string;
        readonly spanId: string;
        readonly parentSpanId?: string;
        readonly name: string;
        readonly kind: number;
        readonly attributes: readonly Pair[];
        readonly events?: readonly { readonly name: string }[];
        readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
        readonly status: { readonly code?: number };
        readonly startTimeUnixNano: string;
        readonly endTimeUnixNano: string;
      }[];
    }[];
  }[];
}

const plain = (pairs: readonly Pair[]): Record<string, unknown> =>
  Object.fromEntries(
    pairs.map(({ key, value }) => [
      key,
      value.stringValue ?? value.boolValue ?? Number(value.intValue ?? value.doubleValue),
    ]),
  );

function spansOf({ resourceSpans }: Told): SeenSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map(({ parentSpanId, ...span }) => ({
        ...span,
        ...(parentSpanId ? { parentSpanId } : {}),
        attributes: plain(span.attributes),
        events: (span.events ?? []).map(({ name }) => name),
        links: span.links ?? [],
        status: span.status.code ?? 0,
        startMs: Number(span.startTimeUnixNano) / 1e6,
        endMs: Number(span.endTimeUnixNano) / 1e6,
        resource: plain(resource.attributes),
      })),
    ),
  );
}

/** Gone when the test ends. */
export async function startCollector(): Promise<FakeCollector> {
  const spans: SeenSpan[] = [];
  const requests: { path: string; headers: IncomingHttpHeaders; text: string }[] = [];
  let status: number | undefined = 200;
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      requests.push({ path: req.url ?? '', headers: req.headers, text });
      if (status === undefined) return;
      if (status === 200) spans.push(...spansOf(JSON.parse(text) as Told));
      res.writeHead(status, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    trace: (id, count) =>
      eventually(`${count} spans of the trace ${id}`, () => {
        const found = spans.filter(({ traceId }) => traceId === id);
        return found.length >= count ? found : undefined;
      }),
    answer(next) {
      status = next;
    },
  };
}

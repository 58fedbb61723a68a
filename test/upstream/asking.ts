/** What tests of the client share: an upstream with plain settings, its events, and how to read what it answers. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach } from 'vitest';
import { type EventName, type Events, subscribe } from '../../src/core/events.ts';
import { Problem } from '../../src/core/problem.ts';
import {
  createUpstreams,
  type Reply,
  type Upstream,
  type UpstreamSettings,
  type UpstreamsOptions,
} from '../../src/upstream/client.ts';

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/** Runs after the test, the last one first. */
export function later(step: () => unknown): void {
  undo.push(step);
}

/** The last error of a promise, or what it resolved to. */
export function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => value,
    (error: unknown) => error,
  );
}

export async function problemOf(promise: Promise<unknown>): Promise<Problem> {
  const error = await failureOf(promise);
  if (error instanceof Problem) return error;
  throw new Error('Expected a problem', { cause: error });
}

export function settingsFor(url: string, more: Partial<UpstreamSettings> = {}): UpstreamSettings {
  return {
    name: 'inner',
    url,
    // Longer than a test may take: whoever waits for a time-out by mistake fails.
    timeoutMs: 60_000,
    connectTimeoutMs: 60_000,
    concurrency: 8,
    maxQueue: 100,
    retries: 2,
    hosts: [],
    onlyHosts: false,
    namespaces: [],
    realms: [],
    breaker: { failures: 100, windowMs: 60_000, openMs: 30_000, probeTimeoutMs: 5000 },
    ...more,
  };
}

/** Retries come without a wait. */
export function upstreamsFor(options: Partial<UpstreamsOptions> = {}) {
  const upstreams = createUpstreams({ via: 'larder', userAgent: 'Larder/test', random: () => 0, ...options });
  later(() => upstreams.close());
  return upstreams;
}

export function upstreamAt(
  url: string,
  more: Partial<UpstreamSettings> = {},
  options: Partial<UpstreamsOptions> = {},
): Upstream {
  return upstreamsFor(options).open(settingsFor(url, more));
}

export async function textOf({ body }: Reply): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Everything published under these names until the test ends. */
export function heard<N extends EventName>(name: N): Events[N][] {
  const events: Events[N][] = [];
  later(subscribe(name, (event) => events.push(event)));
  return events;
}

/** A port of this machine on which nobody listens. */
export async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface RudeServer {
  readonly url: string;
  readonly port: number;
  readonly connections: number;
  /** Connections that are open now. */
  readonly open: number;
  /** Everything received, one text per connection. */
  readonly received: readonly string[];
}

/** A server without manners: it does to each socket what the script says. `nth` counts requests, from 1. */
export async function startRudeServer(
  script: (socket: Socket, nth: number, request: string) => void,
): Promise<RudeServer> {
  const sockets = new Set<Socket>();
  const received: string[] = [];
  let requests = 0;
  const server = createServer((socket) => {
    const index = received.push('') - 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    let unread = '';
    socket.on('data', (chunk) => {
      received[index] += chunk.toString('latin1');
      unread += chunk.toString('latin1');
      for (let end = unread.indexOf('\r\n\r\n'); end >= 0; end = unread.indexOf('\r\n\r\n')) {
        const request = unread.slice(0, end);
        unread = unread.slice(end + 4);
        requests += 1;
        script(socket, requests, request);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  later(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    received,
    get open() {
      return sockets.size;
    },
    get connections() {
      return received.length;
    },
  };
}

/** What becomes of spans when the connection to the collector does not hold. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { TracerProvider } from '@opentelemetry/sdk-trace';
import { afterEach, expect, test } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import { openSpanQueue } from '../../src/telemetry/span-queue.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Answers each export as told, in order of their arrival: takes it, or resets the connection that it came on. */
async function collector(fates: readonly ('take' | 'reset')[]) {
  const heard: { readonly connection: number; readonly fate: string }[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    const connection = connections;
    sockets.add(socket);
    socket.on('error', () => {});
    let text = '';
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      if (!text.endsWith('}') && !text.endsWith('0\r\n\r\n')) return;
      text = '';
      const fate = fates[heard.length] ?? 'take';
      heard.push({ connection, fate });
      if (fate === 'reset') socket.resetAndDestroy();
      else socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { heard, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces` };
}

async function queued(fates: readonly ('take' | 'reset')[]) {
  const { heard, url } = await collector(fates);
  let dropped = 0;
  const faults: string[] = [];
  ends.push(
    subscribe('trace.dropped', ({ spans }) => {
      dropped += spans;
    }),
  );
  ends.push(subscribe('fault', ({ where }) => void faults.push(where)));
  const queue = openSpanQueue({ url, headers: {}, delayMs: 60_000 });
  ends.push(() => queue.close(100));
  const tracer = new TracerProvider({ spanProcessors: [queue.processor] }).getTracer('test');
  const send = async (): Promise<void> => {
    tracer.startSpan('one', {}, ROOT_CONTEXT).end();
    await queue.processor.forceFlush().catch(() => {});
  };
  return { heard, send, dropped: () => dropped, faults };
}

test('a connection that was kept and is reset as it is used again loses nothing', async () => {
  const { heard, send, dropped, faults } = await queued(['take', 'reset', 'take']);
  await send();
  await send();
  expect(heard).toEqual([
    { connection: 1, fate: 'take' },
    { connection: 1, fate: 'reset' },
    { connection: 2, fate: 'take' },
  ]);
  expect([dropped(), faults]).toEqual([0, []]);
});

test('what a new connection loses is counted at once, and said once', async () => {
  const { heard, send, dropped, faults } = await queued(['reset', 'reset']);
  await send();
  await send();
  expect(heard.map(({ connection }) => connection)).toEqual([1, 2]);
  expect([dropped(), faults]).toEqual([2, ['tracing']]);
});

/**
 * Stands between Larder and a real registry, so that a test can count what goes there and take the registry away.
 * Documents name the forwarder's address in place of the registry's.
 */
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';

export interface Forwarder {
  /** No trailing slash. */
  readonly url: string;
  readonly requests: readonly string[];
  /** Refuses connections and drops the open ones. */
  stop(): Promise<void>;
}

/** Headers of one connection, and those that change when a body is rewritten. */
const ownHeaders = ['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'host', 'accept-encoding'];

function passedOn(headers: IncomingMessage['headers']): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!ownHeaders.includes(name) && value !== undefined) passed[name] = value.toString();
  }
  return passed;
}

/** `target` is the registry's base URL. */
export async function startForwarder(target: string): Promise<Forwarder> {
  const base = target.replace(/\/$/, '');
  const { protocol, hostname, port, pathname } = new URL(base);
  const isTls = protocol === 'https:';
  const agent = isTls
    ? new TlsAgent({ keepAlive: true, maxSockets: 32 })
    : new Agent({ keepAlive: true, maxSockets: 32 });
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let url = '';

  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const reply = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = (isTls ? tlsRequest : request)(
        {
          hostname,
          port: port || (isTls ? 443 : 80),
          path: `${pathname.replace(/\/$/, '')}${incoming.url}`,
          method: incoming.method,
          headers: { ...passedOn(incoming.headers), 'accept-encoding': 'identity' },
          agent,
        },
        resolve,
      );
      outgoing.on('error', reject);
      incoming.pipe(outgoing);
    });
    const headers = passedOn(reply.headers);
    const status = reply.statusCode ?? 502;
    if (!/json/.test(headers['content-type'] ?? '')) {
      const length = reply.headers['content-length'];
      response.writeHead(status, { ...headers, ...(length === undefined ? {} : { 'content-length': length }) });
      await pipeline(reply, response);
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of reply) chunks.push(chunk as Buffer);
    response.writeHead(status, headers);
    response.end(Buffer.concat(chunks).toString().replaceAll(base, url));
  }

  const server = createServer((incoming, response) => {
    requests.push(`${incoming.method} ${incoming.url}`);
    answer(incoming, response).catch(() => response.destroy());
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    url,
    requests,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      agent.destroy();
      await closed;
    },
  };
}

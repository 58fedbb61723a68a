/** Clients that take nothing of what is sent to them. One that takes little costs a socket and may stay; one that takes nothing is cut. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';
import { publish } from '../core/events.ts';
import type { Connections } from './connections.ts';
import { isHttp2 } from './facts.ts';

/** Begins with the request; Node's time-out starts anew with every byte that leaves, also within one large write. */
export function watchReader(req: IncomingMessage, res: ServerResponse | Http2ServerResponse, timeoutMs: number): void {
  if (!isHttp2(res)) {
    req.socket.setTimeout(timeoutMs);
    return;
  }
  const { stream } = res;
  stream.setTimeout(timeoutMs);
  stream.on('timeout', () => {
    if (stream.writableLength === 0) {
      // It is us that it waits for.
      stream.setTimeout(timeoutMs);
      return;
    }
    publish('client.slow', { kind: 'reader', remote: req.socket?.remoteAddress ?? '' });
    stream.close(constants.NGHTTP2_CANCEL);
  });
}

/** What becomes of a connection of HTTP/1.1 on which nothing moved for a while. */
export function onQuiet(connections: Connections, timeoutMs: () => number): (socket: Socket) => void {
  return (socket) => {
    if ((connections.of(socket)?.running ?? 0) === 0) socket.destroy();
    else if (socket.writableLength === 0) socket.setTimeout(timeoutMs());
    else {
      publish('client.slow', { kind: 'reader', remote: socket.remoteAddress ?? '' });
      socket.destroy();
    }
  };
}

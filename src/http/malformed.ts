/** What is no HTTP. */
import type { ServerResponse } from 'node:http';
import type net from 'node:net';
import { packageHeaders } from './respond.ts';

/** What does not parse as HTTP never becomes a request: a short answer after those that are due, and the connection ends. */
export function answerMalformed(
  error: NodeJS.ErrnoException,
  socket: net.Socket,
  last: ServerResponse | undefined,
): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  // Unless it is the very request being answered whose body does not come.
  if (last?.req.complete && !last.writableFinished && !last.destroyed) {
    last.once('close', () => socket.destroySoon());
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
  const text = JSON.stringify({ error: `${status.slice(4)}: ${error.code ?? 'malformed'}` });
  const headers = Object.entries({
    'content-type': 'application/json',
    ...packageHeaders,
    'content-length': String(text.length),
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status}\r\n${headers.join('')}\r\n${text}`);
}

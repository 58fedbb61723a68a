/** What a request says about itself, in the shapes that the rest of this folder asks for. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Http2ServerResponse } from 'node:http2';
import type net from 'node:net';

/** How the request came, and not what its first line says: `GET / HTTP/2.0` in plain text parses as well (llhttp 9). */
export const isHttp2 = (res: ServerResponse | Http2ServerResponse): res is Http2ServerResponse =>
  res instanceof Http2ServerResponse;

/** Path and query, both as they were sent. */
export function split(url: string): [string, string] {
  const mark = url.indexOf('?');
  return mark === -1 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)];
}

/** A header that came more than once, as one. */
export const single = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(', ') : value;

/** Every header as one text. */
export function flat(headers: IncomingMessage['headers']): Record<string, string | undefined> {
  const plain: Record<string, string | undefined> = {};
  for (const name in headers) plain[name] = single(headers[name]);
  return plain;
}

/** What the public base URL and the client's address are told by. */
export function factsOf(req: IncomingMessage) {
  const socket = req.socket as net.Socket & { readonly encrypted?: boolean };
  return { encrypted: socket.encrypted === true, remoteAddress: socket.remoteAddress ?? '', headers: req.headers };
}

/** What a request says about itself, in the shapes that the rest of this folder asks for. */
import type { IncomingMessage } from 'node:http';
import type net from 'node:net';

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

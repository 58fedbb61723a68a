/** A client that decodes nothing, follows nothing, and tells whether the answer was complete. */
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';
import { type Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { connect } from 'node:net';

export type Headers = Readonly<Record<string, string>>;

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** False: the connection ended before the message did. */
  readonly complete: boolean;
  text(): string;
  json(): unknown;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Headers;
  readonly body?: string | Buffer;
  readonly ca?: string;
  /** Default: each request has a connection of its own. */
  readonly agent?: Agent | TlsAgent;
  readonly signal?: AbortSignal;
  /** Sees each piece of the body as it comes; then `body` stays empty. */
  readonly onData?: (piece: Buffer) => void;
  /** Sees status and headers as soon as they are there. */
  readonly onHead?: (status: number, headers: IncomingHttpHeaders) => void;
}

/** The path goes out as it is written, without any cleaning. */
export function ask(url: string, options: AskOptions = {}): Promise<Answer> {
  const [, origin = '', path = '/'] = /^(https?:\/\/[^/]+)(.*)$/.exec(url) ?? [];
  const { protocol, hostname, port } = new URL(origin);
  const isTls = protocol === 'https:';
  return new Promise((resolve, reject) => {
    const outgoing = (isTls ? tlsRequest : request)({
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: port || (isTls ? 443 : 80),
      path: path || '/',
      method: options.method ?? 'GET',
      headers: { ...options.headers },
      agent: options.agent ?? false,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      options.onHead?.(incoming.statusCode ?? 0, incoming.headers);
      incoming.on('data', (chunk: Buffer) => {
        if (options.onData) options.onData(chunk);
        else chunks.push(chunk);
      });
      incoming.on('error', () => {});
      incoming.on('close', () => {
        const body = Buffer.concat(chunks);
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body,
          complete: incoming.complete,
          text: () => body.toString(),
          json: () => JSON.parse(body.toString()),
        });
      });
    });
    outgoing.end(options.body);
  });
}

export function get(url: string, headers: Headers = {}): Promise<Answer> {
  return ask(url, { headers });
}

/** Writes bytes to a socket and gives back everything that came until the other side closed, or until nothing came for a while. */
export function raw(port: number, message: string | Buffer, quietMs = 2000): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(message));
    const finish = (): void => {
      socket.destroy();
      resolve(Buffer.concat(chunks));
    };
    socket.setTimeout(quietMs, finish);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', finish);
    socket.on('close', finish);
  });
}

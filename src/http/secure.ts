/** The HTTPS port: HTTP/2, and HTTP/1.1 for those who speak no other. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { SecureVersion } from 'node:tls';
import type { Connection, Connections } from './connections.ts';
import { isHttp2 } from './facts.ts';

export interface SecureOptions {
  /** PEM text. */
  readonly tls: { readonly cert: string; readonly key: string; readonly minVersion: SecureVersion };
  /** What the server without TLS has, too. */
  readonly settings: {
    readonly keepAliveTimeout: number;
    readonly headersTimeout: number;
    readonly maxHeaderSize: number;
  };
  /** Of one connection at the same time. */
  readonly streams: number;
  readonly connections: Connections;
  readonly onRequest: (req: IncomingMessage, res: ServerResponse) => void;
}

/**
 * How many streams a client may open and give up (CVE-2023-44487, "rapid reset") before its connection is ended, and how many
 * more each second. A client that is stopped gives up all of its streams at once, and there are 128 of them.
 */
const streamResetBurst = 256;
const streamResetRate = 32;

/**
 * Node's answers over HTTP/2 have no `destroyed`, by which everything here sees that a client is gone. And a stream that its client gives up
 * without an error would wait for writes that nobody takes any more.
 */
function endWithStream(res: http2.Http2ServerResponse): void {
  const { stream } = res;
  Object.defineProperty(res, 'destroyed', { get: () => stream.destroyed });
  stream.once('aborted', () => process.nextTick(() => stream.destroy()));
}

/**
 * What else one connection may do is limited by Node and nghttp2, whose defaults stay: 32 settings in a frame, 10 pings and 10
 * settings frames unanswered, 100 streams refused, 1000 invalid frames, 128 header lines, 10 MB of memory.
 */
export function createSecure(options: SecureOptions): http2.Http2SecureServer {
  const { tls, settings, streams, connections, onRequest } = options;
  const secure = http2.createSecureServer({
    ...tls,
    ...settings,
    allowHTTP1: true,
    handshakeTimeout: settings.headersTimeout,
    settings: { maxConcurrentStreams: streams, maxHeaderListSize: settings.maxHeaderSize },
    streamResetBurst,
    streamResetRate,
  });
  const begun = (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse): void => {
    if (isHttp2(res)) endWithStream(res);
    onRequest(req as unknown as IncomingMessage, res as unknown as ServerResponse);
  };
  secure.on('request', begun);
  secure.on('checkContinue', begun);
  secure.on('sessionError', () => {});
  secure.on('tlsClientError', () => {});

  // Whoever does not get through the handshake is connected as well.
  const handshakes = new Map<string, Connection>();
  secure.on('connection', (socket: Socket) => {
    const connection = connections.accept(socket);
    if (!connection) return;
    const key = endOf(socket);
    handshakes.set(key, connection);
    socket.once('close', () => {
      if (handshakes.get(key) === connection) handshakes.delete(key);
    });
  });
  secure.on('secureConnection', (socket) => {
    const key = endOf(socket);
    const connection = handshakes.get(key);
    handshakes.delete(key);
    if (connection) connections.attach(connection, socket);
  });
  secure.on('session', (session) => {
    session.setTimeout(settings.keepAliveTimeout);
    session.on('timeout', () => {
      if ((connections.of(session.socket)?.running ?? 0) === 0) session.close();
    });
  });
  return secure;
}

const endOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

/** Connections to one origin, direct or through an egress proxy. */
import type { LookupFunction } from 'node:net';
import { getCACertificates } from 'node:tls';
import { Agent, type Dispatcher, Pool, ProxyAgent } from 'undici';

// Most servers keep a connection for 60 seconds or more, some for 5; these say so in a Keep-Alive header, which is heeded.
const keepAliveMs = 15_000;
const keepAliveMaxMs = 60_000;

// Content security policies and signed redirects of object stores are long; Node's 16 KiB is too little for some.
const maxHeaderSizeBytes = 64 * 1024;

export interface AgentSettings {
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly concurrency: number;
  readonly proxy?: string;
  /** PEM. */
  readonly ca?: string;
}

/** The usual ones stay, because redirects lead to the public internet. */
export function authoritiesWith(ca: string): string[] {
  return [...getCACertificates('default'), ca];
}

/** Behind a proxy `lookup` is not used: names are resolved there. */
export function openAgent(settings: AgentSettings, lookup: LookupFunction): Dispatcher {
  const tls = settings.ca === undefined ? {} : { ca: authoritiesWith(settings.ca) };
  const options = {
    connections: settings.concurrency,
    pipelining: 1,
    // One stalled connection would stall every stream on it, and the queue counts connections.
    allowH2: false,
    connectTimeout: settings.connectTimeoutMs,
    headersTimeout: settings.timeoutMs,
    bodyTimeout: settings.timeoutMs,
    keepAliveTimeout: keepAliveMs,
    keepAliveMaxTimeout: keepAliveMaxMs,
    maxHeaderSize: maxHeaderSizeBytes,
    autoSelectFamily: true,
  } as const;
  if (settings.proxy === undefined) return new Agent({ ...options, connect: { ...tls, lookup } });
  return new ProxyAgent({
    ...options,
    uri: settings.proxy,
    requestTls: { ...tls, timeout: settings.connectTimeoutMs },
    proxyTls: { ...tls, timeout: settings.connectTimeoutMs },
    // The connection to the proxy itself: a CONNECT that hangs is a connection that could not be made.
    clientFactory: (origin, given) =>
      new Pool(origin, { ...options, ...given, headersTimeout: settings.connectTimeoutMs }),
    // Plain http is forwarded with only the connector given, so the limits are added here.
    factory: (origin, given) => new Pool(origin, { ...options, ...given }),
  });
}

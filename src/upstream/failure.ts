/** What went wrong on the wire, in few words that stay the same whatever the library below calls it. */
import type { Code } from '../core/problem.ts';
import { forbiddenAddress } from './guard.ts';

export type FailureKind =
  /** No connection: refused, unreachable, timed out. */
  | 'connect'
  /** The name does not resolve. */
  | 'name'
  /** The certificate is not trusted, or TLS failed. */
  | 'tls'
  /** The egress proxy refused or broke off. */
  | 'proxy'
  /** The egress proxy wants credentials. */
  | 'proxy_auth'
  /** Headers did not come in time. */
  | 'timeout'
  /** The connection ended too early. */
  | 'cut'
  /** The body stopped coming. */
  | 'stalled'
  /** Not HTTP, or more header bytes than we take. */
  | 'garbled'
  /** The name stands for private addresses only. */
  | 'forbidden'
  /** We ended it ourselves. */
  | 'aborted';

interface Row {
  readonly code: Code;
  /** Asking again at once may help. */
  readonly retry: boolean;
  /** It says something about the health of the origin. */
  readonly counts: boolean;
  readonly words: string;
}

export const failures = {
  connect: { code: 'upstream_unavailable', retry: true, counts: true, words: 'could not be reached' },
  name: { code: 'upstream_unavailable', retry: true, counts: true, words: 'could not be found by its name' },
  tls: {
    code: 'upstream_invalid',
    retry: false,
    counts: true,
    words: 'could not prove who it is (TLS); its "ca" may have to be configured',
  },
  proxy: { code: 'upstream_unavailable', retry: true, counts: true, words: 'could not be reached through the proxy' },
  proxy_auth: {
    code: 'upstream_refused',
    retry: false,
    counts: false,
    words: 'is behind a proxy that wants credentials',
  },
  timeout: { code: 'upstream_unavailable', retry: false, counts: true, words: 'did not answer in time' },
  cut: { code: 'upstream_unavailable', retry: true, counts: true, words: 'closed the connection without an answer' },
  stalled: { code: 'upstream_unavailable', retry: false, counts: true, words: 'stopped sending' },
  garbled: { code: 'upstream_invalid', retry: false, counts: true, words: 'sent something that is not HTTP' },
  forbidden: {
    code: 'upstream_invalid',
    retry: false,
    counts: false,
    words: 'led to an address that Larder does not go to; if it is right, allow it under "hosts" of this upstream',
  },
  aborted: { code: 'upstream_unavailable', retry: false, counts: false, words: 'was not asked to the end' },
} as const satisfies Record<FailureKind, Row>;

const kinds: Readonly<Record<string, FailureKind>> = {
  ENOTFOUND: 'name',
  EAI_AGAIN: 'name',
  EAI_FAIL: 'name',
  EAI_NODATA: 'name',
  EAI_NONAME: 'name',
  [forbiddenAddress]: 'forbidden',
  ECONNRESET: 'cut',
  ECONNABORTED: 'cut',
  EPIPE: 'cut',
  UND_ERR_SOCKET: 'cut',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'stalled',
  UND_ERR_HEADERS_OVERFLOW: 'garbled',
  UND_ERR_PRX_TLS: 'tls',
  UND_ERR_PRX_CONN: 'proxy',
  UND_ERR_ABORTED: 'aborted',
  UND_ERR_ABORT: 'aborted',
  UND_ERR_DESTROYED: 'aborted',
  UND_ERR_CLOSED: 'aborted',
  ERR_STREAM_PREMATURE_CLOSE: 'aborted',
  ABORT_ERR: 'aborted',
};

const proxyWantsCredentials = /^Proxy (?:Authentication Required|response \(407\))/;

/** A mistake in our own call (an impossible header value, say), about which asking again changes nothing. */
export function isMisuse(error: unknown): boolean {
  const { code, message = '' } = error as { code?: unknown; message?: string };
  return code === 'UND_ERR_INVALID_ARG' && !proxyWantsCredentials.test(message);
}

/** `during` decides what an unknown error most likely is. */
export function kindOf(error: unknown, during: 'request' | 'body'): FailureKind {
  const { name, code, message = '' } = error as { name?: string; code?: unknown; message?: string };
  // The parser gives no codes, and a connection that ends within a message is no mistake in the message.
  if (name === 'HTTPParserError') return message.includes('Invalid EOF state') ? 'cut' : 'garbled';
  // Within the headers: two lengths that contradict each other.
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') return during === 'body' ? 'cut' : 'garbled';
  // Nor has the proxy client.
  if (proxyWantsCredentials.test(message)) return 'proxy_auth';
  if (message.startsWith('Proxy response (')) return 'proxy';
  if (typeof code !== 'string') return during === 'body' ? 'cut' : 'connect';
  if (Object.hasOwn(kinds, code)) return kinds[code] ?? 'connect';
  if (/^ERR_(?:TLS|SSL|OSSL)|CERT|^UNABLE_TO|^EPROTO$|SIGNATURE|_CRL_|^HOSTNAME_MISMATCH$/.test(code)) return 'tls';
  return during === 'body' ? 'cut' : 'connect';
}

/** Broken while its body came in. `code` is `UPSTREAM_CUT`, `UPSTREAM_STALLED`, `UPSTREAM_GARBLED` or `UPSTREAM_ABORTED`. */
export interface BodyError extends Error {
  readonly code: `UPSTREAM_${string}`;
}

export function bodyError(kind: FailureKind, cause: unknown): BodyError {
  const message = kind === 'aborted' ? 'The body was not read to its end' : `The upstream ${bodyWords(kind)}`;
  return Object.assign(new Error(message, { cause }), { code: `UPSTREAM_${kind.toUpperCase()}` as const });
}

function bodyWords(kind: FailureKind): string {
  return kind === 'cut' ? 'broke off in the middle of a body' : failures[kind].words;
}

/**
 * What happened, for whoever listens. Low layers neither log nor count: they publish here, on Node's
 * diagnostics channels named `larder:<event>`, which cost nothing while nobody subscribes.
 */
import { type Channel, channel } from 'node:diagnostics_channel';

export type Outcome =
  | 'hit'
  | 'miss'
  | 'joined'
  | 'revalidated'
  | 'stale'
  | 'negative'
  | 'hosted'
  | 'offline'
  | 'forwarded'
  | 'answered'
  | 'refused'
  | 'error';

export interface Events {
  /** One per request, after its last byte left or its connection broke. */
  request: {
    id: string;
    method: string;
    /** Path and query as the client sent them, without credentials. */
    url: string;
    status: number;
    /** `org/name`, or `-` for the control plane. */
    repository: string;
    format: string;
    route: string;
    outcome: Outcome | '-';
    bytesSent: number;
    durationMs: number;
    /** Time until the first byte of the answer was written. */
    firstByteMs?: number;
    remote: string;
    userAgent: string;
    /** The client left, or the answer was cut because it proved wrong. */
    aborted?: boolean;
    error?: unknown;
  };
  /** One exchange with an upstream, after its headers or its failure. */
  'upstream.response': {
    upstream: string;
    origin: string;
    method: string;
    status: number;
    durationMs: number;
    requestId?: string;
  };
  'upstream.failure': {
    upstream: string;
    origin: string;
    method: string;
    code: string;
    durationMs: number;
    requestId?: string;
  };
  'upstream.bytes': { upstream: string; bytes: number };
  'upstream.retry': { upstream: string; attempt: number; waitMs: number };
  'upstream.queue': { upstream: string; waiting: number; running: number };
  'upstream.quota': { upstream: string; limit?: number; remaining?: number };
  breaker: { origin: string; state: 'closed' | 'open' | 'half-open' };
  'download.start': { url: string };
  'download.end': { url: string; bytes: number; outcome: 'stored' | 'passed' | 'failed' | 'abandoned' };
  'download.reader': { change: 1 | -1; joined: boolean };
  'download.resume': { url: string; offset: number };
  /** Upstream sent bytes that do not agree with what was promised. Nothing of them was stored. */
  'download.mismatch': { url: string; expected: string; actual: string };
  /** A document that did not decode, or whose shape was wrong. */
  'document.invalid': { url: string; reason: string };
  /** A document now names another digest for bytes kept as immutable; the first bytes stay. */
  contradiction: { repository: string; path: string; kept: string; told: string };
  'document.derived': { format: string; type: string; durationMs: number; where: 'inline' | 'worker'; bytes: number };
  /** Somebody asked for something that is not stored, where nobody may be asked. */
  'offline.miss': {
    /** `org/name`. */
    repository: string;
    /** Raw, below the repository, with its query. */
    path: string;
    /** Where the answer depends on it. */
    accept?: string;
  };
  /** What is used in a repository was refreshed. */
  'keep-warm': {
    /** `org/name`. */
    repository: string;
    documents: number;
    artifacts: number;
    failed: number;
    durationMs: number;
  };
  /** Something was published, changed or taken away; on disk. */
  'hosted.change': {
    /** `org/name`. */
    repository: string;
    format: string;
    /** `publish`, `delete`, `admin`, `promote`, … */
    action: string;
    name: string;
    versions: readonly string[];
    /** Of the object in the repository's journal. */
    number: number;
    /** `nameOfIdentity`. */
    by: string;
    /** That were added. */
    bytes: number;
  };
  /** Somebody was refused a version that policy holds back. */
  'policy.block': { repository: string; name: string; version: string; rule: string; reason: string };
  'store.size': { bytes: number; entries: number };
  'store.evicted': { digest: string; bytes: number };
  /** The disk or the budget refuses new bytes; answers are streamed unstored until it clears. */
  'store.full': { full: boolean; reason: string };
  'store.damaged': { digest: string; reason: string };
  /** Something in the background failed that no request waits for. */
  fault: { where: string; error: unknown };
}

export type EventName = keyof Events;

const channels = new Map<string, Channel>();

function channelOf(name: EventName): Channel {
  let found = channels.get(name);
  if (!found) {
    found = channel(`larder:${name}`);
    channels.set(name, found);
  }
  return found;
}

export function publish<N extends EventName>(name: N, event: Events[N]): void {
  const to = channelOf(name);
  if (to.hasSubscribers) to.publish(event);
}

/** Returns the function that ends the subscription. */
export function subscribe<N extends EventName>(name: N, listener: (event: Events[N]) => void): () => void {
  const to = channelOf(name);
  const heard = (message: unknown): void => listener(message as Events[N]);
  to.subscribe(heard);
  return () => to.unsubscribe(heard);
}

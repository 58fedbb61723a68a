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
  /** A request has come whose answer is not lying ready. */
  'request.start': {
    id: string;
    /** Which one it is; ids may be chosen by clients, this is not. */
    serial: number;
    method: string;
    /** As in `request`. */
    url: string;
    /** As the client sent it (W3C Trace Context), unchecked. */
    traceparent?: string;
    tracestate?: string;
  };
  /** What `request` tells, just before it: whoever adds to it is through when the others hear of it. */
  'request.over': Events['request'];
  /** One per request, after its last byte left or its connection broke. */
  request: {
    id: string;
    /** Of its `request.start`, if there was one. */
    serial?: number;
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
    /** As the client sent it (W3C Trace Context), unchecked. */
    traceparent?: string;
    tracestate?: string;
    /** Id of the trace it is part of; written by whoever traces. */
    trace?: string;
    /** Kind of whoever asked a repository, or that what they showed does not count; absent: they are nobody that is known. */
    who?: 'user' | 'service' | 'ci' | 'rejected';
    /** The client left, or the answer was cut because it proved wrong. */
    aborted?: boolean;
    /** The proxy in front was given the name of the file and sends it (`given`), or could not and asked again (`returned`). */
    handOff?: 'given' | 'returned';
    error?: unknown;
  };
  /** One exchange with an upstream begins: it has its turn. */
  'upstream.request': {
    /** Which one it is, for what is told of it later. */
    exchange: number;
    upstream: string;
    origin: string;
    /** Without the query. */
    path: string;
    method: string;
    requestId?: string;
    /** How often the same was sent before: retries, redirects. */
    resends: number;
    /** In the queue. */
    waitedMs: number;
    /** Headers to be added: what it may be told of the trace it is part of. */
    tell: 'nothing' | 'traceparent' | 'all';
    add: (name: 'traceparent' | 'tracestate', value: string) => void;
  };
  /** Its body is through, or there is none. */
  'upstream.end': { exchange: number };
  /** One exchange with an upstream, after its headers or its failure. */
  'upstream.response': {
    exchange: number;
    upstream: string;
    origin: string;
    method: string;
    status: number;
    durationMs: number;
    requestId?: string;
  };
  'upstream.failure': {
    exchange: number;
    upstream: string;
    origin: string;
    method: string;
    code: string;
    durationMs: number;
    requestId?: string;
  };
  'upstream.bytes': { upstream: string; bytes: number };
  /** A piece of the body of a request. */
  'client.body': { bytes: number };
  'upstream.retry': { upstream: string; attempt: number; waitMs: number; requestId?: string };
  'upstream.queue': {
    upstream: string;
    waiting: number;
    running: number;
    /** Who began the request that made the difference; absent: nobody in particular. */
    org?: string;
    /** The same for this organisation alone. */
    own: { waiting: number; running: number };
  };
  /** More requests were waiting than its share of the room allows. */
  'upstream.turned-away': { upstream: string; org?: string };
  'upstream.quota': { upstream: string; limit?: number; remaining?: number };
  breaker: { origin: string; state: 'closed' | 'open' | 'half-open' };
  'download.start': { download: number; url: string; requestId?: string };
  'download.end': {
    download: number;
    url: string;
    bytes: number;
    outcome: 'stored' | 'passed' | 'failed' | 'abandoned';
  };
  /** A further request waits for what is being fetched already: for a download, or for the same document as another request. */
  'download.join': { requestId: string; download: number } | { requestId: string; leader: string };
  'download.reader': { change: 1 | -1; joined: boolean };
  'download.resume': { url: string; offset: number };
  /** Upstream sent bytes that do not agree with what was promised. Nothing of them was stored. */
  'download.mismatch': { url: string; expected: string; actual: string };
  /** A document that did not decode, or whose shape was wrong. */
  'document.invalid': { url: string; reason: string };
  /** A document now names another digest for bytes kept as immutable; the first bytes stay. */
  contradiction: { repository: string; path: string; kept: string; told: string };
  'document.derived': {
    format: string;
    type: string;
    durationMs: number;
    where: 'inline' | 'worker';
    bytes: number;
    requestId?: string;
  };
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
  /** Somebody showed who they are, other than with a request to a repository; or a CI job showed its ID token for one of ours. */
  'sign-in': {
    /** At the token service of registries, where clients come again and again: `registry`. */
    how: 'password' | 'issuer' | 'client' | 'registry' | 'exchange';
    /** `failed`: an issuer could not be asked, or something broke here. */
    outcome: 'done' | 'refused' | 'failed';
  };
  /** Somebody was refused a version that policy holds back. */
  'policy.block': { repository: string; name: string; version: string; rule: string; reason: string };
  'store.size': { bytes: number; entries: number };
  /** `idleMs`: how long nobody had used it. */
  'store.evicted': { digest: string; bytes: number; idleMs: number };
  /** Looked at now and then. */
  'store.disk': { freeBytes: number; sizeBytes: number };
  /** What lies beside what is stored: `trash` until its time is over, `quarantine` until somebody looks at it, the rest until it is done. */
  'store.beside': { place: 'trash' | 'quarantine' | 'staging' | 'uploads'; bytes: number; objects: number };
  /** What the last run of `gc` that was to delete something did, here or in another process. */
  'store.collected': {
    /** Milliseconds since 1970. */
    at: number;
    trashed: number;
    trashedBytes: number;
    deleted: number;
    freedBytes: number;
  };
  /** The disk or the budget refuses new bytes; answers are streamed unstored until it clears. */
  'store.full': { full: boolean; reason: string };
  'store.damaged': { digest: string; reason: string };
  /** Spans that nobody will see: the queue was full, or the collector did not take them. */
  'trace.dropped': { spans: number };
  /** The configuration was read again; refused: it has mistakes, or could not be put to use. */
  'config.reload': { outcome: 'done' | 'refused' };
  /** A client wanted more than it may: a request or connection was refused, or a transfer is slowed from here on (`bandwidth`). */
  limited: {
    /** Whose limit it is. */
    by: 'address' | 'identity' | 'org';
    kind: 'requests' | 'transfers' | 'bandwidth' | 'connections';
    /** `-`: no organisation's. */
    org: string;
    /** Of the client. */
    remote: string;
    requestId?: string;
  };
  /** A transfer had to wait for its turn. */
  throttled: { by: 'address' | 'identity' | 'org'; org: string; ms: number };
  /** A client was cut because it sent or took too little. */
  'client.slow': { kind: 'headers' | 'body' | 'reader'; remote: string };
  /** Told before metrics are read. */
  connections: { open: number; idle: number };
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

/** A request is over: whoever adds to what is told of it hears of it first. */
export function publishOver(request: Events['request']): void {
  publish('request.over', request);
  publish('request', request);
}

/** Returns the function that ends the subscription. */
export function subscribe<N extends EventName>(name: N, listener: (event: Events[N]) => void): () => void {
  const to = channelOf(name);
  const heard = (message: unknown): void => listener(message as Events[N]);
  to.subscribe(heard);
  return () => to.unsubscribe(heard);
}

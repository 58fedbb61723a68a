/**
 * Asks other registries. One way out for everything: turns per origin, retries, a breaker, redirects that keep
 * credentials at home, and a guard over where documents may send us.
 */
import type { LookupFunction } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Claims } from '../core/claims.ts';
import { publish } from '../core/events.ts';
import type { Body } from './body.ts';
import type { BreakerSettings } from './breaker.ts';
import { type Credentials, homeOf } from './credentials.ts';
import { type Call, createExchange } from './exchange.ts';
import { createGuard } from './guard.ts';
import { createLanes, type Lanes } from './lanes.ts';
import { backOffMs, createPauses, createThrottling, type Pauses, type Throttling } from './retry.ts';
import { createTokens, type Login, openLogins, type Tokens } from './tokens.ts';
import { invalid, type Trouble, unavailable, verdictOn } from './verdict.ts';

export interface UpstreamSettings {
  readonly name: string;
  /** Base; no trailing slash needed. */
  readonly url: string;
  readonly auth?: Credentials;
  /** Until the headers, and between two chunks of a body. */
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Connections per origin. */
  readonly concurrency: number;
  /** Waiting requests per origin; beyond that they are turned away as `busy`. */
  readonly maxQueue: number;
  readonly retries: number;
  readonly proxy?: string;
  /** PEM text. */
  readonly ca?: string;
  /** `host`, `host:port` or `*.domain`: links and redirects may lead there although they are private or `onlyHosts` is set. */
  readonly hosts: readonly string[];
  /** Links and redirects only to the upstream's own host and `hosts`. */
  readonly onlyHosts: boolean;
  /** What clients of a mirror call it: keys, never addresses to dial. */
  readonly namespaces: readonly string[];
  /** Names of a single part stand below this one. */
  readonly shortNames?: string;
  /** Origins beside its own that may be shown our credentials to get a token from. */
  readonly realms: readonly string[];
  readonly breaker: BreakerSettings;
  /** What it may be told of the trace that a request is part of (W3C Trace Context); default nothing. */
  readonly traceContext?: 'nothing' | 'traceparent' | 'all';
}

export interface Ask {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: string;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** The URL came from a document, not from the configuration. */
  readonly linked?: boolean;
  /** Who waits for it. Default: one client of nobody in particular. */
  readonly claims?: Claims;
  /** Ends the request, also while it waits and while its body arrives; `ask` then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  readonly requestId?: string;
  /** Overrides the setting: a download resumes by itself. */
  readonly retries?: number;
  /** What it is about, a package's name say: a challenge met once for it is answered beforehand from then on. */
  readonly about?: string;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** After redirects. */
  readonly url: string;
  /** As sent, still coded. An error while reading it has a code, see `BodyError`. */
  readonly body: Body;
  /** Body not wanted: frees the connection and the turn. */
  discard(): void;
}

export interface Upstream {
  readonly name: string;
  readonly url: string;
  /** Stable name of address and credentials for cache keys; no secret can be read from it. */
  readonly identity: string;
  readonly namespaces: readonly string[];
  readonly shortNames?: string;
  /** Resolves for answers that carry information, throws a problem for trouble. */
  ask(ask: Ask): Promise<Reply>;
  /** Until when (milliseconds since the epoch) upstream wants not to be asked for this. */
  unavailableUntil(url: string): number | undefined;
}

export interface Upstreams {
  open(settings: UpstreamSettings): Upstream;
  /** Settings have changed: connections that are needed no longer are closed, those in use when they are through. */
  retire(): void;
  /** Lets running requests end for a moment, then ends them. */
  close(): Promise<void>;
}

export interface UpstreamsOptions {
  /** Our name in `Via`. */
  readonly via: string;
  readonly userAgent: string;
  readonly random?: () => number;
  readonly clock?: () => number;
  /** How names become addresses. */
  readonly lookup?: LookupFunction;
}

const maxRedirects = 5;

/** What all upstreams of one process share. */
interface Shared {
  readonly options: UpstreamsOptions;
  readonly clock: () => number;
  readonly lanes: Lanes;
  readonly pauses: Pauses;
  readonly throttling: Throttling;
  readonly tokens: Tokens;
}

/** No connection is made before something is asked. */
export function createUpstreams(options: UpstreamsOptions): Upstreams {
  const clock = options.clock ?? Date.now;
  const lanes = createLanes({ clock, lookup: options.lookup });
  const shared: Shared = {
    options,
    clock,
    lanes,
    pauses: createPauses(clock),
    throttling: createThrottling(),
    tokens: createTokens(clock),
  };
  return { open: (settings) => openUpstream(settings, shared), retire: lanes.retire, close: lanes.close };
}

function openUpstream(settings: UpstreamSettings, shared: Shared): Upstream {
  const { options, clock, lanes, pauses, throttling, tokens } = shared;
  const { name } = settings;
  const { home, base, auth, identity } = homeOf(settings);
  const random = options.random ?? Math.random;
  const guard = createGuard({ name, home, hosts: settings.hosts, onlyHosts: settings.onlyHosts });
  const exchange = createExchange({
    name,
    via: options.via,
    userAgent: options.userAgent,
    home: home.origin,
    tell: settings.traceContext ?? 'nothing',
  });
  const { timeoutMs, realms } = settings;
  const logIn = openLogins({ name, home, auth, identity, realms, timeoutMs, tokens, clock, send });

  function parse(text: string, from?: URL): URL {
    try {
      const url = new URL(text, from);
      url.hash = '';
      return url;
    } catch (error) {
      throw invalid(name, 'led to an address that is none', error);
    }
  }

  function pauseKey(url: URL): string {
    return `${identity} ${url.origin}${url.pathname}`;
  }

  /** For everything that is asked there in the same name. */
  function throttleKey({ origin }: URL): string {
    return `${identity} ${origin}`;
  }

  function pausedUntil(url: URL): number | undefined {
    const [own, all] = [pauses.until(pauseKey(url)), pauses.until(throttleKey(url))];
    return own === undefined || all === undefined ? (own ?? all) : Math.max(own, all);
  }

  function refuseWhilePaused(url: URL): void {
    const until = pausedUntil(url);
    if (until !== undefined) throw unavailable(name, 'has asked us to wait', until - clock());
  }

  function follow(location: string, { ask, url }: Call): URL {
    if (ask.method === 'POST') throw invalid(name, 'redirects a request that must not be sent twice');
    const next = parse(location, url);
    if (home.protocol === 'https:' && url.protocol === 'https:' && next.protocol === 'http:') {
      throw invalid(name, 'redirects from https to an address without it');
    }
    return next;
  }

  /** `continued`: what it is for has waited for its turn before. */
  async function send(wanted: Ask, login: Login, isContinued: boolean): Promise<Reply> {
    const first = parse(wanted.url);
    if (!wanted.linked && hasDotSegment(wanted.url)) throw invalid(name, 'would be asked outside of its own folder');
    const maxRetries = wanted.method === 'POST' ? 0 : (wanted.retries ?? settings.retries);
    let url = first;
    // Once away from home they stay off, also when a redirect leads back: it is a stranger who says where to then.
    let withCredentials = first.origin === login.origin;
    let retries = 0;
    let hops = 0;
    let hasMetStale = false;
    let continued = isContinued;
    let resends = 0;

    refuseWhilePaused(url);
    for (;;) {
      const shown = withCredentials ? login.authorization(wanted) : undefined;
      const authorization = shown instanceof Promise ? await shown : shown;
      const lane = lanes.find(url.origin, settings, guard.judge(url));
      const asked = url;
      const refuse = (): void => refuseWhilePaused(asked);
      const forgiveStale = wanted.method !== 'POST' && !hasMetStale;
      const call: Call = {
        ask: wanted,
        url,
        lane,
        withCredentials,
        authorization,
        resends,
        continued,
        forgiveStale,
        refuse,
      };
      const outcome = await exchange(call);
      continued = true;
      resends += 1;

      let trouble: Trouble;
      if ('kind' in outcome) {
        // A server may close an idle connection at any time, so this is no retry in the sense of the setting.
        if (outcome.isStale) {
          hasMetStale = true;
          continue;
        }
        trouble = outcome;
      } else {
        const verdict = verdictOn(name, outcome, clock());
        if (verdict.kind !== 'trouble') throttling.answered(throttleKey(url));
        else if (outcome.status === 429) {
          const forAllMs = throttling.refused(throttleKey(url), verdict.waitMs);
          if (forAllMs !== undefined) pauses.set(throttleKey(url), forAllMs);
        }
        if (verdict.kind === 'answer') return outcome;
        outcome.discard();
        if (outcome.status === 401 && withCredentials && login.mayAskAgain(outcome)) continue;
        if (verdict.kind === 'redirect') {
          hops += 1;
          if (hops > maxRedirects) throw invalid(name, `redirects more than ${maxRedirects} times`);
          url = follow(verdict.location, call);
          withCredentials &&= url.origin === login.origin;
          refuseWhilePaused(url);
          continue;
        }
        trouble = verdict;
      }

      if (!trouble.retry || retries >= maxRetries) {
        if (trouble.pauseMs !== undefined) {
          for (const key of new Set([pauseKey(first), pauseKey(url)])) pauses.set(key, trouble.pauseMs);
        }
        throw trouble.problem;
      }
      retries += 1;
      const waitMs = Math.max(trouble.waitMs, backOffMs(retries, random));
      const { requestId } = wanted;
      publish('upstream.retry', {
        upstream: name,
        attempt: retries,
        waitMs,
        ...(requestId === undefined ? {} : { requestId }),
      });
      await pause(waitMs, wanted.signal);
    }
  }

  async function ask(wanted: Ask): Promise<Reply> {
    const login = logIn(wanted.about);
    try {
      return await send(wanted, login, false);
    } catch (error) {
      throw login.explain(error);
    }
  }

  return {
    name,
    url: base,
    identity,
    namespaces: settings.namespaces,
    ...(settings.shortNames === undefined ? {} : { shortNames: settings.shortNames }),
    ask,
    unavailableUntil: (text) => (URL.canParse(text) ? pausedUntil(new URL(text)) : undefined),
  };
}

/** The URL parser would silently climb out of the upstream's own path, with our credentials; it also skips tabs and line ends. */
function hasDotSegment(url: string): boolean {
  return /\s|[\\/](?:\.|%2e){1,2}(?:[\\/?#]|$)/i.test(url.split(/[?#]/, 1)[0] ?? '');
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}

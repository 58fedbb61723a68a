/** One request and its answer, of whatever status: a turn in the queue, the breaker, the wire, and the events about them. */
import type { Dispatcher } from 'undici';
import { createClaims } from '../core/claims.ts';
import { publish } from '../core/events.ts';
import { Problem } from '../core/problem.ts';
import { openBody } from './body.ts';
import type { Breaker } from './breaker.ts';
import type { Ask, Reply } from './client.ts';
import { failures, isMisuse, kindOf } from './failure.ts';
import type { Lane } from './lanes.ts';
import { quotaOf } from './quota.ts';
import { failed, isIll, type Trouble, unavailable } from './verdict.ts';

const nobody = { priority: 'client' } as const;

/** Headers that belong to one connection, or that are written here. */
const ownHeaders: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Sent twice they contradict each other, and the first one counts. */
const singleHeaders: ReadonlySet<string> = new Set([
  'content-length',
  'content-range',
  'content-type',
  'etag',
  'last-modified',
  'location',
  'retry-after',
]);

/** Who asks. */
export interface Caller {
  /** Name of the upstream. */
  readonly name: string;
  readonly via: string;
  readonly userAgent: string;
  /** Origin of the upstream's own address. */
  readonly home: string;
  /** What the upstream may be told there of the trace that a request is part of. */
  readonly tell: 'nothing' | 'traceparent' | 'all';
}

export interface Call {
  readonly ask: Ask;
  readonly url: URL;
  readonly lane: Lane;
  /** Off as soon as the URL is not the operator's word any more. */
  readonly withCredentials: boolean;
  /** Value of the header; `undefined` with credentials off. */
  readonly authorization: string | undefined;
  /** How often the same was sent before. */
  readonly resends: number;
  /** A retry or the next hop of a redirect: it has waited for its turn before. */
  readonly continued: boolean;
  /** Called when its turn has come: throws what has become known meanwhile against asking. */
  readonly refuse: () => void;
  /** An idle connection that turns out to be closed is no failure: the request is sent again at once. */
  readonly forgiveStale: boolean;
}

/** Requests of one upstream. */
interface Tally {
  waiting: number;
  running: number;
}

/** No answer. */
export interface Broken extends Trouble {
  /** The other side closed an idle connection, as it may at any time. */
  readonly isStale: boolean;
}

export type Exchange = (call: Call) => Promise<Reply | Broken>;

let exchanges = 0;

export function createExchange(caller: Caller): Exchange {
  const { name } = caller;
  const all: Tally = { waiting: 0, running: 0 };
  const byOrg = new Map<string | undefined, Tally>();

  /** `org` is the one that began what is counted, whoever else waits for it. */
  function count(org: string | undefined, waiting: number, running: number): void {
    const own = byOrg.get(org) ?? { waiting: 0, running: 0 };
    byOrg.set(org, own);
    for (const tally of [all, own]) {
      tally.waiting += waiting;
      tally.running += running;
    }
    publish('upstream.queue', { upstream: name, ...all, ...(org === undefined ? {} : { org }), own: { ...own } });
  }

  async function takeTurn({ lane, ask, continued }: Call): Promise<() => void> {
    const claims = ask.claims ?? createClaims(nobody);
    const { org } = claims.first;
    const entered = lane.queue.enter({ claims, signal: ask.signal, continued });
    if (!entered) {
      publish('upstream.turned-away', { upstream: name, ...(org === undefined ? {} : { org }) });
      const message = `Too many requests are waiting for the upstream "${name}"; try again in a moment.`;
      throw new Problem('busy', message, { retryAfterSeconds: 2 });
    }
    count(org, 1, 0);
    let giveBack: () => void;
    try {
      giveBack = await entered;
    } catch (error) {
      count(org, -1, 0);
      throw error;
    }
    count(org, -1, 1);
    return () => {
      giveBack();
      count(org, 0, -1);
    };
  }

  function refuseWhileOpen(breaker: Breaker): void {
    const waitMs = breaker.refusedForMs();
    if (waitMs !== undefined) throw unavailable(name, 'has failed too often and is not asked for a while', waitMs);
  }

  return async (call) => {
    const { ask, url, lane } = call;
    const headers = headersOf(caller, call);
    refuseWhileOpen(lane.breaker);
    const cameAt = performance.now();
    const leave = await takeTurn(call);
    try {
      // Much may have happened while we waited.
      refuseWhileOpen(lane.breaker);
      call.refuse();
    } catch (error) {
      leave();
      throw error;
    }
    const pass = lane.breaker.enter();
    const mayBeStale = call.forgiveStale && lane.hasAnswered;
    const startedAt = performance.now();
    const about = {
      exchange: ++exchanges,
      upstream: name,
      origin: url.origin,
      method: ask.method,
      ...(ask.requestId === undefined ? {} : { requestId: ask.requestId }),
    };
    publish('upstream.request', {
      ...about,
      path: url.pathname,
      resends: call.resends,
      waitedMs: startedAt - cameAt,
      // Wherever else a document or a redirect leads is nobody's business.
      tell: call.withCredentials && url.origin === caller.home ? caller.tell : 'nothing',
      add: (header, value) => {
        headers[header] = value;
      },
    });
    const over = (): void => publish('upstream.end', { exchange: about.exchange });

    let answer: Dispatcher.ResponseData;
    try {
      answer = await lane.agent.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: ask.method,
        headers,
        ...(pass.timeoutMs === undefined ? {} : { headersTimeout: pass.timeoutMs }),
        ...(ask.body === undefined ? {} : { body: ask.body }),
        ...(ask.signal === undefined ? {} : { signal: ask.signal }),
      });
    } catch (error) {
      leave();
      if (isMisuse(error)) {
        pass.cancel();
        over();
        throw error;
      }
      const kind = kindOf(error, 'request');
      const isStale = kind === 'cut' && mayBeStale;
      if (ask.signal?.aborted || isStale || !failures[kind].counts) pass.cancel();
      else pass.fail();
      if (ask.signal?.aborted) {
        over();
        throw ask.signal.reason;
      }
      publish('upstream.failure', { ...about, code: kind, durationMs: performance.now() - startedAt });
      over();
      return { ...failed(name, kind, error), isStale };
    }

    lane.hasAnswered = true;
    const { statusCode: status, body: readable } = answer;
    if (isIll(status)) pass.fail();
    else pass.succeed();
    publish('upstream.response', { ...about, status, durationMs: performance.now() - startedAt });
    const flat = flatten(answer.headers);
    const quota = quotaOf(flat);
    if (quota) publish('upstream.quota', { upstream: name, ...quota });

    const { body, discard } = openBody(
      readable,
      {
        onBytes: (bytes) => publish('upstream.bytes', { upstream: name, bytes }),
        onEnd(failure) {
          leave();
          if (failure) {
            if (!isIll(status)) pass.fail();
            publish('upstream.failure', { ...about, code: failure.kind, durationMs: performance.now() - startedAt });
          }
          over();
        },
      },
      ask.signal,
    );
    // Nothing will come, so nobody has to read it for the turn to end.
    if (ask.method === 'HEAD' || status === 204 || status === 304) readable.resume();
    return { status, headers: flat, url: url.href, body, discard };
  };
}

function headersOf(caller: Caller, { ask, withCredentials, authorization }: Call): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(ask.headers ?? {})) {
    if (ownHeaders.has(name)) continue;
    if (!withCredentials && name === 'cookie') continue;
    headers[name] = value;
  }
  headers['user-agent'] = caller.userAgent;
  headers.via = headers.via === undefined ? `1.1 ${caller.via}` : `${headers.via}, 1.1 ${caller.via}`;
  if (ask.requestId !== undefined) headers['x-request-id'] = ask.requestId;
  if (authorization !== undefined) headers.authorization = authorization;
  return headers;
}

function flatten(headers: Dispatcher.ResponseData['headers']): Record<string, string | undefined> {
  const flat: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (Array.isArray(value)) flat[name] = singleHeaders.has(name) ? value[0] : value.join(', ');
    else flat[name] = value;
  }
  return flat;
}

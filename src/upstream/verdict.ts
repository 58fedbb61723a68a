/** What an answer means: information for the caller, a way to go on, or trouble. Pure; what follows from it is the client's. */
import { Problem } from '../core/problem.ts';
import { type FailureKind, failures } from './failure.ts';
import { retryAfterMs } from './retry.ts';

/** A pause up to this long is waited for; a longer one is the client's to wait for. */
const shortPauseMs = 2000;

/** Told to the client when upstream did not say. */
const defaultPauseMs = 5000;

const redirects: readonly number[] = [301, 302, 303, 307, 308];

/** Asking again in a moment may get another answer. */
const passing: readonly number[] = [408, 429, 502, 503, 504];

export interface Trouble {
  readonly kind: 'trouble';
  readonly problem: Problem;
  readonly retry: boolean;
  /** Not before this has passed. */
  readonly waitMs: number;
  /** So long the same URL is not to be asked again by anybody. */
  readonly pauseMs?: number;
}

export type Verdict = { readonly kind: 'answer' } | { readonly kind: 'redirect'; readonly location: string } | Trouble;

export interface Head {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** `upstream` is the name for messages; `now` in milliseconds since the epoch. */
export function verdictOn(upstream: string, { status, headers }: Head, now: number): Verdict {
  if (status === 508) return fatal(circle(upstream));
  if (status === 401 || status === 403 || status === 407) return refusal(upstream, status);
  // "No such endpoint, ever" is information; who passes a search or an audit on acts on it.
  if (status === 501) return { kind: 'answer' };
  if (status >= 500 || status === 408 || status === 429) return outage(upstream, { status, headers }, now);
  if (status < 300 || status > 399 || status === 304) return { kind: 'answer' };
  if (redirects.includes(status) && headers.location !== undefined) {
    return { kind: 'redirect', location: headers.location };
  }
  return fatal(invalid(upstream, `answered ${status}, which leads nowhere`, causeOf(status)));
}

/** 501 says "never" rather than "not now", and 508 that we ask ourselves: neither says anything about the origin's health. */
export function isIll(status: number): boolean {
  return status >= 500 && status !== 501 && status !== 508;
}

/** The exchange ended without an answer. */
export function failed(upstream: string, failure: FailureKind, cause: unknown): Trouble {
  const { code, words, retry } = failures[failure];
  const problem =
    code === 'upstream_unavailable'
      ? unavailable(upstream, words, defaultPauseMs, cause)
      : new Problem(code, `The upstream "${upstream}" ${words}.`, { cause });
  return { kind: 'trouble', problem, retry, waitMs: 0 };
}

export function unavailable(upstream: string, words: string, waitMs: number, cause?: unknown): Problem {
  const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000));
  const message = `The upstream "${upstream}" ${words}; try again in ${retryAfterSeconds} s.`;
  return new Problem('upstream_unavailable', message, { retryAfterSeconds, cause });
}

export function invalid(upstream: string, words: string, cause?: unknown): Problem {
  return new Problem('upstream_invalid', `The upstream "${upstream}" ${words}.`, { cause });
}

/** Our own kind says so when it recognises itself in `Via`. Asking again leads round the same circle. */
function circle(upstream: string): Problem {
  const message = `The upstream "${upstream}" leads in a loop: it points back to this server, directly or through others. Correct its address.`;
  return new Problem('loop', message, { cause: causeOf(508) });
}

function refusal(upstream: string, status: number): Trouble {
  const words = status === 403 ? 'refuses to hand this out' : 'does not accept our credentials';
  const message = `The upstream "${upstream}" ${words} (${status}).`;
  return fatal(new Problem('upstream_refused', message, { cause: causeOf(status) }));
}

function outage(upstream: string, { status, headers }: Head, now: number): Trouble {
  const told = retryAfterMs(headers['retry-after'], now);
  // Whoever asks too much has to stop for a while, also when upstream does not say for how long.
  const pauseMs = told ?? (status === 429 ? defaultPauseMs : 0);
  return {
    kind: 'trouble',
    problem: unavailable(upstream, `answered ${status}`, told ?? defaultPauseMs, causeOf(status)),
    retry: passing.includes(status) && pauseMs <= shortPauseMs,
    waitMs: pauseMs,
    ...(pauseMs > 0 ? { pauseMs } : {}),
  };
}

function fatal(problem: Problem): Trouble {
  return { kind: 'trouble', problem, retry: false, waitMs: 0 };
}

/** `code` is `HTTP_` and the status, for whoever has to tell them apart after all. */
function causeOf(status: number): Error {
  return Object.assign(new Error(`Upstream answered ${status}`), { code: `HTTP_${status}` });
}

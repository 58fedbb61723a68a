/**
 * Small answers that are asked for often, ready to be written. Whoever finds one here has to have been let in: an entry
 * is made from a request that identify, authorise and admit let through. One made for somebody anonymous answers anonymous requests
 * only; one made for somebody who is known answers only those who are known and whom the very same would be answered. Everything here
 * is dropped when the configuration changes.
 */
import { LRUCache } from 'lru-cache';
import { type Events, type Outcome, publishOver } from '../core/events.ts';
import type { Identity } from '../core/identity.ts';
import { ownBytes } from '../core/own-bytes.ts';
import { matchesEtag } from './conditional.ts';

export interface HotAnswer {
  /** Status line and header lines, each with its line end, without date and request id. */
  readonly head: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly unmodifiedHead: string;
  readonly unmodifiedHeaders: Readonly<Record<string, string>>;
  readonly etag: string | undefined;
  /** Milliseconds since 1970. */
  readonly until: number;
  readonly repository: string;
  readonly format: string;
  readonly route: string;
  readonly outcome: Outcome;
  /** Whether it may still be used, beside the time. */
  readonly keepWhile: (() => boolean) | undefined;
  /** Of one made for somebody who is known: whether somebody else who is would get the same, as long as `keepWhile` holds. */
  readonly isFor?: ((reader: Identity) => boolean) | undefined;
  /** Headers beside the usual one in which clients of the format show who they are: whoever sends one is looked at. */
  readonly shownIn: readonly string[];
  /** Told now and then that the answer is in use. */
  readonly touch: (() => void) | undefined;
}

export interface HotQuestion {
  /** Whether it is asked by somebody who showed what counts. */
  readonly known: boolean;
  readonly base: string;
  readonly url: string;
  readonly accept: string | undefined;
  readonly coding: string;
}

/** Larger ones have a part of the memory for themselves, so that a few of them can't push out thousands, and are kept once they were asked for twice. */
const largestSmallBytes = 512 * 1024;
/** Of the memory, for all larger ones, and for a single one: anything above is served from the file. */
const shareOfLarge = 1 / 4;
const shareOfOne = 1 / 32;
/** Shorter ones are copied, or are gone with one write. */
const shortestLent = 64 * 1024;
/** Large ones that were asked for once. */
const mostOnce = 1000;
const touchEveryMs = 60_000;

export class HotAnswers {
  readonly #answers: LRUCache<string, HotAnswer>;
  readonly #large: LRUCache<string, HotAnswer>;
  readonly #once = new LRUCache<string, true>({ max: mostOnce });
  /** Bodies that somebody is still being sent, and how many: they stay in memory when they are forgotten here. */
  readonly #lent = new Map<Uint8Array, number>();
  #lentBytes = 0;
  readonly #mostLent: number;
  readonly #largestBytes: number;
  readonly #touchedAt = new WeakMap<HotAnswer, number>();
  /** What `isFor` said: neither the answer nor the reader is the same any more once something about rights has changed. */
  readonly #judged = new WeakMap<HotAnswer, WeakMap<Identity, boolean>>();
  readonly #now: () => number;

  /** `keepsLarge`: false where large ones leave by another way. */
  constructor(maxBytes: number, now: () => number, keepsLarge = true) {
    const sizeCalculation = ({ body, head, unmodifiedHead }: HotAnswer): number =>
      body.byteLength + head.length + unmodifiedHead.length + 500;
    const forLarge = keepsLarge ? Math.floor(maxBytes * shareOfLarge) : 0;
    this.#large = new LRUCache({ maxSize: Math.max(1, forLarge), sizeCalculation });
    this.#answers = new LRUCache({
      maxSize: Math.max(1, maxBytes - forLarge),
      maxEntrySize: largestSmallBytes + 4096,
      sizeCalculation,
    });
    this.#largestBytes = keepsLarge ? Math.max(largestSmallBytes, Math.floor(maxBytes * shareOfOne)) : 0;
    this.#mostLent = maxBytes;
    this.#now = now;
  }

  /** Whether an answer with so long a body is worth being kept; of large ones the second time. */
  wants(question: HotQuestion, bytes: number): boolean {
    if (bytes > shortestLent && this.#lentBytes + bytes > this.#mostLent) return false;
    if (bytes <= largestSmallBytes) return true;
    if (bytes > this.#largestBytes) return false;
    const key = keyOf(question);
    const isAgain = this.#once.has(key);
    this.#once.set(key, true);
    return isAgain;
  }

  /** `reader`: who is known to ask; `undefined` for somebody anonymous. */
  find(question: HotQuestion, reader: Identity | undefined): HotAnswer | undefined {
    return this.findKey(keyOf(question), reader);
  }

  /** The same for who asks the same question again and kept its key. */
  findKey(key: string, reader: Identity | undefined): HotAnswer | undefined {
    const answer = this.#answers.get(key) ?? this.#large.get(key);
    if (!answer || !this.#isFresh(answer)) return undefined;
    // The key says as well which of the two it is for; this is what a leak would have to get past.
    if (reader ? !this.#isFor(answer, reader) : answer.isFor) return undefined;
    return this.#mayLend(answer.body) ? answer : undefined;
  }

  /** Many who take their time, each with another one, would fill the memory; they get it from the file. */
  #mayLend(body: Uint8Array): boolean {
    const { byteLength } = body;
    return byteLength <= shortestLent || this.#lentBytes + byteLength <= this.#mostLent || this.#lent.has(body);
  }

  /** Counts what is being read into memory, until the result is called. */
  reserve(bytes: number): () => void {
    this.#lentBytes += bytes;
    return () => {
      this.#lentBytes -= bytes;
    };
  }

  /** Counts a body that is being sent. The result is called once, when all of it was taken or the client is gone. */
  lend(body: Uint8Array): () => void {
    const { byteLength } = body;
    if (byteLength <= shortestLent) return () => {};
    const readers = this.#lent.get(body) ?? 0;
    this.#lent.set(body, readers + 1);
    if (readers === 0) this.#lentBytes += byteLength;
    return () => {
      const left = (this.#lent.get(body) ?? 0) - 1;
      if (left > 0) {
        this.#lent.set(body, left);
        return;
      }
      this.#lent.delete(body);
      this.#lentBytes -= byteLength;
    };
  }

  #isFor(answer: HotAnswer, reader: Identity): boolean {
    const judged = this.#judged.get(answer) ?? new WeakMap<Identity, boolean>();
    let isFor = judged.get(reader);
    if (isFor === undefined) {
      isFor = answer.isFor?.(reader) ?? false;
      judged.set(reader, isFor);
      this.#judged.set(answer, judged);
    }
    return isFor;
  }

  #isFresh(answer: HotAnswer): boolean {
    const now = this.#now();
    if (answer.until <= now || answer.keepWhile?.() === false) return false;
    if (answer.touch && now - (this.#touchedAt.get(answer) ?? 0) > touchEveryMs) {
      this.#touchedAt.set(answer, now);
      answer.touch();
    }
    return true;
  }

  keep(question: HotQuestion, answer: Omit<HotAnswer, 'head' | 'unmodifiedHead' | 'unmodifiedHeaders'>): void {
    const {
      'content-type': _type,
      'content-length': _length,
      'content-encoding': _coding,
      ...unmodifiedHeaders
    } = answer.headers;
    const isLarge = answer.body.byteLength > largestSmallBytes;
    const answers = isLarge ? this.#large : this.#answers;
    // What it was before may have had another length.
    (isLarge ? this.#answers : this.#large).delete(keyOf(question));
    const twin = answers.peek(keyOf({ ...question, known: !question.known }));
    const isSame = twin && answer.etag !== undefined && twin.etag === answer.etag;
    answers.set(keyOf(question), {
      ...answer,
      // The bytes are in memory once, whoever they are for.
      body: isSame && twin.body.byteLength === answer.body.byteLength ? twin.body : ownBytes(answer.body),
      head: headOf('200 OK', answer.headers),
      unmodifiedHead: headOf('304 Not Modified', unmodifiedHeaders),
      unmodifiedHeaders,
    });
  }

  clear(): void {
    this.#answers.clear();
    this.#large.clear();
    this.#once.clear();
  }
}

/** Whether it has to be found out first who asks, whatever the usual header says. */
export function isShownBeside({ shownIn }: HotAnswer, headers: Readonly<Record<string, unknown>>): boolean {
  return shownIn.length > 0 && shownIn.some((name) => headers[name] !== undefined);
}

export function isUnmodified(answer: HotAnswer, ifNoneMatch: string | undefined): boolean {
  return ifNoneMatch !== undefined && answer.etag !== undefined && matchesEtag(ifNoneMatch, answer.etag);
}

export const keyOf = ({ known, base, url, accept, coding }: HotQuestion): string =>
  `${known ? 'known' : ''}\n${coding}\n${accept ?? ''}\n${base}\n${url}`;

function headOf(status: string, headers: Readonly<Record<string, string>>): string {
  let head = `HTTP/1.1 ${status}\r\n`;
  for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`;
  return head;
}

export interface Served {
  readonly id: string;
  readonly method: string;
  readonly url: string;
  readonly remote: string;
  readonly userAgent: string;
  readonly startedAt: number;
  readonly status: number;
  readonly bytesSent: number;
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
  /** Kind of whoever is known to ask. */
  readonly who: Identity['kind'] | undefined;
}

export function publishHit(answer: HotAnswer, served: Served): void {
  const durationMs = performance.now() - served.startedAt;
  const request: Events['request'] = {
    id: served.id,
    method: served.method,
    url: served.url,
    status: served.status,
    repository: answer.repository,
    format: answer.format,
    route: answer.route,
    outcome: answer.outcome,
    bytesSent: served.bytesSent,
    durationMs,
    firstByteMs: durationMs,
    remote: served.remote,
    userAgent: served.userAgent,
  };
  if (served.traceparent !== undefined) {
    request.traceparent = served.traceparent;
    if (served.tracestate !== undefined) request.tracestate = served.tracestate;
  }
  if (served.who !== undefined && served.who !== 'anonymous') request.who = served.who;
  publishOver(request);
}

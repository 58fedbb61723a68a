/**
 * One body of bytes out of as many exchanges with upstream as it takes: a connection that breaks is asked to go on
 * where it stopped, so that whoever reads `next()` sees one stream and knows nothing of it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Claims } from '../core/claims.ts';
import { algorithmOf, type Digest, Digester, firstMismatch } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import { Problem } from '../core/problem.ts';
import type { Ask, Reply, Upstream } from './client.ts';
import { decodeBody } from './coding.ts';
import type { Inspect } from './download.ts';

type Headers = Readonly<Record<string, string | undefined>>;

/** What of a download request the source needs. */
export interface Wanted {
  readonly upstream: Upstream;
  readonly url: string;
  readonly linked?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly decode: boolean;
  readonly expected: readonly Digest[];
  readonly claims?: Claims;
  readonly requestId?: string;
  readonly about?: string;
  readonly inspect?: Inspect;
}

export interface SourceSettings {
  readonly signal: AbortSignal;
  /** Content-Encoding is taken for a mislabelled file: the bytes are handed on as they came. */
  readonly raw: boolean;
  readonly maxResumes: number;
  /** Wait before the first resume; doubles up to `maxBackoffMs` until bytes come again. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  readonly random: () => number;
}

/** The bytes can't be what was promised. Nothing of them may be kept, but a download from scratch may get the right ones. */
export class Unfit extends Error {
  readonly problem: Problem;
  /** They may be right if what was taken for a coding is part of the file. */
  readonly mayBeRaw: boolean;

  constructor(problem: Problem, mayBeRaw = false) {
    super(problem.message, { cause: problem });
    this.problem = problem;
    this.mayBeRaw = mayBeRaw;
  }
}

/** When upstream said to come back later than this, the download ends and says so. */
const maxPauseMs = 30_000;

/** Resumes in a row that bring no byte; then waiting longer is for the client to decide. */
const maxFruitless = 5;

// RFC 9110 8.8.2.2: a modification time proves nothing while the file may have changed twice within the clock's tick.
const settledAfterMs = 60_000;

/** Asks upstream and resolves with its headers; the body is still to be read. Throws what `ask` and `inspect` throw. */
export async function openSource(wanted: Wanted, settings: SourceSettings): Promise<Source> {
  const reply = await wanted.upstream.ask(question(wanted, settings));
  try {
    const { status, headers, url } = reply;
    const told = (await wanted.inspect?.({ status, headers, url })) ?? [];
    settings.signal.throwIfAborted();
    return new Source({ ...wanted, expected: [...wanted.expected, ...told] }, settings, reply);
  } catch (error) {
    reply.discard();
    throw error;
  }
}

interface Exchange {
  readonly reply: Reply;
  readonly iterator: AsyncIterator<Buffer>;
  /** Bytes as they came over the wire, before decoding. */
  readonly wire: Wire;
  /** Decoded bytes still to be dropped, because they were handed on before. */
  skip: number;
}

interface Wire {
  bytes: number;
  readonly digester: Digester | undefined;
  /** The error with which the connection broke, as opposed to bytes that don't decode. */
  broken?: { readonly error: unknown };
}

export class Source {
  /** The first answer; `headers` are as upstream sent them. */
  readonly reply: Reply;
  /** Whether the stored bytes will be other than those on the wire. */
  readonly coded: boolean;
  /** Nobody asked for a coding and a digest is expected: it may be that of the coded bytes. */
  readonly ambiguous: boolean;
  readonly #wanted: Wanted;
  readonly #settings: SourceSettings;
  #exchange: Exchange;
  /** Bytes handed on, decoded. */
  #offset = 0;
  /** Of the decoded body, once an answer told it. */
  #total: number | undefined;
  #resumes = 0;
  /** Resumes since bytes last came. */
  #fruitless = 0;
  #trustsRanges = true;
  #ended = false;

  constructor(wanted: Wanted, settings: SourceSettings, reply: Reply) {
    this.#wanted = wanted;
    this.#settings = settings;
    this.reply = reply;
    this.coded = !settings.raw && isCoded(reply.headers);
    this.ambiguous = this.coded && !wanted.decode && wanted.expected.length > 0;
    this.#total = this.coded ? undefined : contentLength(reply.headers);
    this.#exchange = this.#begin(reply, 0);
  }

  /** Of the body that `next` yields, in bytes, when upstream told it. */
  get size(): number | undefined {
    return this.#total;
  }

  /** All digests that have to be met. */
  get expected(): readonly Digest[] {
    return this.#wanted.expected;
  }

  /** Whether a cut could be told from the end: by a length, chunks or the coding. HTTP's oldest way is to just hang up. */
  get hasEnd(): boolean {
    const { headers } = this.#exchange.reply;
    return this.coded || this.#total !== undefined || /\bchunked\b/i.test(headers['transfer-encoding'] ?? '');
  }

  /** Whether the coded bytes are, or for all one knows may be, those that are expected. To be asked once. */
  mayBeRaw(): boolean {
    if (!this.ambiguous || !this.#ended) return this.ambiguous;
    return firstMismatch(this.#wanted.expected, this.#exchange.wire.digester?.digests() ?? []) === undefined;
  }

  /** `undefined` at the end. Rejects with Unfit, a Problem, or the signal's reason. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      let cause: unknown;
      try {
        const step = await this.#exchange.iterator.next();
        if (step.done !== true) {
          const bytes = this.#unseen(step.value);
          if (bytes.length === 0) continue;
          this.#offset += bytes.length;
          this.#fruitless = 0;
          return bytes;
        }
        if (this.#isWhole()) {
          this.#ended = true;
          return undefined;
        }
        cause = new Error('The body ended early.');
      } catch (error) {
        if (error instanceof Unfit) throw error;
        const { broken } = this.#exchange.wire;
        if (!broken) {
          const problem = error instanceof Problem ? error : this.#invalid('sent bytes that do not decode', error);
          throw new Unfit(problem, this.ambiguous);
        }
        if (this.#hasAll()) {
          this.#ended = true;
          return undefined;
        }
        // What is no HTTP was no cut: asking for the rest of it would get more of the same.
        if ((broken.error as { code?: string } | undefined)?.code === 'UPSTREAM_GARBLED') {
          throw new Unfit(this.#invalid('sent an answer that is no proper HTTP', broken.error));
        }
        cause = broken.error;
      }
      this.#settings.signal.throwIfAborted();
      await this.#resume(cause);
    }
  }

  /** Frees the connection if the body was not read to its end. */
  close(): void {
    if (this.#ended) return;
    const { reply, iterator } = this.#exchange;
    reply.body.destroy();
    // A decoder that is not left keeps its memory until the garbage collector comes by.
    void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }

  /** Frees the connection of an answer whose body nobody wants. */
  discard(): void {
    this.#ended = true;
    this.reply.discard();
  }

  #begin(reply: Reply, skip: number): Exchange {
    const algorithms = this.#wanted.expected.map(algorithmOf);
    const wire: Wire = { bytes: 0, digester: this.ambiguous ? new Digester(algorithms) : undefined };
    const body = watched(reply.body, wire);
    // The writer has the limit: it counts what comes out, coded or not.
    const decoded =
      !this.#settings.raw && isCoded(reply.headers)
        ? decodeBody(body, reply.headers['content-encoding'], { maxBytes: Number.POSITIVE_INFINITY })
        : body;
    return { reply, iterator: decoded[Symbol.asyncIterator](), wire, skip };
  }

  #unseen(chunk: Buffer): Buffer {
    const { skip } = this.#exchange;
    if (skip === 0) return chunk;
    const dropped = Math.min(skip, chunk.length);
    this.#exchange.skip = skip - dropped;
    return chunk.subarray(dropped);
  }

  /** The connection broke, but after the last byte. */
  #hasAll(): boolean {
    return this.#offset === this.#total && this.#exchange.skip === 0;
  }

  /** Called at the end of an exchange. False: upstream stopped short of what it said. */
  #isWhole(): boolean {
    const { reply, wire, skip } = this.#exchange;
    if (wire.bytes < (contentLength(reply.headers) ?? 0)) return false;
    if (skip > 0) throw new Unfit(this.#invalid('sent a shorter answer than the one it broke off'));
    if (this.#total === undefined) return true;
    if (this.#offset > this.#total) throw new Unfit(this.#invalid('sent more bytes than it said'));
    return this.#offset === this.#total;
  }

  async #resume(cause: unknown): Promise<void> {
    let why = cause;
    for (;;) {
      const headers = this.#continuation();
      if (!headers) throw new Unfit(this.#invalid('broke off its answer and offers no safe way to go on', why));
      if (this.#resumes >= this.#settings.maxResumes || this.#fruitless >= maxFruitless) throw this.#givenUp(why);
      this.#resumes += 1;
      await this.#pause();
      publish('download.resume', { url: this.#wanted.url, offset: this.#offset });
      let reply: Reply;
      try {
        reply = await this.#wanted.upstream.ask(question(this.#wanted, this.#settings, headers));
      } catch (error) {
        if (this.#settings.signal.aborted || !mayPass(error) || this.#pauseLeftMs() > maxPauseMs) throw error;
        why = error;
        continue;
      }
      if (this.#goesOn(reply)) return;
      why = new Error(`Upstream answered ${reply.status} to a request to go on.`);
    }
  }

  /** Headers that ask for the rest, or for everything again; `undefined` when the rest could be that of another file. */
  #continuation(): Readonly<Record<string, string>> | undefined {
    const validator = strongEtag(this.reply.headers) ?? settledDate(this.reply.headers);
    const isChecked = this.#wanted.expected.length > 0;
    if (this.#offset === 0) return {};
    if (!this.coded && this.#trustsRanges && (validator !== undefined || isChecked)) {
      return {
        range: `bytes=${this.#offset}-`,
        // Part of a coded body would be no part of this one.
        'accept-encoding': 'identity',
        ...(validator === undefined ? {} : { 'if-range': validator }),
      };
    }
    return isChecked || strongEtag(this.reply.headers) !== undefined ? {} : undefined;
  }

  /** Takes the answer if the body goes on with it. False: ask again in another way. */
  #goesOn(reply: Reply): boolean {
    if (reply.status === 206 && this.#isContinuation(reply)) {
      this.#exchange = this.#begin(reply, 0);
      return true;
    }
    if (reply.status === 200) {
      if (!this.#isSameFile(reply)) {
        reply.discard();
        throw new Unfit(this.#invalid('has other bytes at this address now than when the download began'));
      }
      this.#exchange = this.#begin(reply, this.#offset);
      return true;
    }
    reply.discard();
    if (reply.status === 416 && this.#isAtEnd(reply.headers)) {
      this.#total = this.#offset;
      this.#exchange = { reply, iterator: nothing(), wire: { bytes: 0, digester: undefined }, skip: 0 };
      return true;
    }
    if (reply.status !== 206 && reply.status !== 416) {
      throw new Unfit(this.#invalid(`broke off its answer and then said ${reply.status}`));
    }
    // A server that gets ranges wrong once may get them wrong with bytes nobody can check.
    this.#trustsRanges = false;
    return false;
  }

  #isContinuation(reply: Reply): boolean {
    const match = /^bytes (\d+)-(\d+)\/(\d+)$/i.exec(reply.headers['content-range']?.trim() ?? '');
    if (!match || this.coded) return false;
    const [from, last, total] = match.slice(1).map(Number) as [number, number, number];
    if (from !== this.#offset || last < from || last >= total || total !== (this.#total ?? total)) return false;
    const { etag } = this.reply.headers;
    if (etag !== undefined && reply.headers.etag !== undefined && etag !== reply.headers.etag) return false;
    if (!this.#settings.raw && isCoded(reply.headers)) return false;
    this.#total = total;
    return true;
  }

  /** Whether a whole answer may stand in for the rest, its first bytes skipped. */
  #isSameFile(reply: Reply): boolean {
    const { headers } = this.reply;
    const length = !this.#settings.raw && isCoded(reply.headers) ? undefined : contentLength(reply.headers);
    if (this.#total !== undefined && length !== undefined && length !== this.#total) return false;
    // The final digest decides.
    if (this.#wanted.expected.length > 0) return true;
    const etag = strongEtag(headers);
    if (etag !== undefined) return etag === reply.headers.etag;
    // Nothing was handed on but the headers, so it is enough that they still are true.
    return (
      this.#offset === 0 &&
      ['etag', 'last-modified', 'content-type'].every((name) => headers[name] === reply.headers[name])
    );
  }

  /** A cut between the last byte and the end of a body of unknown length: there is nothing left to ask for. */
  #isAtEnd(headers: Headers): boolean {
    return this.#total === undefined && headers['content-range']?.trim() === `bytes */${this.#offset}`;
  }

  async #pause(): Promise<void> {
    const { backoffMs, maxBackoffMs, random, signal } = this.#settings;
    const longestMs = Math.min(maxBackoffMs, backoffMs * 2 ** this.#fruitless);
    this.#fruitless += 1;
    await delay(Math.max(this.#pauseLeftMs(), longestMs * (0.5 + random() / 2)), undefined, { signal });
  }

  /** What upstream itself asked for, as opposed to what a problem advises our own clients. */
  #pauseLeftMs(): number {
    return (this.#wanted.upstream.unavailableUntil(this.#wanted.url) ?? 0) - Date.now();
  }

  #invalid(what: string, cause?: unknown): Problem {
    return new Problem(
      'upstream_invalid',
      `The upstream "${this.#wanted.upstream.name}" ${what}; nothing of it was kept.`,
      {
        cause,
      },
    );
  }

  #givenUp(cause: unknown): Problem {
    if (cause instanceof Problem) return cause;
    const message = `The upstream "${this.#wanted.upstream.name}" broke off its answer ${this.#resumes + 1} times; the last time after ${this.#offset} bytes.`;
    return new Problem('upstream_unavailable', message, { cause });
  }
}

/** `more` makes it a request to go on, which must not be answered with 304. */
function question(wanted: Wanted, settings: SourceSettings, more?: Readonly<Record<string, string>>): Ask {
  const isFirst = more === undefined;
  const { 'if-none-match': _, 'if-modified-since': __, ...lasting } = wanted.headers ?? {};
  return {
    method: 'GET',
    url: wanted.url,
    headers: {
      ...(isFirst ? wanted.headers : lasting),
      'accept-encoding': wanted.decode ? 'gzip, br, zstd' : 'identity',
      ...more,
    },
    signal: settings.signal,
    ...(wanted.linked === undefined ? {} : { linked: wanted.linked }),
    ...(wanted.claims === undefined ? {} : { claims: wanted.claims }),
    ...(wanted.requestId === undefined ? {} : { requestId: wanted.requestId }),
    ...(wanted.about === undefined ? {} : { about: wanted.about }),
    // Every further request is counted by the source itself.
    ...(isFirst ? {} : { retries: 0 }),
  };
}

async function* watched(body: AsyncIterable<Buffer>, wire: Wire): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of body) {
      wire.bytes += chunk.length;
      wire.digester?.update(chunk);
      yield chunk;
    }
  } catch (error) {
    wire.broken = { error };
    throw error;
  }
}

function nothing(): AsyncIterator<Buffer> {
  return { next: async () => ({ done: true, value: undefined }) };
}

/** Whether waiting and asking again can help. */
function mayPass(error: unknown): boolean {
  return error instanceof Problem && (error.code === 'upstream_unavailable' || error.code === 'busy');
}

/** Whether the body is coded at all: `identity` and an empty list say nothing. */
export function isCoded(headers: Headers): boolean {
  return (headers['content-encoding'] ?? '').split(',').some((name) => !/^\s*(?:identity)?\s*$/i.test(name));
}

/** In bytes; `undefined` when there is none or it is no number. */
export function contentLength(headers: Headers): number | undefined {
  const text = headers['content-length']?.trim() ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function strongEtag(headers: Headers): string | undefined {
  const etag = headers.etag?.trim() ?? '';
  return /^"[^"]*"$/.test(etag) ? etag : undefined;
}

function settledDate(headers: Headers): string | undefined {
  const modified = headers['last-modified'];
  const age = Date.parse(headers.date ?? '') - Date.parse(modified ?? '');
  return age >= settledAfterMs ? modified : undefined;
}

/** One download from the first request to the last byte stored: what happens, in which order, and what when it fails. */
import type { Claims } from '../core/claims.ts';
import { algorithmOf, type Digest, Digester, firstMismatch } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import { Problem, toProblem } from '../core/problem.ts';
import type { Stage } from '../core/staging.ts';
import type { Download, DownloadFacts, DownloadHead, DownloadRequest, DownloadSettings } from './download.ts';
import { Ledger, missed } from './download-ledger.ts';
import { Reader } from './download-reader.ts';
import { openSource, type Source, type SourceSettings, Unfit } from './download-source.ts';

export interface TransferHooks {
  /** Nobody may join any more. Harmless when repeated. */
  readonly onClosed: () => void;
  /** Stored, passed on or failed. Called once. */
  readonly onOver: () => void;
}

let transfers = 0;

/** One download: receiving, storing, over. */
export class Transfer implements Download {
  /** Everybody who waits for it. */
  readonly claims: Claims;
  readonly id = ++transfers;
  readonly #request: DownloadRequest;
  readonly #settings: DownloadSettings;
  readonly #hooks: TransferHooks;
  readonly #head = Promise.withResolvers<DownloadHead>();
  readonly #done = Promise.withResolvers<DownloadFacts & { readonly stored: boolean }>();
  readonly #readers = new Set<Reader>();
  readonly #aborted = new AbortController();
  #ledger: Ledger;
  #phase: 'receiving' | 'storing' | 'over' = 'receiving';
  /** What callers were told, and may have built their own headers from. */
  #told: DownloadHead | undefined;
  #expected: readonly Digest[];
  #abandoned: Problem | undefined;
  #wasRead = false;
  #lingering: NodeJS.Timeout | undefined;

  constructor(request: DownloadRequest, claims: Claims, settings: DownloadSettings, hooks: TransferHooks) {
    this.#request = request;
    this.claims = claims;
    this.#expected = request.expected;
    this.#settings = settings;
    this.#hooks = hooks;
    this.#ledger = this.#openLedger();
    // Whoever cares looks at them; a failure that nobody looks at is none of the process.
    this.#head.promise.catch(() => undefined);
    this.#done.promise.catch(() => undefined);
  }

  get head(): Promise<DownloadHead> {
    return this.#head.promise;
  }

  get done(): Promise<DownloadFacts & { readonly stored: boolean }> {
    return this.#done.promise;
  }

  get size(): number | undefined {
    return this.#told?.size ?? (this.#phase === 'receiving' ? undefined : this.#ledger.size);
  }

  get expected(): readonly Digest[] {
    return this.#expected;
  }

  read(from = 0, to = Number.POSITIVE_INFINITY): Reader {
    clearTimeout(this.#lingering);
    const reader = new Reader(this.#ledger, {
      from,
      to,
      joined: this.#wasRead,
      onLeave: (left) => {
        this.#readers.delete(left);
        this.#ledger.moved();
        if (this.#readers.size === 0) this.#linger();
      },
    });
    this.#wasRead = true;
    this.#readers.add(reader);
    if (!this.#ledger.canServe(from, to)) reader.drop(missed());
    return reader;
  }

  /** Ends it while bytes still come in; afterwards it ends by itself. */
  giveUp(message: string): void {
    if (this.#phase !== 'receiving' || this.#abandoned) return;
    this.#abandoned = new Problem('upstream_unavailable', message, { retryAfterSeconds: 1 });
    this.#hooks.onClosed();
    this.#ledger.fail(this.#abandoned);
    this.#aborted.abort(this.#abandoned);
  }

  /** Never rejects; `head` and `done` tell. */
  async run(): Promise<void> {
    const { url, requestId } = this.#request;
    const download = this.id;
    publish('download.start', { download, url, ...(requestId === undefined ? {} : { requestId }) });
    try {
      const result = await this.#receive();
      this.#over();
      publish('download.end', { download, url, bytes: result.size, outcome: result.stored ? 'stored' : 'passed' });
      this.#done.resolve(result);
    } catch (error) {
      const problem = this.#abandoned ?? toProblem(error instanceof Unfit ? error.problem : error);
      const bytes = this.#ledger.size;
      this.#ledger.fail(problem);
      this.#over();
      publish('download.end', { download, url, bytes, outcome: this.#abandoned ? 'abandoned' : 'failed' });
      this.#head.reject(problem);
      this.#done.reject(problem);
      await this.#ledger.discard();
    }
  }

  /** Wrong bytes that no reader was given yet are asked for once more; a proxy on the way may have cached half a file. */
  async #receive(): Promise<DownloadFacts & { readonly stored: boolean }> {
    let raw = false;
    for (let isLast = false; ; isLast = true) {
      const source = await openSource({ ...this.#request, claims: this.claims }, this.#sourceSettings(raw));
      this.#expected = source.expected;
      try {
        if (source.reply.status === 206) {
          throw this.#invalid('sent a part of a file although all of it was asked for');
        }
        if (source.reply.status !== 200) return this.#pass(source);
        const facts = await this.#transfer(source);
        return await this.#finish(facts, source.hasEnd);
      } catch (error) {
        if (isLast || !(error instanceof Unfit) || this.#ledger.delivered || this.#abandoned) throw error;
        raw = error.mayBeRaw;
        this.#restart();
      } finally {
        source.close();
      }
    }
  }

  #sourceSettings(raw: boolean): SourceSettings {
    const { maxResumes, backoffMs, maxBackoffMs, random } = this.#settings;
    return { raw, maxResumes, backoffMs, maxBackoffMs, random, signal: this.#aborted.signal };
  }

  /** Not modified, not here, not wanted: an answer without bytes. */
  #pass(source: Source): DownloadFacts & { readonly stored: boolean } {
    const { status, headers, url } = source.reply;
    this.#tell({ status, headers, url }, false);
    source.discard();
    this.#ledger.complete();
    return { status, headers, url, size: 0, digests: [], verified: 'length', stored: false };
  }

  /** Every byte of a 200, written, released but for the last piece, and found right. */
  async #transfer(source: Source): Promise<DownloadFacts> {
    const { algorithms } = this.#request;
    const { expected } = source;
    const promised = this.#accept(source);
    const ledger = this.#ledger;
    ledger.open(this.#settings.stage, promised);
    // Whatever is released now may prove to be the wrong one of two readings, and could not be taken back.
    if (source.ambiguous) ledger.holdAll();
    const digester = new Digester([...algorithms, ...expected.map(algorithmOf)]);
    for (let bytes = await source.next(); bytes; bytes = await source.next()) {
      this.#checkSize(source, ledger.size + bytes.length, promised);
      const room = ledger.append(bytes);
      // Only now, so that the disk works while this thread computes.
      digester.update(bytes);
      if (room) await room;
    }
    if (promised !== undefined && ledger.size !== promised)
      throw this.#mismatch(source, `${promised} bytes`, `${ledger.size} bytes`);
    const digests = digester.digests();
    const wrong = firstMismatch(expected, digests);
    if (wrong) throw this.#mismatch(source, wrong.expected, wrong.actual);
    const { status, url } = source.reply;
    const verified = expected.length > 0 ? 'digest' : 'length';
    return { status, headers: headersOf(source), url, size: ledger.size, digests, verified };
  }

  /** Tells the head, unless the headers already are wrong. Returns the size there has to be in the end, if one is known. */
  #accept(source: Source): number | undefined {
    const { expectedSize, maxSizeBytes } = this.#request;
    const size = source.size ?? expectedSize;
    if (size !== undefined && expectedSize !== undefined && size !== expectedSize) {
      throw this.#mismatch(source, `${expectedSize} bytes`, `${size} bytes`);
    }
    if (size !== undefined && size > maxSizeBytes) throw this.#tooLong();
    const { status, url } = source.reply;
    const head = { status, headers: headersOf(source), url, ...(size === undefined ? {} : { size }) };
    this.#tell(head, source.expected.length > 0);
    return this.#told?.size ?? size;
  }

  /** Callers were told once; a second attempt has to be the same answer. */
  #tell(head: DownloadHead, hasDigests: boolean): void {
    const told = this.#told;
    if (!told) {
      this.#told = head;
      this.#head.resolve(head);
      return;
    }
    const isSameSize = told.size === undefined || head.size === undefined || told.size === head.size;
    const isSameFile =
      hasDigests ||
      ['etag', 'last-modified', 'content-type'].every((name) => told.headers[name] === head.headers[name]);
    if (told.status === head.status && isSameSize && isSameFile) return;
    throw this.#invalid('sent wrong bytes, and then another answer when asked again');
  }

  #checkSize(source: Source, size: number, promised: number | undefined): void {
    if (promised !== undefined && size > promised) throw this.#mismatch(source, `${promised} bytes`, 'more');
    if (size > this.#request.maxSizeBytes) throw this.#tooLong();
  }

  async #finish(facts: DownloadFacts, hasEnd: boolean): Promise<DownloadFacts & { readonly stored: boolean }> {
    const ledger = this.#ledger;
    // The last reader may have left while the last bytes came in.
    if (ledger.problem) throw ledger.problem;
    this.#phase = 'storing';
    let stored = false;
    if (this.#request.gate) {
      stored = await this.#passGate(facts);
      ledger.complete();
    } else {
      ledger.complete();
      const stage = await ledger.staged();
      // A connection that was just hung up looks like the end. Passing half a file on is upstream's doing; keeping it would be ours.
      const isWhole = hasEnd || facts.verified === 'digest' || this.#told?.size !== undefined;
      if (stage && isWhole) stored = await this.#store(stage, facts);
    }
    await ledger.discard();
    return { ...facts, stored };
  }

  /** Nothing the disk does keeps good bytes from readers. Throws what `store` has against them. */
  async #passGate(facts: DownloadFacts): Promise<boolean> {
    const stage = await this.#ledger.staged();
    try {
      await this.#request.store(stage ?? this.#ledger.unkept(), facts);
      return stage !== undefined;
    } catch (error) {
      if (this.#ledger.isDiskError(error)) return false;
      if (!isDiskTrouble(error)) throw error;
      publish('fault', { where: 'download.store', error });
      return false;
    }
  }

  async #store(stage: Stage, facts: DownloadFacts): Promise<boolean> {
    try {
      await this.#request.store(stage, facts);
      return true;
    } catch (error) {
      publish('fault', { where: 'download.store', error });
      return false;
    }
  }

  #restart(): void {
    const old = this.#ledger;
    this.#ledger = this.#openLedger();
    for (const reader of this.#readers) reader.follow(this.#ledger);
    old.fail(missed());
    old.close();
    void old.discard();
  }

  #openLedger(): Ledger {
    const { chunkSize, windowBytes, passWindowBytes, readerStallMs } = this.#settings;
    const { gate, maxSizeBytes } = this.#request;
    return new Ledger({
      chunkSize,
      windowBytes,
      // Whoever is to judge the bytes at the gate has to see all of them, disk or no disk.
      passWindowBytes: gate ? maxSizeBytes : passWindowBytes,
      readerStallMs,
      readers: this.#readers,
      onPassing: () => {
        if (this.#wasRead && this.#readers.size === 0) this.#linger();
      },
      onHole: this.#hooks.onClosed,
      onStranded: () => this.#abandon(),
    });
  }

  /** The last reader left. Another one may be on its way: between asking for the head and reading, or for its next range. */
  #linger(): void {
    clearTimeout(this.#lingering);
    this.#lingering = setTimeout(() => {
      if (this.#readers.size > 0) return;
      if (this.#phase === 'over') this.#ledger.close();
      else if (this.#phase === 'receiving' && !(this.#request.keepGoing && !this.#ledger.isPassing)) this.#abandon();
    }, this.#settings.lingerMs).unref();
  }

  #abandon(): void {
    this.giveUp('The download was given up because nobody was waiting for it any more; ask again.');
  }

  #over(): void {
    this.#phase = 'over';
    this.#hooks.onClosed();
    this.#hooks.onOver();
    if (this.#ledger.problem || this.#ledger.isInMemory) this.#ledger.close();
    else if (this.#readers.size === 0) this.#linger();
  }

  #mismatch(source: Source, expected: string, actual: string): Unfit {
    const mayBeRaw = source.mayBeRaw();
    // A file that is labelled wrongly is no wrong file.
    if (!mayBeRaw) publish('download.mismatch', { url: this.#request.url, expected, actual });
    return new Unfit(this.#invalid(`sent other bytes than were promised (${expected}; these are ${actual})`), mayBeRaw);
  }

  #tooLong(): Problem {
    return this.#invalid(`has an answer longer than the limit of ${this.#request.maxSizeBytes} bytes`);
  }

  #invalid(what: string): Problem {
    return new Problem(
      'upstream_invalid',
      `The upstream "${this.#request.upstream.name}" ${what}; nothing of it was kept.`,
    );
  }
}

/** As callers get to see them: about the bytes they get. */
function headersOf(source: Source): DownloadFacts['headers'] {
  if (!source.coded) return source.reply.headers;
  const { 'content-encoding': _, 'content-length': __, ...headers } = source.reply.headers;
  return headers;
}

function isDiskTrouble(error: unknown): boolean {
  return /^(?:ENOSPC|EDQUOT|EIO|EROFS|EMFILE|ENFILE)$/.test((error as { code?: string } | undefined)?.code ?? '');
}

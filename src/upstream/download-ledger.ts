/**
 * Which bytes of a download there are, where they lie and how many of them readers may have.
 *
 *     0          window start      staged        released        end
 *     |── stage file ──┼──────────────|              |              |
 *                      |───────── window in memory ──┼──────────────|
 *
 * New bytes go into the window and from there to the stage file; readers that keep up take them from the window, the
 * others from the file. The window never loses a byte that is not in the file yet, so neither the writer nor a
 * reader waits for the other. The newest piece is not released before the end has been found right.
 *
 * When the disk fails, `staged` stops where it is and the ledger passes bytes through: the window grows to a limit,
 * then the writer waits for the slowest reader. What falls out of the window then is gone.
 */
import { publish } from '../core/events.ts';
import { Problem, toProblem } from '../core/problem.ts';
import type { OpenStage, Stage } from '../core/staging.ts';
import type { Reader } from './download-reader.ts';

export interface LedgerSettings {
  /** Longest piece a reader is given from the file, in bytes. */
  readonly chunkSize: number;
  /** Recent bytes kept in memory while there is a file. */
  readonly windowBytes: number;
  /** Bytes kept in memory when there is none. */
  readonly passWindowBytes: number;
  /** Passing through: a reader that holds up the writer for so long is dropped. */
  readonly readerStallMs: number;
  /** Shared with the download, which adds and removes them. */
  readonly readers: ReadonlySet<Reader>;
  /** The disk failed. */
  readonly onPassing: () => void;
  /** Bytes are gone: who comes now can't have the whole any more. */
  readonly onHole: () => void;
  /** Passing through, the window is full and nobody reads. */
  readonly onStranded: () => void;
}

/** What a reader can have at its position. */
export type Offer =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'disk'; readonly length: number }
  | { readonly kind: 'wait' }
  | { readonly kind: 'end' }
  | { readonly kind: 'failed'; readonly problem: Problem };

interface Piece {
  readonly start: number;
  readonly bytes: Buffer;
}

/** An upstream that sends byte by byte must not fill the window with small objects: so many bytes each on average, or at most so many. */
const smallPieceBytes = 4096;
const fewPieces = 1024;

/** Pieces that arrived while the disk was busy are written together, up to this many bytes. */
const maxWriteBytes = 256 * 1024;

/** Clients that come together fall behind together: a block is read once for all that are about there. */
const maxBlocks = 8;

// Told apart from other trouble because the store itself reports that it is full, once.
const fullCodes = new Set(['ENOSPC', 'EDQUOT']);

export class Ledger {
  readonly #settings: LedgerSettings;
  #pieces: Piece[] = [];
  #windowSize = 0;
  #staged = 0;
  #released = 0;
  #end = 0;
  #state: 'open' | 'complete' | 'failed' = 'open';
  #problem: Problem | undefined;
  /** What the disk said. Set: the bytes are passed through. */
  #diskError: { readonly error: unknown } | undefined;
  #hasHole = false;
  #delivered = false;
  #holdsAll = false;
  #stage: Stage | undefined;
  #opening: Promise<void> | undefined;
  #unretain: (() => void) | undefined;
  #isClosed = false;
  #isFlushing = false;
  #flushed: Promise<void> | undefined;
  /** Lately read from the file, by offset, the latest last. */
  readonly #blocks = new Map<number, Promise<Buffer>>();
  /** The writer waits for room. */
  #roomy: PromiseWithResolvers<void> | undefined;

  constructor(settings: LedgerSettings) {
    this.#settings = settings;
  }

  /** Bytes received. */
  get size(): number {
    return this.#end;
  }

  get problem(): Problem | undefined {
    return this.#problem;
  }

  /** Whether any reader was given any byte: from then on there is no way back. */
  get delivered(): boolean {
    return this.#delivered;
  }

  /** The disk failed; nothing will be stored. */
  get isPassing(): boolean {
    return this.#diskError !== undefined;
  }

  /** No reader needs the file: everything is in the window. */
  get isInMemory(): boolean {
    return this.#windowStart() === 0;
  }

  /** Whether a reader of [from, to) would get all of its bytes. */
  canServe(from: number, to: number): boolean {
    return !this.#hasHole || from >= this.#windowStart() || to <= this.#staged;
  }

  markDelivered(): void {
    this.#delivered = true;
  }

  /** Releases nothing at all before the end, as far as there is room. */
  holdAll(): void {
    this.#holdsAll = true;
  }

  /** Bytes are taken meanwhile. A stage that can't be opened is the same as a disk that fails at the first byte. */
  open(open: OpenStage, expectedSize: number | undefined): void {
    this.#opening = open(expectedSize === undefined ? {} : { expectedSize }).then(
      (stage) => {
        this.#stage = stage;
        if (!this.#isClosed) this.#unretain = stage.retain();
      },
      (error: unknown) => this.#passThrough(error),
    );
  }

  /**
   * Takes the newest piece and releases the one before. A promise is returned when the next one has to wait for room.
   * Throws once the download has failed: a source may yield a little more after it was told to stop.
   */
  append(bytes: Buffer): Promise<void> | undefined {
    if (this.#problem) throw this.#problem;
    if (!this.#holdsAll) this.#released = this.#end;
    this.#pieces.push({ start: this.#end, bytes });
    this.#windowSize += bytes.length;
    this.#end += bytes.length;
    this.#flush();
    this.#wakeReaders();
    return this.#isFull() ? this.#room() : undefined;
  }

  /** Resolves when every byte is in the file: with the stage, or with nothing if the disk failed. */
  async staged(): Promise<Stage | undefined> {
    await this.#untilQuiet();
    return this.isPassing ? undefined : this.#stage;
  }

  /**
   * In place of a stage that the disk did not take: all of it can be read, as long as no byte fell out of the window, and
   * nothing be committed.
   */
  unkept(): Stage {
    const refuse = (): Promise<void> => Promise.reject(this.#diskError?.error);
    return {
      size: this.#end,
      read: (position, length) => this.#assemble(position, Math.min(position + length, this.#end)),
      retain: () => () => undefined,
      discard: () => Promise.resolve(),
      write: refuse,
      commit: refuse,
    };
  }

  /** Whether it is this error that keeps the bytes from being stored. */
  isDiskError(error: unknown): boolean {
    return this.#diskError !== undefined && this.#diskError.error === error;
  }

  /** The end was found right. */
  complete(): void {
    if (this.#state !== 'open') return;
    this.#state = 'complete';
    this.#released = this.#end;
    this.#wakeReaders();
  }

  fail(problem: Problem): void {
    if (this.#state === 'failed') return;
    this.#state = 'failed';
    this.#problem = problem;
    this.moved();
    this.#wakeReaders();
  }

  /** Forgets the stage unless it was committed; readers are not disturbed. */
  async discard(): Promise<void> {
    await this.#untilQuiet();
    await this.#stage?.discard().catch((error: unknown) => publish('fault', { where: 'download.discard', error }));
  }

  /** No reader will come any more. */
  close(): void {
    this.#isClosed = true;
    this.#unretain?.();
    this.#unretain = undefined;
  }

  offer(position: number, to: number): Offer {
    if (position >= to) return { kind: 'end' };
    if (this.#problem) return { kind: 'failed', problem: this.#problem };
    if (this.#state === 'complete' && position >= this.#end) return { kind: 'end' };
    const available = Math.min(this.#released, to) - position;
    if (available <= 0) return { kind: 'wait' };
    const piece = this.#pieceAt(position);
    if (piece) {
      this.#delivered = true;
      const skip = position - piece.start;
      const isWhole = skip === 0 && piece.bytes.length <= available;
      return { kind: 'bytes', bytes: isWhole ? piece.bytes : piece.bytes.subarray(skip, skip + available) };
    }
    const length = Math.min(available, this.#staged - position, this.#settings.chunkSize);
    if (length > 0 && this.#unretain) return { kind: 'disk', length };
    return { kind: 'failed', problem: missed() };
  }

  /** Fewer bytes than asked for, but at least one; or what the disk says, in words for the reader. */
  async readStaged(position: number, length: number): Promise<Buffer | Problem> {
    const { chunkSize } = this.#settings;
    const start = position - (position % chunkSize);
    try {
      // The last block still grows.
      if (start + chunkSize > this.#staged) return await this.#readFile(position, length);
      const block = await this.#readBlock(start);
      return block.subarray(position - start, position - start + length);
    } catch (error) {
      publish('fault', { where: 'download.read', error });
      return toProblem(error);
    }
  }

  /** A reader took something or left, or the disk got on: the writer may have room now. */
  moved(): void {
    this.#roomy?.resolve();
    this.#roomy = undefined;
  }

  #readBlock(start: number): Promise<Buffer> {
    const block = this.#blocks.get(start) ?? this.#readFile(start, this.#settings.chunkSize);
    this.#blocks.delete(start);
    this.#blocks.set(start, block);
    block.catch(() => this.#blocks.delete(start));
    const [oldest] = this.#blocks.keys();
    if (this.#blocks.size > maxBlocks && oldest !== undefined) this.#blocks.delete(oldest);
    return block;
  }

  async #readFile(position: number, length: number): Promise<Buffer> {
    const release = this.#stage?.retain();
    try {
      const bytes = await this.#stage?.read(position, length);
      if (bytes?.length !== length) throw new Error('The staging file is shorter than what was written to it.');
      return bytes;
    } finally {
      release?.();
    }
  }

  async #assemble(from: number, to: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let at = from; at < to; ) {
      const piece = this.#pieceAt(at);
      const bytes = piece
        ? piece.bytes.subarray(at - piece.start, to - piece.start)
        : await this.#readFile(at, Math.min(to, this.#staged) - at);
      parts.push(bytes);
      at += bytes.length;
    }
    return Buffer.concat(parts);
  }

  async #untilQuiet(): Promise<void> {
    await this.#opening;
    this.#flush();
    while (this.#isFlushing) {
      await this.#flushed;
      this.#flush();
    }
  }

  #wakeReaders(): void {
    for (const reader of this.#settings.readers) reader.wake();
  }

  #windowStart(): number {
    return this.#pieces[0]?.start ?? this.#end;
  }

  #pieceAt(position: number): Piece | undefined {
    if (position < this.#windowStart()) return undefined;
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#pieces[middle]?.start ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return this.#pieces[low];
  }

  #flush(): void {
    if (this.#isFlushing || this.isPassing || this.#problem || this.#staged === this.#end) return;
    this.#isFlushing = true;
    this.#flushed = this.#writeOut();
  }

  async #writeOut(): Promise<void> {
    await this.#opening;
    try {
      while (this.#stage && this.#staged < this.#end && this.#state !== 'failed') {
        const batch = this.#unstaged();
        await this.#stage.write(batch);
        this.#staged += batch.length;
        this.moved();
      }
    } catch (error) {
      this.#passThrough(error);
    }
    // Here and not when the promise settles: a piece that arrives in between would wait for the next one.
    this.#isFlushing = false;
  }

  #unstaged(): Buffer {
    const batch: Buffer[] = [];
    let size = 0;
    for (let index = this.#pieces.findIndex((piece) => piece.start === this.#staged); ; index += 1) {
      const bytes = this.#pieces[index]?.bytes;
      if (!bytes || (size > 0 && size + bytes.length > maxWriteBytes)) break;
      batch.push(bytes);
      size += bytes.length;
    }
    return batch.length === 1 && batch[0] ? batch[0] : Buffer.concat(batch, size);
  }

  #passThrough(error: unknown): void {
    this.#diskError = { error };
    this.#settings.onPassing();
    if (!fullCodes.has((error as { code?: string })?.code ?? '')) publish('fault', { where: 'download.stage', error });
    // Readers keep what is in the file; its room is wanted by others.
    void this.#stage?.discard().catch(() => undefined);
    this.moved();
  }

  /** Drops from the window what nobody needs there. True: the writer has to wait before it takes more. */
  #isFull(): boolean {
    const limit = this.isPassing ? this.#settings.passWindowBytes : this.#settings.windowBytes;
    const keepFrom = this.isPassing ? this.#neededFrom() : this.#staged;
    const maxPieces = Math.max(fewPieces, limit / smallPieceBytes);
    while (this.#pieces.length > 1 && (this.#windowSize > limit || this.#pieces.length > maxPieces)) {
      const firstEnd = this.#pieces[1]?.start ?? 0;
      if (firstEnd > keepFrom) return true;
      this.#windowSize -= this.#pieces.shift()?.bytes.length ?? 0;
      if (firstEnd > this.#staged && !this.#hasHole) {
        this.#hasHole = true;
        this.#settings.onHole();
      }
    }
    return false;
  }

  /** Without readers everything is kept: the first one may be on its way. */
  #neededFrom(): number {
    let from = this.#settings.readers.size === 0 ? 0 : this.#released;
    for (const reader of this.#settings.readers) from = Math.min(from, reader.needsFrom);
    return from;
  }

  async #room(): Promise<void> {
    while (this.#state === 'open' && this.#isFull()) {
      this.#roomy ??= Promise.withResolvers();
      if (!this.isPassing) await this.#roomy.promise;
      else if (this.#holdsAll) this.#holdLess();
      else if (!(await within(this.#settings.readerStallMs, this.#roomy.promise))) this.#dropStalled();
    }
    if (this.#problem) throw this.#problem;
  }

  /** There is nowhere to hold it all; the newest piece is still held. */
  #holdLess(): void {
    this.#holdsAll = false;
    this.#released = this.#pieces.at(-1)?.start ?? this.#end;
    this.#wakeReaders();
  }

  #dropStalled(): void {
    const { readers, readerStallMs, onStranded } = this.#settings;
    if (readers.size === 0) onStranded();
    const message = `The download waited ${readerStallMs} ms for this client to take more bytes, and could not keep them for it because the server's disk takes none.`;
    const firstEnd = this.#pieces[1]?.start ?? 0;
    for (const reader of readers) {
      if (reader.needsFrom < firstEnd) reader.drop(new Problem('request_timeout', message));
    }
  }
}

/** What a reader is told that comes when the bytes are neither here nor on their way. */
export function missed(): Problem {
  return new Problem('busy', 'The download ended or moved on before this request could join it; ask again.', {
    retryAfterSeconds: 1,
  });
}

/** Whether the promise was fulfilled in time. */
async function within(limitMs: number, promise: Promise<void>): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), limitMs).unref();
  try {
    return await Promise.race([promise.then(() => true), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Stored bytes on their way from the file to a client, at the client's speed. */
import type { ServerResponse } from 'node:http';
import type { FoundArtifact } from '../core/source.ts';
import type { Pace } from './limits-pacer.ts';
import { type Piece, type Pieces, pieceBytes, type Reading } from './pieces.ts';
import type { Tally } from './respond.ts';

/** What a client gets at a time who is slow, or for whom there is no other memory. */
const portionBytes = 64 * 1024;
/** A part no longer than this is not worth a whole piece. */
const smallPartBytes = 2 * portionBytes;
/** Bytes that the system may not have taken yet when the next are read for a quick client. */
const aheadBytes = pieceBytes;
/** A client is slow that took less than this in a second, in the last half one at least: waiting for it would keep a piece from others. */
const slowBytesPerMs = 8_000;
const measuredMs = 500;

export interface Sending {
  readonly res: ServerResponse;
  readonly tally: Tally;
  readonly pieces: Pieces;
  /** Absent: as fast as it goes. */
  readonly pace?: Pace | undefined;
  /** Milliseconds of a clock that is never set back. */
  readonly clock?: () => number;
}

export interface StoredBytes extends Pick<FoundArtifact, 'same'> {
  readonly size: number;
  readonly readInto: NonNullable<FoundArtifact['readInto']>;
}

/** Bytes [from, to), and the end of the response; the connection ends when they can't be read. The file is not read any more once it has resolved. */
export async function sendStored(sending: Sending, stored: StoredBytes, from: number, to: number): Promise<void> {
  const transfer = new Transfer(sending, stored, from, to);
  try {
    await transfer.run();
  } catch (error) {
    sending.res.destroy(error as Error);
  } finally {
    await transfer.close();
  }
}

/** Of a piece, or of memory of its own. */
interface Portion {
  readonly piece: Piece | undefined;
  readonly bytes: Buffer;
  readonly ready: Promise<unknown> | undefined;
}

class Transfer {
  readonly #sending: Sending;
  readonly #stored: StoredBytes;
  readonly #from: number;
  readonly #to: number;
  readonly #reading: Reading;
  readonly #speed: Speed;
  readonly #isSmall: boolean;
  /** Taken, not yet written. */
  #next: Portion | undefined;
  /** Written, not yet gone. */
  readonly #underWay = new Set<Portion>();
  #underWayBytes = 0;
  #wake: (() => void) | undefined;

  constructor(sending: Sending, stored: StoredBytes, from: number, to: number) {
    const { size, readInto, same } = stored;
    this.#sending = sending;
    this.#stored = stored;
    this.#from = from;
    this.#to = to;
    this.#reading = sending.pieces.open(same ?? {}, size, from, to, readInto);
    this.#speed = new Speed(sending.clock ?? (() => performance.now()));
    this.#isSmall = to - from <= smallPartBytes;
    sending.res.once('close', this.#woken);
  }

  async run(): Promise<void> {
    const { res, pace } = this.#sending;
    for (let at = this.#from; at < this.#to; ) {
      this.#next ??= this.#take(at);
      const portion = this.#next;
      await portion.ready;
      if (pace) await pace.take(portion.bytes.byteLength);
      // A slow client has one portion at a time, and what it waits for is not read yet.
      while (!res.destroyed && this.#underWayBytes > (this.#isQuick ? aheadBytes : 0)) await this.#oneGone();
      if (res.destroyed) return;
      at += portion.bytes.byteLength;
      this.#next = undefined;
      this.#write(portion);
      while (!res.destroyed && !this.#isQuick && this.#underWayBytes > 0) await this.#oneGone();
      if (at < this.#to && !res.destroyed) this.#next = this.#take(at);
    }
    while (!res.destroyed && this.#underWayBytes > 0) await this.#oneGone();
    if (!res.destroyed) res.end();
  }

  async close(): Promise<void> {
    this.#sending.res.off('close', this.#woken);
    // The file may be closed afterwards.
    await this.#next?.ready?.catch(() => {});
    if (this.#next?.piece) this.#reading.give(this.#next.piece, true);
    for (const { piece } of this.#underWay) if (piece) this.#reading.give(piece, false);
    this.#underWay.clear();
    this.#reading.close();
  }

  get #isQuick(): boolean {
    return !this.#sending.pace && !this.#speed.isSlow;
  }

  #take(at: number): Portion {
    const piece = this.#isQuick && !this.#isSmall ? this.#reading.take(at) : undefined;
    if (piece) {
      const bytes = piece.bytes.subarray(at - piece.at, Math.min(this.#to - piece.at, piece.bytes.byteLength));
      return { piece, bytes, ready: piece.ready };
    }
    const most = Math.min(this.#sending.pace?.sliceBytes ?? portionBytes, portionBytes);
    const length = Math.min(this.#isSmall && !this.#sending.pace ? smallPartBytes : most, this.#to - at);
    const bytes = Buffer.allocUnsafeSlow(length);
    const ready = this.#stored.readInto(bytes, at).then((count) => {
      if (count < length) throw new Error(`Stored bytes end at ${at + count}, before ${at + length}.`);
    });
    return { piece: undefined, bytes, ready };
  }

  #write(portion: Portion): void {
    const { res, tally } = this.#sending;
    const { byteLength } = portion.bytes;
    tally.bytesSent += byteLength;
    this.#underWay.add(portion);
    this.#underWayBytes += byteLength;
    this.#speed.begin();
    res.write(portion.bytes, (error) => {
      if (error || !this.#underWay.delete(portion)) return;
      this.#underWayBytes -= byteLength;
      this.#speed.sent(byteLength);
      if (portion.piece) this.#reading.give(portion.piece, true);
      this.#woken();
    });
  }

  #oneGone(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  readonly #woken = (): void => {
    this.#wake?.();
    this.#wake = undefined;
  };
}

/** Of a client, measured over half a second at least. */
class Speed {
  readonly #clock: () => number;
  #since: number | undefined;
  #bytes = 0;
  isSlow = false;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  begin(): void {
    this.#since ??= this.#clock();
  }

  sent(bytes: number): void {
    this.#bytes += bytes;
    const now = this.#clock();
    const passed = now - (this.#since ?? now);
    if (passed < measuredMs) return;
    this.isSlow = this.#bytes / passed < slowBytesPerMs;
    this.#since = now;
    this.#bytes = 0;
  }
}

/**
 * Pieces of large files on their way to clients. Whoever reads the same file nearby takes the piece that somebody else has just
 * read, so that ten clients who pull one layer at once cost the disk and the processor one reading of it; and the memory they are read
 * into is used again while the processor's caches still know it. There is so much of it and no more: who finds none left reads
 * for themselves, in small portions.
 */

export const pieceBytes = 1024 * 1024;
/** Pieces of a file no longer than this are kept for whoever asks next. */
const longestKept = 32 * pieceBytes;
/** Afterwards nothing is held for nobody. */
const keptMs = 30_000;

/** Bytes of a file at positions; resolves to how many there were. */
export type ReadInto = (buffer: Uint8Array, position: number) => Promise<number>;

export interface Piece {
  /** Position of its first byte. */
  readonly at: number;
  /** All of it is right once `ready` is absent or has resolved; nobody changes it before it is given back. */
  readonly bytes: Buffer;
  readonly ready: Promise<void> | undefined;
}

interface Held extends Piece {
  readonly file: File;
  readonly slab: Buffer;
  ready: Promise<void> | undefined;
  users: number;
  /** The system may still have it to send: nothing else is ever read into it. */
  isSpent: boolean;
}

interface File {
  readonly pieces: Map<number, Held>;
  readonly readings: Set<{ at: number; readonly to: number }>;
}

/** One client's way through a file. */
export interface Reading {
  /** The piece that the position is in; `undefined`: there is no memory left for it. */
  take(position: number): Piece | undefined;
  /** `isSent`: every byte that was written of it has left the process. */
  give(piece: Piece, isSent: boolean): void;
  /** Once, when nothing more is taken. */
  close(): void;
}

export class Pieces {
  readonly #most: number;
  readonly #files = new WeakMap<object, File>();
  /** Used last, taken first: that one is still in the processor's caches. */
  readonly #free: Buffer[] = [];
  /** Read, and used by nobody at the moment; oldest first. */
  readonly #idle = new Set<Held>();
  #made = 0;
  #readings = 0;
  #forgetting: NodeJS.Timeout | undefined;

  constructor(mostBytes: number) {
    this.#most = Math.max(4, Math.floor(mostBytes / pieceBytes));
  }

  /** Memory in use, in the hands of clients or kept; bytes. */
  get heldBytes(): number {
    return this.#made * pieceBytes;
  }

  /** `same`: whoever brings the same object reads the same bytes. */
  open(same: object, size: number, from: number, to: number, readInto: ReadInto): Reading {
    let file = this.#files.get(same);
    if (!file) {
      file = { pieces: new Map(), readings: new Set() };
      this.#files.set(same, file);
    }
    const { pieces, readings } = file;
    const mine = { at: from, to };
    const taken = file;
    readings.add(mine);
    this.#readings++;
    clearTimeout(this.#forgetting);
    return {
      take: (position) => {
        const at = position - (position % pieceBytes);
        mine.at = at + pieceBytes;
        const known = pieces.get(at);
        if (known) {
          known.users++;
          this.#idle.delete(known);
          return known;
        }
        const slab = this.#slab();
        return slab && this.#read(taken, slab, at, Math.min(pieceBytes, size - at), readInto);
      },
      give: (piece, isSent) => this.#give(piece as Held, isSent, size <= longestKept),
      close: () => {
        readings.delete(mine);
        this.#readings--;
        for (const piece of pieces.values()) this.#settle(piece, size <= longestKept);
        if (this.#readings === 0) this.#forgetting = setTimeout(() => this.#forget(), keptMs).unref();
      },
    };
  }

  #read(file: File, slab: Buffer, at: number, length: number, readInto: ReadInto): Held {
    const bytes = slab.subarray(0, length);
    const piece: Held = { at, bytes, slab, file, users: 1, isSpent: false, ready: undefined };
    piece.ready = readInto(bytes, at).then((count) => {
      if (count < length) throw new Error(`Stored bytes end at ${at + count}, before ${at + length}.`);
      piece.ready = undefined;
    });
    piece.ready.catch(() => {
      // Nobody who comes later is told of it: they read again.
      if (file.pieces.get(at) === piece) file.pieces.delete(at);
    });
    file.pieces.set(at, piece);
    return piece;
  }

  #slab(): Buffer | undefined {
    const free = this.#free.pop();
    if (free) return free;
    if (this.#made < this.#most) {
      this.#made++;
      return Buffer.allocUnsafeSlow(pieceBytes);
    }
    const [oldest] = this.#idle;
    if (!oldest) return undefined;
    this.#idle.delete(oldest);
    oldest.file.pieces.delete(oldest.at);
    return oldest.slab;
  }

  #give(piece: Held, isSent: boolean, isKept: boolean): void {
    piece.users--;
    if (!isSent) piece.isSpent = true;
    this.#settle(piece, isKept);
  }

  /** What becomes of a piece that nobody uses. */
  #settle(piece: Held, isKept: boolean): void {
    if (piece.users > 0) return;
    const { pieces, readings } = piece.file;
    const isCurrent = pieces.get(piece.at) === piece;
    const isWanted = isKept || readings.values().some(({ at, to }) => at <= piece.at && piece.at < to);
    if (isCurrent && !piece.isSpent && isWanted) {
      this.#idle.add(piece);
      return;
    }
    this.#idle.delete(piece);
    if (isCurrent) pieces.delete(piece.at);
    if (piece.isSpent) this.#made--;
    else this.#free.push(piece.slab);
  }

  #forget(): void {
    for (const piece of this.#idle) piece.file.pieces.delete(piece.at);
    this.#made -= this.#idle.size + this.#free.length;
    this.#idle.clear();
    this.#free.length = 0;
  }
}

/** A file that is read at offsets, as a stream. */

/** Bytes at hand, read piece by piece. */
export interface Readable {
  readonly size: number;
  /** At most `length` bytes; fewer only at the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

const pieceBytes = 64 * 1024;

/** From its beginning to its end, 64 KiB at a time. Throws an Error when the file turns out to be shorter than it said. */
export async function* fileBytes(file: Readable): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < file.size; ) {
    const piece = await file.read(offset, Math.min(pieceBytes, file.size - offset));
    if (piece.byteLength === 0) throw new Error('the file ended too early');
    offset += piece.byteLength;
    yield piece;
  }
}

/** A stream of bytes that is taken in pieces of a wanted length. */
import { BundleError } from './format.ts';

export interface Bytes {
  /** Up to `most` bytes, at least one. Rejects with a `BundleError` (`cut`) where there are no more. */
  some(most: number): Promise<Buffer>;
  exactly(length: number): Promise<Buffer>;
  /** Whether nothing follows. */
  ended(): Promise<boolean>;
  /** Ends the stream below. */
  close(): Promise<void>;
}

export function bytesFrom(stream: AsyncIterable<Buffer>): Bytes {
  const pieces = stream[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);

  async function fill(): Promise<boolean> {
    while (held.length === 0) {
      const next = await pieces.next();
      if (next.done) return false;
      held = next.value;
    }
    return true;
  }

  async function some(most: number): Promise<Buffer> {
    if (!(await fill())) throw new BundleError('cut', 'the bundle ends too early: the rest of it is missing');
    const piece = held.subarray(0, most);
    held = held.subarray(piece.length);
    return piece;
  }

  return {
    some,
    async exactly(length) {
      if (length === 0) return Buffer.alloc(0);
      const first = await some(length);
      if (first.length === length) return first;
      const all = [first];
      for (let left = length - first.length; left > 0; ) {
        const piece = await some(left);
        all.push(piece);
        left -= piece.length;
      }
      return Buffer.concat(all, length);
    },
    ended: async () => !(await fill()),
    close: async () => void (await pieces.return?.()),
  };
}

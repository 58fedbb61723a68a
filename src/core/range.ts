/** Byte ranges of RFC 9110, section 14, as far as we answer them: one range at a time. */

/** From the first byte to before `to`. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** A range of something whose size is not known yet; without `to` it goes to the end. */
export interface OpenByteRange {
  readonly from: number;
  readonly to?: number;
}

/**
 * What a `Range` header asks of a representation of `size` bytes. `undefined`: there is no range to honour (no header, another unit, malformed,
 * or several ranges) and the answer is the whole with 200. While the size is unknown a suffix can't be honoured either,
 * and nothing is unsatisfiable.
 */
export function parseRange(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined;
export function parseRange(header: string | undefined, size: undefined): OpenByteRange | undefined;
export function parseRange(
  header: string | undefined,
  size: number | undefined,
): ByteRange | OpenByteRange | 'unsatisfiable' | undefined;
export function parseRange(
  header: string | undefined,
  size: number | undefined,
): ByteRange | OpenByteRange | 'unsatisfiable' | undefined {
  if (header === undefined) return undefined;
  const [, first = '', last = ''] = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header) ?? [];
  if (first === '') {
    if (last === '' || size === undefined) return undefined;
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { from: size - length, to: size };
  }
  const from = Number(first);
  const to = last === '' ? undefined : Number(last) + 1;
  if (to !== undefined && to <= from) return undefined;
  if (size === undefined) {
    if (!Number.isSafeInteger(from)) return undefined;
    return to === undefined || !Number.isSafeInteger(to) ? { from } : { from, to };
  }
  if (from >= size) return 'unsatisfiable';
  return { from, to: Math.min(to ?? size, size) };
}

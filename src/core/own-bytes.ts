/** Bytes that are kept for longer than the work that made them. */

/**
 * The same bytes in memory of their own length. What zlib makes is a view of a buffer of 16 or 64 KiB, and all of that stays for as
 * long as the view does: a cache that counts what it shows would hold many times as much. Up to an eighth more is left alone.
 */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.buffer.byteLength <= bytes.byteLength * 1.125) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.byteLength);
  own.set(bytes);
  return own;
}

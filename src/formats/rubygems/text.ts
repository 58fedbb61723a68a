/** Documents of lines, and answers in plain text. */
import { createHash } from 'node:crypto';
import type { Body, Origin } from '../../core/format.ts';

export const textType = 'text/plain; charset=utf-8';

export function textBody(text: string, status = 200): Body {
  return { status, headers: { 'content-type': textType }, bytes: Buffer.from(text) };
}

/** A view of the same memory. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * A page of the compact index. Bundler up to 2.4 compares the ETag with the MD5 of its file, later ones `Repr-Digest` (or
 * `Digest`) with its SHA-256, and both after they have put a part of it behind what they had.
 */
export function pageBody(bytes: Uint8Array): Body {
  const sha256 = createHash('sha256').update(bytes).digest('base64');
  return {
    headers: {
      'content-type': textType,
      etag: `"${createHash('md5').update(bytes).digest('hex')}"`,
      'repr-digest': `sha-256=:${sha256}:`,
      digest: `sha-256=${sha256}`,
    },
    bytes,
  };
}

const newline = 0x0a;
const mark = Buffer.from('---\n');
/** Of what stands before the mark: a line with the time it was made, and room for more. */
const maxHeadBytes = 4096;

/** Offset of the first line after the mark. Throws if the page has no mark or does not end with a line. */
export function bodyStart(page: Buffer): number {
  if (page.at(-1) !== newline) throw new Error('its last line is cut off');
  for (let at = 0; at < Math.min(page.byteLength, maxHeadBytes); ) {
    const end = page.indexOf(newline, at) + 1;
    if (end - at === mark.byteLength && page.compare(mark, 0, mark.byteLength, at, end) === 0) return end;
    at = end;
  }
  throw new Error('it has no line of three dashes');
}

/**
 * Throws unless the bytes are those that upstream tells the SHA-256 of, if it does: Bundler from 2.5 on compares the same. Only
 * headers that came with the bytes are there to be compared.
 */
export function checkDigest(bytes: Uint8Array, { headers }: Origin): void {
  const told = headers['repr-digest'] ?? headers.digest ?? '';
  const [, expected] = /(?:^|,)\s*sha-256=:?([A-Za-z0-9+/]{43}=):?\s*(?:,|$)/i.exec(told) ?? [];
  if (expected === undefined) return;
  const found = createHash('sha256').update(bytes).digest('base64');
  if (found !== expected) throw new Error('it has not the SHA-256 that came with it');
}

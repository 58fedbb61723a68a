/** `/versions`: every gem there is, line after line as it was published, with the MD5 of its page. */
import type { DocumentType, Origin } from '../../core/format.ts';
import { versionsText } from './release.ts';
import { bodyStart, bufferOf, checkDigest, pageBody, textBody, textType } from './text.ts';

export interface Versions {
  readonly bytes: Uint8Array;
  /** Offset of the first line. */
  readonly start: number;
}

const newline = 0x0a;
const blank = 0x20;
const digestLength = 32;

const isHex = (byte: number): boolean => (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66);

/** Where the name ends of the line from `at` to before the newline at `end`; throws if it says nothing about a name. */
function nameEnd(page: Buffer, at: number, end: number): number {
  const first = page.indexOf(blank, at);
  if (first <= at || first >= end - 1) throw new Error(`the line at byte ${at} says nothing about a gem`);
  return first;
}

/** Calls back for every line with its offsets: of the line, of its name's end, of what follows its newline. */
function eachLine({ bytes, start }: Versions, line: (at: number, nameEnd: number, next: number) => void): void {
  const page = bufferOf(bytes);
  for (let at = start; at < page.byteLength; ) {
    const end = page.indexOf(newline, at);
    // Blank lines are in use (Artifactory) and Bundler skips them.
    if (end > at) line(at, nameEnd(page, at, end), end + 1);
    at = end + 1;
  }
}

function hasDigest(page: Buffer, end: number): boolean {
  for (let i = end - digestLength; i < end; i++) if (!isHex(page[i] ?? 0)) return false;
  return page[end - digestLength - 1] === blank;
}

/** The last line is looked at closely, for what was cut off; the others are between their authors and the clients. */
function decode(bytes: Uint8Array, origin: Origin): Versions {
  checkDigest(bytes, origin);
  const text = bufferOf(bytes);
  const page: Versions = { bytes, start: bodyStart(text) };
  let last: number | undefined;
  eachLine(page, (_at, _nameEnd, next) => {
    last = next - 1;
  });
  if (last !== undefined && !hasDigest(text, last)) throw new Error('its last line has no MD5');
  return page;
}

function namesIn(page: Versions): Set<string> {
  const text = bufferOf(page.bytes);
  const names = new Set<string>();
  eachLine(page, (at, end) => void names.add(text.toString('latin1', at, end)));
  return names;
}

/** The lines without those of known names, as pieces of the page. */
function without(page: Versions, known: ReadonlySet<string>): Uint8Array[] {
  const text = bufferOf(page.bytes);
  const pieces: Uint8Array[] = [];
  let from = page.start;
  eachLine(page, (at, end, next) => {
    if (!known.has(text.toString('latin1', at, end))) return;
    if (at > from) pieces.push(page.bytes.subarray(from, at));
    from = next;
  });
  if (from < page.bytes.byteLength) pieces.push(page.bytes.subarray(from));
  return pieces;
}

const sizeOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);

/**
 * A name is the first source's that has it, with all its versions, as its page is. The largest document comes last: it is the one
 * that grows every minute, and so what clients have stays the beginning of what we have.
 */
function merge(pages: readonly Versions[]): Versions {
  const [first, ...later] = pages;
  if (!first) throw new Error('there is nothing to merge');
  const known = namesIn(first);
  const parts = [{ page: first, pieces: [first.bytes.subarray(first.start)] }];
  for (const page of later) {
    const pieces = without(page, known);
    if (sizeOf(pieces) === 0) continue;
    parts.push({ page, pieces });
    if (page !== later.at(-1)) for (const name of namesIn(page)) known.add(name);
  }
  if (parts.length === 1) return first;
  const inOrder = parts.toSorted((one, other) => one.page.bytes.byteLength - other.page.bytes.byteLength);
  const leading = inOrder.at(-1)?.page ?? first;
  const head = leading.bytes.subarray(0, leading.start);
  return { bytes: Buffer.concat([head, ...inOrder.flatMap(({ pieces }) => pieces)]), start: leading.start };
}

export const versions: DocumentType<Versions> = {
  id: 'versions',
  limit: 256 * 1024 * 1024,
  contentType: textType,
  ranges: true,
  decode,
  merge,
  render: (_want, view) => textBody(versionsText(view)),
  encode: ({ bytes }) => pageBody(bytes),
};

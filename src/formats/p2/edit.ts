/** Cuts elements out of an XML document and changes attributes in it; every other byte stays as it was. */
import { type Attribute, attributesOf, type Tag, tags } from './markup.ts';

/** What becomes of an element: it stays, it goes with everything in it, or one of its attributes gets another value. */
export type Verdict = 'keep' | 'drop' | { readonly attribute: Attribute; readonly value: string };

interface Edit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** An element that is open, and how many of its children stayed. */
interface Frame {
  readonly tag: Tag;
  kept: number;
  dropped: number;
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

function escapeValue(text: string): string {
  return text.replace(/[&<>"']/g, (character) => escapes[character] ?? character);
}

/** Where the blanks before an offset begin: an element that goes leaves no empty line. */
function blanksBefore(bytes: Buffer, at: number): number {
  let from = at;
  while (from > 0 && ' \n\r\t'.includes(String.fromCharCode(bytes[from - 1] ?? 0))) from -= 1;
  return from;
}

/** p2 writes the number of children into a `size` attribute, and makes room for as many. */
function sizeEdit(bytes: Buffer, { tag, kept }: Frame): Edit[] {
  const size = attributesOf(bytes, tag).find(({ name }) => name === 'size');
  return size ? [{ from: size.from, to: size.to, text: String(kept) }] : [];
}

function apply(bytes: Buffer, edits: readonly Edit[]): Buffer {
  if (edits.length === 0) return bytes;
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const { from, to, text } of edits.toSorted((a, b) => a.from - b.from)) {
    pieces.push(bytes.subarray(at, from), Buffer.from(text));
    at = to;
  }
  return Buffer.concat([...pieces, bytes.subarray(at)]);
}

/**
 * The document after `judge` was asked about every element that is not in one that goes. The very bytes when nothing
 * changes. Throws when it is not well-formed, has a document type, or its root is not `root`.
 */
export function edited(bytes: Buffer, root: string, judge: (tag: Tag) => Verdict): Buffer {
  const edits: Edit[] = [];
  const open: Frame[] = [];
  /** The start of an element that goes. */
  let going: Tag | undefined;
  for (const tag of tags(bytes)) {
    if (going) {
      if (tag.kind !== 'end' || tag.path !== going.path) continue;
      edits.push({ from: blanksBefore(bytes, going.from), to: tag.to, text: '' });
      going = undefined;
      continue;
    }
    if (tag.kind === 'end') {
      const frame = open.pop();
      if (frame && frame.dropped > 0) edits.push(...sizeEdit(bytes, frame));
      continue;
    }
    const parent = open.at(-1);
    if (!parent && tag.path !== root) throw new Error(`the XML is a ${tag.path}, not a ${root}`);
    const verdict = judge(tag);
    if (verdict === 'drop') {
      if (parent) parent.dropped += 1;
      if (tag.kind === 'empty') edits.push({ from: blanksBefore(bytes, tag.from), to: tag.to, text: '' });
      else going = tag;
      continue;
    }
    if (parent) parent.kept += 1;
    if (verdict !== 'keep') {
      const { attribute, value } = verdict;
      edits.push({ from: attribute.from, to: attribute.to, text: escapeValue(value) });
    }
    if (tag.kind === 'start') open.push({ tag, kept: 0, dropped: 0 });
  }
  return apply(bytes, edits);
}

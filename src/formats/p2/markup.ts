/**
 * The tags of an XML document and where they stand, so that a few of them can be cut out or changed and every other byte
 * stays. A parser would tell what they say and not where: these documents have up to a hundred megabytes.
 *
 * Reads every encoding that has ASCII's bytes for ASCII's characters. Document types are refused: p2 writes none, and
 * without one there are no entities that a reader would have to replace.
 */

export interface Tag {
  readonly kind: 'start' | 'end' | 'empty';
  /** Names of the element and everything around it, outermost first, without prefixes: `repository/properties`. */
  readonly path: string;
  /** Offset of its first byte. */
  readonly from: number;
  /** Offset after its last byte. */
  readonly to: number;
}

export interface Attribute {
  /** Without prefix, as p2 reads it; as bytes are, which is enough to compare it with names of p2's. */
  readonly name: string;
  /** With references replaced. */
  readonly value: string;
  /** Offsets of the value between its quotes. */
  readonly from: number;
  readonly to: number;
}

interface Span {
  readonly nameFrom: number;
  readonly nameTo: number;
  readonly from: number;
  readonly to: number;
}

const lessThan = 0x3c;
const greaterThan = 0x3e;
const slash = 0x2f;
const equals = 0x3d;
/** Deeper and longer than anything of p2's: paths are made of them. */
const maxDepth = 100;
const maxNameBytes = 100;
const encodings = /^(?:utf-?8|us-ascii|iso-8859-\d+|windows-125\d)$/i;
const named: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

const isBlank = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

function isNameByte(byte: number | undefined): boolean {
  return (
    byte !== undefined &&
    (byte >= 0x80 ||
      (byte >= 0x61 && byte <= 0x7a) ||
      (byte >= 0x41 && byte <= 0x5a) ||
      // Digits and the colon.
      (byte >= 0x30 && byte <= 0x3a) ||
      byte === 0x5f ||
      byte === 0x2d ||
      byte === 0x2e)
  );
}

function skipBlanks(bytes: Buffer, at: number): number {
  let end = at;
  while (isBlank(bytes[end])) end += 1;
  return end;
}

function skipName(bytes: Buffer, at: number): number {
  let end = at;
  while (isNameByte(bytes[end])) end += 1;
  if (end === at) throw new Error(`the XML has no name at byte ${at}`);
  return end;
}

/** The offset after `mark`. */
function skipTo(bytes: Buffer, mark: string, at: number): number {
  const found = bytes.indexOf(mark, at, 'latin1');
  if (found < 0) throw new Error('the XML ends early');
  return found + mark.length;
}

const startsWith = (bytes: Buffer, text: string, at: number): boolean =>
  bytes.toString('latin1', at, at + text.length) === text;

/** `undefined`: the tag's end comes next. */
function spanAt(bytes: Buffer, at: number): Span | undefined {
  const nameFrom = skipBlanks(bytes, at);
  if (bytes[nameFrom] === greaterThan || bytes[nameFrom] === slash) return undefined;
  if (nameFrom === at) throw new Error(`the XML has an attribute without a blank before it at byte ${at}`);
  const nameTo = skipName(bytes, nameFrom);
  const sign = skipBlanks(bytes, nameTo);
  const quoteAt = skipBlanks(bytes, sign + 1);
  const quote = bytes[quoteAt];
  if (bytes[sign] !== equals || (quote !== 0x22 && quote !== 0x27)) {
    throw new Error(`the XML has an attribute without a value at byte ${nameFrom}`);
  }
  const from = quoteAt + 1;
  let to = from;
  while (bytes[to] !== quote && bytes[to] !== lessThan && to < bytes.length) to += 1;
  if (bytes[to] !== quote) throw new Error(`the XML has a value without end at byte ${quoteAt}`);
  return { nameFrom, nameTo, from, to };
}

const withoutPrefix = (name: string): string => name.slice(name.indexOf(':') + 1);

function replaceReferences(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&([^;&]*);?/g, (whole, name: string) => {
    const known = Object.hasOwn(named, name) ? named[name] : undefined;
    const [, hex, decimal] = /^#(?:x([0-9a-f]+)|(\d+))$/i.exec(name) ?? [];
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    if (!whole.endsWith(';') || (known === undefined && !(code > 0 && code <= 0x10ffff))) {
      throw new Error(`the XML has the unknown reference ${whole.slice(0, 20)}`);
    }
    return known ?? String.fromCodePoint(code);
  });
}

/** Attributes of a tag that `tags` found. */
export function attributesOf(bytes: Buffer, { kind, from }: Tag): Attribute[] {
  if (kind === 'end') return [];
  const found: Attribute[] = [];
  let span = spanAt(bytes, skipName(bytes, from + 1));
  while (span) {
    found.push({
      name: withoutPrefix(bytes.toString('latin1', span.nameFrom, span.nameTo)),
      value: replaceReferences(bytes.toString('utf8', span.from, span.to)),
      from: span.from,
      to: span.to,
    });
    span = spanAt(bytes, span.to + 1);
  }
  return found;
}

function tagEnd(bytes: Buffer, nameTo: number): { readonly to: number; readonly isEmpty: boolean } {
  let at = nameTo;
  for (let span = spanAt(bytes, at); span; span = spanAt(bytes, at)) at = span.to + 1;
  at = skipBlanks(bytes, at);
  const isEmpty = bytes[at] === slash;
  if (isEmpty) at += 1;
  if (bytes[at] !== greaterThan) throw new Error(`the XML has a tag without end at byte ${nameTo}`);
  return { to: at + 1, isEmpty };
}

/** The offset after a comment, an instruction or a section of character data; `undefined`: it is a tag. */
function skipOther(bytes: Buffer, at: number): number | undefined {
  const next = bytes[at + 1];
  if (next === 0x3f) {
    const to = skipTo(bytes, '?>', at);
    if (/^<\?xml\s/.test(bytes.toString('latin1', at, at + 6))) checkEncoding(bytes.toString('latin1', at, to));
    return to;
  }
  if (next !== 0x21) return undefined;
  if (startsWith(bytes, '<!--', at)) return skipTo(bytes, '-->', at + 4);
  if (startsWith(bytes, '<![CDATA[', at)) return skipTo(bytes, ']]>', at + 9);
  throw new Error('the XML has a document type');
}

function checkEncoding(declaration: string): void {
  const [, encoding] = /\sencoding\s*=\s*["']([^"']*)["']/.exec(declaration) ?? [];
  if (encoding !== undefined && !encodings.test(encoding)) {
    throw new Error(`the XML is in ${encoding}, which is not read here`);
  }
}

function checkBlank(bytes: Buffer, from: number, to: number): void {
  const mark = from === 0 && startsWith(bytes, '\u00ef\u00bb\u00bf', 0) ? 3 : 0;
  if (skipBlanks(bytes, from + mark) < to) throw new Error('the XML has text outside of its root element');
}

/** Every tag, in the order of the document. Throws where it is not well-formed as far as tags go, and at its end when it stops early. */
export function* tags(bytes: Buffer): Generator<Tag, void, undefined> {
  const open: { readonly name: string; readonly path: string }[] = [];
  let hasRoot = false;
  let at = 0;
  for (;;) {
    const from = bytes.indexOf(lessThan, at);
    if (open.length === 0) checkBlank(bytes, at, from < 0 ? bytes.length : from);
    if (from < 0) break;
    const after = skipOther(bytes, from);
    if (after !== undefined) {
      at = after;
      continue;
    }
    const isEnd = bytes[from + 1] === slash;
    const nameFrom = isEnd ? from + 2 : from + 1;
    const nameTo = skipName(bytes, nameFrom);
    if (nameTo - nameFrom > maxNameBytes) throw new Error(`the XML has a name of ${nameTo - nameFrom} bytes`);
    const name = bytes.toString('latin1', nameFrom, nameTo);
    const parent = open.at(-1);
    if (isEnd) {
      const to = skipBlanks(bytes, nameTo) + 1;
      if (!parent || parent.name !== name || bytes[to - 1] !== greaterThan) {
        throw new Error(`the XML has </${name} where it can't be`);
      }
      open.pop();
      yield { kind: 'end', path: parent.path, from, to };
      at = to;
      continue;
    }
    if (!parent && hasRoot) throw new Error('the XML has two root elements');
    if (open.length >= maxDepth) throw new Error(`the XML is nested more than ${maxDepth} deep`);
    hasRoot = true;
    const { to, isEmpty } = tagEnd(bytes, nameTo);
    const path = parent ? `${parent.path}/${withoutPrefix(name)}` : withoutPrefix(name);
    if (!isEmpty) open.push({ name, path });
    yield { kind: isEmpty ? 'empty' : 'start', path, from, to };
    at = to;
  }
  if (!hasRoot || open.length > 0) throw new Error('the XML ends early');
}

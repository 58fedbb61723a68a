/**
 * What a listing in HTML says: its links, its `meta` elements and its `base`. Tolerant of everything that browsers and
 * package clients tolerate, in one pass; what ends in the middle of something is refused, because half a list is no list.
 */

export type Attributes = ReadonlyMap<string, string>;

export interface Anchor {
  /** Names in lower case, values with their character references resolved; of two of one name the first counts. */
  readonly attributes: Attributes;
  /** Without the blanks around it. */
  readonly text: string;
}

export interface Listing {
  readonly anchors: readonly Anchor[];
  readonly metas: readonly Attributes[];
  /** `href` of the first `base` that has one. */
  readonly base?: string;
  /** Text of the first `title`. */
  readonly title?: string;
}

export interface ListingLimits {
  readonly maxAnchors: number;
}

/** No element that is read here has nearly as many. */
const maxAttributes = 100;

const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };

/** Numbers, and those names that tools for writing listings use; anything else stays as it is. */
function resolved(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(
    /&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|([a-z]{2,4}));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined)
        return Object.hasOwn(named, name.toLowerCase()) ? (named[name.toLowerCase()] ?? whole) : whole;
      const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
      return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff)
        ? String.fromCodePoint(code)
        : '\ufffd';
    },
  );
}

function cut(): never {
  throw new Error('the page was cut');
}

/** Where `what` is next; throws when it is nowhere. */
function after(text: string, what: string, from: number): number {
  const at = text.indexOf(what, from);
  return at === -1 ? cut() : at + what.length;
}

const tagName = /[a-z][^\s/>]*/iy;
const attributeName = /[^\s"'<>/=]+/y;
const equals = /\s*=\s*/y;
const bareValue = /[^\s>]*/y;

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

interface Attributed {
  readonly attributes: Attributes;
  /** Behind the `>`. */
  readonly end: number;
}

/** From behind a tag's name to its end. */
function readAttributes(text: string, from: number): Attributed {
  const attributes = new Map<string, string>();
  let at = from;
  for (;;) {
    if (at >= text.length) cut();
    if (text[at] === '>') return { attributes, end: at + 1 };
    const name = matchAt(attributeName, text, at);
    if (name === undefined) {
      at += 1;
      continue;
    }
    at += name.length;
    let value = '';
    const sign = matchAt(equals, text, at);
    if (sign !== undefined) {
      at += sign.length;
      const quote = text[at];
      if (quote === '"' || quote === "'") {
        const end = after(text, quote, at + 1);
        value = text.slice(at + 1, end - 1);
        at = end;
      } else {
        value = matchAt(bareValue, text, at) ?? '';
        at += value.length;
      }
    }
    const key = name.toLowerCase();
    if (attributes.has(key)) continue;
    if (attributes.size >= maxAttributes)
      throw new Error(`an element of the page has more than ${maxAttributes} attributes`);
    attributes.set(key, resolved(value));
  }
}

/** Their content is no markup. */
const rawText = ['script', 'style', 'title', 'textarea'];

/** Behind the end tag of an element whose content is no markup, and what that is. */
function readRaw(text: string, name: string, from: number): { readonly content: string; readonly end: number } {
  const closing = new RegExp(`</${name}\\s*>`, 'gi');
  closing.lastIndex = from;
  const found = closing.exec(text);
  if (!found) return cut();
  return { content: text.slice(from, found.index), end: closing.lastIndex };
}

/** Throws on a page that ends in the middle of a tag, a link, or an element that stands for all of it. */
export function readListing(text: string, { maxAnchors }: ListingLimits): Listing {
  const anchors: Anchor[] = [];
  const metas: Attributes[] = [];
  let base: string | undefined;
  let title: string | undefined;
  let open: { readonly attributes: Attributes; text: string } | undefined;
  /** Of the elements that go around everything, those that are not closed yet. */
  const around = new Set<string>();

  const close = (): void => {
    if (open) anchors.push({ attributes: open.attributes, text: resolved(open.text).trim() });
    open = undefined;
    if (anchors.length > maxAnchors) throw new Error(`the page has more than ${maxAnchors} links`);
  };

  let at = 0;
  while (at < text.length) {
    const tag = text.indexOf('<', at);
    const end = tag === -1 ? text.length : tag;
    if (open) open.text += text.slice(at, end);
    if (tag === -1) break;
    at = tag + 1;
    if (text.startsWith('!--', at)) {
      at = after(text, '-->', at + 3);
      continue;
    }
    if (text[at] === '!' || text[at] === '?') {
      at = after(text, '>', at);
      continue;
    }
    const isEnd = text[at] === '/';
    if (isEnd) at += 1;
    const name = matchAt(tagName, text, at)?.toLowerCase();
    if (name === undefined) {
      // A sign for "less" and no tag, unless it is the last there is.
      if (at >= text.length) cut();
      continue;
    }
    const { attributes, end: behind } = readAttributes(text, at + name.length);
    at = behind;
    if (isEnd) {
      if (name === 'a') close();
      around.delete(name);
      continue;
    }
    if (rawText.includes(name)) {
      const raw = readRaw(text, name, at);
      if (name === 'title') title ??= resolved(raw.content).trim();
      at = raw.end;
    } else if (name === 'a') {
      close();
      open = { attributes, text: '' };
    } else if (name === 'meta') metas.push(attributes);
    else if (name === 'base') base ??= attributes.get('href');
    else if (name === 'html' || name === 'body') around.add(name);
  }
  if (open || around.size > 0) cut();
  return { anchors, metas, ...(base === undefined ? {} : { base }), ...(title === undefined ? {} : { title }) };
}

/** For text and for attributes in double quotes. */
export function escapeHtml(text: string): string {
  if (!/[&<>"']/.test(text)) return text;
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#x27;');
}

/** XML without the parts that are dangerous: no document type, no entities but the five, a limited size, depth and number of elements. */
import { SaxesParser } from 'saxes';

export interface XmlLimits {
  /** Default 16 MiB. */
  readonly sizeBytes?: number;
  /** Elements within elements. Default 64. */
  readonly depth?: number;
  /** Default 250 000. */
  readonly elements?: number;
}

/** What is met on the way through a document, in its order. Names are without their namespace's prefix, attributes with it. */
export interface XmlHandler {
  open?(name: string, attributes: Readonly<Record<string, string>>): void;
  /** In as many pieces as it comes; CDATA included. */
  text?(text: string): void;
  close?(name: string): void;
}

export interface XmlElement {
  /** Without its namespace's prefix. */
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  /** Its own text, trimmed; that of its children is theirs. */
  readonly text: string;
}

const defaults = { sizeBytes: 16 * 1024 * 1024, depth: 64, elements: 250_000 } as const satisfies XmlLimits;

/** What the bytes are written in: a byte order mark, else what the declaration says, else UTF-8 (XML 1.0, appendix F). */
function encodingOf(bytes: Uint8Array): string {
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  const start = Buffer.from(bytes.subarray(0, 256)).toString('latin1');
  const declared = /^(?:\xef\xbb\xbf)?<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:-]+)["']/.exec(start)?.[1];
  return declared ?? 'utf-8';
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}

/** Throws an Error on anything that is not well-formed, has a document type, or is beyond a limit. */
export function walkXml(bytes: Uint8Array, handler: XmlHandler, limits: XmlLimits = {}): void {
  const { sizeBytes, depth, elements } = { ...defaults, ...limits };
  if (bytes.byteLength > sizeBytes) throw new Error(`the XML is longer than ${sizeBytes} bytes`);
  const text = new TextDecoder(encodingOf(bytes), { fatal: true }).decode(bytes);
  const parser = new SaxesParser({ xmlns: false, position: false });
  let level = 0;
  let count = 0;
  parser.on('doctype', () => {
    throw new Error('the XML has a document type');
  });
  parser.on('opentag', ({ name, attributes }) => {
    if (++level > depth) throw new Error(`the XML is nested deeper than ${depth} elements`);
    if (++count > elements) throw new Error(`the XML has more than ${elements} elements`);
    handler.open?.(localName(name), attributes);
  });
  parser.on('text', (piece) => handler.text?.(piece));
  parser.on('cdata', (piece) => handler.text?.(piece));
  parser.on('closetag', ({ name }) => {
    level--;
    handler.close?.(localName(name));
  });
  parser.write(text).close();
}

interface Open {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: XmlElement[];
  text: string;
}

/** The whole document as a tree: its root element. Throws as `walkXml` does. */
export function readXml(bytes: Uint8Array, limits: XmlLimits = {}): XmlElement {
  const top: Open = { name: '', attributes: {}, children: [], text: '' };
  const stack: Open[] = [top];
  const last = (): Open => stack.at(-1) ?? top;
  walkXml(
    bytes,
    {
      open: (name, attributes) => stack.push({ name, attributes, children: [], text: '' }),
      text: (piece) => {
        last().text += piece;
      },
      close: () => {
        const element = stack.pop() ?? top;
        last().children.push({ ...element, text: element.text.trim() });
      },
    },
    limits,
  );
  const [root] = top.children;
  if (!root) throw new Error('the XML has no element');
  return root;
}

/** The first child of that name. */
export function childOf(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((child) => child.name === name);
}

/** The text of the first child of that name; `undefined` when there is none or nothing in it. */
export function textAt(element: XmlElement | undefined, name: string): string | undefined {
  return childOf(element, name)?.text || undefined;
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

/** For text and for attribute values in either kind of quotes. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => escapes[char] ?? char);
}

/** What `writeXml` writes: an element with text, or with further elements. */
export interface XmlNode {
  readonly name: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly content: string | readonly XmlNode[];
}

function writeNode({ name, attributes = {}, content }: XmlNode, indent: string): string {
  const tag = [name, ...Object.entries(attributes).map(([key, value]) => `${key}="${escapeXml(value)}"`)].join(' ');
  if (content.length === 0) return `${indent}<${tag}/>\n`;
  if (typeof content === 'string') return `${indent}<${tag}>${escapeXml(content)}</${name}>\n`;
  return `${indent}<${tag}>\n${content.map((child) => writeNode(child, `${indent}  `)).join('')}${indent}</${name}>\n`;
}

/** A document in UTF-8, indented by two blanks. The same nodes, the same bytes. */
export function writeXml(root: XmlNode): Uint8Array {
  return Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${writeNode(root, '')}`);
}

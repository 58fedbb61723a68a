/** The bytes of one file, read as text, JSON, YAML or TOML when the reader of a kind asks for it, each within its limits. */
import { parseSyml } from '@yarnpkg/parsers';
import { type ParseError, parse as parseJsonc } from 'jsonc-parser';
import { parse as parseToml } from 'smol-toml';
import { isObject, type Json, parseJsonValue } from '../codecs/json.ts';
import { LockfileError, limits } from './lockfile.ts';

/** A file, before it is known what it is. */
export interface Contents {
  /** With the folders in front that it was given with; separated by slashes. */
  readonly path: string;
  /** Of `path`, the last part. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** pip's hashes stand on a line each. */
const mostLines = 10 * limits.entries;

const texts = new WeakMap<Contents, string>();
const objects = new WeakMap<Contents, Json>();
const unreadable = new WeakSet<Contents>();

/** UTF-8, or UTF-16 with a byte order mark, which PowerShell writes into files that output is sent to. */
function encodingOf(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  return 'utf-8';
}

/** The whole text, without a byte order mark. Throws on what is no text. */
export function textOf(contents: Contents): string {
  const known = texts.get(contents);
  if (known !== undefined) return known;
  let text: string;
  try {
    text = new TextDecoder(encodingOf(contents.bytes), { fatal: true }).decode(contents.bytes);
  } catch {
    throw new LockfileError('it is no text: neither UTF-8 nor UTF-16');
  }
  if (text.includes('\0')) throw new LockfileError('it is no text: it has zero bytes');
  if (/^<{7} /m.test(text) && /^>{7} /m.test(text)) {
    throw new LockfileError(
      'it has the marks of a merge conflict; resolve it, and let the package manager write it again',
    );
  }
  texts.set(contents, text);
  return text;
}

/** Numbered from 1, without their ends. Only a file that is none of these has more of them than it may have entries, and some. */
export function linesOf(contents: Contents): readonly { readonly number: number; readonly text: string }[] {
  const lines = textOf(contents).split(/\r\n|\n|\r/, mostLines + 1);
  if (lines.length > mostLines) throw new LockfileError(`it has more than ${mostLines} lines`);
  return lines.map((text, index) => ({ number: index + 1, text }));
}

/** Throws when objects and lists lie in each other deeper than the limit. Itself not recursive; a value that is met again is not walked again. */
function checkDepth(value: unknown): void {
  let level: unknown[] = [value];
  const seen = new Set<unknown>();
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limits.depth) throw new LockfileError(`it is nested deeper than ${limits.depth} levels`);
    const below: unknown[] = [];
    for (const one of level) {
      if (typeof one !== 'object' || one === null || seen.has(one)) continue;
      seen.add(one);
      for (const child of Array.isArray(one) ? one : Object.values(one)) {
        if (typeof child === 'object' && child !== null) below.push(child);
      }
    }
    level = below;
  }
}

/** The same without reading it: a text of brackets alone takes the reader many seconds. */
function checkBrackets(json: string): void {
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    const char = json.charCodeAt(i);
    if (char === 0x22) {
      for (i++; i < json.length && json.charCodeAt(i) !== 0x22; i++) if (json.charCodeAt(i) === 0x5c) i++;
    } else if (char === 0x7b || char === 0x5b) {
      if (++depth > limits.depth) throw new LockfileError(`it is nested deeper than ${limits.depth} levels`);
    } else if (char === 0x7d || char === 0x5d) depth--;
  }
}

function asObject(value: unknown): Json {
  if (!isObject(value)) throw new LockfileError('it holds no object with named fields');
  return value;
}

/** Throws unless it is one JSON object. */
export function jsonOf(contents: Contents): Json {
  const known = objects.get(contents);
  if (known) return known;
  const text = textOf(contents);
  checkBrackets(text);
  const json = asObject(parseJsonValue(text));
  objects.set(contents, json);
  return json;
}

/** The object that it is, when it is JSON. Only of text that begins like an object is more than the first characters read, and once. */
export function jsonIfAny(contents: Contents): Json | undefined {
  if (unreadable.has(contents) || !/^\s*\{/.test(textOf(contents).slice(0, 1000))) return undefined;
  try {
    return jsonOf(contents);
  } catch {
    unreadable.add(contents);
    return undefined;
  }
}

/** With comments and commas behind the last of a list, as Bun writes it. */
export function looseJsonOf(contents: Contents): Json {
  const errors: ParseError[] = [];
  const value: unknown = parseJsonc(textOf(contents), errors, { allowTrailingComma: true });
  if (errors.length > 0) throw new LockfileError('it is not JSON, or was cut');
  checkDepth(value);
  return asObject(value);
}

/** The time of parsers that try again from the start of a line grows with the square of its length; nobody writes lines like that. */
const longestLine = 64 * 1024;

/** The text, when no line of it is longer than that. */
export function shortLinesOf(contents: Contents): string {
  const text = textOf(contents);
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start);
    const next = end === -1 ? text.length : end + 1;
    if (next - start > longestLine) throw new LockfileError(`a line of it is longer than ${longestLine} characters`);
    start = next;
  }
  return text;
}

/** TOML 1.0. */
export function tomlOf(contents: Contents): Json {
  const toml = parseToml(shortLinesOf(contents), { maxDepth: limits.depth });
  checkDepth(toml);
  return asObject(toml);
}

/** Of YAML 1.2 without its schemas: scalars are text. Tags are refused; an alias is the same object as what it stands for. */
export function parseYaml(text: string): unknown {
  // The parser has another grammar for text that begins with a comment of Yarn 1.
  let value: unknown;
  try {
    value = parseSyml(`\n${text}`);
  } catch (cause) {
    // Behind its first words the message shows lines of the file.
    const [reason] = (cause instanceof Error ? cause.message : '').split(/ \(\d|\n/, 1);
    throw new LockfileError(`it is no YAML that is read here: ${reason}`, { cause });
  }
  checkDepth(value);
  return value;
}

/**
 * Every document of the file that is not empty. Nothing but the marks between documents can stand at the start of such a line
 * (YAML 1.2, 9.1.2 and 9.1.3).
 */
export function yamlDocumentsOf(contents: Contents): readonly unknown[] {
  return textOf(contents)
    .replace(/^\ufeff/, '')
    .split(/^(?:---(?=[ \t\r\n])|---$|\.\.\.[ \t]*\r?$)/m, limits.entries)
    .map((text) => text.replace(/^%.*$/gm, ''))
    .filter((text) => /^[ \t]*[^#\s]/m.test(text))
    .map(parseYaml);
}

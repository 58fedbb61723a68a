/** The bytes of one file, read as text, JSON, YAML or TOML when the reader of a kind asks for it, each within its limits. */
import { type ParseError, parse as parseJsonc } from 'jsonc-parser';
import { parse as parseToml } from 'smol-toml';
import { parseAllDocuments } from 'yaml';
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
const values = new WeakMap<Contents, unknown>();

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

function once(contents: Contents, parse: () => unknown): unknown {
  if (!values.has(contents)) {
    const value = parse();
    checkDepth(value);
    values.set(contents, value);
  }
  return values.get(contents);
}

function asObject(value: unknown): Json {
  if (!isObject(value)) throw new LockfileError('it holds no object with named fields');
  return value;
}

/** Throws unless it is one JSON object. */
export function jsonOf(contents: Contents): Json {
  return asObject(once(contents, () => parseJsonValue(textOf(contents))));
}

/** Whether it is one JSON object. Only of text that begins like one more than the first character is read. */
export function jsonIfAny(contents: Contents): Json | undefined {
  if (!/^\s*\{/.test(textOf(contents).slice(0, 1000))) return undefined;
  try {
    return jsonOf(contents);
  } catch {
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

/** TOML 1.0. */
export function tomlOf(contents: Contents): Json {
  return asObject(once(contents, () => parseToml(textOf(contents), { maxDepth: limits.depth })));
}

/** Manifests of people: anchors may be used, within reason, and tags of other programs are passed over. Lockfiles have neither. */
export interface YamlRules {
  readonly anchors: boolean;
}

/** Every document of the file that is not empty. */
export function yamlDocumentsOf(contents: Contents, { anchors }: YamlRules): readonly unknown[] {
  const text = textOf(contents);
  const documents = parseAllDocuments(text, {
    merge: anchors,
    logLevel: 'error',
    prettyErrors: false,
    uniqueKeys: false,
  });
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const [wrong] = anchors ? document.errors : [...document.errors, ...document.warnings];
    if (wrong) throw new LockfileError(`it is no YAML that is read here: ${wrong.message}`);
    const value: unknown = document.toJS({ maxAliasCount: anchors ? 100 : 0 });
    checkDepth(value);
    return value === null ? [] : [value];
  });
}

/** JSON in and out, as NuGet's resources speak it. */
import { isObject, type Json, parseJson, parseJsonValue } from '../../codecs/json.ts';
import type { Body } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';

export { isObject, type Json };

/** Without the byte order mark that .NET likes to write. */
export function withoutMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/** Throws on what is no JSON. */
export function parseAny(bytes: Uint8Array): unknown {
  return parseJsonValue(withoutMark(bytes));
}

/** Throws unless the bytes are one JSON object. */
export function parseObject(bytes: Uint8Array): Json {
  return parseJson(withoutMark(bytes));
}

/** The objects of a list; throws when it is none, or holds anything else. */
export function objectsOf(value: unknown, what: string): readonly Json[] {
  if (!Array.isArray(value) || !value.every(isObject)) throw new Error(`its ${what} are no list of objects`);
  return value;
}

/** The text of a field; `undefined` for anything else. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** What came in as JSON goes out as JSON, unless it is nested more deeply than the stack: nobody but an attacker writes that. */
function stringify(json: unknown): string {
  try {
    return JSON.stringify(json);
  } catch (error) {
    throw new Problem('upstream_invalid', 'Upstream sent a document that is nested too deeply.', { cause: error });
  }
}

export function jsonBody(json: unknown): Body {
  return { headers: { 'content-type': 'application/json' }, bytes: Buffer.from(stringify(json)) };
}

/**
 * Several answers of upstream's as one document, by name, without looking into them: what is no JSON makes the whole no
 * JSON, and then it is refused when it is read.
 */
export function framed(parts: Readonly<Record<string, Uint8Array | readonly Uint8Array[]>>): Uint8Array {
  const pieces: Uint8Array[] = [];
  let before = '{';
  for (const [name, part] of Object.entries(parts)) {
    pieces.push(Buffer.from(`${before}"${name}":`));
    before = ',';
    if (part instanceof Uint8Array) {
      pieces.push(withoutMark(part));
      continue;
    }
    part.forEach((one, index) => {
      pieces.push(Buffer.from(index === 0 ? '[' : ','), withoutMark(one));
    });
    pieces.push(Buffer.from(part.length === 0 ? '[]' : ']'));
  }
  return Buffer.concat([...pieces, Buffer.from('}')]);
}

/** JSON in and out. */
import type { Body } from '../../core/format.ts';

export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** Throws unless the text is one JSON object. What it is instead is not repeated: it may be anything. */
export function parseJson(text: string): Json {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error('the document is not JSON, or was cut');
  }
  if (!isObject(json)) throw new Error('the document is not a JSON object');
  return json;
}

export function jsonBody(value: unknown, contentType = 'application/json'): Body {
  return { headers: { 'content-type': contentType }, bytes: Buffer.from(JSON.stringify(value)) };
}

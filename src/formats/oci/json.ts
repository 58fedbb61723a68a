/** JSON in and out, as registries speak it. */
import type { Body } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';

export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Throws unless the bytes are one JSON object. What they are instead is not repeated: it may be anything. */
export function parseJson(bytes: Uint8Array): Json {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    throw new Error('it is not JSON, or was cut');
  }
  if (!isObject(json)) throw new Error('it is no JSON object');
  return json;
}

/** What came in as JSON goes out as JSON, unless it is nested more deeply than the stack: nobody but an attacker writes that. */
export function jsonBytes(json: unknown): Buffer {
  try {
    return Buffer.from(JSON.stringify(json));
  } catch (error) {
    throw new Problem('upstream_invalid', 'Upstream sent a document that is nested too deeply.', { cause: error });
  }
}

export function jsonBody(json: unknown, headers: Readonly<Record<string, string>> = {}): Body {
  return { headers: { 'content-type': 'application/json', ...headers }, bytes: jsonBytes(json) };
}

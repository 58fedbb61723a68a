/** JSON in and out. */
import type { Body } from '../../core/format.ts';

export { isObject, type Json, parseJson } from '../../codecs/json.ts';

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

export function jsonBody(value: unknown, contentType = 'application/json'): Body {
  return { headers: { 'content-type': contentType }, bytes: Buffer.from(JSON.stringify(value)) };
}

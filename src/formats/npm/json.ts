/** JSON in and out, as registries speak it. */
import type { Body } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';

export { isObject, type Json, parseJson, parseJsonValue } from '../../codecs/json.ts';

/** What came in as JSON goes out as JSON, unless it is nested more deeply than the stack: nobody but an attacker writes that. */
function stringify(json: unknown): string {
  try {
    return JSON.stringify(json);
  } catch (error) {
    throw new Problem('upstream_invalid', 'Upstream sent a document that is nested too deeply.', { cause: error });
  }
}

export function jsonBody(json: unknown, headers: Readonly<Record<string, string>> = {}): Body {
  return { headers: { 'content-type': 'application/json', ...headers }, bytes: Buffer.from(stringify(json)) };
}

export function isJson(contentType: string): boolean {
  return /\bjson\b/i.test(contentType);
}

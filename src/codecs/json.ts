/** JSON objects out of what may be anything. */

export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Any JSON value. Throws on what is none; what it is instead is not repeated: it may be anything. */
export function parseJsonValue(from: Uint8Array | string): unknown {
  try {
    return JSON.parse(
      typeof from === 'string' ? from : Buffer.from(from.buffer, from.byteOffset, from.byteLength).toString(),
    );
  } catch {
    throw new Error('the document is not JSON, or was cut');
  }
}

/** Throws unless it is one JSON object. */
export function parseJson(from: Uint8Array | string): Json {
  const json = parseJsonValue(from);
  if (!isObject(json)) throw new Error('the document is no JSON object');
  return json;
}

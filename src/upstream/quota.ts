/** How much of its rate limit an upstream says is left (`RateLimit-Limit: 100;w=21600`, as Docker Hub sends it). */

export interface Quota {
  readonly limit?: number;
  readonly remaining?: number;
}

/** `undefined` when upstream says nothing about it. */
export function quotaOf(headers: Readonly<Record<string, string | undefined>>): Quota | undefined {
  const limit = leadingNumber(headers['ratelimit-limit']);
  const remaining = leadingNumber(headers['ratelimit-remaining']);
  if (limit === undefined && remaining === undefined) return undefined;
  return { ...(limit === undefined ? {} : { limit }), ...(remaining === undefined ? {} : { remaining }) };
}

function leadingNumber(header: string | undefined): number | undefined {
  const digits = /^\s*(\d{1,15})/.exec(header ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}

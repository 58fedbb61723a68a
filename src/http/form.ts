/** Bodies of forms, and small ones in JSON: of sign-in and of token services. */
import type { Context } from 'koa';
import { Problem } from '../core/problem.ts';
import { readBody } from './body.ts';

const limits = { limitBytes: 64 * 1024, idleMs: 15_000, totalMs: 30_000 };

/** Fields of a form. Throws `bad_request` on anything else. */
export async function readForm(ctx: Context): Promise<URLSearchParams> {
  const bytes = await readBody(ctx.req, ctx.res, limits);
  if (bytes.byteLength > 0 && !ctx.is('urlencoded')) {
    throw new Problem('unsupported_media_type', 'The body has to be a form (application/x-www-form-urlencoded).');
  }
  return new URLSearchParams(Buffer.from(bytes).toString('utf8'));
}

/** An object in JSON, whatever it says that it is: some clients say nothing. */
export async function readJsonObject(ctx: Context): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await readBody(ctx.req, ctx.res, limits);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new Problem('bad_request', 'The body is no JSON.', { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Problem('bad_request', 'The body is no JSON object.');
  }
  return value as Readonly<Record<string, unknown>>;
}

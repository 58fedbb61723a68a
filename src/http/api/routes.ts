/** The administration API as routes: who asks, whether they may, whether what they sent is right, and the answer as JSON. */
import Router from '@koa/router';
import type { Context } from 'koa';
import type { z } from 'zod';
import type { Identity } from '../../core/identity.ts';
import { Problem } from '../../core/problem.ts';
import { identityIn } from '../../pipeline/identity.ts';
import { readBody } from '../body.ts';
import { openApi } from './openapi.ts';
import { operations } from './operations.ts';
import type { ApiContext, Operation } from './route.ts';

export interface ApiOptions {
  readonly context: ApiContext;
  readonly version: string;
  /** Public URL of the server that the request reached, no trailing slash. */
  readonly originOf: (ctx: Context) => string;
  readonly idOf: (ctx: Context) => string;
  /** Address of the client. */
  readonly remoteOf: (ctx: Context) => string;
}

const bodyBytes = 256 * 1024;

export function apiRoutes(options: ApiOptions): Router {
  const router = new Router({ prefix: '/api/v1' });
  router.get('/openapi.json', (ctx) => {
    ctx.set('cache-control', 'no-cache');
    ctx.body = openApi(operations, { version: options.version, origin: options.originOf(ctx) });
  });
  for (const operation of operations) {
    router[operation.method](operation.path.replaceAll(/\{(\w+)\}/g, ':$1'), (ctx: Context) =>
      answer(options, operation, ctx),
    );
  }
  return router;
}

async function answer({ context, idOf, remoteOf }: ApiOptions, operation: Operation, ctx: Context): Promise<void> {
  const { org } = ctx.params as { org?: string };
  if (org !== undefined && context.access.orgs.includes(org)) await context.access.ready(org);
  const { authorization } = ctx.headers;
  const identity = await identityIn(context.access, org ?? '', { authorization }, [], remoteOf(ctx));
  if (identity.rejected !== undefined) throw unauthorized(identity.rejected);
  const params = checked(operation.params, ctx.params, 'address');
  const query = checked(operation.query, Object.fromEntries(new URLSearchParams(ctx.querystring)), 'query');
  allow(context, operation, identity, org);
  const body = operation.body ? checked(operation.body, await json(ctx), 'body') : undefined;
  const result = await operation.run({ context, identity, requestId: idOf(ctx), params, query, body } as never);
  ctx.set('cache-control', 'no-store');
  ctx.set('vary', 'authorization');
  ctx.status = operation.status;
  if (operation.answer) ctx.body = result;
}

function allow({ access }: ApiContext, { needs }: Operation, identity: Identity, org = ''): void {
  if (needs === 'nothing') return;
  if (identity.kind === 'anonymous') {
    throw unauthorized(`This needs credentials: send a token of ${org} as Authorization: Bearer.`);
  }
  const isOwn = identity.org === org && access.orgs.includes(org);
  if (!isOwn) throw new Problem('not_found', `There is no organisation ${org} here.`);
  if (needs === 'admin' && !access.mayAdminister(org, identity)) {
    throw new Problem(
      'forbidden',
      `This needs the right admin in all of ${org}, and ${identity.name} has it not${identity.token ? ', at least not with this token' : ''}.`,
    );
  }
}

const unauthorized = (message: string): Problem =>
  new Problem('unauthorized', message, {
    headers: { 'www-authenticate': 'Bearer realm="Larder", Basic realm="Larder"' },
  });

function checked(schema: z.ZodType | undefined, value: unknown, where: string): unknown {
  if (!schema) return {};
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const first = result.error.issues[0];
  const at = first && first.path.length > 0 ? `${first.path.join('.')}: ` : '';
  throw new Problem(
    'bad_request',
    `The ${where} is not right: ${at}${first?.message ?? 'it is of another shape'}. /api/v1/openapi.json says what it has to be.`,
  );
}

async function json(ctx: Context): Promise<unknown> {
  if (!ctx.is('json'))
    throw new Problem('unsupported_media_type', 'The body has to be JSON, with content-type application/json.');
  const bytes = await readBody(ctx.req, ctx.res, { limitBytes: bodyBytes, idleMs: 30_000, totalMs: 60_000 });
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new Problem('bad_request', 'The body is no JSON.', { cause: error });
  }
}

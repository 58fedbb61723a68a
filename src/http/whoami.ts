/** Who somebody is, as far as their credentials say. */
import Router from '@koa/router';
import type { Context } from 'koa';
import type { AccessControl } from '../access/access.ts';
import { Problem } from '../core/problem.ts';
import { identityIn } from '../pipeline/identity.ts';

export interface WhoamiOptions {
  readonly access: AccessControl;
  /** Address of the client. */
  readonly remoteOf: (ctx: Context) => string;
}

/** Where clients put credentials that have places of their own for them. */
const places = ['basic', 'bearer', 'raw', 'header:x-nuget-apikey'];

export function whoamiRoutes({ access, remoteOf }: WhoamiOptions): Router {
  const router = new Router();
  router.get('/api/v1/whoami', async (ctx: Context) => {
    const headers = { authorization: ctx.get('authorization'), 'x-nuget-apikey': ctx.get('x-nuget-apikey') };
    const identity = await identityIn(access, '', headers, places, remoteOf(ctx));
    if (identity.rejected !== undefined) {
      throw new Problem('unauthorized', identity.rejected, {
        headers: { 'www-authenticate': 'Bearer realm="Larder", Basic realm="Larder"' },
      });
    }
    ctx.set('cache-control', 'no-store');
    ctx.set('vary', 'authorization, x-nuget-apikey');
    ctx.body = await access.describe(identity);
  });
  return router;
}

/**
 * Where registry clients get what they have to show: they show nothing before they were challenged, and then insist on a
 * token. Until there are credentials to check, everybody gets the pass of an anonymous reader; what is sent instead of
 * nothing is somebody else's password (Docker shows mirrors the user's login of Docker Hub, moby#30880): neither kept nor looked at.
 */
import Router from '@koa/router';
import type { Context } from 'koa';
import { anonymousPass } from '../access/identify.ts';
import { readBody } from './body.ts';

/** It never expires; clients ask for another one now and then. */
const expiresInSeconds = 3600;
const longestFormBytes = 64 * 1024;

export function tokenRoutes(now: () => number): Router {
  const router = new Router();
  const answer = async (ctx: Context): Promise<void> => {
    if (ctx.method === 'POST') await readBody(ctx.req, ctx.res, { limitBytes: longestFormBytes, idleMs: 10_000 });
    ctx.set('cache-control', 'no-store');
    ctx.body = {
      token: anonymousPass,
      access_token: anonymousPass,
      expires_in: expiresInSeconds,
      issued_at: new Date(now()).toISOString(),
    };
  };
  router.get('/token', answer);
  router.post('/token', answer);
  return router;
}

/** The control plane: whether the process lives, whether it can work, and what it counts. */
import type { IncomingMessage } from 'node:http';
import Router from '@koa/router';
import type { Context } from 'koa';
import { createReaders } from './metrics-readers.ts';

export interface StatusOptions {
  /** Why storage or index is unusable now, and what is worth knowing although all works. */
  readonly readiness: () => { readonly ready: boolean; readonly reason?: string; readonly caching: boolean };
  /** Prometheus text; absent: metrics are switched off. */
  readonly metrics?: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** Address blocks from which they may be read. */
  readonly metricsFrom: () => readonly string[];
}

export function statusRoutes(
  { readiness, metrics, metricsFrom }: StatusOptions,
  remoteOf: (req: IncomingMessage) => string,
): Router {
  const router = new Router();
  const refuseOthers = createReaders({ from: metricsFrom, remoteOf });
  router.get('/healthz', (ctx) => {
    ctx.set('cache-control', 'no-store');
    ctx.body = { status: 'ok' };
  });
  router.get('/readyz', (ctx) => {
    const { ready, reason, caching } = readiness();
    ctx.set('cache-control', 'no-store');
    ctx.status = ready ? 200 : 503;
    ctx.body = { status: ready ? 'ready' : 'unusable', caching, ...(reason === undefined ? {} : { reason }) };
  });
  if (metrics) {
    router.get('/metrics', async (ctx: Context) => {
      refuseOthers(ctx.req);
      const { contentType, text } = await metrics();
      ctx.set('cache-control', 'no-store');
      ctx.set('content-type', contentType);
      ctx.body = text;
    });
  }
  router.get('/', (ctx) => {
    ctx.type = 'text/plain';
    ctx.body = 'Larder: point a package client at /{organisation}/{repository}/, for example /public/npm/.\n';
  });
  return router;
}

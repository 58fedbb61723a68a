/**
 * CI without secrets: the ID token of a job against a short-lived token of ours. At an address of our own, and where the
 * trusted publishing of the public registries has it, so that their clients need to know nothing of Larder.
 */
import Router from '@koa/router';
import type { Context } from 'koa';
import type { AccessControl } from '../access/access.ts';
import { forPublishing } from '../access/credentials.ts';
import { Problem } from '../core/problem.ts';
import { readJsonObject } from './form.ts';

export interface ExchangeOptions {
  readonly access: AccessControl;
  /** Public URL that the request reached, no trailing slash. */
  readonly originOf: (ctx: Context) => string;
}

const publisher = '/api/v1/oidc/trusted_publisher/exchange_token';

/** Whether it is asked for below a repository's address, whose business it is not. */
export const isExchange = (method: string, path: string): boolean => method === 'POST' && path.endsWith(publisher);

export function exchangeRoutes({ access, originOf }: ExchangeOptions): Router {
  const router = new Router();

  const needed = (): void => {
    if (!access.exchanges) throw new Problem('not_found', 'No issuer of ID tokens is configured here.');
  };

  router.post('/api/v1/oidc/exchange', async (ctx) => {
    needed();
    const { token } = await readJsonObject(ctx);
    const given = await access.exchange(text(token, 'token'), originOf(ctx));
    ctx.set('cache-control', 'no-store');
    ctx.body = {
      token: given.token,
      expiresInSeconds: given.expiresInSeconds,
      issuedAt: given.issuedAt,
      identity: await access.describe(given.identity),
    };
  });

  // npm 11.5 and pnpm: before a publish, with the package's name escaped as in every other address.
  const packages = '/-/npm/v1/oidc/token/exchange/package';
  router.post([`${packages}/:name`, `${packages}/:scope/:name`], async (ctx: Context) => {
    needed();
    const { scope, name: last } = ctx.params as { readonly scope?: string; readonly name: string };
    const name = packageName(scope === undefined ? last : `${scope}/${last}`);
    const [, idToken = ''] = /^bearer +(\S+)$/i.exec(ctx.get('authorization').trim()) ?? [];
    ctx.set('cache-control', 'no-store');
    try {
      const given = await access.exchange(text(idToken, 'ID token'), originOf(ctx), {
        ...forPublishing,
        names: [name],
      });
      ctx.status = 201;
      ctx.body = { token: given.token, token_type: 'oidc', created: given.issuedAt, expires: expiryOf(given) };
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw error;
      // What npm writes into its log with --loglevel=verbose; otherwise it goes on as if nobody had been asked.
      ctx.status = error.status;
      ctx.body = { message: error.message };
    }
  });

  // twine, uv, gh-action-pypi-publish.
  router.get('/_/oidc/audience', (ctx) => {
    needed();
    const { hostname } = new URL(originOf(ctx));
    ctx.set('cache-control', 'no-store');
    ctx.body = { audience: hostname };
  });
  router.post('/_/oidc/mint-token', async (ctx) => {
    needed();
    ctx.set('cache-control', 'no-store');
    try {
      const { token } = await readJsonObject(ctx);
      const given = await access.exchange(text(token, 'token'), originOf(ctx), forPublishing);
      ctx.body = { success: true, token: given.token, expires: Math.floor(Date.parse(expiryOf(given)) / 1000) };
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500) throw error;
      // As PyPI says it: the clients print code and description of each error.
      ctx.status = error.status === 401 || error.status === 403 ? 422 : error.status;
      ctx.body = {
        message: 'Token request failed',
        errors: [
          { code: error.code === 'forbidden' ? 'invalid-publisher' : 'invalid-token', description: error.message },
        ],
      };
    }
  });

  // configure-rubygems-credentials, and Bundler's release task. What they take for the server is where gems are pushed to: a repository.
  router.post([publisher, `/:org/:repository${publisher}`], async (ctx: Context) => {
    needed();
    const { jwt } = await readJsonObject(ctx);
    const given = await access.exchange(text(jwt, 'jwt'), originOf(ctx), forPublishing);
    ctx.set('cache-control', 'no-store');
    ctx.status = 201;
    ctx.body = {
      rubygems_api_key: given.token,
      name: given.identity.name,
      scopes: ['push_rubygem'],
      expires_at: expiryOf(given),
    };
  });
  return router;
}

function text(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new Problem('bad_request', `The request has no ${what}.`);
}

/** A name is a name here, never a pattern. */
function packageName(name: string): string {
  if (name.length > 300 || !/^(?:@[^/@*\s]+\/)?[^/@*\s]+$/.test(name)) {
    throw new Problem('bad_request', 'The address names no package.');
  }
  return name;
}

const expiryOf = ({ issuedAt, expiresInSeconds }: { issuedAt: string; expiresInSeconds: number }): string =>
  new Date(Date.parse(issuedAt) + expiresInSeconds * 1000).toISOString();

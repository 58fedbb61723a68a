/** What is refused before anything is spent on a request. */
import type { Context } from 'koa';
import { Problem } from '../core/problem.ts';
import { single } from './facts.ts';

export interface ExcessOptions {
  readonly limits: { readonly urlBytes: number };
  /** Our own name in `Via`. */
  readonly via: string;
}

/** Said before anything is spent on the request. */
export function refuseExcess(ctx: Context, { limits, via }: ExcessOptions): void {
  if ((ctx.req.url ?? '').length > limits.urlBytes) {
    throw new Problem('uri_too_long', `The address is longer than the ${limits.urlBytes} bytes allowed here.`);
  }
  if (!(ctx.req.url ?? '').startsWith('/')) {
    throw new Problem(
      'bad_request',
      'Larder is not a forward proxy: set it as the registry of your client, not as its HTTP proxy.',
    );
  }
  const hosts = ctx.req.rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host');
  if (hosts.length > 1) {
    throw new Problem('bad_request', 'The request has more than one Host header (RFC 9112, 3.2).', {
      headers: { connection: 'close' },
    });
  }
  if (single(ctx.req.headers.via)?.includes(via)) {
    throw new Problem(
      'loop',
      'This request has come in a loop: an upstream of this server points back to it. Correct the address of that upstream in the configuration.',
    );
  }
}

/** 404, outside of repositories. */
export const noSuchAddress = (path: string): Problem =>
  new Problem(
    'not_found',
    `There is nothing at ${path.slice(0, 200)}. Repositories are at /{organisation}/{repository}/.`,
  );

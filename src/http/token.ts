/**
 * Where registry clients get what they have to show (the token service of the distribution specification): for credentials of
 * ours a short-lived token, for none the pass of an anonymous reader. Credentials of somebody else's count as none: Docker
 * shows mirrors the user's login of Docker Hub (moby#30880). Rights are not decided here, and not by scopes: clients of mirrors
 * ask for names that they do not use then. What is asked of the repository itself decides.
 */
import Router from '@koa/router';
import type { Context } from 'koa';
import type { AccessControl, SealedToken } from '../access/access.ts';
import type { Shown } from '../core/access.ts';
import { publish } from '../core/events.ts';
import type { Identity } from '../core/identity.ts';
import { identityIn } from '../pipeline/identity.ts';
import { readForm } from './form.ts';

export interface TokenOptions {
  readonly access: AccessControl;
  /** Address of the client. */
  readonly remoteOf: (ctx: Context) => string;
}

export function tokenRoutes({ access, remoteOf }: TokenOptions): Router {
  const router = new Router();

  const shownIn = (ctx: Context, org: string): Promise<Identity> =>
    identityIn(access, org, { authorization: ctx.get('authorization') }, [], remoteOf(ctx));

  const answer = async (ctx: Context, identity: Identity, scope?: string): Promise<void> => {
    ctx.set('cache-control', 'no-store');
    if (identity.rejected !== undefined) {
      publish('sign-in', { how: 'registry', outcome: 'refused' });
      ctx.status = 401;
      ctx.set('www-authenticate', 'Basic realm="Larder"');
      // As registries give errors: docker, containerd and podman print the message.
      ctx.body = { errors: [{ code: 'UNAUTHORIZED', message: identity.rejected, detail: null }] };
      return;
    }
    const { token, expiresInSeconds, issuedAt } = await access.seal(identity);
    if (identity.kind !== 'anonymous') publish('sign-in', { how: 'registry', outcome: 'done' });
    ctx.body = registryToken({ token, expiresInSeconds, issuedAt }, scope);
  };

  router.get('/token', async (ctx: Context) => {
    const scopes = [ctx.query.scope ?? []].flat();
    await answer(ctx, await shownIn(ctx, orgOf(access, scopes)));
  });

  router.post('/token', async (ctx: Context) => {
    const form = await readForm(ctx);
    const scope = form.get('scope') ?? '';
    const org = orgOf(access, scope.split(' '));
    const shown = shownBy(form);
    const identity = shown ? await access.identify(org, { ...shown, from: remoteOf(ctx) }) : await shownIn(ctx, org);
    await answer(ctx, identity, scope);
  });
  return router;
}

/** Both names of the same thing: clients read one or the other. */
function registryToken({ token, expiresInSeconds, issuedAt }: SealedToken, scope: string | undefined) {
  return {
    token,
    access_token: token,
    expires_in: expiresInSeconds,
    issued_at: issuedAt,
    ...(scope === undefined ? {} : { scope }),
  };
}

/** A refresh token is the token itself: clients that keep one show it here again. */
function shownBy(form: URLSearchParams): Shown | undefined {
  switch (form.get('grant_type')) {
    case 'password':
      return { kind: 'basic', user: form.get('username') ?? '', secret: form.get('password') ?? '' };
    case 'refresh_token':
      return { kind: 'bearer', user: '', secret: form.get('refresh_token') ?? '' };
    default:
      return undefined;
  }
}

/** `repository:acme/hub/app:pull`: the organisation whose users can be meant. '' where the scope names none; tokens say theirs themselves. */
function orgOf({ orgs }: AccessControl, scopes: readonly string[]): string {
  for (const scope of scopes) {
    const [, org] = /^repository(?:\([^)]*\))?:(?:[^/:]+:\d+\/)?([^/:]+)\//.exec(scope) ?? [];
    if (org !== undefined && orgs.includes(org)) return org;
  }
  return '';
}

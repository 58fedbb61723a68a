/**
 * Pages for people: sign in, confirm a login that a package client began, look at one's tokens and end them. Plain forms, no
 * scripts. A form counts only with the key that was put into it for the very cookie that comes along, so no other site can send it.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import Router from '@koa/router';
import type { Context } from 'koa';
import type { AccessControl } from '../access/access.ts';
import type { TokenFacts } from '../core/hosting.ts';
import type { Identity } from '../core/identity.ts';
import { Problem, toProblem } from '../core/problem.ts';
import { readForm } from './form.ts';
import { answerPage, type Html, html } from './html.ts';

export interface LoginOptions {
  readonly access: AccessControl;
  /** Public URL that the request reached, no trailing slash. */
  readonly originOf: (ctx: Context) => string;
  /** Address of the client. */
  readonly remoteOf: (ctx: Context) => string;
}

const sessionCookie = 'larder_session';
/** Of those who are not signed in yet: what their forms belong to. */
const visitorCookie = 'larder_visitor';
/** Between going to the issuer and coming back. */
const signInCookie = 'larder_signin';

/** Code of a login that a client began. */
const codeShape = /^[\w-]{43}$/;

export function loginRoutes({ access, originOf, remoteOf }: LoginOptions): Router {
  const router = new Router();
  const { people } = access;

  const cookie = (ctx: Context, name: string): string | undefined => cookiesOf(ctx).get(name);

  function setCookie(ctx: Context, name: string, value: string, maxAgeSeconds: number): void {
    const { protocol, pathname } = new URL(originOf(ctx));
    const path = `${pathname.replace(/\/$/, '')}/ui`;
    const secure = protocol === 'https:' ? '; Secure' : '';
    // Lax: it comes along when the issuer sends the browser back, and never with a form of another site.
    ctx.append(
      'set-cookie',
      `${name}=${value}; Path=${path}; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Lax${secure}`,
    );
  }

  function go(ctx: Context, path: string): void {
    ctx.status = 303;
    ctx.set('cache-control', 'no-store');
    ctx.set('referrer-policy', 'no-referrer');
    ctx.set('location', path.startsWith('http') ? path : `${originOf(ctx)}${path}`);
    ctx.body = '';
  }

  /** Who is signed in with this browser. */
  async function signedIn(ctx: Context): Promise<{ readonly identity: Identity; readonly key: string } | undefined> {
    const value = cookie(ctx, sessionCookie);
    const identity = value === undefined ? undefined : await people.session(value);
    return value !== undefined && identity ? { identity, key: people.formKey(value) } : undefined;
  }

  /** The form key of somebody who is not signed in. */
  function visitorKey(ctx: Context): string {
    const known = cookie(ctx, visitorCookie);
    if (known !== undefined && codeShape.test(known)) return people.formKey(known);
    const made = randomBytes(32).toString('base64url');
    setCookie(ctx, visitorCookie, made, 3600);
    return people.formKey(made);
  }

  function checkKey(ctx: Context, form: URLSearchParams, name: string): void {
    const value = cookie(ctx, name);
    const expected = Buffer.from(value === undefined ? '' : people.formKey(value));
    const given = Buffer.from(form.get('key') ?? '');
    const site = ctx.get('sec-fetch-site');
    const isOurs = site === '' || site === 'same-origin' || site === 'none';
    if (value === undefined || !isOurs || given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw new Problem(
        'forbidden',
        'This form is too old, or your browser does not keep cookies: load the page again.',
      );
    }
  }

  async function showLogin(ctx: Context, code: string, error?: string, user = ''): Promise<void> {
    const login = code === '' ? undefined : await people.login(code);
    if (code !== '' && login?.state !== 'open') throw overdue();
    answerPage(ctx, {
      title: 'Sign in',
      status: error === undefined ? 200 : 401,
      body: signInForm({
        at: originOf(ctx),
        key: visitorKey(ctx),
        code,
        user: user.slice(0, 100),
        ...(login ? { org: login.org } : {}),
        ...(people.issuer === undefined ? {} : { issuer: people.issuer }),
        ...(error === undefined ? {} : { error }),
      }),
    });
  }

  async function showConfirm(ctx: Context, code: string, identity: Identity, key: string): Promise<void> {
    const login = await people.login(code);
    if (login?.state !== 'open') throw overdue();
    answerPage(ctx, {
      title: 'Confirm the login',
      body: confirmForm({ at: originOf(ctx), key, code, org: login.org, identity }),
    });
  }

  /** Everything that goes wrong is a page, too. */
  const page =
    (answer: (ctx: Context) => Promise<void>) =>
    async (ctx: Context): Promise<void> => {
      try {
        await answer(ctx);
      } catch (error) {
        const problem = toProblem(error);
        if (problem.status >= 500) throw error;
        answerPage(ctx, {
          title: 'That did not work',
          status: problem.status,
          body: html`<h1>That did not work</h1>
<p>${problem.message}</p>
<p><a href="${originOf(ctx)}/ui/account">Your account</a></p>`,
        });
      }
    };

  router.get(
    '/ui/login',
    page(async (ctx) => {
      const code = codeIn(new URLSearchParams(ctx.querystring));
      const who = await signedIn(ctx);
      if (!who) await showLogin(ctx, code);
      else if (code === '') go(ctx, '/ui/account');
      else await showConfirm(ctx, code, who.identity, who.key);
    }),
  );

  router.post(
    '/ui/login',
    page(async (ctx) => {
      const form = await readForm(ctx);
      checkKey(ctx, form, visitorCookie);
      const code = codeIn(form);
      const identity = await people.identify(
        (form.get('user') ?? '').trim().slice(0, 100),
        form.get('password') ?? '',
        remoteOf(ctx),
      );
      if (identity.kind !== 'user' && identity.kind !== 'service') {
        await showLogin(ctx, code, identity.rejected ?? '', form.get('user') ?? '');
        return;
      }
      setCookie(ctx, sessionCookie, await people.openSession(identity), 8 * 3600);
      go(ctx, after(code));
    }),
  );

  router.post(
    '/ui/login/confirm',
    page(async (ctx) => {
      const form = await readForm(ctx);
      const who = await signedIn(ctx);
      const code = codeIn(form);
      if (!who) return go(ctx, after(code, '/ui/login'));
      checkKey(ctx, form, sessionCookie);
      const login = await people.login(code);
      if (login?.state !== 'open') throw overdue();
      const isGranted = form.get('answer') === 'grant';
      if (isGranted && login.org !== who.identity.org) {
        throw new Problem(
          'forbidden',
          `You are signed in as a member of ${who.identity.org}, and this login is to ${login.org}.`,
        );
      }
      await people.answer(code, isGranted ? who.identity : undefined);
      answerPage(ctx, {
        title: isGranted ? 'You are logged in' : 'The login is refused',
        body: isGranted
          ? html`<h1>You are logged in</h1>
<p>Your package client has its token now. You can close this page and go back to it.</p>
<p><a href="${originOf(ctx)}/ui/account">Your tokens</a></p>`
          : html`<h1>The login is refused</h1>
<p>No token was given. If you did not begin this login yourself, somebody else did.</p>
<p><a href="${originOf(ctx)}/ui/account">Your tokens</a></p>`,
      });
    }),
  );

  router.get(
    '/ui/login/openid',
    page(async (ctx) => {
      const code = codeIn(new URLSearchParams(ctx.querystring));
      const { url, cookie: begun } = await people.signIn.begin(`${originOf(ctx)}/ui/login/callback`, after(code));
      setCookie(ctx, signInCookie, begun, 600);
      go(ctx, url);
    }),
  );

  router.get(
    '/ui/login/callback',
    page(async (ctx) => {
      const begun = cookie(ctx, signInCookie);
      setCookie(ctx, signInCookie, '', 0);
      if (begun === undefined)
        throw new Problem('unauthorized', 'No sign-in was begun in this browser: start it again.');
      const { identity, returnTo } = await people.signIn.finish(
        `${originOf(ctx)}/ui/login/callback?${ctx.querystring}`,
        begun,
      );
      setCookie(ctx, sessionCookie, await people.openSession(identity), 8 * 3600);
      go(ctx, returnTo);
    }),
  );

  router.get(
    '/ui/account',
    page(async (ctx) => {
      const who = await signedIn(ctx);
      if (!who) return go(ctx, '/ui/login');
      const { org = '', name = '' } = who.identity;
      const tokens = (await access.administration.tokens(org, name)).filter(({ state }) => state === 'valid');
      const { teams = [] } = await access.describe(who.identity);
      answerPage(ctx, {
        title: 'Your account',
        wide: true,
        body: accountPage({ at: originOf(ctx), key: who.key, identity: who.identity, teams, tokens }),
      });
    }),
  );

  router.post(
    '/ui/account/revoke',
    page(async (ctx) => {
      const form = await readForm(ctx);
      const who = await signedIn(ctx);
      if (!who) return go(ctx, '/ui/login');
      checkKey(ctx, form, sessionCookie);
      const { org = '' } = who.identity;
      await access.credentials(org, who.identity, { want: 'revoke', token: form.get('id') ?? '' }, originOf(ctx));
      go(ctx, '/ui/account');
    }),
  );

  router.post(
    '/ui/logout',
    page(async (ctx) => {
      const form = await readForm(ctx);
      if (cookie(ctx, sessionCookie) !== undefined) checkKey(ctx, form, sessionCookie);
      setCookie(ctx, sessionCookie, '', 0);
      go(ctx, '/ui/login');
    }),
  );
  return router;
}

function cookiesOf(ctx: Context): ReadonlyMap<string, string> {
  const pairs = ctx.get('cookie').split(';');
  return new Map(
    pairs.flatMap((pair) => {
      const at = pair.indexOf('=');
      const value = pair.slice(at + 1).trim();
      return at === -1 || value === '' ? [] : [[pair.slice(0, at).trim(), value] as const];
    }),
  );
}

function codeIn(values: URLSearchParams): string {
  const code = values.get('session') ?? '';
  return codeShape.test(code) ? code : '';
}

const after = (code: string, otherwise = '/ui/account'): string =>
  code === '' ? otherwise : `/ui/login?session=${code}`;

const overdue = (): Problem =>
  new Problem(
    'not_found',
    'This login is over. Start it again in your package client, and open the address that it shows.',
  );

interface SignInFacts {
  readonly at: string;
  readonly key: string;
  readonly code: string;
  /** As it was typed before. */
  readonly user: string;
  /** Of the login that a client began. */
  readonly org?: string;
  readonly issuer?: string;
  readonly error?: string;
}

function signInForm({ at, key, code, user, org, issuer, error }: SignInFacts): Html {
  const hidden = html`<input type="hidden" name="key" value="${key}">
${code !== '' && html`<input type="hidden" name="session" value="${code}">`}`;
  return html`<h1>Sign in</h1>
${org !== undefined && html`<p>Your package client wants to log in to <b>${org}</b>. Sign in first; then you are asked whether it may.</p>`}
${error !== undefined && html`<p class="bad" role="alert">${error}</p>`}
${
  issuer !== undefined &&
  html`<a class="button" href="${at}/ui/login/openid${code === '' ? '' : `?session=${code}`}">Sign in with ${issuer}</a>
<hr>
<p class="dim">Or with what Larder knows of you:</p>`
}
<form method="post" action="${at}/ui/login">
${hidden}
<label for="user">User name</label>
<input id="user" name="user" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="100" value="${user}" ${code === '' && issuer === undefined && html`autofocus`}>
<label for="password">Password or token</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<p class="dim">A token (<code>lrd_…</code>) needs no user name.</p>
<button ${issuer !== undefined && html`class="quiet"`}>Sign in</button>
</form>`;
}

interface ConfirmFacts {
  readonly at: string;
  readonly key: string;
  readonly code: string;
  readonly org: string;
  readonly identity: Identity;
}

function confirmForm({ at, key, code, org, identity }: ConfirmFacts): Html {
  const { token } = identity;
  const rights = token && !token.may.includes('admin') ? token.may.join(', ') : 'everything that you may';
  const form = (
    answer: string,
    words: string,
    quiet: boolean,
  ): Html => html`<form method="post" action="${at}/ui/login/confirm">
<input type="hidden" name="key" value="${key}">
<input type="hidden" name="session" value="${code}">
<input type="hidden" name="answer" value="${answer}">
<button ${quiet && html`class="quiet"`}>${words}</button>
</form>`;
  return html`<h1>Give your package client a token?</h1>
<p>A login was begun in a terminal or another program. Go on only if that was you, just now.</p>
<dl>
<dt>As</dt><dd>${identity.name} of ${identity.org}</dd>
<dt>To</dt><dd>${org} at ${at}</dd>
<dt>May</dt><dd>${rights}</dd>
<dt>Repositories</dt><dd>${token?.repositories?.join(', ') ?? 'all'}</dd>
<dt>Packages</dt><dd>${token?.names?.join(', ') ?? 'all'}</dd>
<dt>Ends</dt><dd>after 90 days at the latest, or when you revoke it</dd>
</dl>
<div class="rows">
${form('refuse', 'Refuse', true)}
${form('grant', 'Allow it', false)}
</div>`;
}

interface AccountFacts {
  readonly at: string;
  readonly key: string;
  readonly identity: Identity;
  readonly teams: readonly string[];
  readonly tokens: readonly TokenFacts[];
}

function accountPage({ at, key, identity, teams, tokens }: AccountFacts): Html {
  const day = (iso: string | undefined): string => iso?.slice(0, 10) ?? 'never';
  const rows = tokens.map(
    ({ id, description, may, repositories, names, createdAt, expiresAt, lastUsedAt }) => html`<tr>
<td class="free">${description ?? 'No description'}<br><code class="dim">${id}</code></td>
<td data-label="May">${may.length === 4 ? 'all' : may.join(', ')}</td>
<td class="free" data-label="For">${[...(repositories ?? []), ...(names ?? [])].join(', ') || 'all'}</td>
<td data-label="Created">${day(createdAt)}</td>
<td data-label="Last used">${day(lastUsedAt)}</td>
<td data-label="Ends">${day(expiresAt)}</td>
<td><form method="post" action="${at}/ui/account/revoke">
<input type="hidden" name="key" value="${key}"><input type="hidden" name="id" value="${id}">
<button class="quiet small" aria-label="Revoke token ${id}">Revoke</button></form></td>
</tr>`,
  );
  return html`<div class="bar"><h1>${identity.name} of ${identity.org}</h1>
<form method="post" action="${at}/ui/logout"><input type="hidden" name="key" value="${key}">
<button class="quiet small">Sign out</button></form></div>
<p class="dim">${teams.length === 0 ? 'In no team.' : `Teams: ${teams.join(', ')}.`}</p>
<h2>Tokens</h2>
${
  rows.length === 0
    ? html`<p>You have no tokens. A package client gets one when it logs in, and
<code>larder token create --org ${identity.org} --user ${identity.name}</code> makes one.</p>`
    : html`<div class="scroll"><table>
<thead><tr><th>Token</th><th>May</th><th>For</th><th>Created</th><th>Last used</th><th>Ends</th><th></th></tr></thead>
<tbody>${rows}</tbody>
</table></div>
<p class="dim">A token that is revoked ends at once, wherever it is used.</p>`
}`;
}

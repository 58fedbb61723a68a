/** Sign-in of people through OpenID Connect: authorization code with PKCE (RFC 7636), state and nonce; groups become teams. */
import * as openid from 'openid-client';
import { publish } from '../core/events.ts';
import type { Identity } from '../core/identity.ts';
import { Problem } from '../core/problem.ts';
import type { Fetch } from './access.ts';
import { limited } from './issuers.ts';
import type { Organisations } from './organisations.ts';
import type { Seals } from './sealed.ts';
import type { SignInSettings } from './settings.ts';
import { told } from './told.ts';

export interface SignIn {
  /** `cookie` comes back with the answer of the issuer. `returnTo`: a path here. */
  begin(redirectUri: string, returnTo: string): Promise<{ readonly url: string; readonly cookie: string }>;
  /** `url`: what the issuer sent the browser to. Throws a Problem (`unauthorized`, `forbidden`, `upstream_unavailable`). */
  finish(url: string, cookie: string): Promise<{ readonly identity: Identity; readonly returnTo: string }>;
}

interface Begun {
  readonly verifier: string;
  readonly state: string;
  readonly nonce: string;
  readonly returnTo: string;
  readonly redirectUri: string;
}

const lifeSeconds = 600;
const userName = /^[\w.@+-]{1,100}$/;
const mostGroups = 1000;

export function createSignIn(
  settings: SignInSettings,
  parts: { readonly fetch: Fetch; readonly seals: Seals; readonly orgs: Organisations },
): SignIn {
  const { seals, orgs } = parts;
  let configuration: Promise<openid.Configuration> | undefined;

  function configured(): Promise<openid.Configuration> {
    configuration ??= discover(settings, parts.fetch);
    configuration.catch(() => {
      configuration = undefined;
    });
    return configuration;
  }

  return {
    async begin(redirectUri, returnTo) {
      const begun: Begun = {
        verifier: openid.randomPKCECodeVerifier(),
        state: openid.randomState(),
        nonce: openid.randomNonce(),
        returnTo,
        redirectUri,
      };
      const url = openid.buildAuthorizationUrl(await asked(configured(), settings), {
        redirect_uri: redirectUri,
        scope: settings.scopes.join(' '),
        code_challenge: await openid.calculatePKCECodeChallenge(begun.verifier),
        code_challenge_method: 'S256',
        state: begun.state,
        nonce: begun.nonce,
      });
      return { url: url.href, cookie: await seals.seal('sign-in', begun, lifeSeconds) };
    },

    finish: (url, cookie) => told('issuer', () => finish(url, cookie)),
  };

  async function finish(url: string, cookie: string): ReturnType<SignIn['finish']> {
    const opened = await seals.open<Begun>('sign-in', cookie);
    if (!opened || opened === 'expired')
      throw new Problem('unauthorized', 'This sign-in took too long: start it again.');
    const { verifier, state, nonce, returnTo, redirectUri } = opened.value;
    const current = new URL(redirectUri);
    current.search = new URL(url).search;
    const config = await asked(configured(), settings);
    let claims: Readonly<Record<string, unknown>>;
    try {
      const tokens = await openid.authorizationCodeGrant(config, current, {
        pkceCodeVerifier: verifier,
        expectedState: state,
        expectedNonce: nonce,
        idTokenExpected: true,
      });
      claims = await claimsOf(config, tokens, settings);
    } catch (error) {
      throw asProblem(error, settings);
    }
    return { identity: await admit(orgs, settings, claims), returnTo };
  }
}

async function discover(settings: SignInSettings, fetch: Fetch): Promise<openid.Configuration> {
  const { issuer, clientId, clientSecret } = settings;
  const through: openid.CustomFetch = async (url, { method, headers, body, signal }) =>
    limited(
      await fetch(url, {
        method,
        headers,
        ...(body === undefined || body === null ? {} : { body: String(body) }),
        ...(signal ? { signal } : {}),
      }),
    );
  const server = new URL(issuer);
  const insecure = server.protocol === 'http:';
  const found = await openid.discovery(
    server,
    clientId,
    undefined,
    clientSecret === undefined ? openid.None() : openid.ClientSecretPost(clientSecret),
    { [openid.customFetch]: through, ...(insecure ? { execute: [openid.allowInsecureRequests] } : {}) },
  );
  const methods = found.serverMetadata().token_endpoint_auth_methods_supported;
  // Without a list it is basic that everybody has to take (OpenID Connect Discovery, 3).
  if (clientSecret === undefined || methods?.includes('client_secret_post')) return found;
  const basic = new openid.Configuration(
    found.serverMetadata(),
    clientId,
    undefined,
    openid.ClientSecretBasic(clientSecret),
  );
  basic[openid.customFetch] = through;
  if (insecure) openid.allowInsecureRequests(basic);
  return basic;
}

async function asked<T>(found: Promise<T>, { issuer }: SignInSettings): Promise<T> {
  try {
    return await found;
  } catch (error) {
    publish('fault', { where: `asking ${issuer} how people sign in`, error });
    throw new Problem(
      'upstream_unavailable',
      `${new URL(issuer).host} can't be asked to sign people in at the moment.`,
      {
        cause: error,
      },
    );
  }
}

/** From the ID token, and from the user's own page at the issuer where that says too little. */
async function claimsOf(
  config: openid.Configuration,
  tokens: openid.TokenEndpointResponse & openid.TokenEndpointResponseHelpers,
  { userClaim, groupsClaim }: SignInSettings,
): Promise<Readonly<Record<string, unknown>>> {
  const { sub = '', ...rest } = tokens.claims() ?? {};
  const claims: Readonly<Record<string, unknown>> = { ...rest, sub };
  const isEnough = typeof claims[userClaim] === 'string' && claims[groupsClaim] !== undefined;
  if (isEnough || config.serverMetadata().userinfo_endpoint === undefined) return claims;
  const more = await openid.fetchUserInfo(config, tokens.access_token, sub);
  return { ...more, ...claims };
}

function asProblem(error: unknown, { issuer }: SignInSettings): Problem {
  const { host } = new URL(issuer);
  if (error instanceof openid.AuthorizationResponseError) {
    return new Problem('unauthorized', `${host} did not sign you in: ${error.error.slice(0, 100)}.`, { cause: error });
  }
  publish('fault', { where: `signing somebody in through ${host}`, error });
  return new Problem(
    'unauthorized',
    `What ${host} answered does not belong to a sign-in that began here: start it again.`,
    {
      cause: error,
    },
  );
}

/** The user that the issuer vouches for; of a name once somebody has it, only that somebody. */
async function admit(
  orgs: Organisations,
  settings: SignInSettings,
  claims: Readonly<Record<string, unknown>>,
): Promise<Identity> {
  const { org, issuer, userClaim, groupsClaim } = settings;
  const { directory, journal } = await orgs.needed(org);
  const subject = `${issuer}|${String(claims.sub)}`;
  const said = claims[userClaim];
  const name = directory.userOfSubject(subject) ?? (typeof said === 'string' ? said : '');
  if (!userName.test(name)) {
    throw new Problem('forbidden', `The claim ${userClaim} of ${new URL(issuer).host} is no name for a user here.`);
  }
  const refuse = (why: string): never => {
    throw new Problem('forbidden', why);
  };
  const by = { by: `user:${org}/${name}` };
  await journal.append(`user:${name}`, by, () => {
    const bound = directory.signedIn(name);
    if (directory.kindOf(name) === 'service') refuse(`${name} is a service account, and nobody signs in as one.`);
    if (bound && bound.subject !== subject) refuse(`The name ${name} belongs to somebody else here.`);
    return directory.kindOf(name) === undefined ? { is: 'user', name } : undefined;
  });
  await journal.append(`user:${name}`, by, () => {
    const bound = directory.signedIn(name);
    if (bound && bound.subject !== subject) refuse(`The name ${name} belongs to somebody else here.`);
    const teams = teamsOf(claims[groupsClaim], settings, Object.keys(directory.teams()));
    if (bound && JSON.stringify(bound.teams) === JSON.stringify(teams)) return undefined;
    return { is: 'sign-in', user: name, subject, teams };
  });
  return { kind: 'user', name, org, presented: true };
}

function teamsOf(groups: unknown, { teams }: SignInSettings, known: readonly string[]): string[] {
  const said = (Array.isArray(groups) ? groups : [groups])
    .filter((group): group is string => typeof group === 'string')
    .slice(0, mostGroups);
  const found =
    Object.keys(teams).length === 0
      ? said.filter((group) => known.includes(group))
      : said.flatMap((group) => (Object.hasOwn(teams, group) ? (teams[group] ?? []) : []));
  return [...new Set(found)].sort();
}

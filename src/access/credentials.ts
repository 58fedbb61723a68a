/** What clients ask of their own accord: a token (npm login, gem signin), one's own tokens, an end to one. */
import type { CredentialsAsk, CredentialsOutcome, TokenFacts } from '../core/hosting.ts';
import { type Identity, nameOfIdentity } from '../core/identity.ts';
import type { Signature } from '../core/journal.ts';
import { Problem } from '../core/problem.ts';
import type { Action } from '../core/repository.ts';
import type { AccessControl, Administration } from './access.ts';
import { type Identification, wrongPassword } from './identification.ts';
import type { Organisations } from './organisations.ts';
import { hashOfToken, isWellFormed, tokenPrefix } from './token.ts';
import { told } from './told.ts';
import type { WebLogins } from './web-logins.ts';

const all: readonly Action[] = ['read', 'publish', 'delete', 'admin'];
/** Nobody who logs in from a client says for how long. */
const usualDays = 90;
const mostDays = 3650;
const dayMs = 86_400_000;

/** What trusted publishing is for. */
export const forPublishing = { may: ['read', 'publish'] } as const;

export interface NewOwnToken {
  readonly description?: string | undefined;
  readonly may?: readonly Action[] | undefined;
  readonly expiresInDays?: number | undefined;
}

export interface Credentials {
  credentials(
    org: string,
    identity: Identity,
    ask: CredentialsAsk,
    origin: string,
    from?: string,
  ): Promise<CredentialsOutcome>;
  /** One that may no more than what was shown for it, and no longer. */
  issue(identity: Identity, wanted: NewOwnToken): Promise<{ readonly token: string; readonly facts: TokenFacts }>;
}

export function createCredentials(parts: {
  readonly orgs: Organisations;
  readonly identification: Identification;
  readonly administration: Administration;
  readonly logins: WebLogins;
  readonly now: () => number;
  readonly exchange: AccessControl['exchange'];
}): Credentials {
  const { orgs, identification, administration, logins, now, exchange } = parts;

  async function issue(identity: Identity, { description, may, expiresInDays }: NewOwnToken) {
    const { org, user } = ownerOf(identity);
    const limits = identity.token;
    const most = limits?.may.includes('admin') ? all : (limits?.may ?? all);
    const granted = may ? may.filter((action) => most.includes(action)) : most;
    if (granted.length === 0) {
      throw new Problem('forbidden', 'A token can only be given for what the credentials that ask for it may do.');
    }
    const days = Math.min(mostDays, Math.max(1, expiresInDays ?? usualDays));
    const shown = identification.standingOf(identity);
    // A sealed token lives for minutes; what counts is the one that it was given for.
    const parent = shown.parent === undefined ? undefined : orgs.known(org)?.directory.token(shown.parent);
    const ends = parent?.expiresAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(parent.expiresAt);
    return administration.createToken(
      org,
      {
        user,
        description,
        may: granted,
        repositories: limits?.repositories,
        names: limits?.names,
        expiresAt: Math.min(now() + days * dayMs, ends),
      },
      signatureOf(identity),
    );
  }

  async function whoAsks(
    org: string,
    identity: Identity,
    { user = '', password }: { readonly user?: string; readonly password?: string },
    from: string | undefined,
  ): Promise<Identity> {
    if (password === undefined || password === '') return identity;
    // A person may type a token where a password is asked for.
    const found = await identification.identify(org, {
      ...{ kind: 'basic', user, secret: password },
      ...(from === undefined ? {} : { from }),
    });
    if (found.kind !== 'anonymous') return found;
    throw new Problem('unauthorized', found.rejected ?? wrongPassword(user));
  }

  return {
    issue,
    async credentials(org, identity, ask, origin, from) {
      switch (ask.want) {
        case 'token': {
          const { description, may, expiresInDays } = ask;
          const { token, facts } = await told('client', async () => {
            const owner = await whoAsks(
              org,
              identity,
              {
                ...(ask.user === undefined ? {} : { user: ask.user }),
                ...(ask.password === undefined ? {} : { password: ask.password }),
              },
              from,
            );
            return issue(owner, { description, may, expiresInDays });
          });
          return { is: 'token', token, id: facts.id, user: facts.user };
        }
        case 'exchange': {
          const { idToken, name } = ask;
          // It limits the token as a pattern does.
          if (name?.includes('*')) throw new Problem('bad_request', 'A name is wanted, and no pattern.');
          const limits = { ...forPublishing, ...(name === undefined ? {} : { names: [name] }) };
          const { token, identity: job } = await exchange(idToken, origin, limits);
          return { is: 'token', token, id: job.token?.id ?? '', user: job.name ?? '' };
        }
        case 'web-open': {
          const { session, code } = logins.open(org, from);
          return { is: 'web-opened', session, loginUrl: `${origin}/ui/login?session=${code}` };
        }
        case 'web-poll': {
          const state = await logins.poll(ask.session);
          if (!state) throw new Problem('not_found', 'This login was not confirmed in time: start it again.');
          if (state.state === 'open') return { is: 'web-waiting', retryAfterSeconds: 2 };
          const { token, facts } = await told('client', async () => {
            if (state.state === 'refused') throw new Problem('forbidden', 'This login was refused in the browser.');
            const owner = await identification.revive(
              state.identity,
              Math.floor(state.grantedAt / 1000),
              Math.floor(now() / 1000) + 60,
            );
            if (owner.rejected !== undefined) throw new Problem('unauthorized', owner.rejected);
            return issue(owner, { description: 'Login with a browser' });
          });
          return { is: 'token', token, id: facts.id, user: facts.user };
        }
        case 'list': {
          const { org: own, user } = ownerOf(identity);
          const tokens = await administration.tokens(own, user);
          return {
            is: 'tokens',
            tokens: tokens.filter(({ state }) => state === 'valid').map(({ state: _state, ...facts }) => facts),
          };
        }
        case 'revoke': {
          const { org: own, user } = ownerOf(identity);
          const { directory } = await orgs.needed(own);
          const token = ask.token.startsWith(tokenPrefix)
            ? isWellFormed(ask.token)
              ? directory.tokenOfHash(hashOfToken(ask.token))
              : undefined
            : directory.token(ask.token);
          if (token?.user !== user) throw new Problem('not_found', 'You have no such token.');
          refuseUnlessMayEnd(identity, token.id);
          await administration.revokeToken(own, token.id, signatureOf(identity));
          return { is: 'revoked' };
        }
      }
    },
  };
}

/** Whose tokens are meant. CI jobs have none of their own. */
export function ownerOf(identity: Identity): { readonly org: string; readonly user: string } {
  const { kind, org, name, rejected } = identity;
  if ((kind === 'user' || kind === 'service') && org !== undefined && name !== undefined) return { org, user: name };
  if (kind === 'ci') throw new Problem('forbidden', 'A CI job has a token for the time it runs and gets no other.');
  throw new Problem('unauthorized', rejected ?? 'Sign in first: show a user name and password, or a token.');
}

/** One that leaked and may little must not put an end to those that may more. */
export function refuseUnlessMayEnd({ token }: Identity, id: string): void {
  if (!token || token.id === id) return;
  if (token.may.includes('admin') && !token.repositories && !token.names) return;
  throw new Problem(
    'forbidden',
    'This token may end itself and no other: use one without limits, or sign in at /ui/account.',
  );
}

export function signatureOf(identity: Identity): Signature {
  const by = nameOfIdentity(identity);
  return identity.token ? { by, token: identity.token.id } : { by };
}

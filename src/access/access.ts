/** Organisations, users, tokens, projects and rules: the configuration together with what was changed since, kept in one journal each. */
import { createHmac } from 'node:crypto';
import type { Access, Shown } from '../core/access.ts';
import { publish } from '../core/events.ts';
import type { TokenFacts } from '../core/hosting.ts';
import type { Identity, TokenLimits } from '../core/identity.ts';
import type { OpenJournal, Signature, Written } from '../core/journal.ts';
import { Problem } from '../core/problem.ts';
import type { AccessRule, Action } from '../core/repository.ts';
import { createAdministration, tokenFacts } from './administration.ts';
import type { AccessChange } from './changes.ts';
import { createCredentials, type NewOwnToken } from './credentials.ts';
import { Identification, wrongPassword } from './identification.ts';
import { anonymousPass } from './identify.ts';
import { createIssuers } from './issuers.ts';
import { Organisations } from './organisations.ts';
import { createRights, namesJob } from './rights.ts';
import { createSeals, type SealedIdentity } from './sealed.ts';
import type { AccessSettings, ProjectSettings } from './settings.ts';
import { createSignIn, type SignIn } from './sign-in.ts';
import { newTokenId, tokenPrefix } from './token.ts';
import { type TokenCount, tokenCounts } from './token-counts.ts';
import { told } from './told.ts';
import { type WebLogin, WebLogins } from './web-logins.ts';

export interface AccessOptions {
  readonly settings: AccessSettings;
  readonly openJournal: OpenJournal;
  /** Last use of tokens and sessions of sign-in; may forget. `store.facts('access')` is one. */
  readonly facts: AccessFacts;
  /** 32 secret bytes, the same on every replica; `readOrCreateKey(join(storage.path, 'keys/sealing'))`. */
  readonly sealingKey: Uint8Array;
  /** Asks an issuer. Rejects when it does not answer, or with more than `limitBytes`. */
  readonly fetch: Fetch;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** `store.facts()` without what is not needed. */
export interface AccessFacts {
  get(key: string): Promise<unknown>;
  set(key: string, value: unknown, ttlMs?: number): void;
  delete(key: string): void;
}

/** The part of the web's `fetch` that is used; both JWKS and token endpoints go through it. */
export type Fetch = (
  url: string,
  init?: {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly signal?: AbortSignal;
  },
) => Promise<Response>;

/** A token that is checked without looking it up; valid for minutes. */
export interface SealedToken {
  readonly token: string;
  readonly expiresInSeconds: number;
  /** ISO 8601. */
  readonly issuedAt: string;
}

export interface AccessControl extends Access {
  /** Takes over what the configuration says now. */
  update(settings: AccessSettings): Promise<void>;
  /** Organisations that there are. */
  readonly orgs: readonly string[];
  readonly administration: Administration;
  readonly people: People;
  /** Whether everything in the organisation is theirs to administer. */
  mayAdminister(org: string, identity: Identity): boolean;
  /** What was changed about users, tokens and rules, newest first, from before an object's number; without secrets. */
  history(org: string, before?: number): AsyncIterable<Written<{ readonly action: string; readonly name?: string }>>;
  /** Also for organisation '': where the address says nothing of one, users of any are known by their passwords. */
  identify(org: string, shown: Shown | undefined): Promise<Identity>;
  /** How many tokens are kept, as far as it is known here. */
  tokenCounts(): readonly TokenCount[];
  /** A short-lived token in place of what was shown: registry clients and CI jobs want one. */
  seal(identity: Identity): Promise<SealedToken>;
  /**
   * A CI job's ID token against a short-lived token of ours. `origin`: public URL that the request reached. `limits`: it may do no
   * more. Throws a Problem (`unauthorized`, `forbidden`) that says why not.
   */
  exchange(
    idToken: string,
    origin: string,
    limits?: Pick<TokenLimits, 'may' | 'names'>,
  ): Promise<SealedToken & { readonly identity: Identity }>;
  /** Whether ID tokens of some issuer are taken. */
  readonly exchanges: boolean;
  /** The identity as somebody may be told about their own credentials. */
  describe(identity: Identity): Promise<WhoAmI>;
}

/** What `whoami` tells. */
export interface WhoAmI {
  readonly kind: Identity['kind'];
  readonly name?: string;
  readonly org?: string;
  readonly teams?: readonly string[];
  /** Of a token that is kept, or of the one that a short-lived one was given for. */
  readonly token?: Omit<TokenFacts, 'user'>;
  /** Of a short-lived one that no other stands behind. */
  readonly limits?: Omit<TokenLimits, 'id'>;
  /** Of what was shown, ISO 8601. */
  readonly expiresAt?: string;
  readonly claims?: Readonly<Record<string, string>>;
}

export interface NewToken {
  readonly user: string;
  readonly description?: string | undefined;
  /** Default: whatever its owner may. */
  readonly may?: readonly Action[] | undefined;
  readonly repositories?: readonly string[] | undefined;
  readonly names?: readonly string[] | undefined;
  /** Milliseconds since 1970. */
  readonly expiresAt?: number | undefined;
  /** Create the user if there is none: a person, or a service account. Default: `not_found`. */
  readonly create?: 'user' | 'service' | undefined;
}

export interface UserFacts {
  readonly name: string;
  readonly kind: 'user' | 'service';
  readonly teams: readonly string[];
  readonly hasPassword: boolean;
  /** Where it can be changed. */
  readonly from: 'configuration' | 'journal';
}

export interface RuleFacts extends AccessRule {
  /** Absent: it stands in the configuration. */
  readonly id?: string;
}

export interface ProjectFacts extends ProjectSettings {
  readonly name: string;
  readonly from: 'configuration' | 'journal';
}

/** Changes to an organisation; each is on disk and in force when it resolves. Throws a Problem (`not_found`, `conflict`, `bad_request`). */
export interface Administration {
  users(org: string): Promise<readonly UserFacts[]>;
  createUser(org: string, user: { readonly name: string; readonly service?: boolean }, by: Signature): Promise<void>;
  /** Their tokens stop counting, and do not count again if a user of the name is created later. */
  removeUser(org: string, name: string, by: Signature): Promise<void>;
  /** `undefined` takes it away. */
  setPassword(org: string, name: string, password: string | undefined, by: Signature): Promise<void>;
  teams(org: string): Promise<Readonly<Record<string, readonly string[]>>>;
  addMember(org: string, team: string, user: string, by: Signature): Promise<void>;
  removeMember(org: string, team: string, user: string, by: Signature): Promise<void>;
  rules(org: string): Promise<readonly RuleFacts[]>;
  addRule(org: string, rule: AccessRule, by: Signature): Promise<RuleFacts>;
  removeRule(org: string, id: string, by: Signature): Promise<void>;
  projects(org: string): Promise<readonly ProjectFacts[]>;
  /** Creates or replaces it. */
  setProject(org: string, name: string, project: ProjectSettings, by: Signature): Promise<void>;
  removeProject(org: string, name: string, by: Signature): Promise<void>;
  /** Those that count, and those that ended lately. */
  tokens(
    org: string,
    user?: string,
  ): Promise<readonly (TokenFacts & { readonly state: 'valid' | 'expired' | 'revoked' })[]>;
  /** The token is told this once. */
  createToken(
    org: string,
    token: NewToken,
    by: Signature,
  ): Promise<{ readonly token: string; readonly facts: TokenFacts }>;
  revokeToken(org: string, id: string, by: Signature): Promise<void>;
  /** Of the token with this digest (`hashOfToken`). */
  idOfHash(org: string, hash: string): Promise<string | undefined>;
}

/** What the pages that people see are made from. */
export interface People {
  /** Host of the issuer that people sign in through. */
  readonly issuer: string | undefined;
  login(code: string): Promise<WebLogin | undefined>;
  /** What the client that began the login gets; without an identity it is refused. */
  answer(code: string, identity: Identity | undefined): Promise<void>;
  /** Of a person who typed a user name and a password, or a token. `from`: the address, for slowing down who guesses. */
  identify(user: string, secret: string, from: string): Promise<Identity>;
  /** Value for a cookie. */
  openSession(identity: Identity): Promise<string>;
  /** `undefined`: none, or it is over. */
  session(cookie: string): Promise<Identity | undefined>;
  /** Goes into a form and has to come back with it: nobody else can make one for this cookie. */
  formKey(cookie: string): string;
  /** Throws `not_found` where people can't sign in so. */
  readonly signIn: SignIn;
  /** A new token for who is signed in; no more than their own rights. */
  issue(identity: Identity, wanted: NewOwnToken): Promise<{ readonly token: string; readonly facts: TokenFacts }>;
}

const sealedSeconds = 15 * 60;
/** So that a client that was told 15 minutes never shows one that just ended. */
const leastSealedSeconds = 60;
const sessionSeconds = 8 * 3600;
const anonymousSeconds = 3600;

export async function createAccess(options: AccessOptions): Promise<AccessControl> {
  const { facts, now, fetch, sealingKey } = options;
  const orgs = new Organisations(options.openJournal, now);
  const seals = createSeals(sealingKey, now);
  const identification = new Identification({ orgs, seals, facts, now });
  const administration = createAdministration(orgs, identification, now);
  const logins = new WebLogins(facts, now);
  const { credentials, issue } = createCredentials({
    ...{ orgs, identification, administration, logins, now },
    exchange: (idToken, origin, limits) => exchange(idToken, origin, limits),
  });
  const rights = createRights((org) => orgs.known(org)?.directory);
  let settings = options.settings;
  let issuers = createIssuers(settings.issuers, fetch, now);
  let signIn: SignIn | undefined;

  async function update(next: AccessSettings): Promise<void> {
    await orgs.configure(next.orgs);
    issuers = createIssuers(next.issuers, fetch, now);
    signIn = next.signIn && createSignIn(next.signIn, { fetch, seals, orgs });
    settings = next;
  }
  await update(settings);

  /** How long something for this identity may live: not longer than what was shown. */
  function secondsFor(identity: Identity, most: number): number {
    const { expiresAt } = identification.standingOf(identity);
    const left = expiresAt === undefined ? most : Math.floor((expiresAt - now()) / 1000);
    return Math.max(1, Math.min(most, left));
  }

  async function sealIdentity(identity: Identity): Promise<SealedToken> {
    const issuedAt = new Date(now()).toISOString();
    const sealed = identification.sealedOf(identity);
    if (!sealed) return { token: anonymousPass, expiresInSeconds: anonymousSeconds, issuedAt };
    // One that lives by itself is not made to live on by asking again and again.
    const least = sealed.parent === undefined ? 1 : leastSealedSeconds;
    const seconds = Math.max(least, secondsFor(identity, sealedSeconds));
    return {
      token: `${tokenPrefix}${await seals.seal('token', sealed, seconds)}`,
      expiresInSeconds: seconds,
      issuedAt,
    };
  }

  async function exchange(
    idToken: string,
    origin: string,
    limits?: Pick<TokenLimits, 'may' | 'names'>,
  ): Promise<SealedToken & { readonly identity: Identity }> {
    if (Object.keys(settings.issuers).length === 0) {
      throw new Problem('not_found', 'No issuer of ID tokens is configured here.');
    }
    return told('exchange', async () => {
      const plain = await issuers.verify(idToken, audiencesOf(origin, settings.hosts ?? []));
      for (const org of orgs.names) await orgs.current(org);
      if (!orgs.names.some((org) => isNamedIn(orgs, org, plain))) {
        throw new Problem('forbidden', `No access rule of this server is about ci:${plain.name}.`);
      }
      const identity: Identity = limits ? { ...plain, token: { id: newTokenId(), ...limits } } : plain;
      return { ...(await sealIdentity(identity)), identity };
    });
  }

  const formSecret = createHmac('sha256', sealingKey).update('forms').digest();

  const people: People = {
    get issuer() {
      return settings.signIn && new URL(settings.signIn.issuer).host;
    },
    login: (code) => logins.find(code),
    answer: (code, identity) => logins.answer(code, identity && identification.sealedOf(identity)),
    async identify(user, secret, from) {
      const found = await identification.identify('', { kind: 'basic', user, secret, from });
      publish('sign-in', { how: 'password', outcome: found.kind === 'anonymous' ? 'refused' : 'done' });
      if (found.kind !== 'anonymous' || found.rejected !== undefined) return found;
      return { ...found, rejected: wrongPassword(user) };
    },
    async openSession(identity) {
      const sealed = identification.sealedOf(identity);
      if (!sealed || sealed.kind === 'ci') throw new Problem('unauthorized', 'Only people sign in here.');
      return seals.seal('session', sealed, secondsFor(identity, sessionSeconds));
    },
    async session(cookie) {
      const opened = await seals.open<SealedIdentity>('session', cookie);
      if (!opened || opened === 'expired') return undefined;
      const found = await identification.revive(opened.value, opened.issuedAt, opened.expiresAt);
      return found.kind === 'anonymous' ? undefined : found;
    },
    formKey: (cookie) => createHmac('sha256', formSecret).update(cookie).digest('base64url'),
    get signIn() {
      if (!signIn) throw new Problem('not_found', 'People do not sign in through an issuer here.');
      return signIn;
    },
    issue,
  };

  return {
    ...rights,
    update,
    administration,
    people,
    credentials,
    get orgs() {
      return orgs.names;
    },
    async ready(org) {
      await orgs.current(org);
    },
    isCurrent: (org) => orgs.isCurrent(org),
    version: (org) => orgs.known(org)?.directory.version ?? -1,
    async *history(org, before) {
      const { journal } = await orgs.needed(org);
      for await (const written of journal.history(before)) yield { ...written, change: changeFacts(written.change) };
    },
    async identify(org, shown) {
      const found = await identification.identify(org, shown);
      return found.kind === 'ci' && !isBelieved(found, settings) ? noIssuer : found;
    },
    lasting(identity) {
      const lasts = identification.lasting(identity);
      return lasts && identity.kind === 'ci' ? () => isBelieved(identity, settings) && lasts() : lasts;
    },
    seal: sealIdentity,
    tokenCounts: () => tokenCounts(orgs, now()),
    get exchanges() {
      return Object.keys(settings.issuers).length > 0;
    },
    exchange,
    async describe(identity) {
      const { kind, name, org, claims, token } = identity;
      const found = org === undefined ? undefined : orgs.known(org);
      const { expiresAt, parent } = identification.standingOf(identity);
      const kept = found && parent !== undefined ? await tokenFacts(found, parent, identification) : undefined;
      const { user: _user, ...bare } = kept ?? { user: '', id: token?.id ?? '', may: token?.may ?? [], createdAt: '' };
      return {
        kind,
        ...(name === undefined ? {} : { name }),
        ...(org === undefined ? {} : { org }),
        ...(found && name !== undefined ? { teams: found.directory.teamsOf(name) } : {}),
        ...(kept ? { token: bare } : {}),
        ...(token && !kept ? { limits: token } : {}),
        ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
        ...(claims === undefined ? {} : { claims }),
      };
    },
  };
}

/** A change as the audit log has it. */
function changeFacts(change: AccessChange): { readonly action: string; readonly name?: string } {
  switch (change.is) {
    case 'token':
      return { action: 'token', name: `${change.token.id} of ${change.token.user}` };
    case 'rule':
    case 'rule-gone':
    case 'token-gone':
      return { action: change.is, name: change.id };
    case 'member':
    case 'member-gone':
      return { action: change.is, name: `${change.user} in ${change.team}` };
    case 'password':
    case 'sign-in':
      return { action: change.is, name: change.user };
    default:
      return { action: change.is, name: change.name };
  }
}

const noIssuer: Identity = {
  kind: 'anonymous',
  presented: true,
  rejected: 'The issuer of the job that this short-lived token was given to is not believed here any more.',
};

/** The configuration may have dropped its issuer since. */
function isBelieved({ name = '' }: Identity, { issuers }: AccessSettings): boolean {
  return Object.hasOwn(issuers, name.slice(0, name.indexOf(':')));
}

function isNamedIn(orgs: Organisations, org: string, identity: Identity): boolean {
  const directory = orgs.known(org)?.directory;
  return directory !== undefined && namesJob(directory, identity);
}

/**
 * Audiences that mean this server. A `Host` header is the sender's own word: were it believed, a token made out for somebody
 * else's server would be taken here by whoever names that server.
 */
function audiencesOf(address: string, hosts: readonly string[]): string[] {
  const { origin, host, hostname } = new URL(address);
  const name = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const isOurs = ['localhost', '127.0.0.1', '::1', ...hosts].includes(name);
  return isOurs ? [...new Set([origin, host, hostname, `npm:${host}`, `npm:${hostname}`])] : [];
}

/** Organisations, users, tokens, projects and rules: the configuration together with what was changed since, kept in one journal each. */
import type { Access } from '../core/access.ts';
import type { TokenFacts } from '../core/hosting.ts';
import type { Identity } from '../core/identity.ts';
import type { OpenJournal, Signature } from '../core/journal.ts';
import type { AccessRule, Action } from '../core/repository.ts';
import type { AccessSettings, ProjectSettings } from './settings.ts';

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
  /** A short-lived token in place of what was shown: registry clients and CI jobs want one. */
  seal(identity: Identity): Promise<SealedToken>;
  /**
   * A CI job's ID token against a short-lived token of ours. `audiences`: what `aud` may say besides the configured ones.
   * Throws a Problem (`unauthorized`) that says why not.
   */
  exchange(idToken: string, audiences: readonly string[]): Promise<SealedToken & { readonly identity: Identity }>;
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
  readonly token?: Omit<TokenFacts, 'user'>;
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
}

export async function createAccess(_options: AccessOptions): Promise<AccessControl> {
  throw new Error('Not built yet.');
}

/** What the configuration says about people, projects and issuers, in the shape that this folder works with. */
import type { AccessRule } from '../core/repository.ts';

export interface AccessSettings {
  /** By name; an organisation that is not here has no users, no tokens and no rules, whatever its journal says. */
  readonly orgs: Readonly<Record<string, OrgSettings>>;
  /** Whose ID tokens are believed, by the name that `ci:` rules use. */
  readonly issuers: Readonly<Record<string, IssuerSettings>>;
  /** Host names (without port, lower case) that are surely this server's. */
  readonly hosts?: readonly string[];
  /** Sign-in of people through OpenID Connect. */
  readonly signIn?: SignInSettings | undefined;
}

export interface OrgSettings {
  readonly teams: Readonly<Record<string, readonly string[]>>;
  readonly access: readonly AccessRule[];
  readonly users: Readonly<Record<string, UserSettings>>;
  readonly projects: Readonly<Record<string, ProjectSettings>>;
}

export interface UserSettings {
  /** A service account: no person, never signs in. */
  readonly service?: boolean;
  /** In clear, or as `hashPassword` gives it. */
  readonly password?: string;
}

export type Visibility = 'public' | 'internal' | 'private';

export interface ProjectSettings {
  readonly visibility: Visibility;
  /** URL of the source project: packages that name it themselves belong to it. */
  readonly source?: string;
  readonly members: Readonly<Partial<Record<'read' | 'publish' | 'delete' | 'admin', readonly string[]>>>;
  /** `REPOSITORY-PATTERN:NAME-PATTERN`; these belong to it whatever they say themselves. */
  readonly packages: readonly string[];
}

export interface IssuerSettings {
  /** As it stands in `iss`, without trailing slash. */
  readonly url: string;
  /** What `aud` may say, besides this server's own name. */
  readonly audiences: readonly string[];
}

export interface SignInSettings {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret?: string | undefined;
  /** Whose members those who sign in become. */
  readonly org: string;
  readonly scopes: readonly string[];
  /** Claim that is the user's name here. */
  readonly userClaim: string;
  /** Claim that lists the groups. */
  readonly groupsClaim: string;
  /** Group to teams. Empty: a group is the team of its name, if there is one. */
  readonly teams: Readonly<Record<string, readonly string[]>>;
}

/** What an organisation's journal is written in. Old ones are read for ever: kinds are added, never changed. */
import type { AccessRule, Action } from '../core/repository.ts';
import type { ProjectSettings } from './settings.ts';

export type AccessChange =
  | { readonly is: 'user'; readonly name: string; readonly service?: boolean }
  /** With password, memberships and tokens. */
  | { readonly is: 'user-gone'; readonly name: string }
  /** Without a hash: it has none any more. */
  | { readonly is: 'password'; readonly user: string; readonly hash?: string }
  | { readonly is: 'member'; readonly team: string; readonly user: string }
  | { readonly is: 'member-gone'; readonly team: string; readonly user: string }
  /** Somebody came in through the issuer of `signIn`; the teams are those that it names, in place of those that it named before. */
  | { readonly is: 'sign-in'; readonly user: string; readonly subject: string; readonly teams: readonly string[] }
  | { readonly is: 'rule'; readonly id: string; readonly rule: AccessRule }
  | { readonly is: 'rule-gone'; readonly id: string }
  | { readonly is: 'project'; readonly name: string; readonly project: ProjectSettings }
  | { readonly is: 'project-gone'; readonly name: string }
  | { readonly is: 'token'; readonly token: TokenRecord }
  | { readonly is: 'token-gone'; readonly id: string };

export interface TokenRecord {
  readonly id: string;
  /** sha256 of the token, in hexadecimal. */
  readonly hash: string;
  readonly user: string;
  readonly may: readonly Action[];
  readonly repositories?: readonly string[];
  readonly names?: readonly string[];
  readonly description?: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly expiresAt?: string;
}

/** Who asks, once their credentials were looked at. */
import type { Action } from './repository.ts';

export interface Identity {
  readonly kind: 'anonymous' | 'user' | 'service' | 'ci';
  /** Of a user or service account; of a CI job `ISSUER-NAME:SUBJECT`. */
  readonly name?: string;
  /** The organisation that a user or service account belongs to. In any other it is a stranger. */
  readonly org?: string;
  /** Something was shown, if only a pass for anonymous readers. */
  readonly presented?: boolean;
  /** Credentials of ours were shown that do not count; in words for whoever showed them. */
  readonly rejected?: string;
  /** What was shown is a token: it may do no more than this, whoever it belongs to. */
  readonly token?: TokenLimits;
  /** What the issuer says about a CI job. */
  readonly claims?: Readonly<Record<string, string>>;
}

export interface TokenLimits {
  readonly id: string;
  readonly may: readonly Action[];
  /** Patterns with `*`; absent: all. */
  readonly repositories?: readonly string[];
  readonly names?: readonly string[];
}

export const anonymous: Identity = { kind: 'anonymous' };

/** Whom the journal, the log and people call it. */
export function nameOfIdentity({ kind, org, name }: Identity): string {
  if (kind === 'anonymous') return 'anonymous';
  return kind === 'ci' ? `ci:${name}` : `${kind}:${org}/${name}`;
}

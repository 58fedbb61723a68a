/** How many tokens there are, by what became of them: for whoever wants to know before they end. */
import { endOf, type Organisations } from './organisations.ts';

export interface TokenCount {
  readonly org: string;
  readonly kind: 'user' | 'service';
  /** Expiring: valid, and over within seven days. */
  readonly state: 'valid' | 'expiring' | 'expired' | 'revoked';
  readonly count: number;
}

const soonMs = 7 * 86_400_000;
const states = ['valid', 'expiring', 'expired', 'revoked'] as const;

/** Every state of every organisation, also those that no token is in: a number that begins at 0 can be seen to rise. */
export function tokenCounts(orgs: Organisations, nowMs: number): TokenCount[] {
  return orgs.names.flatMap((org) => {
    const directory = orgs.known(org)?.directory;
    const counts = new Map<string, number>();
    for (const token of directory?.tokens() ?? []) {
      const kind = directory?.kindOf(token.user) === 'service' ? 'service' : 'user';
      const end = directory && endOf(token, directory, nowMs)?.state;
      const isLate = token.expiresAt !== undefined && Date.parse(token.expiresAt) - nowMs < soonMs;
      const key = `${kind} ${end ?? (isLate ? 'expiring' : 'valid')}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return (['user', 'service'] as const).flatMap((kind) =>
      states.map((state) => ({ org, kind, state, count: counts.get(`${kind} ${state}`) ?? 0 })),
    );
  });
}

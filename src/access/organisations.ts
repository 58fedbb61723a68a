/** The organisations that the configuration names, each with its directory and its journal. */
import type { Journal, OpenJournal } from '../core/journal.ts';
import { Problem } from '../core/problem.ts';
import type { AccessChange, TokenRecord } from './changes.ts';
import { Directory, type KnownToken } from './directory.ts';
import type { OrgSettings } from './settings.ts';

export interface Organisation {
  readonly directory: Directory;
  readonly journal: Journal<AccessChange>;
}

export class Organisations {
  readonly #open: OpenJournal;
  readonly #now: () => number;
  /** Journals stay open also when the configuration drops their organisation: it may come back. */
  readonly #all = new Map<string, Promise<Organisation>>();
  #configured = new Map<string, Organisation>();

  constructor(open: OpenJournal, now: () => number) {
    this.#open = open;
    this.#now = now;
  }

  async configure(settings: Readonly<Record<string, OrgSettings>>): Promise<void> {
    const opened = await Promise.all(
      Object.entries(settings).map(async ([org, one]) => {
        const { directory, journal } = await this.#opened(org);
        return { org, one, directory, journal };
      }),
    );
    for (const { directory, one } of opened) directory.configure(one);
    this.#configured = new Map(opened.map(({ org, directory, journal }) => [org, { directory, journal }]));
  }

  #opened(org: string): Promise<Organisation> {
    let opening = this.#all.get(org);
    if (!opening) {
      opening = this.#openOne(org);
      this.#all.set(org, opening);
      opening.catch(() => this.#all.delete(org));
    }
    return opening;
  }

  async #openOne(org: string): Promise<Organisation> {
    const directory = new Directory(org, this.#now);
    const journal = await this.#open<AccessChange>({
      name: `${org}/-`,
      apply: (written) => directory.apply(written),
      snapshot: () => directory.snapshot(),
      restore: (values) => directory.restore(values),
    });
    return { directory, journal };
  }

  get names(): string[] {
    return [...this.#configured.keys()];
  }

  /** As it is known here; what others changed a moment ago may be missing. */
  known(org: string): Organisation | undefined {
    return this.#configured.get(org);
  }

  isCurrent(org: string): boolean {
    return this.#configured.get(org)?.journal.isCurrent() ?? true;
  }

  /** As it is, whoever changed it. `undefined`: there is none. */
  async current(org: string): Promise<Organisation | undefined> {
    const found = this.#configured.get(org);
    if (found && !found.journal.isCurrent()) await found.journal.catchUp();
    return found;
  }

  async needed(org: string): Promise<Organisation> {
    const found = await this.current(org);
    if (!found) throw new Problem('not_found', `There is no organisation ${org} here.`);
    return found;
  }

  /** A token can be of any organisation; one that another process gave out a moment ago is found as well. */
  async tokenOfHash(hash: string): Promise<{ readonly of: Organisation; readonly token: KnownToken } | undefined> {
    const look = (of: Organisation) => {
      const token = of.directory.tokenOfHash(hash);
      return token && { of, token };
    };
    for (const org of this.#configured.values()) {
      if (!look(org)) continue;
      await this.current(org.directory.org);
      return look(org);
    }
    for (const org of this.#configured.keys()) await this.current(org);
    for (const org of this.#configured.values()) {
      const found = look(org);
      if (found) return found;
    }
    return undefined;
  }
}

/** Why a token does not count now, in words for whoever shows it. */
export function endOf(
  token: KnownToken | (TokenRecord & { readonly revokedAt?: string }),
  directory: Directory,
  nowMs: number,
): { readonly state: 'revoked' | 'expired'; readonly reason: string } | undefined {
  if (token.revokedAt !== undefined) {
    return { state: 'revoked', reason: `This token was revoked on ${shownTime(token.revokedAt)}.` };
  }
  if (token.expiresAt !== undefined && Date.parse(token.expiresAt) <= nowMs) {
    return { state: 'expired', reason: `This token expired on ${shownTime(token.expiresAt)}.` };
  }
  if (directory.kindOf(token.user) === undefined) {
    return {
      state: 'revoked',
      reason: `This token belongs to ${token.user}, who is no member of ${directory.org} any more.`,
    };
  }
  return undefined;
}

/** `2026-11-21 14:32 UTC`. */
export const shownTime = (iso: string): string => `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;

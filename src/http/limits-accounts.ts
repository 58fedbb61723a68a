/** Accounts of addresses or identities, so many at most. */
import { LRUCache } from 'lru-cache';
import type { Account } from './limits-account.ts';

/** Looked at for one newcomer. */
const mostLooks = 8;
/** Accounts that newcomers share when there is no room for one each. */
const crowdSize = 64;

/**
 * Whoever is not known starts with a full account, so an account that is full again can be forgotten at no loss, and only
 * such a one is. Somebody with very many addresses can therefore neither fill the memory nor push out accounts that
 * are in use, to get them back full: while all the places are taken by accounts in use, newcomers share a few among them.
 */
export class Accounts {
  readonly #known: LRUCache<string, Account>;
  readonly #crowd = new Map<string, Account>();
  readonly #seed = Math.floor(Math.random() * 2 ** 31);
  readonly #open: (org: string) => Account;
  readonly #most: number;

  constructor(most: number, open: (org: string) => Account) {
    this.#known = new LRUCache({ max: most });
    this.#most = most;
    this.#open = open;
  }

  get size(): number {
    return this.#known.size + this.#crowd.size;
  }

  of(org: string, name: string): Account {
    const key = `${org}\n${name}`;
    const known = this.#known.get(key);
    if (known) return known;
    if (this.#known.size >= this.#most && !this.#makeRoom()) return this.#crowdOf(org, key);
    const account = this.#open(org);
    this.#known.set(key, account);
    return account;
  }

  *[Symbol.iterator](): Generator<Account> {
    yield* this.#known.values();
    yield* this.#crowd.values();
  }

  #makeRoom(): boolean {
    for (let looks = 0; looks < mostLooks; looks++) {
      const [key] = this.#known.rkeys() as Iterable<string>;
      const account = key === undefined ? undefined : this.#known.peek(key);
      if (key === undefined || !account) return true;
      this.#known.delete(key);
      if (account.isAtRest) {
        account.isForgotten = true;
        return true;
      }
      this.#known.set(key, account);
    }
    return false;
  }

  /** Which one is for nobody outside to tell, so nobody can pick whom to share with. */
  #crowdOf(org: string, key: string): Account {
    let hash = this.#seed;
    for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
    const place = `${org}\n${(hash >>> 0) % crowdSize}`;
    let account = this.#crowd.get(place);
    if (!account) {
      account = this.#open(org);
      this.#crowd.set(place, account);
    }
    return account;
  }
}

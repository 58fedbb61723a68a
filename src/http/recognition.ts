/**
 * Whose credentials were found good a moment ago, by the letter of what was sent. Nobody is recognised who might not be found again:
 * each time it is asked whether that still counts.
 */
import { LRUCache } from 'lru-cache';
import type { Identity } from '../core/identity.ts';

const mostKept = 10_000;
/** Passwords and foreign tokens of any length are not worth the memory. */
const longestKept = 4096;
/** Forms that mean the same whatever the format; some formats have more. */
const general = /^(?:bearer|basic) /i;

/** Headers beside the usual one in which a format's clients show credentials; of its places, those that are `header:NAME`. */
export function headersIn(places: readonly string[]): string[] {
  return places.filter((place) => place.startsWith('header:')).map((place) => place.slice('header:'.length));
}

interface Known {
  readonly identity: Identity;
  readonly lasts: () => boolean;
}

export class Recognition {
  readonly #known = new LRUCache<string, Known>({ max: mostKept });

  /** @param authorization The header as it came. */
  find(authorization: string): Identity | undefined {
    const known = this.#known.get(authorization);
    if (!known) return undefined;
    if (known.lasts()) return known.identity;
    this.#known.delete(authorization);
    return undefined;
  }

  /** `lasts`: as told of this identity, which was found by this header and no other. */
  remember(authorization: string | undefined, identity: Identity, lasts: (() => boolean) | undefined): void {
    if (!lasts || authorization === undefined || authorization.length > longestKept) return;
    if (general.test(authorization)) this.#known.set(authorization, { identity, lasts });
  }

  clear(): void {
    this.#known.clear();
  }
}

/** What an answer was made to depend on about its reader, so that another one who is the same in that can be given it as well. */
import type { Access, Reader } from '../core/access.ts';
import type { Identity } from '../core/identity.ts';
import type { Repository } from '../core/repository.ts';

/** Of lists that are filtered name by name nobody else's is likely to be the same. */
const mostJudged = 64;

interface Judged {
  readonly repository: Repository;
  readonly name: string | undefined;
  readonly may: boolean;
}

export interface Overheard {
  /** Whoever makes the answer asks this one, and nobody else, what its reader may see. */
  readonly reader: Reader;
  /** Whether all that was asked is remembered. */
  isTold(): boolean;
  /** Whether the same would have been said about somebody else. */
  isSameFor(other: Identity): boolean;
  /** Whether nobody's rights were changed since in organisations whose repositories stand behind this one. */
  isUnchanged(): boolean;
}

/** `org`: whose rights are watched anyway. */
export function overheard(access: Access, identity: Identity, org: string): Overheard {
  const reader = access.readerOf(identity);
  const judged: Judged[] = [];
  const others = new Map<string, number>();
  let asked = 0;
  return {
    reader: {
      mayRead(repository, name) {
        const may = reader.mayRead(repository, name);
        asked++;
        if (repository.org !== org && !others.has(repository.org)) {
          others.set(repository.org, access.version(repository.org));
        }
        if (judged.length < mostJudged) judged.push({ repository, name, may });
        return may;
      },
    },
    isUnchanged() {
      for (const [other, version] of others) {
        if (access.version(other) !== version || !access.isCurrent(other)) return false;
      }
      return true;
    },
    isTold: () => asked <= mostJudged,
    isSameFor(other) {
      if (asked > mostJudged) return false;
      const theirs = access.readerOf(other);
      return judged.every(({ repository, name, may }) => theirs.mayRead(repository, name) === may);
    },
  };
}

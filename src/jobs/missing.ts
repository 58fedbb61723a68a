/** What was asked for in vain while nobody may be asked: remembered, so that it can be fetched on a connected server. */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { publish, subscribe } from '../core/events.ts';
import type { Facts } from '../store/store.ts';

export interface MissingOptions {
  readonly facts: Facts<unknown>;
  readonly now: () => number;
  /** Different things; the ones nobody asked for the longest are forgotten first. */
  readonly most?: number;
}

export interface MissingThing {
  /** `org/name`. */
  readonly repository: string;
  /** Raw, below the repository, with its query. */
  readonly path: string;
  /** Where the answer depends on it. */
  readonly accept?: string;
  readonly count: number;
  /** ISO 8601. */
  readonly firstAt: string;
  readonly lastAt: string;
}

export interface MissingJobs {
  /** Of an organisation's repositories, in the order of their addresses. */
  list(org: string): Promise<readonly MissingThing[]>;
  /** How many there were. */
  clear(org: string): Promise<number>;
  close(): Promise<void>;
}

interface Kept {
  readonly repository: string;
  readonly path: string;
  readonly accept?: string;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

const usualMost = 10_000;
const keptMs = 90 * 24 * 3_600_000;
const longestPath = 4_000;
const longestAccept = 1_000;

export function createMissing({ facts, now, most = usualMost }: MissingOptions): MissingJobs {
  /** Every thing that is kept, in the order in which they were asked for last. */
  const known = new LRUCache<string, true>({ max: most, dispose: (_, key, reason) => forget(key, reason) });
  let working: Promise<void> = load().catch((error: unknown) =>
    publish('fault', { where: 'noting what is missing', error }),
  );

  function forget(key: string, reason: string): void {
    if (reason === 'evict') facts.delete(key);
  }

  async function load(): Promise<void> {
    const all: (readonly [string, Kept])[] = [];
    for await (const [key, value] of facts.entries()) all.push([key, value as Kept]);
    all.sort(([, one], [, other]) => one.lastAt - other.lastAt);
    for (const [key] of all) known.set(key, true);
  }

  async function note({ repository, path, accept }: Pick<Kept, 'repository' | 'path' | 'accept'>): Promise<void> {
    const key = createHash('sha256')
      .update(JSON.stringify([repository, path, accept ?? '']))
      .digest('hex');
    const before = (await facts.get(key)) as Kept | undefined;
    const at = now();
    const kept: Kept = {
      repository,
      path,
      ...(accept === undefined ? {} : { accept }),
      count: (before?.count ?? 0) + 1,
      firstAt: before?.firstAt ?? at,
      lastAt: at,
    };
    facts.set(key, kept, keptMs);
    known.set(key, true);
  }

  /** One after the other, so that no count is lost. */
  function after<T>(work: () => Promise<T>): Promise<T> {
    const done = working.then(work);
    working = done.then(
      () => {},
      (error: unknown) => publish('fault', { where: 'noting what is missing', error }),
    );
    return done;
  }

  const unsubscribe = subscribe('offline.miss', ({ repository, path, accept }) => {
    if (path.length > longestPath) return;
    const short = accept !== undefined && accept.length <= longestAccept ? { accept } : {};
    after(() => note({ repository, path, ...short })).catch(() => {});
  });

  async function of(org: string): Promise<(readonly [string, Kept])[]> {
    const found: (readonly [string, Kept])[] = [];
    for await (const [key, value] of facts.entries()) {
      const kept = value as Kept;
      if (kept.repository.startsWith(`${org}/`)) found.push([key, kept]);
    }
    return found;
  }

  return {
    list: (org) =>
      after(async () => {
        const found = (await of(org)).map(([, { firstAt, lastAt, ...rest }]) => ({
          ...rest,
          firstAt: new Date(firstAt).toISOString(),
          lastAt: new Date(lastAt).toISOString(),
        }));
        const address = ({ repository, path, accept = '' }: MissingThing): string => `${repository} ${path} ${accept}`;
        return found.sort((one, other) => (address(one) < address(other) ? -1 : 1));
      }),
    clear: (org) =>
      after(async () => {
        const found = await of(org);
        for (const [key] of found) {
          facts.delete(key);
          known.delete(key);
        }
        return found.length;
      }),
    async close() {
      unsubscribe();
      await working;
    },
  };
}

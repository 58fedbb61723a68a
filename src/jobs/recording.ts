/** Recording: whatever a build asked for becomes a named set, to be carried elsewhere. */
import { LRUCache } from 'lru-cache';
import type { Identity } from '../core/identity.ts';
import { Problem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';
import type { Use } from '../core/source.ts';
import type { Recording } from '../pipeline/recording.ts';
import { isSetName, type Sets } from '../store/sets.ts';

export interface RecordingOptions {
  readonly sets: Sets;
  /** Who may record in an organisation. */
  readonly allowed: (org: string) => 'members' | 'everyone';
  /** Bytes of one set. */
  readonly maxSetBytes?: number;
  readonly maxSets?: number;
}

export interface RecordedSet {
  readonly name: string;
  /** Of the organisation's repositories. */
  readonly things: number;
  /** ISO 8601. */
  readonly changedAt: string;
}

export interface RecordingJobs extends Recording {
  /** Those that have something of the organisation's repositories. */
  list(org: string): Promise<readonly RecordedSet[]>;
  /** `undefined`: there is no such set, or nothing of the organisation is in it. */
  find(org: string, name: string): Promise<RecordedSet | undefined>;
  /** Throws `not_found`, and `conflict` where other organisations have something in it. */
  remove(org: string, name: string): Promise<void>;
}

/** A line is some 150 bytes: hundreds of thousands of things. */
const usualSetBytes = 64 * 1024 * 1024;
const usualSets = 1_000;
/** Lines that need not be written again; a build asks for the same index very often. */
const linesKnown = 50_000;
const sizesKnownMs = 10_000;

export function createRecording({ sets, allowed, ...limits }: RecordingOptions): RecordingJobs {
  const { maxSetBytes = usualSetBytes, maxSets = usualSets } = limits;
  const written = new LRUCache<string, true>({ max: linesKnown });
  const roomy = new LRUCache<string, true>({ max: 100, ttl: sizesKnownMs });

  async function refuseExcess(name: string): Promise<void> {
    if (roomy.has(name)) return;
    const all = await sets.list();
    const known = all.find((one) => one.name === name);
    if (!known && all.length >= maxSets) {
      throw new Problem('quota_exceeded', `There are ${all.length} recorded sets already; delete some of them first.`);
    }
    if (known && known.sizeBytes >= maxSetBytes) {
      throw new Problem('quota_exceeded', `The set ${name} is as long as a set may be; record under another name.`);
    }
    roomy.set(name, true);
  }

  async function thingsOf(org: string, name: string) {
    const lines = isSetName(name) ? ((await sets.read(name)) ?? []) : [];
    const own = lines.filter(({ repository }) => repository.startsWith(`${org}/`));
    return { own: own.length, others: lines.length - own.length };
  }

  async function find(org: string, name: string): Promise<RecordedSet | undefined> {
    const facts = (await sets.list()).find((one) => one.name === name);
    const { own } = facts ? await thingsOf(org, name) : { own: 0 };
    return facts && own > 0 ? { name, things: own, changedAt: new Date(facts.changedAt).toISOString() } : undefined;
  }

  return {
    isName: isSetName,
    mayRecord: ({ org }: Repository, identity: Identity) =>
      allowed(org) === 'everyone' || (identity.kind !== 'anonymous' && identity.org === org),
    async add(name, uses: readonly Use[]) {
      const lines = uses.map((use) => [`${name} ${JSON.stringify(use)}`, use] as const);
      const fresh = new Map(lines.filter(([key]) => !written.has(key)));
      if (fresh.size === 0) return;
      try {
        await refuseExcess(name);
        await sets.append(name, [...fresh.values()]);
      } catch (error) {
        if (error instanceof Problem) throw error;
        const message = `What was asked for could not be added to the set ${name}, so nothing is answered; the log says why.`;
        throw new Problem('storage_unavailable', message, { cause: error });
      }
      for (const key of fresh.keys()) written.set(key, true);
    },
    async list(org) {
      const found: RecordedSet[] = [];
      for (const { name } of await sets.list()) {
        const one = await find(org, name);
        if (one) found.push(one);
      }
      return found;
    },
    find,
    async remove(org, name) {
      const { own, others } = await thingsOf(org, name);
      if (own === 0) throw new Problem('not_found', `There is no set ${name} with anything of ${org}.`);
      if (others > 0) {
        throw new Problem(
          'conflict',
          `Other organisations have something in the set ${name}: its file is for whoever runs the server to delete.`,
        );
      }
      await sets.remove(name);
      // What is recorded under the name from now on is recorded anew.
      for (const key of written.keys()) if (key.startsWith(`${name} `)) written.delete(key);
      roomy.delete(name);
    },
  };
}

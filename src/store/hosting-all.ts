/** All that is hosted in one store: what of its bytes must stay, whoever publishes where. */
import type { Digest } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Entry } from '../core/hosting.ts';
import type { OpenJournal } from '../core/journal.ts';
import { type Hosting, type OpenedHosting, openHosting } from './hosting.ts';
import { lateHosting } from './hosting-late.ts';
import { journalPrefix } from './layout.ts';
import type { Objects } from './objects.ts';

export interface AllHostingParts {
  readonly objects: Objects;
  readonly openJournal: OpenJournal;
  /** In ms. */
  readonly clock?: () => number;
}

/** What could not be read is tried again after this time, when somebody needs to know. */
const retryMs = 3_000;

export class AllHosting {
  readonly #parts: AllHostingParts;
  readonly #opened = new Map<string, Promise<OpenedHosting>>();
  /** Repositories whose versions may be replaced. */
  readonly #overwrites = new Set<string>();
  readonly #loaded = new Map<string, OpenedHosting>();
  /** Nothing may go while there are any: nobody knows what they refer to. */
  readonly #unreadable = new Map<string, unknown>();
  #isListed = false;
  #triedAt = 0;

  constructor(parts: AllHostingParts) {
    this.#parts = parts;
  }

  /** By `org/name`. */
  get loaded(): ReadonlyMap<string, OpenedHosting> {
    return this.#loaded;
  }

  /** By `org/name`: why their journals can't be read. */
  get unreadable(): ReadonlyMap<string, unknown> {
    return this.#unreadable;
  }

  /** Opens every repository that has a journal; those that can't be read are told by `unreadable`. */
  async open(): Promise<void> {
    this.#triedAt = this.#now();
    for (const repository of await journalsOf(this.#parts.objects)) {
      if (!isOrganisation(repository)) await this.#open(repository).catch(() => {});
    }
    this.#isListed = true;
  }

  /** One that can't be read rejects only when it is used, and is tried again then. */
  hosting(repository: string, overwrites: boolean): Promise<Hosting> {
    if (overwrites) this.#overwrites.add(repository);
    else this.#overwrites.delete(repository);
    return this.#open(repository).catch((error) => lateHosting(error, () => this.#open(repository)));
  }

  /** What other processes published is known afterwards, also in repositories that are new. Rejects when something can't be read. */
  async ready(): Promise<void> {
    await this.open();
    for (const error of this.#unreadable.values()) throw error;
    for (const hosting of this.#loaded.values()) await hosting.ready();
  }

  /** Whether a published file has these bytes, or may have. */
  refersTo(digest: Digest): boolean {
    if (!this.#isListed || this.#unreadable.size > 0) {
      // Nobody else may come to ask: while everything is protected, nothing makes way.
      if (this.#now() - this.#triedAt >= retryMs) void this.open().catch(() => {});
      return true;
    }
    for (const hosting of this.#loaded.values()) if (hosting.refersTo(digest)) return true;
    return false;
  }

  *entries(): Iterable<readonly [repository: string, entry: Entry]> {
    for (const [repository, hosting] of this.#loaded) {
      for (const entry of hosting.entries()) yield [repository, entry];
    }
  }

  #now(): number {
    return (this.#parts.clock ?? Date.now)();
  }

  #open(repository: string): Promise<OpenedHosting> {
    const opened = this.#opened.get(repository) ?? this.#load(repository);
    this.#opened.set(repository, opened);
    return opened;
  }

  async #load(repository: string): Promise<OpenedHosting> {
    try {
      const hosting = await openHosting({
        ...this.#parts,
        repository,
        overwrites: () => this.#overwrites.has(repository),
      });
      this.#loaded.set(repository, hosting);
      this.#unreadable.delete(repository);
      return hosting;
    } catch (error) {
      if (!this.#unreadable.has(repository)) publish('fault', { where: 'journal', error });
      this.#unreadable.set(repository, error);
      // Whoever asks next tries again.
      this.#opened.delete(repository);
      throw error;
    }
  }
}

/** Names of all journals there are: of repositories (`org/name`), and of organisations' own affairs (`org/-`, `org/-webhooks`). */
export async function journalsOf(objects: Objects): Promise<string[]> {
  const found: string[] = [];
  for (const org of await objects.groups(journalPrefix)) {
    for (const name of await objects.groups(`${journalPrefix}/${org}`)) found.push(`${org}/${name}`);
  }
  return found.sort();
}

export function isOrganisation(journal: string): boolean {
  // No repository's name begins so.
  return journal.includes('/-');
}

/** All that is hosted in one store: what of its bytes must stay, whoever publishes where. */
import type { Digest } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Entry } from '../core/hosting.ts';
import type { OpenJournal } from '../core/journal.ts';
import { type Hosting, type OpenedHosting, openHosting } from './hosting.ts';
import { journalPrefix } from './layout.ts';
import type { Objects } from './objects.ts';

export interface AllHostingParts {
  readonly objects: Objects;
  readonly openJournal: OpenJournal;
  /** In ms. */
  readonly clock?: () => number;
}

interface Opened {
  readonly hosting: Promise<OpenedHosting>;
  overwrites: boolean;
}

/** What could not be read is tried again after this time, when somebody needs to know. */
const retryMs = 3_000;

export class AllHosting {
  readonly #parts: AllHostingParts;
  readonly #opened = new Map<string, Opened>();
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
      if (!isOrganisation(repository)) await this.#open(repository).hosting.catch(() => {});
    }
    this.#isListed = true;
  }

  async hosting(repository: string, overwrites: boolean): Promise<Hosting> {
    const opened = this.#open(repository);
    opened.overwrites = overwrites;
    return opened.hosting;
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

  #open(repository: string): Opened {
    const known = this.#opened.get(repository);
    if (known) return known;
    const opened: Opened = { hosting: this.#load(repository), overwrites: false };
    this.#opened.set(repository, opened);
    return opened;
  }

  async #load(repository: string): Promise<OpenedHosting> {
    try {
      const hosting = await openHosting({
        ...this.#parts,
        repository,
        overwrites: () => this.#opened.get(repository)?.overwrites ?? false,
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

/** Names of all journals there are: of repositories (`org/name`), and of organisations' own affairs (`org/-`). */
export async function journalsOf(objects: Objects): Promise<string[]> {
  const found: string[] = [];
  for (const org of await objects.groups(journalPrefix)) {
    for (const name of await objects.groups(`${journalPrefix}/${org}`)) found.push(`${org}/${name}`);
  }
  return found.sort();
}

export function isOrganisation(journal: string): boolean {
  return journal.endsWith('/-');
}

/** Fills the accounting: at once from the index, and where that may lack something from the disk, while the store already serves. */
import { publish } from '../core/events.ts';
import type { Records } from './index.ts';
import { blobName, blobsPrefix, hexOfBlobName } from './layout.ts';
import type { Objects } from './objects.ts';
import type { SavedBlob, Space } from './space.ts';

/** Blobs put in order at a time, so that requests get their turn in between. */
const slice = 5_000;

export class BlobScan {
  readonly #objects: Objects;
  readonly #space: Space;
  #running: Promise<boolean> = Promise.resolve(true);
  #stopped = false;

  constructor(parts: { readonly objects: Objects; readonly space: Space }) {
    this.#objects = parts.objects;
    this.#space = parts.space;
  }

  async fromIndex(saved: Records<SavedBlob>): Promise<void> {
    const found: [hex: string, sizeBytes: number, usedAt: number][] = [];
    for await (const page of saved.pages()) {
      for (const [hex, [sizeBytes, usedAt]] of page) found.push([hex, sizeBytes, usedAt]);
    }
    found.sort((one, other) => one[2] - other[2]);
    for (const [hex, sizeBytes, usedAt] of found) this.#space.add(hex, sizeBytes, usedAt, true);
  }

  /** Looks at every blob on the disk, in the background. */
  start(): void {
    this.#running = this.#run();
  }

  get done(): Promise<void> {
    return this.#running.then(() => {});
  }

  /** Ends it; whether it had seen everything. */
  stop(): Promise<boolean> {
    this.#stopped = true;
    return this.#running;
  }

  async #run(): Promise<boolean> {
    try {
      const before = new Set<string>();
      for (const [hex] of this.#space.uses()) before.add(hex);
      for await (const name of this.#objects.names(blobsPrefix)) {
        if (this.#stopped) return false;
        const hex = hexOfBlobName(name);
        if (hex && !before.delete(hex)) await this.#addUnknown(hex);
      }
      await this.#dropVanished(before);
      await this.#putInOrder();
      if (this.#stopped) return false;
      this.#space.trim();
      this.#space.announce();
      return true;
    } catch (error) {
      publish('fault', { where: 'scan', error });
      return false;
    }
  }

  async #addUnknown(hex: string): Promise<void> {
    const isUnknown = (): boolean => !this.#space.has(hex) && !this.#space.isDoomed(hex);
    const facts = isUnknown() ? await this.#objects.facts(blobName(hex)) : undefined;
    if (facts && isUnknown()) this.#space.add(hex, facts.sizeBytes, Math.round(facts.modifiedAt));
  }

  /** The index knew them, the disk does not. */
  async #dropVanished(missing: ReadonlySet<string>): Promise<void> {
    for (const hex of missing) {
      if (this.#stopped) return;
      if (!(await this.#objects.facts(blobName(hex)))) this.#space.drop(hex);
    }
  }

  /** Found in the order of their names, they leave in the order of their use. */
  async #putInOrder(): Promise<void> {
    const uses = [...this.#space.uses()].sort((one, other) => one[1] - other[1]);
    for (let from = 0; from < uses.length; from += slice) {
      for (const [hex] of uses.slice(from, from + slice)) this.#space.promote(hex);
      await new Promise(setImmediate);
      if (this.#stopped) return;
    }
  }
}

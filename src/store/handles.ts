/**
 * Open files of blobs, shared by their readers and kept a moment longer: a blob in demand costs one look at its
 * descriptor instead of three trips to the disk.
 */
import { LRUCache } from 'lru-cache';
import { publish } from '../core/events.ts';
import { codeOf } from './disk.ts';
import { blobName } from './layout.ts';
import type { Objects, OpenObject } from './objects.ts';

/** Open files without a reader. */
const mostIdle = 128;
/** Then it is opened by name again, so that what another process moved away is noticed. */
const reopenAfterMs = 5_000;

export interface Handle {
  readonly object: OpenObject;
  release(): void;
}

interface Shared {
  readonly object: OpenObject;
  readonly openedAt: number;
  readers: number;
  closed: boolean;
}

export class Handles {
  readonly #objects: Objects;
  readonly #clock: () => number;
  readonly #current = new Map<string, Shared>();
  readonly #opening = new Map<string, Promise<Shared | undefined>>();
  readonly #idle = new LRUCache<string, Shared>({
    max: mostIdle,
    dispose: (shared, hex, reason) => {
      // `delete` is how a reader takes it back into use.
      if (reason !== 'evict') return;
      if (this.#current.get(hex) === shared) this.#current.delete(hex);
      close(shared);
    },
  });

  constructor(objects: Objects, clock: () => number) {
    this.#objects = objects;
    this.#clock = clock;
  }

  /** `undefined`: there is no such file. */
  async open(hex: string): Promise<Handle | undefined> {
    let shared: Shared | undefined;
    do {
      shared = this.#reusable(hex) ?? (await this.#openOnce(hex));
      if (!shared) return undefined;
      // Forgotten between being opened and being taken: once more.
    } while (shared.closed);
    shared.readers += 1;
    this.#idle.delete(hex);
    let held = true;
    return {
      object: shared.object,
      release: () => {
        if (held) this.#release(hex, shared);
        held = false;
      },
    };
  }

  /** The name now means something else, or nothing: readers keep what they have, nobody gets it any more. */
  forget(hex: string): void {
    const shared = this.#current.get(hex);
    if (!shared) return;
    this.#current.delete(hex);
    this.#idle.delete(hex);
    if (shared.readers === 0) close(shared);
  }

  /** Idle ones only; readers keep theirs. */
  closeIdle(): void {
    for (const hex of [...this.#idle.keys()]) this.forget(hex);
  }

  #reusable(hex: string): Shared | undefined {
    const shared = this.#current.get(hex);
    if (!shared) return undefined;
    const age = this.#clock() - shared.openedAt;
    if (age >= 0 && age < reopenAfterMs && shared.object.intact()) return shared;
    this.forget(hex);
    return undefined;
  }

  async #openOnce(hex: string): Promise<Shared | undefined> {
    let opening = this.#opening.get(hex);
    if (!opening) {
      opening = this.#openAnew(hex).finally(() => this.#opening.delete(hex));
      this.#opening.set(hex, opening);
    }
    return opening;
  }

  async #openAnew(hex: string): Promise<Shared | undefined> {
    const object = await this.#openObject(hex);
    if (!object) return undefined;
    const shared = { object, openedAt: this.#clock(), readers: 0, closed: false };
    this.forget(hex);
    this.#current.set(hex, shared);
    return shared;
  }

  async #openObject(hex: string): Promise<OpenObject | undefined> {
    try {
      return await this.#objects.open(blobName(hex));
    } catch (error) {
      if (codeOf(error) !== 'EMFILE' && codeOf(error) !== 'ENFILE') throw error;
      // Out of descriptors: those that are only kept for comfort go first.
      this.closeIdle();
      return this.#objects.open(blobName(hex));
    }
  }

  #release(hex: string, shared: Shared): void {
    shared.readers -= 1;
    if (shared.readers > 0) return;
    if (this.#current.get(hex) === shared) this.#idle.set(hex, shared);
    else close(shared);
  }
}

function close(shared: Shared): void {
  shared.closed = true;
  shared.object.close().catch((error) => publish('fault', { where: 'store', error }));
}

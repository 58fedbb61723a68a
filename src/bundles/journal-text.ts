/** What an object of a packages' journal says about bytes, without replaying it: what it puts where, and what it takes away. */
import type { Digest } from '../core/digest.ts';
import { parsed } from './format.ts';

export interface PutBytes {
  readonly path: string;
  readonly digest: Digest;
  readonly size: number;
}

export interface JournalSteps {
  readonly put: readonly PutBytes[];
  readonly drop: readonly string[];
}

/** As `store/journal.ts` writes it. */
const objectVersion = 1;

/** In their order. Throws an Error, in words, on what is no such object or one of a newer release. */
export function stepsOf(text: string): JournalSteps[] {
  const object = parsed(text) as
    | {
        readonly v?: unknown;
        readonly writer?: unknown;
        readonly changes?: readonly { readonly change?: Partial<JournalSteps> }[];
      }
    | undefined;
  if (typeof object?.v === 'number' && object.v > objectVersion) throw new Error('a newer release of Larder wrote it');
  if (object?.v !== objectVersion || typeof object.writer !== 'string' || !Array.isArray(object.changes)) {
    throw new Error('it is no object of a journal');
  }
  return object.changes.map(({ change }) => ({ put: change?.put ?? [], drop: change?.drop ?? [] }));
}

/** Bytes that are needed once all of it is replayed, by path. */
export class LivePaths {
  readonly #paths = new Map<string, PutBytes>();

  apply(steps: readonly JournalSteps[]): void {
    for (const { put, drop } of steps) {
      for (const path of drop) this.#paths.delete(path);
      for (const one of put) this.#paths.set(one.path, one);
    }
  }

  values(): Iterable<PutBytes> {
    return this.#paths.values();
  }
}

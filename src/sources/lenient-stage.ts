/**
 * A stage for documents: when the disk takes nothing in, the bytes go on into memory, so that an answer can still be
 * made of them. They are never committed then. Documents have a size limit, so the memory has one too.
 */
import type { OpenStage, Stage } from '../core/staging.ts';

const noSpace = (cause: unknown): Error =>
  Object.assign(new Error('These bytes are in memory only.', { cause }), { code: 'ENOSPC' });

export function lenient(open: OpenStage): OpenStage {
  return async (options) => {
    let stage: Stage | undefined;
    let trouble: unknown;
    try {
      stage = await open(options);
    } catch (error) {
      trouble = error;
    }
    return new LenientStage(stage, trouble);
  };
}

class LenientStage implements Stage {
  readonly #onDisk: Stage | undefined;
  #diskBytes = 0;
  #trouble: unknown;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(onDisk: Stage | undefined, trouble: unknown) {
    this.#onDisk = onDisk;
    this.#trouble = trouble;
  }

  get size(): number {
    return this.#size;
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#onDisk && this.#trouble === undefined) {
      try {
        await this.#onDisk.write(chunk);
        this.#size += chunk.byteLength;
        this.#diskBytes = this.#size;
        return;
      } catch (error) {
        this.#trouble = error;
      }
    }
    this.#chunks.push(Buffer.from(chunk));
    this.#size += chunk.byteLength;
  }

  async read(position: number, length: number): Promise<Buffer> {
    if (this.#onDisk && position < this.#diskBytes) {
      return this.#onDisk.read(position, Math.min(length, this.#diskBytes - position));
    }
    let start = this.#diskBytes;
    for (const chunk of this.#chunks) {
      if (position < start + chunk.byteLength) return chunk.subarray(position - start, position - start + length);
      start += chunk.byteLength;
    }
    return Buffer.alloc(0);
  }

  retain(): () => void {
    return this.#onDisk?.retain() ?? (() => {});
  }

  async commit(digest: Parameters<Stage['commit']>[0]): Promise<void> {
    if (!this.#onDisk || this.#trouble !== undefined) throw noSpace(this.#trouble);
    await this.#onDisk.commit(digest);
  }

  async discard(): Promise<void> {
    await this.#onDisk?.discard();
  }
}

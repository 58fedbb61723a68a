/** A stage on the disk: one writer at the end, readers anywhere before it, then a blob or nothing. */
import type { Digest } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Stage } from '../core/staging.ts';
import { type Disk, type DiskFile, readFully, writeFully } from './disk.ts';
import type { Health } from './health.ts';
import { sha256Hex } from './layout.ts';
import type { Reservation } from './space.ts';

export interface StagedFileParts {
  readonly path: string;
  readonly file: DiskFile;
  readonly disk: Disk;
  readonly health: Health;
  readonly reservation: Reservation;
  /** Told when the last holder has gone. It never rejects. */
  readonly onClosing: (closed: Promise<void>) => void;
  /** Turns the synced file into the blob and the reservation into use. False: there is one already, and the file is left. */
  readonly adopt: (path: string, hex: string, sizeBytes: number, reservation: Reservation) => Promise<boolean>;
}

export class StagedFile implements Stage {
  readonly #parts: StagedFileParts;
  #size = 0;
  #writes: Promise<void> = Promise.resolve();
  #failure: unknown;
  #ended: Promise<void> | undefined;
  /** The stage itself, readers that retain it, and reads under way. */
  #holders = 1;

  constructor(parts: StagedFileParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#size;
  }

  write(chunk: Uint8Array): Promise<void> {
    const written = this.#writes.then(() => this.#append(chunk));
    this.#writes = written.catch(() => {});
    return written;
  }

  async read(position: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, this.#size - position)));
    if (buffer.length === 0) return buffer;
    if (this.#holders === 0) throw new Error('read from a stage that has ended');
    const release = this.retain();
    try {
      const bytes = await readFully(this.#parts.file, buffer, position);
      if (bytes < buffer.length) throw Object.assign(new Error('a staged file became shorter'), { code: 'EIO' });
      return buffer;
    } finally {
      release();
    }
  }

  retain(): () => void {
    this.#holders += 1;
    let held = true;
    return () => {
      if (held) this.#release();
      held = false;
    };
  }

  async commit(digest: Digest): Promise<void> {
    const hex = sha256Hex(digest);
    if (!hex) throw new Error(`blobs are named by sha256, not by ${digest}`);
    if (this.#ended) throw new Error('commit of a stage that has ended');
    await this.#writes;
    if (this.#failure !== undefined) throw this.#failure;
    const { path, file, reservation, adopt, health } = this.#parts;
    try {
      await file.datasync();
      const adopted = await adopt(path, hex, this.#size, reservation);
      this.#ended = adopted ? Promise.resolve() : this.#unlink();
    } catch (error) {
      throw health.failed(error);
    }
    await this.#ended;
    this.#letGo();
  }

  async discard(): Promise<void> {
    this.#ended ??= this.#remove();
    await this.#ended;
  }

  async #append(chunk: Uint8Array): Promise<void> {
    if (this.#ended) throw new Error('write to a stage that has ended');
    // After a chunk that is missing no later one may follow: the file would hold other bytes than were verified.
    if (this.#failure !== undefined) throw this.#failure;
    const { file, reservation, health } = this.#parts;
    try {
      const missing = this.#size + chunk.length - reservation.bytes;
      if (missing > 0) await reservation.grow(missing);
      await writeFully(file, chunk, this.#size);
    } catch (error) {
      this.#failure = error;
      throw health.failed(error);
    }
    reservation.wrote(chunk.length);
    this.#size += chunk.length;
  }

  async #remove(): Promise<void> {
    await this.#writes;
    await this.#unlink();
    this.#letGo();
  }

  /** What can't be removed now is swept at the next start. */
  async #unlink(): Promise<void> {
    await this.#parts.disk.rm(this.#parts.path).catch((error) => publish('fault', { where: 'staging', error }));
  }

  #letGo(): void {
    this.#parts.reservation.release();
    this.#release();
  }

  #release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    const { file, onClosing } = this.#parts;
    onClosing(file.close().catch((error) => publish('fault', { where: 'staging', error })));
  }
}

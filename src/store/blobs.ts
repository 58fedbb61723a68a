/** Content-addressed bytes: whoever knows the sha256 digest can open them, and nothing incomplete ever has the name. */
import { type Digest, digestOf } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { OpenStage } from '../core/staging.ts';
import { type Handle, Handles } from './handles.ts';
import type { Health } from './health.ts';
import { blobName, emptyHex, quarantinePrefix, sha256Hex, sharedName, trashName } from './layout.ts';
import type { Objects } from './objects.ts';
import type { Reservation, Space } from './space.ts';
import type { Turns } from './turns.ts';

/** Bytes by sha256 digest; other algorithms are never found. */
export interface Blobs {
  /** Pinned against eviction until `close`. Touches recency. `undefined` when not there, also when the file vanished or has the wrong length. */
  open(digest: Digest): Promise<OpenBlob | undefined>;
  /** From memory. Right after a start without an index it may be false for what `open` finds. */
  has(digest: Digest): boolean;
  /** The whole blob. */
  bytes(digest: Digest): Promise<Buffer | undefined>;
  /** Stages, syncs and commits; rejects with code `ENOSPC` when there is no room. */
  add(bytes: Uint8Array): Promise<Digest>;
  /** False: not there, being read, or protected. */
  delete(digest: Digest): Promise<boolean>;
  /** Moves it to quarantine; whoever reads it meanwhile keeps what was opened. */
  quarantine(digest: Digest, reason: string): Promise<void>;
  touch(digest: Digest): void;
  /** Digests for which this returns true are never evicted. */
  protect(isProtected: (digest: Digest) => boolean): void;
}

export interface OpenBlob {
  readonly digest: Digest;
  readonly size: number;
  /** For reading at positions; valid until `close`, and shared: never close it. */
  readonly fd: number;
  /** Fewer bytes than `length` only at the end. Rejects when the file became shorter than it was. */
  read(position: number, length: number): Promise<Buffer>;
  /** Fills a buffer of the caller's; returns how many bytes there were. */
  readInto(buffer: Uint8Array, position: number): Promise<number>;
  /**
   * Lets the group of the data folder read the file, and tells its name below the folder of all blobs, `sha256/ab/cd/…`. `undefined`: it has no
   * name any more, or nobody can be let read it.
   */
  share(): Promise<string | undefined>;
  /** The same for everybody who reads the same open file. */
  readonly same: object;
  /** Idempotent. */
  close(): void;
}

export interface StoredBlobsParts {
  readonly objects: Objects;
  readonly space: Space;
  readonly turns: Turns;
  readonly health: Health;
  readonly clock: () => number;
  readonly stage: OpenStage;
  /** What is protected is up to date afterwards, whatever other processes did. Rejects when that can't be known. */
  readonly protectionKnown: () => Promise<void>;
}

/** What goes wrong with each answer is said now and then. */
const complainEveryMs = 60_000;

export class StoredBlobs implements Blobs {
  readonly #parts: StoredBlobsParts;
  readonly #handles: Handles;
  #unsharedAt = Number.NEGATIVE_INFINITY;

  constructor(parts: StoredBlobsParts) {
    this.#parts = parts;
    this.#handles = new Handles(parts.objects, parts.clock);
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const hex = sha256Hex(digest);
    const { space, health } = this.#parts;
    // An evicted one may still have its file for a moment, but its room is promised to others.
    if (!hex || space.isDoomed(hex)) return undefined;
    const unpin = space.pin(hex);
    let handle: Handle | undefined;
    try {
      handle = await this.#openWhole(hex);
      health.readWorked();
    } catch (error) {
      health.readFailed(error);
    } finally {
      if (!handle) unpin();
    }
    if (!handle) return undefined;
    if (!space.has(hex)) space.add(hex, handle.object.sizeBytes);
    space.touch(hex);
    return new PinnedBlob({ digest, handle, unpin, share: () => this.#share(hex) });
  }

  has(digest: Digest): boolean {
    return this.#parts.space.has(sha256Hex(digest) ?? '');
  }

  async bytes(digest: Digest): Promise<Buffer | undefined> {
    const blob = await this.open(digest);
    if (!blob) return undefined;
    try {
      return await blob.read(0, blob.size);
    } finally {
      blob.close();
    }
  }

  async add(bytes: Uint8Array): Promise<Digest> {
    const digest = digestOf(bytes);
    const there = this.has(digest) ? await this.open(digest) : undefined;
    if (there) {
      there.close();
      return digest;
    }
    const stage = await this.#parts.stage({ expectedSize: bytes.length });
    try {
      await stage.write(bytes);
      await stage.commit(digest);
    } finally {
      await stage.discard();
    }
    return digest;
  }

  async delete(digest: Digest): Promise<boolean> {
    const hex = sha256Hex(digest);
    if (!hex || this.#parts.space.isPinned(hex) || this.#parts.space.isProtected(hex)) return false;
    return this.#change(hex, async () => {
      const deleted = await this.#parts.objects.delete(blobName(hex));
      this.#gone(hex);
      return deleted;
    });
  }

  async quarantine(digest: Digest, reason: string): Promise<void> {
    const hex = sha256Hex(digest);
    if (hex) await this.#change(hex, () => this.#quarantine(hex, reason));
  }

  touch(digest: Digest): void {
    this.#parts.space.touch(sha256Hex(digest) ?? '');
  }

  protect(isProtected: (digest: Digest) => boolean): void {
    this.#parts.space.protect((hex) => isProtected(`sha256:${hex}`));
  }

  /** A synced file becomes the blob; one that is there already stays, unless its length gives it away. */
  adopt(file: string, hex: string, sizeBytes: number, reservation: Reservation): Promise<boolean> {
    const { objects, space } = this.#parts;
    return this.#change(hex, async () => {
      let adopted = await objects.adopt(blobName(hex), file);
      while (!adopted && !(await this.#keep(hex, sizeBytes))) adopted = await objects.adopt(blobName(hex), file);
      reservation.release();
      space.add(hex, sizeBytes);
      space.announce();
      return adopted;
    });
  }

  /**
   * Deletes what was evicted, unless it was stored again meanwhile. Another process may be about to publish these very bytes: so
   * they lose their name first, then we look, and only then are they deleted. Either we see what it wrote, or it sees that they are
   * gone and gives them their name back.
   */
  removeEvicted(hex: string, stillDoomed: () => boolean): Promise<void> {
    const { objects, space, protectionKnown } = this.#parts;
    return this.#change(hex, async () => {
      if (!stillDoomed()) return;
      this.#handles.forget(hex);
      if (!(await objects.move(blobName(hex), trashName(hex)))) return;
      try {
        await protectionKnown();
        if (!space.isProtected(hex)) {
          await objects.delete(trashName(hex));
          return;
        }
      } catch (error) {
        await objects.move(trashName(hex), blobName(hex));
        throw error;
      }
      await objects.move(trashName(hex), blobName(hex));
      space.spare(hex);
    });
  }

  close(): void {
    this.#handles.closeIdle();
  }

  async #share(hex: string): Promise<string | undefined> {
    const { objects, clock } = this.#parts;
    try {
      return (await objects.share(blobName(hex))) ? sharedName(hex) : undefined;
    } catch (error) {
      if (clock() - this.#unsharedAt >= complainEveryMs) {
        this.#unsharedAt = clock();
        publish('fault', { where: 'letting the proxy in front read stored bytes', error });
      }
      return undefined;
    }
  }

  /** One change of a blob's file at a time. One that failed may have happened all the same. */
  async #change<T>(hex: string, work: () => Promise<T>): Promise<T> {
    try {
      return await this.#parts.turns.take(hex, work);
    } catch (error) {
      this.#parts.health.doubt();
      throw error;
    }
  }

  async #openWhole(hex: string): Promise<Handle | undefined> {
    const handle = (await this.#handles.open(hex)) ?? (await this.#restore(hex));
    if (!handle) return undefined;
    const actual = handle.object.sizeBytes;
    const expected = this.#parts.space.sizeOf(hex) ?? actual;
    if (actual === expected && (actual > 0 || hex === emptyHex)) return handle;
    handle.release();
    await this.quarantine(`sha256:${hex}`, `${actual} bytes instead of ${expected === 0 ? 'some' : expected}`);
    return undefined;
  }

  /** Whether the blob that has the name already is a good one; it is made young again, so that no collector in another process takes it for forgotten. */
  async #keep(hex: string, sizeBytes: number): Promise<boolean> {
    const { objects, clock } = this.#parts;
    const there = await objects.facts(blobName(hex));
    if (!there) return false;
    if (there.sizeBytes === sizeBytes) return objects.freshen(blobName(hex), clock());
    await this.#quarantine(hex, `${there.sizeBytes} bytes instead of ${sizeBytes}`);
    return false;
  }

  /** A collector took it out, and now somebody asks for it after all; or it is stored at this very moment. Forgotten if it is neither. */
  async #restore(hex: string): Promise<Handle | undefined> {
    const { objects, space } = this.#parts;
    const isThere = await this.#change(hex, async () => {
      if (await objects.move(trashName(hex), blobName(hex))) return true;
      if (await objects.facts(blobName(hex))) return true;
      // In its turn: afterwards it may be stored anew, and bytes that nobody knows of would stay for ever.
      space.drop(hex);
      return false;
    });
    return isThere ? this.#handles.open(hex) : undefined;
  }

  async #quarantine(hex: string, reason: string): Promise<void> {
    const { objects, clock } = this.#parts;
    publish('store.damaged', { digest: `sha256:${hex}`, reason });
    // Its known length is forgotten last: if it can't be moved, it still gives itself away.
    await objects.move(blobName(hex), `${quarantinePrefix}/${hex}.${clock()}`);
    this.#gone(hex);
  }

  #gone(hex: string): void {
    this.#handles.forget(hex);
    this.#parts.space.drop(hex);
  }
}

interface Pinned {
  readonly digest: Digest;
  readonly handle: Handle;
  readonly unpin: () => void;
  readonly share: () => Promise<string | undefined>;
}

class PinnedBlob implements OpenBlob {
  readonly digest: Digest;
  readonly #handle: Handle;
  readonly #unpin: () => void;
  readonly share: () => Promise<string | undefined>;

  constructor({ digest, handle, unpin, share }: Pinned) {
    this.digest = digest;
    this.#handle = handle;
    this.#unpin = unpin;
    this.share = share;
  }

  get size(): number {
    return this.#handle.object.sizeBytes;
  }

  get same(): object {
    return this.#handle.object;
  }

  get fd(): number {
    return this.#handle.object.fd;
  }

  async read(position: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, this.size - position)));
    await this.readInto(buffer, position);
    return buffer;
  }

  async readInto(buffer: Uint8Array, position: number): Promise<number> {
    const wanted = Math.max(0, Math.min(buffer.length, this.size - position));
    const bytes = wanted === 0 ? 0 : await this.#handle.object.readInto(buffer, position);
    if (bytes < wanted) throw Object.assign(new Error(`${this.digest} became shorter`), { code: 'EIO' });
    return bytes;
  }

  close(): void {
    this.#handle.release();
    this.#unpin();
  }
}

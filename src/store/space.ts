/**
 * How much room there is: bytes are reserved before they are written, so the disk is never promised twice; recency
 * decides what makes way; what is being read, written or protected never does.
 */
import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import { publish } from '../core/events.ts';
import { NoSpace } from '../core/staging.ts';
import type { Health } from './health.ts';
import type { Records } from './index.ts';

/** In the index, by hexadecimal digest: size in bytes, time of last use in ms. */
export type SavedBlob = readonly [sizeBytes: number, usedAt: number];

export interface SpaceOptions {
  readonly maxSizeBytes: number | undefined;
  readonly keepFreeBytes: number;
  readonly clock: () => number;
  readonly health: Health;
  readonly saved: Records<SavedBlob>;
  /** Free bytes of the file system; `undefined` when it does not tell. */
  readonly freeBytes: () => Promise<number | undefined>;
  /** Deletes an evicted blob unless `stillDoomed` has become false meanwhile. */
  readonly remove: (hex: string, stillDoomed: () => boolean) => Promise<void>;
}

export interface Reservation {
  readonly bytes: number;
  /** Rejects with `ENOSPC`; what was reserved before stays reserved. */
  grow(bytes: number): Promise<void>;
  /** Bytes that reached the disk no longer have to be kept free there. */
  wrote(bytes: number): void;
  /** Idempotent. */
  release(): void;
}

interface Known {
  readonly sizeBytes: number;
  usedAt: number;
  savedAt: number;
}

/** A blob in constant use is written to the index this often. */
const saveUseEveryMs = 60_000;
const freeSampleMs = 1_000;
/** When evicting did not free anything on the disk (snapshots, quotas), it is not tried again for this long. */
const futileMs = 600_000;
/** Evicted files may still be there beyond the budget up to this fraction of it; then new bytes wait for the deletions. */
const overhang = 1 / 20;
const deletionsAtOnce = 4;

export class Space {
  readonly #options: SpaceOptions;
  readonly #known = new LRUCache<string, Known>({
    maxSize: Number.MAX_SAFE_INTEGER,
    sizeCalculation: (known) => Math.max(1, known.sizeBytes),
  });
  readonly #pins = new Map<string, number>();
  readonly #doomed = new Map<string, number>();
  readonly #deletions = new PQueue({ concurrency: deletionsAtOnce });
  readonly #protections: ((hex: string) => boolean)[] = [];
  #usedBytes = 0;
  #reservedBytes = 0;
  #unwrittenBytes = 0;
  #doomedBytes = 0;
  #writtenBytes = 0;
  #sample: { readonly at: number; readonly freeBytes: number | undefined; readonly writtenBytes: number } | undefined;
  #futileUntil = 0;

  constructor(options: SpaceOptions) {
    this.#options = options;
  }

  /** Takes room for new bytes, making some if need be. Rejects with a NoSpace, which knows "never" from "not now". */
  async reserve(bytes: number): Promise<Reservation> {
    const claim = new Claim(this);
    await claim.grow(bytes);
    return claim;
  }

  /** @internal for Claim. */
  async take(held: number, bytes: number): Promise<void> {
    const { maxSizeBytes, health } = this.#options;
    if (maxSizeBytes !== undefined && held + bytes > maxSizeBytes) {
      const message = `${held + bytes} bytes will never fit into a store of ${maxSizeBytes} bytes`;
      throw new NoSpace(message, { isForGood: true });
    }
    await health.admit();
    await this.#keepDiskFree(bytes);
    const over = maxSizeBytes === undefined ? 0 : this.#usedBytes + this.#reservedBytes + bytes - maxSizeBytes;
    if (over > 0 && !this.#evict(over)) {
      throw health.refused(`no room now: everything in the store of ${maxSizeBytes} bytes is in use`);
    }
    this.#reservedBytes += bytes;
    this.#unwrittenBytes += bytes;
    health.accepted();
    await this.#deletionsCaughtUp();
  }

  /** @internal for Claim. */
  wrote(bytes: number): void {
    this.#unwrittenBytes -= bytes;
    this.#writtenBytes += bytes;
  }

  /** @internal for Claim. */
  give(bytes: number, unwritten: number): void {
    this.#reservedBytes -= bytes;
    this.#unwrittenBytes -= unwritten;
  }

  has(hex: string): boolean {
    return this.#known.has(hex);
  }

  sizeOf(hex: string): number | undefined {
    return this.#known.peek(hex)?.sizeBytes;
  }

  /** Evicted, its file not yet deleted. */
  isDoomed(hex: string): boolean {
    return this.#doomed.has(hex);
  }

  /** A blob is on the disk. `saved` when the index has it already. */
  add(hex: string, sizeBytes: number, usedAt = this.#options.clock(), saved = false): void {
    this.#undoom(hex);
    const before = this.#known.peek(hex);
    if (before) this.#usedBytes -= before.sizeBytes;
    this.#known.set(hex, { sizeBytes, usedAt, savedAt: usedAt });
    this.#usedBytes += sizeBytes;
    if (!saved) this.#options.saved.set(hex, [sizeBytes, usedAt]);
  }

  /** It stays after all, though it was evicted. */
  spare(hex: string): void {
    const size = this.#doomed.get(hex);
    if (size !== undefined) this.add(hex, size);
  }

  /** A blob is no longer on the disk. */
  drop(hex: string): void {
    const known = this.#known.peek(hex);
    if (!known) return;
    this.#known.delete(hex);
    this.#usedBytes -= known.sizeBytes;
    this.#options.saved.delete(hex);
    this.announce();
  }

  touch(hex: string): void {
    const known = this.#known.get(hex);
    if (!known) return;
    known.usedAt = this.#options.clock();
    if (known.usedAt - known.savedAt < saveUseEveryMs) return;
    known.savedAt = known.usedAt;
    this.#options.saved.set(hex, [known.sizeBytes, known.usedAt]);
  }

  /** Keeps it from eviction until the returned function is called. */
  pin(hex: string): () => void {
    this.#pins.set(hex, (this.#pins.get(hex) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.#pins.get(hex) ?? 1) - 1;
      if (left > 0) this.#pins.set(hex, left);
      else this.#pins.delete(hex);
    };
  }

  isPinned(hex: string): boolean {
    return this.#pins.has(hex);
  }

  protect(isProtected: (hex: string) => boolean): void {
    this.#protections.push(isProtected);
  }

  isProtected(hex: string): boolean {
    return this.#protections.some((isProtected) => isProtected(hex));
  }

  usage(): { readonly bytes: number; readonly blobs: number; readonly reservedBytes: number } {
    return {
      bytes: this.#usedBytes + this.#doomedBytes,
      blobs: this.#known.size,
      reservedBytes: this.#reservedBytes,
    };
  }

  /** Evicts until the budget holds again, as far as that is possible. */
  trim(): void {
    const { maxSizeBytes } = this.#options;
    if (maxSizeBytes === undefined) return;
    const over = this.#usedBytes + this.#reservedBytes - maxSizeBytes;
    if (over > 0) this.#doom(this.#victims(over).found);
  }

  /** Digests and times of last use, for putting them in order after a scan. */
  *uses(): Iterable<readonly [hex: string, usedAt: number]> {
    for (const [hex, known] of this.#known.entries()) yield [hex, known.usedAt];
  }

  /** Makes it the most recent in the order of eviction; the time of use stays. */
  promote(hex: string): void {
    this.#known.get(hex);
  }

  announce(): void {
    publish('store.size', { bytes: this.#usedBytes + this.#doomedBytes, entries: this.#known.size });
  }

  /** Resolves when every evicted file is deleted. */
  settled(): Promise<void> {
    return this.#deletions.onIdle();
  }

  /** Below `keepFreeBytes` the least recent blobs make way, but only if that is enough: a disk filled by others is not our cache's fault. */
  async #keepDiskFree(bytes: number): Promise<void> {
    const { keepFreeBytes, clock, health } = this.#options;
    let missing = await this.#missing(bytes);
    if (missing <= 0) return;
    if (this.#doomed.size > 0) {
      await this.settled();
      missing = await this.#missing(bytes, true);
    }
    if (missing > 0 && clock() >= this.#futileUntil && this.#evict(missing)) {
      await this.settled();
      missing = await this.#missing(bytes, true);
      if (missing > 0) this.#futileUntil = clock() + futileMs;
    }
    if (missing > 0) throw health.refused(`no room now: less than ${keepFreeBytes} bytes would stay free on the disk`);
  }

  async #missing(bytes: number, anew = false): Promise<number> {
    const { keepFreeBytes, clock, freeBytes } = this.#options;
    const now = clock();
    if (anew || !this.#sample || now - this.#sample.at >= freeSampleMs || now < this.#sample.at) {
      const writtenBytes = this.#writtenBytes;
      this.#sample = { at: now, freeBytes: await freeBytes(), writtenBytes };
    }
    if (this.#sample.freeBytes === undefined) return 0;
    const free = this.#sample.freeBytes - (this.#writtenBytes - this.#sample.writtenBytes) - this.#unwrittenBytes;
    return keepFreeBytes + bytes - free;
  }

  /** Evicts at least so many bytes, or nothing at all. */
  #evict(bytes: number): boolean {
    const { found, enough } = this.#victims(bytes);
    if (enough) this.#doom(found);
    return enough;
  }

  #victims(bytes: number): { readonly found: readonly string[]; readonly enough: boolean } {
    const found: string[] = [];
    const kept: string[] = [];
    let left = bytes;
    for (const hex of this.#known.rkeys()) {
      if (left <= 0) break;
      if (this.isProtected(hex)) kept.push(hex);
      else if (!this.#pins.has(hex)) {
        found.push(hex);
        left -= this.sizeOf(hex) ?? 0;
      }
    }
    // So that the next search does not begin with all that is protected.
    for (const hex of kept) this.promote(hex);
    return { found, enough: left <= 0 };
  }

  #doom(victims: readonly string[]): void {
    const now = this.#options.clock();
    for (const hex of victims) {
      const { sizeBytes: size = 0, usedAt = now } = this.#known.peek(hex) ?? {};
      this.#known.delete(hex);
      this.#usedBytes -= size;
      this.#doomed.set(hex, size);
      this.#doomedBytes += size;
      publish('store.evicted', { digest: `sha256:${hex}`, bytes: size, idleMs: Math.max(0, now - usedAt) });
      void this.#deletions.add(() => this.#delete(hex, size));
    }
    this.announce();
  }

  async #delete(hex: string, size: number): Promise<void> {
    try {
      await this.#options.remove(hex, () => this.#doomed.has(hex));
      if (this.#doomed.has(hex)) this.#options.saved.delete(hex);
    } catch (error) {
      publish('fault', { where: 'eviction', error });
      // It is still on the disk, so it still counts; as the most recent one, so that others are tried first.
      if (this.#doomed.has(hex)) this.add(hex, size);
    } finally {
      this.#undoom(hex);
      this.announce();
    }
  }

  #undoom(hex: string): void {
    const size = this.#doomed.get(hex);
    if (size === undefined) return;
    this.#doomed.delete(hex);
    this.#doomedBytes -= size;
  }

  async #deletionsCaughtUp(): Promise<void> {
    const { maxSizeBytes } = this.#options;
    if (maxSizeBytes === undefined) return;
    const most = maxSizeBytes * (1 + overhang);
    while (this.#doomedBytes > 0 && this.#usedBytes + this.#reservedBytes + this.#doomedBytes > most) {
      await this.#deletions.onPendingZero();
    }
  }
}

class Claim implements Reservation {
  readonly #space: Space;
  #bytes = 0;
  #unwritten = 0;

  constructor(space: Space) {
    this.#space = space;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async grow(bytes: number): Promise<void> {
    await this.#space.take(this.#bytes, bytes);
    this.#bytes += bytes;
    this.#unwritten += bytes;
  }

  wrote(bytes: number): void {
    this.#unwritten -= bytes;
    this.#space.wrote(bytes);
  }

  release(): void {
    this.#space.give(this.#bytes, this.#unwritten);
    this.#bytes = 0;
    this.#unwritten = 0;
  }
}

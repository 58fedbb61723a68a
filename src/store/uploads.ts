/**
 * Uploads that come in several requests. Each is a file that only grows and a small one that says whose it is, so a session
 * outlives the process, and any process on the folder can go on with it; how far it came is the length of its file and
 * nothing else. When all of it is there the file becomes a blob; not a byte is copied.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type Algorithm, algorithmOf, type Digest, Digester, firstMismatch } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import { Problem } from '../core/problem.ts';
import { codeOf, type Disk, type DiskFile, readFully, writeFully } from './disk.ts';
import type { Health } from './health.ts';
import { sha256Hex, uploadsFolder } from './layout.ts';
import { lockFile } from './process-lock.ts';
import type { Reservation } from './space.ts';

/** After so long a session ends, however far it came: the specification of registries leaves it to us, and clients begin anew. */
export const sessionMs = 24 * 3_600_000;
const sweepEveryMs = 3_600_000;
/** What was left in the middle takes nobody's room for longer. */
const pendingMs = 3_600_000;
const readBytes = 256 * 1024;

/** Nobody else can go on with a session, nor learn that it exists. */
export interface UploadOwner {
  /** `org/name`. */
  readonly repository: string;
  /** Of the package that it is for. */
  readonly name: string;
  /** `nameOfIdentity`. */
  readonly by: string;
}

export interface Uploads {
  /** Begins one, with nothing in it, and holds it. */
  open(owner: UploadOwner): Promise<HeldUpload>;
  /** Bytes that arrived; `undefined`: there is no such session, or it is another's, or too old. */
  sizeOf(id: string, owner: UploadOwner): Promise<number | undefined>;
  /** Until it is let go nobody else can write to it: they get a Problem (`conflict`). `undefined` as above. */
  hold(id: string, owner: UploadOwner): Promise<HeldUpload | undefined>;
  /** Of sessions of the repository that something came for lately, in this process, but for one: bytes that may be published next. */
  pendingBytes(repository: string, except: string): number;
  /** Ends sessions that are too old; returns how many. Done at the start and now and then anyway. */
  sweep(): Promise<number>;
}

/** A session in the hands of one request, which must let it go. */
export interface HeldUpload {
  readonly id: string;
  /** Bytes that arrived. */
  readonly size: number;
  /**
   * Adds at the end, piece by piece; what arrived before a failure stays. Above the limit the session ends (`too_large`).
   * Rejects with the operating system's error (`ENOSPC`, `EIO`, …).
   */
  append(bytes: AsyncIterable<Uint8Array>, limitBytes: number): Promise<void>;
  /** Digests of all bytes, sha256 first. If they have another one the session ends (`digest_mismatch`). */
  verify(digest: Digest, algorithms?: readonly Algorithm[]): Promise<readonly Digest[]>;
  /** At most `length` bytes; fewer only at the end. Until it is let go. */
  read(offset: number, length: number): Promise<Buffer>;
  /** Synced, and a blob; the session ends. The digest, of sha256, has been verified. */
  commit(digest: Digest): Promise<void>;
  /** Ends the session and forgets its bytes. Harmless after commit. */
  discard(): Promise<void>;
  /** Lets it go: it can be gone on with. Idempotent. */
  release(): Promise<void>;
}

export interface StoredUploadsParts {
  readonly root: string;
  readonly disk: Disk;
  readonly health: Health;
  readonly clock: () => number;
  readonly reserve: (bytes: number) => Promise<Reservation>;
  /** Turns the synced file into the blob and the reservation into use. False: there is one already, and the file is left. */
  readonly adopt: (path: string, hex: string, sizeBytes: number, reservation: Reservation) => Promise<boolean>;
}

interface Saved extends UploadOwner {
  /** In ms. */
  readonly createdAt: number;
}

/** What this process knows of a session; the disk knows better. */
interface Known {
  /** Of the bytes before `digested`. */
  digester: Digester;
  digested: number;
  readonly reservation: Reservation;
  /** `org/name`; absent: nobody has asked for it since the start. */
  repository?: string;
  /** In ms. */
  touchedAt: number;
}

const idGrammar = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const fileGrammar = /^([0-9a-f-]{36})\.(?:json|data|lock)$/;

export class StoredUploads implements Uploads {
  readonly #parts: StoredUploadsParts;
  readonly #folder: string;
  readonly #known = new Map<string, Known>();
  /** By a request of this process. */
  readonly #held = new Set<string>();
  #sweptAt: number;
  #hasFolder = false;
  #locksFail = false;

  constructor(parts: StoredUploadsParts) {
    this.#parts = parts;
    this.#folder = join(parts.root, uploadsFolder);
    this.#sweptAt = parts.clock();
  }

  /** Sweeps, and counts what is left as space in use. */
  async start(): Promise<void> {
    await this.sweep();
    for (const id of await this.#ids()) {
      const size = await this.#sizeOnDisk(id);
      if (size !== undefined) await this.#know(id, size);
    }
  }

  async open(owner: UploadOwner): Promise<HeldUpload> {
    const { disk, clock, health } = this.#parts;
    if (clock() - this.#sweptAt >= sweepEveryMs) {
      await this.sweep().catch((error) => publish('fault', { where: 'uploads', error }));
    }
    const id = randomUUID();
    const { repository, name, by } = owner;
    const saved: Saved = { repository, name, by, createdAt: clock() };
    let held: HeldUpload | undefined;
    try {
      // Locks lie in it, too, and the first of them is made before any other file.
      if (!this.#hasFolder) await disk.mkdir(this.#folder);
      this.#hasFolder = true;
      held = await this.#take(id, repository, () => this.#create(id));
      if (!held) throw new Error('a new upload was taken away');
      await disk.writeFile(this.#path(id, 'json'), JSON.stringify(saved));
      return held;
    } catch (error) {
      await held?.discard();
      await held?.release();
      throw health.failed(error);
    }
  }

  async sizeOf(id: string, owner: UploadOwner): Promise<number | undefined> {
    return (await this.#isOwn(id, owner)) ? this.#sizeOnDisk(id) : undefined;
  }

  async hold(id: string, owner: UploadOwner): Promise<HeldUpload | undefined> {
    if (!(await this.#isOwn(id, owner))) return undefined;
    const { disk, health } = this.#parts;
    try {
      return await this.#take(id, owner.repository, () => disk.open(this.#path(id, 'data'), 'r+'));
    } catch (error) {
      throw health.failed(error);
    }
  }

  pendingBytes(repository: string, except: string): number {
    const since = this.#parts.clock() - pendingMs;
    let bytes = 0;
    for (const [id, known] of this.#known) {
      if (id !== except && known.repository === repository && known.touchedAt >= since)
        bytes += known.reservation.bytes;
    }
    return bytes;
  }

  async sweep(): Promise<number> {
    const { clock } = this.#parts;
    this.#sweptAt = clock();
    let swept = 0;
    const ids = await this.#ids();
    for (const id of ids) {
      if (await this.#isYoung(id)) continue;
      if (this.#held.has(id)) continue;
      const unlock = this.#lock(id);
      if (!unlock) continue;
      try {
        await this.#remove(id);
        swept += 1;
      } finally {
        unlock();
      }
    }
    // What another process ended takes no room any more.
    for (const id of this.#known.keys()) if (!this.#held.has(id) && !ids.includes(id)) this.#forget(id);
    return swept;
  }

  /** `undefined`: the session has ended meanwhile. */
  async #take(id: string, repository: string, open: () => Promise<DiskFile>): Promise<HeldUpload | undefined> {
    if (this.#held.has(id)) throw inUse();
    this.#held.add(id);
    const unlock = this.#lock(id);
    const letGo = (): void => {
      this.#held.delete(id);
      unlock?.();
    };
    let file: DiskFile | undefined;
    try {
      if (!unlock) throw inUse();
      file = await open();
      const { size, nlink } = await file.stat();
      // With a second name it is a blob already: whoever made it one did not get to the end.
      if (nlink === 1) {
        const known = await this.#know(id, size);
        known.repository = repository;
        known.touchedAt = this.#parts.clock();
        return new Held({
          ...this.#parts,
          id,
          file,
          known,
          size,
          path: this.#path(id, 'data'),
          remove: () => this.#remove(id),
          letGo,
        });
      }
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') {
        await file?.close().catch(() => {});
        letGo();
        throw error;
      }
    }
    await file?.close().catch(() => {});
    await this.#remove(id);
    letGo();
    return undefined;
  }

  async #know(id: string, size: number): Promise<Known> {
    const before = this.#known.get(id);
    if (before) return before;
    const reservation = await this.#parts.reserve(0);
    const known: Known = { digester: new Digester(), digested: 0, reservation, touchedAt: Number.NEGATIVE_INFINITY };
    this.#known.set(id, known);
    if (size > 0) await account(reservation, size);
    return known;
  }

  #forget(id: string): void {
    this.#known.get(id)?.reservation.release();
    this.#known.delete(id);
  }

  async #create(id: string): Promise<DiskFile> {
    const { disk } = this.#parts;
    const path = this.#path(id, 'data');
    try {
      return await disk.open(path, 'wx+');
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await disk.mkdir(this.#folder);
      return disk.open(path, 'wx+');
    }
  }

  #path(id: string, kind: 'json' | 'data' | 'lock'): string {
    return join(this.#folder, `${id}.${kind}`);
  }

  async #ids(): Promise<string[]> {
    const entries = await this.#parts.disk.readdir(this.#folder).catch((error) => {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    });
    return [...new Set(entries.flatMap(({ name }) => fileGrammar.exec(name)?.[1] ?? []))];
  }

  async #isOwn(id: string, owner: UploadOwner): Promise<boolean> {
    if (!idGrammar.test(id)) return false;
    const saved = await this.#saved(id);
    if (!saved || !this.#isFresh(saved.createdAt)) return false;
    return saved.repository === owner.repository && saved.name === owner.name && saved.by === owner.by;
  }

  async #saved(id: string): Promise<Saved | undefined> {
    try {
      const saved = JSON.parse((await this.#parts.disk.readFile(this.#path(id, 'json'))).toString()) as Saved;
      return typeof saved.createdAt === 'number' ? saved : undefined;
    } catch (error) {
      if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #isFresh(sinceMs: number): boolean {
    return this.#parts.clock() - sinceMs < sessionMs;
  }

  /** One that has only half its files may be about to get the other. */
  async #isYoung(id: string): Promise<boolean> {
    const saved = await this.#saved(id);
    if (saved) return this.#isFresh(saved.createdAt);
    for (const kind of ['data', 'json', 'lock'] as const) {
      const facts = await this.#parts.disk.stat(this.#path(id, kind)).catch(() => undefined);
      if (facts) return this.#isFresh(facts.mtimeMs);
    }
    return false;
  }

  async #sizeOnDisk(id: string): Promise<number | undefined> {
    try {
      return (await this.#parts.disk.stat(this.#path(id, 'data'))).size;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Without its first file nobody finds it any more; what can't be removed now is swept later. */
  async #remove(id: string): Promise<void> {
    this.#forget(id);
    for (const kind of ['json', 'data', 'lock'] as const) {
      await this.#parts.disk.rm(this.#path(id, kind)).catch((error) => publish('fault', { where: 'uploads', error }));
    }
  }

  /** Against other processes; ends with this one. `undefined`: one of them has it. */
  #lock(id: string): (() => void) | undefined {
    try {
      const lock = lockFile(this.#path(id, 'lock'));
      return lock && (() => lock.release());
    } catch (error) {
      if (!this.#locksFail) publish('fault', { where: 'uploads', error });
      this.#locksFail = true;
      return () => {};
    }
  }
}

const inUse = (): Problem => new Problem('conflict', 'Another request is writing to this upload at the moment.');

/** Bytes that are on the disk already count as reserved, if there is room for them or not. */
async function account(reservation: Reservation, bytes: number): Promise<void> {
  try {
    await reservation.grow(bytes);
    reservation.wrote(bytes);
  } catch {
    // They stay where they are, and nothing more is taken until there is room.
  }
}

interface HeldParts extends StoredUploadsParts {
  readonly id: string;
  readonly path: string;
  readonly file: DiskFile;
  readonly size: number;
  readonly known: Known;
  readonly remove: () => Promise<void>;
  readonly letGo: () => void;
}

class Held implements HeldUpload {
  readonly #parts: HeldParts;
  #size: number;
  #ended = false;
  #released = false;

  constructor(parts: HeldParts) {
    this.#parts = parts;
    this.#size = parts.size;
  }

  get id(): string {
    return this.#parts.id;
  }

  get size(): number {
    return this.#size;
  }

  async append(bytes: AsyncIterable<Uint8Array>, limitBytes: number): Promise<void> {
    if (this.#ended) throw new Error('append to an upload that has ended');
    await this.#catchUp();
    for await (const chunk of bytes) {
      if (this.#size + chunk.length > limitBytes) {
        await this.discard();
        throw new Problem('too_large', `The file is longer than the ${limitBytes} bytes allowed here.`);
      }
      await this.#write(chunk);
    }
  }

  async verify(digest: Digest, algorithms: readonly Algorithm[] = []): Promise<readonly Digest[]> {
    const { known } = this.#parts;
    const wanted = [...new Set<Algorithm>([...algorithms, algorithmOf(digest)])];
    if (wanted.some((algorithm) => algorithm !== 'sha256')) this.#digestAnew(wanted);
    await this.#catchUp();
    const digests = known.digester.digests();
    this.#digestAnew([]);
    const mismatch = firstMismatch([digest], digests);
    if (!mismatch) return digests;
    await this.discard();
    throw new Problem(
      'digest_mismatch',
      `The ${this.#size} bytes that arrived have the digest ${mismatch.actual}, not ${mismatch.expected}.`,
    );
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, this.#size - offset)));
    const bytes = await readFully(this.#parts.file, buffer, offset);
    if (bytes < buffer.length) throw Object.assign(new Error('an uploaded file became shorter'), { code: 'EIO' });
    return buffer;
  }

  async commit(digest: Digest): Promise<void> {
    const hex = sha256Hex(digest);
    if (!hex) throw new Error(`blobs are named by sha256, not by ${digest}`);
    if (this.#ended) throw new Error('commit of an upload that has ended');
    const { path, file, known, adopt, health, remove } = this.#parts;
    try {
      await file.datasync();
      await adopt(path, hex, this.#size, known.reservation);
    } catch (error) {
      throw health.failed(error);
    }
    this.#ended = true;
    await remove();
  }

  async discard(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#parts.remove();
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.#parts.file.close().catch((error) => publish('fault', { where: 'uploads', error }));
    this.#parts.letGo();
  }

  async #write(chunk: Uint8Array): Promise<void> {
    const { file, health, known } = this.#parts;
    const { reservation } = known;
    try {
      const missing = this.#size + chunk.length - reservation.bytes;
      if (missing > 0) await reservation.grow(missing);
      await writeFully(file, chunk, this.#size);
    } catch (error) {
      throw health.failed(error);
    }
    reservation.wrote(chunk.length);
    known.digester.update(chunk);
    this.#size += chunk.length;
    known.digested = this.#size;
  }

  /** Bytes that another process took, or this one before it was started anew. */
  async #catchUp(): Promise<void> {
    const { known } = this.#parts;
    while (known.digested < this.#size) {
      const bytes = await this.read(known.digested, readBytes);
      known.digester.update(bytes);
      known.digested += bytes.length;
    }
  }

  #digestAnew(algorithms: readonly Algorithm[]): void {
    const { known } = this.#parts;
    known.digester = new Digester(algorithms);
    known.digested = 0;
  }
}

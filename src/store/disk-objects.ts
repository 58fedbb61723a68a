/** Objects as files below one folder. */
import { dirname, join } from 'node:path';
import { publish } from '../core/events.ts';
import { codeOf, type Disk, type DiskFile, readFully, writeFully } from './disk.ts';
import type { Hold, ListedObject, ObjectFacts, Objects, OpenObject } from './objects.ts';

export interface DiskObjectsOptions {
  readonly root: string;
  readonly disk: Disk;
  /** Path of a new temporary file on the same file system. */
  readonly temporary: () => Promise<string>;
}

/** What a file system answers that has no hard links. */
const noLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);
/** What the group needs of a folder to open a file in it whose name it knows, and of the file. */
const passableByGroup = 0o010;
const readableByGroup = 0o040;
/** Files asked for their size at a time. */
const statsAtOnce = 32;

export class DiskObjects implements Objects {
  readonly #root: string;
  readonly #disk: Disk;
  readonly #temporary: () => Promise<string>;
  /** Folders whose own names survive a power failure. Folders are never removed, so this is learnt once. */
  readonly #settled = new Set<string>();
  /** Folders that the group may pass through. Looked at once: whoever sets their modes does it when the process starts. */
  readonly #shared = new Set<string>();

  constructor(options: DiskObjectsOptions) {
    this.#root = options.root;
    this.#disk = options.disk;
    this.#temporary = options.temporary;
  }

  async adopt(name: string, file: string): Promise<boolean> {
    const target = join(this.#root, name);
    try {
      await this.#inFolder(target, () => this.#disk.link(file, target));
    } catch (error) {
      const code = codeOf(error) ?? '';
      if (code === 'EEXIST') return false;
      if (!noLinks.has(code)) throw error;
      if (await this.facts(name)) return false;
      await this.#inFolder(target, () => this.#disk.rename(file, target));
      return true;
    }
    // The object exists from here on; a left-over second name is swept at the next start. Folders are not synced: when
    // the power fails a blob may be missing afterwards, which costs one more download, but never wrong.
    await this.#disk.unlink(file).catch((error) => publish('fault', { where: 'staging', error }));
    return true;
  }

  async replace(name: string, bytes: Uint8Array | string | AsyncIterable<Uint8Array>): Promise<void> {
    const target = join(this.#root, name);
    const file = await this.#temporary();
    try {
      if (typeof bytes === 'string' || bytes instanceof Uint8Array) {
        await this.#inFolder(file, () => this.#disk.writeFile(file, bytes));
      } else await this.#write(file, bytes, false);
      await this.#inFolder(target, () => this.#disk.rename(file, target));
    } catch (error) {
      await this.#disk.unlink(file).catch(() => {});
      throw error;
    }
  }

  async create(name: string, bytes: Uint8Array): Promise<boolean> {
    const target = join(this.#root, name);
    const file = await this.#temporary();
    try {
      await this.#inFolder(file, () => this.#write(file, [bytes], true));
      if (!(await this.#link(file, target))) return false;
      await this.settle(name);
      return true;
    } finally {
      await this.#disk.unlink(file).catch(leftOver);
    }
  }

  /** All at once: the file system takes syncs that come together as one. */
  async settle(name: string): Promise<void> {
    const folder = dirname(join(this.#root, name));
    const unsettled: string[] = [];
    for (let above = folder; above !== this.#root && !this.#settled.has(above); above = dirname(above)) {
      unsettled.push(above);
    }
    if (!this.#settled.has(this.#root)) unsettled.push(this.#root);
    await Promise.all([
      this.#syncFolder(folder),
      // A folder's own name stands in the one above it. What the data folder lies in is not ours; it may not even be ours to open.
      ...unsettled.map((path) =>
        path === this.#root ? this.#syncFolder(dirname(path)).catch(() => {}) : this.#syncFolder(dirname(path)),
      ),
    ]);
    for (const path of unsettled) this.#settled.add(path);
  }

  async hold(name: string): Promise<Hold | undefined> {
    const target = join(this.#root, name);
    const file = await this.#temporary();
    const held = await wasThere(this.#disk.link(target, file));
    if (!held) return undefined;
    return {
      restore: async () => {
        if (!this.existsNow(name) && (await this.#link(file, target))) await this.settle(name);
      },
      release: () => this.#disk.unlink(file).catch(leftOver),
    };
  }

  existsNow(name: string): boolean {
    return this.#disk.existsNow(join(this.#root, name));
  }

  async groups(prefix: string): Promise<readonly string[]> {
    const entries = await ifThere(this.#disk.readdir(join(this.#root, prefix)));
    return (entries ?? []).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }

  async open(name: string): Promise<OpenObject | undefined> {
    const file = await ifThere(this.#disk.open(join(this.#root, name), 'r'));
    if (!file) return undefined;
    try {
      return new OpenFile(file, this.#disk);
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
  }

  read(name: string): Promise<Buffer | undefined> {
    return ifThere(this.#disk.readFile(join(this.#root, name)));
  }

  async facts(name: string): Promise<ObjectFacts | undefined> {
    const found = await ifThere(this.#disk.stat(join(this.#root, name)));
    return found && { sizeBytes: found.size, modifiedAt: found.mtimeMs };
  }

  freshen(name: string, atMs: number): Promise<boolean> {
    return wasThere(this.#disk.utimes(join(this.#root, name), atMs));
  }

  async share(name: string): Promise<boolean> {
    const path = join(this.#root, name);
    const { mode } = (await ifThere(this.#disk.stat(path))) ?? {};
    if (mode === undefined) return false;
    const folders: string[] = [];
    for (let folder = dirname(path); !this.#shared.has(folder); folder = dirname(folder)) {
      folders.push(folder);
      if (folder === this.#root) break;
    }
    for (const folder of folders) await this.#allow(folder, passableByGroup);
    for (const folder of folders) this.#shared.add(folder);
    if ((mode & readableByGroup) === 0) await this.#allow(path, readableByGroup);
    return true;
  }

  async move(from: string, to: string): Promise<boolean> {
    const target = join(this.#root, to);
    return wasThere(this.#inFolder(target, () => this.#disk.rename(join(this.#root, from), target)));
  }

  delete(name: string): Promise<boolean> {
    return wasThere(this.#disk.unlink(join(this.#root, name)));
  }

  async *names(prefix: string): AsyncIterable<string> {
    const entries = await ifThere(this.#disk.readdir(join(this.#root, prefix)));
    for (const entry of entries ?? []) {
      const name = `${prefix}/${entry.name}`;
      if (entry.isFile()) yield name;
      else if (entry.isDirectory()) yield* this.names(name);
    }
  }

  async *list(prefix: string): AsyncIterable<ListedObject> {
    for await (const names of handfuls(this.names(prefix), statsAtOnce)) {
      const listed = names.map(async (name) => {
        const facts = await this.facts(name);
        return facts && { name, ...facts };
      });
      for (const found of await Promise.all(listed)) if (found) yield found;
    }
  }

  async #allow(path: string, bits: number): Promise<void> {
    const { mode } = await this.#disk.stat(path);
    if ((mode & bits) !== bits) await this.#disk.chmod(path, (mode & 0o7777) | bits);
  }

  /** False: the name is taken. */
  async #link(file: string, target: string): Promise<boolean> {
    try {
      await this.#inFolder(target, () => this.#disk.link(file, target));
      return true;
    } catch (error) {
      const code = codeOf(error) ?? '';
      if (code === 'EEXIST') return false;
      if (!noLinks.has(code)) throw error;
      const message = 'the file system of the data folder has no hard links, without which nothing can be published';
      throw Object.assign(new Error(message, { cause: error }), { code });
    }
  }

  async #write(path: string, pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, synced: boolean): Promise<void> {
    const file = await this.#disk.open(path, 'wx');
    try {
      let position = 0;
      for await (const piece of pieces) {
        await writeFully(file, piece, position);
        position += piece.length;
      }
      if (synced) await file.datasync();
    } finally {
      await file.close();
    }
  }

  async #syncFolder(path: string): Promise<void> {
    const folder = await this.#disk.open(path, 'r');
    try {
      // Not `datasync`, which may leave out a new name in a folder whose size stays the same.
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  /** Folders are made when they turn out to be missing: most of the time they are there. */
  async #inFolder(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await this.#disk.mkdir(dirname(path));
      await work();
    }
  }
}

class OpenFile implements OpenObject {
  readonly sizeBytes: number;
  readonly fd: number;
  readonly #file: DiskFile;
  readonly #disk: Disk;

  constructor(file: DiskFile, disk: Disk) {
    this.#file = file;
    this.#disk = disk;
    this.fd = file.fd;
    this.sizeBytes = disk.statNow(file.fd).size;
  }

  readInto(buffer: Uint8Array, position: number): Promise<number> {
    return readFully(this.#file, buffer, position);
  }

  intact(): boolean {
    const { size, nlink } = this.#disk.statNow(this.fd);
    return size === this.sizeBytes && nlink > 0;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Several at a time, for work that waits for the disk. */
export async function* handfuls<T>(from: AsyncIterable<T>, count: number): AsyncIterable<readonly T[]> {
  let some: T[] = [];
  for await (const one of from) {
    some.push(one);
    if (some.length < count) continue;
    yield some;
    some = [];
  }
  if (some.length > 0) yield some;
}

/** A left-over second name is swept at the next start. */
function leftOver(error: unknown): void {
  if (codeOf(error) !== 'ENOENT') publish('fault', { where: 'staging', error });
}

async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function wasThere(done: Promise<void>): Promise<boolean> {
  try {
    await done;
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

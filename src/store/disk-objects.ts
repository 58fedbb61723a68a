/** Objects as files below one folder. */
import { dirname, join } from 'node:path';
import { publish } from '../core/events.ts';
import { codeOf, type Disk, type DiskFile, readFully } from './disk.ts';
import type { ListedObject, ObjectFacts, Objects, OpenObject } from './objects.ts';

export interface DiskObjectsOptions {
  readonly root: string;
  readonly disk: Disk;
  /** Path of a new temporary file on the same file system. */
  readonly temporary: () => Promise<string>;
}

/** What a file system answers that has no hard links. */
const noLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);
/** Files of one folder asked for their size at a time. */
const statsAtOnce = 32;

export class DiskObjects implements Objects {
  readonly #root: string;
  readonly #disk: Disk;
  readonly #temporary: () => Promise<string>;

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
    // The object exists from here on; a left-over second name is swept at the next start.
    await this.#disk.unlink(file).catch((error) => publish('fault', { where: 'staging', error }));
    return true;
  }

  async replace(name: string, bytes: Uint8Array | string): Promise<void> {
    const target = join(this.#root, name);
    const file = await this.#temporary();
    try {
      await this.#inFolder(file, () => this.#disk.writeFile(file, bytes));
      await this.#inFolder(target, () => this.#disk.rename(file, target));
    } catch (error) {
      await this.#disk.unlink(file).catch(() => {});
      throw error;
    }
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

  async move(from: string, to: string): Promise<boolean> {
    const target = join(this.#root, to);
    return wasThere(this.#inFolder(target, () => this.#disk.rename(join(this.#root, from), target)));
  }

  delete(name: string): Promise<boolean> {
    return wasThere(this.#disk.unlink(join(this.#root, name)));
  }

  async *list(prefix: string): AsyncIterable<ListedObject> {
    const entries = await ifThere(this.#disk.readdir(join(this.#root, prefix)));
    if (!entries) return;
    const files = entries.filter((entry) => entry.isFile());
    for (let from = 0; from < files.length; from += statsAtOnce) {
      const some = files.slice(from, from + statsAtOnce).map(async ({ name }) => {
        const path = `${prefix}/${name}`;
        const facts = await this.facts(path);
        return facts && { name: path, ...facts };
      });
      for (const found of await Promise.all(some)) if (found) yield found;
    }
    for (const entry of entries) if (entry.isDirectory()) yield* this.list(`${prefix}/${entry.name}`);
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

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
/** Files asked for their size at a time. */
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
    // The object exists from here on; a left-over second name is swept at the next start. Folders are not synced: when
    // the power fails a blob may be missing afterwards, which costs one more download, but never wrong.
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

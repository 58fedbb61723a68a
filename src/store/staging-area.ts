/**
 * The folder for bytes in progress, shared by all processes on one data folder. Each has a name of its own (process id
 * and a random part) and a lock; files of a process whose lock is free belong to the dead and are swept.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { publish } from '../core/events.ts';
import { codeOf, type Disk } from './disk.ts';
import { stagingFolder } from './layout.ts';
import { lockFile } from './process-lock.ts';

const ownedName = /^(\d+-[0-9a-f]{12})(?:\.lock|-\d+)$/;

export class StagingArea {
  readonly #path: string;
  readonly #disk: Disk;
  #owner: Promise<Owner> | undefined;
  #count = 0;
  #closed = false;

  constructor(root: string, disk: Disk) {
    this.#path = join(root, stagingFolder);
    this.#disk = disk;
  }

  /** Path of a new file. Rejects while the disk does not let this process have a lock file; the next call tries again. */
  async next(): Promise<string> {
    if (this.#closed) throw new Error('the store is closed');
    this.#owner ??= this.#enter();
    try {
      const { name } = await this.#owner;
      this.#count += 1;
      return join(this.#path, `${name}-${this.#count}`);
    } catch (error) {
      this.#owner = undefined;
      throw error;
    }
  }

  /** Removes what dead processes left; returns the number of files. */
  async sweep(): Promise<number> {
    const own = await this.#owner?.catch(() => undefined);
    let swept = 0;
    for (const [owner, files] of await this.#owners()) {
      if (owner !== own?.name) swept += await this.#sweepOwner(owner, files);
    }
    return swept;
  }

  /** Whether no other process uses the folder, nor died using it. */
  async alone(): Promise<boolean> {
    const own = await this.#owner?.catch(() => undefined);
    const others = [...(await this.#owners()).keys()].filter((name) => name !== own?.name);
    return others.length === 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const own = await this.#owner?.catch(() => undefined);
    this.#owner = undefined;
    if (!own) return;
    try {
      const files = (await this.#owners()).get(own.name) ?? [];
      for (const file of files) await this.#remove(file);
      await this.#remove(lockName(own.name));
    } catch (error) {
      publish('fault', { where: 'staging', error });
    } finally {
      own.release();
    }
  }

  async #enter(): Promise<Owner> {
    await this.#disk.mkdir(this.#path);
    for (;;) {
      const name = `${process.pid}-${randomBytes(6).toString('hex')}`;
      const path = join(this.#path, lockName(name));
      await this.#disk.writeFile(path, '');
      const release = this.#lock(path);
      // Between making and locking the file somebody may have swept it: then it is not ours.
      if (release && (await this.#exists(path))) return { name, release };
      release?.();
    }
  }

  #lock(path: string): (() => void) | undefined {
    try {
      const lock = lockFile(path);
      return lock && (() => lock.release());
    } catch (error) {
      // Without locks nobody can sweep either: a lock that cannot be tried counts as held.
      publish('fault', { where: 'staging', error });
      return () => {};
    }
  }

  async #owners(): Promise<Map<string, string[]>> {
    const owners = new Map<string, string[]>();
    const entries = await this.#disk.readdir(this.#path).catch((error) => {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    });
    for (const { name } of entries) {
      const owner = ownedName.exec(name)?.[1];
      if (!owner) continue;
      const files = owners.get(owner) ?? [];
      if (name !== lockName(owner)) files.push(name);
      owners.set(owner, files);
    }
    return owners;
  }

  async #sweepOwner(owner: string, files: readonly string[]): Promise<number> {
    const path = join(this.#path, lockName(owner));
    let lock: { release(): void } | undefined;
    // The lock file is made first and removed last, so without one nobody is alive.
    if (await this.#exists(path)) {
      try {
        lock = lockFile(path);
      } catch (error) {
        publish('fault', { where: 'staging', error });
      }
      if (!lock) return 0;
    }
    try {
      for (const file of files) await this.#remove(file);
      await this.#remove(lockName(owner));
    } finally {
      lock?.release();
    }
    return files.length;
  }

  async #exists(path: string): Promise<boolean> {
    try {
      await this.#disk.stat(path);
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  async #remove(file: string): Promise<void> {
    await this.#disk.rm(join(this.#path, file));
  }
}

interface Owner {
  readonly name: string;
  readonly release: () => void;
}

function lockName(owner: string): string {
  return `${owner}.lock`;
}

/** A disk whose n-th operation fails, for every kind of failure a disk knows. */
import { type Disk, type DiskFile, disk as realDisk } from '../../src/store/disk.ts';

export const faults = {
  'full: nothing, or only half, is written': { code: 'ENOSPC', half: true, late: false },
  'broken: nothing, or only half, is written': { code: 'EIO', half: true, late: false },
  'broken: it is done, but reported as failed': { code: 'EIO', half: false, late: true },
  'short: half is written and said so': { code: undefined, half: true, late: false },
} as const satisfies Record<string, Fault>;

export interface Fault {
  /** What is reported; absent: success. */
  readonly code: string | undefined;
  /** Of a write, the first half happens. */
  readonly half: boolean;
  /** The operation happens before it is reported as failed. */
  readonly late: boolean;
}

export interface FaultyDisk extends Disk {
  /** Operations so far. */
  readonly count: number;
  /** The operation that failed, once it has. */
  readonly failed: string | undefined;
  /** Files that were opened and not closed, by path. */
  readonly leftOpen: readonly string[];
  /** From now on nothing fails. */
  heal(): void;
}

/** The first operation is number 1. `which` narrows what is counted. */
export function faultyDisk(
  failAt: number,
  fault: Fault,
  which: (operation: string) => boolean = () => true,
): FaultyDisk {
  let count = 0;
  let failed: string | undefined;
  let healed = false;
  const leftOpen = new Map<DiskFile, string>();

  function hits(operation: string): boolean {
    if (!which(operation)) return false;
    count += 1;
    if (healed || count !== failAt) return false;
    failed = operation;
    return true;
  }

  function error(operation: string): Error {
    return Object.assign(new Error(`${fault.code}: injected, ${operation}`), { code: fault.code });
  }

  async function run<T>(operation: string, work: () => Promise<T>): Promise<T> {
    if (!hits(operation)) return work();
    if (fault.code === undefined) return work();
    if (fault.late) await work();
    throw error(operation);
  }

  function wrap(file: DiskFile, path: string): DiskFile {
    leftOpen.set(file, path);
    return {
      fd: file.fd,
      read: (...args) => run('read', () => file.read(...args)),
      async write(buffer, offset, length, position) {
        if (!hits('write')) return file.write(buffer, offset, length, position);
        const written = await file.write(buffer, offset, fault.half ? Math.ceil(length / 2) : length, position);
        if (fault.code !== undefined) throw error('write');
        return written;
      },
      datasync: () => run('datasync', () => file.datasync()),
      sync: () => run('sync', () => file.sync()),
      stat: () => run('file stat', () => file.stat()),
      async close() {
        const hit = hits('close');
        // A descriptor is gone after `close`, whatever it reports.
        await file.close();
        leftOpen.delete(file);
        if (hit && fault.code !== undefined) throw error('close');
      },
    };
  }

  return {
    get count() {
      return count;
    },
    get failed() {
      return failed;
    },
    get leftOpen() {
      return [...leftOpen.values()];
    },
    heal() {
      healed = true;
    },
    async open(path, flags, mode) {
      const hit = hits('open');
      if (hit && fault.code !== undefined && !fault.late) throw error('open');
      const file = await realDisk.open(path, flags, mode);
      if (!hit || fault.code === undefined) return wrap(file, path);
      await file.close();
      throw error('open');
    },
    async writeFile(path, bytes) {
      if (!hits('writeFile')) return realDisk.writeFile(path, bytes);
      await realDisk.writeFile(path, fault.half ? bytes.slice(0, bytes.length >> 1) : bytes);
      // Node writes on until all is written or an error comes, so half a file never goes without one.
      throw Object.assign(error('writeFile'), { code: fault.code ?? 'EIO' });
    },
    rename: (from, to) => run('rename', () => realDisk.rename(from, to)),
    link: (from, to) => run('link', () => realDisk.link(from, to)),
    unlink: (path) => run('unlink', () => realDisk.unlink(path)),
    mkdir: (path) => run('mkdir', () => realDisk.mkdir(path)),
    readdir: (path) => run('readdir', () => realDisk.readdir(path)),
    stat: (path) => run('stat', () => realDisk.stat(path)),
    readFile: (path) => run('readFile', () => realDisk.readFile(path)),
    rm: (path) => run('rm', () => realDisk.rm(path)),
    utimes: (path, atMs) => run('utimes', () => realDisk.utimes(path, atMs)),
    chmod: (path, mode) => run('chmod', () => realDisk.chmod(path, mode)),
    statfs: (path) => run('statfs', () => realDisk.statfs(path)),
    statNow(fd) {
      if (hits('statNow') && fault.code !== undefined) throw error('statNow');
      return realDisk.statNow(fd);
    },
    existsNow(path) {
      if (hits('existsNow') && fault.code !== undefined) throw error('existsNow');
      return realDisk.existsNow(path);
    },
  };
}

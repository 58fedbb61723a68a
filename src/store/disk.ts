/** Every disk operation of the store goes through one object, so that a test can make the n-th one fail. */
import { promises as fs, fstatSync, statSync } from 'node:fs';

export interface FileFacts {
  readonly size: number;
  readonly mtimeMs: number;
  readonly nlink: number;
  /** Permissions are its last nine bits. */
  readonly mode: number;
}

/** The part of Node's FileHandle that the store uses. */
export interface DiskFile {
  readonly fd: number;
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  write(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  datasync(): Promise<void>;
  /** With all that belongs to it; of a folder: the names in it. */
  sync(): Promise<void>;
  stat(): Promise<FileFacts>;
  close(): Promise<void>;
}

export interface DiskEntry {
  readonly name: string;
  isFile(): boolean;
  isDirectory(): boolean;
}

/** Shaped like `node:fs/promises`. */
export interface Disk {
  open(path: string, flags: string, mode?: number): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  /** Fails with `EEXIST` where something is already. */
  link(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** With all its parents; no error where it exists. */
  mkdir(path: string): Promise<void>;
  readdir(path: string): Promise<readonly DiskEntry[]>;
  stat(path: string): Promise<FileFacts>;
  readFile(path: string): Promise<Buffer>;
  /** A new file, for the owner alone. */
  writeFile(path: string, bytes: Uint8Array | string): Promise<void>;
  rm(path: string): Promise<void>;
  utimes(path: string, atMs: number): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  statfs(path: string): Promise<{ readonly bavail: number; readonly bsize: number; readonly blocks?: number }>;
  /** Synchronous, because on an open descriptor it never waits for the disk and a trip to the thread pool costs thirty times as much. */
  statNow(fd: number): FileFacts;
  /** Synchronous, because it is asked before every answer and the name is in the system's memory: a few microseconds. */
  existsNow(path: string): boolean;
}

export const disk: Disk = {
  open: (path, flags, mode = 0o600) => fs.open(path, flags, mode),
  rename: fs.rename,
  link: fs.link,
  unlink: fs.unlink,
  mkdir: async (path) => {
    await fs.mkdir(path, { recursive: true, mode: 0o700 });
  },
  readdir: (path) => fs.readdir(path, { withFileTypes: true }),
  stat: (path) => fs.stat(path),
  readFile: (path) => fs.readFile(path),
  writeFile: (path, bytes) => fs.writeFile(path, bytes, { flag: 'wx', mode: 0o600 }),
  rm: (path) => fs.rm(path, { recursive: true, force: true }),
  utimes: (path, atMs) => fs.utimes(path, atMs / 1000, atMs / 1000),
  chmod: fs.chmod,
  statfs: (path) => fs.statfs(path),
  statNow: fstatSync,
  existsNow: (path) => statSync(path, { throwIfNoEntry: false }) !== undefined,
};

/** The operating system's error code, or Node's. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Writes all of it, however little the disk takes at a time. */
export async function writeFully(file: DiskFile, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw Object.assign(new Error('the disk took no bytes'), { code: 'EIO' });
    done += bytesWritten;
  }
}

/** Fills the buffer from `position`; returns how many bytes there were before the file ended. */
export async function readFully(file: DiskFile, buffer: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/**
 * A lock on a file that ends with the process, however it ends. Node has no `flock`, but SQLite has: an exclusive
 * transaction holds the operating system's lock, which dies with its process, knows no recycled process ids, and
 * holds between containers that share the folder.
 */
import { DatabaseSync } from 'node:sqlite';

const busy = 5;

/** `undefined`: somebody else has it. Throws where the file system knows no locks, or the file cannot be made. */
export function lockFile(path: string): { release(): void } | undefined {
  const file = new DatabaseSync(path);
  try {
    // Nothing is ever written; a journal on the disk would be one more file to clean up.
    file.exec('PRAGMA busy_timeout=0; PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    file.close();
    if (primaryCode(error) === busy) return undefined;
    throw error;
  }
  return { release: () => file.close() };
}

/** SQLite's result code without its extension; `undefined` when the error is not from SQLite. */
export function primaryCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
    ? error.errcode & 0xff
    : undefined;
}

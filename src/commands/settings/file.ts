/** A client's settings file: changed all at once or not at all, and kept as it was before the first change. */
import { chmod, copyFile, mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { SettingsFile } from '../../core/client-setup.ts';
import { isMarked, withoutSettings, withSettings } from './lines.ts';
import { syntaxes } from './syntaxes.ts';

export interface Change {
  readonly path: string;
  readonly done: string;
}

const backupOf = (path: string): string => `${path}.before-larder`;

/** Puts the settings in. */
export async function putIn(link: string, file: SettingsFile): Promise<Change> {
  const path = await target(link);
  const before = await textOf(path);
  const after = edited(path, () => withSettings(before ?? '', syntaxes[file.syntax], file.settings));
  if (after === before) return { path: link, done: 'says so already' };
  // Only the first time: what is kept is the file before any of this.
  const keeps = before !== undefined && !isMarked(before) && !(await exists(backupOf(path)));
  if (keeps) await copyFile(path, backupOf(path));
  await replace(path, after);
  return { path: link, done: `written${keeps ? `; as it was: ${basename(backupOf(path))}` : ''}` };
}

/** Takes them out again. */
export async function takeBack(link: string, file: SettingsFile): Promise<Change> {
  const path = await target(link);
  const text = await textOf(path);
  if (text === undefined) return { path: link, done: 'is not there' };
  const backup = await textOf(backupOf(path));
  const undone = edited(path, () => withoutSettings(text, backup, syntaxes[file.syntax], file.settings));
  if (undone.text === '' && backup === undefined) await rm(path);
  else if (undone.text !== text) await replace(path, undone.text);
  if (undone.kept.length > 0) return { path: link, done: `${undone.kept.join(', ')} was changed since and stays` };
  if (backup !== undefined) await rm(backupOf(path));
  if (undone.text === '' && backup === undefined) return { path: link, done: 'removed' };
  return { path: link, done: undone.text === text ? 'says nothing of this' : 'as it was before' };
}

function edited<T>(path: string, edit: () => T): T {
  try {
    return edit();
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}; change it by hand, as larder setup prints it`);
  }
}

/** Dot files are often links into a repository of their own. */
async function target(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** All or nothing; such files may hold tokens, so their mode stays. */
async function replace(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.larder-${process.pid}`;
  const mode = await stat(path).then(
    (stats) => stats.mode & 0o777,
    () => undefined,
  );
  await writeFile(temporary, text, { mode: 0o600 });
  await chmod(temporary, mode ?? 0o644);
  await rename(temporary, path);
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

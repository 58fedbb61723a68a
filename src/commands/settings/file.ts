/** A client's settings file: changed all at once or not at all, and kept as it was before the first change. */
import { chmod, copyFile, mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { SettingsFile } from '../../core/client-setup.ts';
import { editorOf, type Kept } from './editor.ts';

export interface Change {
  readonly path: string;
  readonly done: string;
}

const backupOf = (path: string): string => `${path}.before-larder`;
const writtenOf = (path: string): string => `${path}.by-larder`;

async function keptOf(path: string): Promise<Kept> {
  const before = await textOf(backupOf(path));
  const written = await textOf(writtenOf(path));
  return { ...(before !== undefined && { before }), ...(written !== undefined && { written }) };
}

/** Puts the settings in. */
export async function putIn(link: string, file: SettingsFile): Promise<Change> {
  const path = await target(link);
  const text = await textOf(path);
  const kept = await keptOf(path);
  const editor = editorOf(file);
  const after = edited(path, () => editor.put(text, kept));
  if (after === (text ?? '')) return { path: link, done: text === undefined ? 'needs nothing' : 'says so already' };
  // Only the first time: what is kept is the file before any of this.
  const keeps = text !== undefined && !editor.isOurs(text, kept) && kept.before === undefined;
  await changing(path, async () => {
    if (keeps) await copyFile(path, backupOf(path));
    await replace(path, after);
    if (editor.keepsWritten) await copyFile(path, writtenOf(path));
  });
  return { path: link, done: `written${keeps ? `; as it was: ${basename(backupOf(path))}` : ''}` };
}

/** Takes them out again. */
export async function takeBack(link: string, file: SettingsFile): Promise<Change> {
  const path = await target(link);
  const text = await textOf(path);
  if (text === undefined) return { path: link, done: 'is not there' };
  const kept = await keptOf(path);
  const undone = edited(path, () => editorOf(file).takeBack(text, kept));
  const gone = undone.text === '' && kept.before === undefined;
  return changing(path, async () => {
    if (gone) await rm(path);
    else if (undone.text !== text) await replace(path, undone.text);
    if (undone.kept.length > 0) return { path: link, done: `${undone.kept.join(', ')} was changed since and stays` };
    if (kept.before !== undefined) await rm(backupOf(path));
    if (kept.written !== undefined) await rm(writtenOf(path));
    if (gone) return { path: link, done: 'removed' };
    return { path: link, done: undone.text === text ? 'says nothing of this' : 'as it was before' };
  });
}

function edited<T>(path: string, edit: () => T): T {
  try {
    return edit();
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}; change it by hand, as larder setup prints it`);
  }
}

/** Some of these files are the system's. */
async function changing<T>(path: string, change: () => Promise<T>): Promise<T> {
  try {
    return await change();
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw new Error(`${path} may not be written by this user`, { cause: error });
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

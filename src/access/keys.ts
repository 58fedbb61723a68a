/** The key that short-lived tokens are sealed with. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

const keyBytes = 32;

/**
 * Reads the key, or makes one. Several processes may do so at once: the file appears whole or not at all, and whoever comes
 * second reads the first one's. Rejects on a file that holds something else.
 */
export async function readOrCreateKey(path: string): Promise<Uint8Array> {
  return (await readKey(path)) ?? (await createKey(path));
}

async function readKey(path: string): Promise<Uint8Array | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const key = Buffer.from(text.trim(), 'base64url');
  if (key.byteLength === keyBytes) return key;
  throw new Error(`${path} holds no key; delete it to have another one made: short-lived tokens then end at once.`);
}

async function createKey(path: string): Promise<Uint8Array> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const own = `${path}.${process.pid}.${randomBytes(6).toString('hex')}`;
  const file = await open(own, 'wx', 0o600);
  try {
    await file.writeFile(`${randomBytes(keyBytes).toString('base64url')}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(own, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await unlink(own);
  }
  const key = await readKey(path);
  if (!key) throw new Error(`${path} was deleted as soon as it was made.`);
  return key;
}

/** Where clients put what they fetched. */
import { mkdir, mkdtemp, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Arena } from './arena.ts';

/**
 * In memory if there is room for so many bytes. On a disk, making files is slow for a minute after as many were deleted
 * (ext4 does not reuse the numbers of files that were just deleted), which is neither server's doing.
 */
export async function clientFolder(arena: Arena, roomBytes: number): Promise<string> {
  const memory = await statfs('/dev/shm').catch(() => undefined);
  const roomy = memory !== undefined && memory.bavail * memory.bsize > roomBytes;
  const parent = roomy ? '/dev/shm' : join(arena.workFolder, 'install');
  await mkdir(parent, { recursive: true });
  return mkdtemp(join(parent, 'larder-bench-'));
}

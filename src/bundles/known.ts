/** What a file tells of what the other side has: an inventory, or a bundle that it took in. */
import { access } from 'node:fs/promises';
import { BundleError, parseRecord } from './format.ts';
import { type InventoryLine, inventoryEntry, readInventory } from './inventory.ts';
import { stepsOf } from './journal-text.ts';
import { linesOf } from './lines.ts';
import { findParts } from './parts.ts';
import { readFront } from './reader.ts';

export const inventorySuffix = '.inventory';

/**
 * `onId` is told what it is called. Beside a bundle there is the inventory of what the other side has once it took that in, and
 * what it had before; where it is gone, the bundle alone is looked at.
 */
export async function* knownFrom(path: string, onId: (id: string) => void): AsyncGenerator<InventoryLine> {
  const beside = `${path}${inventorySuffix}`;
  const file = (await isThere(beside)) ? beside : path;
  try {
    yield* readInventory(file, ({ id }) => onId(id));
  } catch (error) {
    const isOther = error instanceof BundleError && error.trouble !== 'version' && file === path;
    if (!isOther) throw error;
    yield* ofBundle(path, onId);
  }
}

async function* ofBundle(path: string, onId: (id: string) => void): AsyncGenerator<InventoryLine> {
  // Handed over line by line: the reader calls, and so does whoever iterates.
  const lines: InventoryLine[] = [];
  await readFront(await findParts([path]), {
    header: async ({ id }) => onId(id),
    async records(bytes) {
      for await (const line of linesOf(bytes)) {
        const record = parseRecord(line);
        if (record.is === 'entry') lines.push(inventoryEntry(record));
        else {
          lines.push({ is: 'journal', repository: record.repository, number: record.number });
          for (const { put } of stepsOf(record.text)) {
            for (const { digest, size } of put) lines.push({ is: 'blob', digest, size });
          }
        }
      }
    },
  });
  yield* lines;
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

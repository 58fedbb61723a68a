/** Whether a data folder is of this release or an earlier one: what a later one wrote would be misread. */
import type { Objects } from './objects.ts';

/** Raised when an older release could no longer read what this one writes, and would not notice. */
export const layoutVersion = 1;

/** In the data folder. */
const name = 'layout.json';

/** Throws when a later release has been here; else says that this one was. What cannot be read or written is no reason to stand still. */
export async function claimLayout(objects: Objects, path: string): Promise<void> {
  const found = await objects.read(name).catch(() => undefined);
  if (!found) return void (await objects.create(name, Buffer.from(`{"layout":${layoutVersion}}\n`)).catch(() => false));
  const told = layoutIn(found);
  if (told <= layoutVersion) return;
  throw new Error(
    `${path} was written by a newer release of Larder (layout ${told}; this one knows ${layoutVersion}): run that release, or restore a backup from before it.`,
  );
}

function layoutIn(bytes: Buffer): number {
  try {
    const { layout } = JSON.parse(bytes.toString()) as { readonly layout?: unknown };
    return typeof layout === 'number' ? layout : 0;
  } catch {
    return 0;
  }
}

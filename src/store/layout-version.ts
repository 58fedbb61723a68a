/** Whether a data folder is of this release or an earlier one: what a later one wrote would be misread. */
import type { Objects } from './objects.ts';

/** Raised when an older release could no longer read what this one writes, and would not notice. */
export const layoutVersion = 1;

/** In the data folder. */
const name = 'layout.json';

/** Says that this release was here, unless a later one was: then it throws. What can't be written is no reason to stand still. */
export async function claimLayout(objects: Objects, path: string): Promise<void> {
  const told = await refuseLater(objects, path);
  const own = Buffer.from(`{"layout":${layoutVersion}}\n`);
  if (told === undefined) await objects.create(name, own).catch(() => false);
  else if (told < layoutVersion) await objects.replace(name, own).catch(() => undefined);
}

/** Throws when a later release has been here; else the layout that is told. What can't be read says nothing. */
export async function refuseLater(objects: Pick<Objects, 'read'>, path: string): Promise<number | undefined> {
  const found = await objects.read(name).catch(() => undefined);
  const told = found && layoutIn(found);
  if (told === undefined || told <= layoutVersion) return told;
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

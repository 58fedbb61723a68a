/** Tokens written into a data folder, as `larder token create` does it, beside whatever server uses the folder. */
import { randomBytes } from 'node:crypto';
import { createAccess, type NewToken } from '../../src/access/access.ts';
import { disk } from '../../src/store/disk.ts';
import { DiskObjects } from '../../src/store/disk-objects.ts';
import { openJournals } from '../../src/store/journal.ts';
import { StagingArea } from '../../src/store/staging-area.ts';
import { noFetch, settingsOf } from './access.ts';

export async function createToken(
  dataFolder: string,
  { org, ...wanted }: NewToken & { readonly org: string },
): Promise<string> {
  const area = new StagingArea(dataFolder, disk);
  const objects = new DiskObjects({ root: dataFolder, disk, temporary: () => area.next() });
  const journals = openJournals({ objects, checkpointEvery: 0 });
  try {
    const access = await createAccess({
      settings: settingsOf({ [org]: {} }),
      openJournal: journals.open,
      facts: { get: async () => undefined, set: () => {}, delete: () => {} },
      sealingKey: randomBytes(32),
      fetch: noFetch,
      now: Date.now,
    });
    const made = await access.administration.createToken(org, { create: 'user', ...wanted }, { by: 'system' });
    return made.token;
  } finally {
    await journals.settled();
    await area.close();
  }
}

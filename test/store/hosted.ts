/** Publishing into a store without a format: change sets as text. */

import { Digester } from '../../src/core/digest.ts';
import type { ChangeSet, Decide, Put, StagedFile } from '../../src/core/hosting.ts';
import type { Stage } from '../../src/core/staging.ts';
import type { CommitRequest, Committed, Hosting } from '../../src/store/hosting.ts';
import type { Store } from '../../src/store/store.ts';

export const repository = 'acme/npm';
export const signature = { by: 'user:acme/ann' };

export interface Publisher {
  readonly hosting: Hosting;
  /** A file with these bytes, staged as the desk does it. */
  stage(text: string | Uint8Array): Promise<StagedFile>;
  /** Commits what the decision comes to. */
  commit(decide: Decide | Omit<ChangeSet, 'reply'>, more?: Partial<CommitRequest>): Promise<Committed>;
  /** One version with one file of this text, at `NAME/NAME-VERSION.tgz`. */
  publish(name: string, version: string, text?: string, more?: Partial<ChangeSet>): Promise<Committed>;
}

export const reply = { bytes: new Uint8Array() };

export async function publisher(store: Store, overwrites = false): Promise<Publisher> {
  const hosting = await store.hosting(repository, { overwrites });
  const stages = new Map<StagedFile, Stage>();

  async function stage(text: string | Uint8Array): Promise<StagedFile> {
    const bytes = Buffer.from(text);
    const staged = await store.stage({ expectedSize: bytes.length });
    await staged.write(bytes).catch(async (error) => {
      await staged.discard();
      throw error;
    });
    const digester = new Digester(['sha1']);
    digester.update(bytes);
    const file = { size: bytes.length, digests: digester.digests(), read: staged.read.bind(staged) };
    stages.set(file, staged);
    return file;
  }

  async function land(file: StagedFile): Promise<void> {
    const [digest] = file.digests;
    const staged = stages.get(file);
    if (!digest || !staged) throw new Error('not staged here');
    await staged.commit(digest);
    stages.delete(file);
  }

  const commit: Publisher['commit'] = async (decide, more = {}) => {
    const wanted = new Set<Put['file']>();
    try {
      return await hosting.commit({
        decide(view) {
          const set = typeof decide === 'function' ? decide(view) : { ...decide, reply };
          for (const { file } of set.put ?? []) wanted.add(file);
          return set;
        },
        judge() {},
        land,
        signature,
        action: 'publish',
        ...more,
      });
    } finally {
      for (const file of wanted) if ('digests' in file) await stages.get(file)?.discard();
    }
  };

  return {
    hosting,
    stage,
    commit,
    async publish(name, version, text = `${name} ${version}`, more = {}) {
      const file = await stage(text);
      const path = `${name}/${name}-${version}.tgz`;
      try {
        return await commit({
          name,
          put: [putOf(path, file)],
          records: [{ version, facts: { version }, files: [path] }],
          ...more,
        });
      } finally {
        await stages.get(file)?.discard();
      }
    },
  };
}

export function putOf(path: string, file: Put['file'], mutable?: boolean): Put {
  return { path, file, contentType: 'application/octet-stream', ...(mutable === undefined ? {} : { mutable }) };
}

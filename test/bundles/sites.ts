/** Two servers' data folders and configurations, without the servers: entries are put as sources put them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { namedUpstreams, storeOf } from '../../src/commands/bundling.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Digest } from '../../src/core/digest.ts';
import type { StoredEntry } from '../../src/store/entries.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { command, type Run } from '../commands/larder.ts';
import { temporaryFolder } from '../support/folder.ts';

export interface Site {
  readonly folder: string;
  readonly configFile: string;
  readonly storage: string;
  /** A command with `--config` of this site. */
  run(name: string, ...args: readonly string[]): Promise<Run>;
  open(): Promise<Store>;
  /** Texts by path, as artifacts of the upstream `inner`. */
  fill(texts: Readonly<Record<string, string | Buffer>>, more?: Fill): Promise<void>;
  /** Text of an artifact, as its entry leads to it. */
  read(path: string, more?: Fill): Promise<string | undefined>;
  entry(path: string, more?: Fill): Promise<StoredEntry | undefined>;
  /** Of everything that can be reached by an entry. */
  count(): Promise<number>;
}

export interface Fill {
  readonly at?: number;
  readonly upstream?: string;
  readonly document?: string;
  readonly format?: string;
}

/** A folder that both sides lie in, gone when the test ends. */
export async function sites(): Promise<{ readonly folder: string; readonly a: Site; readonly b: Site }> {
  const folder = await temporaryFolder('larder-bundle');
  onTestFinished(() => folder.remove());
  return {
    folder: folder.path,
    a: await site(join(folder.path, 'a'), {
      inner: 'https://connected.example.com',
      other: 'https://other.example.com',
    }),
    b: await site(join(folder.path, 'b'), { inner: 'https://mirror.example.net/with/path' }),
  };
}

async function site(folder: string, upstreams: Readonly<Record<string, string>>): Promise<Site> {
  const storage = join(folder, 'data');
  const configFile = join(folder, 'larder.yaml');
  await mkdir(storage, { recursive: true });
  const config = {
    storage: { path: storage, keepFree: 0 },
    upstreams: Object.fromEntries(Object.entries(upstreams).map(([name, url]) => [name, { url }])),
    orgs: {
      acme: {
        repositories: {
          npm: { format: 'npm', sources: [{ hosted: true, claims: ['@acme/*'] }, { remote: 'inner' }] },
          files: { format: 'generic', sources: [{ remote: 'inner' }] },
        },
      },
    },
  };
  await writeFile(configFile, JSON.stringify(config));
  const loaded = await loadConfig(configFile, {});
  const open = (): Promise<Store> => openStore(storeOf(loaded));
  const keyOf = (path: string, { upstream = 'inner', format = 'npm', document }: Fill) => {
    const identity = namedUpstreams(loaded).find(({ name }) => name === upstream)?.identity;
    return {
      source: [identity, format, ...(document === undefined ? [] : [document])].join('/'),
      path,
      ...(document === undefined ? {} : { representation: '' }),
    };
  };
  async function looking<T>(look: (store: Store) => Promise<T>): Promise<T> {
    const store = await open();
    try {
      return await look(store);
    } finally {
      await store.close();
    }
  }
  return {
    folder,
    configFile,
    storage,
    open,
    run: (name, ...args) => command([name, '--config', configFile, ...args]),
    fill: (texts, more = {}) =>
      looking(async (store) => {
        const at = more.at ?? 1000;
        for (const [path, text] of Object.entries(texts)) {
          const digest: Digest = await store.blobs.add(Buffer.from(text));
          const entry: StoredEntry = {
            status: 200,
            url: `https://connected.example.com/${path}`,
            digest,
            size: Buffer.byteLength(text),
            contentType: 'text/plain',
            fetchedAt: at,
            checkedAt: at,
          };
          await store.entries.put(keyOf(path, more), entry);
        }
      }),
    entry: (path, more = {}) => looking((store) => store.entries.get(keyOf(path, more))),
    read: (path, more = {}) =>
      looking(async (store) => {
        const digest = (await store.entries.get(keyOf(path, more)))?.digest;
        return digest && (await store.blobs.bytes(digest))?.toString();
      }),
    count: () =>
      looking(async (store) => {
        let count = 0;
        for await (const _ of store.entries.list()) count += 1;
        return count;
      }),
  };
}

/** A store in a folder of its own, closed and removed when the test ends. */
import { readdirSync, statSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import type { Digest } from '../../src/core/digest.ts';
import { type EventName, type Events, subscribe } from '../../src/core/events.ts';
import { type Disk, type DiskFile, disk } from '../../src/store/disk.ts';
import type { StoredEntry } from '../../src/store/entries.ts';
import { openStore, type Store, type StoreOptions } from '../../src/store/store.ts';
import { temporaryFolder } from '../support/folder.ts';

export { bytesOf, digestFor } from './named-bytes.ts';

export async function folder(): Promise<string> {
  const { path, remove } = await temporaryFolder('larder-store');
  onTestFinished(remove);
  return path;
}

export async function opened(options: Partial<StoreOptions> = {}): Promise<Store & { readonly path: string }> {
  const path = options.path ?? (await folder());
  // Nothing here is about the space that others leave on this machine's disk.
  const store = await openStore({ keepFreeBytes: 0, ...options, path });
  onTestFinished(() => store.close());
  return Object.assign(store, { path });
}

export function entryFor(digest: Digest | undefined, more: Partial<StoredEntry> = {}): StoredEntry {
  return {
    status: 200,
    url: 'https://upstream.example/file',
    fetchedAt: 1,
    checkedAt: 1,
    ...(digest && { digest }),
    ...more,
  };
}

/** Everything published under a name until the test ends. */
export function heard<N extends EventName>(name: N): Events[N][] {
  const events: Events[N][] = [];
  onTestFinished(subscribe(name, (event) => events.push(event)));
  return events;
}

/** The real disk with some operations replaced. */
export function diskWith(changes: Partial<Disk>): Disk {
  return { ...disk, ...changes };
}

/** Whether this process has a deleted file of this size open: its space would not be free. */
export function holdsDeleted(sizeBytes: number): boolean {
  return readdirSync('/dev/fd').some((fd) => {
    try {
      const file = statSync(`/dev/fd/${fd}`);
      return file.isFile() && file.nlink === 0 && file.size === sizeBytes;
    } catch {
      return false;
    }
  });
}

/** Of an open file, each bound to it, so that a test can replace some. */
export function fileOperations(file: DiskFile): DiskFile {
  return {
    fd: file.fd,
    read: (...args) => file.read(...args),
    write: (...args) => file.write(...args),
    datasync: () => file.datasync(),
    sync: () => file.sync(),
    stat: () => file.stat(),
    close: () => file.close(),
  };
}

export async function collected<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of from) all.push(one);
  return all;
}

/** A clock that stands still until it is moved. */
export function standingClock(now = 1_700_000_000_000): (() => number) & { forward(ms: number): void } {
  let at = now;
  return Object.assign(() => at, {
    forward(ms: number) {
      at += ms;
    },
  });
}

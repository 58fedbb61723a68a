import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { disk } from '../../src/store/disk.ts';
import { StagingArea } from '../../src/store/staging-area.ts';
import { eventually } from '../support/wait.ts';
import { bytesOf, digestFor, diskWith, folder, heard, opened, standingClock } from './opened.ts';

const stager = fileURLToPath(new URL('./staging-process.ts', import.meta.url));

/** Another process that has a stage open in the same folder. */
async function otherProcess(path: string): Promise<{ kill(): Promise<void>; commit(): Promise<void> }> {
  const child = spawn(process.execPath, [stager, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  onTestFinished(kill);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('staged');
  return {
    kill,
    async commit() {
      child.stdin.write('commit\n');
      expect((await lines.next()).value).toBe('committed');
    },
  };
}

function staged(path: string): string[] {
  return readdirSync(join(path, 'staging')).filter((name) => !name.endsWith('.lock'));
}

describe('what another process stages', () => {
  test('is left alone while it lives, by a second store and when that one ends', async () => {
    const path = await folder();
    const other = await otherProcess(path);
    const [theirs] = staged(path);
    const store = await opened({ path });
    await store.blobs.add(bytesOf('ours'));
    expect(staged(path)).toEqual([theirs]);
    await store.close();
    expect(staged(path)).toEqual([theirs]);
    await other.commit();
    const again = await opened({ path });
    expect(await again.blobs.bytes(digestFor('theirs'))).toEqual(bytesOf('theirs'));
  });

  test('is swept at the next start when it was killed', async () => {
    const path = await folder();
    const other = await otherProcess(path);
    expect(staged(path)).toHaveLength(1);
    await other.kill();
    await opened({ path });
    expect(staged(path)).toEqual([]);
    expect(readdirSync(join(path, 'staging'))).toHaveLength(1);
  });

  test('is left alone in the same process too', async () => {
    const path = await folder();
    const one = await opened({ path });
    const stage = await one.stage({});
    await stage.write(bytesOf('a'));
    const other = await opened({ path });
    await other.close();
    await stage.commit(digestFor('a'));
    expect(await one.blobs.bytes(digestFor('a'))).toEqual(bytesOf('a'));
  });
});

test('leftovers without a lock are swept, names that are not ours are left', async () => {
  const path = await folder();
  mkdirSync(join(path, 'staging'));
  for (const name of ['1-0123456789ab-7', `${process.pid}-0123456789ab-1`, 'upload.bin', 'lost+found']) {
    writeFileSync(join(path, 'staging', name), 'x');
  }
  const area = new StagingArea(path, disk);
  expect(await area.sweep()).toBe(2);
  expect(staged(path).sort()).toEqual(['lost+found', 'upload.bin']);
});

test('closing a store removes what it had staged, and its lock', async () => {
  const path = await folder();
  const store = await opened({ path });
  const stage = await store.stage({});
  await stage.write(bytesOf('a'));
  await store.close();
  expect(readdirSync(join(path, 'staging'))).toEqual([]);
});

test('a lock that was swept between being made and being locked is made again', async () => {
  const path = await folder();
  let first = true;
  const area = new StagingArea(
    path,
    diskWith({
      stat: async (file) => {
        if (first && file.endsWith('.lock')) {
          first = false;
          await disk.rm(file);
        }
        return disk.stat(file);
      },
    }),
  );
  const file = await area.next();
  expect(first).toBe(false);
  expect(readdirSync(join(path, 'staging'))).toEqual([basename(file).replace(/-\d+$/, '.lock')]);
  await area.close();
});

describe('a disk that takes no lock file', () => {
  test('does not prevent the start, and stages are possible once it does', async () => {
    heard('fault');
    const clock = standingClock();
    let full = true;
    const store = await opened({
      clock,
      index: 'memory',
      disk: diskWith({
        writeFile: (path, bytes) =>
          full ? Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })) : disk.writeFile(path, bytes),
      }),
    });
    expect(store.health()).toMatchObject({ writable: false, usable: true });
    await expect(store.stage({})).rejects.toMatchObject({ code: 'ENOSPC' });
    full = false;
    clock.forward(10_000);
    await eventually('asking for its health makes the store look again', () => store.health().writable);
    await store.blobs.add(bytesOf('a'));
  });
});

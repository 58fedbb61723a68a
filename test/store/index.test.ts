import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test } from 'vitest';
import { disk } from '../../src/store/disk.ts';
import { type Index, openIndex } from '../../src/store/index.ts';
import { SqliteTables } from '../../src/store/sqlite-tables.ts';
import { kvConformance, type OpenIndexes } from '../conformance/kv.ts';
import { eventually } from '../support/wait.ts';
import { folder, heard, standingClock } from './opened.ts';

async function openAt(path: string, kind: 'sqlite' | 'memory' | `redis://${string}`): Promise<OpenIndexes> {
  const clock = standingClock(Date.now());
  const open = async (): Promise<Index> => {
    const index = await openIndex({ kind, path, disk, clock });
    onTestFinished(() => index.close().catch(() => {}));
    return index;
  };
  return { index: await open(), clock, ...(kind !== 'memory' && { reopen: open }) };
}

kvConformance('SQLite', async () => openAt(await folder(), 'sqlite'));
kvConformance('memory', async () => openAt(await folder(), 'memory'));

describe('SQLite', () => {
  test('two processes see what the other has flushed', async () => {
    const path = await folder();
    const [one, other] = [(await openAt(path, 'sqlite')).index, (await openAt(path, 'sqlite')).index];
    one.records('test').set('key', 1);
    await one.flush();
    expect(await other.records('test').get('key')).toBe(1);
    other.records('test').set('key', 2);
    await other.flush();
    expect(await one.records('test').get('key')).toBe(2);
  });

  test('a flush takes along what was set while another one was under way', async () => {
    const path = await folder();
    const [one, other] = [(await openAt(path, 'sqlite')).index, (await openAt(path, 'sqlite')).index];
    const [first, second] = [one.records('first'), one.records('second')];
    second.set('key', 1);
    void one.flush();
    await new Promise(setImmediate);
    second.set('more', 1);
    void one.flush();
    first.set('key', 2);
    await one.flush();
    expect(await other.records('first').get('key')).toBe(2);
  });

  test('what another process holds up is kept, told, and written later', async () => {
    const faults = heard('fault');
    const path = await folder();
    const [one, other] = [(await openAt(path, 'sqlite')).index, (await openAt(path, 'sqlite')).index];
    const records = one.records<number>('test');
    records.set('key', 1);
    records.set('gone', 1);
    await one.flush();
    const holder = new DatabaseSync(join(path, 'index.sqlite'));
    holder.exec('BEGIN IMMEDIATE');
    records.set('key', 2);
    records.set('new', 3);
    records.delete('gone');
    await one.flush();
    expect(faults).toHaveLength(1);
    const all: Record<string, number> = {};
    for await (const [key, value] of records.entries()) {
      expect(all).not.toHaveProperty(key);
      all[key] = value;
    }
    expect(all).toEqual({ key: 2, new: 3 });
    expect(await records.get('new')).toBe(3);
    expect(await other.records('test').get('key')).toBe(1);
    holder.exec('ROLLBACK');
    holder.close();
    await eventually('the writes arrive', async () => (await other.records('test').get('new')) === 3);
    expect(await other.records('test').get('key')).toBe(2);
    expect(await other.records('test').get('gone')).toBeUndefined();
  });

  test('a table that was made in a transaction that failed is made again', async () => {
    const tables = new SqliteTables(join(await folder(), 'index.sqlite'));
    onTestFinished(() => tables.close());
    expect(() =>
      tables.transaction(() => {
        tables.prepare('test', 'SELECT * FROM $table');
        throw new Error('on purpose');
      }),
    ).toThrow('on purpose');
    await tables.table('test').set('key', 'value');
    expect(await tables.table('test').get('key')).toBe('value');
  });

  test('its files are for the owner alone', async () => {
    const path = join(await folder(), 'index');
    const { index } = await openAt(path, 'sqlite');
    index.records('test').set('key', 1);
    await index.flush();
    expect(statSync(path).mode & 0o777).toBe(0o700);
    for (const file of readdirSync(path))
      expect([file, statSync(join(path, file)).mode & 0o777]).toEqual([file, 0o600]);
  });

  test.each<[string, (file: string) => void]>([
    ['is no database', (file) => writeFileSync(file, 'x'.repeat(5_000))],
    ['lost its end', (file) => truncateSync(file, 6_000)],
    [
      'is damaged inside',
      (file) => {
        const fd = openSync(file, 'r+');
        writeSync(fd, Buffer.alloc(40_000, 0xa5), 0, 40_000, 4096);
        closeSync(fd);
      },
    ],
  ])('a file that %s is moved aside and begun anew', async (_, damage) => {
    const faults = heard('fault');
    const path = await folder();
    const { index } = await openAt(path, 'sqlite');
    for (let key = 0; key < 500; key += 1) index.records('test').set(`key ${key}`, 'some value'.repeat(10));
    await index.close();
    damage(join(path, 'index.sqlite'));
    const again = (await openAt(path, 'sqlite')).index;
    // Damage further inside shows when it is read.
    for await (const _ of again.records('test').entries());
    expect(await again.records('test').get('key 499')).toBeUndefined();
    expect(faults).toContainEqual(expect.objectContaining({ where: 'index' }));
    expect(existsSync(join(path, 'damaged.sqlite'))).toBe(true);
    again.records('test').set('key', 2);
    await again.flush();
    expect(await again.records('test').get('key')).toBe(2);
    expect(await (await openAt(path, 'sqlite')).index.records('test').get('key')).toBe(2);
  });

  test('a folder that takes no file costs warmth, not the start', async () => {
    const faults = heard('fault');
    const path = await folder();
    writeFileSync(join(path, 'index'), 'a file where a folder should be');
    const { index } = await openAt(join(path, 'index'), 'sqlite');
    index.records('test').set('key', 1);
    await index.flush();
    expect(await index.records('test').get('key')).toBe(1);
    expect(faults).toContainEqual(expect.objectContaining({ where: 'index' }));
  });

  test('the write-ahead log does not grow for ever', async () => {
    const path = await folder();
    const { index } = await openAt(path, 'sqlite');
    for (let round = 0; round < 4; round += 1) {
      for (let key = 0; key < 3_000; key += 1) index.records('test').set(`key ${key}`, 'x'.repeat(200));
      await index.flush();
    }
    const file = join(path, 'index.sqlite');
    await eventually('the log is copied into the file', () => statSync(file).size > 500_000);
  });
});

const redis = (process.env.PATH ?? '')
  .split(delimiter)
  .map((part) => join(part, 'redis-server'))
  .find((path) => existsSync(path));

describe.skipIf(!redis && process.env.CI !== 'true')(`Redis${redis ? '' : ' (redis-server is not installed)'}`, () => {
  kvConformance('Redis', async () => openAt('', (await startRedis()).url));

  test('while it is away the index says so and answers nothing, and it comes back by itself', async () => {
    heard('fault');
    const server = await startRedis();
    const { index } = await openAt('', server.url);
    index.records('test').set('key', 1);
    await index.flush();
    await server.stop();
    await eventually('the index notices', () => index.trouble() !== undefined);
    expect(await index.records('test').get('key')).toBeUndefined();
    index.records('test').set('while away', 2);
    expect(await index.records('test').get('while away')).toBe(2);
    await index.flush();
    await startRedis(server.port);
    await eventually('the index notices', () => index.trouble() === undefined);
    await index.flush();
    expect(await index.records('test').get('while away')).toBe(2);
  });

  test('an address where nobody answers does not prevent the start', async () => {
    heard('fault');
    const server = await startRedis();
    await server.stop();
    const { index } = await openAt('', server.url);
    expect(index.trouble()).toContain('Redis');
  });
});

async function startRedis(port?: number): Promise<{ url: `redis://${string}`; port: number; stop(): Promise<void> }> {
  if (!redis) throw new Error('redis-server is not installed; with CI=true it must be');
  const on = port ?? (await freePort());
  const server = spawn(redis, ['--port', String(on), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']);
  const ended = once(server, 'exit');
  const stop = async (): Promise<void> => {
    server.kill('SIGKILL');
    await ended;
  };
  onTestFinished(stop);
  let output = '';
  server.stdout.on('data', (chunk) => {
    output += chunk;
  });
  await eventually('Redis is ready', () => {
    if (server.exitCode !== null) throw new Error(output);
    return output.includes('Ready to accept connections');
  });
  return { url: `redis://127.0.0.1:${on}`, port: on, stop };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { larder, program, root } from './larder.ts';

let folder: TemporaryFolder;
let child: ChildProcess | undefined;

beforeEach(async () => {
  folder = await temporaryFolder('larder-serve');
});

afterEach(async () => {
  if (child?.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  await folder.remove();
});

function configuration(): string {
  return `server: { listen: 127.0.0.1:0 }\nstorage: { path: '${folder.path}/data' }\n`;
}

async function write(text: string): Promise<string> {
  const file = join(folder.path, 'larder.yaml');
  await writeFile(file, text);
  return file;
}

it('serves until it is told to stop, and then exits with 0', async () => {
  const file = await write(configuration());
  const running = spawnServe(file);
  child = running;
  const exited = once(running, 'exit');
  let url = '';
  for await (const line of createInterface({ input: running.stdout })) {
    const facts = JSON.parse(line) as { readonly msg: string; readonly url?: string };
    url = facts.url ?? '';
    if (facts.msg === 'listening') break;
  }
  running.stdout.resume();
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  running.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
});

function spawnServe(file: string, environment: Readonly<Record<string, string>> = {}) {
  return spawn(program, ['serve', '--config', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH ?? '', ...environment },
  });
}

/** Starts it with a configuration that does not come before the test writes it into the pipe. */
async function startWaiting(environment?: Readonly<Record<string, string>>) {
  const file = join(folder.path, 'pipe.yaml');
  await promisify(execFile)('mkfifo', [file]);
  const running = spawnServe(file, environment);
  child = running;
  // Opening it for writing waits for a reader.
  return { running, file, pipe: await open(file, 'w') };
}

it.each([
  ['holds the allocator to what it begins with', {}, '2'],
  ['leaves the allocator alone that somebody has set up', { MALLOC_ARENA_MAX: '7' }, '7'],
] as const)('%s', async (_, environment, arenas) => {
  const { running, pipe } = await startWaiting(environment);
  const variables = (await readFile(`/proc/${running.pid}/environ`, 'latin1')).split('\0');
  expect(variables.filter((one) => one.startsWith('MALLOC_ARENA_MAX='))).toEqual([`MALLOC_ARENA_MAX=${arenas}`]);
  await pipe.close();
});

it('survives a reload while it starts, and does it afterwards', async () => {
  const { running, file, pipe } = await startWaiting();
  running.kill('SIGHUP');
  await pipe.writeFile(configuration());
  await pipe.close();
  const lines: string[] = [];
  for await (const line of createInterface({ input: running.stdout })) {
    lines.push((JSON.parse(line) as { readonly msg: string }).msg);
    if (lines.length === 2) break;
    await writeFile(file, 'server: { drian: 1s }\n');
  }
  expect(lines).toEqual(['listening', 'configuration not reloaded: the one before stays in force']);
});

it('ends at once when it is told to while it starts', async () => {
  const { running, pipe } = await startWaiting();
  const exited = once(running, 'exit');
  running.kill('SIGTERM');
  // Node does not end while a file is being read.
  await pipe.writeFile(configuration()).catch(() => undefined);
  await pipe.close();
  expect(await exited).toEqual([0, null]);
});

it('does not listen with a configuration that has mistakes, and exits with 2', async () => {
  const file = await write('server: { listen: 127.0.0.1:0, drian: 1s }\n');
  const { code, out, err } = await larder(['serve', '--config', file]);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toBe(`${file}:1:32: server.drian: unknown key; did you mean "drain"?\n`);
});

it('exits with 1 when it cannot start', async () => {
  const file = await write(`server: { listen: 192.0.2.1:1 }\nstorage: { path: '${folder.path}/data' }\n`);
  const { code } = await larder(['serve', '--config', file]);
  expect(code).toBe(1);
});

it.each([
  [['--help'], 0, /^Usage: larder serve/m, /^$/],
  [['setup', 'npm'], 2, /^$/, /setup/],
  [['--confg', 'x'], 2, /^$/, /--confg/],
] as const)('started as npm start does, with %j, it is no server', async (args, code, out, err) => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: { start: string } };
  const [program = '', ...first] = scripts.start.split(' ');
  const running = spawn(join(root, program), [...first, ...args], {
    cwd: folder.path,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child = running;
  const [said, complained, [status]] = await Promise.all([
    text(running.stdout),
    text(running.stderr),
    once(running, 'exit') as Promise<[number]>,
  ]);
  expect(status).toBe(code);
  expect(said).toMatch(out);
  expect(complained).toMatch(err);
});

/**
 * Runs the unpacked image the way a container engine runs it with `--read-only`, and prints what it saw as JSON. Expects
 * mount, network and process namespaces of its own (see image.slow.test.ts), so nothing here outlives it or meets a
 * port that is taken.
 *
 *   inside.ts ROOT IMAGE FOLDER    the image's files, its configuration as buildah tells it, and a folder to work in
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startFakeRegistry } from '../support/fake-registry.ts';
import { type Answer, ask } from '../support/http.ts';
import { eventually } from '../support/wait.ts';

export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly WorkingDir: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Volumes: Readonly<Record<string, unknown>>;
  readonly ExposedPorts: Readonly<Record<string, unknown>>;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Healthcheck: { readonly Test: readonly string[] };
  readonly StopSignal: string;
}

interface Seen {
  readonly status: number;
  readonly cache: string | undefined;
  readonly sha256: string;
}

export interface Findings {
  readonly uids: readonly string[];
  readonly capabilities: string;
  readonly health: Seen;
  readonly ready: Seen;
  /** Reached through an address that is not the one that loopback listeners usually bind to. */
  readonly otherAddress: Seen;
  readonly document: Seen;
  readonly cold: Seen;
  readonly warm: Seen;
  readonly publishedSha256: string;
  readonly upstreamTarballRequests: number;
  /** Exit code of the health check's command while the server runs, and after it ended. */
  readonly healthCommand: number | null;
  readonly healthCommandAfterwards: number | null;
  /** Which of these places the image's user could write to. */
  readonly writable: readonly string[];
  readonly stored: number;
  readonly exitCode: number | null;
}

const places = ['/larder/x', '/larder/src/x', '/larder/node_modules/x', '/tmp/x', '/home/node/x', '/x', '/data/x'];

function mount(...args: string[]): void {
  execFileSync('mount', args, { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** The image's files, read-only, with what every engine adds: /proc, four devices and the volume. */
function assemble(root: string, folder: string): void {
  const data = join(folder, 'data');
  mkdirSync(data);
  // A fresh volume takes its owner from the image.
  const owner = statSync(join(root, 'data'));
  chownSync(data, owner.uid, owner.gid);
  mount('--bind', root, root);
  mount('-t', 'proc', 'proc', join(root, 'proc'));
  mount('-t', 'tmpfs', 'tmpfs', join(root, 'dev'));
  for (const device of ['null', 'zero', 'random', 'urandom']) {
    writeFileSync(join(root, 'dev', device), '');
    mount('--bind', join('/dev', device), join(root, 'dev', device));
  }
  mount('-o', 'remount,ro', join(root, 'dev'));
  mount('--bind', data, join(root, 'data'));
  mount('-o', 'remount,bind,ro', root);
}

function commandIn(root: string, image: ImageConfig, command: readonly string[]): readonly [string, string[]] {
  const inside = ['/usr/bin/env', '-i', '-C', image.WorkingDir, ...image.Env, ...command];
  return ['chroot', [`--userspec=${image.User}`, '--groups=', root, ...inside]];
}

function exitCodeIn(root: string, image: ImageConfig, command: readonly string[]): number | null {
  return spawnSync(...commandIn(root, image, command), { stdio: 'ignore' }).status;
}

/** The health check's command as the image has it: `CMD` and the words, or `CMD-SHELL` and one text. */
function healthCommand({ Test: [kind, ...words] }: ImageConfig['Healthcheck']): readonly string[] {
  return kind === 'CMD-SHELL' ? ['/bin/sh', '-c', ...words] : words;
}

async function listening(child: ChildProcess): Promise<void> {
  if (!child.stdout) throw new Error('started without a pipe');
  const log: string[] = [];
  const found = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    log.push(line);
    if (line.includes('"listening"')) found.resolve();
  });
  child.once('exit', (code) => found.reject(new Error(`ended with ${code} before it listened:\n${log.join('\n')}`)));
  await found.promise;
}

function seen({ status, headers, body }: Answer): Seen {
  const cache = headers['x-larder-cache'];
  return { status, cache: cache?.toString(), sha256: createHash('sha256').update(body).digest('hex') };
}

/** The first answer that is no part of the download that was under way: it stays joinable until its bytes are stored. */
async function settled(url: string): Promise<Seen> {
  return await eventually('the download to end', async () => {
    const answer = seen(await ask(url));
    return answer.cache === 'joined' ? undefined : answer;
  });
}

async function main(root: string, imageFile: string, folder: string): Promise<Findings> {
  const image = (JSON.parse(readFileSync(imageFile, 'utf8')) as { Docker: { config: ImageConfig } }).Docker.config;
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const registry = await startFakeRegistry();
  const published = registry.publish({
    name: 'left',
    version: '1.0.0',
    files: { 'index.js': 'module.exports = 1;\n' },
  });
  assemble(root, folder);

  const upstream = `LARDER_NPM_REGISTRY=${registry.url}`;
  const server = spawn(...commandIn(root, image, ['/usr/bin/env', upstream, ...image.Entrypoint, ...image.Cmd]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await listening(server);
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  const url = 'http://127.0.0.1:5273';
  const tarball = `${url}/public/npm${published.path}`;
  const running = {
    uids: /^Uid:\s+(.+)$/m.exec(status)?.[1]?.split(/\s+/) ?? [],
    capabilities: /^CapEff:\s+(\S+)$/m.exec(status)?.[1] ?? '',
    health: seen(await ask(`${url}/healthz`)),
    ready: seen(await ask(`${url}/readyz`)),
    otherAddress: seen(await ask('http://127.0.0.2:5273/healthz')),
    document: seen(await ask(`${url}/public/npm/left`)),
    cold: seen(await ask(tarball)),
    warm: await settled(tarball),
    publishedSha256: published.sha256,
    upstreamTarballRequests: registry.tarballRequests(),
    healthCommand: exitCodeIn(root, image, healthCommand(image.Healthcheck)),
    writable: places.filter((place) => exitCodeIn(root, image, ['/usr/bin/touch', place]) === 0),
    stored: readdirSync(join(folder, 'data/blobs'), { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
      .length,
  };
  server.kill('SIGTERM');
  const [exitCode] = (await once(server, 'exit')) as [number | null];
  const healthCommandAfterwards = exitCodeIn(root, image, healthCommand(image.Healthcheck));
  await registry.close();
  return { ...running, exitCode, healthCommandAfterwards };
}

if (import.meta.main) {
  const [root = '', imageFile = '', folder = ''] = process.argv.slice(2);
  const findings = await main(root, imageFile, folder);
  console.log(JSON.stringify(findings));
}

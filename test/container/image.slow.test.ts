/** The Dockerfile, built on a stand-in for its base image and run read-only as its own user. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selfSigned } from '../support/certificate.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type Container, type Engine, podman } from './engine.ts';
import type { Findings, ImageConfig } from './inside.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

async function missingProgram(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'it needs root';
  for (const program of ['buildah', 'debootstrap', 'unshare', 'ip']) {
    const found = await run('sh', ['-c', `command -v ${program}`]).catch(() => undefined);
    if (!found) return `${program} is not installed`;
  }
  return undefined;
}

const missing = await missingProgram();
// On CI a missing program is a failure: the first step says which one.
const skipped = missing !== undefined && !process.env.CI;

describe.skipIf(skipped)(`the container image${skipped ? ` (${missing})` : ''}`, () => {
  const mark = `mark-${randomUUID()}`;
  let folder: TemporaryFolder;
  let files: string;
  let image: ImageConfig;
  let found: Findings;
  let layers: readonly number[];
  let engine: Engine | string;

  beforeAll(async () => {
    folder = await temporaryFolder('larder-image');
    const store = join(folder.path, 'store');
    await run('test/container/build.sh', [store], {
      cwd: checkout,
      env: { ...process.env, LARDER_BUILD_MARK: mark },
      maxBuffer: 1e8,
    });
    files = readFileSync(join(store, 'root'), 'utf8').trim();
    image = (JSON.parse(readFileSync(join(store, 'image.json'), 'utf8')) as { Docker: { config: ImageConfig } }).Docker
      .config;
    const manifest = JSON.parse(readFileSync(join(store, 'manifest.json'), 'utf8')) as {
      layers: readonly { size: number }[];
    };
    layers = manifest.layers.map(({ size }) => size);
    const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const inside = [process.execPath, 'test/container/inside.ts', files, join(store, 'image.json'), folder.path];
    const { stdout } = await run('unshare', [...namespaces, ...inside], { cwd: checkout, maxBuffer: 1e8 });
    found = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Findings;
    engine = await podman(store);
  });

  afterAll(async () => {
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    const ours = mounts
      .map((line) => line.split(' ')[1] ?? '')
      .filter((at) => folder && at.startsWith(`${folder.path}/`));
    // What was mounted last lies on what was mounted before.
    for (const at of ours.reverse()) await run('umount', ['--lazy', at]).catch(() => undefined);
    await folder?.remove();
  });

  it('runs as an unprivileged user', () => {
    expect(image.User).toBe('1000:1000');
    expect(found.uids).toEqual(['1000', '1000', '1000', '1000']);
    expect(found.capabilities).toMatch(/^0+$/);
  });

  it('is alive and ready, also through other addresses than loopback', () => {
    expect(found.health.status).toBe(200);
    expect(found.ready.status).toBe(200);
    expect(found.otherAddress.status).toBe(200);
    expect(Object.keys(image.ExposedPorts)).toEqual(['5273/tcp']);
  });

  it('serves a package, the second time from its volume', () => {
    expect(found.document.status).toBe(200);
    expect(found.cold).toEqual({ status: 200, cache: 'miss', sha256: found.publishedSha256 });
    expect(found.warm).toEqual({ status: 200, cache: 'hit', sha256: found.publishedSha256 });
    expect(found.upstreamTarballRequests).toBe(1);
    expect(found.stored).toBeGreaterThan(0);
    expect(Object.keys(image.Volumes)).toEqual(['/data']);
  });

  it('can write to its volume and nowhere else', () => {
    expect(found.writable).toEqual(['/data/x']);
  });

  it('has a health check that tells a server that runs from one that does not', () => {
    expect(found.healthCommand).toBe(0);
    expect(found.healthCommandAfterwards).toBe(1);
  });

  it('ends in order when it is told to', () => {
    expect(found.exitCode).toBe(0);
  });

  it('holds the program with its production dependencies, and nothing else of the checkout', () => {
    expect(readdirSync(join(files, 'larder')).sort()).toEqual([
      'LICENSE',
      'bin',
      'config',
      'node_modules',
      'package.json',
      'src',
    ]);
    expect(readdirSync(join(files, 'larder/config'))).not.toContain('deploy');
    const installed = readdirSync(join(files, 'larder/node_modules'));
    expect(installed).toContain('koa');
    expect(installed).not.toContain('vitest');
    expect(installed).not.toContain('node');
    expect(readdirSync(join(files, 'tmp'))).toEqual([]);
    const unused = readdirSync(join(files, 'larder/node_modules'), { recursive: true, encoding: 'utf8' });
    expect(unused.filter((file) => /\.(?:map|[cm]?ts)$/.test(file))).toEqual([]);
    expect(readdirSync(join(files, 'usr/local/bin'))).not.toContain('npm');
  });

  // The stand-in for the base is larger than node:24-bookworm-slim, which has 75 to 80 MB.
  it('is small: compressed, less than 15 MB of our own and less than 200 MB with its base', () => {
    expect(layers.length).toBeGreaterThan(1);
    const [base = 0, ...own] = layers;
    const ownSize = own.reduce((sum, size) => sum + size, 0);
    expect(ownSize).toBeGreaterThan(1e6);
    expect(ownSize).toBeLessThan(15e6);
    expect(base + ownSize).toBeLessThan(200e6);
  });

  it('keeps nothing of the settings it was built with', () => {
    const holders = ['larder', 'root', 'home', 'tmp', 'run', 'etc'].flatMap((top) =>
      readdirSync(join(files, top), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .filter((file) => lstatSync(file).size < 1e6 && readFileSync(file, 'latin1').includes(mark)),
    );
    expect(holders).toEqual([]);
    expect(JSON.stringify(image)).not.toContain(mark);
  });

  it('says what it is', () => {
    const version = (JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }).version;
    expect(image.Labels).toMatchObject({
      'org.opencontainers.image.title': 'Larder',
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.version': version,
    });
  });

  describe('run by podman', () => {
    let container: Container | undefined;

    afterAll(() => container?.remove());

    /** With TLS, a port and a key of its own, in a file that is mounted. */
    async function start(context: { skip(note: string): never }): Promise<Container> {
      if (typeof engine === 'string') return context.skip(engine);
      if (container) return container;
      const { cert, key } = selfSigned();
      const config = (await readFile(join(checkout, 'config/container.yaml'), 'utf8')).replace(
        'listen: 0.0.0.0:5273',
        'listen: 0.0.0.0:6443\n  tls: { cert: /etc/larder/tls.crt, key: /etc/larder/tls.key }',
      );
      const files = { 'larder.yaml': config, 'tls.crt': cert, 'tls.key': key };
      const mounts: string[] = [];
      for (const [name, text] of Object.entries(files)) {
        await writeFile(join(folder.path, name), text);
        await chmod(join(folder.path, name), 0o644);
        mounts.push('--volume', `${join(folder.path, name)}:/etc/larder/${name}:ro`);
      }
      container = await engine.start([...mounts, '--env', 'LARDER_CONFIG=/etc/larder/larder.yaml']);
      return container;
    }

    it('is healthy with TLS on another port, unhealthy while it stands still, and healthy again', async (context) => {
      const one = await start(context);
      expect(await one.health()).toMatchObject({ code: 0 });
      await one.signal('STOP');
      expect(await one.health()).toMatchObject({ code: 1 });
      await one.signal('CONT');
      expect(await one.health()).toMatchObject({ code: 0 });
    });

    it('runs read-only, as its user, with no right to become another', async (context) => {
      const one = await start(context);
      const written = await one.exec(
        'sh',
        '-c',
        'for at in /larder /tmp /etc /data; do touch $at/x 2>/dev/null && echo $at; done',
      );
      expect(written.out.trim()).toBe('/data');
      expect((await one.exec('id', '-u')).out.trim()).toBe('1000');
      expect((await one.exec('cat', '/proc/1/status')).out).toMatch(/^CapBnd:\s+0+$/m);
    });

    it('has the commands beside the server', async (context) => {
      const one = await start(context);
      expect(await one.exec('larder', 'health', '--ready')).toEqual({ code: 0, out: '' });
      expect((await one.exec('larder', 'verify')).code).toBe(0);
    });

    it('reads its configuration again, and ends in order', async (context) => {
      const one = await start(context);
      await one.signal('HUP');
      await one.logged('configuration reloaded');
      expect(await one.stop()).toBe(0);
    });
  });
});

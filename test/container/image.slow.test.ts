/** The Dockerfile, built on a stand-in for its base image and run read-only as its own user. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
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
    const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const inside = [process.execPath, 'test/container/inside.ts', files, join(store, 'image.json'), folder.path];
    const { stdout } = await run('unshare', [...namespaces, ...inside], { cwd: checkout, maxBuffer: 1e8 });
    found = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Findings;
  });

  afterAll(() => folder?.remove());

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
      '.npmrc',
      'LICENSE',
      'bin',
      'config',
      'node_modules',
      'package-lock.json',
      'package.json',
      'src',
    ]);
    const installed = readdirSync(join(files, 'larder/node_modules'));
    expect(installed).toContain('koa');
    expect(installed).not.toContain('vitest');
    expect(installed).not.toContain('node');
    expect(readdirSync(join(files, 'tmp'))).toEqual([]);
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
});

/**
 * Five projects, each known by its lockfile alone, are carried to a server in a network namespace with no way out, as one signed
 * bundle. The unchanged clients install there with empty caches; later a second bundle brings what is new, and nothing else.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, larder as program, type Run } from '../commands/larder.ts';
import { type FakeOci, mediaTypes, startFakeOci } from '../support/fake-oci.ts';
import { type FakeRegistry, type PublishedVersion, startFakeRegistry } from '../support/fake-registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type Larder, type LarderProcess, type Settings, spawnLarder, startLarder } from '../support/larder.ts';
import { parseMetrics } from '../support/metrics.ts';
import { createNamespace, missingNamespaces, type Namespace } from '../support/namespace.ts';
import { type PyPiUpstream, startPyPiUpstream } from '../support/pypi-upstream.ts';
import { buildGems, type GemsUpstream, startGemsUpstream } from '../support/rubygems-upstream.ts';
import { imageClients, type Mirror, missingPrograms, mustRun, type Pulled, runProgram } from './image-clients.ts';
import { createProject, type Manager, type ManagerId, managers, missing } from './package-managers.ts';
import { findPips, pythonPlace, treeOf } from './python-clients.ts';
import { missingRuby, type RubyProject, rubyProject } from './ruby-projects.ts';

const [pip] = findPips();
const reason =
  missingNamespaces() ??
  missing('npm') ??
  missing('pnpm12') ??
  missingRuby() ??
  missingPrograms('skopeo', 'curl') ??
  (pip ? undefined : 'pip is not installed: the packages that .ci/run lists have it');

/** Large beside all that describes it, and of no use to a compressor: sizes of bundles tell what is in them. */
const noise = (name: string, outputLength = 100_000): Buffer =>
  createHash('shake256', { outputLength }).update(name).digest();

const managerOf = (id: ManagerId): Manager => managers.find((one) => one.id === id) as Manager;
const pnpmClient = managerOf('pnpm12');
const manifests = {
  npm: { dependencies: { '@acme/lib': '^1.0.0', left: '3.0.0' }, devDependencies: { Upper_Case: '~1.0.0' } },
  pnpm12: { dependencies: { '@acme/lib': '^2.0.0', right: '2.1.0' }, optionalDependencies: { maybe: '1.0.0-beta.2' } },
};
const bumped = { ...manifests.npm, dependencies: { ...manifests.npm.dependencies, left: '3.1.0' } };
/** What the lockfile says of addresses is where the lockfile was made. */
const reinstall = { npm: ['ci', '--replace-registry-host=always'], pnpm12: pnpmClient.reinstall };

let folder: TemporaryFolder;
let npm: FakeRegistry;
let gems: GemsUpstream;
let python: PyPiUpstream;
let images: FakeOci;
let connected: Larder;
let namespace: Namespace;
/** In the namespace; outside of it its address means nothing. */
let closed: LarderProcess;
/** By project: the lockfile, and what the client made of it with the registry itself. */
const locks = new Map<string, string>();
const trees = new Map<string, unknown>();

function settings(name: string): Settings {
  const source = { ttl: '0s', staleWhileRevalidate: '0s' };
  return {
    upstreamUrl: npm.url,
    source,
    upstreams: {
      gems: { url: gems.url, format: 'rubygems' },
      python: { url: python.url, format: 'pypi', hosts: [new URL(python.files.url).host] },
      hub: { url: images.url, format: 'oci', hosts: images.hosts, namespaces: ['docker.io'] },
    },
    repositories: {
      gems: { format: 'rubygems', sources: [{ remote: 'gems', ...source }] },
      pypi: { format: 'pypi', sources: [{ remote: 'python', ...source }] },
      hub: { format: 'oci', sources: [{ remote: 'hub', ...source }] },
    },
    folder: join(folder.path, name),
  };
}

async function lockfile(name: string, text: string): Promise<string> {
  const file = join(await mkdtemp(join(folder.path, 'lock-')), name);
  await writeFile(file, text);
  return file;
}

/** Made with the registry itself, as by people who have never heard of Larder; gives back the lockfile. */
async function npmLock(id: 'npm' | 'pnpm12', manifest: Readonly<Record<string, unknown>>): Promise<string> {
  const manager = managerOf(id);
  const project = await createProject(folder.path, manager, npm.url, manifest);
  const ran = await project.run(...manager.install);
  expect(ran, ran.output).toMatchObject({ code: 0 });
  trees.set(id, await project.tree());
  locks.set(id, await project.lock());
  return await lockfile(manager.lockfile, locks.get(id) ?? '');
}

async function npmProjects(): Promise<readonly string[]> {
  const files = (name: string) => ({ 'data.bin': noise(name) });
  npm.publish({ name: '@acme/lib', version: '1.2.0', manifest: { dependencies: { right: '^2.0.0' } } });
  npm.publish({ name: '@acme/lib', version: '2.0.0', files: files('lib') });
  npm.publish({ name: 'right', version: '2.1.0', files: files('right') });
  npm.publish({ name: 'left', version: '3.0.0', files: files('left'), manifest: { dependencies: { right: '2.1.0' } } });
  npm.publish({ name: 'Upper_Case', version: '1.0.7' });
  npm.publish({ name: 'maybe', version: '1.0.0-beta.2' });
  return await Promise.all([npmLock('npm', manifests.npm), npmLock('pnpm12', manifests.pnpm12)]);
}

async function bundlerProject(): Promise<string> {
  const files = { 'lib/data.txt': noise('gem').toString('base64') };
  for (const gem of buildGems(await mkdtemp(join(folder.path, 'built-')), [
    { name: 'gem-a', version: '1.0.0', needs: { 'gem-b': ['>= 1.0'] }, files: { 'lib/gem-a.rb': 'A = 1\n' } },
    { name: 'gem-b', version: '1.5.0', files: { ...files, 'lib/gem-b.rb': 'B = 5\n' } },
    { name: 'gem-b', version: '1.2.0' },
  ])) {
    gems.publish(gem);
  }
  const project = await rubyProject(folder.path, gems.url, ['gem-a']);
  const ran = await project.bundle('lock');
  expect(ran, ran.output).toMatchObject({ code: 0 });
  locks.set('bundler', await project.read('Gemfile.lock'));
  return await lockfile('Gemfile.lock', locks.get('bundler') ?? '');
}

async function pipProject(): Promise<string> {
  const line = (name: string, files: readonly { readonly sha256: string }[]): string =>
    `${name} ${files.map(({ sha256 }) => `--hash=sha256:${sha256}`).join(' ')}\n`;
  const lib = python.publish({ name: 'Acme.Lib', version: '1.0', requires: ['acme-part>=1'] });
  const part = python.publish({ name: 'acme_part', version: '1.1', kinds: ['wheel'], paddingBytes: 100_000 });
  locks.set('pip', line('acme-lib==1.0', lib) + line('acme-part==1.1', part));
  return await lockfile('requirements.txt', locks.get('pip') ?? '');
}

async function imageProject(): Promise<string> {
  const platforms = ['amd64', 'arm64'].map((architecture) => {
    const { mediaType, digest, size } = images.image('library/app', { layers: [noise(architecture)] });
    return { mediaType, digest, size, platform: { os: 'linux', architecture } };
  });
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: platforms };
  images.put('library/app', Buffer.from(JSON.stringify(index)), mediaTypes.index, ['1']);
  trees.set('images', await pullImage({ origin: images.url, path: '' }));
  return await lockfile('Dockerfile', 'FROM app:1\nRUN true\n');
}

async function pullImage(mirror: Mirror): Promise<Pulled> {
  const skopeo = imageClients.find(({ id }) => id === 'skopeo');
  const engine = await skopeo?.start(await mkdtemp(join(folder.path, 'client-')), mirror);
  try {
    return (await engine?.pull('library/app:1')) ?? [];
  } finally {
    await engine?.close();
  }
}

async function expectDone(run: Promise<Run>): Promise<string> {
  const { code, out, err } = await run;
  expect(code, out + err).toBe(0);
  return out;
}

/** With what the connected side has; `more` says how much less is to be in it. */
async function exported(name: string, ...more: readonly string[]) {
  const file = join(folder.path, name);
  const args = ['export', '--config', connected.configFile, '-o', file, '--json', ...more];
  const { records, blobs } = JSON.parse(await expectDone(command(args))) as { records: number; blobs: number };
  return { file, records, blobs, sizeBytes: (await stat(file)).size };
}

async function imported(file: string) {
  const args = ['import', '--config', closed.configFile, '--json', file];
  return JSON.parse(await expectDone(namespace.inside(() => program(args)))) as {
    readonly signedBy: string;
    readonly added: number;
    readonly refused: readonly unknown[];
  };
}

const covered = (...files: readonly string[]): Promise<string> =>
  expectDone(namespace.inside(() => program(['coverage', '--url', closed.url, ...files])));

/** From the lockfile alone, with an empty cache, on the closed side. */
async function installed(id: 'npm' | 'pnpm12', manifest: Readonly<Record<string, unknown>>): Promise<unknown> {
  const address = `${closed.url}/public/npm`;
  const project = await createProject(folder.path, managerOf(id), address, manifest, locks.get(id));
  const ran = await namespace.inside(() => project.run(...reinstall[id]));
  expect(ran, ran.output).toMatchObject({ code: 0 });
  expect(await project.lock()).toBe(locks.get(id));
  return await project.tree();
}

describe.skipIf(reason)(reason ?? 'what was warmed from five lockfiles and carried over an air gap', () => {
  let first: Awaited<ReturnType<typeof exported>>;
  let files: readonly string[];

  beforeAll(async () => {
    folder = await temporaryFolder('larder-gap');
    [npm, gems, python, images] = await Promise.all([
      startFakeRegistry(),
      startGemsUpstream(),
      startPyPiUpstream(),
      startFakeOci(),
    ]);
    files = (await Promise.all([npmProjects(), bundlerProject(), pipProject(), imageProject()])).flat();
    connected = await startLarder(settings('connected'));
    await expectDone(command(['warm', '--url', connected.url, ...files]));
    const made = JSON.parse(await expectDone(command(['keys', 'create', '--config', connected.configFile, '--json'])));
    first = await exported('first.larder');

    namespace = createNamespace();
    closed = await namespace.inside(() => spawnLarder({ ...settings('closed'), more: { offline: true } }));
    await expectDone(command(['keys', 'trust', '--config', closed.configFile, made.publicKey]));
    expect(await imported(first.file)).toMatchObject({ signedBy: made.id, added: first.blobs, refused: [] });
  });

  afterAll(async () => {
    await Promise.all([connected, closed, npm, gems?.upstream, python, images].map((one) => one?.close()));
    namespace?.close();
    await folder?.remove();
  });

  test('there is no way out, and all of it is there', async () => {
    const { output } = await namespace.inside(() => runProgram('ip', ['route', 'get', '192.0.2.1'], folder.path));
    expect(output).toContain('Network is unreachable');
    await covered(...files);
    expect(await expectDone(command(['verify', '--config', closed.configFile]))).toContain('all as they should be');
  });

  test('npm installs from its lockfile', async () => {
    expect(await installed('npm', manifests.npm)).toEqual(trees.get('npm'));
  });

  test('pnpm installs from its lockfile', async () => {
    expect(await installed('pnpm12', manifests.pnpm12)).toEqual(trees.get('pnpm12'));
  });

  test('Bundler installs from its lockfile', async () => {
    const mirror = { BUNDLE_MIRROR__ALL: `${closed.url}/public/gems/` };
    const project: RubyProject = await rubyProject(folder.path, gems.url, ['gem-a'], mirror);
    await project.write('Gemfile.lock', locks.get('bundler') ?? '');
    const ran = await namespace.inside(() => project.bundle('install'));
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(await project.read('Gemfile.lock')).toBe(locks.get('bundler'));
    expect((await project.installed()).toSorted()).toEqual(['gem-a-1.0.0/lib/gem-a.rb', 'gem-b-1.5.0/lib/gem-b.rb']);
  });

  test('pip installs with hashes', async () => {
    const place = await pythonPlace(folder.path, { 'requirements.txt': locks.get('pip') ?? '' });
    const target = join(place.folder, 'target');
    const ran = await namespace.inside(() =>
      place.run(
        pip?.python ?? '',
        ...['-m', 'pip', 'install', '--no-cache-dir', '--no-compile', '--require-hashes', '-r', 'requirements.txt'],
        ...['-i', `${closed.url}/public/pypi/simple/`, '--target', target],
      ),
    );
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(Object.keys(await treeOf(target))).toEqual(
      expect.arrayContaining(['/acme_lib/__init__.py', '/acme_part/__init__.py', '/acme_part/data.bin']),
    );
    expect(await readFile(join(target, 'acme_part-1.1.dist-info/METADATA'), 'utf8')).toContain('Version: 1.1');
  });

  test('skopeo pulls the image with all its platforms', async () => {
    const pulled = await namespace.inside(() => pullImage({ origin: closed.url, path: 'public/hub' }));
    expect(pulled).toEqual(trees.get('images'));
  });

  test('when one dependency is bumped, a bundle with the difference alone is enough', async () => {
    const before = JSON.stringify(trees.get('npm'));
    const version: PublishedVersion = npm.publish({
      name: 'left',
      version: '3.1.0',
      files: { 'data.bin': noise('left again') },
      manifest: { dependencies: { right: '2.1.0' } },
    });
    const file = await npmLock('npm', bumped);
    expect(JSON.stringify(trees.get('npm'))).not.toBe(before);
    await expectDone(command(['warm', '--url', connected.url, file]));

    const delta = await exported('delta.larder', '--since', first.file);
    const tarballBytes = 'length' in version.bytes ? version.bytes.length : version.bytes.size;
    // The package, what its registry says of it, and a few lines about both.
    expect(delta).toMatchObject({ blobs: 2 });
    expect(delta.sizeBytes).toBeGreaterThan(tarballBytes);
    expect(delta.sizeBytes).toBeLessThan(tarballBytes + 6000);
    expect(first.sizeBytes).toBeGreaterThan(5 * delta.sizeBytes);
    // What the other side says of itself comes to the same.
    const inventory = join(folder.path, 'closed.inventory');
    await expectDone(command(['inventory', '--config', closed.configFile, '-o', inventory]));
    const asked = await exported('asked.larder', '--inventory', inventory);
    expect(asked).toMatchObject({ records: delta.records, blobs: delta.blobs });

    expect(await imported(delta.file)).toMatchObject({ added: 2, refused: [] });
    await covered(file);
    expect(await installed('npm', bumped)).toEqual(trees.get('npm'));
  });

  test('and nobody was asked for anything', async () => {
    const text = await namespace.inside(() =>
      mustRun(runProgram('curl', ['-sSf', `${closed.url}/metrics`], folder.path)),
    );
    const metrics = parseMetrics(text);
    expect(metrics.sum('larder_requests_total')).toBeGreaterThan(20);
    for (const name of ['larder_upstream_responses_total', 'larder_upstream_failures_total']) {
      expect(metrics.sum(name), name).toBe(0);
    }
  });
});

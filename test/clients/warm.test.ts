/**
 * Five projects, each known by its lockfile alone: an empty Larder is warmed from them, every upstream goes away, and the unchanged
 * clients install with empty caches from what is stored.
 */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { command } from '../commands/larder.ts';
import { type FakeOci, mediaTypes, startFakeOci } from '../support/fake-oci.ts';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type Larder, type Settings, startLarder } from '../support/larder.ts';
import { type PyPiUpstream, startPyPiUpstream } from '../support/pypi-upstream.ts';
import { buildGems, type GemsUpstream, startGemsUpstream } from '../support/rubygems-upstream.ts';
import { imageClients, missingPrograms } from './image-clients.ts';
import { createProject, type Manager, managers, missing } from './package-managers.ts';
import { findPips, pythonPlace } from './python-clients.ts';
import { missingRuby, rubyProject } from './ruby-projects.ts';

const some = managers.filter(({ id }) => id === 'npm' || id === 'pnpm12');
const noRuby = missingRuby();
const [pip] = findPips();
const noImages = missingPrograms('skopeo');
const skopeo = imageClients.find(({ id }) => id === 'skopeo');

const manifest = {
  dependencies: { '@acme/lib': '^1.0.0', left: 'latest' },
  devDependencies: { Upper_Case: '~1.0.0' },
  optionalDependencies: { maybe: '1.0.0-beta.2' },
};

let folder: TemporaryFolder;
let npm: FakeRegistry;
let gems: GemsUpstream;
let python: PyPiUpstream;
let images: FakeOci;
/** The one that is warmed, and afterwards the one that is alone with what it has stored. */
let larder: Larder;
const locks = new Map<string, string>();
let asked: number;
const trees = new Map<string, unknown>();

function settings(): Settings {
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
    folder: join(folder.path, 'larder'),
  };
}

/** How often any upstream was asked. */
const requests = (): number =>
  npm.upstream.requests.length + gems.log().length + python.log().length + images.log().length;

function fillNpm(): void {
  npm.publish({ name: '@acme/lib', version: '1.2.0', manifest: { dependencies: { right: '^2.0.0' } } });
  npm.publish({ name: '@acme/lib', version: '2.0.0' });
  npm.publish({ name: 'right', version: '2.1.0' });
  npm.publish({ name: 'left', version: '3.0.0', manifest: { dependencies: { right: '2.1.0' } } });
  npm.publish({ name: 'Upper_Case', version: '1.0.7' });
  npm.publish({ name: 'maybe', version: '1.0.0-beta.2' });
}

function fillImages(): void {
  const manifests = ['amd64', 'arm64'].map((architecture) => {
    const { mediaType, digest, size } = images.image('library/app', { layers: [Buffer.from(`for ${architecture}`)] });
    return { mediaType, digest, size, platform: { os: 'linux', architecture } };
  });
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
  images.put('library/app', Buffer.from(JSON.stringify(index)), mediaTypes.index, ['1']);
}

/** Made with the registry itself, as by people who have never heard of Larder. */
async function lockOf(manager: Manager): Promise<string> {
  const project = await createProject(folder.path, manager, npm.url, manifest);
  const ran = await project.run(...manager.install);
  expect(ran, ran.output).toMatchObject({ code: 0 });
  trees.set(manager.id, await project.tree());
  return await project.lock();
}

async function write(...[path, text]: readonly [string, string]): Promise<string> {
  const file = join(await mkdtemp(join(folder.path, 'lock-')), path);
  await writeFile(file, text);
  return file;
}

beforeAll(async () => {
  folder = await temporaryFolder('larder-warm');
  [npm, gems, python, images] = await Promise.all([
    startFakeRegistry(),
    startGemsUpstream(),
    startPyPiUpstream(),
    startFakeOci(),
  ]);
  fillNpm();
  fillImages();
  const files: string[] = [];
  const add = async (name: string, file: string, text: string): Promise<void> => {
    locks.set(name, text);
    files.push(await write(file, text));
  };
  for (const manager of some.filter(({ id }) => !missing(id))) {
    await add(manager.id, manager.lockfile, await lockOf(manager));
  }
  if (!noRuby) {
    const needs = { 'gem-b': ['>= 1.0'] };
    for (const gem of buildGems(await mkdtemp(join(folder.path, 'built-')), [
      { name: 'gem-a', version: '1.0.0', needs, files: { 'lib/gem-a.rb': 'A = 1' } },
      { name: 'gem-b', version: '1.5.0', files: { 'lib/gem-b.rb': 'B = 1' } },
      { name: 'gem-b', version: '1.2.0' },
    ])) {
      gems.publish(gem);
    }
    const project = await rubyProject(folder.path, gems.url, ['gem-a']);
    const ran = await project.bundle('lock');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    await add('bundler', 'Gemfile.lock', await project.read('Gemfile.lock'));
  }
  const [lib = [], part = []] = [
    python.publish({ name: 'Acme.Lib', version: '1.0', requires: ['acme-part>=1'] }),
    python.publish({ name: 'acme_part', version: '1.1', kinds: ['wheel'] }),
  ];
  const line = (name: string, those: typeof lib): string =>
    `${name} ${those.map(({ sha256 }) => `--hash=sha256:${sha256}`).join(' ')}\n`;
  await add('pip', 'requirements.txt', line('acme-lib==1.0', lib) + line('acme-part==1.1', part));
  await add('images', 'Dockerfile', 'FROM app:1\nRUN true\n');

  larder = await startLarder(settings());
  const warmed = await command(['warm', '--resolve', '--url', larder.url, '--json', ...files]);
  expect(warmed.code, warmed.out + warmed.err).toBe(0);
  await larder.stop();
  await Promise.all([npm.upstream.stop(), gems.upstream.stop(), python.stop(), images.stop()]);
  npm.upstream.forget();
  larder = await startLarder({ ...settings(), more: { offline: true } });
  const covered = await command(['coverage', '--url', larder.url, ...files]);
  expect(covered.code, covered.out + covered.err).toBe(0);
  asked = requests();
});

afterEach(() => expect(requests()).toBe(asked));

afterAll(async () => {
  await larder?.close();
  await Promise.all([npm, gems?.upstream, python, images].map((one) => one?.close()));
  await folder?.remove();
});

describe('from what was warmed, with no upstream', () => {
  describe.each(some)('$id', (manager) => {
    const reason = missing(manager.id);
    test.skipIf(reason)(reason ?? 'installs from its lockfile, and without one', async () => {
      const address = `${larder.url}/public/npm`;
      const lock = locks.get(manager.id)?.replaceAll(npm.url, address) ?? '';
      const locked = await createProject(folder.path, manager, address, manifest, lock);
      const ran = await locked.run(...manager.reinstall);
      expect(ran, ran.output).toMatchObject({ code: 0 });
      expect(await locked.tree()).toEqual(trees.get(manager.id));
      const anew = await createProject(folder.path, manager, address, manifest);
      const again = await anew.run(...manager.install);
      expect(again, again.output).toMatchObject({ code: 0 });
      expect(await anew.tree()).toEqual(trees.get(manager.id));
    });
  });

  test.skipIf(noRuby)(noRuby ?? 'Bundler installs', async () => {
    const address = `${larder.url}/public/gems`;
    const project = await rubyProject(folder.path, address, ['gem-a']);
    await project.write('Gemfile.lock', locks.get('bundler')?.replaceAll(gems.url, address) ?? '');
    const ran = await project.bundle('install');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect((await project.installed()).toSorted()).toEqual([
      expect.stringMatching(/^gem-a-1\.0\.0\//),
      expect.stringMatching(/^gem-b-1\.5\.0\//),
    ]);
  });

  test.skipIf(!pip)('pip installs with hashes', async () => {
    const place = await pythonPlace(folder.path, { 'requirements.txt': locks.get('pip') ?? '' });
    const target = join(place.folder, 'target');
    const ran = await place.run(
      pip?.python ?? '',
      ...['-m', 'pip', 'install', '--no-cache-dir', '--no-compile', '--require-hashes', '-r', 'requirements.txt'],
      ...['-i', `${larder.url}/public/pypi/simple/`, '--target', target],
    );
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(await readFile(join(target, 'acme_part-1.1.dist-info/METADATA'), 'utf8')).toContain('Version: 1.1');
  });

  test.skipIf(noImages)(noImages ?? 'skopeo pulls the image with all its platforms', async () => {
    const mirror = { origin: larder.url, path: 'public/hub' };
    const engine = await skopeo?.start(await mkdtemp(join(folder.path, 'client-')), mirror);
    const pulled = await engine?.pull('library/app:1');
    await engine?.close();
    expect(pulled?.filter((line) => /^[0-9a-f]{64} /.test(line)).length).toBeGreaterThanOrEqual(3);
  });
});

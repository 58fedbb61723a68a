/** Every package manager installs through Larder from a small registry: cold, warm, and when the registry is gone. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type LarderProcess, spawnLarder } from '../support/larder.ts';
import { createProject, integritiesIn, managers, missing } from './package-managers.ts';

const manifest = {
  dependencies: { '@acme/lib': '^1.0.0', left: 'latest', tool: '1.0.0' },
  devDependencies: { Upper_Case: '~1.0.0' },
  optionalDependencies: { maybe: '1.0.0-beta.2' },
};

function fill(registry: FakeRegistry): void {
  registry.publish({ name: '@acme/lib', version: '1.0.0' });
  registry.publish({ name: '@acme/lib', version: '1.2.0', manifest: { dependencies: { right: '^2.0.0' } } });
  registry.publish({ name: '@acme/lib', version: '2.0.0' });
  registry.publish({ name: 'right', version: '1.0.0' });
  registry.publish({ name: 'right', version: '2.1.0' });
  registry.publish({ name: 'left', version: '3.0.0', manifest: { dependencies: { right: '1.0.0' } } });
  registry.publish({ name: 'left', version: '4.0.0-rc.1', tag: 'next' });
  registry.publish({ name: 'Upper_Case', version: '1.0.7' });
  registry.publish({ name: 'maybe', version: '1.0.0-beta.2' });
  registry.publish({ name: 'tool', version: '1.0.0', manifest: { bin: { tool: 'index.js' } } });
}

let registry: FakeRegistry;
let larder: LarderProcess;
let folder: TemporaryFolder;

beforeAll(async () => {
  registry = await startFakeRegistry();
  fill(registry);
  larder = await spawnLarder({ upstreamUrl: registry.url, source: { ttl: '1h' } });
  folder = await temporaryFolder('larder-clients');
});

afterAll(async () => {
  await larder?.close();
  await registry?.close();
  await folder?.remove();
});

describe.each(managers)('$id', (manager) => {
  const reason = missing(manager.id);

  test.skipIf(reason)(reason ?? 'installs cold, warm, and with the registry gone', async () => {
    const through = `${larder.url}/public/npm`;
    const direct = await createProject(folder.path, manager, registry.url, manifest);
    expect(await direct.run(...manager.install)).toMatchObject({ code: 0 });

    const cold = await createProject(folder.path, manager, through, manifest);
    const ran = await cold.run(...manager.install);
    expect(ran, ran.output).toMatchObject({ code: 0 });
    const lib = await readFile(join(cold.folder, 'node_modules/@acme/lib/index.js'), 'utf8');
    expect(lib).toBe('module.exports = "@acme/lib@1.2.0";\n');
    expect(await cold.tree()).toEqual(await direct.tree());
    const lock = await cold.lock();
    expect(integritiesIn(lock)).toEqual(integritiesIn(await direct.lock()));
    expect(integritiesIn(lock).length).toBeGreaterThan(5);
    expect(lock).not.toContain(`:${registry.upstream.port}`);

    const before = registry.upstream.requests.length;
    const warm = await createProject(folder.path, manager, through, manifest);
    expect(await warm.run(...manager.install)).toMatchObject({ code: 0 });
    expect(await warm.tree()).toEqual(await direct.tree());
    expect(registry.upstream.requests.slice(before).map((seen) => seen.url)).toEqual([]);

    await registry.upstream.stop();
    try {
      const alone = await createProject(folder.path, manager, through, manifest);
      expect(await alone.run(...manager.install)).toMatchObject({ code: 0 });
      expect(await alone.tree()).toEqual(await direct.tree());
      const locked = await createProject(folder.path, manager, through, manifest, lock);
      const fromLock = await locked.run(...manager.reinstall);
      expect(fromLock, fromLock.output).toMatchObject({ code: 0 });
      expect(await locked.tree()).toEqual(await direct.tree());
      expect(await locked.lock()).toBe(lock);
    } finally {
      await registry.upstream.start();
    }
  });
});

test('a lockfile alone is enough for a Larder that never saw the documents', async (context) => {
  context.skip(missing('npm') !== undefined, missing('npm'));
  const [npm] = managers;
  if (!npm) throw new Error('There is no npm among the package managers');
  const first = await createProject(folder.path, npm, `${larder.url}/public/npm`, manifest);
  await first.run(...npm.install);
  const fresh = await spawnLarder({ upstreamUrl: registry.url });
  try {
    const lock = (await first.lock()).replaceAll(larder.url, fresh.url);
    const second = await createProject(folder.path, npm, `${fresh.url}/public/npm`, manifest, lock);
    expect(await second.run('ci')).toMatchObject({ code: 0 });
    expect(await second.tree()).toEqual(await first.tree());
  } finally {
    await fresh.close();
  }
});

test('a tarball that upstream spoils is refused by Larder before the client sees the whole of it', async (context) => {
  context.skip(missing('npm12') !== undefined, missing('npm12'));
  const npm = managers.find(({ id }) => id === 'npm12');
  if (!npm) throw new Error('There is no npm among the package managers');
  const spoiled = registry.publish({ name: 'spoiled', version: '1.0.0' });
  registry.upstream.at(spoiled.path, { body: spoiled.bytes, corruptAt: 50, ranges: false });
  const project = await createProject(folder.path, npm, `${larder.url}/public/npm`, { dependencies: { spoiled: '1' } });
  const ran = await project.run('install');
  expect(ran.code).not.toBe(0);
  expect(ran.output).toMatch(/502/);
  registry.upstream.at(spoiled.path, { body: spoiled.bytes });
  await rm(project.home, { recursive: true, force: true });
  expect(await project.run('install')).toMatchObject({ code: 0 });
});

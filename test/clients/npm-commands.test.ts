/** What npm's other commands say through Larder, and whether its error messages name the right trouble. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type LarderProcess, spawnLarder } from '../support/larder.ts';
import { createProject, type Manager, managers, missing, type Project } from './package-managers.ts';

let registry: FakeRegistry;
let larder: LarderProcess;
let folder: TemporaryFolder;

beforeAll(async () => {
  registry = await startFakeRegistry();
  registry.publish({ name: 'lib', version: '1.0.0', publishedAt: '2021-02-03T04:05:06.000Z' });
  registry.publish({ name: 'lib', version: '1.1.0', publishedAt: '2022-02-03T04:05:06.000Z' });
  registry.publish({ name: 'lib', version: '2.0.0-rc.1', tag: 'next', publishedAt: '2023-02-03T04:05:06.000Z' });
  registry.advisories.add('lib@<1.1.0');
  larder = await spawnLarder({ upstreamUrl: registry.url, upstream: { retries: 0 } });
  folder = await temporaryFolder('larder-clients');
});

afterAll(async () => {
  await larder?.close();
  await registry?.close();
  await folder?.remove();
});

function project(manager: Manager, dependencies: Record<string, string> = {}): Promise<Project> {
  return createProject(folder.path, manager, `${larder.url}/public/npm`, { dependencies });
}

describe.each(managers.filter(({ id }) => id.startsWith('npm')))('$id', (manager) => {
  const skip = { skip: missing(manager.id) !== undefined };

  test('view', skip, async () => {
    const { run } = await project(manager);
    expect(JSON.parse((await run('view', 'lib', 'versions', '--json')).stdout)).toEqual([
      '1.0.0',
      '1.1.0',
      '2.0.0-rc.1',
    ]);
    expect((await run('view', 'lib@next', 'version')).stdout.trim()).toBe('2.0.0-rc.1');
    expect((await run('view', 'lib', 'time', '--json')).stdout).toContain('"1.0.0": "2021-02-03T04:05:06.000Z"');
    expect((await run('dist-tag', 'ls', 'lib')).stdout).toContain('next: 2.0.0-rc.1');
  });

  test('search and ping', skip, async () => {
    const { run } = await project(manager);
    expect(JSON.parse((await run('search', 'lib', '--json')).stdout)).toMatchObject([
      { name: 'lib', version: '1.1.0' },
    ]);
    const ping = await run('ping');
    expect(ping, ping.output).toMatchObject({ code: 0 });
  });

  test('whoami asks for a login', skip, async () => {
    const { run } = await project(manager);
    const ran = await run('whoami');
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toMatch(/ENEEDAUTH|E401/);
  });

  test('audit', skip, async () => {
    const { run } = await project(manager, { lib: '1.0.0' });
    await run('install');
    const found = await run('audit', '--json');
    expect(found.code).toBe(1);
    expect(JSON.parse(found.stdout)).toMatchObject({ vulnerabilities: { lib: { severity: 'high' } } });
    const clean = await project(manager, { lib: '1.1.0' });
    await clean.run('install');
    const none = await clean.run('audit');
    expect(none, none.output).toMatchObject({ code: 0 });
    expect(none.stdout).toContain('found 0 vulnerabilities');
  });

  test('a version that does not exist is called so', skip, async () => {
    const { run } = await project(manager, { lib: '9.9.9' });
    const ran = await run('install');
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toMatch(/ETARGET/);
    expect(ran.stderr).toMatch(/No matching version found for lib@9\.9\.9/);
  });

  test('a package that does not exist is called so', skip, async () => {
    const { run } = await project(manager, { 'no-such-package': '1' });
    const ran = await run('install');
    expect(ran.stderr).toMatch(/E404/);
  });

  test('an upstream that is away is 503 and not 404', skip, async () => {
    await registry.upstream.stop();
    try {
      const { run } = await project(manager, { [`unknown-to-${manager.id}`]: '1' });
      const ran = await run('install');
      expect(ran.code).not.toBe(0);
      expect(ran.stderr).toMatch(/E503|503/);
      expect(ran.stderr).not.toMatch(/E404/);
    } finally {
      await registry.upstream.start();
    }
  });
});

describe('audits of the others', () => {
  const audits: Readonly<Record<string, readonly string[]>> = {
    pnpm12: ['audit'],
    yarn4: ['npm', 'audit', '--all'],
    bun: ['audit'],
  };
  test.each(managers.filter(({ id }) => id in audits))('$id finds what npm finds', async (manager) => {
    if (missing(manager.id)) return;
    const { run } = await project(manager, { lib: '1.0.0' });
    await run(...manager.install);
    const ran = await run(...(audits[manager.id] ?? []));
    expect(ran.output).toMatch(/made-up weakness/);
    expect(ran.code).not.toBe(0);
  });
});

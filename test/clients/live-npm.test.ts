/**
 * A real project from the real npm registry: what comes through Larder is what the registry hands out, and afterwards
 * the registry is not needed. The registry is the one that the machine's npm is set to.
 */
import { execFileSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type LarderProcess, spawnLarder } from '../support/larder.ts';
import { type Forwarder, startForwarder } from './forwarder.ts';
import {
  createProject,
  findProgram,
  integritiesIn,
  type Manager,
  managers,
  missing,
  type Project,
} from './package-managers.ts';

// Versions whose packages for other systems are all there: yarn 1 and yarn 4 refuse to leave one out.
const large = {
  dependencies: { express: '5.3.0', next: '16.4.5', react: '19.2.0', 'react-dom': '19.2.0' },
  devDependencies: { eslint: '10.15.0', typescript: '7.0.2', vite: '8.3.8' },
};

/** Has all that the large one has, long lists of versions and packages for other systems among it, without its 500 MB. */
const small = {
  dependencies: { express: '5.3.0' },
  devDependencies: { eslint: '10.15.0', vite: '8.3.8' },
};

// Both npms would do the same for minutes; the small registry sees both.
const some = managers.filter(({ id }) => id !== 'npm12');

/** The large project takes each of them minutes, nearly all of it for unpacking: with LARDER_LIVE=npm one shows it, with LARDER_LIVE=all everyone. */
const isLarge = ({ id }: Manager): boolean => ['all', id].includes(process.env.LARDER_LIVE ?? '');

interface Installed {
  readonly tree: Readonly<Record<string, string>>;
  readonly lock: string;
}

function liveRegistry(): string {
  const npm = findProgram('npm');
  if (!npm) throw new Error('npm is not installed');
  return execFileSync(npm, ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
}

let registry: Forwarder;
let larder: LarderProcess;
let folder: TemporaryFolder;
const direct = new Map<string, Installed>();

beforeAll(async () => {
  registry = await startForwarder(liveRegistry());
  larder = await spawnLarder({ upstreamUrl: registry.url, source: { ttl: '1h' } });
  folder = await temporaryFolder('larder-live');
});

afterAll(async () => {
  await larder?.close();
  await registry?.stop();
  await folder?.remove();
});

/** In a new folder with an empty home; gone again afterwards, for a project takes 600 MB. */
async function install(manager: Manager, address: string): Promise<Installed> {
  const project: Project = await createProject(folder.path, manager, address, isLarge(manager) ? large : small);
  const ran = await project.run(...manager.install);
  expect(ran, ran.output).toMatchObject({ code: 0 });
  const installed = { tree: await project.tree(), lock: (await project.lock()).replaceAll(address, 'REGISTRY') };
  await Promise.all([project.folder, project.home].map((path) => rm(path, { recursive: true, force: true })));
  return installed;
}

/** Compared as text first: a difference in one of thirteen thousand files is otherwise hard to read. */
function expectSame(actual: Installed, expected: Installed): void {
  const different = Object.keys({ ...expected.tree, ...actual.tree }).filter(
    (path) => expected.tree[path] !== actual.tree[path],
  );
  expect(different).toEqual([]);
  expect(integritiesIn(actual.lock)).toEqual(integritiesIn(expected.lock));
  expect(actual.lock).toBe(expected.lock);
}

describe('through Larder', () => {
  describe.each(some)('$id', (manager) => {
    const reason = missing(manager.id);
    test.skipIf(reason)(reason ?? 'installs what it installs without', async () => {
      const expected = await install(manager, registry.url);
      expect(Object.keys(expected.tree).length).toBeGreaterThan(isLarge(manager) ? 5000 : 1000);
      expect(integritiesIn(expected.lock).length).toBeGreaterThan(isLarge(manager) ? 150 : 100);
      direct.set(manager.id, expected);
      expectSame(await install(manager, `${larder.url}/public/npm`), expected);
    });
  });
});

test('with nothing in the client’s cache again, no request goes to the registry', async (context) => {
  const quickest = some.findLast(({ id }) => direct.has(id));
  if (!quickest) return context.skip('no package manager is installed');
  const before = registry.requests.length;
  expectSame(await install(quickest, `${larder.url}/public/npm`), direct.get(quickest.id) as Installed);
  expect(registry.requests.slice(before)).toEqual([]);
});

describe('with the registry out of reach, after a restart, and with every document due for a look', () => {
  beforeAll(async () => {
    await larder.stop();
    await registry.stop();
    const source = { ttl: '0s', staleWhileRevalidate: '0s' };
    const { folder: kept } = larder;
    const alone = await spawnLarder({ upstreamUrl: registry.url, folder: kept, source });
    const { close } = larder;
    larder = {
      ...alone,
      async close() {
        await alone.close();
        await close();
      },
    };
  });

  describe.each(some)('$id', (manager) => {
    const reason = missing(manager.id);
    test.skipIf(reason)(reason ?? 'installs the same', async () => {
      expectSame(await install(manager, `${larder.url}/public/npm`), direct.get(manager.id) as Installed);
    });
  });
});

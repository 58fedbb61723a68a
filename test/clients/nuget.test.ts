/**
 * Debian's nuget (2.8.7 on Mono), which reads the second version of the protocol only: what it is told is made from an
 * upstream that speaks the third one only.
 */
import { accessSync, constants } from 'node:fs';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type Larder, startLarder } from '../support/larder.ts';
import { type NugetUpstream, startNugetUpstream } from '../support/nuget-upstream.ts';
import { type Ran, run } from './package-managers.ts';

function missingNuget(): string | undefined {
  try {
    accessSync('/usr/bin/nuget', constants.X_OK);
    return undefined;
  } catch {
    const reason = 'nuget is not installed: the packages that .ci/run lists have it';
    if (process.env.CI === 'true') throw new Error(reason);
    return reason;
  }
}

const noNuget = missingNuget();
const core = [{ id: 'acme.core', range: '[1.0.0, )' }];

let folder: TemporaryFolder;
let feed: NugetUpstream;
let larder: Larder;

beforeAll(async () => {
  if (noNuget) return;
  folder = await temporaryFolder('larder-nuget');
  feed = await startNugetUpstream({
    packages: [
      { id: 'Acme.Tools', version: '1.0.0', dependencies: core },
      { id: 'Acme.Tools', version: '1.2.0', dependencies: [{ id: 'Acme.Core', range: '1.5.0' }] },
      { id: 'Acme.Tools', version: '1.10.0', dependencies: core, listed: false },
      { id: 'Acme.Tools', version: '2.0.0-beta', dependencies: core },
      { id: 'Acme.Tools', version: '3.0.0-beta.1', dependencies: core },
      { id: 'Acme.Core', version: '1.0.0' },
      { id: 'Acme.Core', version: '1.5' },
    ],
  });
  larder = await startLarder({
    upstreamUrl: feed.url,
    upstreams: { feed: { url: feed.url, format: 'nuget', hosts: ['127.0.0.1'], retries: 0 } },
    repositories: { nuget: { format: 'nuget', sources: [{ remote: 'feed', ttl: '1h' }] } },
  });
});

afterAll(async () => {
  await larder?.close();
  await feed?.close();
  await folder?.remove();
});

interface Installed {
  readonly ran: Ran;
  /** Name of each package's folder, with its package in it. */
  readonly packages: Readonly<Record<string, Buffer>>;
}

/** With a home of its own, so that nothing comes from the client's own cache. */
async function nuget(...args: readonly string[]): Promise<Installed> {
  const home = await mkdtemp(join(folder.path, 'home-'));
  const out = join(home, 'packages');
  await writeFile(
    join(home, 'packages.config'),
    '<?xml version="1.0" encoding="utf-8"?>\n<packages><package id="Acme.Tools" version="1.0.0"/><package id="Acme.Core" version="1.0.0"/></packages>\n',
  );
  const place = args[0] === 'restore' ? '-PackagesDirectory' : '-OutputDirectory';
  const ran = await run(
    '/usr/bin/nuget',
    [...args, '-Source', `${larder.url}/public/nuget/v2/`, place, out, '-NonInteractive'],
    { folder: home, home, env: { LC_ALL: 'C.UTF-8' } },
  );
  const names = await readdir(out).catch(() => []);
  const packages = names.map(async (name) => [name, await readFile(join(out, name, `${name}.nupkg`))] as const);
  return { ran, packages: Object.fromEntries(await Promise.all(packages)) };
}

const bytesOf = (id: string, version: string): Buffer => feed.nupkg(id, version);

describe.skipIf(noNuget)('nuget 2.8', () => {
  test.each([
    ['the latest stable version that is listed', ['install', 'acme.tools'], 'Acme.Tools.1.2.0', 'Acme.Core.1.5'],
    ['a version', ['install', 'Acme.Tools', '-Version', '1.0.0'], 'Acme.Tools.1.0.0', 'Acme.Core.1.0.0'],
    ['one that is not listed', ['install', 'Acme.Tools', '-Version', '1.10'], 'Acme.Tools.1.10.0', 'Acme.Core.1.0.0'],
    // The third one is beyond it.
    ['the latest of all', ['install', 'Acme.Tools', '-Prerelease'], 'Acme.Tools.2.0.0-beta', 'Acme.Core.1.0.0'],
    ['a list of packages', ['restore', 'packages.config'], 'Acme.Tools.1.0.0', 'Acme.Core.1.0.0'],
  ])(
    'gets %s with what it needs, byte for byte; the second time nobody upstream is asked',
    async (_what, args, tool, needed) => {
      const { ran, packages } = await nuget(...args);
      expect({ code: ran.code, err: ran.stderr }).toEqual({ code: 0, err: '' });
      expect(Object.keys(packages).sort()).toEqual([needed, tool]);
      expect(packages[tool]?.equals(bytesOf('Acme.Tools', tool.slice('Acme.Tools.'.length)))).toBe(true);
      expect(packages[needed]?.equals(bytesOf('Acme.Core', needed.slice('Acme.Core.'.length)))).toBe(true);
      feed.forget();
      expect((await nuget(...args)).packages).toEqual(packages);
      expect(feed.requests()).toEqual([]);
    },
  );

  test('prints in Larder’s words why there is no such package', async () => {
    const { ran } = await nuget('install', 'Acme.Unknown');
    expect(ran.code).not.toBe(0);
    expect(ran.output).toContain('acme.unknown is not in public/nuget');
  });

  test('goes on while upstream is down', async () => {
    await feed.stop();
    try {
      const { ran, packages } = await nuget('install', 'Acme.Tools');
      expect(ran.code).toBe(0);
      expect(Object.keys(packages)).toContain('Acme.Tools.1.2.0');
    } finally {
      await feed.start();
    }
  });
});

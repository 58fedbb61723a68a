/** `larder warm` and `larder coverage` against servers with fake upstreams. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOci } from '../support/fake-oci.ts';
import type { FakeRegistry } from '../support/fake-registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type Larder, startLarder } from '../support/larder.ts';
import { scene } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';
import { command, type Run } from './larder.ts';

const closing: (() => Promise<void>)[] = [];
const later = (close: () => Promise<void>): void => void closing.unshift(close);

let folder: TemporaryFolder;
let larder: Larder;
let registry: FakeRegistry;

beforeAll(async () => {
  folder = await temporaryFolder();
  later(() => folder.remove());
  ({ larder, registry } = await scene({ source: { ttl: '1h' } }, later));
});

afterAll(async () => {
  for (const close of closing) await close();
});

async function file(name: string, contents: string | object): Promise<string> {
  const path = join(folder.path, name);
  await writeFile(path, typeof contents === 'string' ? contents : JSON.stringify(contents));
  return path;
}

interface Locked {
  readonly name: string;
  readonly version: string;
  readonly integrity?: string;
}

function packageLock(packages: readonly Locked[]): object {
  return {
    name: 'project',
    lockfileVersion: 3,
    packages: {
      '': { name: 'project' },
      ...Object.fromEntries(packages.map(({ name, ...rest }) => [`node_modules/${name}`, rest])),
    },
  };
}

const to = (server: Larder, ...args: readonly string[]): Promise<Run> => {
  const [name = '', ...rest] = args;
  return command([name, '--url', server.url, ...rest]);
};

describe('larder warm', () => {
  it('fetches what a lockfile names, and knows afterwards that it is there', async () => {
    const one = registry.publish({ name: 'one', version: '1.0.0' });
    registry.publish({ name: 'two', version: '2.0.0' });
    const lock = await file(
      'package-lock.json',
      packageLock([
        { name: 'one', version: '1.0.0', integrity: one.integrity },
        { name: 'two', version: '2.0.0' },
      ]),
    );
    const before = await to(larder, 'coverage', lock);
    expect(before.code).toBe(3);
    expect(before.out).toContain('0 of 2 would be had from here');
    expect(before.out).toMatch(/missing {2}one 1\.0\.0: .*is not stored here/);
    const dry = await to(larder, 'warm', '--dry-run', lock);
    expect(dry).toMatchObject({ code: 0, out: expect.stringContaining('2 things are wanted with 4 requests or more') });
    expect(registry.upstream.requests).toEqual([]);

    const warmed = await to(larder, 'warm', lock, '--json');
    expect(JSON.parse(warmed.out)).toMatchObject({ got: 2, there: 0, failed: [], unverifiable: 1, requests: 4 });
    expect(warmed.code).toBe(0);
    await eventually('it is covered', async () => ((await to(larder, 'coverage', lock)).code === 0 ? true : undefined));
    const again = await to(larder, 'warm', lock);
    expect(again).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^0 got \(0 bytes\), 2 already there, 0 failed;/),
    });
    expect(again.out).toContain('1 have no digest of their file in the lockfile');
    const covered = JSON.parse((await to(larder, 'coverage', lock, '--json')).out);
    expect(covered).toMatchObject({ there: 2, missing: [] });
  });

  it('exits with 3 and a list when something could not be had, and has the rest', async () => {
    const three = registry.publish({ name: 'three', version: '3.0.0' });
    const other = registry.publish({ name: 'other', version: '3.0.0' });
    const lock = await file(
      'npm-shrinkwrap.json',
      packageLock([
        { name: 'three', version: '3.0.0', integrity: other.integrity },
        { name: 'other', version: '3.0.0', integrity: other.integrity },
        { name: 'unheard-of', version: '1.0.0' },
      ]),
    );
    const { code, out } = await to(larder, 'warm', lock);
    expect(code).toBe(3);
    expect(out).toMatch(/^1 got .* 2 failed/);
    expect(out).toContain(`three 3.0.0: public/npm /three/-/three-3.0.0.tgz: its digest is sha512:${three.sha512}`);
    expect(out).toContain(`and the lockfile says sha512:${other.sha512}`);
    expect(out).toMatch(/unheard-of 1\.0\.0: public\/npm \/unheard-of: 404 /);
    expect(out).toContain(`${lock}: node_modules/unheard-of`);
  });

  it('takes the list that a server without internet wrote', async () => {
    const four = registry.publish({ name: 'four', version: '4.0.0' });
    const list = await file('missing.txt', `# larder missing 1\npublic/npm\tfour\npublic/npm\t${four.path.slice(1)}\n`);
    expect(await to(larder, 'warm', list)).toMatchObject({ code: 0, out: expect.stringMatching(/^2 got/) });
    const strange = await file('strange.txt', '# larder missing 1\nfar/away\tfour\n');
    const { code, out } = await to(larder, 'warm', strange);
    expect(code).toBe(3);
    expect(out).toContain('there is no repository far/away');
    expect(await to(larder, 'warm', strange, '--repository', 'public/npm')).toMatchObject({ code: 0 });
  });

  it.each([
    [['warm'], 'it needs a file'],
    [['warm', '/nowhere/package-lock.json'], "/nowhere/package-lock.json can't be read: ENOENT"],
    [['warm', 'package.json'], 'package.json'],
    [['warm', 'x', '--concurrency', '0'], '--concurrency takes a number from 1 to 256'],
    [['coverage', 'x', '--concurrency', 'many'], '--concurrency takes a number from 1 to 256'],
  ])('says what is wrong with %j', async (args, message) => {
    const { code, err } = await to(larder, ...args);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(message) });
  });

  it('wants gems and images of the platforms that are named, and everything else once', async () => {
    const gemfile = await file(
      'Gemfile.lock',
      'GEM\n  remote: https://rubygems.org/\n  specs:\n    a (1.0)\n    a (1.0-x86_64-linux-gnu)\n    a (1.0-arm64-darwin)\n    a (1.0-java)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  a\n',
    );
    const dockerfile = await file('Dockerfile', 'FROM app:1\n');
    const lock = await file('package-lock.json', packageLock([{ name: 'one', version: '1.0.0' }]));
    const two = ['--platform', 'linux/amd64', '--platform', 'linux/arm64'];
    const { out } = await to(larder, 'coverage', ...two, gemfile, dockerfile, lock, '--json');
    const { there, missing } = JSON.parse(out) as { there: number; missing: { what: string }[] };
    expect(there).toBe(1);
    expect(missing.map(({ what }) => what)).toEqual([
      'a 1.0 a-1.0.gem',
      'a 1.0 a-1.0-x86_64-linux-gnu.gem',
      'a 1.0 a-1.0-java.gem',
      'library/app 1 (linux/amd64)',
      'library/app 1 (linux/arm64)',
    ]);
  });

  it('says what is wrong with a platform and a repository', async () => {
    const lock = await file('package-lock.json', packageLock([]));
    expect(await to(larder, 'warm', lock, '--platform', 'Linux')).toMatchObject({
      code: 2,
      err: expect.stringContaining('linux/amd64'),
    });
    expect(await to(larder, 'warm', lock, '-r', 'public/none')).toMatchObject({
      code: 2,
      err: expect.stringContaining('there is no repository public/none'),
    });
  });
});

describe('with several repositories of a format', () => {
  it('somebody has to choose', async () => {
    const inner = { format: 'npm', sources: [{ remote: 'inner' }] };
    const two = await startLarder({ upstreamUrl: registry.url, repositories: { second: inner } });
    later(() => two.close());
    registry.publish({ name: 'chosen', version: '1.0.0' });
    const lock = await file('package-lock.json', packageLock([{ name: 'chosen', version: '1.0.0' }]));
    expect(await to(two, 'warm', lock)).toMatchObject({
      code: 2,
      err: 'larder: npm packages may come from public/npm, public/second: name one of them with --repository\n',
    });
    const { out } = await to(two, 'warm', lock, '--repository', 'public/second', '--json');
    expect(JSON.parse(out)).toMatchObject({ got: 1, failed: [] });
    expect((await two.ask('/public/npm/chosen', { headers: { 'cache-control': 'only-if-cached' } })).status).toBe(504);
  });

  it('images come through the one that stands for their registry', async () => {
    const [hub, quay] = await Promise.all([startFakeOci(), startFakeOci()]);
    later(() => hub.close());
    later(() => quay.close());
    hub.image('library/app', { tags: ['1'] });
    quay.image('acme/tool', { tags: ['2'], layers: [Buffer.from('a layer')] });
    const images = await startLarder({
      upstreamUrl: registry.url,
      upstreams: {
        hub: { url: hub.url, hosts: hub.hosts, format: 'oci', namespaces: ['docker.io'] },
        quay: { url: quay.url, hosts: quay.hosts, format: 'oci', namespaces: ['quay.io'] },
      },
      repositories: {
        hub: { format: 'oci', sources: [{ remote: 'hub' }] },
        quay: { format: 'oci', sources: [{ remote: 'quay' }] },
      },
    });
    later(() => images.close());
    const list = await file('Dockerfile', 'FROM app:1 AS build\nFROM quay.io/acme/tool:2\nCOPY --from=build /a /b\n');
    const { code, out } = await to(images, 'warm', list, '--json');
    expect({ code, told: JSON.parse(out) }).toMatchObject({ code: 0, told: { got: 2, failed: [] } });
    expect(hub.log('manifest')).toHaveLength(1);
    expect(quay.log('manifest')).toHaveLength(1);
    const unknown = await file('Dockerfile', 'FROM ghcr.io/acme/other:1\n');
    expect(await to(images, 'warm', unknown)).toMatchObject({
      code: 3,
      out: expect.stringContaining('no upstream of public/hub, public/quay is known as ghcr.io'),
    });
  });
});

describe('packages of a format that the server has none of', () => {
  it('are told one by one', async () => {
    const lock = await file('requirements.txt', 'acme==1.0 --hash=sha256:'.padEnd(88, '0'));
    const { code, out } = await to(larder, 'warm', lock);
    expect(code).toBe(3);
    expect(out).toContain(`there is no pypi repository on ${larder.url} for it`);
  });
});

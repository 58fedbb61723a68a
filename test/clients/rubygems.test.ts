/** Bundler and `gem` install with nothing but Larder to ask. Behind it are gems that Ruby itself has built. */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type LarderProcess, root, spawnLarder } from '../support/larder.ts';
import {
  buildGems,
  type Fault,
  type FileKind,
  type GemsUpstream,
  startGemsUpstream,
} from '../support/rubygems-upstream.ts';
import { type Ran, run } from './package-managers.ts';
import { gemsForAll, missingRuby, type RubyProject, rubyProject } from './ruby-projects.ts';

const noRuby = missingRuby();

let folder: TemporaryFolder;
let upstream: GemsUpstream;
let larder: LarderProcess;
let names: readonly string[];
const closing: (() => Promise<void>)[] = [];

/** A Larder of its own, so that nothing is in it yet, unless it is one that ran before. */
async function freshLarder(source: Readonly<Record<string, unknown>> = { ttl: '1h' }): Promise<LarderProcess> {
  const started = await spawnLarder({
    upstreamUrl: upstream.url,
    upstreams: { gems: { url: upstream.url, format: 'rubygems', retries: 0, breaker: { failures: 1000 } } },
    repositories: { gems: { format: 'rubygems', sources: [{ remote: 'gems', ...source }] } },
    folder: await mkdtemp(join(folder.path, 'larder-')),
  });
  closing.push(() => started.close());
  return started;
}

const repositoryOf = ({ url }: LarderProcess): string => `${url}/public/gems`;

async function project(url: string, wanted: readonly string[] = names): Promise<RubyProject> {
  return await rubyProject(folder.path, url, wanted);
}

beforeAll(async () => {
  if (noRuby !== undefined) return;
  folder = await temporaryFolder('larder-ruby');
  upstream = await startGemsUpstream({ prefix: '/acme' });
  const gems = gemsForAll();
  for (const gem of buildGems(await mkdtemp(join(folder.path, 'built-')), gems)) upstream.publish(gem);
  names = [...new Set(gems.map(({ name }) => name))];
  larder = await freshLarder();
});

afterAll(async () => {
  for (const close of closing.toReversed()) await close();
  await upstream?.upstream.close();
  await folder?.remove();
});

describe.skipIf(noRuby !== undefined)('Bundler', () => {
  test('installs forty gems as without Larder, again without asking upstream, and while upstream is down', async () => {
    const direct = await project(upstream.url);
    const ranDirect = await direct.bundle('install');
    expect(ranDirect, ranDirect.output).toMatchObject({ code: 0 });
    const there = await direct.installed();
    expect(there.length).toBeGreaterThanOrEqual(40);
    upstream.upstream.forget();

    const ours = await project(repositoryOf(larder));
    const cold = await ours.bundle('install');
    expect(cold, cold.output).toMatchObject({ code: 0 });
    expect(cold.output).not.toMatch(/Something is wrong|does not match|Retrying/);
    expect(await ours.installed()).toEqual(there);
    expect((await ours.read('Gemfile.lock')).replaceAll(repositoryOf(larder), upstream.url)).toBe(
      await direct.read('Gemfile.lock'),
    );
    const asked = upstream.log();
    expect(asked.filter((one) => one === 'GET /versions')).toHaveLength(1);
    expect(asked.filter((one) => /specs|quick/.test(one))).toEqual([]);
    // The page that describes a gem is the one that Bundler has just read, unless the gem's name can be read in two ways.
    const twice = asked.filter((one, index) => asked.indexOf(one) !== index);
    expect(twice.sort()).toEqual(['GET /info/Upper_case-7', 'GET /info/with-2-in-it']);
    const lock = await ours.read('Gemfile.lock');

    for (const state of ['up', 'down']) {
      upstream.upstream.forget();
      if (state === 'down') await upstream.upstream.stop();
      await ours.clean();
      const warm = await ours.bundle('install');
      expect(warm, warm.output).toMatchObject({ code: 0 });
      expect(await ours.installed()).toEqual(there);
      expect(await ours.read('Gemfile.lock')).toBe(lock);
      expect(upstream.log()).toEqual([]);
    }
    await upstream.upstream.start();
  });

  test('takes the end of what has grown, and what it puts together is what we have', async () => {
    const own = await startGemsUpstream();
    closing.push(() => own.upstream.close());
    const built = buildGems(await mkdtemp(join(folder.path, 'built-')), [
      { name: 'alpha', version: '1.0.0' },
      { name: 'alpha', version: '1.1.0' },
    ]);
    own.publish(built[0] ?? { name: '', version: '' });
    const between = await spawnLarder({
      upstreamUrl: own.url,
      upstreams: { gems: { url: own.url, format: 'rubygems' } },
      repositories: {
        gems: { format: 'rubygems', sources: [{ remote: 'gems', ttl: '0s', staleWhileRevalidate: '0s' }] },
      },
      folder: await mkdtemp(join(folder.path, 'larder-')),
    });
    closing.push(() => between.close());
    const one = await project(repositoryOf(between), ['alpha']);
    expect(await one.bundle('install')).toMatchObject({ code: 0 });
    own.publish(built[1] ?? { name: '', version: '' });
    const updated = await one.bundle('update', '--all', '--verbose');
    expect(updated, updated.output).toMatchObject({ code: 0 });
    expect(await one.read('Gemfile.lock')).toContain('alpha (1.1.0)');
    expect(updated.output).toMatch(/HTTP 206/);
    expect(updated.output).not.toMatch(/HTTP 200 .*\/versions|does not match/);
    own.upstream.forget();
    const same = await one.bundle('update', '--all', '--verbose');
    expect(same.output).toMatch(/HTTP 304/);
    expect(own.log()).toEqual(['GET /versions']);
  });

  interface Lie {
    readonly faulty: FileKind;
    readonly fault: Fault;
    /** What Bundler says. */
    readonly says: RegExp;
  }
  const lies: readonly Lie[] = [
    { faulty: 'gem', fault: 'wrong bytes', says: /502|Bad Gateway/ },
    { faulty: 'gem', fault: 'sign-in page', says: /502|Bad Gateway/ },
    { faulty: 'gem', fault: '403', says: /502|Bad Gateway/ },
    { faulty: 'gem', fault: '500', says: /503|Service/ },
    { faulty: 'info', fault: 'sign-in page', says: /Could not fetch specs/ },
    { faulty: 'versions', fault: 'truncated', says: /Could not fetch specs/ },
  ];

  test.each(lies)(
    'with a $fault instead of $faulty fails, keeps nothing of it and works again afterwards',
    async (lie) => {
      const fresh = await freshLarder({ ttl: '1h', negativeTtl: '0s' });
      const one = await project(repositoryOf(fresh), ['gem-a0']);
      upstream.misbehave(lie.faulty, lie.fault);
      // Without the lists, to which Bundler turns when there is no compact index.
      upstream.misbehave('list', '500');
      const failed = await one.bundle('install');
      expect(failed.code, failed.output).not.toBe(0);
      expect(failed.output).toMatch(lie.says);
      upstream.heal();
      const healed = await one.bundle('install');
      expect(healed, healed.output).toMatchObject({ code: 0 });
      expect(await one.installed()).toEqual(['gem-a0-1.2.0/lib/gem-a0.rb']);
    },
  );
});

describe.skipIf(noRuby !== undefined)('gem', () => {
  test('installs by the lists, again without asking upstream, and while upstream is down', async () => {
    const url = `${repositoryOf(larder)}/`;
    const ours = await project(url, []);
    const cold = await ours.gem('install', 'gem-b33', '--clear-sources', '--source', url);
    expect(cold, cold.output).toMatchObject({ code: 0 });
    const there = ['gem-b33-1.10.0/lib/gem-b33.rb', 'gem-h23-1.10.0/lib/gem-h23.rb', 'gem-f13-1.10.0/lib/gem-f13.rb'];
    const installed = await ours.installed();
    for (const file of there) expect(installed).toContain(file);
    for (const state of ['up', 'down']) {
      upstream.upstream.forget();
      if (state === 'down') await upstream.upstream.stop();
      await ours.clean();
      const warm = await ours.gem('install', 'gem-b33', '--clear-sources', '--source', url);
      expect(warm, warm.output).toMatchObject({ code: 0 });
      expect(await ours.installed()).toEqual(installed);
      expect(upstream.log()).toEqual([]);
    }
    await upstream.upstream.start();
  });

  test('fetches a platform with a number in it, searches, and says what is missing', async () => {
    const url = `${repositoryOf(larder)}/`;
    const ours = await project(url, []);
    const fetched = await ours.gem(
      'fetch',
      'gem-a0',
      '--platform',
      'x86-mswin32-60',
      '--clear-sources',
      '--source',
      url,
    );
    expect(fetched, fetched.output).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('gem-a0-1.2.0-x86-mswin32-60'),
    });
    const found = await ours.gem('search', '^gem-a0$', '--all', '--prerelease', '--clear-sources', '--source', url);
    expect(found.stdout).toMatch(/gem-a0 \(.*2\.0\.0\.rc1.*1\.2\.0 .*java.*\)/);
    const missing = await ours.gem('install', 'nobody-has-this', '--clear-sources', '--source', url);
    expect(missing.code).not.toBe(0);
    expect(missing.output).toMatch(/Could not find a valid gem 'nobody-has-this'/);
  });
});

describe.skipIf(noRuby !== undefined)('what larder setup writes', () => {
  const setUp = (client: string, home: string): Promise<Ran> =>
    run(join(root, 'bin/larder'), ['setup', client, '--url', repositoryOf(larder), '--write'], { folder: home, home });

  test('leads Bundler here from a Gemfile that names another server, which the lockfile goes on naming', async () => {
    const ours = await project('https://rubygems.org', ['gem-a0', 'Upper_case-7']);
    expect(await setUp('bundler', ours.home)).toMatchObject({ code: 0 });
    const ran = await ours.bundle('install');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(await ours.read('Gemfile.lock')).toContain('remote: https://rubygems.org/\n');
    expect(await ours.installed()).toEqual(
      expect.arrayContaining(['gem-a0-1.2.0/lib/gem-a0.rb', 'Upper_case-7-1.10.0/lib/Upper_case-7.rb']),
    );
  });

  test('leads gem here', async () => {
    const ours = await project(repositoryOf(larder), []);
    expect(await setUp('gem', ours.home)).toMatchObject({ code: 0 });
    expect((await ours.gem('sources')).stdout).toContain(repositoryOf(larder));
    const ran = await ours.gem('install', 'gem-a0');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(await ours.installed()).toEqual(['gem-a0-1.2.0/lib/gem-a0.rb']);
  });
});

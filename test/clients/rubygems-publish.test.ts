/** `gem` pushes, yanks and names owners, and other machines' `gem` and Bundler install; what each says when it may not. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { buildGems, type GemsUpstream, startGemsUpstream } from '../support/rubygems-upstream.ts';
import type { Ran } from './package-managers.ts';
import { missingRuby, type RubyProject, rubyProject } from './ruby-projects.ts';

const noRuby = missingRuby();
const terminal = fileURLToPath(new URL('terminal.rb', import.meta.url));

let folder: TemporaryFolder;
let upstream: GemsUpstream;
let plain: HostedServer;
let secure: HostedServer;
/** Milliseconds by which the servers' clock is ahead. */
let laterMs = 0;
const now = (): number => Date.now() + laterMs;
const closing: (() => Promise<void>)[] = [];

async function start(tls: boolean): Promise<HostedServer> {
  const server = await startHosted({
    format: 'rubygems',
    tls,
    now,
    upstreams: { feed: { url: upstream.url, format: 'rubygems', hosts: ['127.0.0.1'], retries: 0 } },
    sources: [{ hosted: true, claims: ['acme-*'] }, { remote: 'feed' }],
  });
  closing.push(() => server.close());
  return server;
}

beforeAll(async () => {
  if (noRuby !== undefined) return;
  folder = await temporaryFolder('larder-gem-publish');
  closing.push(() => folder.remove());
  upstream = await startGemsUpstream();
  closing.push(() => upstream.upstream.close());
  const theirs = [
    { name: 'base', version: '2.1.0', files: { 'lib/base.rb': 'BASE = 1\n' } },
    { name: 'acme-tool', version: '99.0.0', files: { 'lib/evil.rb': 'EVIL = 1\n' } },
    { name: 'acme-tool', version: '99.1.0.pre', files: { 'lib/evil.rb': 'EVIL = 1\n' } },
  ];
  for (const gem of buildGems(await mkdtemp(join(folder.path, 'built-')), theirs)) upstream.publish(gem);
  plain = await start(false);
  secure = await start(true);
});

afterAll(async () => {
  for (const close of closing.toReversed()) await close();
});

/** A computer with nothing on it that trusts the server. */
function machine(server: HostedServer, names: readonly string[] = []): Promise<RubyProject> {
  return rubyProject(folder.path, server.url, names, {
    ...(server.caFile === '' ? {} : { SSL_CERT_FILE: server.caFile }),
    RUBYGEMS_HOST: server.url,
  });
}

async function withKey(at: RubyProject, key: string): Promise<void> {
  await mkdir(join(at.home, '.gem'), { recursive: true });
  await writeFile(join(at.home, '.gem/credentials'), `---\n:rubygems_api_key: ${key}\n`, { mode: 0o600 });
}

async function built(at: RubyProject, name: string, version: string, more = ''): Promise<string> {
  await mkdir(join(at.folder, 'lib'), { recursive: true });
  await at.write(`lib/${name}.rb`, `TEXT = ${JSON.stringify(`${name} ${version}`)}\n`);
  const lines = [
    `s.name = '${name}'`,
    `s.version = '${version}'`,
    "s.summary = 'Ours: größer'",
    "s.authors = ['Ada', 'Grace']",
    "s.license = 'MIT'",
    "s.homepage = 'https://example.com/acme'",
    `s.files = ['lib/${name}.rb']`,
    "s.required_ruby_version = '>= 2.5'",
    more,
  ];
  await at.write('x.gemspec', `Gem::Specification.new do |s|\n${lines.map((line) => `  ${line}\n`).join('')}end\n`);
  const ran = await at.gem('build', 'x.gemspec');
  expect(ran, ran.output).toMatchObject({ code: 0 });
  return /File: (\S+)/.exec(ran.stdout)?.[1] ?? '';
}

const withToken = ({ url }: HostedServer, token: string): string => `${url.replace('://', `://token:${token}@`)}/`;

const install = (at: RubyProject, source: string, ...names: readonly string[]): Promise<Ran> =>
  at.gem('install', ...names, '--no-document', '--clear-sources', '--source', source);

describe.skipIf(noRuby !== undefined).each([
  ['HTTP', () => plain],
  ['TLS', () => secure],
])('over %s', (_scheme, serverOf) => {
  test('gem pushes, and Bundler and gem of other machines install, what is needed from upstream included', async () => {
    const server = serverOf();
    const developer = await machine(server);
    await withKey(developer, await server.token('alice'));
    const file = await built(developer, 'acme-tool', '1.0.0', "s.add_runtime_dependency 'base', '~> 2.0', '>= 2.0.1'");
    const pushed = await developer.gem('push', file, '--host', `${server.url}/`);
    expect(pushed, pushed.output).toMatchObject({
      code: 0,
      stdout: `Pushing gem to ${server.url}/...\nSuccessfully registered gem: acme-tool (1.0.0)\n`,
    });
    const native = await built(developer, 'acme-native', '2.0.0', 's.platform = Gem::Platform.local');
    expect(await developer.gem('push', native)).toMatchObject({ code: 0 });
    expect((await developer.gem('push', file)).stdout).toContain('Gem was already pushed: acme-tool (1.0.0)\n');

    const token = await server.token('rita');
    const bundler = await machine(server, ['acme-tool', 'acme-native']);
    expect(await bundler.bundle('config', 'set', '--global', `${server.url}/`, `token:${token}`)).toMatchObject({
      code: 0,
    });
    const bundled = await bundler.bundle('install');
    expect(bundled, bundled.output).toMatchObject({ code: 0 });
    const files = expect.arrayContaining([
      'acme-tool-1.0.0/lib/acme-tool.rb',
      expect.stringMatching(/^acme-native-2\.0\.0-[\w-]+\/lib\/acme-native\.rb$/),
      'base-2.1.0/lib/base.rb',
    ]);
    expect(await bundler.installed()).toEqual(files);
    const lock = await bundler.read('Gemfile.lock');
    expect(lock).toMatch(/acme-tool \(1\.0\.0\)\n {6}base \(~> 2\.0, >= 2\.0\.1\)/);
    expect(lock).not.toContain(token);

    const gem = await machine(server);
    for (const flags of [[], ['--prerelease']]) {
      const ran = await gem.gem(
        'install',
        'acme-tool',
        'acme-native',
        '--no-document',
        '--clear-sources',
        '--source',
        withToken(server, token),
        ...flags,
      );
      expect(ran, ran.output).toMatchObject({ code: 0 });
      expect(await gem.installed()).toEqual(files);
    }
    expect((await gem.installed()).filter((path) => path.includes('evil'))).toEqual([]);
    const told = await gem.gem(
      'specification',
      'acme-tool',
      'summary',
      '--remote',
      '--clear-sources',
      '--source',
      withToken(server, token),
    );
    expect(told.stdout).toContain('Ours: größer');
  });

  test('gem yanks for good, and names owners', async () => {
    const server = serverOf();
    const developer = await machine(server);
    await withKey(developer, await server.token('alice'));
    const file = await built(developer, 'acme-mistake', '1.0.0');
    expect(await developer.gem('push', file)).toMatchObject({ code: 0 });
    const yanked = await developer.gem('yank', 'acme-mistake', '-v', '1.0.0', '--host', server.url);
    expect(yanked.stdout).toContain('Successfully yanked gem: acme-mistake (1.0.0)');
    const again = await developer.gem('push', file);
    expect(again).toMatchObject({ code: 1, stdout: expect.stringMatching(/acme-mistake \(1\.0\.0\) was yanked/) });
    const none = await developer.gem('yank', 'acme-mistake', '-v', '9.9.9', '--host', server.url);
    expect(none.stdout).toContain('acme-mistake (9.9.9) is not published here.');
    const other = await machine(server, ['acme-mistake']);
    await other.bundle('config', 'set', '--global', `${server.url}/`, `token:${await server.token('rita')}`);
    expect((await other.bundle('install')).output).toMatch(/Could not find gem 'acme-mistake'/);

    await withKey(developer, await server.token('adam'));
    const added = await developer.gem('owner', 'acme-mistake', '--add', 'grace@example.com', '--host', server.url);
    expect(added.stdout).toBe(
      'Owner added successfully.\nOwners for gem: acme-mistake\n- alice\n- grace@example.com\n',
    );
    const removed = await developer.gem('owner', 'acme-mistake', '--remove', 'alice', '--host', server.url);
    expect(removed.stdout).toBe('Owner removed successfully.\nOwners for gem: acme-mistake\n- grace@example.com\n');
  });
});

describe.skipIf(noRuby !== undefined)('gem signs in', () => {
  const signIn = (at: RubyProject, password: string): Promise<Ran> => {
    const yesToPush = ['y', 'y', 'n', 'n', 'n', 'n', 'n'];
    return at.ruby(terminal, JSON.stringify(['alice', password, 'laptop', ...yesToPush]), '/usr/bin/gem', 'signin');
  };

  test('with a token for a password, and has a key that does what was asked for', async () => {
    const developer = await machine(plain);
    const ran = await signIn(developer, await plain.token('alice'));
    expect(ran, ran.output).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('Signed in with API key: laptop.'),
    });
    const file = await built(developer, 'acme-signed', '1.0.0');
    expect((await developer.gem('push', file)).stdout).toContain('Successfully registered gem: acme-signed (1.0.0)');
    expect((await developer.gem('yank', 'acme-signed', '-v', '1.0.0', '--host', plain.url)).stdout).toMatch(
      /alice may read this in acme\/packages, but not delete it, at least not with this token\./,
    );
  });

  test('not with a wrong password', async () => {
    const ran = await signIn(await machine(plain), 'wrong');
    expect(ran).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('There is no user alice with this password'),
    });
  });
});

describe.skipIf(noRuby !== undefined)('what is shown', () => {
  let developer: RubyProject;
  let file: string;
  const tokens: Record<string, string> = {};

  beforeAll(async () => {
    if (noRuby !== undefined) return;
    developer = await machine(plain);
    file = await built(developer, 'acme-shown', '1.0.0');
    await withKey(developer, await plain.token('alice'));
    expect(await developer.gem('push', file)).toMatchObject({ code: 0 });
    Object.assign(tokens, {
      wrong: wrongToken,
      expired: await plain.token('alice', { expiresAt: now() + 60_000 }),
      'other org': await plain.token('olga'),
      'no rule': await plain.token('nobody'),
      reader: await plain.token('rita'),
    });
    laterMs += 61_000;
  });

  test.each([
    ['wrong', /^This token is mistyped or cut off: its checksum does not match\.$/m],
    ['expired', /^This token expired on \S+ \S+ UTC\.$/m],
    ['other org', /^There is no repository acme\/packages here\.$/m],
    ['no rule', /^There is no repository acme\/packages here\.$/m],
    ['reader', /^rita may read this in acme\/packages, but not publish it, at least not with this token\.$/m],
  ])('by gem push: %s', async (which, said) => {
    await withKey(developer, tokens[which] ?? '');
    const ran = await developer.gem('push', file);
    expect(ran).toMatchObject({ code: 1, stdout: expect.stringMatching(said) });
  });

  test.each([
    ['wrong', /bad response Unauthorized 401/, /Bad username or password for/],
    ['expired', /bad response Unauthorized 401/, /Bad username or password for/],
    ['other org', /bad response Not Found 404/, /bad response Not Found 404/],
    ['no rule', /bad response Not Found 404/, /bad response Not Found 404/],
    ['nothing', /bad response Unauthorized 401/, /Authentication is required for localhost/],
  ])('by gem install and bundle install: %s', async (which, gemSays, bundlerSays) => {
    const token = tokens[which];
    const other = await machine(plain, ['acme-shown']);
    if (token) await other.bundle('config', 'set', '--global', `${plain.url}/`, `token:${token}`);
    const [gem, bundler] = await Promise.all([
      install(other, token === undefined ? `${plain.url}/` : withToken(plain, token), 'acme-shown'),
      other.bundle('install'),
    ]);
    expect(gem).toMatchObject({ code: 2, output: expect.stringMatching(gemSays) });
    expect(bundler).toMatchObject({ code: 17, output: expect.stringMatching(bundlerSays) });
    if (token) expect(gem.output).not.toContain(token);
    if (token) expect(bundler.output).not.toContain(token);
  });
});

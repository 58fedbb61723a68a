import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { command, larder, type Run } from './larder.ts';

let folder: TemporaryFolder;
let home: string;

beforeEach(async () => {
  folder = await temporaryFolder('larder-setup');
  home = join(folder.path, 'home');
  await mkdir(home);
});

afterEach(() => folder.remove());

function setup(...args: readonly string[]): Promise<Run> {
  return command(['setup', ...args], { HOME: home });
}

const read = (...path: readonly string[]): Promise<string> => readFile(join(...path), 'utf8');

it('lists the clients that the formats know', async () => {
  const { code, out } = await setup('--json');
  expect(code).toBe(0);
  const clients = (JSON.parse(out) as { client: string }[]).map(({ client }) => client);
  expect(clients).toEqual([
    ...['maven', 'gradle', 'sbt'],
    ...['npm', 'pnpm', 'yarn', 'yarn-classic', 'yarn-berry', 'bun'],
    ...['dotnet', 'nuget', 'choco'],
    ...['docker', 'containerd', 'podman', 'cri-o', 'buildkit', 'helm'],
    ...['pip', 'uv', 'poetry', 'pdm', 'twine'],
    ...['bundler', 'gem'],
  ]);
});

describe('printing', () => {
  it.each([
    ['npm', 'registry=http://localhost:5273/public/npm/\n'],
    ['pnpm', 'registry=http://localhost:5273/public/npm/\n'],
    ['yarn-classic', 'registry "http://localhost:5273/public/npm/"\n'],
    ['yarn-berry', 'npmRegistryServer: "http://localhost:5273/public/npm"\nunsafeHttpWhitelist:\n  - "localhost"\n'],
    ['bun', '[install]\nregistry = "http://localhost:5273/public/npm/"\n'],
  ])('%s', async (client, text) => {
    const { code, out, err } = await setup(client, '--json');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(JSON.parse(out)).toMatchObject({ client, url: 'http://localhost:5273/public/npm', files: [{ text }] });
    expect((await setup(client)).out).toContain(text);
    expect(await readdir(home)).toEqual([]);
  });

  it('both of Yarn', async () => {
    const { out } = await setup('yarn', '--json');
    expect(JSON.parse(out).files.map(({ project }: { project: string }) => project)).toEqual([
      '.yarnrc',
      '.yarnrc.yml',
    ]);
  });

  it('a token by the name of its variable, never itself', async () => {
    const { out } = await setup('npm', '--token-env', 'LARDER_TOKEN', '--url', 'https://l.example.com/acme/npm/');
    expect(out).toContain(
      `registry=https://l.example.com/acme/npm/\n//l.example.com/acme/npm/:_authToken=\${LARDER_TOKEN}\n`,
    );
    const wrong = await setup('npm', '--token-env', 'lrd_secret-token');
    expect(wrong.code).toBe(2);
    expect(wrong.err).not.toContain('secret');
  });

  it.each([
    [['--url', 'http://127.0.0.1:1'], 'http://127.0.0.1:1/public/npm'],
    [['--url', 'http://127.0.0.1:1/acme/js/'], 'http://127.0.0.1:1/acme/js'],
    [['--url', 'https://l.example.com/', '--repository', 'acme/js'], 'https://l.example.com/acme/js'],
  ])('for %j', async (args, url) => {
    expect(JSON.parse((await setup('npm', '--json', ...args)).out).url).toBe(url);
  });

  it("for the configuration's address and repositories", async () => {
    const file = join(folder.path, 'larder.yaml');
    const repository = '{ format: npm, sources: [{ remote: npmjs }] }';
    const write = (server: string): Promise<void> =>
      writeFile(
        file,
        `server: ${server}\norgs: { acme: { repositories: { js: ${repository}, more: ${repository} } } }\n`,
      );
    await write('{ publicUrl: https://example.com/larder/ }');
    const url = async (...args: readonly string[]): Promise<string> =>
      JSON.parse((await setup('npm', '--json', '--config', file, ...args)).out).url;
    expect(await url()).toBe('https://example.com/larder/acme/js');
    expect(await url('--repository', 'acme/more')).toBe('https://example.com/larder/acme/more');
    expect(await setup('npm', '--config', file, '-r', 'acme/mor')).toMatchObject({
      code: 2,
      err: expect.stringContaining('did you mean "acme/more"?'),
    });
    await write('{ listen: 0.0.0.0:8080 }');
    const everywhere = await setup('npm', '--config', file);
    expect(everywhere.out).toContain('http://localhost:8080/acme/js/');
    expect(everywhere.err).toContain('set server.publicUrl or give --url');
    await write('{ listen: 127.0.0.1:0 }');
    expect(await setup('npm', '--config', file)).toMatchObject({ code: 2, err: expect.stringContaining('give --url') });
  });
});

describe('writing', () => {
  it("changes the user's own file and keeps it as it was, once", async () => {
    const file = join(home, '.npmrc');
    const before = 'fund=false\nregistry=https://old.example.com/\n';
    await writeFile(file, before);
    await chmod(file, 0o600);
    const first = await setup('npm', '--write');
    expect(first).toMatchObject({ code: 0, out: `${file}: written; as it was: .npmrc.before-larder\n` });
    expect(await read(file)).toMatch(
      /^fund=false\n# set by larder setup.*\nregistry=http:\/\/localhost:5273\/public\/npm\/\n$/,
    );
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(`${file}.before-larder`)).mode & 0o777).toBe(0o600);
    expect((await setup('npm', '--write')).out).toBe(`${file}: says so already\n`);
    await setup('npm', '--write', '--url', 'http://127.0.0.1:1/a/b');
    expect(await read(file)).toContain('registry=http://127.0.0.1:1/a/b/');
    expect(await read(`${file}.before-larder`)).toBe(before);
    const undo = await setup('npm', '--undo');
    expect(undo).toMatchObject({ code: 0, out: `${file}: as it was before\n` });
    expect(await read(file)).toBe(before);
    expect(await readdir(home)).toEqual(['.npmrc']);
  });

  it('leaves nothing behind where nothing was', async () => {
    for (const client of ['npm', 'yarn', 'bun']) {
      await setup(client, '--write', '--token-env', 'T');
      expect((await readdir(home)).length).toBeGreaterThan(0);
      expect(await setup(client, '--undo')).toMatchObject({ code: 0 });
      expect(await readdir(home)).toEqual([]);
    }
  });

  it('keeps nothing of a file that it has made itself', async () => {
    await setup('npm', '--write');
    await setup('npm', '--write', '--url', 'http://127.0.0.1:1/a/b');
    expect(await readdir(home)).toEqual(['.npmrc']);
    expect((await stat(join(home, '.npmrc'))).mode & 0o777).toBe(0o644);
  });

  it("changes a project's file and nothing of the user's", async () => {
    const project = join(folder.path, 'project');
    await mkdir(project);
    const env = { HOME: home };
    await larder(['setup', 'yarn', '--write', '--project', 'project'], { env, cwd: folder.path });
    expect((await readdir(project)).sort()).toEqual(['.yarnrc', '.yarnrc.yml']);
    await setup('bun', '--write', '-p', project);
    expect(await read(project, 'bunfig.toml')).toContain('[install]');
    expect(await readdir(home)).toEqual([]);
  });

  it("keeps pnpm's token out of the project, where pnpm would not read it", async () => {
    const project = join(folder.path, 'project');
    await mkdir(project);
    const { code, out } = await setup('pnpm', '--write', '--project', project, '--token-env', 'T', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out).changes.map(({ path }: { path: string }) => path)).toEqual([
      join(project, '.npmrc'),
      join(home, '.npmrc'),
    ]);
    expect(await read(project, '.npmrc')).not.toContain('_authToken');
    // biome-ignore lint/suspicious/noTemplateCurlyInString: That is the text.
    expect(await read(home, '.npmrc')).toContain(':_authToken=${T}');
    await setup('pnpm', '--undo', '--project', project);
    expect(await readdir(project)).toEqual([]);
    expect(await read(home, '.npmrc')).toContain('_authToken');
    await setup('pnpm', '--write', '--token-env', 'T');
    expect(await read(home, '.npmrc')).toMatch(/_authToken=(.|\n)*registry=/);
  });

  it('follows a link instead of replacing it', async () => {
    const dotfiles = join(folder.path, 'dotfiles');
    await mkdir(dotfiles);
    await writeFile(join(dotfiles, 'npmrc'), 'a=1\n');
    await symlink(join(dotfiles, 'npmrc'), join(home, '.npmrc'));
    await setup('npm', '--write');
    expect((await readdir(home, { withFileTypes: true }))[0]?.isSymbolicLink()).toBe(true);
    expect(await read(dotfiles, 'npmrc')).toContain('registry=');
  });

  it('finds the files where the environment says they are', async () => {
    const env = {
      HOME: home,
      NPM_CONFIG_USERCONFIG: join(folder.path, 'my-npmrc'),
      XDG_CONFIG_HOME: join(folder.path, 'xdg'),
    };
    await command(['setup', 'npm', '--write'], env);
    await command(['setup', 'bun', '--write'], env);
    expect(await read(folder.path, 'my-npmrc')).toContain('registry=');
    expect(await read(folder.path, 'xdg', '.bunfig.toml')).toContain('registry =');
    expect(await readdir(home)).toEqual([]);
  });

  it('says when somebody has changed a setting since, and leaves it', async () => {
    await setup('npm', '--write');
    await writeFile(join(home, '.npmrc'), 'registry=https://mine.example.com/\n');
    expect((await setup('npm', '--undo')).out).toContain('registry was changed since and stays');
    expect(await read(home, '.npmrc')).toBe('registry=https://mine.example.com/\n');
  });

  it('says when there is nothing to take back', async () => {
    expect((await setup('npm', '--undo')).out).toBe(`${join(home, '.npmrc')}: is not there\n`);
    await writeFile(join(home, '.npmrc'), 'a=1\n');
    expect((await setup('npm', '--undo')).out).toBe(`${join(home, '.npmrc')}: says nothing of this\n`);
  });

  it('does not touch a file that it does not understand', async () => {
    const file = join(home, '.bunfig.toml');
    const text = '[install.registry]\nurl = "https://old.example.com"\n';
    await writeFile(file, text);
    const { code, err } = await setup('bun', '--write');
    expect(code).toBe(1);
    expect(err).toMatch(/^larder: .*\.bunfig\.toml: \[install\.registry\].*by hand.*\n$/);
    expect(await read(file)).toBe(text);
    expect(await readdir(home)).toEqual(['.bunfig.toml']);
  });
});

describe('wrong use', () => {
  it.each([
    [['nmp'], 'there is no client "nmp"; did you mean "npm"?'],
    [['npm', 'pnpm'], 'one client at a time, not also "pnpm"'],
    [['npm', '--write', '--undo'], 'either --write or --undo'],
    [['npm', '--project', '.'], '--project goes with --write or --undo'],
    [['npm', '--write', '--project', '/no/such/folder'], '--project /no/such/folder: there is no such folder'],
    [['npm', '--url', 'localhost:5273'], '--url localhost:5273 is no http or https URL'],
    [
      ['npm', '--url', 'http://u:p@l/'],
      '--url takes an address without credentials, query and fragment; for a token use --token-env',
    ],
  ])('%j', async (args, message) => {
    expect(await setup(...args)).toEqual({ code: 2, out: '', err: `larder: ${message}\n` });
  });
});

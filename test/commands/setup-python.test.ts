/** What pip, uv, Poetry, PDM and twine are told, and what happens to a pip.conf that was there before. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { command, type Run } from './larder.ts';

let home: TemporaryFolder;
beforeEach(async () => {
  home = await temporaryFolder('larder-python');
});
afterEach(() => home.remove());

const setup = (...args: readonly string[]): Promise<Run> => command(['setup', ...args], { HOME: home.path });

interface Told {
  readonly files: readonly { readonly user: string; readonly text: string }[];
  readonly notes: readonly string[];
}

async function told(...args: readonly string[]): Promise<Told> {
  const { code, out, err } = await setup(...args, '--json');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Told;
}

const url = 'http://localhost:5273/public/pypi/simple/';

describe('printing', () => {
  it.each([
    ['pip', '.config/pip/pip.conf', `[global]\nindex-url = ${url}\n`],
    ['uv', '.config/uv/uv.toml', `[[index]]\nname = "larder"\nurl = "${url}"\ndefault = true\n`],
    ['pdm', '.config/pdm/config.toml', `[pypi]\nurl = "${url}"\n`],
  ])('%s', async (client, user, text) => {
    expect((await told(client)).files).toMatchObject([{ user: expect.stringContaining(user), text }]);
  });

  it('Poetry, which has no settings for all projects', async () => {
    const { files, notes } = await told('poetry');
    expect(files).toEqual([]);
    expect(notes.join('\n')).toContain(`poetry source add --priority=primary larder ${url}`);
  });

  it('twine, which takes it all from the environment', async () => {
    const { files, notes } = await told('twine');
    expect(files).toEqual([]);
    expect(notes.join('\n')).toContain(
      'export TWINE_REPOSITORY_URL=http://localhost:5273/public/pypi/legacy/ TWINE_USERNAME=__token__',
    );
  });

  it('uv, with the address to publish to when there is a token', async () => {
    const [file] = (await told('uv', '--token-env', 'TOKEN')).files;
    expect(file?.text).toContain('publish-url = "http://localhost:5273/public/pypi/legacy/"\n');
  });

  it('a host without TLS is one that pip has to trust', async () => {
    const [file] = (await told('pip', '--url', 'http://larder.lan:8080/acme/pypi')).files;
    expect(file?.text).toContain('trusted-host = larder.lan\n');
    const [own] = (await told('pip', '--url', 'https://larder.example.com/acme/pypi')).files;
    expect(own?.text).not.toContain('trusted-host');
  });

  it.each([
    ['pip', 'export PIP_INDEX_URL="https://__token__:$TOKEN@larder.example.com/acme/pypi/simple/"'],
    ['uv', 'UV_INDEX_LARDER_PASSWORD="$TOKEN"'],
    ['poetry', 'POETRY_HTTP_BASIC_LARDER_PASSWORD="$TOKEN"'],
    ['pdm', 'export PDM_PYPI_URL="https://__token__:$TOKEN@larder.example.com/acme/pypi/simple/"'],
    ['uv', 'export UV_PUBLISH_TOKEN="$TOKEN"'],
    ['poetry', 'poetry config repositories.larder https://larder.example.com/acme/pypi/legacy/'],
    ['pdm', 'export PDM_PUBLISH_USERNAME=__token__ PDM_PUBLISH_PASSWORD="$TOKEN"'],
    ['twine', 'export TWINE_PASSWORD="$TOKEN"'],
  ])('a token reaches %s by the environment', async (client, line) => {
    const { files, notes } = await told(
      client,
      '--url',
      'https://larder.example.com/acme/pypi',
      '--token-env',
      'TOKEN',
    );
    expect(notes.join('\n')).toContain(line);
    expect(files.map(({ text }) => text).join('\n')).not.toContain('TOKEN');
  });
});

describe('a pip.conf that was there before', () => {
  const before =
    '# mine\n[global]\ntimeout = 60\nindex-url=https://pypi.example.com/simple\n\n[install]\nindex-url = https://other.example.com\nno-compile = yes\n';

  async function pipConf(text: string): Promise<string> {
    const path = join(home.path, '.config/pip/pip.conf');
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    return path;
  }

  it('has the one setting changed in its section, and back again', async () => {
    const path = await pipConf(before);
    expect(await setup('pip', '--write')).toMatchObject({ code: 0, err: '' });
    const now = await readFile(path, 'utf8');
    expect(now).toContain(
      `timeout = 60\n# set by larder setup, which takes it back with --undo\nindex-url = ${url}\n\n[install]\n`,
    );
    expect(now).toContain('index-url = https://other.example.com\nno-compile = yes\n');
    expect(await setup('pip', '--write')).toMatchObject({ code: 0 });
    expect(await readFile(path, 'utf8')).toBe(now);
    expect(await setup('pip', '--undo')).toMatchObject({ code: 0 });
    expect(await readFile(path, 'utf8')).toBe(before);
  });

  it('without the section gets one, which goes again', async () => {
    const path = await pipConf('[install]\nno-compile = yes\n');
    await setup('pip', '--write');
    expect(await readFile(path, 'utf8')).toMatch(
      /^\[install\]\nno-compile = yes\n\n\[global\]\n# set by .*\nindex-url = /,
    );
    await setup('pip', '--undo');
    expect(await readFile(path, 'utf8')).toBe('[install]\nno-compile = yes\n');
  });

  it('keeps what was changed since', async () => {
    const path = await pipConf('');
    await setup('pip', '--write');
    const now = await readFile(path, 'utf8');
    await writeFile(path, `${now}timeout = 5\n`);
    await setup('pip', '--undo');
    expect(await readFile(path, 'utf8')).toBe('[global]\ntimeout = 5\n');
  });
});

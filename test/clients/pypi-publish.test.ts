/**
 * twine, Flit, Poetry and PDM publish, and pip, Poetry and PDM of another machine install: empty homes, empty caches,
 * nothing else to ask. What each says to who may not is held here, and stands in docs/formats/pypi.md.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type BuiltFile, type NewPackage, sourceOf, wheelOf } from '../support/pypi-packages.ts';
import { hexOf } from '../support/pypi-uploads.ts';
import type { Ran } from './package-managers.ts';
import { findPips, missingPython, type PythonPlace, pythonPlace } from './python-clients.ts';

const [pip] = findPips();
if (!pip && process.env.CI === 'true') throw new Error('There is no pip: .ci/run installs python3-pip');

let folder: TemporaryFolder;
let plain: HostedServer;
let secure: HostedServer;
/** Of alice, by server. */
const tokens = new Map<HostedServer, string>();
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  folder = await temporaryFolder('larder-pypi-publish');
  closing.push(() => folder.remove());
  for (const tls of [false, true]) {
    const server = await startHosted({ format: 'pypi', tls });
    closing.push(() => server.close());
    tokens.set(server, await server.token('alice'));
    if (tls) secure = server;
    else plain = server;
  }
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

function filesOf({ name, version }: NewPackage): BuiltFile[] {
  return [wheelOf({ name, version }), sourceOf({ name, version })];
}

/** Somebody's project, with distributions that are built already. */
async function placeWith(
  server: HostedServer,
  files: Readonly<Record<string, string>>,
  built: readonly BuiltFile[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<PythonPlace> {
  const trust = server.caFile === '' ? {} : { REQUESTS_CA_BUNDLE: server.caFile, PIP_CERT: server.caFile };
  const place = await pythonPlace(folder.path, files, { ...trust, ...env });
  await mkdir(join(place.folder, 'dist'));
  for (const { filename, bytes } of built) await writeFile(join(place.folder, 'dist', filename), bytes);
  return place;
}

interface Published {
  readonly ran: Ran;
  /** Where what it published lies in `dist`. */
  readonly place: PythonPlace;
}

interface Publisher {
  readonly name: 'twine' | 'flit' | 'poetry' | 'pdm';
  /** Publishes a wheel and a source distribution. */
  publish(server: HostedServer, made: NewPackage, token: string, ...more: readonly string[]): Promise<Published>;
  /** Options with which it passes over what is there. */
  readonly skips?: readonly string[];
}

async function ran(place: PythonPlace, program: string, ...args: readonly string[]): Promise<Published> {
  return { place, ran: await place.run(program, ...args) };
}

const publishers: readonly Publisher[] = [
  {
    name: 'twine',
    async publish(server, made, token, ...more) {
      const built = filesOf(made);
      const place = await placeWith(server, {}, built, { TWINE_USERNAME: '__token__', TWINE_PASSWORD: token });
      const files = built.map(({ filename }) => join('dist', filename));
      const to = ['--repository-url', `${server.url}/legacy/`];
      const quiet = ['--non-interactive', '--disable-progress-bar'];
      return ran(place, '/usr/bin/twine', 'upload', ...quiet, ...to, ...more, ...files);
    },
    skips: ['--skip-existing'],
  },
  {
    name: 'flit',
    async publish(server, { name, version }, token) {
      const module = name.toLowerCase().replaceAll(/\W/g, '_');
      const place = await placeWith(
        server,
        {
          'pyproject.toml': `[build-system]
requires = ["flit_core >=3.2"]
build-backend = "flit_core.buildapi"

[project]
name = "${name}"
version = "${version}"
description = "Made for tests"
requires-python = ">=3.8"
`,
          [`${module}.py`]: `"""${name}"""\n`,
        },
        [],
        { FLIT_INDEX_URL: `${server.url}/legacy/`, FLIT_USERNAME: '__token__', FLIT_PASSWORD: token },
      );
      return ran(place, '/usr/bin/flit', 'publish');
    },
  },
  {
    name: 'poetry',
    async publish(server, { name, version }, token, ...more) {
      const place = await placeWith(
        server,
        {
          'pyproject.toml': `[tool.poetry]
name = "${name}"
version = "${version}"
description = "Made for tests"
authors = ["Ada <ada@example.com>"]
packages = [{ include = "inside" }]

[tool.poetry.dependencies]
python = ">=3.8"

[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
`,
        },
        [],
        {
          POETRY_REPOSITORIES_LARDER_URL: `${server.url}/legacy/`,
          POETRY_HTTP_BASIC_LARDER_USERNAME: '__token__',
          POETRY_HTTP_BASIC_LARDER_PASSWORD: token,
          POETRY_VIRTUALENVS_CREATE: 'false',
        },
      );
      await mkdir(join(place.folder, 'inside'));
      await writeFile(join(place.folder, 'inside', '__init__.py'), '');
      const to = ['--no-interaction', '--repository', 'larder'];
      return ran(place, '/usr/bin/poetry', 'publish', '--build', ...to, ...more);
    },
    skips: ['--skip-existing'],
  },
  {
    name: 'pdm',
    async publish(server, made, token) {
      const project = `[project]\nname = "${made.name}"\nversion = "${made.version}"\nrequires-python = ">=3.8"\n`;
      const place = await placeWith(server, { 'pyproject.toml': project }, filesOf(made), { PDM_USE_VENV: 'false' });
      const to = ['--repository', `${server.url}/legacy/`, '--username', '__token__', '--password', token];
      return ran(place, '/usr/bin/pdm', 'publish', '--no-build', ...to);
    },
  },
];

/** What everybody says who is not let in. */
interface Stranger {
  readonly title: string;
  token(server: HostedServer): Promise<string>;
  readonly status: number;
  readonly says: RegExp;
}

const strangers: readonly Stranger[] = [
  { title: 'a wrong token', token: async () => wrongToken, status: 401, says: /mistyped or cut off/ },
  { title: 'an expired token', token: (server) => server.expiredToken(), status: 401, says: /expired on/ },
  { title: 'a token of another org', token: (server) => server.token('olga'), status: 404, says: /no repository/ },
  { title: 'no rule', token: (server) => server.token('nobody'), status: 404, says: /no repository/ },
  { title: 'a rule to read', token: (server) => server.token('rita'), status: 403, says: /rita may .*publish/ },
];

/** Without colours, and without line breaks where a narrow terminal would need them. */
function wordsOf({ output }: Ran): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what terminals are told colours with.
  return output.replaceAll(/\u001b\[[0-9;]*m/g, '').replaceAll(/\s+/g, ' ');
}

/** By server and publisher, a line for pip with the digests of what the publisher had on its disk. */
const locked = new Map<string, string>();

const packageOf = (name: string): string => `acme-by-${name}`;

function indexOf(server: HostedServer): string {
  const url = new URL(`${server.url}/simple/`);
  url.username = '__token__';
  url.password = tokens.get(server) ?? '';
  return url.href;
}

describe.each(publishers)('$name', ({ name, publish, skips }) => {
  const reason = missingPython(name);

  test.skipIf(reason).each(['HTTP', 'TLS'])(reason ?? 'publishes over %s', async (way) => {
    const server = way === 'TLS' ? secure : plain;
    const made = { name: packageOf(name), version: '1.0' };
    const { ran, place } = await publish(server, made, tokens.get(server) ?? '');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    const files = await readdir(join(place.folder, 'dist'));
    expect(files).toHaveLength(2);
    const digests = await Promise.all(
      files.map(async (file) => `--hash=sha256:${hexOf(await readFile(join(place.folder, 'dist', file)))}`),
    );
    locked.set(`${way} ${name}`, `${made.name}==1.0 ${digests.join(' ')}`);
  });

  test.skipIf(reason)(reason ?? 'says what is the matter when it may not', async () => {
    const made = { name: packageOf(name), version: '2.0' };
    await Promise.all(
      strangers.map(async ({ token, status, says }) => {
        const { ran } = await publish(plain, made, await token(plain));
        expect(ran.code, ran.output).not.toBe(0);
        expect(wordsOf(ran)).toMatch(new RegExp(`\\b${status}\\b`));
        expect(wordsOf(ran)).toMatch(says);
      }),
    );
  });

  test.skipIf(reason)(reason ?? 'says that a file exists that was built anew, or passes over it', async () => {
    const made = { name: packageOf(name), version: '3.0' };
    const token = tokens.get(plain) ?? '';
    const [wheel, source] = [wheelOf({ ...made, requires: ['x'] }), sourceOf({ ...made, requires: ['x'] })];
    const before = await placeWith(plain, {}, [wheel, source]);
    const env = ['-u', '__token__', '-p', token, '--repository-url', `${plain.url}/legacy/`];
    const first = await before.run('/usr/bin/twine', 'upload', '--non-interactive', ...env, 'dist/*');
    expect(first, first.output).toMatchObject({ code: 0 });
    const { ran } = await publish(plain, made, token);
    expect(ran.code, ran.output).not.toBe(0);
    expect(wordsOf(ran)).toContain('File already exists');
    if (!skips) return;
    const skipped = await publish(plain, made, token, ...skips);
    expect(skipped.ran, skipped.ran.output).toMatchObject({ code: 0 });
  });
});

describe.skipIf(!pip)('of another machine', () => {
  test.each(['HTTP', 'TLS'])('pip installs over %s, by digests', async (way) => {
    const server = way === 'TLS' ? secure : plain;
    const requirements = publishers.flatMap(({ name }) => locked.get(`${way} ${name}`) ?? []);
    const place = await placeWith(server, { 'requirements.txt': requirements.join('\n') });
    const target = join(place.folder, 'target');
    const options = ['--no-cache-dir', '--no-compile', '--require-hashes', '--index-url', indexOf(server)];
    const ran = await place.run(
      pip?.python ?? '',
      ...['-m', 'pip', 'install', ...options, '--target', target, '-r', 'requirements.txt'],
    );
    expect(ran, ran.output).toMatchObject({ code: 0 });
    const installed = (await readdir(target)).filter((name) => name.endsWith('.dist-info'));
    expect(installed).toHaveLength(requirements.length);
  });

  const noPoetry = missingPython('poetry');
  test.skipIf(noPoetry)(noPoetry ?? 'Poetry locks and installs, with digests in its lock', async () => {
    const name = packageOf('poetry');
    const project = `[tool.poetry]
name = "demo"
version = "1.0"
description = ""
authors = []

[tool.poetry.dependencies]
python = ">=3.8"
${name} = "1.0"

[[tool.poetry.source]]
name = "larder"
url = "${plain.url}/simple/"
default = true
`;
    const place = await placeWith(plain, { 'pyproject.toml': project }, [], {
      POETRY_HTTP_BASIC_LARDER_USERNAME: '__token__',
      POETRY_HTTP_BASIC_LARDER_PASSWORD: tokens.get(plain) ?? '',
    });
    const ran = await place.run('/usr/bin/poetry', 'install', '--no-root', '--no-interaction');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    const [, ...digests] = locked.get('HTTP poetry')?.split(' --hash=') ?? [];
    const lock = await readFile(join(place.folder, 'poetry.lock'), 'utf8');
    expect(digests.filter((digest) => !lock.includes(digest))).toEqual([]);
  });

  const noPdm = missingPython('pdm');
  test.skipIf(noPdm)(noPdm ?? 'PDM locks and installs, with digests in its lock', async () => {
    const project = `[project]
name = "demo"
version = "1.0"
requires-python = ">=3.8"
dependencies = ["${packageOf('pdm')}==1.0"]
`;
    const place = await placeWith(secure, { 'pyproject.toml': project }, [], { PDM_PYPI_URL: indexOf(secure) });
    await place.run('/usr/bin/pdm', 'use', '-f', '/usr/bin/python3');
    const ran = await place.run('/usr/bin/pdm', 'install', '--no-self');
    expect(ran, ran.output).toMatchObject({ code: 0 });
    const [, ...digests] = locked.get('TLS pdm')?.split(' --hash=') ?? [];
    const lock = await readFile(join(place.folder, 'pdm.lock'), 'utf8');
    expect(digests.filter((digest) => !lock.includes(digest))).toEqual([]);
  });

  test.each<[string, Stranger['token'], string]>([
    ['a wrong token', async () => wrongToken, '401'],
    ['an expired token', (server) => server.expiredToken(), '401'],
    ['a token of another org', (server) => server.token('olga'), '404'],
    ['no rule', (server) => server.token('nobody'), '404'],
  ])('pip installs nothing with %s, and says so when it is asked', async (_name, token, status) => {
    const index = new URL(indexOf(plain));
    index.password = await token(plain);
    const place = await placeWith(plain, {});
    const options = ['-vv', '--no-cache-dir', '--no-deps', '--index-url', index.href];
    const ran = await place.run(pip?.python ?? '', '-m', 'pip', 'download', ...options, packageOf('twine'));
    expect(ran.code, ran.output).not.toBe(0);
    expect(wordsOf(ran)).toContain(status);
    expect(wordsOf(ran)).toContain('No matching distribution found');
  });
});

/**
 * pip, Poetry, PDM and Pipenv install with nothing but Larder to ask. Behind it is an index of wheels and source
 * distributions made here and of the wheels that Debian has, its files on another host, as on PyPI.
 */
import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type LarderProcess, root, spawnLarder } from '../support/larder.ts';
import { impatient } from '../support/pypi-scene.ts';
import {
  type Fault,
  type PyPiFile,
  type PyPiKind,
  type PyPiUpstream,
  startPyPiUpstream,
} from '../support/pypi-upstream.ts';
import type { Ran } from './package-managers.ts';
import { debianWheels, findPips, missingPython, type PythonPlace, pythonPlace, treeOf } from './python-clients.ts';

const pips = findPips();
const [debianPip] = pips;
if (!debianPip && process.env.CI === 'true') throw new Error('There is no pip: .ci/run installs python3-pip');
const noPip = debianPip ? missingPython('wheels') : 'pip is not installed: the packages that .ci/run lists have it';

/** Spelled in all the ways that people have; each needs the next. */
const spellings = ['Acme.Part', 'acme_part', 'ACME-part', 'acme--part'];
const nameOf = (nth: number): string => `${spellings[nth % spellings.length]}-${nth}`;
const parts = 27;

let folder: TemporaryFolder;
let index: PyPiUpstream;
let larder: LarderProcess;
/** Thirty of them. */
let requirements: string;
const published = new Map<string, readonly PyPiFile[]>();
const closing: (() => Promise<void>)[] = [];

async function freshLarder(
  options: { readonly metadata?: 'extract' } = {},
  before?: LarderProcess,
): Promise<LarderProcess> {
  const outOfDate = { ttl: '0s', staleWhileRevalidate: '0s' };
  const started = await spawnLarder({
    upstreamUrl: index.url,
    upstreams: { one: { url: index.url, hosts: [new URL(index.files.url).host], ...impatient } },
    repositories: {
      pypi: { format: 'pypi', sources: [{ remote: 'one', ...(before ? outOfDate : { ttl: '1h' }) }], options },
    },
    folder: before?.folder ?? (await mkdtemp(join(folder.path, 'larder-'))),
  });
  closing.push(() => started.close());
  return started;
}

const indexOf = ({ url }: LarderProcess): string => `${url}/public/pypi/simple/`;

function pinned(name: string, version: string, files: readonly PyPiFile[]): string {
  return `${name}==${version} ${files.map(({ sha256 }) => `--hash=sha256:${sha256}`).join(' ')}`;
}

beforeAll(async () => {
  if (noPip) return;
  folder = await temporaryFolder('larder-pypi');
  closing.push(() => folder.remove());
  index = await startPyPiUpstream({ folders: [debianWheels] });
  closing.push(() => index.close());
  const lines = Array.from({ length: parts }, (_, nth) => {
    const name = nameOf(nth);
    index.publish({ name, version: '0.9', requires: ['acme-missing'] });
    index.publish({ name, version: '2.0.dev1', requires: ['acme-missing'] });
    const made = { name, version: '1.0', requiresPython: '>=3.6', paddingBytes: 20_000 };
    const requires = nth + 1 < parts ? [`${nameOf(nth + 1)}>=1.0`] : [];
    published.set(name, index.publish({ ...made, requires }));
    return pinned(name, '1.0', published.get(name) ?? []);
  });
  for (const name of ['pip', 'setuptools', 'wheel']) {
    const page = await fetch(`${index.url}/${name}/`, { headers: { accept: 'application/vnd.pypi.simple.v1+json' } });
    const { files, versions } = (await page.json()) as { files: { hashes: { sha256: string } }[]; versions: string[] };
    lines.push(`${name}==${versions[0]} --hash=sha256:${files[0]?.hashes.sha256}`);
  }
  requirements = `${lines.join('\n')}\n`;
  index.publish({ name: 'acme-source', version: '1.0', kinds: ['source'], requires: ['acme-part-26>=1.0'] });
  larder = await freshLarder();
  index.forget();
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

interface Installed {
  readonly ran: Ran;
  readonly tree: Readonly<Record<string, string>>;
}

/** Into an empty folder, with an empty cache. */
async function install(python: string, from: string, ...args: readonly string[]): Promise<Installed> {
  const place = await pythonPlace(folder.path, { 'requirements.txt': requirements });
  const target = join(place.folder, 'target');
  const ran = await place.run(
    python,
    ...['-m', 'pip', 'install', '-v', '--no-cache-dir', '--no-compile', '-i', from, '--target', target, ...args],
  );
  return { ran, tree: ran.code === 0 ? await treeOf(target) : {} };
}

async function installed(...args: Parameters<typeof install>): Promise<Installed['tree']> {
  const { ran, tree } = await install(...args);
  expect(ran, ran.output).toMatchObject({ code: 0 });
  return tree;
}

const locked = ['--require-hashes', '-r', 'requirements.txt'];

describe.each(noPip ? [{ version: 'any', python: '' }] : pips)('pip $version', ({ python, version }) => {
  test.skipIf(noPip)(
    noPip ?? 'installs thirty with hashes: cold, warm, with the upstream stopped, as without Larder',
    async () => {
      const fresh = await freshLarder();
      const direct = await installed(python, `${index.url}/`, ...locked);
      expect(Object.keys(direct).length).toBeGreaterThan(5 * parts);
      index.forget();
      expect(await installed(python, indexOf(fresh), ...locked)).toEqual(direct);
      const log = index.log();
      expect(log.filter((line) => line.startsWith('GET /simple/'))).toHaveLength(30);
      expect(new Set(log).size).toBe(log.length);

      index.forget();
      expect(await installed(python, indexOf(fresh), ...locked)).toEqual(direct);
      expect(index.log()).toEqual([]);

      await fresh.stop();
      await index.stop();
      const alone = await freshLarder({}, fresh);
      try {
        expect(await installed(python, indexOf(alone), ...locked)).toEqual(direct);
      } finally {
        await alone.stop();
        await index.start();
      }
    },
  );

  test.skipIf(noPip)(noPip ?? 'resolves what one name needs, with metadata files where it reads them', async () => {
    index.forget();
    const direct = await installed(python, `${index.url}/`, 'Acme_Part.20');
    const asked = index.log();
    index.forget();
    expect(await installed(python, indexOf(await freshLarder()), 'Acme_Part.20')).toEqual(direct);
    const metadata = (log: readonly string[]): number => log.filter((line) => line.endsWith('.metadata')).length;
    expect(metadata(index.log())).toBe(metadata(asked));
    // Older ones know it by its first name only, which a page in JSON may not have.
    if (Number.parseFloat(version) >= 23.1) expect(metadata(index.log())).toBe(parts - 20);
  });
});

describe.skipIf(noPip)('pip', () => {
  const python = debianPip?.python ?? '';

  test('builds a source distribution, whose build needs packages of the same index', async () => {
    const tree = await installed(python, indexOf(larder), 'acme-source');
    expect(Object.keys(tree)).toContain('/acme_source/__init__.py');
  });

  test('downloads files that are upstream own, byte for byte', async () => {
    const { folder: project, run } = await pythonPlace(folder.path, {});
    const ran = await run(
      python,
      '-m',
      'pip',
      'download',
      '--no-cache-dir',
      '--no-deps',
      '-i',
      indexOf(larder),
      'Acme.Part-4==1.0',
    );
    expect(ran, ran.output).toMatchObject({ code: 0 });
    const [file] = published.get(nameOf(4)) ?? [];
    expect((await readFile(join(project, file?.filename ?? ''))).equals(file?.bytes ?? Buffer.alloc(0))).toBe(true);
  });

  test('goes by the settings that larder setup writes', async () => {
    const { home, folder: project, run } = await pythonPlace(folder.path, {}, { PIP_CONFIG_FILE: '' });
    const written = await run(
      join(root, 'bin/larder'),
      'setup',
      'pip',
      '--write',
      '--url',
      `${larder.url}/public/pypi`,
    );
    expect(written, written.output).toMatchObject({ code: 0 });
    expect(await readFile(join(home, '.config/pip/pip.conf'), 'utf8')).toContain(indexOf(larder));
    const ran = await run(
      python,
      '-m',
      'pip',
      'install',
      '--no-cache-dir',
      '--target',
      join(project, 'target'),
      'acme-part-26',
    );
    expect(ran, ran.output).toMatchObject({ code: 0 });
    expect(ran.output).toContain(`Looking in indexes: ${indexOf(larder)}`);
  });

  test('takes metadata out of wheels where it is set to, and installs the same', async () => {
    const direct = await installed(python, `${index.url}/`, 'acme-part-20');
    expect(await installed(python, indexOf(await freshLarder({ metadata: 'extract' })), 'acme-part-20')).toEqual(
      direct,
    );
  });

  const lies: readonly { readonly kind: PyPiKind; readonly fault: Fault }[] = [
    { kind: 'page', fault: 'sign-in page' },
    { kind: 'page', fault: '500' },
    { kind: 'file', fault: 'wrong digest' },
    { kind: 'file', fault: 'cut' },
  ];

  test.each(lies)('fails on a $kind with $fault, and installs when that is over', async ({ kind, fault }) => {
    const name = `liar-${kind}-${fault.replaceAll(' ', '-')}`;
    const [file] = index.publish({ name, version: '1.0', paddingBytes: 20_000 });
    const isMeant = (path: string): boolean => path === (kind === 'page' ? `/simple/${name}/` : file?.at);
    index.misbehave(isMeant, fault);
    try {
      expect((await install(python, indexOf(larder), name)).ran.code).not.toBe(0);
    } finally {
      index.heal();
    }
    expect(Object.keys(await installed(python, indexOf(larder), name))).toContain(
      `/${name.replaceAll('-', '_')}/__init__.py`,
    );
  });
});

const poetryProject = (url: string): Readonly<Record<string, string>> => ({
  'pyproject.toml': `[tool.poetry]
name = "demo"
version = "1.0"
description = ""
authors = []

[tool.poetry.dependencies]
python = ">=3.8"
Acme-Part-20 = "^1.0"

[[tool.poetry.source]]
name = "larder"
url = "${url}"
default = true
`,
});

const pdmProject = (url: string): Readonly<Record<string, string>> => ({
  'pyproject.toml': `[project]
name = "demo"
version = "1.0"
requires-python = ">=3.8"
dependencies = ["Acme-Part-20>=1.0,<2"]

[[tool.pdm.source]]
name = "pypi"
url = "${url}"
verify_ssl = true
`,
});

const pipenvProject = (url: string): Readonly<Record<string, string>> => ({
  Pipfile: `[[source]]
name = "larder"
url = "${url}"
verify_ssl = true

[packages]
Acme-Part-20 = ">=1.0,<2"
`,
});

interface Manager {
  readonly name: 'poetry' | 'pdm' | 'pipenv';
  readonly isOptional: boolean;
  readonly project: (url: string) => Readonly<Record<string, string>>;
  readonly steps: readonly (readonly string[])[];
  readonly lockfile: string;
}

const managers: readonly Manager[] = [
  {
    name: 'poetry',
    isOptional: false,
    project: poetryProject,
    steps: [
      ['lock', '--no-interaction'],
      ['install', '--no-root', '--no-interaction'],
    ],
    lockfile: 'poetry.lock',
  },
  {
    name: 'pdm',
    isOptional: false,
    project: pdmProject,
    steps: [['use', '-f', '/usr/bin/python3'], ['lock'], ['install', '--no-self']],
    lockfile: 'pdm.lock',
  },
  {
    name: 'pipenv',
    isOptional: false,
    project: pipenvProject,
    steps: [['--python', '/usr/bin/python3', 'lock'], ['sync']],
    lockfile: 'Pipfile.lock',
  },
];

describe.each(managers)('$name', ({ name, isOptional, project, steps, lockfile }) => {
  const reason = noPip ?? missingPython(name, isOptional);

  /** Of the packages; PDM has one of its own settings as well, in which the index is named. */
  const hashesIn = (lock: string): string[] =>
    [...new Set(lock.replace(/^content_hash.*$/m, '').match(/sha256:[0-9a-f]{64}/g))].sort();

  async function work(url: string, last = steps.length): Promise<{ place: PythonPlace; hashes: string[] }> {
    const place = await pythonPlace(folder.path, project(url));
    for (const step of steps.slice(0, last)) {
      const ran = await place.run(`/usr/bin/${name}`, ...step);
      expect(ran, `${step.join(' ')}: ${ran.output}`).toMatchObject({ code: 0 });
    }
    return { place, hashes: hashesIn(await readFile(join(place.folder, lockfile), 'utf8')) };
  }

  test.skipIf(reason)(
    reason ?? 'locks what it locks without Larder, and installs from the lock file warm, also with upstream down',
    async () => {
      const direct = await work(`${index.url}/`, steps.length - 1);
      expect(direct.hashes.length).toBeGreaterThanOrEqual(7);
      const fresh = await freshLarder();
      const cold = await work(indexOf(fresh));
      expect(cold.hashes).toEqual(direct.hashes);
      index.forget();
      const warm = await work(indexOf(fresh));
      expect(warm.hashes).toEqual(direct.hashes);
      expect(index.log()).toEqual([]);
      const files = Object.keys(await treeOf(warm.place.folder));
      expect(files.filter((file) => /\/acme_part_2\d\/__init__\.py$/.test(file))).toHaveLength(7);
      await index.stop();
      try {
        expect((await work(indexOf(fresh))).hashes).toEqual(direct.hashes);
      } finally {
        await index.start();
      }
    },
  );
});

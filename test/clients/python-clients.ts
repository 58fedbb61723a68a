/** Python's installers: where they are, and how each is told its index. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { type Ran, run } from './package-managers.ts';

export interface Pip {
  readonly version: string;
  readonly python: string;
}

/** Debian's packages put their own wheels of pip, setuptools and wheel here. */
export const debianWheels = '/usr/share/python-wheels';

function isThere(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function versionOf(python: string): string | undefined {
  try {
    const told = execFileSync(python, ['-m', 'pip', '--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return /^pip (\S+)/.exec(told)?.[1];
  } catch {
    return undefined;
  }
}

/** Debian's, and the one that people on this machine would run if it is another one. */
export function findPips(): Pip[] {
  const folders = ['/usr/bin', ...(process.env.PATH ?? '').split(delimiter)];
  const found = new Map<string, Pip>();
  for (const python of new Set(folders.map((folder) => join(folder, 'python3')).filter(isThere))) {
    const version = versionOf(python);
    if (version !== undefined && !found.has(version)) found.set(version, { version, python });
  }
  return [...found.values()];
}

const packages = {
  poetry: ['/usr/bin/poetry'],
  pdm: ['/usr/bin/pdm'],
  pipenv: ['/usr/bin/pipenv'],
  twine: ['/usr/bin/twine'],
  flit: ['/usr/bin/flit'],
  wheels: [debianWheels],
} as const;

/** Why a test with these can't run here; with `CI` set that is an error instead, except for programs that are tried only where they are. */
export function missingPython(name: keyof typeof packages, isOptional = false): string | undefined {
  if (packages[name].every(isThere)) return undefined;
  const reason = `${name} is not installed: the packages that .ci/run lists have it`;
  if (process.env.CI === 'true' && !isOptional) throw new Error(reason);
  return reason;
}

export interface PythonPlace {
  readonly folder: string;
  readonly home: string;
  run(program: string, ...args: readonly string[]): Promise<Ran>;
}

/** A project of its own with an empty home, so that nothing of the user's settings or caches counts. */
export async function pythonPlace(
  parent: string,
  files: Readonly<Record<string, string>>,
  more: Readonly<Record<string, string>> = {},
): Promise<PythonPlace> {
  const path = await mkdtemp(join(parent, 'python-'));
  const [folder, home] = [join(path, 'project'), join(path, 'home')];
  for (const one of [folder, home]) await mkdir(one);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const env = {
    PIP_CONFIG_FILE: '/dev/null',
    PIP_DISABLE_PIP_VERSION_CHECK: '1',
    PIP_NO_INPUT: '1',
    PIP_RETRIES: '0',
    PYTHON_KEYRING_BACKEND: 'keyring.backends.null.Keyring',
    POETRY_VIRTUALENVS_IN_PROJECT: 'true',
    PDM_CHECK_UPDATE: 'false',
    PIPENV_VENV_IN_PROJECT: '1',
    PIPENV_NOSPIN: '1',
    LC_ALL: 'C.UTF-8',
    ...more,
  };
  return {
    folder,
    home,
    // pip of pyenv asks pyenv which one is meant; beside its own programs nothing of it is needed.
    run: (program, ...args) =>
      run(program, args, { folder, home, env: { ...env, PATH: `${dirname(program)}:/usr/bin:/bin` } }),
  };
}

/** Digests of all files below a folder, by path. */
export async function treeOf(folder: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const digests = await Promise.all(
    files.map(async (file): Promise<[string, string]> => {
      const hash = createHash('sha256')
        .update(await readFile(file))
        .digest('hex');
      return [file.slice(folder.length), hash];
    }),
  );
  return Object.fromEntries(digests.sort());
}

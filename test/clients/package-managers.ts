/** The package managers of the npm family: where they are, how they are told the registry, and what each writes. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { root } from '../support/larder.ts';
import { placed } from '../support/namespace.ts';

export type ManagerId = 'npm' | 'npm10' | 'npm12' | 'pnpm12' | 'yarn1' | 'yarn4' | 'bun';

export interface Manager {
  readonly id: ManagerId;
  readonly lockfile: string;
  readonly install: readonly string[];
  /** From the lockfile alone, which may not change. */
  readonly reinstall: readonly string[];
  /** Files of the project that make it ask this registry. */
  settings(registry: string): Readonly<Record<string, string>>;
  /** Files below node_modules that hold the registry's address or the time. */
  readonly volatile: RegExp;
}

// Trouble shows at once instead of after minutes of retrying; scripts of packages say nothing about a registry.
const npmrc = (registry: string): string =>
  [
    `registry=${registry}/`,
    'fetch-retries=0',
    'audit=false',
    'fund=false',
    'update-notifier=false',
    'ignore-scripts=true',
    '',
  ].join('\n');

const npm = {
  lockfile: 'package-lock.json',
  install: ['install'],
  reinstall: ['ci'],
  settings: (registry: string) => ({ '.npmrc': npmrc(registry) }),
  volatile: /^\.package-lock\.json$/,
};

export const managers: readonly Manager[] = [
  { id: 'npm', ...npm },
  { id: 'npm12', ...npm },
  {
    id: 'pnpm12',
    lockfile: 'pnpm-lock.yaml',
    install: ['install', '--no-frozen-lockfile'],
    reinstall: ['install', '--frozen-lockfile'],
    settings: (registry) => ({
      '.npmrc': npmrc(registry),
      'pnpm-workspace.yaml': 'minimumReleaseAge: 0\nignoreScripts: true\nfetchRetries: 0\n',
    }),
    volatile: /^(\.modules\.yaml|\.pnpm-workspace-state.*|\.pnpm\/lock\.yaml)$/,
  },
  {
    id: 'yarn1',
    lockfile: 'yarn.lock',
    install: ['install', '--non-interactive', '--ignore-scripts', '--ignore-engines'],
    reinstall: ['install', '--non-interactive', '--ignore-scripts', '--ignore-engines', '--frozen-lockfile'],
    settings: (registry) => ({ '.npmrc': npmrc(registry), '.yarnrc': `registry "${registry}/"\n` }),
    volatile: /^\.yarn-integrity$/,
  },
  {
    id: 'yarn4',
    lockfile: 'yarn.lock',
    install: ['install', '--no-immutable'],
    reinstall: ['install', '--immutable'],
    settings: (registry) => ({
      '.yarnrc.yml': [
        `npmRegistryServer: "${registry}"`,
        'unsafeHttpWhitelist: ["127.0.0.1", "localhost"]',
        'npmMinimalAgeGate: 0',
        'nodeLinker: node-modules',
        'enableTelemetry: false',
        'enableScripts: false',
        'httpRetry: 0',
        '',
      ].join('\n'),
      'yarn.lock': '',
    }),
    volatile: /^\.yarn-state\.yml$/,
  },
  {
    id: 'bun',
    lockfile: 'bun.lock',
    install: ['install', '--ignore-scripts', '--no-progress'],
    reinstall: ['install', '--ignore-scripts', '--no-progress', '--frozen-lockfile'],
    settings: (registry) => ({ '.npmrc': npmrc(registry) }),
    volatile: /^\.cache\//,
  },
];

const clientsFolder = process.env.CLIENTS_DIR ?? join(root, '.clients');

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The machine's own npm is the first that does not come out of a `node_modules`. */
function machineNpm(): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'))
    .map((folder) => join(folder, 'npm'))
    .find(isExecutable);
}

/** Where the program is; `undefined` when it is not installed. */
export function findProgram(id: string): string | undefined {
  if (id === 'npm') return machineNpm();
  const file = join(clientsFolder, 'bin', id);
  return isExecutable(file) ? file : undefined;
}

/** Why a test with this program can't run here; with `CI` set that is an error instead. */
export function missing(id: string): string | undefined {
  if (findProgram(id)) return undefined;
  const reason = `${id} is not installed: run test/clients/install.sh`;
  if (process.env.CI === 'true') throw new Error(reason);
  return reason;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both. */
  readonly output: string;
}

const deadlineMs = 240_000;

/** Runs it with nothing of the user's own settings: only a path and an empty home. */
export function run(
  program: string,
  args: readonly string[],
  options: { readonly folder: string; readonly home: string; readonly env?: Readonly<Record<string, string>> },
): Promise<Ran> {
  const file = findProgram(program) ?? program;
  const machine = dirname(machineNpm() ?? '/usr/bin/npm');
  return new Promise((resolve) => {
    execFile(
      ...placed(file, args),
      {
        cwd: options.folder,
        env: { PATH: `${machine}:/usr/local/bin:/usr/bin:/bin`, HOME: options.home, ...options.env },
        timeout: deadlineMs,
        killSignal: 'SIGKILL',
        maxBuffer: 64 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr, output: `${stdout}\n${stderr}` });
      },
    );
  });
}

/** A project folder with an empty home beside it: nothing is cached for it. */
export interface Project {
  readonly folder: string;
  readonly home: string;
  run(...args: readonly string[]): Promise<Ran>;
  lock(): Promise<string>;
  /** Path to digest, or to the target of a symbolic link, of everything that was installed. */
  tree(): Promise<Record<string, string>>;
}

/** Below `parent`, which the caller removes. */
export async function createProject(
  parent: string,
  manager: Manager,
  registry: string,
  manifest: Readonly<Record<string, unknown>>,
  lock?: string,
): Promise<Project> {
  const path = await mkdtemp(join(parent, `${manager.id}-`));
  const folder = join(path, 'project');
  const home = join(path, 'home');
  await mkdir(folder);
  await mkdir(home);
  const files = {
    'package.json': JSON.stringify({ name: 'project', version: '1.0.0', private: true, ...manifest }),
    ...manager.settings(registry),
    ...(lock === undefined ? {} : { [manager.lockfile]: lock }),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return {
    folder,
    home,
    run: (...args) => run(manager.id, args, { folder, home }),
    lock: () => readFile(join(folder, manager.lockfile), 'utf8'),
    async tree() {
      const found: Record<string, string> = {};
      await collectTree(join(folder, 'node_modules'), '', manager.volatile, found);
      return found;
    },
  };
}

async function collectTree(top: string, path: string, leaveOut: RegExp, files: Record<string, string>): Promise<void> {
  const entries = await readdir(join(top, path), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = path === '' ? entry.name : `${path}/${entry.name}`;
    if (leaveOut.test(name)) continue;
    if (entry.isDirectory()) await collectTree(top, name, leaveOut, files);
    else if (entry.isSymbolicLink()) files[name] = `-> ${await readlink(join(top, name))}`;
    else
      files[name] = createHash('sha256')
        .update(await readFile(join(top, name)))
        .digest('hex');
  }
}

/** Every integrity or checksum that a lockfile holds, in order. */
export function integritiesIn(lock: string): string[] {
  return [...lock.matchAll(/sha(?:1|256|512)-[A-Za-z0-9+/]+=*|checksum: \S+/g)].map(([text]) => text).sort();
}

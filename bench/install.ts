/** `npm ci` of a project as people have them, from a warm server with a cold client. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { type Arena, isPeer } from './arena.ts';
import { clientFolder } from './client-folder.ts';
import type { Contender, Outcome, Round, Turn } from './contest.ts';
import type { InstallRow } from './rows.ts';

const run = promisify(execFile);

const dependencies = { express: '*', typescript: '*', vite: '*', next: '*', eslint: '*' };

/** In lockfiles, until it is known from where they are installed. */
const placeholder = 'http://registry.invalid';

interface Locked {
  readonly resolved?: string;
  readonly integrity?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Lockfile {
  readonly packages: Record<string, Locked>;
}

export async function measureInstall(row: InstallRow, arena: Arena): Promise<Outcome[]> {
  const lockfile = await lockfileOf(arena);
  const names = ['larder' as const, ...row.contest.against.map((other) => other.contender)].filter(isPeer);
  const lanes = await Promise.all(names.map(async (name) => ({ name, server: await arena.server(name) })));
  const folder = await clientFolder(arena, 3e9);
  try {
    const counts = new Set<number>();
    for (const { name, server } of lanes) {
      arena.say(`${row.contest.title}: filling ${name}`);
      counts.add((await install(row, lockfile, server.at('registry'), folder)).packages);
    }
    const asked = await arena.upstream.count();
    const rounds: Round[] = [];
    for (let n = 1; n <= arena.rounds; n++) {
      arena.say(`${row.contest.title}: round ${n} of ${arena.rounds}`);
      const round = new Map<Contender, Turn>();
      for (const { name, server } of lanes) {
        // What the last one wrote goes to disk now, and not during the next one.
        await run('sync');
        const before = await server.usage();
        const { seconds, packages } = await install(row, lockfile, server.at('registry'), folder);
        const busy = ((await server.usage()).cpuMs - before.cpuMs) / 1000 / seconds;
        counts.add(packages);
        round.set(name, { value: seconds, busy });
      }
      rounds.push(round);
    }
    const strays = (await arena.upstream.count()) - asked;
    if (strays > 0) throw new Error(`The upstream was asked ${strays} times although everything was warm.`);
    if (counts.size > 1) throw new Error(`npm installed different numbers of packages: ${[...counts].join(', ')}.`);
    return [{ contest: row.contest, rounds, note: `${[...counts].join()} packages` }];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Into an empty folder with an empty cache. */
async function install(
  row: InstallRow,
  lockfile: Lockfile,
  registry: string,
  folder: string,
): Promise<{ readonly seconds: number; readonly packages: number }> {
  await rm(folder, { recursive: true, force: true });
  await writeProject(folder, row.resolved ? located(lockfile, registry) : unlocated(lockfile));
  const startedAt = performance.now();
  await npm(folder, registry, ['ci']);
  const seconds = (performance.now() - startedAt) / 1000;
  const installed = JSON.parse(await readFile(join(folder, 'node_modules/.package-lock.json'), 'utf8')) as Lockfile;
  return { seconds, packages: Object.keys(installed.packages).length };
}

/** The same for every server and both variants: made once in a run, straight from the upstream. */
async function lockfileOf(arena: Arena): Promise<Lockfile> {
  const folder = join(arena.workFolder, 'install/lockfile');
  const path = join(folder, 'package-lock.json');
  const kept = await readFile(path, 'utf8').catch(() => undefined);
  if (kept !== undefined) return JSON.parse(kept) as Lockfile;
  arena.say('npm ci: making the lockfile');
  const registry = `${arena.upstream.url}/registry`;
  await writeProject(folder, undefined);
  await npm(folder, registry, ['install', '--package-lock-only']);
  const made = (await readFile(path, 'utf8')).replaceAll(`${registry}/`, `${placeholder}/`);
  const lockfile = complete(JSON.parse(made) as Lockfile);
  await writeFile(path, JSON.stringify(lockfile));
  return lockfile;
}

/** `npm ci` refuses a lockfile without the optional packages for other systems, which `npm install` leaves out where a registry lacks them. */
function complete(lockfile: Lockfile): Lockfile {
  const paths = Object.keys(lockfile.packages);
  const locked = (name: string): boolean => paths.some((path) => path.endsWith(`node_modules/${name}`));
  const packages = Object.entries(lockfile.packages).map(([path, { optionalDependencies, ...rest }]) => {
    const kept = Object.entries(optionalDependencies ?? {}).filter(([name]) => locked(name));
    return [path, { ...rest, ...(optionalDependencies ? { optionalDependencies: Object.fromEntries(kept) } : {}) }];
  });
  return { ...lockfile, packages: Object.fromEntries(packages) };
}

async function writeProject(folder: string, lockfile: Lockfile | undefined): Promise<void> {
  await mkdir(folder, { recursive: true });
  const manifest = { name: 'bench', version: '1.0.0', private: true, dependencies };
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest));
  if (lockfile) await writeFile(join(folder, 'package-lock.json'), JSON.stringify(lockfile));
}

function located(lockfile: Lockfile, registry: string): Lockfile {
  return JSON.parse(JSON.stringify(lockfile).replaceAll(`${placeholder}/`, `${registry}/`)) as Lockfile;
}

function unlocated(lockfile: Lockfile): Lockfile {
  const packages = Object.entries(lockfile.packages).map(([path, { resolved: _, ...rest }]) => [path, rest]);
  return { ...lockfile, packages: Object.fromEntries(packages) };
}

/** Nothing of the user's configuration and nobody's cache; scripts of packages are not what is measured. */
async function npm(folder: string, registry: string, args: readonly string[]): Promise<void> {
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'];
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    npm_config_cache: join(folder, '.npm'),
    npm_config_userconfig: join(folder, '.npmrc'),
    npm_config_globalconfig: join(folder, '.npmrc-global'),
    npm_config_registry: `${registry}/`,
    // nginx passes packuments on as they are, with the upstream's address in them.
    npm_config_replace_registry_host: 'always',
    npm_config_omit_lockfile_registry_resolved: 'false',
  };
  await run('npm', [...args, ...quiet], { cwd: folder, env, maxBuffer: 2 ** 26 }).catch(
    (error: { stderr?: string }) => {
      throw new Error(`npm ${args.join(' ')} failed: ${error.stderr?.trim().split('\n').slice(0, 8).join(' ')}`);
    },
  );
}

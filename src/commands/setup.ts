import { chmod, copyFile, mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { guess } from '../config/suggest.ts';
import type { ClientSetup, SettingsFile, SetupTarget } from '../core/client-setup.ts';
import { type Command, configOption, exitCodes, jsonOption, say, sayJson, UsageError } from './command.ts';
import { serverUrl } from './server-url.ts';
import { isMarked, printed, withoutSettings, withSettings } from './settings/lines.ts';
import { syntaxes } from './settings/syntaxes.ts';

interface KnownSetup {
  readonly format: string;
  readonly setup: ClientSetup;
}

export const command: Command = {
  name: 'setup',
  positionals: 'CLIENT',
  summary: "Prints a client's settings for this server; writes them if told so.",
  details:
    'Without CLIENT it lists the clients. What --write changes is marked in the file, everything else stays as it is, and the\nfile as it was is kept beside it until --undo.',
  options: {
    config: configOption,
    url: {
      type: 'string',
      value: 'URL',
      description: "Address of the repository or the server; else the configuration's.",
    },
    repository: { type: 'string', short: 'r', value: 'ORG/NAME', description: 'Which one; else the first that fits.' },
    'token-env': { type: 'string', value: 'NAME', description: 'Environment variable that holds a token.' },
    write: { type: 'boolean', short: 'w', description: "Write them into the client's own file in your home folder." },
    project: {
      type: 'string',
      short: 'p',
      value: 'DIR',
      description: "With --write and --undo: this project's file instead.",
    },
    undo: { type: 'boolean', description: 'Take back what --write did.' },
    json: jsonOption,
  },
  async run(input) {
    const known = await findSetups();
    const [client, ...rest] = input.positionals;
    if (client === undefined) {
      if (input.flag('json'))
        sayJson(known.map(({ format, setup }) => ({ client: setup.client, title: setup.title, format })));
      else for (const { setup } of known) say(`${setup.client.padEnd(14)} ${setup.title}`);
      return exitCodes.done;
    }
    if (rest.length > 0) throw new UsageError(`one client at a time, not also "${rest[0]}"`);
    const found = known.find(({ setup }) => setup.client === client);
    if (!found) {
      const names = known.map(({ setup }) => setup.client);
      throw new UsageError(`there is no client "${client}"${guess(client, names) || `; there is ${names.join(', ')}`}`);
    }
    if (input.flag('write') && input.flag('undo')) throw new UsageError('either --write or --undo');
    const project = input.text('project');
    if (project !== undefined && !input.flag('write') && !input.flag('undo')) {
      throw new UsageError('--project goes with --write or --undo');
    }
    const tokenVariable = input.text('token-env');
    if (tokenVariable !== undefined && !/^[A-Za-z_]\w*$/.test(tokenVariable)) {
      throw new UsageError(
        `--token-env takes the name of an environment variable, not "${tokenVariable.slice(0, 3)}…"`,
      );
    }
    const asked = repositoryUrl(found, input.text('url'), input.text('repository'), input.text('config'));
    // What is marked goes whatever the address was, so taking back needs no configuration that still fits.
    const url = input.flag('undo') ? await asked.catch(() => `http://localhost/public/${found.format}`) : await asked;
    const target: SetupTarget = { url, ...(tokenVariable !== undefined && { tokenVariable }) };
    const files = found.setup.files(target);
    if (!input.flag('write') && !input.flag('undo')) {
      if (input.flag('json')) sayJson({ client, url, files: files.map(described) });
      else say(files.map(explained).join('\n').trimEnd());
      return exitCodes.done;
    }
    const folder = project === undefined ? undefined : resolve(project);
    if (folder !== undefined) await mustBeFolder(folder);
    const changes: Change[] = [];
    for (const [path, file] of byPath(files, folder)) {
      changes.push(await (input.flag('undo') ? takeBack(path, file) : write(path, file)));
    }
    if (input.flag('json')) sayJson({ client, url, changes });
    else for (const change of changes) say(`${change.path}: ${change.done}`);
    return exitCodes.done;
  },
};

/** Every format's own, by folder. */
async function findSetups(): Promise<KnownSetup[]> {
  const folder = join(import.meta.dirname, '../formats');
  const found: KnownSetup[] = [];
  for (const { name } of (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory())) {
    const file = join(folder, name, 'setup.ts');
    if (!(await exists(file))) continue;
    const { setups } = (await import(pathToFileURL(file).href)) as { readonly setups: readonly ClientSetup[] };
    found.push(...setups.map((setup) => ({ format: name, setup })));
  }
  return found;
}

async function repositoryUrl(
  { format, setup }: KnownSetup,
  given: string | undefined,
  repository: string | undefined,
  configFile: string | undefined,
): Promise<string> {
  if (given !== undefined) {
    const url = URL.canParse(given) ? new URL(given) : undefined;
    if (!url || !/^https?:$/.test(url.protocol)) throw new UsageError(`--url ${given} is no http or https URL`);
    if (url.username || url.password || url.search || url.hash) {
      throw new UsageError(
        '--url takes an address without credentials, query and fragment; for a token use --token-env',
      );
    }
    const base = `${url.origin}${url.pathname}`.replace(/\/+$/, '');
    if (repository !== undefined) return `${base}/${repository}`;
    return base === url.origin ? `${base}/public/${format}` : base;
  }
  const config = await loadConfig(configFile);
  const names = repositoriesOf(config, format);
  const name = repository ?? names.find((one) => one === `public/${format}`) ?? names[0];
  if (name === undefined || !names.includes(name)) {
    const what = name === undefined ? `no repository for ${setup.title}` : `no ${format} repository "${name}"`;
    throw new UsageError(`${config.file} has ${what}${guess(name ?? '', names)}; add one, or give --url`);
  }
  const { listen, publicUrl } = config.server;
  if (publicUrl === undefined && listen.port === 0)
    throw new UsageError('the port is not known before the start; give --url');
  if (publicUrl === undefined && ['0.0.0.0', '::'].includes(listen.host)) {
    process.stderr.write(
      'larder: this is the address on this machine; for other machines set server.publicUrl or give --url\n',
    );
  }
  return `${serverUrl(config.server)}/${name}`;
}

function repositoriesOf(config: Config, format: string): string[] {
  return Object.entries(config.orgs).flatMap(([org, { repositories }]) =>
    Object.entries(repositories)
      .filter(([, repository]) => repository.format === format)
      .map(([name]) => `${org}/${name}`),
  );
}

function userPath(file: SettingsFile): string {
  return resolve(homedir(), file.user(process.env));
}

/** Settings that go into the same file are written together. */
function byPath(files: readonly SettingsFile[], folder: string | undefined): Map<string, SettingsFile> {
  const found = new Map<string, SettingsFile>();
  for (const file of files) {
    const path = folder === undefined || file.project === undefined ? userPath(file) : join(folder, file.project);
    const before = found.get(path)?.settings ?? [];
    found.set(path, { ...file, settings: [...before, ...file.settings] });
  }
  return found;
}

function described(file: SettingsFile): object {
  return {
    ...(file.project && { project: file.project }),
    user: userPath(file),
    text: printed(syntaxes[file.syntax], file.settings),
  };
}

function explained(file: SettingsFile): string {
  const text = printed(syntaxes[file.syntax], file.settings);
  const place = file.project === undefined ? 'only there' : `or ${file.project} in a project`;
  return `# ${userPath(file)}, ${place}\n${text}`;
}

interface Change {
  readonly path: string;
  readonly done: string;
}

const backupOf = (path: string): string => `${path}.before-larder`;

async function write(link: string, file: SettingsFile): Promise<Change> {
  const path = await target(link);
  const before = await textOf(path);
  const after = edited(path, () => withSettings(before ?? '', syntaxes[file.syntax], file.settings));
  if (after === before) return { path: link, done: 'says so already' };
  // Only the first time: what is kept is the file before any of this.
  const keeps = before !== undefined && !isMarked(before) && !(await exists(backupOf(path)));
  if (keeps) await copyFile(path, backupOf(path));
  await replace(path, after);
  return { path: link, done: `written${keeps ? `; as it was: ${basename(backupOf(path))}` : ''}` };
}

async function takeBack(link: string, file: SettingsFile): Promise<Change> {
  const path = await target(link);
  const text = await textOf(path);
  if (text === undefined) return { path: link, done: 'is not there' };
  const backup = await textOf(backupOf(path));
  const undone = edited(path, () => withoutSettings(text, backup, syntaxes[file.syntax], file.settings));
  if (undone.text === '' && backup === undefined) await rm(path);
  else if (undone.text !== text) await replace(path, undone.text);
  if (undone.kept.length > 0) return { path: link, done: `${undone.kept.join(', ')} was changed since and stays` };
  if (backup !== undefined) await rm(backupOf(path));
  if (undone.text === '' && backup === undefined) return { path: link, done: 'removed' };
  return { path: link, done: undone.text === text ? 'says nothing of this' : 'as it was before' };
}

function edited<T>(path: string, edit: () => T): T {
  try {
    return edit();
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}; change it by hand, as larder setup prints it`);
  }
}

/** Dot files are often links into a repository of their own. */
async function target(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** All or nothing; such files may hold tokens, so their mode stays. */
async function replace(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.larder-${process.pid}`;
  const mode = await stat(path).then(
    (stats) => stats.mode & 0o777,
    () => undefined,
  );
  await writeFile(temporary, text, { mode: 0o600 });
  await chmod(temporary, mode ?? 0o644);
  await rename(temporary, path);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function mustBeFolder(path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats?.isDirectory()) throw new UsageError(`--project ${path}: there is no such folder`);
}

import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { guess } from '../config/suggest.ts';
import type { ClientSetup, SettingsFile } from '../core/client-setup.ts';
import { type Command, configOption, exitCodes, type Input, json, jsonOption, UsageError } from './command.ts';
import { serverUrl } from './server-url.ts';
import { type Change, exists, putIn, takeBack } from './settings/file.ts';
import { printed } from './settings/lines.ts';
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
    const { say } = input;
    const known = await findSetups();
    const [client, ...rest] = input.positionals;
    if (client === undefined) {
      const clients = known.map(({ format, setup }) => ({ client: setup.client, title: setup.title, format }));
      if (input.flag('json')) say(json(clients));
      else for (const { client: name, title } of clients) say(`${name.padEnd(14)} ${title}`);
      return exitCodes.done;
    }
    if (rest.length > 0) throw new UsageError(`one client at a time, not also "${rest[0]}"`);
    const found = known.find(({ setup }) => setup.client === client);
    if (!found) {
      const names = known.map(({ setup }) => setup.client);
      throw new UsageError(`there is no client "${client}"${guess(client, names) || `; there is ${names.join(', ')}`}`);
    }
    const { changes, undo, folder, tokenVariable } = await wishes(input);
    const asked = repositoryUrl(found, input);
    // What is marked goes whatever the address was, so taking back needs no configuration that still fits.
    const url = undo ? await asked.catch(() => `http://localhost/public/${found.format}`) : await asked;
    const files = found.setup.files({ url, ...(tokenVariable !== undefined && { tokenVariable }) });
    if (!changes) {
      if (input.flag('json')) say(json({ client, url, files: files.map((file) => described(file, input)) }));
      else
        say(
          files
            .map((file) => explained(file, input))
            .join('\n')
            .trimEnd(),
        );
      return exitCodes.done;
    }
    const done: Change[] = [];
    // Other projects may still need what a project's settings have put into the user's own file.
    const meant = undo && folder !== undefined ? files.filter(({ project }) => project !== undefined) : files;
    for (const [path, file] of byPath(meant, folder, input)) {
      done.push(await (undo ? takeBack(path, file) : putIn(path, file)));
    }
    if (input.flag('json')) say(json({ client, url, changes: done }));
    else for (const change of done) say(`${change.path}: ${change.done}`);
    return exitCodes.done;
  },
};

interface Wishes {
  readonly changes: boolean;
  readonly undo: boolean;
  /** The project's, if it is not about all of the user's. */
  readonly folder?: string;
  readonly tokenVariable?: string;
}

async function wishes(input: Input): Promise<Wishes> {
  const undo = input.flag('undo');
  const changes = undo || input.flag('write');
  if (undo && input.flag('write')) throw new UsageError('either --write or --undo');
  const project = input.text('project');
  if (project !== undefined && !changes) throw new UsageError('--project goes with --write or --undo');
  const given = input.text('token-env');
  if (given !== undefined && !/^[A-Za-z_]\w*$/.test(given)) {
    throw new UsageError(`--token-env takes the name of an environment variable, not "${given.slice(0, 3)}…"`);
  }
  const folder = project === undefined ? undefined : resolve(project);
  if (folder !== undefined) await mustBeFolder(folder);
  // What was written with a token is found without knowing which.
  const tokenVariable = given ?? (undo ? 'TOKEN' : undefined);
  return {
    changes,
    undo,
    ...(folder !== undefined && { folder }),
    ...(tokenVariable !== undefined && { tokenVariable }),
  };
}

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

async function repositoryUrl({ format, setup }: KnownSetup, input: Input): Promise<string> {
  const given = input.text('url');
  const repository = input.text('repository');
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
  const config = await loadConfig(input.text('config'), input.environment);
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
    input.warn('larder: this is the address on this machine; for other machines set server.publicUrl or give --url');
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

function userPath(file: SettingsFile, { environment }: Input): string {
  return resolve(environment.HOME ?? homedir(), file.user(environment));
}

/** Settings that go into the same file are written together. */
function byPath(files: readonly SettingsFile[], folder: string | undefined, input: Input): Map<string, SettingsFile> {
  const found = new Map<string, SettingsFile>();
  for (const file of files) {
    const path =
      folder === undefined || file.project === undefined ? userPath(file, input) : join(folder, file.project);
    const before = found.get(path)?.settings ?? [];
    found.set(path, { ...file, settings: [...before, ...file.settings] });
  }
  return found;
}

function described(file: SettingsFile, input: Input): object {
  return {
    ...(file.project && { project: file.project }),
    user: userPath(file, input),
    text: printed(syntaxes[file.syntax], file.settings),
  };
}

function explained(file: SettingsFile, input: Input): string {
  const text = printed(syntaxes[file.syntax], file.settings);
  const place = file.project === undefined ? 'only there' : `or ${file.project} in a project`;
  return `# ${userPath(file, input)}, ${place}\n${text}`;
}

async function mustBeFolder(path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats?.isDirectory()) throw new UsageError(`--project ${path}: there is no such folder`);
}

import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/settings.ts';
import { guess } from '../config/suggest.ts';
import type { ClientSetup, SettingsFile, SetupTarget } from '../core/client-setup.ts';
import { type Command, configOption, exitCodes, type Input, json, jsonOption, UsageError } from './command.ts';
import { serverUrl } from './server-url.ts';
import { editorOf } from './settings/editor.ts';
import { type Change, exists, putIn, takeBack } from './settings/file.ts';

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
    repository: {
      type: 'string',
      short: 'r',
      value: 'ORG/NAME',
      description: 'Which one; else the first, or as many as the client can have.',
    },
    registry: {
      type: 'string',
      value: 'NAME',
      description: 'What clients call the registry behind it; else as the configuration says.',
    },
    'token-env': { type: 'string', value: 'NAME', description: 'Environment variable that holds a token.' },
    write: { type: 'boolean', short: 'w', description: "Write them into the client's own file." },
    project: {
      type: 'string',
      short: 'p',
      value: 'DIR',
      description: "With --write and --undo: this project's file instead.",
    },
    root: {
      type: 'string',
      value: 'DIR',
      description: 'With --write and --undo: a system below this folder instead of /.',
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
    const asked = targetOf(found, input);
    // What is marked goes whatever the address was, so taking back needs no configuration that still fits.
    const target = undo ? await asked.catch(() => anyTarget(found)) : await asked;
    const { setup } = found;
    const about: SetupTarget = { ...target, ...(tokenVariable !== undefined && { tokenVariable }) };
    const { url } = about;
    const files = setup.files(about);
    const notes = setup.notes?.(about) ?? [];
    if (!changes) {
      if (input.flag('json')) say(json({ client, url, files: files.map((file) => described(file, input)), notes }));
      else say(explained(files, notes, input));
      return exitCodes.done;
    }
    const done: Change[] = [];
    // Other projects may still need what a project's settings have put into the user's own file.
    const meant = undo && folder !== undefined ? files.filter(({ project }) => project !== undefined) : files;
    for (const [path, file] of byPath(meant, folder, input)) {
      done.push(await (undo ? takeBack(path, file) : putIn(path, file)));
    }
    const further = undo ? [] : notes;
    if (input.flag('json')) say(json({ client, url, changes: done, notes: further }));
    else for (const line of [...done.map((change) => `${change.path}: ${change.done}`), ...further]) say(line);
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
  const root = input.text('root');
  if (root !== undefined) {
    if (!changes) throw new UsageError('--root goes with --write or --undo');
    if (project !== undefined) throw new UsageError('either --root or --project');
    await mustBeFolder('root', root);
  }
  const given = input.text('token-env');
  if (given !== undefined && !/^[A-Za-z_]\w*$/.test(given)) {
    throw new UsageError(`--token-env takes the name of an environment variable, not "${given.slice(0, 3)}…"`);
  }
  const folder = project === undefined ? undefined : resolve(project);
  if (folder !== undefined) await mustBeFolder('project', folder);
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
  const entries = await readdir(folder, { withFileTypes: true });
  for (const name of entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort()) {
    const file = join(folder, name, 'setup.ts');
    if (!(await exists(file))) continue;
    const { setups } = (await import(pathToFileURL(file).href)) as { readonly setups: readonly ClientSetup[] };
    found.push(...setups.map((setup) => ({ format: name, setup })));
  }
  return found;
}

/** When only what is marked matters. */
function anyTarget({ format }: KnownSetup): SetupTarget {
  const root = 'http://localhost';
  return { url: `${root}/public/${format}`, root, repository: `public/${format}`, namespaces: [], others: [] };
}

async function targetOf(known: KnownSetup, input: Input): Promise<SetupTarget> {
  const registry = registryName(input);
  const found = await (input.text('url') === undefined ? fromConfig(known, input) : fromUrl(known, input));
  return registry === undefined ? found : { ...found, namespaces: [registry], others: [] };
}

function registryName(input: Input): string | undefined {
  const given = input.text('registry')?.toLowerCase();
  if (given === undefined || /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/.test(given)) return given;
  throw new UsageError(`--registry ${given} is no name of a registry, such as docker.io or registry.example.com:5000`);
}

async function fromUrl({ format }: KnownSetup, input: Input): Promise<SetupTarget> {
  const given = input.text('url') ?? '';
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) throw new UsageError(`--url ${given} is no http or https URL`);
  if (url.username || url.password || url.search || url.hash) {
    throw new UsageError('--url takes an address without credentials, query and fragment; for a token use --token-env');
  }
  const base = `${url.origin}${url.pathname}`.replace(/\/+$/, '');
  // Elsewhere there may be none, or one of another server: then it only tells what the usual names are.
  const config = await loadConfig(input.text('config'), input.environment).catch((error: unknown) => {
    if (input.text('config') !== undefined) throw error;
    return undefined;
  });
  const about = (root: string, repository: string): SetupTarget => ({
    url: `${root}/${repository}`,
    root,
    repository,
    namespaces: config ? namespacesOf(config, repository, format) : [],
    others: [],
  });
  const repository = input.text('repository');
  if (repository !== undefined) return about(base, repository);
  if (base === url.origin) {
    const names = config ? repositoriesOf(config, format) : [];
    const name = usual(names, format) ?? `public/${format}`;
    return { ...about(base, name), others: config ? othersOf(config, names, name, format) : [] };
  }
  const [, root, org, name] = /^(.*)\/([^/]+)\/([^/]+)$/.exec(url.pathname.replace(/\/+$/, '')) ?? [];
  if (root !== undefined) return about(`${url.origin}${root}`, `${org}/${name}`);
  return about(url.origin, base.slice(url.origin.length + 1));
}

async function fromConfig({ format, setup }: KnownSetup, input: Input): Promise<SetupTarget> {
  const config = await loadConfig(input.text('config'), input.environment);
  const names = repositoriesOf(config, format);
  const name = input.text('repository') ?? usual(names, format);
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
  const root = serverUrl(config.server);
  const { hostname } = new URL(root);
  return {
    url: `${root}/${name}`,
    root,
    repository: name,
    namespaces: namespacesOf(config, name, format),
    others: input.text('repository') === undefined ? othersOf(config, names, name, format) : [],
    atRoot: config.hosts[hostname] ?? config.hosts.default ?? '',
  };
}

function usual(names: readonly string[], format: string): string | undefined {
  return names.find((one) => one === `public/${format}`) ?? names[0];
}

function othersOf(config: Config, names: readonly string[], name: string, format: string): SetupTarget['others'] {
  return names
    .filter((one) => one !== name)
    .map((repository) => ({ repository, namespaces: namespacesOf(config, repository, format) }));
}

/** What the first registry behind a repository is called; the names somebody chose come before the host of its address. */
function namespacesOf(
  { orgs, upstreams }: Pick<Config, 'orgs' | 'upstreams'>,
  name: string,
  format: string,
): readonly string[] {
  const [org = '', repository = ''] = name.split('/');
  const found = orgs[org]?.repositories[repository];
  if (found?.format !== format) return [];
  for (const source of found.sources) {
    if (source.kind === 'repository') {
      const inner = namespacesOf({ orgs, upstreams }, source.repository, format);
      if (inner.length > 0) return inner;
    }
    const upstream = source.kind === 'remote' ? upstreams[source.upstream] : undefined;
    if (!upstream) continue;
    const { host } = new URL(upstream.url);
    return [...upstream.namespaces.filter((one) => one !== host), host];
  }
  return [];
}

function repositoriesOf(config: Config, format: string): string[] {
  return Object.entries(config.orgs).flatMap(([org, { repositories }]) =>
    Object.entries(repositories)
      .filter(([, repository]) => repository.format === format)
      .map(([name]) => `${org}/${name}`),
  );
}

function userPath(file: SettingsFile, input: Input): string {
  const { environment } = input;
  const path = resolve(environment.HOME ?? homedir(), file.user(environment));
  const root = input.text('root');
  return root === undefined ? path : join(resolve(root), path);
}

/** Settings that go into the same file are written together. */
function byPath(files: readonly SettingsFile[], folder: string | undefined, input: Input): Map<string, SettingsFile> {
  const found = new Map<string, SettingsFile>();
  for (const file of files) {
    const path =
      folder === undefined || file.project === undefined ? userPath(file, input) : join(folder, file.project);
    const before = found.get(path);
    const joined =
      before && before.syntax !== 'whole' && file.syntax !== 'whole'
        ? { ...file, settings: [...before.settings, ...file.settings] }
        : file;
    found.set(path, joined);
  }
  return found;
}

function described(file: SettingsFile, input: Input): object {
  return {
    ...(file.project && { project: file.project }),
    user: userPath(file, input),
    text: editorOf(file).print(),
  };
}

function explained(files: readonly SettingsFile[], notes: readonly string[], input: Input): string {
  const parts = files.flatMap((file) => {
    const text = editorOf(file).print();
    const elsewhere = files.some(({ project }) => project !== undefined) ? ', only there' : '';
    const place = file.project === undefined ? elsewhere : `, or ${file.project} in a project`;
    return text === '' ? [] : [`# ${userPath(file, input)}${place}\n${text}`];
  });
  return [...parts, notes.map((note) => `# ${note}\n`).join('')].join('\n').trimEnd();
}

async function mustBeFolder(option: string, path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats?.isDirectory()) throw new UsageError(`--${option} ${path}: there is no such folder`);
}

import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { askServer, serverOf, tokenOption, urlOption } from './ask-server.ts';
import { type Command, configOption, exitCodes, type Input, type Option, UsageError } from './command.ts';

/** As `GET /api/v1/orgs/{org}/repositories` tells it. */
interface Known {
  readonly org: string;
  readonly name: string;
  readonly format: string;
}

const nameOption: Option = { type: 'string', short: 'n', value: 'NAME', description: 'Of the set, such as build-42.' };

export const command: Command = {
  name: 'record',
  positionals: '-- COMMAND…',
  summary:
    'Runs a build and records whatever it asks for as a named set, which larder export --set NAME carries elsewhere.',
  details:
    'Clients have to come with empty caches, or they ask for nothing. For the command, LARDER_URL is the recording address:\nthe repository acme/npm is at $LARDER_URL/acme/npm/. npm, pnpm, Yarn, Bun, pip, uv, Bundler and Maven are pointed there\nthrough their environment variables, Maven by -s where the command is mvn; others need to be told.\nEnds with the exit code of the command.',
  options: {
    name: nameOption,
    config: configOption,
    url: urlOption,
    token: tokenOption,
    repository: {
      type: 'string',
      short: 'r',
      value: 'ORG/NAME',
      description: 'For the clients of its format, may be given more than once; else the first of each format.',
    },
  },
  async run(input) {
    const name = input.text('name');
    const [program, ...args] = input.positionals;
    if (name === undefined || program === undefined) {
      throw new UsageError('record needs a name and a command: larder record --name build-42 -- npm ci');
    }
    if (!/^[a-z0-9][a-z0-9._-]{0,99}$/.test(name)) {
      throw new UsageError(`--name ${name} is no name of a set: lower-case letters, digits, ".", "_" and "-"`);
    }
    const repositories = chosen(await repositoriesOf(input), input.texts('repository'));
    const { url, token } = await serverOf(input);
    const root = `${url}/-/record/${name}`;
    const orgs = [...new Set(repositories.map(({ org }) => org))];
    const before = await thingsIn(input, orgs, name);
    const folder = await mkdtemp(join(tmpdir(), 'larder-record-'));
    try {
      const surroundings = await surroundingsOf(root, token || undefined, repositories, folder);
      const settings = surroundings.LARDER_MAVEN_SETTINGS;
      const code = await runCommand(program, withSettings(program, args, settings), {
        ...input.environment,
        ...surroundings,
      });
      const after = await thingsIn(input, orgs, name);
      input.warn(told(name, before, after));
      return code;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function repositoriesOf(input: Input): Promise<readonly Known[]> {
  const { items } = await askServer<{ items: { name: string }[] }>(input, '/api/v1/orgs');
  const all: Known[] = [];
  for (const { name } of items) {
    const path = `/api/v1/orgs/${encodeURIComponent(name)}/repositories`;
    all.push(...(await askServer<{ items: Known[] }>(input, path)).items);
  }
  if (all.length > 0) return all;
  throw new Error('there is no repository that you may read there: show a token in LARDER_TOKEN');
}

function chosen(all: readonly Known[], wanted: readonly string[]): readonly Known[] {
  const named = wanted.map((id) => {
    const found = all.find(({ org, name }) => `${org}/${name}` === id);
    if (!found) throw new UsageError(`--repository ${id}: there is no such repository that you may read`);
    return found;
  });
  const firsts = new Map<string, Known>();
  for (const one of [...named, ...all]) if (!firsts.has(one.format)) firsts.set(one.format, one);
  return [...firsts.values()];
}

/** `undefined`: it can't be told, to those who are no members. */
async function thingsIn(input: Input, orgs: readonly string[], name: string): Promise<number | undefined> {
  let sum: number | undefined;
  for (const org of orgs) {
    const path = `/api/v1/orgs/${encodeURIComponent(org)}/sets`;
    const sets = await askServer<{ items: { name: string; things: number }[] }>(input, path).catch(() => undefined);
    if (!sets) continue;
    sum = (sum ?? 0) + (sets.items.find((one) => one.name === name)?.things ?? 0);
  }
  return sum;
}

function told(name: string, before: number | undefined, after: number | undefined): string {
  if (after === undefined) return `Recorded as ${name}; how much, only members are told.`;
  const added = after - (before ?? 0);
  if (after === 0)
    return `Nothing was recorded as ${name}: the build asked Larder for nothing. Do its clients have caches?`;
  return `${added} things were recorded as ${name}${added === after ? '' : `, which has ${after} now`}.`;
}

/** What points the clients there; those that take no address from the environment find it in LARDER_URL. */
async function surroundingsOf(
  root: string,
  token: string | undefined,
  repositories: readonly Known[],
  folder: string,
): Promise<Record<string, string>> {
  const found: Record<string, string> = { LARDER_URL: root };
  for (const { org, name, format } of repositories) {
    const url = `${root}/${org}/${name}`;
    const host = new URL(url).host;
    if (format === 'npm') Object.assign(found, npm(`${url}/`, token));
    if (format === 'pypi') {
      const index = `${withToken(url, token)}/simple/`;
      Object.assign(found, { PIP_INDEX_URL: index, UV_DEFAULT_INDEX: index });
      if (url.startsWith('http:')) Object.assign(found, { PIP_TRUSTED_HOST: host, UV_INSECURE_HOST: host });
    }
    if (format === 'rubygems') found.BUNDLE_MIRROR__ALL = `${withToken(url, token)}/`;
    if (format === 'maven') {
      const file = join(folder, 'settings.xml');
      await writeFile(file, mavenSettings(`${url}/`, token !== undefined), { mode: 0o600 });
      // Maven reads its arguments from there since 3.9.
      Object.assign(found, { LARDER_MAVEN_SETTINGS: file, MAVEN_ARGS: `-s ${file}` });
      if (token !== undefined) found.LARDER_TOKEN = token;
    }
  }
  return found;
}

function npm(registry: string, token: string | undefined): Record<string, string> {
  const plain = { npm_config_registry: registry, YARN_REGISTRY: registry, YARN_NPM_REGISTRY_SERVER: registry };
  const insecure = registry.startsWith('http:') ? { YARN_UNSAFE_HTTP_WHITELIST: new URL(registry).hostname } : {};
  const shown =
    token === undefined
      ? {}
      : {
          [`npm_config_${registry.replace(/^https?:/, '')}:_authToken`]: token,
          YARN_NPM_AUTH_TOKEN: token,
          BUN_CONFIG_TOKEN: token,
        };
  return { ...plain, ...insecure, ...shown };
}

function withToken(url: string, token: string | undefined): string {
  return token === undefined ? url : url.replace('://', `://token:${encodeURIComponent(token)}@`);
}

function mavenSettings(url: string, hasToken: boolean): string {
  const server = hasToken
    ? `<servers><server><id>larder</id><username>token</username><password>\${env.LARDER_TOKEN}</password></server></servers>`
    : '';
  return `<settings><mirrors><mirror><id>larder</id><mirrorOf>*</mirrorOf><url>${url}</url></mirror></mirrors>${server}</settings>\n`;
}

/** Maven before 3.9 takes the address of its settings from its command line alone. */
function withSettings(program: string, args: readonly string[], settings: string | undefined): readonly string[] {
  const isMaven = /^mvnw?(\.cmd)?$/.test(basename(program));
  const has = args.some((arg) => arg === '-s' || arg === '--settings' || arg.startsWith('--settings='));
  return isMaven && settings !== undefined && !has ? ['-s', settings, ...args] : args;
}

/** Its exit code; 128 and more when a signal ended it, as shells tell it. */
function runCommand(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { stdio: 'inherit', env: { ...environment } });
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    // The terminal tells the child as well; what is told to us alone is passed on.
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    for (const signal of signals) process.on(signal, pass);
    const end = (): void => {
      for (const signal of signals) process.off(signal, pass);
    };
    child.once('error', (error: NodeJS.ErrnoException) => {
      end();
      fail(
        new Error(
          `${program} can't be started: ${error.code === 'ENOENT' ? 'there is no such program' : error.message}`,
        ),
      );
    });
    child.once('exit', (code, signal) => {
      end();
      done(code ?? (signal ? 128 + constants.signals[signal] : exitCodes.failed));
    });
  });
}

/** What lockfiles name, and the repositories of a server that it is to come from: shared by the commands that warm and that look. */
import { readFile } from 'node:fs/promises';
import type { Format } from '../core/format.ts';
import type { Wanted } from '../core/warm.ts';
import { listFormats, loadFormat } from '../formats/load.ts';
import type { WarmTask } from '../jobs/warm.ts';
import { LockfileError, type MissedRequest, readLockfile, type Skipped } from '../lockfiles/index.ts';
import { askServer } from './ask-server.ts';
import { type Input, type Option, UsageError } from './command.ts';

export const repositoryOption: Option = {
  type: 'string',
  short: 'r',
  value: 'ORG/NAME',
  description: 'Which one is meant where several have the format; may be given more than once.',
};
export const platformOption: Option = {
  type: 'string',
  short: 'p',
  value: 'OS/ARCH',
  description: 'Of images, wheels and gems: this one alone, linux/amd64; may be given more than once. Else all.',
};
export const resolveOption: Option = {
  type: 'boolean',
  description: 'Also what clients ask for that resolve anew, without the lockfile; much more of npm.',
};
export const concurrencyOption: Option = {
  type: 'string',
  value: 'NUMBER',
  description: 'Requests at a time; else 16.',
};

export interface Needs {
  readonly tasks: readonly WarmTask[];
  /** Things without a digest to check them against. */
  readonly unverifiable: number;
  readonly skipped: readonly Skipped[];
  readonly notes: readonly string[];
}

interface KnownRepository {
  readonly org: string;
  readonly name: string;
  readonly format: string;
}

const idOf = ({ org, name }: KnownRepository): string => `${org}/${name}`;

/** Reads the files that the command names. Rejects with one line for the user. */
export async function needsOf(input: Input, server: string, token: string | undefined): Promise<Needs> {
  if (input.positionals.length === 0) throw new UsageError('it needs a file: larder warm package-lock.json');
  const files = await Promise.all(input.positionals.map(readOne));
  const platforms = input.texts('platform').map(platformIn);
  const choose = await choiceFor(input, server, token);
  const wanted = files.flatMap((file) => file.wanted).flatMap((one) => forPlatforms(one, platforms));
  const tasks: WarmTask[] = [];
  for (const one of wanted) tasks.push(await taskFor(one, choose, server));
  for (const one of files.flatMap((file) => file.requests)) tasks.push(await requestFor(one, choose, server));
  return {
    tasks,
    unverifiable: wanted.filter(({ digests }) => digests.length === 0).length,
    skipped: files.flatMap((file) => file.skipped),
    notes: [...new Set(files.flatMap((file) => file.notes))],
  };
}

async function readOne(file: string) {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new UsageError(`${file} can't be read: ${(error as NodeJS.ErrnoException).code ?? error}`);
  }
  try {
    return readLockfile(file, bytes);
  } catch (error) {
    if (error instanceof LockfileError) throw new UsageError(error.message);
    throw error;
  }
}

/** 1 to 256. */
export function concurrencyIn(input: Input): number {
  const text = input.text('concurrency') ?? '16';
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1 && number <= 256) return number;
  throw new UsageError(`--concurrency takes a number from 1 to 256, not "${text}"`);
}

function platformIn(text: string): string {
  if (/^[a-z0-9]+\/[a-z0-9_]+(?:\/v\d+)?$/.test(text)) return text;
  throw new UsageError(`--platform takes an operating system and an architecture (linux/amd64), not "${text}"`);
}

/** Formats in which one name and version has files for several platforms. */
const withPlatforms = new Set(['oci', 'pypi']);

/** Of a gem the platform is a part of its name, and it is left out unless it is for one of these; of anything else it is a wish. */
function forPlatforms(wanted: Wanted, platforms: readonly string[]): Wanted[] {
  if (platforms.length === 0) return [wanted];
  if (wanted.format === 'rubygems') {
    const { platform } = wanted;
    return platform === undefined || platforms.some((one) => isGemFor(platform, one)) ? [wanted] : [];
  }
  if (wanted.platform !== undefined || !withPlatforms.has(wanted.format)) return [wanted];
  return platforms.map((platform) => ({ ...wanted, platform }));
}

const rubyNames: Readonly<Record<string, RegExp>> = {
  amd64: /^(?:x86_64|x64|amd64)-/,
  arm64: /^(?:aarch64|arm64)-/,
  '386': /^(?:x86|i[3-6]86)-/,
  linux: /-linux/,
  darwin: /-darwin/,
  windows: /-(?:mingw|mswin)/,
};

function isGemFor(platform: string, wanted: string): boolean {
  if (/^(?:ruby|java|jruby)$/.test(platform)) return true;
  const [system = '', architecture = ''] = wanted.split('/');
  const name = platform.replace(/^universal-/, `${architecture === 'arm64' ? 'arm64' : 'x86_64'}-`);
  return rubyNames[system]?.test(name) === true && (rubyNames[architecture]?.test(name) ?? true);
}

interface Place {
  readonly repository: KnownRepository;
  readonly query?: string;
}

interface Choice {
  /** A sentence says why there is none. Throws a `UsageError` where somebody has to choose. */
  of(wanted: Wanted): Promise<Place | string>;
  /** By the name that it has on another server. */
  named(id: string): KnownRepository | string;
}

async function choiceFor(input: Input, server: string, token: string | undefined): Promise<Choice> {
  const known = await repositoriesOf(input);
  const named = input.texts('repository').map((id) => {
    const found = known.find((one) => idOf(one) === id);
    if (found) return found;
    throw new UsageError(`there is no repository ${id} on ${server}${token ? '' : ', at least none for everybody'}`);
  });
  const registries = new Map<string, Promise<Place | string>>();
  const candidatesFor = (format: string): readonly KnownRepository[] => {
    const meant = named.filter((one) => one.format === format);
    return meant.length > 0 ? meant : known.filter((one) => one.format === format);
  };
  return {
    async of(wanted) {
      const { format, registry, url } = wanted;
      const candidates = candidatesFor(format);
      const own = candidates.find((one) => url?.startsWith(`${server}/${idOf(one)}/`));
      if (own) return { repository: own };
      if (candidates.length === 0) return `there is no ${format} repository on ${server} for it`;
      const { namespaceParameter } = await loadFormat(format);
      if (namespaceParameter !== undefined && registry !== undefined) {
        let found = registries.get(registry);
        if (!found) {
          found = placeOf(registry, candidates, `${namespaceParameter}=${encodeURIComponent(registry)}`, server, token);
          registries.set(registry, found);
        }
        return await found;
      }
      const [only, ...others] = candidates;
      if (only && others.length === 0) return { repository: only };
      const names = candidates.map(idOf).join(', ');
      // Each stands in front of another site, and nothing about a file says which.
      if (format === 'generic') return `it may be in ${names}: name one of them with --repository`;
      throw new UsageError(`${format} packages may come from ${names}: name one of them with --repository`);
    },
    named(id) {
      const [only, ...others] = named;
      const same = known.find((one) => idOf(one) === id);
      if (same && named.length === 0) return same;
      if (named.length > 0 && same && named.includes(same)) return same;
      if (only && others.length === 0) return only;
      return same ?? `there is no repository ${id} on ${server}: name the one that stands for it with --repository`;
    },
  };
}

async function repositoriesOf(input: Input): Promise<KnownRepository[]> {
  const { items: orgs } = await askServer<{ items: readonly { name: string }[] }>(input, '/api/v1/orgs');
  const lists = await Promise.all(
    orgs.map(({ name }) =>
      askServer<{ items: readonly KnownRepository[] }>(input, `/api/v1/orgs/${encodeURIComponent(name)}/repositories`),
    ),
  );
  return lists.flatMap(({ items }) => items);
}

/** Repositories say themselves whether one of their upstreams is called so by clients. */
async function placeOf(
  registry: string,
  candidates: readonly KnownRepository[],
  query: string,
  server: string,
  token: string | undefined,
): Promise<Place | string> {
  const answers = await Promise.all(
    candidates.map(async (repository) => {
      const format = await loadFormat(repository.format);
      const response = await fetch(`${addressOf(repository, format, server)}/?${query}`, {
        headers: token ? { authorization: `Bearer ${token}` } : {},
        redirect: 'error',
      });
      await response.body?.cancel();
      return response.status === 404 ? [] : [repository];
    }),
  );
  const [only, ...others] = answers.flat();
  if (!only) return `no upstream of ${candidates.map(idOf).join(', ')} is known as ${registry}`;
  if (others.length === 0) return { repository: only, query };
  const names = [only, ...others].map(idOf).join(', ');
  throw new UsageError(`images of ${registry} may come from ${names}: name one of them with --repository`);
}

function addressOf(repository: KnownRepository, { root }: Format, server: string): string {
  return `${server}/${idOf(repository)}${root === undefined ? '' : `/${root}`}`;
}

async function taskFor(wanted: Wanted, choose: Choice, server: string): Promise<WarmTask> {
  const { name, version, file, platform, from, optional } = wanted;
  const about = {
    what: [name, version, file ?? (platform && `(${platform})`)].filter(Boolean).join(' '),
    from,
    ...(optional ? { optional } : {}),
  };
  const place = listFormats().includes(wanted.format)
    ? await choose.of(wanted)
    : `packages of ${wanted.format} are not known here`;
  if (typeof place === 'string') return impossible(about, place);
  const { repository, query } = place;
  const format = await loadFormat(repository.format);
  const base = addressOf(repository, format, server);
  const url = wanted.url?.startsWith(`${base}/`) ? `http://here/${wanted.url.slice(base.length + 1)}` : wanted.url;
  const here: Wanted = url === undefined ? wanted : { ...wanted, url };
  const { warm } = format;
  if (!warm) return impossible(about, `nothing is known of what clients of ${format.id} ask for`);
  return {
    ...about,
    repository: idOf(repository),
    base,
    ...(query === undefined ? {} : { query }),
    steps: () => warm(here),
  };
}

/** As it was asked for. */
async function requestFor(request: MissedRequest, choose: Choice, server: string): Promise<WarmTask> {
  const { path, accept, from } = request;
  const about = { what: `${request.repository}/${path}`, from };
  const repository = choose.named(request.repository);
  if (typeof repository === 'string') return impossible(about, repository);
  return {
    ...about,
    repository: idOf(repository),
    base: addressOf(repository, await loadFormat(repository.format), server),
    steps: () => [{ path, ...(accept === undefined ? {} : { headers: { accept } }) }],
  };
}

function impossible(about: Pick<WarmTask, 'what' | 'from' | 'optional'>, why: string): WarmTask {
  return {
    ...about,
    repository: '',
    base: '',
    steps: () => {
      throw new Error(why);
    },
  };
}

/** For people: `1.5 GB`. */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

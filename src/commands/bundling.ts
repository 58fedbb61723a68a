/** What the commands about bundles have in common: upstreams by name, files by what is in them, and keys. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChosenSource } from '../bundles/choice.ts';
import { type PublicKey, readPublicKey, readSecretKey, type SecretKey } from '../bundles/keys.ts';
import type { NamedUpstream } from '../bundles/records.ts';
import type { Config } from '../config/settings.ts';
import type { StoreOptions } from '../store/store.ts';
import { homeOf } from '../upstream/credentials.ts';
import { version } from '../version.ts';
import { UsageError } from './command.ts';

export const tool = { name: 'larder', version } as const;

export const storeOf = (config: Config): StoreOptions => ({ ...config.storage, index: config.index });

export function namedUpstreams(config: Config): NamedUpstream[] {
  return Object.values(config.upstreams).map((upstream) => ({
    name: upstream.name,
    identity: homeOf(upstream).identity,
  }));
}

/** `org/name` of every repository that packages are published in. */
export function hostedRepositories(config: Config): string[] {
  return repositoriesOf(config).filter((id) => repositoryOf(config, id)?.sources.some(({ kind }) => kind === 'hosted'));
}

export function repositoriesOf(config: Config): string[] {
  return Object.entries(config.orgs).flatMap(([org, { repositories }]) =>
    Object.keys(repositories).map((name) => `${org}/${name}`),
  );
}

function repositoryOf(config: Config, id: string) {
  const [org = '', name = ''] = id.split('/');
  return config.orgs[org]?.repositories[name];
}

/** Where a repository gets its packages from, through the repositories it is made of. Throws a `UsageError` where there is none. */
export function reachOf(
  config: Config,
  id: string,
  seen: Set<string> = new Set(),
): { readonly sources: readonly ChosenSource[]; readonly hosted: readonly string[] } {
  const repository = repositoryOf(config, id);
  if (!repository) {
    throw new UsageError(`there is no repository ${id}; there is ${repositoriesOf(config).join(', ') || 'none'}`);
  }
  const sources: ChosenSource[] = [];
  const hosted: string[] = [];
  seen.add(id);
  for (const source of repository.sources) {
    if (source.kind === 'remote') sources.push({ upstream: source.upstream, format: repository.format });
    if (source.kind === 'hosted') hosted.push(id);
    if (source.kind !== 'repository' || seen.has(source.repository)) continue;
    const inner = reachOf(config, source.repository, seen);
    sources.push(...inner.sources);
    hosted.push(...inner.hosted);
  }
  return { sources, hosted };
}

/** Of this server, below its data folder. */
export function keyPaths(storage: string): {
  readonly secret: string;
  readonly public: string;
  readonly trusted: string;
} {
  const folder = join(storage, 'keys');
  return {
    secret: join(folder, 'bundle.key'),
    public: join(folder, 'bundle.key.pub'),
    trusted: join(folder, 'trusted'),
  };
}

/** `undefined`: there is no such file. Throws a `UsageError` on what is no key. */
export async function secretKeyAt(path: string): Promise<SecretKey | undefined> {
  const pem = await readFile(path, 'utf8').catch((error: { code?: string }) => {
    if (error.code === 'ENOENT') return undefined;
    throw new UsageError(`${path} can't be read (${error.code})`);
  });
  if (pem === undefined) return undefined;
  try {
    return readSecretKey(pem);
  } catch (error) {
    throw new UsageError(`${path} is no secret key: ${(error as Error).message}`);
  }
}

/** From a file, or from the key itself. */
export async function publicKeyOf(given: string): Promise<PublicKey> {
  const content = await readFile(given, 'utf8').catch(() => undefined);
  const key = readPublicKey(content ?? given);
  if (key) return key;
  const what = content === undefined ? `${given} is neither a file nor a public key` : `${given} holds no public key`;
  throw new UsageError(`${what}; larder keys create writes one, and so does minisign`);
}

/** Those that were trusted once and for all, and the server's own. */
export async function trustedKeys(storage: string): Promise<PublicKey[]> {
  const paths = keyPaths(storage);
  const files = (await readdir(paths.trusted).catch(() => [])).filter((name) => name.endsWith('.pub')).sort();
  const contents = [...files.map((name) => join(paths.trusted, name)), paths.public].map((path) =>
    readFile(path, 'utf8').catch(() => ''),
  );
  const keys = (await Promise.all(contents)).flatMap((content) => readPublicKey(content) ?? []);
  return [...new Map(keys.map((key) => [key.text, key])).values()];
}

/** Values of an option that may be given several times, with commas between them or not. */
export function split(values: readonly string[]): string[] {
  return [...new Set(values.flatMap((value) => value.split(',')).filter((value) => value !== ''))];
}

/** Which repositories there are, and whether those that name others lead anywhere but in a circle. */
import type { Complain, Path } from './mistakes.ts';
import type { ConfigFile } from './schema.ts';
import type { NestedSourceConfig, OrgConfig, RepositoryConfig } from './settings.ts';
import type { SourceTree } from './source.ts';
import { hint } from './suggest.ts';
import { wellKnown } from './well-known.ts';

interface Named {
  readonly path: Path;
  readonly settings: RepositoryConfig;
}

/** Every repository, by `org/name`. */
export function repositoriesOf(orgs: Readonly<Record<string, OrgConfig>>): ReadonlyMap<string, Named> {
  const all = new Map<string, Named>();
  for (const [org, { repositories }] of Object.entries(orgs)) {
    for (const [name, settings] of Object.entries(repositories)) {
      all.set(`${org}/${name}`, { path: ['orgs', org, 'repositories', name], settings });
    }
  }
  return all;
}

/** Every repository and upstream the file names, also those that have mistakes of their own. */
export function namesIn(tree: SourceTree): {
  readonly repositories: readonly string[];
  readonly upstreams: readonly string[];
} {
  const keys = (value: unknown): [string, unknown][] =>
    typeof value === 'object' && value !== null ? Object.entries(value) : [];
  const top = Object.fromEntries(keys(tree.value));
  const repositories = keys(top.orgs).flatMap(([org, settings]) =>
    keys(Object.fromEntries(keys(settings)).repositories).map(([name]) => `${org}/${name}`),
  );
  return { repositories, upstreams: keys(top.upstreams).map(([name]) => name) };
}

/** Complains of sources that name no repository, or one that names theirs. */
export function checkNesting(
  repositories: ReadonlyMap<string, Named>,
  names: ReturnType<typeof namesIn>,
  complain: Complain,
): void {
  for (const [name, { path, settings }] of repositories) {
    for (const [index, source] of settings.sources.entries()) {
      const at = [...path, 'sources', index];
      if (source.kind === 'remote') {
        const known = [...names.upstreams, ...Object.keys(wellKnown)];
        if (!known.includes(source.upstream)) {
          complain([...at, 'remote'], `there is no upstream "${source.upstream}"${hint(source.upstream, known)}`);
        }
      }
      if (source.kind !== 'repository') continue;
      if (!names.repositories.includes(source.repository)) {
        const message = `there is no repository "${source.repository}"${hint(source.repository, names.repositories)}`;
        complain([...at, 'repository'], message);
        continue;
      }
      const other = repositories.get(source.repository);
      if (other && other.settings.format !== settings.format) {
        complain(
          [...at, 'repository'],
          `"${source.repository}" is of format ${other.settings.format}, not ${settings.format}`,
        );
      }
      const way = wayBack(source, name, repositories);
      if (way) complain([...at, 'repository'], `goes in a circle: ${[name, ...way].join(' > ')}`);
    }
  }
}

/** The repositories on the way from a nested source back to where it is a source. */
function wayBack(
  source: NestedSourceConfig,
  goal: string,
  repositories: ReadonlyMap<string, Named>,
  seen: ReadonlySet<string> = new Set(),
): string[] | undefined {
  if (source.repository === goal) return [goal];
  if (seen.has(source.repository)) return undefined;
  for (const inner of repositories.get(source.repository)?.settings.sources ?? []) {
    if (inner.kind !== 'repository') continue;
    const rest = wayBack(inner, goal, repositories, new Set([...seen, source.repository]));
    if (rest) return [source.repository, ...rest];
  }
  return undefined;
}

/** Which repository each host name stands for. */
export function resolveHosts(
  hosts: ConfigFile['hosts'],
  names: ReturnType<typeof namesIn>,
  complain: Complain,
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [host, repository] of Object.entries(hosts)) {
    const path = ['hosts', host];
    if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$|^\[[0-9a-f:.]+\]$/i.test(host)) {
      complain(path, `"${host}" is no host name; write it without scheme, port and path, or "default"`);
    }
    if (!names.repositories.includes(repository)) {
      complain(path, `there is no repository "${repository}"${hint(repository, names.repositories)}`);
    }
    found[host.toLowerCase()] = repository;
  }
  return found;
}

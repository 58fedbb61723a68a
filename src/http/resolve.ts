/** Host and path to a repository and what is left of the path. The one place that knows how addresses are built. */
import { Problem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';

/** First segments that are no organisation. */
export const reserved = new Set(['v2', '-', 'api', 'ui', 'healthz', 'readyz', 'metrics', 'token', '.well-known']);

export interface Resolved {
  readonly repository: Repository;
  /** Below the repository, raw, starting with a slash. */
  readonly rest: string;
}

const address = /^\/([a-z0-9][a-z0-9._-]*)\/([a-z0-9][a-z0-9._-]*)(\/.*)?$/;

/** `path` is raw and without query. `undefined`: not an address of a repository at all. */
export function resolve(repositories: ReadonlyMap<string, Repository>, path: string): Resolved | undefined {
  const [, org, name, rest = '/'] = address.exec(path) ?? [];
  if (org === undefined || name === undefined || reserved.has(org)) return undefined;
  const repository = repositories.get(`${org}/${name}`);
  if (!repository) throw new Problem('not_found', `There is no repository ${org}/${name} here.`);
  return { repository, rest };
}

/** A reverse proxy may pass a sub-path on or take it off; both arrive at the same address. */
export function withoutPrefix(path: string, prefix: string): string {
  return prefix !== '' && path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path;
}

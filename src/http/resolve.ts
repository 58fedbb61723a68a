/** Host and path to a repository and what is left of the path. The one place that knows how addresses are built. */
import { Problem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';

/** First segments that are no organisation. */
export const reserved = new Set(['v2', '-', 'api', 'ui', 'healthz', 'readyz', 'metrics', 'token', '.well-known']);

export interface Resolved {
  readonly repository: Repository;
  /** Below the repository, raw, starting with a slash. */
  readonly rest: string;
  /** Path under which it was found, without trailing slash: `/acme/npm`, `/v2/acme/hub`, `/acme/hub/v2`, `/v2`. */
  readonly at: string;
  /** The registry that a mirror's client means, lower case. */
  readonly namespace?: string;
  /** It is the root itself that was asked for, and the address names no repository. */
  readonly isShared?: boolean;
}

export interface Addresses {
  /** By `org/name`. */
  readonly repositories: ReadonlyMap<string, Repository>;
  /** Host name (lower case, without port) to `org/name`; `default` stands for any other. */
  readonly hosts: Readonly<Record<string, string>>;
}

export interface Asked {
  /** Raw and without query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Under which the client reached us, without port; asked only where it matters. */
  readonly host: () => string;
}

const address = /^\/([a-z0-9][a-z0-9._-]*)\/([a-z0-9][a-z0-9._-]*)(\/.*)?$/;

/** `undefined`: not an address of a repository at all. Throws `not_found` for one that there is not. */
export function resolve(addresses: Addresses, asked: Asked): Resolved | undefined {
  const [, root = '', below = '/'] = /^\/([^/]+)(\/.*)?$/.exec(asked.path) ?? [];
  if (isRoot(addresses, root)) return withNamespace(addresses, belowRoot(addresses, root, below, asked), asked);
  const [, org, name, rest = '/'] = address.exec(asked.path) ?? [];
  if (org === undefined || name === undefined || reserved.has(org)) return undefined;
  const id = `${org}/${name}`;
  const repository = addresses.repositories.get(id);
  if (!repository) throw new Problem('not_found', `There is no repository ${id} here.`);
  const inner = repository.format.root;
  if (inner === undefined) return { repository, rest: withoutExtraSlash(repository, rest), at: `/${id}` };
  if (rest !== `/${inner}` && !rest.startsWith(`/${inner}/`)) {
    throw new Problem('not_found', `The clients of ${id} ask below /${inner}/${id}/ or /${id}/${inner}/.`);
  }
  const found = { repository, rest: rest.slice(inner.length + 1) || '/', at: `/${id}/${inner}`, isExplicit: true };
  return withNamespace(addresses, found, asked);
}

/** What is left goes through the same checks as any path: a third slash is refused there. */
function withoutExtraSlash({ format }: Repository, rest: string): string {
  return format.extraSlash && rest.startsWith('//') ? rest.slice(1) : rest;
}

interface Found {
  readonly repository: Repository;
  readonly rest: string;
  readonly at: string;
  /** The address names the repository. */
  readonly isExplicit: boolean;
}

function isRoot({ repositories }: Addresses, segment: string): boolean {
  if (!reserved.has(segment)) return false;
  for (const { format } of repositories.values()) if (format.root === segment) return true;
  return false;
}

function belowRoot({ repositories, hosts }: Addresses, root: string, below: string, asked: Asked): Found {
  const [, org, name, rest = '/'] = address.exec(below) ?? [];
  const named = repositories.get(`${org}/${name}`);
  if (named?.format.root === root) return { repository: named, rest, at: `/${root}/${named.id}`, isExplicit: true };
  const mapped = repositories.get(hosts[asked.host().toLowerCase()] ?? hosts.default ?? '');
  // A client asks for the root itself before it names anything; whichever answers, the answer is the same.
  const any = [...repositories.values()].find(({ format }) => format.root === root);
  const repository = mapped?.format.root === root ? mapped : below === '/' ? any : undefined;
  if (!repository) {
    throw new Problem(
      'not_found',
      `No repository stands at /${root}/ itself: ask below /${root}/{organisation}/{repository}/, or set hosts: default.`,
    );
  }
  return { repository, rest: below, at: `/${root}`, isExplicit: false };
}

/** A name is looked for among the upstreams that are configured; it is never an address to dial. */
function withNamespace({ repositories }: Addresses, found: Found, { query }: Asked): Resolved {
  const { repository, rest, at, isExplicit } = found;
  const shared = !isExplicit && rest === '/' ? { isShared: true } : {};
  const parameter = repository.format.namespaceParameter;
  const namespace = parameter === undefined ? undefined : query.get(parameter)?.toLowerCase();
  if (!namespace) return { repository, rest, at, ...shared };
  const has = ({ sources }: Repository): boolean => sources.some((source) => source.answersFor?.(namespace) ?? true);
  if (isExplicit || has(repository)) return { repository, rest, at, namespace, ...shared };
  const other = [...repositories.values()].find(
    (one) => one.org === repository.org && one.format.root === repository.format.root && has(one),
  );
  return { repository: other ?? repository, rest, at, namespace, ...shared };
}

/** What stands before the address of a repository when what is asked of it is to be recorded: `/-/record/NAME`. */
export interface Recorded {
  /** Raw; may be no name at all. */
  readonly set: string;
  readonly at: string;
  /** What is left, starting with a slash. */
  readonly path: string;
}

export function recordedIn(path: string): Recorded | undefined {
  const [, at, set, rest] = /^(\/-\/record\/([^/]+))(\/.*)$/.exec(path) ?? [];
  return at === undefined || set === undefined || rest === undefined ? undefined : { set, at, path: rest };
}

/** A reverse proxy may pass a sub-path on or take it off; both arrive at the same address. */
export function withoutPrefix(path: string, prefix: string): string {
  return prefix !== '' && path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path;
}

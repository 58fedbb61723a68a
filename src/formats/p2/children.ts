/** Which repositories a composite one may name: those below the same upstream, by a relative address. */
import type { Origin } from '../../core/format.ts';
import { encodePath } from '../../core/path.ts';

/** Where a document lies: the folder that relative addresses start from, and the part of its host that is ours to serve. */
export interface Place {
  /** Ends in a slash. */
  readonly folder: URL;
  /** Path of the upstream's base URL, with a slash at its end. */
  readonly basePath: string;
}

/** Where upstream answers under another path than it was asked for (a redirect), nothing above the document's folder counts as ours. */
export function placeOf({ url, path }: Origin): Place {
  const folder = new URL('./', url);
  const { pathname } = new URL(url);
  const below = `/${encodePath(path)}`;
  return { folder, basePath: pathname.endsWith(below) ? pathname.slice(0, -below.length + 1) : folder.pathname };
}

/** `..` as far as needed, then down; never something that reads as a scheme. */
function relativePath(from: string, to: string): string {
  const start = from.split('/').slice(0, -1);
  const target = to.split('/');
  let shared = 0;
  while (shared < start.length && shared < target.length - 1 && start[shared] === target[shared]) shared += 1;
  const path = [...start.slice(shared).map(() => '..'), ...target.slice(shared)].join('/');
  return path.split('/')[0]?.includes(':') ? `./${path}` : path;
}

/** Neither a scheme nor a slash at its start, and nothing that readers of addresses disagree about. */
const plainlyRelative = /^(?![a-z][a-z0-9+.-]*:)[^/\\\s][^\\\s]*$/i;

/** `http` and `https` of one host are one place: sites moved to the latter and left their documents as they were. */
function isSameHost(a: URL, b: URL): boolean {
  if (a.hostname !== b.hostname || !/^https?:$/.test(a.protocol)) return false;
  return a.protocol === b.protocol ? a.port === b.port : a.port === '' && b.port === '';
}

/** Whether the address leads there too when the base is called something else, as it is here: not if it climbs above the base and comes back by its name. */
function isSameUnder(location: string, { folder, basePath }: Place, pathname: string): boolean {
  const elsewhere = new URL(location, `http://localhost/-/${folder.pathname.slice(basePath.length)}`);
  return elsewhere.pathname === `/-/${pathname.slice(basePath.length)}`;
}

/**
 * The address under which a client finds the child here: unchanged where it is relative and stays below the upstream's
 * base URL, made relative where it is not. `undefined`: it lies elsewhere, or is the repository itself.
 */
export function childLocation(location: string, { folder, basePath }: Place): string | undefined {
  const target = URL.parse(location, folder.href);
  if (!target || !isSameHost(target, folder)) return undefined;
  const { pathname } = target;
  // The base may be named without its slash.
  const asFolder = pathname.endsWith('/') ? pathname : `${pathname}/`;
  if (!asFolder.startsWith(basePath) || asFolder === folder.pathname) return undefined;
  const isFine = plainlyRelative.test(location) && isSameUnder(location, { folder, basePath }, pathname);
  return isFine ? location : relativePath(folder.pathname, asFolder);
}

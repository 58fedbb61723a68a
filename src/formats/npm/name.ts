/** Package names, and the paths at which a package's things are found. */
import { parseVersion } from '../../codecs/semver.ts';
import { encodePath } from '../../core/path.ts';

/** What npm allows; old packages also have upper case and more letters than new ones may. */
const part = "[A-Za-z0-9!~*'()-][A-Za-z0-9!~*'()._-]*";
const unscoped = new RegExp(`^${part}$`);
const scoped = /^@[A-Za-z0-9!~*'()_-][A-Za-z0-9!~*'()._-]*\/[A-Za-z0-9!~*'()_-][A-Za-z0-9!~*'()._-]*$/;
const longestName = 214;
const reserved = new Set(['-', 'node_modules', 'favicon.ico']);

/** Whether it may be the name of a package, in the spelling it has (names differ by case). `-` is where the registry's own endpoints are. */
export function isName(text: string): boolean {
  if (text.length > longestName) return false;
  if (text.startsWith('@')) return scoped.test(text) && !text.endsWith('/-');
  return unscoped.test(text) && !reserved.has(text.toLowerCase());
}

/** Whether a package that is published now may have this name; npm refuses others, too. */
export function isNewName(text: string): boolean {
  return isName(text) && !/[A-Z!~*'()]/.test(text) && !/(?:^@?|\/)[._]/.test(text);
}

/** Without the scope. */
export function baseName(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}

/** The path of one version's bytes in this repository, whatever upstream calls them. */
export function tarballPath(name: string, version: string): string {
  return `${name}/-/${baseName(name)}-${version}.tgz`;
}

export function tarballUrl(base: string, name: string, version: string): string {
  return `${base}/${encodePath(tarballPath(name, version))}`;
}

/** A name as one segment of a URL: npm escapes the scope's slash, in lower case, everywhere but in tarball paths. */
export function escapeName(name: string): string {
  return encodePath(name).replace('/', '%2f');
}

/** The version that a tarball's file name (without `.tgz`) tells. */
export function versionOf(name: string, file: string): string | undefined {
  const start = `${baseName(name)}-`;
  if (!file.startsWith(start)) return undefined;
  const version = file.slice(start.length);
  return parseVersion(version) ? version : undefined;
}

/**
 * The package a tarball path is about. Lockfiles hold addresses of other registries, and clients that re-base them keep
 * the path that registry had in front of the name (`_packaging/feed/npm/registry/lodash`); then the file name has to agree
 * with the name.
 */
export function nameBefore(path: string, file: string): string | undefined {
  if (isName(path)) return path;
  const segments = path.split('/');
  if (segments[0] === '-') return undefined;
  const two = segments.slice(-2).join('/');
  const name = two.startsWith('@') ? two : segments.at(-1);
  return name !== undefined && isName(name) && versionOf(name, file) !== undefined ? name : undefined;
}

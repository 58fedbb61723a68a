/** A version's catalog entry with our addresses in place of upstream's. */
import {
  besidePath,
  type Hive,
  leafPath,
  lowerId,
  nupkgPath,
  type PackageKey,
  packageKey,
  registrationPath,
} from './address.ts';
import { isObject, type Json, textOf } from './json.ts';
import { normalVersion } from './version.ts';

/** nuget.org moves the date of what is not listed to the year 1900. */
export function hasUnlistedDate(published: string): boolean {
  return Number(published.slice(0, 4)) < 1950;
}

/** Identifiers inside of an entry name parts of upstream's catalog, which nobody here can ask for. */
function withoutIds(value: unknown, hive: Hive, base: string): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutIds(item, hive, base));
  if (!isObject(value)) return value;
  const copy: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) {
    if (name === '@id') continue;
    if (name === 'registration' && typeof inner === 'string') {
      const id = lowerId(textOf(value.id) ?? '');
      if (id !== undefined) copy.registration = `${base}/${registrationPath(id, hive)}`;
      continue;
    }
    copy[name] = withoutIds(inner, hive, base);
  }
  return copy;
}

const nested = ['dependencyGroups', 'deprecation', 'vulnerabilities', 'packageTypes', 'packageEntries'];

/** Icons, readmes and licenses lie beside the package, and are read from there; an address elsewhere stays. */
export function besideUrls(json: Json, key: PackageKey, base: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [field, file] of [
    ['iconUrl', 'icon'],
    ['readmeUrl', 'readme'],
  ] as const) {
    const url = textOf(json[field]);
    if (url === undefined || url === '') continue;
    const [, id = '', version = ''] = new RegExp(`/([^/]+)/([^/]+)/${file}$`, 'i').exec(url) ?? [];
    if (id.toLowerCase() !== key.id || normalVersion(version) === undefined) continue;
    found[field] = `${base}/${besidePath({ id: key.id, version: normalVersion(version) ?? '' }, file)}`;
  }
  // Elsewhere an address that ends like this is a page for people.
  const [, id, version] = /\/v3\/flat\/([^/]+)\/([^/]+)\/license$/.exec(textOf(json.licenseUrl) ?? '') ?? [];
  const licensed = packageKey(id ?? '', version ?? '');
  if (licensed?.id === key.id) found.licenseUrl = `${base}/${besidePath(licensed, 'license')}`;
  return found;
}

export function entryFor(entry: Json, key: PackageKey, hive: Hive, base: string): Json {
  const inner = Object.fromEntries(
    nested.filter((name) => entry[name] !== undefined).map((name) => [name, withoutIds(entry[name], hive, base)]),
  );
  return {
    ...entry,
    ...inner,
    '@id': `${base}/${leafPath(key, hive)}`,
    packageContent: `${base}/${nupkgPath(key)}`,
    ...besideUrls(entry, key, base),
  };
}

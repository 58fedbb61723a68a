/** Where things are below a repository. The same paths name them inside; where upstream has them is for `locate` to say. */
import { normalVersion } from './version.ts';

export const indexPath = 'v3/index.json';
export const searchPath = 'v3/search';
export const autocompletePath = 'v3/autocomplete';
export const vulnerabilitiesPath = 'v3/vulnerabilities/index.json';
export const publishPath = 'v3/package';
export const symbolsPublishPath = 'v3/symbolpackage';
export const signaturesPath = 'v3/repository-signatures/index.json';

/**
 * Registrations three times over: for clients that know no SemVer 2.0.0 (`RegistrationsBaseUrl`, and 3.4.0 for those that
 * unpack gzip), and for those that do (3.6.0).
 */
export const hives = ['registration', 'registration-gz', 'registration-semver2'] as const;
export type Hive = (typeof hives)[number];

export function isHive(text: string): text is Hive {
  return (hives as readonly string[]).includes(text);
}

/** At most 100 characters, compared without regard to case. */
const id = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$/;

/** The id as it stands in paths; `undefined` when the text can be none. */
export function lowerId(text: string): string | undefined {
  return id.test(text) ? text.toLowerCase() : undefined;
}

export interface PackageKey {
  /** Lower case. */
  readonly id: string;
  /** Normalised and lower case. */
  readonly version: string;
}

export function packageKey(id: string, version: string): PackageKey | undefined {
  const lower = lowerId(id);
  const normal = normalVersion(version);
  return lower !== undefined && normal !== undefined ? { id: lower, version: normal } : undefined;
}

export const versionsPath = (id: string): string => `v3/flat/${id}/index.json`;
export const registrationPath = (id: string, hive: Hive = 'registration'): string => `v3/${hive}/${id}/index.json`;

export function nupkgPath({ id, version }: PackageKey): string {
  return `v3/flat/${id}/${version}/${id}.${version}.nupkg`;
}

/** Of a file beside the package: its nuspec, icon, readme or license. */
export function besidePath({ id, version }: PackageKey, file: string): string {
  return `v3/flat/${id}/${version}/${file}`;
}

export function symbolsPath({ id, version }: PackageKey): string {
  return `v3/flat/${id}/${version}/${id}.${version}.snupkg`;
}

export function leafPath({ id, version }: PackageKey, hive: Hive = 'registration'): string {
  return `v3/${hive}/${id}/${version}.json`;
}

/** Of upstream's entry about a version in the second version of the protocol. */
export function legacyPath({ id, version }: PackageKey): string {
  return `v2/${id}/${version}`;
}

export function pagePath(id: string, lower: string, upper: string, hive: Hive): string {
  return `v3/${hive}/${id}/page/${lower}/${upper}.json`;
}

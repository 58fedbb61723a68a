/** Order of versions after Semantic Versioning 2.0.0, also of the slightly malformed ones that old registries hold. */

export interface Version {
  readonly major: string;
  readonly minor: string;
  readonly patch: string;
  /** Empty: a stable version. */
  readonly prerelease: readonly string[];
}

/** The hyphen is missing in some versions published before registries insisted on it (`1.0.2beta`). */
const pattern =
  /^[v=]?(\d{1,30})\.(\d{1,30})\.(\d{1,30})(?:-([a-z0-9-]+(?:\.[a-z0-9-]+)*)|([a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*))?(?:\+[a-z0-9.-]+)?$/i;
const longest = 256;

/** `undefined` when the text is no version. Build metadata is left out: it has no part in the order. */
export function parseVersion(text: string): Version | undefined {
  if (text.length > longest) return undefined;
  const [, major, minor, patch, hyphenated, joined] = pattern.exec(text) ?? [];
  if (major === undefined || minor === undefined || patch === undefined) return undefined;
  return { major, minor, patch, prerelease: (hyphenated ?? joined)?.split('.') ?? [] };
}

/** Of any length, so as text. */
function compareNumbers(a: string, b: string): number {
  const left = a.replace(/^0+(?=\d)/, '');
  const right = b.replace(/^0+(?=\d)/, '');
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

function compareIdentifiers(a: string, b: string): number {
  const numeric = /^\d+$/;
  if (numeric.test(a)) return numeric.test(b) ? compareNumbers(a, b) : -1;
  if (numeric.test(b)) return 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Negative when `a` comes before `b`. */
export function compareVersions(a: Version, b: Version): number {
  const core = compareNumbers(a.major, b.major) || compareNumbers(a.minor, b.minor) || compareNumbers(a.patch, b.patch);
  if (core !== 0) return core;
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return b.prerelease.length - a.prerelease.length;
  const shared = Math.min(a.prerelease.length, b.prerelease.length);
  for (let i = 0; i < shared; i++) {
    const order = compareIdentifiers(a.prerelease[i] as string, b.prerelease[i] as string);
    if (order !== 0) return order;
  }
  return a.prerelease.length - b.prerelease.length;
}

/** NuGet's versions: Semantic Versioning 2.0.0 with an optional fourth number, and spellings that mean the same version. */

export interface Version {
  /** Four of them. */
  readonly numbers: readonly number[];
  /** Lower case. Empty: a stable version. */
  readonly labels: readonly string[];
  readonly metadata: boolean;
}

/** One to four numbers (System.Version has room for 32 bits each), then labels, then build metadata. */
const pattern = /^(\d{1,10}(?:\.\d{1,10}){0,3})(?:-([0-9a-z-]+(?:\.[0-9a-z-]+)*))?(\+[0-9a-z.-]+)?$/i;
/** In characters. */
const longest = 128;

/** `undefined` when the text is no version. */
export function parseVersion(text: string): Version | undefined {
  if (text.length > longest) return undefined;
  const [, numbers, labels, metadata] = pattern.exec(text.trim()) ?? [];
  if (numbers === undefined) return undefined;
  const parts = numbers.split('.').map(Number);
  return {
    numbers: [...parts, 0, 0, 0].slice(0, 4),
    labels: labels?.toLowerCase().split('.') ?? [],
    metadata: metadata !== undefined,
  };
}

/**
 * The one spelling that stands in URLs: no leading zeroes, no fourth number that is zero, no metadata, lower case. So 1.00
 * is 1.0.0 and 1.0.0.0 is 1.0.0. `undefined` when the text is no version.
 */
export function normalVersion(text: string): string | undefined {
  const version = parseVersion(text);
  if (!version) return undefined;
  const [major, minor, patch, revision] = version.numbers;
  const labels = version.labels.length > 0 ? `-${version.labels.join('.')}` : '';
  return `${major}.${minor}.${patch}${revision ? `.${revision}` : ''}${labels}`;
}

/** Whether clients from before NuGet 4.3 can't read it: labels with dots, or metadata. */
export function isSemVer2(text: string): boolean {
  const version = parseVersion(text);
  return version !== undefined && (version.labels.length > 1 || version.metadata);
}

/** The same of a dependency's range, `[1.0.0, 2.0.0-rc.1)` for example. */
export function isSemVer2Range(range: string): boolean {
  return range.split(/[[\](),]/).some((bound) => bound !== '' && isSemVer2(bound.trim()));
}

export function isPrerelease(text: string): boolean {
  return (parseVersion(text)?.labels.length ?? 0) > 0;
}

function compareLabels(a: string, b: string): number {
  const numeric = /^\d+$/;
  if (numeric.test(a)) return numeric.test(b) ? Number(a) - Number(b) : -1;
  if (numeric.test(b)) return 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Negative when `a` comes before `b`. */
export function compareParsed(a: Version, b: Version): number {
  for (let i = 0; i < 4; i++) {
    const order = (a.numbers[i] ?? 0) - (b.numbers[i] ?? 0);
    if (order !== 0) return order;
  }
  if (a.labels.length === 0 || b.labels.length === 0) return b.labels.length - a.labels.length;
  for (let i = 0; i < Math.min(a.labels.length, b.labels.length); i++) {
    const order = compareLabels(a.labels[i] as string, b.labels[i] as string);
    if (order !== 0) return order;
  }
  return a.labels.length - b.labels.length;
}

const unknown: Version = { numbers: [0, 0, 0, 0], labels: [], metadata: false };

/** A sorted copy, lowest version first. */
export function sortByVersion<T>(items: readonly T[], versionOf: (item: T) => string): T[] {
  return items
    .map((item) => ({ item, version: parseVersion(versionOf(item)) ?? unknown }))
    .sort((a, b) => compareParsed(a.version, b.version))
    .map(({ item }) => item);
}

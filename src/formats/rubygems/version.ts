/** Version numbers, as `Gem::Version` understands them, and platforms, as `Gem::Platform` does. */

/** `Gem::Version::VERSION_PATTERN` without a dash, which RubyGems itself has replaced before a gem is built. */
export function isNumber(text: string): boolean {
  return text.length <= 128 && /^\d+(?:\.[0-9A-Za-z]+)*$/.test(text);
}

/** Goes by what a gem's file is called. */
export function isPlatform(text: string): boolean {
  return text.length <= 128 && /^[0-9A-Za-z][0-9A-Za-z._-]*$/.test(text);
}

/** As the index calls it: the platform follows unless it is `ruby`. */
export function fullVersionOf(number: string, platform: string): string {
  return platform === 'ruby' ? number : `${number}-${platform}`;
}

export function isPrereleaseNumber(number: string): boolean {
  return /[A-Za-z]/.test(number);
}

const withoutZeros = (parts: readonly string[]): readonly string[] =>
  parts.slice(0, parts.findLastIndex((part) => part !== '0') + 1);

/** `1.0.rc1` has four parts, of which the zero does not count, as it is the last one before a text (`Gem::Version#canonical_segments`). */
export function partsOf(number: string): readonly string[] {
  const parts = (number.match(/\d+|[A-Za-z]+/g) ?? []).map((part) => part.replace(/^0+(?=\d)/, ''));
  const text = parts.findIndex((part) => !/^\d/.test(part));
  if (text === -1) return withoutZeros(parts);
  return [...withoutZeros(parts.slice(0, text)), ...withoutZeros(parts.slice(text))];
}

/** Numbers are compared as numbers, and any text is less than any number. */
function comparePart(one: string, other: string): number {
  const [isNumeric, isOtherNumeric] = [/^\d/.test(one), /^\d/.test(other)];
  if (isNumeric !== isOtherNumeric) return isNumeric ? 1 : -1;
  if (isNumeric && one.length !== other.length) return one.length < other.length ? -1 : 1;
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Lowest first, as `Gem::Version#<=>` has it; 0 for all spellings of a version. */
export function compareParts(one: readonly string[], other: readonly string[]): number {
  for (let at = 0; at < Math.max(one.length, other.length); at++) {
    const order = comparePart(one[at] ?? '0', other[at] ?? '0');
    if (order !== 0) return order;
  }
  return 0;
}

/** Zeros that people put behind a version, or leave out: none that anybody was seen to write is missing. */
const mostZeros = 4;

/** The usual ways to write the same version, itself among them. */
export function spellingsOf(number: string): readonly string[] {
  const [, release = '', rest = ''] = /^([\d.]*\d)(.*)$/.exec(number) ?? [];
  const least = release.replace(/(?:\.0+)+$/, '');
  return Array.from({ length: mostZeros + 1 }, (_, zeros) => `${least}${'.0'.repeat(zeros)}${rest}`);
}

type Parts = readonly [cpu: string | null, os: string, version: string | null];

/** Systems by their names in a platform, the first that fits; what follows the name is the version. */
const systems: readonly (readonly [RegExp, string | undefined])[] = [
  [/aix(\d+)?/, 'aix'],
  [/cygwin/, 'cygwin'],
  [/darwin(\d+)?/, 'darwin'],
  [/^macruby$/, 'macruby'],
  [/freebsd(\d+)?/, 'freebsd'],
  [/hpux(\d+)?/, 'hpux'],
  [/^j(?:ava|ruby)$/, 'java'],
  [/^java([\d.]*)/, 'java'],
  [/^dalvik(\d+)?$/, 'dalvik'],
  [/^dotnet$/, 'dotnet'],
  [/^dotnet([\d.]*)/, 'dotnet'],
  [/linux-?(\w+)?/, 'linux'],
  [/mingw32/, 'mingw32'],
  [/mingw-?(\w+)?/, 'mingw'],
  [/(mswin\d+)(?:_(\d+))?/, undefined],
  [/netbsdelf/, 'netbsdelf'],
  [/openbsd(\d+\.\d+)?/, 'openbsd'],
  [/solaris(\d+\.\d+)?/, 'solaris'],
  [/wasi/, 'wasi'],
  [/^(\w+_platform)(\d+)?/, undefined],
];

/** Processor, system and version of a platform other than `ruby` (`Gem::Platform#initialize`, RubyGems 3.5). */
export function platformParts(platform: string): Parts {
  const words = platform.split('-');
  if (words.length > 2 && !/\d/.test(words.at(-1) ?? '')) words.splice(-2, 2, words.slice(-2).join('-'));
  const [first = '', ...rest] = words;
  const cpu = /i\d86/.test(first) ? 'x86' : first;
  const [second, third] = rest;
  if (second !== undefined && third !== undefined && rest.length === 2 && /^\d+(?:\.\d+)?$/.test(third)) {
    return [cpu, second, third];
  }
  const system = second ?? first;
  const own = second === undefined ? null : cpu;
  for (const [pattern, name] of systems) {
    const [found, one, two] = pattern.exec(system) ?? [];
    if (found === undefined) continue;
    if (name !== undefined) return [own, name, one ?? null];
    return [own ?? (one === 'mswin32' ? 'x86' : null), one ?? '', two ?? null];
  }
  return [own, 'unknown', null];
}

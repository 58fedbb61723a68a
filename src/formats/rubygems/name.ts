/** Names of gems, and of their files, which no rule can take apart: `foo-2-linux-1.0` has two readings. */

/** `Gem::Specification::VALID_NAME_PATTERN`; a name of dots alone is no segment of a path. */
export function isName(text: string): boolean {
  return text.length <= 255 && /^[A-Za-z0-9._-]+$/.test(text) && !/^\.+$/.test(text);
}

/** Where a gem is, by its full name. */
export function gemPath(full: string): string {
  return `gems/${full}.gem`;
}

/** One reading of `{name}-{version}[-{platform}]`. */
export interface Reading {
  readonly name: string;
  /** With the platform, as the compact index has it. */
  readonly version: string;
}

const version = /^\d+(?:\.[0-9A-Za-z]+)*(?:-[0-9A-Za-z._-]+)?$/;

/** Platforms that gems are built for: a virtual machine, or processor, system and what follows it (`Gem::Platform`). */
const platform =
  /^(?:java|jruby|dalvik\d*|dotnet\d*|macruby|mruby|ruby|truffleruby|mswin(?:32|64)?(?:-\d+)?|mingw32|(?:x86|x64|x86_64|i[3-6]86|amd64|arm|arm64|armv\w+|aarch64|universal|powerpc|ppc\w*|riscv64|s390x?|mips\w*|sparc\w*|wasm32)-(?:linux|darwin|macos|mingw|mswin|freebsd|netbsd|openbsd|dragonfly|solaris|aix|cygwin|hpux|wasi|ucrt|mingw-ucrt)[\w.-]*)$/;

function isUsual({ version: rest }: Reading): boolean {
  const dash = rest.indexOf('-');
  return dash === -1 || platform.test(rest.slice(dash + 1));
}

/**
 * Every reading of a full name, the most probable first: that of the shortest name after which version and a platform that
 * is known make up the rest. Empty if it is no full name.
 */
export function readingsOf(full: string): readonly Reading[] {
  if (!isName(full)) return [];
  const readings: Reading[] = [];
  for (let dash = full.indexOf('-', 1); dash !== -1; dash = full.indexOf('-', dash + 1)) {
    const rest = full.slice(dash + 1);
    const name = full.slice(0, dash);
    if (version.test(rest) && isName(name)) readings.push({ name, version: rest });
  }
  const usual = readings.filter(isUsual);
  const unusual = readings.filter((reading) => !isUsual(reading)).toReversed();
  return [...usual, ...unusual];
}

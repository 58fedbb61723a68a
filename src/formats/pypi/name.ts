/** Names of projects, and what names of files say. */

/** PEP 508. */
export function isName(text: string): boolean {
  return text.length <= 200 && /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/i.test(text);
}

/** PEP 503: the one spelling under which a project is asked for. */
export function normalized(name: string): string {
  return name.replace(/[-_.]+/g, '-').toLowerCase();
}

export function isNormalized(name: string): boolean {
  return isName(name) && normalized(name) === name;
}

const sourceEnding = /\.(?:tar\.(?:gz|bz2|xz|lzma|Z)|tgz|tbz|tlz|txz|tar|zip)$/i;
/** Of installers and packages from before there were wheels: the platform and the Python they are for. */
const oldEnding =
  /(?:\.(?:win32|win-amd64|win-arm64|linux-[a-z0-9_]+|macosx-[a-z0-9._]+))?(?:-py\d(?:\.\d+)?)?(?:\.(?:win32|win-amd64))?\.(?:egg|exe|msi|dmg)$/i;
const oldPackageEnding = /(?:-\d+)?(?:\.(?:src|noarch|i386|i686|x86_64))?\.(?:rpm|deb)$/i;

/** What is left when the ending is gone. */
function stemOf(file: string): string | undefined {
  for (const ending of [sourceEnding, oldEnding, oldPackageEnding]) {
    if (ending.test(file)) return file.replace(ending, '');
  }
  return undefined;
}

/** Whether it could be a distribution's file at all: what listings link to besides is no news about a project. */
export function isDistribution(file: string): boolean {
  return isWheel(file) || stemOf(file) !== undefined;
}

export function isWheel(file: string): boolean {
  return /\.whl$/i.test(file);
}

/**
 * The version in a file name of the project (normalised name), as it is spelled there. Names and versions may both have
 * hyphens in old file names, so the project's own name says where the version begins. `undefined`: nobody can tell.
 */
export function versionOf(project: string, file: string): string | undefined {
  if (isWheel(file)) {
    // PEP 427: five parts, or six with a build tag.
    const parts = file.slice(0, -'.whl'.length).split('-');
    return (parts.length === 5 || parts.length === 6) && parts[1] ? parts[1] : undefined;
  }
  const stem = stemOf(file);
  if (stem === undefined) return undefined;
  for (let dash = stem.indexOf('-'); dash > 0; dash = stem.indexOf('-', dash + 1)) {
    if (normalized(stem.slice(0, dash)) === project && dash + 1 < stem.length) return stem.slice(dash + 1);
  }
  return undefined;
}

const pep440 =
  /^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|alpha|b|beta|c|rc|pre|preview)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$/;

const stages: Readonly<Record<string, string>> = { alpha: 'a', beta: 'b', c: 'rc', pre: 'rc', preview: 'rc' };

const plain = (digits: string | undefined): string => String(BigInt(digits || '0'));

/** PEP 440: versions that are equal come to the same text. What is no such version is only written small. */
export function canonicalVersion(version: string): string {
  const small = version.trim().toLowerCase();
  // Longer than any real one; keeps the pattern cheap.
  const match = small.length <= 200 ? pep440.exec(small) : null;
  if (!match) return small;
  const [, epoch, release = '', stage, stageNumber, implicit, post, postNumber, dev, devNumber, local] = match;
  const numbers = release.split('.').map(plain);
  while (numbers.length > 1 && numbers.at(-1) === '0') numbers.pop();
  return [
    epoch === undefined || plain(epoch) === '0' ? '' : `${plain(epoch)}!`,
    numbers.join('.'),
    stage === undefined ? '' : `${stages[stage] ?? stage}${plain(stageNumber)}`,
    implicit === undefined && post === undefined ? '' : `.post${plain(implicit ?? postNumber)}`,
    dev === undefined ? '' : `.dev${plain(devNumber)}`,
    local === undefined
      ? ''
      : `+${local
          .split(/[-_.]/)
          .map((part) => (/^\d+$/.test(part) ? plain(part) : part))
          .join('.')}`,
  ].join('');
}

/** Lockfiles, manifests and lists of every kind, read into what a build will ask for. */
import { bunLock, bunLockb } from './bun-lock.ts';
import { compose } from './compose.ts';
import type { Contents } from './contents.ts';
import { cyclonedx } from './cyclonedx.ts';
import { dockerfile } from './dockerfile.ts';
import { Findings, printable } from './findings.ts';
import { gemfileLock } from './gemfile-lock.ts';
import { gradleLockfile } from './gradle-lockfile.ts';
import { gradleVerification } from './gradle-verification.ts';
import { imageList } from './image-list.ts';
import type { Kind } from './kind.ts';
import { kubernetes } from './kubernetes.ts';
import { LockfileError, limits, type ReadLockfile } from './lockfile.ts';
import { missing } from './missing.ts';
import { nugetAssets } from './nuget-assets.ts';
import { nugetLock } from './nuget-lock.ts';
import { packageLock } from './package-lock.ts';
import { packageUrlList } from './package-url-list.ts';
import { pdmLock } from './pdm-lock.ts';
import { pipfileLock } from './pipfile-lock.ts';
import { pnpmLock } from './pnpm-lock.ts';
import { poetryLock } from './poetry-lock.ts';
import { pom } from './pom.ts';
import { pylock } from './pylock.ts';
import { requirements } from './requirements.ts';
import { spdx } from './spdx.ts';
import { whatInstead } from './unread.ts';
import { uvLock } from './uv-lock.ts';
import { yarnBerryLock } from './yarn-berry-lock.ts';
import { yarnLock } from './yarn-lock.ts';

export { LockfileError, type MissedRequest, type ReadLockfile, type Skipped } from './lockfile.ts';

/** A kind of file that is read. */
export interface KnownKind {
  readonly id: string;
  /** The names by which it is recognised, for people: `package-lock.json`. */
  readonly names: readonly string[];
}

/** In the order in which they are tried, by name and then by contents: those that nothing else looks like come first. */
const readers: readonly Kind[] = [
  missing,
  yarnBerryLock,
  yarnLock,
  bunLockb,
  bunLock,
  packageLock,
  pnpmLock,
  gemfileLock,
  poetryLock,
  pdmLock,
  uvLock,
  pylock,
  pipfileLock,
  nugetLock,
  nugetAssets,
  gradleLockfile,
  gradleVerification,
  pom,
  cyclonedx,
  spdx,
  dockerfile,
  compose,
  kubernetes,
  packageUrlList,
  requirements,
  imageList,
];

export const kinds: readonly KnownKind[] = readers.map(({ id, names }) => ({ id, names }));

function readerOf(contents: Contents): Kind {
  const byName = readers.find((reader) => reader.isNamed(contents));
  if (byName) return byName;
  const instead = whatInstead(contents);
  if (instead !== undefined) throw new LockfileError(instead);
  const byContents = readers.find((reader) => reader.looksLike?.(contents));
  if (byContents) return byContents;
  throw new LockfileError('no known kind of lockfile, manifest or list, neither by its name nor by what is in it');
}

/**
 * What a lockfile asks for. `fileName` may have folders in front; it is what `from` begins with. A file that is not recognised by its
 * name is recognised by its contents. Throws `LockfileError`, and nothing else, on what can't be read.
 */
export function readLockfile(fileName: string, bytes: Uint8Array): ReadLockfile {
  const path = fileName.replaceAll('\\', '/');
  const contents: Contents = { path, name: path.split('/').at(-1) ?? '', bytes };
  const findings = new Findings(fileName);
  let kind: string | undefined;
  try {
    if (bytes.byteLength > limits.fileBytes) throw new LockfileError(`it is longer than ${limits.fileBytes} bytes`);
    const reader = readerOf(contents);
    kind = reader.id;
    reader.read(contents, findings);
    return findings.result(reader.id);
  } catch (cause) {
    const why = printable(cause instanceof Error ? cause.message : String(cause));
    const isSaid = cause instanceof LockfileError;
    const what = isSaid ? why : `it is damaged or no ${kind ?? 'lockfile'}: ${why}`;
    throw new LockfileError(`${printable(fileName)}: ${what}`, { cause });
  }
}

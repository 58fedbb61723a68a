/** What is taken out of a package when it is published: its nuspec, and the files beside it that feeds hand out by themselves. */
import { type RandomAccess, readEntry } from '../../codecs/zip-directory.ts';
import type { ReadableFile } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { type Manifest, readManifest } from './manifest.ts';

export interface PackageFile {
  readonly manifest: Manifest;
  readonly nuspec: Uint8Array;
  /** Those that the nuspec names and the package has. */
  readonly beside: readonly Beside[];
}

export interface Beside {
  readonly file: 'icon' | 'readme' | 'license';
  readonly bytes: Uint8Array;
  readonly contentType: string;
}

/** Each of them, unpacked; nuget.org takes no larger ones either. */
const longestPartBytes = 1024 * 1024;
/** SDKs and packages of native code have a few thousand. */
const mostEntries = 50_000;

function invalid(why: string, cause?: unknown): Problem {
  return new Problem('invalid_package', `This is no NuGet package that can be published: ${why}.`, { cause });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : 'it can’t be read';
}

/** Packers escape what stands in parts' names (Open Packaging Conventions), and some write the slashes of Windows. */
function spelled(name: string): string {
  const slashed = name.replaceAll('\\', '/').replace(/^(?:\.?\/)+/, '');
  try {
    return decodeURIComponent(slashed).toLowerCase();
  } catch {
    return slashed.toLowerCase();
  }
}

/** Unpacked by a client that believes it, such a file would be anywhere. */
function leavesItsFolder(name: string): boolean {
  return /^(?:[/\\]|[A-Za-z]:)/.test(name) || name.split(/[/\\]/).includes('..');
}

async function read(file: RandomAccess, isWanted: (name: string) => boolean): Promise<Uint8Array | undefined> {
  let entries = 0;
  try {
    return await readEntry(
      file,
      (name) => {
        entries += 1;
        if (entries > mostEntries) throw new Error(`the archive has more than ${mostEntries} entries`);
        if (leavesItsFolder(name)) throw new Error(`a file in the archive leads out of it: ${name.slice(0, 100)}`);
        return isWanted(name);
      },
      { maxSizeBytes: longestPartBytes },
    );
  } catch (error) {
    throw invalid(reasonOf(error), error);
  }
}

/** NuGet shows icons of these two kinds; what is neither is nobody's picture. */
function pictureType(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 8)).toString('latin1');
  if (start === '\x89PNG\r\n\x1a\n') return 'image/png';
  return start.startsWith('\xff\xd8\xff') ? 'image/jpeg' : undefined;
}

/** Throws `invalid_package` on what is no package: no archive, a damaged one, or one without a nuspec that says what it is. */
export async function readPackage(file: ReadableFile): Promise<PackageFile> {
  const nuspec = await read(file, (name) => /^[^/\\]+\.nuspec$/i.test(name));
  if (!nuspec) throw invalid('it has no nuspec');
  const manifest = readManifest(nuspec);
  const beside: Beside[] = [];
  for (const part of ['icon', 'readme', 'license'] as const) {
    const path = manifest[part];
    if (path === undefined) continue;
    const bytes = await read(file, (name) => spelled(name) === spelled(path));
    if (!bytes) continue;
    const contentType =
      part === 'icon' ? pictureType(bytes) : `text/${part === 'readme' ? 'markdown' : 'plain'}; charset=utf-8`;
    if (contentType !== undefined) beside.push({ file: part, bytes, contentType });
  }
  return { manifest, nuspec, beside };
}

/** What npm's clients ask for that find a package in a lockfile: its document, and the tarball. */
import { parseVersion } from '../../codecs/semver.ts';
import { fromIntegrity } from '../../core/digest.ts';
import { encodePath } from '../../core/path.ts';
import type { Wanted, WarmStep } from '../../core/warm.ts';
import { isObject, parseJson } from './json.ts';
import { escapeName, isName, tarballPath } from './name.ts';
import { abbreviatedType } from './packument.ts';

/** As npm, pnpm and Yarn send it when they install. */
const installAccept = `${abbreviatedType}; q=1.0, application/json; q=0.8, */*`;
const packumentBytes = 256 * 1024 * 1024;

function tarballOf(name: string, version: string, digests: WarmStep['digests'] = []): WarmStep {
  return { path: encodePath(tarballPath(name, version)), digests };
}

/** The version that is meant without a word about versions, and what the registry says of its bytes. */
function* newestIn(name: string, bytes: Uint8Array): Iterable<WarmStep> {
  const { 'dist-tags': tags, versions } = parseJson(Buffer.from(bytes));
  const latest = isObject(tags) ? tags.latest : undefined;
  const manifest = isObject(versions) && typeof latest === 'string' ? versions[latest] : undefined;
  if (typeof latest !== 'string' || !isObject(manifest)) throw new Error(`${name} has no latest version`);
  const integrity = isObject(manifest.dist) ? manifest.dist.integrity : undefined;
  yield tarballOf(name, latest, typeof integrity === 'string' ? fromIntegrity(integrity) : []);
}

/** Throws an Error on what is no package of npm's. */
export function* warm({ name, version, digests }: Wanted): Iterable<WarmStep> {
  if (!isName(name)) throw new Error(`${name} is no name of a package`);
  // npm reads all there is when it resolves, pnpm only of optional dependencies, Yarn from 2 on always.
  yield { path: escapeName(name), headers: { accept: 'application/json' }, headersOnly: true, further: true };
  const packument = { path: escapeName(name), headers: { accept: installAccept } };
  if (version === undefined) {
    yield { ...packument, read: { limit: packumentBytes, next: (bytes) => newestIn(name, bytes) } };
    return;
  }
  if (!parseVersion(version)) throw new Error(`${version} is no version of ${name}: name one`);
  yield { ...packument, headersOnly: true };
  yield tarballOf(name, version, digests);
}

/** The flat container's list of a package's versions. */
import type { DocumentType, Link } from '../../core/format.ts';
import { lowerId, nupkgPath } from './address.ts';
import { renderVersions } from './hosted.ts';
import { jsonBody, parseObject } from './json.ts';
import { normalVersion, sortByVersion } from './version.ts';

export interface VersionList {
  /** Lower case. */
  readonly id: string;
  /** Normalised; in the order in which the sources have them. */
  readonly versions: readonly string[];
}

/** The id that a path below `v3/flat/` or a registration speaks of. */
export function idIn(path: string): string {
  const id = lowerId(path.split('/')[2] ?? '');
  if (id === undefined) throw new Error('its path names no package');
  return id;
}

function decode(bytes: Uint8Array, { path }: { readonly path: string }): VersionList {
  const { versions } = parseObject(bytes);
  if (!Array.isArray(versions)) throw new Error('it has no list of versions');
  const known = new Set<string>();
  for (const version of versions) {
    if (typeof version !== 'string') throw new Error('one of its versions is no text');
    const normal = normalVersion(version);
    // What no client could ask for is nothing that there is.
    if (normal !== undefined) known.add(normal);
  }
  return { id: idIn(path), versions: [...known] };
}

function* links({ id, versions }: VersionList): Iterable<Link> {
  for (const version of versions) yield { path: nupkgPath({ id, version }), version };
}

function merge(docs: readonly VersionList[]): VersionList {
  return { id: docs[0]?.id ?? '', versions: [...new Set(docs.flatMap(({ versions }) => versions))] };
}

/** Every version there is, listed or not; lowest first. */
export const versionList: DocumentType<VersionList> = {
  id: 'versions',
  limit: 8 * 1024 * 1024,
  decode,
  links,
  merge,
  render: renderVersions,
  withhold: (doc, refused) => ({ ...doc, versions: doc.versions.filter((version) => !refused(version)) }),
  encode: ({ versions }) => jsonBody({ versions: sortByVersion(versions, (version) => version) }),
};

/**
 * What is kept of images that are pushed. Every file lies where it is read: a blob, a manifest under its digest, and the same
 * bytes once more under each tag, which may be moved.
 *
 * There is a version for every manifest, called by its sha256 digest, and one for every tag, which only points there. That is
 * what people know from other registries (a digest with its tags), a signature that nobody tagged is one too, and each
 * push writes only what is new: an image of a thousand tags is not written again with the next. A manifest's version has the
 * blobs among its files, so they go with the last manifest that needs them.
 */
import type { Digest, PackageRecord, View } from '../../core/format.ts';
import type { Descriptor } from './descriptor.ts';
import { manifestPath, readDigest } from './name.ts';

/** Facts of a manifest's version, so that nobody has to read the manifest to know them. */
export interface ManifestFacts {
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  readonly artifactType?: string;
  /** Digests of an index's children. */
  readonly manifests?: readonly string[];
  /** Digest of what it is about. */
  readonly subject?: string;
  /** Only of what is about something: lists of referrers tell them. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** When the image was made, as it says itself. */
  readonly created?: string;
}

/** Facts of a tag's version. */
export interface TagFacts {
  /** sha256. */
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  readonly created?: string;
}

/** No tag has a colon, and every digest has one. */
const isDigest = (version: string): boolean => version.includes(':');

export function* tagsOf(view: View, name: string): Generator<PackageRecord> {
  for (const record of view.records(name)) if (!isDigest(record.version)) yield record;
}

export function* manifestsOf(view: View, name: string): Generator<PackageRecord> {
  for (const record of view.records(name)) if (isDigest(record.version)) yield record;
}

export const manifestFacts = ({ facts }: PackageRecord): ManifestFacts => facts as unknown as ManifestFacts;

export const tagFacts = ({ facts }: PackageRecord): TagFacts => facts as unknown as TagFacts;

/**
 * The manifest that a tag means, the children of an index, and what was pushed about any of them: an image that is copied
 * elsewhere is whole there, and signed.
 */
export function along(view: View, name: string, version: string): readonly string[] {
  const found = new Set<string>();
  const wanted = [version];
  for (let one = wanted.pop(); one !== undefined; one = wanted.pop()) {
    // An index may list what it lists by another digest than sha256.
    const known = isDigest(one) ? view.entry(manifestPath(name, one))?.digest : one;
    const record = known === undefined ? undefined : view.record(name, known);
    if (!record || found.has(record.version)) continue;
    found.add(record.version);
    if (isDigest(one))
      wanted.push(...(manifestFacts(record).manifests ?? []), ...referrersTo(view, name, record.version));
    else wanted.push(tagFacts(record).digest);
  }
  found.delete(version);
  return [...found];
}

const referrersTo = (view: View, name: string, subject: string): readonly string[] =>
  referrersOf(view, name, subject).map(({ digest }) => digest);

/** Whether an image of this name was pushed: a layer alone makes none. */
export function hasImages(view: View, name: string): boolean {
  return view.records(name).length > 0;
}

/** What was pushed about something, as a list of referrers tells it. */
export function referrersOf(view: View, name: string, subject: string): Descriptor[] {
  const found: Descriptor[] = [];
  for (const record of manifestsOf(view, name)) {
    const { mediaType, size, artifactType, annotations, subject: about } = manifestFacts(record);
    if (about !== subject || readDigest(record.version) === undefined) continue;
    found.push({
      mediaType,
      digest: record.version,
      size,
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(annotations === undefined ? {} : { annotations }),
    });
  }
  return found;
}

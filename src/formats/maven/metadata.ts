/**
 * `maven-metadata.xml`: the versions of an artifact, the builds of a snapshot or the plugins of a group (Maven Repository
 * Metadata model 1.1). A path does not tell which, and one document may be two of them, so there is one kind.
 */
import { childOf, readXml, textAt, writeXml, type XmlElement, type XmlNode } from '../../codecs/xml.ts';
import type { Body, DocumentType, Link, Origin, Refusal } from '../../core/format.ts';
import { isSafePath } from '../../core/path.ts';
import { renderMetadata } from './hosted.ts';
import { compareVersions, isSnapshot, sortVersions } from './version.ts';

/** The newest build of one file of a snapshot. */
export interface SnapshotVersion {
  readonly classifier?: string;
  readonly extension?: string;
  readonly value?: string;
  /** `yyyyMMddHHmmss`, UTC. */
  readonly updated?: string;
}

interface Snapshot {
  /** `yyyyMMdd.HHmmss`, UTC. */
  readonly timestamp?: string;
  readonly buildNumber?: string;
}

export interface Plugin {
  readonly name?: string;
  readonly prefix?: string;
  readonly artifactId?: string;
}

export interface Metadata {
  /** What upstream said, as long as nothing was added or left out: then it is also the answer. */
  readonly raw?: Uint8Array;
  readonly modelVersion?: string;
  readonly groupId?: string;
  readonly artifactId?: string;
  readonly version?: string;
  readonly latest?: string;
  readonly release?: string;
  /** `undefined`: it has no list of them, which is not the same as an empty one. */
  readonly versions?: readonly string[];
  /** `yyyyMMddHHmmss`, UTC. */
  readonly lastUpdated?: string;
  readonly snapshot?: Snapshot;
  readonly snapshotVersions?: readonly SnapshotVersion[];
  readonly plugins?: readonly Plugin[];
}

/** The biggest known ones have a few thousand versions, some 200 kB. */
export const metadataLimit = 16 * 1024 * 1024;

/** The fields of that name that are there and not empty. */
function fieldsOf<K extends string>(
  element: XmlElement | undefined,
  names: readonly K[],
): { readonly [key in K]?: string } {
  const found: { [key in K]?: string } = {};
  for (const name of names) {
    const text = textAt(element, name);
    if (text !== undefined) found[name] = text;
  }
  return found;
}

function listAt<T>(
  element: XmlElement | undefined,
  name: string,
  item: string,
  read: (item: XmlElement) => T,
): T[] | undefined {
  return childOf(element, name)
    ?.children.filter((child) => child.name === item)
    .map(read);
}

/** Leaves out what is `undefined`, as the types want it. */
function present<T extends object>(fields: { readonly [key in keyof T]: T[key] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

/** Throws on anything that is no metadata. */
export function readMetadata(bytes: Uint8Array): Metadata {
  const root = readXml(bytes, { sizeBytes: metadataLimit });
  if (root.name !== 'metadata') throw new Error(`the document is no Maven metadata, but <${root.name}>`);
  const versioning = childOf(root, 'versioning');
  const snapshot = childOf(versioning, 'snapshot');
  return present<Metadata>({
    raw: bytes,
    modelVersion: root.attributes.modelVersion,
    ...fieldsOf(root, ['groupId', 'artifactId', 'version']),
    ...fieldsOf(versioning, ['latest', 'release', 'lastUpdated']),
    versions: listAt(versioning, 'versions', 'version', ({ text }) => text)?.filter((version) => version !== ''),
    snapshot: snapshot && fieldsOf(snapshot, ['timestamp', 'buildNumber']),
    snapshotVersions: listAt(versioning, 'snapshotVersions', 'snapshotVersion', (item) =>
      fieldsOf(item, ['classifier', 'extension', 'value', 'updated']),
    ),
    plugins: listAt(root, 'plugins', 'plugin', (item) => fieldsOf(item, ['name', 'prefix', 'artifactId'])),
  });
}

/** Each version's pom, so that policy has a version to judge and whoever walks along links has a place to begin. */
function* links(doc: Metadata, origin: Origin): Iterable<Link> {
  const folder = origin.path.slice(0, Math.max(origin.path.lastIndexOf('/'), 0));
  const artifact = folder.slice(folder.lastIndexOf('/') + 1);
  const named = [...(doc.versions ?? []), doc.release, doc.latest].filter((version) => version !== undefined);
  for (const version of new Set(named)) {
    const path = `${folder}/${version}/${artifact}-${version}.pom`;
    if (!version.includes('/') && isSafePath(path)) yield { path, version };
  }
}

const firstOf = <K extends keyof Metadata>(docs: readonly Metadata[], key: K): Metadata[K] | undefined =>
  docs.find((doc) => doc[key] !== undefined)?.[key];

/** Lists of all documents one after the other; `undefined` when none has one. */
function allOf<T>(lists: readonly (readonly T[] | undefined)[]): T[] | undefined {
  const there = lists.filter((list) => list !== undefined);
  return there.length === 0 ? undefined : there.flat();
}

/** Times of Maven's sort as text. */
function newest(times: readonly (string | undefined)[]): string | undefined {
  return times
    .filter((time) => time !== undefined)
    .toSorted()
    .at(-1);
}

const highest = (versions: readonly string[]): string | undefined => sortVersions(versions).at(-1);
const highestRelease = (versions: readonly string[]): string | undefined =>
  highest(versions.filter((version) => !isSnapshot(version)));

function byKey<T>(items: readonly T[], keyOf: (item: T) => string, isBetter: (item: T, than: T) => boolean): T[] {
  const kept = new Map<string, T>();
  for (const item of items) {
    const key = keyOf(item);
    const before = kept.get(key);
    if (before === undefined || isBetter(item, before)) kept.set(key, item);
  }
  return [...kept.values()];
}

function isNewerBuild(item: SnapshotVersion, than: SnapshotVersion): boolean {
  const [mine, other] = [item.updated ?? '', than.updated ?? ''];
  return mine === other ? compareVersions(item.value ?? '', than.value ?? '') > 0 : mine > other;
}

function isNewerSnapshot(snapshot: Snapshot, than: Snapshot): boolean {
  const [mine, other] = [snapshot.timestamp ?? '', than.timestamp ?? ''];
  return mine === other ? Number(snapshot.buildNumber ?? 0) > Number(than.buildNumber ?? 0) : mine > other;
}

const sameBytes = (a: Metadata, b: Metadata): boolean =>
  a.raw !== undefined && b.raw !== undefined && Buffer.compare(a.raw, b.raw) === 0;

function merge(all: readonly Metadata[]): Metadata {
  const docs = all.filter((doc, at) => !all.slice(0, at).some((before) => sameBytes(before, doc)));
  const [first] = docs;
  if (!first) throw new Error('there is nothing to merge');
  if (docs.length === 1) return first;
  const listed = allOf(docs.map(({ versions }) => versions));
  const versions = listed && sortVersions([...new Set(listed)]);
  const snapshots = docs.flatMap(({ snapshot }) => snapshot ?? []);
  const builds = allOf(docs.map(({ snapshotVersions }) => snapshotVersions));
  const plugins = allOf(docs.map((doc) => doc.plugins));
  const keep = (): boolean => false;
  return present<Metadata>({
    modelVersion: firstOf(docs, 'modelVersion'),
    groupId: firstOf(docs, 'groupId'),
    artifactId: firstOf(docs, 'artifactId'),
    version: firstOf(docs, 'version'),
    latest: versions?.at(-1) ?? firstOf(docs, 'latest'),
    release: versions?.findLast((version) => !isSnapshot(version)) ?? firstOf(docs, 'release'),
    versions,
    lastUpdated: newest(docs.map(({ lastUpdated }) => lastUpdated)),
    snapshot: snapshots.reduce<Snapshot | undefined>(
      (best, one) => (best === undefined || isNewerSnapshot(one, best) ? one : best),
      undefined,
    ),
    snapshotVersions:
      builds && byKey(builds, ({ classifier, extension }) => `${classifier ?? ''}\n${extension ?? ''}`, isNewerBuild),
    plugins: plugins && byKey(plugins, ({ prefix }) => prefix ?? '', keep),
    raw: undefined,
  });
}

function withhold(doc: Metadata, refused: (version: string) => Refusal | undefined): Metadata {
  const { raw: _, latest, release, ...rest } = doc;
  const isRefused = (version: string | undefined): boolean => version !== undefined && refused(version) !== undefined;
  if (![...(doc.versions ?? []), latest, release].some(isRefused)) return doc;
  const versions = doc.versions?.filter((version) => !isRefused(version));
  return present<Metadata>({
    ...rest,
    versions,
    latest: isRefused(latest) ? highest(versions ?? []) : latest,
    release: isRefused(release) ? highestRelease(versions ?? []) : release,
  });
}

const element = (name: string, content: XmlNode['content'] | undefined): XmlNode[] =>
  content === undefined ? [] : [{ name, content }];

/** In the order of the model, as Maven writes it. */
function versioningOf(doc: Metadata): XmlNode[] {
  const { snapshot, snapshotVersions, versions } = doc;
  return [
    ...element('latest', doc.latest),
    ...element('release', doc.release),
    ...(snapshot
      ? element('snapshot', [
          ...element('timestamp', snapshot.timestamp),
          ...element('buildNumber', snapshot.buildNumber),
        ])
      : []),
    ...element(
      'versions',
      versions?.map((content) => ({ name: 'version', content })),
    ),
    ...element('lastUpdated', doc.lastUpdated),
    ...element(
      'snapshotVersions',
      snapshotVersions?.map((item) => ({
        name: 'snapshotVersion',
        content: [
          ...element('classifier', item.classifier),
          ...element('extension', item.extension),
          ...element('value', item.value),
          ...element('updated', item.updated),
        ],
      })),
    ),
  ];
}

function write(doc: Metadata): Uint8Array {
  const versioning = versioningOf(doc);
  const plugins = doc.plugins?.map((item) => ({
    name: 'plugin',
    content: [
      ...element('name', item.name),
      ...element('prefix', item.prefix),
      ...element('artifactId', item.artifactId),
    ],
  }));
  return writeXml({
    name: 'metadata',
    ...(doc.modelVersion === undefined ? {} : { attributes: { modelVersion: doc.modelVersion } }),
    content: [
      ...element('groupId', doc.groupId),
      ...element('artifactId', doc.artifactId),
      ...element('version', doc.version),
      ...(versioning.length > 0 ? element('versioning', versioning) : []),
      ...element('plugins', plugins),
    ],
  });
}

function encode(doc: Metadata): Body {
  return { headers: { 'content-type': 'application/xml' }, bytes: doc.raw ?? write(doc) };
}

export const metadata: DocumentType<Metadata> = {
  id: 'metadata',
  limit: metadataLimit,
  contentType: 'application/xml',
  decode: readMetadata,
  links,
  merge,
  render(want, view) {
    const doc = renderMetadata(want, view);
    return doc && encode(doc);
  },
  withhold,
  encode,
};

/** What is published here as a Maven repository tells it: `maven-metadata.xml` at its three levels, made of files and records. */
import type { Document, Entry, PackageRecord, View } from '../../core/format.ts';
import { groupName, readPlace } from './layout.ts';
import type { Metadata, Plugin, SnapshotVersion } from './metadata.ts';
import { isSnapshot, sortVersions } from './version.ts';

/** The version under which a group's own package keeps the prefixes of its plugins. */
export const pluginsVersion = 'plugins';

/** A file of a version, and where it belongs. */
interface Placed {
  readonly entry: Entry;
  readonly classifier?: string;
  readonly extension: string;
  /** `20260102.030405` and `7` of a time-stamped build. */
  readonly timestamp?: string;
  readonly buildNumber?: number;
}

/** `yyyyMMddHHmmss`, UTC. */
const updatedAt = (iso: string): string => iso.replace(/\.\d+/, '').replace(/\D/g, '');

const build = /^(\d{8}\.\d{6})-(\d+)/;

function placeOf(entry: Entry, artifact: string, version: string): Placed | undefined {
  const { coordinates } = readPlace(entry.path);
  if (!coordinates) return undefined;
  const { classifier, extension } = coordinates;
  const file = entry.path.slice(entry.path.lastIndexOf('/') + 1);
  const stem = `${artifact}-${version.slice(0, -'SNAPSHOT'.length)}`;
  const [, timestamp, number] = (file.startsWith(stem) && build.exec(file.slice(stem.length))) || [];
  return {
    entry,
    ...(classifier === undefined ? {} : { classifier }),
    extension,
    ...(timestamp === undefined ? {} : { timestamp, buildNumber: Number(number) }),
  };
}

/** A version is there once it is described: before that its files are still arriving. */
const describes = ({ classifier, extension }: Placed): boolean =>
  classifier === undefined && (extension === 'pom' || extension === 'module');

const buildOf = ({ timestamp, buildNumber }: Placed): string => (timestamp ? `${timestamp}-${buildNumber}` : '');

function filesOf({ files, version }: PackageRecord, folder: string, artifact: string): Placed[] {
  const prefix = `${folder}/${version}/`;
  return files
    .filter(({ path }) => path.startsWith(prefix))
    .map((entry) => placeOf(entry, artifact, version))
    .filter((placed) => placed !== undefined);
}

/** Negative when `a` is the older build. Two deploys at once may have the same number; the time stamp tells them apart. */
function compareBuilds(a: Placed, b: Placed): number {
  const [mine, other] = [a.timestamp ?? '', b.timestamp ?? ''];
  if (mine !== other) return mine < other ? -1 : 1;
  return (a.buildNumber ?? 0) - (b.buildNumber ?? 0);
}

/** The builds of a snapshot. None when only files whose name says `-SNAPSHOT` are there: clients ask for those without being told. */
function renderSnapshot(record: PackageRecord, folder: string, group: string, artifact: string): Metadata | undefined {
  const { version, changedAt } = record;
  const placed = filesOf(record, folder, artifact);
  const described = new Set(placed.filter(describes).map(buildOf));
  const complete = placed.filter((one) => described.has(buildOf(one)));
  const newest = complete
    .filter(({ timestamp }) => timestamp !== undefined)
    .sort(compareBuilds)
    .at(-1);
  if (!newest) return undefined;
  const best = new Map<string, Placed>();
  for (const one of complete) {
    const key = `${one.classifier ?? ''}\n${one.extension}`;
    const before = best.get(key);
    if (!before || compareBuilds(before, one) <= 0) best.set(key, one);
  }
  return {
    modelVersion: '1.1.0',
    groupId: group,
    artifactId: artifact,
    version,
    snapshot: { timestamp: newest.timestamp ?? '', buildNumber: String(newest.buildNumber) },
    lastUpdated: updatedAt(changedAt),
    snapshotVersions: [...best.values()].map((one) => snapshotVersion(one, version)),
  };
}

function snapshotVersion(one: Placed, version: string): SnapshotVersion {
  const { classifier, extension, timestamp, entry } = one;
  const base = version.slice(0, -'SNAPSHOT'.length);
  return {
    ...(classifier === undefined ? {} : { classifier }),
    extension,
    value: timestamp === undefined ? version : `${base}${buildOf(one)}`,
    updated: timestamp === undefined ? updatedAt(entry.publishedAt) : timestamp.replace('.', ''),
  };
}

function isDescribed({ files, version }: PackageRecord, folder: string, artifact: string): boolean {
  const prefix = `${folder}/${version}/`;
  return files.some((entry) => {
    // All other files, which are most of them, need no closer look.
    if (!/\.(?:pom|module)$/.test(entry.path) || !entry.path.startsWith(prefix)) return false;
    const placed = placeOf(entry, artifact, version);
    return placed !== undefined && describes(placed);
  });
}

function renderArtifact(name: string, folder: string, view: View): Metadata | undefined {
  const artifact = folder.slice(folder.lastIndexOf('/') + 1);
  const group = name.slice(0, -artifact.length - 1);
  const isThere = (record: PackageRecord): boolean => isDescribed(record, folder, artifact);
  const versions = sortVersions(
    view
      .records(name)
      .filter(isThere)
      .map(({ version }) => version),
  );
  const latest = versions.at(-1);
  if (latest === undefined) return undefined;
  const release = versions.findLast((version) => !isSnapshot(version));
  const changedAt = view.about(name)?.changedAt;
  return {
    groupId: group,
    artifactId: artifact,
    latest,
    ...(release === undefined ? {} : { release }),
    versions,
    ...(changedAt === undefined ? {} : { lastUpdated: updatedAt(changedAt) }),
  };
}

/** Those of a group, in the order of their prefixes. */
export function pluginsOf(group: string, view: View): readonly Plugin[] {
  const { plugins } = view.record(groupName(group), pluginsVersion)?.facts ?? {};
  return Array.isArray(plugins) ? plugins : [];
}

/** `undefined`: nothing that the document is about is published here. */
export function renderMetadata({ path, name = '', version }: Document, view: View): Metadata | undefined {
  const folders = path.split('/').slice(0, -1);
  if (version !== undefined) {
    const record = view.record(name, version);
    const folder = folders.slice(0, -1).join('/');
    const [group = '', artifact = ''] = name.split(':');
    return record && renderSnapshot(record, folder, group, artifact);
  }
  const artifact = renderArtifact(name, folders.join('/'), view);
  const plugins = pluginsOf(folders.join('.'), view);
  if (plugins.length === 0) return artifact;
  return { ...artifact, plugins };
}

/** What a path says about itself. Read from its end, since a group is as deep as it likes to be. */
import { isSnapshot } from './version.ts';

export interface Coordinates {
  /** With dots. */
  readonly group: string;
  readonly artifact: string;
  /** As the folder is called: `1.0-SNAPSHOT` also for the files of a time-stamped build. */
  readonly version: string;
  readonly classifier?: string;
  /** Without its first dot; `''` when there is none. */
  readonly extension: string;
}

export interface Place {
  /** `group:artifact`, which sources may claim; a guess for files that are no artifacts, so that what lies below a claimed group is asked of nobody else. */
  readonly name?: string;
  /** What else it could be about, where its place does not say: each group that the folders may be, with what follows it. */
  readonly otherNames?: readonly string[];
  readonly coordinates?: Coordinates;
  /** The group's folder, or what is most like one. */
  readonly groupPath?: string;
  /** Whether the same path has the same bytes for ever. */
  readonly isFixed: boolean;
}

/** `20260102.030405-7`: the build that a snapshot was (Maven Resolver, SnapshotVersion). */
const stamp = /^\d{8}\.\d{6}-\d+/;
/** `plugin_2.12_1.0`: Scala's and sbt's version as part of an artifact's name (sbt 1). */
const crossBuilt = /^(.+)_\d[\w.]*_\d[\w.]*$/;
/** From the last dot on; the first part of `tar.gz` and what a signature is about belong to it. */
const extension = /\.((?:tar\.)?[\w~+-]+(?:\.asc|\.sigstore(?:\.json)?)?)$/;

/** What follows artifact and version in a file's name; `undefined` when the name does not begin with them. */
function tailOf(file: string, artifact: string, version: string): { tail: string; isFixed: boolean } | undefined {
  const exact = `${artifact}-${version}`;
  if (file.startsWith(exact) && /^(?:$|[.-])/.test(file.slice(exact.length))) {
    return { tail: file.slice(exact.length), isFixed: !isSnapshot(version) };
  }
  if (!isSnapshot(version)) return undefined;
  const stem = `${artifact}-${version.slice(0, -'SNAPSHOT'.length)}`;
  const build = file.startsWith(stem) && stamp.exec(file.slice(stem.length));
  if (!build) return undefined;
  const tail = file.slice(stem.length + build[0].length);
  return /^(?:$|[.-])/.test(tail) ? { tail, isFixed: true } : undefined;
}

/** `-sources.jar`, `.tar.gz`, `-linux-1.2-x.zip` to classifier and extension. */
function splitTail(tail: string): { readonly classifier?: string; readonly extension: string } {
  const end = extension.exec(tail);
  const rest = end ? tail.slice(0, end.index) : tail;
  const classifier = rest.replace(/^[-.]/, '');
  return { ...(classifier === '' ? {} : { classifier }), extension: end?.[1] ?? '' };
}

/**
 * `org.example/module/(scala_2.12/)(sbt_1.0/)1.0/jars/module.jar`: Ivy's layout. It keeps the dots of an organisation, which
 * no first folder of Maven's has. Gradle's is the same without folders of types: `org.example/module/1.0/ivy-1.0.xml`.
 */
function readIvy([organisation = '', module = '', ...rest]: readonly string[], file: string): Coordinates | undefined {
  while (/^(?:scala|sbt)_\d/.test(rest[0] ?? '')) rest.shift();
  const [version, type] = rest;
  if (rest.length > 2 || version === undefined) return undefined;
  if (type === undefined ? file !== `ivy-${version}.xml` : !/^[a-z-]+s$/.test(type)) return undefined;
  return { group: organisation, artifact: module, version, extension: extension.exec(file)?.[1] ?? '' };
}

function readMaven(folders: readonly string[], file: string): Place | undefined {
  const [artifact, version] = folders.slice(-2);
  const group = folders.slice(0, -2);
  if (artifact === undefined || version === undefined || group.length === 0) return undefined;
  const found = { name: `${group.join('.')}:${artifact}`, groupPath: group.join('/') };
  const short = crossBuilt.exec(artifact)?.[1];
  const tail = tailOf(file, artifact, version) ?? (short === undefined ? undefined : tailOf(file, short, version));
  if (!tail) return { ...found, ...othersThan(found.name, namesIn(folders)), isFixed: false };
  const coordinates = { group: group.join('.'), artifact, version, ...splitTail(tail.tail) };
  return { ...found, coordinates, isFixed: tail.isFixed };
}

/** `path` is decoded. Whatever fits no layout is a place without coordinates whose bytes may change. */
export function readPlace(path: string): Place {
  const folders = path.split('/');
  const file = folders.pop() ?? '';
  const first = folders[0] ?? '.';
  // What stands at the top or in a hidden folder is about the whole repository.
  if (first.startsWith('.')) return { isFixed: false };
  const maven = readMaven(folders, file);
  if (maven?.coordinates) return maven;
  if (first.includes('.') && folders.length > 1) {
    const coordinates = readIvy(folders, file);
    const found = { name: nameOf(folders.slice(0, 2)), groupPath: first };
    return coordinates
      ? { ...found, coordinates, isFixed: !isSnapshot(coordinates.version) }
      : { ...found, ...othersThan(found.name, namesIn(folders)), isFixed: false };
  }
  const name = nameOf(folders);
  return maven ?? { name, ...othersThan(name, namesIn(folders)), groupPath: first, isFixed: false };
}

export interface MetadataPlace {
  readonly name: string;
  readonly otherNames?: readonly string[];
  readonly version?: string;
}

/** The folder of a `maven-metadata.xml`: a version's if it is a snapshot's, else an artifact's, or a group's, which looks the same. */
export function readFolder(folder: string): MetadataPlace {
  const folders = folder.split('/');
  const last = folders.at(-1) ?? '';
  if (folders.length > 2 && isSnapshot(last)) return { name: nameOf(folders.slice(0, -1)), version: last };
  return { name: nameOf(folders), otherNames: [groupName(folders.join('.'))] };
}

function nameOf(folders: readonly string[]): string {
  const group = folders.slice(0, -1).join('.');
  return group === '' ? (folders[0] ?? '') : `${group}:${folders.at(-1)}`;
}

/** What is published about a group itself, the prefixes of its plugins, has the name of an artifact without one: patterns for the group fit. */
export function groupName(group: string): string {
  return `${group}:`;
}

/** One for each group that the folders may be. */
function namesIn(folders: readonly string[]): string[] {
  return folders.map((_, at) => `${folders.slice(0, at + 1).join('.')}:${folders[at + 1] ?? ''}`);
}

function othersThan(name: string, names: readonly string[]): Pick<Place, 'otherNames'> {
  return { otherNames: names.filter((one) => one !== name) };
}

/**
 * A Maven repository over the fake upstream: artifacts made in memory, folders of real ones, checksums and
 * `maven-metadata.xml` at every level, and faults that a test switches on and off.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';
import { zipSync } from 'fflate';
import { hashOf } from './bytes.ts';
import {
  type FakeUpstream,
  type FakeUpstreamOptions,
  gate,
  type Reply,
  type SeenRequest,
  startFakeUpstream,
} from './fake-upstream.ts';

export type ChecksumAlgorithm = 'md5' | 'sha1' | 'sha256' | 'sha512';

/** What a path is, for switching faults. A checksum's own file is a `checksum`, whatever it is of. */
export type FileKind = 'jar' | 'pom' | 'checksum' | 'metadata' | 'other';

/** Debian's packages of Java libraries put theirs here. */
export const debianRepository = '/usr/share/maven-repo';

export interface MavenUpstreamOptions extends FakeUpstreamOptions {
  /** Files of checksums beside each file. Default: sha1 and md5, as Maven deploys them. */
  readonly sidecars?: readonly ChecksumAlgorithm[];
  /** `named`: digest, blanks, file name, as `sha1sum` writes it; `upper`: capital letters and a newline. Default: the bare digest. */
  readonly sidecarForm?: 'bare' | 'named' | 'upper';
  /** Digests told as `X-Checksum-…` headers of every file. Default: none. */
  readonly checksumHeaders?: readonly ChecksumAlgorithm[];
  /** Default: both. */
  readonly validators?: 'both' | 'etag' | 'last-modified' | 'none';
  /** Folders in Maven's layout that are served as they are; symbolic links are followed. */
  readonly folders?: readonly string[];
  /** Path of the repository's URL, e.g. `/maven2`. Default: none. */
  readonly prefix?: string;
}

export interface NewArtifact {
  readonly group: string;
  readonly artifact: string;
  /** One that ends in `-SNAPSHOT` is stored under a time stamp, unless `literal`. */
  readonly version: string;
  /** The name of the file says `-SNAPSHOT` too. */
  readonly literal?: boolean;
  /** `group:artifact:version` each. */
  readonly dependencies?: readonly string[];
  /** Default: a jar with one text file in it. */
  readonly jar?: Buffer;
  /** Further files by what follows `artifact-version` in their name, e.g. `-sources.jar`, `.tar.gz`. */
  readonly files?: Readonly<Record<string, Buffer>>;
  /** Adds a Gradle `.module` that tells digests and size of the jar. */
  readonly gradle?: boolean;
  /** Makes it a Maven plugin of this prefix in the metadata of its group. */
  readonly pluginPrefix?: string;
}

export interface PublishedArtifact {
  /** Folder of the version; paths start with a slash and are what a client asks below the repository's URL. */
  readonly folder: string;
  readonly jar: string;
  readonly pom: string;
  /** The path of a file by what follows `artifact-version` in its name. */
  file(suffix: string): string;
  /** Metadata of this artifact. */
  readonly metadata: string;
}

export type Fault =
  | '401'
  | '403'
  | '404'
  | '410'
  | '429'
  | '500'
  | '503'
  | 'stall'
  | 'sign-in page'
  | 'wrong digest'
  | 'cut';

export interface MavenUpstream {
  readonly upstream: FakeUpstream;
  /** With the prefix, no trailing slash. */
  readonly url: string;
  publish(artifact: NewArtifact): PublishedArtifact;
  /** Puts any bytes anywhere. */
  put(path: string, bytes: Buffer): void;
  /** Forgets one file; its checksums and its place in the metadata go with it. */
  remove(path: string): void;
  /** What an honest answer for this path holds; throws when there is none. */
  bytes(path: string): Buffer;
  /** From now on every answer for such files is this. */
  misbehave(target: FileKind | ((path: string) => boolean), fault: Fault): void;
  /** From now on it is honest again. */
  heal(): void;
  /** Requests for a path, prefix left out. */
  count(path: string, method?: string): number;
  /** `GET /path` of every request so far, in order. */
  log(): string[];
}

interface StoredFile {
  readonly modified: Date;
  bytes(): Buffer;
}

interface Versions {
  readonly versions: Set<string>;
  lastUpdated: Date;
}

interface SnapshotFile {
  readonly extension: string;
  readonly classifier: string | undefined;
  readonly value: string;
  readonly updated: Date;
}

const algorithms: readonly ChecksumAlgorithm[] = ['md5', 'sha1', 'sha256', 'sha512'];
const metadataName = 'maven-metadata.xml';
const epoch = Date.UTC(2024, 0, 1, 12);

function algorithmOf(path: string): ChecksumAlgorithm | undefined {
  return algorithms.find((algorithm) => path.endsWith(`.${algorithm}`));
}

export function kindOf(path: string): FileKind {
  if (algorithmOf(path)) return 'checksum';
  if (posix.basename(path) === metadataName) return 'metadata';
  if (path.endsWith('.pom')) return 'pom';
  return path.endsWith('.jar') ? 'jar' : 'other';
}

const contentTypes: Readonly<Record<FileKind, string>> = {
  jar: 'application/java-archive',
  pom: 'text/xml',
  checksum: 'text/plain',
  metadata: 'text/xml',
  other: 'application/octet-stream',
};

/** `yyyyMMddHHmmss` in UTC. */
function compact(time: Date): string {
  return time.toISOString().replace(/[-:T]/g, '').slice(0, 14);
}

/** Numbers by value, then words, before a longer one of the same beginning; good enough for the versions of tests. */
function compareVersions(one: string, other: string): number {
  const [left, right] = [one.split(/[.-]/), other.split(/[.-]/)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [a = '', b = ''] = [left[i], right[i]];
    const order = Number(a) - Number(b) || (a < b ? -1 : a > b ? 1 : 0);
    if (order !== 0) return order;
  }
  return 0;
}

/** A jar with these files, always the same bytes for the same files. */
export function jarOf(files: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(files).map(([name, text]) => [name, Buffer.from(text)] as const);
  return Buffer.from(zipSync(Object.fromEntries(entries), { mtime: new Date(2020, 0, 1) }));
}

function pomOf({ group, artifact, version, dependencies = [], gradle }: NewArtifact): Buffer {
  const needed = dependencies.map((dependency) => {
    const [groupId, artifactId, wanted] = dependency.split(':');
    return `    <dependency><groupId>${groupId}</groupId><artifactId>${artifactId}</artifactId><version>${wanted}</version></dependency>`;
  });
  return Buffer.from(
    [
      '<?xml version="1.0" encoding="UTF-8"?>',
      '<project xmlns="http://maven.apache.org/POM/4.0.0">',
      // By this comment Gradle knows that there is a `.module`.
      ...(gradle ? ['  <!-- do_not_remove: published-with-gradle-metadata -->'] : []),
      '  <modelVersion>4.0.0</modelVersion>',
      `  <groupId>${group}</groupId>`,
      `  <artifactId>${artifact}</artifactId>`,
      `  <version>${version}</version>`,
      ...(needed.length > 0 ? ['  <dependencies>', ...needed, '  </dependencies>'] : []),
      '</project>',
      '',
    ].join('\n'),
  );
}

function gradleModuleOf({ group, artifact, version }: NewArtifact, jarName: string, jar: Buffer): Buffer {
  const digests = Object.fromEntries(algorithms.map((algorithm) => [algorithm, hashOf(jar, algorithm)]));
  const file = { name: jarName, url: jarName, size: jar.length, ...digests };
  const variant = { name: 'apiElements', attributes: { 'org.gradle.usage': 'java-api' }, files: [file] };
  return Buffer.from(
    JSON.stringify({
      formatVersion: '1.1',
      component: { group, module: artifact, version },
      variants: [variant],
    }),
  );
}

function filesBelow(folder: string, path = ''): string[] {
  return readdirSync(join(folder, path), { withFileTypes: true })
    .sort((one, other) => (one.name < other.name ? -1 : 1))
    .flatMap((entry) => {
      const name = `${path}/${entry.name}`;
      const found = entry.isSymbolicLink()
        ? statSync(join(folder, name), { throwIfNoEntry: false })
        : entry.isDirectory() || entry.isFile()
          ? entry
          : undefined;
      if (found?.isDirectory()) return filesBelow(folder, name);
      return found?.isFile() ? [name] : [];
    });
}

/** The files of a repository and everything that can be told from them. */
function repository(options: MavenUpstreamOptions) {
  const files = new Map<string, StoredFile>();
  const artifacts = new Map<string, Versions>();
  const snapshots = new Map<string, SnapshotFile[]>();
  const plugins = new Map<string, Map<string, string>>();
  let clock = epoch;

  /** What a pom's path says: there is this version, and perhaps a plugin. */
  function learn(path: string, modified: Date): void {
    const folder = posix.dirname(path);
    const [home, version] = [posix.dirname(folder), posix.basename(folder)];
    const artifact = posix.basename(home);
    if (!posix.basename(path).startsWith(`${artifact}-`)) return;
    const known = artifacts.get(home) ?? { versions: new Set(), lastUpdated: modified };
    known.versions.add(version);
    if (modified > known.lastUpdated) known.lastUpdated = modified;
    artifacts.set(home, known);
    const [, first, second] = /^(?:maven-(.+)-plugin|(.+)-maven-plugin)$/.exec(artifact) ?? [];
    const prefix = first ?? second;
    if (prefix !== undefined) addPlugin(posix.dirname(home), prefix, artifact);
  }

  function addPlugin(group: string, prefix: string, artifact: string): void {
    plugins.set(group, (plugins.get(group) ?? new Map()).set(prefix, artifact));
  }

  function add(path: string, file: StoredFile): void {
    files.set(path, file);
    if (path.endsWith('.pom')) learn(path, file.modified);
  }

  for (const folder of options.folders ?? []) {
    for (const path of filesBelow(folder)) {
      let held: Buffer | undefined;
      const modified = statSync(join(folder, path)).mtime;
      add(path, {
        modified,
        bytes: () => {
          held ??= readFileSync(join(folder, path));
          return held;
        },
      });
    }
  }

  function put(path: string, bytes: Buffer): Date {
    // Each a minute after the one before: HTTP tells time in seconds, and Maven's own metadata too.
    clock += 60_000;
    const modified = new Date(clock);
    add(path, { modified, bytes: () => bytes });
    return modified;
  }

  function publish(made: NewArtifact): PublishedArtifact {
    const { group, artifact, version, literal = false } = made;
    const home = `/${group.replaceAll('.', '/')}/${artifact}`;
    const folder = `${home}/${version}`;
    const isSnapshot = version.endsWith('-SNAPSHOT');
    let stem = `${artifact}-${version}`;
    if (isSnapshot && !literal) {
      const build = new Set((snapshots.get(folder) ?? []).map(({ value }) => value)).size + 1;
      const stamp = compact(new Date(clock + 60_000));
      stem = `${artifact}-${version.replace('SNAPSHOT', `${stamp.slice(0, 8)}.${stamp.slice(8)}-${build}`)}`;
    }
    const file = (suffix: string): string => `${folder}/${stem}${suffix}`;
    const jar = made.jar ?? jarOf({ 'made.txt': `${group}:${artifact}:${stem} at ${clock}` });
    const all: Record<string, Buffer> = {
      '.pom': pomOf(made),
      '.jar': jar,
      ...(made.gradle ? { '.module': gradleModuleOf(made, posix.basename(file('.jar')), jar) } : {}),
      ...made.files,
    };
    for (const [suffix, bytes] of Object.entries(all)) {
      const updated = put(file(suffix), bytes);
      if (!isSnapshot) continue;
      const [, classifier, extension = ''] = /^(?:-([^.]+))?\.(.+)$/.exec(suffix) ?? [];
      const value = stem.slice(artifact.length + 1);
      snapshots.set(folder, [...(snapshots.get(folder) ?? []), { extension, classifier, value, updated }]);
    }
    if (made.pluginPrefix !== undefined) addPlugin(posix.dirname(home), made.pluginPrefix, artifact);
    return { folder, jar: file('.jar'), pom: file('.pom'), file, metadata: `${home}/${metadataName}` };
  }

  function remove(path: string): void {
    files.delete(path);
    const folder = posix.dirname(path);
    if (path.endsWith('.pom')) artifacts.get(posix.dirname(folder))?.versions.delete(posix.basename(folder));
  }

  function snapshotMetadata(folder: string, found: readonly SnapshotFile[]): string[] {
    const newest = new Map(found.map((file) => [`${file.classifier ?? ''}.${file.extension}`, file]));
    const last = [...newest.values()].at(-1);
    const [, date, build] = /(\d{8}\.\d{6})-(\d+)$/.exec(last?.value ?? '') ?? [];
    return [
      `  <artifactId>${posix.basename(posix.dirname(folder))}</artifactId>`,
      `  <version>${posix.basename(folder)}</version>`,
      '  <versioning>',
      date === undefined
        ? '    <snapshot><buildNumber>1</buildNumber></snapshot>'
        : `    <snapshot><timestamp>${date}</timestamp><buildNumber>${build}</buildNumber></snapshot>`,
      `    <lastUpdated>${last ? compact(last.updated) : ''}</lastUpdated>`,
      '    <snapshotVersions>',
      ...[...newest.values()].map(
        ({ classifier, extension, value, updated }) =>
          `      <snapshotVersion>${classifier === undefined ? '' : `<classifier>${classifier}</classifier>`}<extension>${extension}</extension><value>${value}</value><updated>${compact(updated)}</updated></snapshotVersion>`,
      ),
      '    </snapshotVersions>',
      '  </versioning>',
    ];
  }

  function artifactMetadata(home: string, known: Versions): string[] {
    const versions = [...known.versions].sort(compareVersions);
    const release = versions.findLast((version) => !version.endsWith('-SNAPSHOT'));
    return [
      `  <artifactId>${posix.basename(home)}</artifactId>`,
      '  <versioning>',
      `    <latest>${versions.at(-1)}</latest>`,
      ...(release === undefined ? [] : [`    <release>${release}</release>`]),
      '    <versions>',
      ...versions.map((version) => `      <version>${version}</version>`),
      '    </versions>',
      `    <lastUpdated>${compact(known.lastUpdated)}</lastUpdated>`,
      '  </versioning>',
    ];
  }

  function pluginMetadata(known: ReadonlyMap<string, string>): string[] {
    return [
      '  <plugins>',
      ...[...known].map(
        ([prefix, artifact]) =>
          `    <plugin><name>${artifact}</name><prefix>${prefix}</prefix><artifactId>${artifact}</artifactId></plugin>`,
      ),
      '  </plugins>',
    ];
  }

  /** `folder` is what stands before `/maven-metadata.xml`. */
  function metadata(folder: string): StoredFile | undefined {
    const [known, builds, prefixes] = [artifacts.get(folder), snapshots.get(folder), plugins.get(folder)];
    if ((known?.versions.size ?? 0) + (builds?.length ?? 0) + (prefixes?.size ?? 0) === 0) return undefined;
    const group = builds ? posix.dirname(posix.dirname(folder)) : known ? posix.dirname(folder) : folder;
    const text = [
      '<?xml version="1.0" encoding="UTF-8"?>',
      '<metadata>',
      `  <groupId>${group.slice(1).replaceAll('/', '.')}</groupId>`,
      ...(builds ? snapshotMetadata(folder, builds) : known ? artifactMetadata(folder, known) : []),
      ...(prefixes ? pluginMetadata(prefixes) : []),
      '</metadata>',
      '',
    ].join('\n');
    const modified = builds?.at(-1)?.updated ?? known?.lastUpdated ?? new Date(clock);
    return { modified, bytes: () => Buffer.from(text) };
  }

  function find(path: string): StoredFile | undefined {
    const stored = files.get(path);
    if (stored) return stored;
    return posix.basename(path) === metadataName ? metadata(posix.dirname(path)) : undefined;
  }

  function sidecar(path: string): StoredFile | undefined {
    const algorithm = algorithmOf(path);
    if (!algorithm || !(options.sidecars ?? ['sha1', 'md5']).includes(algorithm)) return undefined;
    const ofPath = path.slice(0, -algorithm.length - 1);
    const of = find(ofPath);
    if (!of) return undefined;
    const digest = hashOf(of.bytes(), algorithm);
    const text =
      options.sidecarForm === 'named'
        ? `${digest}  ${posix.basename(ofPath)}\n`
        : options.sidecarForm === 'upper'
          ? `${digest.toUpperCase()}\r\n`
          : digest;
    return { modified: of.modified, bytes: () => Buffer.from(text) };
  }

  return { put, publish, remove, find: (path: string) => find(path) ?? sidecar(path) };
}

const never = gate();
const signInPage = '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in</body></html>\n';

/** Other bytes of the same length: of text that is read, still such text; of a digest, another digest. */
function spoiled(path: string, bytes: Buffer): Buffer {
  const kind = kindOf(path);
  const copy = Buffer.from(bytes);
  if (kind === 'checksum') copy.write(copy[0] === 0x30 ? '1' : '0', 0);
  else if (kind === 'pom')
    return Buffer.from(bytes.toString('latin1').replace('<project', ' <project').replace(/\s$/, ''), 'latin1');
  else copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
}

function faulty(fault: Fault, path: string, good: Reply, bytes: Buffer): Reply {
  switch (fault) {
    case '401':
      return {
        status: 401,
        headers: { 'www-authenticate': 'Basic realm="x"' },
        body: signInPage,
        contentType: 'text/html',
      };
    case '403':
    case '404':
    case '410':
    case '500':
    case '503':
      return { status: Number(fault), body: `<html>${fault}</html>`, contentType: 'text/html' };
    case '429':
      return { status: 429, headers: { 'retry-after': '1' } };
    case 'stall':
      return { holdHeaders: never };
    case 'sign-in page':
      return { body: signInPage, contentType: 'text/html' };
    case 'wrong digest':
      return { ...good, body: spoiled(path, bytes) };
    case 'cut':
      return { ...good, truncateAt: bytes.length >> 1 };
  }
}

/** Starts it; a test must close its `upstream`. */
export async function startMavenUpstream(options: MavenUpstreamOptions = {}): Promise<MavenUpstream> {
  const upstream = await startFakeUpstream(options);
  const held = repository(options);
  const prefix = options.prefix ?? '';
  const faults: { readonly applies: (path: string) => boolean; readonly fault: Fault }[] = [];

  function honest(path: string, file: StoredFile, bytes: Buffer): Reply {
    const validators = options.validators ?? 'both';
    const told = kindOf(path) === 'checksum' ? [] : (options.checksumHeaders ?? []);
    return {
      body: bytes,
      contentType: contentTypes[kindOf(path)],
      ...(validators === 'both' || validators === 'etag' ? { etag: `"${hashOf(bytes, 'sha1')}"` } : {}),
      ...(validators === 'both' || validators === 'last-modified' ? { lastModified: file.modified.toUTCString() } : {}),
      headers: Object.fromEntries(told.map((algorithm) => [`x-checksum-${algorithm}`, hashOf(bytes, algorithm)])),
    };
  }

  function pathOf(raw: string): string | undefined {
    if (!raw.startsWith(`${prefix}/`)) return undefined;
    try {
      return decodeURIComponent(raw.slice(prefix.length));
    } catch {
      return undefined;
    }
  }

  function answer(request: SeenRequest): Reply {
    const path = pathOf(request.path);
    const file = path === undefined ? undefined : held.find(path);
    const fault = path === undefined ? undefined : faults.findLast(({ applies }) => applies(path))?.fault;
    if (path === undefined || (!file && fault === undefined))
      return { status: 404, body: 'Not found', contentType: 'text/plain' };
    const bytes = file?.bytes() ?? Buffer.alloc(0);
    const good: Reply = file ? honest(path, file, bytes) : { status: 404 };
    return fault === undefined ? good : faulty(fault, path, good, bytes);
  }

  upstream.otherwise(answer);
  return {
    upstream,
    get url() {
      return `${upstream.url}${prefix}`;
    },
    publish: held.publish,
    put: held.put,
    remove: held.remove,
    bytes(path) {
      const file = held.find(path);
      if (!file) throw new Error(`The repository has no ${path}`);
      return file.bytes();
    },
    misbehave(target, fault) {
      faults.push({ applies: typeof target === 'function' ? target : (path) => kindOf(path) === target, fault });
    },
    heal() {
      faults.length = 0;
    },
    count: (path, method) =>
      upstream.requests.filter((seen) => pathOf(seen.path) === path && (method === undefined || seen.method === method))
        .length,
    log: () => upstream.requests.map((seen) => `${seen.method} ${pathOf(seen.path) ?? seen.path}`),
  };
}

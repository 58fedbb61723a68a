/** What clients send when they deploy: files one by one, each with its checksums, and metadata of their own making. */
import { parseJson } from '../../codecs/json.ts';
import { algorithmOf, type Digest } from '../../core/digest.ts';
import type {
  Body,
  Call,
  Change,
  ChangeSet,
  Decide,
  RecordChange,
  Route,
  StagedFile,
  View,
} from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { checksumTarget, readChecksum } from './checksums.ts';
import { pluginsOf, pluginsVersion } from './hosted.ts';
import { type Coordinates, groupName, readFolder, readPlace } from './layout.ts';
import { metadataLimit, type Plugin, readMetadata } from './metadata.ts';
import { pomLimit, sourceOf } from './pom.ts';
import { isSnapshot } from './version.ts';

export interface PublishOptions {
  /** Whether versions that never change are taken. */
  readonly releases: boolean;
  readonly snapshots: boolean;
  /** The content type under which the file at this path is handed out. */
  readonly contentTypeOf: (path: string) => string;
  /** Names that clients keep for themselves. */
  readonly isLocal: (path: string) => boolean;
}

const metadataFile = 'maven-metadata.xml';
/** A digest and a file name have room in it. */
const checksumLimit = 4096;
const moduleLimit = 16 * 1024 * 1024;
/** Checksums of one version that wait for their files: of a few dozen files four each. */
const maxClaims = 400;

const reply = (status: number): Body => ({ status, bytes: new Uint8Array() });
const created = reply(201);
const param = (call: Call, name: string): string => call.params[name] ?? '';

/** Facts of a version. JSON. */
interface VersionFacts {
  /** Digests that were said of files which are not here yet, by path. */
  readonly claims?: Readonly<Record<string, readonly Digest[]>>;
  /** As its pom says it. */
  readonly source?: string;
}

function factsOf(hosted: View, { name, version }: Target): VersionFacts {
  return (hosted.record(name, version)?.facts ?? {}) as VersionFacts;
}

function recordOf(version: string, { claims = {}, source }: VersionFacts): RecordChange {
  const facts = { ...(Object.keys(claims).length > 0 ? { claims } : {}), ...(source === undefined ? {} : { source }) };
  return { version, facts, ...(source === undefined ? {} : { source }) };
}

/** Where a file goes. */
interface Target {
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly coordinates: Coordinates;
  /** Never gets other bytes. */
  readonly isFixed: boolean;
}

const layout = 'GROUP/ARTIFACT/VERSION/ARTIFACT-VERSION[-CLASSIFIER].EXTENSION, or in the layout of Ivy';

function targetAt(path: string, options: PublishOptions): Target {
  const { name, coordinates, isFixed } = readPlace(path);
  if (options.isLocal(path) || name === undefined || !coordinates || checksumTarget(path)) {
    throw new Problem('bad_request', `${path} is no place for a file: artifacts are published at ${layout}.`);
  }
  const { version } = coordinates;
  if (isSnapshot(version) ? !options.snapshots : !options.releases) {
    const [takes, is] = isSnapshot(version) ? ['releases', 'a snapshot'] : ['snapshots', 'a release'];
    throw new Problem('bad_request', `This repository takes ${takes} only, and ${name} ${version} is ${is}.`);
  }
  return { path, name, version, coordinates, isFixed };
}

async function readBody(body: AsyncIterable<Uint8Array>, limit: number, what: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body) {
    size += piece.byteLength;
    if (size > limit) throw new Problem('too_large', `${what} is longer than ${limit} bytes.`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces, size);
}

/** What a file says about its version. Throws `invalid_package` on one that no client could read. */
async function sourceIn({ path, coordinates }: Target, file: StagedFile): Promise<string | undefined> {
  const { classifier, extension } = coordinates;
  if (classifier !== undefined) return undefined;
  if (extension === 'pom') return sourceOf(await file.read(0, file.size), path);
  if (extension === 'module') {
    try {
      parseJson(await file.read(0, file.size));
    } catch (cause) {
      throw new Problem('invalid_package', `${path} is no module metadata: it is not JSON.`, { cause });
    }
  }
  return undefined;
}

const limitOf = ({ classifier, extension }: Coordinates): number | undefined => {
  if (classifier !== undefined) return undefined;
  return extension === 'pom' ? pomLimit : extension === 'module' ? moduleLimit : undefined;
};

function receiveFile(options: PublishOptions): Change['receive'] {
  return async (call, body, desk): Promise<Decide> => {
    const target = targetAt(param(call, 'path'), options);
    const { path, name, version, isFixed } = target;
    const file = await desk.add(body, limitOf(target.coordinates));
    const source = await sourceIn(target, file);
    const contentType = options.contentTypeOf(path);
    return (hosted): ChangeSet => {
      const before = factsOf(hosted, target);
      const { [path]: claimed = [], ...claims } = before.claims ?? {};
      const there = hosted.entry(path);
      const isSame = there !== undefined && there.digest === file.digests[0];
      const facts: VersionFacts = { ...before, claims, ...(source === undefined ? {} : { source }) };
      return {
        name,
        put: [{ path, file, contentType, ...(isFixed ? {} : { mutable: true }) }],
        // A file that is sent once more, as after a lost answer, is no news.
        ...(isSame && claimed.length === 0 ? {} : { records: [{ ...recordOf(version, facts), files: [path] }] }),
        expect: claimed.map((digest) => ({ path, digest })),
        reply: isSame ? reply(200) : created,
      };
    };
  };
}

/** A checksum is not kept: it is what the client believes of a file. Ours is what is handed out. */
function receiveChecksum(options: PublishOptions): Change['receive'] {
  return async (call, body): Promise<Decide> => {
    const sent = param(call, 'path');
    const about = checksumTarget(sent);
    if (!about) throw new Problem('bad_request', `${sent} is no checksum.`);
    const bytes = await readBody(body, checksumLimit, sent);
    // Its document is ours, too, and has other bytes.
    if (isMetadata(about.path)) return (hosted) => nothing(about.path, hosted);
    const target = targetAt(about.path, options);
    const digest = readChecksum(bytes, about.algorithm);
    if (!digest) throw new Problem('bad_request', `There is no ${about.algorithm} in ${sent}.`);
    return (hosted) => claim(target, digest, hosted);
  };
}

function claim(target: Target, digest: Digest, hosted: View): ChangeSet {
  const { path, name, version } = target;
  if (hosted.entry(path)) return { name, expect: [{ path, digest }], reply: created };
  const facts = factsOf(hosted, target);
  const { claims = {} } = facts;
  const others = (claims[path] ?? []).filter((one) => algorithmOf(one) !== algorithmOf(digest));
  const now = { ...claims, [path]: [...others, digest] };
  if (Object.values(now).flat().length > maxClaims) {
    const files = Object.keys(claims).length;
    throw new Problem(
      'conflict',
      `${name} ${version} has checksums of ${files} files that never came: publish those first.`,
    );
  }
  return { name, records: [recordOf(version, { ...facts, claims: now })], reply: created };
}

const isMetadata = (path: string): boolean => path.endsWith(`/${metadataFile}`);
const folderOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 0));

/** What is sent about a document that is made here. It is about the group, if that is all that is known of its path. */
function nothing(path: string, hosted: View): ChangeSet {
  const { name, otherNames = [] } = readFolder(folderOf(path));
  const isKnown = (one: string): boolean => hosted.records(one).length > 0;
  return { name: isKnown(name) ? name : (otherNames.find(isKnown) ?? name), reply: created };
}

/**
 * Clients read metadata, add what they deployed and send it back: of two at once the later one would win, and through a
 * merged repository they send what is upstream's. What is published says it all, but for the prefixes of plugins.
 */
async function receiveMetadata(call: Call, body: AsyncIterable<Uint8Array>): Promise<Decide> {
  const folder = param(call, 'folder');
  const path = `${folder}/${metadataFile}`;
  const bytes = await readBody(body, metadataLimit, path);
  const group = folder.replaceAll('/', '.');
  const plugins = pluginsIn(bytes, path);
  return (hosted) => {
    const known = pluginsOf(group, hosted);
    const ours = plugins.filter(({ artifactId }) => hosted.records(`${group}:${artifactId}`).length > 0);
    const isNews = ours.some((plugin) => !known.some((one) => isSamePlugin(one, plugin)));
    if (!isNews) return plugins.length > 0 ? { name: groupName(group), reply: created } : nothing(path, hosted);
    const kept = known.filter((one) => !ours.some(({ prefix, artifactId }) => isAbout(one, prefix, artifactId)));
    const all = [...kept, ...ours].sort((a, b) => ((a.prefix ?? '') < (b.prefix ?? '') ? -1 : 1));
    return { name: groupName(group), records: [{ version: pluginsVersion, facts: { plugins: all } }], reply: created };
  };
}

const isSamePlugin = (a: Plugin, b: Plugin): boolean =>
  a.prefix === b.prefix && a.artifactId === b.artifactId && a.name === b.name;
const isAbout = (one: Plugin, prefix: string | undefined, artifactId: string | undefined): boolean =>
  one.prefix === prefix || one.artifactId === artifactId;

function pluginsIn(bytes: Uint8Array, path: string): readonly Plugin[] {
  try {
    const { plugins = [] } = readMetadata(bytes);
    return plugins.filter(({ prefix, artifactId }) => prefix !== undefined && artifactId !== undefined);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'it can not be read';
    throw new Problem('bad_request', `${path} is no Maven metadata: ${why}.`, { cause });
  }
}

/** What a path that is to be deleted is about: a file, the folder of a version, or the prefixes of a group. */
function namedByDeletion(path: string): string {
  if (isMetadata(path)) return groupName(folderOf(path).replaceAll('/', '.'));
  const { name, coordinates } = readPlace(path);
  return coordinates && name !== undefined ? name : readFolder(folderOf(path)).name;
}

const deletedPath = (call: Call): string => param(call, 'path').replace(/\/$/, '');

async function receiveDelete(call: Call): Promise<Decide> {
  const path = deletedPath(call);
  const name = namedByDeletion(path);
  const version = isMetadata(path) ? pluginsVersion : path.slice(path.lastIndexOf('/') + 1);
  return (hosted) => {
    if (hosted.entry(path)?.name === name) return deletion(name, path, hosted);
    if (hosted.record(name, version)) return { name, removes: [version], reply: reply(204) };
    throw new Problem('not_found', `${path} is neither a file that was published here nor the folder of a version.`);
  };
}

/** With its last file a version goes. */
function deletion(name: string, path: string, hosted: View): ChangeSet {
  const record = hosted.records(name).find(({ files }) => files.length === 1 && files[0]?.path === path);
  if (record) return { name, removes: [record.version], reply: reply(204) };
  return { name, drop: [path], reply: reply(204) };
}

export function publishRoutes(options: PublishOptions): readonly Route[] {
  const file = receiveFile(options);
  const checksum = receiveChecksum(options);
  const named = (path: string): Pick<Change, 'name' | 'version'> => {
    const { name, coordinates } = readPlace(path);
    return coordinates && name !== undefined ? { name, version: coordinates.version } : {};
  };
  const put = { kind: 'change', action: 'publish' } as const;
  return [
    {
      id: 'publish-metadata',
      method: 'PUT',
      path: `/{folder+}/${metadataFile}`,
      // Whether it is a group's or an artifact's it says itself.
      intent: () => ({ ...put, limit: metadataLimit, receive: receiveMetadata }),
    },
    {
      id: 'publish-checksum',
      method: 'PUT',
      path: '/{path+}',
      intent(call) {
        const target = checksumTarget(param(call, 'path'));
        if (!target) return undefined;
        const name = isMetadata(target.path) ? {} : named(target.path);
        return { ...put, ...name, limit: checksumLimit, receive: checksum };
      },
    },
    {
      id: 'publish',
      method: 'PUT',
      path: '/{path+}',
      intent: (call) => ({ ...put, ...named(param(call, 'path')), receive: file }),
    },
    {
      id: 'delete',
      method: 'DELETE',
      path: '/{path+}',
      intent: (call) => ({
        kind: 'change',
        action: 'delete',
        name: namedByDeletion(deletedPath(call)),
        limit: 0,
        receive: receiveDelete,
      }),
    },
  ];
}

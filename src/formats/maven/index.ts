/** Repositories in Maven's layout, as Maven, Gradle, sbt, coursier and Ivy read them. */
import { algorithmOf, hexOf } from '../../core/digest.ts';
import type {
  Answer,
  Artifact,
  ArtifactFacts,
  Body,
  Call,
  Checksum,
  Document,
  Format,
  Intent,
} from '../../core/format.ts';
import type { ProblemFacts } from '../../core/problem.ts';
import { checksumsOf, checksumTarget } from './checksums.ts';
import { readFolder, readPlace } from './layout.ts';
import { metadata } from './metadata.ts';
import { publishRoutes } from './publish.ts';
import { warm } from './warm.ts';

const metadataFile = 'maven-metadata.xml';

function absent(message: string): Answer {
  const headers = { 'content-type': 'text/plain; charset=utf-8' };
  return { kind: 'answer', body: { status: 404, headers, bytes: Buffer.from(`${message}\n`) } };
}

/** Listings are pages about upstream's own addresses. Clients that look for versions in them (coursier with Ivy's layout) find none. */
const folder = absent('This is a folder. Files are passed on, listings are not: ask for a file below it.');
/** A list of all prefixes there are: with that of one upstream, Maven 4 would not even ask for what the others have. */
const prefixes = absent('This repository has no list of what it holds: ask for what you need.');
const local = absent('Clients keep files of this name for themselves. It is never found in a repository.');
const checksumOfChecksum = absent('This is the checksum of a checksum, which nobody makes.');

/** What Maven and Ivy leave in their local repositories (Maven Resolver, EnhancedLocalRepositoryManager and UpdateCheckManager). */
const localNames =
  /(?:^|\/)(?:resolver-status\.properties|m2e-lastUpdated\.properties|_(?:remote|maven)\.repositories|[^/]*\.lastUpdated)$/;
const localMetadata = /(?:^|\/)maven-metadata-[^/]+\.xml$/;

function isLocal(path: string): boolean {
  if (localNames.test(path)) return true;
  return localMetadata.test(path) && !readPlace(path).coordinates;
}

const contentTypes: Readonly<Record<string, string>> = {
  pom: 'application/xml',
  xml: 'application/xml',
  module: 'application/json',
  json: 'application/json',
  jar: 'application/java-archive',
  war: 'application/java-archive',
  ear: 'application/java-archive',
  aar: 'application/java-archive',
  zip: 'application/zip',
  gz: 'application/gzip',
  tgz: 'application/gzip',
  asc: 'application/pgp-signature',
};

/** `undefined`: as whoever has the file says. */
function contentTypeOf(path: string): string | undefined {
  const extension = extensionOf(path);
  return Object.hasOwn(contentTypes, extension) ? contentTypes[extension] : undefined;
}

const extensionOf = (path: string): string => path.slice(path.lastIndexOf('.') + 1).toLowerCase();

const isPage = (contentType: string): boolean => /^(?:text\/html|application\/xhtml\+xml)$/.test(contentType);
const noPage = (contentType: string): boolean => !isPage(contentType);
const noMessage = (contentType: string): boolean =>
  !isPage(contentType) && !/^application\/(?:[\w.-]+\+)?json$/.test(contentType);

/** Sign-in pages and error messages come with status 200 as well (dzikoysk/reposilite#799). */
function acceptsFor(extension: string): Pick<Artifact, 'accepts'> {
  if (/^x?html?$/.test(extension)) return {};
  return { accepts: /^(?:pom|[jwea]ar|zip|t?gz|asc)$/.test(extension) ? noMessage : noPage };
}

/** Clients check signatures by themselves and ask for no checksum of one (Maven Resolver, aether.checksums.omitChecksumsForExtensions). */
const signature = /\.(?:asc|sigstore(?:\.json)?)$/;

function fileAt(path: string): Artifact {
  const { name, otherNames, coordinates, groupPath, isFixed } = readPlace(path);
  const contentType = contentTypeOf(path);
  return {
    kind: 'artifact',
    path,
    ...(name === undefined ? {} : { name }),
    ...(otherNames === undefined ? {} : { otherNames }),
    ...(coordinates ? { version: coordinates.version } : {}),
    freshness: isFixed ? 'immutable' : 'revalidate',
    ...(contentType === undefined ? {} : { contentType }),
    ...acceptsFor(extensionOf(path)),
    ...(groupPath === undefined ? {} : { group: groupPath }),
    ...(signature.test(path) ? {} : { checksums: checksumsOf(path) }),
  };
}

function metadataIn(folderPath: string): Document {
  return { kind: 'document', type: metadata, path: `${folderPath}/${metadataFile}`, ...readFolder(folderPath) };
}

function param(call: Call, name: string): string {
  return call.params[name] ?? '';
}

function readChecksum(call: Call): Intent | undefined {
  const target = checksumTarget(param(call, 'path'));
  if (!target) return undefined;
  const { path, algorithm } = target;
  if (isLocal(path)) return local;
  if (checksumTarget(path)) return checksumOfChecksum;
  const of = path.endsWith(`/${metadataFile}`)
    ? metadataIn(path.slice(0, -metadataFile.length - 1))
    : // Old clients do ask for the checksum of a signature, and where there is one it is told beside it.
      { ...fileAt(path), checksums: checksumsOf(path) };
  return { kind: 'checksum', of, algorithm } satisfies Checksum;
}

function readFile(call: Call): Intent {
  const path = param(call, 'path');
  if (path.endsWith('/')) return folder;
  return isLocal(path) ? local : fileAt(path);
}

/** The names under which Maven Resolver, Gradle and coursier know a digest that comes with the file; saves them the request for it. */
function artifactHeaders(_want: Artifact, { digests }: ArtifactFacts): Readonly<Record<string, string>> {
  const sha1 = digests.find((digest) => algorithmOf(digest) === 'sha1');
  return {
    ...Object.fromEntries(digests.map((digest) => [`x-checksum-${algorithmOf(digest)}`, hexOf(digest)])),
    ...(sha1 === undefined ? {} : { etag: `"{SHA1{${hexOf(sha1)}}}"` }),
  };
}

/**
 * Maven Resolver from 2.0.2 and 1.9.24 on prints title and detail of problem details (RFC 9457). Older ones, Gradle and Ivy print the
 * status line and nothing else.
 */
function problem({ status, code, message }: ProblemFacts): Body {
  const title = code.charAt(0).toUpperCase() + code.slice(1).replaceAll('_', ' ');
  return {
    status,
    reason: message,
    headers: { 'content-type': 'application/problem+json' },
    bytes: Buffer.from(`${JSON.stringify({ title, status, detail: message, code })}\n`),
  };
}

interface Options {
  /** Kinds of versions that may be published; what is there is read all the same. */
  readonly releases: boolean;
  readonly snapshots: boolean;
}

function configure(options: Readonly<Record<string, unknown>>): Format {
  const { releases = true, snapshots = true, ...unknown } = options;
  const [other] = Object.keys(unknown);
  if (other !== undefined) throw new Error(`there is no option ${other}; there are releases and snapshots`);
  if (typeof releases !== 'boolean') throw new Error('releases is true or false');
  if (typeof snapshots !== 'boolean') throw new Error('snapshots is true or false');
  return formatWith({ releases, snapshots });
}

function formatWith(options: Options): Format {
  return {
    id: 'maven',
    digests: ['sha1', 'md5', 'sha512'],
    artifactHeaders,
    // sbt and coursier send credentials only to the realm they were told: it is never to change.
    auth: { from: ['basic', 'bearer'], challenge: () => 'Basic realm="Larder"' },
    routes: [
      { id: 'root', method: 'GET', path: '/', intent: () => folder },
      { id: 'prefixes', method: 'GET', path: '/.meta/{path+}', intent: () => prefixes },
      {
        id: 'metadata',
        method: 'GET',
        path: `/{folder+}/${metadataFile}`,
        intent: (call) => metadataIn(param(call, 'folder')),
      },
      { id: 'checksum', method: 'GET', path: '/{path+}', intent: readChecksum },
      { id: 'file', method: 'GET', path: '/{path+}', intent: readFile },
      ...publishRoutes({
        ...options,
        isLocal,
        contentTypeOf: (path) => contentTypeOf(path) ?? 'application/octet-stream',
      }),
    ],
    documents: [metadata],
    problem,
    warm,
    configure,
  };
}

export const format: Format = configure({});

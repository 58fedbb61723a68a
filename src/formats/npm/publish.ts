/** What arrives when a package is published: checked against what the package says of itself. */
import { parseVersion } from '../../codecs/semver.ts';
import { type Digest, firstMismatch, fromIntegrity, parseDigest } from '../../core/digest.ts';
import type { ChangeSet, Decide, Desk, StagedFile, View } from '../../core/format.ts';
import { nameOfIdentity } from '../../core/identity.ts';
import { Problem } from '../../core/problem.ts';
import { aboutFacts, isVisibility, ownerOf, shownTags, type VersionFacts } from './hosted.ts';
import { isObject, type Json, jsonBody, parseJson } from './json.ts';
import { isNewName, tarballPath } from './name.ts';
import { readTarball, type TarballFacts } from './tarball.ts';

export interface Attachment {
  /** As the client calls it, with a scope and its slash. */
  readonly key: string;
  readonly file: StagedFile;
}

/** Characters of a readme that are kept, as on the public registry. */
const longestReadme = 64 * 1024;
/** Bytes of what is kept of one version. */
const largestFacts = 2 * 1024 * 1024;

function malformed(message: string): Problem {
  return new Problem('bad_request', message);
}

function invalid(message: string): Problem {
  return new Problem('invalid_package', message);
}

export function objectIn(json: Json, key: string): Json {
  const value = Object.hasOwn(json, key) ? json[key] : undefined;
  return isObject(value) ? value : {};
}

/** npm drops build metadata and a leading `v` where it writes the document, and not in the package. */
function plainVersion(version: string): string {
  return version
    .trim()
    .replace(/^[v=\s]+/, '')
    .replace(/\+.*$/, '');
}

/** Two versions that differ in nothing else are the same one to clients. */
const withoutBuild = (version: string): string =>
  version.includes('+') ? version.slice(0, version.indexOf('+')) : version;

const strictVersion = /^\d+\.\d+\.\d+(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;

function isVersion(text: string): boolean {
  return text.length <= 256 && strictVersion.test(text) && parseVersion(text) !== undefined;
}

/** What reads as a version or a range would be taken for one. */
export function isTag(text: string): boolean {
  if (!/^[A-Za-z0-9_.~!*'()-]{1,128}$/.test(text) || text === '__proto__' || /^\.+$/.test(text)) return false;
  return !/^[~v]*(?:\d+|[xX*])(?:\.(?:\d+|[xX*])){0,2}(?:[-+].*)?$/.test(text);
}

function checkName(name: string, hosted: View): void {
  if (hosted.about(name) || isNewName(name)) return;
  throw invalid(
    `${name} can't be the name of a new package: lower case letters, digits, dots, hyphens and underscores can, and no dot or underscore in front.`,
  );
}

/** The version that the client's document describes and the package names. */
function versionIn(document: Json, { manifest }: TarballFacts): { readonly version: string; readonly told: Json } {
  const versions = objectIn(document, 'versions');
  const packed = plainVersion(manifest.version);
  for (const [version, told] of Object.entries(versions)) {
    if (plainVersion(version) !== packed || !isObject(told)) continue;
    if (!isVersion(version)) break;
    if (told.version !== undefined && plainVersion(String(told.version)) !== packed) break;
    return { version, told };
  }
  throw invalid(
    `The package.json in the package says version ${JSON.stringify(manifest.version.slice(0, 100))}; the request publishes ${
      Object.keys(versions).slice(0, 3).join(', ').slice(0, 300) || 'no version'
    }.`,
  );
}

/** Digests that the client claims must be those of what arrived. */
function checkDigests(told: Json, file: StagedFile): void {
  const { integrity, shasum } = objectIn(told, 'dist');
  const claimed: Digest[] = typeof integrity === 'string' ? fromIntegrity(integrity) : [];
  const sha1 = typeof shasum === 'string' ? parseDigest(`sha1:${shasum}`) : undefined;
  const known = [...claimed, ...(sha1 ? [sha1] : [])].filter((digest) =>
    file.digests.some((one) => one.slice(0, one.indexOf(':')) === digest.slice(0, digest.indexOf(':'))),
  );
  const mismatch = firstMismatch(known, file.digests);
  if (!mismatch) return;
  throw new Problem(
    'digest_mismatch',
    `The package that arrived is ${mismatch.actual}, and not ${mismatch.expected} as announced.`,
  );
}

/**
 * What resolves dependencies is believed only of the package itself: a client that tells the registry other ones than it packed
 * would have people install what they can't see.
 */
const fromPackage = [
  'dependencies',
  'optionalDependencies',
  'devDependencies',
  'peerDependencies',
  'peerDependenciesMeta',
  'bundleDependencies',
  'bundledDependencies',
  'engines',
  'os',
  'cpu',
  'libc',
] as const;
/** Made here, or of the publisher's machine. */
const notKept = new Set([
  ...fromPackage,
  'dist',
  'readme',
  '_id',
  '_rev',
  '_attachments',
  '_npmUser',
  '_resolved',
  '_from',
  '_integrity',
  '_shasum',
  'deprecated',
  'hasInstallScript',
  '_hasShrinkwrap',
  '__proto__',
]);

const installScripts = ['preinstall', 'install', 'postinstall'];

function manifestOf(told: Json, packed: TarballFacts): Json {
  const { manifest, hasGypFile, hasShrinkwrap } = packed;
  const kept = Object.fromEntries(Object.entries(told).filter(([field]) => !notKept.has(field)));
  const own = Object.fromEntries(
    fromPackage.flatMap((field) => (Object.hasOwn(manifest, field) ? [[field, manifest[field]]] : [])),
  );
  const scripts = objectIn(manifest, 'scripts');
  const runsScripts =
    installScripts.some((script) => Boolean(scripts[script])) || (hasGypFile && manifest.gypfile !== false);
  return {
    ...kept,
    ...own,
    ...(runsScripts ? { hasInstallScript: true } : {}),
    _hasShrinkwrap: hasShrinkwrap,
  };
}

type Attestation = NonNullable<VersionFacts['attestations']>[number];

/** The bundle that npm sends along: an in-toto statement that must be about this very package. */
function attestationIn(data: unknown, name: string, version: string, file: StagedFile): Attestation {
  const refuse = (why: string): never => {
    throw invalid(`The attestation that came with the package ${why}.`);
  };
  try {
    const bundle = parseJson(String(data));
    const payload = objectIn(bundle, 'dsseEnvelope').payload;
    const statement = parseJson(Buffer.from(typeof payload === 'string' ? payload : '', 'base64'));
    const subjects = Array.isArray(statement.subject) ? statement.subject.filter(isObject) : [];
    const sha512 = file.digests.find((digest) => digest.startsWith('sha512:'));
    const isAbout = subjects.some((subject) => {
      const digest = objectIn(subject, 'digest').sha512;
      const [, purl = ''] = /^pkg:npm\/(.+)$/.exec(String(subject.name)) ?? [];
      return `sha512:${digest}` === sha512 && decodeURIComponent(purl) === `${name}@${version}`;
    });
    if (!isAbout) refuse(`is not about ${name}@${version} with these bytes`);
    return { predicateType: String(statement.predicateType ?? ''), bundle };
  } catch (error) {
    if (error instanceof Problem) throw error;
    return refuse('is no Sigstore bundle');
  }
}

function attestationsIn(document: Json, name: string, version: string, file: StagedFile): readonly Attestation[] {
  return Object.entries(objectIn(document, '_attachments')).flatMap(([key, attachment]) =>
    key.endsWith('.sigstore') && isObject(attachment) ? [attestationIn(attachment.data, name, version, file)] : [],
  );
}

function sourceOf(manifest: Json): string | undefined {
  const { repository } = manifest;
  const url = isObject(repository) ? repository.url : repository;
  return typeof url === 'string' && url !== '' ? url.replace(/^git\+/, '') : undefined;
}

/** Where the client would have the tags; only those of this very version. */
function newTags(document: Json, version: string): readonly string[] {
  const tags = Object.entries(objectIn(document, 'dist-tags'))
    .filter(([, target]) => target === version)
    .map(([tag]) => tag);
  const odd = tags.find((tag) => !isTag(tag));
  if (odd !== undefined) {
    throw malformed(
      `${JSON.stringify(odd.slice(0, 100))} can't be a dist-tag: it reads as a version, or has characters that an address can't have.`,
    );
  }
  return tags.length > 0 ? tags : ['latest'];
}

function readmeOf(document: Json, told: Json): { readonly readme?: string; readonly readmeFilename?: string } {
  const [readme] = [told.readme, document.readme].filter((text) => typeof text === 'string' && text !== '');
  const { readmeFilename } = told;
  return {
    ...(typeof readme === 'string' ? { readme: readme.slice(0, longestReadme) } : {}),
    ...(typeof readmeFilename === 'string' ? { readmeFilename: readmeFilename.slice(0, 256) } : {}),
  };
}

/** One new version; `document` is everything but the package. */
export async function receiveVersion(
  name: string,
  document: Json,
  attachments: readonly Attachment[],
  desk: Desk,
): Promise<Decide> {
  const [attachment, ...others] = attachments;
  if (!attachment || others.length > 0) throw malformed('One package is published with one request.');
  const { key, file } = attachment;
  if (document.name !== undefined && document.name !== name) {
    throw malformed(`The request is about ${name}, and its body about another package.`);
  }
  checkName(name, desk.hosted);
  const { length } = objectIn(objectIn(document, '_attachments'), key);
  if (typeof length === 'number' && length !== file.size) {
    throw malformed(`The package is announced with ${length} bytes, and ${file.size} arrived.`);
  }
  const packed = await readTarball(file);
  if (packed.manifest.name !== name) {
    throw invalid(
      `The package.json in the package names ${JSON.stringify(packed.manifest.name.slice(0, 300))}, and not ${name}.`,
    );
  }
  const { version, told } = versionIn(document, packed);
  checkDigests(told, file);
  const attestations = attestationsIn(document, name, version, file);
  const manifest = manifestOf(told, packed);
  const facts: VersionFacts = {
    manifest,
    fileCount: packed.fileCount,
    unpackedSize: packed.unpackedSize,
    by: desk.by.name ?? nameOfIdentity(desk.by),
    ...(attestations.length > 0 ? { attestations } : {}),
  };
  if (JSON.stringify(facts).length > largestFacts) throw invalid(`The package.json of ${name} is too large.`);
  const tags = newTags(document, version);
  const readme = readmeOf(document, told);
  // pnpm asks for the file without build metadata.
  const paths = [...new Set([version, withoutBuild(version)])].map((text) => tarballPath(name, text));
  const source = sourceOf(manifest);

  return (hosted): ChangeSet => {
    const same = hosted.records(name).find((record) => withoutBuild(record.version) === withoutBuild(version));
    if (same && (!hosted.overwrites || same.version !== version)) {
      throw new Problem(
        'conflict',
        `You cannot publish over the previously published versions: ${name}@${same.version} is there since ${same.publishedAt}.`,
      );
    }
    const before = aboutFacts(hosted, name);
    const owner = ownerOf(desk.by);
    const moved = Object.fromEntries(tags.map((tag) => [tag, version]));
    // A package always has a `latest`: clients without a range ask for it.
    const all: Record<string, string> = { latest: version, ...shownTags(hosted, name), ...before?.tags, ...moved };
    const access = before?.access ?? (isVisibility(document.access) ? document.access : undefined);
    const shown =
      all.latest === version
        ? readme
        : {
            ...(before?.readme === undefined ? {} : { readme: before.readme }),
            ...(before?.readmeFilename === undefined ? {} : { readmeFilename: before.readmeFilename }),
          };
    return {
      name,
      put: paths.map((path) => ({ path, file, contentType: 'application/octet-stream' })),
      records: [{ version, facts: { ...facts }, files: paths, ...(source === undefined ? {} : { source }) }],
      about: {
        tags: all,
        owners: before?.owners ?? (owner ? [owner] : []),
        ...(access === undefined ? {} : { access }),
        ...shown,
      },
      reply: { ...jsonBody({ ok: true, success: true, id: name }), status: 201 },
    };
  };
}

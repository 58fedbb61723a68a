/** Manifests and tags that come, and manifests, tags and blobs that go (distribution specification 1.1, "Push", "Content Management"). */
import { digestOf } from '../../core/digest.ts';
import type { Body, Call, Change, ChangeSet, Decide, Desk, Digest, RecordChange, View } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { matchesName } from '../../core/repository.ts';
import type { Descriptor } from './descriptor.ts';
import { type ManifestFacts, manifestsOf, type TagFacts, tagFacts, tagsOf } from './hosted.ts';
import { isObject, parseJson } from './json.ts';
import { type Manifest, manifestLimit, readManifest } from './manifest.ts';
import { imageConfigTypes, isForeign, isManifestType, mediaTypeOf } from './media-types.ts';
import { blobPath, isTag, locationOf, manifestPath, readDigest } from './name.ts';
import { type RegistryCode, registryProblem } from './problem.ts';

const sourceAnnotation = 'org.opencontainers.image.source';
const createdAnnotation = 'org.opencontainers.image.created';

/** More tags than one request may set; the specification asks for ten at least. */
const mostTags = 100;

const invalid = (code: RegistryCode, message: string, detail: unknown = null): Problem =>
  registryProblem('bad_request', [{ code, message, detail }]);

/** Where a manifest goes, as the address says it. */
interface Target {
  readonly name: string;
  readonly tags: readonly string[];
  /** That the client calls it by. */
  readonly digest?: Digest;
  /** Of the tags those that were set by a query. */
  readonly extra: readonly string[];
}

/** `PUT /{name}/manifests/{tag or digest}`; with a digest, tags may be asked for by `?tag=`. */
export function putManifest(name: string, reference: string, immutableTags: readonly string[]): Change {
  return {
    kind: 'change',
    action: 'publish',
    name,
    version: reference,
    limit: manifestLimit,
    receive: receiveWith(immutableTags),
  };
}

/** One function for each list, so that the same request means the same. */
function receiveWith(immutableTags: readonly string[]): Change['receive'] {
  const known = receivers.get(immutableTags);
  if (known) return known;
  const receive: Change['receive'] = (call, body, desk) => receiveManifest(call, body, desk, immutableTags);
  receivers.set(immutableTags, receive);
  return receive;
}

const receivers = new WeakMap<readonly string[], Change['receive']>();

function targetOf({ params, query }: Call): Target {
  const { name = '', reference = '' } = params;
  if (!reference.includes(':')) return { name, tags: [reference], extra: [] };
  const digest = readDigest(reference);
  if (!digest) throw invalid('DIGEST_INVALID', `${reference.slice(0, 150)} is no digest that can be checked.`);
  const extra = [...new Set(query.getAll('tag'))];
  for (const tag of extra) {
    if (!isTag(tag)) throw invalid('MANIFEST_INVALID', `${tag.slice(0, 150)} can't be a tag.`);
  }
  if (extra.length > mostTags) throw invalid('MANIFEST_INVALID', `No more than ${mostTags} tags can be set at once.`);
  return { name, digest, tags: extra, extra };
}

async function receiveManifest(
  call: Call,
  body: AsyncIterable<Uint8Array>,
  desk: Desk,
  immutableTags: readonly string[],
): Promise<Decide> {
  const target = targetOf(call);
  const bytes = await readAll(body);
  const manifest = manifestIn(bytes, call.headers['content-type']);
  if (target.digest && digestOf(bytes, target.digest.startsWith('sha512:') ? 'sha512' : 'sha256') !== target.digest) {
    throw invalid('DIGEST_INVALID', `The manifest that was sent has another digest than ${target.digest}.`);
  }
  const file = await desk.add(bytes, manifestLimit);
  const digest = digestOf(bytes);
  const told = await toldBy(manifest, target.name, desk);
  const reply = replyTo(call.base, target, digest, manifest);
  return (hosted) => {
    refuseIncomplete(hosted, target.name, manifest);
    for (const tag of target.tags) refuseMove(hosted, target.name, tag, digest, immutableTags);
    return changeFor({ target, manifest, digest, told, immutableTags }, file, reply);
  };
}

async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > manifestLimit) {
      throw new Problem('too_large', `A manifest may have ${manifestLimit} bytes: clients read no more.`);
    }
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks, size);
}

/** What was sent as something else than a manifest may still be one: curl calls everything a form. */
function manifestIn(bytes: Uint8Array, contentType: string | undefined): Manifest {
  const type = mediaTypeOf(contentType);
  try {
    if (type !== '' && !isManifestType(type)) throw new Error(`${type} is the content type of no manifest`);
    return readManifest(bytes, type);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw invalid('MANIFEST_INVALID', `This manifest can't be pushed: ${reason}.`);
  }
}

/** What an image says of itself. */
interface Told {
  readonly created?: string;
  readonly source?: string;
}

/** From the annotations; else from the config, which is here already when its manifest comes. */
async function toldBy({ annotations, config }: Manifest, name: string, desk: Desk): Promise<Told> {
  const { [createdAnnotation]: created, [sourceAnnotation]: source } = annotations;
  const inside = created !== undefined && source !== undefined ? {} : await toldByConfig(config, name, desk);
  return { ...inside, ...(created ? { created } : {}), ...(source ? { source } : {}) };
}

async function toldByConfig(config: Descriptor | undefined, name: string, desk: Desk): Promise<Told> {
  const digest = config && readDigest(config.digest);
  if (!digest || !imageConfigTypes.includes(config.mediaType)) return {};
  const file = await desk.open(blobPath(name, digest));
  if (!file || file.size > manifestLimit) return {};
  try {
    const json = parseJson(await file.read(0, file.size));
    const labels = isObject(json.config) && isObject(json.config.Labels) ? json.config.Labels : {};
    const source = labels[sourceAnnotation];
    return {
      ...(typeof json.created === 'string' && json.created ? { created: json.created } : {}),
      ...(typeof source === 'string' && source ? { source } : {}),
    };
  } catch {
    // It is nobody's business here whether a config can be read.
    return {};
  }
}

/** Everything that an image consists of is here, for good, before the image is. What it is about need not be ("Pushing Manifests with Subject"). */
function refuseIncomplete(hosted: View, name: string, { blobs, manifests }: Manifest): void {
  const missing = new Map<string, string>();
  for (const { digest: text, mediaType } of blobs) {
    if (isForeign(mediaType)) continue;
    const digest = readDigest(text);
    if (!digest || !hosted.entry(blobPath(name, digest))) missing.set(text, 'blob');
  }
  for (const { digest: text } of manifests) {
    const digest = readDigest(text);
    if (!digest || !hosted.entry(manifestPath(name, digest))) missing.set(text, 'manifest');
  }
  if (missing.size === 0) return;
  throw registryProblem(
    'bad_request',
    [...missing].map(([digest, what]) => ({
      code: 'MANIFEST_BLOB_UNKNOWN',
      message: `The ${what} ${digest} was not pushed to ${name}: it has to be before the manifest that names it.`,
      detail: { digest },
    })),
  );
}

/** Of a tag's path, whether the tag may not be moved. */
export function stays(path: string, patterns: readonly string[]): boolean {
  const [, tag] = /\/manifests\/([^/:]+)$/.exec(path) ?? [];
  return tag !== undefined && isImmutable(tag, patterns);
}

const isImmutable = (tag: string, patterns: readonly string[]): boolean =>
  patterns.some((pattern) => matchesName(pattern, tag));

function refuseMove(hosted: View, name: string, tag: string, digest: Digest, immutable: readonly string[]): void {
  const before = hosted.entry(manifestPath(name, tag));
  if (!before || before.digest === digest || hosted.overwrites || !isImmutable(tag, immutable)) return;
  throw new Problem(
    'conflict',
    `The tag ${tag} of ${name} is ${before.digest} for good, and can't be moved: push another tag.`,
  );
}

interface Arrived {
  readonly target: Target;
  readonly manifest: Manifest;
  /** sha256. */
  readonly digest: Digest;
  readonly told: Told;
  readonly immutableTags: readonly string[];
}

function changeFor(
  { target, manifest, digest, told, immutableTags }: Arrived,
  file: Awaited<ReturnType<Desk['add']>>,
  reply: Body,
): ChangeSet {
  const { name, tags } = target;
  const { mediaType, subject, artifactType, annotations, manifests, blobs, bytes } = manifest;
  const { created, source } = told;
  const size = bytes.byteLength;
  const paths = [...new Set([digest, target.digest ?? digest])].map((one) => manifestPath(name, one));
  const parts = blobs.filter((one) => !isForeign(one.mediaType)).map((one) => blobPath(name, one.digest));
  const facts: ManifestFacts = {
    mediaType,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifests.length > 0 ? { manifests: manifests.map((one) => one.digest) } : {}),
    ...(subject ? { subject: subject.digest } : {}),
    ...(subject && Object.keys(annotations).length > 0 ? { annotations } : {}),
    ...(created === undefined ? {} : { created }),
  };
  const pointing: TagFacts = { digest, mediaType, size, ...(created === undefined ? {} : { created }) };
  const common = source === undefined ? {} : { source };
  const records: RecordChange[] = [
    { version: digest, facts: { ...facts }, files: [...paths, ...new Set(parts)], ...common },
    ...tags.map((tag) => ({ version: tag, facts: { ...pointing }, files: [manifestPath(name, tag)], ...common })),
  ];
  return {
    name,
    put: [
      ...paths.map((path) => ({ path, file, contentType: mediaType })),
      ...tags.map((tag) => ({
        path: manifestPath(name, tag),
        file,
        contentType: mediaType,
        ...(isImmutable(tag, immutableTags) ? {} : { mutable: true }),
      })),
    ],
    records,
    reply,
  };
}

function replyTo(
  base: string,
  { name, digest: asked, tags, extra }: Target,
  digest: Digest,
  { subject }: Manifest,
): Body {
  const reference = asked ?? tags[0] ?? digest;
  return {
    status: 201,
    headers: {
      location: locationOf(base, manifestPath(name, reference)),
      'docker-content-digest': asked ?? digest,
      ...(subject ? { 'oci-subject': subject.digest } : {}),
      ...(extra.length > 0 ? { 'oci-tag': extra.join(', ') } : {}),
    },
    bytes: Buffer.alloc(0),
  };
}

const deleted: Body = { status: 202, bytes: Buffer.alloc(0) };

/** `DELETE /{name}/manifests/{tag or digest}`: a tag alone, or a manifest with everything that only it needs. */
export function deleteManifest(name: string, reference: string): Change {
  return { kind: 'change', action: 'delete', name, version: reference, limit: 0, receive: receiveDeletion };
}

async function receiveDeletion({ params }: Call): Promise<Decide> {
  const { name = '', reference = '' } = params;
  return (hosted) => {
    const entry = hosted.entry(manifestPath(name, reference));
    if (!entry) throw new Problem('not_found', `${name} has no manifest ${reference.slice(0, 150)}.`);
    if (!reference.includes(':')) return { name, removes: [reference], reply: deleted };
    return { name, removes: [entry.digest, ...leaving(hosted, name, entry.digest)], reply: deleted };
  };
}

/** The tags that go with a manifest. Throws when something else needs it. */
export function leaving(hosted: View, name: string, version: string): readonly string[] {
  if (!version.includes(':')) return [];
  refuseUnlessSpare(hosted, name, version);
  return [...tagsOf(hosted, name)].filter((one) => tagFacts(one).digest === version).map((one) => one.version);
}

/** An index without one of its images would be broken for some of those who pull it, and not for others. */
function refuseUnlessSpare(hosted: View, name: string, digest: string): void {
  const called = hosted.record(name, digest)?.files.map(({ path }) => path.slice(path.lastIndexOf('/') + 1)) ?? [];
  for (const { version, facts } of manifestsOf(hosted, name)) {
    const { manifests = [] } = facts as unknown as ManifestFacts;
    if (manifests.some((one) => one === digest || called.includes(one))) {
      throw inUse(`${digest} is a part of ${version}: delete that first.`);
    }
  }
}

/** The specification has it that what can't be deleted is answered so ("Deleting Blobs"). */
const inUse = (message: string): Problem =>
  registryProblem('method_not_allowed', [{ code: 'UNSUPPORTED', message, detail: { reason: 'in_use' } }], {
    allow: 'GET, HEAD',
  });

/** `DELETE /{name}/blobs/{digest}`: of one that no manifest needs. */
export function deleteBlob(name: string, digest: Digest): Change {
  return { kind: 'change', action: 'delete', name, version: digest, limit: 0, receive: receiveBlobDeletion };
}

async function receiveBlobDeletion({ params }: Call): Promise<Decide> {
  const { name = '', digest = '' } = params;
  const path = blobPath(name, digest);
  return (hosted) => {
    if (!hosted.entry(path)) throw new Problem('not_found', `${name} has no blob ${digest}.`);
    for (const record of manifestsOf(hosted, name)) {
      if (!record.files.some((file) => file.path === path)) continue;
      throw inUse(`${digest} is a part of ${record.version}: delete that, and what only it needs goes with it.`);
    }
    return { name, drop: [path], reply: deleted };
  };
}

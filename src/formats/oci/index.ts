/** Container images and other artifacts, as the OCI distribution specification has them read, pushed and deleted. */
import type {
  Answer,
  Artifact,
  ArtifactFacts,
  Call,
  ChallengeFacts,
  Document,
  Format,
  Intent,
  Route,
} from '../../core/format.ts';
import { catalog, catalogPath } from './catalog.ts';
import { along } from './hosted.ts';
import { jsonBody } from './json.ts';
import { manifest, manifestLimit } from './manifest.ts';
import { acceptManifest, isManifestType, mediaTypeOf } from './media-types.ts';
import { blobPath, clientName, isName, isTag, locate, manifestPath, readDigest } from './name.ts';
import { problem, refuse } from './problem.ts';
import { deleteBlob, deleteManifest, leaving, putManifest, stays } from './publish.ts';
import { filterVariant, referrers } from './referrers.ts';
import { tag } from './tag.ts';
import { pageVariant, tagList } from './tag-list.ts';
import { appendUpload, cancelUpload, finishUpload, startUpload, uploadStatus } from './upload.ts';
import { warm } from './warm.ts';

function param(call: Call, name: string): string {
  return call.params[name] ?? '';
}

/** The intent for a name that can be one, or the answer that it is none. */
function named(call: Call, intent: (name: string) => Intent): Intent {
  const name = param(call, 'name');
  if (isName(name)) return intent(name);
  return refuse(
    400,
    'NAME_INVALID',
    `${name.slice(0, 100)} is no name of an image: names have lower-case letters, digits, single dots and underscores, dashes and slashes.`,
  );
}

function invalidDigest(text: string): Answer {
  return refuse(
    400,
    'DIGEST_INVALID',
    `${text.slice(0, 150)} is no digest that can be looked for: it must be sha256: and 64, or sha512: and 128 lower-case hexadecimal digits.`,
  );
}

/** A registry that a client of a mirror named, said back to it: it was known, or there would be no answer ("Registry Proxying"). */
function echo({ query }: Call): Pick<Artifact, 'headers'> {
  const namespace = query.get('ns');
  if (namespace === null || !/^[A-Za-z0-9.:[\]_-]{1,255}$/.test(namespace)) return {};
  return { headers: { 'oci-namespace': namespace } };
}

/** What a manifest is whoever names it, by digest or by tag. */
const manifestFacts = {
  limit: manifestLimit,
  accept: acceptManifest,
  accepts: isManifestType,
  reads: manifest,
} as const;

function readManifest(call: Call): Intent {
  const reference = param(call, 'reference');
  return named(call, (name) => {
    const path = manifestPath(name, reference);
    const common = { kind: 'artifact', path, name, group: name, ...manifestFacts, ...echo(call) } as const;
    if (reference.includes(':')) {
      const digest = readDigest(reference);
      return digest ? { ...common, digest } : invalidDigest(reference);
    }
    // Nothing can have such a tag, so it is not there, like any other tag that was mistyped.
    if (!isTag(reference)) {
      return refuse(404, 'MANIFEST_UNKNOWN', `${reference.slice(0, 150)} can't be a tag, so ${name} has no such tag.`);
    }
    return {
      ...common,
      version: reference,
      freshness: 'described',
      describedBy: { kind: 'document', type: tag, path, name, version: reference },
    };
  });
}

function readBlob(call: Call): Intent {
  const text = param(call, 'digest');
  return named(call, (name) => {
    const digest = readDigest(text);
    if (!digest) return invalidDigest(text);
    const path = blobPath(name, digest);
    // Registries' stores call the same layer different things; none of them matters to a client.
    const contentType = 'application/octet-stream';
    return { kind: 'artifact', path, name, group: name, digest, contentType, sentIfMissing: true, ...echo(call) };
  });
}

function readTagList(call: Call): Intent {
  return named(call, (name): Document | Answer => {
    const variant = pageVariant(call);
    if (variant === undefined) return refuse(400, 'UNSUPPORTED', 'The number of tags, `n`, must be a whole number.');
    return { kind: 'document', type: tagList, path: `${name}/tags/list`, name, variant, ...echo(call) };
  });
}

function readReferrers(call: Call): Intent {
  const text = param(call, 'digest');
  return named(call, (name): Document | Answer => {
    const digest = readDigest(text);
    if (!digest) return invalidDigest(text);
    const path = `${name}/referrers/${digest}`;
    return { kind: 'document', type: referrers, path, name, variant: filterVariant(call), ...echo(call) };
  });
}

function readCatalog(call: Call): Document | Answer {
  const variant = pageVariant(call);
  if (variant === undefined) return refuse(400, 'UNSUPPORTED', 'The number of names, `n`, must be a whole number.');
  return { kind: 'document', type: catalog, path: catalogPath, variant };
}

function pushManifest(call: Call, { immutableTags }: Options): Intent {
  const reference = param(call, 'reference');
  return named(call, (name) => {
    if (reference.includes(':')) {
      return readDigest(reference) ? putManifest(name, reference, immutableTags) : invalidDigest(reference);
    }
    if (isTag(reference)) return putManifest(name, reference, immutableTags);
    return refuse(400, 'MANIFEST_INVALID', `${reference.slice(0, 150)} can't be a tag.`);
  });
}

function removeManifest(call: Call): Intent {
  const reference = param(call, 'reference');
  return named(call, (name) => {
    if (!reference.includes(':') || readDigest(reference)) return deleteManifest(name, reference);
    return invalidDigest(reference);
  });
}

function removeBlob(call: Call): Intent {
  const text = param(call, 'digest');
  return named(call, (name) => {
    const digest = readDigest(text);
    return digest ? deleteBlob(name, digest) : invalidDigest(text);
  });
}

const withSession =
  (step: (call: Call, name: string, session: string) => Intent) =>
  (call: Call): Intent =>
    named(call, (name) => step(call, name, param(call, 'session')));

interface Options {
  /** Patterns of tags that stay what they are once they were pushed. */
  readonly immutableTags: readonly string[];
}

const manifestAt = '/{name+}/manifests/{reference}';
const uploadsAt = '/{name+}/blobs/uploads/';
const sessionAt = '/{name+}/blobs/uploads/{session}';
const blobAt = '/{name+}/blobs/{digest}';

/**
 * Every path but the first and the last ends in segments of its own, and the name is all before them: a part of a name
 * may be called `blobs` or `manifests`.
 */
const routesWith = (options: Options): readonly Route[] => [
  { id: 'ping', method: 'GET', path: '/', intent: () => ({ kind: 'answer', body: jsonBody({}), challenges: true }) },
  { id: 'manifest', method: 'GET', path: manifestAt, intent: readManifest },
  { id: 'manifest-push', method: 'PUT', path: manifestAt, intent: (call) => pushManifest(call, options) },
  { id: 'manifest-delete', method: 'DELETE', path: manifestAt, intent: removeManifest },
  {
    id: 'upload-start',
    method: 'POST',
    path: uploadsAt,
    intent: (call) => named(call, (name) => startUpload(call, name)),
  },
  { id: 'upload', method: 'GET', path: sessionAt, intent: withSession(uploadStatus) },
  { id: 'upload-append', method: 'PATCH', path: sessionAt, intent: withSession(appendUpload) },
  { id: 'upload-finish', method: 'PUT', path: sessionAt, intent: withSession(finishUpload) },
  { id: 'upload-cancel', method: 'DELETE', path: sessionAt, intent: withSession(cancelUpload) },
  { id: 'blob', method: 'GET', path: blobAt, intent: readBlob },
  { id: 'blob-delete', method: 'DELETE', path: blobAt, intent: removeBlob },
  { id: 'tags', method: 'GET', path: '/{name+}/tags/list', intent: readTagList },
  { id: 'referrers', method: 'GET', path: '/{name+}/referrers/{digest}', intent: readReferrers },
  { id: 'catalog', method: 'GET', path: '/_catalog', intent: readCatalog },
];

/**
 * What upstream calls it, in the algorithm that it is called by there: sha256 always is computed, and another is known only
 * where it is part of the name. Clients compare whole content types (crane, oras), so parameters go.
 */
function artifactHeaders(
  { digest }: Artifact,
  { digests, contentType }: ArtifactFacts,
): Readonly<Record<string, string>> {
  const said = digest ?? digests.find((one) => !one.startsWith('sha256:')) ?? digests[0];
  return {
    'content-type': mediaTypeOf(contentType),
    ...(said === undefined ? {} : { 'docker-content-digest': said, etag: `"${said}"` }),
  };
}

const actions = { read: 'pull', publish: 'pull,push', delete: 'delete', admin: '*' } as const;

/**
 * RFC 6750 and the specification of Docker's token authentication. Clients that were given a token look at the scope
 * again only if an error is named (containerd 2).
 */
function challenge({ base, tokenUrl, action, name, rejected }: ChallengeFacts): string {
  const scope = name === undefined ? '' : `,scope="repository:${clientName(base, name)}:${actions[action]}"`;
  const error = rejected ? `,error="${name === undefined ? 'invalid_token' : 'insufficient_scope'}"` : '';
  return `Bearer realm="${tokenUrl}",service="${new URL(tokenUrl).host}"${scope}${error}`;
}

export const format: Format = {
  id: 'oci',
  root: 'v2',
  namespaceParameter: 'ns',
  keepsGone: true,
  headers: { 'docker-distribution-api-version': 'registry/2.0' },
  artifactHeaders,
  // Nearly every digest is of sha256, which always is computed; of another, whatever is asked for is.
  digests: [],
  upstream: { locate },
  auth: { from: ['bearer', 'basic'], challenge },
  routes: routesWith({ immutableTags: [] }),
  documents: [manifest, tag, tagList, referrers, catalog],
  problem,
  bonds: { along, leaving },
  warm,
  configure(options) {
    const { immutableTags = [], ...others } = options;
    const [unknown] = Object.keys(others);
    if (unknown !== undefined) throw new Error(`${unknown} is no option of container images; immutableTags is`);
    if (!Array.isArray(immutableTags) || !immutableTags.every((one) => typeof one === 'string' && one !== '')) {
      throw new Error("immutableTags must be a list of patterns, such as ['v*']");
    }
    const patterns = immutableTags as string[];
    return {
      ...format,
      bonds: { along, leaving, stays: (path) => stays(path, patterns) },
      routes: routesWith({ immutableTags: patterns }),
    };
  },
};

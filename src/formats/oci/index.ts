/** Container images and other artifacts, as the OCI distribution specification has them read. */
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
import { jsonBody } from './json.ts';
import { manifest, manifestLimit } from './manifest.ts';
import { acceptManifest, isManifestType, mediaTypeOf } from './media-types.ts';
import { blobPath, clientName, isName, isTag, locate, manifestPath, readDigest } from './name.ts';
import { errorBody, problem, type RegistryCode } from './problem.ts';
import { filterVariant, referrers } from './referrers.ts';
import { tag } from './tag.ts';
import { pageVariant, tagList } from './tag-list.ts';

function param(call: Call, name: string): string {
  return call.params[name] ?? '';
}

function refuse(status: number, code: RegistryCode, message: string): Answer {
  return { kind: 'answer', body: errorBody(status, code, message) };
}

/** With the header that RFC 9110 wants of a 405, which is empty where no method is possible. */
function refusePush(): Answer {
  const body = errorBody(405, 'UNSUPPORTED', readOnly);
  return { kind: 'answer', body: { ...body, headers: { ...body.headers, allow: '' } } };
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
    return { kind: 'artifact', path, name, group: name, digest, contentType, ...echo(call) };
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

const readOnly = 'Nothing can be pushed here: this repository only passes on what other registries have.';

/**
 * Every path but the first and the last ends in segments of its own, and the name is all before them: a part of a name
 * may be called `blobs` or `manifests`.
 */
const routes: readonly Route[] = [
  { id: 'ping', method: 'GET', path: '/', intent: () => ({ kind: 'answer', body: jsonBody({}), challenges: true }) },
  { id: 'manifest', method: 'GET', path: '/{name+}/manifests/{reference}', intent: readManifest },
  {
    id: 'upload-start',
    method: 'POST',
    path: '/{name+}/blobs/uploads/',
    intent: (call) => named(call, refusePush),
  },
  {
    id: 'upload',
    method: 'GET',
    path: '/{name+}/blobs/uploads/{session}',
    intent: (call) => named(call, () => refuse(404, 'BLOB_UPLOAD_UNKNOWN', readOnly)),
  },
  { id: 'blob', method: 'GET', path: '/{name+}/blobs/{digest}', intent: readBlob },
  { id: 'tags', method: 'GET', path: '/{name+}/tags/list', intent: readTagList },
  { id: 'referrers', method: 'GET', path: '/{name+}/referrers/{digest}', intent: readReferrers },
  {
    id: 'catalog',
    method: 'GET',
    path: '/_catalog',
    // An empty list would be taken for the truth; which images there are, only the registries behind this one know.
    intent: () => refuse(404, 'UNSUPPORTED', 'Images are not listed here: ask the registry that they come from.'),
  },
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
  routes,
  documents: [manifest, tag, tagList, referrers],
  problem,
};

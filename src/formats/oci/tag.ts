/** What a tag means now: digest, type and size of a manifest, without the manifest where upstream tells them in headers. */
import { algorithmOf, digestOf } from '../../core/digest.ts';
import type { Digest, Document, DocumentType, Heard, Link, Origin, Step } from '../../core/format.ts';
import { jsonBody, jsonBytes, parseJson } from './json.ts';
import { manifestLimit, readManifest } from './manifest.ts';
import { acceptManifest, isManifestType, mediaTypeOf } from './media-types.ts';
import { manifestPath, readDigest, splitPath } from './name.ts';

export interface Tag {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

/** What the answer to HEAD says; `undefined` unless it says everything. */
function fromHeaders({ headers }: Heard): Tag | undefined {
  const digest = readDigest(headers['docker-content-digest']?.trim() ?? '');
  const mediaType = mediaTypeOf(headers['content-type']);
  const length = headers['content-length'] ?? '';
  const size = /^\d+$/.test(length) ? Number(length) : 0;
  if (!digest || !isManifestType(mediaType) || size === 0 || size > manifestLimit) return undefined;
  // Of a packed answer it is not the manifest's length.
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') return undefined;
  return { digest, mediaType, size };
}

/** What the answer to GET comes to. Throws unless it is a manifest, and the one that its headers promise. */
function fromManifest({ headers, bytes }: Heard): Tag {
  const mediaType = mediaTypeOf(headers['content-type']);
  if (!isManifestType(mediaType)) throw new Error(`it came as ${mediaType || 'nothing in particular'}`);
  readManifest(bytes, mediaType);
  const promised = readDigest(headers['docker-content-digest']?.trim() ?? '');
  const digest = digestOf(bytes, promised && algorithmOf(promised));
  if (promised && promised !== digest) throw new Error('its bytes have another digest than upstream says');
  return { digest, mediaType, size: bytes.byteLength };
}

/**
 * HEAD first: Docker Hub counts every GET of a manifest and no HEAD. A registry that can't answer HEAD, or leaves out
 * what it should say, is asked once more with GET.
 */
function obtain({ path }: Document, heard: readonly Heard[]): Step {
  const [head, got] = heard;
  if (!head) return { ask: { path }, method: 'HEAD', accept: acceptManifest };
  if (head.status === 404 || head.status === 410) return { absent: true };
  const said = head.status === 200 ? fromHeaders(head) : undefined;
  if (said) return { bytes: jsonBytes(said) };
  if (!got) return { ask: { path }, accept: acceptManifest };
  if (got.status === 404 || got.status === 410) return { absent: true };
  if (got.status !== 200) throw new Error(`upstream answers ${got.status}`);
  return { bytes: jsonBytes(fromManifest(got)) };
}

function decode(bytes: Uint8Array): Tag {
  const json = parseJson(bytes);
  const { mediaType, size } = json;
  const digest = typeof json.digest === 'string' ? readDigest(json.digest) : undefined;
  if (!digest || typeof mediaType !== 'string' || !isManifestType(mediaType)) throw new Error('it is no tag');
  if (!Number.isSafeInteger(size) || (size as number) <= 0) throw new Error('the manifest of it has no size');
  return { digest, mediaType, size: size as number };
}

function links({ digest, mediaType, size }: Tag, { path }: Origin): Link[] {
  const at = manifestPath(splitPath(path).name, digest);
  return [{ path, at, digests: [digest], size, contentType: mediaType }];
}

export const tag: DocumentType<Tag> = {
  id: 'tag',
  limit: manifestLimit,
  contentType: 'application/json',
  obtain,
  decode,
  links,
  encode: (doc) => jsonBody(doc),
};

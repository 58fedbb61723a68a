/** What refers to a manifest: signatures, bills of materials. From the registry's own list, or from the tag that stands in for one. */
import type { Body, Call, Document, DocumentType, Heard, Link, Origin, Step } from '../../core/format.ts';
import { type Descriptor, linkTo, readDescriptors } from './descriptor.ts';
import { referrersOf } from './hosted.ts';
import { type Json, jsonBytes, parseJson } from './json.ts';
import { nextPage } from './link-header.ts';
import { imageIndex, isManifestType, mediaTypeOf } from './media-types.ts';
import { manifestPath, referrersTag, splitPath } from './name.ts';

export interface Referrers {
  readonly manifests: readonly Descriptor[];
}

/** Of all pages together. */
const limit = 16 * 1024 * 1024;

function indexOf(manifests: readonly Descriptor[]): Json {
  return { schemaVersion: 2, mediaType: imageIndex, manifests };
}

/** Throws unless it is an index. */
function manifestsIn(json: Json): readonly Descriptor[] {
  if (json.schemaVersion !== 2 || !('manifests' in json)) throw new Error('it is no image index');
  return readDescriptors(json.manifests, 'manifests');
}

function union(lists: readonly (readonly Descriptor[])[]): Descriptor[] {
  const byDigest = new Map<string, Descriptor>();
  for (const one of lists.flat()) if (!byDigest.has(one.digest)) byDigest.set(one.digest, one);
  return [...byDigest.values()];
}

/** A page in HTML with status 200 is how some registries say that they don't know this address. */
function isList({ status, headers }: Heard): boolean {
  return status === 200 && mediaTypeOf(headers['content-type']) === imageIndex;
}

/** Never absent: nothing refers to an image that is not there, and "not found" would make clients write the tag themselves. */
function obtain(want: Document, heard: readonly Heard[]): Step {
  const first = heard[0];
  if (!first) return { ask: { path: want.path }, accept: imageIndex };
  return isList(first) ? fromList(want, heard) : fromTag(want, heard[1]);
}

function fromList(want: Document, heard: readonly Heard[]): Step {
  const last = heard.at(-1);
  if (!last || !isList(last)) throw new Error(`upstream answers ${last?.status} in the middle of it`);
  manifestsIn(parseJson(last.bytes));
  const next = nextPage(want, heard);
  if (next) return { ask: next, accept: imageIndex };
  return { bytes: jsonBytes(indexOf(union(heard.map(({ bytes }) => manifestsIn(parseJson(bytes)))))) };
}

function fromTag({ path }: Document, reply: Heard | undefined): Step {
  if (!reply) {
    const { name, tail } = splitPath(path);
    const digest = tail.slice(tail.indexOf('/') + 1);
    return { ask: { path: manifestPath(name, referrersTag(digest)) }, accept: imageIndex };
  }
  if (isList(reply)) return { bytes: jsonBytes(indexOf(union([manifestsIn(parseJson(reply.bytes))]))) };
  const type = mediaTypeOf(reply.headers['content-type']);
  // Whoever answers a request for a manifest with a page answers for somebody else: nothing is known.
  if (reply.status === 200 && !isManifestType(type)) throw new Error(`it came as ${type || 'nothing in particular'}`);
  if (![200, 404, 405, 410, 501].includes(reply.status)) throw new Error(`upstream answers ${reply.status}`);
  return { bytes: jsonBytes(indexOf([])) };
}

/** Which kinds of referrers a request asks for, as a variant; containerd 2 asks for several at once. */
export function filterVariant({ query }: Call): string {
  const types = new Set(query.getAll('artifactType').filter((type) => type !== ''));
  return new URLSearchParams([...types].sort().map((type): [string, string] => ['artifactType', type])).toString();
}

function encode({ manifests }: Referrers, variant: string): Body {
  const types = new URLSearchParams(variant).getAll('artifactType');
  // oras compares the whole string.
  const headers = { 'content-type': imageIndex };
  if (types.length === 0) return { headers, bytes: jsonBytes(indexOf(manifests)) };
  const wanted = manifests.filter(
    ({ artifactType }) => typeof artifactType === 'string' && types.includes(artifactType),
  );
  return { headers: { ...headers, 'oci-filters-applied': 'artifactType' }, bytes: jsonBytes(indexOf(wanted)) };
}

function links({ manifests }: Referrers, { path }: Origin): Link[] {
  const { name } = splitPath(path);
  return manifests.flatMap((descriptor) => linkTo(name, 'manifest', descriptor));
}

export const referrers: DocumentType<Referrers> = {
  id: 'referrers',
  limit,
  contentType: imageIndex,
  obtain,
  decode(bytes) {
    const json = parseJson(bytes);
    return { manifests: union([manifestsIn(json)]) };
  },
  links,
  // Never absent, like that of an upstream: nothing refers to what is not there.
  render({ path }, view) {
    const { name, tail } = splitPath(path);
    return {
      headers: { 'content-type': imageIndex },
      bytes: jsonBytes(indexOf(referrersOf(view, name, tail.slice(tail.indexOf('/') + 1)))),
    };
  },
  merge: (docs) => ({ manifests: union(docs.map(({ manifests }) => manifests)) }),
  encode,
};

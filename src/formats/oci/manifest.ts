/** Manifests and indexes of every kind. Their bytes are their name, so they are read and never written anew. */
import type { DocumentType, Link, Origin } from '../../core/format.ts';
import { type Descriptor, linkTo, readDescriptor, readDescriptors } from './descriptor.ts';
import { type Json, parseJson } from './json.ts';
import { artifactManifest, isManifestType, mediaTypeOf } from './media-types.ts';
import { splitPath } from './name.ts';

/** Bytes. containerd, oras and containers/image read no more than this. */
export const manifestLimit = 4 * 1024 * 1024;

export interface Manifest {
  readonly bytes: Uint8Array;
  /** Config, layers and other blobs. */
  readonly blobs: readonly Descriptor[];
  /** Children of an index, and what the manifest is about. */
  readonly manifests: readonly Descriptor[];
}

/** Throws unless the bytes are a manifest that today's clients read; `contentType` is what upstream called it, `''` for nothing. */
export function readManifest(bytes: Uint8Array, contentType: string): Manifest {
  const json = parseJson(bytes);
  const { schemaVersion, mediaType } = json;
  if (schemaVersion === 1) throw new Error('it is of schema 1, which no client reads any more');
  if (mediaType !== undefined && mediaType !== '') {
    if (typeof mediaType !== 'string' || !isManifestType(mediaType))
      throw new Error('its media type is that of no manifest');
    // One that is taken for a list by some and for an image by others is two images in one.
    if (contentType !== '' && contentType !== mediaType)
      throw new Error(`it came as ${contentType} and says otherwise`);
  }
  if (schemaVersion !== 2 && mediaType !== artifactManifest) throw new Error('it has no schema version that is known');
  refuseAmbiguous(json);
  const { config, subject } = json;
  return {
    bytes,
    blobs: [
      ...(isThere(config) ? [readDescriptor(config, 'the config')] : []),
      ...readDescriptors(json.layers, 'layers'),
      ...readDescriptors(json.blobs, 'blobs'),
    ],
    manifests: [
      ...readDescriptors(json.manifests, 'manifests'),
      ...(isThere(subject) ? [readDescriptor(subject, 'the subject')] : []),
    ],
  };
}

const isThere = (value: unknown): boolean => value !== undefined && value !== null;

/** Either an index or a manifest: what could be read as both is refused, as containerd does (CVE-2021-41190), and what is neither is something else. */
function refuseAmbiguous(json: Json): void {
  const isIndex = isThere(json.manifests);
  const isImage = ['config', 'layers', 'blobs', 'fsLayers'].some((field) => isThere(json[field]));
  if (isIndex && isImage) throw new Error('it is an index and an image at once');
  if (!isIndex && !isImage && !('manifests' in json) && !('layers' in json))
    throw new Error('it lists neither manifests nor layers');
}

function links({ blobs, manifests }: Manifest, { path }: Origin): Link[] {
  const { name } = splitPath(path);
  const found = [
    ...blobs.flatMap((descriptor) => linkTo(name, 'blob', descriptor)),
    ...manifests.flatMap((descriptor) => linkTo(name, 'manifest', descriptor)),
  ];
  return [...new Map(found.map((link) => [link.path, link])).values()];
}

export const manifest: DocumentType<Manifest> = {
  id: 'manifest',
  limit: manifestLimit,
  decode: (bytes, { headers }) => readManifest(bytes, mediaTypeOf(headers['content-type'])),
  links,
  encode: ({ bytes }) => ({ bytes }),
};

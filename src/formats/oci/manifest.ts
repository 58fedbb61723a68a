/** Manifests and indexes of every kind. Their bytes are their name, so they are read and never written anew. */
import type { DocumentType, Link, Origin } from '../../core/format.ts';
import { type Descriptor, linkTo, readDescriptor, readDescriptors } from './descriptor.ts';
import { isObject, type Json, parseJson } from './json.ts';
import {
  artifactManifest,
  imageIndex,
  imageManifest,
  imageTypes,
  indexTypes,
  isManifestType,
  mediaTypeOf,
} from './media-types.ts';
import { splitPath } from './name.ts';

/** Bytes. containerd, oras and containers/image read no more than this. */
export const manifestLimit = 4 * 1024 * 1024;

export interface Manifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  /** Config, layers and other blobs. */
  readonly blobs: readonly Descriptor[];
  /** Children of an index. */
  readonly manifests: readonly Descriptor[];
  /** What the manifest is about. */
  readonly subject?: Descriptor;
  /** What kind of artifact it is: said, or told by the type of its config ("Listing Referrers"). */
  readonly artifactType?: string;
  readonly config?: Descriptor;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Throws unless the bytes are a manifest that today's clients read; `contentType` is what upstream called it, `''` for nothing. */
export function readManifest(bytes: Uint8Array, contentType: string): Manifest {
  const json = parseJson(bytes);
  if (json.schemaVersion === 1) throw new Error('it is of schema 1, which no client reads any more');
  const mediaType = typeOf(json, contentType);
  if (json.schemaVersion !== 2 && mediaType !== artifactManifest) {
    throw new Error('it has no schema version that is known');
  }
  const config = isThere(json.config) ? readDescriptor(json.config, 'the config') : undefined;
  const subject = isThere(json.subject) ? readDescriptor(json.subject, 'the subject') : undefined;
  const artifactType =
    typeof json.artifactType === 'string' && json.artifactType ? json.artifactType : config?.mediaType;
  return {
    bytes,
    mediaType,
    blobs: [
      ...(config ? [config] : []),
      ...readDescriptors(json.layers, 'layers'),
      ...readDescriptors(json.blobs, 'blobs'),
    ],
    manifests: readDescriptors(json.manifests, 'manifests'),
    ...(config ? { config } : {}),
    ...(subject ? { subject } : {}),
    ...(artifactType === undefined ? {} : { artifactType }),
    annotations: annotationsIn(json.annotations),
  };
}

/** What is no text is no annotation. */
function annotationsIn(value: unknown): Readonly<Record<string, string>> {
  const texts = Object.entries(isObject(value) ? value : {}).filter(([, text]) => typeof text === 'string');
  return Object.fromEntries(texts) as Record<string, string>;
}

const isThere = (value: unknown): boolean => value !== undefined && value !== null;

/**
 * The one media type it has. What some clients would take for an index and others for an image is two images in one, and
 * is refused, as containerd does (CVE-2021-41190); so is what is neither.
 */
function typeOf(json: Json, contentType: string): string {
  const isIndex = isThere(json.manifests);
  const isImage = ['config', 'layers', 'blobs', 'fsLayers'].some((field) => isThere(json[field]));
  if (isIndex && isImage) throw new Error('it is an index and an image at once');
  if (!isIndex && !isImage && !('manifests' in json) && !('layers' in json)) {
    throw new Error('it lists neither manifests nor layers');
  }
  const { mediaType = '' } = json;
  if (typeof mediaType !== 'string' || (mediaType !== '' && !isManifestType(mediaType))) {
    throw new Error('its media type is that of no manifest');
  }
  if (mediaType !== '' && contentType !== '' && contentType !== mediaType) {
    throw new Error(`it came as ${contentType} and says otherwise`);
  }
  // The image specification lets a manifest leave its type out.
  const said = contentType || mediaType || (isIndex ? imageIndex : imageManifest);
  if ((isIndex && imageTypes.includes(said)) || (isImage && indexTypes.includes(said))) {
    throw new Error(`it came as ${said} and is none`);
  }
  return said;
}

function links({ blobs, manifests, subject }: Manifest, { path }: Origin): Link[] {
  const { name } = splitPath(path);
  const found = [
    ...blobs.flatMap((descriptor) => linkTo(name, 'blob', descriptor)),
    ...[...manifests, ...(subject ? [subject] : [])].flatMap((descriptor) => linkTo(name, 'manifest', descriptor)),
  ];
  return [...new Map(found.map((link) => [link.path, link])).values()];
}

export const manifest: DocumentType<Manifest> = {
  id: 'manifest',
  limit: manifestLimit,
  decode: (bytes, { headers }) => readManifest(bytes, mediaTypeOf(headers['content-type'])),
  links,
  encode: ({ bytes, mediaType }) => ({ headers: { 'content-type': mediaType }, bytes }),
};

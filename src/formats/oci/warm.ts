/** What is asked for when an image is pulled: the manifest, those of its platforms, and what these consist of. */
import type { Wanted, WarmStep } from '../../core/warm.ts';
import type { Descriptor } from './descriptor.ts';
import { isObject } from './json.ts';
import { manifestLimit, readManifest } from './manifest.ts';
import { acceptManifest, indexTypes, isForeign } from './media-types.ts';
import { blobPath, isName, isTag, manifestPath, readDigest } from './name.ts';

interface Image {
  readonly name: string;
  readonly platform?: string | undefined;
}

/** `linux/amd64`, with a variant behind it that counts when both name one. What is of no platform (an attestation) fits none. */
function fits({ platform }: Descriptor, wanted: string | undefined): boolean {
  if (wanted === undefined) return true;
  if (!isObject(platform)) return false;
  const [os, architecture, variant] = wanted.split('/');
  if (platform.os !== os || platform.architecture !== architecture) return false;
  return variant === undefined || platform.variant === undefined || platform.variant === variant;
}

function manifestAt({ name, platform }: Image, reference: string): WarmStep {
  const digest = readDigest(reference);
  return {
    path: manifestPath(name, reference),
    headers: { accept: acceptManifest },
    ...(digest ? { digests: [digest] } : {}),
    read: { limit: manifestLimit, next: (bytes) => partsOf({ name, platform }, bytes) },
  };
}

function* partsOf(image: Image, bytes: Uint8Array): Iterable<WarmStep> {
  const { mediaType, manifests, blobs } = readManifest(bytes, '');
  const chosen = manifests.filter((one) => fits(one, image.platform));
  if (indexTypes.includes(mediaType) && chosen.length === 0) {
    throw new Error(`${image.name} is not there for ${image.platform ?? 'any platform'}`);
  }
  for (const { digest } of chosen) {
    if (readDigest(digest)) yield manifestAt({ name: image.name }, digest);
  }
  for (const { digest: text, mediaType: type } of blobs) {
    const digest = readDigest(text);
    // What may not be handed on, clients fetch from where it lies, or have.
    if (digest && !isForeign(type)) yield { path: blobPath(image.name, digest), digests: [digest] };
  }
}

/** A digest says more than a tag, and is what clients ask for that know both. Throws an Error on what is no image. */
export function* warm({ name, version = 'latest', digests, platform }: Wanted): Iterable<WarmStep> {
  if (!isName(name)) throw new Error(`${name} is no name of an image`);
  const [digest] = digests.filter((one) => readDigest(one));
  if (digest === undefined && !isTag(version)) throw new Error(`${version} can't be a tag of ${name}`);
  yield manifestAt({ name, platform }, digest ?? version);
}

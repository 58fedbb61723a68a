/** Media types of manifests, and what is never one. */

export const imageIndex = 'application/vnd.oci.image.index.v1+json';
export const imageManifest = 'application/vnd.oci.image.manifest.v1+json';
export const artifactManifest = 'application/vnd.oci.artifact.manifest.v1+json';
const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';

export const indexTypes: readonly string[] = [dockerList, imageIndex];
export const imageTypes: readonly string[] = [dockerManifest, imageManifest, artifactManifest];

/** Upstream is always asked for all of them: whatever it has under a tag is what the tag means, whoever asks. */
export const acceptManifest = [dockerManifest, dockerList, imageManifest, imageIndex, artifactManifest].join(', ');

const schema1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/;

/** Lower case, without parameters; `''` when none was said. */
export function mediaTypeOf(header: string | undefined): string {
  return header?.split(';')[0]?.trim().toLowerCase() ?? '';
}

/**
 * Whether something of this content type can be a manifest: any vendor's JSON but the signed schema 1, which no client
 * reads any more and which old ones read out of plain `application/json`.
 */
export function isManifestType(type: string): boolean {
  return /^application\/vnd\.[a-z0-9!#$&^_.+-]+\+json$/.test(type) && !schema1.test(type);
}

/**
 * Layers that may not be handed on: they are where their `urls` say, and nobody has to push them (image specification 1.1,
 * "Non-Distributable Layers"; Docker's schema 2).
 */
export function isForeign(type: string): boolean {
  return /^application\/vnd\.(?:docker\.image\.rootfs\.foreign\.|oci\.image\.layer\.nondistributable\.)/.test(type);
}

/** Configs that tell labels and a time of creation. */
export const imageConfigTypes: readonly string[] = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];

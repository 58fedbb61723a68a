/** Descriptors: what a manifest says of the things it consists of (image specification 1.1, "Content Descriptors"). */
import type { Link } from '../../core/format.ts';
import { isObject, type Json } from './json.ts';
import { blobPath, manifestPath, readDigest } from './name.ts';

export interface Descriptor extends Json {
  readonly mediaType: string;
  readonly digest: string;
}

/** Any algorithm: one that we can't compute is nobody's mistake, but nothing is known by it. */
const digestGrammar = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/** The only bytes of no length. */
const emptyDigests: readonly string[] = [
  'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e',
];

/** Throws unless it is one; `what` names it in the message. */
export function readDescriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw new Error(`${what} of it is no descriptor`);
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== 'string') throw new Error(`${what} of it has no media type`);
  if (typeof digest !== 'string' || !digestGrammar.test(digest)) throw new Error(`${what} of it has no digest`);
  if (size !== undefined && (!Number.isSafeInteger(size) || (size as number) < 0)) {
    throw new Error(`${what} of it has a size that is none`);
  }
  return value as Descriptor;
}

/** Empty for what is left out, and for what Go programs write for a list without members. Throws unless it is a list of descriptors. */
export function readDescriptors(value: unknown, what: string): readonly Descriptor[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Error(`${what} of it are no list`);
  return value.map((one) => readDescriptor(one, `one of the ${what}`));
}

/** Where a descriptor's bytes are found; its own `urls` are not for us to follow. Nothing for a digest that can't be checked. */
export function linkTo(name: string, kind: 'blob' | 'manifest', descriptor: Descriptor): Link[] {
  const digest = readDigest(descriptor.digest);
  if (!digest) return [];
  const { size, mediaType } = descriptor;
  const isSize = typeof size === 'number' && (size > 0 || emptyDigests.includes(digest));
  return [
    {
      path: kind === 'blob' ? blobPath(name, digest) : manifestPath(name, digest),
      digests: [digest],
      ...(isSize ? { size } : {}),
      ...(kind === 'manifest' ? { contentType: mediaType } : {}),
    },
  ];
}

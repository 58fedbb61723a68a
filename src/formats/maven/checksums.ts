/** Digests beside an artifact: in headers of its answer, and in files named after it. */
import { parseDigest } from '../../core/digest.ts';
import type { Algorithm, Checksums, Digest } from '../../core/format.ts';
import { isSafePath } from '../../core/path.ts';

/** Every repository has the first; the others are there more and more often (Gradle publishes all four). */
const algorithms: readonly Algorithm[] = ['sha1', 'sha256', 'sha512', 'md5'];

/** Artifactory and Nexus, Google's and Amazon's object stores; Maven Resolver reads the same ones (ChecksumExtractor). */
const prefixes = ['x-checksum-', 'x-goog-meta-checksum-', 'x-amz-meta-checksum-'];
const etag = /^(?:W\/)?"\{SHA1\{([0-9a-f]{40})\}\}"$/i;

function fromHeaders(headers: Readonly<Record<string, string | undefined>>): readonly Digest[] {
  const found = new Set<Digest>();
  for (const algorithm of algorithms) {
    for (const prefix of prefixes) {
      const digest = parseDigest(`${algorithm}:${headers[prefix + algorithm]?.trim()}`);
      if (digest) found.add(digest);
    }
  }
  const sha1 = parseDigest(`sha1:${etag.exec(headers.etag ?? '')?.[1]}`);
  if (sha1) found.add(sha1);
  return [...found];
}

/** A digest alone, one with a file's name behind it (`sha1sum`), or one behind a name (`openssl`): the first that has the right length. */
export function readChecksum(bytes: Uint8Array, algorithm: Algorithm): Digest | undefined {
  if (bytes.byteLength > 4096) return undefined;
  const text = Buffer.from(bytes)
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '');
  if (/[<>{}]/.test(text)) return undefined;
  for (const token of text.split(/[\s=:*]+/)) {
    const digest = parseDigest(`${algorithm}:${token}`);
    if (digest) return digest;
  }
  return undefined;
}

/** Where the digests of this path are told. */
export function checksumsOf(path: string): Checksums {
  const isNameable = isSafePath(`${path}.sha512`);
  const files = isNameable ? algorithms.map((algorithm) => ({ path: `${path}.${algorithm}`, algorithm })) : [];
  return { fromHeaders, files, read: readChecksum };
}

/** The path that a checksum file is about; `undefined` when it is none. */
export function checksumTarget(path: string): { readonly path: string; readonly algorithm: Algorithm } | undefined {
  const dot = path.lastIndexOf('.');
  const algorithm = algorithms.find((name) => name === path.slice(dot + 1));
  const target = path.slice(0, dot);
  return algorithm && isSafePath(target) ? { path: target, algorithm } : undefined;
}

/** Digests: `algorithm:hex`, as OCI writes them; subresource integrity strings are read into the same form. */
import { createHash, type Hash } from 'node:crypto';

export type Algorithm = 'md5' | 'sha1' | 'sha256' | 'sha512';
export type Digest = `${Algorithm}:${string}`;

const hexLength: Record<Algorithm, number> = { md5: 32, sha1: 40, sha256: 64, sha512: 128 };

export function isAlgorithm(text: string): text is Algorithm {
  return Object.hasOwn(hexLength, text);
}

/** `undefined` unless the text is a known algorithm, a colon and exactly its number of hexadecimal digits. */
export function parseDigest(text: string): Digest | undefined {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, colon);
  const hex = text.slice(colon + 1).toLowerCase();
  if (!isAlgorithm(algorithm) || hex.length !== hexLength[algorithm] || !/^[0-9a-f]+$/.test(hex)) return undefined;
  return `${algorithm}:${hex}`;
}

export function algorithmOf(digest: Digest): Algorithm {
  return digest.slice(0, digest.indexOf(':')) as Algorithm;
}

export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** Every digest of an SRI string (W3C Subresource Integrity, `sha512-<base64>` separated by blanks); unknown algorithms are left out. */
export function fromIntegrity(integrity: string): Digest[] {
  const found: Digest[] = [];
  for (const part of integrity.trim().split(/\s+/)) {
    const dash = part.indexOf('-');
    const base64 = part.slice(dash + 1).split('?')[0] ?? '';
    const digest = parseDigest(`${part.slice(0, dash)}:${Buffer.from(base64, 'base64').toString('hex')}`);
    if (digest) found.push(digest);
  }
  return found;
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** Several algorithms over the same bytes in one pass. sha256 is always among them. */
export class Digester {
  readonly #hashes: Map<Algorithm, Hash>;

  constructor(algorithms: Iterable<Algorithm> = []) {
    this.#hashes = new Map([...new Set<Algorithm>(['sha256', ...algorithms])].map((name) => [name, createHash(name)]));
  }

  update(chunk: Uint8Array): void {
    for (const hash of this.#hashes.values()) hash.update(chunk);
  }

  /** Ends the digester; sha256 comes first. */
  digests(): Digest[] {
    return [...this.#hashes].map(([name, hash]): Digest => `${name}:${hash.digest('hex')}`);
  }
}

/** The first expectation that the bytes do not meet; an expectation in an algorithm that was not computed counts as unmet. */
export function firstMismatch(
  expected: readonly Digest[],
  actual: readonly Digest[],
): { expected: Digest; actual: string } | undefined {
  for (const want of expected) {
    const have = actual.find((digest) => algorithmOf(digest) === algorithmOf(want));
    if (have !== want) return { expected: want, actual: have ?? 'not computed' };
  }
  return undefined;
}

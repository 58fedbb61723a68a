/** Digests in the spellings of lockfiles. Of several algorithms the strongest counts, with every digest that is given in it. */
import { type Algorithm, algorithmOf, type Digest, fromIntegrity, parseDigest } from '../core/digest.ts';

const byStrength = ['sha512', 'sha256', 'sha1', 'md5'] as const satisfies readonly Algorithm[];

export function strongest(digests: readonly (Digest | undefined)[]): readonly Digest[] {
  for (const algorithm of byStrength) {
    const found = digests.filter(
      (digest): digest is Digest => digest !== undefined && algorithmOf(digest) === algorithm,
    );
    if (found.length > 0) return [...new Set(found)];
  }
  return [];
}

/** Of subresource integrity (`sha512-<base64>`), which npm, pnpm, Yarn 1 and Bun write. */
export function integrityDigests(integrity: string | undefined): readonly Digest[] {
  return integrity === undefined ? [] : strongest(fromIntegrity(integrity));
}

/** `sha256:<hex>`, `sha256=<hex>`, or separately as CycloneDX and SPDX do (`SHA-256`, `SHA256`). Others are `undefined`. */
export function digestIn(algorithm: string | undefined, hex: string | undefined): Digest | undefined {
  if (algorithm === undefined || hex === undefined) return undefined;
  return parseDigest(`${algorithm.toLowerCase().replace(/[-_]/g, '')}:${hex}`);
}

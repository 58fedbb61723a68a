/** Digests that a client claims for what it sends, in any of the headers that have been in use for it. */
import { createHash, type Hash } from 'node:crypto';
import { type Algorithm, type Digest, parseDigest } from '../../core/digest.ts';
import { Problem } from '../../core/problem.ts';

type Headers = Readonly<Record<string, string | undefined>>;

/** `algorithm` of the header's own spelling, to ours. RFC 9530 and, for `sha`, RFC 3230. */
const names: Readonly<Record<string, Algorithm>> = {
  'sha-256': 'sha256',
  'sha-512': 'sha512',
  sha: 'sha1',
  md5: 'md5',
};

const plain: Readonly<Record<string, Algorithm>> = {
  'x-checksum-sha256': 'sha256',
  'x-checksum-sha512': 'sha512',
  'x-checksum-sha1': 'sha1',
  'x-checksum-md5': 'md5',
};

function checked(header: string, algorithm: Algorithm, hex: string): Digest {
  const digest = parseDigest(`${algorithm}:${hex}`);
  if (!digest) throw new Problem('bad_request', `The header ${header} holds no ${algorithm} digest.`);
  return digest;
}

const hexOfBase64 = (text: string): string => Buffer.from(text, 'base64').toString('hex');

/** `sha-256=:…:` (RFC 9530) or `sha-256=…` (RFC 3230), several with commas; unknown algorithms say nothing to us. */
function listed(header: string, value: string): Digest[] {
  return value.split(',').flatMap((item) => {
    const sign = item.indexOf('=');
    const algorithm = names[item.slice(0, sign).trim().toLowerCase()];
    const text = item.slice(sign + 1).trim();
    const base64 = /^:(.*):$/.exec(text)?.[1] ?? text;
    return algorithm === undefined ? [] : [checked(header, algorithm, hexOfBase64(base64))];
  });
}

/** Throws `bad_request` on a header that holds no digest. */
export function claimsIn(headers: Headers): Digest[] {
  const claims = Object.entries(plain).flatMap(([header, algorithm]) => {
    const value = headers[header];
    return value === undefined ? [] : [checked(header, algorithm, value.trim().toLowerCase())];
  });
  const md5 = headers['content-md5'];
  if (md5 !== undefined) claims.push(checked('content-md5', 'md5', hexOfBase64(md5)));
  for (const header of ['repr-digest', 'content-digest', 'digest']) {
    const value = headers[header];
    if (value !== undefined) claims.push(...listed(header, value));
  }
  return claims;
}

export interface ClaimCheck {
  /** The same bytes, looked at on their way. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** After the last byte; throws `digest_mismatch`. */
  verify(): void;
}

export function checkClaims(claims: readonly Digest[], body: AsyncIterable<Uint8Array>): ClaimCheck {
  const hashes = claims.map((claim): [Digest, Hash] => [claim, createHash(claim.slice(0, claim.indexOf(':')))]);
  async function* watched(): AsyncIterable<Uint8Array> {
    for await (const chunk of body) {
      for (const [, hash] of hashes) hash.update(chunk);
      yield chunk;
    }
  }
  return {
    bytes: hashes.length === 0 ? body : watched(),
    verify() {
      for (const [claim, hash] of hashes) {
        const hex = hash.digest('hex');
        if (claim.endsWith(`:${hex}`)) continue;
        throw new Problem('digest_mismatch', `What arrived has the digest ${hex}, not ${claim}: send it again.`);
      }
    },
  };
}

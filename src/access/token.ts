/**
 * What a token looks like: `lrd_`, thirty random letters and digits, and six that are a checksum of them, so that a secret
 * scanner knows one without asking anybody. Only its hash is ever written.
 */
import { createHash, randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';

export const tokenPrefix = 'lrd_';
/** For secret scanners. */
export const tokenPattern = /^lrd_[0-9A-Za-z]{36}$/;

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 178 bits. */
const randomLength = 30;
const checksumLength = 6;
const idLength = 12;

/** Letters and digits that nobody can guess. */
export function randomText(length: number): string {
  let text = '';
  for (let i = 0; i < length; i++) text += alphabet[randomInt(alphabet.length)];
  return text;
}

/** CRC-32 in base 62, which takes six digits at most. */
function checksumOf(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let i = 0; i < checksumLength; i++) {
    digits = `${alphabet[rest % alphabet.length]}${digits}`;
    rest = Math.floor(rest / alphabet.length);
  }
  return digits;
}

export function newToken(): string {
  const random = randomText(randomLength);
  return `${tokenPrefix}${random}${checksumOf(random)}`;
}

export const newTokenId = (): string => randomText(idLength);

/** Whether it can be one at all; a mistyped one never reaches the list. */
export function isWellFormed(token: string): boolean {
  if (!tokenPattern.test(token)) return false;
  const random = token.slice(tokenPrefix.length, tokenPrefix.length + randomLength);
  return checksumOf(random) === token.slice(tokenPrefix.length + randomLength);
}

/** What is stored in its place, in hexadecimal. A plain digest is enough for what has 178 random bits. */
export function hashOfToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/**
 * Tokens that say themselves who shows them: for clients that insist on a token of their own (registry clients), for CI jobs, and
 * in cookies. Valid for minutes, `lrd_` and a JWT (RFC 7519, HS256), so that scanners know them by the same prefix.
 */
import { createHmac } from 'node:crypto';
import { type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { Identity } from '../core/identity.ts';
import { randomText, tokenPrefix } from './token.ts';

/** What a sealed token is for; one for something else does not count. */
export type Purpose = 'token' | 'session' | 'sign-in';

export interface Opened<T> {
  readonly value: T;
  /** Seconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface Seals {
  /** Resolves to a JWT. `seconds` from now. */
  seal(purpose: Purpose, value: unknown, seconds: number): Promise<string>;
  /** Changes with the text, and tells nothing of it. */
  mark(text: string): string;
  /** `expired`: it is ours, and was good. `undefined`: it is not ours. */
  open<T>(purpose: Purpose, text: string): Promise<Opened<T> | 'expired' | undefined>;
}

const issuer = 'larder';

export function createSeals(key: Uint8Array, now: () => number): Seals {
  return {
    seal(purpose, value, seconds) {
      const at = Math.floor(now() / 1000);
      return new SignJWT({ v: value })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setIssuer(issuer)
        .setAudience(purpose)
        .setJti(randomText(12))
        .setIssuedAt(at)
        .setExpirationTime(at + seconds)
        .sign(key);
    },
    mark: (text) => createHmac('sha256', key).update(`mark:${text}`).digest('base64url').slice(0, 22),
    async open<T>(purpose: Purpose, text: string) {
      let payload: JWTPayload;
      try {
        ({ payload } = await jwtVerify(text, key, {
          algorithms: ['HS256'],
          issuer,
          audience: purpose,
          requiredClaims: ['exp', 'iat'],
          currentDate: new Date(now()),
        }));
      } catch (error) {
        // Signature and purpose are looked at first.
        return (error as { code?: string }).code === 'ERR_JWT_EXPIRED' ? 'expired' : undefined;
      }
      return { value: payload.v as T, issuedAt: payload.iat ?? 0, expiresAt: payload.exp ?? 0 };
    },
  };
}

const sealedStart = `${tokenPrefix}eyJ`;

export const isSealed = (token: string): boolean => token.startsWith(sealedStart) && token.includes('.');

/** What a sealed token says of who shows it. */
export interface SealedIdentity {
  readonly kind: 'user' | 'service' | 'ci';
  readonly name: string;
  readonly org?: string;
  readonly token?: Identity['token'];
  readonly claims?: Identity['claims'];
  /** The token that it was given for: once that one is gone, so is this. */
  readonly parent?: string;
  /** Of the password that it was given for, if no token was: once that is another one, so is this. */
  readonly mark?: string;
}

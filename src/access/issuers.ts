/** ID tokens of CI jobs: whose they are, checked against the keys that their issuer publishes (OpenID Connect Discovery 1.0). */
import {
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  errors,
  type JWTPayload,
  jwtVerify,
  type RemoteJWKSet,
} from 'jose';
import { publish } from '../core/events.ts';
import type { Identity } from '../core/identity.ts';
import { Problem } from '../core/problem.ts';
import type { Fetch } from './access.ts';
import type { IssuerSettings } from './settings.ts';

export interface Issuers {
  /** Throws a Problem: `unauthorized` says what is wrong with the token, `upstream_unavailable` that its issuer does not answer. */
  verify(idToken: string, audiences: readonly string[]): Promise<Identity>;
}

/** No shared secrets, and nothing unsigned. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const longestToken = 16 * 1024;
const largestDocument = 256 * 1024;
const clockSkewSeconds = 60;
const patienceMs = 5_000;
const discoveryMs = 3_600_000;
/** A key that is not known makes the keys be asked for again, this often at most: keys are rotated, and tokens are made up. */
const usualKeysAgainMs = 10_000;
/** Claims that go into a token of ours: names and values together. */
const mostClaimBytes = 4096;
/** They say nothing about the job. */
const registered = new Set(['iss', 'aud', 'exp', 'iat', 'nbf', 'jti']);

interface Discovered {
  readonly keys: RemoteJWKSet;
  readonly until: number;
}

export function createIssuers(
  issuers: Readonly<Record<string, IssuerSettings>>,
  fetch: Fetch,
  now: () => number,
  keysAgainMs = usualKeysAgainMs,
): Issuers {
  const discovered = new Map<string, Promise<Discovered>>();

  async function keysOf(url: string): Promise<RemoteJWKSet> {
    const known = await discovered.get(url)?.catch(() => undefined);
    if (known && known.until > now()) return known.keys;
    const asked = discover(url, fetch, now, keysAgainMs);
    discovered.set(url, asked);
    try {
      return (await asked).keys;
    } catch (error) {
      // Keys that were good an hour ago are better than none.
      if (known) {
        discovered.set(url, Promise.resolve(known));
        return known.keys;
      }
      discovered.delete(url);
      publish('fault', { where: `asking the issuer ${url} for its keys`, error });
      throw unavailable(url, error);
    }
  }

  return {
    async verify(idToken, audiences) {
      if (idToken.length > longestToken) throw refused('it is too long');
      const [name, settings] = find(issuers, idToken);
      const expected = [...settings.audiences, ...audiences];
      let payload: JWTPayload;
      try {
        ({ payload } = await jwtVerify(idToken, await keysOf(settings.url), {
          algorithms,
          issuer: settings.url,
          audience: expected,
          clockTolerance: clockSkewSeconds,
          requiredClaims: ['exp', 'sub'],
          currentDate: new Date(now()),
        }));
      } catch (error) {
        throw asProblem(error, settings.url, expected);
      }
      const { sub = '' } = payload;
      if (sub === '') throw refused('it names no subject');
      return { kind: 'ci', name: `${name}:${sub}`, presented: true, claims: claimsIn(payload) };
    },
  };
}

function find(issuers: Readonly<Record<string, IssuerSettings>>, idToken: string): [string, IssuerSettings] {
  let iss: string | undefined;
  try {
    ({ iss } = decodeJwt(idToken));
  } catch {
    throw refused('it is no JWT');
  }
  const found = Object.entries(issuers).find(([, { url }]) => url === iss);
  if (!found) throw refused(`its issuer ${String(iss).slice(0, 200)} is none of those that this server believes`);
  return found;
}

async function discover(url: string, fetch: Fetch, now: () => number, keysAgainMs: number): Promise<Discovered> {
  const document = await readJson(fetch, `${url.replace(/\/$/, '')}/.well-known/openid-configuration`);
  const { issuer, jwks_uri: address } = document as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
  if (issuer !== url) throw new Error(`It calls itself ${JSON.stringify(issuer)}.`);
  if (typeof address !== 'string' || !URL.canParse(address)) throw new Error('It names no jwks_uri.');
  const keysUrl = new URL(address);
  if (keysUrl.protocol !== 'https:' && keysUrl.protocol !== new URL(url).protocol) {
    throw new Error('Its keys can only be had without encryption.');
  }
  const keys = createRemoteJWKSet(keysUrl, {
    timeoutDuration: patienceMs,
    cooldownDuration: keysAgainMs,
    cacheMaxAge: discoveryMs,
    [customFetch]: async (at, { headers, signal }) =>
      limited(await fetch(at, { headers: Object.fromEntries(headers.entries()), ...(signal && { signal }) })),
  });
  return { keys, until: now() + discoveryMs };
}

async function readJson(fetch: Fetch, url: string): Promise<unknown> {
  const response = await limited(
    await fetch(url, { headers: { accept: 'application/json' }, signal: AbortSignal.timeout(patienceMs) }),
  );
  if (response.status !== 200) throw new Error(`${url} answers ${response.status}.`);
  return response.json();
}

/** The same answer, read to its end and not further than any such document is long. */
export async function limited(response: Response): Promise<Response> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > largestDocument) throw new Error(`${response.url || 'The issuer'} answers with too much.`);
    chunks.push(chunk);
  }
  const { status, headers } = response;
  const body = [204, 205, 304].includes(status) ? null : Buffer.concat(chunks);
  return new Response(body, { status, headers });
}

const refused = (why: string): Problem => new Problem('unauthorized', `This ID token is not taken: ${why}.`);

const unavailable = (url: string, cause: unknown): Problem =>
  new Problem('upstream_unavailable', `The issuer ${url} can't be asked for its keys at the moment.`, { cause });

function asProblem(error: unknown, url: string, audiences: readonly string[]): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof errors.JWTExpired) return refused('it has expired');
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim !== 'aud') return refused(`its claim ${error.claim} does not hold`);
    return refused(
      `it is made out for somebody else; ask for the audience ${audiences.map((a) => `"${a}"`).join(' or ')}`,
    );
  }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return refused('it is signed with a key that its issuer does not have');
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return refused('it is signed in a way that is not safe');
  if (error instanceof errors.JWSSignatureVerificationFailed) return refused('its signature is wrong');
  if (error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) return unavailable(url, error);
  if (
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JOSENotSupported
  ) {
    return refused('it is malformed');
  }
  return unavailable(url, error);
}

/** Text, numbers and yes or no, in text; the rest is nothing that a rule can be about. */
function claimsIn(payload: JWTPayload): Record<string, string> {
  const claims: Record<string, string> = {};
  let size = 0;
  for (const [name, value] of Object.entries(payload)) {
    if (registered.has(name) || !['string', 'number', 'boolean'].includes(typeof value)) continue;
    const text = String(value);
    size += Buffer.byteLength(name) + Buffer.byteLength(text);
    if (size > mostClaimBytes) break;
    claims[name] = text;
  }
  return claims;
}

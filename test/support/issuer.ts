/** An OpenID Connect issuer: discovery, keys that can be rotated, ID tokens for CI jobs, and sign-in of people by code. */
import { createHash, randomUUID } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: Parameters<SignJWT['sign']>[0];
  readonly jwk: JWK;
}

export interface Issuer {
  /** As it stands in `iss`. */
  readonly url: string;
  /** How many times its keys were asked for. */
  readonly keyRequests: number;
  /** Signs with the newest key. `exp` is in ten minutes unless given. */
  token(claims: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>;
  /** A new key from now on; the old ones are published no more. */
  rotate(alg?: string): Promise<void>;
  /** Who signs in next, without asking. */
  person: Readonly<Record<string, unknown>>;
  /** Claims of the job that asks for its ID token at `/actions?audience=…`, as jobs of GitHub Actions do. */
  job: Readonly<Record<string, unknown>>;
  /** Answers 503 to everything. */
  down: boolean;
  /** Makes it call itself by another name. */
  alias: string | undefined;
  close(): Promise<void>;
}

export interface IssuerOptions {
  readonly clientId?: string;
  readonly clientSecret?: string;
  /** Says nothing of the person but in the answer of its userinfo address. */
  readonly terse?: boolean;
}

interface Code {
  readonly clientId: string;
  readonly redirectUri: string;
  readonly challenge: string;
  readonly nonce: string;
  readonly person: Readonly<Record<string, unknown>>;
}

export async function startIssuer({ clientId = 'larder', clientSecret, terse }: IssuerOptions = {}): Promise<Issuer> {
  let key = await makeKey('ES256');
  const codes = new Map<string, Code>();
  const accessTokens = new Map<string, Readonly<Record<string, unknown>>>();
  const state = { keyRequests: 0, down: false, alias: undefined as string | undefined };
  let person: Readonly<Record<string, unknown>> = { sub: '1', preferred_username: 'alice', groups: [] };
  let job: Readonly<Record<string, unknown>> = { sub: 'repo:acme/shop:ref:refs/heads/main' };
  let url = '';

  const sign = (claims: Readonly<Record<string, unknown>>, header: Readonly<Record<string, unknown>> = {}) => {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ iss: url, iat: now, exp: now + 600, ...claims })
      .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
      .sign(key.privateKey);
  };

  function authorize(query: URLSearchParams): string {
    const redirectUri = query.get('redirect_uri') ?? '';
    const code = randomUUID();
    codes.set(code, {
      clientId: query.get('client_id') ?? '',
      redirectUri,
      challenge: query.get('code_challenge_method') === 'S256' ? (query.get('code_challenge') ?? '') : '',
      nonce: query.get('nonce') ?? '',
      person,
    });
    const back = new URL(redirectUri);
    back.searchParams.set('code', code);
    back.searchParams.set('state', query.get('state') ?? '');
    return back.href;
  }

  async function tokenFor(form: URLSearchParams, authorization: string | undefined): Promise<unknown> {
    const code = codes.get(form.get('code') ?? '');
    codes.delete(form.get('code') ?? '');
    const verifier = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    // As RFC 6749 (2.3.1) has it: both as in a form.
    const basic = new URLSearchParams(
      Buffer.from(authorization?.slice('Basic '.length) ?? '', 'base64')
        .toString()
        .replace(':', '='),
    );
    const isClient =
      clientSecret === undefined || form.get('client_secret') === clientSecret || basic.get(clientId) === clientSecret;
    const isRight =
      code !== undefined && isClient && code.challenge === verifier && code.redirectUri === form.get('redirect_uri');
    if (!isRight) return undefined;
    const access = randomUUID();
    accessTokens.set(access, code.person);
    const { sub } = code.person;
    const idToken = await sign({ aud: code.clientId, nonce: code.nonce, ...(terse ? { sub } : code.person) });
    return { access_token: access, token_type: 'Bearer', expires_in: 60, id_token: idToken };
  }

  const server = http.createServer(async (req, res) => {
    const asked = new URL(req.url ?? '/', url);
    const json = (value: unknown, status = 200): void => {
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    if (state.down) return json({}, 503);
    switch (asked.pathname) {
      case '/.well-known/openid-configuration':
        return json({
          issuer: state.alias ?? url,
          jwks_uri: `${url}/keys`,
          authorization_endpoint: `${url}/authorize`,
          token_endpoint: `${url}/token`,
          userinfo_endpoint: `${url}/userinfo`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256', 'ES256'],
          code_challenge_methods_supported: ['S256'],
        });
      case '/keys':
        state.keyRequests++;
        return json({ keys: [key.jwk] });
      case '/actions':
        return json({ value: await sign({ ...job, aud: asked.searchParams.get('audience') }) });
      case '/authorize':
        res.writeHead(302, { location: authorize(asked.searchParams) }).end();
        return;
      case '/token': {
        let body = '';
        for await (const chunk of req) body += String(chunk);
        const given = await tokenFor(new URLSearchParams(body), req.headers.authorization);
        return given ? json(given) : json({ error: 'invalid_grant' }, 400);
      }
      case '/userinfo': {
        const found = accessTokens.get(req.headers.authorization?.slice('Bearer '.length) ?? '');
        return found ? json(found) : json({}, 401);
      }
      default:
        return json({}, 404);
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    url,
    get keyRequests() {
      return state.keyRequests;
    },
    token: sign,
    async rotate(alg = 'ES256') {
      key = await makeKey(alg);
    },
    get person() {
      return person;
    },
    set person(next) {
      person = next;
    },
    get job() {
      return job;
    },
    set job(next) {
      job = next;
    },
    get down() {
      return state.down;
    },
    set down(down) {
      state.down = down;
    },
    get alias() {
      return state.alias;
    },
    set alias(alias) {
      state.alias = alias;
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

async function makeKey(alg: string): Promise<Key> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const kid = randomUUID();
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

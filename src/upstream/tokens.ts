/**
 * Tokens for upstreams that want one: asks the token server that a challenge names (the token flow of the distribution
 * specification), keeps what it hands out, and remembers what was challenged so that the next request brings its token.
 */
import { type Claims, createClaims } from '../core/claims.ts';
import { Problem } from '../core/problem.ts';
import { type TokenChallenge, tokenChallengeOf, tokenUrl } from './challenge.ts';
import type { Ask, Reply } from './client.ts';
import { authorizationOf, type Credentials } from './credentials.ts';
import { type Head, invalid, unavailable } from './verdict.ts';

const maxTokens = 1000;
const maxChallenges = 5000;
const maxAnswerBytes = 64 * 1024;

// Most servers take no more than that in all headers together.
const maxTokenLength = 16 * 1024;

// The specification's default, and the least that clients of it assume.
const leastLifetimeSeconds = 60;
const longestLifetimeSeconds = 24 * 60 * 60;

/** So long before its end a token is not sent any more: it has to outlast the way, and two clocks. */
const longestMarginMs = 30_000;
const marginShare = 1 / 6;

/** A remembered challenge that is out of date, then a token that is. */
const maxNewAttempts = 2;

const brokenOffWaitMs = 5000;

/** What one request, with its retries and redirects, shows an origin to be let in. */
export interface Login {
  /** Where, and nowhere else. */
  readonly origin: string;
  /**
   * Value of the `Authorization` header. A promise only when a token has to be asked for first, so that whoever needs
   * none takes its turn in the order of asking; trouble with that is a problem.
   */
  authorization(ask: Ask): string | undefined | Promise<string>;
  /** After a 401 from the origin: whether what `authorization` gives from now on may be let in. */
  mayAskAgain(head: Head): boolean;
  /** The error, saying more where more is known. */
  explain(error: unknown): unknown;
}

interface Token {
  readonly value: string;
  /** Milliseconds since the epoch. */
  readonly usableUntil: number;
}

/** What all upstreams of one process have been handed out and challenged with. In memory only. */
export interface Tokens {
  /** One that can still be sent. */
  get(key: string): string | undefined;
  /** Whoever wants the same one while it is being fetched waits for it too; `signal` ends the waiting, not the fetching. */
  obtain(
    key: string,
    fetch: (claims: Claims) => Promise<Token>,
    asked: Pick<Ask, 'claims' | 'signal'>,
  ): Promise<string>;
  /** Unless there is another one by now. */
  drop(key: string, value: string): void;
  readonly challenges: Recent<TokenChallenge>;
}

export function createTokens(clock: () => number): Tokens {
  const tokens = createRecent<Token>(maxTokens);
  const coming = new Map<string, { readonly token: Promise<Token>; readonly claims: Claims }>();

  function start(key: string, fetch: (claims: Claims) => Promise<Token>, claims: Claims): Promise<Token> {
    const fetching = fetch(claims)
      .then((token) => {
        tokens.set(key, token);
        return token;
      })
      .finally(() => coming.delete(key));
    coming.set(key, { token: fetching, claims });
    return fetching;
  }

  return {
    get(key) {
      const known = tokens.get(key);
      return known && clock() < known.usableUntil ? known.value : undefined;
    },
    async obtain(key, fetch, { claims, signal }) {
      const found = coming.get(key);
      if (found && claims) found.claims.join(claims);
      const { value } = await unlessAborted(found?.token ?? start(key, fetch, joinable(claims)), signal);
      return value;
    },
    drop(key, value) {
      if (tokens.get(key)?.value === value) tokens.delete(key);
    },
    challenges: createRecent(maxChallenges),
  };
}

export interface LoginsOptions {
  /** Name of the upstream, for messages. */
  readonly name: string;
  readonly home: URL;
  readonly auth: Credentials | undefined;
  readonly identity: string;
  /** Origins that may be shown `auth` as the home may. */
  readonly realms: readonly string[];
  /** For the whole of a token server's answer, and between two chunks of it. */
  readonly timeoutMs: number;
  readonly tokens: Tokens;
  readonly clock: () => number;
  /** One request with its retries and redirects, through the guard and the origin's queue. */
  readonly send: (ask: Ask, login: Login, isContinued: boolean) => Promise<Reply>;
}

/** Gives each request to an upstream its login; `about` is what the request is about, as in `Ask`. */
export function openLogins(options: LoginsOptions): (about: string | undefined) => Login {
  const { name, home, auth, identity, tokens, clock, send } = options;
  const own = auth && authorizationOf(auth);
  const shownTo = new Set([home.origin, ...options.realms.map((realm) => new URL(realm).origin)]);

  function mayBeShown(url: URL): boolean {
    return shownTo.has(url.origin);
  }

  // Another upstream with the same credentials may not be allowed to show them there.
  function keyOf(challenge: TokenChallenge): string {
    return `${identity} ${mayBeShown(tokenUrl(challenge)) ? 'ours' : 'anonymous'} ${challenge.key}`;
  }

  async function read({ body }: Reply): Promise<string> {
    const chunks: Buffer[] = [];
    let size = 0;
    const tooLong = setTimeout(() => body.destroy(), options.timeoutMs);
    try {
      for await (const chunk of body) {
        size += chunk.length;
        if (size > maxAnswerBytes) throw invalid(name, 'sent far more than a token');
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw unavailable(name, 'broke off in the middle of it', brokenOffWaitMs, error);
    } finally {
      clearTimeout(tooLong);
    }
    return Buffer.concat(chunks).toString();
  }

  async function fetchToken(
    challenge: TokenChallenge,
    { requestId }: Ask,
    isContinued: boolean,
    claims: Claims,
  ): Promise<Token> {
    const askedAt = clock();
    const url = tokenUrl(challenge);
    if (home.protocol === 'https:' && url.protocol === 'http:') {
      throw invalid(name, 'sent us to an address without https');
    }
    const shown = mayBeShown(url) ? own : undefined;
    const login: Login = {
      origin: url.origin,
      authorization: () => shown,
      mayAskAgain: () => false,
      explain: (error) => error,
    };
    const reply = await send(
      {
        method: 'GET',
        url: url.href,
        headers: { accept: 'application/json', 'accept-encoding': 'identity' },
        linked: true,
        claims,
        ...(requestId === undefined ? {} : { requestId }),
      },
      login,
      isContinued,
    );
    if (reply.status !== 200) {
      reply.discard();
      throw invalid(name, `answered ${reply.status}`);
    }
    const token = parseToken(await read(reply), askedAt);
    if (!token) throw invalid(name, 'sent something that is none');
    return token;
  }

  return (about) => {
    const memory = `${identity} ${about ?? ''}`;
    let challenge = tokens.challenges.get(memory);
    let sent: { readonly key: string; readonly value: string } | undefined;
    let hasSentOwn = false;
    let newest: string | undefined;
    let newAttempts = 0;

    async function obtain(wanted: TokenChallenge, key: string, ask: Ask): Promise<string> {
      const isContinued = newAttempts > 0;
      try {
        newest = await tokens.obtain(key, (claims) => fetchToken(wanted, ask, isContinued, claims), ask);
        return bearer(key, newest);
      } catch (error) {
        if (!isTokenTrouble(error)) throw error;
        // The upstream may have another token server by now: the next request hears what it says.
        tokens.challenges.delete(memory);
        throw explained(error);
      }
    }

    function bearer(key: string, value: string): string {
      sent = { key, value };
      return `Bearer ${value}`;
    }

    return {
      origin: home.origin,
      authorization(ask) {
        if (challenge) {
          const key = keyOf(challenge);
          const known = tokens.get(key);
          return known === undefined ? obtain(challenge, key, ask) : bearer(key, known);
        }
        sent = undefined;
        hasSentOwn = true;
        return own;
      },
      mayAskAgain({ headers }) {
        // A bearer token in the configuration is all there is; an anonymous one would only hide that it has expired.
        if (auth && 'bearer' in auth) return false;
        const next = tokenChallengeOf(headers['www-authenticate']);
        const isSame = next !== undefined && sent?.key === keyOf(next);
        // A token for something else may be as good as ever.
        if (sent && (isSame || !next)) tokens.drop(sent.key, sent.value);
        newAttempts += 1;
        if (next) tokens.challenges.set(memory, next);
        else tokens.challenges.delete(memory);
        challenge = next;
        if (newAttempts > maxNewAttempts) return false;
        if (!next) return !hasSentOwn;
        return !(isSame && sent?.value === newest);
      },
      explain(error) {
        if (!(error instanceof Problem) || error.code !== 'upstream_refused') return error;
        if (!own) return unknownHere(name, error);
        if (!challenge || mayBeShown(tokenUrl(challenge))) return error;
        const message = `${error.message} They were not shown to its token server, which is at another address; if it is right, name that under "realms" of this upstream.`;
        return new Problem(error.code, message, { cause: error.cause });
      },
    };
  };
}

/** What others may join without waiting for the rest of what the first one asks. */
function joinable(claims: Claims | undefined): Claims {
  const own = createClaims(claims?.first ?? { priority: 'client' });
  if (claims) own.join(claims);
  return own;
}

/** `undefined` for anything that is no token. Nothing of the text gets into an error. */
function parseToken(text: string, askedAt: number): Token | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof answer !== 'object' || answer === null) return undefined;
  const { token, access_token: accessToken, expires_in: expiresIn } = answer as Readonly<Record<string, unknown>>;
  const value = [token, accessToken].find((one) => typeof one === 'string' && one !== '');
  // More than RFC 6750 lets a token consist of, and nothing that could end a header.
  if (typeof value !== 'string' || value.length > maxTokenLength || !/^[\x21-\x7e]+$/.test(value)) return undefined;
  const told = typeof expiresIn === 'number' ? expiresIn : leastLifetimeSeconds;
  const lifetimeMs = Math.min(Math.max(told, leastLifetimeSeconds), longestLifetimeSeconds) * 1000;
  return { value, usableUntil: askedAt + lifetimeMs - Math.min(longestMarginMs, lifetimeMs * marginShare) };
}

/** As opposed to our own queue being full, or nobody waiting any more. */
function isTokenTrouble(error: unknown): error is Problem {
  return error instanceof Problem && error.code.startsWith('upstream_');
}

/** Docker Hub and GitHub's registry answer so for names that do not exist: whoever mistyped one is not to look for credentials. */
function unknownHere(upstream: string, { code, cause }: Problem): Problem {
  const message = `The upstream "${upstream}" gives this to nobody without credentials, and none are configured; registries say the same of what does not exist. Check the name, or set auth: of this upstream.`;
  return new Problem(code, message, { cause });
}

/** So that nobody looks for the mistake where the packages are. */
function explained(error: Problem): Problem {
  const { code, message, cause, retryAfterSeconds } = error;
  const words = `Asked for a token, ${message.slice(0, 1).toLowerCase()}${message.slice(1)}`;
  return new Problem(code, words, { cause, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) });
}

/** A map that forgets what was not used for longest. */
interface Recent<T> {
  get(key: string): T | undefined;
  set(key: string, value: T): void;
  delete(key: string): void;
}

function createRecent<T>(max: number): Recent<T> {
  const entries = new Map<string, T>();
  function set(key: string, value: T): void {
    entries.delete(key);
    entries.set(key, value);
    const [oldest] = entries.keys();
    if (entries.size > max && oldest !== undefined) entries.delete(oldest);
  }
  return {
    get(key) {
      const value = entries.get(key);
      if (value !== undefined) set(key, value);
      return value;
    },
    set,
    delete: (key) => void entries.delete(key),
  };
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}

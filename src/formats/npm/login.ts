/** Signing in, tokens and the profile, as npm and those that speak its protocol ask for them. */
import type { Body, Call, Credentials, CredentialsAsk, Identity, Intent, TokenFacts } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { type Json, jsonBody, parseJson } from './json.ts';

const donePath = '-/v1/done';
const userPrefix = 'org.couchdb.user:';

function bodyOf(body: Uint8Array): Json {
  if (body.length === 0) return {};
  try {
    return parseJson(body);
  } catch (error) {
    throw new Problem('bad_request', 'The request body is no JSON object.', { cause: error });
  }
}

function textIn(json: Json, key: string): string | undefined {
  const value = json[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function unexpected(): never {
  throw new Problem('internal', 'Signing in came to something that npm has no answer for.');
}

const noStore = { 'cache-control': 'no-store' };

function answerJson(json: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Body {
  return { ...jsonBody(json, { ...noStore, ...headers }), status };
}

/** `POST /-/v1/login`: an address for the browser, and one that npm asks until somebody has signed in there. */
export const webLogin: Credentials = {
  kind: 'credentials',
  ask: () => ({ want: 'web-open' }),
  reply: (outcome, { base }) =>
    outcome.is === 'web-opened'
      ? answerJson({
          loginUrl: outcome.loginUrl,
          doneUrl: `${base}/${donePath}?session=${encodeURIComponent(outcome.session)}`,
        })
      : unexpected(),
};

/** `GET /-/v1/done?session=…`: 202 while nobody has. A secret, so it is not in the path, which logs show. */
export const webDone: Credentials = {
  kind: 'credentials',
  ask: ({ query }) => ({ want: 'web-poll', session: query.get('session') ?? '' }),
  reply(outcome) {
    if (outcome.is === 'token') return answerJson({ token: outcome.token });
    if (outcome.is !== 'web-waiting') return unexpected();
    return answerJson({}, 202, { 'retry-after': String(outcome.retryAfterSeconds) });
  },
};

function userOf({ params }: Call): string {
  const user = params.user ?? '';
  if (!/^[^\s/:]{1,128}$/.test(user)) throw new Problem('bad_request', 'This is no user name.');
  return user;
}

/** `PUT /-/user/org.couchdb.user:{name}`, with or without a revision: a token for a password (or for a token in its place). */
export const passwordLogin: Credentials = {
  kind: 'credentials',
  ask(call, body) {
    const json = bodyOf(body);
    const user = userOf(call);
    const password = textIn(json, 'password');
    if (password === undefined)
      throw new Problem('bad_request', 'Signing in needs a password, or a token in its place.');
    if (json.name !== undefined && json.name !== user) {
      throw new Problem('bad_request', 'The address and the body name different users.');
    }
    return { want: 'token', user, password, description: 'npm login' };
  },
  reply(outcome) {
    if (outcome.is !== 'token') return unexpected();
    const { user, token, id } = outcome;
    return answerJson({ ok: true, id: `${userPrefix}${user}`, rev: id, token }, 201);
  },
};

/** `DELETE /-/user/token/{token}`, as signing out does it, and `DELETE /-/npm/v1/tokens/token/{key}`. */
export const revoke: Credentials = {
  kind: 'credentials',
  ask: ({ params }) => ({ want: 'revoke', token: params.token ?? '' }),
  reply: (outcome) => (outcome.is === 'revoked' ? answerJson({ ok: true }) : unexpected()),
};

/** npm shows only `token`, `created` and whether it can but read; it revokes what begins like `token`. */
function listed({ id, description, may, createdAt, expiresAt, lastUsedAt, names, repositories }: TokenFacts): Json {
  return {
    key: id,
    token: 'lrd_',
    name: description ?? '',
    created: createdAt,
    updated: createdAt,
    readonly: may.every((action) => action === 'read'),
    permissions: may,
    cidr_whitelist: null,
    ...(expiresAt === undefined ? {} : { expires: expiresAt }),
    ...(lastUsedAt === undefined ? {} : { last_used: lastUsedAt }),
    ...(names ? { packages: names } : {}),
    ...(repositories ? { repositories } : {}),
  };
}

export const listTokens: Credentials = {
  kind: 'credentials',
  ask: () => ({ want: 'list' }),
  reply: (outcome) =>
    outcome.is === 'tokens'
      ? answerJson({ objects: outcome.tokens.map(listed), total: outcome.tokens.length, urls: {} })
      : unexpected(),
};

/** A limit that can't be kept is refused: whoever asks for it relies on it. */
const notKept = ['packages', 'scopes', 'orgs', 'cidr_whitelist', 'cidr'] as const;

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}

function askForToken(json: Json): CredentialsAsk {
  const limit = notKept.find((key) => !isEmpty(json[key]));
  if (limit !== undefined) {
    throw new Problem(
      'bad_request',
      `A token can't be limited by ${limit} here; larder token create has --names and --repositories.`,
    );
  }
  const permission = textIn(json, 'packages_and_scopes_permission');
  if (permission !== undefined && !/^read-(?:only|write)$/.test(permission)) {
    throw new Problem(
      'bad_request',
      `There are no tokens here that are ${permission.slice(0, 40)}: read-only or read-write.`,
    );
  }
  const { expires } = json;
  if (!isEmpty(expires) && !(Number.isSafeInteger(expires) && Number(expires) > 0)) {
    throw new Problem('bad_request', 'The time after which a token expires is a number of days.');
  }
  const password = textIn(json, 'password');
  const description = textIn(json, 'description') ?? textIn(json, 'name');
  return {
    want: 'token',
    ...(password === undefined ? {} : { password }),
    ...(description === undefined ? {} : { description: description.slice(0, 256) }),
    ...(json.readonly === true || permission === 'read-only' ? { may: ['read'] } : {}),
    ...(isEmpty(expires) ? {} : { expiresInDays: Number(expires) }),
  };
}

export const createToken: Credentials = {
  kind: 'credentials',
  ask: (_call, body) => askForToken(bodyOf(body)),
  reply(outcome) {
    if (outcome.is !== 'token') return unexpected();
    return answerJson({ token: outcome.token, key: outcome.id, name: outcome.user, cidr_whitelist: [] }, 201);
  },
};

/** Who asks for something about themselves shows who that is. */
function known(who: Identity, of: (name: string) => Json): Body {
  if (who.kind !== 'anonymous') return jsonBody(of(who.name ?? who.kind));
  const message = who.rejected ?? 'You are not logged in, and this address can be read without.';
  return { ...jsonBody({ error: message }, { 'npm-notice': noticeOf(message) }), status: 401 };
}

export function whoami(who: Identity): Body {
  return known(who, (username) => ({ username }));
}

export function profile(who: Identity): Body {
  return known(who, (name) => ({
    name,
    email: '',
    email_verified: false,
    tfa: null,
    cidr_whitelist: null,
    fullname: '',
    ...(who.org === undefined ? {} : { org: who.org }),
  }));
}

/** `GET /-/user/org.couchdb.user:{name}`: asked before an owner is added. Says nothing about whether there is such a user. */
export function user(call: Call): Intent | undefined {
  const { user: name = '' } = call.params;
  if (!/^[^\s/:]{1,128}$/.test(name)) return undefined;
  return {
    kind: 'answer',
    body: jsonBody({ _id: `${userPrefix}${name}`, name, email: '', type: 'user', roles: [] }),
  };
}

/** A header of one line; npm prints it. */
export function noticeOf(message: string): string {
  return message.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 500);
}

/** `gem signin`: a key for whoever shows name and password. */
import type { Body, Call, Credentials, CredentialsAsk, CredentialsOutcome } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import type { Action } from '../../core/repository.ts';
import { textBody } from './text.ts';

/** What the client calls scopes; those about web hooks and the dashboard have nothing here that they could be for. */
const scopes: Readonly<Record<string, Action>> = {
  push_rubygem: 'publish',
  yank_rubygem: 'delete',
  add_owner: 'admin',
  remove_owner: 'admin',
  update_owner: 'admin',
};

const isOn = (value: string | null): boolean => value !== null && !/^(?:false|0|)$/.test(value);

/** User and password of `Authorization: Basic`; nothing when it is something else. */
function shown(authorization = ''): { readonly user?: string; readonly password?: string } {
  const [, encoded] = /^Basic +(\S+)$/i.exec(authorization.trim()) ?? [];
  if (encoded === undefined) return {};
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 ? { user: text } : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

function ask({ headers }: Call, body: Uint8Array): CredentialsAsk {
  const form = new URLSearchParams(Buffer.from(body).toString('utf8'));
  const description = form.get('name')?.slice(0, 200);
  const asked = Object.entries(scopes).flatMap(([scope, action]) => (isOn(form.get(scope)) ? [action] : []));
  return {
    want: 'token',
    ...shown(headers.authorization),
    ...(description ? { description } : {}),
    // What may be changed may be seen.
    may: [...new Set<Action>(['read', ...asked])],
  };
}

/** The body of the answer is the key, and nothing else: `gem` keeps it as it is. */
function reply(outcome: CredentialsOutcome): Body {
  if (outcome.is !== 'token') throw new Problem('internal', 'A key was asked for, and something else was made.');
  return textBody(outcome.token);
}

export const signIn: Credentials = { kind: 'credentials', ask, reply };

/** Whoever shows name and password, or a token, gets a key that may do what they may. */
export const oldSignIn: Credentials = {
  kind: 'credentials',
  ask: () => ({ want: 'token', description: 'gem' }),
  reply,
};

/** What we show an upstream to be let in, and the name under which its answers are kept apart from other people's. */
import { createHash } from 'node:crypto';

export type Credentials = { readonly bearer: string } | { readonly username: string; readonly password: string };

/** Value of the `Authorization` header. */
export function authorizationOf(auth: Credentials): string {
  if ('bearer' in auth) return `Bearer ${auth.bearer}`;
  return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
}

/** Equal only for the same address with the same credentials. A digest, so it can be written anywhere. */
export function identityOf(url: string, auth: Credentials | undefined): string {
  const authorization = auth ? authorizationOf(auth) : '';
  return createHash('sha256').update(`${url}\n${authorization}`).digest('hex').slice(0, 32);
}

/** A URL with `user:password@` is read as one without and credentials, so that they never travel inside an address. */
export function splitUrl(text: string): { readonly url: URL; readonly auth?: Credentials } {
  const url = new URL(text);
  if (url.username === '' && url.password === '') return { url };
  const auth = { username: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  url.username = '';
  url.password = '';
  return { url, auth };
}

/**
 * Where an upstream is and who we are there, from its settings: credentials of their own go before those in the address. What
 * is stored is kept under `identity`, so whoever looks for it has to come to the same one.
 */
export function homeOf(settings: { readonly url: string; readonly auth?: Credentials | undefined }): {
  readonly home: URL;
  /** Without trailing slash. */
  readonly base: string;
  readonly auth: Credentials | undefined;
  readonly identity: string;
} {
  const { url: home, auth: inUrl } = splitUrl(settings.url);
  const auth = settings.auth ?? inUrl;
  const base = home.href.replace(/\/+$/, '');
  return { home, base, auth, identity: identityOf(base, auth) };
}

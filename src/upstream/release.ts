/** Sends what is published at an upstream: once, with the upstream's own credentials, and never along a redirect. */
import { Problem } from '../core/problem.ts';
import { authorizationOf, type Credentials } from './credentials.ts';
import type { PlainFetch } from './plain-fetch.ts';

export interface ReleaseTarget {
  readonly name: string;
  readonly url: string;
  readonly format?: string;
  readonly auth?: Credentials;
}

/** Longest time for sending all of it and for the answer. */
const sendingMs = 30 * 60_000;
const answerBytes = 64 * 1024;

export interface Release {
  readonly method: 'PUT' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
}

/** Rejects with a Problem when it is not reached, or when there are no credentials for it. */
export async function sendRelease(
  plain: PlainFetch,
  { name, auth }: ReleaseTarget,
  { method, url, headers, body }: Release,
): Promise<{ readonly status: number; readonly text: string }> {
  if (!auth) {
    throw new Problem(
      'upstream_refused',
      `Nothing can be published at "${name}" without credentials: write them under auth of this upstream.`,
    );
  }
  try {
    const reply = await plain.fetch(url, {
      method,
      headers: { ...headers, authorization: authorizationOf(auth) },
      body: ReadableStream.from(body) as never,
      duplex: 'half',
      timeoutMs: sendingMs,
    });
    const text = await reply.text();
    return { status: reply.status, text: text.slice(0, answerBytes) };
  } catch (error) {
    throw new Problem(
      'upstream_unavailable',
      `"${name}" could not be reached, or broke off; whether it has the version now is not known: look there before you try again.`,
      { cause: error },
    );
  }
}

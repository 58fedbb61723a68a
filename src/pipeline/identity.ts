/** Where a request shows who sends it, and who that is. */
import type { Access, Shown } from '../core/access.ts';
import { anonymous, type Identity } from '../core/identity.ts';
import type { Repository } from '../core/repository.ts';

type Headers = Readonly<Record<string, string | undefined>>;

/** The first credentials that are somebody's; else the first that are of our making and do not count. */
export function identityOf(
  access: Access,
  { org, format }: Repository,
  headers: Headers,
  remote?: string,
): Promise<Identity> {
  return identityIn(access, org, headers, format.auth.from, remote);
}

/** The same for what is no repository's business. `org`: whose it is; '' for nobody's. `remote`: address of the client. */
export async function identityIn(
  access: Access,
  org: string,
  headers: Headers,
  from: readonly string[] = [],
  remote?: string,
): Promise<Identity> {
  let found: Identity = anonymous;
  for (const shown of shownIn(headers, from)) {
    const identity = await access.identify(org, remote === undefined ? shown : { ...shown, from: remote });
    if (identity.kind !== 'anonymous') return identity;
    if (found.rejected === undefined) found = identity;
  }
  return found;
}

/** Basic and Bearer are taken from every client (RFC 7617, RFC 6750), the rest where the format's clients put it. */
export function shownIn(headers: Headers, from: readonly string[]): readonly Shown[] {
  const all: Shown[] = [];
  for (const place of from) {
    const secret = place.startsWith('header:') ? headers[place.slice('header:'.length)]?.trim() : undefined;
    if (secret) all.push({ kind: 'header', user: '', secret });
  }
  const text = headers.authorization?.trim();
  if (!text) return all;
  const [, scheme = '', rest = ''] = /^([A-Za-z][\w-]*) +(.+)$/.exec(text) ?? [];
  if (scheme.toLowerCase() === 'bearer') all.push({ kind: 'bearer', user: '', secret: rest });
  else if (scheme.toLowerCase() === 'basic') all.push(basic(rest));
  else all.push({ kind: 'raw', user: '', secret: from.includes('raw') ? text : '' });
  return all;
}

function basic(encoded: string): Shown {
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return {
    kind: 'basic',
    user: colon === -1 ? text : text.slice(0, colon),
    secret: colon === -1 ? '' : text.slice(colon + 1),
  };
}

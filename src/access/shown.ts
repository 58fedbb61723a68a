/** Credentials from where clients put them. */
import type { Shown } from '../core/access.ts';

type Headers = Readonly<Record<string, string | undefined>>;

/** Longer ones are nobody's. */
const longest = 8192;

/** The first that is there. Header names in lower case. Malformed ones are shown as they are: they are nobody's. */
export function shownIn(headers: Headers, from: readonly string[]): Shown | undefined {
  for (const place of from) {
    if (!place.startsWith('header:')) continue;
    const value = headers[place.slice('header:'.length).toLowerCase()];
    if (value) return { kind: 'header', user: '', secret: value.trim().slice(0, longest) };
  }
  const { authorization } = headers;
  return authorization ? inAuthorization(authorization.slice(0, longest), from) : undefined;
}

/** What every place outside of repositories takes. */
export const usualPlaces = ['basic', 'bearer'] as const;

function inAuthorization(authorization: string, from: readonly string[]): Shown {
  const [, scheme = '', rest = ''] = /^([a-z]+) +(.*)$/is.exec(authorization.trim()) ?? [];
  switch (scheme.toLowerCase()) {
    case 'basic':
      return basic(rest);
    case 'bearer':
    case 'token':
      return { kind: 'bearer', user: '', secret: rest.trim() };
    default:
      return { kind: from.includes('raw') ? 'raw' : 'bearer', user: '', secret: authorization.trim() };
  }
}

function basic(encoded: string): Shown {
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon === -1) return { kind: 'basic', user: text, secret: '' };
  return { kind: 'basic', user: text.slice(0, colon), secret: text.slice(colon + 1) };
}

/** What an upstream wants to see before it answers: reads `WWW-Authenticate`, and finds the token server it names. Pure. */

/** One of the ways to be let in. */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case. Where one is given twice the first counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** A challenge that a token answers, as the distribution token specification has it. */
export interface TokenChallenge {
  /** Absolute http or https URL of the token server. */
  readonly realm: string;
  readonly service?: string;
  readonly scopes: readonly string[];
  /** Equal for challenges that the same token answers. */
  readonly key: string;
}

// Nobody has that much to say; what is longer is not read at all.
const maxHeaderLength = 16 * 1024;

// Realm, service and scopes become one address, and servers take no longer ones than this.
const maxTokenUrlLength = 6 * 1024;

const gap = /[\t ,]*/y;
const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const equals = /[\t ]*=[\t ]*/y;
const quoted = /"((?:[^"\\]|\\.)*)"/sy;
// Some servers leave the quotes out around an address, which is not a token in the grammar's sense.
const bare = /[^\s",]+/y;
const token68 = /[\t ]+[A-Za-z0-9\-._~+/]+=*[\t ]*(?=,|$)/y;

/**
 * All challenges of one header, or of several joined by commas (RFC 9110, 11.6.1). Where the text stops making sense
 * the rest is left out, with the challenge it belongs to.
 */
export function parseChallenges(header: string | undefined): readonly Challenge[] {
  const text = header ?? '';
  const found: { readonly scheme: string; readonly parameters: Map<string, string> }[] = [];
  let at = 0;

  function take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = at;
    const match = pattern.exec(text) ?? undefined;
    if (match) at = pattern.lastIndex;
    return match;
  }

  if (text.length > maxHeaderLength) return [];
  for (;;) {
    take(gap);
    if (at === text.length) return found;
    const word = take(token)?.[0].toLowerCase();
    if (word === undefined) return found.slice(0, -1);
    if (!take(equals)) {
      found.push({ scheme: word, parameters: new Map() });
      take(token68);
      continue;
    }
    const value = take(quoted)?.[1]?.replace(/\\(.)/gs, '$1') ?? take(bare)?.[0] ?? '';
    const parameters = found.at(-1)?.parameters;
    if (!parameters || text[at] === '"') return found.slice(0, -1);
    if (!parameters.has(word)) parameters.set(word, value);
  }
}

/** The first challenge that a token from a token server answers; `undefined` when there is none among them. */
export function tokenChallengeOf(header: string | undefined): TokenChallenge | undefined {
  for (const { scheme, parameters } of parseChallenges(header)) {
    const realm = parameters.get('realm');
    // To others a realm is a name to be shown (RFC 9110, 11.5), and their bearer tokens come from somewhere else.
    if (scheme !== 'bearer' || realm === undefined || !/^https?:\/\//i.test(realm) || !URL.canParse(realm)) continue;
    const service = parameters.get('service');
    const scopes = [
      ...new Set(
        parameters
          .get('scope')
          ?.split(/\s+/)
          .filter((scope) => scope !== ''),
      ),
    ];
    const challenge = {
      realm,
      ...(service === undefined ? {} : { service }),
      scopes,
      key: JSON.stringify([realm, service ?? null, ...scopes]),
    };
    if (tokenUrl(challenge).href.length <= maxTokenUrlLength) return challenge;
  }
  return undefined;
}

/** Where the token is: one `scope` parameter for each scope. */
export function tokenUrl({ realm, service, scopes }: Omit<TokenChallenge, 'key'>): URL {
  const url = new URL(realm);
  url.hash = '';
  if (service !== undefined) url.searchParams.append('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  return url;
}

/** From what is written about issuers and sign-in to what the program runs on. */
import { isLoopback, webAddress } from './addresses.ts';
import type { Complain, Path } from './mistakes.ts';
import type { ConfigFile } from './schema.ts';
import type { Config, IssuerConfig, SignInConfig } from './settings.ts';
import { hint } from './suggest.ts';
import { wellKnownIssuers } from './well-known.ts';

/** Those of CI jobs. */
export function resolveIssuers(issuers: ConfigFile['issuers'], complain: Complain): Config['issuers'] {
  const found: Record<string, IssuerConfig> = {};
  for (const [name, { url: given, audience }] of Object.entries(issuers)) {
    const path: Path = ['issuers', name];
    const text = given ?? (Object.hasOwn(wellKnownIssuers, name) ? wellKnownIssuers[name] : undefined);
    if (text === undefined) {
      complain(
        path,
        `needs a url, because it is none of the well-known issuers${hint(name, Object.keys(wellKnownIssuers))}`,
      );
      continue;
    }
    const url = issuerAddress(text, given === undefined ? path : [...path, 'url'], complain);
    if (url) found[name] = { url, audiences: typeof audience === 'string' ? [audience] : (audience ?? []) };
  }
  return found;
}

/** It is compared letter by letter with what tokens say, so nothing is added or taken away. */
function issuerAddress(text: string, path: Path, complain: Complain): string | undefined {
  const url = webAddress(text, path, complain);
  if (!url) return undefined;
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    complain(path, 'is not https, so anybody on the way could answer for the issuer');
    return undefined;
  }
  return text;
}

/** That of people with a browser. */
export function resolveSignIn({ signIn, orgs }: ConfigFile, complain: Complain): SignInConfig | undefined {
  if (!signIn) return undefined;
  const issuer = issuerAddress(signIn.issuer, ['signIn', 'issuer'], complain);
  if (!Object.hasOwn(orgs, signIn.org)) {
    complain(['signIn', 'org'], `there is no org "${signIn.org}"${hint(signIn.org, Object.keys(orgs))}`);
  }
  if (issuer === undefined) return undefined;
  return {
    issuer,
    clientId: signIn.clientId,
    ...(signIn.clientSecret !== undefined && { clientSecret: signIn.clientSecret }),
    org: signIn.org,
    scopes: signIn.scopes,
    userClaim: signIn.userClaim,
    groupsClaim: signIn.groupsClaim,
    teams: Object.fromEntries(
      Object.entries(signIn.teams).map(([group, teams]) => [group, typeof teams === 'string' ? [teams] : teams]),
    ),
  };
}

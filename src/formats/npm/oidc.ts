/** Trusted publishing where pnpm and Yarn look for it: below the registry, while npm asks at the root of the host. */
import type { Call, Credentials, Intent } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { jsonBody } from './json.ts';
import { isNewName } from './name.ts';

/** `POST /-/npm/v1/oidc/token/exchange/package/{name}`, with the ID token of a CI job as a bearer. */
export function exchange(call: Call): Intent | undefined {
  const name = call.params.name ?? '';
  return isNewName(name) ? exchangeFor(name) : undefined;
}

function exchangeFor(name: string): Credentials {
  return {
    kind: 'credentials',
    ask({ headers }) {
      const [, idToken] = /^bearer +(\S+)$/i.exec(headers.authorization?.trim() ?? '') ?? [];
      if (idToken === undefined) throw new Problem('unauthorized', 'The request has no ID token of a CI job.');
      return { want: 'exchange', idToken, name };
    },
    reply(outcome) {
      if (outcome.is !== 'token')
        throw new Problem('internal', 'The exchange came to something that npm has no answer for.');
      return {
        ...jsonBody({ token: outcome.token, token_type: 'oidc' }, { 'cache-control': 'no-store' }),
        status: 201,
      };
    },
  };
}

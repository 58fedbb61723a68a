/** Credentials to identity. There are no credentials to check yet, so everybody is anonymous; whatever is sent is neither kept nor passed on. */
import type { Format, Identity } from '../core/format.ts';

export const anonymous: Identity = { kind: 'anonymous' };
const withPass: Identity = { kind: 'anonymous', presented: true };

/** The token of those who have none. It opens nothing that is not open to everybody, so it may be known to everybody. */
export const anonymousPass = 'anonymous';

export function identify(_format: Format, headers: Readonly<Record<string, string | undefined>>): Identity {
  return headers.authorization ? withPass : anonymous;
}

/** Whether a request says no more about its sender than one without credentials. */
export function isAnonymous(authorization: string | undefined): boolean {
  return authorization === undefined || authorization === `Bearer ${anonymousPass}`;
}

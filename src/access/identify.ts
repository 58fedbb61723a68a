/** Credentials to identity. There are no credentials to check yet, so everybody is anonymous; whatever is sent is neither kept nor passed on. */
import type { Format, Identity } from '../core/format.ts';

export const anonymous: Identity = { kind: 'anonymous' };

export function identify(_format: Format, _headers: Readonly<Record<string, string | undefined>>): Identity {
  return anonymous;
}

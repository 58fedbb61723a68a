/** What both kinds of question to an upstream have in common. */
import { Problem } from '../core/problem.ts';
import type { Asking } from '../core/source.ts';

/** The URL of a path at the upstream; may have to ask the upstream where things are. */
export type Locate = (path: string, asking: Asking) => Promise<string>;

/** Only 200, 304, 404 and 410 say something about what was asked for; anything else must not look like a change or an absence. */
export function refuseStatus(status: number, path: string, source: string): void {
  if (status === 200 || status === 304 || status === 404 || status === 410) return;
  throw new Problem(
    'upstream_invalid',
    `${source} answered ${status} for ${path}, which says nothing about whether it exists.`,
  );
}

/**
 * What there is to say when nobody may be asked. `setSo`: the configuration says so, and not only the one who asks.
 * `wasAbsent`: upstream's last word was that it has no such thing.
 */
export function notStored(what: string, source: string, setSo: boolean, wasAbsent = false): Problem {
  const message = setSo
    ? `${what} is not stored here, and ${source} is set to offline: fetch it on a connected server (larder warm), export it there and import it here.`
    : `${what} is not stored here, and only what is stored was asked for.`;
  return new Problem('offline', message, wasAbsent ? { wasAbsent } : {});
}

/** Whom the request came through, for whoever is asked next. */
export function viaOf({ via }: Asking): { readonly via?: string } {
  return via === undefined ? {} : { via };
}

/** Nobody waits for it, or for what others wait for meanwhile. */
export function unhurried({ claims: _, ...asking }: Asking): Asking {
  return { ...asking, priority: 'background' };
}

/** What it is about, so that a challenge met before is answered beforehand. */
export function aboutOf({ name }: { readonly name?: string }): { readonly about?: string } {
  return name === undefined ? {} : { about: name };
}

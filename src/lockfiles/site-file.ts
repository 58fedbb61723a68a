/** A file of any web site that a lockfile names by its address alone. */
import type { Digest } from '../core/digest.ts';
import { type Findings, webAddress } from './findings.ts';

/** Wanted of a generic repository in front of that site, by the path it has there. */
export function wantSiteFile(
  findings: Findings,
  file: { readonly url: string; readonly digests: readonly Digest[]; readonly optional?: boolean; readonly at: string },
): void {
  const url = webAddress(file.url);
  const name = url === undefined ? '' : new URL(url).pathname.slice(1);
  if (url === undefined || name === '') findings.skip(file.url, 'that is no web address of a file', file.at);
  else findings.want({ ...file, format: 'generic', name, url });
}

/** Validators of RFC 9110, section 13, as far as they concern reading. */

const codingSuffix = /-(?:gzip|br|zstd)"$/;

function opaque(tag: string): string {
  return tag.trim().replace(/^W\//, '').replace(codingSuffix, '"');
}

/** Weak comparison, which also takes the same content in another coding for the same. */
export function matchesEtag(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch === etag || ifNoneMatch.trim() === '*') return true;
  const ours = opaque(etag);
  return ifNoneMatch.split(',').some((tag) => opaque(tag) === ours);
}

/** Whether a range may be honoured: no `If-Range`, or one that names exactly what would be answered. Weak tags never do. */
export function rangeApplies(
  ifRange: string | undefined,
  etag: string | undefined,
  lastModified: string | undefined,
): boolean {
  if (ifRange === undefined) return true;
  const wanted = ifRange.trim();
  return wanted.startsWith('"') ? wanted === etag : lastModified !== undefined && wanted === lastModified;
}

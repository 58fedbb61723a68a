/** A wheel's own description of itself, for upstreams that do not hand it out beside the wheel (PEP 658). */
import { readEntry } from '../../codecs/zip-directory.ts';
import type { Body, ReadableFile } from '../../core/format.ts';

/** Most are under sixty kilobytes; a long README is in it. */
const maxSizeBytes = 8 * 1024 * 1024;

/** In the archive's outermost folder; a vendored package has one deeper down, which is somebody else's. */
const metadataName = /^[^/]+\.dist-info\/METADATA$/;

/** `undefined`: the wheel has none. Throws on bytes that are no wheel. */
export async function takeMetadata(wheel: ReadableFile): Promise<Body | undefined> {
  const bytes = await readEntry(wheel, (name) => metadataName.test(name), { maxSizeBytes });
  return bytes && { headers: { 'content-type': 'application/octet-stream' }, bytes };
}

/** A wheel's own description of itself, for upstreams that do not hand it out beside the wheel (PEP 658). */
import { readEntry } from '../../codecs/zip-directory.ts';
import type { Body, ReadableFile } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';

/** Most are under sixty kilobytes; a long README is in it. */
const maxSizeBytes = 8 * 1024 * 1024;

/** In the archive's outermost folder; a vendored package has one deeper down, which is somebody else's. */
export const metadataName = /^[^/]+\.dist-info\/METADATA$/;

async function read(wheel: ReadableFile): Promise<Uint8Array | undefined> {
  try {
    return await readEntry(wheel, (name) => metadataName.test(name), { maxSizeBytes });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Problem('upstream_invalid', `No metadata can be taken out of this wheel: ${reason}.`, { cause: error });
  }
}

/** `undefined`: the wheel has none. Throws `upstream_invalid` on bytes that are no wheel. */
export async function takeMetadata(wheel: ReadableFile): Promise<Body | undefined> {
  const bytes = await read(wheel);
  return bytes && { headers: { 'content-type': 'application/octet-stream' }, bytes };
}

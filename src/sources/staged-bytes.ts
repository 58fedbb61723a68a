/** The bytes of a finished stage, all at once. */
import type { Stage } from '../core/staging.ts';

/** `size` bytes; throws when there are fewer. */
export async function readAll(stage: Stage, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(size);
  for (let at = 0; at < size; ) {
    const chunk = await stage.read(at, Math.min(1024 * 1024, size - at));
    if (chunk.byteLength === 0) throw new Error(`Staged bytes end at ${at} of ${size}.`);
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** When memory is looked through for what nobody needs any more, where V8 by itself would do it too late or at too high a price. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { subscribe } from './core/events.ts';

/** V8's collection at once: of everything, or of what is young. */
export function garbageCollection(): (options?: { readonly type: 'minor' }) => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
}

const youngAfterBytes = 6 * 1024 * 1024;
/** In bytes; Node's own is 64 KiB. */
const slabBytes = 8 * 1024;

/**
 * The bytes of bodies lie beside the heap, and what is in it for them is small: the young generation is nowhere near full when
 * V8, for the sake of some ten megabytes that passed through, marks the whole heap. Nearly all of them are young and needed no
 * more, and looking through the young alone finds that in about a millisecond. The result ends it.
 *
 * Small buffers are cut from slabs. One that is still being cut when the young are looked through a second time is old, and stays until
 * V8 marks everything, which it does for 64 MiB of them: so slabs are small, and used up sooner.
 */
export function collectWhileBytesPass(collect = garbageCollection()): () => void {
  Buffer.poolSize = slabBytes;
  let bytesSince = 0;
  const passed = ({ bytes }: { readonly bytes: number }): void => {
    bytesSince += bytes;
    if (bytesSince < youngAfterBytes) return;
    bytesSince = 0;
    collect({ type: 'minor' });
  };
  const ends = [subscribe('upstream.bytes', passed), subscribe('client.body', passed)];
  return () => {
    for (const end of ends) end();
  };
}

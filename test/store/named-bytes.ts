/** Bytes that differ by name, the same in every process. */
import { type Digest, digestOf } from '../../src/core/digest.ts';

export function bytesOf(name: string, size = 1000): Buffer {
  return Buffer.alloc(size, `${name}|`);
}

export function digestFor(name: string, size = 1000): Digest {
  return digestOf(bytesOf(name, size));
}

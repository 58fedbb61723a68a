/** The bytes that travel in the bench: fixed ones, and ones that are new for every name. */
import { createHash } from 'node:crypto';

/** Lengths of the fixed bodies. */
export const sizes = { '20k': 20_480, '300k': 307_200, '200m': 200_000_000 } as const;

/** Versions of a `cold-…` package, each to be asked for once. */
export const coldVersions = 100;

export type SizeName = keyof typeof sizes;

/** Bytes that do not compress and are the same in every run. */
export function filler(length: number, seed: string): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let block = createHash('sha512').update(seed).digest();
  for (let at = 0; at < length; at += block.length) {
    block.copy(bytes, at);
    // Hashing 200 MB would take a second: after the first 64 KB what is there is repeated.
    if (at >= 65_536) {
      const start = at + block.length;
      for (let to = start; to < length; to += start) bytes.copy(bytes, to, 0, Math.min(start, length - to));
      break;
    }
    block = createHash('sha512').update(block).digest();
  }
  return bytes;
}

export interface TypedBody {
  readonly type: string;
  readonly parts: readonly Buffer[];
}

/** A version of an artifact as it lies in a Maven repository, below its folder: jar, pom, and the digests beside them. */
export function mavenFile(path: string): TypedBody | undefined {
  const [, file = '', sidecar] = /^org\/example\/bench\/1\.0\/bench-1\.0\.(jar|pom)(\.sha1)?$/.exec(path) ?? [];
  const bytes = file === 'jar' ? filler(sizes['300k'], 'jar') : file === 'pom' ? pom() : undefined;
  if (!bytes) return undefined;
  if (sidecar === undefined) return { type: file === 'jar' ? 'application/java-archive' : 'text/xml', parts: [bytes] };
  return { type: 'text/plain', parts: [Buffer.from(createHash('sha1').update(bytes).digest('hex'))] };
}

/** Of 2 KB. */
function pom(): Buffer {
  const start = `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.example</groupId>
  <artifactId>bench</artifactId>
  <version>1.0</version>
  <description>`;
  const end = '</description>\n</project>\n';
  return Buffer.from(start + 'x'.repeat(2048 - start.length - end.length) + end);
}

const templates = new Map<number, Buffer>();

/** The same length for every name, other bytes for every name. In two parts: making 20 MB anew would take longer than sending them. */
export function fresh(name: string, length: number): readonly [Buffer, Buffer] {
  const template = templates.get(length) ?? Buffer.alloc(length, 'a');
  templates.set(length, template);
  const start = Buffer.from(createHash('sha256').update(name).digest('hex'), 'latin1');
  return [start, template.subarray(start.length)];
}

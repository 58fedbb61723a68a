/** `quick/Marshal.4.8/{full}.gemspec.rz`: one version's specification, which RubyGems itself reads before it takes the gem. */
import { inflateSync } from 'node:zlib';
import { readSpecification } from '../../codecs/gem-marshal.ts';
import type { DocumentType, Origin } from '../../core/format.ts';

const folder = 'quick/Marshal.4.8/';
const suffix = '.gemspec.rz';

export function gemspecPath(full: string): string {
  return `${folder}${full}${suffix}`;
}

/** A mix-up of files would install something else under this name, so both must agree; nothing else is looked at. */
function decode(bytes: Uint8Array, { path }: Origin): Uint8Array {
  const { name, version } = readSpecification(inflateSync(bytes, { maxOutputLength: 64 * 1024 * 1024 }));
  const full = path.slice(folder.length, -suffix.length);
  const told = `${name}-${version}`;
  if (full !== told && !full.startsWith(`${told}-`)) throw new Error(`it is the specification of ${told}`);
  return bytes;
}

export const gemspec: DocumentType<Uint8Array> = {
  id: 'gemspec',
  limit: 8 * 1024 * 1024,
  contentType: 'application/octet-stream',
  decode,
  encode: (bytes) => ({ headers: { 'content-type': 'application/octet-stream' }, bytes }),
};

/** The nuspec beside a package: looked at to see that it is the right one, and passed on as it is. */
import { readXml } from '../../codecs/xml.ts';
import type { DocumentType } from '../../core/format.ts';
import { packageKey } from './address.ts';

export const longestNuspecBytes = 8 * 1024 * 1024;

/** Throws unless it is the nuspec of the package that its path names. */
function decode(bytes: Uint8Array, { path }: { readonly path: string }): Uint8Array {
  const root = readXml(bytes, { sizeBytes: longestNuspecBytes });
  const metadata = root.children.find(({ name }) => name === 'metadata');
  if (root.name !== 'package' || !metadata) throw new Error('it has no metadata of a package');
  const told = (field: string): string => metadata.children.find(({ name }) => name === field)?.text.trim() ?? '';
  const [, , id = '', version = ''] = path.split('/');
  const found = packageKey(told('id'), told('version'));
  if (found?.id !== id || found.version !== version) throw new Error('it is of another package');
  return bytes;
}

export const nuspec: DocumentType<Uint8Array> = {
  id: 'nuspec',
  limit: longestNuspecBytes,
  contentType: 'application/xml',
  decode,
  encode: (bytes) => ({ bytes }),
};

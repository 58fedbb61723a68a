/** A file by its path. */
import { encodePath } from '../../core/path.ts';
import type { Wanted, WarmStep } from '../../core/warm.ts';

/** Below the repository: the path of its address, where it has one. Throws an Error on an address without a path. */
export function* warm({ name, url, digests }: Wanted): Iterable<WarmStep> {
  const address = url === undefined ? undefined : URL.parse(url);
  if (url !== undefined && !address) throw new Error(`${url} is no address`);
  const path = address ? address.pathname.slice(1) + address.search : encodePath(name.replace(/^\/+/, ''));
  if (path === '' || path.endsWith('/')) throw new Error(`${url ?? name} names no file`);
  yield { path, digests };
}

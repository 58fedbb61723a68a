/** A repository as somebody may read it. */
import type { Reader } from '../core/access.ts';
import type { Repository } from '../core/repository.ts';

/**
 * For what has no name (a list, a search) and somebody who may read some names only: the sources that tell each reader
 * what they may see, and no others. What has a name was judged by it.
 */
export function readable(repository: Repository, name: string | undefined, reader: Reader): Repository {
  if (name !== undefined || reader.mayRead(repository)) return repository;
  return { ...repository, sources: repository.sources.filter(({ filters }) => filters) };
}

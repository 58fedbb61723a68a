import { LRUCache } from 'lru-cache';

/**
 * So many entries, and memory for those that are there: with its `max`, lru-cache makes room for all of them at once, which every repository
 * would pay for, used or not.
 */
export function lruOf<V extends {}>(most: number): LRUCache<string, V> {
  return new LRUCache({ maxSize: most, sizeCalculation: () => 1 });
}

/** Remembers which source had something of a group, so that the rest of the group is asked for there first. */

import type { Origins } from '../core/repository.ts';
import { lruOf } from '../sources/lru.ts';

const rememberedGroups = 20_000;

export function createOrigins(): Origins {
  const known = lruOf<string>(rememberedGroups);
  return {
    get: (group) => known.get(group),
    set: (group, source) => void known.set(group, source),
  };
}

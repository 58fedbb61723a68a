/** What of a store goes into a bundle. */
import type { SetLine } from '../store/sets.ts';
import { type EntryRecord, placeOf } from './format.ts';

/** Of an upstream, what one format asked for. */
export interface ChosenSource {
  readonly upstream: string;
  readonly format: string;
}

export interface Choice {
  /** Whether an entry is wanted. */
  takes(record: EntryRecord): boolean;
  /** What was named and did not come. */
  missed(): readonly string[];
}

/** Everything that the upstreams of the configuration gave. */
export const everything: Choice = { takes: () => true, missed: () => [] };

/** All of some sources, and the lines of named sets. */
export function choose(sources: readonly ChosenSource[], lines: readonly SetLine[]): Choice {
  const whole = new Set(sources.map(({ upstream, format }) => `${upstream}\n${format}`));
  const named = new Map<string, boolean>();
  for (const { upstream, format, type, path, representation } of lines) {
    if (upstream === 'hosted') continue;
    const place = placeOf({
      upstream,
      format,
      path,
      ...(type === undefined ? {} : { document: type }),
      ...(representation === undefined ? {} : { representation }),
    });
    named.set(place, false);
  }
  return {
    takes(record) {
      const place = placeOf(record);
      const isNamed = named.has(place);
      if (isNamed) named.set(place, true);
      return isNamed || whole.has(`${record.upstream}\n${record.format}`);
    },
    missed: () =>
      [...named].flatMap(([place, came]) => {
        const [upstream, , , path] = JSON.parse(place) as string[];
        return came ? [] : [`${upstream} ${path}`];
      }),
  };
}

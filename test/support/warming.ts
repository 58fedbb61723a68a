/** Warms a running Larder with what a format says that its clients ask for. */
import type { Wanted } from '../../src/core/warm.ts';
import { loadFormat } from '../../src/formats/load.ts';
import { type Warmed, type WarmOptions, warm } from '../../src/jobs/warm.ts';

export type Want = Pick<Wanted, 'name'> & Partial<Wanted>;

export interface Warming {
  /** Address of the repository, no trailing slash. */
  readonly base: string;
  readonly format: string;
}

export async function warmUp(
  { base, format: id }: Warming,
  wants: readonly Want[],
  options: Partial<WarmOptions> = {},
): Promise<Warmed> {
  const format = await loadFormat(id);
  const tasks = wants.map((want, at) => {
    const wanted: Wanted = { format: id, digests: [], from: `list: ${at}`, ...want };
    return {
      what: want.name,
      from: wanted.from,
      repository: 'test',
      base,
      steps: () => format.warm?.(wanted) ?? [],
    };
  });
  return await warm(tasks, { userAgent: 'test', concurrency: 4, ...options });
}

/** What nothing upstream was asked for. */
export function stored(place: Warming, wants: readonly Want[]): Promise<Warmed> {
  return warmUp(place, wants, { onlyStored: true });
}

export const outcomesOf = ({ tasks }: Warmed): string[] => tasks.map(({ outcome }) => outcome);

/** Every reason, whichever thing it is about. */
export const reasonsOf = ({ tasks }: Warmed): string[] =>
  tasks.flatMap(({ failures }) => failures.map(({ path, why }) => `${path ?? ''}: ${why}`));

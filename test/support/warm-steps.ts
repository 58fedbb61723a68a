/** What a format says that its clients ask for, without asking. */
import type { Format } from '../../src/core/format.ts';
import type { Wanted, WarmStep } from '../../src/core/warm.ts';

export function stepsFor(format: Format, want: Pick<Wanted, 'name'> & Partial<Wanted>): WarmStep[] {
  return [...(format.warm?.({ format: format.id, digests: [], from: 'list: 1', ...want }) ?? [])];
}

export const pathsOf = (steps: Iterable<WarmStep>): string[] => [...steps].map(({ path }) => path);

/** What comes after the first step that is read. */
export function next(steps: readonly WarmStep[], bytes: string | Uint8Array | object): WarmStep[] {
  const step = steps.find(({ read }) => read);
  if (!step?.read) throw new Error('none of these is read');
  const given = typeof bytes === 'string' || bytes instanceof Uint8Array ? bytes : JSON.stringify(bytes);
  return [...step.read.next(typeof given === 'string' ? Buffer.from(given) : given)];
}

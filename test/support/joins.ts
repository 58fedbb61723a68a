/** Waiting until requests wait for what others have asked upstream for. */
import { onTestFinished } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import { eventually } from './wait.ts';

/** Counts from now on; what it returns resolves when so many requests have joined others'. */
export function countJoins(): (count: number) => Promise<boolean> {
  let joined = 0;
  const count = (): void => {
    joined += 1;
  };
  onTestFinished(subscribe('download.join', count));
  return (wanted) => eventually(`${wanted} requests joined others`, () => joined === wanted);
}

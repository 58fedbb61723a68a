import { test } from 'vitest';
import { killAgainAndAgain } from './killing.ts';

test.each([1, 2])('killed at any of 20 moments (seed %i), the store is whole each time', (seed) =>
  killAgainAndAgain(20, seed),
);

import { test } from 'vitest';
import { killAgainAndAgain } from './killing.ts';

test('killed at any of a few moments, the store is whole each time, and the next process goes on with it', () =>
  killAgainAndAgain(4, 4));

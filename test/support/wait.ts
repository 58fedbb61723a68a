/** Waiting for something to become true instead of for time to pass. */
import { setTimeout as delay } from 'node:timers/promises';

/** Asks until the answer is truthy; fails with the description when the deadline is over. */
export async function eventually<T>(
  description: string,
  question: () => T | Promise<T>,
  deadlineMs = 10_000,
): Promise<NonNullable<T>> {
  const start = performance.now();
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    if (performance.now() - start > deadlineMs) throw new Error(`Waited ${deadlineMs} ms in vain: ${description}`);
    await delay(10);
  }
}

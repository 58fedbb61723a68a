import { describe, expect, it } from 'vitest';
import { Refusals } from '../../src/http/limits-refusals.ts';
import { manualClock } from '../support/manual-clock.ts';

describe('refusals of an address', () => {
  it('are said at once a hundred times, and then a hundred times a second', async () => {
    const clock = manualClock();
    const refusals = new Refusals(clock);
    const all = Array.from({ length: 200 }, () => refusals.turn('192.0.2.1'));
    expect(all.map((turn) => turn === true)).toEqual([...Array(100).fill(true), ...Array(100).fill(false)]);
    let said = 0;
    for (const turn of all) {
      void Promise.resolve(turn).then(() => {
        said++;
      });
    }
    await clock.advance(500);
    expect(said).toBe(150);
    await clock.advance(500);
    expect(said).toBe(200);
  });

  it('that would wait for more than ten seconds are not said at all, and cost nobody a turn', async () => {
    const clock = manualClock();
    const refusals = new Refusals(clock);
    const all = Array.from({ length: 5000 }, () => refusals.turn('192.0.2.1'));
    expect(all.filter((turn) => turn === false)).toHaveLength(5000 - 100 - 1000);
    await clock.advance(10_000);
    expect(refusals.turn('192.0.2.1')).toBeInstanceOf(Promise);
    await clock.advance(2000);
    expect(refusals.turn('192.0.2.1')).toBe(true);
  });

  it('hold up nobody elsewhere', () => {
    const refusals = new Refusals(manualClock());
    for (let at = 0; at < 5000; at++) void refusals.turn('192.0.2.1');
    expect(refusals.turn('192.0.2.2')).toBe(true);
  });
});

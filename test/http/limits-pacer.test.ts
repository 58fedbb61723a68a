import { describe, expect, it } from 'vitest';
import { type Pace, Pacer } from '../../src/http/limits-pacer.ts';
import { manualClock } from '../support/manual-clock.ts';

/** Takes slice after slice, and tells how many bytes it has had. */
function transfer(pace: Pace, bytes = Number.POSITIVE_INFINITY) {
  const taken = { bytes: 0, done: false };
  const run = async (): Promise<void> => {
    while (taken.bytes < bytes) {
      const slice = Math.min(pace.sliceBytes, bytes - taken.bytes);
      await pace.take(slice);
      taken.bytes += slice;
    }
    taken.done = true;
  };
  void run();
  return taken;
}

describe('a pacer', () => {
  it('lets a second of bytes through at once and the rest at its pace', async () => {
    const clock = manualClock();
    const pacer = new Pacer(100_000, clock);
    const one = transfer(pacer);
    await clock.advance(0);
    const atOnce = one.bytes;
    expect(atOnce).toBeGreaterThanOrEqual(100_000);
    expect(atOnce).toBeLessThanOrEqual(100_000 + pacer.sliceBytes);
    await clock.advance(10_000);
    expect(one.bytes).toBeGreaterThan(1_100_000 - 2 * pacer.sliceBytes);
    expect(one.bytes).toBeLessThanOrEqual(1_100_000 + pacer.sliceBytes);
  });

  it('gives each of its transfers the same, whenever they came', async () => {
    const clock = manualClock();
    const pacer = new Pacer(100_000, clock);
    const first = transfer(pacer);
    await clock.advance(5000);
    const others = [transfer(pacer), transfer(pacer)];
    const before = first.bytes;
    await clock.advance(30_000);
    const shares = [first.bytes - before, ...others.map(({ bytes }) => bytes)];
    for (const share of shares) expect(Math.abs(share - 1_000_000)).toBeLessThanOrEqual(3 * pacer.sliceBytes);
  });

  it('gives what one does not need to the others', async () => {
    const clock = manualClock();
    const pacer = new Pacer(100_000, clock);
    const small = transfer(pacer, 10_000);
    const large = transfer(pacer);
    await clock.advance(10_000);
    expect(small).toEqual({ bytes: 10_000, done: true });
    expect(large.bytes).toBeGreaterThan(1_090_000 - 2 * pacer.sliceBytes);
  });

  it('lets a slice through that is longer than what it gives in a second', async () => {
    const clock = manualClock();
    const pacer = new Pacer(10, clock);
    const one = transfer(pacer, 5000);
    await clock.advance(1_000_000);
    expect(one.done).toBe(true);
  });

  it('goes on at a new pace, also for whoever waits', async () => {
    const clock = manualClock();
    const pacer = new Pacer(1000, clock);
    const one = transfer(pacer);
    await clock.advance(0);
    const before = one.bytes;
    pacer.bytesPerSecond = 1_000_000;
    await clock.advance(1000);
    expect(one.bytes - before).toBeGreaterThan(900_000);
  });

  it('does not make anybody wait while there is enough', () => {
    const pacer = new Pacer(1_000_000, manualClock());
    for (let at = 0; at < 10; at++) expect(pacer.take(64 * 1024)).toBeUndefined();
  });

  it('is at rest again when nobody could tell', async () => {
    const clock = manualClock();
    const pacer = new Pacer(1000, clock);
    expect(pacer.isAtRest).toBe(true);
    pacer.take(1);
    expect(pacer.isAtRest).toBe(false);
    await clock.advance(1);
    expect(pacer.isAtRest).toBe(true);
  });
});

import { expect, it } from 'vitest';
import { ownBytes } from '../../src/core/own-bytes.ts';

it('copies a view of much more, and leaves alone what has no more to speak of', () => {
  const slab = Buffer.alloc(65_536, 7);
  const view = slab.subarray(100, 2100);
  const own = ownBytes(view);
  expect(Buffer.compare(own, view)).toBe(0);
  expect(own.buffer.byteLength).toBe(2000);
  expect(ownBytes(own)).toBe(own);
  const most = slab.subarray(0, 60_000);
  expect(ownBytes(most)).toBe(most);
});

it('has no trouble with nothing', () => {
  expect(ownBytes(Buffer.alloc(0)).byteLength).toBe(0);
});

import { expect, test } from 'vitest';
import { HostedState } from '../../src/store/hosting-state.ts';

test('what is said of a package and a version takes the memory that it needs, and no more', () => {
  const state = new HostedState();
  state.apply({
    number: 1,
    index: 0,
    at: '2026-01-02T03:04:05.000Z',
    by: 'user:acme/ann',
    change: {
      action: 'publish',
      name: 'left-pad',
      records: [{ version: '1.0.0', facts: { description: 'pads à gauche' } }],
      about: { tags: { latest: '1.0.0' } },
    },
  });
  const one = state.package('left-pad');
  const all = [one?.about, one?.records.get('1.0.0')?.facts];
  expect(all.map((bytes) => bytes?.toString())).toEqual([
    '{"tags":{"latest":"1.0.0"}}',
    '{"description":"pads à gauche"}',
  ]);
  // A part of something larger would keep all of it.
  expect(all.map((bytes) => bytes?.buffer.byteLength)).toEqual(all.map((bytes) => bytes?.byteLength));
});

import { expect, onTestFinished, test } from 'vitest';
import { type EventName, type Events, subscribe } from '../../src/core/events.ts';
import { collect } from '../../src/store/collect.ts';
import { disk } from '../../src/store/disk.ts';
import { startMeasuring } from '../../src/store/measuring.ts';
import { gate } from '../support/fake-upstream.ts';
import { eventually } from '../support/wait.ts';
import { bytesOf, diskWith, folder, opened, standingClock } from './opened.ts';

function heard<N extends EventName>(name: N): Events[N][] {
  const events: Events[N][] = [];
  onTestFinished(subscribe(name, (event) => events.push(event)));
  return events;
}

test('what gc did in a process of its own, and what lies in the trash, is told here', async () => {
  const path = await folder();
  const clock = standingClock(Date.now());
  const store = await opened({ path, clock });
  await store.blobs.add(bytesOf('a'));
  await store.blobs.add(bytesOf('b'));
  await store.close();
  clock.forward(7_200_000);
  const told = { beside: heard('store.beside'), collected: heard('store.collected'), disk: heard('store.disk') };
  const before = startMeasuring({ path });
  await eventually('the first look is over', () => told.beside.length === 4);
  await before.close();
  expect(told.collected).toEqual([]);
  await collect({ path, clock, graceMs: 3_600_000, dryRun: true });
  await collect({ path, clock, graceMs: 3_600_000, dryRun: false });
  const measuring = startMeasuring({ path });
  await eventually('it is told', () => told.collected.length === 1);
  await measuring.close();
  expect(told.collected[0]).toEqual({ at: clock(), trashed: 2, trashedBytes: 2000, deleted: 0, freedBytes: 0 });
  expect(told.beside.findLast(({ place }) => place === 'trash')).toEqual({ place: 'trash', bytes: 2000, objects: 2 });
  expect(told.disk[0]?.sizeBytes).toBeGreaterThan(told.disk[0]?.freeBytes ?? Number.POSITIVE_INFINITY);
});

test('looks again and again, tells what fails once, and stops when it is told', async () => {
  const path = await folder();
  const faults = heard('fault');
  const disks = heard('store.disk');
  let fails = true;
  let looks = 0;
  const held = gate();
  const measuring = startMeasuring({
    path,
    diskEveryMs: 1,
    disk: diskWith({
      statfs: async (of) => {
        looks += 1;
        if (disks.length > 2) {
          held.arrive();
          await held.opened;
        }
        if (fails) throw new Error('no');
        return disk.statfs(of);
      },
    }),
  });
  await eventually('it looked often', () => looks > 5);
  expect(faults.map(({ where }) => where)).toEqual(['measuring']);
  fails = false;
  await held.reached;
  const closed = measuring.close();
  held.open();
  await closed;
  const after = looks;
  let further = 0;
  const other = startMeasuring({
    path,
    diskEveryMs: 1,
    disk: diskWith({
      statfs: async (of) => {
        further += 1;
        return disk.statfs(of);
      },
    }),
  });
  await eventually('another one looked often', () => further > 10);
  await other.close();
  expect(looks).toBe(after);
});

test('says nothing of a disk whose size nobody knows', async () => {
  const disks = heard('store.disk');
  const beside = heard('store.beside');
  const measuring = startMeasuring({
    path: await folder(),
    disk: diskWith({ statfs: async () => ({ bavail: 1, bsize: 1 }) }),
  });
  await eventually('it looked', () => beside.length === 4);
  await measuring.close();
  expect(disks).toEqual([]);
  expect(beside.every(({ bytes }) => bytes === 0)).toBe(true);
});

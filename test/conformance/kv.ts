/** What every backend of the index must do. Called with a constructor; a backend's own test adds what is peculiar to it. */
import { describe, expect, test } from 'vitest';
import type { Index } from '../../src/store/index.ts';

export interface OpenIndexes {
  /** The same records again, as after a restart; `undefined` where nothing outlives the process. */
  readonly reopen?: () => Promise<Index>;
  readonly index: Index;
  readonly clock: { forward(ms: number): void };
}

/** `open` makes an empty index that ends with the test. */
export function kvConformance(name: string, open: () => Promise<OpenIndexes>): void {
  async function all<T>(from: AsyncIterable<readonly [string, T]>): Promise<Record<string, T>> {
    const found: Record<string, T> = {};
    for await (const [key, value] of from) {
      expect(found).not.toHaveProperty(key);
      found[key] = value;
    }
    return found;
  }

  describe(`${name}: records`, () => {
    test.each<[string, unknown]>([
      ['an object', { a: [1, 'two', null, { three: true }] }],
      ['a text with everything in it', 'é\u{1f600}\n\0"::\\'],
      ['an empty text', ''],
      ['zero', 0],
      ['false', false],
      ['a long text', 'x'.repeat(300_000)],
    ])('keep %s', async (_, value) => {
      const { index } = await open();
      const records = index.records<unknown>('test');
      records.set('key', value);
      expect(await records.get('key')).toEqual(value);
      await index.flush();
      expect(await records.get('key')).toEqual(value);
    });

    test.each(['a', 'a:b', 'test:a', 'a::b', '*', 'a*', 'é', ' ', 'k'.repeat(5_000)])(
      'any text is a key: %j',
      async (key) => {
        const { index } = await open();
        const records = index.records<number>('test');
        records.set(key, 1);
        records.set(`${key}x`, 2);
        await index.flush();
        expect(await records.get(key)).toBe(1);
        expect(await all(records.entries())).toEqual({ [key]: 1, [`${key}x`]: 2 });
        records.delete(key);
        expect(await records.get(key)).toBeUndefined();
        await index.flush();
        expect(await all(records.entries())).toEqual({ [`${key}x`]: 2 });
      },
    );

    test('what was never set is not there', async () => {
      const { index } = await open();
      expect(await index.records('test').get('nothing')).toBeUndefined();
      expect(await all(index.records('test').entries())).toEqual({});
    });

    test('a read sees the last write, written out or not', async () => {
      const { index } = await open();
      const records = index.records<number>('test');
      for (let value = 0; value < 50; value += 1) {
        records.set('key', value);
        if (value % 7 === 0) void index.flush();
        expect(await records.get('key')).toBe(value);
        if (value % 5 === 0) {
          records.delete('key');
          expect(await records.get('key')).toBeUndefined();
        }
      }
      await index.flush();
      expect(await records.get('key')).toBe(49);
    });

    test('namespaces do not see each other', async () => {
      const { index } = await open();
      const [one, other] = [index.records<number>('one'), index.records<number>('one-more')];
      one.set('key', 1);
      other.set('key', 2);
      await index.flush();
      expect(await all(one.entries())).toEqual({ key: 1 });
      expect(await all(other.entries())).toEqual({ key: 2 });
      await one.clear();
      expect(await one.get('key')).toBeUndefined();
      expect(await other.get('key')).toBe(2);
    });

    test('many more than one batch or one page are all told, once each', async () => {
      const { index } = await open();
      const records = index.records<number>('test');
      const want: Record<string, number> = {};
      for (let key = 0; key < 2_345; key += 1) {
        records.set(`k${key}`, key);
        want[`k${key}`] = key;
      }
      expect(await all(records.entries())).toEqual(want);
    });

    test('a record with a time to live is gone when it is over, and not before', async () => {
      const { index, clock } = await open();
      const records = index.records<number>('test');
      records.set('short', 1, 10_000);
      records.set('long', 2, 100_000);
      records.set('ever', 3);
      clock.forward(9_999);
      expect(await records.get('short')).toBe(1);
      await index.flush();
      expect(await records.get('short')).toBe(1);
      clock.forward(1);
      expect(await records.get('short')).toBeUndefined();
      expect(await all(records.entries())).toEqual({ long: 2, ever: 3 });
    });

    test('a time to live ends with the record that is set over it', async () => {
      const { index, clock } = await open();
      const records = index.records<number>('test');
      records.set('key', 1, 10_000);
      await index.flush();
      records.set('key', 2);
      await index.flush();
      clock.forward(20_000);
      expect(await records.get('key')).toBe(2);
    });

    test('what was flushed, or set before the end, is there after a restart', async ({ skip }) => {
      const { index, reopen } = await open();
      if (!reopen) return skip('nothing of it outlives the process');
      index.records('test').set('flushed', 1);
      index.records('test').set('deleted', 1);
      await index.flush();
      index.records('test').set('late', 2);
      index.records('test').delete('deleted');
      await index.close();
      const again = await reopen();
      expect(await all(again.records('test').entries())).toEqual({ flushed: 1, late: 2 });
    });

    test('everything can be thrown away', async () => {
      const { index } = await open();
      const records = index.records<number>('test');
      records.set('key', 1);
      await index.flush();
      await index.beginAnew();
      expect(await records.get('key')).toBeUndefined();
      records.set('key', 2);
      await index.flush();
      expect(await all(records.entries())).toEqual({ key: 2 });
      expect(index.check()).toBeUndefined();
      expect(index.trouble()).toBeUndefined();
    });
  });
}

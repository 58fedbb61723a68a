import { expect, test } from 'vitest';
import { Turns } from '../../src/store/turns.ts';

test('work on one key is done one after the other, in order, also after a failure; other keys do not wait', async () => {
  const turns = new Turns();
  const done: string[] = [];
  const first = Promise.withResolvers<void>();
  const work = (name: string, until?: Promise<void>) => async () => {
    done.push(`${name} begins`);
    await until;
    done.push(`${name} ends`);
    if (name === 'b') throw new Error('on purpose');
    return name;
  };
  const results = [
    turns.take('key', work('a', first.promise)),
    turns.take('key', work('b')).catch(String),
    turns.take('key', work('c')),
    turns.take('other', work('d')),
  ];
  await results[3];
  expect(done).toEqual(['a begins', 'd begins', 'd ends']);
  first.resolve();
  expect(await Promise.all(results)).toEqual(['a', 'Error: on purpose', 'c', 'd']);
  expect(done.slice(3)).toEqual(['a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  expect(await turns.take('key', work('e'))).toBe('e');
});

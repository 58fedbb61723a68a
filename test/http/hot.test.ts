import { expect, it } from 'vitest';
import { HotAnswers, type HotQuestion } from '../../src/http/hot.ts';

const question = (url: string): HotQuestion => ({ known: false, base: '', url, accept: undefined, coding: 'identity' });

function keep(hot: HotAnswers, url: string, bytes: number): void {
  if (!hot.wants(question(url), bytes)) return;
  hot.keep(question(url), {
    headers: {},
    body: Buffer.alloc(bytes),
    etag: undefined,
    until: Number.POSITIVE_INFINITY,
    repository: 'acme/files',
    format: 'generic',
    route: 'file',
    outcome: 'hit',
    keepWhile: undefined,
    shownIn: [],
    touch: undefined,
  });
}

it('Large answers are kept when they are asked for again, and never in the place of small ones', () => {
  const hot = new HotAnswers(64 * 2 ** 20, () => 0);
  for (let n = 0; n < 100; n++) keep(hot, `/small/${n}`, 20_000);
  keep(hot, '/large', 2_000_000);
  expect(hot.find(question('/large'), undefined)).toBeUndefined();
  keep(hot, '/large', 2_000_000);
  expect(hot.find(question('/large'), undefined)?.body.byteLength).toBe(2_000_000);
  for (let n = 0; n < 200; n++) keep(hot, `/large/${n % 100}`, 2_000_001);
  expect(hot.find(question('/large'), undefined)).toBeUndefined();
  for (let n = 0; n < 100; n++) expect(hot.find(question(`/small/${n}`), undefined)).toBeDefined();
  for (let n = 0; n < 3; n++) keep(hot, '/larger', 2_200_000);
  expect(hot.find(question('/larger'), undefined)).toBeUndefined();
});

it('What clients are still taking is bounded, and each body counts once', () => {
  const hot = new HotAnswers(1_000_000, () => 0);
  const find = (url: string) => hot.find(question(url), undefined);
  const bodies = ['/a', '/b'].map((url) => {
    keep(hot, url, 400_000);
    const { body = Buffer.alloc(0) } = find(url) ?? {};
    return body;
  });
  const ends = [...bodies, ...bodies].map((body) => hot.lend(body));
  keep(hot, '/c', 400_000);
  expect(find('/c')).toBeUndefined();
  expect(find('/b')).toBeDefined();
  keep(hot, '/small', 1000);
  expect(find('/small')).toBeDefined();
  for (const end of ends.slice(0, 3)) end();
  const release = hot.reserve(400_000);
  keep(hot, '/c', 400_000);
  expect(find('/c')).toBeUndefined();
  release();
  keep(hot, '/c', 400_000);
  expect(find('/c')).toBeDefined();
});

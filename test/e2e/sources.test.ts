import { expect, it, onTestFinished } from 'vitest';
import { sha256Of } from '../support/bytes.ts';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import type { Answer } from '../support/http.ts';
import { type Larder, startLarder } from '../support/larder.ts';

interface Pair {
  readonly inner: FakeRegistry;
  readonly outer: FakeRegistry;
  readonly larder: Larder;
}

interface PairOptions {
  readonly claims?: readonly string[];
  readonly partial?: 'refuse' | 'allow';
  readonly ttl?: string;
}

/** Two upstreams behind one repository: `inner` first, then `outer`. */
async function pair({ claims = [], partial = 'refuse', ttl = '5m' }: PairOptions = {}): Promise<Pair> {
  const inner = await startFakeRegistry();
  onTestFinished(() => inner.close());
  const outer = await startFakeRegistry();
  onTestFinished(() => outer.close());
  const settings = { timeoutMs: 2000, retries: 0, breaker: { failures: 1000 } };
  const larder = await startLarder({
    upstreamUrl: inner.url,
    upstream: settings,
    upstreams: { outer: { url: outer.url, ...settings } },
    repository: {
      partial,
      sources: [
        { remote: 'inner', claims, ttl, staleWhileRevalidate: '0s' },
        { remote: 'outer', ttl, staleWhileRevalidate: '0s' },
      ],
    },
    repositories: { nested: { format: 'npm', sources: [{ repository: 'public/npm' }] } },
  });
  onTestFinished(() => larder.close());
  return { inner, outer, larder };
}

interface Packument {
  readonly versions: Readonly<
    Record<string, { readonly dist: { readonly integrity: string; readonly tarball: string } }>
  >;
}

const documentOf = (answer: Answer): Packument => answer.json() as Packument;
const versionsOf = (answer: Answer): string[] => Object.keys(documentOf(answer).versions);

it('merges versions of a name that two sources know, and serves each one from where it is', async () => {
  const { inner, outer, larder } = await pair();
  const own = inner.publish({ name: 'both', version: '1.0.0' });
  outer.publish({ name: 'both', version: '1.0.0', files: { 'other.txt': 'not the same bytes' } });
  const theirs = outer.publish({ name: 'both', version: '2.0.0' });
  const document = await larder.npm('/both');
  expect(versionsOf(document)).toEqual(['1.0.0', '2.0.0']);
  expect(documentOf(document).versions['1.0.0']?.dist.integrity).toBe(own.integrity);
  expect(sha256Of((await larder.npm(own.path)).body)).toBe(own.sha256);
  expect(sha256Of((await larder.npm(theirs.path)).body)).toBe(theirs.sha256);
});

it('shows a new version of either source as soon as that source is looked at again', async () => {
  const { inner, outer, larder } = await pair({ ttl: '0s' });
  inner.publish({ name: 'both', version: '1.0.0' });
  outer.publish({ name: 'both', version: '2.0.0' });
  const before = await larder.npm('/both');
  outer.publish({ name: 'both', version: '3.0.0' });
  const after = await larder.npm('/both', { 'if-none-match': before.headers.etag ?? '' });
  expect(after.status).toBe(200);
  expect(versionsOf(after)).toEqual(['1.0.0', '2.0.0', '3.0.0']);
});

it('never asks another source for a claimed name, whatever the one that claims it answers', async () => {
  const { inner, outer, larder } = await pair({ claims: ['@acme/*'] });
  inner.publish({ name: '@acme/known', version: '1.0.0' });
  outer.publish({ name: '@acme/known', version: '9.9.9' });
  const stolen = outer.publish({ name: '@acme/unknown', version: '9.9.9' });
  expect(versionsOf(await larder.npm('/@acme%2fknown'))).toEqual(['1.0.0']);
  expect((await larder.npm('/@acme%2funknown')).status).toBe(404);
  expect((await larder.npm(stolen.path)).status).toBe(404);
  await larder.npm('/-/package/@acme%2funknown/dist-tags');
  await larder.npm('/@acme%2funknown/9.9.9');
  await larder.npm('/-/npm/v1/attestations/@acme%2funknown@9.9.9');
  await inner.upstream.stop();
  expect((await larder.npm('/@acme%2flater')).status).toBe(503);
  expect(outer.upstream.requests.filter(({ url }) => url.includes('acme'))).toEqual([]);
});

it('sends no claimed name along with an audit', async () => {
  const { inner, outer, larder } = await pair({ claims: ['@acme/*'] });
  await inner.upstream.stop();
  await larder.ask('/public/npm/-/npm/v1/security/advisories/bulk', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ '@acme/secret': ['1.0.0'], lodash: ['4.17.20'] }),
  });
  const sent = [...inner.upstream.requests, ...outer.upstream.requests].map(({ body }) => String(body ?? ''));
  expect(sent.join()).not.toContain('secret');
});

it('takes a source that cannot be reached for trouble, not for an empty one', async () => {
  const { inner, outer, larder } = await pair();
  outer.publish({ name: 'both', version: '2.0.0' });
  await inner.upstream.stop();
  const document = await larder.npm('/both');
  expect(document.status).toBe(503);
  expect(document.headers['retry-after']).toBeDefined();
});

it('answers with what the others have where the repository allows that', async () => {
  const { inner, outer, larder } = await pair({ partial: 'allow' });
  const theirs = outer.publish({ name: 'both', version: '2.0.0' });
  await inner.upstream.stop();
  expect(versionsOf(await larder.npm('/both'))).toEqual(['2.0.0']);
  expect(sha256Of((await larder.npm(theirs.path)).body)).toBe(theirs.sha256);
});

it('goes on with the last good copy of a source that went away', async () => {
  const { inner, outer, larder } = await pair({ ttl: '0s' });
  inner.publish({ name: 'both', version: '1.0.0' });
  outer.publish({ name: 'both', version: '2.0.0' });
  await larder.npm('/both');
  await inner.upstream.stop();
  outer.publish({ name: 'both', version: '3.0.0' });
  const document = await larder.npm('/both');
  expect(versionsOf(document)).toEqual(['1.0.0', '2.0.0', '3.0.0']);
  expect(document.headers['x-larder-cache']).toBe('stale');
});

it('answers from another repository as that one would', async () => {
  const { inner, outer, larder } = await pair();
  const own = inner.publish({ name: 'both', version: '1.0.0' });
  outer.publish({ name: 'both', version: '2.0.0' });
  const document = await larder.ask('/public/nested/both');
  expect(versionsOf(document)).toEqual(['1.0.0', '2.0.0']);
  expect(documentOf(document).versions['1.0.0']?.dist.tarball).toBe(`${larder.url}/public/nested${own.path}`);
  expect(sha256Of((await larder.ask(`/public/nested${own.path}`)).body)).toBe(own.sha256);
  expect((await larder.ask('/public/nested/nobody')).status).toBe(404);
});

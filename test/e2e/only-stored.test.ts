/** What whoever asks may say about asking upstream: not at all (RFC 9111, 5.2.1.7), or after everybody else. */
import { describe, expect, it } from 'vitest';
import { abbreviatedType } from '../support/fake-registry.ts';
import { gate } from '../support/fake-upstream.ts';
import { scene, untilStored } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

const onlyStored = { 'cache-control': 'max-stale, only-if-cached' };

describe('a request for nothing but what is stored', () => {
  it('is 504 in the words of the format when it is not, and upstream does not hear of it', async () => {
    const { registry, upstream, larder } = await scene();
    const { path } = registry.publish({ name: 'left-pad', version: '1.3.0' });
    for (const asked of [path, '/left-pad', '/left-pad/1.3.0']) {
      const answer = await larder.npm(asked, onlyStored);
      expect(answer.status).toBe(504);
      expect(answer.json()).toEqual({
        code: 'not_stored',
        error: expect.stringMatching(/is not stored here, and only/),
      });
      expect(answer.headers['cache-control']).toBe('no-store');
      expect(answer.headers['x-larder-cache']).toBe('offline');
    }
    expect(upstream.requests).toEqual([]);
  });

  it('has what is, however old, and leaves others the newest', async () => {
    const { registry, upstream, larder } = await scene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const { path, bytes } = registry.publish({ name: 'left-pad', version: '1.3.0' });
    const headers = { accept: abbreviatedType };
    await larder.npm('/left-pad', headers);
    await larder.npm(path);
    await untilStored(larder, path);
    registry.publish({ name: 'left-pad', version: '1.4.0' });
    const before = upstream.requests.length;
    const old = await larder.npm('/left-pad', { ...headers, ...onlyStored });
    expect(Object.keys((old.json() as { versions: object }).versions)).toEqual(['1.3.0']);
    expect((await larder.npm(path, onlyStored)).body.equals(bytes as Buffer)).toBe(true);
    expect(upstream.requests).toHaveLength(before);
    const fresh = await larder.npm('/left-pad', headers);
    expect(Object.keys((fresh.json() as { versions: object }).versions)).toEqual(['1.3.0', '1.4.0']);
  });
});

describe('a request that can wait', () => {
  it('is put behind those of clients that came later', async () => {
    const { upstream, larder } = await scene({ upstream: { concurrency: 1 }, source: { ttl: '1h' } });
    const held = gate();
    upstream.at('/first', { body: 'first', holdHeaders: held });
    upstream.at('/background', { body: 'background' });
    upstream.at('/client', { body: 'client' });
    const first = larder.files('/first');
    await held.reached;
    const inLine = (many: number): Promise<true> =>
      eventually(`${many} wait`, async () =>
        (await larder.metrics()).sum('larder_upstream_waiting') === many ? true : undefined,
      );
    const waiting = larder.files('/background', { 'x-larder-priority': 'background' });
    await inLine(1);
    const client = larder.files('/client');
    await inLine(2);
    held.open();
    expect((await Promise.all([first, waiting, client])).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(upstream.requests.map(({ path }) => path)).toEqual(['/first', '/client', '/background']);
  });
});

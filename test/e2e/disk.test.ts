/** Too little room, no room, and a store that outlives the process. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { verify } from '../../src/store/verify.ts';
import { sha256Of, synthetic } from '../support/bytes.ts';
import { startLarder } from '../support/larder.ts';
import { scene, untilStored } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

function big(index: number) {
  return { name: `big${index}`, version: '1.0.0', bytes: synthetic(400_000, index + 1) };
}

test('with a limit the store stays below it, what was asked for last stays, and the rest is fetched again', async () => {
  const { registry, larder } = await scene({ storage: { maxSize: '2MB' } });
  const files = Array.from({ length: 10 }, (_, index) => registry.publish(big(index)));
  for (const { path, sha256 } of files) expect(sha256Of((await larder.npm(path)).body)).toBe(sha256);
  const bytes = async (): Promise<number> => {
    const metrics = await larder.metrics();
    return (
      metrics.samples.find((sample) => /store.*bytes/.test(sample.name) && !/max|reserved/.test(sample.name))?.value ??
      0
    );
  };
  await eventually(
    'the store shrinks below its limit',
    async () => (await bytes()) <= 2_000_000 && (await bytes()) > 0,
  );
  await untilStored(larder, files.at(-1)?.path ?? '');
  const first = await larder.npm(files[0]?.path ?? '');
  expect(first.headers['x-larder-cache']).toBe('miss');
  expect(sha256Of(first.body)).toBe(files[0]?.sha256);
});

describe('no room at all', () => {
  test('a file bigger than the whole store is passed on, not kept', async () => {
    const { registry, upstream, larder } = await scene({ storage: { maxSize: '1MB' } });
    const { path, sha256 } = registry.publish({ name: 'big', version: '1.0.0', bytes: synthetic(3_000_000) });
    for (let i = 0; i < 2; i++) expect(sha256Of((await larder.npm(path)).body)).toBe(sha256);
    expect(upstream.count(path)).toBe(2);
  });

  test('a full disk keeps nothing and serves everything, and says so', async () => {
    const { registry, larder } = await scene({ storage: { keepFree: '900TB' } });
    const { path, sha256 } = registry.publish(big(1));
    for (let i = 0; i < 3; i++) {
      expect((await larder.npm('/big1')).status).toBe(200);
      expect(sha256Of((await larder.npm(path)).body)).toBe(sha256);
    }
    const several = await Promise.all(Array.from({ length: 20 }, () => larder.npm(path)));
    expect(several.map((answer) => sha256Of(answer.body))).toEqual(Array(20).fill(sha256));
    const ready = await larder.ask('/readyz');
    expect(ready.status).toBe(200);
    expect(ready.text()).toMatch(/full|space|free/i);
    const metrics = await larder.metrics();
    expect(metrics.samples.some((sample) => /full/.test(sample.name) && sample.value === 1)).toBe(true);
  });

  test('bytes are checked on a full disk too', async () => {
    const { registry, upstream, larder } = await scene({ storage: { keepFree: '900TB' } });
    const { path, bytes } = registry.publish(big(1));
    upstream.at(path, { body: bytes, corruptAt: 200_000, ranges: false });
    const answer = await larder.npm(path);
    expect(answer.status === 502 || !answer.complete).toBe(true);
  });
});

describe('after a restart', () => {
  test('everything is there, without a request to the upstream', async () => {
    const { registry, upstream, larder } = await scene({ source: { ttl: '1h' } });
    const { path, sha256 } = registry.publish({ name: 'lib', version: '1.0.0' });
    const document = await larder.npm('/lib');
    await larder.npm(path);
    await larder.stop();
    await upstream.stop();
    const again = await startLarder({ upstreamUrl: registry.url, folder: larder.folder, source: { ttl: '1h' } });
    onTestFinished(() => again.stop());
    const host = { host: `127.0.0.1:${larder.port}` };
    expect(await again.npm('/lib', host)).toMatchObject({ status: 200, headers: { etag: document.headers.etag } });
    expect(sha256Of((await again.npm(path)).body)).toBe(sha256);
  });

  test('the same without the index: it is rebuilt from what is on disk', async () => {
    const { registry, upstream, larder } = await scene();
    const { path, sha256 } = registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    await larder.npm(path);
    await larder.stop();
    await upstream.stop();
    await rm(join(larder.storage, 'index'), { recursive: true });
    const again = await startLarder({ upstreamUrl: registry.url, folder: larder.folder });
    onTestFinished(() => again.stop());
    expect((await again.npm('/lib')).status).toBe(200);
    expect(sha256Of((await again.npm(path)).body)).toBe(sha256);
  });

  test('with another upstream under the same name nothing of the old one is served', async () => {
    const { registry, larder } = await scene();
    registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    await larder.stop();
    await registry.upstream.stop();
    const other = await startLarder({ upstreamUrl: 'http://127.0.0.1:9', folder: larder.folder });
    onTestFinished(() => other.stop());
    expect((await other.npm('/lib')).status).toBe(503);
  });

  test('nothing is left in staging, and the store is clean', async () => {
    const { registry, upstream, larder } = await scene();
    const ok = registry.publish(big(1));
    const broken = registry.publish(big(2));
    upstream.at(broken.path, { body: broken.bytes, corruptAt: 10, ranges: false });
    await larder.npm(ok.path);
    await larder.npm(broken.path);
    await larder.stop();
    expect(await readdir(join(larder.storage, 'staging'))).toEqual([]);
    expect(await verify({ path: larder.storage })).toMatchObject({ clean: true, damaged: [] });
  });
});

describe('offline', () => {
  test('serves what is stored, says of the rest that it is not here, and asks nobody', async () => {
    const { registry, upstream, larder } = await scene();
    const { path } = registry.publish({ name: 'lib', version: '1.0.0' });
    await larder.npm('/lib');
    await larder.npm(path);
    await larder.stop();
    upstream.forget();
    const offline = await startLarder({
      upstreamUrl: registry.url,
      folder: larder.folder,
      source: { offline: true, ttl: '0s', staleWhileRevalidate: '0s' },
    });
    onTestFinished(() => offline.stop());
    const document = await offline.npm('/lib');
    expect([document.status, document.headers['x-larder-cache']]).toEqual([200, 'offline']);
    expect((await offline.npm(path)).status).toBe(200);
    const missing = await offline.npm('/other');
    expect(missing.status).toBe(404);
    expect(missing.json()).toMatchObject({ error: expect.stringMatching(/offline/i) });
    expect((await offline.npm('/lib/-/lib-9.9.9.tgz')).status).toBe(404);
    expect(upstream.requests).toEqual([]);
  });
});

import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { gzipBomb } from '../support/bytes.ts';
import { type Coding, gate } from '../support/fake-upstream.ts';
import { tarball } from '../support/tarball.ts';
import { expectBytes, hear, readAll, sample, scene, sha256 } from './download-scene.ts';

const body = sample(120_000);
const nothing = Buffer.alloc(0);
const codings: [Coding, Buffer][] = [
  ['gzip', gzipSync(body)],
  ['br', brotliCompressSync(body)],
  ['zstd', zstdCompressSync(body)],
  ['deflate', deflateSync(body)],
];

describe.each(codings)('an answer coded with %s', (coding, coded) => {
  const reply = { body: coded, headers: { 'content-encoding': coding }, etag: '"1"' };

  test.each([true, false])('is stored decoded, offered (%s) or not', async (decode) => {
    const { upstream, start, stages } = await scene();
    upstream.at('/file', reply);
    const download = start({ decode });
    const head = await download.head;
    expect(head.size).toBeUndefined();
    expect(head.headers['content-encoding']).toBeUndefined();
    expect(head.headers['content-length']).toBeUndefined();
    expect(head.headers.etag).toBe('"1"');
    expectBytes(await readAll(download), body);
    const done = await download.done;
    expect(done).toMatchObject({ size: body.length, stored: true });
    expect(done.headers['content-encoding']).toBeUndefined();
    expect(done.digests).toEqual([sha256(body)]);
    expectBytes(stages.blobs.get(sha256(body)) ?? nothing, body);
  });

  test('that was cut is begun again, and what readers have is skipped', async () => {
    for (const at of [0, 1, 500, 50_000]) {
      const { upstream, start } = await scene();
      upstream.at('/file', { ...reply, cuts: [at] });
      expectBytes(await readAll(start({ decode: true })), body);
      expect(upstream.requests.map(({ headers }) => headers.range)).toEqual([undefined, undefined]);
    }
  });

  test('that is as long as its header says and yet cut short is not stored', async () => {
    const { upstream, start, stages } = await scene();
    upstream.at('/file', { ...reply, truncateAt: 500, length: 500 });
    await expect(readAll(start({ decode: true }))).rejects.toMatchObject({ code: 'upstream_invalid' });
    expect(stages.blobs.size).toBe(0);
  });
});

test('a coded answer that ends before its length, where it could be complete, goes on', async () => {
  const { upstream, client, start } = await scene();
  const first = gzipSync(body.subarray(0, 60_000));
  const all = Buffer.concat([first, gzipSync(body.subarray(60_000))]);
  upstream.at('/file', { body: all, headers: { 'content-encoding': 'gzip' }, etag: '"1"' });
  let asked = 0;
  const download = start({
    decode: true,
    upstream: {
      ...client,
      async ask(ask) {
        const reply = await client.ask(ask);
        asked += 1;
        if (asked > 1) return reply;
        reply.discard();
        // HTTP/1.1 can't do that, and a client that hides it can.
        async function* half(): AsyncGenerator<Buffer> {
          yield first;
        }
        return { ...reply, body: Object.assign(half(), { destroy: () => {} }) };
      },
    },
  });
  expectBytes(await readAll(download), body);
  expect(asked).toBe(2);
});

describe('a document', () => {
  test('is asked for in every coding we know', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body, codings: ['zstd', 'gzip'] });
    expectBytes(await readAll(start({ decode: true })), body);
  });

  test('that blows up ends at the limit', async () => {
    const { upstream, start, stages } = await scene();
    const bomb = await gzipBomb(64 * 1024 * 1024);
    upstream.at('/file', { body: bomb, headers: { 'content-encoding': 'gzip' } });
    const download = start({ decode: true, maxSizeBytes: 1024 * 1024 });
    await expect(download.done).rejects.toMatchObject({ code: 'upstream_invalid' });
    expect(upstream.count('/file')).toBe(1);
    expect(stages.blobs.size).toBe(0);
  });

  test('with a digest is checked decoded, and a cut without validators is no trouble', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body, coding: 'gzip', cuts: [500, 800] });
    const download = start({ decode: true, expected: [sha256(body)] });
    expectBytes(await readAll(download), body);
    expect(await download.done).toMatchObject({ verified: 'digest' });
  });
});

describe('an artifact', () => {
  const archive = tarball({ 'package.json': '{}', 'random.bin': sample(200_000) });

  test('labelled as coded although it is only an archive is stored as it is when its digest says so', async () => {
    const { upstream, start, stages } = await scene();
    const heard = hear('download.mismatch');
    upstream.at('/file', { body: archive, headers: { 'content-encoding': 'gzip' } });
    const download = start({ expected: [sha256(archive)] });
    expectBytes(await readAll(download), archive);
    expect(await download.done).toMatchObject({ size: archive.length, verified: 'digest', stored: true });
    expectBytes(stages.blobs.get(sha256(archive)) ?? nothing, archive);
    expect(upstream.count('/file')).toBe(2);
    expect(heard).toEqual([]);
    expect((await download.head).headers['content-encoding']).toBeUndefined();
  });

  test('labelled with a coding it does not have at all is stored as it is too', async () => {
    for (const label of ['br', 'gzip', 'utf-8', 'binary']) {
      const { upstream, start } = await scene();
      upstream.at('/file', { body, headers: { 'content-encoding': label } });
      const download = start({ expected: [sha256(body)] });
      expectBytes(await readAll(download), body, label);
      expect(await download.done).toMatchObject({ stored: true });
    }
  });

  test('really coded on the way is decoded, as its digest says', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body: archive, coding: 'gzip' });
    const download = start({ expected: [sha256(archive)] });
    expectBytes(await readAll(download), archive);
    expect(upstream.count('/file')).toBe(1);
  });

  test('that is neither is refused, and the event counted', async () => {
    const { upstream, start, stages } = await scene();
    const heard = hear('download.mismatch');
    upstream.at('/file', { body: gzipSync('another'), headers: { 'content-encoding': 'gzip' } });
    await expect(readAll(start({ expected: [sha256(archive)] }))).rejects.toMatchObject({ code: 'upstream_invalid' });
    expect(upstream.count('/file')).toBe(2);
    expect(heard).toHaveLength(2);
    expect(stages.blobs.size).toBe(0);
  });

  test('labelled wrongly and without a digest is refused when it does not decode', async () => {
    const { upstream, start, stages } = await scene();
    upstream.at('/file', { body, headers: { 'content-encoding': 'gzip' } });
    await expect(readAll(start())).rejects.toMatchObject({ code: 'upstream_invalid' });
    expect(stages.blobs.size).toBe(0);
  });

  test('labelled as identity is not coded', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body, headers: { 'content-encoding': 'identity' } });
    const download = start({ expected: [sha256(body)] });
    expect((await download.head).size).toBe(body.length);
    expectBytes(await readAll(download), body);
  });

  test('nothing of which a reader got before it was clear what it is', async () => {
    const { upstream, start } = await scene();
    const hold = gate();
    upstream.at('/file', { body: archive, coding: 'gzip', hold: { at: 150_000, until: hold } });
    const download = start({ expected: [sha256(archive)] });
    let received = 0;
    const reading = (async () => {
      for await (const chunk of download.read()) received += chunk.length;
    })();
    await hold.reached;
    expect(received).toBe(0);
    hold.open();
    await reading;
    expect(received).toBe(archive.length);
  });
});

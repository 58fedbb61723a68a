import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Digest } from '../../src/core/digest.ts';
import { Problem } from '../../src/core/problem.ts';
import type { Reply as ClientReply, Upstream } from '../../src/upstream/client.ts';
import { createDownloads, type Download, type DownloadRequest } from '../../src/upstream/download.ts';
import { randomFrom } from '../support/bytes.ts';
import { gate, type Reply } from '../support/fake-upstream.ts';
import { eventually } from '../support/wait.ts';
import {
  collect,
  diskError,
  expectBytes,
  fileStages,
  hear,
  readAll,
  sample,
  scene,
  sha256,
} from '../upstream/download-scene.ts';

const nothing = Buffer.alloc(0);

/** What a reader got, and how it ended. */
async function outcome(reader: AsyncIterable<Buffer>): Promise<{ readonly bytes: Buffer; readonly error: unknown }> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of reader) chunks.push(chunk);
    return { bytes: Buffer.concat(chunks), error: undefined };
  } catch (error) {
    return { bytes: Buffer.concat(chunks), error };
  }
}

/** Nobody has wrong bytes, and nobody who failed has all of them. */
function expectHonest(got: Awaited<ReturnType<typeof outcome>>, want: Buffer, hint: string): void {
  expectBytes(got.bytes, want.subarray(0, got.bytes.length), hint);
  if (got.error === undefined) expect(got.bytes.length, hint).toBe(want.length);
  else {
    expect(got.error, hint).toBeInstanceOf(Problem);
    expect(got.bytes.length, hint).toBeLessThan(want.length);
  }
}

describe('upstream cuts the connection at every offset of a body of several pieces, and offers', () => {
  const body = sample(41);
  const drip = { bytes: 9, pauseMs: 1 };
  const rows: [string, Reply, boolean, 'always works' | 'may fail'][] = [
    ['ranges and an ETag', { etag: '"1"' }, false, 'always works'],
    ['ranges, no length and an ETag', { etag: '"1"', length: false }, false, 'always works'],
    ['an ETag and no ranges', { etag: '"1"', ranges: false }, false, 'always works'],
    ['no validators, but the digest is known', {}, true, 'always works'],
    ['no validators and no ranges, but the digest is known', { ranges: false }, true, 'always works'],
    ['nothing to go on with', { ranges: false }, false, 'may fail'],
  ];

  test.each(rows)('%s', async (_name, reply, withDigest, promise) => {
    const { upstream, start, stages, downloads } = await scene();
    for (let at = 0; at <= body.length; at += 1) {
      upstream.at('/file', { body, drip, cuts: [at], ...reply });
      const download = start(withDigest ? { expected: [sha256(body)] } : {});
      const all = outcome(download.read());
      const part = outcome(download.read(7, 40));
      const done = await download.done.catch((error: unknown) => error);
      expectHonest(await all, body, `cut at ${at}`);
      if (promise === 'always works') {
        expect((await all).error, `cut at ${at}`).toBeUndefined();
        expectBytes((await part).bytes, body.subarray(7, 40), `cut at ${at}`);
        expect(done, `cut at ${at}`).toMatchObject({ stored: true });
      }
      expect(downloads.active).toBe(0);
    }
    for (const [digest, bytes] of stages.blobs) {
      expect(digest).toBe(sha256(body));
      expectBytes(bytes, body);
    }
    await eventually('every file is let go', () => stages.held === 0);
  });
});

test('upstream flips a bit at every offset: nobody gets the whole, nothing is stored', async () => {
  const body = sample(41);
  const { upstream, start, stages } = await scene();
  let mostReceived = 0;
  for (let at = 0; at < body.length; at += 1) {
    upstream.at('/file', { body, drip: { bytes: 9, pauseMs: 1 }, corruptAt: at });
    const download = start({ expected: [sha256(body)] });
    const { bytes, error } = await outcome(download.read());
    expect(error, `bit at ${at}`).toMatchObject({ code: 'upstream_invalid' });
    expect(bytes.length, `bit at ${at}`).toBeLessThan(body.length);
    mostReceived = Math.max(mostReceived, bytes.length);
  }
  // There was something to hold back from.
  expect(mostReceived).toBeGreaterThan(0);
  expect(stages.blobs.size).toBe(0);
  await eventually('every file is let go', () => stages.held === 0);
});

describe.each(['ENOSPC', 'EIO'])('the n-th step of the disk fails with %s, for every n until none fails:', (code) => {
  test.each([
    ['with all bytes in memory', 1024 * 1024],
    ['with most bytes on disk', 40_000],
  ])('every reader that does not read from the failing file gets its bytes, %s', async (_name, windowBytes) => {
    const body = sample(200_000);
    let isClean = false;
    for (let n = 1; !isClean; n += 1) {
      let steps = 0;
      const failed: string[] = [];
      const { upstream, start, stages, stored } = await scene({
        windowBytes,
        trouble(step) {
          steps += 1;
          if (steps !== n) return;
          failed.push(step);
          throw diskError(code);
        },
      });
      upstream.at('/file', { body, drip: { bytes: 16_384, pauseMs: 0 } });
      const download = start({ expected: [sha256(body)] });
      const readers = [download.read(), download.read(100_000), download.read(3, 150_000)];
      const slow = download.read();
      const got = await Promise.all(readers.map(outcome));
      const late = await outcome(slow);
      const done = await download.done;
      const hint = `${n}: ${failed.join()}`;
      const wanted = [body, body.subarray(100_000), body.subarray(3, 150_000), body];
      for (const [index, one] of [...got, late].entries()) {
        if (failed[0] === 'read') expectHonest(one, wanted[index] ?? nothing, hint);
        else expectBytes(one.bytes, wanted[index] ?? nothing, `${hint} ${String(one.error)}`);
      }
      const isStored = failed[0] === undefined || failed[0] === 'read';
      expect(done.stored, hint).toBe(isStored);
      expect(stored.length, hint).toBe(isStored ? 1 : 0);
      await eventually('the file is let go', () => stages.held === 0);
      isClean = failed[0] === undefined;
    }
  });
});

test('a download that fails while a reader waits for the disk is that reader’s only trouble', async () => {
  const body = sample(500_000);
  const reading = gate();
  const { upstream, start, stages } = await scene({
    windowBytes: 70_000,
    async trouble(step) {
      if (step !== 'read') return;
      reading.arrive();
      await reading.opened;
    },
  });
  const heard = hear('fault');
  const rest = gate();
  upstream.at('/file', { body, corruptAt: 9, hold: { at: 400_000, until: rest } });
  const download = start({ expected: [sha256(body)] });
  const reader = download.read();
  let received = 0;
  const other = (async () => {
    for await (const chunk of download.read()) received += chunk.length;
  })();
  other.catch(() => undefined);
  await reader.next();
  await rest.reached;
  await eventually('the others are far ahead', () => received > 250_000);
  const waiting = reader.next();
  await reading.reached;
  rest.open();
  await expect(download.done).rejects.toMatchObject({ code: 'upstream_invalid' });
  // The file is discarded meanwhile.
  for (let round = 0; round < 20; round += 1) await turn();
  reading.open();
  await expect(waiting).rejects.toMatchObject({ code: 'upstream_invalid' });
  await expect(other).rejects.toMatchObject({ code: 'upstream_invalid' });
  expect(heard).toEqual([]);
  await eventually('the file is let go', () => stages.held === 0);
});

test('a block that could not be read once is read again for the next reader', async () => {
  const body = sample(300_000);
  const { upstream, start } = await scene({
    windowBytes: 1000,
    chunkSize: 50_000,
    lingerMs: 60_000,
    trouble(step, nth) {
      if (step === 'read' && nth === 1) throw diskError('EIO');
    },
  });
  upstream.at('/file', { body });
  const download = start();
  await download.done;
  await expect(readAll(download)).rejects.toMatchObject({ code: 'internal' });
  expectBytes(await readAll(download), body);
});

describe('when the disk takes no bytes', () => {
  const body = sample(2_000_000);
  const full = (step: string, nth: number): void => {
    if (step === 'write' && nth >= 3) throw diskError('ENOSPC');
  };

  test('the slowest reader sets the pace, memory stays bounded, and all get everything', async () => {
    const passWindowBytes = 300_000;
    const { upstream, start } = await scene({
      passWindowBytes,
      windowBytes: 100_000,
      trouble: full,
      readerStallMs: 60_000,
    });
    upstream.at('/file', { body });
    const download = start({ expected: [sha256(body)] });
    const quick = collect(download.read());
    const slow = download.read();
    const chunks: Buffer[] = [];
    let received = 0;
    for (let step = await slow.next(); step.done !== true; step = await slow.next()) {
      chunks.push(step.value);
      received += step.value.length;
      await turn();
      // Kernel and client hold some as well; without backpressure it would be nearly everything at once.
      expect(upstream.bytesSent - received).toBeLessThan(body.length);
    }
    expectBytes(Buffer.concat(chunks), body);
    expectBytes(await quick, body);
    expect(await download.done).toMatchObject({ stored: false, verified: 'digest' });
  });

  test('the writer waits for a reader that does not read', async () => {
    const big = sample(30_000_000);
    const { upstream, start } = await scene({ passWindowBytes: 300_000, trouble: full, readerStallMs: 60_000 });
    upstream.at('/file', { body: big });
    const download = start({ keepGoing: false });
    const reader = download.read();
    await reader.next();
    let before = -1;
    await eventually('nothing moves any more', async () => {
      const isStill = before === upstream.bytesSent && before > 0;
      before = upstream.bytesSent;
      for (let round = 0; round < 50; round += 1) await turn();
      return isStill;
    });
    expect(upstream.bytesSent).toBeLessThan(big.length);
    await reader.return();
    await expect(download.done).rejects.toMatchObject({ code: 'upstream_unavailable' });
  });

  test('a reader that holds up the others for too long is dropped', async () => {
    const { upstream, start } = await scene({ passWindowBytes: 300_000, trouble: full, readerStallMs: 30 });
    upstream.at('/file', { body });
    const download = start();
    const stalled = download.read();
    await stalled.next();
    expectBytes(await readAll(download), body);
    await expect(collect(stalled)).rejects.toMatchObject({ code: 'request_timeout' });
    expect(await download.done).toMatchObject({ stored: false });
  });

  test('who comes too late for the first bytes starts a download of its own', async () => {
    const { upstream, start, downloads, request } = await scene({ passWindowBytes: 300_000, trouble: full });
    const hold = gate();
    const secondHold = gate();
    upstream.at('/file', { body, hold: { at: 1_500_000, until: hold } }, { body, hold: { at: 9, until: secondHold } });
    const first = start();
    const reading = collect(first.read());
    const joiner = collect(downloads.start('file', () => request()).download.read());
    await hold.reached;
    await eventually('bytes are gone', () => downloads.find('file') === undefined);
    const second = downloads.start('file', () => request());
    expect(second.joined).toBe(false);
    // Whoever held on to the first one is told.
    await expect(first.read().next()).rejects.toMatchObject({ code: 'busy' });
    await expect(first.read(0, 1_000_000).next()).rejects.toMatchObject({ code: 'busy' });
    // What is still in the file and in the window can be had.
    expectBytes(await readAll(first, 100, 200), body.subarray(100, 200));
    const tail = collect(first.read(1_450_000));
    hold.open();
    expectBytes(await reading, body);
    expectBytes(await joiner, body);
    expectBytes(await tail, body.subarray(1_450_000));
    // The first one’s end does not close the second one’s door.
    await first.done;
    expect(downloads.find('file')).toBe(second.download);
    secondHold.open();
    expectBytes(await readAll(second.download), body);
    expect(upstream.count('/file')).toBe(2);
  });

  test('a small file can still be joined until its end', async () => {
    const small = sample(100_000);
    const { upstream, start, downloads } = await scene({ trouble: full });
    const hold = gate();
    upstream.at('/file', { body: small, drip: { bytes: 10_000, pauseMs: 1 }, hold: { at: 90_000, until: hold } });
    const first = collect(start().read());
    await hold.reached;
    const second = collect(downloads.find('file')?.read() as AsyncIterable<Buffer>);
    hold.open();
    expectBytes(await first, small);
    expectBytes(await second, small);
    expect(upstream.count('/file')).toBe(1);
  });

  test('a download that nobody reads is given up: it could not be kept', async () => {
    const { upstream, start, downloads } = await scene({ passWindowBytes: 300_000, trouble: full, readerStallMs: 10 });
    const heard = hear('download.end');
    upstream.at('/file', { body });
    await expect(start({ keepGoing: true }).done).rejects.toMatchObject({ code: 'upstream_unavailable' });
    expect(heard[0]?.event).toMatchObject({ outcome: 'abandoned' });
    expect(downloads.active).toBe(0);
    await eventually('the connection is gone', () => upstream.inFlight === 0);
  });

  test('the end is still held back', async () => {
    const { upstream, start } = await scene({ passWindowBytes: 300_000, trouble: full });
    upstream.at('/file', { body, corruptAt: 1_900_000 });
    const { bytes, error } = await outcome(start({ expected: [sha256(body)] }).read());
    expect(error).toMatchObject({ code: 'upstream_invalid' });
    expect(bytes.length).toBeLessThan(body.length);
  });

  test('from the first byte on, everything works the same', async () => {
    const { upstream, start, stages } = await scene({
      passWindowBytes: 300_000,
      trouble(step) {
        if (step === 'open') throw diskError('EMFILE');
      },
    });
    const heard = hear('fault');
    upstream.at('/file', { body, etag: '"1"', cuts: [700_000] });
    const download = start({ expected: [sha256(body)] });
    const readers = [collect(download.read()), collect(download.read(1_000_000))];
    expectBytes((await readers[0]) ?? nothing, body);
    expectBytes((await readers[1]) ?? nothing, body.subarray(1_000_000));
    expect(await download.done).toMatchObject({ stored: false });
    expect(stages.steps).toEqual(['open']);
    expect(heard.map(({ event }) => event)).toMatchObject([{ where: 'download.stage' }]);
  });

  test.each([
    ['from the start', 1],
    ['in the middle', 4],
  ])('a gate is passed all the same, whether it fails %s', async (_name, from) => {
    const { upstream, start, downloads } = await scene({
      passWindowBytes: 100_000,
      windowBytes: 70_000,
      trouble(step, nth) {
        if (step === (from === 1 ? 'open' : 'write') && nth >= from) throw diskError('ENOSPC');
      },
    });
    const heard = hear('fault');
    upstream.at('/file', { body, length: false });
    let judged: Buffer = nothing;
    const store: DownloadRequest['store'] = async (stage, facts) => {
      expectBytes(await stage.read(777, 1_000_000), body.subarray(777, 1_000_777));
      judged = await stage.read(0, facts.size);
      if (judged.length !== stage.size || facts.digests[0] === undefined) throw new Error('That is not all.');
      await stage.commit(facts.digests[0]);
    };
    // Nobody reads: what is judged does not depend on it.
    const done = await start({ gate: true, store, maxSizeBytes: 3_000_000 }).done;
    expectBytes(judged, body);
    expect(done).toMatchObject({ stored: false });

    const again = start({ gate: true, store, maxSizeBytes: 3_000_000 });
    expectBytes(await readAll(again), body);
    expect(heard).toEqual([]);

    await again.done;
    const content = start({ gate: true, store: async () => {}, maxSizeBytes: 3_000_000 });
    expect(await content.done).toMatchObject({ stored: false });
    const invalid = start({
      gate: true,
      maxSizeBytes: 3_000_000,
      store: () => Promise.reject(new Problem('upstream_invalid', 'No such document.')),
    });
    const { bytes, error } = await outcome(invalid.read());
    expect(error).toMatchObject({ message: 'No such document.' });
    expect(bytes.length).toBeLessThan(body.length);
    expect(downloads.active).toBe(0);
  });

  test('two readings of a coding can’t both be kept open, and the usual one is taken', async () => {
    const { upstream, start } = await scene({ passWindowBytes: 300_000, trouble: full });
    upstream.at('/file', { body, coding: 'zstd' });
    const download = start({ expected: [sha256(body)] });
    expectBytes(await readAll(download), body);
    expect(await download.done).toMatchObject({ stored: false });
  });
});

/** An upstream in this process: pieces of any size at any time, cuts, bad parts and outages as the dice say. */
function dicedUpstream(body: Buffer, random: () => number, options: { readonly trouble: number }): Upstream {
  const happens = (chance: number): boolean => random() < chance;
  return {
    name: 'diced',
    url: 'http://diced.test',
    identity: 'diced',
    unavailableUntil: () => undefined,
    namespaces: [],
    async ask({ headers = {}, signal }): Promise<ClientReply> {
      for (let round = 0; round < random() * 3; round += 1) await turn();
      if (headers.range !== undefined && happens(options.trouble / 4)) {
        throw new Problem('upstream_unavailable', 'Not now.', { retryAfterSeconds: 5 });
      }
      let from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
      const ignoresRange = happens(options.trouble / 4);
      if (ignoresRange) from = 0;
      const isPart = headers.range !== undefined && !ignoresRange;
      const shift = isPart && happens(options.trouble / 4) ? 1 : 0;
      let isGone = false;
      async function* bytes(): AsyncGenerator<Buffer> {
        for (let at = from; at < body.length; ) {
          if (signal?.aborted) throw signal.reason;
          if (isGone) throw new Error('Destroyed.');
          if (happens(options.trouble / 20)) throw Object.assign(new Error('Cut.'), { code: 'ECONNRESET' });
          if (happens(0.7)) await turn();
          const size = 1 + Math.floor(random() ** 3 * 20_000);
          yield Buffer.from(body.subarray(at, at + size));
          at += size;
        }
      }
      const length: Record<string, string> = happens(0.5) ? { 'content-length': String(body.length - from) } : {};
      return {
        status: isPart ? 206 : 200,
        headers: {
          etag: '"1"',
          'transfer-encoding': 'chunked',
          ...length,
          ...(isPart ? { 'content-range': `bytes ${from + shift}-${body.length - 1}/${body.length}` } : {}),
        },
        url: 'http://diced.test/file',
        body: Object.assign(bytes(), {
          destroy: () => {
            isGone = true;
          },
        }),
        discard: () => {},
      };
    },
  };
}

interface DicedReader {
  readonly from: number;
  readonly to: number;
  readonly left: boolean;
  readonly bytes: Buffer;
  readonly error: unknown;
}

async function dicedReader(download: Download, size: number, random: () => number): Promise<DicedReader> {
  const from = random() < 0.4 ? 0 : Math.floor(random() * (size + 10));
  const to = random() < 0.4 ? Number.POSITIVE_INFINITY : from + Math.floor(random() * size);
  const leavesAfter = random() < 0.3 ? Math.floor(random() * 10) : Number.POSITIVE_INFINITY;
  const laziness = random() ** 2 * 5;
  const reader = download.read(from, to);
  const chunks: Buffer[] = [];
  let left = false;
  let error: unknown;
  try {
    for await (const chunk of reader) {
      chunks.push(chunk);
      for (let round = 0; round < laziness; round += 1) await turn();
      if (chunks.length <= leavesAfter) continue;
      left = true;
      break;
    }
  } catch (thrown) {
    error = thrown;
  }
  return { from, to, left, bytes: Buffer.concat(chunks), error };
}

describe('whatever the dice say, every reader gets exactly its bytes or an error', () => {
  // A longer run: LARDER_SEEDS=5000.
  const seeds = Array.from({ length: Number(process.env.LARDER_SEEDS ?? 60) }, (_, index) => index + 1);
  const worlds: [string, { readonly trouble: number; readonly disk: number; readonly knowsDigest: boolean }][] = [
    ['in a friendly world', { trouble: 0, disk: 0, knowsDigest: false }],
    ['with an unreliable upstream', { trouble: 1, disk: 0, knowsDigest: false }],
    ['with an unreliable upstream and disk', { trouble: 0.7, disk: 0.05, knowsDigest: true }],
  ];

  test.each(worlds)('%s', async (_name, world) => {
    let finished = 0;
    for (const seed of seeds) {
      const random = randomFrom(seed);
      const body = sample(Math.floor(random() ** 2 * 300_000));
      const stages = await fileStages(async (step) => {
        for (let round = 0; round < random() * 4; round += 1) await turn();
        if (step !== 'read' && random() < world.disk) throw diskError('ENOSPC');
      });
      const downloads = createDownloads({
        stage: stages.open,
        windowBytes: 1 + Math.floor(random() * 60_000),
        passWindowBytes: 1 + Math.floor(random() * 100_000),
        chunkSize: 1 + Math.floor(random() * 40_000),
        backoffMs: 0,
        maxBackoffMs: 0,
        lingerMs: 1,
        maxResumes: 30,
        random,
      });
      const upstream = dicedUpstream(body, random, world);
      const expected: Digest[] = world.knowsDigest ? [sha256(body)] : [];
      const request: DownloadRequest = { ...plainRequest, upstream, expected, keepGoing: random() < 0.5 };
      const { download } = downloads.start('file', () => request);
      const readers: Promise<DicedReader>[] = [];
      const count = 1 + Math.floor(random() * 8);
      for (let index = 0; index < count; index += 1) {
        const joined = downloads.find('file');
        if (joined) readers.push(dicedReader(joined, body.length, random));
        for (let round = 0; round < random() * 8; round += 1) await turn();
      }
      const done = await download.done.catch((error: unknown) => error);
      for (const { from, to, left, bytes, error } of await Promise.all(readers)) {
        const want = body.subarray(from, Math.max(from, to));
        const hint = `seed ${seed}: ${from}-${to}${left ? ' left' : ''}`;
        expectBytes(bytes, want.subarray(0, bytes.length), hint);
        if (error) expect(error, hint).toBeInstanceOf(Problem);
        else if (!left) expect(bytes.length, hint).toBe(want.length);
        if (world.trouble === 0) expect(error, hint).toBeUndefined();
      }
      if (done instanceof Error) expect(done).toBeInstanceOf(Problem);
      else finished += 1;
      for (const bytes of stages.blobs.values()) expectBytes(bytes, body, `seed ${seed}`);
      expect(downloads.active, `seed ${seed}`).toBe(0);
      expect(downloads.find('file'), `seed ${seed}`).toBeUndefined();
      // Mostly at once; a disk in heavy use may still be writing.
      for (let round = 0; stages.held > 0 && round < 100; round += 1) await turn();
      await eventually(`every file is let go (seed ${seed})`, () => stages.held === 0);
    }
    // Most of them succeed, or this test would show little.
    expect(finished).toBeGreaterThan(seeds.length / 2);
  });
});

const plainRequest: Omit<DownloadRequest, 'upstream'> = {
  url: 'http://simple.test/file',
  decode: false,
  expected: [],
  algorithms: [],
  maxSizeBytes: 1e9,
  keepGoing: true,
  store: async (stage, facts) => stage.commit(facts.digests[0] as Digest),
};

/** An upstream in this process that sends just these pieces. */
function simpleUpstream(body: Buffer, pieces: () => AsyncGenerator<Buffer>): Upstream {
  return {
    name: 'simple',
    url: 'http://simple.test',
    identity: 'simple',
    unavailableUntil: () => undefined,
    namespaces: [],
    ask: async () => ({
      status: 200,
      headers: { 'content-length': String(body.length) },
      url: 'http://simple.test/file',
      discard: () => {},
      body: Object.assign(pieces(), { destroy: () => {} }),
    }),
  };
}

test.each([
  ['Bytes', 1000],
  ['An end', 2000],
])('%s that upstream still sends when all have left makes no finished download', async (_name, before) => {
  const body = sample(2000);
  const stages = await fileStages();
  const downloads = createDownloads({ stage: stages.open, lingerMs: 1 });
  const hold = gate();
  let wasStored = false;
  let wentOn = false;
  const { download } = downloads.start('file', () => ({
    ...plainRequest,
    keepGoing: false,
    store: async () => {
      wasStored = true;
    },
    // One that does not listen to the signal.
    upstream: simpleUpstream(body, async function* () {
      yield body.subarray(0, before);
      await hold.opened;
      if (before === body.length) return;
      yield body.subarray(before, 1500);
      wentOn = true;
      yield body.subarray(1500);
    }),
  }));
  await download.read().return();
  await eventually('it is given up', () => downloads.find('file') === undefined);
  hold.open();
  await expect(download.done).rejects.toMatchObject({ code: 'upstream_unavailable' });
  expect(wasStored).toBe(false);
  expect(wentOn).toBe(false);
});

test('an upstream that sends byte by byte does not fill memory with small pieces', async () => {
  const body = sample(20_000);
  let isSending = true;
  const stages = await fileStages();
  const hold = gate();
  onTestFinished(() => hold.open());
  const downloads = createDownloads({
    stage: async (options) => {
      await hold.opened;
      return stages.open(options);
    },
  });
  let sent = 0;
  const { download } = downloads.start('file', () => ({
    ...plainRequest,
    upstream: simpleUpstream(body, async function* () {
      for (; sent < body.length; sent += 1) yield body.subarray(sent, sent + 1);
      isSending = false;
    }),
  }));
  const reading = readAll(download);
  for (let round = 0; round < 100; round += 1) await turn();
  expect(isSending).toBe(true);
  expect(sent).toBeLessThan(2000);
  hold.open();
  expectBytes(await reading, body);
  expect(await download.done).toMatchObject({ stored: true });
  // Written together, not one by one.
  expect(stages.steps.filter((step) => step === 'write').length).toBeLessThan(200);
});

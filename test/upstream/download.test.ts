import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/core/digest.ts';
import { Problem } from '../../src/core/problem.ts';
import { gate } from '../support/fake-upstream.ts';
import { eventually } from '../support/wait.ts';
import { collect, expectBytes, hear, readAll, sample, scene, sha256 } from './download-scene.ts';

const body = sample(300_000);
const nothing = Buffer.alloc(0);

describe('one download', () => {
  test('hands out the bytes, stores them once and says what they are', async () => {
    const { upstream, start, stages, stored } = await scene();
    upstream.at('/file', { body, etag: '"1"', contentType: 'text/plain' });

    const download = start({ expected: [digestOf(body, 'sha1')], algorithms: ['sha512'] });
    const head = await download.head;
    expect(head).toMatchObject({ status: 200, url: `${upstream.url}/file`, size: body.length });
    expect(head.headers).toMatchObject({ etag: '"1"', 'content-type': 'text/plain' });
    expect(download.size).toBe(body.length);
    expectBytes(await readAll(download), body);

    const done = await download.done;
    expect(done).toMatchObject({ status: 200, size: body.length, verified: 'digest', stored: true });
    expect(done.digests).toEqual([digestOf(body), digestOf(body, 'sha512'), digestOf(body, 'sha1')]);
    expect(stored).toHaveLength(1);
    expectBytes(stages.blobs.get(sha256(body)) ?? nothing, body);
    expect(stages.expectedSizes).toEqual([body.length]);
    expect(upstream.requests[0]?.headers['accept-encoding']).toBe('identity');
  });

  test('says that only the length was checked when no digest was expected', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body });
    expect(await start().done).toMatchObject({ verified: 'length', stored: true });
  });

  test('of an empty body is a download like any other', async () => {
    const { upstream, start, stages } = await scene();
    upstream.at('/file', { body: '' });
    const download = start({ expected: [sha256(Buffer.alloc(0))], expectedSize: 0 });
    expect(await readAll(download)).toEqual(Buffer.alloc(0));
    expect(await download.done).toMatchObject({ size: 0, stored: true });
    expect(stages.blobs.has(sha256(Buffer.alloc(0)))).toBe(true);
  });

  test('without a length learns its size at the end', async () => {
    const { upstream, start } = await scene();
    const hold = gate();
    upstream.at('/file', { body, length: false, hold: { at: 200_000, until: hold } });
    const download = start();
    const head = await download.head;
    expect(head.size).toBeUndefined();
    expect(download.size).toBeUndefined();
    hold.open();
    expectBytes(await readAll(download), body);
    await download.done;
    expect(download.size).toBe(body.length);
  });

  test('passes the request on as it was made', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body });
    await start({ headers: { accept: 'application/json' }, decode: true, requestId: 'r1' }).done;
    expect(upstream.requests[0]?.headers).toMatchObject({
      accept: 'application/json',
      'accept-encoding': 'gzip, br, zstd',
      'x-request-id': 'r1',
    });
  });
});

describe('joining', () => {
  test('50 cold clients make one upstream request', async () => {
    const { upstream, downloads, request } = await scene();
    upstream.at('/file', { body });
    const started = Array.from({ length: 50 }, () => downloads.start('file', () => request()));
    expect(started.map(({ joined }) => joined)).toEqual([false, ...Array<boolean>(49).fill(true)]);
    const all = await Promise.all(started.map(({ download }) => readAll(download)));
    for (const bytes of all) expectBytes(bytes, body);
    expect(upstream.count('/file')).toBe(1);
  });

  test('does not ask for a request to be made that nobody needs', async () => {
    const { upstream, downloads, request } = await scene();
    upstream.at('/file', { body });
    downloads.start('file', () => request());
    downloads.start('file', () => {
      throw new Error('Made in vain.');
    });
    await downloads.find('file')?.done;
  });

  test('is possible in the middle, with any range', async () => {
    const { upstream, start, downloads } = await scene();
    const hold = gate();
    upstream.at('/file', { body, hold: { at: 200_000, until: hold } });
    const first = collect(start().read());
    await hold.reached;
    const joiners: [number, number | undefined][] = [
      [0, undefined],
      [0, 1],
      [100, 150_000],
      [150_000, 250_000],
      [199_999, 200_001],
      [299_999, 300_000],
      [250_000, undefined],
      [299_999, 999_999],
      [300_000, undefined],
      [5, 5],
      [9, 3],
    ];
    const reads = joiners.map(([from, to]) => readAll(downloads.find('file') as never, from, to));
    hold.open();
    const all = await Promise.all(reads);
    for (const [index, [from, to]] of joiners.entries()) {
      expectBytes(all[index] ?? nothing, body.subarray(from, Math.max(from, to ?? body.length)), `${from}-${to}`);
    }
    expectBytes(await first, body);
    expect(upstream.count('/file')).toBe(1);
  });

  test('bytes reach readers while the rest is still to come', async () => {
    const { upstream, start } = await scene();
    const hold = gate();
    upstream.at('/file', { body, hold: { at: 200_000, until: hold } });
    const reader = start().read();
    const first = await reader.next();
    expect(first.done).toBe(false);
    expect(upstream.bytesSent).toBeLessThan(body.length);
    hold.open();
    const rest = await collect(reader);
    expectBytes(Buffer.concat([first.value as Buffer, rest]), body);
  });

  test('is still possible while the bytes are being stored, and then no more', async () => {
    const { upstream, downloads, request, start } = await scene();
    upstream.at('/file', { body });
    const storing = gate();
    const download = start({
      store: async (stage, facts) => {
        storing.arrive();
        await storing.opened;
        await stage.commit(facts.digests[0] as never);
      },
    });
    expectBytes(await readAll(download), body);
    await storing.reached;
    const late = downloads.start('file', () => request());
    expect(late.joined).toBe(true);
    expectBytes(await readAll(late.download, 1000), body.subarray(1000));
    storing.open();
    await download.done;
    expect(downloads.find('file')).toBeUndefined();
    expect(downloads.active).toBe(0);
  });

  test('leaves no moment in which a file is neither stored nor on its way', async () => {
    const { upstream, downloads, request } = await scene();
    upstream.at('/file', { body });
    let isStored = false;
    const { download } = downloads.start('file', () =>
      request({
        store: async (stage, facts) => {
          await stage.commit(facts.digests[0] as never);
          isStored = true;
        },
      }),
    );
    let isOver = false;
    void download.done.then(() => {
      isOver = true;
    });
    while (!isOver) {
      expect(isStored || downloads.find('file') !== undefined).toBe(true);
      await Promise.resolve();
      if (!isStored) await new Promise(setImmediate);
    }
  });

  test('of different keys makes different downloads', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body });
    upstream.at('/other', { body: 'other' });
    const one = start({}, 'one');
    const two = start({ url: `${upstream.url}/other` }, 'two');
    expectBytes(await readAll(one), body);
    expect((await readAll(two)).toString()).toBe('other');
  });

  test('a reader that comes just after the end gets its bytes, from memory or from the file', async () => {
    for (const windowBytes of [1024 * 1024, 1024]) {
      const { upstream, start, stages } = await scene({ windowBytes, lingerMs: 1000 });
      upstream.at('/file', { body });
      const download = start();
      await download.done;
      expectBytes(await readAll(download), body);
      expect(stages.steps.includes('read')).toBe(windowBytes === 1024);
    }
  });

  test('a reader that comes long after the end is told to ask again', async () => {
    const { upstream, start, stages } = await scene({ windowBytes: 1024, lingerMs: 1 });
    upstream.at('/file', { body });
    const download = start();
    await download.done;
    await eventually('the file is let go', () => stages.held === 0);
    await expect(readAll(download)).rejects.toMatchObject({ code: 'busy' });
  });
});

describe('the last piece', () => {
  test('is held back until the digest is right', async () => {
    const { upstream, start } = await scene();
    const hold = gate();
    upstream.at('/file', { body, hold: { at: body.length, until: hold }, length: false });
    const reader = start({ expected: [sha256(body)] }).read();
    let received = 0;
    const reading = (async () => {
      for await (const chunk of reader) received += chunk.length;
    })();
    await hold.reached;
    await eventually('most has been read', () => received > 200_000);
    expect(received).toBeLessThan(body.length);
    hold.open();
    await reading;
    expect(received).toBe(body.length);
  });

  test('of a body in one piece is all of it', async () => {
    const { upstream, start } = await scene();
    const hold = gate();
    const small = sample(1000);
    upstream.at('/file', { body: small, hold: { at: 1000, until: hold }, length: false });
    const download = start();
    let received = 0;
    const reading = (async () => {
      for await (const chunk of download.read()) received += chunk.length;
    })();
    await hold.reached;
    await download.head;
    expect(received).toBe(0);
    hold.open();
    await reading;
    expect(received).toBe(1000);
  });

  test('never comes when the digest is wrong, nothing is stored, and the next request tries again', async () => {
    const { upstream, downloads, request, start, stages, stored } = await scene();
    const heard = hear('download.mismatch', 'download.end');
    const hold = gate();
    upstream.at('/file', { body, corruptAt: 7, hold: { at: 200_000, until: hold } }, { body });
    const download = start({ expected: [sha256(body)] });
    const other = collect(downloads.start('file', () => request()).download.read(100, 200));
    const reader = download.read();
    let received = 0;
    const reading = (async () => {
      for await (const chunk of reader) received += chunk.length;
    })();
    await eventually('something has been read', () => received > 0);
    hold.open();
    await expect(reading).rejects.toMatchObject({ code: 'upstream_invalid' });
    await expect(download.done).rejects.toBeInstanceOf(Problem);
    expect(received).toBeLessThan(body.length);
    // A range that ended before the held piece was complete when the digest was still unknown.
    expect(await other).toHaveLength(100);
    expect(stored).toEqual([]);
    expect(heard.map(({ name }) => name)).toEqual(['download.mismatch', 'download.end']);
    expect(heard[0]?.event).toMatchObject({ expected: sha256(body) });
    expect(heard[1]?.event).toMatchObject({ outcome: 'failed' });
    await eventually('the file is let go', () => stages.held === 0);
    expect(downloads.find('file')).toBeUndefined();

    expectBytes(await readAll(start({ expected: [sha256(body)] })), body);
    expect(upstream.count('/file')).toBe(2);
  });

  test('every expected digest has to be right', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body });
    const expected = [sha256(body), digestOf(Buffer.from('another'), 'sha512')];
    await expect(start({ expected }).done).rejects.toMatchObject({ code: 'upstream_invalid' });
  });
});

describe('wrong bytes that nobody was given', () => {
  const small = sample(5000);

  test('are asked for once more, unnoticed', async () => {
    const { upstream, start, stages, stored } = await scene();
    upstream.at('/file', { body: small, corruptAt: 7 }, { body: small });
    const download = start({ expected: [sha256(small)] });
    expectBytes(await readAll(download), small);
    expect(await download.done).toMatchObject({ stored: true });
    expect(upstream.count('/file')).toBe(2);
    expect(stored).toHaveLength(1);
    await eventually('the files are let go', () => stages.held === 0);
  });

  test('are not asked for again once a reader has some of them, be it from the file', async () => {
    const { upstream, start, stages } = await scene({ windowBytes: 1000 });
    const rest = gate();
    const drip = { bytes: 20_000, pauseMs: 1 };
    upstream.at('/file', { body, drip, corruptAt: 9, hold: { at: 200_000, until: rest } }, { body });
    const download = start({ expected: [sha256(body)] });
    await rest.reached;
    await eventually(
      'the first bytes are in the file only',
      () => stages.steps.filter((step) => step === 'write').length > 1,
    );
    const reader = download.read(0, 5000);
    await reader.next();
    expect(stages.steps).toContain('read');
    rest.open();
    await expect(download.done).rejects.toMatchObject({ code: 'upstream_invalid' });
    expect(upstream.count('/file')).toBe(1);
    await reader.return();
  });

  test('are asked for only once more', async () => {
    const { upstream, start, stages } = await scene();
    const heard = hear('download.mismatch');
    upstream.at('/file', { body: small, corruptAt: 7 });
    const download = start({ expected: [sha256(small)] });
    const reader = download.read();
    await expect(collect(reader)).rejects.toMatchObject({ code: 'upstream_invalid', status: 502 });
    expect(upstream.count('/file')).toBe(2);
    expect(heard).toHaveLength(2);
    expect(stages.blobs.size).toBe(0);
    await eventually('the files are let go', () => stages.held === 0);
  });

  test('are not asked for again as another file', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body: small, corruptAt: 7 }, { body: small.subarray(1), etag: '"2"' });
    await expect(readAll(start({ expected: [sha256(small)] }))).rejects.toMatchObject({ code: 'upstream_invalid' });
  });

  test('are not replaced by another answer than the one that was told', async () => {
    const { upstream, start } = await scene();
    const told = { body: small, length: false as const, contentType: 'application/gzip' };
    upstream.at('/file', { ...told, cuts: [500] }, { ...told, contentType: 'text/html' });
    const download = start();
    expect((await download.head).headers['content-type']).toBe('application/gzip');
    await expect(readAll(download)).rejects.toMatchObject({ code: 'upstream_invalid' });
    expect(upstream.count('/file')).toBe(2);
  });

  test.each([
    ['longer', small.length - 1],
    ['shorter', small.length + 1],
  ])('%s than the document said are refused by their headers', async (_name, expectedSize) => {
    const { upstream, start, stages } = await scene();
    const heard = hear('download.mismatch');
    upstream.at('/file', { body: small });
    const download = start({ expectedSize });
    await expect(download.head).rejects.toMatchObject({ code: 'upstream_invalid' });
    expect(heard[0]?.event).toMatchObject({ expected: `${expectedSize} bytes`, actual: '5000 bytes' });
    expect(stages.steps).toEqual([]);
  });

  test.each([
    ['longer', body.length - 1, 'more'],
    ['shorter', body.length + 1, `${body.length} bytes`],
  ])('%s than the document said are found out without a length too', async (_name, expectedSize, actual) => {
    const { upstream, start } = await scene();
    const heard = hear('download.mismatch');
    upstream.at('/file', { body, length: false });
    const reader = start({ expectedSize }).read();
    let received = 0;
    const reading = (async () => {
      for await (const chunk of reader) received += chunk.length;
    })();
    await expect(reading).rejects.toMatchObject({ code: 'upstream_invalid' });
    expect(received).toBeLessThan(body.length);
    expect(heard[0]?.event).toMatchObject({ actual });
  });

  test.each([
    ['at once when the length is told', {}, 0],
    ['when the limit is passed, without a length', { length: false as const }, 200_000],
  ])('beyond the limit end the download %s', async (_name, reply, most) => {
    const { upstream, start, stages } = await scene({ client: { timeoutMs: 60_000 } });
    const hold = gate();
    upstream.at('/file', { body, ...reply, hold: { at: 250_000, until: hold } });
    const reader = start({ maxSizeBytes: 200_000 }).read();
    let received = 0;
    const reading = (async () => {
      for await (const chunk of reader) received += chunk.length;
    })();
    await expect(reading).rejects.toMatchObject({ code: 'upstream_invalid' });
    expect(received).toBeLessThanOrEqual(most);
    await eventually('the connection is gone', () => upstream.inFlight === 0);
    hold.open();
    expect(upstream.count('/file')).toBe(1);
    expect(stages.blobs.size).toBe(0);
  });
});

describe('answers without bytes to store', () => {
  test.each([304, 404, 410, 203])('%i is told by the head, and readers get nothing', async (status) => {
    const { upstream, start, stages, downloads } = await scene();
    const heard = hear('download.end');
    upstream.at('/file', { status, body: status === 304 ? '' : 'some words'.repeat(1_000_000), etag: '"1"' });
    const download = start();
    expect(await download.head).toMatchObject({ status });
    expect(await readAll(download)).toEqual(Buffer.alloc(0));
    expect(await download.done).toMatchObject({ status, stored: false, size: 0, digests: [] });
    expect(stages.steps).toEqual([]);
    expect(heard.map(({ event }) => event)).toMatchObject([{ outcome: 'passed' }]);
    expect(downloads.active).toBe(0);
    await eventually('the connection is free', () => upstream.inFlight === 0);
  });

  test('a part that nobody asked for is refused', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { status: 206, body, headers: { 'content-range': 'bytes 0-9/10' } });
    await expect(start().head).rejects.toMatchObject({ code: 'upstream_invalid' });
  });

  test('trouble before the headers is the problem that the client of upstream made of it', async () => {
    const { upstream, start, downloads } = await scene();
    upstream.at('/file', { status: 503, headers: { 'retry-after': '7' } });
    const download = start();
    await expect(readAll(download)).rejects.toMatchObject({ code: 'upstream_unavailable', retryAfterSeconds: 7 });
    await expect(download.head).rejects.toMatchObject({ code: 'upstream_unavailable' });
    expect(downloads.find('file')).toBeUndefined();
  });

  test('the caller may refuse an answer by its headers', async () => {
    const { upstream, start, stages, downloads } = await scene();
    upstream.at('/file', { body: '<html>', contentType: 'text/html' });
    const seen: unknown[] = [];
    const download = start({
      inspect: (reply) => {
        seen.push(reply.headers['content-type']);
        throw new Problem('upstream_invalid', 'A page instead of a package.');
      },
    });
    await expect(download.head).rejects.toThrow('A page instead of a package.');
    await expect(readAll(download)).rejects.toThrow('A page instead of a package.');
    expect(seen).toEqual(['text/html']);
    expect(stages.steps).toEqual([]);
    expect(upstream.count('/file')).toBe(1);
    expect(downloads.active).toBe(0);
  });

  test('a failure that nobody looks at is nobody’s crash', async () => {
    const { upstream, downloads, request } = await scene();
    const unhandled: unknown[] = [];
    const listener = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', listener);
    upstream.at('/file', { hangUp: true });
    const { download } = downloads.start('file', () => request());
    const reader = download.read();
    await download.done.catch(() => undefined);
    await new Promise(setImmediate);
    expect(unhandled).toEqual([]);
    await reader.return();
    process.off('unhandledRejection', listener);
  });
});

describe('leaving', () => {
  test('the last reader ends an upstream request that nobody needs', async () => {
    const { upstream, downloads, start, stages } = await scene();
    const heard = hear('download.end');
    const hold = gate();
    upstream.at('/file', { body, hold: { at: 200_000, until: hold } });
    const download = start({ keepGoing: false });
    const one = download.read();
    const two = download.read(100);
    await one.next();
    await one.return();
    await two.return();
    await expect(download.done).rejects.toMatchObject({ code: 'upstream_unavailable', retryAfterSeconds: 1 });
    expect(heard[0]?.event).toMatchObject({ outcome: 'abandoned' });
    expect(downloads.find('file')).toBeUndefined();
    await eventually('the connection is gone', () => upstream.inFlight === 0);
    await eventually('the file is let go', () => stages.held === 0);
    expect(stages.blobs.size).toBe(0);
    hold.open();
  });

  test('does not end it while another reader is there, or comes at once', async () => {
    const { upstream, start, downloads } = await scene({ lingerMs: 50 });
    const hold = gate();
    upstream.at('/file', { body, hold: { at: 200_000, until: hold } });
    const download = start({ keepGoing: false });
    const one = download.read();
    await one.next();
    await one.return();
    const two = collect((downloads.find('file') as typeof download).read(5));
    hold.open();
    expectBytes(await two, body.subarray(5));
    expect(await download.done).toMatchObject({ stored: true });
    expect(upstream.count('/file')).toBe(1);
  });

  test('does not end it when it is to be finished all the same', async () => {
    const { upstream, start } = await scene({ lingerMs: 1 });
    const hold = gate();
    upstream.at('/file', { body, hold: { at: 200_000, until: hold } });
    const download = start({ keepGoing: true });
    const reader = download.read();
    await reader.next();
    await reader.return();
    await new Promise((resolve) => setTimeout(resolve, 20));
    hold.open();
    expect(await download.done).toMatchObject({ stored: true });
  });

  test('takes effect while the download is stalled', async () => {
    const { upstream, start } = await scene({ client: { timeoutMs: 60_000 } });
    const hold = gate();
    upstream.at('/file', { body, hold: { at: 0, until: hold } });
    const download = start({ keepGoing: false });
    const reader = download.read();
    const waiting = reader.next();
    await hold.reached;
    await reader.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await expect(download.done).rejects.toMatchObject({ code: 'upstream_unavailable' });
    hold.open();
  });

  test('takes effect before upstream has answered', async () => {
    const { upstream, start } = await scene({ client: { timeoutMs: 60_000 } });
    const hold = gate();
    upstream.at('/file', { body, holdHeaders: hold });
    const download = start({ keepGoing: false });
    const reader = download.read();
    await hold.reached;
    await reader.return();
    await expect(download.head).rejects.toMatchObject({ code: 'upstream_unavailable' });
    hold.open();
  });

  test('counts every reader once, whatever its end', async () => {
    const { upstream, start } = await scene();
    const heard = hear('download.reader');
    upstream.at('/file', { body });
    const download = start();
    const one = download.read();
    const two = download.read(10, 20);
    await collect(one);
    await one.return();
    await two.return();
    await two.return();
    expect(heard.map(({ event }) => event)).toEqual([
      { change: 1, joined: false },
      { change: 1, joined: true },
      { change: -1, joined: false },
      { change: -1, joined: true },
    ]);
  });

  test('a reader asked for two pieces at a time gives them in order', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body });
    const reader = start().read();
    const steps = await Promise.all(Array.from({ length: 40 }, () => reader.next()));
    const chunks = steps.flatMap((step) => (step.done === true ? [] : [step.value]));
    expectBytes(Buffer.concat(chunks), body);
  });

  test('readers that are behind at the same place share what is read from the file, as far as a small cache goes', async () => {
    const { upstream, start, stages } = await scene({ windowBytes: 1000, chunkSize: 10_000, lingerMs: 60_000 });
    upstream.at('/file', { body });
    const download = start();
    await download.done;
    const reads = (): number => stages.steps.filter((step) => step === 'read').length;
    const all = await Promise.all(Array.from({ length: 20 }, () => readAll(download)));
    for (const bytes of all) expectBytes(bytes, body);
    const together = reads();
    expect(together).toBeLessThan(100);
    expectBytes(await readAll(download), body);
    expect(reads() - together).toBeGreaterThan(15);
  });

  test('a slow reader holds up neither the download nor the others', async () => {
    const { upstream, start } = await scene({ windowBytes: 64 * 1024 });
    upstream.at('/file', { body });
    const download = start();
    const slow = download.read();
    const first = await slow.next();
    expectBytes(await readAll(download), body);
    expect(await download.done).toMatchObject({ stored: true });
    const rest = await collect(slow);
    expectBytes(Buffer.concat([first.value as Buffer, rest]), body);
  });
});

describe('storing', () => {
  test('that fails is a fault, and no reader’s trouble', async () => {
    const { upstream, start, stages, downloads } = await scene();
    const heard = hear('fault', 'download.end');
    upstream.at('/file', { body });
    const download = start({ store: () => Promise.reject(new Error('No.')) });
    expectBytes(await readAll(download), body);
    expect(await download.done).toMatchObject({ stored: false });
    expect(heard).toMatchObject([
      { name: 'fault', event: { where: 'download.store' } },
      { name: 'download.end', event: { outcome: 'passed' } },
    ]);
    await eventually('the file is let go', () => stages.held === 0);
    expect(downloads.active).toBe(0);
  });

  test('is waited for by the last piece when the gate is shut', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body });
    const storing = gate();
    const download = start({
      gate: true,
      store: async () => {
        storing.arrive();
        await storing.opened;
      },
    });
    let received = 0;
    const reading = (async () => {
      for await (const chunk of download.read()) received += chunk.length;
    })();
    await storing.reached;
    expect(received).toBeLessThan(body.length);
    storing.open();
    await reading;
    expect(received).toBe(body.length);
  });

  test('that finds the document invalid fails the download behind the gate', async () => {
    const { upstream, start, downloads, stages } = await scene();
    upstream.at('/file', { body: '{"half":' });
    const download = start({
      gate: true,
      store: async (stage, facts) => {
        expect((await stage.read(0, facts.size)).toString()).toBe('{"half":');
        throw new Problem('upstream_invalid', 'No JSON.');
      },
    });
    await expect(readAll(download)).rejects.toThrow('No JSON.');
    await expect(download.done).rejects.toThrow('No JSON.');
    expect(downloads.find('file')).toBeUndefined();
    expect(upstream.count('/file')).toBe(1);
    await eventually('the file is let go', () => stages.held === 0);
  });

  test('that the disk prevents does not keep the bytes behind the gate', async () => {
    const { upstream, start } = await scene();
    upstream.at('/file', { body });
    const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
    const download = start({ gate: true, store: () => Promise.reject(full) });
    expectBytes(await readAll(download), body);
    expect(await download.done).toMatchObject({ stored: false });
  });

  test('does not happen when the end can’t be told from a cut', async () => {
    const { upstream, start, stages } = await scene();
    const answer = `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${'x'.repeat(1000)}`;
    upstream.at('/file', { raw: answer });
    const download = start();
    expect(await readAll(download)).toHaveLength(1000);
    expect(await download.done).toMatchObject({ stored: false });
    expect(stages.blobs.size).toBe(0);

    const known = start({ expected: [sha256(Buffer.alloc(1000, 'x'))] }, 'known');
    expect(await known.done).toMatchObject({ stored: true });
  });
});

describe('draining', () => {
  test('waits for what is under way', async () => {
    const { upstream, start, downloads, stages } = await scene();
    const hold = gate();
    upstream.at('/file', { body, hold: { at: 1000, until: hold } });
    start();
    expect(downloads.active).toBe(1);
    let isDrained = false;
    const drained = downloads.drain(60_000).then(() => {
      isDrained = true;
    });
    await hold.reached;
    expect(isDrained).toBe(false);
    hold.open();
    await drained;
    expect(downloads.active).toBe(0);
    expect(stages.blobs.size).toBe(1);
    await downloads.drain(60_000);
  });

  test('gives up at the deadline what still comes in, and lets finish what is only being stored', async () => {
    const { upstream, start, downloads, stages } = await scene();
    const hold = gate();
    const storing = gate();
    upstream.at('/file', { body, hold: { at: 1000, until: hold } });
    upstream.at('/other', { body });
    const stuck = start();
    const whole = start(
      {
        url: `${upstream.url}/other`,
        store: async (stage, facts) => {
          storing.arrive();
          await storing.opened;
          await stage.commit(facts.digests[0] as Digest);
        },
      },
      'other',
    );
    await Promise.all([hold.reached, storing.reached]);
    await downloads.drain(5);
    await expect(readAll(stuck)).rejects.toMatchObject({ code: 'upstream_unavailable', retryAfterSeconds: 1 });
    await expect(stuck.done).rejects.toThrow('shutting down');
    await eventually('the connection is gone', () => upstream.inFlight === 0);
    storing.open();
    expect(await whole.done).toMatchObject({ stored: true });
    await eventually('the files are let go', () => stages.held === 0);
    hold.open();
  });
});

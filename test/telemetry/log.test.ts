import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { publish } from '../../src/core/events.ts';
import { Problem } from '../../src/core/problem.ts';
import { accessLine } from '../../src/telemetry/access-line.ts';
import { type Log, type LogOptions, startLog } from '../../src/telemetry/log.ts';
import { redactText, redactUrl } from '../../src/telemetry/redact.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { eventually } from '../support/wait.ts';
import { request } from './events.ts';

describe('an access line', () => {
  it('says everything about a request, in numbers and names', () => {
    expect(JSON.parse(accessLine(request(), 1_700_000_000_000))).toEqual({
      level: 30,
      time: 1_700_000_000_000,
      id: 'r-1',
      method: 'GET',
      url: '/public/npm/lodash',
      status: 200,
      repository: 'public/npm',
      route: 'packument',
      cache: 'hit',
      bytes: 100,
      ms: 1.235,
      ttfb: 1,
      remote: '127.0.0.1',
      ua: 'npm/10.9.4 node/v24.0.0',
      msg: 'request',
    });
  });

  it.each([
    ['quotes', 'a"b\\c'],
    ['line breaks', 'a\nb\r\n{"level":60}'],
    ['control characters', 'a\u0000\u001b[31m\u007f\u0085'],
    ['half a surrogate pair', 'a\ud800b'],
    ['line separators', 'a\u2028b'],
  ])('stays one line of JSON with %s in it', (_, text) => {
    const line = accessLine(request({ userAgent: text, url: `/${text}` }), 1);
    expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(JSON.parse(line)).toMatchObject({ url: `/${text}` });
  });

  it.each([
    [0, 0],
    [0.0004, 0],
    [0.05, 0.05],
    [12.3456, 12.346],
    [999.9999, 1000],
    [3_600_000.25, 3_600_000.25],
  ])('rounds %d ms to %d', (durationMs, ms) => {
    expect(JSON.parse(accessLine(request({ durationMs }), 1)).ms).toBe(ms);
  });

  it.each([
    [{ id: 'r-2' }, { id: 'r-2' }],
    [{ method: 'HEAD' }, { method: 'HEAD' }],
    [{ url: '/public/npm/other' }, { url: '/public/npm/other' }],
    [{ status: 304 }, { status: 304 }],
    [{ status: 503 }, { status: 503, level: 40 }],
    [{ repository: 'acme/npm' }, { repository: 'acme/npm' }],
    [{ route: 'tarball' }, { route: 'tarball' }],
    [{ outcome: 'miss' as const }, { cache: 'miss' }],
    [{ bytesSent: 7 }, { bytes: 7 }],
    [{ durationMs: 2 }, { ms: 2 }],
    [{ firstByteMs: 2 }, { ttfb: 2 }],
    [{ remote: '::1' }, { remote: '::1' }],
    [{ userAgent: 'pnpm' }, { ua: 'pnpm' }],
  ])('that differs in %j from the one before says so, and so does the next', (more, told) => {
    const usual = JSON.parse(accessLine(request(), 1));
    for (const time of [1, 2]) expect(JSON.parse(accessLine(request(more), time))).toEqual({ ...usual, ...told, time });
    expect(JSON.parse(accessLine(request(), 1))).toEqual(usual);
  });

  it('says what went wrong, and warns when it was us or an upstream', () => {
    const error = new Problem('upstream_unavailable', 'npmjs does not answer');
    const line = JSON.parse(accessLine(request({ status: 503, error, aborted: true }), 1));
    expect(line).toMatchObject({ level: 40, err: 'upstream_unavailable: npmjs does not answer', aborted: true });
    expect(JSON.parse(accessLine(request({ status: 404 }), 1))).toMatchObject({ level: 30 });
  });

  it('names the trace: the one that was begun here, else the one that the client sent if it is one', () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const lineOf = (more: Partial<Parameters<typeof request>[0]>): { readonly trace?: string } =>
      JSON.parse(accessLine(request(more), 1));
    const traceparent = `00-${trace}-00f067aa0ba902b7-01`;
    expect(lineOf({ trace: 'abc', traceparent }).trace).toBe('abc');
    expect(lineOf({ traceparent }).trace).toBe(trace);
    expect(lineOf({ traceparent: '","level":60,"x":"' })).not.toHaveProperty('trace');
    expect(lineOf({})).not.toHaveProperty('trace');
  });
});

describe('credentials', () => {
  it.each([
    ['/npm/lodash', '/npm/lodash'],
    ['/npm/@acme%2flib?write=true', '/npm/@acme%2flib?write=true'],
    ['/x?token=abc&a=1', '/x?token=***&a=1'],
    ['/x?a=1&X-Amz-Signature=abc&Policy=p', '/x?a=1&X-Amz-Signature=***&Policy=p'],
    [
      '/x?access_key=a&api-key=b&apikey=c&key=d&password=e',
      '/x?access_key=***&api-key=***&apikey=***&key=***&password=***',
    ],
    ['/x?%74oken=abc', '/x?%74oken=***'],
    ['/x?authorization=abc&keyword=left-pad&monkey=1', '/x?authorization=***&keyword=left-pad&monkey=1'],
    ['/x?%zz=1', '/x?%zz=1'],
    ['http://user:secret@host/x?y', 'http://***@host/x?y'],
    ['https://host/@acme/x', 'https://host/@acme/x'],
    ['/x?', '/x?'],
  ])('in %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });

  it('in the middle of a text', () => {
    expect(redactText('GET https://u:p@h/x?token=abc failed: Bearer abcdef.ghi, Basic dTpw, basic facts')).toBe(
      'GET https://***@h/x?token=*** failed: Bearer ***, Basic ***, basic ***',
    );
  });
});

describe('the log', () => {
  let folder: TemporaryFolder;
  let log: Log | undefined;

  beforeEach(async () => {
    folder = await temporaryFolder('larder-log');
  });

  afterEach(async () => {
    await log?.stop();
    await folder.remove();
  });

  const file = (): string => join(folder.path, 'log');

  function start(options: Partial<LogOptions> = {}): Log {
    log = startLog({ level: 'info', access: true, pretty: false, file: file(), ...options });
    return log;
  }

  async function lines(): Promise<Record<string, unknown>[]> {
    // The file is opened behind the first line.
    const text = await readFile(file(), 'utf8').catch(() => '');
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  it('has one line a request, in order with everything else', async () => {
    const { logger, stop } = start();
    publish('request', request({ id: 'a' }));
    logger.info({ port: 1 }, 'listening');
    publish('request', request({ id: 'b' }));
    await stop();
    expect((await lines()).map(({ id, msg }) => id ?? msg)).toEqual(['a', 'listening', 'b']);
  });

  it('comes out by itself after a moment', async () => {
    start();
    publish('request', request({ id: 'a' }));
    await eventually('the line is there', async () => (await lines()).length === 1);
  });

  it('comes out when asked', async () => {
    const { flush } = start();
    publish('request', request({ id: 'a' }));
    flush();
    await eventually('the line is there', async () => (await lines()).length === 1);
  });

  it('loses nothing of a burst', async () => {
    const { stop } = start();
    for (let i = 0; i < 5000; i++) publish('request', request({ id: `r${i}` }));
    await stop();
    const ids = (await lines()).map(({ id }) => id);
    expect(ids).toHaveLength(5000);
    expect(ids.at(-1)).toBe('r4999');
  });

  it('drops lines instead of memory, and says how many', async () => {
    const { flush, stop } = start();
    const ua = 'x'.repeat(10_000);
    for (let i = 0; i < 2500; i++) publish('request', request({ userAgent: ua }));
    await eventually('the number is told', async () => {
      flush();
      return (await lines()).at(-1)?.dropped;
    });
    const all = await lines();
    const dropped = all.reduce((sum, line) => sum + Number(line.dropped ?? 0), 0);
    expect(all.filter(({ msg }) => msg === 'request').length + dropped).toBe(2500);
    await stop();
  });

  it('leaves requests out when told so, and ordinary ones at level warn', async () => {
    const quiet = start({ access: false });
    publish('request', request());
    await quiet.stop();
    const { stop } = start({ level: 'warn' });
    publish('request', request({ id: 'a' }));
    publish('request', request({ id: 'b', status: 502 }));
    await stop();
    expect((await lines()).map(({ id }) => id)).toEqual(['b']);
    await start({ level: 'silent' }).stop();
  });

  it('names the request that met a limit, for whoever looks closely, and whoever was cut for being slow', async () => {
    const limited = { by: 'address', kind: 'requests', org: 'acme', remote: '192.0.2.1', requestId: 'r-7' } as const;
    const close = start({ level: 'debug' });
    publish('limited', limited);
    publish('client.slow', { kind: 'reader', remote: '192.0.2.2' });
    await close.stop();
    expect(await lines()).toMatchObject([
      { level: 20, id: 'r-7', by: 'address', kind: 'requests', org: 'acme', remote: '192.0.2.1' },
      { level: 30, kind: 'reader', remote: '192.0.2.2' },
    ]);
  });

  it('says what an operator should hear about, without credentials', async () => {
    const { stop } = start();
    const url = 'https://u:p@host/x?token=abc';
    publish('download.mismatch', { url, expected: 'sha512:a', actual: 'sha512:b' });
    publish('document.invalid', { url, reason: 'no JSON' });
    publish('contradiction', { repository: 'public/npm', path: 'x', kept: 'a', told: 'b' });
    publish('breaker', { origin: 'https://host', state: 'open' });
    publish('breaker', { origin: 'https://host', state: 'closed' });
    publish('store.full', { full: true, reason: 'disk full' });
    publish('store.full', { full: false, reason: '' });
    publish('store.damaged', { digest: 'sha256:a', reason: 'length' });
    const cause = Object.assign(new Error('open https://u:p@host/'), { code: 'EIO' });
    publish('fault', { where: 'index', error: new Error('no luck', { cause }) });
    await stop();
    const all = await lines();
    expect(all.map(({ level }) => level)).toEqual([50, 40, 40, 40, 30, 40, 30, 50, 50]);
    expect(all[0]).toMatchObject({ url: 'https://***@host/x?token=***', expected: 'sha512:a', actual: 'sha512:b' });
    expect(all[8]).toMatchObject({
      where: 'index',
      err: { type: 'Error', message: 'no luck: open https://***@host/' },
    });
    expect(JSON.stringify(all)).not.toMatch(/u:p@|abc/);
  });

  it('has the stack of what nobody expected, under the same request id', async () => {
    const { stop } = start();
    publish(
      'request',
      request({ id: 'a', status: 500, error: new Problem('internal', 'x', { cause: new TypeError('boom') }) }),
    );
    publish('request', request({ id: 'b', status: 404, error: new Problem('not_found', 'x') }));
    await stop();
    const all = await lines();
    expect(all.map(({ id, level }) => [id, level])).toEqual([
      ['a', 50],
      ['a', 40],
      ['b', 30],
    ]);
    expect(JSON.stringify(all[0])).toContain('boom');
  });

  it('can be read by people', async () => {
    const { logger, stop } = start({ pretty: true });
    publish('request', request());
    logger.info({ port: 1, host: 'a b' }, 'listening');
    logger.error({ err: new Error('boom') }, 'failed');
    await stop();
    const text = await readFile(file(), 'utf8');
    const [first, second, third, fourth] = text.split('\n');
    expect(first).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} INFO {2}GET \/public\/npm\/lodash 200 hit 100 B 1\.235 ms 127\.0\.0\.1 r-1$/,
    );
    expect(second).toMatch(/INFO {2}listening port=1 host=a b$/);
    expect(third).toMatch(/ERROR failed$/);
    expect(fourth).toBe('    Error: boom');
  });

  it('hears nothing after it was stopped', async () => {
    const { stop } = start();
    await stop();
    publish('request', request());
    await stop();
    expect(await lines()).toEqual([]);
  });
});

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from 'vitest';
import { subscribe } from '../../src/core/events.ts';
import { createBase } from '../../src/http/base.ts';
import { Connections } from '../../src/http/connections.ts';
import { HotAnswers } from '../../src/http/hot.ts';
import { Limits } from '../../src/http/limits.ts';
import { Recognition } from '../../src/http/recognition.ts';
import { createWire, parseHead, withoutTrace } from '../../src/http/wire.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function start({ until = Number.POSITIVE_INFINITY, body = Buffer.from('hot bytes') } = {}) {
  const hot = new HotAnswers(10_000_000, () => 1_000);
  const recognition = new Recognition();
  const seenByNode: string[] = [];
  const server = http.createServer((req, res) => {
    seenByNode.push(`${req.method} ${req.url}`);
    req.resume();
    req.on('end', () => res.end(`node ${req.url}`));
  });
  const wire = createWire({
    server,
    hot,
    recognition,
    baseOf: createBase({ trustedProxies: [] }),
    headersTimeoutMs: 5_000,
    keepAliveTimeoutMs: 5_000,
    headerBytes: 16_384,
    urlBytes: 2_048,
    readerTimeoutMs: () => 5_000,
    limits: new Limits({ accounts: 10, usual: { perAddress: {}, perIdentity: {} }, orgs: {} }),
    connections: new Connections({ connections: 100, connectionsPerAddress: 100 }, () => false),
  });
  wire.listen(0, '127.0.0.1');
  await once(wire, 'listening');
  const { port } = wire.address() as net.AddressInfo;
  hot.keep(
    { known: false, base: `http://127.0.0.1:${port}`, url: '/hot', accept: undefined, coding: 'identity' },
    {
      headers: { 'content-type': 'text/plain', 'content-length': String(body.byteLength), etag: '"abc"' },
      body,
      etag: '"abc"',
      until,
      repository: 'public/npm',
      format: 'npm',
      route: 'tarball',
      outcome: 'hit',
      keepWhile: undefined,
      shownIn: [],
      touch: undefined,
    },
  );
  closing.push(() => {
    wire.close();
    server.closeAllConnections();
  });
  return { port, seenByNode, server, recognition };
}

/** Sends all of it and reads until the answers' last words have come, in whatever pieces. */
async function exchange(
  port: number,
  request: string | ((socket: net.Socket) => Promise<void>),
  ends: readonly string[],
): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  closing.push(() => socket.destroy());
  await once(socket, 'connect');
  let text = '';
  const least = ends.join('').length;
  const complete = new Promise<void>((done) => {
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.length < least) return;
      let at = 0;
      const all = ends.every((end) => {
        const found = text.indexOf(end, at);
        at = found + end.length;
        return found !== -1;
      });
      if (all) done();
    });
  });
  if (typeof request === 'string') socket.write(request, 'latin1');
  else await request(socket);
  await complete;
  socket.destroy();
  return text;
}

const get = (port: number, url: string, ...lines: string[]): string =>
  [`GET ${url} HTTP/1.1`, `Host: 127.0.0.1:${port}`, ...lines, '', ''].join('\r\n');

/** What is still in use, in bytes. */
function heapInUse(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

describe('the wire', () => {
  it('keeps nothing of what came with a head that it remembers', async () => {
    const { port } = await start();
    const upload = 'x'.repeat(60_000);
    const rest = `PUT /next HTTP/1.1\r\nHost: x\r\nContent-Length: ${upload.length}\r\n\r\n${upload}`;
    const ask = (n: number) => exchange(port, get(port, `/cold/${n}`) + rest, [`node /cold/${n}`, 'node /next']);
    for (let n = 0; n < 20; n++) await ask(n);
    const before = heapInUse();
    for (let n = 20; n < 320; n++) await ask(n);
    expect(heapInUse() - before).toBeLessThan(300 * 20_000);
  });

  it('answers a hot request without waking the HTTP server', async () => {
    const { port, seenByNode } = await start();
    const text = await exchange(port, get(port, '/hot'), ['hot bytes']);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).toMatch(/\r\nx-request-id: [\w-]+\r\ndate: .* GMT\r\n/);
    expect(text.endsWith('\r\n\r\nhot bytes')).toBe(true);
    expect(seenByNode).toEqual([]);
  });

  it('answers 304 when the client has the bytes already', async () => {
    const { port } = await start();
    const text = await exchange(port, get(port, '/hot', 'If-None-Match: W/"abc"'), ['\r\n\r\n']);
    expect(text).toMatch(/^HTTP\/1\.1 304 Not Modified\r\n/);
    expect(text).not.toContain('content-length');
    expect(text.endsWith('\r\n\r\n')).toBe(true);
  });

  it('answers pipelined requests in their order, also when the HTTP server takes over in between', async () => {
    const { port, seenByNode } = await start();
    const text = await exchange(port, get(port, '/hot') + get(port, '/hot') + get(port, '/cold') + get(port, '/hot'), [
      'node /hot',
    ]);
    expect(text.match(/hot bytes|node \/(?:cold|hot)/g)).toEqual(['hot bytes', 'hot bytes', 'node /cold', 'node /hot']);
    expect(seenByNode).toEqual(['GET /cold', 'GET /hot']);
  });

  it('hands over a request that arrives in pieces', async () => {
    const { port, seenByNode, server } = await start();
    const whole = get(port, '/hot');
    const inPieces = async (socket: net.Socket): Promise<void> => {
      socket.write(whole.slice(0, 20));
      await once(server, 'connection');
      socket.write(whole.slice(20));
    };
    await exchange(port, inPieces, ['node /hot']);
    expect(seenByNode).toEqual(['GET /hot']);
  });

  it('leaves whoever shows credentials to the HTTP server, also those who were recognised a moment ago', async () => {
    const { port, seenByNode, recognition } = await start();
    const shown = ['bearer a', 'Bearer a', 'Bearer b', 'a', ''];
    recognition.remember('Bearer a', { kind: 'user', name: 'alice', org: 'acme' }, () => true);
    for (const one of shown) await exchange(port, get(port, '/hot', `Authorization: ${one}`), ['node /hot']);
    expect(seenByNode).toEqual(shown.map(() => 'GET /hot'));
  });

  it('does not answer what is no longer fresh', async () => {
    const { port } = await start({ until: 999 });
    expect(await exchange(port, get(port, '/hot'), ['node /hot'])).not.toContain('hot bytes');
  });

  it('writes a large answer whole to a client that reads late', async () => {
    const body = Buffer.alloc(400_000, 'x');
    const { port } = await start({ body });
    const text = await exchange(port, get(port, '/hot').repeat(20), Array(20).fill('x'.repeat(400_000)));
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(20);
  });

  it('mixes nothing up when many clients read late', async () => {
    const bodies = Array.from({ length: 8 }, (_, index) => Buffer.alloc(50_000, String(index)));
    const all = await Promise.all(bodies.map((body) => start({ body })));
    const texts = await Promise.all(
      all.map(async ({ port }, index) => {
        // Client and server share a thread: all answers are written before the first one is read.
        return exchange(port, get(port, '/hot').repeat(100), Array(100).fill(String(index).repeat(50_000)));
      }),
    );
    texts.forEach((text, index) => {
      expect(text.match(/\r\n\r\n(\d+)/g)?.every((body) => new RegExp(`^\r\n\r\n${index}{50000}$`).test(body))).toBe(
        true,
      );
    });
  });

  it('tells of each answer once', async () => {
    const { port } = await start();
    const told: unknown[] = [];
    closing.push(subscribe('request', (event) => told.push([event.url, event.status, event.bytesSent, event.outcome])));
    await exchange(port, get(port, '/hot') + get(port, '/hot', 'If-None-Match: "abc"'), ['hot bytes', '\r\n\r\n']);
    expect(told).toEqual([
      ['/hot', 200, 9, 'hit'],
      ['/hot', 304, 0, 'hit'],
    ]);
  });
});

describe('a request head', () => {
  const head = (...lines: string[]): string => ['GET /x HTTP/1.1', 'Host: h', ...lines, '', ''].join('\r\n');

  it('says what is shown in it, unless that is the pass of those who have no credentials', () => {
    expect(parseHead(head('Authorization: Bearer anonymous'), 100)).toMatchObject({ authorization: undefined });
    for (const shown of ['Bearer other', 'Basic YTpi', 'bearer anonymous', 'Bearer anonymous2', '']) {
      expect(parseHead(head(`Authorization: ${shown}`), 100), shown).toMatchObject({ authorization: shown });
    }
    const twice = head('Authorization: Bearer anonymous', 'Authorization: Bearer anonymous');
    expect(parseHead(twice, 100)).toBeUndefined();
  });

  it('is taken when it is plain', () => {
    expect(parseHead(head('Accept: */*', 'Connection: keep-alive', 'Accept-Encoding: gzip'), 100)).toMatchObject({
      url: '/x',
      headers: { host: 'h', accept: '*/*' },
      coding: 'gzip',
    });
  });

  it.each([
    ['another method', 'POST /x HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['an absolute address', 'GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['another version', 'GET /x HTTP/1.0\r\nHost: h\r\n\r\n'],
    ['no host', 'GET /x HTTP/1.1\r\nAccept: a\r\n\r\n'],
    ['two hosts', head('Host: i')],
    ['a body', head('Content-Length: 5')],
    ['a chunked body', head('Transfer-Encoding: chunked')],
    ['a folded line', head('Accept: a', ' b')],
    ['a blank before the colon', head('Accept : a')],
    ['a bare line feed', head('Accept: a\nX: b')],
    ['a bare carriage return', head('Accept: a\rX: b')],
    ['a NUL', head('Accept: a\0b')],
    ['a line without a colon', head('Accept')],
    ['the end of the connection', head('Connection: close')],
    ['an upgrade', head('Connection: upgrade', 'Upgrade: h2c')],
    ['a range', head('Range: bytes=0-1')],
    ['credentials twice', head('Authorization: Bearer t', 'Authorization: Bearer t')],
    ['credentials for a proxy', head('Proxy-Authorization: Basic YTpi')],
    ['a blank in the address', 'GET /x y HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['a control character in the address', 'GET /x\x01 HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['a very long address', `GET /${'x'.repeat(200)} HTTP/1.1\r\nHost: h\r\n\r\n`],
  ])('with %s is left to the HTTP server', (_name, text) => {
    expect(parseHead(text, 100)).toBeUndefined();
  });
});

describe('the head of a traced request', () => {
  const plain = 'GET /hot HTTP/1.1\r\nhost: a\r\n\r\n';
  const parent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

  it.each([
    ['with its trace', `GET /hot HTTP/1.1\r\nhost: a\r\ntraceparent: ${parent}\r\n\r\n`, { traceparent: parent }],
    [
      'with all of it, in any case and between others',
      `GET /hot HTTP/1.1\r\nTraceParent:${parent} \r\nhost: a\r\nTRACESTATE: a=1,b=2\r\n\r\n`,
      { traceparent: parent, tracestate: 'a=1,b=2' },
    ],
  ])('%s is the same as without', (_, text, trace) => {
    expect(withoutTrace(text)).toEqual({ text: plain, trace });
  });

  it.each([
    ['says nothing of a trace', plain],
    ['says it twice', `GET /hot HTTP/1.1\r\nhost: a\r\ntraceparent: ${parent}\r\ntraceparent: ${parent}\r\n\r\n`],
    ['has it in its address', 'GET /traceparent:1 HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['has another header that ends like it', 'GET /hot HTTP/1.1\r\nhost: a\r\nx-traceparent: 1\r\n\r\n'],
  ])('that %s is left alone', (_, text) => {
    expect(withoutTrace(text)).toBeUndefined();
  });

  it('is answered from memory, whatever it says there, and the trace is told', async () => {
    const { port, seenByNode } = await start();
    const told: (string | undefined)[] = [];
    const end = subscribe('request', ({ traceparent }) => void told.push(traceparent));
    closing.push(end);
    const parents = ['01', '02', '03'].map((last) => `${parent.slice(0, -2)}${last}`);
    const request = parents.map(
      (value) => `GET /hot HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ntraceparent: ${value}\r\n\r\n`,
    );
    const answers = await exchange(port, request.join(''), ['hot bytes', 'hot bytes', 'hot bytes']);
    expect(answers.match(/hot bytes/g)).toHaveLength(3);
    expect(seenByNode).toEqual([]);
    expect(told).toEqual(parents);
  });
});

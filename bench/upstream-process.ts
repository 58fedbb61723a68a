/**
 * The program behind `startUpstream`: bodies of known length, a few made-up packages, files of a Maven repository,
 * container images and the largest documents of other formats, fresh paths that nobody has asked for before, and a local copy of whatever is asked of the real npm
 * registry.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import PQueue from 'p-queue';
import { coldVersions, filler, fresh, mavenFile, type SizeName, sizes } from './bodies.ts';
import { coldReply } from './cold-bodies.ts';
import { fileReply } from './file-bodies.ts';
import { imageReplies } from './image-bodies.ts';
import { indexReplies } from './index-bodies.ts';
import type { Order, Report } from './upstream.ts';

/** What comes packed to those who want it so. */
const indexed = /^\/(?:rubygems|pypi|nuget)\//;

interface Reply {
  readonly type: string;
  readonly parts: readonly Buffer[];
  readonly etag?: string;
  readonly coding?: string;
  /** 0: as fast as it goes. */
  readonly bytesPerMs?: number;
}

async function serve(copyTo: string, copyFrom: string): Promise<void> {
  const counts = { requests: 0, layers: 0, files: 0 };
  const imageReply = imageReplies();
  let origin = '';
  let indexReply: ReturnType<typeof indexReplies> | undefined;
  const fetches = new PQueue({ concurrency: 8 });
  const halves = new Map<string, () => void>();
  const fixed = new Map<string, Buffer>();
  const packuments = new Map<string, Promise<Reply | undefined>>();
  /** Where the registry keeps a tarball, by the path under which it is offered here. */
  const tarballs = new Map<string, string>();

  function body(name: SizeName): Buffer {
    const known = fixed.get(name);
    if (known) return known;
    const made = filler(sizes[name], name);
    fixed.set(name, made);
    return made;
  }

  async function file(path: string): Promise<Reply | undefined> {
    const [kind = '', latency = '0', size = '0', rate = '0'] = path.split('/');
    if (kind === 'cold') {
      await takeTime(latency);
      return { type: 'application/octet-stream', parts: fresh(path, Number(size)), bytesPerMs: Number(rate) };
    }
    if (!Object.hasOwn(sizes, kind)) return undefined;
    const bytes = body(kind as SizeName);
    return { type: 'application/octet-stream', parts: [bytes], etag: `"${kind}"` };
  }

  async function cold(path: string, { method }: IncomingMessage): Promise<Reply | undefined> {
    const reply = coldReply(origin, path);
    if (!reply) return undefined;
    if (reply.isFile && method === 'GET') counts.files++;
    await takeTime(String(reply.latencyMs));
    return reply;
  }

  /** `tarballOf` gives the bytes of one version: what the document promises is what arrives. */
  function madeUp(name: string, versions: readonly string[], tarballOf: (version: string) => Buffer): Reply {
    const document = {
      name,
      'dist-tags': { latest: versions.at(-1) },
      versions: Object.fromEntries(
        versions.map((version) => {
          const bytes = tarballOf(version);
          const dist = {
            tarball: `${origin}/registry/${name}/-/${name}-${version}.tgz`,
            integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
            shasum: createHash('sha1').update(bytes).digest('hex'),
          };
          return [version, { name, version, dist }];
        }),
      ),
      time: Object.fromEntries(versions.map((version) => [version, '2020-01-01T00:00:00.000Z'])),
    };
    return { type: 'application/json', parts: [Buffer.from(JSON.stringify(document))], etag: `"${name}"` };
  }

  function package2k(name: string): Reply {
    const bare = JSON.parse(madeUp(name, ['1.0.0'], () => body('20k')).parts[0]?.toString() ?? '') as Record<
      string,
      unknown
    >;
    const missing = 2048 - JSON.stringify({ ...bare, readme: '' }).length;
    const bytes = Buffer.from(JSON.stringify({ ...bare, readme: 'x'.repeat(missing) }));
    return { type: 'application/json', parts: [bytes], etag: `"${name}"` };
  }

  async function packument(name: string): Promise<Reply | undefined> {
    if (name === 'bench-document') return package2k(name);
    if (name === 'bench-20k') return madeUp(name, ['1.0.0'], () => body('20k'));
    if (name === 'bench-300k') return madeUp(name, ['1.0.0'], () => body('300k'));
    const cold = /^cold-(\d+)ms-/.exec(name);
    if (cold) {
      const versions = Array.from({ length: coldVersions }, (_, n) => `1.0.${n}`);
      return madeUp(name, versions, (version) => Buffer.concat(fresh(`${name}-${version}`, sizes['20k'])));
    }
    const raw = await copy(`${encodeURIComponent(name)}.json`, new URL(name.replace('/', '%2f'), copyFrom));
    if (!raw) return undefined;
    const document = JSON.parse(raw.toString()) as { versions?: Record<string, { dist?: { tarball?: string } }> };
    for (const version of Object.values(document.versions ?? {})) {
      if (!version.dist?.tarball) continue;
      const path = `${name}/-/${version.dist.tarball.split('/').at(-1)}`;
      tarballs.set(path, version.dist.tarball);
      version.dist.tarball = `${origin}/registry/${path}`;
    }
    const bytes = Buffer.from(JSON.stringify(document));
    return { type: 'application/json', parts: [bytes], etag: `"${createHash('sha1').update(bytes).digest('hex')}"` };
  }

  function remembered(name: string): Promise<Reply | undefined> {
    const known = packuments.get(name);
    if (known) return known;
    const made = packument(name);
    packuments.set(name, made);
    made.catch(() => packuments.delete(name));
    return made;
  }

  async function registry(path: string): Promise<Reply | undefined> {
    const [name = '', fileName] = path.split('/-/');
    const novel = /^fresh-(\d+)ms-/.exec(name);
    if (novel) {
      await takeTime(novel[1]);
      return package2k(name);
    }
    if (fileName === undefined) return remembered(name);
    const type = 'application/octet-stream';
    if (name === 'bench-20k') return { type, parts: [body('20k')] };
    if (name === 'bench-300k') return { type, parts: [body('300k')] };
    const cold = /^cold-(\d+)ms-/.exec(name);
    if (cold) {
      await takeTime(cold[1]);
      return { type, parts: fresh(fileName.replace(/\.tgz$/, ''), sizes['20k']) };
    }
    if (!tarballs.has(path)) await remembered(name);
    const from = tarballs.get(path);
    const bytes = from === undefined ? undefined : await copy(encodeURIComponent(path), new URL(from));
    return bytes && { type, parts: [bytes] };
  }

  /** Asks the registry once in the life of the folder; `undefined` where it says no. */
  async function copy(name: string, url: URL): Promise<Buffer | undefined> {
    const path = join(copyTo, name);
    const kept = await readFile(path).catch(() => undefined);
    if (kept) return kept;
    const answer = await fetches.add(() => fetchBytes(url));
    if (!answer) return undefined;
    const partial = `${path}.${process.pid}.part`;
    await writeFile(partial, answer);
    await rename(partial, path);
    return answer;
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://upstream').pathname);
    if (path.startsWith('/files/halves/')) {
      const bytes = Buffer.concat(fresh(path, sizes['300k']));
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes.length });
      response.write(bytes.subarray(0, bytes.length / 2));
      await new Promise<void>((resolve) => halves.set(path.slice('/files/halves/'.length), resolve));
      response.end(bytes.subarray(bytes.length / 2));
      return;
    }
    if (path.startsWith('/v2/')) return image(path.slice('/v2/'.length), request, response);
    const reply: Reply | undefined = path.startsWith('/files/')
      ? await file(path.slice('/files/'.length))
      : path.startsWith('/registry/')
        ? await registry(path.slice('/registry/'.length))
        : ((await cold(path, request)) ??
          (path.startsWith('/maven/')
            ? mavenFile(path.slice('/maven/'.length))
            : (fileReply(origin, path) ??
              indexReply?.(path, /\bgzip\b/.test(request.headers['accept-encoding']?.toString() ?? '')))));
    if (!reply) {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}');
      return;
    }
    if (reply.etag) response.setHeader('etag', reply.etag);
    if (reply.etag && request.headers['if-none-match'] === reply.etag) {
      response.writeHead(304).end();
      return;
    }
    const length = reply.parts.reduce((sum, part) => sum + part.length, 0);
    if (reply.coding) response.setHeader('content-encoding', reply.coding);
    if (indexed.test(path)) response.setHeader('vary', 'accept-encoding');
    response.writeHead(200, { 'content-type': reply.type, 'content-length': length });
    if (reply.bytesPerMs) return send(response, paced(reply.parts, reply.bytesPerMs));
    for (const part of reply.parts) response.write(part);
    response.end();
  }

  async function image(path: string, { method }: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('docker-distribution-api-version', 'registry/2.0');
    if (path === '') {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      return;
    }
    const reply = imageReply(path);
    if (!reply) {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"errors":[{"code":"MANIFEST_UNKNOWN"}]}');
      return;
    }
    const { digest, latencyMs, bytesPerMs } = reply;
    if (method === 'GET' && path.includes('/blobs/')) counts.layers++;
    await takeTime(String(latencyMs));
    response.writeHead(200, {
      'content-type': reply.type,
      'content-length': reply.size,
      'docker-content-digest': digest,
      etag: `"${digest}"`,
    });
    if (method === 'HEAD') {
      response.end();
      return;
    }
    await send(response, bytesPerMs > 0 ? paced(reply.pieces(), bytesPerMs) : reply.pieces());
  }

  const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
    counts.requests++;
    answer(request, response).catch((error: unknown) => {
      process.stderr.write(`upstream of the bench: ${request.url}: ${String(error)}\n`);
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
    });
  });
  await mkdir(copyTo, { recursive: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  origin = `http://127.0.0.1:${port}`;
  indexReply = indexReplies(origin);
  process.on('message', (order: Order) => {
    if (order.ask === 'count') process.send?.({ count: counts[order.of] } satisfies Report);
    else halves.get(order.id)?.();
  });
  // The bench that started this is gone: nothing is left to serve.
  process.on('disconnect', () => process.exit());
  process.send?.({ port } satisfies Report);
}

/** No faster than the client takes it. */
async function send(response: ServerResponse, pieces: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<void> {
  await pipeline(Readable.from(pieces), response).catch((error: unknown) => {
    // Whoever leaves early says so by its own means.
    if (!response.destroyed) throw error;
  });
}

/** As a line of that speed would let it through. */
async function* paced(pieces: Iterable<Buffer>, bytesPerMs: number): AsyncGenerator<Buffer> {
  const startedAt = performance.now();
  let due = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += 65_536) {
      const part = piece.subarray(at, at + 65_536);
      due += part.length;
      while ((performance.now() - startedAt) * bytesPerMs < due) await delay(1);
      yield part;
    }
  }
}

/** Even a timer of 0 ms takes one. */
async function takeTime(milliseconds = '0'): Promise<void> {
  if (milliseconds !== '0') await delay(Number(milliseconds));
}

async function fetchBytes(url: URL): Promise<Buffer | undefined> {
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(url);
    if (answer.ok) return Buffer.from(await answer.arrayBuffer());
    if (answer.status === 404) return undefined;
    if (attempt === 3) throw new Error(`The npm registry answered ${answer.status}.`);
    await delay(500 * attempt);
  }
}

await serve(process.argv[2] ?? '', process.env.BENCH_COPY_FROM ?? '');

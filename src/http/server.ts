/** The HTTP server: request id, limits, hot answers, control plane, then the pipeline; one place where a problem becomes a response. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import http2 from 'node:http2';
import type net from 'node:net';
import type Router from '@koa/router';
import Koa, { type Context, type Middleware } from 'koa';
import { isAnonymous } from '../access/identify.ts';
import { type Outcome, publish } from '../core/events.ts';
import type { ProblemFacts } from '../core/problem.ts';
import { Problem, problems, toProblem } from '../core/problem.ts';
import type { Repository } from '../core/repository.ts';
import type { FoundArtifact } from '../core/source.ts';
import type { Answer } from '../pipeline/answer.ts';
import { type HandleContext, type Handled, handle } from '../pipeline/handle.ts';
import { type Base, createBase } from './base.ts';
import { readBody, streamBody } from './body.ts';
import { codingFor } from './coding.ts';
import { type HotAnswer, HotAnswers, type HotQuestion, isUnmodified, largestHotBytes, publishHit } from './hot.ts';
import { requestIdOf } from './request-id.ts';
import { type Addresses, recordedIn, resolve, withoutPrefix } from './resolve.ts';
import { headersOf, packageHeaders, release, respond, type Tally } from './respond.ts';
import { type StatusOptions, statusRoutes } from './status.ts';
import { createWire } from './wire.ts';

export interface ServerOptions extends StatusOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly publicUrl?: string | undefined;
  readonly trustedProxies: readonly string[];
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  readonly limits: {
    readonly headerBytes: number;
    readonly urlBytes: number;
    readonly bodyBytes: number;
    readonly headersTimeoutMs: number;
    readonly requestTimeoutMs: number;
    readonly keepAliveTimeoutMs: number;
    readonly connections: number;
  };
  readonly hotMemoryBytes: number;
  /** Our own name in `Via`: a request that carries it went in a circle. */
  readonly via: string;
  readonly now: () => number;
  readonly context: HandleContext;
  /** Tokens, sign-in, administration: what is no repository. */
  readonly routes: (reach: Reach) => readonly Router[];
  /** Which of them stand below the addresses of repositories. */
  readonly overrides: (method: string, path: string) => boolean;
  /** Asked for each request, so that a new configuration takes effect with the next one. */
  readonly addresses: () => Addresses;
}

/** How a request came. */
export interface Reach {
  /** Public URL of the server that it reached, no trailing slash. */
  originOf(ctx: Context): string;
  /** Of the client, also behind trusted proxies. */
  remoteOf(ctx: Context): string;
  /** Of the request. */
  idOf(ctx: Context): string;
}

export interface HttpServer {
  listen(): Promise<{ readonly url: string; readonly port: number }>;
  /** Forgets hot answers: whatever shaped them has changed. */
  forget(): void;
  /** No new connections; running answers may end within the deadline, what is left is cut. */
  close(deadlineMs: number): Promise<void>;
}

/** What is known about a request so far, for the access line whatever happens to it. */
interface Course {
  readonly id: string;
  readonly startedAt: number;
  readonly tally: Tally;
  remote: string;
  repository: Repository | undefined;
  route: string;
  outcome: Outcome | '-';
  error: unknown;
}

export function createServer(options: ServerOptions): HttpServer {
  const hot = new HotAnswers(options.hotMemoryBytes, options.now);
  const baseOf = createBase({ publicUrl: options.publicUrl, trustedProxies: options.trustedProxies });
  const prefix = options.publicUrl === undefined ? '' : new URL(options.publicUrl).pathname.replace(/\/+$/, '');
  const app = createApp(options, hot, baseOf, prefix);
  const viaKoa = app.callback();

  /** The last response begun on a connection. */
  const pending = new WeakMap<object, ServerResponse>();

  function onRequest(req: IncomingMessage, res: ServerResponse): void {
    pending.set(req.socket, res);
    if (req.httpVersionMajor === 1) endWithConnection(req.socket, res);
    if (!answerHot(req, res, hot, baseOf)) void viaKoa(req, res);
  }

  const { limits, tls } = options;
  const settings = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    // Bodies are watched where they are read: a large one may take as long as something comes.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // How late the limits above may be noticed.
    connectionsCheckingInterval: Math.min(5_000, Math.ceil(limits.headersTimeoutMs / 4)),
    noDelay: true,
  };
  const plain = http.createServer(settings, onRequest);
  plain.on('checkContinue', onRequest);
  plain.on('clientError', (error, socket) => answerMalformed(error, socket as net.Socket, pending.get(socket)));
  let front: net.Server;
  if (tls) {
    const secure = http2.createSecureServer({ ...tls, ...settings, allowHTTP1: true, minVersion: 'TLSv1.2' });
    secure.on('request', (req, res) => onRequest(req as unknown as IncomingMessage, res as unknown as ServerResponse));
    secure.on('checkContinue', (req, res) =>
      onRequest(req as unknown as IncomingMessage, res as unknown as ServerResponse),
    );
    secure.on('sessionError', () => {});
    secure.on('tlsClientError', () => {});
    front = secure;
  } else {
    front = createWire({
      server: plain,
      hot,
      baseOf,
      headersTimeoutMs: limits.headersTimeoutMs,
      keepAliveTimeoutMs: limits.keepAliveTimeoutMs,
      headerBytes: limits.headerBytes,
      urlBytes: limits.urlBytes,
    });
  }
  front.maxConnections = limits.connections;
  const open = new Set<net.Socket>();
  front.on(tls ? 'secureConnection' : 'connection', (socket: net.Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });

  return {
    async listen() {
      const { host, port } = options.listen;
      await new Promise<void>((done, fail) => {
        front.once('error', fail);
        front.listen({ host, port }, () => {
          front.off('error', fail);
          done();
        });
      });
      // Node looks after slow requests from the moment a server listens; this one gets its connections from the wire.
      plain.emit('listening');
      const bound = front.address() as net.AddressInfo;
      const shown = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
      return { url: `${tls ? 'https' : 'http'}://${shown}:${bound.port}`, port: bound.port };
    },
    forget: () => hot.clear(),
    close: (deadlineMs) => closeGently(front, plain, open, app, deadlineMs),
  };
}

/** Responses of a connection that are not out yet. */
const unanswered = new WeakMap<net.Socket, Set<ServerResponse>>();

/**
 * Node tells only the response whose turn it is that its connection broke. Those pipelined behind it would wait for ever,
 * and with them the files they have open.
 */
function endWithConnection(socket: net.Socket, res: ServerResponse): void {
  let waiting = unanswered.get(socket);
  if (!waiting) {
    const all = new Set<ServerResponse>();
    waiting = all;
    unanswered.set(socket, all);
    socket.once('close', () => {
      for (const one of all) {
        if (one.socket) continue;
        one.destroy();
        one.emit('close');
      }
    });
  }
  const mine = waiting;
  mine.add(res);
  res.once('close', () => mine.delete(res));
}

/** Idle connections go at once; busy ones when their answer is out or the deadline is over. */
async function closeGently(
  front: net.Server,
  plain: http.Server,
  open: ReadonlySet<net.Socket>,
  app: Koa & { readonly running: Running },
  deadlineMs: number,
): Promise<void> {
  const closed = new Promise<void>((done) => front.close(() => done()));
  plain.close();
  const deadline = performance.now() + deadlineMs;
  plain.closeIdleConnections();
  while (app.running.count > 0 && performance.now() < deadline) {
    await Promise.race([app.running.changed(), new Promise((done) => setTimeout(done, 100).unref())]);
  }
  for (const socket of open) {
    if (socket.writableLength === 0 || performance.now() >= deadline) socket.destroy();
    else socket.destroySoon();
  }
  await closed;
}

/** How many requests are between their first and their last byte. */
class Running {
  count = 0;
  #waiting: (() => void)[] = [];

  changed(): Promise<void> {
    return new Promise((done) => this.#waiting.push(done));
  }

  add(change: 1 | -1): void {
    this.count += change;
    if (change === -1) for (const done of this.#waiting.splice(0)) done();
  }
}

function createApp(options: ServerOptions, hot: HotAnswers, baseOf: ReturnType<typeof createBase>, prefix: string) {
  const running = new Running();
  const app = Object.assign(new Koa(), { running });
  const control = statusRoutes(options);
  const more = options.routes({
    originOf: (ctx) => baseOf(factsOf(ctx.req)).base,
    remoteOf: (ctx) => baseOf(factsOf(ctx.req)).remote,
    idOf: (ctx) => (ctx.state.course as Course).id,
  });

  const observe: Middleware = async (ctx, next) => {
    const course: Course = {
      id: requestIdOf(ctx.req.headers['x-request-id']),
      startedAt: performance.now(),
      tally: { bytesSent: 0, firstByteAt: undefined },
      remote: ctx.req.socket.remoteAddress ?? '',
      repository: undefined,
      route: '-',
      outcome: '-',
      error: undefined,
    };
    ctx.state.course = course;
    running.add(1);
    ctx.res.once('close', () => {
      running.add(-1);
      publishRequest(ctx.req, ctx.res, course);
    });
    try {
      refuseExcess(ctx, options);
      await next();
      if (ctx.respond !== false && ctx.status === 404 && ctx.body === undefined) throw noSuchAddress(ctx.path);
    } catch (error) {
      course.error = error;
      answerProblem(ctx, course, toProblem(error));
    }
    if (ctx.respond !== false) ctx.set('x-request-id', course.id);
  };

  const repositories: Middleware = async (ctx, next) => {
    const course = ctx.state.course as Course;
    const [rawPath = '/', query = ''] = split(ctx.req.url ?? '/');
    if (options.overrides(ctx.method, rawPath)) return next();
    const parameters = new URLSearchParams(query);
    const reached = baseOf.bind(undefined, factsOf(ctx.req));
    const path = withoutPrefix(rawPath, prefix);
    const recorded = recordedIn(path);
    const found = resolve(options.addresses(), {
      path: recorded?.path ?? path,
      query: parameters,
      host: () => new URL(reached().base).hostname,
    });
    if (!found) {
      // Pages and token services are found below the public address as repositories are, whether a proxy takes its path off or not.
      if (prefix !== '') ctx.path = withoutPrefix(ctx.path, prefix);
      return next();
    }
    const { repository, rest, at, namespace, isShared } = found;
    course.repository = repository;
    ctx.respond = false;
    const { base, remote } = reached();
    course.remote = remote;
    const coding = codingFor(single(ctx.req.headers['accept-encoding']));
    const handled = await handle(
      options.context,
      repository,
      {
        id: course.id,
        method: ctx.method,
        rawPath: rest,
        query: parameters,
        headers: flat(ctx.req.headers),
        base: `${base}${recorded?.at ?? ''}${at}`,
        ...(recorded ? { record: recorded.set } : {}),
        tokenUrl: `${base}/token`,
        ...(isShared ? { isShared } : {}),
        ...(namespace === undefined ? {} : { namespace }),
        coding,
        origin: base,
        remote,
        body: () =>
          readBody(ctx.req, ctx.res, {
            limitBytes: options.limits.bodyBytes,
            idleMs: options.limits.requestTimeoutMs,
            totalMs: options.limits.requestTimeoutMs,
          }),
        stream: (limitBytes) => streamBody(ctx.req, ctx.res, { limitBytes, idleMs: options.limits.requestTimeoutMs }),
      },
      (route) => {
        course.route = route;
      },
    );
    course.outcome = handled.answer.outcome;
    if (ctx.res.destroyed) return release(handled.answer);
    const question: HotQuestion = { base, url: ctx.req.url ?? '/', accept: single(ctx.req.headers.accept), coding };
    const answer = await keepIfHot(options, hot, repository, handled, question, ctx.method);
    await respond({ req: ctx.req, res: ctx.res, tally: course.tally, requestId: course.id, now: options.now }, answer);
  };

  app.use(observe);
  app.use(repositories);
  app.use(control.routes());
  for (const router of more) app.use(router.routes());
  app.on('error', (error: NodeJS.ErrnoException, ctx?: Context) => {
    // A client that leaves in the middle is told of in its access line.
    if (ctx?.res.destroyed || clientLeft.has(error.code ?? '')) return;
    publish('fault', { where: 'answering a request', error });
  });
  return app;
}

const clientLeft = new Set(['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED']);

function split(url: string): [string, string] {
  const mark = url.indexOf('?');
  return mark === -1 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)];
}

const single = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(', ') : value;

function flat(headers: IncomingMessage['headers']): Record<string, string | undefined> {
  const plain: Record<string, string | undefined> = {};
  for (const name in headers) plain[name] = single(headers[name]);
  return plain;
}

function factsOf(req: IncomingMessage) {
  const socket = req.socket as net.Socket & { readonly encrypted?: boolean };
  return { encrypted: socket.encrypted === true, remoteAddress: socket.remoteAddress ?? '', headers: req.headers };
}

/** Said before anything is spent on the request. */
function refuseExcess(ctx: Context, { limits, via }: ServerOptions): void {
  if ((ctx.req.url ?? '').length > limits.urlBytes) {
    throw new Problem('uri_too_long', `The address is longer than the ${limits.urlBytes} bytes allowed here.`);
  }
  if (!(ctx.req.url ?? '').startsWith('/')) {
    throw new Problem(
      'bad_request',
      'Larder is not a forward proxy: set it as the registry of your client, not as its HTTP proxy.',
    );
  }
  const hosts = ctx.req.rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host');
  if (hosts.length > 1) {
    throw new Problem('bad_request', 'The request has more than one Host header (RFC 9112, 3.2).', {
      headers: { connection: 'close' },
    });
  }
  if (single(ctx.req.headers.via)?.includes(via)) {
    throw new Problem(
      'loop',
      'This request has come in a loop: an upstream of this server points back to it. Correct the address of that upstream in the configuration.',
    );
  }
}

const noSuchAddress = (path: string): Problem =>
  new Problem(
    'not_found',
    `There is nothing at ${path.slice(0, 200)}. Repositories are at /{organisation}/{repository}/.`,
  );

/** In the dialect of the format, or as JSON outside of repositories. After the first byte there is only the end of the connection. */
function answerProblem(ctx: Context, course: Course, problem: Problem): void {
  const { res, req } = ctx;
  if (course.outcome === '-' || problem.status !== 416) course.outcome = outcomeOf(problem);
  ctx.respond = false;
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  const retry = problem.retryAfterSeconds ?? (problems[problem.code].retry && problem.status >= 500 ? 5 : undefined);
  const facts: ProblemFacts = {
    status: problem.status,
    code: problem.code,
    message: problem.message,
    ...(course.route === '-' ? {} : { route: course.route }),
    ...(retry === undefined ? {} : { retryAfterSeconds: retry }),
    ...(problem.detail === undefined ? {} : { detail: problem.detail }),
  };
  const body = course.repository?.format.problem(facts);
  const bytes = body?.bytes ?? Buffer.from(`${JSON.stringify({ error: problem.message, code: problem.code })}\n`);
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    ...packageHeaders,
    ...course.repository?.format.headers,
    ...body?.headers,
    ...problem.headers,
    'cache-control': 'no-store',
    'content-length': String(bytes.byteLength),
    'x-request-id': course.id,
  };
  if (retry !== undefined) headers['retry-after'] = String(retry);
  if (course.outcome === 'negative' || course.outcome === 'offline') headers['x-larder-cache'] = course.outcome;
  if (body?.reason !== undefined && req.httpVersionMajor === 1) res.statusMessage = reasonPhrase(body.reason);
  res.writeHead(body?.status ?? problem.status, headers);
  course.tally.firstByteAt = performance.now();
  if (req.method === 'HEAD') res.end();
  else {
    course.tally.bytesSent += bytes.byteLength;
    res.end(bytes);
  }
  if (!req.complete && req.httpVersionMajor === 1) readOut(req);
}

/** Of a body that nobody wants. */
const unwantedBytes = 64 * 1024 * 1024;
const unwantedMs = 15_000;

/**
 * A client that is still sending reads no answer, and none at all once the connection is closed before it is done: what is
 * left of the body is read and thrown away, for a while.
 */
function readOut(req: IncomingMessage): void {
  const { socket } = req;
  const from = socket.bytesRead;
  const until = performance.now() + unwantedMs;
  const timer = setInterval(() => {
    if (req.complete || socket.destroyed) clearInterval(timer);
    else if (socket.bytesRead - from > unwantedBytes || performance.now() > until) socket.destroy();
  }, 250);
  timer.unref();
  req.resume();
}

/** RFC 9112, 4: one line; what is not ASCII has no agreed meaning there. */
function reasonPhrase(text: string): string {
  return text.replace(/[^ -~]+/g, ' ').slice(0, 400);
}

function outcomeOf({ code }: Problem): Outcome {
  if (code === 'not_found') return 'negative';
  if (code === 'offline' || code === 'not_stored') return 'offline';
  return code === 'refused' || code === 'forbidden' || code === 'unauthorized' ? 'refused' : 'error';
}

/** Small stored answers are taken into memory on the way out, so that the next request for them finds them ready. */
async function keepIfHot(
  options: ServerOptions,
  hot: HotAnswers,
  repository: Repository,
  handled: Handled,
  question: HotQuestion,
  method: string,
): Promise<Answer> {
  const { answer } = handled;
  if (method !== 'GET' || !handled.repeatable || answer.status !== 200) return answer;
  if (answer.keepUntil === undefined || answer.keepUntil <= options.now()) return answer;
  const ready = await inMemory(answer);
  if (ready.body.kind !== 'bytes' || ready.body.bytes.byteLength > largestHotBytes) return ready;
  const repeated: Answer = { ...ready, outcome: answer.outcome === 'offline' ? 'offline' : 'hit' };
  const headers = headersOf(repeated, options.now());
  delete headers.age;
  if (ready.body.ranges) headers['accept-ranges'] = 'bytes';
  headers['content-length'] = String(ready.body.bytes.byteLength);
  hot.keep(question, {
    headers,
    body: ready.body.bytes,
    etag: answer.etag,
    until: answer.keepUntil,
    repository: repository.id,
    format: repository.format.id,
    route: handled.route,
    outcome: repeated.outcome,
    keepWhile: answer.keepWhile,
    touch: answer.touch,
  });
  return ready;
}

async function inMemory(answer: Answer): Promise<Answer> {
  if (answer.body.kind !== 'artifact') return answer;
  const { artifact } = answer.body;
  if (!artifact.readInto || artifact.size === undefined || artifact.size > largestHotBytes) return answer;
  return {
    ...answer,
    body: { kind: 'bytes', bytes: await readStored(artifact, artifact.readInto, artifact.size), ranges: true },
  };
}

async function readStored(
  artifact: FoundArtifact,
  readInto: NonNullable<FoundArtifact['readInto']>,
  size: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(size);
  try {
    for (let at = 0; at < size; ) {
      const read = await readInto(bytes.subarray(at), at);
      if (read === 0) throw new Error(`Stored bytes end at ${at} of ${size}.`);
      at += read;
    }
  } finally {
    artifact.close();
  }
  return bytes;
}

/** What the wire does not take (another protocol, a connection handed over, a few more headers) may still be hot. */
function answerHot(
  req: IncomingMessage,
  res: ServerResponse,
  hot: HotAnswers,
  baseOf: (facts: ReturnType<typeof factsOf>) => Base,
): boolean {
  const { headers } = req;
  if (req.method !== 'GET' || headers.range !== undefined || !isAnonymous(headers.authorization)) return false;
  if (
    headers.via !== undefined ||
    headers['x-larder-refresh'] !== undefined ||
    headers['if-modified-since'] !== undefined ||
    headers['if-unmodified-since'] !== undefined ||
    headers['content-length'] !== undefined
  )
    return false;
  if (headers['transfer-encoding'] !== undefined) return false;
  let facts: Base;
  try {
    facts = baseOf(factsOf(req));
  } catch {
    return false;
  }
  const url = req.url ?? '/';
  const answer: HotAnswer | undefined = hot.find({
    base: facts.base,
    url,
    accept: headers.accept,
    coding: codingFor(single(headers['accept-encoding'])),
  });
  if (!answer) return false;
  const startedAt = performance.now();
  const id = requestIdOf(headers['x-request-id']);
  const unmodified = isUnmodified(answer, headers['if-none-match']);
  res.writeHead(unmodified ? 304 : 200, {
    ...(unmodified ? answer.unmodifiedHeaders : answer.headers),
    'x-request-id': id,
  });
  res.end(unmodified ? undefined : answer.body);
  publishHit(answer, {
    id,
    method: 'GET',
    url,
    remote: facts.remote,
    userAgent: headers['user-agent'] ?? '',
    startedAt,
    status: unmodified ? 304 : 200,
    bytesSent: unmodified ? 0 : answer.body.byteLength,
  });
  return true;
}

function publishRequest(req: IncomingMessage, res: ServerResponse, course: Course): void {
  const { tally, repository } = course;
  publish('request', {
    id: course.id,
    method: req.method ?? '-',
    url: req.url ?? '-',
    status: res.statusCode,
    repository: repository?.id ?? '-',
    format: repository?.format.id ?? '-',
    route: course.route,
    outcome: course.outcome,
    bytesSent: tally.bytesSent,
    durationMs: performance.now() - course.startedAt,
    ...(tally.firstByteAt === undefined ? {} : { firstByteMs: tally.firstByteAt - course.startedAt }),
    remote: course.remote,
    userAgent: single(req.headers['user-agent']) ?? '',
    ...(res.writableFinished ? {} : { aborted: true }),
    ...(course.error === undefined ? {} : { error: course.error }),
  });
}

/** What does not parse as HTTP never becomes a request: a short answer after those that are due, and the connection ends. */
function answerMalformed(error: NodeJS.ErrnoException, socket: net.Socket, last: ServerResponse | undefined): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  // Unless it is the very request being answered whose body does not come.
  if (last?.req.complete && !last.writableFinished && !last.destroyed) {
    last.once('close', () => socket.destroySoon());
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
  const text = JSON.stringify({ error: `${status.slice(4)}: ${error.code ?? 'malformed'}` });
  const headers = Object.entries({
    'content-type': 'application/json',
    ...packageHeaders,
    'content-length': String(text.length),
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status}\r\n${headers.join('')}\r\n${text}`);
}

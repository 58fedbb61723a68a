/** The HTTP server: request id, limits, hot answers, control plane, then the pipeline. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import http2, { type Http2SecureServer } from 'node:http2';
import type net from 'node:net';
import type Router from '@koa/router';
import Koa, { type Context, type Middleware } from 'koa';
import { publish } from '../core/events.ts';
import { toProblem } from '../core/problem.ts';
import { type HandleContext, handle } from '../pipeline/handle.ts';
import { createBase, createTrust } from './base.ts';
import { readBody, streamBody } from './body.ts';
import { closeGently, endWithConnection, Running } from './closing.ts';
import { codingFor } from './coding.ts';
import { type Course, newCourse, publishRequest } from './course.ts';
import { noSuchAddress, refuseExcess } from './excess.ts';
import { factsOf, flat, single, split } from './facts.ts';
import { HandOff, type HandOffSettings } from './hand-off.ts';
import { HotAnswers, type HotQuestion } from './hot.ts';
import { answerHot, keepIfHot } from './keep-hot.ts';
import { answerMalformed } from './malformed.ts';
import { answerProblem } from './problems.ts';
import { type Addresses, recordedIn, resolve, withoutPrefix } from './resolve.ts';
import { release, respond } from './respond.ts';
import { type StatusOptions, statusRoutes } from './status.ts';
import { createWire } from './wire.ts';

export interface ServerOptions extends StatusOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly publicUrl?: string | undefined;
  readonly trustedProxies: readonly string[];
  /** Large stored bytes are sent by the proxy in front, if it offers that. */
  readonly handOff?: HandOffSettings | undefined;
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
  /** For new connections; those that are open go on. Nothing happens where it is served without. Throws if the two do not belong together. */
  renew(tls: ServerOptions['tls']): void;
  /** No new connections; running answers may end within the deadline, what is left is cut. */
  close(deadlineMs: number): Promise<void>;
}

const leastTls = 'TLSv1.2';

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
    const secure = http2.createSecureServer({ ...tls, ...settings, allowHTTP1: true, minVersion: leastTls });
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
    renew(next) {
      if (tls && next) (front as Http2SecureServer).setSecureContext({ ...next, minVersion: leastTls });
    },
    close: async (deadlineMs) => {
      await closeGently(front, plain, open, app.running, deadlineMs);
      app.handOff?.close();
    },
  };
}

function createApp(options: ServerOptions, hot: HotAnswers, baseOf: ReturnType<typeof createBase>, prefix: string) {
  const running = new Running();
  const handOff = options.handOff && new HandOff(options.handOff, createTrust(options.trustedProxies));
  const app = Object.assign(new Koa(), { running, handOff });
  const control = statusRoutes(options);
  const more = options.routes({
    originOf: (ctx) => baseOf(factsOf(ctx.req)).base,
    remoteOf: (ctx) => baseOf(factsOf(ctx.req)).remote,
    idOf: (ctx) => (ctx.state.course as Course).id,
  });

  const observe: Middleware = async (ctx, next) => {
    const course = newCourse(ctx.req);
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
      {
        identity: (identity) => {
          course.identity = identity;
        },
        route: (route) => {
          course.route = route;
        },
      },
    );
    course.outcome = handled.answer.outcome;
    if (ctx.res.destroyed) return release(handled.answer);
    const question: HotQuestion = { base, url: ctx.req.url ?? '/', accept: single(ctx.req.headers.accept), coding };
    const answer = await keepIfHot(options.now, hot, repository, handled, question, ctx.method);
    const exchange = {
      req: ctx.req,
      res: ctx.res,
      tally: course.tally,
      requestId: course.id,
      now: options.now,
      handOff,
    };
    await respond(exchange, answer);
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

/** The HTTP server: request id, limits, hot answers, control plane, then the pipeline. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { Http2SecureServer } from 'node:http2';
import type net from 'node:net';
import type Router from '@koa/router';
import Koa, { type Context, type Middleware } from 'koa';
import { publish } from '../core/events.ts';
import type { Identity } from '../core/identity.ts';
import { type Problem, toProblem } from '../core/problem.ts';
import { type HandleContext, handle } from '../pipeline/handle.ts';
import { createBase, createTrust } from './base.ts';
import { readBody, streamBody } from './body.ts';
import { closeGently, endWithConnection, Running } from './closing.ts';
import { codingFor } from './coding.ts';
import { Connections } from './connections.ts';
import { type Course, newCourse, publishRequest } from './course.ts';
import { noSuchAddress, refuseExcess } from './excess.ts';
import { factsOf, flat, isHttp2, single, split } from './facts.ts';
import { HandOff, type HandOffSettings } from './hand-off.ts';
import { type HotAnswer, HotAnswers, type HotQuestion } from './hot.ts';
import { answerHot, keepIfHot } from './keep-hot.ts';
import { type LimitSettings, Limits, noOrg, type Visit } from './limits.ts';
import type { ClientLimits } from './limits-account.ts';
import { type Clock, clock } from './limits-pacer.ts';
import { Refusals } from './limits-refusals.ts';
import { answerMalformed } from './malformed.ts';
import { Pieces } from './pieces.ts';
import { answerProblem } from './problems.ts';
import { onQuiet, watchReader } from './readers.ts';
import { headersIn, Recognition } from './recognition.ts';
import { type Addresses, recordedIn, resolve, withoutPrefix } from './resolve.ts';
import { release, respond } from './respond.ts';
import { createSecure } from './secure.ts';
import { type StatusOptions, statusRoutes } from './status.ts';
import { createWire } from './wire.ts';

export interface ServerOptions extends StatusOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly publicUrl?: string | undefined;
  readonly trustedProxies: readonly string[];
  /** Large stored bytes are sent by the proxy in front, if it offers that. */
  readonly handOff?: HandOffSettings | undefined;
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  readonly limits: ServerLimits;
  /** By org. */
  readonly orgLimits: LimitSettings['orgs'];
  /** Tests bring their own. */
  readonly clock?: Clock | undefined;
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

export interface ServerLimits {
  readonly headerBytes: number;
  readonly urlBytes: number;
  readonly bodyBytes: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly readerTimeoutMs: number;
  readonly uploadBytesPerSecond: number;
  readonly uploadWindowMs: number;
  readonly connections: number;
  /** Of one HTTP/2 connection. */
  readonly streams: number;
  /** Addresses, and as many identities, that are kept apart. */
  readonly clients: number;
  readonly perAddress: ClientLimits & { readonly connections: number };
  readonly perIdentity: ClientLimits;
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
  /** Takes effect for everybody at once, without cutting anybody. What was said when it was made and belongs to the port stays. */
  relimit(limits: ServerLimits, orgs: LimitSettings['orgs']): void;
  /** Publishes how many connections there are. */
  tellConnections(): void;
  /** No new connections; running answers may end within the deadline, what is left is cut. */
  close(deadlineMs: number): Promise<void>;
}

const leastTls = 'TLSv1.2';

export function createServer(options: ServerOptions): HttpServer {
  const hot = new HotAnswers(options.hotMemoryBytes, options.now, !options.handOff);
  const recognition = new Recognition();
  const baseOf = createBase({ publicUrl: options.publicUrl, trustedProxies: options.trustedProxies });
  const prefix = options.publicUrl === undefined ? '' : new URL(options.publicUrl).pathname.replace(/\/+$/, '');
  let { limits } = options;
  const accounts = new Limits(settingsOf(limits, options.orgLimits), options.clock);
  const connections = new Connections(connectionLimitsOf(limits), createTrust(options.trustedProxies));
  const app = createApp(options, { hot, recognition, baseOf, prefix, accounts, limits: () => limits });
  const viaKoa = app.callback();

  /** The last response begun on a connection. */
  const pending = new WeakMap<object, ServerResponse>();

  function onRequest(req: IncomingMessage, res: ServerResponse): void {
    pending.set(req.socket, res);
    if (!isHttp2(res)) endWithConnection(req.socket, res);
    const connection = connections.of(req.socket);
    if (connection) {
      connection.running++;
      connection.lastAt = performance.now();
      res.once('close', () => {
        connection.running--;
        connection.lastAt = performance.now();
      });
    }
    watchReader(req, res, limits.readerTimeoutMs);
    const mayHave = (answer: HotAnswer, remote: string, bytes: number, reader: Identity | undefined): boolean =>
      !accounts.isActive ||
      accounts.takeHot(connection ?? { gate: undefined }, remote, answer.repository, bytes, reader);
    if (!answerHot(req, res, hot, baseOf, recognition, mayHave)) void viaKoa(req, res);
  }

  const { tls } = options;
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
  plain.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
      publish('client.slow', { kind: 'headers', remote: (socket as net.Socket).remoteAddress ?? '' });
    }
    answerMalformed(error, socket as net.Socket, pending.get(socket));
  });
  const front: net.Server = tls
    ? createSecure({ tls: { ...tls, minVersion: leastTls }, settings, streams: limits.streams, connections, onRequest })
    : createWire({
        server: plain,
        hot,
        recognition,
        baseOf,
        headersTimeoutMs: limits.headersTimeoutMs,
        keepAliveTimeoutMs: limits.keepAliveTimeoutMs,
        readerTimeoutMs: () => limits.readerTimeoutMs,
        headerBytes: limits.headerBytes,
        urlBytes: limits.urlBytes,
        limits: accounts,
        connections,
      });
  (tls ? front : plain).on(
    'timeout',
    onQuiet(connections, () => limits.readerTimeoutMs),
  );

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
    forget: () => {
      hot.clear();
      recognition.clear();
    },
    relimit(next, orgs) {
      limits = next;
      accounts.change(settingsOf(next, orgs));
      connections.limits = connectionLimitsOf(next);
    },
    tellConnections: () => publish('connections', connections.counts),
    renew(next) {
      if (tls && next) (front as Http2SecureServer).setSecureContext({ ...next, minVersion: leastTls });
    },
    close: async (deadlineMs) => {
      await closeGently(front, plain, () => connections.sockets(), app.running, deadlineMs);
      app.handOff?.close();
    },
  };
}

function settingsOf({ clients, perAddress, perIdentity }: ServerLimits, orgs: LimitSettings['orgs']): LimitSettings {
  const { connections: _, ...address } = perAddress;
  return { accounts: clients, usual: { perAddress: address, perIdentity }, orgs };
}

const connectionLimitsOf = ({ connections, perAddress }: ServerLimits) => ({
  connections,
  connectionsPerAddress: perAddress.connections,
});

interface AppParts {
  readonly hot: HotAnswers;
  readonly recognition: Recognition;
  readonly baseOf: ReturnType<typeof createBase>;
  /** Path of the public address. */
  readonly prefix: string;
  readonly accounts: Limits;
  readonly limits: () => ServerLimits;
}

/** Without a word. */
function cut(ctx: Context, course: Course, { status }: Problem): void {
  course.outcome = 'refused';
  ctx.respond = false;
  ctx.res.statusCode = status;
  // An answer whose turn has not come yet has no connection that it could end.
  if (!isHttp2(ctx.res)) ctx.req.socket.destroy();
  else ctx.res.destroy();
}

/** Asked by whoever runs the machine, who is to know how it is in a crowd, too. */
const neverRefused = new Set(['/healthz', '/readyz']);

function createApp(options: ServerOptions, { hot, recognition, baseOf, prefix, accounts, limits }: AppParts) {
  const running = new Running();
  const refusals = new Refusals(options.clock ?? clock);
  const handOff = options.handOff && new HandOff(options.handOff, createTrust(options.trustedProxies));
  const pieces = new Pieces(options.hotMemoryBytes);
  const app = Object.assign(new Koa(), { running, handOff });
  const control = statusRoutes(options, (req) => baseOf(factsOf(req)).remote);
  const more = options.routes({
    originOf: (ctx) => baseOf(factsOf(ctx.req)).base,
    remoteOf: (ctx) => baseOf(factsOf(ctx.req)).remote,
    idOf: (ctx) => (ctx.state.course as Course).id,
  });

  /** Throws `too_many_requests`; counted until the answer is out. */
  function enter(ctx: Context, org: string, remote: string): Visit | undefined {
    const visit = accounts.enter({ requestId: (ctx.state.course as Course).id, remote, org });
    if (visit) ctx.res.once('close', () => visit.leave());
    return visit;
  }

  /** For what is no repository's. */
  function enterOutside(ctx: Context): void {
    if (!accounts.isActive || neverRefused.has(ctx.path)) return;
    let { remote } = ctx.state.course as Course;
    try {
      remote = baseOf(factsOf(ctx.req)).remote;
    } catch {
      // Its address is told by its connection; what else is wrong with it others say.
    }
    (ctx.state.course as Course).remote = remote;
    enter(ctx, noOrg, remote);
  }

  /** What fails before it is known whose business it is. */
  function orOutside<T>(ctx: Context, work: () => T): T {
    try {
      return work();
    } catch (error) {
      enterOutside(ctx);
      throw error;
    }
  }

  const observe: Middleware = async (ctx, next) => {
    const course = newCourse(ctx.req);
    ctx.state.course = course;
    running.add(1);
    ctx.res.once('close', () => {
      running.add(-1);
      publishRequest(ctx.req, ctx.res, course);
    });
    try {
      refuseExcess(ctx, { limits: limits(), via: options.via });
      await next();
      if (ctx.respond !== false && ctx.status === 404 && ctx.body === undefined) throw noSuchAddress(ctx.path);
    } catch (error) {
      course.error = error;
      const problem = toProblem(error);
      const turn = problem.code === 'too_many_requests' ? refusals.turn(course.remote) : true;
      if (turn === true || (await turn)) answerProblem(ctx, course, problem);
      else cut(ctx, course, problem);
    }
    if (ctx.respond !== false) ctx.set('x-request-id', course.id);
  };

  const repositories: Middleware = async (ctx, next) => {
    const course = ctx.state.course as Course;
    const [rawPath = '/', query = ''] = split(ctx.req.url ?? '/');
    if (options.overrides(ctx.method, rawPath)) {
      enterOutside(ctx);
      return next();
    }
    const parameters = new URLSearchParams(query);
    const reached = baseOf.bind(undefined, factsOf(ctx.req));
    const path = withoutPrefix(rawPath, prefix);
    const recorded = recordedIn(path);
    const found = orOutside(ctx, () =>
      resolve(options.addresses(), {
        path: recorded?.path ?? path,
        query: parameters,
        host: () => new URL(reached().base).hostname,
      }),
    );
    if (!found) {
      // Pages and token services are found below the public address as repositories are, whether a proxy takes its path off or not.
      if (prefix !== '') ctx.path = withoutPrefix(ctx.path, prefix);
      enterOutside(ctx);
      return next();
    }
    const { repository, rest, at, namespace, isShared } = found;
    course.repository = repository;
    ctx.respond = false;
    const { base, remote } = orOutside(ctx, reached);
    course.remote = remote;
    const visit = accounts.isActive ? enter(ctx, repository.org, remote) : undefined;
    const { requestTimeoutMs, uploadBytesPerSecond, uploadWindowMs } = limits();
    const patience = {
      idleMs: requestTimeoutMs,
      least: { bytesPerSecond: uploadBytesPerSecond, windowMs: uploadWindowMs },
      remote,
    };
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
            ...patience,
            limitBytes: limits().bodyBytes,
            totalMs: requestTimeoutMs,
            pace: visit?.upload,
          }),
        stream: (limitBytes) => streamBody(ctx.req, ctx.res, { ...patience, limitBytes, pace: visit?.upload }),
      },
      {
        identity: (identity) => {
          course.identity = identity;
        },
        route: (route) => {
          course.route = route;
        },
        admitted: (identity) => visit?.admit(identity),
      },
    );
    course.outcome = handled.answer.outcome;
    if (ctx.res.destroyed) return release(handled.answer);
    const { access } = options.context;
    const { identity } = handled;
    const question: HotQuestion = {
      known: identity.kind !== 'anonymous',
      base,
      url: ctx.req.url ?? '/',
      accept: single(ctx.req.headers.accept),
      coding,
    };
    // Found by this header and no other: where a format's clients may show something elsewhere as well, nobody knows by which.
    if (question.known && headersIn(repository.format.auth.from).every((name) => ctx.req.headers[name] === undefined)) {
      recognition.remember(ctx.req.headers.authorization, identity, access.lasting(identity));
    }
    const answer = await keepIfHot(options.now, hot, repository, handled, question, ctx.method);
    if (answer.body.kind === 'bytes' && !ctx.res.destroyed) ctx.res.once('close', hot.lend(answer.body.bytes));
    const exchange = {
      req: ctx.req,
      res: ctx.res,
      tally: course.tally,
      requestId: course.id,
      now: options.now,
      pieces,
      // What is to be slowed leaves through here.
      handOff: visit?.download ? undefined : handOff,
      pace: visit?.download,
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

/** What becomes of one request, for the access line and the metrics. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Events, type Outcome, publish, publishOver } from '../core/events.ts';
import type { Identity } from '../core/identity.ts';
import type { Repository } from '../core/repository.ts';
import { single } from './facts.ts';
import { requestIdOf } from './request-id.ts';
import type { Tally } from './respond.ts';

/** What is known about a request so far, for the access line whatever happens to it. */
export interface Course {
  readonly id: string;
  readonly serial: number;
  readonly startedAt: number;
  readonly tally: Tally;
  remote: string;
  repository: Repository | undefined;
  identity: Identity | undefined;
  route: string;
  outcome: Outcome | '-';
  error: unknown;
}

let serials = 0;

/** Of a request that has just come. */
export function newCourse(req: IncomingMessage): Course {
  const id = requestIdOf(req.headers['x-request-id']);
  const serial = ++serials;
  publish('request.start', { id, serial, method: req.method ?? '-', url: req.url ?? '-', ...traceOf(req) });
  return {
    id,
    serial,
    startedAt: performance.now(),
    tally: { bytesSent: 0, firstByteAt: undefined },
    remote: req.socket.remoteAddress ?? '',
    repository: undefined,
    identity: undefined,
    route: '-',
    outcome: '-',
    error: undefined,
  };
}

/** Once, when the last byte of the answer is out or the connection is broken. */
export function publishRequest(req: IncomingMessage, res: ServerResponse, course: Course): void {
  const { tally, repository, identity } = course;
  const who = identity?.rejected === undefined ? identity?.kind : 'rejected';
  publishOver({
    id: course.id,
    serial: course.serial,
    method: req.method ?? '-',
    url: req.url ?? '-',
    status: tally.handedOff ?? res.statusCode,
    repository: repository?.id ?? '-',
    format: repository?.format.id ?? '-',
    route: course.route,
    outcome: course.outcome,
    bytesSent: tally.bytesSent,
    durationMs: performance.now() - course.startedAt,
    ...(tally.firstByteAt === undefined ? {} : { firstByteMs: tally.firstByteAt - course.startedAt }),
    remote: course.remote,
    userAgent: single(req.headers['user-agent']) ?? '',
    ...traceOf(req),
    ...(who === undefined || who === 'anonymous' ? {} : { who }),
    ...(res.writableFinished ? {} : { aborted: true }),
    ...(tally.handedOff ? { handOff: 'given' as const } : tally.returned ? { handOff: 'returned' as const } : {}),
    ...(course.error === undefined ? {} : { error: course.error }),
  });
}

/** W3C Trace Context: which trace of the client's it is part of. */
export function traceOf({ headers }: IncomingMessage): Pick<Events['request'], 'traceparent' | 'tracestate'> {
  const traceparent = single(headers.traceparent);
  if (traceparent === undefined) return {};
  const tracestate = single(headers.tracestate);
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
}

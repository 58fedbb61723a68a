/** What becomes of one request, for the access line and the metrics. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Outcome, publish } from '../core/events.ts';
import type { Repository } from '../core/repository.ts';
import { single } from './facts.ts';
import { requestIdOf } from './request-id.ts';
import type { Tally } from './respond.ts';

/** What is known about a request so far, for the access line whatever happens to it. */
export interface Course {
  readonly id: string;
  readonly startedAt: number;
  readonly tally: Tally;
  remote: string;
  repository: Repository | undefined;
  route: string;
  outcome: Outcome | '-';
  error: unknown;
}

/** Of a request that has just come. */
export function newCourse(req: IncomingMessage): Course {
  return {
    id: requestIdOf(req.headers['x-request-id']),
    startedAt: performance.now(),
    tally: { bytesSent: 0, firstByteAt: undefined },
    remote: req.socket.remoteAddress ?? '',
    repository: undefined,
    route: '-',
    outcome: '-',
    error: undefined,
  };
}

/** Once, when the last byte of the answer is out or the connection is broken. */
export function publishRequest(req: IncomingMessage, res: ServerResponse, course: Course): void {
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

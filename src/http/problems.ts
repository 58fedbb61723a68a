/** The one place where a problem becomes a response. */
import type { IncomingMessage } from 'node:http';
import type { Context } from 'koa';
import type { Outcome } from '../core/events.ts';
import { type Problem, type ProblemFacts, problems } from '../core/problem.ts';
import type { Course } from './course.ts';
import { isHttp2 } from './facts.ts';
import { packageHeaders } from './respond.ts';

/** In the dialect of the format, or as JSON outside of repositories. After the first byte there is only the end of the connection. */
export function answerProblem(ctx: Context, course: Course, problem: Problem): void {
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
  if (body?.reason !== undefined && !isHttp2(res)) res.statusMessage = reasonPhrase(body.reason);
  res.writeHead(body?.status ?? problem.status, headers);
  course.tally.firstByteAt = performance.now();
  if (req.method === 'HEAD') res.end();
  else {
    course.tally.bytesSent += bytes.byteLength;
    res.end(bytes);
  }
  if (!req.complete && !isHttp2(res)) readOut(req);
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

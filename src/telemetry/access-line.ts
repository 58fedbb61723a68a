/**
 * The log line of a request, in pino's form but made by hand: a microsecond instead of about seven, which a server
 * that answers out of memory notices.
 */
import type { Events } from '../core/events.ts';
import { Problem } from '../core/problem.ts';
import { redactText, redactUrl } from './redact.ts';
import { traceIdIn } from './trace-context.ts';

type Request = Events['request'];

export const infoLevel = 30;
export const warnLevel = 40;

/** Failures of ours and of upstreams are warnings; a client that was told 404 or 403 got its answer. */
export function levelOf(request: Request): number {
  return request.status >= 500 ? warnLevel : infoLevel;
}

export function accessLine(request: Request, time: number): string {
  const { id, method, repository, route, remote, userAgent } = request;
  const url = redactUrl(request.url);
  // One look over all of them is cheaper than one look over each, and nearly always finds nothing.
  const quote = special.test(id + method + url + repository + route + remote + userAgent) ? JSON.stringify : inQuotes;
  let line = `{"level":${levelOf(request)},"time":${clock(time)},"id":${quote(id)},"method":${quote(method)},"url":${quote(url)},"status":${request.status},"repository":${quote(repository)},"route":${quote(route)},"cache":"${request.outcome}","bytes":${request.bytesSent},"ms":${decimal(request.durationMs)}`;
  if (request.firstByteMs !== undefined) line += `,"ttfb":${decimal(request.firstByteMs)}`;
  line += `,"remote":${quote(remote)},"ua":${quote(userAgent)}`;
  const trace = request.trace ?? traceIdIn(request.traceparent);
  if (trace !== undefined) line += `,"trace":"${trace}"`;
  if (request.handOff !== undefined) line += `,"handOff":"${request.handOff}"`;
  if (request.aborted) line += ',"aborted":true';
  if (request.error !== undefined) line += `,"err":${JSON.stringify(errorText(request.error))}`;
  return `${line},"msg":"request"}\n`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: Those are what must not go out as they are.
const special = /["\\\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/;

function inQuotes(text: string): string {
  return `"${text}"`;
}

let clockTime = 0;
let clockText = '0';

/** Many lines share a millisecond, and printing a number that long takes as long as the rest of the line. */
function clock(time: number): string {
  if (time !== clockTime) {
    clockTime = time;
    clockText = String(time);
  }
  return clockText;
}

const thousandths = Array.from({ length: 1000 }, (_, part) => (part === 0 ? '' : `.${String(part).padStart(3, '0')}`));

/** Milliseconds with three digits after the point; printing fractions is slow, so it is done in two whole numbers. */
function decimal(ms: number): string {
  const micros = Math.round(ms * 1000);
  return `${Math.floor(micros / 1000)}${thousandths[micros % 1000] ?? ''}`;
}

function errorText(error: unknown): string {
  if (error instanceof Problem) return redactText(`${error.code}: ${error.message}`);
  return redactText(String(error));
}

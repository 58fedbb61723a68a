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
  const { id, url, firstByteMs } = request;
  if (firstByteMs === undefined || isUnusual(request) || url.length > longestKept || special.test(id))
    return wholeLine(request, time);
  return `${startOf(levelOf(request), time)}${id}${middleOf(request)}${decimal(request.durationMs)},"ttfb":${decimal(firstByteMs)}${endOf(request)}`;
}

const isUnusual = ({ error, traceparent, trace, handOff, aborted }: Request): boolean =>
  error !== undefined || traceparent !== undefined || trace !== undefined || handOff !== undefined || aborted === true;

function wholeLine(request: Request, time: number): string {
  const { id, firstByteMs } = request;
  let line = `${startOf(levelOf(request), time)}${quote(id).slice(1, -1)}${printMiddle(request)}${decimal(request.durationMs)}`;
  if (firstByteMs !== undefined) line += `,"ttfb":${decimal(firstByteMs)}`;
  line += printClient(request);
  const trace = request.trace ?? traceIdIn(request.traceparent);
  if (trace !== undefined) line += `,"trace":"${trace}"`;
  if (request.handOff !== undefined) line += `,"handOff":"${request.handOff}"`;
  if (request.aborted) line += ',"aborted":true';
  if (request.error !== undefined) line += `,"err":${JSON.stringify(errorText(request.error))}`;
  return `${line}${last}`;
}

const last = ',"msg":"request"}\n';

const printMiddle = ({ method, url, status, repository, route, outcome, bytesSent }: Request): string =>
  `","method":${quote(method)},"url":${quote(redactUrl(url))},"status":${status},"repository":${quote(repository)},"route":${quote(route)},"cache":"${outcome}","bytes":${bytesSent},"ms":`;

const printClient = ({ remote, userAgent }: Request): string => `,"remote":${quote(remote)},"ua":${quote(userAgent)}`;

/** Addresses, and clients, that were seen last: most of a line is as it was the last time, and printing it takes longer than finding it. */
const mostKept = 2048;
const longestKept = 512;

interface Middle {
  readonly method: string;
  readonly status: number;
  readonly repository: string;
  readonly route: string;
  readonly outcome: string;
  readonly bytesSent: number;
  readonly text: string;
}

const middles = new Map<string, Middle>();
const ends = new Map<string, { readonly userAgent: string; readonly text: string }>();

/** From the id to the duration. */
function middleOf(request: Request): string {
  const { method, url, status, repository, route, outcome, bytesSent } = request;
  const known = middles.get(url);
  if (
    known !== undefined &&
    known.status === status &&
    known.bytesSent === bytesSent &&
    known.outcome === outcome &&
    known.route === route &&
    known.repository === repository &&
    known.method === method
  )
    return known.text;
  const text = inOnePiece(printMiddle(request));
  if (middles.size >= mostKept) middles.clear();
  middles.set(inOnePiece(url), { method, status, repository, route, outcome, bytesSent, text });
  return text;
}

function endOf(request: Request): string {
  const { remote, userAgent } = request;
  const known = ends.get(remote);
  if (known !== undefined && known.userAgent === userAgent) return known.text;
  const text = inOnePiece(printClient(request) + last);
  if (userAgent.length > longestKept) return text;
  if (ends.size >= mostKept) ends.clear();
  ends.set(inOnePiece(remote), { userAgent: inOnePiece(userAgent), text });
  return text;
}

/** Neither put together anew each time it is written, nor part of something larger that would stay in memory with it. */
const inOnePiece = (text: string): string => Buffer.from(text).toString();

// biome-ignore lint/suspicious/noControlCharactersInRegex: Those are what must not go out as they are.
const special = /["\\\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/;

/** A look costs less than `JSON.stringify`, and nearly always finds nothing. */
const quote = (text: string): string => (special.test(text) ? JSON.stringify(text) : `"${text}"`);

let startTime = 0;
let startLevel = 0;
let startText = '';

/** Up to the id. Many lines share a millisecond. */
function startOf(level: number, time: number): string {
  if (time !== startTime || level !== startLevel) {
    startTime = time;
    startLevel = level;
    startText = inOnePiece(`{"level":${level},"time":${time},"id":"`);
  }
  return startText;
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

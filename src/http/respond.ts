/** An answer becomes a response: validators, ranges, HEAD, length, and the end of the connection when bytes prove wrong. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Problem } from '../core/problem.ts';
import { type ByteRange, parseRange } from '../core/range.ts';
import type { FoundArtifact } from '../core/source.ts';
import type { Answer } from '../pipeline/answer.ts';
import { matchesEtag, rangeApplies } from './conditional.ts';
import type { HandOff } from './hand-off.ts';
import type { Pace } from './limits-pacer.ts';
import type { Pieces } from './pieces.ts';
import { sendStored } from './send-stored.ts';

/** What is counted about one response. */
export interface Tally {
  /** Also those that the proxy in front sends for us. */
  bytesSent: number;
  firstByteAt: number | undefined;
  /** What the client will be answered by the proxy that has the bytes now. */
  handedOff?: 200 | 206;
  /** The proxy gave the request back. */
  returned?: true;
}

/** Package bytes share the control plane's origin, so a browser must never run them as a page of it. */
export const packageHeaders: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': 'sandbox',
};

export interface Exchange {
  /** Memory that large files go through. */
  readonly pieces: Pieces;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly tally: Tally;
  readonly requestId: string;
  readonly now: () => number;
  readonly handOff?: HandOff | undefined;
  /** Absent: as fast as the client takes it. */
  readonly pace?: Pace | undefined;
}

/** Headers that are the same whatever part of the answer is sent. */
export function headersOf(answer: Answer, nowMs: number): Record<string, string> {
  const headers: Record<string, string> = { ...packageHeaders, ...answer.headers };
  if (answer.etag !== undefined) headers.etag = answer.etag;
  if (answer.lastModified !== undefined) headers['last-modified'] = answer.lastModified;
  headers['x-larder-cache'] = answer.outcome;
  if ((answer.outcome === 'stale' || answer.outcome === 'offline') && answer.checkedAt !== undefined) {
    headers.age = String(Math.max(0, Math.floor((nowMs - answer.checkedAt) / 1000)));
    // The only code that registries of images may use; to everybody else the header means nothing any more (RFC 9111, 5.5).
    headers.warning = '299 - "Response is Stale"';
  }
  return headers;
}

/** Rejects only before the first byte of the response; later trouble ends the connection. */
export async function respond(exchange: Exchange, answer: Answer): Promise<void> {
  const { req, res, requestId } = exchange;
  const headers = headersOf(answer, exchange.now());
  headers['x-request-id'] = requestId;
  const bodiless = isOther(req, answer) ? 412 : isUnmodified(req, answer) ? 304 : undefined;
  if (bodiless !== undefined) {
    release(answer);
    delete headers['content-encoding'];
    delete headers['content-type'];
    res.writeHead(bodiless, headers);
    res.end();
    return;
  }
  switch (answer.body.kind) {
    case 'bytes':
      return respondBytes(exchange, answer, answer.body.bytes, answer.body.ranges ?? false, headers);
    case 'artifact': {
      const { artifact } = answer.body;
      let isHeld = false;
      try {
        isHeld = await respondArtifact(exchange, answer, artifact, headers);
      } finally {
        if (!isHeld) artifact.close();
      }
      return;
    }
    case 'stream':
      if (req.method === 'HEAD') {
        answer.body.discard();
        res.writeHead(answer.status, headers);
        res.end();
        return;
      }
      return sendStream(exchange, answer.status, headers, answer.body.stream);
  }
}

/** Frees what an answer holds when it is not going to be sent. */
export function release(answer: Answer): void {
  if (answer.body.kind === 'artifact') answer.body.artifact.close();
  if (answer.body.kind === 'stream') answer.body.discard();
}

/** Whoever has the beginning of other bytes must not get the rest of these: Maven Resolver resumes with a date and begins anew after 412. */
function isOther(req: IncomingMessage, answer: Answer): boolean {
  const since = req.headers['if-unmodified-since'];
  if (since === undefined || answer.status !== 200 || answer.body.kind !== 'artifact') return false;
  return Date.parse(answer.lastModified ?? '') > Date.parse(since);
}

function isUnmodified(req: IncomingMessage, answer: Answer): boolean {
  if (answer.status !== 200 || (req.method !== 'GET' && req.method !== 'HEAD')) return false;
  const noneMatch = req.headers['if-none-match'];
  if (noneMatch !== undefined) return answer.etag !== undefined && matchesEtag(noneMatch, answer.etag);
  // A date says less than the content: only bytes passed on unread, with upstream's own date, are told unchanged by it.
  const since = req.headers['if-modified-since'];
  return since !== undefined && answer.body.kind === 'artifact' && since === answer.lastModified;
}

/** The part of `size` bytes that was asked for; `undefined`: all of it. Throws 416. */
function partOf(req: IncomingMessage, answer: Answer, size: number): ByteRange | undefined {
  if (answer.status !== 200 || req.method !== 'GET') return undefined;
  if (!rangeApplies(req.headers['if-range'] as string | undefined, answer.etag, answer.lastModified)) return undefined;
  const range = parseRange(req.headers.range, size);
  if (range === 'unsatisfiable') {
    throw new Problem(
      'range_not_satisfiable',
      `The range ${req.headers.range} lies outside the ${size} bytes there are.`,
      {
        headers: { 'content-range': `bytes */${size}` },
      },
    );
  }
  return range;
}

function setPart(headers: Record<string, string>, part: ByteRange | undefined, size: number): number {
  headers['accept-ranges'] = 'bytes';
  headers['content-length'] = String(part ? part.to - part.from : size);
  if (part) headers['content-range'] = `bytes ${part.from}-${part.to - 1}/${size}`;
  return part ? 206 : 200;
}

async function respondBytes(
  { req, res, tally, pace }: Exchange,
  answer: Answer,
  bytes: Uint8Array,
  ranges: boolean,
  headers: Record<string, string>,
): Promise<void> {
  const part = ranges ? partOf(req, answer, bytes.byteLength) : undefined;
  const status = ranges ? setPart(headers, part, bytes.byteLength) : answer.status;
  // What has no content has no length of it either (RFC 9110, 8.6).
  if (answer.status !== 204) headers['content-length'] ??= String(bytes.byteLength);
  res.writeHead(status === 200 ? answer.status : status, headers);
  tally.firstByteAt = performance.now();
  if (req.method === 'HEAD') {
    res.end();
    return;
  }
  const sent = part ? bytes.subarray(part.from, part.to) : bytes;
  // In slices: many clients taking one big buffer at once would each fill their socket in one go and hold up the loop.
  const slice = pace?.sliceBytes ?? largestSlice;
  let at = 0;
  for (; sent.byteLength - at > slice; at += slice) {
    if (pace) await pace.take(slice);
    if (res.destroyed) return;
    tally.bytesSent += slice;
    if (!res.write(sent.subarray(at, at + slice))) await drained(res);
    if (res.destroyed) return;
  }
  if (pace) await pace.take(sent.byteLength - at);
  tally.bytesSent += sent.byteLength - at;
  res.end(sent.subarray(at));
}

/** True: the artifact is held for the proxy that sends its bytes, and closed later. */
async function respondArtifact(
  exchange: Exchange,
  answer: Answer,
  artifact: FoundArtifact,
  headers: Record<string, string>,
): Promise<boolean> {
  const { req, res, tally, handOff } = exchange;
  const { size } = artifact;
  const part = size === undefined ? undefined : partOf(req, answer, size);
  const status = size === undefined ? answer.status : setPart(headers, part, size);
  if (req.method === 'HEAD') {
    res.writeHead(status, headers);
    res.end();
    return false;
  }
  if (artifact.readInto && size !== undefined) {
    const address = answer.status === 200 ? await handOff?.addressOf(req, artifact, part !== undefined) : undefined;
    tally.firstByteAt = performance.now();
    if (address !== undefined) {
      handOff?.hold(artifact);
      tally.handedOff = part ? 206 : 200;
      tally.bytesSent = part ? part.to - part.from : size;
      nameFile(res, headers, address);
      return true;
    }
    if (handOff?.isReturned(req)) tally.returned = true;
    res.writeHead(status, headers);
    const { readInto, same } = artifact;
    const stored = { size, readInto, ...(same ? { same } : {}) };
    await sendStored(exchange, stored, part?.from ?? 0, part?.to ?? size);
    return false;
  }
  await sendStream(exchange, status, headers, artifact.read(part?.from, part?.to));
  return false;
}

/** The proxy makes status, length and ranges of its own; with no body at all the connection to it stays open. */
function nameFile(res: ServerResponse, headers: Record<string, string>, address: string): void {
  const { 'content-range': _range, 'accept-ranges': _unit, ...rest } = headers;
  res.writeHead(200, { ...rest, 'content-length': '0', 'x-accel-redirect': address });
  res.end();
}

/** Headers leave with the first bytes: what fails before them is still a clean error. */
async function sendStream(
  { res, tally, pace }: Exchange,
  status: number,
  headers: Record<string, string>,
  stream: AsyncIterable<Buffer>,
): Promise<void> {
  const chunks = stream[Symbol.asyncIterator]();
  const leave = (): void => void chunks.return?.();
  if (res.destroyed) return leave();
  res.once('close', leave);
  try {
    let next = await chunks.next();
    if (res.destroyed) return;
    res.writeHead(status, headers);
    tally.firstByteAt = performance.now();
    while (!next.done) {
      for (const slice of pace ? sliced(next.value, pace.sliceBytes) : [next.value]) {
        if (pace) await pace.take(slice.byteLength);
        tally.bytesSent += slice.byteLength;
        if (!res.write(slice)) await drained(res);
        if (res.destroyed) return;
      }
      next = await chunks.next();
    }
    res.end();
  } catch (error) {
    if (!res.headersSent) throw error;
    res.destroy(error as Error);
  } finally {
    res.off('close', leave);
    leave();
  }
}

function* sliced(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

/** Settles when the client took what was written, or left. */
function drained(res: ServerResponse): Promise<void> {
  if (res.destroyed || !res.writableNeedDrain) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      res.off('drain', done);
      res.off('close', done);
      resolve();
    };
    res.on('drain', done);
    res.on('close', done);
  });
}

/** Of a buffer in memory, written at once. */
const largestSlice = 1024 * 1024;

/**
 * The form that nuget.exe 2 sends when it runs on Mono: it ends its lines as its machine does (`Environment.NewLine` in
 * MultipartWebRequest), so that on Linux it is no form by RFC 2046, and no reader of forms takes it.
 */
import { Problem } from '../../core/problem.ts';

const lineFeed = 0x0a;
/** A boundary has at most 70 characters (RFC 2046, 5.1.1). */
const longestLine = 76;
const longestHead = 16 * 1024;
/** What may follow the first part. */
const longestRest = 64 * 1024;

const cut = (): Problem => new Problem('bad_request', 'The body is no complete multipart form: it has no end.');

export interface Peeked {
  /** Whether the first line ends without a carriage return. */
  readonly isUnix: boolean;
  /** All of the body, to be read once. */
  readonly body: AsyncIterable<Uint8Array>;
}

async function* again(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (first.byteLength > 0) yield first;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

/** Reads the first line, which is a boundary, and gives everything back. */
export async function peek(body: AsyncIterable<Uint8Array>): Promise<Peeked> {
  const rest = body[Symbol.asyncIterator]();
  let start = Buffer.alloc(0);
  while (!start.includes(lineFeed) && start.length <= longestLine) {
    const next = await rest.next();
    if (next.done === true) break;
    start = Buffer.concat([start, next.value]);
  }
  const end = start.indexOf(lineFeed);
  return { isUnix: end > 0 && end <= longestLine && start[end - 1] !== 0x0d, body: again(start, rest) };
}

function boundaryIn(contentType: string): string {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) {
    throw new Problem('bad_request', 'The body is no complete multipart form: its content type names no boundary.');
  }
  return boundary;
}

/** The first part's bytes. Throws `bad_request` on a form that has no end, before the last of them can be taken for all. */
export async function* firstUnixPart(contentType: string, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const opening = Buffer.from(`--${boundaryIn(contentType)}\n`);
  const delimiter = Buffer.concat([Buffer.from('\n'), opening.subarray(0, -1)]);
  let where: 'head' | 'part' | 'rest' = 'head';
  let waiting = Buffer.alloc(0);
  for await (const chunk of body) {
    waiting = waiting.length === 0 ? Buffer.from(chunk) : Buffer.concat([waiting, chunk]);
    if (where === 'head') {
      const end = waiting.indexOf('\n\n');
      if (waiting.length >= opening.length && !waiting.subarray(0, opening.length).equals(opening)) throw cut();
      if (end === -1 && waiting.length > longestHead) throw cut();
      if (end === -1) continue;
      waiting = waiting.subarray(end + 2);
      where = 'part';
    }
    if (where === 'part') {
      const end = waiting.indexOf(delimiter);
      // What could be the beginning of a boundary waits for the rest of it.
      const known = end === -1 ? Math.max(0, waiting.length - delimiter.length) : end;
      if (known > 0) yield waiting.subarray(0, known);
      waiting = waiting.subarray(end === -1 ? known : end + delimiter.length);
      if (end !== -1) where = 'rest';
    }
    if (where === 'rest' && waiting.length > longestRest) throw cut();
  }
  const isClosed = waiting.subarray(0, 2).toString() === '--' || waiting.includes(`${delimiter.toString()}--`);
  if (where !== 'rest' || !isClosed) throw cut();
}

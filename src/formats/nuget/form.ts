/**
 * The form in which packages are sent, of which only the first part counts. It has a reader of its own because of nuget.exe 2
 * on Mono: before the last boundary it writes what its machine ends lines with (`Environment.NewLine` in
 * MultipartWebRequest), so that on Linux it is no form by RFC 2046, and no reader of forms finds its end.
 */
import { Problem } from '../../core/problem.ts';

const longestHead = 16 * 1024;
/** What may follow the first part. */
const longestRest = 64 * 1024;

function incomplete(why: string): Problem {
  return new Problem('bad_request', `The body is no complete multipart form: ${why}.`);
}

/** At most 70 characters (RFC 2046, 5.1.1). */
function boundaryIn(contentType: string): string {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) throw incomplete('its content type names no boundary');
  return boundary;
}

/** Where a part's bytes begin; `undefined` as long as its head has no end. */
function endOfHead(bytes: Buffer, opening: Buffer): number | undefined {
  const begins = bytes.subarray(0, opening.length).equals(opening.subarray(0, bytes.length));
  const end = bytes.subarray(0, longestHead).indexOf('\r\n\r\n');
  if (!begins || (end === -1 && bytes.length > longestHead)) throw incomplete('it does not begin with a part');
  return end === -1 ? undefined : end + 4;
}

/**
 * The bytes of the form's first part, whatever its name. Throws `bad_request` on what is no form, or has no end: then before
 * it is done, so that half a package is never taken for a whole one. What a part has as its last byte can't be a carriage
 * return: it is taken for the boundary's.
 */
export async function* firstPart(contentType: string, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const opening = Buffer.from(`--${boundaryIn(contentType)}`);
  const delimiter = Buffer.concat([Buffer.from('\n'), opening]);
  let where: 'head' | 'part' | 'rest' = 'head';
  let waiting = Buffer.alloc(0);
  for await (const chunk of body) {
    waiting = waiting.length === 0 ? Buffer.from(chunk) : Buffer.concat([waiting, chunk]);
    if (where === 'head') {
      const from = endOfHead(waiting, opening);
      if (from === undefined) continue;
      waiting = waiting.subarray(from);
      where = 'part';
    }
    if (where === 'part') {
      const at = waiting.indexOf(delimiter);
      // What could be the beginning of a boundary waits for the rest of it.
      const known = at === -1 ? waiting.length - delimiter.length - 1 : waiting[at - 1] === 0x0d ? at - 1 : at;
      if (known > 0) yield waiting.subarray(0, known);
      if (at !== -1) {
        waiting = waiting.subarray(at + delimiter.length);
        where = 'rest';
      } else if (known > 0) waiting = waiting.subarray(known);
    }
    if (where === 'rest' && waiting.length > longestRest) throw incomplete('too much follows its first part');
  }
  const isClosed = waiting.subarray(0, 2).toString() === '--' || waiting.includes(`${delimiter.toString()}--`);
  if (where !== 'rest' || !isClosed) throw incomplete('it has no end');
}

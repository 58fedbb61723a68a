/** Request bodies that are held in memory: limited, and refused before they are read when they say that they are too long. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Problem } from '../core/problem.ts';

/** Bytes of the body as sent, still in its content coding. Throws `too_large`, or `request_timeout` when the client breaks off. */
export async function readBody(req: IncomingMessage, res: ServerResponse, limitBytes: number): Promise<Uint8Array> {
  const tooLarge = (): Problem =>
    new Problem('too_large', `The request body is longer than the ${limitBytes} bytes allowed here.`);
  if (Number(req.headers['content-length'] ?? 0) > limitBytes) throw tooLarge();
  if (req.headers.expect?.toLowerCase() === '100-continue') res.writeContinue();
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of req as AsyncIterable<Buffer>) {
      size += chunk.byteLength;
      if (size > limitBytes) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem('request_timeout', 'The request body broke off before its end.', { cause: error });
  }
  return Buffer.concat(chunks, size);
}

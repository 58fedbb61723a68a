/** Text line by line, from files and streams, without holding more than one of them. */
import type { FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { BundleError } from './format.ts';

/** The links of a very large document are on one line. */
const longestLine = 256 * 1024 * 1024;
const pieceBytes = 1024 * 1024;

/** Without their line ends; the last one needs none. */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let begun: string[] = [];
  let length = 0;
  for await (const piece of pieces) {
    const text = decoder.write(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      const line = begun.join('') + text.slice(from, end);
      begun = [];
      length = 0;
      from = end + 1;
      if (line !== '') yield line;
    }
    if (from === text.length) continue;
    begun.push(text.slice(from));
    length += text.length - from;
    if (length > longestLine) throw new BundleError('damaged', 'the bundle is damaged: a record in it has no end');
  }
  const last = begun.join('') + decoder.end();
  if (last !== '') yield last;
}

/** From its beginning, whatever was read or written of it. */
export async function* readFileBytes(file: FileHandle): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    const buffer = Buffer.allocUnsafe(pieceBytes);
    const { bytesRead } = await file.read(buffer, 0, pieceBytes, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** The part of a file that lines are written with. */
export interface Writable {
  write(bytes: Uint8Array, from: number): Promise<{ readonly bytesWritten: number }>;
}

/** Gathers lines into larger writes at the end of a file. */
export interface LineWriter {
  /** Bytes so far. */
  readonly size: number;
  write(line: string): Promise<void>;
  flush(): Promise<void>;
}

export function lineWriter(file: Writable): LineWriter {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let size = 0;

  async function flush(): Promise<void> {
    const bytes = Buffer.concat(waiting);
    waiting = [];
    waitingBytes = 0;
    for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
  }

  return {
    get size() {
      return size;
    },
    async write(line) {
      const bytes = Buffer.from(`${line}\n`);
      size += bytes.length;
      waiting.push(bytes);
      waitingBytes += bytes.length;
      if (waitingBytes >= pieceBytes) await flush();
    },
    flush,
  };
}

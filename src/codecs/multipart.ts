/** Forms with files in them (RFC 7578), read part by part while they arrive. */
import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import { Problem } from '../core/problem.ts';

export interface Part {
  /** Of the field; `''` when the part says none. */
  readonly name: string;
  /** Its last segment only: a path in it would be one of the sender's machine. */
  readonly filename?: string;
  /** Lower case, without parameters; `text/plain` when the part says none (RFC 7578, 4.4). */
  readonly contentType?: string;
  /** To be read once. What is left of it when the next part is asked for is thrown away. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

export interface PartsLimits {
  /** Bytes of a part without a file name. Default: 1 MiB. */
  readonly fieldBytes?: number;
  /** Default: 1000. */
  readonly parts?: number;
}

const maxNameLength = 200;
const maxFilenameLength = 1000;
const maxHeaderBytes = 16 * 1024;

function malformed(why: string, cause?: unknown): Problem {
  return new Problem('bad_request', `The body is no complete multipart form: ${why}.`, { cause });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}

function parserFor(contentType: string, maxParts: number): BusboyInstance {
  if (!/^multipart\/form-data\s*;/i.test(contentType)) {
    throw malformed('its content type must be multipart/form-data with a boundary');
  }
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      // Fields arrive as files do, so that one rule about order, limits and back-pressure holds for all parts.
      isPartAFile: () => true,
      limits: { parts: maxParts, headerSize: maxHeaderBytes, headerPairs: 50 },
    });
  } catch (error) {
    throw malformed(reasonOf(error), error);
  }
}

/** What arrived and was not asked for yet, and how it goes on. */
interface Inbox {
  readonly waiting: { readonly part: Omit<Part, 'bytes'>; readonly file: BusboyFileStream }[];
  /** Parts that were begun and not read to their end. */
  readonly open: Set<BusboyFileStream>;
  failure?: unknown;
  hasFailed: boolean;
  isComplete: boolean;
  /** Nobody wants any more of it. */
  isLeft: boolean;
  /** Wakes whoever waits for the next part. */
  wake: () => void;
  /** Wakes whoever waits for room in the parser. */
  release: () => void;
}

function fail(inbox: Inbox, error: unknown): void {
  if (inbox.hasFailed) return;
  inbox.hasFailed = true;
  inbox.failure = error;
  // Without an error of its own a part that was cut would end like a complete one.
  for (const file of inbox.open) file.destroy(error instanceof Error ? error : new Error(String(error)));
  inbox.wake();
  inbox.release();
}

function listen(parser: BusboyInstance, inbox: Inbox, maxParts: number): void {
  parser.on('file', (name: string | undefined, file, filename: string | undefined, _encoding, contentType) => {
    inbox.open.add(file);
    file.on('error', (error) => fail(inbox, malformed(reasonOf(error), error)));
    file.on('close', () => inbox.open.delete(file));
    if ((name ?? '').length > maxNameLength || (filename ?? '').length > maxFilenameLength) {
      fail(inbox, malformed('the name of a part is too long'));
      return;
    }
    inbox.waiting.push({
      part: { name: name ?? '', ...(filename === undefined ? {} : { filename }), contentType },
      file,
    });
    inbox.wake();
  });
  parser.on('partsLimit', () => fail(inbox, malformed(`it has more than ${maxParts} parts`)));
  parser.on('error', (error) => fail(inbox, malformed(reasonOf(error), error)));
  parser.on('finish', () => {
    inbox.isComplete = true;
    inbox.wake();
  });
}

/** Gives the parser one chunk after the other, each when it has room for it: it has none while a part is not read. */
async function feed(parser: BusboyInstance, body: AsyncIterable<Uint8Array>, inbox: Inbox): Promise<void> {
  for await (const chunk of body) {
    if (inbox.isLeft || inbox.hasFailed) return;
    await new Promise<void>((resolve) => {
      inbox.release = resolve;
      parser.write(chunk, () => resolve());
    });
    if (inbox.isLeft || inbox.hasFailed) return;
  }
  parser.end();
}

/** A stream must not be closed by whoever stops reading it: the parser waits for its end. */
function read(file: BusboyFileStream): AsyncIterable<Buffer> {
  return file.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
}

async function* bytesOf(
  file: BusboyFileStream,
  part: Omit<Part, 'bytes'>,
  inbox: Inbox,
  fieldBytes: number,
): AsyncIterable<Uint8Array> {
  let size = 0;
  try {
    for await (const chunk of read(file)) {
      size += chunk.length;
      if (part.filename === undefined && size > fieldBytes) {
        throw new Problem('too_large', `The field ${part.name} is longer than ${fieldBytes} bytes.`);
      }
      yield chunk;
    }
  } catch (error) {
    throw inbox.hasFailed ? inbox.failure : error;
  }
  if (inbox.hasFailed) throw inbox.failure;
}

async function drain(file: BusboyFileStream): Promise<void> {
  if (file.readableEnded) return;
  for await (const _chunk of read(file));
}

/**
 * The parts of a form, in their order. Each is read to its end, or thrown away, before the next one comes, and no more of
 * the body is taken than is read. Throws `bad_request` on what is no such form, has too many parts, or was cut: then no
 * part that is not complete ends without an error. Throws `too_large` on a field (not a file) past the limit. Errors of the
 * body itself are passed on.
 */
export async function* parts(
  contentType: string,
  body: AsyncIterable<Uint8Array>,
  limits: PartsLimits = {},
): AsyncIterable<Part> {
  const { fieldBytes = 1024 * 1024, parts: maxParts = 1000 } = limits;
  const parser = parserFor(contentType, maxParts);
  const inbox: Inbox = {
    waiting: [],
    open: new Set(),
    hasFailed: false,
    isComplete: false,
    isLeft: false,
    wake: () => {},
    release: () => {},
  };
  listen(parser, inbox, maxParts);
  feed(parser, body, inbox).catch((error: unknown) => fail(inbox, error));
  try {
    for (;;) {
      if (inbox.hasFailed) throw inbox.failure;
      const next = inbox.waiting.shift();
      if (next) {
        yield { ...next.part, bytes: bytesOf(next.file, next.part, inbox, fieldBytes) };
        if (!inbox.hasFailed) await drain(next.file);
      } else if (inbox.isComplete) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          inbox.wake = resolve;
        });
      }
    }
  } finally {
    inbox.isLeft = true;
    inbox.release();
    for (const { file } of inbox.waiting) file.destroy();
  }
}

/** A part to be written. */
export interface NewPart {
  /** Of a field: printable, without quotes. */
  readonly name: string;
  readonly filename?: string;
  readonly content: string | AsyncIterable<Uint8Array>;
}

/** Writes a form. The boundary must be something that stands in none of the parts. */
export async function* writeParts(boundary: string, parts: AsyncIterable<NewPart>): AsyncIterable<Uint8Array> {
  for await (const { name, filename, content } of parts) {
    const about = filename === undefined ? '' : `; filename="${filename}"\r\nContent-Type: application/octet-stream`;
    yield Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"${about}\r\n\r\n`);
    if (typeof content === 'string') yield Buffer.from(content);
    else yield* content;
    yield Buffer.from('\r\n');
  }
  yield Buffer.from(`--${boundary}--\r\n`);
}

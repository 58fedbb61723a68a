/**
 * The body of a publish: one JSON object with the package inside it, in base64. It is read as it arrives, so that a package is
 * never held in memory, whether its attachment comes first (Yarn) or last (npm). Everything else is kept and parsed.
 */
import { Problem } from '../../core/problem.ts';
import { type Json, parseJson } from './json.ts';

/** Bytes of all but the packages: a document of thousands of versions, as deprecating sends it, and one manifest with its readme. */
const documentLimit = 64 * 1024 * 1024;
const deepest = 256;
const longestKey = 64 * 1024;

interface Frame {
  readonly isObject: boolean;
  /** Of the value that is being read. */
  key?: string;
  expectsKey: boolean;
}

/** Called for each package in the order of their coming; whatever it leaves of the bytes is passed over. */
export type TakeTarball = (key: string, bytes: AsyncIterable<Uint8Array>) => Promise<void>;

function malformed(why: string): Problem {
  return new Problem('bad_request', `The request body is no document of the npm registry: ${why}.`);
}

/**
 * Everything but the `data` of attachments whose name ends in `.tgz`, which are decoded and given to `take`; in the document they
 * are empty. Throws `bad_request`, or `too_large` when all the rest is longer than `limit` bytes.
 */
export async function readPublishBody(
  body: AsyncIterable<Uint8Array>,
  take: TakeTarball,
  limit = documentLimit,
): Promise<Json> {
  const scanner = new Scanner(body, limit);
  const text = await scanner.read(take);
  try {
    return parseJson(text);
  } catch (error) {
    throw malformed(error instanceof Error ? error.message : 'it is no JSON');
  }
}

const quote = 0x22;
const backslash = 0x5c;

class Scanner {
  readonly #body: AsyncIterator<Uint8Array>;
  readonly #limit: number;
  readonly #kept: Buffer[] = [];
  readonly #stack: Frame[] = [];
  #size = 0;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Where in the chunk begins what is still to be kept; `undefined`: this part is not. */
  #from: number | undefined = 0;

  constructor(body: AsyncIterable<Uint8Array>, limit: number) {
    this.#body = body[Symbol.asyncIterator]();
    this.#limit = limit;
  }

  async read(take: TakeTarball): Promise<Buffer> {
    while (this.#at < this.#chunk.length || (await this.#more())) {
      if (!this.#plain()) continue;
      const frame = this.#stack.at(-1);
      if (frame?.isObject && frame.expectsKey) frame.key = keyOf(await this.#string(longestKey));
      else if (this.#isTarball()) await this.#tarball(this.#stack[1]?.key ?? '', take);
      else if (!this.#skipString()) await this.#string();
    }
    this.#keep(this.#at);
    return Buffer.concat(this.#kept, this.#size);
  }

  async #more(): Promise<boolean> {
    this.#keep(this.#chunk.length);
    for (;;) {
      const next = await this.#body.next();
      if (next.done) return false;
      const { buffer, byteOffset, byteLength } = next.value;
      if (byteLength === 0) continue;
      this.#chunk = Buffer.from(buffer, byteOffset, byteLength);
      this.#at = 0;
      if (this.#from !== undefined) this.#from = 0;
      return true;
    }
  }

  /** Up to a place in the chunk. */
  #keep(to: number): void {
    if (this.#from === undefined || this.#from === to) return;
    // Whoever sent it may use its memory again.
    const bytes = Buffer.from(this.#chunk.subarray(this.#from, to));
    this.#from = to;
    this.#size += bytes.length;
    if (this.#size > this.#limit) {
      throw new Problem(
        'too_large',
        `Without the package itself the request body is longer than ${this.#limit} bytes.`,
      );
    }
    this.#kept.push(bytes);
  }

  /** Up to and with the quote that begins a string (then true), or to the end of what is here. */
  #plain(): boolean {
    const chunk = this.#chunk;
    while (this.#at < chunk.length) {
      const byte = chunk[this.#at++];
      switch (byte) {
        case quote:
          return true;
        case 0x7b: // {
        case 0x5b: // [
          if (this.#stack.length >= deepest) throw malformed('it is nested too deeply');
          this.#stack.push({ isObject: byte === 0x7b, expectsKey: byte === 0x7b });
          break;
        case 0x7d: // }
        case 0x5d: // ]
          this.#stack.pop();
          break;
        case 0x2c: // ,
          this.#expectKey(true);
          break;
        case 0x3a: // :
          this.#expectKey(false);
          break;
      }
    }
    return false;
  }

  #expectKey(expects: boolean): void {
    const frame = this.#stack.at(-1);
    if (frame) frame.expectsKey = expects && frame.isObject;
  }

  #isTarball(): boolean {
    const [attachments, attachment, field] = this.#stack;
    return (
      this.#stack.length === 3 &&
      this.#stack.every(({ isObject }) => isObject) &&
      attachments?.key === '_attachments' &&
      attachment?.key?.endsWith('.tgz') === true &&
      field?.key === 'data'
    );
  }

  /** Past a string that ends in this chunk; false, and nowhere, when it does not. */
  #skipString(): boolean {
    const chunk = this.#chunk;
    for (let at = this.#at; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === backslash) at++;
      else if (byte === quote) {
        this.#at = at + 1;
        return true;
      }
    }
    return false;
  }

  /** The rest of a string, as it stands there; only of one with a limit is it given back. */
  async #string(limit?: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let size = 0;
    let escaped = false;
    do {
      const start = this.#at;
      let ended = false;
      while (!ended && this.#at < this.#chunk.length) {
        const byte = this.#chunk[this.#at++];
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else ended = byte === quote;
      }
      if (limit !== undefined) {
        const piece = Buffer.from(this.#chunk.subarray(start, ended ? this.#at - 1 : this.#at));
        size += piece.length;
        if (size > limit) throw malformed('it has a name that is too long');
        pieces.push(piece);
      }
      if (ended) return Buffer.concat(pieces);
    } while (await this.#more());
    throw malformed('it ends within a string');
  }

  async #tarball(key: string, take: TakeTarball): Promise<void> {
    this.#keep(this.#at);
    this.#from = undefined;
    const decoded = this.#base64();
    await take(key, piecesOf(decoded));
    for await (const _ of decoded);
    // With the quote at its end.
    this.#from = this.#at - 1;
  }

  /** To the end of the string. */
  async *#base64(): AsyncGenerator<Buffer> {
    const decoder = new Base64Decoder();
    do {
      const end = this.#chunk.indexOf(quote, this.#at);
      const to = end === -1 ? this.#chunk.length : end;
      const bytes = decoder.add(this.#chunk.toString('latin1', this.#at, to));
      this.#at = end === -1 ? to : end + 1;
      if (bytes.length > 0) yield bytes;
      if (end === -1) continue;
      const last = decoder.end();
      if (last.length > 0) yield last;
      return;
    } while (await this.#more());
    throw malformed('it ends within a package');
  }
}

function keyOf(written: Buffer): string {
  try {
    return JSON.parse(`"${written.toString()}"`) as string;
  } catch {
    throw malformed('it has a name that is no JSON');
  }
}

/** Leaving a loop over it early does not end what is behind it. */
async function* piecesOf(inner: AsyncGenerator<Buffer>): AsyncGenerator<Uint8Array> {
  for (let next = await inner.next(); next.done !== true; next = await inner.next()) yield next.value;
}

/** The escapes of a JSON string that some writers use although base64 needs none. */
const escapes = /\\(?:\/|[nrt]|u00[0-9a-f]{2})/gi;

class Base64Decoder {
  /** An escape whose end has not arrived. */
  #escape = '';
  /** Fewer than four characters. */
  #rest = '';
  #isPadded = false;

  add(text: string): Buffer {
    let plain = this.#escape === '' ? text : this.#escape + text;
    this.#escape = '';
    if (plain.includes('\\')) {
      const [open = ''] = /\\(?:u[0-9a-f]{0,3})?$/i.exec(plain) ?? [];
      this.#escape = open;
      plain = plain
        .slice(0, plain.length - open.length)
        .replace(escapes, (text) =>
          text[1] === '/' ? '/' : text[1] === 'u' ? String.fromCharCode(Number.parseInt(text.slice(2), 16)) : '',
        );
    }
    plain = this.#rest + plain;
    const whole = plain.length - (plain.length % 4);
    this.#rest = plain.slice(whole);
    return this.#decode(plain.slice(0, whole));
  }

  end(): Buffer {
    if (this.#escape !== '' || this.#rest.length === 1) throw malformed('the package in it is no base64');
    return this.#decode(this.#rest);
  }

  #decode(text: string): Buffer {
    if (text === '') return Buffer.alloc(0);
    if (this.#isPadded || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw malformed('the package in it is no base64');
    this.#isPadded = text.endsWith('=');
    return Buffer.from(text, 'base64');
  }
}

/** The form in which twine, uv, Poetry, PDM, Flit and Hatch upload a distribution: fields and files, in any order. */
import { createHash, type Hash } from 'node:crypto';
import { type Part, parts } from '../../codecs/multipart.ts';
import type { Desk, StagedFile } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';

export interface UploadForm {
  /** Of a field that comes several times the first. */
  field(name: string): string | undefined;
  readonly filename: string;
  readonly file: StagedFile;
  /** Hexadecimal. */
  readonly md5: string;
  readonly signature?: Uint8Array;
}

/** All requirements, classifiers and so on are fields of their own. */
const maxParts = 5000;
/** Of one field, and of all of them: the description is among them, and attestations are. */
const fieldBytes = 8 * 1024 * 1024;
const allFieldsBytes = 16 * 1024 * 1024;
const maxSignatureBytes = 64 * 1024;

async function* hashed(bytes: AsyncIterable<Uint8Array>, hash: Hash): AsyncIterable<Uint8Array> {
  for await (const chunk of bytes) {
    hash.update(chunk);
    yield chunk;
  }
}

async function collected({ name, bytes }: Part, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bytes) {
    size += chunk.byteLength;
    if (size > limit) throw new Problem('too_large', `The field ${name.slice(0, 100)} of the form is too long.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

const incomplete = (what: string): Problem =>
  new Problem('bad_request', `The form has no ${what}. twine, uv and the like send all that is needed.`);

/** Reads the form to its end. Throws a Problem on what is none, or has no file in it. */
export async function readForm(contentType: string, body: AsyncIterable<Uint8Array>, desk: Desk): Promise<UploadForm> {
  const fields = new Map<string, string>();
  const md5 = createHash('md5');
  let room = allFieldsBytes;
  let file: StagedFile | undefined;
  let filename: string | undefined;
  let signature: Uint8Array | undefined;
  for await (const part of parts(contentType, body, { fieldBytes, parts: maxParts })) {
    if (part.name === 'content') {
      if (file) throw new Problem('bad_request', 'The form has more than one file; an upload is one file.');
      if (!part.filename) throw incomplete('name of the file');
      filename = part.filename;
      file = await desk.add(hashed(part.bytes, md5));
    } else if (part.name === 'gpg_signature') {
      signature = await collected(part, maxSignatureBytes);
    } else {
      const value = await collected(part, Math.min(fieldBytes, room));
      room -= value.byteLength;
      if (!fields.has(part.name)) fields.set(part.name, value.toString('utf8'));
    }
  }
  if (!file || filename === undefined) throw incomplete('file (`content`)');
  return {
    field: (name) => fields.get(name)?.trim() || undefined,
    filename,
    file,
    md5: md5.digest('hex'),
    ...(signature && signature.byteLength > 0 ? { signature } : {}),
  };
}

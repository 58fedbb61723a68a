/**
 * What is done with a document's bytes: learn its links, make the projection a client asked for, pack it. Pure, so it
 * runs on the main thread for small documents and in a worker thread for big ones.
 */
import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { digestOf, hexOf } from '../core/digest.ts';
import type { DocumentType, Format, Link, Origin, Refusal } from '../core/format.ts';

export type Coding = 'identity' | 'gzip' | 'br' | 'zstd';

export interface Input {
  /** The same key, the same bytes from the same place. */
  readonly key: string;
  readonly origin: Origin;
  readonly bytes: Uint8Array;
}

interface Subject {
  readonly format: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly type: string;
}

export interface LearnJob extends Subject {
  readonly kind: 'learn';
  readonly input: Input;
}

export interface DeriveJob extends Subject {
  readonly kind: 'derive';
  readonly path: string;
  readonly variant: string;
  readonly base: string;
  readonly inputs: readonly Input[];
  readonly refused: Readonly<Record<string, Refusal>>;
  readonly coding: Coding;
}

export interface PackJob {
  readonly kind: 'pack';
  readonly coding: Coding;
  readonly bytes: Uint8Array;
}

export type Job = LearnJob | DeriveJob | PackJob;

export interface Derivation {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
  /** sha256 of the unpacked bytes, in hexadecimal. */
  readonly hex: string;
  /** In the coding that was asked for; absent for `identity`. */
  readonly packed?: Uint8Array;
}

/** Decoded documents by key; a cache, so that learning and deriving the same bytes decodes them once. */
export interface Decoded {
  get(key: string): unknown;
  set(key: string, doc: unknown, bytes: number): void;
}

export const undecoded: Decoded = { get: () => undefined, set: () => {} };

export function typeOf(format: Format, id: string): DocumentType<unknown> {
  const type = format.documents.find((known) => known.id === id);
  if (!type) throw new Error(`Format ${format.id} lists no document type ${id}.`);
  return type;
}

function decode(subject: Subject, type: DocumentType<unknown>, input: Input, cache: Decoded): unknown {
  const key = `${subject.format}\n${type.id}\n${input.key}`;
  const known = cache.get(key);
  if (known !== undefined) return known;
  const doc = type.decode(input.bytes, input.origin);
  cache.set(key, doc, input.bytes.byteLength);
  return doc;
}

export function learn(format: Format, job: LearnJob, cache: Decoded): readonly Link[] {
  const type = typeOf(format, job.type);
  const doc = decode(job, type, job.input, cache);
  return type.links ? [...type.links(doc, job.input.origin)] : [];
}

export function derive(format: Format, job: DeriveJob, cache: Decoded): Derivation | undefined {
  const type = typeOf(format, job.type);
  const docs = job.inputs.map((input) => decode(job, type, input, cache));
  let doc = docs.length > 1 && type.merge ? type.merge(docs, job.path) : docs[0];
  if (type.withhold && Object.keys(job.refused).length > 0) {
    doc = type.withhold(doc, (version) => (Object.hasOwn(job.refused, version) ? job.refused[version] : undefined));
  }
  const body = type.encode(doc, job.variant, job.base);
  if (!body) return undefined;
  const hex = hexOf(digestOf(body.bytes));
  const made = { status: body.status ?? 200, headers: body.headers ?? {}, bytes: body.bytes, hex };
  return job.coding === 'identity' ? made : { ...made, packed: pack(job.coding, body.bytes) };
}

/** Levels that cost about as long as the transfer they save on a local network; answers are kept, so each is paid once. */
export function pack(coding: Coding, bytes: Uint8Array): Uint8Array {
  switch (coding) {
    case 'identity':
      return bytes;
    case 'gzip':
      return gzipSync(bytes, { level: 6 });
    case 'br':
      return brotliCompressSync(bytes, {
        params: { [constants.BROTLI_PARAM_QUALITY]: 4, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.byteLength },
      });
    case 'zstd':
      return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 3 } });
  }
}

/** Uploads of Python distributions, as twine sends them. */
import { createHash } from 'node:crypto';
import type { HostedRequest } from './hosted-view.ts';
import type { BuiltFile } from './pypi-packages.ts';

/** A field, or a file when it has a file name. */
export interface FormPart {
  readonly name: string;
  readonly filename?: string;
  readonly value: string | Buffer;
}

const boundary = 'b-a-u-n-d-a-r-y';
export const formType = `multipart/form-data; boundary=${boundary}`;

export function formOf(parts: readonly FormPart[]): Buffer {
  const pieces = parts.flatMap(({ name, filename, value }) => [
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${
        filename === undefined ? '' : `; filename="${filename}"\r\nContent-Type: application/octet-stream`
      }\r\n\r\n`,
    ),
    Buffer.from(value),
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...pieces, Buffer.from(`--${boundary}--`)]);
}

export const hexOf = (bytes: Buffer, algorithm = 'sha256'): string => createHash(algorithm).update(bytes).digest('hex');

/** The fields that go with a file; a list is several fields of that name. */
export function fieldsOf({ filename, bytes, metadata }: BuiltFile): Record<string, string | readonly string[]> {
  const header = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(metadata.toString())?.[1] ?? '';
  return {
    ':action': 'file_upload',
    protocol_version: '1',
    name: header('Name'),
    version: header('Version'),
    filetype: filename.endsWith('.whl') ? 'bdist_wheel' : 'sdist',
    pyversion: filename.endsWith('.whl') ? 'py3' : 'source',
    metadata_version: header('Metadata-Version'),
    md5_digest: hexOf(bytes, 'md5'),
    sha256_digest: hexOf(bytes),
    blake2_256_digest: 'f'.repeat(64),
  };
}

export interface UploadOptions {
  /** Default `/legacy/`. */
  readonly path?: string;
  /** In place of the usual ones, or beside them; `undefined` leaves one out. */
  readonly fields?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly filename?: string;
  readonly signature?: string;
  readonly fileFirst?: boolean;
}

export function uploadOf(file: BuiltFile, options: UploadOptions = {}): HostedRequest & { readonly body: Buffer } {
  const fields: FormPart[] = Object.entries({ ...fieldsOf(file), ...options.fields }).flatMap(([name, value]) =>
    (value === undefined ? [] : typeof value === 'string' ? [value] : value).map((one) => ({ name, value: one })),
  );
  const signature = options.signature;
  if (signature !== undefined) {
    fields.push({ name: 'gpg_signature', filename: `${file.filename}.asc`, value: signature });
  }
  const content = { name: 'content', filename: options.filename ?? file.filename, value: file.bytes };
  return {
    method: 'POST',
    path: options.path ?? '/legacy/',
    headers: { 'content-type': formType },
    body: formOf(options.fileFirst ? [content, ...fields] : [...fields, content]),
  };
}

/** An attestation of the right form about a file; nobody signed it. */
export function attestationOf({ filename, bytes }: BuiltFile): Readonly<Record<string, unknown>> {
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: filename, digest: { sha256: hexOf(bytes) } }],
    predicateType: 'https://docs.pypi.org/attestations/publish/v1',
    predicate: null,
  };
  return {
    version: 1,
    verification_material: { certificate: 'bm9uZQ==', transparency_entries: [{}] },
    envelope: {
      statement: Buffer.from(JSON.stringify(statement)).toString('base64'),
      signature: 'bm9uZQ==',
    },
  };
}

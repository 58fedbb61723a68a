/** What a distribution says about itself: METADATA of a wheel, PKG-INFO of a source distribution (core metadata 1.0 to 2.5). */
import { createGunzip, type Gunzip } from 'node:zlib';
import { fileBytes } from '../../codecs/file-bytes.ts';
import { readAll, tarEntries } from '../../codecs/tar.ts';
import { readEntry } from '../../codecs/zip-directory.ts';
import type { ReadableFile } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { textOf } from './json.ts';
import { metadataName } from './metadata.ts';

/** By names in lower case with underscores, as forms and PyPI's JSON have them; lists where there may be several. */
export type Fields = Readonly<Record<string, string | readonly string[]>>;

export interface CoreMetadata {
  readonly name: string;
  readonly version: string;
  readonly requiresPython?: string;
  /** All but the description, which can be as long as a book and stays in the file. */
  readonly fields: Fields;
  readonly bytes: Uint8Array;
}

/** Most are under sixty kilobytes; a long README is in it. */
const maxSizeBytes = 8 * 1024 * 1024;
/** Of everything but the description. */
const maxFieldsBytes = 256 * 1024;
/** Of a source distribution, unpacked. */
const maxUnpackedBytes = 4 * 1024 ** 3;

const several = new Set([
  'platform',
  'supported-platform',
  'classifier',
  'license-file',
  'requires-dist',
  'requires-external',
  'provides-dist',
  'provides-extra',
  'obsoletes-dist',
  'requires',
  'provides',
  'obsoletes',
  'project-url',
  'dynamic',
  'import-name',
  'import-namespace',
]);

/** Headers up to the first line that is none; a line that begins with a blank goes on with the one before (RFC 5322, 2.2.3). */
function headersIn(text: string): [string, string][] {
  const headers: [string, string][] = [];
  for (const line of text.split(/\r?\n/)) {
    const last = headers.at(-1);
    if (/^[ \t]/.test(line) && last) {
      last[1] += `\n${line.replace(/^(?: {7}\|| {8}|[ \t]+)/, '')}`;
      continue;
    }
    const match = /^([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)$/.exec(line);
    if (!match) break;
    headers.push([(match[1] ?? '').toLowerCase(), (match[2] ?? '').trimEnd()]);
  }
  return headers;
}

/** Reads core metadata. Throws `invalid_package` on what has no name and version, or far too much to say. */
export function parseMetadata(bytes: Uint8Array): CoreMetadata {
  const fields: Record<string, string | string[]> = {};
  let size = 0;
  for (const [header, value] of headersIn(textOf(bytes))) {
    if (header === 'description') continue;
    size += header.length + value.length;
    const key = header.replaceAll('-', '_');
    const before = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (Array.isArray(before)) before.push(value);
    else if (several.has(header)) fields[key] = [value];
    // Of what may be there only once the first counts, as for Python's own reader.
    else fields[key] ??= value;
  }
  const { name, version, requires_python: requiresPython } = fields;
  if (typeof name !== 'string' || typeof version !== 'string') throw invalid('its metadata has no name and version');
  if (size > maxFieldsBytes) throw invalid(`its metadata has more than ${maxFieldsBytes} bytes beside the description`);
  return {
    name,
    version,
    ...(typeof requiresPython === 'string' && requiresPython !== '' ? { requiresPython } : {}),
    fields,
    bytes,
  };
}

function invalid(why: string, cause?: unknown): Problem {
  return new Problem('invalid_package', `This is no distribution that can be installed: ${why}.`, { cause });
}

const infoName = /^(?:\.\/)?[^/]+\/PKG-INFO$/;

async function feed(packed: AsyncIterable<Uint8Array>, gunzip: Gunzip): Promise<void> {
  try {
    for await (const chunk of packed) {
      if (gunzip.destroyed) return;
      if (gunzip.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        const done = (): void => {
          gunzip.off('drain', done);
          gunzip.off('close', done);
          resolve();
        };
        gunzip.on('drain', done);
        gunzip.on('close', done);
      });
    }
    gunzip.end();
  } catch (error) {
    gunzip.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

async function* unpacked(packed: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const gunzip = createGunzip();
  const fed = feed(packed, gunzip);
  try {
    yield* gunzip as AsyncIterable<Uint8Array>;
  } finally {
    gunzip.destroy();
    await fed;
  }
}

/** The whole archive is read: one that is damaged anywhere is found out before somebody installs it. */
async function infoInTar(file: ReadableFile): Promise<Uint8Array | undefined> {
  let found: Uint8Array | undefined;
  for await (const entry of tarEntries(unpacked(fileBytes(file)), { bytes: maxUnpackedBytes })) {
    if (!infoName.test(entry.name)) continue;
    if (found) throw new Error('the archive has more than one PKG-INFO');
    found = await readAll(entry.bytes, maxSizeBytes);
  }
  return found;
}

/** The kinds of files that can be uploaded, by their ending. */
export type Kind = 'bdist_wheel' | 'sdist';

export function kindOf(filename: string): Kind | undefined {
  if (filename.endsWith('.whl')) return 'bdist_wheel';
  return /\.(?:tar\.gz|zip)$/.test(filename) ? 'sdist' : undefined;
}

/** Takes the metadata out of a distribution. Throws `invalid_package` on a file that is damaged or has none. */
export async function metadataIn(filename: string, file: ReadableFile): Promise<CoreMetadata> {
  const wanted = kindOf(filename) === 'bdist_wheel' ? metadataName : infoName;
  let bytes: Uint8Array | undefined;
  try {
    bytes = filename.endsWith('.tar.gz')
      ? await infoInTar(file)
      : await readEntry(file, (name) => wanted.test(name), { maxSizeBytes });
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error), error);
  }
  if (!bytes) throw invalid(wanted === metadataName ? 'the wheel has no METADATA' : 'the archive has no PKG-INFO');
  return parseMetadata(bytes);
}

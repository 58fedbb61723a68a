/** Publishing at an upstream what was published here, as twine would. The upstream's URL is the one that uploads go to. */
import { fileBytes } from '../../codecs/file-bytes.ts';
import { type NewPart, writeParts } from '../../codecs/multipart.ts';
import type { Outgoing, PackageRecord, ReadableFile } from '../../core/format.ts';
import { type Fields, metadataIn } from './core-metadata.ts';
import { filesOf, type HostedFile } from './hosted.ts';
import { textOf } from './json.ts';

/** Fields of the form that are called otherwise than in the metadata. */
const formNames: Readonly<Record<string, string>> = {
  classifier: 'classifiers',
  license_file: 'license_files',
  project_url: 'project_urls',
};

function* fieldsFrom(fields: Fields): Iterable<NewPart> {
  for (const [key, value] of Object.entries(fields)) {
    if (key === 'name' || key === 'version' || !/^[a-z_]{1,60}$/.test(key)) continue;
    for (const content of typeof value === 'string' ? [value] : value) yield { name: formNames[key] ?? key, content };
  }
}

/** Behind the first empty line of the metadata, or in a header of an old one. */
function descriptionIn(metadata: Uint8Array): string {
  const [, body = ''] = /\r?\n\r?\n([\s\S]*)$/.exec(textOf(metadata)) ?? [];
  return body;
}

/** Attestations stay here: an index takes them only from whom it knows as their publisher. */
async function* partsOf({ filename, kind, sha256, facts }: HostedFile, file: ReadableFile): AsyncIterable<NewPart> {
  const metadata = await metadataIn(filename, file);
  const { name, version } = metadata;
  const about: Readonly<Record<string, string | undefined>> = {
    ':action': 'file_upload',
    protocol_version: '1',
    name,
    version,
    filetype: kind,
    pyversion: facts.pythonVersion,
    comment: facts.comment,
    sha256_digest: sha256,
    md5_digest: facts.md5,
    description: descriptionIn(metadata.bytes) || undefined,
  };
  for (const [key, content] of Object.entries(about)) if (content !== undefined) yield { name: key, content };
  yield* fieldsFrom(metadata.fields);
  yield { name: 'content', filename, content: fileBytes(file) };
}

export function* releaseElsewhere(
  record: PackageRecord,
  files: ReadonlyMap<string, ReadableFile>,
): Generator<Outgoing> {
  for (const hosted of filesOf(record.name, record)) {
    const file = files.get(hosted.entry.path);
    if (!file) throw new Error(`${hosted.filename} is not among the files of ${record.name} ${record.version}.`);
    const boundary = `larder-${hosted.sha256}`;
    yield {
      method: 'POST',
      // The address itself, with a slash at its end.
      path: '',
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
      body: writeParts(boundary, partsOf(hosted, file)),
      // As twine tells it.
      isThere: (status, text) => status === 409 || (status === 400 && /already exist/i.test(text)),
    };
  }
}

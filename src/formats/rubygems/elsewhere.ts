/** Publishing at an upstream what was published here, as `gem push` would. */
import { fileBytes } from '../../codecs/file-bytes.ts';
import type { Outgoing, PackageRecord, ReadableFile } from '../../core/format.ts';
import { gemPath } from './name.ts';

export function* releaseElsewhere(
  { name, version }: PackageRecord,
  files: ReadonlyMap<string, ReadableFile>,
): Generator<Outgoing> {
  const file = files.get(gemPath(`${name}-${version}`));
  if (!file) throw new Error(`The gem of ${name} ${version} is not among its files.`);
  yield {
    method: 'POST',
    path: 'api/v1/gems',
    headers: { 'content-type': 'application/octet-stream', accept: 'text/plain, */*' },
    body: fileBytes(file),
    // In the words of rubygems.org; with the same bytes it is no refusal there.
    isThere: (status, text) => status === 409 && /Repushing of gem versions is not allowed/i.test(text),
  };
}

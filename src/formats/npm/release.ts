/** Publishing at an upstream what was published here, as npm would. */
import { fileBytes } from '../../codecs/file-bytes.ts';
import { parseVersion } from '../../codecs/semver.ts';
import type { Outgoing, PackageRecord, ReadableFile } from '../../core/format.ts';
import { manifestOf, versionFacts } from './hosted.ts';
import { escapeName, tarballPath } from './name.ts';
import { isTag } from './publish.ts';

/** A version that is not yet stable never becomes what everybody gets. */
function tagFor(version: string): string {
  const [first] = parseVersion(version)?.prerelease ?? [];
  if (first === undefined) return 'latest';
  return isTag(first) ? first : 'next';
}

async function* base64(file: ReadableFile): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array();
  for await (const piece of fileBytes(file)) {
    const bytes = Buffer.concat([rest, piece]);
    const whole = bytes.length - (bytes.length % 3);
    yield Buffer.from(bytes.toString('base64', 0, whole));
    rest = bytes.subarray(whole);
  }
  yield Buffer.from(Buffer.from(rest).toString('base64'));
}

/** The package stands at the end, so that it can be sent while it is read. */
async function* bodyOf(record: PackageRecord, file: ReadableFile): AsyncGenerator<Uint8Array> {
  const { name, version } = record;
  const key = `${name}-${version}`;
  const { attestations = [] } = versionFacts(record);
  const bundles = attestations.map(({ bundle }): [string, unknown] => {
    const data = JSON.stringify(bundle);
    const type = (bundle as { readonly mediaType?: unknown } | null)?.mediaType;
    return [`${key}.sigstore`, { content_type: type, data, length: data.length }];
  });
  // Who it was here is nobody's business there.
  const { _npmUser, ...manifest } = manifestOf(record);
  const document = {
    _id: name,
    name,
    description: manifest.description,
    'dist-tags': { [tagFor(version)]: version },
    versions: { [version]: manifest },
    access: null,
  };
  const attachments = JSON.stringify(Object.fromEntries(bundles)).slice(0, -1);
  const comma = bundles.length > 0 ? ',' : '';
  const about = `"content_type":"application/octet-stream","length":${file.size},"data":"`;
  yield Buffer.from(
    `${JSON.stringify(document).slice(0, -1)},"_attachments":${attachments}${comma}${JSON.stringify(`${key}.tgz`)}:{${about}`,
  );
  yield* base64(file);
  yield Buffer.from('"}}}');
}

export function* release(record: PackageRecord, files: ReadonlyMap<string, ReadableFile>): Generator<Outgoing> {
  const file = files.get(tarballPath(record.name, record.version));
  if (!file) throw new Error(`The package of ${record.name}@${record.version} is not among its files.`);
  yield {
    method: 'PUT',
    path: escapeName(record.name),
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: bodyOf(record, file),
    // The public registry says 403, others 409.
    isThere: (status, text) =>
      (status === 403 || status === 409) && /publish over|previously published|already (?:exists|present)/i.test(text),
  };
}

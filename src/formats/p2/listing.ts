/** What an artifacts document says of the files beside it. */
import { parseDigest } from '../../core/digest.ts';
import type { Digest, Link } from '../../core/format.ts';
import { isSafePath } from '../../core/path.ts';
import { attributesOf, type Tag, tags } from './markup.ts';

/** The mapping rules that p2 has built in and every known tool writes: classifier, folder, ending. */
const rules: Readonly<Record<string, { readonly folder: string; readonly ending: string }>> = {
  'osgi.bundle': { folder: 'plugins', ending: '.jar' },
  'org.eclipse.update.feature': { folder: 'features', ending: '.jar' },
  binary: { folder: 'binary', ending: '' },
};

/** Properties with the digest of the downloaded file, the one to rely on first. */
const digestProperties = [
  ['download.checksum.sha-256', 'sha256'],
  ['download.checksum.sha-512', 'sha512'],
  ['download.checksum.sha-1', 'sha1'],
  ['download.checksum.md5', 'md5'],
  ['download.md5', 'md5'],
] as const;

/** An OSGi version as p2 writes it into file names. */
const versioned = /^(.+?)_(\d+\.\d+\.\d+(?:\.[\w-]+)?)$/;

/** A file as the built-in rules name it. */
export interface StandardFile {
  /** Of the repository, with a slash at its end; empty for one without a path. */
  readonly folder: string;
  readonly name: string;
  readonly version: string;
}

/** `undefined`: no such rule gives this path. */
export function standardFile(path: string): StandardFile | undefined {
  const [, folder = '', kind, file = ''] = /^(.*\/)?(plugins|features|binary)\/([^/]+)$/.exec(path) ?? [];
  const rule = Object.values(rules).find((known) => known.folder === kind);
  if (!rule || !file.endsWith(rule.ending)) return undefined;
  const [, name, version] = versioned.exec(file.slice(0, file.length - rule.ending.length)) ?? [];
  return name === undefined || version === undefined ? undefined : { folder, name, version };
}

interface Listed {
  readonly attributes: ReadonlyMap<string, string>;
  readonly properties: Map<string, string>;
  /** Not stored as it is: what is downloaded has to go through steps first, and lies elsewhere. */
  processed: boolean;
}

const artifactPath = 'repository/artifacts/artifact';

function attributeMap(xml: Buffer, tag: Tag): Map<string, string> {
  return new Map(attributesOf(xml, tag).map(({ name, value }) => [name, value]));
}

/** Missing parts are zeroes; p2 writes them all. */
function wholeVersion(version: string): string {
  return /^\d+(?:\.\d+)?$/.test(version) ? [...version.split('.'), '0', '0'].slice(0, 3).join('.') : version;
}

function digestsOf(properties: ReadonlyMap<string, string>): readonly Digest[] {
  for (const [property, algorithm] of digestProperties) {
    const digest = parseDigest(`${algorithm}:${properties.get(property) ?? ''}`);
    if (digest) return [digest];
  }
  return [];
}

function linkOf(folder: string, { attributes, properties, processed }: Listed): Link | undefined {
  const rule = new Map(Object.entries(rules)).get(attributes.get('classifier') ?? '');
  // Packed forms have a name and digests of their own; current clients pass them over.
  if (!rule || processed || properties.has('format')) return undefined;
  const version = wholeVersion(attributes.get('version') ?? '');
  const path = `${folder}${rule.folder}/${attributes.get('id') ?? ''}_${version}${rule.ending}`;
  if (!isSafePath(path) || standardFile(path)?.folder !== folder) return undefined;
  const digests = digestsOf(properties);
  const size = properties.get('download.size') ?? '';
  return {
    path,
    ...(digests.length > 0 ? { digests } : {}),
    ...(/^\d{1,15}$/.test(size) ? { size: Number(size) } : {}),
  };
}

/** One link for each file that the built-in mapping rules lead to; `folder` is the repository's, with a slash at its end. */
export function* listedFiles(xml: Buffer, folder: string): Generator<Link, void, undefined> {
  let listed: Listed | undefined;
  for (const tag of tags(xml)) {
    if (!tag.path.startsWith(artifactPath)) continue;
    if (tag.path === artifactPath) {
      if (tag.kind !== 'end') listed = { attributes: attributeMap(xml, tag), properties: new Map(), processed: false };
      const link = tag.kind !== 'start' && listed ? linkOf(folder, listed) : undefined;
      if (link) yield link;
    } else if (listed && tag.path === `${artifactPath}/processing`) {
      listed.processed = true;
    } else if (listed && tag.kind !== 'end' && tag.path === `${artifactPath}/properties/property`) {
      const { properties } = listed;
      const property = attributeMap(xml, tag);
      properties.set(property.get('name') ?? '', property.get('value') ?? '');
    }
  }
}

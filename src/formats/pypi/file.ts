/** A file of a project: as listings tell of it, where it lies at the upstream, and where it is found here. */
import type { Attributes } from '../../codecs/html-anchors.ts';
import { type Digest, hexOf, parseDigest } from '../../core/digest.ts';
import type { Link } from '../../core/format.ts';
import { encodeSegment, isSafePath } from '../../core/path.ts';
import { isObject, type Json } from './json.ts';
import { isWheel, versionOf } from './name.ts';

export interface ProjectFile {
  readonly filename: string;
  /** At the upstream, absolute, without fragment. */
  readonly url: string;
  /** As upstream told them, by algorithm. */
  readonly hashes: Readonly<Record<string, string>>;
  /** In its name, as it is spelled there. */
  readonly version?: string;
  readonly requiresPython?: string;
  readonly size?: number;
  readonly uploadTime?: string;
  /** `''`: without a reason. */
  readonly yanked?: string;
  /** Digests of its metadata file, by algorithm; empty: there is one, and nobody says which. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly hasSignature?: boolean;
  /** At the upstream, absolute. */
  readonly provenance?: string;
}

/** The strongest first; the others that Python knows are not computed here. */
const algorithms = ['sha256', 'sha512', 'sha1', 'md5'] as const;

/** Those we can check. */
export function digestsOf(hashes: Readonly<Record<string, string>>): Digest[] {
  return algorithms.flatMap((algorithm) => {
    const hex = Object.hasOwn(hashes, algorithm) ? hashes[algorithm] : undefined;
    return (hex !== undefined && parseDigest(`${algorithm}:${hex}`)) || [];
  });
}

/** Of a file that nobody tells a digest of. */
const noDigest = 'unhashed';

/**
 * The part of a file's address that changes when its bytes do: elsewhere than on PyPI a file name may be used twice.
 * sha256 in plain hexadecimal, any other digest with its name in front.
 */
export function keyFor(digest: Digest | undefined): string {
  if (digest === undefined) return noDigest;
  return digest.startsWith('sha256:') ? hexOf(digest) : digest.replace(':', '-');
}

/** The digest in such a part; `false`: it is none of ours. */
export function digestIn(key: string): Digest | undefined | false {
  if (key === noDigest) return undefined;
  const digest = parseDigest(key.includes('-') ? key.replace('-', ':') : `sha256:${key}`);
  return digest !== undefined && keyFor(digest) === key ? digest : false;
}

export const metadataEnding = '.metadata';
export const signatureEnding = '.asc';

/** Below the repository, decoded. */
export function pathOf(project: string, key: string, filename: string): string {
  return `files/${project}/${key}/${filename}`;
}

export function provenancePathOf(project: string, key: string, filename: string): string {
  return `provenance/${project}/${key}/${filename}`;
}

export function keyOf(file: ProjectFile): string {
  return keyFor(digestsOf(file.hashes)[0]);
}

/** Everything of the file that can be fetched. */
export function linksOf(project: string, file: ProjectFile): Link[] {
  const key = keyOf(file);
  const path = pathOf(project, key, file.filename);
  const about = {
    ...(file.version === undefined ? {} : { version: file.version }),
    ...(file.uploadTime === undefined ? {} : { publishedAt: file.uploadTime }),
  };
  const [digest] = digestsOf(file.hashes);
  const links: Link[] = [
    {
      path,
      url: file.url,
      ...(digest === undefined ? {} : { digests: [digest] }),
      ...(file.size === undefined ? {} : { size: file.size }),
      ...about,
    },
  ];
  if (file.metadata) {
    const [told] = digestsOf(file.metadata);
    links.push({
      path: path + metadataEnding,
      url: beside(file.url, metadataEnding),
      ...(told === undefined ? {} : { digests: [told] }),
      ...about,
    });
  }
  if (file.hasSignature) links.push({ path: path + signatureEnding, url: beside(file.url, signatureEnding), ...about });
  if (file.provenance !== undefined) {
    links.push({ path: provenancePathOf(project, key, file.filename), url: file.provenance, ...about });
  }
  return links;
}

/** A longer path; what is behind a question mark (a signature of the address) stays behind it. */
function beside(url: string, ending: string): string {
  const mark = url.indexOf('?');
  return mark === -1 ? url + ending : url.slice(0, mark) + ending + url.slice(mark);
}

/** Where a link leads. Indexes behind a TLS proxy that was set up wrongly hand out `http:` addresses of themselves. */
export function absolute(url: string, from: URL): string | undefined {
  const found = URL.parse(url.trim(), from.href);
  if (!found || !/^https?:$/.test(found.protocol)) return undefined;
  if (found.protocol === 'http:' && from.protocol === 'https:' && found.host === from.host) found.protocol = 'https:';
  found.hash = '';
  found.username = '';
  found.password = '';
  return found.href;
}

/** Whether the name can be the last part of an address of ours and mean the same again. */
function isUsable(filename: string): boolean {
  return filename !== '' && !filename.includes('/') && isSafePath(pathOf('p', noDigest, filename + metadataEnding));
}

function textsIn(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter(
      (entry): entry is [string, string] => /^[\w-]{1,32}$/.test(entry[0]) && isHex(entry[1]),
    ),
  );
}

const isHex = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{8,256}$/i.test(value);

/** PEP 691 and 714: `false`, `true`, or digests. */
function metadataIn(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === true) return {};
  return isObject(value) ? textsIn(value) : undefined;
}

/** An entry of `files`. `undefined`: it leads nowhere, or cannot be asked for by its name. Throws on what is no entry. */
export function fileFromJson(project: string, json: unknown, from: URL): ProjectFile | undefined {
  if (!isObject(json) || typeof json.filename !== 'string' || typeof json.url !== 'string') {
    throw new Error('a file in the document has no name or no address');
  }
  const { filename } = json;
  const url = absolute(json.url, from);
  if (url === undefined || !isUsable(filename)) return undefined;
  const version = versionOf(project, filename);
  const requiresPython = json['requires-python'];
  const { size, yanked } = json;
  const uploadTime = json['upload-time'];
  const metadata = metadataIn(json['core-metadata'] ?? json['dist-info-metadata'] ?? json['data-dist-info-metadata']);
  const provenance = typeof json.provenance === 'string' ? absolute(json.provenance, from) : undefined;
  return {
    filename,
    url,
    hashes: textsIn(json.hashes),
    ...(version === undefined ? {} : { version }),
    ...(typeof requiresPython === 'string' && requiresPython !== '' ? { requiresPython } : {}),
    ...(typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? { size } : {}),
    ...(typeof uploadTime === 'string' ? { uploadTime } : {}),
    ...(yanked === true ? { yanked: '' } : typeof yanked === 'string' ? { yanked } : {}),
    ...(metadata === undefined ? {} : { metadata }),
    ...(json['gpg-sig'] === true ? { hasSignature: true } : {}),
    ...(provenance === undefined ? {} : { provenance }),
  };
}

/** `sha256=…`, as it stands in fragments and attributes. */
function digestText(text: string): Readonly<Record<string, string>> {
  const sign = text.indexOf('=');
  return sign > 0 ? textsIn({ [text.slice(0, sign).toLowerCase()]: text.slice(sign + 1) }) : {};
}

function metadataAttribute(value: string | undefined): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value.trim() === '' || value.trim().toLowerCase() === 'false') return undefined;
  return digestText(value.trim());
}

/** The file that a link of a listing leads to, whatever its text says: clients take the name from the address, too. */
export function fileFromAnchor(project: string, attributes: Attributes, from: URL): ProjectFile | undefined {
  const href = attributes.get('href');
  const resolved = href === undefined ? null : URL.parse(href.trim(), from.href);
  const url = href === undefined ? undefined : absolute(href, from);
  if (!resolved || url === undefined) return undefined;
  let filename: string;
  try {
    filename = decodeURIComponent(resolved.pathname.slice(resolved.pathname.lastIndexOf('/') + 1));
  } catch {
    return undefined;
  }
  if (!isUsable(filename)) return undefined;
  const version = versionOf(project, filename);
  const requiresPython = attributes.get('data-requires-python');
  const yanked = attributes.get('data-yanked');
  const metadata =
    metadataAttribute(attributes.get('data-core-metadata')) ??
    metadataAttribute(attributes.get('data-dist-info-metadata'));
  const provenance = attributes.get('data-provenance');
  const attested = provenance ? absolute(provenance, from) : undefined;
  const signature = attributes.get('data-gpg-sig');
  return {
    filename,
    url,
    hashes: hashesIn(resolved.hash),
    ...(version === undefined ? {} : { version }),
    ...(requiresPython ? { requiresPython } : {}),
    ...(yanked === undefined ? {} : { yanked }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(signature?.toLowerCase() === 'true' ? { hasSignature: true } : {}),
    ...(attested === undefined ? {} : { provenance: attested }),
  };
}

/** A fragment may have several parts (`#egg=x&sha256=…`). */
function hashesIn(fragment: string): Readonly<Record<string, string>> {
  return Object.assign({}, ...fragment.replace(/^#/, '').split('&').map(digestText)) as Readonly<
    Record<string, string>
  >;
}

/** What encoding needs to know about the repository. */
export interface Writing {
  readonly project: string;
  /** Public URL of the repository: what may not be relative stands below it. */
  readonly base: string;
  /** Wheels whose upstream hands out no metadata get an address of their own, beside which we do. */
  readonly extract: boolean;
}

/** Whether we are to take the metadata out of it. */
function isExtracted(file: ProjectFile, { extract }: Writing): boolean {
  return extract && file.metadata === undefined && isWheel(file.filename);
}

/** Relative to the project's page, so that one page is right under every name this server has. */
function relativeUrl(file: ProjectFile, writing: Writing): string {
  const folder = isExtracted(file, writing) ? 'wheels' : 'files';
  return `../../${folder}/${writing.project}/${keyOf(file)}/${encodeSegment(file.filename)}`;
}

/** PEP 740 wants an address that is complete. */
function provenanceUrl(file: ProjectFile, { project, base }: Writing): string {
  return `${base}/${provenancePathOf(project, keyOf(file), encodeSegment(file.filename))}`;
}

/**
 * As in `files` of the JSON form. `dist-info-metadata`, the name that `core-metadata` had at first, is only written in
 * HTML: pip 22.3 to 23.0 cannot install anything from a JSON page that has it (PEP 714).
 */
export function jsonOf(file: ProjectFile, writing: Writing): Json {
  const metadata = isExtracted(file, writing) ? {} : file.metadata;
  return {
    filename: file.filename,
    url: relativeUrl(file, writing),
    hashes: file.hashes,
    ...(file.requiresPython === undefined ? {} : { 'requires-python': file.requiresPython }),
    ...(file.size === undefined ? {} : { size: file.size }),
    ...(file.uploadTime === undefined ? {} : { 'upload-time': file.uploadTime }),
    yanked: file.yanked === undefined ? false : file.yanked || true,
    'core-metadata': metadata === undefined ? false : Object.keys(metadata).length > 0 ? metadata : true,
    ...(file.hasSignature ? { 'gpg-sig': true } : {}),
    ...(file.provenance === undefined ? {} : { provenance: provenanceUrl(file, writing) }),
  };
}

/** Of several the strongest that Python's clients check. */
function hashText(hashes: Readonly<Record<string, string>>): string | undefined {
  const [digest] = digestsOf(hashes);
  if (digest !== undefined) return digest.replace(':', '=');
  const [other] = Object.entries(hashes);
  return other && `${other[0]}=${other[1]}`;
}

/** Attributes of the link in the HTML form, in the order in which they are written; not escaped yet. */
export function attributesOf(file: ProjectFile, writing: Writing): readonly (readonly [string, string])[] {
  const hash = hashText(file.hashes);
  const metadata = isExtracted(file, writing) ? {} : file.metadata;
  const told = metadata && (hashText(metadata) ?? 'true');
  return [
    ['href', relativeUrl(file, writing) + (hash === undefined ? '' : `#${hash}`)],
    ...(file.requiresPython === undefined ? [] : [['data-requires-python', file.requiresPython] as const]),
    ...(file.yanked === undefined ? [] : [['data-yanked', file.yanked] as const]),
    ...(told === undefined
      ? []
      : ([
          ['data-core-metadata', told],
          ['data-dist-info-metadata', told],
        ] as const)),
    ...(file.hasSignature ? [['data-gpg-sig', 'true'] as const] : []),
    ...(file.provenance === undefined ? [] : [['data-provenance', provenanceUrl(file, writing)] as const]),
  ];
}

/**
 * What upstream says about one version: the leaf of its registration and, where that leads to one, its entry in the
 * catalog. The only place in the third version of the protocol that tells a package's digest; feeds without a catalog may
 * tell it in the second version.
 */
import { readXml } from '../../codecs/xml.ts';
import { algorithmOf, hexOf, parseDigest } from '../../core/digest.ts';
import type { Body, Digest, Document, DocumentType, Heard, Link, Step } from '../../core/format.ts';
import {
  type Hive,
  isHive,
  leafPath,
  legacyPath,
  nupkgPath,
  type PackageKey,
  packageKey,
  registrationPath,
  versionsPath,
} from './address.ts';
import { renderLeaf } from './hosted.ts';
import { framed, isObject, type Json, jsonBody, parseObject, textOf } from './json.ts';
import { hasUnlistedDate } from './leaf-entry.ts';
import { needsSemVer2 } from './registration.ts';
import { isSemVer2 } from './version.ts';

export interface PackageLeaf extends PackageKey {
  readonly listed?: boolean;
  /** As upstream said it. */
  readonly published?: string;
  /** When it was first published, whatever became of it since. */
  readonly created?: string;
  readonly digest?: Digest;
  /** Bytes. */
  readonly size?: number;
  readonly semVer2: boolean;
}

const json = 'application/json';

/**
 * What to ask after the leaf: the catalog's entry, or the second version of the protocol, or nothing because the leaf has
 * the digest itself, as another Larder's has. The catalog only if it is beside the leaf: a mirror may leave the
 * original's address in its copy, and have other bytes (nuget.org signs every package again).
 */
function afterLeaf({ bytes, url }: Heard, key: PackageKey): Extract<Step, { ask: unknown }> | undefined {
  try {
    const leaf = parseObject(bytes);
    const { catalogEntry: entry } = leaf;
    if (leaf.packageHash !== undefined || (isObject(entry) && entry.packageHash !== undefined)) return undefined;
    const catalog = typeof entry === 'string' ? new URL(entry, url) : undefined;
    if (catalog && catalog.host === new URL(url).host) return { ask: { url: catalog.href } };
    return { ask: { path: legacyPath(key) } };
  } catch {
    return undefined;
  }
}

/** The leaf, then what tells the digest. Where a leaf is missing the list of versions has the say: it may be ahead, or all there is. */
function obtain({ path }: Document, heard: readonly Heard[]): Step {
  const [leaf, more] = heard;
  const key = keyIn(path);
  if (!leaf) return { ask: { path } };
  if (leaf.status !== 200) {
    if (!more) return { ask: { path: versionsPath(key.id) } };
    if (more.status !== 200) return { absent: true };
    return mayList(more.bytes, key) ? { bytes: framed({ versions: more.bytes }), contentType: json } : { absent: true };
  }
  const next = afterLeaf(leaf, key);
  if (next && !more) return next;
  const isLegacy = next && 'path' in next.ask;
  const entry = more?.status === 200 ? (isLegacy ? entryInAtom(more.bytes) : more.bytes) : undefined;
  return { bytes: framed({ leaf: leaf.bytes, ...(entry ? { entry } : {}) }), contentType: json };
}

const longestAtomBytes = 256 * 1024;

/** The properties of an entry that speak about its bytes, under the names that the catalog has for them. Anything else tells nothing. */
function entryInAtom(bytes: Uint8Array): Uint8Array | undefined {
  try {
    const root = readXml(bytes, { sizeBytes: longestAtomBytes });
    const properties = root.name === 'entry' ? root.children.find(({ name }) => name === 'properties') : undefined;
    const told = (field: string): string | undefined =>
      properties?.children.find(({ name }) => name === field)?.text || undefined;
    const [packageHash, version] = [told('PackageHash'), told('Version')];
    if (packageHash === undefined || version === undefined) return undefined;
    const packageHashAlgorithm = told('PackageHashAlgorithm');
    return Buffer.from(JSON.stringify({ id: told('Id'), version, packageHash, packageHashAlgorithm }));
  } catch {
    return undefined;
  }
}

/** Throws on what is no list of versions. */
function lists({ versions }: Json, { id, version }: PackageKey): boolean {
  if (!Array.isArray(versions)) throw new Error('it is no list of versions');
  return versions.some((one) => packageKey(id, String(one))?.version === version);
}

/** What is no list at all may be anything: its bytes become the answer, which is refused when it is read. */
function mayList(bytes: Uint8Array, key: PackageKey): boolean {
  try {
    return lists(parseObject(bytes), key);
  } catch {
    return true;
  }
}

function keyIn(path: string): PackageKey {
  const [, , id = '', file = ''] = path.split('/');
  const key = packageKey(id, file.replace(/\.json$/, ''));
  if (!key) throw new Error('its path names no version of a package');
  return key;
}

function digestIn(entry: Json): Digest | undefined {
  const algorithm = textOf(entry.packageHashAlgorithm)?.toLowerCase().replace('-', '');
  const hash = textOf(entry.packageHash);
  if (hash === undefined || (algorithm !== 'sha512' && algorithm !== 'sha256')) return undefined;
  const digest = parseDigest(`${algorithm}:${Buffer.from(hash, 'base64').toString('hex')}`);
  if (!digest) throw new Error(`its packageHash is no ${algorithm}`);
  return digest;
}

function checkName(entry: Json, key: PackageKey): void {
  const found = packageKey(textOf(entry.id) ?? key.id, textOf(entry.version) ?? key.version);
  if (found?.id !== key.id || found.version !== key.version) throw new Error('it is about another package');
}

function decode(bytes: Uint8Array, { path }: { readonly path: string }): PackageLeaf {
  const key = keyIn(path);
  const parts = parseObject(bytes);
  if (isObject(parts.versions)) {
    if (!lists(parts.versions, key)) throw new Error('it does not list the version');
    return { ...key, semVer2: isSemVer2(key.version) };
  }
  const leaf = isObject(parts.leaf) ? parts.leaf : parts;
  const inner = isObject(leaf.catalogEntry) ? leaf.catalogEntry : undefined;
  if (!inner && typeof leaf.catalogEntry !== 'string' && typeof leaf.packageContent !== 'string') {
    throw new Error('it is no leaf of a registration');
  }
  if (parts.entry !== undefined && !isObject(parts.entry)) throw new Error('its catalog entry is no object');
  const entry: Json = isObject(parts.entry) ? parts.entry : (inner ?? leaf);
  checkName(entry, key);
  const published = textOf(leaf.published) ?? textOf(entry.published);
  const created = textOf(entry.created);
  const digest = digestIn(entry);
  const { packageSize: size } = entry;
  const { listed } = leaf.listed === undefined ? entry : leaf;
  return {
    ...key,
    ...(typeof listed === 'boolean' ? { listed } : {}),
    ...(published === undefined ? {} : { published }),
    ...(created === undefined ? {} : { created }),
    ...(digest ? { digest } : {}),
    ...(digest && typeof size === 'number' && Number.isSafeInteger(size) && size > 0 ? { size } : {}),
    semVer2: needsSemVer2({ version: key.version, ...entry }),
  };
}

function* links({ id, version, digest, size, published, created }: PackageLeaf): Iterable<Link> {
  const publishedAt = [created, published].find((at) => at !== undefined && !hasUnlistedDate(at));
  yield {
    path: nupkgPath({ id, version }),
    version,
    ...(digest ? { digests: [digest] } : {}),
    ...(size === undefined ? {} : { size }),
    ...(publishedAt === undefined ? {} : { publishedAt }),
  };
}

/**
 * As a leaf of one of our hives; the entry that it names is the leaf itself, because clients take the address for a name
 * only. What is known of the bytes stands in it for the next Larder.
 */
function encode(leaf: PackageLeaf, hive: string, base: string): Body | undefined {
  if (!isHive(hive) || (leaf.semVer2 && hive !== 'registration-semver2')) return undefined;
  return jsonBody(leafJson(leaf, hive, base));
}

function leafJson(
  { listed = true, published, created, digest, size, ...key }: PackageLeaf,
  hive: Hive,
  base: string,
): Json {
  const at = `${base}/${leafPath(key, hive)}`;
  return {
    '@id': at,
    '@type': ['Package', 'http://schema.nuget.org/catalog#Permalink'],
    catalogEntry: at,
    listed,
    packageContent: `${base}/${nupkgPath(key)}`,
    ...(published === undefined ? {} : { published }),
    ...(created === undefined ? {} : { created }),
    ...(digest
      ? {
          packageHash: Buffer.from(hexOf(digest), 'hex').toString('base64'),
          packageHashAlgorithm: algorithmOf(digest).toUpperCase(),
        }
      : {}),
    ...(size === undefined ? {} : { packageSize: size }),
    registration: `${base}/${registrationPath(key.id, hive)}`,
  };
}

/** Variants: a hive. */
export const packageLeaf: DocumentType<PackageLeaf> = {
  id: 'leaf',
  // The catalog lists every file of a package.
  limit: 32 * 1024 * 1024,
  obtain,
  decode,
  links,
  render: renderLeaf,
  encode,
};

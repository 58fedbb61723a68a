/** What is kept of packages that were published here, and the documents that a registry would make of it. */
import { compareVersions, parseVersion } from '../../codecs/semver.ts';
import { algorithmOf, hexOf } from '../../core/digest.ts';
import type { Body, Document, Identity, PackageRecord, View } from '../../core/format.ts';
import { isObject, type Json, jsonBody } from './json.ts';

/** Of one version. */
export interface VersionFacts {
  /** As it is told to clients, without what is known from elsewhere (`_id`, `dist`, `deprecated`). */
  readonly manifest: Json;
  readonly fileCount: number;
  readonly unpackedSize: number;
  /** In the words of whoever did it. */
  readonly deprecated?: string;
  readonly by?: string;
  /** As `GET /-/npm/v1/attestations/…` lists them. */
  readonly attestations?: readonly { readonly predicateType: string; readonly bundle: unknown }[];
}

export interface Owner {
  readonly name: string;
  readonly email?: string;
  readonly org?: string;
}

export type Visibility = 'public' | 'restricted';

/** Of the package as a whole. */
export interface AboutFacts {
  /** As they were set; what clients are told is in `shownTags`. */
  readonly tags: Readonly<Record<string, string>>;
  /** The first is whoever published it first. */
  readonly owners: readonly Owner[];
  readonly access?: Visibility;
  /** Of the version that `latest` names. */
  readonly readme?: string;
  readonly readmeFilename?: string;
}

export function versionFacts(record: PackageRecord): VersionFacts {
  return record.facts as unknown as VersionFacts;
}

/** `undefined`: there is no such package here. */
export function aboutFacts(view: View, name: string): AboutFacts | undefined {
  const about = view.about(name);
  if (!about || view.records(name).length === 0) return undefined;
  return { tags: {}, owners: [], ...about.facts };
}

/** Only people and service accounts of an organisation own packages; jobs come and go. */
export function ownerOf({ kind, name, org }: Identity): Owner | undefined {
  if (name === undefined || (kind !== 'user' && kind !== 'service')) return undefined;
  return { name, ...(org === undefined ? {} : { org }) };
}

export function isOwner(owners: readonly Owner[], who: Identity): boolean {
  const self = ownerOf(who);
  return self !== undefined && owners.some(({ name, org }) => name === self.name && org === self.org);
}

function highest(versions: readonly string[]): string | undefined {
  const parsed = versions.flatMap((text) => {
    const version = parseVersion(text);
    return version ? [{ text, version }] : [];
  });
  const stable = parsed.filter(({ version }) => version.prerelease.length === 0);
  const best = (stable.length > 0 ? stable : parsed).reduce<(typeof parsed)[number] | undefined>(
    (first, one) => (first && compareVersions(first.version, one.version) >= 0 ? first : one),
    undefined,
  );
  return best?.text ?? versions.at(-1);
}

/** Tags of versions that are left. `wanted`: where a client would move those that lost theirs. */
export function keptTags(
  tags: Readonly<Record<string, string>>,
  versions: readonly string[],
  wanted: Json = {},
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [tag, version] of Object.entries(tags)) {
    const moved = wanted[tag];
    if (versions.includes(version)) kept[tag] = version;
    else if (typeof moved === 'string' && versions.includes(moved)) kept[tag] = moved;
  }
  return kept;
}

/**
 * Tags as clients are told of them: none of a version that is gone or was yanked, and always a `latest`: clients without a
 * range ask for it. Where nobody said which that is (versions came from another repository) it is the highest.
 */
export function shownTags(view: View, name: string): Readonly<Record<string, string>> {
  const records = view.records(name);
  const choosable = records.filter(({ yanked }) => !yanked);
  const versions = (choosable.length > 0 ? choosable : records).map(({ version }) => version);
  const kept = keptTags(aboutFacts(view, name)?.tags ?? {}, versions);
  const latest = kept.latest ?? highest(versions);
  return { ...(latest === undefined ? {} : { latest }), ...kept };
}

/** Why clients should choose another version; '' when they need not. */
export function deprecationOf(record: PackageRecord): string {
  return versionFacts(record).deprecated ?? (record.yanked ? 'This version was withdrawn.' : '');
}

function distOf(record: PackageRecord): Json {
  const { fileCount, unpackedSize, attestations } = versionFacts(record);
  const [file] = record.files;
  const hex = (algorithm: string): string | undefined => {
    const digest = file?.digests.find((one) => algorithmOf(one) === algorithm);
    return digest && hexOf(digest);
  };
  const [sha1, sha512] = [hex('sha1'), hex('sha512')];
  const [first] = attestations ?? [];
  // Without an address: it is made from the name when the document is written.
  return {
    ...(sha512 === undefined ? {} : { integrity: `sha512-${Buffer.from(sha512, 'hex').toString('base64')}` }),
    ...(sha1 === undefined ? {} : { shasum: sha1 }),
    fileCount,
    unpackedSize,
    ...(first ? { attestations: { provenance: { predicateType: provenanceIn(attestations ?? [first]) } } } : {}),
  };
}

/** Of several attestations clients are told of the one that says how it was built. */
function provenanceIn(attestations: NonNullable<VersionFacts['attestations']>): string | undefined {
  const provenance = attestations.find(({ predicateType }) => predicateType.includes('slsa.dev/provenance'));
  return (provenance ?? attestations[0])?.predicateType;
}

/** One version, as the document of the package has it. */
export function manifestOf(record: PackageRecord): Json {
  const { manifest, by } = versionFacts(record);
  const { name, version } = record;
  const deprecated = deprecationOf(record);
  return {
    ...manifest,
    name,
    version,
    _id: `${name}@${version}`,
    ...(by === undefined ? {} : { _npmUser: { name: by } }),
    ...(deprecated === '' ? {} : { deprecated }),
    dist: distOf(record),
  };
}

/** What a registry repeats of the latest version at the top of its document. */
const repeated = ['description', 'keywords', 'homepage', 'repository', 'bugs', 'license', 'author'] as const;

/** The full form. */
export function renderPackument({ name = '' }: Document, view: View): Body | undefined {
  const about = aboutFacts(view, name);
  const package_ = view.about(name);
  if (!about || !package_) return undefined;
  const records = view.records(name);
  const tags = shownTags(view, name);
  const latest = view.record(name, tags.latest ?? '');
  const shown = latest ? versionFacts(latest).manifest : {};
  const time: [string, string][] = records.map(({ version, publishedAt }) => [version, publishedAt]);
  return jsonBody({
    _id: name,
    _rev: package_.revision,
    name,
    'dist-tags': tags,
    versions: Object.fromEntries(records.map((record) => [record.version, manifestOf(record)])),
    time: Object.fromEntries([['created', package_.createdAt], ['modified', package_.changedAt], ...time]),
    maintainers: about.owners.map(({ name: owner, email = '' }) => ({ name: owner, email })),
    ...Object.fromEntries(repeated.flatMap((field) => (field in shown ? [[field, shown[field]]] : []))),
    readme: about.readme ?? '',
    ...(about.readmeFilename === undefined ? {} : { readmeFilename: about.readmeFilename }),
    access: about.access ?? 'restricted',
  });
}

export function renderAttestations({ name = '', version = '' }: Document, view: View): Body | undefined {
  const record = view.record(name, version);
  const attestations = record && versionFacts(record).attestations;
  return attestations && jsonBody({ attestations });
}

export function isVisibility(value: unknown): value is Visibility {
  return value === 'public' || value === 'restricted';
}

/** Of one of the forms in which people and places write themselves. */
export function textIn(value: unknown, key: string): string | undefined {
  const text = isObject(value) ? value[key] : value;
  return typeof text === 'string' && text !== '' ? text : undefined;
}

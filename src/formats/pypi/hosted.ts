/** Documents about what is published here, as an upstream would hand them out. */

import { hexOf } from '../../core/digest.ts';
import type { Body, Document, Entry, PackageRecord, View } from '../../core/format.ts';
import { encodePath } from '../../core/path.ts';
import { type Fields, type Kind, kindOf } from './core-metadata.ts';
import { metadataEnding, pathOf, provenancePathOf, signatureEnding } from './file.ts';
import { isObject, type Json, jsonBody } from './json.ts';
import { canonicalVersion } from './name.ts';
import { compareVersions, isPrerelease } from './version-order.ts';

/** What is kept of a file beside what lies there: its bytes, its metadata, its signature, its attestations. */
export interface FileFacts {
  /** Hexadecimal. */
  readonly md5?: string;
  readonly pythonVersion?: string;
  readonly comment?: string;
  readonly requiresPython?: string;
  /** The file alone, not the whole version; a text says why. */
  readonly yanked?: true | string;
}

/** What is kept of a version. */
export interface ReleaseFacts {
  /** As it is displayed. */
  readonly name: string;
  readonly metadata: Fields;
  readonly files: Readonly<Record<string, FileFacts>>;
  /** Why it is yanked, where somebody said. */
  readonly yankedReason?: string;
}

/** `undefined`: these are none. */
export function factsOf({ facts }: PackageRecord): ReleaseFacts | undefined {
  return typeof facts.name === 'string' && isObject(facts.metadata) && isObject(facts.files)
    ? (facts as unknown as ReleaseFacts)
    : undefined;
}

export function recordOf(view: View, project: string, version: string): PackageRecord | undefined {
  const canonical = canonicalVersion(version);
  return (
    view.record(project, version) ??
    view.records(project).find((record) => canonicalVersion(record.version) === canonical)
  );
}

/** Nothing is ever fetched from there: files that are published are found by their path, and the address is made anew for each client. */
const addressOf = (path: string): string => `http://hosted.invalid/${encodePath(path)}`;

export interface HostedFile {
  readonly filename: string;
  readonly kind: Kind;
  readonly sha256: string;
  readonly entry: Entry;
  readonly facts: FileFacts;
  /** Digest of the metadata that is handed out beside it; sha256, hexadecimal. */
  readonly metadata?: string;
  readonly isSigned: boolean;
  readonly isAttested: boolean;
}

/** Files that can be installed, with what lies beside them. */
export function filesOf(project: string, record: PackageRecord): HostedFile[] {
  const known = factsOf(record)?.files ?? {};
  const entries = new Map(record.files.map((entry) => [entry.path, entry]));
  return record.files.flatMap((entry) => {
    const [folder, , sha256 = '', filename = ''] = entry.path.split('/');
    const kind = kindOf(filename);
    if (kind === undefined || folder !== 'files' || entry.path !== pathOf(project, sha256, filename)) return [];
    const metadata = entries.get(entry.path + metadataEnding);
    return [
      {
        filename,
        kind,
        sha256,
        entry,
        facts: (Object.hasOwn(known, filename) && known[filename]) || {},
        ...(metadata ? { metadata: hexOf(metadata.digest) } : {}),
        isSigned: entries.has(entry.path + signatureEnding),
        isAttested: entries.has(provenancePathOf(project, sha256, filename)),
      },
    ];
  });
}

/** With microseconds, as PyPI writes it and every reader of it expects (PEP 700). */
const timeOf = ({ publishedAt }: Entry): string => publishedAt.replace(/\.(\d{3})Z$/, '.$1000Z');

function yankedOf(record: PackageRecord, { yanked }: FileFacts): boolean | string {
  if (yanked !== undefined) return yanked;
  return record.yanked === true && (factsOf(record)?.yankedReason || true);
}

function listed(project: string, record: PackageRecord, file: HostedFile): Json {
  const { filename, sha256, entry, facts, metadata, isSigned, isAttested } = file;
  return {
    filename,
    url: addressOf(pathOf(project, sha256, filename)),
    hashes: { sha256 },
    ...(facts.requiresPython === undefined ? {} : { 'requires-python': facts.requiresPython }),
    size: entry.size,
    'upload-time': timeOf(entry),
    yanked: yankedOf(record, facts),
    'core-metadata': metadata === undefined ? false : { sha256: metadata },
    ...(isSigned ? { 'gpg-sig': true } : {}),
    ...(isAttested ? { provenance: addressOf(provenancePathOf(project, sha256, filename)) } : {}),
  };
}

export function renderProject({ name = '' }: Document, view: View): Body | undefined {
  const records = view.records(name);
  const files = records.flatMap((record) => filesOf(name, record).map((file) => listed(name, record, file)));
  if (files.length === 0) return undefined;
  return jsonBody({ meta: { 'api-version': '1.4' }, name, versions: records.map(({ version }) => version), files });
}

export function renderList(_want: Document, view: View): Body | undefined {
  const projects = [...view.names()].map((name) => ({ name }));
  return projects.length === 0 ? undefined : jsonBody({ meta: { 'api-version': '1.4' }, projects });
}

/** As in `urls` and `releases` of PyPI's JSON. */
function described(project: string, record: PackageRecord, file: HostedFile): Json {
  const { filename, kind, sha256, entry, facts, isSigned } = file;
  const md5 = facts.md5 ?? null;
  const yanked = yankedOf(record, facts);
  const time = timeOf(entry);
  return {
    comment_text: facts.comment ?? null,
    digests: { ...(md5 === null ? {} : { md5 }), sha256 },
    downloads: -1,
    filename,
    has_sig: isSigned,
    md5_digest: md5,
    packagetype: kind,
    python_version: facts.pythonVersion ?? null,
    requires_python: facts.requiresPython ?? null,
    size: entry.size,
    upload_time: time.slice(0, 19),
    upload_time_iso_8601: time,
    url: addressOf(pathOf(project, sha256, filename)),
    yanked: yanked !== false,
    yanked_reason: typeof yanked === 'string' ? yanked : null,
  };
}

/** `Label, https://…` of several. */
function urlsIn(value: Fields[string] | undefined): Readonly<Record<string, string>> | null {
  const pairs = (Array.isArray(value) ? (value as readonly string[]) : []).flatMap((text): [string, string][] => {
    const comma = text.indexOf(',');
    return comma > 0 ? [[text.slice(0, comma).trim(), text.slice(comma + 1).trim()]] : [];
  });
  return pairs.length > 0 ? Object.fromEntries(pairs) : null;
}

const textFields = [
  'author',
  'author_email',
  'description_content_type',
  'download_url',
  'home_page',
  'keywords',
  'license',
  'license_expression',
  'maintainer',
  'maintainer_email',
  'requires_python',
  'summary',
] as const;

const listFields = ['dynamic', 'license_file', 'platform', 'provides_extra', 'requires_dist'] as const;

function infoOf(record: PackageRecord, { name, metadata, yankedReason }: ReleaseFacts): Json {
  const one = (key: string): unknown => metadata[key] ?? null;
  const lists = Object.fromEntries(listFields.map((key) => [key, one(key)]));
  const { license_file, platform, ...others } = lists;
  return {
    ...Object.fromEntries(textFields.map((key) => [key, one(key)])),
    ...others,
    license_files: license_file,
    platform: Array.isArray(platform) ? platform.join(',') : platform,
    classifiers: metadata.classifier ?? [],
    // It is in the metadata of each file; kept once more for every version it would be most of what is kept.
    description: null,
    bugtrack_url: null,
    docs_url: null,
    downloads: { last_day: -1, last_month: -1, last_week: -1 },
    name,
    project_urls: urlsIn(metadata.project_url),
    version: record.version,
    yanked: record.yanked ?? false,
    yanked_reason: (record.yanked && yankedReason) || null,
  };
}

/** The one that somebody gets who names none: the highest, if it can be of those that are finished and not yanked. */
function latestOf(records: readonly PackageRecord[]): PackageRecord | undefined {
  const rank = ({ version, yanked }: PackageRecord): number => Number(!yanked) * 2 + Number(!isPrerelease(version));
  return records.reduce<PackageRecord | undefined>((best, record) => {
    if (!best) return record;
    const order = rank(record) - rank(best) || compareVersions(record.version, best.version);
    return order > 0 ? record : best;
  }, undefined);
}

export function renderRelease({ name = '', version }: Document, view: View): Body | undefined {
  const records = view.records(name).filter((record) => filesOf(name, record).length > 0);
  const record =
    version === undefined
      ? latestOf(records)
      : records.find((one) => canonicalVersion(one.version) === canonicalVersion(version));
  const facts = record && factsOf(record);
  if (!record || !facts) return undefined;
  const files = (one: PackageRecord): Json[] => filesOf(name, one).map((file) => described(name, one, file));
  return jsonBody({
    info: infoOf(record, facts),
    last_serial: -1,
    ...(version === undefined ? { releases: Object.fromEntries(records.map((one) => [one.version, files(one)])) } : {}),
    urls: files(record),
    vulnerabilities: [],
  });
}

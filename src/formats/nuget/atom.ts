/** Entries and feeds of the second version of the protocol (OData 2 in Atom), written from what the third one tells. */
import type { Body } from '../../core/format.ts';
import { isObject, type Json, textOf } from './json.ts';
import { hasUnlistedDate } from './leaf-entry.ts';
import type { Leaf } from './registration.ts';
import type { Found } from './search.ts';
import { isPrerelease, normalVersion } from './version.ts';

/** What XML 1.0 has no way to write. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const unwritable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

export function escapeXml(text: string): string {
  const plain = text.toWellFormed().replace(unwritable, '');
  return plain.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

export function atomBody(xml: string, type: 'feed' | 'entry'): Body {
  return {
    headers: { 'content-type': `application/atom+xml;type=${type};charset=utf-8` },
    bytes: Buffer.from(`<?xml version="1.0" encoding="utf-8"?>\n${xml}`),
  };
}

const namespaces =
  'xmlns="http://www.w3.org/2005/Atom" xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices" xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"';

/** What an entry is made of. */
interface Row {
  readonly id: string;
  /** As published. */
  readonly version: string;
  readonly json: Json;
  readonly isLatest: boolean;
  readonly isAbsoluteLatest: boolean;
}

/** Texts and lists of texts alike. */
function joined(value: unknown, separator: string): string {
  if (Array.isArray(value)) return value.filter((one) => typeof one === 'string').join(separator);
  return textOf(value) ?? '';
}

/** `id:range:framework`, separated by `|`; a framework without dependencies is `::framework`. */
function dependenciesOf(json: Json): string {
  const groups = Array.isArray(json.dependencyGroups) ? json.dependencyGroups.filter(isObject) : [];
  return groups
    .flatMap((group) => {
      const framework = textOf(group.targetFramework) ?? '';
      const suffix = framework === '' ? '' : `:${shortFramework(framework)}`;
      const inside = Array.isArray(group.dependencies) ? group.dependencies.filter(isObject) : [];
      if (inside.length === 0) return framework === '' ? [] : [`:${suffix}`];
      return inside.map(({ id, range }) => `${textOf(id) ?? ''}:${shortRange(textOf(range) ?? '')}${suffix}`);
    })
    .join('|');
}

/** `[1.0.0, )` is what the second version wrote as `1.0.0`; `(, )` is any version at all. */
function shortRange(range: string): string {
  const [, lowest] = /^\[\s*([^,[\]()]+?)\s*,\s*\)$/.exec(range) ?? [];
  if (lowest !== undefined) return lowest;
  return /^\(\s*,\s*\)$/.test(range) ? '' : range;
}

/** `.NETFramework4.5` as it is named in folders, which is what the second version of the protocol has. */
function shortFramework(framework: string): string {
  const [, name = '', version = ''] = /^\.?(NETFramework|NETStandard|NETCoreApp)[^\d]*([\d.]+)$/i.exec(framework) ?? [];
  switch (name.toLowerCase()) {
    case 'netframework':
      return `net${version.replaceAll('.', '')}`;
    case 'netstandard':
      return `netstandard${version}`;
    case 'netcoreapp':
      return `netcoreapp${version}`;
    default:
      return framework;
  }
}

const unlisted = '1900-01-01T00:00:00';

/** Dates of this protocol have no zone. */
function dateOf(value: unknown): string | undefined {
  const text = textOf(value);
  if (text === undefined || Number.isNaN(Date.parse(text))) return undefined;
  return hasUnlistedDate(text) ? unlisted : new Date(text).toISOString().replace(/Z$/, '');
}

const nowhere = '1970-01-01T00:00:00.000';

function property(name: string, value: string | number | boolean | undefined, type = ''): string {
  const typed = type === '' ? '' : ` m:type="Edm.${type}"`;
  if (value === undefined || value === '') return `<d:${name}${typed} m:null="true"/>`;
  return `<d:${name}${typed}>${escapeXml(String(value))}</d:${name}>`;
}

function entry({ id, version, json, isLatest, isAbsoluteLatest }: Row, base: string, root: boolean): string {
  const normal = normalVersion(version) ?? version;
  const self = `${base}/v2/Packages(Id='${id}',Version='${normal}')`;
  const published = json.listed === false ? unlisted : (dateOf(json.published) ?? nowhere);
  const told = dateOf(json.created) ?? (published === unlisted ? nowhere : published);
  const authors = joined(json.authors, ', ');
  const tags = joined(json.tags, ' ');
  return [
    `<entry${root ? ` xml:base="${escapeXml(`${base}/v2/`)}" ${namespaces}` : ''}>`,
    `<id>${escapeXml(self)}</id>`,
    '<category term="NuGetGallery.OData.V2FeedPackage" scheme="http://schemas.microsoft.com/ado/2007/08/dataservices/scheme"/>',
    `<link rel="edit" href="${escapeXml(self)}"/>`,
    `<link rel="self" href="${escapeXml(self)}"/>`,
    `<title type="text">${escapeXml(id)}</title>`,
    `<summary type="text">${escapeXml(textOf(json.summary) ?? '')}</summary>`,
    `<updated>${told}Z</updated>`,
    `<author><name>${escapeXml(authors)}</name></author>`,
    `<content type="application/zip" src="${escapeXml(`${base}/v2/package/${id}/${normal}`)}"/>`,
    '<m:properties>',
    property('Id', id),
    property('Version', version),
    property('NormalizedVersion', normal),
    property('Title', textOf(json.title)),
    property('Authors', authors),
    property('Owners', joined(json.owners, ', ')),
    property('Description', textOf(json.description)),
    property('Summary', textOf(json.summary)),
    property('Copyright', textOf(json.copyright)),
    property('Language', textOf(json.language)),
    property('Tags', tags),
    `<d:Dependencies>${escapeXml(dependenciesOf(json))}</d:Dependencies>`,
    property('Created', told, 'DateTime'),
    property('LastEdited', undefined, 'DateTime'),
    property('LastUpdated', told, 'DateTime'),
    property('Published', published, 'DateTime'),
    property('DownloadCount', countIn(json.totalDownloads), 'Int32'),
    property('VersionDownloadCount', countIn(json.downloads), 'Int32'),
    property('IconUrl', textOf(json.iconUrl)),
    property('LicenseUrl', textOf(json.licenseUrl)),
    property('ProjectUrl', textOf(json.projectUrl)),
    property('ReleaseNotes', textOf(json.releaseNotes)),
    property('ReportAbuseUrl', undefined),
    property('GalleryDetailsUrl', undefined),
    property('IsLatestVersion', isLatest, 'Boolean'),
    property('IsAbsoluteLatestVersion', isAbsoluteLatest, 'Boolean'),
    property('IsPrerelease', isPrerelease(normal), 'Boolean'),
    property('RequireLicenseAcceptance', json.requireLicenseAcceptance === true, 'Boolean'),
    property('DevelopmentDependency', json.developmentDependency === true, 'Boolean'),
    property('MinClientVersion', textOf(json.minClientVersion)),
    property('PackageHash', textOf(json.packageHash)),
    property('PackageHashAlgorithm', textOf(json.packageHashAlgorithm)),
    property('PackageSize', countIn(json.packageSize), 'Int64'),
    '</m:properties>',
    '</entry>',
  ].join('');
}

/** Older clients read 32 bits. */
function countIn(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) ? Math.min(Math.max(value, 0), 0x7fffffff) : 0;
}

function feed(name: string, rows: readonly Row[], total: number, base: string): Body {
  const self = `${base}/v2/${name}`;
  const entries = rows.map((row) => entry(row, base, false));
  return atomBody(
    [
      `<feed xml:base="${escapeXml(`${base}/v2/`)}" ${namespaces}>`,
      `<m:count>${total}</m:count>`,
      `<id>${escapeXml(self)}</id>`,
      `<title type="text">${name}</title>`,
      `<updated>${nowhere}Z</updated>`,
      `<link rel="self" title="${name}" href="${escapeXml(self)}"/>`,
      ...entries,
      '</feed>',
    ].join(''),
    'feed',
  );
}

/** Every version of a package as rows; `leaves` lowest first. Icons are upstream's business here: these clients show none that could not be reached. */
function rowsOf(id: string, leaves: readonly Leaf[], base: string): Row[] {
  const listed = leaves.filter(({ entry: { listed } }) => listed !== false);
  const latest = listed.findLast(({ version }) => !isPrerelease(version));
  const absolute = listed.at(-1);
  return leaves.map((leaf) => ({
    id: textOf(leaf.entry.id) ?? id,
    version: textOf(leaf.entry.version) ?? leaf.version,
    json: { ...leaf.entry, ...iconIn(leaf.entry, base) },
    isLatest: leaf === latest,
    isAbsoluteLatest: leaf === absolute,
  }));
}

function iconIn(json: Json, base: string): { readonly iconUrl?: string } {
  const [, id, version] = /\/([^/]+)\/([^/]+)\/icon$/.exec(textOf(json.iconUrl) ?? '') ?? [];
  return id === undefined ? {} : { iconUrl: `${base}/v3/flat/${id}/${version}/icon` };
}

/** Which versions: all, the latest stable one, the latest one at all, stable ones, or one by its number. */
export type Which = 'all' | 'latest' | 'absolute' | 'stable' | `=${string}`;

export interface FeedPart {
  readonly skip: number;
  readonly top: number;
  readonly which: string;
  /** Highest version first. */
  readonly descending: boolean;
}

function isWanted({ version, isLatest, isAbsoluteLatest }: Row, which: string): boolean {
  switch (which) {
    case 'latest':
      return isLatest;
    case 'absolute':
      return isAbsoluteLatest;
    case 'stable':
      return !isPrerelease(version);
    default:
      return which === 'all' || `=${normalVersion(version)}` === which;
  }
}

export function findEntries(id: string, leaves: readonly Leaf[], base: string, part: FeedPart): Body {
  const rows = rowsOf(id, leaves, base).filter((row) => isWanted(row, part.which));
  if (part.descending) rows.reverse();
  return feed('FindPackagesById', rows.slice(part.skip, part.skip + part.top), rows.length, base);
}

/** One version; `undefined` when there is no such one. */
export function findEntry(id: string, leaves: readonly Leaf[], base: string, version: string): Body | undefined {
  const row = rowsOf(id, leaves, base)[leaves.findIndex((leaf) => leaf.version === version)];
  return row && atomBody(entry(row, base, true), 'entry');
}

/** Of each package that was found the latest version, or every one. */
export function foundEntries(found: readonly Found[], total: number, base: string, which: string): Body {
  const rows = found.flatMap(({ id, json, versions }): Row[] => {
    const latest = textOf(json.version) ?? '';
    const told = which === 'all' ? versions.flatMap(({ version }) => textOf(version) ?? []) : [latest];
    return told.map((version) => ({
      id: textOf(json.id) ?? id,
      version,
      json: { ...json, ...iconIn(json, base) },
      isLatest: version === latest && !isPrerelease(version),
      isAbsoluteLatest: version === latest,
    }));
  });
  return feed('Search', rows, total, base);
}

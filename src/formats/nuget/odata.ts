/** The few questions that clients of the second version ask, read without a parser for OData: everything else is nothing we know. */

import type { Which } from './atom.ts';
import { normalVersion } from './version.ts';

/** A function call in a path, `Packages(Id='x',Version='1.0')`. */
export interface OdataCall {
  readonly name: string;
  /** By name in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** A text in quotes, in which a quote is written twice. */
export function unquoted(text: string): string | undefined {
  const [, inner] = /^'((?:[^']|'')*)'$/.exec(text.trim()) ?? [];
  return inner?.replaceAll("''", "'");
}

/** `undefined` when the segment is something else. A name without parentheses is a call without parameters. */
export function readCall(segment: string): OdataCall | undefined {
  const [, name, inside = ''] = /^([A-Za-z]{1,40})(?:\(([^()]{0,400})\))?$/.exec(segment) ?? [];
  if (name === undefined) return undefined;
  const parameters: Record<string, string> = {};
  for (const [, key = '', value = ''] of inside.matchAll(/(?:^|,)\s*(\w+)\s*=\s*('(?:[^']|'')*')\s*(?=,|$)/g)) {
    parameters[key.toLowerCase()] = unquoted(value) ?? '';
  }
  return { name, parameters };
}

/** Names of query parameters are compared without regard to case; the first one counts. */
export function parameter(query: URLSearchParams, name: string): string | undefined {
  for (const [key, value] of query) if (key.toLowerCase() === name.toLowerCase()) return value;
  return undefined;
}

const conditions =
  /(?:\bId\b|\btolower\(Id\)|\b(?:Normalized)?Version\b)\s+eq\s+'(?:[^']|'')*'|\b(?:IsLatestVersion|IsAbsoluteLatestVersion|IsPrerelease)\b(?:\s+eq\s+(?:true|false))?|\b(?:and|not)\b|[\s()]/gi;

/** Whether a `$filter` has no other conditions than those below: leaving one out would answer another question. */
export function isKnownFilter(filter: string): boolean {
  return filter.replace(conditions, '') === '';
}

/** The package that a `$filter` asks for, `Id eq 'x'` or `tolower(Id) eq 'x'`, also among other conditions. */
export function idInFilter(filter: string): string | undefined {
  const [, quoted = ''] = /(?:^|[\s(])(?:Id|tolower\(Id\))\s+eq\s+('(?:[^']|'')*')/i.exec(filter) ?? [];
  return unquoted(quoted);
}

/** Which versions a `$filter` lets through, as far as clients use it for that. */
export function whichIn(filter: string): Which {
  const [, quoted = ''] = /(?:^|[\s(])(?:Normalized)?Version\s+eq\s+('[^']*')/i.exec(filter) ?? [];
  const version = normalVersion(unquoted(quoted) ?? '');
  if (version !== undefined) return `=${version}`;
  if (/\bIsAbsoluteLatestVersion\b/i.test(filter)) return 'absolute';
  if (/\bIsLatestVersion\b/i.test(filter)) return 'latest';
  return /\bnot\s+IsPrerelease\b|\bIsPrerelease\s+eq\s+false\b/i.test(filter) ? 'stable' : 'all';
}

const properties: readonly (readonly [string, string, string?])[] = [
  ['Id', 'String'],
  ['Version', 'String'],
  ['NormalizedVersion', 'String'],
  ['Title', 'String'],
  ['Authors', 'String'],
  ['Owners', 'String'],
  ['Description', 'String'],
  ['Summary', 'String'],
  ['Copyright', 'String'],
  ['Language', 'String'],
  ['Tags', 'String'],
  ['Dependencies', 'String'],
  ['Created', 'DateTime'],
  ['LastEdited', 'DateTime'],
  ['LastUpdated', 'DateTime'],
  ['Published', 'DateTime'],
  ['DownloadCount', 'Int32'],
  ['VersionDownloadCount', 'Int32'],
  ['IconUrl', 'String'],
  ['LicenseUrl', 'String'],
  ['ProjectUrl', 'String'],
  ['ReleaseNotes', 'String'],
  ['ReportAbuseUrl', 'String'],
  ['GalleryDetailsUrl', 'String'],
  ['IsLatestVersion', 'Boolean'],
  ['IsAbsoluteLatestVersion', 'Boolean'],
  ['IsPrerelease', 'Boolean'],
  ['RequireLicenseAcceptance', 'Boolean'],
  ['DevelopmentDependency', 'Boolean'],
  ['MinClientVersion', 'String'],
  ['PackageHash', 'String'],
  ['PackageHashAlgorithm', 'String'],
  ['PackageSize', 'Int64'],
];

const required = new Set(['Id', 'Version']);

function propertyOf([name, type]: readonly [string, string, string?]): string {
  const nullable = required.has(name) || type === 'Boolean' || /^Int/.test(type) ? ' Nullable="false"' : '';
  return `<Property Name="${name}" Type="Edm.${type}"${nullable}/>`;
}

function importOf(name: string, parameters: readonly (readonly [string, string])[]): string {
  const inside = parameters.map(([key, type]) => `<Parameter Name="${key}" Type="Edm.${type}"/>`).join('');
  return `<FunctionImport Name="${name}" ReturnType="Collection(NuGetGallery.OData.V2FeedPackage)" EntitySet="Packages" m:HttpMethod="GET">${inside}</FunctionImport>`;
}

/** Clients read from it which functions they may call. */
export const metadataXml = [
  '<?xml version="1.0" encoding="utf-8"?>\n',
  '<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">',
  '<edmx:DataServices m:DataServiceVersion="2.0" m:MaxDataServiceVersion="2.0" xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">',
  '<Schema Namespace="NuGetGallery.OData" xmlns="http://schemas.microsoft.com/ado/2006/04/edm">',
  '<EntityType Name="V2FeedPackage" m:HasStream="true">',
  '<Key><PropertyRef Name="Id"/><PropertyRef Name="Version"/></Key>',
  ...properties.map(propertyOf),
  '</EntityType></Schema>',
  '<Schema Namespace="NuGetGallery" xmlns="http://schemas.microsoft.com/ado/2006/04/edm">',
  '<EntityContainer Name="V2FeedContext" m:IsDefaultEntityContainer="true">',
  '<EntitySet Name="Packages" EntityType="NuGetGallery.OData.V2FeedPackage"/>',
  importOf('Search', [
    ['searchTerm', 'String'],
    ['targetFramework', 'String'],
    ['includePrerelease', 'Boolean'],
  ]),
  importOf('FindPackagesById', [['id', 'String']]),
  '</EntityContainer></Schema>',
  '</edmx:DataServices></edmx:Edmx>',
].join('');

export function serviceXml(base: string): string {
  return `<?xml version="1.0" encoding="utf-8"?>\n<service xml:base="${base}/v2/" xmlns="http://www.w3.org/2007/app" xmlns:atom="http://www.w3.org/2005/Atom"><workspace><atom:title>Default</atom:title><collection href="Packages"><atom:title>Packages</atom:title></collection></workspace></service>`;
}

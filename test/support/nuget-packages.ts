/** Packages as `dotnet pack` lays them out: a zip with a nuspec at its root, parts in the way of the Open Packaging Conventions, and a library. */
import { createHash } from 'node:crypto';
import { zipSync } from 'fflate';

export interface Dependency {
  readonly id: string;
  readonly range: string;
}

export interface PackageFacts {
  /** In the case it was published in. */
  readonly id: string;
  /** As published; may have metadata. */
  readonly version: string;
  readonly dependencies?: readonly Dependency[];
  readonly listed?: boolean;
  /** Default: an hour after the first of January 2024 for every version that the feed has. */
  readonly published?: string;
  /** Bytes of the library, so that a package may be any size. */
  readonly library?: Buffer;
  /** Further elements of the nuspec's metadata. */
  readonly metadata?: string;
  /** Further files by their path. */
  readonly files?: Readonly<Record<string, Uint8Array>>;
}

/** Fixed, so that the same facts are the same bytes. */
const packedAt = '2024-01-01T00:00:00';

const framework = '.NETStandard2.0';

export function nuspecOf({ id, version, dependencies = [], metadata = '' }: PackageFacts): string {
  const inside = dependencies.map(
    (one) => `        <dependency id="${one.id}" version="${one.range}" exclude="Build,Analyzers" />\n`,
  );
  return [
    '\ufeff<?xml version="1.0" encoding="utf-8"?>\n',
    '<package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd">\n  <metadata>\n',
    `    <id>${id}</id>\n    <version>${version}</version>\n    <authors>Alice</authors>\n`,
    `    <requireLicenseAcceptance>false</requireLicenseAcceptance>\n    <description>${id} for tests</description>\n`,
    `    <dependencies>\n      <group targetFramework="${framework}">\n${inside.join('')}      </group>\n    </dependencies>\n${metadata}`,
    '  </metadata>\n</package>\n',
  ].join('');
}

const relationships = (id: string): string =>
  `\ufeff<?xml version="1.0" encoding="utf-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Type="http://schemas.microsoft.com/packaging/2010/07/manifest" Target="/${id}.nuspec" Id="R1" /><Relationship Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="/package/services/metadata/core-properties/0.psmdcp" Id="R2" /></Relationships>`;

const contentTypes =
  '\ufeff<?xml version="1.0" encoding="utf-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml" /><Default Extension="nuspec" ContentType="application/octet" /><Default Extension="dll" ContentType="application/octet" /><Default Extension="psmdcp" ContentType="application/vnd.openxmlformats-package.core-properties+xml" /></Types>';

const coreProperties = ({ id, version }: PackageFacts): string =>
  `\ufeff<?xml version="1.0" encoding="utf-8"?><coreProperties xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"><dc:creator>Alice</dc:creator><dc:description>${id} for tests</dc:description><dc:identifier>${id}</dc:identifier><version>${version}</version><keywords></keywords></coreProperties>`;

export function packageOf(facts: PackageFacts): Buffer {
  const { id, version, library = Buffer.from(`MZ this is ${id} ${version}`) } = facts;
  const files = {
    '_rels/.rels': Buffer.from(relationships(id)),
    [`${id}.nuspec`]: Buffer.from(nuspecOf(facts)),
    [`lib/netstandard2.0/${id}.dll`]: library,
    '[Content_Types].xml': Buffer.from(contentTypes),
    'package/services/metadata/core-properties/0.psmdcp': Buffer.from(coreProperties(facts)),
    ...facts.files,
  };
  return Buffer.from(zipSync(files, { level: 6, mtime: packedAt }));
}

/** What `dotnet pack --include-symbols -p:SymbolPackageFormat=snupkg` writes beside it. */
export function symbolsOf({ id, version }: Pick<PackageFacts, 'id' | 'version'>): Buffer {
  return packageOf({
    id,
    version,
    library: Buffer.from(`BSJB symbols of ${id} ${version}`),
    metadata: '    <packageTypes>\n      <packageType name="SymbolsPackage" />\n    </packageTypes>\n',
  });
}

export interface PushedForm {
  readonly contentType: string;
  readonly body: Buffer;
}

/** The form in which NuGet sends a package (PackageUpdateResource, 6.12: `MultipartFormDataContent` of .NET). */
export function formOf(bytes: Uint8Array, filename = 'package.nupkg'): PushedForm {
  const boundary = '5b0ba8b6-0f3b-4f0a-9f0f-6d8d0a0c5c1e';
  const head = [
    `--${boundary}`,
    'Content-Type: application/octet-stream',
    `Content-Disposition: form-data; name=package; filename=${filename}; filename*=utf-8''${filename}`,
    '',
    '',
  ].join('\r\n');
  return {
    contentType: `multipart/form-data; boundary="${boundary}"`,
    body: Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)]),
  };
}

/** The same as nuget.exe 2.8 sends it on Mono, as it was seen on the wire. */
export function monoFormOf(bytes: Uint8Array): PushedForm {
  const boundary = '---------------------------8df47df76ddf3b2';
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="package"; filename="package"\r\nContent-Type: application/octet-stream\r\n\r\n`;
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\n--${boundary}--`)]),
  };
}

export function sha512Of(bytes: Uint8Array): string {
  return createHash('sha512').update(bytes).digest('base64');
}

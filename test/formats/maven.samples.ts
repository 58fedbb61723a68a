/** Metadata as Maven repositories write it. */
import type { DocumentSample } from '../conformance/format.ts';

export const upstream = 'https://maven.upstream.example/maven2';

export interface ArtifactMetadata {
  readonly versions: readonly string[];
  readonly latest?: string;
  readonly release?: string;
  readonly lastUpdated?: string;
}

/** The metadata of `com.acme:lib`. */
export function artifactXml({ versions, latest, release, lastUpdated = '20240102030405' }: ArtifactMetadata): Buffer {
  return Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>
<metadata>
  <groupId>com.acme</groupId>
  <artifactId>lib</artifactId>
  <versioning>
    <latest>${latest ?? versions.at(-1)}</latest>
    <release>${release ?? versions.at(-1)}</release>
    <versions>
${versions.map((version) => `      <version>${version}</version>\n`).join('')}    </versions>
    <lastUpdated>${lastUpdated}</lastUpdated>
  </versioning>
</metadata>
`);
}

export interface Build {
  readonly timestamp: string;
  readonly number: number;
  readonly files: readonly (readonly [extension: string, classifier?: string])[];
}

/** The metadata of `com.acme:lib:1.0-SNAPSHOT`, as Maven 3 writes it. */
export function snapshotXml({ timestamp, number, files }: Build): Buffer {
  const updated = timestamp.replace('.', '');
  const entries = files.map(
    ([extension, classifier]) => `      <snapshotVersion>
${classifier === undefined ? '' : `        <classifier>${classifier}</classifier>\n`}        <extension>${extension}</extension>
        <value>1.0-${timestamp}-${number}</value>
        <updated>${updated}</updated>
      </snapshotVersion>
`,
  );
  return Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>
<metadata modelVersion="1.1.0">
  <groupId>com.acme</groupId>
  <artifactId>lib</artifactId>
  <version>1.0-SNAPSHOT</version>
  <versioning>
    <snapshot>
      <timestamp>${timestamp}</timestamp>
      <buildNumber>${number}</buildNumber>
    </snapshot>
    <lastUpdated>${updated}</lastUpdated>
    <snapshotVersions>
${entries.join('')}    </snapshotVersions>
  </versioning>
</metadata>
`);
}

/** The metadata of the group `com.acme.plugins`: pairs of prefix and artifact. */
export function groupXml(plugins: readonly (readonly [prefix: string, artifactId: string])[]): Buffer {
  const entries = plugins.map(
    ([prefix, artifactId]) => `    <plugin>
      <name>The ${prefix} plugin</name>
      <prefix>${prefix}</prefix>
      <artifactId>${artifactId}</artifactId>
    </plugin>
`,
  );
  return Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>
<metadata>
  <plugins>
${entries.join('')}  </plugins>
</metadata>
`);
}

const xml = (text: string): Buffer => Buffer.from(text);

export const artifactSample: DocumentSample = {
  type: 'metadata',
  path: 'com/acme/lib/maven-metadata.xml',
  url: `${upstream}/com/acme/lib/maven-metadata.xml`,
  bytes: artifactXml({ versions: ['1.0', '1.1-rc1', '1.1', '2.0-SNAPSHOT'], release: '1.1' }),
  other: artifactXml({ versions: ['1.1', '2.0', '2.1+build~3'] }),
  variants: [''],
  wrong: {
    'another document': xml('<?xml version="1.0"?><project><artifactId>lib</artifactId></project>'),
    'a page that is XML': xml('<html xmlns="http://www.w3.org/1999/xhtml"><body>Please sign in.</body></html>'),
    'a document with entities of its own': xml(
      '<!DOCTYPE metadata [<!ENTITY a "aaaa">]><metadata><groupId>&a;</groupId></metadata>',
    ),
    'a document with a public type': xml('<!DOCTYPE metadata SYSTEM "file:///etc/passwd"><metadata/>'),
    'two documents': xml('<metadata/><metadata/>'),
  },
};

/** Metadata as Maven repositories write it. */
import type { DocumentSample, PublishSample } from '../conformance/format.ts';
import { hashOf } from '../support/bytes.ts';

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

/** What a pom of `group:artifact:version` says, and no more. */
export function pomXml(coordinates: string, more = ''): Buffer {
  const [group, artifact, version] = coordinates.split(':');
  return xml(`<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>${group}</groupId>
  <artifactId>${artifact}</artifactId>
  <version>${version}</version>
${more}</project>`);
}

const release = '/com/acme/lib/1.0/lib-1.0';
const build = '/com/acme/lib/1.1-SNAPSHOT/lib-1.1-20260102.030405-1';
const jar = Buffer.from('not looked into');

export const publishSamples: readonly PublishSample[] = [
  {
    title: 'a release',
    before: [
      { path: `${release}.jar`, body: jar },
      { path: `${release}.jar.sha1`, body: hashOf(jar, 'sha1') },
    ],
    request: { path: `${release}.pom`, body: pomXml('com.acme:lib:1.0') },
    other: { path: `${release}.pom`, body: pomXml('com.acme:lib:1.0', '  <name>Other</name>\n') },
    files: { [`${release}.jar`]: jar, [`${release}.pom`]: pomXml('com.acme:lib:1.0') },
    documents: ['/com/acme/lib/maven-metadata.xml'],
    undo: [{ method: 'DELETE', path: '/com/acme/lib/1.0' }],
  },
  {
    title: 'a build of a snapshot',
    before: [{ path: `${build}.jar`, body: jar }],
    request: { path: `${build}.pom`, body: pomXml('com.acme:lib:1.1-SNAPSHOT') },
    other: { path: `${build}.pom`, body: pomXml('com.acme:lib:1.1-SNAPSHOT', '  <name>Other</name>\n') },
    files: { [`${build}.jar`]: jar, [`${build}.pom`]: pomXml('com.acme:lib:1.1-SNAPSHOT') },
    documents: ['/com/acme/lib/maven-metadata.xml', '/com/acme/lib/1.1-SNAPSHOT/maven-metadata.xml'],
    undo: [{ method: 'DELETE', path: '/com/acme/lib/1.1-SNAPSHOT/' }],
  },
  {
    title: 'the prefix of a plugin',
    before: [{ path: '/com/acme/build/x-maven-plugin/1/x-maven-plugin-1.pom', body: pomXml('com.acme.build:x:1') }],
    request: {
      path: '/com/acme/build/maven-metadata.xml',
      body: groupXml([['x', 'x-maven-plugin']])
        .toString()
        .trimEnd(),
    },
    files: {},
    documents: ['/com/acme/build/maven-metadata.xml'],
    undo: [{ method: 'DELETE', path: '/com/acme/build/maven-metadata.xml' }],
  },
];

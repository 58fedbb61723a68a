/** Documents as p2 writes them, with everything that leads elsewhere. */
import { createHash } from 'node:crypto';
import { writeZipEntry } from '../../src/codecs/zip.ts';
import type { DocumentSample } from '../conformance/format.ts';

export const upstreamHost = 'download.upstream.example';
export const upstream = `https://${upstreamHost}/eclipse`;
export const lastModified = 'Wed, 15 May 2024 10:11:12 GMT';

export const sha256Of = (text: string): string => createHash('sha256').update(text).digest('hex');
export const md5Of = (text: string): string => createHash('md5').update(text).digest('hex');

export const contentXml = `<?xml version='1.0' encoding='UTF-8'?>
<?metadataRepository version='1.2.0'?>
<repository name='Größe' type='org.eclipse.equinox.internal.p2.metadata.repository.LocalMetadataRepository' version='1'>
  <properties size='3'>
    <property name='p2.timestamp' value='1715767872000'/>
    <property name='p2.compressed' value='true'/>
    <property name='p2.mirrorsURL' value='https://${upstreamHost}/mirrors.php?format=xml'/>
  </properties>
  <references size='2'>
    <repository uri='https://${upstreamHost}/other' url='https://${upstreamHost}/other' type='0' options='1'/>
    <repository uri='https://${upstreamHost}/other' url='https://${upstreamHost}/other' type='1' options='1'/>
  </references>
  <units size='1'>
    <unit id='com.acme.tool' version='1.0.0.v2024' generation='2'>
      <properties size='1'>
        <property name='p2.mirrorsURL' value='a unit&apos;s own'/>
      </properties>
      <provides size='1'>
        <provided namespace='osgi.bundle' name='com.acme.tool' version='1.0.0.v2024'/>
      </provides>
    </unit>
  </units>
</repository>
`;

export const servedContentXml = contentXml
  .replace("<properties size='3'>", "<properties size='2'>")
  .replace(/\n {4}<property name='p2.mirrorsURL' value='https[^\n]*/, '')
  .replace(/\n {2}<references.*<\/references>/s, '');

interface ListedArtifact {
  readonly classifier?: string;
  readonly id: string;
  readonly version: string;
  readonly properties?: Readonly<Record<string, string>>;
  readonly inside?: string;
}

export function artifactXml({ classifier, id, version, properties = {}, inside = '' }: ListedArtifact): string {
  const rows = Object.entries(properties).map(
    ([name, value]) => `        <property name='${name}' value='${value}'/>\n`,
  );
  return `    <artifact classifier='${classifier ?? 'osgi.bundle'}' id='${id}' version='${version}'>
${inside}      <properties size='${rows.length}'>
${rows.join('')}      </properties>
    </artifact>
`;
}

export function artifactsXml(artifacts: readonly ListedArtifact[], properties = ''): string {
  return `<?xml version='1.0' encoding='UTF-8'?>
<?artifactRepository version='1.1.0'?>
<repository name='Tools' type='org.eclipse.equinox.internal.p2.artifact.repository.simple.SimpleArtifactRepository' version='1'>
  <properties size='${properties === '' ? 2 : 5}'>
    <property name='p2.timestamp' value='1715767872000'/>
${properties}    <property name='p2.compressed' value='true'/>
  </properties>
  <mappings size='3'>
    <rule filter='(&amp; (classifier=osgi.bundle))' output='\${repoUrl}/plugins/\${id}_\${version}.jar'/>
    <rule filter='(&amp; (classifier=binary))' output='\${repoUrl}/binary/\${id}_\${version}'/>
    <rule filter='(&amp; (classifier=org.eclipse.update.feature))' output='\${repoUrl}/features/\${id}_\${version}.jar'/>
  </mappings>
  <artifacts size='${artifacts.length}'>
${artifacts.map(artifactXml).join('')}  </artifacts>
</repository>
`;
}

export const foreignProperties = `    <property name='p2.mirrorsURL' value='https://${upstreamHost}/mirrors.php?format=xml&amp;protocol=http'/>
    <property name='p2.mirrorsBaseURL' value='https://${upstreamHost}/eclipse/'/>
    <property name='p2.statsURI' value='https://${upstreamHost}/stats'/>
`;

export const listed: readonly ListedArtifact[] = [
  {
    id: 'com.acme.tool',
    version: '1.0.0.v2024',
    properties: {
      'artifact.size': '12',
      'download.size': '12',
      'download.md5': md5Of('com.acme.tool'),
      'download.checksum.md5': md5Of('com.acme.tool'),
      'download.checksum.sha-256': sha256Of('com.acme.tool'),
    },
  },
  { id: 'com.acme.x86_64', version: '2.0.0.v2024_1', properties: { 'download.md5': md5Of('old') } },
  { classifier: 'org.eclipse.update.feature', id: 'com.acme', version: '1.0.0', properties: { 'download.size': '7' } },
  { classifier: 'binary', id: 'com.acme_root.gtk.linux.x86_64', version: '1.0.0.v2024' },
  { classifier: 'com.acme.odd', id: 'odd', version: '1.0.0' },
  { id: 'com.acme.tool', version: '1.0.0.v2024', properties: { format: 'packed', 'download.md5': md5Of('packed') } },
  {
    id: 'com.acme.delta',
    version: '1.0.0',
    inside: "      <processing size='1'><step id='x' required='true'/></processing>\n",
  },
];

export function compositeXml(kind: 'Metadata' | 'Artifact', children: readonly string[]): string {
  const folder = kind === 'Metadata' ? 'metadata' : 'artifact';
  return `<?xml version='1.0' encoding='UTF-8'?>
<?composite${kind}Repository version='1.0.0'?>
<repository name='All' type='org.eclipse.equinox.internal.p2.${folder}.repository.Composite${kind}Repository' version='1.0.0'>
  <properties size='1'>
    <property name='p2.timestamp' value='1715767872000'/>
  </properties>
  <children size='${children.length}'>
${children.map((location) => `    <child location='${location}'/>\n`).join('')}  </children>
</repository>
`;
}

const children = [
  '2024-03',
  `${upstream}/releases/2024-06/`,
  `http://${upstreamHost}/other`,
  'https://mirror.example/x',
];

function asArchive(entry: string, xml: string): Uint8Array {
  return writeZipEntry(entry, Buffer.from(xml));
}

/** An upstream that has the plain document only. */
function answersOf(path: string): NonNullable<DocumentSample['replies']> {
  return ({ ask }) => {
    const isThere = 'path' in ask && ask.path === `${path}.xml`;
    return {
      status: isThere ? 200 : 404,
      headers: {},
      url: `${upstream}/${path}.xml`,
      bytes: Buffer.from(isThere ? artifactsXml(listed, foreignProperties) : ''),
    };
  };
}

const wrong = {
  'another document': Buffer.from("<?xml version='1.0'?>\n<site><feature url='a.jar'/></site>\n"),
  'one with a document type': Buffer.from(
    "<?xml version='1.0'?>\n<!DOCTYPE repository [<!ENTITY p 'p2.mirrorsURL'>]>\n<repository><properties/></repository>\n",
  ),
  'an archive of something else': writeZipEntry('other.xml', Buffer.from('<repository/>')),
};

export const documents: readonly DocumentSample[] = [
  {
    type: 'content',
    path: 'tools/1.0/content.xml',
    url: `${upstream}/tools/1.0/content.xml`,
    headers: { 'last-modified': lastModified },
    bytes: Buffer.from(contentXml),
    variants: ['xml'],
    projections: ['jar'],
    wrong,
  },
  {
    type: 'content',
    path: 'content.jar',
    url: `${upstream}/content.jar`,
    bytes: asArchive('content.xml', contentXml),
    variants: ['xml'],
    projections: ['jar'],
    wrong,
  },
  ...['tools/1.0/artifacts', 'artifacts'].map((path) => ({
    type: 'artifacts',
    path,
    url: `${upstream}/${path}.jar`,
    bytes: asArchive('artifacts.xml', artifactsXml(listed, foreignProperties)),
    replies: answersOf(path),
    variants: ['xml'],
    projections: ['jar'],
    wrong,
  })),
  {
    type: 'composite-content',
    path: 'releases/compositeContent.jar',
    url: `${upstream}/releases/compositeContent.jar`,
    bytes: asArchive('compositeContent.xml', compositeXml('Metadata', children)),
    variants: ['xml'],
    projections: ['jar'],
    wrong,
  },
  {
    type: 'composite-artifacts',
    path: 'releases/compositeArtifacts.xml',
    url: `${upstream}/releases/compositeArtifacts.xml`,
    bytes: Buffer.from(compositeXml('Artifact', children)),
    variants: ['xml'],
    projections: ['jar'],
    wrong,
  },
];

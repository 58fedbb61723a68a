import { format } from '../../src/formats/maven/index.ts';
import { conformance } from '../conformance/format.ts';
import { artifactSample } from './maven.samples.ts';

conformance(format, {
  documents: [artifactSample],
  examples: {
    root: ['/'],
    prefixes: ['/.meta/prefixes.txt', '/.meta/prefixes.txt.sha1'],
    metadata: [
      '/com/acme/lib/maven-metadata.xml',
      '/com/acme/lib/1.0-SNAPSHOT/maven-metadata.xml',
      '/commons-io/maven-metadata.xml',
    ],
    checksum: [
      '/com/acme/lib/1.0/lib-1.0.jar.sha1',
      '/com/acme/lib/1.0/lib-1.0.jar.asc.sha1',
      '/com/acme/lib/maven-metadata.xml.sha512',
      '/archetype-catalog.xml.md5',
    ],
    file: [
      '/com/acme/lib/1.0/lib-1.0.jar',
      '/com/acme/lib/1.0%2Bbuild~1/lib-1.0+build~1-sources.tar.gz.asc',
      '/com/acme/',
      '/archetype-catalog.xml',
      '/.index/nexus-maven-repository-index.gz',
      '/distributions/gradle-8.5-bin.zip',
    ],
  },
});

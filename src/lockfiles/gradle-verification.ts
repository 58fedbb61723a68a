/** `gradle/verification-metadata.xml` (Gradle 6.2 and later): every file that a build was given, with its digests. */
import { childOf, readXml, type XmlElement } from '../codecs/xml.ts';
import type { Digest } from '../core/digest.ts';
import { textOf } from './contents.ts';
import { digestIn, strongest } from './digests.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError, limits } from './lockfile.ts';

/** What is trusted besides (`also-trust`) is as good: the same file, rebuilt by its publisher. */
function digestsOf(artifact: XmlElement): readonly Digest[] {
  return strongest(
    artifact.children.flatMap((sum) => [
      digestIn(sum.name, sum.attributes.value),
      ...sum.children.map((also) =>
        also.name === 'also-trust' ? digestIn(sum.name, also.attributes.value) : undefined,
      ),
    ]),
  );
}

export const gradleVerification: Kind = {
  id: 'gradle-verification',
  names: ['gradle/verification-metadata.xml'],
  isNamed: named('verification-metadata.xml'),
  looksLike: (contents) => /<verification-metadata[\s>]/.test(textOf(contents).slice(0, 2000)),
  read: (contents, findings) => {
    const root = readXml(contents.bytes, {
      sizeBytes: limits.fileBytes,
      depth: limits.depth,
      elements: 4 * limits.entries,
    });
    if (root.name !== 'verification-metadata')
      throw new LockfileError('its first element is no <verification-metadata>');
    for (const { name: element, attributes, children } of childOf(root, 'components')?.children ?? []) {
      if (element !== 'component') continue;
      const { group, name, version } = attributes;
      if (group === undefined || name === undefined || version === undefined) {
        throw new LockfileError('a <component> has no group, name or version');
      }
      const at = `${group}:${name}:${version}`;
      for (const artifact of children) {
        if (artifact.name !== 'artifact') continue;
        const file = artifact.attributes.name;
        findings.want({
          format: 'maven',
          name: `${group}:${name}`,
          version,
          file,
          digests: digestsOf(artifact),
          at: `${at} > ${file}`,
        });
      }
    }
    findings.note(
      'Gradle leaves out files that it did not verify, such as some parent POMs: record the build where one is missing.',
    );
  },
};

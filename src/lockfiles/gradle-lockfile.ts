/** `gradle.lockfile` and its siblings: `group:artifact:version=configurations`, one per line (Gradle 4.8 and later). */
import { linesOf, textOf } from './contents.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';

const row = /^([^:=\s]+):([^:=\s]+):([^:=\s]+)(?:=.*)?$/;

export const gradleLockfile: Kind = {
  id: 'gradle-lockfile',
  names: ['gradle.lockfile', 'buildscript-gradle.lockfile', 'settings-gradle.lockfile'],
  isNamed: ({ name }) => /\.lockfile$/i.test(name),
  looksLike: (contents) =>
    /^# This is a Gradle generated file for dependency locking\./m.test(textOf(contents).slice(0, 1000)),
  read: (contents, findings) => {
    for (const { number, text } of linesOf(contents)) {
      const line = text.trim();
      if (line === '' || line.startsWith('#') || line.startsWith('empty=')) continue;
      const [, group, artifact, version] = row.exec(line) ?? [];
      if (group === undefined || artifact === undefined || version === undefined) {
        throw new LockfileError(
          `line ${number} is no "group:artifact:version=configurations"; run \`gradle dependencies --write-locks\``,
        );
      }
      findings.want({ format: 'maven', name: `${group}:${artifact}`, version, at: `line ${number}` });
    }
    findings.note(
      'It names modules, not their files, and has no digests: plugins, classifiers and configurations that are not locked are missing. gradle/verification-metadata.xml says more (`gradle --write-verification-metadata sha256 build`); a recorded build says all.',
    );
  },
};

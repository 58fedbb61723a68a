/** `pom.xml`: what Maven will ask for is known to Maven alone. */
import { textOf } from './contents.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';

export const pom: Kind = {
  id: 'pom',
  names: ['pom.xml', '*.pom'],
  isNamed: ({ name }) => /^pom\.xml$|\.pom$/i.test(name),
  looksLike: (contents) =>
    /<project[^>]*\sxmlns\s*=\s*["']http:\/\/maven\.apache\.org\/POM/.test(textOf(contents).slice(0, 5000)),
  read: () => {
    throw new LockfileError(
      'a POM names neither what its dependencies need nor what its plugins do; record the build instead: `larder record --name NAME -- mvn verify`',
    );
  },
};

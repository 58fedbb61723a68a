/** A plain list of package URLs, one per line. */
import { linesOf, textOf } from './contents.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { wantPackageUrl } from './package-url.ts';

export const packageUrlList: Kind = {
  id: 'package-url-list',
  names: ['purls.txt', '*.purls'],
  isNamed: ({ name }) => /^(?:.*[-_.])?purls?\.(?:txt|list)$|\.purls?$/i.test(name),
  looksLike: (contents) => /^(?:[ \t]*(?:#.*)?\r?\n)*[ \t]*pkg:/.test(textOf(contents).slice(0, 20_000)),
  read: (contents, findings) => {
    let count = 0;
    for (const { number, text } of linesOf(contents)) {
      const line = text.replace(/(?:^|\s)#.*$/, '').trim();
      if (line === '') continue;
      if (!line.startsWith('pkg:')) throw new LockfileError(`line ${number} is no package URL`);
      wantPackageUrl(findings, line, { at: `line ${number}` });
      count++;
    }
    if (count === 0) throw new LockfileError('it names no package');
  },
};

/** The list that `larder missing` writes on the closed side: requests, as they were made. */
import { linesOf, textOf } from './contents.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';

function isMissing(text: string): boolean {
  return /^# larder missing\b/.test(text);
}

export const missing: Kind = {
  id: 'missing',
  names: ['what `larder missing` writes'],
  isNamed: (contents) => isMissing(Buffer.from(contents.bytes.subarray(0, 32)).toString('latin1')),
  looksLike: (contents) => isMissing(textOf(contents)),
  read: (contents, findings) => {
    if (!/^# larder missing 1\s*(?:$|\n|\r)/.test(textOf(contents))) {
      throw new LockfileError('it was written by another version of Larder: this one reads "# larder missing 1"');
    }
    for (const { number, text } of linesOf(contents)) {
      if (text.trim() === '' || text.startsWith('#')) continue;
      const [repository = '', said = '', accept] = text.split('\t');
      const path = said.replace(/^\//, '');
      if (!/^[^\s/]+\/[^\s/]+$/.test(repository) || said === '') {
        throw new LockfileError(
          `line ${number} is no "ORG/REPOSITORY<TAB>path"; write the list again with \`larder missing\``,
        );
      }
      // A client may have asked for anything; that is no reason to go without all the rest.
      if (!/^[!-~]+$/.test(path) || !/^[ -~]*$/.test(accept ?? '')) {
        findings.skip(
          `${repository} ${path}`,
          'no client could ask for that again as it stands there',
          `line ${number}`,
        );
        continue;
      }
      findings.request({ repository, path, ...(accept ? { accept } : {}) }, `line ${number}`);
    }
  },
};

/** `yarn.lock` of Yarn 2 and later. Its checksums are of the archive that Yarn makes itself, so there are no digests here. */
import { namedObjects, neededText, textField } from './fields.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { elsewhere } from './npm-source.ts';
import { wantSiteFile } from './site-file.ts';
import { isBerry, splitPattern, symlOf } from './yarn-lock.ts';

/** `1.0.0::__archiveUrl=https%3A%2F%2F…` of registries with addresses of their own making. */
function archiveUrl(parameters: string | undefined): string | undefined {
  return parameters === undefined ? undefined : (new URLSearchParams(parameters).get('__archiveUrl') ?? undefined);
}

export const yarnBerryLock: Kind = {
  id: 'yarn-berry-lock',
  names: ['yarn.lock'],
  isNamed: (contents) => named('yarn.lock')(contents) && isBerry(contents),
  looksLike: (contents) => isBerry(contents),
  read: (contents, findings) => {
    const all = namedObjects(symlOf(contents), 'the file');
    if (all.length === 0) throw new LockfileError('it holds no entries');
    for (const [key, value] of all) {
      if (key === '__metadata') continue;
      const resolution = neededText(value, 'resolution', key);
      const { name, range } = splitPattern(resolution);
      if (range === 'workspace:.') continue;
      const [, said, parameters] = /^npm:(.*?)(?:::(.*))?$/s.exec(range) ?? [];
      const optional = textField(value, 'conditions', key) !== undefined;
      const at = resolution;
      if (said !== undefined) {
        findings.want({ format: 'npm', name, version: said, url: archiveUrl(parameters), optional, at });
      } else if (/^https?:/.test(range) && elsewhere(range) === undefined) {
        wantSiteFile(findings, { url: range.split('#', 1)[0] ?? range, digests: [], optional, at });
      } else findings.skip(resolution, elsewhere(range) ?? 'no registry hands it out', key);
    }
    findings.note(
      "Checksums of this file are of archives that Yarn makes itself, so what is fetched is checked against the registry's digests alone.",
    );
  },
};

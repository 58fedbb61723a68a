/** `yarn.lock` of Yarn 1: `pattern, pattern:` with a version, an address with sha1 behind `#`, and since 1.10 an integrity. */
import { parseSyml } from '@yarnpkg/parsers';
import { isObject, type Json } from '../codecs/json.ts';
import { parseDigest } from '../core/digest.ts';
import { type Contents, shortLinesOf, textOf } from './contents.ts';
import { integrityDigests } from './digests.ts';
import { namedObjects, neededText, textField } from './fields.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { elsewhere, isRegistryAddress, noAddresses } from './npm-source.ts';
import { wantSiteFile } from './site-file.ts';

/** Of either Yarn; the parser knows the grammar of the first by its comment. Throws on what is none. */
export function symlOf(contents: Contents): Json {
  const value: unknown = parseSyml(shortLinesOf(contents).replaceAll('\r\n', '\n'));
  if (!isObject(value)) throw new LockfileError('it holds no entries');
  return value;
}

export function isBerry(contents: Contents): boolean {
  return /^"?__metadata"?:/m.test(textOf(contents));
}

/** What stands in front of the second `@` of a scoped name or the first of another, and what behind it. */
export function splitPattern(pattern: string): { readonly name: string; readonly range: string } {
  const at = pattern.indexOf('@', 1);
  return at === -1 ? { name: pattern, range: '' } : { name: pattern.slice(0, at), range: pattern.slice(at + 1) };
}

export const yarnLock: Kind = {
  id: 'yarn-lock',
  names: ['yarn.lock'],
  isNamed: (contents) => named('yarn.lock')(contents) && !isBerry(contents),
  looksLike: (contents) => /^# yarn lockfile v1\s*$/m.test(textOf(contents).slice(0, 1000)),
  read: (contents, findings) => {
    const text = textOf(contents);
    if (!/^# yarn lockfile v1\s*$/m.test(text.slice(0, 1000))) {
      throw new LockfileError(
        'it has neither the first lines of Yarn 1 nor the metadata of Yarn 2 and later; let `yarn install` write it',
      );
    }
    for (const [key, value] of namedObjects(symlOf(contents), 'the file')) {
      const { name: alias, range } = splitPattern(key.split(', ', 1)[0] ?? key);
      const name = /^npm:(.+?)(?:@[^@/]*)?$/.exec(range)?.[1] ?? alias;
      const version = neededText(value, 'version', key);
      const resolved = textField(value, 'resolved', key);
      const hash = resolved?.split('#')[1];
      const sha1 = parseDigest(`sha1:${hash}`);
      const integrity = integrityDigests(textField(value, 'integrity', key));
      const digests = integrity.length === 0 && sha1 ? [sha1] : integrity;
      const source = elsewhere(range) ?? (resolved === undefined ? undefined : elsewhere(resolved));
      if (source !== undefined) findings.skip(`${name} ${version}`, source, key);
      else if (resolved !== undefined && (/^https?:/.test(range) || !isRegistryAddress(resolved, name))) {
        wantSiteFile(findings, { url: resolved, digests, at: key });
      } else {
        if (resolved === undefined) findings.note(noAddresses);
        findings.want({ format: 'npm', name, version, url: resolved, digests, at: key });
      }
    }
  },
};

/** `bun.lock`: JSON with commas at the end of lists, each package as a list of its resolution, address, needs and integrity. */
import { isObject } from '../codecs/json.ts';
import { looseJsonOf, textOf } from './contents.ts';
import { integrityDigests } from './digests.ts';
import { isTrue, objectField } from './fields.ts';
import { webAddress } from './findings.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { elsewhere, isRegistryAddress } from './npm-source.ts';
import { wantSiteFile } from './site-file.ts';
import { splitPattern } from './yarn-lock.ts';

export const bunLock: Kind = {
  id: 'bun-lock',
  names: ['bun.lock'],
  isNamed: named('bun.lock'),
  looksLike: (contents) =>
    /^\s*\{\s*"lockfileVersion": \d+,\s*(?:"configVersion": \d+,\s*)?"workspaces": \{/.test(
      textOf(contents).slice(0, 1000),
    ),
  read: (contents, findings) => {
    const json = looseJsonOf(contents);
    if (typeof json.lockfileVersion !== 'number')
      throw new LockfileError('it has no lockfileVersion; let `bun install` write it again');
    for (const [key, entry] of Object.entries(objectField(json, 'packages', 'the file') ?? {})) {
      const [resolution, second] = Array.isArray(entry) ? (entry as readonly unknown[]) : [];
      if (typeof resolution !== 'string')
        throw new LockfileError(`"${key}" of packages is no list; let \`bun install\` write it again`);
      const rest = (entry as readonly unknown[]).slice(1);
      const info = rest.find(isObject) ?? {};
      const integrity = rest.findLast((one): one is string => typeof one === 'string' && /^sha\d+-/.test(one));
      const digests = integrityDigests(integrity);
      const { name, range } = splitPattern(resolution);
      const optional = Object.hasOwn(info, 'os') || Object.hasOwn(info, 'cpu');
      const address = typeof second === 'string' ? webAddress(second) : undefined;
      if (range.startsWith('root:')) continue;
      const source = elsewhere(range);
      if (source !== undefined) findings.skip(resolution, source, key);
      else if (isTrue(info, 'bundled')) findings.skip(resolution, 'it comes inside the package that needs it', key);
      else if (/^https?:/.test(range)) wantSiteFile(findings, { url: range, digests, optional, at: key });
      else {
        const where =
          address !== undefined && !isRegistryAddress(address, name) ? { registry: address } : { url: address };
        findings.want({ format: 'npm', name, version: range, ...where, digests, optional, at: key });
      }
    }
  },
};

export const bunLockb: Kind = {
  id: 'bun-lockb',
  names: ['bun.lockb'],
  isNamed: named('bun.lockb'),
  read: () => {
    throw new LockfileError(
      "it is Bun's binary lockfile, which only Bun reads; run `bun install --save-text-lockfile`, and give the bun.lock that it writes",
    );
  },
};

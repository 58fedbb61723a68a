/** `pnpm-lock.yaml`, versions 5, 6 and 9 (pnpm 3 to 12), with every document of the file: newer ones keep pnpm itself in a first one. */
import { isObject, type Json } from '../codecs/json.ts';
import { textOf, yamlDocumentsOf } from './contents.ts';
import { integrityDigests } from './digests.ts';
import { isTrue, namedObjects, objectField, textField } from './fields.ts';
import type { Findings } from './findings.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { elsewhere, isRegistryAddress } from './npm-source.ts';
import { wantSiteFile } from './site-file.ts';

interface Key {
  readonly name: string;
  /** A version, or what the package comes from. */
  readonly version: string;
}

/** `n@1.0.0(peer@2.0.0)` of version 9, `/n@1.0.0(peer@2.0.0)` of version 6. A host in front of the slash is that of another registry. */
function atKey(key: string): Key | undefined {
  const [plain = ''] = key.split('(', 1);
  const slash = /^[^@/]*\.[^@/]*\//.test(plain) ? plain.indexOf('/') + 1 : plain.startsWith('/') ? 1 : 0;
  const at = plain.indexOf('@', slash + 1);
  return at === -1 ? undefined : { name: plain.slice(slash, at), version: plain.slice(at + 1) };
}

/** `/n/1.0.0_peer@2.0.0`, `registry.example/@s/n/1.0.0`. */
function slashKey(key: string): Key | undefined {
  const match = /^[^/]*\/((?:@[^/]+\/)?[^/]+)\/([^/_]+)(?:_.*)?$/.exec(key);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { name: match[1], version: match[2] };
}

/** Peers are left out of keys where these would become longer (pnpm's `maxLengthOfPeersSuffix`: 1000). */
const longestKey = 4096;

/** Of version 9, where the packages don't say it: those that are optional wherever they are used. */
function optionalOnes(snapshots: Json | undefined): (key: string) => boolean {
  const optional = new Set<string>();
  const needed = new Set<string>();
  for (const [key, value] of namedObjects(snapshots, 'snapshots')) {
    (isTrue(value, 'optional') ? optional : needed).add(key.split('(', 1)[0] ?? key);
  }
  return (key) => optional.has(key) && !needed.has(key);
}

function readDocument(document: Json, findings: Findings): void {
  const version = Number.parseFloat(String(document.lockfileVersion));
  if (![5, 6, 9].includes(Math.floor(version))) {
    throw new LockfileError(
      'its lockfileVersion is none of 5, 6 and 9; let a current pnpm write it again (`pnpm install --lockfile-only`)',
    );
  }
  const isOptional = optionalOnes(objectField(document, 'snapshots', 'the file'));
  for (const [key, value] of namedObjects(objectField(document, 'packages', 'the file'), 'packages')) {
    if (key.length > longestKey) throw new LockfileError('the key of a package is too long');
    const resolution = objectField(value, 'resolution', key) ?? {};
    const said = version < 6 ? slashKey(key) : atKey(key);
    const name = textField(value, 'name', key) ?? said?.name;
    const exact = textField(value, 'version', key) ?? said?.version;
    const type = textField(resolution, 'type', key);
    const tarball = textField(resolution, 'tarball', key);
    const optional = isTrue(value, 'optional') || isOptional(key);
    const digests = integrityDigests(textField(resolution, 'integrity', key));
    const source =
      (key.startsWith('/') ? undefined : elsewhere(key)) ??
      elsewhere(said?.version ?? '') ??
      (tarball && elsewhere(tarball));
    if (type === 'git') findings.skip(key, 'it comes from a git repository', key);
    else if (source) findings.skip(key, source, key);
    else if (type !== undefined) findings.skip(key, `it is of the type "${type}", which no registry hands out`, key);
    else if (tarball !== undefined && (name === undefined || !isRegistryAddress(tarball, name))) {
      wantSiteFile(findings, { url: tarball, digests, optional, at: key });
    } else if (name === undefined || exact === undefined) findings.skip(key, 'it has no name and version', key);
    else findings.want({ format: 'npm', name, version: exact, url: tarball, digests, optional, at: key });
  }
}

export const pnpmLock: Kind = {
  id: 'pnpm-lock',
  names: ['pnpm-lock.yaml'],
  isNamed: named('pnpm-lock.yaml'),
  looksLike: (contents) => /^lockfileVersion: ['"]?[\d.]/m.test(textOf(contents).slice(0, 10_000)),
  read: (contents, findings) => {
    const documents = yamlDocumentsOf(contents);
    if (documents.length === 0) throw new LockfileError('it is empty');
    for (const document of documents) {
      if (!isObject(document)) throw new LockfileError('it holds no fields');
      readDocument(document, findings);
    }
  },
};

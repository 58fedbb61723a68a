/** `Pipfile.lock` (Pipenv, specification 6): versions with the hashes of all their files, which it does not name. */
import { isObject, type Json } from '../codecs/json.ts';
import { jsonIfAny, jsonOf } from './contents.ts';
import { strongest } from './digests.ts';
import { listField, namedObjects, objectField, objectsField, textField } from './fields.ts';
import type { Findings } from './findings.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { buildNeeds, hashDigest } from './python-file.ts';

function readGroup(group: string, packages: Json, indexes: ReadonlyMap<string, string>, findings: Findings): void {
  for (const [name, value] of namedObjects(packages, group)) {
    const at = `${group} > ${name}`;
    const version = /^===?(.+)$/.exec(textField(value, 'version', at) ?? '')?.[1]?.trim();
    const digests = strongest(
      listField(value, 'hashes', at).map((hash) => hashDigest(typeof hash === 'string' ? hash : undefined)),
    );
    const index = textField(value, 'index', at);
    const registry = index === undefined ? undefined : indexes.get(index);
    if (['git', 'hg', 'svn', 'bzr'].some((key) => Object.hasOwn(value, key))) {
      findings.skip(name, 'it comes from a repository of sources', at);
    } else if (Object.hasOwn(value, 'path') || (Object.hasOwn(value, 'editable') && version === undefined)) {
      findings.skip(name, 'it is a folder beside the project', at);
    } else if (Object.hasOwn(value, 'file')) {
      const url = textField(value, 'file', at);
      if (url !== undefined && /^https?:/.test(url)) findings.want({ format: 'pypi', name, version, url, digests, at });
      else findings.skip(name, 'it is a file beside the project', at);
    } else if (version === undefined) findings.skip(name, 'it has no exact version; run `pipenv lock`', at);
    else findings.want({ format: 'pypi', name, version, registry, digests, at });
  }
}

export const pipfileLock: Kind = {
  id: 'pipfile-lock',
  names: ['Pipfile.lock'],
  isNamed: named('Pipfile.lock'),
  looksLike: (contents) => {
    const meta = jsonIfAny(contents)?._meta;
    return isObject(meta) && meta['pipfile-spec'] !== undefined;
  },
  read: (contents, findings) => {
    const json = jsonOf(contents);
    const meta = objectField(json, '_meta', 'the file');
    if (meta === undefined) throw new LockfileError('it has no "_meta"; run `pipenv lock`');
    const indexes = new Map<string, string>();
    for (const source of objectsField(meta, 'sources', '_meta')) {
      const name = textField(source, 'name', '_meta.sources');
      const url = textField(source, 'url', '_meta.sources');
      if (name !== undefined && url !== undefined) indexes.set(name, url);
    }
    for (const [group, packages] of namedObjects(json, 'the file')) {
      if (group !== '_meta') readGroup(group, packages, indexes, findings);
    }
    findings.note(buildNeeds);
  },
};

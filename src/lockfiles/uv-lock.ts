/** `uv.lock`, version 1: every file of a version with address, hash and size; the host that it was locked against is part of it. */
import { isObject } from '../codecs/json.ts';
import { textOf, tomlOf } from './contents.ts';
import { neededText, objectField, objectsField, textField } from './fields.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { buildNeeds, wantFiles } from './python-file.ts';

const sources: Readonly<Record<string, string>> = {
  git: 'it comes from a git repository',
  editable: 'it is a folder of the project',
  virtual: 'it is a folder of the project',
  directory: 'it is a folder beside the project',
  path: 'it is a file beside the project',
};

export const uvLock: Kind = {
  id: 'uv-lock',
  names: ['uv.lock'],
  isNamed: named('uv.lock'),
  looksLike: (contents) => /^source = \{ (?:registry|virtual|editable) = "/m.test(textOf(contents)),
  read: (contents, findings) => {
    const toml = tomlOf(contents);
    if (toml.version !== 1)
      throw new LockfileError('its version is not 1; let a current uv write it again (`uv lock`)');
    for (const one of objectsField(toml, 'package', 'the file')) {
      const name = neededText(one, 'name', 'a package');
      const version = textField(one, 'version', name) ?? '';
      const source = objectField(one, 'source', name) ?? {};
      const where = Object.keys(sources).find((key) => Object.hasOwn(source, key));
      if (where !== undefined) {
        findings.skip(`${name} ${version}`.trim(), sources[where] ?? where, name);
        continue;
      }
      const sdist = objectField(one, 'sdist', name);
      const url = textField(source, 'url', name);
      const files = [...(sdist ? [sdist] : []), ...objectsField(one, 'wheels', name)].filter(isObject);
      const addressed = url === undefined ? files : files.map((file) => ({ ...file, url: file.url ?? url }));
      const registry = textField(source, 'registry', name);
      wantFiles(findings, { name, version, registry, optional: false, at: name }, addressed);
    }
    findings.note(buildNeeds);
  },
};

/** `pylock.toml` and `pylock.NAME.toml` (PEP 751, version 1). */
import { isObject, type Json } from '../codecs/json.ts';
import { textOf, tomlOf } from './contents.ts';
import { digestIn, strongest } from './digests.ts';
import { neededText, objectField, objectsField, textField } from './fields.ts';
import { lastSegment, webAddress } from './findings.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { buildNeeds } from './python-file.ts';

export const pylock: Kind = {
  id: 'pylock',
  names: ['pylock.toml', 'pylock.*.toml'],
  isNamed: ({ name }) => /^pylock(?:\.[^.]+)?\.toml$/i.test(name),
  looksLike: (contents) => /^lock-version\s*=\s*["']1\./m.test(textOf(contents)),
  read: (contents, findings) => {
    const toml = tomlOf(contents);
    if (!/^1\./.test(neededText(toml, 'lock-version', 'the file')))
      throw new LockfileError('its lock-version is not 1');
    for (const one of objectsField(toml, 'packages', 'the file')) {
      const name = neededText(one, 'name', 'a package');
      const version = textField(one, 'version', name);
      const what = `${name} ${version ?? ''}`.trim();
      const registry = textField(one, 'index', name);
      const single = [objectField(one, 'archive', name), objectField(one, 'sdist', name)];
      const files = [...single, ...objectsField(one, 'wheels', name)].filter((file): file is Json => isObject(file));
      if (Object.hasOwn(one, 'vcs')) findings.skip(what, 'it comes from a repository of sources', name);
      else if (Object.hasOwn(one, 'directory')) findings.skip(what, 'it is a folder beside the project', name);
      else if (files.length === 0) findings.want({ format: 'pypi', name, version, registry, at: name });
      for (const file of files) {
        const url = textField(file, 'url', name);
        const path = textField(file, 'path', name);
        if (url === undefined && path !== undefined) {
          findings.skip(`${what} (${path})`, 'it is a file beside the project', name);
          continue;
        }
        const address = webAddress(url);
        const hashes = Object.entries(objectField(file, 'hashes', name) ?? {});
        const digests = strongest(
          hashes.map(([algorithm, hex]) => digestIn(algorithm, typeof hex === 'string' ? hex : undefined)),
        );
        const called = textField(file, 'name', name) ?? (address ? lastSegment(address) : undefined);
        findings.want({ format: 'pypi', name, version, url, file: called, registry, digests, at: name });
      }
    }
    findings.note(buildNeeds);
  },
};

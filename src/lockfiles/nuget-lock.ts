/**
 * `packages.lock.json` of NuGet, versions 1 and 2. Its `contentHash` is of the package before it was signed (NuGet/Home#7283), and
 * nearly all packages of the public gallery are signed there, so it is no digest of the file.
 */
import { isObject } from '../codecs/json.ts';
import { jsonIfAny, jsonOf } from './contents.ts';
import { namedObjects, neededText, objectField, textField } from './fields.ts';
import type { Kind } from './kind.ts';
import { LockfileError } from './lockfile.ts';

export const contentHashes =
  "Its hashes are of packages before they were signed, not of the files, so what is fetched is checked against the feed's own digests alone.";

export const nugetLock: Kind = {
  id: 'nuget-lock',
  names: ['packages.lock.json', 'packages.*.lock.json'],
  isNamed: ({ name }) => /^packages(?:\.[^/]+)?\.lock\.json$/i.test(name),
  looksLike: (contents) => {
    const json = jsonIfAny(contents);
    if (!isObject(json?.dependencies) || typeof json.version !== 'number') return false;
    return Object.keys(json.dependencies).every((target) =>
      /^(?:net|\.NET|uap|mono|xamarin|tizen|native)/i.test(target),
    );
  },
  read: (contents, findings) => {
    const json = jsonOf(contents);
    if (json.version !== 1 && json.version !== 2) {
      throw new LockfileError('its version is none of 1 and 2; write it with `dotnet restore --use-lock-file`');
    }
    const targets = objectField(json, 'dependencies', 'the file');
    for (const [target, packages] of namedObjects(targets, 'dependencies')) {
      for (const [name, value] of namedObjects(packages, target)) {
        const at = `${target} > ${name}`;
        if (textField(value, 'type', at)?.toLowerCase() === 'project')
          findings.skip(name, 'it is a project of the solution', at);
        else findings.want({ format: 'nuget', name, version: neededText(value, 'resolved', at), at });
      }
    }
    findings.note(contentHashes);
    findings.note(
      'Packs of the runtime, SDKs and tools are not in this file: give obj/project.assets.json after a restore as well, or record the build.',
    );
  },
};

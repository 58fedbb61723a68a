/** `obj/project.assets.json`, which a restore of NuGet writes, version 3: also the packs that no lockfile has. */
import { isObject } from '../codecs/json.ts';
import { jsonIfAny, jsonOf } from './contents.ts';
import { namedObjects, neededText, objectField, objectsField, textField } from './fields.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError } from './lockfile.ts';
import { contentHashes } from './nuget-lock.ts';

export const nugetAssets: Kind = {
  id: 'nuget-assets',
  names: ['project.assets.json'],
  isNamed: named('project.assets.json'),
  looksLike: (contents) => {
    const json = jsonIfAny(contents);
    return isObject(json?.libraries) && isObject(json.targets) && isObject(json.project);
  },
  read: (contents, findings) => {
    const json = jsonOf(contents);
    const libraries = objectField(json, 'libraries', 'the file');
    if (libraries === undefined) throw new LockfileError('it has no "libraries"; run `dotnet restore`');
    for (const [key, value] of namedObjects(libraries, 'libraries')) {
      const [name = '', version = ''] = key.split('/');
      if (textField(value, 'type', key)?.toLowerCase() === 'package')
        findings.want({ format: 'nuget', name, version, at: key });
      else findings.skip(key, 'it is a project of the solution', key);
    }
    const frameworks = objectField(objectField(json, 'project', 'the file') ?? {}, 'frameworks', 'project');
    for (const [target, framework] of namedObjects(frameworks, 'project.frameworks')) {
      for (const pack of objectsField(framework, 'downloadDependencies', target)) {
        const name = neededText(pack, 'name', target);
        const at = `${target} > ${name}`;
        const range = neededText(pack, 'version', at);
        // `[8.0.1, 8.0.1]`, several of them separated by semicolons.
        for (const part of range.split(';')) {
          const [, low, high] = /^\s*\[\s*([^\s,[\]()]+)\s*(?:,\s*([^\s,[\]()]+)\s*)?\]\s*$/.exec(part) ?? [];
          if (low !== undefined && (high === undefined || high === low))
            findings.want({ format: 'nuget', name, version: low, at });
          else findings.skip(`${name} ${part}`, 'it has no exact version', at);
        }
      }
    }
    findings.note(contentHashes);
    findings.note('SDKs of global.json and tools of .config/dotnet-tools.json are not in this file: record the build.');
  },
};

/** `package-lock.json` and `npm-shrinkwrap.json`, versions 1 to 3 (npm 5 to 11). */
import { isObject, type Json } from '../codecs/json.ts';
import { jsonIfAny, jsonOf } from './contents.ts';
import { integrityDigests } from './digests.ts';
import { isTrue, namedObjects, neededText, objectField, textField } from './fields.ts';
import type { Findings } from './findings.ts';
import { type Kind, named } from './kind.ts';
import { LockfileError, limits } from './lockfile.ts';
import { elsewhere, isCodeArchive, noAddresses } from './npm-source.ts';
import { wantSiteFile } from './site-file.ts';

const inside = 'it comes inside the package that needs it';

interface Row {
  readonly name: string;
  readonly version: string;
  readonly resolved: string | undefined;
  readonly value: Json;
  readonly at: string;
}

function want({ name, version, resolved, value, at }: Row, findings: Findings): void {
  const optional = isTrue(value, 'optional');
  const digests = integrityDigests(textField(value, 'integrity', at));
  // Addresses of some registries don't have the name in them, so only what is plainly from elsewhere is taken for that.
  if (resolved !== undefined && isCodeArchive(resolved)) {
    wantSiteFile(findings, { url: resolved, digests, optional, at });
    return;
  }
  if (resolved === undefined) findings.note(noAddresses);
  findings.want({ format: 'npm', name, version, url: resolved, digests, optional, at });
}

/** Versions 2 and 3: folders of the project, with everything flat. */
function readPackages(packages: Json, findings: Findings): void {
  for (const [path, value] of namedObjects(packages, 'packages')) {
    const start = path.lastIndexOf('node_modules/');
    if (start === -1) continue;
    const name = textField(value, 'name', path) ?? path.slice(start + 'node_modules/'.length);
    const version = textField(value, 'version', path);
    const resolved = textField(value, 'resolved', path);
    const what = version === undefined ? name : `${name} ${version}`;
    const source = resolved === undefined ? undefined : elsewhere(resolved);
    if (isTrue(value, 'link')) findings.skip(what, 'it is a folder of the project', path);
    else if (isTrue(value, 'inBundle')) findings.skip(what, inside, path);
    else if (source !== undefined) findings.skip(what, source, path);
    else if (version === undefined) {
      findings.skip(what, 'it has no version: npm kept its place for another platform', path);
    } else want({ name, version, resolved, value, at: path }, findings);
  }
}

/** Version 1: dependencies within dependencies. What is no version says where the package comes from. */
function readDependencies(dependencies: Json, findings: Findings): void {
  const open: { dependencies: Json; path: string; depth: number }[] = [{ dependencies, path: '', depth: 1 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next.depth > limits.depth) throw new LockfileError(`it is nested deeper than ${limits.depth} levels`);
    for (const [key, value] of namedObjects(next.dependencies, `dependencies of ${next.path || 'the project'}`)) {
      const at = `${next.path}${key}`;
      const said = neededText(value, 'version', at);
      const alias = /^npm:(.+)@([^@]+)$/.exec(said);
      const [name = key, version = said] = alias?.slice(1) ?? [];
      const source = elsewhere(said);
      if (isTrue(value, 'bundled')) findings.skip(`${name} ${version}`, inside, at);
      else if (source !== undefined) findings.skip(`${name} ${version}`, source, at);
      else if (/^https?:/.test(said)) {
        const digests = integrityDigests(textField(value, 'integrity', at));
        wantSiteFile(findings, { url: said, digests, optional: isTrue(value, 'optional'), at });
      } else want({ name, version, resolved: textField(value, 'resolved', at), value, at }, findings);
      const below = objectField(value, 'dependencies', at);
      if (below) open.push({ dependencies: below, path: `${at} > `, depth: next.depth + 1 });
    }
  }
}

export const packageLock: Kind = {
  id: 'package-lock',
  names: ['package-lock.json', 'npm-shrinkwrap.json'],
  isNamed: named('package-lock.json', 'npm-shrinkwrap.json', '.package-lock.json'),
  looksLike: (contents) => {
    const json = jsonIfAny(contents);
    return typeof json?.lockfileVersion === 'number' && (isObject(json.packages) || isObject(json.dependencies));
  },
  read: (contents, findings) => {
    const json = jsonOf(contents);
    const version = json.lockfileVersion ?? 1;
    if (version !== 1 && version !== 2 && version !== 3) {
      throw new LockfileError(
        `its lockfileVersion is none of 1, 2 and 3; write it with \`npm install --lockfile-version 3\``,
      );
    }
    const packages = version === 1 ? undefined : objectField(json, 'packages', 'the file');
    if (packages) readPackages(packages, findings);
    else if (version !== 1)
      throw new LockfileError('it has no "packages"; let `npm install --package-lock-only` write it again');
    else readDependencies(objectField(json, 'dependencies', 'the file') ?? {}, findings);
  },
};

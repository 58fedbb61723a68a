/** What is published, withdrawn and listed again: packages, and the symbols that belong to them. */
import type {
  Body,
  Call,
  Change,
  ChangeSet,
  Decide,
  Desk,
  PackageRecord,
  Put,
  StagedFile,
  View,
} from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { besidePath, nupkgPath, type PackageKey, packageKey, symbolsPath } from './address.ts';
import { firstPart } from './form.ts';
import { type Json, textOf } from './json.ts';
import { readPackage } from './package-file.ts';

const nothing = Buffer.alloc(0);
const created: Body = { status: 201, bytes: nothing };
const packageType = 'application/octet-stream';

/** Clients send a form with the package as its first part, by whatever name; scripts send the bytes alone. */
async function staged({ headers }: Call, body: AsyncIterable<Uint8Array>, desk: Desk): Promise<StagedFile> {
  const contentType = headers['content-type'] ?? '';
  const file = /^multipart\//i.test(contentType.trim())
    ? await desk.add(firstPart(contentType, body), desk.limit)
    : await desk.add(body, desk.limit);
  if (file.size === 0) {
    throw new Problem(
      'bad_request',
      'There is no package in the request: it is sent as the first part of a form, or as the body itself.',
    );
  }
  return file;
}

const called = ({ facts }: { readonly facts: Json }, { id, version }: PackageKey): string =>
  `${textOf(facts.id) ?? id} ${textOf(facts.version) ?? version}`;

async function receivePackage(call: Call, body: AsyncIterable<Uint8Array>, desk: Desk): Promise<Decide> {
  const nupkg = await staged(call, body, desk);
  const { manifest, nuspec, beside } = await readPackage(nupkg);
  if (manifest.isSymbols) {
    throw new Problem(
      'invalid_package',
      'This package has nothing but symbols: it belongs to the address for symbols, below /v3/symbolpackage.',
    );
  }
  const { id, version } = manifest;
  const put: Put[] = [
    { path: nupkgPath(manifest), file: nupkg, contentType: packageType },
    { path: besidePath(manifest, `${id}.nuspec`), file: await desk.add(nuspec), contentType: 'application/xml' },
  ];
  for (const { file, bytes, contentType } of beside) {
    put.push({ path: besidePath(manifest, file), file: await desk.add(bytes), contentType });
  }
  const files = put.map(({ path }) => path);
  const { facts } = manifest;
  return (hosted) => ({
    name: id,
    put,
    drop: replaced(hosted, manifest, called(manifest, manifest), files),
    records: [{ version, facts, files, ...(manifest.source === undefined ? {} : { source: manifest.source }) }],
    reply: created,
  });
}

/** Files of the version that is replaced which the new one no longer has. Throws `conflict` where nothing may be replaced. */
function replaced(
  hosted: View,
  { id, version }: PackageKey,
  what: string,
  files: readonly string[],
): readonly string[] {
  const before = hosted.record(id, version);
  if (!before) return [];
  if (!hosted.overwrites) {
    throw new Problem(
      'conflict',
      `${what} is published already${before.yanked ? ', and not listed' : ''}. A version never changes: publish another one.`,
    );
  }
  return before.files.map(({ path }) => path).filter((path) => !files.includes(path));
}

function recordIn(hosted: View, { id, version }: PackageKey, otherwise: string): PackageRecord {
  const record = hosted.record(id, version);
  if (!record) throw new Problem('not_found', otherwise);
  return record;
}

async function receiveSymbols(call: Call, body: AsyncIterable<Uint8Array>, desk: Desk): Promise<Decide> {
  const file = await staged(call, body, desk);
  const { manifest } = await readPackage(file);
  if (!manifest.isSymbols) {
    throw new Problem(
      'invalid_package',
      'This package is not one of symbols: its nuspec has no package type SymbolsPackage.',
    );
  }
  const what = called(manifest, manifest);
  const path = symbolsPath(manifest);
  return (hosted): ChangeSet => {
    const { facts } = recordIn(
      hosted,
      manifest,
      `${what} is not published here: its package comes first, then its symbols.`,
    );
    if (hosted.entry(path) && !hosted.overwrites) {
      throw new Problem('conflict', `The symbols of ${what} are published already, and never change.`);
    }
    return {
      name: manifest.id,
      put: [{ path, file, contentType: packageType }],
      records: [{ version: manifest.version, facts, files: [path] }],
      reply: created,
    };
  };
}

/** No `limit` of its own: the repository's largest file is one. */
export const publishPackage: Change = { kind: 'change', action: 'publish', receive: receivePackage };
export const publishSymbols: Change = { kind: 'change', action: 'publish', receive: receiveSymbols };

function listed({ params }: Call, isListed: boolean): Decide {
  const { id = '', version = '' } = params;
  const key = packageKey(id, version);
  if (!key) throw new Problem('bad_request', 'The address names no version of a package.');
  return (hosted): ChangeSet => {
    const record = recordIn(hosted, key, `${id} ${version} is not published here.`);
    const isSo = (record.yanked !== true) === isListed;
    return {
      name: key.id,
      records: isSo ? [] : [{ version: key.version, facts: record.facts, yanked: !isListed }],
      reply: { status: isListed ? 200 : 204, bytes: nothing },
    };
  };
}

const unlist = async (call: Call): Promise<Decide> => listed(call, false);
const relist = async (call: Call): Promise<Decide> => listed(call, true);

/** Out of search and lists, and there for whoever names it: what nuget.org makes of a delete, so that builds go on; and back again. */
export function listing({ id, version }: PackageKey, isListed: boolean): Change {
  const receive = isListed ? relist : unlist;
  return { kind: 'change', action: 'delete', name: id, version, limit: 64 * 1024, receive };
}

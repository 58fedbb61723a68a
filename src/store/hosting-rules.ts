/** Whether a change set may happen, and what it comes to: one function for every format. */
import { isDeeperThan } from '../core/depth.ts';
import { algorithmOf, type Digest } from '../core/digest.ts';
import type { ChangeSet, Entry, Put, RecordChange, StagedFile } from '../core/hosting.ts';
import { isSafePath } from '../core/path.ts';
import { Problem } from '../core/problem.ts';
import type { Effect, HostedChange } from './hosting.ts';
import type { HostedPackage, HostedRecord, HostedState } from './hosting-state.ts';
import { sha256Hex } from './layout.ts';

/** Files, versions and paths that one change may name, of each kind. */
export const mostPerChange = 10_000;
/** Of one version's facts, or those of a package, as JSON. */
export const mostFactsBytes = 4 * 1024 * 1024;
const deepestFacts = 500;
/** Of all facts in one change. */
export const mostFactsBytesPerChange = 64 * 1024 * 1024;
export const mostNameBytes = 512;
export const mostVersionBytes = 512;
const mostContentTypeBytes = 255;
/** A longer address of a source project is left out. */
const mostSourceBytes = 2048;

/** What a change set comes to. */
export interface Plan {
  readonly set: ChangeSet;
  /** `undefined`: everything is so already. */
  readonly change: Omit<HostedChange, 'action'> | undefined;
  readonly effect: Effect;
  /** Of every path that gets bytes, or is said to have them already: where they come from. */
  readonly bytes: readonly Bytes[];
}

export interface Bytes {
  readonly path: string;
  readonly digest: Digest;
  readonly size: number;
  /** Absent: they are here already, at another path. */
  readonly file?: StagedFile;
  /** The path has them already. */
  readonly isOld: boolean;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const control = /[\u0000-\u001f\u007f-\u009f]/;

/** Throws a Problem when it may not happen. */
export function planChange(state: HostedState, overwrites: boolean, set: ChangeSet): Plan {
  checkText('name', set.name, mostNameBytes);
  for (const list of [set.put, set.drop, set.records, set.removes, set.expect]) checkCount(list?.length ?? 0);
  const home = state.package(set.name);
  const puts = new Map<string, PlannedPut>();
  for (const put of set.put ?? []) addPut(puts, plannedPut(state, overwrites, set.name, put));
  const removes = removed(home, set);
  const drop = dropped(state, home, set, puts);
  checkExpected(state, set, puts);
  const coming = [...puts.values()].filter(({ isOld }) => !isOld);
  const records = changedRecords(home, set, puts, new Set(drop));
  const about = changedAbout(state, set);
  const change = {
    name: set.name,
    ...(coming.length > 0 && { put: coming.map(({ entry }) => entry) }),
    ...(drop.length > 0 && { drop }),
    ...(records.length > 0 && { records }),
    ...(removes.length > 0 && { removes }),
    ...(about && { about }),
  };
  const effect: Effect = {
    addedBytes: addedBytes(state, coming),
    removed: removes,
    dropped: drop,
    replaced: coming.filter(({ replaces }) => replaces).map(({ entry }) => entry.path),
    isNew: home === undefined,
  };
  const bytes = [...puts.values()].map(({ entry: { path, digest, size }, file, isOld }) => ({
    path,
    digest,
    size,
    isOld,
    ...(file && { file }),
  }));
  return { set, change: Object.keys(change).length > 1 ? change : undefined, effect, bytes };
}

interface PlannedPut {
  readonly entry: Omit<Entry, 'name' | 'publishedAt'>;
  readonly file: StagedFile | undefined;
  /** The path has these bytes. */
  readonly isOld: boolean;
  /** The path has other bytes, of a file that was not meant to change. */
  readonly replaces: boolean;
}

function plannedPut(state: HostedState, overwrites: boolean, name: string, put: Put): PlannedPut {
  const { path, contentType, mutable } = put;
  checkPath(path);
  checkText('content type', contentType, mostContentTypeBytes);
  const file = 'from' in put.file ? undefined : put.file;
  const { digests, size } = 'from' in put.file ? copied(state, put.file.from) : put.file;
  const [digest] = digests;
  if (digest === undefined || !sha256Hex(digest)) throw new Error(`the first digest of ${path} is no sha256`);
  const before = state.entry(path);
  if (before && before.name !== name) throw elsewhere(path);
  const isOld = before?.digest === digest;
  if (before && !isOld && !overwrites && !(before.mutable && mutable)) throw taken(path, before.digest, digest);
  const gone = before ? undefined : state.dropped(path);
  if (gone !== undefined && gone !== digest) throw deleted(path, gone, digest);
  return {
    entry: { path, digest, digests, size, contentType, ...(mutable === undefined ? {} : { mutable }) },
    file,
    isOld,
    replaces: before !== undefined && !isOld && !before.mutable,
  };
}

function copied(state: HostedState, from: string): Pick<Entry, 'digests' | 'size'> {
  const entry = state.entry(from);
  if (!entry) throw new Problem('not_found', `There is no file at ${from}.`);
  return entry;
}

function addPut(puts: Map<string, PlannedPut>, put: PlannedPut): void {
  const { path, digest } = put.entry;
  const twin = puts.get(path);
  if (twin && twin.entry.digest !== digest) {
    throw new Problem('invalid_package', `${path} comes twice, with different bytes.`);
  }
  puts.set(path, put);
}

function removed(home: HostedPackage | undefined, set: ChangeSet): readonly string[] {
  const versions = [...new Set(set.removes)];
  for (const version of versions) {
    if (home?.records.has(version)) continue;
    throw new Problem('not_found', `There is no version ${version} of ${set.name}.`);
  }
  return versions;
}

/** Paths that go: those that are named, and those of versions that go, unless another version has them. */
function dropped(
  state: HostedState,
  home: HostedPackage | undefined,
  set: ChangeSet,
  puts: ReadonlyMap<string, unknown>,
): readonly string[] {
  const paths = new Set<string>();
  for (const path of set.drop ?? []) {
    const entry = state.entry(path);
    if (!entry) throw new Problem('not_found', `There is no file at ${path}.`);
    if (entry.name !== set.name) throw elsewhere(path);
    paths.add(path);
  }
  const stay = new Set((set.records ?? []).flatMap(({ files }) => files ?? []));
  if (home && set.removes?.length) {
    const removes = new Set(set.removes);
    for (const [version, { files }] of home.records) {
      if (!removes.has(version)) for (const path of files) stay.add(path);
    }
    for (const version of removes) {
      for (const path of home.records.get(version)?.files ?? []) if (!stay.has(path)) paths.add(path);
    }
  }
  return [...paths].filter((path) => !puts.has(path) && home?.entries.has(path));
}

function checkExpected(state: HostedState, { expect }: ChangeSet, puts: ReadonlyMap<string, PlannedPut>): void {
  for (const { path, digest } of expect ?? []) {
    const entry = puts.get(path)?.entry ?? state.entry(path);
    if (!entry) throw new Problem('not_found', `There is no file at ${path} that could have a digest.`);
    const actual = entry.digests.find((one) => algorithmOf(one) === algorithmOf(digest));
    if (actual === digest) continue;
    const message = `${path} is said to be ${digest}, but it is ${actual ?? `${entry.digest}, and its ${algorithmOf(digest)} is not known`}. Upload it again.`;
    throw new Problem('digest_mismatch', message);
  }
}

function changedRecords(
  home: HostedPackage | undefined,
  { name, records = [], removes = [] }: ChangeSet,
  puts: ReadonlyMap<string, unknown>,
  drop: ReadonlySet<string>,
): NonNullable<HostedChange['records']> {
  const found: NonNullable<HostedChange['records']>[number][] = [];
  let total = 0;
  for (const record of records) {
    checkText('version', record.version, mostVersionBytes);
    checkCount(record.files?.length ?? 0);
    for (const path of record.files ?? []) {
      if (puts.has(path) || (home?.entries.has(path) && !drop.has(path))) continue;
      throw new Problem(
        'invalid_package',
        `Version ${record.version} of ${name} names a file that is not there: ${path}`,
      );
    }
    const json = factsJson(`version ${record.version} of ${name}`, record.facts);
    total += json.length;
    if (total > mostFactsBytesPerChange) throw tooMuch(`All versions of ${name} together`, mostFactsBytesPerChange);
    const before = removes.includes(record.version) ? undefined : home?.records.get(record.version);
    const change = changedRecord(before, record, json);
    if (change) found.push(change);
  }
  return found;
}

/** `undefined`: it is so already. */
function changedRecord(
  before: HostedRecord | undefined,
  { version, facts, files = [], yanked, source }: RecordChange,
  json: Buffer,
): NonNullable<HostedChange['records']>[number] | undefined {
  const told = source !== undefined && Buffer.byteLength(source) <= mostSourceBytes ? source : undefined;
  const added = files.filter((path) => !before?.files.includes(path));
  const isSame =
    before?.facts.equals(json) &&
    added.length === 0 &&
    (yanked === undefined || yanked === (before.yanked ?? false)) &&
    (told === undefined || told === before.source);
  if (isSame) return undefined;
  return {
    version,
    facts,
    ...(added.length > 0 && { files: added }),
    ...(yanked === undefined ? {} : { yanked }),
    ...(told === undefined ? {} : { source: told }),
  };
}

function changedAbout(state: HostedState, { name, about }: ChangeSet): HostedChange['about'] {
  if (!about) return undefined;
  const json = factsJson(name, about);
  return state.about(name)?.equals(json) ? undefined : about;
}

function factsJson(what: string, facts: Readonly<Record<string, unknown>>): Buffer {
  if (isDeeperThan(facts, deepestFacts)) {
    throw new Problem('invalid_package', `What ${what} says about itself is nested too deeply.`);
  }
  const json = Buffer.from(JSON.stringify(facts));
  if (json.length > mostFactsBytes) throw tooMuch(`What ${what} says about itself`, mostFactsBytes);
  return json;
}

/** Equal bytes once, and none that are here already. */
function addedBytes(state: HostedState, coming: readonly PlannedPut[]): number {
  const sizes = new Map(coming.map(({ entry }) => [entry.digest, entry.size]));
  let bytes = 0;
  for (const [digest, size] of sizes) if (!state.uses(digest)) bytes += size;
  return bytes;
}

function checkPath(path: string): void {
  if (isSafePath(path)) return;
  throw new Problem(
    'bad_path',
    `Nothing can be published at ${JSON.stringify(path.slice(0, 200))}: it is too long or not safe.`,
  );
}

function checkText(what: string, text: string, mostBytes: number): void {
  if (text !== '' && Buffer.byteLength(text) <= mostBytes && !control.test(text)) return;
  const message = `The ${what} ${JSON.stringify(text.slice(0, 200))} is empty, longer than ${mostBytes} bytes, or has control characters.`;
  throw new Problem('invalid_package', message);
}

function checkCount(count: number): void {
  if (count <= mostPerChange) return;
  throw new Problem(
    'too_large',
    `${count} files or versions at once are too many; publish at most ${mostPerChange} at a time.`,
  );
}

function tooMuch(what: string, bytes: number): Problem {
  return new Problem('too_large', `${what} is more than ${bytes} bytes.`);
}

/** Which one is not told: not everybody may know of it. */
function elsewhere(path: string): Problem {
  return new Problem('conflict', `${path} belongs to another package; only with that one can it be changed.`);
}

function taken(path: string, here: Digest, now: Digest): Problem {
  const message = `${path} is published already with other bytes: there it is ${short(here)}, this is ${short(now)}. What is published does not change; publish another version.`;
  return new Problem('conflict', message);
}

function deleted(path: string, then: Digest, now: Digest): Problem {
  const message = `${path} was published as ${short(then)} and deleted; it can come back only with the same bytes, and this is ${short(now)}. Publish another version.`;
  return new Problem('conflict', message);
}

function short(digest: Digest): string {
  return digest.slice(0, 'sha256:'.length + 12);
}

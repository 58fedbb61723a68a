/** `specs.4.8.gz`, `latest_specs.4.8.gz`, `prerelease_specs.4.8.gz`: what RubyGems looks through, as Ruby writes it. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { readSpecTuples, type SpecTuple, writeSpecTuples } from '../../codecs/gem-marshal.ts';
import type { DocumentType, Origin, View } from '../../core/format.ts';
import { highestFirst, type Release, releasesOf } from './release.ts';
import { bufferOf } from './text.ts';
import { isPrereleaseNumber } from './version.ts';

interface SpecList {
  /** As it came; packed, unless upstream's server has unpacked it on the way. */
  readonly bytes: Uint8Array;
  /** Names that are this source's although the list has nothing of them. */
  readonly held?: readonly string[];
  /** When we had it (HTTP date); the newest of several. */
  readonly since?: string;
}

const maxUnpackedBytes = 512 * 1024 * 1024;
const gzipMagic = 0x1f8b;
/**
 * What stands before a list of our own: a line of names, as JSON. A gem that has releases alone is not in the list of prereleases,
 * and still none of that name may come from elsewhere.
 */
const heldMark = Buffer.from('held ');
const newline = 0x0a;

function unpacked(bytes: Uint8Array): Uint8Array {
  const isPacked = bytes.byteLength > 2 && bufferOf(bytes).readUInt16BE(0) === gzipMagic;
  return isPacked ? gunzipSync(bytes, { maxOutputLength: maxUnpackedBytes }) : bytes;
}

function heldIn(bytes: Buffer): { readonly held?: readonly string[]; readonly list: Buffer } {
  if (bytes.compare(heldMark, 0, heldMark.byteLength, 0, heldMark.byteLength) !== 0) return { list: bytes };
  const end = bytes.indexOf(newline);
  const held: unknown = JSON.parse(bytes.toString('utf8', heldMark.byteLength, end));
  if (!Array.isArray(held)) throw new Error('the names before the list are none');
  return { held: held.map(String), list: bytes.subarray(end + 1) };
}

/** Read to its end: what is no such list must show before it is stored, and not when it is merged. */
function decode(bytes: Uint8Array, { headers }: Origin): SpecList {
  const { list, held } = heldIn(bufferOf(bytes));
  for (const _ of readSpecTuples(unpacked(list)));
  const since = headers.date ?? headers['last-modified'];
  return { bytes: list, ...(held === undefined ? {} : { held }), ...(since === undefined ? {} : { since }) };
}

/** A name is the first source's that has it, as in the compact index. */
function merge(lists: readonly SpecList[]): SpecList {
  const [first, ...later] = lists;
  if (!first) throw new Error('there is nothing to merge');
  const tuples: SpecTuple[] = [...readSpecTuples(unpacked(first.bytes))];
  const names = new Set([...tuples.map(({ name }) => name), ...(first.held ?? [])]);
  const before = tuples.length;
  for (const list of later) {
    const added: string[] = [...(list.held ?? [])];
    for (const tuple of readSpecTuples(unpacked(list.bytes))) {
      if (names.has(tuple.name)) continue;
      tuples.push(tuple);
      added.push(tuple.name);
    }
    for (const name of added) names.add(name);
  }
  const times = lists.flatMap(({ since }) => since ?? []);
  const since = times.toSorted((one, other) => Date.parse(one) - Date.parse(other)).at(-1);
  const bytes = tuples.length === before ? first.bytes : gzipSync(writeSpecTuples(tuples));
  return { bytes, ...(since === undefined ? {} : { since }) };
}

/** Of each gem and platform the highest that is no prerelease. */
function latestOf(releases: readonly Release[]): readonly Release[] {
  const latest = new Map<string, Release>();
  for (const release of highestFirst(releases)) {
    const { number, platform } = release;
    if (!isPrereleaseNumber(number) && !latest.has(platform)) latest.set(platform, release);
  }
  return [...latest.values()];
}

function chosen(path: string, releases: readonly Release[]): readonly Release[] {
  if (path.startsWith('latest_')) return latestOf(releases);
  const prerelease = path.startsWith('prerelease_');
  return releases.filter(({ isYanked, number }) => !isYanked && isPrereleaseNumber(number) === prerelease);
}

/** What was fetched in the second of a change may be from before it. */
function nextSecond(time: string): string {
  return new Date(Math.ceil(Date.parse(time) / 1000) * 1000).toUTCString();
}

function rendered(path: string, view: View): Uint8Array {
  const names = [...view.names()];
  const tuples = names.flatMap((name) =>
    chosen(path, releasesOf(view, name)).map(
      ({ number, platform }): SpecTuple => ({ name, version: number, platform }),
    ),
  );
  return Buffer.concat([heldMark, Buffer.from(`${JSON.stringify(names)}\n`), gzipSync(writeSpecTuples(tuples))]);
}

export const specList: DocumentType<SpecList> = {
  id: 'spec-list',
  limit: 128 * 1024 * 1024,
  contentType: 'application/octet-stream',
  decode,
  merge,
  render({ path }, view) {
    const { changedAt } = view;
    return {
      headers: {
        'content-type': 'application/octet-stream',
        ...(changedAt === '' ? {} : { 'last-modified': nextSecond(changedAt) }),
      },
      bytes: rendered(path, view),
    };
  },
  encode: ({ bytes, since }) => ({
    headers: {
      'content-type': 'application/octet-stream',
      // RubyGems asks by the time at which it wrote its file, so what counts is since when we have had these bytes.
      ...(since === undefined ? {} : { 'last-modified': since }),
    },
    bytes,
  }),
};

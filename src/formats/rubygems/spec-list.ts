/** `specs.4.8.gz`, `latest_specs.4.8.gz`, `prerelease_specs.4.8.gz`: what RubyGems looks through, as Ruby writes it. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { readSpecTuples, type SpecTuple, writeSpecTuples } from '../../codecs/gem-marshal.ts';
import type { DocumentType, Origin } from '../../core/format.ts';
import { bufferOf } from './text.ts';

interface SpecList {
  /** As it came; packed, unless upstream's server has unpacked it on the way. */
  readonly bytes: Uint8Array;
  /** When we had it (HTTP date); the newest of several. */
  readonly since?: string;
}

const maxUnpackedBytes = 512 * 1024 * 1024;
const gzipMagic = 0x1f8b;

function unpacked(bytes: Uint8Array): Uint8Array {
  const isPacked = bytes.byteLength > 2 && bufferOf(bytes).readUInt16BE(0) === gzipMagic;
  return isPacked ? gunzipSync(bytes, { maxOutputLength: maxUnpackedBytes }) : bytes;
}

/** Read to its end: what is no such list must show before it is stored, and not when it is merged. */
function decode(bytes: Uint8Array, { headers }: Origin): SpecList {
  for (const _ of readSpecTuples(unpacked(bytes)));
  const since = headers.date ?? headers['last-modified'];
  return { bytes, ...(since === undefined ? {} : { since }) };
}

/** A name is the first source's that has it, as in the compact index. */
function merge(lists: readonly SpecList[]): SpecList {
  const [first, ...later] = lists;
  if (!first) throw new Error('there is nothing to merge');
  const tuples: SpecTuple[] = [...readSpecTuples(unpacked(first.bytes))];
  const names = new Set(tuples.map(({ name }) => name));
  const before = tuples.length;
  for (const list of later) {
    const added: string[] = [];
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

export const specList: DocumentType<SpecList> = {
  id: 'spec-list',
  limit: 128 * 1024 * 1024,
  contentType: 'application/octet-stream',
  decode,
  merge,
  encode: ({ bytes, since }) => ({
    headers: {
      'content-type': 'application/octet-stream',
      // RubyGems asks by the time at which it wrote its file, so what counts is since when we have had these bytes.
      ...(since === undefined ? {} : { 'last-modified': since }),
    },
    bytes,
  }),
};

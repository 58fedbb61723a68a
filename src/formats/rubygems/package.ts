/** A `.gem`: a tar archive with the specification, the files, and the digests of both (`Gem::Package`). */
import { createHash, type Hash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { fileBytes } from '../../codecs/file-bytes.ts';
import type { Specification } from '../../codecs/gem-marshal.ts';
import { readRubyYaml } from '../../codecs/ruby-yaml.ts';
import { readAll, tarEntries } from '../../codecs/tar.ts';
import type { ReadableFile } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { maxSpecBytes, readSpec } from './spec.ts';

/** With signatures there are six. */
const maxEntries = 64;
const maxChecksumsBytes = 64 * 1024;

interface Contents {
  readonly digests: ReadonlyMap<string, string>;
  readonly specification: Uint8Array;
  readonly checksums?: Uint8Array;
}

async function* hashed(bytes: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const piece of bytes) {
    hash.update(piece);
    yield piece;
  }
}

function unpacked(bytes: Uint8Array, limit: number): Uint8Array {
  return gunzipSync(bytes, { maxOutputLength: limit });
}

async function readContents(file: ReadableFile): Promise<Contents> {
  const digests = new Map<string, string>();
  const small = new Map<string, Uint8Array>();
  const limits: Readonly<Record<string, number>> = {
    'metadata.gz': maxSpecBytes,
    'checksums.yaml.gz': maxChecksumsBytes,
  };
  for await (const { name, bytes } of tarEntries(fileBytes(file), { entries: maxEntries })) {
    if (digests.has(name)) throw new Error(`it has ${name.slice(0, 100)} twice`);
    const hash = createHash('sha256');
    const limit = limits[name];
    if (limit !== undefined) small.set(name, await readAll(hashed(bytes, hash), limit));
    else for await (const piece of bytes) hash.update(piece);
    digests.set(name, hash.digest('hex'));
  }
  const metadata = small.get('metadata.gz');
  if (!metadata) throw new Error('it has no metadata.gz');
  if (!digests.has('data.tar.gz')) throw new Error('it has no data.tar.gz');
  const checksums = small.get('checksums.yaml.gz');
  return {
    digests,
    specification: unpacked(metadata, maxSpecBytes),
    ...(checksums ? { checksums: unpacked(checksums, maxChecksumsBytes) } : {}),
  };
}

/** `gem install` compares the same. Gems from before RubyGems 2.0 have no such list. */
function check({ digests, checksums }: Contents): void {
  if (!checksums) return;
  const { SHA256: told } = (readRubyYaml(checksums) ?? {}) as { readonly SHA256?: unknown };
  if (typeof told !== 'object' || told === null) return;
  for (const [name, expected] of Object.entries(told)) {
    if (digests.get(name) !== expected) throw new Error(`${name.slice(0, 100)} is not what its checksum says`);
  }
}

/** Its specification. Throws `invalid_package` on what no RubyGems would install. */
export async function readGem(file: ReadableFile): Promise<Specification> {
  let contents: Contents;
  try {
    contents = await readContents(file);
    check(contents);
  } catch (error) {
    const why = error instanceof Error ? error.message : 'it is damaged';
    throw new Problem('invalid_package', `This is no gem that can be published: ${why}.`, { cause: error });
  }
  return readSpec(contents.specification);
}

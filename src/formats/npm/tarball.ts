/** What a package says about itself: its package.json, and what its files tell. */
import { createGunzip, type Gunzip } from 'node:zlib';
import { fileBytes } from '../../codecs/file-bytes.ts';
import { readAll, tarEntries } from '../../codecs/tar.ts';
import { isDeeperThan } from '../../core/depth.ts';
import type { ReadableFile } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { type Json, parseJson } from './json.ts';

export interface TarballFacts {
  /** The package.json in it. */
  readonly manifest: Json & { readonly name: string; readonly version: string };
  readonly fileCount: number;
  /** Bytes of all its files. */
  readonly unpackedSize: number;
  readonly hasShrinkwrap: boolean;
  /** Built when it is installed, without a script that says so. */
  readonly hasGypFile: boolean;
}

/** Levels; as in the document that comes along. */
const deepest = 256;
const manifestLimit = 4 * 1024 * 1024;
/** Unpacked: a bomb is noticed before it has taken minutes. */
const archiveLimit = 8 * 1024 ** 3;

function isReady(unzip: Gunzip): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      unzip.off('drain', done);
      unzip.off('close', done);
      resolve();
    };
    unzip.on('drain', done);
    unzip.on('close', done);
  });
}

async function feed(packed: AsyncIterable<Uint8Array>, unzip: Gunzip): Promise<void> {
  try {
    for await (const piece of packed) {
      if (unzip.destroyed) return;
      if (!unzip.write(piece)) await isReady(unzip);
    }
    unzip.end();
  } catch (error) {
    unzip.destroy(error instanceof Error ? error : new Error('the package broke off', { cause: error }));
  }
}

async function* unpacked(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const unzip = createGunzip();
  const fed = feed(packed, unzip);
  try {
    yield* unzip as AsyncIterable<Uint8Array>;
    await fed;
  } finally {
    unzip.destroy();
  }
}

function invalid(why: string, cause?: unknown): Problem {
  return new Problem('invalid_package', `This is no npm package: ${why}.`, { cause });
}

function manifestOf(text: Uint8Array): TarballFacts['manifest'] {
  const from = text[0] === 0xef && text[1] === 0xbb && text[2] === 0xbf ? text.subarray(3) : text;
  let json: Json;
  try {
    json = parseJson(from);
  } catch (error) {
    throw invalid('its package.json is no JSON object', error);
  }
  if (isDeeperThan(json, deepest)) throw invalid('its package.json is nested too deeply');
  const { name, version } = json;
  if (typeof name !== 'string' || typeof version !== 'string') {
    throw invalid('its package.json has no name or no version');
  }
  return { ...json, name, version };
}

/** Clients drop the first segment of every path, whatever it is called. */
function pathIn(name: string): string {
  const [, ...rest] = name.split('/').filter((segment) => segment !== '' && segment !== '.');
  return rest.join('/');
}

/** Reads all of it. Throws `invalid_package` on what is no gzipped tar archive with one package.json at its top. */
export async function readTarball(file: ReadableFile): Promise<TarballFacts> {
  let manifest: TarballFacts['manifest'] | undefined;
  let fileCount = 0;
  let unpackedSize = 0;
  const top = new Set<string>();
  try {
    for await (const entry of tarEntries(unpacked(fileBytes(file)), { bytes: archiveLimit })) {
      fileCount++;
      unpackedSize += entry.size;
      const path = pathIn(entry.name);
      if (path.includes('/')) continue;
      // Clients that meet a second one differ in which of them they believe.
      if (path === 'package.json' && manifest) throw invalid('it has two package.json at its top');
      top.add(path);
      if (path === 'package.json') manifest = manifestOf(await readAll(entry.bytes, manifestLimit));
    }
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw invalid(`its archive can't be read (${error instanceof Error ? error.message : 'unknown'})`, error);
  }
  if (!manifest) throw invalid('it has no package.json at its top');
  return {
    manifest,
    fileCount,
    unpackedSize,
    hasShrinkwrap: top.has('npm-shrinkwrap.json'),
    hasGypFile: top.has('binding.gyp'),
  };
}

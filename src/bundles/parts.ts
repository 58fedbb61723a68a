/** A bundle as one file, or cut into parts of a given size with a small file beside them that names each with its digest. */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BundleError, parsed } from './format.ts';

export const partsSuffix = '.parts';
const unfinished = '.unfinished';
const readBytes = 1024 * 1024;
/** Missing parts in a message. */
const mostNamed = 10;

export interface PartFacts {
  /** Without folder. */
  readonly name: string;
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

interface PartsIndex {
  readonly format: 'larder-bundle-parts';
  readonly version: 1;
  /** Of the bundle. */
  readonly id: string;
  readonly parts: readonly PartFacts[];
}

/** Where a bundle goes. What is not finished has a name that says so. */
export interface Output {
  write(chunk: Uint8Array): Promise<void>;
  /** Returns all files that were written, synced. */
  finish(): Promise<readonly string[]>;
  /** Removes what was written. */
  abandon(): Promise<void>;
}

interface OpenPart {
  readonly path: string;
  readonly file: FileHandle;
  readonly hash: Hash;
  size: number;
}

/** `partBytes` absent: one file at `path`. */
export function openOutput(path: string, id: string, partBytes?: number): Output {
  const done: { readonly path: string; readonly facts: PartFacts }[] = [];
  let current: OpenPart | undefined;

  async function begin(): Promise<OpenPart> {
    const number = String(done.length + 1).padStart(3, '0');
    const name = partBytes === undefined ? path : `${path}.${number}`;
    return { path: name, file: await open(`${name}${unfinished}`, 'w'), hash: createHash('sha256'), size: 0 };
  }

  async function end(part: OpenPart): Promise<void> {
    await part.file.datasync();
    await part.file.close();
    await rename(`${part.path}${unfinished}`, part.path);
    done.push({
      path: part.path,
      facts: { name: basename(part.path), size: part.size, sha256: part.hash.digest('hex') },
    });
    current = undefined;
  }

  return {
    async write(chunk) {
      for (let rest = chunk; rest.length > 0; ) {
        current ??= await begin();
        const piece = rest.subarray(0, partBytes === undefined ? rest.length : partBytes - current.size);
        // Of one whole file nobody needs it.
        if (partBytes !== undefined) current.hash.update(piece);
        await writeAll(current.file, piece);
        current.size += piece.length;
        rest = rest.subarray(piece.length);
        if (current.size === partBytes) await end(current);
      }
    },
    async finish() {
      if (current) await end(current);
      const files = done.map((one) => one.path);
      if (partBytes === undefined) return files;
      const index: PartsIndex = {
        format: 'larder-bundle-parts',
        version: 1,
        id,
        parts: done.map(({ facts }) => facts),
      };
      await writeFile(`${path}${partsSuffix}`, `${JSON.stringify(index, undefined, 2)}\n`);
      return [...files, `${path}${partsSuffix}`];
    },
    async abandon() {
      await current?.file.close().catch(() => {});
      if (current) await rm(`${current.path}${unfinished}`, { force: true });
      for (const part of done) await rm(part.path, { force: true });
    },
  };
}

async function writeAll(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let done = 0; done < piece.length; ) {
    const { bytesWritten } = await file.write(piece, done);
    done += bytesWritten;
  }
}

/** The files that a bundle is read from, in their order. */
export interface Parts {
  /** As people call it. */
  readonly name: string;
  readonly files: readonly string[];
  /** Of the files, if an index tells. */
  readonly facts?: readonly PartFacts[];
  readonly totalBytes: number;
}

const partName = /^(.+)\.(\d{3,})$/;

/**
 * Finds out what is meant: one file, an index of parts, or some parts in any order; the others may lie beside them. Rejects
 * with a `BundleError` that names what is missing.
 */
export async function findParts(paths: readonly string[]): Promise<Parts> {
  const [first = ''] = paths;
  if (paths.length === 1 && (await isFile(first)) && !isPart(first)) return whole(first);
  const bases = new Set(paths.map(baseOf));
  const [base = ''] = bases;
  if (bases.size > 1) {
    throw new BundleError(
      'part',
      `these are parts of different bundles: ${[...bases].join(', ')}; import one at a time`,
    );
  }
  const folders = [...new Set(paths.map((path) => dirname(path)))];
  const index = await indexFor(base, folders);
  const there = await partsIn(base, folders);
  for (const path of paths) if (partName.test(path) && (await isFile(path))) there.set(basename(path), path);
  if (there.size === 0 && !index) throw new BundleError('file', `there is no ${first}`);
  const wanted = index?.parts.map(({ name }) => name) ?? numbered(base, [...there.keys()]);
  const missing = wanted.filter((name) => !there.has(name));
  if (missing.length > 0) {
    const named = missing.slice(0, mostNamed).join(', ');
    const more = missing.length > mostNamed ? ` and ${missing.length - mostNamed} more` : '';
    throw new BundleError('part', `${missing.length === 1 ? 'a part is' : 'parts are'} missing: ${named}${more}`);
  }
  const files = wanted.map((name) => there.get(name) ?? '');
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  for (const [place, { name, size }] of (index?.parts ?? []).entries()) {
    if (sizes[place] === size) continue;
    throw new BundleError('part', `part ${name} has ${sizes[place]} bytes instead of ${size}: bring it over again`);
  }
  return {
    name: base,
    files,
    totalBytes: sizes.reduce((sum, size) => sum + size, 0),
    ...(index ? { facts: index.parts } : {}),
  };
}

async function whole(path: string): Promise<Parts> {
  if (path.endsWith(partsSuffix)) return findParts([path.slice(0, -partsSuffix.length), path]);
  return { name: path, files: [path], totalBytes: (await stat(path)).size };
}

const isPart = (path: string): boolean => partName.test(basename(path));

function baseOf(path: string): string {
  const name = basename(path);
  return name.endsWith(partsSuffix) ? name.slice(0, -partsSuffix.length) : (partName.exec(name)?.[1] ?? name);
}

async function partsIn(base: string, folders: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const folder of folders) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (isPart(name) && baseOf(name) === base && !found.has(name)) found.set(name, join(folder, name));
    }
  }
  return found;
}

/** Without an index: from the first to the last one there is. */
function numbered(base: string, there: readonly string[]): string[] {
  const last = Math.max(...there.map((name) => Number(partName.exec(name)?.[2])));
  return Array.from({ length: last }, (_, place) => `${base}.${String(place + 1).padStart(3, '0')}`);
}

async function indexFor(base: string, folders: readonly string[]): Promise<PartsIndex | undefined> {
  for (const folder of folders) {
    const path = join(folder, `${base}${partsSuffix}`);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const index = parsed(text) as Partial<PartsIndex> | undefined;
    if (index?.format !== 'larder-bundle-parts' || !Array.isArray(index.parts)) {
      throw new BundleError(
        'part',
        `${path} is no list of parts of a bundle; without it the parts are taken by their numbers`,
      );
    }
    return index as PartsIndex;
  }
  return undefined;
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** One part after the other. A piece is good until the one after the next is asked for: its memory is used again. */
export async function* readParts(
  { files }: Parts,
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<Buffer> {
  const buffers = [Buffer.allocUnsafe(readBytes), Buffer.allocUnsafe(readBytes)] as const;
  let turn = 0;
  for (const path of files) {
    const file = await open(path);
    try {
      for (;;) {
        const buffer = buffers[turn % 2 === 0 ? 0 : 1];
        const { bytesRead } = await file.read(buffer, 0, readBytes);
        if (bytesRead === 0) break;
        // The end of a file took none: the piece before it is still in use.
        turn += 1;
        onBytes(bytesRead);
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }
}

/** Once something is wrong: which part it is, if an index tells. */
export async function badPart(parts: Parts): Promise<BundleError | undefined> {
  const { facts, files } = parts;
  for (const [place, { name, sha256 }] of (facts ?? []).entries()) {
    const hash = createHash('sha256');
    for await (const piece of readParts({ ...parts, files: files.slice(place, place + 1) })) hash.update(piece);
    if (hash.digest('hex') === sha256) continue;
    return new BundleError('part', `part ${name} has other bytes than were written: bring it over again`);
  }
  return undefined;
}

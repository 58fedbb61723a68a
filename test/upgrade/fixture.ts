/** What a release left behind: its data folder, and what it answered. */
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { tarHeader } from '../support/tarball.ts';

/** A question with the answer that was given. */
export interface Read {
  /** Name of one of `people`; absent: nobody. */
  readonly who?: string;
  readonly path: string;
  readonly accept?: string;
  readonly status: number;
  /** Of bytes that never change. */
  readonly sha256?: string;
  /** Words of a document, whose form may. */
  readonly has?: readonly string[];
}

export interface Left {
  readonly release: string;
  readonly commit: string;
  /** Milliseconds since 1970. */
  readonly writtenAt: number;
  readonly config: Readonly<Record<string, unknown>>;
  /** Tokens by name. */
  readonly people: Readonly<Record<string, string>>;
  readonly reads: readonly Read[];
  /** An upload under way: who, where, and how many of the bytes are there. */
  readonly upload: { readonly who: string; readonly path: string; readonly text: string; readonly sent: number };
  /** Answers of the API, by path; as `adam` sees them. */
  readonly told: Readonly<Record<string, unknown>>;
  /** Bytes published in each organisation that may hold more. */
  readonly quota: { readonly who: string; readonly path: string; readonly room: number };
  /** Paths of what was cached once, and had to make room. */
  readonly evicted: readonly string[];
  /** What cannot be stored any more was set aside by `gc`; how many blobs. */
  readonly trashed: number;
}

const leftName = 'left.json';

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** Names in order and no times, so that the same folder is the same archive. */
export async function pack(folder: string, left: Left): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const add = (name: string, bytes: Buffer, mode = 0o644): void => {
    pieces.push(tarHeader(name, bytes.length, mode), bytes, Buffer.alloc(-bytes.length & 511));
  };
  add(leftName, Buffer.from(`${JSON.stringify(left, undefined, 1)}\n`));
  for (const name of await filesBelow(folder)) {
    const { mode } = await stat(join(folder, name));
    add(`data/${name}`, await readFile(join(folder, name)), mode & 0o777);
  }
  return gzipSync(Buffer.concat([...pieces, Buffer.alloc(1024)]), { level: 9 });
}

/** Puts the data folder into `folder`. */
export async function unpack(archive: Buffer, folder: string): Promise<Left> {
  const tar = gunzipSync(archive);
  let left: Left | undefined;
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const field = (from: number, length: number): string =>
      (
        tar
          .subarray(at + from, at + from + length)
          .toString()
          .split('\0', 1)[0] ?? ''
      ).trim();
    const name = [field(345, 155), field(0, 100)].filter((part) => part !== '').join('/');
    const size = Number.parseInt(field(124, 12), 8);
    const bytes = tar.subarray(at + 512, at + 512 + size);
    if (name === leftName) left = JSON.parse(bytes.toString()) as Left;
    else {
      const file = join(folder, name.slice('data/'.length));
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, bytes, { mode: Number.parseInt(field(100, 8), 8) });
    }
    at += 512 + size + (-size & 511);
  }
  if (!left) throw new Error('The archive says nothing of what it is.');
  return left;
}

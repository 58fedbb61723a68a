/** Named sets: what answered something, by the key of its entry. Written while a build is recorded, read when it is carried elsewhere. */
import { join } from 'node:path';
import { codeOf, type Disk, type DiskFile, disk as realDisk } from './disk.ts';
import { setsFolder } from './layout.ts';

/** One thing that answered. Names instead of identities, so that it means the same to another server with the same configuration. */
export interface SetLine {
  /** `org/name` of the repository whose own source it is. */
  readonly repository: string;
  /** Name of the upstream; `hosted` for what is published in the repository. */
  readonly upstream: string;
  /** Id. */
  readonly format: string;
  /** Id of the kind of document; absent: an artifact. */
  readonly type?: string;
  /** As the entry has it. */
  readonly path: string;
  /** Of a document that upstream has in several forms. */
  readonly representation?: string;
}

export interface SetFacts {
  readonly name: string;
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly changedAt: number;
}

export interface Sets {
  /** Adds to the set, which need not be there. What is there twice is dropped when it is read. Throws on a name that is none. */
  append(name: string, lines: readonly SetLine[]): Promise<void>;
  /** In the order in which they were added first; `undefined`: there is no such set. */
  read(name: string): Promise<readonly SetLine[] | undefined>;
  /** By name. */
  list(): Promise<readonly SetFacts[]>;
  /** Whether there was one. */
  remove(name: string): Promise<boolean>;
}

const nameShape = /^[a-z0-9][a-z0-9._-]{0,99}$/;
const suffix = '.ndjson';

export const isSetName = (name: string): boolean => nameShape.test(name);

/** Of the data folder: sets of all who have it open, in this process and in others. */
export function openSets(folder: string, disk: Disk = realDisk): Sets {
  const root = join(folder, setsFolder);

  function pathOf(name: string): string {
    if (!isSetName(name)) {
      throw new Error(`"${name}" is no name of a set: lower-case letters, digits, ".", "_" and "-", at most 100`);
    }
    return join(root, `${name}${suffix}`);
  }

  return {
    async append(name, lines) {
      const path = pathOf(name);
      if (lines.length === 0) return;
      await disk.mkdir(root);
      const file = await disk.open(path, 'a+');
      try {
        const begin = (await endsTorn(file)) ? '\n' : '';
        for (const [index, line] of lines.entries()) {
          // Whole in one write, so that lines of several processes never lie in each other.
          const bytes = Buffer.from(`${index === 0 ? begin : ''}${JSON.stringify(ordered(line))}\n`);
          const { bytesWritten } = await file.write(bytes, 0, bytes.byteLength, 0);
          if (bytesWritten !== bytes.byteLength) throw new Error(`The disk took ${bytesWritten} bytes of a line`);
        }
      } finally {
        await file.close();
      }
    },
    async read(name) {
      const bytes = await ifThere(disk.readFile(pathOf(name)));
      return bytes && linesIn(bytes.toString('utf8'));
    },
    async list() {
      const found: SetFacts[] = [];
      for (const entry of (await ifThere(disk.readdir(root))) ?? []) {
        const name = entry.name.slice(0, -suffix.length);
        if (!entry.isFile() || !entry.name.endsWith(suffix) || !isSetName(name)) continue;
        const facts = await ifThere(disk.stat(pathOf(name)));
        if (facts) found.push({ name, sizeBytes: facts.size, changedAt: Math.floor(facts.mtimeMs) });
      }
      return found.sort((one, other) => (one.name < other.name ? -1 : 1));
    },
    async remove(name) {
      const path = pathOf(name);
      const there = await ifThere(disk.unlink(path).then(() => true));
      return there ?? false;
    },
  };
}

/** A crash may have left half a line, which must not swallow the next one. */
async function endsTorn(file: DiskFile): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const last = Buffer.alloc(1);
  const { bytesRead } = await file.read(last, 0, 1, size - 1);
  return bytesRead === 1 && last[0] !== 0x0a;
}

async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function ordered({ repository, upstream, format, type, path, representation }: SetLine): SetLine {
  return {
    repository,
    upstream,
    format,
    ...(type === undefined ? {} : { type }),
    path,
    ...(representation === undefined || representation === '' ? {} : { representation }),
  };
}

/** What is torn or no line at all is passed over. */
function linesIn(text: string): readonly SetLine[] {
  const found = new Map<string, SetLine>();
  for (const one of text.split('\n')) {
    const line = one === '' ? undefined : lineOf(one);
    if (line) found.set(JSON.stringify(line), line);
  }
  return [...found.values()];
}

function lineOf(text: string): SetLine | undefined {
  let value: Partial<SetLine> | null;
  try {
    value = JSON.parse(text) as Partial<SetLine> | null;
  } catch {
    return undefined;
  }
  const isText = (one: unknown): boolean => typeof one === 'string';
  const isWhole =
    [value?.repository, value?.upstream, value?.format, value?.path].every(isText) &&
    [value?.type ?? '', value?.representation ?? ''].every(isText);
  return value && isWhole ? ordered(value as SetLine) : undefined;
}

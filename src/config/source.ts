/** A YAML file as a tree of plain values, with `${…}` filled in and the place of every value known. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { type Path, type PlacedMistake, printPath } from './mistakes.ts';

export interface SourceTree {
  /** With references filled in. */
  readonly value: unknown;
  readonly mistakes: readonly PlacedMistake[];
  place(path: Path): { readonly line: number; readonly column: number } | undefined;
  /** The value as it stands in the file, before references were filled in. */
  written(path: Path): unknown;
}

export type Environment = Readonly<Record<string, string | undefined>>;

// `{ bearer: ${TOKEN} }` is what people write, and no YAML: braces end a plain text there. So the braces of references
// are other characters while YAML looks at them; one for one, which keeps every position.
const open = '\uE000';
const shut = '\uE001';
const largestBytes = 1024 * 1024;

function hideBraces(text: string): string {
  return text.replace(/\$\{([^{}\n]*)\}/g, `$$${open}$1${shut}`);
}

function showBraces(text: string): string {
  return text.replaceAll(open, '{').replaceAll(shut, '}');
}

export async function readSource(text: string, environment: Environment): Promise<SourceTree> {
  const lines = new LineCounter();
  const document = parseDocument(hideBraces(text.replace(/^\uFEFF/, '')), {
    lineCounter: lines,
    prettyErrors: false,
    merge: true,
  });
  const mistakes: PlacedMistake[] = [];
  const lineAt = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  for (const error of document.errors) {
    mistakes.push({ path: '', at: [], message: showBraces(firstLine(error.message)), ...lineAt(error.pos[0]) });
  }
  let plain: unknown;
  try {
    plain = document.errors.length > 0 ? undefined : document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    mistakes.push({ path: '', at: [], message: `cannot be read as YAML: ${firstLine(String(error))}` });
  }

  const place = (path: Path): { line: number; column: number } | undefined => {
    let node: unknown = document.contents;
    let at: Node | undefined;
    for (const step of path) {
      const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && String(key.value) === step) : undefined;
      const item = isSeq(node) && typeof step === 'number' ? node.items[step] : undefined;
      const next = pair?.key ?? item;
      if (!next) break;
      at = next as Node;
      node = pair ? pair.value : item;
    }
    return at?.range ? lineAt(at.range[0]) : undefined;
  };

  const fill = async (value: unknown, path: Path): Promise<unknown> => {
    if (typeof value === 'string') return fillText(value, path);
    if (Array.isArray(value)) return Promise.all(value.map((item, index) => fill(item, [...path, index])));
    if (typeof value !== 'object' || value === null) return value;
    const pairs = Object.entries(value).map(async ([key, inner]): Promise<[string, unknown]> => {
      const name = showBraces(key);
      return [name, await fill(inner, [...path, name])];
    });
    return Object.fromEntries(await Promise.all(pairs));
  };

  const fillText = async (text: string, path: Path): Promise<string> => {
    const parts = text.split(/(\$?\$\uE000[^\uE001]*\uE001)/);
    for (const [index, part] of parts.entries()) {
      if (index % 2 === 0) continue;
      // A second dollar sign says that the braces are meant as they stand.
      parts[index] = part.startsWith('$$') ? showBraces(part.slice(1)) : await lookUp(part.slice(2, -1), path);
    }
    return showBraces(parts.join(''));
  };

  const lookUp = async (name: string, path: Path): Promise<string> => {
    try {
      return await refer(name, environment);
    } catch (error) {
      const missing = error instanceof Missing ? { missing: error.what } : {};
      mistakes.push({ path: printPath(path), at: path, message: (error as Error).message, ...missing, ...place(path) });
      return `\${${name}}`;
    }
  };

  const value = (await fill(plain, [])) ?? {};
  return {
    value,
    mistakes,
    place,
    written(path) {
      let at: unknown = plain;
      for (const step of path) at = (at as Record<string | number, unknown> | null | undefined)?.[step];
      return typeof at === 'string' ? showBraces(at) : at;
    },
  };
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? text;
}

/** Something that a configuration refers to is not here; elsewhere it may be. */
export class Missing extends Error {
  readonly what: string;

  constructor(message: string, what: string) {
    super(message);
    this.what = what;
  }
}

async function refer(name: string, environment: Environment): Promise<string> {
  if (name.startsWith('file:')) {
    const bytes = await readText(name.slice('file:'.length));
    return bytes.replace(/\r?\n$/, '');
  }
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw new Error(`\${${name}} is no reference; write \${NAME}, \${file:PATH}, or $\${…} for the text itself`);
  }
  const value = environment[name];
  if (value === undefined) throw new Missing(`the environment has no ${name}; set it, or write \${file:PATH}`, name);
  return value;
}

/** A small text file; a relative path starts at the working directory. */
export async function readText(path: string): Promise<string> {
  const file = resolve(path);
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new Missing(`cannot read ${file}: ${reasonOf(error)}`, file);
  }
  if (bytes.length > largestBytes) throw new Error(`${file} is longer than 1 MiB, which no such file is`);
  return bytes.toString('utf8');
}

/** The operating system's error in words. */
export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of its path is no folder',
  };
  return words[code ?? ''] ?? code ?? (error as Error).message;
}

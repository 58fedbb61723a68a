/** Checks a tree against the schema and says what is wrong in words that fit the file. */
import { z } from 'zod';
import { isWithin, type Path, type PlacedMistake, printPath, withoutCredentials } from './mistakes.ts';
import { type ConfigFile, fileSchema } from './schema.ts';
import type { SourceTree } from './source.ts';
import { guess, hint } from './suggest.ts';

export interface JsonSchema {
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string | readonly string[];
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
}

/** The schema as editors want it. */
export function jsonSchema(): JsonSchema {
  return z.toJSONSchema(fileSchema, { io: 'input', target: 'draft-7', unrepresentable: 'any' }) as JsonSchema;
}

export interface CheckedFile {
  /** What is left when everything wrong is left out; absent when nothing useful is left. */
  readonly file?: ConfigFile;
  readonly mistakes: readonly PlacedMistake[];
}

type Issue = z.core.$ZodIssue;

const later: Readonly<Record<string, string>> = {
  'storage.s3': 'object stores are not available in this release; leave it out',
};

export function checkFile(tree: SourceTree): CheckedFile {
  const mistakes = [...tree.mistakes];
  let value = tree.value;
  // What is wrong is cut out and the rest checked again, so that later checks can speak too.
  for (let round = 0; round < 10; round++) {
    const result = fileSchema.safeParse(value);
    if (result.success) return { file: result.data, mistakes };
    const issues = result.error.issues.flatMap((issue) => spread(issue, []));
    for (const issue of issues) {
      const at = issue.path as Path;
      const known = mistakes.some((mistake) => isWithin(at, mistake.at) && mistake.path !== '');
      if (!known && round === 0) mistakes.push(...describe(issue, tree));
    }
    value = mended(value, issues);
    if (value === undefined) break;
  }
  return { mistakes };
}

/** A union complains once for each of its branches; the branch that was meant is the one with the fewest complaints. */
function spread(issue: Issue, prefix: Path): Issue[] {
  const path = [...prefix, ...(issue.path as Path)];
  if (issue.code !== 'invalid_union') return [{ ...issue, path: [...path] }];
  const branches = issue.errors.map((inner) => inner.flatMap((one) => spread(one, path)));
  const weights = branches.map((branch) =>
    branch.reduce((sum, one) => sum + (one.code === 'unrecognized_keys' ? one.keys.length : 1), 0),
  );
  const least = Math.min(...weights);
  // Of a text or keys and values, whoever wrote keys meant those.
  const meant = branches.filter(
    (branch, at) =>
      weights[at] === least && branch.every((one) => one.code === 'unrecognized_keys' || one.path.length > path.length),
  );
  const [best] = meant;
  return best && meant.length === 1
    ? best
    : [{ code: 'custom', path: [...path], message: issue.message, input: undefined }];
}

function describe(issue: Issue, tree: SourceTree): PlacedMistake[] {
  const path = issue.path as Path;
  const mistake = (at: Path, message: string): PlacedMistake => ({
    path: printPath(at),
    at,
    message,
    ...tree.place(at),
  });
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => mistake([...path, key], unknownKey(path, key)));
    case 'invalid_type':
      return [
        mistake(path, tree.written(path) === undefined ? 'is missing' : needs(issue.expected, tree.written(path))),
      ];
    case 'invalid_value':
      return [mistake(path, notAmong(tree.written(path), issue.values.map(String), issue.message))];
    case 'invalid_key':
      return [mistake(path, `"${path.at(-1)}" ${issue.issues[0]?.message ?? issue.message}`)];
    default:
      return [mistake(path, shown(issue.message, path, tree))];
  }
}

/** Puts the value before a message that needs it, as it stands in the file: never what a reference was filled in with. */
export function shown(message: string, path: Path, tree: SourceTree): string {
  if (!message.startsWith('is ')) return message;
  const written = tree.written(path);
  if (written === undefined) return 'is missing';
  if (written === '' || typeof written === 'object' || path.includes('auth')) return message;
  const text = withoutCredentials(String(written));
  return `"${text.length > 60 ? `${text.slice(0, 60)}…` : text}" ${message}`;
}

function needs(expected: string, written: unknown): string {
  const words: Readonly<Record<string, string>> = {
    string: 'needs text',
    array: 'needs a list',
    object: 'needs keys and values',
    record: 'needs keys and values',
  };
  const types: Readonly<Record<string, string>> = {
    number: 'a number',
    boolean: 'true or false',
    string: 'text',
    object: 'keys and values',
  };
  const got = Array.isArray(written)
    ? 'a list'
    : written === null
      ? 'nothing'
      : (types[typeof written] ?? typeof written);
  const quote = expected === 'string' && /number|boolean/.test(typeof written) ? '; put it in quotes' : '';
  return `${words[expected] ?? `needs ${expected}`}, not ${got}${quote}`;
}

function notAmong(written: unknown, values: readonly string[], message: string): string {
  if (values.length < 2) return message;
  if (written === undefined) return 'is missing';
  return `"${String(written)}" is none of ${values.join(', ')}${guess(String(written), values)}`;
}

function unknownKey(path: Path, key: string): string {
  const full = printPath([...path, key]);
  if (later[full] !== undefined) return later[full];
  const schema = jsonSchema();
  const siblings = keysAt(schema, path);
  if (siblings.includes(key)) return 'cannot stand beside the other keys here; one or the other';
  const near = guess(key, siblings);
  if (near !== '') return `unknown key${near}`;
  const elsewhere = [...placesOf(schema, key, [])].slice(0, 3);
  if (elsewhere.length > 0) return `unknown key here; it belongs under ${elsewhere.join(' or ')}`;
  return `unknown key${hint(key, siblings)}`;
}

function branchesOf(schema: JsonSchema): readonly JsonSchema[] {
  return schema.anyOf?.flatMap(branchesOf) ?? [schema];
}

function inside(schema: JsonSchema, step: string | number): readonly JsonSchema[] {
  return branchesOf(schema).flatMap((branch) => {
    const next = typeof step === 'number' ? branch.items : (branch.properties?.[step] ?? branch.additionalProperties);
    return typeof next === 'object' ? branchesOf(next) : [];
  });
}

function keysAt(schema: JsonSchema, path: Path): string[] {
  let at = branchesOf(schema);
  for (const step of path) at = at.flatMap((branch) => inside(branch, step));
  return [...new Set(at.flatMap((branch) => Object.keys(branch.properties ?? {})))];
}

function* placesOf(schema: JsonSchema, key: string, path: readonly string[]): Generator<string> {
  for (const branch of branchesOf(schema)) {
    for (const [name, inner] of Object.entries(branch.properties ?? {})) {
      if (name === key) yield path.length === 0 ? 'the top level' : path.join('.');
      yield* placesOf(inner, key, [...path, name]);
    }
    if (typeof branch.additionalProperties === 'object') {
      yield* placesOf(branch.additionalProperties, key, [...path, 'NAME']);
    }
    if (branch.items) yield* placesOf(branch.items, key, path);
  }
}

/** A copy in which everything wrong is left out, or, where something has to stand, replaced by something right. */
function mended(value: unknown, issues: readonly Issue[]): unknown {
  const copy = { root: structuredClone(value) };
  const schema = { properties: { root: jsonSchema() } };
  let changed = false;
  for (const issue of issues) {
    const extra = issue.code === 'unrecognized_keys' ? issue.keys : undefined;
    const paths = extra?.map((key) => [...(issue.path as Path), key]) ?? [issue.path as Path];
    const canGo = extra !== undefined || issue.code === 'invalid_key';
    for (const path of paths) changed = mend(copy, schema, ['root', ...path], canGo) || changed;
  }
  return changed ? copy.root : undefined;
}

function mend(root: object, schema: JsonSchema, path: Path, canGo: boolean): boolean {
  const key = path.at(-1) ?? '';
  const parent = path.slice(0, -1).reduce<unknown>(step, root);
  if (typeof parent !== 'object' || parent === null) return false;
  const above = path
    .slice(0, -1)
    .reduce<readonly JsonSchema[]>((at, name) => at.flatMap((one) => inside(one, name)), [schema]);
  const needed = Array.isArray(parent) || above.some((branch) => branch.required?.includes(String(key)));
  if (canGo || !needed) return Object.hasOwn(parent, key) && Reflect.deleteProperty(parent, key);
  const [here] = above.flatMap((branch) => inside(branch, key));
  return here !== undefined && Reflect.set(parent, key, standIn(here));
}

/** Something that the schema allows. */
function standIn(schema: JsonSchema): unknown {
  const [first] = branchesOf(schema);
  if (first?.const !== undefined) return first.const;
  if (first?.enum) return first.enum[0];
  if (first?.type === 'array') return first.items ? [standIn(first.items)] : [];
  if (first?.type !== 'object') return 'x';
  const needed = Object.entries(first.properties ?? {}).filter(([name]) => first.required?.includes(name));
  return Object.fromEntries(needed.map(([name, inner]) => [name, standIn(inner)]));
}

function step(at: unknown, key: string | number): unknown {
  return (at as Record<string | number, unknown> | null | undefined)?.[key];
}

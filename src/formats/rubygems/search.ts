/** `/api/v1/search.json` and `/api/v1/search/autocomplete`: what upstream finds, behind what was published here. */
import type { Document, DocumentType, Heard, Step, View } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { type Fields, factsAbout, isFields, jsonBody, parse, withGemUri } from './json.ts';
import { isName } from './name.ts';
import { newestOf, releasesOf } from './release.ts';

const searchPath = 'api/v1/search.json';
const completePath = 'api/v1/search/autocomplete';
const jsonType = 'application/json; charset=utf-8';

/** As many as rubygems.org has on a page. */
const perPage = 30;
const longestQuery = 200;

interface Query {
  readonly text: string;
  /** From 1. */
  readonly page: number;
}

/** The question as the last segment of a path: the same question, the same document. */
function keyOf({ text, page }: Query): string {
  return Buffer.from(JSON.stringify([text, page])).toString('base64url');
}

function queryIn(path: string): Query {
  const [text, page] = JSON.parse(Buffer.from(path.slice(path.lastIndexOf('/') + 1), 'base64url').toString()) as [
    string,
    number,
  ];
  return { text, page };
}

function queryOf(parameters: URLSearchParams): Query {
  const text = (parameters.get('query') ?? '').trim();
  if (text.length > longestQuery) throw new Problem('bad_request', 'The search text is too long.');
  const page = parameters.get('page') ?? '';
  return { text, page: /^[1-9]\d{0,3}$/.test(page) ? Number(page) : 1 };
}

/** Words that may be a name are asked only of whoever that name belongs to. */
function asked(type: DocumentType<unknown>, path: string, parameters: URLSearchParams): Document {
  const query = queryOf(parameters);
  const { text } = query;
  return {
    kind: 'document',
    type,
    path: `${path}/${keyOf(query)}`,
    ...(isName(text) ? { name: text, across: true } : {}),
  };
}

const nothing = Buffer.from('[]');

/** A server without such an answer has found nothing. */
function asking(path: string): (want: Document, heard: readonly Heard[]) => Step {
  return (want, [answer]) => {
    const { text, page } = queryIn(want.path);
    const query = new URLSearchParams({ query: text, ...(page === 1 ? {} : { page: String(page) }) });
    if (!answer) return { ask: { path, query: query.toString() }, accept: 'application/json' };
    const isJson = /^application\/json\b/.test(answer.headers['content-type'] ?? '');
    return { bytes: answer.status === 200 && isJson ? answer.bytes : nothing, contentType: jsonType };
  };
}

function listIn(bytes: Uint8Array): readonly unknown[] {
  const list = parse(bytes);
  if (!Array.isArray(list)) throw new Error('it is no list');
  return list;
}

/** What has been found once is not found again. */
function merged<T>(docs: readonly (readonly T[])[], nameOf: (found: T) => string): readonly T[] {
  const found = new Map<string, T>();
  for (const doc of docs) {
    const names = doc.map((one) => [nameOf(one), one] as const).filter(([name]) => !found.has(name));
    for (const [name, one] of names) found.set(name, one);
  }
  return [...found.values()];
}

/** Names with all the words in them, or in what is said about them; those that begin so first. */
function matching(view: View, text: string): readonly string[] {
  const whole = text.toLowerCase();
  const words = whole.split(/\s+/).filter((word) => word !== '');
  const rank = (name: string): number => (name === whole ? 0 : name.startsWith(whole) ? 1 : 2);
  return [...view.names()]
    .filter((name) => {
      const newest = newestOf(releasesOf(view, name));
      const said = `${name} ${newest?.facts().summary ?? ''}`.toLowerCase();
      return newest !== undefined && words.every((word) => said.includes(word));
    })
    .map((name) => ({ name, order: rank(name.toLowerCase()) }))
    .toSorted((one, other) => one.order - other.order || (one.name < other.name ? -1 : 1))
    .map(({ name }) => name);
}

export const search: DocumentType<readonly Fields[]> = {
  id: 'search',
  limit: 8 * 1024 * 1024,
  obtain: asking(searchPath),
  decode: (bytes) => listIn(bytes).filter(isFields),
  merge: (docs) => merged(docs, ({ name }) => String(name)),
  render({ path }, view) {
    const { text, page } = queryIn(path);
    const names = matching(view, text).slice((page - 1) * perPage, page * perPage);
    return jsonBody(names.flatMap((name) => newestOf(releasesOf(view, name)) ?? []).map(factsAbout));
  },
  encode: (found, _variant, base) => jsonBody(found.map((one) => withGemUri(one, base))),
};

export const completions: DocumentType<readonly string[]> = {
  id: 'completions',
  limit: 1024 * 1024,
  obtain: asking(completePath),
  decode: (bytes) => listIn(bytes).filter((name) => typeof name === 'string'),
  merge: (docs) => merged(docs, (name) => name),
  render({ path }, view) {
    const { text } = queryIn(path);
    const names = [...view.names()].filter((name) => name.toLowerCase().startsWith(text.toLowerCase()));
    return jsonBody(names.filter((name) => newestOf(releasesOf(view, name))).slice(0, perPage));
  },
  encode: (names) => jsonBody(names),
};

export const searched = (parameters: URLSearchParams): Document => asked(search, searchPath, parameters);
export const completed = (parameters: URLSearchParams): Document => asked(completions, completePath, parameters);

/** Search results and autocompletion: asked of every source from the beginning, put together, and cut to the page that is wanted. */
import type { Body, Document, DocumentType, Heard, Step } from '../../core/format.ts';
import { autocompletePath, type Hive, isHive, leafPath, lowerId, registrationPath, searchPath } from './address.ts';
import { foundEntries } from './atom.ts';
import { renderCompletions, renderSearch } from './hosted-search.ts';
import { type Json, jsonBody, objectsOf, parseObject, textOf } from './json.ts';
import { besideUrls } from './leaf-entry.ts';
import { upstreamQuery } from './query.ts';
import { isIndex } from './resources.ts';
import { normalVersion, sortByVersion } from './version.ts';

/** One package that was found. */
export interface Found {
  /** Lower case. */
  readonly id: string;
  readonly json: Json;
  /** As upstream has them, lowest first. */
  readonly versions: readonly Json[];
  /** It is published here, so that what others have under its name is something else. */
  readonly hosted: boolean;
}

export interface SearchResult {
  /** How many there are in all; at least as many as are here. */
  readonly total: number;
  readonly found: readonly Found[];
}

/** Asks the service of that path with the question in the document's. An index in place of an answer: upstream has no such service. */
function asking(service: string): (want: Document, heard: readonly Heard[]) => Step {
  return ({ path }, [answer]) => {
    if (!answer) return { ask: { path: service, query: upstreamQuery(path) } };
    if (answer.status !== 200 || isIndex(answer.bytes)) return { absent: true };
    return { bytes: answer.bytes, contentType: 'application/json' };
  };
}

function totalIn(json: Json, atLeast: number): number {
  const { totalHits: total } = json;
  return typeof total === 'number' && Number.isSafeInteger(total) && total > atLeast ? total : atLeast;
}

/** What nobody could ask for by its id or version is left out. */
function foundIn(json: Json): readonly Found[] {
  const { hosted, ...said } = json;
  const [id, latest] = [textOf(json.id), textOf(json.version)];
  if (id === undefined || latest === undefined) throw new Error('one of its results has no id or version');
  const lower = lowerId(id);
  if (lower === undefined || normalVersion(latest) === undefined) return [];
  const listed = json.versions === undefined ? [{ version: latest }] : objectsOf(json.versions, 'versions');
  const versions = listed.filter(({ version }) => normalVersion(textOf(version) ?? '') !== undefined);
  return [{ id: lower, json: said, versions, hosted: hosted === true }];
}

function decodeSearch(bytes: Uint8Array): SearchResult {
  const json = parseObject(bytes);
  const found = objectsOf(json.data, 'results').flatMap(foundIn);
  return { total: totalIn(json, found.length), found };
}

const versionOf = (json: Json): string => normalVersion(textOf(json.version) ?? '') ?? '';

/** The same package from two sources: the earlier one describes it, both have versions of it. */
function together(first: Found, second: Found): Found {
  const known = new Set(first.versions.map(versionOf));
  const added = second.versions.filter((version) => !known.has(versionOf(version)));
  if (added.length === 0) return first;
  const versions = sortByVersion([...first.versions, ...added], versionOf);
  const highest = sortByVersion([first.json, second.json], versionOf).at(-1)?.version;
  return { ...first, json: { ...first.json, version: highest }, versions };
}

/** In turns, so that what the second source finds best is not behind everything that the first one finds at all. */
function* inTurns<T>(lists: readonly (readonly T[])[]): Iterable<T> {
  const longest = Math.max(0, ...lists.map((list) => list.length));
  for (let at = 0; at < longest; at++) {
    for (const list of lists) {
      const item = list[at];
      if (item !== undefined) yield item;
    }
  }
}

/** How many there are in all can't be known: what only one source has may be in the part that nobody has seen. */
const totalOf = (docs: readonly { readonly total: number }[], seen: number): number =>
  Math.max(seen, ...docs.map(({ total }) => total));

function mergeSearch(docs: readonly SearchResult[]): SearchResult {
  const byId = new Map<string, Found>();
  for (const one of inTurns(docs.map(({ found }) => found))) byId.set(one.id, one);
  for (const id of byId.keys()) {
    const same = docs.flatMap(({ found }) => found.find((one) => one.id === id) ?? []);
    byId.set(id, same.find(({ hosted }) => hosted) ?? same.reduce(together));
  }
  const found = [...byId.values()];
  return { total: totalOf(docs, found.length), found };
}

function resultJson({ id, json, versions }: Found, hive: Hive, base: string): Json {
  const registration = `${base}/${registrationPath(id, hive)}`;
  const version = versionOf(json);
  return {
    ...json,
    '@id': registration,
    registration,
    ...besideUrls(json, { id, version }, base),
    versions: versions.map((one) => ({ ...one, '@id': `${base}/${leafPath({ id, version: versionOf(one) }, hive)}` })),
  };
}

function encodeSearch({ total, found }: SearchResult, variant: string, base: string): Body | undefined {
  const [kind, hive = '', skip = '', take = '', which = 'latest'] = variant.split(' ');
  if (!isHive(hive)) return undefined;
  const page = found.slice(Number(skip), Number(skip) + Number(take));
  switch (kind) {
    case 'v3':
      return jsonBody({ totalHits: total, data: page.map((one) => resultJson(one, hive, base)) });
    case 'v2':
      return foundEntries(page, total, base, which);
    case 'v2-count':
      return { headers: { 'content-type': 'text/plain;charset=utf-8' }, bytes: Buffer.from(String(total)) };
    default:
      return undefined;
  }
}

/** Variants: `v3 {hive} {skip} {take}`, and the same as `v2` with `latest` or `all`, and as `v2-count`. */
export const search: DocumentType<SearchResult> = {
  id: 'search',
  limit: 32 * 1024 * 1024,
  obtain: asking(searchPath),
  decode: decodeSearch,
  merge: mergeSearch,
  render: renderSearch,
  encode: encodeSearch,
};

export interface Completions {
  readonly total: number;
  readonly ids: readonly string[];
}

function decodeCompletions(bytes: Uint8Array): Completions {
  const json = parseObject(bytes);
  const { data } = json;
  if (!Array.isArray(data)) throw new Error('it has no list of ids');
  const ids = data.filter((id): id is string => typeof id === 'string' && lowerId(id) !== undefined);
  return { total: totalIn(json, ids.length), ids };
}

function mergeCompletions(docs: readonly Completions[]): Completions {
  const ids = new Map<string, string>();
  for (const id of inTurns(docs.map((doc) => doc.ids))) if (!ids.has(id.toLowerCase())) ids.set(id.toLowerCase(), id);
  return { total: totalOf(docs, ids.size), ids: [...ids.values()] };
}

/** Variant: `{skip} {take}`. */
export const autocomplete: DocumentType<Completions> = {
  id: 'autocomplete',
  limit: 4 * 1024 * 1024,
  obtain: asking(autocompletePath),
  decode: decodeCompletions,
  merge: mergeCompletions,
  render: renderCompletions,
  encode({ total, ids }, variant) {
    const [skip = '', take = ''] = variant.split(' ');
    return jsonBody({ totalHits: total, data: ids.slice(Number(skip), Number(skip) + Number(take)) });
  },
};

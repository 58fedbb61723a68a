/** The tags of an image: all pages of upstream's list, in pages of our own. */
import type { Body, Call, Document, DocumentType, Heard, Step } from '../../core/format.ts';
import { encodePath } from '../../core/path.ts';
import { hasImages, tagsOf } from './hosted.ts';
import { type Json, jsonBody, jsonBytes, parseJson } from './json.ts';
import { nextLink, nextPage } from './link-header.ts';
import { clientName, isTag, splitPath } from './name.ts';

export interface TagList {
  readonly name: string;
  /** In the order of their bytes, each once. */
  readonly tags: readonly string[];
}

/** Of all pages together: some hundred thousand tags. */
const limit = 32 * 1024 * 1024;

/** The most that every registry allows: ECR refuses more, others cut it to less and say where to go on. */
const pageSize = 1000;

function tagsIn(json: Json): string[] {
  const { tags } = json;
  // What Go programs write for an empty list.
  if (tags === null) return [];
  if (!Array.isArray(tags)) throw new Error('it has no list of tags');
  return tags.filter((one): one is string => typeof one === 'string' && isTag(one));
}

/** Code units of letters that tags have are their bytes. */
function inOrder(tags: Iterable<string>): string[] {
  return [...new Set(tags)].sort();
}

/** "Not here", and "no such thing here". */
const absent: readonly number[] = [404, 405, 410, 501];

/**
 * Whether the first page can't be built upon: the number is refused, or obeyed by a registry that then does not say how to
 * go on (GitHub's, once). Without a number such a registry gives all it has.
 */
function isMisled({ status, headers, bytes }: Heard): boolean {
  if (status === 400) return true;
  return status === 200 && nextLink(headers.link) === undefined && tagsIn(parseJson(bytes)).length === pageSize;
}

/** A list that is not whole is none: clients pick a version from it. */
function obtain(want: Document, heard: readonly Heard[]): Step {
  const accept = 'application/json';
  const [first] = heard;
  if (!first) return { ask: { path: want.path, query: `n=${pageSize}` }, accept };
  const pages = isMisled(first) ? heard.slice(1) : heard;
  const last = pages.at(-1);
  if (!last) return { ask: { path: want.path }, accept };
  if (last.status !== 200) {
    if (pages.length === 1 && absent.includes(last.status)) return { absent: true };
    throw new Error(`upstream answers ${last.status} to a part of it`);
  }
  tagsIn(parseJson(last.bytes));
  const next = nextPage(want, pages);
  if (next) return { ask: next, accept };
  const tags = inOrder(pages.flatMap(({ bytes }) => tagsIn(parseJson(bytes))));
  return { bytes: jsonBytes({ name: splitPath(want.path).name, tags }) };
}

/**
 * What a request asks of the list, as a variant; `undefined` when it asks for something that is no page. Without `n` the
 * list is not cut: there are clients that follow no `Link`.
 */
export function pageVariant({ query }: Call): string | undefined {
  const variant = new URLSearchParams();
  for (const name of ['last', 'n', 'ns']) {
    const value = query.get(name);
    if (value !== null && value !== '') variant.set(name, value);
  }
  const n = variant.get('n');
  return n === null || /^\d{1,9}$/.test(n) ? variant.toString() : undefined;
}

function encode({ name, tags }: TagList, variant: string, base: string): Body {
  const query = new URLSearchParams(variant);
  const last = query.get('last');
  const rest = last === null ? tags : tags.filter((one) => one > last);
  const page = query.has('n') ? rest.slice(0, Number(query.get('n'))) : rest;
  const lastHere = page.at(-1);
  const headers: Record<string, string> = {};
  if (lastHere !== undefined && page.length < rest.length) {
    query.set('last', lastHere);
    query.sort();
    const list = `${new URL(base).pathname.replace(/\/+$/, '')}/${encodePath(name)}/tags/list`;
    headers.link = `<${list}?${query}>; rel="next"`;
  }
  return jsonBody({ name: clientName(base, name), tags: page }, headers);
}

export const tagList: DocumentType<TagList> = {
  id: 'tags',
  limit,
  contentType: 'application/json',
  obtain,
  decode(bytes, { path }) {
    const json = parseJson(bytes);
    return { name: splitPath(path).name, tags: inOrder(tagsIn(json)) };
  },
  render({ path }, view) {
    const { name } = splitPath(path);
    if (!hasImages(view, name)) return undefined;
    return { bytes: jsonBytes({ name, tags: [...tagsOf(view, name)].map(({ version }) => version) }) };
  },
  merge: (docs, path) => ({ name: splitPath(path).name, tags: inOrder(docs.flatMap(({ tags }) => tags)) }),
  encode,
};

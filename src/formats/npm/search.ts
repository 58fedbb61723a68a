/** Search results: packages that are published here, and what upstream finds for the same words. */
import type { Body, Call, Document, DocumentType, Heard, Intent, Step, View } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { aboutFacts, deprecationOf, shownTags, versionFacts } from './hosted.ts';
import { isJson, isObject, type Json, jsonBody, parseJson } from './json.ts';
import { isName } from './name.ts';

const service = '-/v1/search';
/** More than that the public registry does not answer at once. */
const mostResults = 250;
const usualSize = 20;
/** In characters of the path's last segment. */
const longestKey = 500;
/** Only these mean something to a registry; what else a client sends stays here. */
const passedOn = ['quality', 'popularity', 'maintenance'] as const;

interface Query {
  readonly text: string;
  readonly from: number;
  readonly size: number;
  /** Weights, with their names. */
  readonly weights: Readonly<Record<string, string>>;
}

export interface SearchResult {
  readonly objects: readonly Json[];
  /** How many there are in all; at least as many as are here. */
  readonly total: number;
  /** Found among what is published here: before what anybody else finds. */
  readonly isHosted?: boolean;
}

function count(text: string | null, usual: number): number {
  return text !== null && /^\d{1,6}$/.test(text) ? Math.min(Number(text), mostResults) : usual;
}

function queryOf(parameters: URLSearchParams): Query {
  const weights = passedOn.flatMap((name) => {
    const value = parameters.get(name);
    return value !== null && /^[\d.]{1,8}$/.test(value) ? [[name, value] as const] : [];
  });
  return {
    text: (parameters.get('text') ?? '').trim(),
    from: count(parameters.get('from'), 0),
    size: count(parameters.get('size'), usualSize),
    weights: Object.fromEntries(weights),
  };
}

/** Upstream is asked from the start, so that a page can be cut out of what several sources find together. */
function windowOf({ from, size }: Query): number {
  let window = 32;
  while (window < from + size) window *= 2;
  return Math.min(window, mostResults);
}

/** The same question is the same document. */
export function search(call: Call): Intent {
  const query = queryOf(call.query);
  const asked = JSON.stringify([query.text, windowOf(query), query.weights]);
  const key = Buffer.from(asked).toString('base64url');
  if (key.length > longestKey) throw new Problem('bad_request', 'The search text is too long.');
  return {
    kind: 'document',
    type: searchType,
    path: `${service}/${key}`,
    variant: `${query.from} ${query.size}`,
    // What may be a package of somebody's own is looked for with nobody else.
    ...(isName(query.text) ? { otherNames: [query.text], across: true } : {}),
  };
}

function askedIn(path: string): { readonly text: string; readonly query: string } {
  const key = path.slice(path.lastIndexOf('/') + 1);
  const [text, size, weights] = JSON.parse(Buffer.from(key, 'base64url').toString()) as [
    string,
    number,
    Record<string, string>,
  ];
  return { text, query: new URLSearchParams({ text, size: String(size), ...weights }).toString() };
}

const nothing = Buffer.from(JSON.stringify({ objects: [], total: 0 }));

/** An upstream without a search, or with a page in its place, finds nothing. */
function obtain({ path }: Document, [answer]: readonly Heard[]): Step {
  if (!answer) return { ask: { path: service, query: askedIn(path).query }, accept: 'application/json' };
  const isAnswer = answer.status === 200 && isJson(answer.headers['content-type'] ?? '');
  return { bytes: isAnswer ? answer.bytes : nothing, contentType: 'application/json' };
}

function decode(bytes: Uint8Array): SearchResult {
  const json = parseJson(bytes);
  if (!Array.isArray(json.objects)) throw new Error('it has no list of results');
  const objects = json.objects.filter(
    (one): one is Json => isObject(one) && isObject(one.package) && isName(String(one.package.name)),
  );
  const total = typeof json.total === 'number' && Number.isSafeInteger(json.total) ? json.total : 0;
  return { objects, total: Math.max(total, objects.length), ...(json.isHosted === true ? { isHosted: true } : {}) };
}

const nameOf = (found: Json): string => String((found.package as Json).name);

/** What is published here comes first: there is little of it, and who searches a registry of their own means it first. */
function merge(docs: readonly SearchResult[]): SearchResult {
  const ordered = [...docs.filter(({ isHosted }) => isHosted), ...docs.filter(({ isHosted }) => !isHosted)];
  const byName = new Map<string, Json>();
  for (const { objects } of ordered) {
    for (const found of objects) if (!byName.has(nameOf(found))) byName.set(nameOf(found), found);
  }
  const objects = [...byName.values()];
  // What only one source has may be in the part that nobody has seen.
  return { objects, total: Math.max(objects.length, ...docs.map(({ total }) => total)) };
}

/** Links of a result lead to pages of upstream's, which is where they belong: they are for people and not for clients. */
function encode({ objects, total }: SearchResult, variant: string): Body {
  const [from, size] = variant.split(' ').map(Number);
  const page = objects.slice(from ?? 0, (from ?? 0) + (size ?? usualSize));
  return jsonBody({ objects: page, total });
}

interface Wanted {
  readonly words: readonly string[];
  readonly qualifiers: readonly (readonly [string, string])[];
}

/** `scope:`, `keywords:`, `author:` and `maintainer:` narrow as on the public registry; its other qualifiers say nothing here. */
function wantedIn(text: string): Wanted {
  const words: string[] = [];
  const qualifiers: [string, string][] = [];
  for (const word of text.toLowerCase().split(/[\s]+/)) {
    const [, qualifier, value = ''] = /^(scope|keywords|author|maintainer|not|is|boost-exact):(.*)$/.exec(word) ?? [];
    if (qualifier === undefined) {
      if (word !== '') words.push(word);
    } else qualifiers.push([qualifier, value]);
  }
  return { words, qualifiers };
}

interface Candidate {
  readonly name: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly people: readonly string[];
  readonly deprecated: boolean;
}

function fits({ words, qualifiers }: Wanted, one: Candidate): boolean {
  const text = [one.name, one.description, ...one.keywords].join('\n').toLowerCase();
  if (!words.every((word) => text.includes(word))) return false;
  return qualifiers.every(([qualifier, value]) => {
    switch (qualifier) {
      case 'scope':
        return one.name.startsWith(`@${value.replace(/^@/, '')}/`);
      case 'keywords':
        return value.split(/[,+]/).some((keyword) => one.keywords.some((has) => has.toLowerCase() === keyword));
      case 'author':
      case 'maintainer':
        return one.people.some((person) => person.toLowerCase() === value);
      case 'not':
        return value !== 'deprecated' || !one.deprecated;
      default:
        return true;
    }
  });
}

function authorIn(author: unknown): string | undefined {
  const name = isObject(author) ? author.name : author;
  return typeof name === 'string' ? name.replace(/\s*[<(].*$/, '') : undefined;
}

/** An exact name, then names that begin so, then the rest, as they were published. */
function rank(name: string, text: string): number {
  if (name === text) return 0;
  return name.startsWith(text) || name.slice(name.indexOf('/') + 1).startsWith(text) ? 1 : 2;
}

function render({ path }: Document, view: View): Body {
  const { text } = askedIn(path);
  const wanted = wantedIn(text);
  const found: { readonly rank: number; readonly object: Json }[] = [];
  for (const name of view.names()) {
    const about = aboutFacts(view, name);
    const record = about && view.record(name, shownTags(view, name).latest ?? '');
    if (!record) continue;
    const { manifest, by } = versionFacts(record);
    const { description, keywords, homepage, license } = manifest;
    const author = authorIn(manifest.author);
    const candidate: Candidate = {
      name,
      description: typeof description === 'string' ? description : '',
      keywords: Array.isArray(keywords) ? keywords.filter((one) => typeof one === 'string') : [],
      people: [...about.owners.map((owner) => owner.name), ...(author === undefined ? [] : [author])],
      deprecated: deprecationOf(record) !== '',
    };
    if (!fits(wanted, candidate)) continue;
    const scope = name.startsWith('@') ? name.slice(1, name.indexOf('/')) : 'unscoped';
    found.push({
      rank: rank(name, wanted.words.join(' ')),
      object: {
        package: {
          name,
          scope,
          version: record.version,
          description: candidate.description,
          keywords: candidate.keywords,
          date: record.publishedAt,
          links: typeof homepage === 'string' ? { homepage } : {},
          ...(license === undefined ? {} : { license }),
          ...(by === undefined ? {} : { publisher: { username: by, email: '' } }),
          maintainers: about.owners.map((owner) => ({ username: owner.name, email: owner.email ?? '' })),
        },
        score: { final: 1, detail: { quality: 1, popularity: 1, maintenance: 1 } },
        searchScore: 1,
      },
    });
  }
  found.sort((a, b) => a.rank - b.rank);
  const objects = found.slice(0, mostResults).map(({ object }) => object);
  return jsonBody({ objects, total: found.length, isHosted: true });
}

/** Variant: `{from} {size}`. */
export const searchType: DocumentType<SearchResult> = {
  id: 'search',
  limit: 32 * 1024 * 1024,
  obtain,
  decode: (bytes) => decode(bytes),
  merge,
  render,
  encode,
};

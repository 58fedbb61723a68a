/** Registrations: what is said about every version of a package, in pages, for clients that know SemVer 2.0.0 and for those that don't. */
import type { Body, Document, DocumentType, Heard, Link, Step } from '../../core/format.ts';
import { type Hive, isHive, leafPath, nupkgPath, pagePath, registrationPath } from './address.ts';
import { findEntries, findEntry } from './atom.ts';
import { renderRegistration } from './hosted.ts';
import { framed, isObject, type Json, jsonBody, objectsOf, parseObject, textOf } from './json.ts';
import { entryFor, hasUnlistedDate } from './leaf-entry.ts';
import {
  compareParsed,
  isPrerelease,
  isSemVer2,
  isSemVer2Range,
  normalVersion,
  parseVersion,
  sortByVersion,
} from './version.ts';
import { idIn } from './versions.ts';

/** One version as upstream describes it. */
export interface Leaf {
  /** Normalised. */
  readonly version: string;
  /** As upstream has it: beside `catalogEntry` it may say when, and what else it thinks fit. */
  readonly json: Json;
  readonly entry: Json;
}

export interface Registration {
  /** Lower case. */
  readonly id: string;
  /** In the order in which the sources have them. */
  readonly leaves: readonly Leaf[];
}

/** From so many versions on they are handed out in pages of their own, as nuget.org does it. */
const pagedFrom = 128;
const pageSize = 64;

/** An index with its leaves in it is read once, where it is decoded. Without them a package would need thousands of pages to be that long. */
const longestSkeletonBytes = 512 * 1024;

/** The URLs of the pages that the index only names; `undefined` when it can't be read. */
function pagesOf(index: Uint8Array): readonly string[] | undefined {
  if (index.byteLength > longestSkeletonBytes) return [];
  try {
    return objectsOf(parseObject(index).items, 'pages')
      .filter(({ items }) => items === undefined)
      .map((page) => {
        const at = textOf(page['@id']);
        if (at === undefined) throw new Error('a page has neither leaves nor an address');
        return at;
      });
  } catch {
    return undefined;
  }
}

/** The index, then every page that it only names. A page that went away meanwhile means that there is a new index. */
function obtain({ path }: Document, heard: readonly Heard[]): Step {
  let at = 0;
  for (let attempt = 0; ; attempt++) {
    const index = heard[at];
    if (!index) return { ask: { path } };
    if (index.status !== 200) return { absent: true };
    const pages = pagesOf(index.bytes) ?? [];
    const answers = heard.slice(at + 1, at + 1 + pages.length);
    const gone = answers.findIndex(({ status }) => status !== 200);
    if (gone >= 0 && attempt === 0) {
      at += gone + 2;
      continue;
    }
    const next = pages[answers.length];
    if (next !== undefined) return { ask: { url: next } };
    const bytes = framed({ index: index.bytes, pages: answers.map((answer) => answer.bytes) });
    return { bytes, contentType: 'application/json' };
  }
}

function leafOf(json: Json, id: string): Leaf | undefined {
  const entry = json.catalogEntry;
  if (!isObject(entry)) throw new Error('a leaf has no catalogEntry');
  const version = normalVersion(textOf(entry.version) ?? '');
  const named = textOf(entry.id);
  if (named !== undefined && named.toLowerCase() !== id) throw new Error('it is about another package');
  return version === undefined ? undefined : { version, json, entry };
}

/** Pages as they came: with the index and each page that was asked for, or as one document in which nothing is left out. */
function decode(bytes: Uint8Array, { path }: { readonly path: string }): Registration {
  const json = parseObject(bytes);
  const id = idIn(path);
  const apart = Array.isArray(json.pages) && isObject(json.index) ? objectsOf(json.pages, 'pages') : [];
  const index = isObject(json.index) ? json.index : json;
  const leaves = new Map<string, Leaf>();
  let next = 0;
  for (const page of objectsOf(index.items, 'pages')) {
    const whole = page.items === undefined ? apart[next++] : page;
    if (!whole) throw new Error('a page of it is missing');
    for (const item of objectsOf(whole.items, 'leaves')) {
      const leaf = leafOf(item, id);
      if (leaf && !leaves.has(leaf.version)) leaves.set(leaf.version, leaf);
    }
  }
  return { id, leaves: [...leaves.values()] };
}

/** A version that is not listed has lost its date: nuget.org puts the year 1900 in its place. */
function* links({ id, leaves }: Registration): Iterable<Link> {
  for (const { version, entry, json } of leaves) {
    const published = textOf(entry.published) ?? textOf(json.published);
    yield {
      path: nupkgPath({ id, version }),
      version,
      ...(published === undefined || hasUnlistedDate(published) ? {} : { publishedAt: published }),
    };
  }
}

function merge(docs: readonly Registration[]): Registration {
  const leaves = new Map<string, Leaf>();
  for (const doc of docs) for (const leaf of doc.leaves) if (!leaves.has(leaf.version)) leaves.set(leaf.version, leaf);
  return { id: docs[0]?.id ?? '', leaves: [...leaves.values()] };
}

/** A package is beyond older clients also when only what it depends on is. */
export function needsSemVer2(entry: Json): boolean {
  if (isSemVer2(textOf(entry.version) ?? '')) return true;
  const groups = Array.isArray(entry.dependencyGroups) ? entry.dependencyGroups.filter(isObject) : [];
  return groups.some(({ dependencies }) =>
    Array.isArray(dependencies)
      ? dependencies.some((dependency) => isObject(dependency) && isSemVer2Range(textOf(dependency.range) ?? ''))
      : false,
  );
}

/** What a hive shows, lowest version first; `undefined` when it shows nothing of a package that has versions. */
function shownIn(hive: Hive, { leaves }: Registration): readonly Leaf[] | undefined {
  const shown = hive === 'registration-semver2' ? leaves : leaves.filter(({ entry }) => !needsSemVer2(entry));
  if (shown.length === 0 && leaves.length > 0) return undefined;
  return sortByVersion(shown, ({ version }) => version);
}

function leafJson(id: string, leaf: Leaf, hive: Hive, base: string): Json {
  const key = { id, version: leaf.version };
  const at = `${base}/${leafPath(key, hive)}`;
  return {
    ...leaf.json,
    '@id': at,
    catalogEntry: entryFor(leaf.entry, key, hive, base),
    packageContent: `${base}/${nupkgPath(key)}`,
    registration: `${base}/${registrationPath(id, hive)}`,
  };
}

function pageJson(
  id: string,
  leaves: readonly Leaf[],
  hive: Hive,
  base: string,
  how: 'inside' | 'named' | 'alone',
): Json {
  const lower = leaves[0]?.version ?? '';
  const upper = leaves.at(-1)?.version ?? '';
  const index = `${base}/${registrationPath(id, hive)}`;
  const at = how === 'inside' ? `${index}#page/${lower}/${upper}` : `${base}/${pagePath(id, lower, upper, hive)}`;
  return {
    '@id': at,
    '@type': 'catalog:CatalogPage',
    count: leaves.length,
    ...(how === 'named' ? {} : { items: leaves.map((leaf) => leafJson(id, leaf, hive, base)) }),
    parent: index,
    lower,
    upper,
  };
}

function indexBody(doc: Registration, hive: Hive, base: string): Body | undefined {
  const leaves = shownIn(hive, doc);
  if (!leaves) return undefined;
  const { id } = doc;
  const how = leaves.length < pagedFrom ? 'inside' : 'named';
  const pages: Json[] = [];
  for (let at = 0; at < leaves.length; at += pageSize) {
    pages.push(pageJson(id, leaves.slice(at, at + pageSize), hive, base, how));
  }
  return jsonBody({
    '@id': `${base}/${registrationPath(id, hive)}`,
    '@type': ['catalog:CatalogRoot', 'PackageRegistration', 'catalog:Permalink'],
    count: pages.length,
    items: pages,
  });
}

/** Of a page that was named a while ago what there is of it now: an address once given out keeps its meaning. */
function pageBody(doc: Registration, hive: Hive, lower: string, upper: string, base: string): Body | undefined {
  const [from, to] = [parseVersion(lower), parseVersion(upper)];
  const leaves = shownIn(hive, doc);
  if (!from || !to || !leaves) return undefined;
  const within = leaves.filter(({ version }) => {
    const parsed = parseVersion(version);
    return parsed && compareParsed(parsed, from) >= 0 && compareParsed(parsed, to) <= 0;
  });
  return within.length === 0 ? undefined : jsonBody(pageJson(doc.id, within, hive, base, 'alone'));
}

/** Listed versions by themselves, as autocompletion wants them. */
function listedBody(doc: Registration, hive: Hive, prerelease: boolean): Body {
  const listed = (shownIn(hive, doc) ?? []).filter(
    ({ version, entry }) => entry.listed !== false && (prerelease || !isPrerelease(version)),
  );
  return jsonBody({
    totalHits: listed.length,
    data: listed.map(({ version, entry }) => textOf(entry.version) ?? version),
  });
}

function encode(doc: Registration, variant: string, base: string): Body | undefined {
  const [kind, ...words] = variant.split(' ');
  const [hive = '', ...more] = words;
  if (!isHive(hive)) return undefined;
  const [first = '', second = '', which = '', order] = more;
  switch (kind) {
    case 'index':
      return indexBody(doc, hive, base);
    case 'page':
      return pageBody(doc, hive, first, second, base);
    case 'listed':
      return listedBody(doc, hive, first === 'prerelease');
    case 'v2-find':
      return findEntries(doc.id, shownIn(hive, doc) ?? [], base, {
        skip: Number(first),
        top: Number(second),
        which,
        descending: order === 'desc',
      });
    case 'v2-entry':
      return findEntry(doc.id, shownIn(hive, doc) ?? [], base, first);
    default:
      return undefined;
  }
}

/**
 * Variants: `index {hive}`, `page {hive} {lower} {upper}`, `listed {hive} [prerelease]`, and for clients of the second
 * version of the protocol `v2-find {hive} {skip} {top} {which} [desc]` and `v2-entry {hive} {version}`.
 */
export const registration: DocumentType<Registration> = {
  id: 'registration',
  limit: 96 * 1024 * 1024,
  obtain,
  decode,
  links,
  merge,
  render: renderRegistration,
  withhold: (doc, refused) => ({ ...doc, leaves: doc.leaves.filter(({ version }) => !refused(version)) }),
  encode,
};

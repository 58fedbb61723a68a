/** Known vulnerabilities: an index of pages, which clients read as a whole when they audit a restore. */
import { createHash } from 'node:crypto';
import type { Document, DocumentType, Heard, Link, Origin, Step } from '../../core/format.ts';
import { vulnerabilitiesPath } from './address.ts';
import { isObject, type Json, jsonBody, parseAny, parseObject, textOf } from './json.ts';
import { isIndex } from './resources.ts';

export interface VulnerabilityPage {
  /** At most 32 letters, digits, hyphens and underscores, and no two the same: clients name their cached copies by it. */
  readonly name: string;
  readonly path: string;
  readonly url: string;
  readonly json: Json;
}

/** What the documentation of VulnerabilityInfo allows. */
const mostPages = 16;
const goodName = /^[A-Za-z0-9_-]{1,32}$/;

function obtain({ path }: Document, [answer]: readonly Heard[]): Step {
  if (!answer) return { ask: { path } };
  if (answer.status !== 200 || isIndex(answer.bytes)) return { absent: true };
  return { bytes: answer.bytes, contentType: 'application/json' };
}

/** Addresses change whenever the contents do, so a page is known by its own. */
function pageOf(json: unknown, from: string): VulnerabilityPage {
  if (!isObject(json)) throw new Error('a page of it is no object');
  const name = textOf(json['@name']) ?? '';
  const at = textOf(json['@id']) ?? '';
  if (!goodName.test(name) || at === '' || !URL.canParse(at, from))
    throw new Error('a page of it has no name or no address');
  const url = new URL(at, from).href;
  const own = /\/v3\/vulnerabilities\/[A-Za-z0-9_-]+\.json$/.exec(url)?.[0];
  const key = createHash('sha256').update(url).digest('hex').slice(0, 16);
  return { name, url, path: own?.slice(1) ?? `v3/vulnerabilities/${name}-${key}.json`, json };
}

function decode(bytes: Uint8Array, { url }: Origin): readonly VulnerabilityPage[] {
  const json = parseAny(bytes);
  if (!Array.isArray(json) || json.length === 0) throw new Error('it lists no pages');
  return json.map((page) => pageOf(page, url));
}

function* links(pages: readonly VulnerabilityPage[]): Iterable<Link> {
  for (const { path, url } of pages) yield { path, url };
}

/** What every source knows counts. A name that is taken gets something that tells it apart. */
function merge(docs: readonly (readonly VulnerabilityPage[])[]): readonly VulnerabilityPage[] {
  const pages = new Map<string, VulnerabilityPage>();
  const names = new Set<string>();
  for (const page of docs.flat()) {
    if (pages.has(page.path)) continue;
    const key = createHash('sha256').update(page.url).digest('hex').slice(0, 8);
    const name = names.has(page.name) ? `${page.name.slice(0, 23)}-${key}` : page.name;
    names.add(name);
    pages.set(page.path, { ...page, name });
  }
  return [...pages.values()].slice(0, mostPages);
}

export const vulnerabilities: DocumentType<readonly VulnerabilityPage[]> = {
  id: 'vulnerabilities',
  limit: 256 * 1024,
  obtain,
  decode,
  links,
  merge,
  encode: (pages, _variant, base) =>
    jsonBody(pages.map(({ name, path, json }) => ({ ...json, '@name': name, '@id': `${base}/${path}` }))),
};

export const vulnerabilityIndex: Document = { kind: 'document', type: vulnerabilities, path: vulnerabilitiesPath };

/** A page maps ids to lists. An empty one is `{}`: clients read it into a dictionary, whatever the documentation says. */
function decodePage(bytes: Uint8Array): Uint8Array {
  if (!Object.values(parseObject(bytes)).every((known) => Array.isArray(known))) {
    throw new Error('what it knows about a package is no list');
  }
  return bytes;
}

/** Looked at to see that it is one, and passed on as it is. */
export const vulnerabilityPage: DocumentType<Uint8Array> = {
  id: 'vulnerability-page',
  limit: 64 * 1024 * 1024,
  contentType: 'application/json',
  decode: decodePage,
  encode: (bytes) => ({ bytes }),
};

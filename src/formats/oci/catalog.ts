/** The images that were pushed here, in pages; those of other registries only these know. */
import type { Body, DocumentType } from '../../core/format.ts';
import { hasImages } from './hosted.ts';
import { type Json, jsonBody, jsonBytes, parseJson } from './json.ts';
import { clientName, isName, locationOf } from './name.ts';

export interface Catalog {
  /** In the order of their bytes, each once. */
  readonly names: readonly string[];
}

/** Some hundred thousand names. */
const limit = 32 * 1024 * 1024;

export const catalogPath = '_catalog';

function namesIn({ repositories }: Json): string[] {
  if (!Array.isArray(repositories)) throw new Error('it has no list of repositories');
  return repositories.filter((one): one is string => typeof one === 'string' && isName(one));
}

function inOrder(names: Iterable<string>): string[] {
  return [...new Set(names)].sort();
}

function encode({ names }: Catalog, variant: string, base: string): Body {
  const query = new URLSearchParams(variant);
  const last = query.get('last');
  const all = names.map((name) => clientName(base, name));
  const rest = last === null ? all : all.filter((one) => one > last);
  const page = query.has('n') ? rest.slice(0, Number(query.get('n'))) : rest;
  const lastHere = page.at(-1);
  const headers: Record<string, string> = {};
  if (lastHere !== undefined && page.length < rest.length) {
    query.set('last', lastHere);
    query.sort();
    headers.link = `<${locationOf(base, catalogPath)}?${query}>; rel="next"`;
  }
  return jsonBody({ repositories: page }, headers);
}

export const catalog: DocumentType<Catalog> = {
  id: 'catalog',
  limit,
  contentType: 'application/json',
  // Nobody else is asked: Docker Hub and most others tell their list to nobody, or one that is not whole.
  obtain: () => ({ absent: true }),
  decode: (bytes) => ({ names: inOrder(namesIn(parseJson(bytes))) }),
  merge: (docs) => ({ names: inOrder(docs.flatMap(({ names }) => names)) }),
  render: (_want, view) => ({
    bytes: jsonBytes({ repositories: [...view.names()].filter((name) => hasImages(view, name)).sort() }),
  }),
  encode,
};

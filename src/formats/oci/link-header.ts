/** Lists in several pages, each naming the next in a `Link` header (RFC 8288). */
import type { Document, Heard, Step } from '../../core/format.ts';
import { splitPath } from './name.ts';

/** The target of the link whose relation is `next`, as it stands there. */
export function nextLink(header: string | undefined): string | undefined {
  for (const [, target, parameters = ''] of header?.matchAll(/<([^>]*)>([^<]*)/g) ?? []) {
    const [, quoted, bare] = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]*))/i.exec(parameters) ?? [];
    const relations = (quoted ?? bare ?? '').toLowerCase().split(/\s+/);
    if (relations.includes('next')) return target;
  }
  return undefined;
}

/**
 * How to ask for the page after those heard; `undefined` when the last one named none, or one that was heard already.
 * Registries behind a proxy name hosts, schemes and prefixes that only they know, so of an address that is recognisably
 * the same list only the query counts.
 */
export function nextPage(want: Document, heard: readonly Heard[]): Extract<Step, { ask: unknown }>['ask'] | undefined {
  const last = heard.at(-1);
  const target = nextLink(last?.headers.link);
  if (!last || target === undefined || !URL.canParse(target, last.url)) return undefined;
  const next = new URL(target, last.url);
  const isSameList = next.pathname.replace(/%3a/gi, ':').endsWith(`/${splitPath(want.path).tail}`);
  if (!isSameList) return heard.some(({ url }) => url === next.href) ? undefined : { url: next.href };
  if (heard.some(({ url }) => new URL(url).search === next.search)) return undefined;
  return { path: want.path, ...(next.search === '' ? {} : { query: next.search.slice(1) }) };
}

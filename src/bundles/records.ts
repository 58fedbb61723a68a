/** What a store has, as records: by upstream name instead of by address and credentials. */
import type { Link } from '../core/format.ts';
import type { KeyedEntry } from '../store/entries.ts';
import { records as recordsIn } from '../store/store.ts';
import type { EntryRecord } from './format.ts';
import type { StoreView } from './store-view.ts';

/** An upstream of a configuration. */
export interface NamedUpstream {
  readonly name: string;
  /** What keys of entries begin with. */
  readonly identity: string;
}

/** The record of an entry under each name that its upstream has; without what is known of documents besides. */
export function recordsOf(
  { key, entry }: KeyedEntry,
  byIdentity: ReadonlyMap<string, readonly string[]>,
): EntryRecord[] {
  const [identity = '', format = '', ...document] = key.source.split('/');
  return (byIdentity.get(identity) ?? []).map((upstream) => ({
    is: 'entry',
    upstream,
    format,
    ...(document.length === 0 ? {} : { document: document.join('/') }),
    path: key.path,
    ...(key.representation === undefined || key.representation === '' ? {} : { representation: key.representation }),
    entry,
  }));
}

export function namesByIdentity(upstreams: readonly NamedUpstream[]): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const { name, identity } of upstreams) names.set(identity, [...(names.get(identity) ?? []), name]);
  return names;
}

/** As `sources/remote-document.ts` writes them: links by content, first sights by document. */
export function linksKey(
  { format, document = '', path, representation = '', entry }: EntryRecord,
  identity: string,
): string {
  return `${format}\n${document}\n${path}\n${representation}\n${identity}\n${entry.digest}`;
}

export function seenKey({ document = '', path }: EntryRecord, identity: string): string {
  return `${identity}\n${document}\n${path}`;
}

/** With what is known of a document besides its bytes. */
export async function withFacts(record: EntryRecord, identity: string, { index }: StoreView): Promise<EntryRecord> {
  if (record.document === undefined || record.entry.digest === undefined) return record;
  const links = await recordsIn.facts<readonly Link[]>(index, 'links').get(linksKey(record, identity));
  const seen = await recordsIn.facts<Record<string, number>>(index, 'seen').get(seenKey(record, identity));
  return { ...record, ...(links ? { links } : {}), ...(seen ? { seen } : {}) };
}

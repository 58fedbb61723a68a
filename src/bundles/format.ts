/**
 * What is in a bundle (docs/bundles.md describes it for other programs): a header, records, blobs, a manifest and its
 * signature. Records name upstreams as the configuration does, so that they mean the same to another server.
 */
import { createHash } from 'node:crypto';
import { type Digest, parseDigest } from '../core/digest.ts';
import type { Link } from '../core/format.ts';
import type { StoredEntry } from '../store/entries.ts';

/** Of the archive. A reader takes its own number and no other. */
export const formatVersion = 1;
export const bundleFormat = 'larder-bundle';
export const inventoryFormat = 'larder-inventory';

export const names = {
  header: 'bundle.json',
  records: 'records.ndjson',
  /** Blobs that turned out damaged while they were written: of no use, and nothing refers to them. */
  withdrawn: 'withdrawn.json',
  manifest: 'manifest.sha256',
  signature: 'manifest.sha256.minisig',
} as const;

export const blobPrefix = 'blobs/sha256/';

/** Why a bundle is not taken. */
export type BundleTrouble = 'damaged' | 'cut' | 'part' | 'version' | 'signature' | 'unknown' | 'file';

/** One line, for whoever called: what is wrong and what to do. */
export class BundleError extends Error {
  override readonly name = 'BundleError';
  readonly trouble: BundleTrouble;

  constructor(trouble: BundleTrouble, message: string, options?: ErrorOptions) {
    super(message, options);
    this.trouble = trouble;
  }
}

export interface BundleHeader {
  readonly format: typeof bundleFormat;
  readonly version: number;
  /** Random; what a later delta names. */
  readonly id: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** What of it is left out because the other side has it: ids of earlier bundles and inventories. Empty: nothing. */
  readonly deltaOf: readonly string[];
  /** Of the public key that it is signed for; absent: it is not signed. */
  readonly key?: string;
  /** What was to be written; the manifest tells what was. `bytes` are those of blobs. */
  readonly planned: { readonly records: number; readonly blobs: number; readonly bytes: number };
}

/** An entry of the store. */
export interface EntryRecord {
  readonly is: 'entry';
  /** Name. */
  readonly upstream: string;
  /** Id. */
  readonly format: string;
  /** Id of the kind of document; absent: an artifact. */
  readonly document?: string;
  readonly path: string;
  readonly representation?: string;
  readonly entry: StoredEntry;
  /** What the document links to, as the release that wrote the bundle found it. */
  readonly links?: readonly Link[];
  /** When each version of the document was seen first, in ms. */
  readonly seen?: Readonly<Record<string, number>>;
}

/** One object of the journal of a repository's published packages, byte for byte. */
export interface JournalRecord {
  readonly is: 'journal';
  /** `org/name`. */
  readonly repository: string;
  /** From 1, in order and without a gap. */
  readonly number: number;
  readonly text: string;
}

export type BundleRecord = EntryRecord | JournalRecord;

/** What a record is about, the same on both sides. */
export function placeOf(
  record: Pick<EntryRecord, 'upstream' | 'format' | 'document' | 'path' | 'representation'>,
): string {
  const { upstream, format, document = '', path, representation = '' } = record;
  return JSON.stringify([upstream, format, document, path, representation]);
}

/** The same for the same content: when it was fetched and checked does not count. */
export function printOf({ checkedAt: _, fetchedAt: __, gone: ___, ...entry }: StoredEntry): string {
  return createHash('sha256').update(sorted(entry)).digest('hex').slice(0, 16);
}

function sorted(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
      : inner,
  );
}

/** Throws a `BundleError` on what is no header, or one of another version. */
export function parseHeader(bytes: Buffer): BundleHeader {
  const header = parsed(bytes.toString()) as Partial<BundleHeader> | undefined;
  if (header?.format !== bundleFormat) throw new BundleError('unknown', 'this is no bundle of Larder');
  const { version } = header;
  if (version !== formatVersion)
    throw new BundleError('version', otherVersion('bundle', version, header.tool?.version));
  if (typeof header.id !== 'string' || !isTexts(header.deltaOf) || typeof header.planned?.bytes !== 'number') {
    throw new BundleError('damaged', 'the bundle is damaged: its header lacks something');
  }
  return header as BundleHeader;
}

export function otherVersion(what: string, version: unknown, tool: string | undefined): string {
  const by = tool === undefined ? '' : ` (by Larder ${tool})`;
  const age = typeof version === 'number' && version > formatVersion ? 'a newer' : 'an older';
  return `the ${what} was written in ${age} format, version ${version}${by}; this Larder reads version ${formatVersion}: use the same release on both sides`;
}

/** Throws a `BundleError` on a line that is no record; what else is in it is left out. */
export function parseRecord(line: string): BundleRecord {
  const record = parsed(line) as Partial<BundleRecord> | undefined;
  const found = record && recordIn(record);
  if (!found)
    throw new BundleError('damaged', `the bundle is damaged: it has a record that is none: ${line.slice(0, 80)}`);
  return found;
}

function recordIn(record: Partial<BundleRecord>): BundleRecord | undefined {
  switch (record.is) {
    case 'entry':
      return entryIn(record);
    case 'journal': {
      const { repository, number, text } = record;
      if (!isRepository(repository) || !isCount(number) || number < 1 || typeof text !== 'string') return undefined;
      return { is: 'journal', repository, number, text };
    }
    default:
      return undefined;
  }
}

function entryIn(record: Partial<EntryRecord>): EntryRecord | undefined {
  const { upstream, format, document, path, representation, entry, links, seen } = record;
  if (typeof upstream !== 'string' || typeof format !== 'string' || typeof path !== 'string') return undefined;
  if (!isOptional(document, 'string') || !isOptional(representation, 'string') || !isEntry(entry)) return undefined;
  return {
    is: 'entry',
    upstream,
    format,
    ...(document === undefined ? {} : { document }),
    path,
    ...(representation === undefined ? {} : { representation }),
    entry,
    ...(Array.isArray(links) ? { links } : {}),
    ...(typeof seen === 'object' && seen !== null && Object.values(seen).every(isCount) ? { seen } : {}),
  };
}

function isEntry(value: unknown): value is StoredEntry {
  const entry = value as Partial<StoredEntry> | null | undefined;
  if (typeof entry !== 'object' || entry === null || typeof entry.url !== 'string') return false;
  if (!isCount(entry.fetchedAt) || !isCount(entry.checkedAt)) return false;
  if (entry.status !== 200) return (entry.status === 404 || entry.status === 410) && entry.digest === undefined;
  return (
    isSha256(entry.digest) &&
    isCount(entry.size) &&
    (entry.digests ?? []).every((digest) => parseDigest(digest) !== undefined) &&
    [entry.contentType, entry.etag, entry.lastModified, entry.name, entry.version, entry.publishedAt].every((text) =>
      isOptional(text, 'string'),
    ) &&
    Object.values(entry.headers ?? {}).every((text) => typeof text === 'string')
  );
}

/** Of a journal of packages: an organisation's own affairs (`org/-`) never travel. */
export function isRepository(value: unknown): value is string {
  return typeof value === 'string' && /^[a-z0-9][a-z0-9._-]*\/[a-z0-9][a-z0-9._-]*$/.test(value);
}

const isSha256 = (value: unknown): value is Digest => typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value);
const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const isOptional = (value: unknown, type: string): boolean => value === undefined || typeof value === type;
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every((one) => typeof one === 'string');

/** `undefined`: it is no JSON object. */
export function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

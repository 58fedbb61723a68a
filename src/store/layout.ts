/** Names of what lies in the data folder. A version is part of each, so a new layout never misreads an old one. */
import { createHash } from 'node:crypto';

export const blobsPrefix = 'blobs/v1/sha256';
export const entriesPrefix = 'entries/v1';
export const quarantinePrefix = 'quarantine';
/** Unreferenced blobs that `collect` took out, until the next run finds them still unmissed. */
export const trashPrefix = 'trash/v1/sha256';
/** What the last run that was to delete something did. */
export const collectedName = 'index/collected.json';
export const journalPrefix = 'journal/v1';
/** Bytes in progress, those of downloads and of everything that is written. */
export const stagingFolder = 'staging';
export const indexFolder = 'index';
/** Uploads that come in several requests. */
export const uploadsFolder = 'uploads/v1';
/** Named sets of what answered something. */
export const setsFolder = 'sets/v1';

/** Two levels of folders keep each of them small. */
function spread(prefix: string, hex: string, suffix = ''): string {
  return `${prefix}/${hex.slice(0, 2)}/${hex.slice(2, 4)}/${hex}${suffix}`;
}

export function blobName(hex: string): string {
  return spread(blobsPrefix, hex);
}

/** Where the proxy in front finds it below `blobs/v1`. */
export function sharedName(hex: string): string {
  return spread('sha256', hex);
}

export function trashName(hex: string): string {
  return spread(trashPrefix, hex);
}

export function entryName(hash: string): string {
  return spread(entriesPrefix, hash, '.json');
}

/** Numbers have twenty digits, so that names sort as they do. */
export function journalObjectName(journal: string, number: number): string {
  return `${journalPrefix}/${journal}/${digits(number)}.json`;
}

export function checkpointsPrefix(journal: string): string {
  return `${journalPrefix}/${journal}/checkpoints`;
}

export function checkpointName(journal: string, number: number): string {
  return `${checkpointsPrefix(journal)}/${digits(number)}.ndjson`;
}

/** The number in the name of a journal's object or checkpoint. */
export function numberOfName(name: string): number | undefined {
  const found = /\/(\d{20})\.(?:nd)?json$/.exec(name)?.[1];
  return found === undefined ? undefined : Number(found);
}

function digits(number: number): string {
  return `${number}`.padStart(20, '0');
}

/** The digest, if this is where a blob with it belongs. */
export function hexOfBlobName(name: string, prefix = blobsPrefix): string | undefined {
  const hex = name.slice(name.lastIndexOf('/') + 1);
  return /^[0-9a-f]{64}$/.test(hex) && spread(prefix, hex) === name ? hex : undefined;
}

/** The hash of its key, if this is where an entry with it belongs. */
export function hashOfEntryName(name: string): string | undefined {
  const hash = name.slice(name.lastIndexOf('/') + 1, -'.json'.length);
  return /^[0-9a-f]{64}$/.test(hash) && entryName(hash) === name ? hash : undefined;
}

/** Of a whole path or text; keys are hashes, so that none is too long for a file name. */
export function hashOf(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Hexadecimal digits of a sha256 digest; `undefined` for other algorithms. */
export function sha256Hex(digest: string): string | undefined {
  return /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
}

/** Digest of no bytes at all: the only blob that may be empty. */
export const emptyHex = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

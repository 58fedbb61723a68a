/** The documents of a p2 repository: what it holds, where that lies, and which other repositories are part of it. */
import { isZip, readZipEntry, writeZipEntry } from '../../codecs/zip.ts';
import type { Body, Document, DocumentType, Heard, Origin, Step } from '../../core/format.ts';
import { childLocation, type Place, placeOf } from './children.ts';
import { edited, type Verdict } from './edit.ts';
import { listedFiles } from './listing.ts';
import { attributesOf, type Tag } from './markup.ts';

export interface SiteDocument {
  /** As clients get it, unpacked. */
  readonly xml: Buffer;
  /** Upstream's `Last-Modified`. */
  readonly lastModified?: string;
}

/** The metadata of a release train unpacks to about a hundred; this is there so that nobody can fill the memory. */
const limit = 256 * 1024 * 1024;
/** Metadata is packed about 15:1. */
const maxRatio = 100;

/** Repository properties that would send clients to other servers: for a list of mirrors, for files, and with every download. */
const foreignProperties = ['p2.mirrorsURL', 'p2.mirrorsBaseURL', 'p2.statsURI'];

function unpacked(bytes: Uint8Array, entry: string): Buffer {
  const xml = isZip(bytes) ? readZipEntry(bytes, entry, { maxSizeBytes: limit, maxRatio }) : bytes;
  if (!xml) throw new Error(`the archive has no ${entry}`);
  return Buffer.from(xml.buffer, xml.byteOffset, xml.byteLength);
}

function judgeProperty(xml: Buffer, tag: Tag): Verdict {
  const isForeign = attributesOf(xml, tag).some(
    ({ name, value }) => name === 'name' && foreignProperties.includes(value),
  );
  return isForeign ? 'drop' : 'keep';
}

function judgeChild(xml: Buffer, tag: Tag, place: Place): Verdict {
  const [attribute, ...others] = attributesOf(xml, tag).filter(({ name }) => name === 'location');
  if (!attribute || others.length > 0) return 'drop';
  const location = childLocation(attribute.value, place);
  if (location === undefined) return 'drop';
  return location === attribute.value ? 'keep' : { attribute, value: location };
}

function judgeIn(xml: Buffer, place: Place): (tag: Tag) => Verdict {
  return (tag) => {
    switch (tag.path) {
      case 'repository/properties/property':
        return judgeProperty(xml, tag);
      case 'repository/references':
        return 'drop';
      case 'repository/children/child':
        return judgeChild(xml, tag, place);
      default:
        return 'keep';
    }
  };
}

/** Clients compare it for equality with what they had before, so it is upstream's own or none. */
function lastModifiedOf({ headers }: Pick<Origin, 'headers'>): Pick<SiteDocument, 'lastModified'> {
  const at = Date.parse(headers['last-modified'] ?? '');
  return Number.isNaN(at) ? {} : { lastModified: new Date(at).toUTCString() };
}

function decode(entry: string, bytes: Uint8Array, origin: Origin): SiteDocument {
  const xml = unpacked(bytes, entry);
  return { xml: edited(xml, 'repository', judgeIn(xml, placeOf(origin))), ...lastModifiedOf(origin) };
}

function encode(entry: string, { xml, lastModified }: SiteDocument, variant: string): Body {
  const isArchive = variant === 'jar';
  return {
    headers: {
      'content-type': isArchive ? 'application/java-archive' : 'application/xml',
      ...(lastModified === undefined ? {} : { 'last-modified': lastModified }),
    },
    bytes: isArchive ? writeZipEntry(entry, xml) : xml,
  };
}

/** A kind of document that is asked for at upstream as it is asked for here: the variant is `jar` or `xml`, like its path's ending. */
function siteDocument(id: string, stem: string): DocumentType<SiteDocument> {
  const entry = `${stem}.xml`;
  return {
    id,
    limit,
    // Packed it is a fifteenth of what there is to read.
    heavy: true,
    decode: (bytes, origin) => decode(entry, bytes, origin),
    encode: (doc, variant) => encode(entry, doc, variant),
  };
}

/** Repositories have the archive, the plain document, or both; p2 itself looks for the archive first. */
const forms = ['jar', 'xml'];

function obtain({ path }: Document, heard: readonly Heard[]): Step {
  const last = heard.at(-1);
  if (last?.status === 200) return { bytes: last.bytes };
  const form = forms[heard.length];
  return form === undefined ? { absent: true } : { ask: { path: `${path}.${form}` } };
}

export const content = siteDocument('content', 'content');
export const compositeContent = siteDocument('composite-content', 'compositeContent');
export const compositeArtifacts = siteDocument('composite-artifacts', 'compositeArtifacts');

/** One for both forms, without ending in its path: files are checked against it whichever of them there is. */
export const artifacts: DocumentType<SiteDocument> = {
  ...siteDocument('artifacts', 'artifacts'),
  obtain,
  links: ({ xml }, { path }) => listedFiles(xml, path.slice(0, path.lastIndexOf('/') + 1)),
};

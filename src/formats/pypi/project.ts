/** The page of a project in the simple index: every file there is, as HTML and as JSON (PEP 503, 592, 629, 658, 691, 700, 708, 714, 740, 792). */
import { type Anchor, escapeHtml, type Listing, readListing } from '../../codecs/html-anchors.ts';
import type { Body, DocumentType, Link, Origin, Refusal } from '../../core/format.ts';
import { contentTypes, upstreamAccept, type Variant } from './accept.ts';
import {
  absolute,
  attributesOf,
  fileFromAnchor,
  fileFromJson,
  jsonOf,
  linksOf,
  type ProjectFile,
  type Writing,
} from './file.ts';
import { renderProject } from './hosted.ts';
import { isObject, type Json, jsonBody, parseJson, textOf } from './json.ts';
import { canonicalVersion, isDistribution, normalized } from './name.ts';

export interface Project {
  /** Normalised. */
  readonly name: string;
  readonly files: readonly ProjectFile[];
  /** As upstream told them; absent where it did not. */
  readonly versions?: readonly string[];
  readonly status?: { readonly status: string; readonly reason?: string };
  readonly tracks?: readonly string[];
  readonly alternateLocations?: readonly string[];
}

/** Of the version of the index that our own pages keep to. */
const apiVersion = '1.4';
/** Sizes have to be told from the next one on. */
const versionWithoutSizes = '1.0';

/** Nightly builds of years come to a few megabytes; this is there so that nobody can fill the memory. */
const limit = 64 * 1024 * 1024;
const maxFiles = 500_000;

/** `simple/{name}` */
export function nameIn(path: string): string {
  return path.slice(path.indexOf('/') + 1);
}

export function refuseVersion(version: unknown): void {
  if (version !== undefined && !/^1(\.\d+)*$/.test(String(version))) {
    throw new Error('the index is of a version that is not understood here');
  }
}

function texts(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const found = value.filter((item): item is string => typeof item === 'string');
  return found.length > 0 ? found : undefined;
}

/** Of files with the same name in one listing the first counts. */
function unique(files: Iterable<ProjectFile | undefined>): ProjectFile[] {
  const found = new Map<string, ProjectFile>();
  for (const file of files) if (file && !found.has(file.filename)) found.set(file.filename, file);
  return [...found.values()];
}

function statusIn(status: unknown, reason: unknown): Pick<Project, 'status'> {
  if (typeof status !== 'string' || status === '') return {};
  return { status: { status, ...(typeof reason === 'string' && reason !== '' ? { reason } : {}) } };
}

function fromJson(text: string, name: string, from: URL): Project {
  const json = parseJson(text);
  if (!isObject(json.meta)) throw new Error('the document does not say which version of the index it is of');
  refuseVersion(json.meta['api-version']);
  if (typeof json.name !== 'string' || normalized(json.name) !== name) {
    throw new Error('the document has another name than was asked for');
  }
  if (!Array.isArray(json.files)) throw new Error('the document has no files');
  if (json.files.length > maxFiles) throw new Error(`the document has more than ${maxFiles} files`);
  const versions = Array.isArray(json.versions)
    ? json.versions.filter((version) => typeof version === 'string')
    : undefined;
  const status = isObject(json['project-status']) ? json['project-status'] : {};
  const tracks = texts(json.meta.tracks);
  const alternateLocations = texts(json['alternate-locations']);
  return {
    name,
    files: unique(json.files.map((file) => fileFromJson(name, file, from))),
    ...(versions === undefined ? {} : { versions }),
    ...statusIn(status.status, status.reason),
    ...(tracks ? { tracks } : {}),
    ...(alternateLocations ? { alternateLocations } : {}),
  };
}

export function metasNamed({ metas }: Listing, name: string): string[] {
  return metas.filter((meta) => meta.get('name')?.toLowerCase() === name).map((meta) => meta.get('content') ?? '');
}

/**
 * Old indexes say by nothing that they are one, and a page to sign in has links as well: it is a project's page if it
 * says so, has the title that every index gives such pages, or links to a file of the project.
 */
function isProjectPage(listing: Listing, files: readonly ProjectFile[]): boolean {
  return (
    metasNamed(listing, 'pypi:repository-version').length > 0 ||
    /^links for /i.test(listing.title ?? '') ||
    files.some(({ version }) => version !== undefined)
  );
}

function fromHtml(text: string, name: string, page: URL): Project {
  const listing = readListing(text, { maxAnchors: maxFiles });
  for (const version of metasNamed(listing, 'pypi:repository-version')) refuseVersion(version);
  const base = listing.base === undefined ? undefined : absolute(listing.base, page);
  const from = base === undefined ? page : new URL(base);
  const files = unique(
    listing.anchors.map(({ attributes }: Anchor) => {
      const file = fileFromAnchor(name, attributes, from);
      return file && isDistribution(file.filename) ? file : undefined;
    }),
  );
  if (!isProjectPage(listing, files)) throw new Error('the page is no list of files');
  const [status] = metasNamed(listing, 'pypi:project-status');
  const [reason] = metasNamed(listing, 'pypi:project-status-reason');
  const tracks = texts(metasNamed(listing, 'pypi:tracks'));
  const alternateLocations = texts(metasNamed(listing, 'pypi:alternate-locations'));
  return {
    name,
    files,
    ...statusIn(status, reason),
    ...(tracks ? { tracks } : {}),
    ...(alternateLocations ? { alternateLocations } : {}),
  };
}

/** Upstream's content type is not asked: the first sign tells the two forms apart, and some servers say neither. */
function decode(bytes: Uint8Array, origin: Origin): Project {
  const text = textOf(bytes);
  const name = nameIn(origin.path);
  const from = new URL(origin.url);
  if (text.includes('\0')) throw new Error('the document is no text');
  const first = /^[\ufeff\s]*(.)/.exec(text.slice(0, 1000))?.[1];
  if (first === '{') return fromJson(text.replace(/^\ufeff/, ''), name, from);
  if (first === '<') return fromHtml(text, name, from);
  throw new Error('the document is neither JSON nor HTML');
}

function* links({ name, files }: Project): Iterable<Link> {
  for (const file of files) yield* linksOf(name, file);
}

/** Told ones in their order, then those of files that nobody told. Spellings of one version are one. */
function versionsOf({ versions = [], files }: Project): string[] {
  const known = new Map<string, string>();
  for (const version of [...versions, ...files.flatMap((file) => file.version ?? [])]) {
    const canonical = canonicalVersion(version);
    if (!known.has(canonical)) known.set(canonical, version);
  }
  return [...known.values()];
}

/** A file that two have is the earlier's, with all that is told of it: a mix of two would be a third. */
function merge(docs: readonly Project[]): Project {
  const [first, ...others] = docs;
  if (!first) throw new Error('there is nothing to merge');
  if (others.length === 0) return first;
  const versions = [...new Set(docs.flatMap((doc) => doc.versions ?? []))];
  return {
    ...first,
    files: unique(docs.flatMap(({ files }) => files)),
    ...(versions.length > 0 ? { versions } : {}),
  };
}

function withhold(doc: Project, refused: (version: string) => Refusal | undefined): Project {
  const files = doc.files.filter(({ version }) => version === undefined || !refused(version));
  if (files.length === doc.files.length) return doc;
  const canonical = (some: readonly ProjectFile[]): Set<string> =>
    new Set(some.flatMap(({ version }) => (version === undefined ? [] : canonicalVersion(version))));
  const kept = canonical(files);
  const had = canonical(doc.files);
  const isGone = (version: string): boolean => {
    const one = canonicalVersion(version);
    return !kept.has(one) && (had.has(one) || refused(version) !== undefined);
  };
  return { ...doc, files, ...(doc.versions ? { versions: doc.versions.filter((version) => !isGone(version)) } : {}) };
}

function toJson(doc: Project, writing: Writing): Json {
  const hasSizes = doc.files.every(({ size }) => size !== undefined);
  return {
    meta: { 'api-version': hasSizes ? apiVersion : versionWithoutSizes, ...(doc.tracks ? { tracks: doc.tracks } : {}) },
    name: doc.name,
    versions: versionsOf(doc),
    ...(doc.alternateLocations ? { 'alternate-locations': doc.alternateLocations } : {}),
    ...(doc.status ? { 'project-status': doc.status } : {}),
    files: doc.files.map((file) => jsonOf(file, writing)),
  };
}

export function metaElement(name: string, content: string): string {
  return `    <meta name="${name}" content="${escapeHtml(content)}">`;
}

function toHtml(doc: Project, writing: Writing): string {
  const { status, tracks = [], alternateLocations = [] } = doc;
  return [
    '<!DOCTYPE html>',
    '<html>',
    '  <head>',
    metaElement('pypi:repository-version', apiVersion),
    ...(status ? [metaElement('pypi:project-status', status.status)] : []),
    ...(status?.reason === undefined ? [] : [metaElement('pypi:project-status-reason', status.reason)]),
    ...tracks.map((url) => metaElement('pypi:tracks', url)),
    ...alternateLocations.map((url) => metaElement('pypi:alternate-locations', url)),
    `    <title>Links for ${doc.name}</title>`,
    '  </head>',
    '  <body>',
    `    <h1>Links for ${doc.name}</h1>`,
    ...doc.files.map((file) => {
      const attributes = attributesOf(file, writing).map(([key, value]) => `${key}="${escapeHtml(value)}"`);
      return `    <a ${attributes.join(' ')}>${escapeHtml(file.filename)}</a><br>`;
    }),
    '  </body>',
    '</html>',
    '',
  ].join('\n');
}

/** `text` and `html` are the same page under two names. */
export function htmlBody(text: string, variant: Variant): Body {
  return { headers: { 'content-type': contentTypes[variant] }, bytes: Buffer.from(text) };
}

/** With `extract`, wheels without metadata of upstream's are told to have some, which we take out of them. */
export function projectType(extract: boolean): DocumentType<Project> {
  return {
    id: 'project',
    limit,
    representations: {
      // One entry, whatever upstream speaks: both forms are read into the same model and written from it.
      all: ['page'],
      of: () => 'page',
      accept: () => upstreamAccept,
      coveredBy: () => [],
      arrived: () => 'page',
    },
    decode,
    links,
    merge,
    render: renderProject,
    withhold,
    encode(doc, variant, base) {
      const writing: Writing = { project: doc.name, base, extract };
      if (variant === 'json') return jsonBody(toJson(doc, writing), contentTypes.json);
      return htmlBody(toHtml(doc, writing), variant === 'html' ? 'html' : 'text');
    },
  };
}

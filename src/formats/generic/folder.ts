/** What lies in a folder, of what is published here: upstreams list their files each in a way of its own, so theirs are not in it. */
import { escapeHtml } from '../../codecs/html-anchors.ts';
import { isObject, parseJson } from '../../codecs/json.ts';
import type { Body, Document, DocumentType, View } from '../../core/format.ts';
import { encodeSegment } from '../../core/path.ts';

export interface FolderFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
  readonly contentType: string;
  /** ISO 8601. */
  readonly publishedAt: string;
}

export interface Folder {
  /** Without slashes at either end; `''` is the repository itself. */
  readonly path: string;
  /** Names, sorted. */
  readonly folders: readonly string[];
  /** Sorted by name. */
  readonly files: readonly FolderFile[];
}

const limit = 64 * 1024 * 1024;
const root = 'folder';

/** The document's path, which no file has. */
export const documentPathOf = (path: string): string => (path === '' ? root : `${root}/${path}`);

const folderPathOf = (documentPath: string): string => documentPath.slice(root.length + 1);

const byName = (one: { name: string }, other: { name: string }): number => (one.name < other.name ? -1 : 1);

function render(want: Document, view: View): Body | undefined {
  const path = folderPathOf(want.path);
  const prefix = path === '' ? '' : `${path}/`;
  const folders = new Set<string>();
  const files: FolderFile[] = [];
  for (const name of view.names()) {
    if (!name.startsWith(prefix)) continue;
    const rest = name.slice(prefix.length);
    const slash = rest.indexOf('/');
    if (slash !== -1) {
      folders.add(rest.slice(0, slash));
      continue;
    }
    const entry = view.entry(name);
    if (!entry) continue;
    const { size, digest, contentType, publishedAt } = entry;
    files.push({ name: rest, size, sha256: digest.slice(digest.indexOf(':') + 1), contentType, publishedAt });
  }
  if (folders.size === 0 && files.length === 0) return undefined;
  return { bytes: Buffer.from(JSON.stringify({ path, folders: [...folders].sort(), files: files.sort(byName) })) };
}

function isFile(value: unknown): value is FolderFile {
  if (!isObject(value)) return false;
  const { name, size, sha256, contentType, publishedAt } = value;
  return typeof size === 'number' && [name, sha256, contentType, publishedAt].every((text) => typeof text === 'string');
}

function decode(bytes: Uint8Array): Folder {
  const { path, folders, files } = parseJson(bytes);
  if (typeof path !== 'string' || !Array.isArray(folders) || !Array.isArray(files)) {
    throw new Error('the document is no list of a folder');
  }
  if (!folders.every((name) => typeof name === 'string') || !files.every(isFile)) {
    throw new Error('something in the folder has no name');
  }
  return { path, folders, files };
}

function merge(docs: readonly Folder[]): Folder {
  const files = new Map<string, FolderFile>();
  for (const doc of docs) for (const file of doc.files) if (!files.has(file.name)) files.set(file.name, file);
  return {
    path: docs[0]?.path ?? '',
    folders: [...new Set(docs.flatMap(({ folders }) => folders))].sort(),
    files: [...files.values()].sort(byName),
  };
}

/** Addresses are relative: they are right wherever the folder is reached. */
function toHtml({ path, folders, files }: Folder): string {
  const title = escapeHtml(`/${path}`);
  const row = (name: string, more: string): string =>
    `      <tr><td><a href="./${escapeHtml(encodeSegment(name.replace(/\/$/, '')))}${name.endsWith('/') ? '/' : ''}">${escapeHtml(name)}</a></td>${more}</tr>`;
  return [
    '<!DOCTYPE html>',
    '<html lang="en">',
    `  <head><meta charset="utf-8"><title>${title}</title></head>`,
    '  <body>',
    `    <h1>${title}</h1>`,
    '    <table>',
    ...(path === '' ? [] : ['      <tr><td><a href="../">../</a></td></tr>']),
    ...folders.map((name) => row(`${name}/`, '')),
    ...files.map(({ name, size, publishedAt, sha256 }) =>
      row(name, `<td>${size}</td><td>${escapeHtml(publishedAt)}</td><td><code>${escapeHtml(sha256)}</code></td>`),
    ),
    '    </table>',
    '  </body>',
    '</html>',
    '',
  ].join('\n');
}

function bodyOf(contentType: string, text: string): Body {
  return { headers: { 'content-type': contentType }, bytes: Buffer.from(text) };
}

/** Which form suits the client: one name a line, unless it wants something else by name. */
export function variantFor(accept: string | undefined): string {
  const types = (accept ?? '').toLowerCase();
  if (types.includes('application/json')) return 'json';
  return types.includes('text/html') ? 'html' : 'text';
}

export const folder: DocumentType<Folder> = {
  id: 'folder',
  limit,
  // The form depends on Accept, and answers have to say so.
  representations: {
    all: ['folder'],
    of: () => 'folder',
    accept: () => 'application/json',
    coveredBy: () => [],
    arrived: () => 'folder',
  },
  // No upstream is asked for what is its own business how to list.
  obtain: () => ({ absent: true }),
  decode,
  merge,
  render,
  encode(doc, variant) {
    if (variant === 'json') return bodyOf('application/json', JSON.stringify(doc));
    if (variant === 'html') return bodyOf('text/html; charset=utf-8', toHtml(doc));
    const lines = [...doc.folders.map((name) => `${name}/`), ...doc.files.map(({ name }) => name)];
    return bodyOf('text/plain; charset=utf-8', lines.map((line) => `${line}\n`).join(''));
  },
};

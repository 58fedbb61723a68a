/** The list of all projects, for people and for tools that search in it. Nothing here depends on it: whether there is a project its page says. */
import { escapeHtml, readListing } from '../../codecs/html-anchors.ts';
import type { DocumentType, Origin } from '../../core/format.ts';
import { contentTypes, upstreamAccept } from './accept.ts';
import { renderList } from './hosted.ts';
import { isObject, jsonBody, parseJson, textOf } from './json.ts';
import { isName, normalized } from './name.ts';
import { htmlBody, metaElement, metasNamed, refuseVersion } from './project.ts';

/** As they are displayed. */
export interface ProjectList {
  readonly names: readonly string[];
}

const apiVersion = '1.4';
/** PyPI's has seven hundred thousand names and forty megabytes. */
const limit = 192 * 1024 * 1024;
const maxNames = 5_000_000;

function unique(names: Iterable<unknown>): string[] {
  const found = new Map<string, string>();
  for (const name of names) {
    if (typeof name !== 'string' || !isName(name)) continue;
    const key = normalized(name);
    if (!found.has(key)) found.set(key, name);
  }
  return [...found.values()];
}

function fromJson(text: string): ProjectList {
  const json = parseJson(text);
  if (!isObject(json.meta)) throw new Error('the document does not say which version of the index it is of');
  refuseVersion(json.meta['api-version']);
  if (!Array.isArray(json.projects)) throw new Error('the document has no projects');
  return { names: unique(json.projects.map((project: unknown) => (isObject(project) ? project.name : undefined))) };
}

/** The text of a link is the project's name as it is displayed, its last part the name as it is asked for. */
function fromHtml(text: string): ProjectList {
  const listing = readListing(text, { maxAnchors: maxNames });
  for (const version of metasNamed(listing, 'pypi:repository-version')) refuseVersion(version);
  const isList =
    metasNamed(listing, 'pypi:repository-version').length > 0 || /^simple (?:index|package)/i.test(listing.title ?? '');
  const names = listing.anchors.map(({ attributes, text: shown }) => {
    const last = /([^/?#]+)\/?(?:[?#].*)?$/.exec(attributes.get('href') ?? '')?.[1] ?? '';
    return normalized(shown) === normalized(last) ? shown : undefined;
  });
  if (!isList && names.every((name) => name === undefined)) throw new Error('the page is no list of projects');
  return { names: unique(names) };
}

function decode(bytes: Uint8Array, _origin: Origin): ProjectList {
  const text = textOf(bytes);
  if (text.includes('\0')) throw new Error('the document is no text');
  const first = /^[\ufeff\s]*(.)/.exec(text.slice(0, 1000))?.[1];
  if (first === '{') return fromJson(text.replace(/^\ufeff/, ''));
  if (first === '<') return fromHtml(text);
  throw new Error('the document is neither JSON nor HTML');
}

function toHtml({ names }: ProjectList): string {
  const rows = names.map((name) => `    <a href="${normalized(name)}/">${escapeHtml(name)}</a><br>`);
  return `<!DOCTYPE html>
<html>
  <head>
${metaElement('pypi:repository-version', apiVersion)}
    <title>Simple index</title>
  </head>
  <body>
${rows.join('\n')}
  </body>
</html>
`;
}

export const projectList: DocumentType<ProjectList> = {
  id: 'project-list',
  limit,
  heavy: true,
  representations: {
    all: ['page'],
    of: () => 'page',
    accept: () => upstreamAccept,
    coveredBy: () => [],
    arrived: () => 'page',
  },
  decode,
  render: renderList,
  merge: (docs) => ({ names: unique(docs.flatMap(({ names }) => names)) }),
  encode(doc, variant) {
    if (variant !== 'json') return htmlBody(toHtml(doc), variant === 'html' ? 'html' : 'text');
    const projects = doc.names.map((name) => ({ name }));
    return jsonBody({ meta: { 'api-version': apiVersion }, projects }, contentTypes.json);
  },
};

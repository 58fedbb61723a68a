/** Eclipse p2 repositories (update sites), as the Eclipse IDE, Tycho and the p2 director read them. */
import type { Artifact, Body, Call, Document, DocumentType, Format, Intent } from '../../core/format.ts';
import { standardFile } from './listing.ts';
import { artifacts, compositeArtifacts, compositeContent, content } from './site.ts';

/** Documents by the name of their files, less the ending. */
const siteDocuments: Readonly<Record<string, DocumentType<unknown>>> = {
  content,
  artifacts,
  compositeContent,
  compositeArtifacts,
};

/**
 * Names, in the order to be tried, the factories that read what is served here: each looks for the archive and then for
 * the plain document of its name. The exclamation mark ends the list (p2's LocationProperties, version 1).
 */
const index = [
  'version=1',
  'metadata.repository.factory.order=content.xml,compositeContent.xml,!',
  'artifact.repository.factory.order=artifacts.xml,compositeArtifacts.xml,!',
  '',
].join('\n');

function text(message: string, status = 200): Body {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8' }, bytes: Buffer.from(message) };
}

const pathOf = (call: Call): string => call.params.path ?? '';
const fileName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Eclipse takes over what a site says; a sign-in page with status 200 is none of its files. */
const isNoPage = (contentType: string): boolean => contentType !== 'text/html';

/** A site of its own or a composite: which of the two is not known here, and need not be. */
function readIndex(call: Call): Intent | undefined {
  return fileName(pathOf(call)) === 'p2.index' ? { kind: 'answer', body: text(index) } : undefined;
}

function readDocument(call: Call): Document | undefined {
  const path = pathOf(call);
  const [, stem = '', ending] = /^([a-zA-Z]+)\.(jar|xml)$/.exec(fileName(path)) ?? [];
  const type = Object.hasOwn(siteDocuments, stem) ? siteDocuments[stem] : undefined;
  if (!type || ending === undefined) return undefined;
  return {
    kind: 'document',
    type,
    path: type.obtain ? path.slice(0, -ending.length - 1) : path,
    variant: ending,
  };
}

/** There is no reading this compression here, and a file passed on unread would lead clients to other servers. */
function readCompressed(call: Call): Intent | undefined {
  const [, stem = ''] = /^([a-zA-Z]+)\.xml\.xz$/.exec(fileName(pathOf(call))) ?? [];
  if (!Object.hasOwn(siteDocuments, stem)) return undefined;
  return {
    kind: 'answer',
    body: text(`${stem}.xml.xz is not served: ask for ${stem}.jar or ${stem}.xml.\n`, 404),
  };
}

/** Mapping rules may put files elsewhere than beside the document that lists them, so one that is not listed there is fetched all the same. */
function readArtifact(call: Call): Artifact | undefined {
  const path = pathOf(call);
  const file = standardFile(path);
  if (!file) return undefined;
  return {
    kind: 'artifact',
    path,
    name: file.name,
    version: file.version,
    describedBy: { kind: 'document', type: artifacts, path: `${file.folder}artifacts` },
    unlisted: 'fetch',
    accepts: isNoPage,
  };
}

function readFile(call: Call): Intent {
  const path = pathOf(call);
  return path.endsWith('/') ? folder() : { kind: 'artifact', path, freshness: 'revalidate' };
}

function folder(): Intent {
  return { kind: 'answer', body: text('This is a folder; its address is what belongs into Eclipse.\n', 404) };
}

export const format: Format = {
  id: 'p2',
  digests: ['sha512', 'sha1', 'md5'],
  upstream: { reads: ['last-modified'] },
  auth: { from: ['basic', 'bearer'], challenge: () => 'Basic realm="Larder"' },
  routes: [
    { id: 'root', method: 'GET', path: '/', intent: folder },
    { id: 'index', method: 'GET', path: '/{path+}', intent: readIndex },
    { id: 'metadata', method: 'GET', path: '/{path+}', intent: readDocument },
    { id: 'xz', method: 'GET', path: '/{path+}', intent: readCompressed },
    { id: 'artifact', method: 'GET', path: '/{path+}', intent: readArtifact },
    { id: 'file', method: 'GET', path: '/{path+}', intent: readFile },
  ],
  documents: [content, artifacts, compositeContent, compositeArtifacts],
  problem: ({ status, message }) => text(`${message}\n`, status),
};

/** The Python Package Index's protocols, as pip, uv, Poetry, PDM, Pipenv and twine speak them. */
import type {
  Artifact,
  Body,
  Call,
  Document,
  DocumentType,
  Format,
  Intent,
  Route,
  UpstreamFacts,
} from '../../core/format.ts';
import { encodePath, encodeSegment } from '../../core/path.ts';
import { variantFor, variantNamed } from './accept.ts';
import { releaseElsewhere } from './elsewhere.ts';
import { digestIn, metadataEnding, pathOf, provenancePathOf, signatureEnding } from './file.ts';
import { takeMetadata } from './metadata.ts';
import { isName, isNormalized, isWheel, normalized, versionOf } from './name.ts';
import { type Project, projectType } from './project.ts';
import { projectList } from './project-list.ts';
import { upload, uploadForm } from './publish.ts';
import { release } from './release.ts';
import { warm } from './warm.ts';

function param(call: Call, name: string): string {
  return call.params[name] ?? '';
}

function text(message: string, status = 200, headers: Readonly<Record<string, string>> = {}): Body {
  return {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', ...headers },
    bytes: Buffer.from(`${message}\n`),
  };
}

/** Relative, so that it is right whatever name and path this server is reached by. */
function redirect(location: string): Intent {
  return {
    kind: 'answer',
    body: text(`It is found at ${location}`, 301, { location, 'cache-control': 'public, max-age=3600' }),
  };
}

/** What a listing is to be: `?format=` for those who cannot set headers (PEP 691). */
function variantOf(call: Call): string {
  return variantNamed(call.query.get('format') ?? '') ?? variantFor(call.headers.accept);
}

function root(call: Call): Intent {
  return {
    kind: 'answer',
    body: text(`This is a Python package index. The address that belongs into pip's settings is ${call.base}/simple/`),
  };
}

/** `pip search` is the one program that asks; PyPI itself no longer answers. */
const noSearch: Intent = {
  kind: 'answer',
  body: text(
    'There is no XML-RPC here, so no "pip search": PyPI has switched it off as well. Nothing was changed.',
    410,
  ),
};

function readList(call: Call): Intent {
  return { kind: 'document', type: projectList, path: 'simple', variant: variantOf(call) };
}

/** Old tools leave the slash out or spell the name as people do. Relative addresses in a page need both to be right. */
function redirectToProject(call: Call): Intent | undefined {
  const name = param(call, 'name');
  if (!isName(name)) return undefined;
  return redirect(`${call.params.slash === undefined ? '' : '../'}${normalized(name)}/`);
}

function readRelease(call: Call): Intent | undefined {
  const name = param(call, 'name');
  const { version } = call.params;
  if (!isName(name) || version?.includes('/')) return undefined;
  const rest = version === undefined ? 'json' : `${encodeSegment(version)}/json`;
  if (!isNormalized(name)) return redirect(`../${version === undefined ? '' : '../'}${normalized(name)}/${rest}`);
  const path = version === undefined ? `pypi/${name}/json` : `pypi/${name}/${version}/json`;
  return { kind: 'document', type: release, path, name, ...(version === undefined ? {} : { version }) };
}

/** A page to sign in is none of a project's files. */
const isNoPage = (contentType: string): boolean =>
  contentType !== 'text/html' && contentType !== 'application/xhtml+xml';

/** What a file's address names. */
interface Named {
  readonly project: string;
  readonly key: string;
  readonly file: string;
}

function namedIn(call: Call): Named | undefined {
  const [project, key, file] = [param(call, 'project'), param(call, 'key'), param(call, 'file')];
  if (!isNormalized(project) || digestIn(key) === false || file.includes('/')) return undefined;
  return { project, key, file };
}

type Pages = DocumentType<Project>;

function pageOf(type: Pages, project: string): Document {
  return { kind: 'document', type, path: `simple/${project}`, name: project };
}

/** A distribution, or what lies beside it: neither changes, since the address holds the digest of the distribution. */
function artifactOf(type: Pages, { project, key, file }: Named): Artifact {
  const isBeside = file.endsWith(metadataEnding) || file.endsWith(signatureEnding);
  const of = isBeside ? file.slice(0, file.lastIndexOf('.')) : file;
  const version = versionOf(project, of);
  const digest = digestIn(key) || undefined;
  return {
    kind: 'artifact',
    path: pathOf(project, key, file),
    name: project,
    ...(version === undefined ? {} : { version }),
    ...(digest === undefined || isBeside ? {} : { digest }),
    // Without any digest upstream may put other bytes in its place.
    ...(digest === undefined ? { freshness: 'revalidate' } : {}),
    describedBy: pageOf(type, project),
    contentType: 'application/octet-stream',
    accepts: isNoPage,
  };
}

function readFile(type: Pages, call: Call): Intent | undefined {
  const named = namedIn(call);
  return named && artifactOf(type, named);
}

/** The addresses of wheels whose metadata we take out: the wheel is the same one as under `files/`. */
function readWheel(type: Pages, call: Call): Intent | undefined {
  const named = namedIn(call);
  if (!named) return undefined;
  if (isWheel(named.file)) return artifactOf(type, named);
  const file = named.file.slice(0, -metadataEnding.length);
  if (!named.file.endsWith(metadataEnding) || !isWheel(file)) return undefined;
  return { kind: 'excerpt', of: artifactOf(type, { ...named, file }), take: takeMetadata };
}

/** Attestations may be added to later. */
function readProvenance(type: Pages, call: Call): Intent | undefined {
  const named = namedIn(call);
  if (!named) return undefined;
  const { project, key, file } = named;
  const version = versionOf(project, file);
  return {
    kind: 'artifact',
    path: provenancePathOf(project, key, file),
    name: project,
    ...(version === undefined ? {} : { version }),
    freshness: 'revalidate',
    describedBy: pageOf(type, project),
    accept: 'application/vnd.pypi.integrity.v1+json, application/json;q=0.5',
    contentType: 'application/vnd.pypi.integrity.v1+json',
    limit: 16 * 1024 * 1024,
    accepts: isNoPage,
  };
}

function routesWith(type: Pages): readonly Route[] {
  return [
    { id: 'root', method: 'GET', path: '/', intent: root },
    { id: 'upload', method: 'POST', path: '/legacy/', intent: upload },
    { id: 'upload-slash', method: 'POST', path: '/legacy', intent: upload },
    { id: 'upload-index', method: 'POST', path: '/simple/', intent: upload },
    { id: 'upload-index-slash', method: 'POST', path: '/simple', intent: upload },
    { id: 'upload-root', method: 'POST', path: '/', intent: uploadForm },
    { id: 'search', method: 'POST', path: '/', intent: () => noSearch },
    { id: 'search-old', method: 'POST', path: '/pypi', intent: () => noSearch },
    { id: 'list', method: 'GET', path: '/simple/', intent: readList },
    { id: 'list-redirect', method: 'GET', path: '/simple', intent: () => redirect('simple/') },
    {
      id: 'project',
      method: 'GET',
      path: '/simple/{name}/',
      intent: (call) => {
        const name = param(call, 'name');
        return isNormalized(name) ? { ...pageOf(type, name), variant: variantOf(call) } : undefined;
      },
    },
    {
      id: 'project-redirect',
      method: 'GET',
      path: '/simple/{name}/',
      intent: (call) => redirectToProject({ ...call, params: { ...call.params, slash: '/' } }),
    },
    { id: 'project-slash', method: 'GET', path: '/simple/{name}', intent: redirectToProject },
    { id: 'file', method: 'GET', path: '/files/{project}/{key}/{file}', intent: (call) => readFile(type, call) },
    { id: 'wheel', method: 'GET', path: '/wheels/{project}/{key}/{file}', intent: (call) => readWheel(type, call) },
    {
      id: 'provenance',
      method: 'GET',
      path: '/provenance/{project}/{key}/{file}',
      intent: (call) => readProvenance(type, call),
    },
    { id: 'release', method: 'GET', path: '/pypi/{name}/json', intent: readRelease },
    { id: 'release-version', method: 'GET', path: '/pypi/{name}/{version}/json', intent: readRelease },
  ];
}

/**
 * An upstream's URL is what pip calls its index URL, the address below which project pages are. One without a path is
 * a host like PyPI's, whose index stands at `/simple/`. The JSON about releases stands beside an index called `simple`.
 */
function locate(path: string, { base }: UpstreamFacts): string {
  const index = new URL(base).pathname === '/' ? `${base.replace(/\/$/, '')}/simple` : base;
  if (path === 'simple') return `${index}/`;
  if (path.startsWith('simple/')) return `${index}/${encodePath(path.slice('simple/'.length))}/`;
  return `${index.replace(/\/\+?simple$/, '')}/${encodePath(path)}`;
}

/** Where a wheel's metadata comes from when upstream does not hand it out: nowhere, or out of the wheel. */
function configure(options: Readonly<Record<string, unknown>>): Format {
  const { metadata = 'upstream', ...unknown } = options;
  if (Object.keys(unknown).length > 0) throw new Error(`${Object.keys(unknown).join(', ')}: there is only metadata`);
  if (metadata !== 'upstream' && metadata !== 'extract') throw new Error('metadata must be upstream or extract');
  const project = projectType(metadata === 'extract');
  return {
    id: 'pypi',
    // Beside sha256, which every file of PyPI has, a file's own digest is computed when a page tells it.
    digests: [],
    // That of the address, also when a stronger one is computed in the end: the same before and after the bytes were stored.
    artifactHeaders: ({ digest }) => (digest === undefined ? {} : { etag: `"${digest.replace(':', '-')}"` }),
    upstream: { locate },
    auth: { from: ['basic', 'bearer'], challenge: () => 'Basic realm="Larder"' },
    routes: routesWith(project),
    spell: normalized,
    documents: [project, projectList, release],
    release: releaseElsewhere,
    warm,
    // twine, Poetry, PDM, Flit and pip show the status line, and nothing else of an answer.
    problem: ({ status, message }) => ({ ...text(message, status), reason: message }),
    configure,
  };
}

export const format: Format = configure({});

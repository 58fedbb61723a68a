/**
 * A Python package index over two fake upstreams: one has the pages, in the form that the client wants or in the one
 * it has, the other one the files. Packages are made in memory or taken from folders, and faults are switched on and off.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashOf } from './bytes.ts';
import {
  type FakeUpstream,
  type FakeUpstreamOptions,
  gate,
  type Reply,
  type SeenRequest,
  startFakeUpstream,
} from './fake-upstream.ts';
import { type BuiltFile, type NewPackage, sourceOf, wheelOf } from './pypi-packages.ts';

/** What a path is, for switching faults. */
export type PyPiKind = 'page' | 'file' | 'metadata' | 'provenance' | 'list' | 'release' | 'other';

export type Fault =
  | '401'
  | '403'
  | '404'
  | '410'
  | '429'
  | '500'
  | '503'
  | 'stall'
  | 'sign-in page'
  | 'wrong digest'
  | 'cut';

export interface PyPiUpstreamOptions extends FakeUpstreamOptions {
  /** `html`: it has never heard of JSON. Default: what the client wants. */
  readonly form?: 'both' | 'html';
  /** `none`: no metadata files beside the wheels. Default: with their digests. */
  readonly metadata?: 'hashed' | 'unhashed' | 'none';
  /** What it tells of each file. Default: sha256. */
  readonly hash?: 'sha256' | 'md5' | 'none';
  /** Where the files are. `base`: beside the pages, with addresses relative to a `<base>`. Default: on a host of their own. */
  readonly files?: 'other host' | 'base';
  /** Wheels and source distributions that are served as they are. */
  readonly folders?: readonly string[];
  /** Path of the index. Default: `/simple`. */
  readonly prefix?: string;
}

export interface Publication extends NewPackage {
  /** Default: a wheel. */
  readonly kinds?: readonly ('wheel' | 'source')[];
  readonly yanked?: string | true;
  readonly uploadTime?: string;
  readonly provenance?: object;
}

export interface PyPiFile {
  readonly filename: string;
  readonly bytes: Buffer;
  readonly sha256: string;
  /** Below a Larder's repository, as its pages have it. */
  readonly path: string;
  /** At the upstream. */
  readonly at: string;
}

export interface PyPiUpstream {
  /** Of the pages. */
  readonly upstream: FakeUpstream;
  /** Of the files; the same one where they have no host of their own. */
  readonly files: FakeUpstream;
  /** Of the index, no trailing slash. */
  readonly url: string;
  publish(publication: Publication): readonly PyPiFile[];
  /** Puts a file on a project's page that was built elsewhere. */
  put(name: string, file: BuiltFile, about?: Pick<Publication, 'yanked' | 'uploadTime' | 'provenance'>): PyPiFile;
  /** Takes a file off its project's page; it stays where it is. */
  remove(name: string, filename: string): void;
  /** What the page of a project says besides. */
  describe(name: string, more: Readonly<Record<string, unknown>>): void;
  misbehave(target: PyPiKind | ((path: string) => boolean), fault: Fault): void;
  heal(): void;
  /** `GET /path` of every request so far at both, first those for pages. */
  log(): string[];
  forget(): void;
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

interface Listed extends PyPiFile {
  readonly metadata: Buffer | undefined;
  readonly about: Pick<Publication, 'yanked' | 'uploadTime' | 'provenance'> & { readonly requiresPython?: string };
}

const jsonType = 'application/vnd.pypi.simple.v1+json';

export const normalized = (name: string): string => name.replace(/[-_.]+/g, '-').toLowerCase();

const escapeText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const never = gate();
const signInPage =
  '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><a href="/login">Sign in</a></body></html>\n';

function faulty(fault: Fault, good: Reply, bytes: Buffer): Reply {
  switch (fault) {
    case '401':
      return {
        status: 401,
        headers: { 'www-authenticate': 'Basic realm="x"' },
        body: signInPage,
        contentType: 'text/html',
      };
    case '403':
    case '404':
    case '410':
    case '500':
    case '503':
      return { status: Number(fault), body: `<html>${fault}</html>`, contentType: 'text/html' };
    case '429':
      return { status: 429, headers: { 'retry-after': '1' } };
    case 'stall':
      return { holdHeaders: never };
    case 'sign-in page':
      return { body: signInPage, contentType: 'text/html' };
    case 'wrong digest':
      return { ...good, corruptAt: bytes.length >> 1 };
    case 'cut': {
      const { codings: _, ...plain } = good;
      return { ...plain, truncateAt: bytes.length >> 1 };
    }
  }
}

/** Starts both; a test must `close` them. */
export async function startPyPiUpstream(options: PyPiUpstreamOptions = {}): Promise<PyPiUpstream> {
  const { form = 'both', metadata = 'hashed', hash = 'sha256', prefix = '/simple' } = options;
  const upstream = await startFakeUpstream(options);
  const isApart = options.files !== 'base';
  const files = isApart ? await startFakeUpstream() : upstream;
  const projects = new Map<string, { readonly display: string; readonly files: Map<string, Listed>; more: object }>();
  /** Every file there ever was, by its path at the upstream. */
  const stored = new Map<string, Listed>();
  const faults: { readonly applies: (path: string) => boolean; readonly fault: Fault }[] = [];
  let clock = Date.UTC(2024, 0, 1, 12);

  function projectOf(name: string) {
    const key = normalized(name);
    const known = projects.get(key) ?? { display: name, files: new Map<string, Listed>(), more: {} };
    projects.set(key, known);
    return known;
  }

  function put(name: string, built: BuiltFile, about: Listed['about'] = {}): PyPiFile {
    clock += 60_000;
    const sha256 = hashOf(built.bytes, 'sha256');
    const { filename, bytes } = built;
    const key = hash === 'sha256' ? sha256 : hash === 'md5' ? `md5-${hashOf(bytes, 'md5')}` : 'unhashed';
    const listed: Listed = {
      filename,
      bytes,
      sha256,
      path: `/files/${normalized(name)}/${key}/${encodeURIComponent(filename)}`,
      at: `/packages/${sha256.slice(0, 2)}/${sha256.slice(2, 12)}/${encodeURIComponent(filename)}`,
      metadata:
        filename.endsWith('.whl') && metadata !== 'none' && built.metadata.length > 0 ? built.metadata : undefined,
      about: { uploadTime: new Date(clock).toISOString().replace('Z', '000Z'), ...about },
    };
    projectOf(name).files.set(filename, listed);
    stored.set(listed.at, listed);
    return listed;
  }

  for (const folder of options.folders ?? []) {
    for (const filename of readdirSync(folder)) {
      if (!filename.endsWith('.whl')) continue;
      put(filename.split('-')[0] ?? '', {
        filename,
        bytes: readFileSync(join(folder, filename)),
        metadata: Buffer.alloc(0),
      });
    }
  }

  const hashesOf = ({ bytes }: Listed): Record<string, string> =>
    hash === 'none' ? {} : { [hash]: hashOf(bytes, hash) };
  const urlOf = ({ at }: Listed): string => (isApart ? files.url + at : at);
  const integrityOf = ({ filename }: Listed): string =>
    `${upstream.url}/integrity/${encodeURIComponent(filename)}/provenance`;
  const toldOf = (bytes: Buffer): string | true => (metadata === 'hashed' ? hashOf(bytes, 'sha256') : true);

  function pageJson(name: string): object | undefined {
    const project = projects.get(name);
    if (!project) return undefined;
    const listed = [...project.files.values()];
    return {
      meta: { 'api-version': '1.4', '_last-serial': 1 },
      name,
      versions: [...new Set(listed.map(({ filename }) => filename.split('-')[1]?.replace('.tar.gz', '')))],
      files: listed.map((file) => {
        const told = file.metadata && toldOf(file.metadata);
        const core = told === undefined ? false : told === true ? true : { sha256: told };
        return {
          filename: file.filename,
          url: urlOf(file),
          hashes: hashesOf(file),
          'requires-python': file.about.requiresPython ?? null,
          size: file.bytes.length,
          'upload-time': file.about.uploadTime,
          yanked: file.about.yanked ?? false,
          'core-metadata': core,
          'data-dist-info-metadata': core,
          provenance: file.about.provenance ? integrityOf(file) : null,
        };
      }),
      ...project.more,
    };
  }

  function pageHtml(name: string): string | undefined {
    const project = projects.get(name);
    if (!project) return undefined;
    const rows = [...project.files.values()].map((file) => {
      const [told] = Object.entries(hashesOf(file));
      const core = file.metadata && toldOf(file.metadata);
      const attributes = [
        `href="${isApart ? urlOf(file) : `..${file.at}`}${told ? `#${told[0]}=${told[1]}` : ''}"`,
        ...(file.about.requiresPython === undefined
          ? []
          : [`data-requires-python="${escapeText(file.about.requiresPython)}"`]),
        ...(file.about.yanked === undefined
          ? []
          : [file.about.yanked === true ? 'data-yanked' : `data-yanked="${escapeText(file.about.yanked)}"`]),
        ...(core === undefined ? [] : [`data-dist-info-metadata="${core === true ? 'true' : `sha256=${core}`}"`]),
      ];
      return `    <a ${attributes.join(' ')}>${escapeText(file.filename)}</a><br />`;
    });
    const base = isApart ? '' : '    <base href="/based/">\n';
    return `<!DOCTYPE html>\n<html>\n  <head>\n${base}    <title>Links for ${project.display}</title>\n  </head>\n  <body>\n${rows.join('\n')}\n  </body>\n</html>\n`;
  }

  function kindOf(path: string): PyPiKind {
    if (path === `${prefix}/`) return 'list';
    if (path.startsWith(`${prefix}/`)) return 'page';
    if (path.startsWith('/packages/')) return path.endsWith('.metadata') ? 'metadata' : 'file';
    if (path.startsWith('/integrity/')) return 'provenance';
    return path.startsWith('/pypi/') ? 'release' : 'other';
  }

  function textReply(text: string, contentType: string): Reply {
    return { body: text, contentType, codings: ['gzip'], etag: `"${hashOf(Buffer.from(text), 'sha1')}"` };
  }

  function listing(
    request: SeenRequest,
    json: () => object | undefined,
    html: () => string | undefined,
  ): Reply | undefined {
    if (form === 'both' && request.headers.accept?.includes(jsonType)) {
      const made = json();
      return made && textReply(JSON.stringify(made), jsonType);
    }
    const text = html();
    return text === undefined ? undefined : textReply(text, 'text/html; charset=utf-8');
  }

  function release(path: string): Reply | undefined {
    const [, , name = '', ...rest] = path.split('/');
    const project = projects.get(name);
    if (form !== 'both' || !project || rest.at(-1) !== 'json') return undefined;
    const all = [...project.files.values()].map((file) => ({
      filename: file.filename,
      url: urlOf(file),
      digests: { sha256: file.sha256, md5: hashOf(file.bytes, 'md5') },
      upload_time_iso_8601: file.about.uploadTime,
    }));
    return textReply(
      JSON.stringify({ info: { name: project.display, version: '1' }, releases: { '1': all }, urls: all }),
      'application/json',
    );
  }

  function honest(request: SeenRequest): Reply | undefined {
    const { path } = request;
    switch (kindOf(path)) {
      case 'list':
        return listing(
          request,
          () => ({
            meta: { 'api-version': '1.4' },
            projects: [...projects.values()].map(({ display }) => ({ name: display })),
          }),
          () =>
            `<!DOCTYPE html><html><head><title>Simple index</title></head><body>${[...projects].map(([name, { display }]) => `<a href="${prefix}/${name}/">${display}</a>`).join('')}</body></html>`,
        );
      case 'page': {
        const name = decodeURIComponent(path.slice(prefix.length + 1, -1));
        return path.endsWith('/')
          ? listing(
              request,
              () => pageJson(name),
              () => pageHtml(name),
            )
          : undefined;
      }
      case 'file': {
        const file = stored.get(path);
        return file && { body: file.bytes, contentType: 'binary/octet-stream', etag: `"${file.sha256.slice(0, 32)}"` };
      }
      case 'metadata': {
        const file = stored.get(path.slice(0, -'.metadata'.length));
        return file?.metadata && { body: file.metadata, contentType: 'binary/octet-stream' };
      }
      case 'provenance': {
        const filename = decodeURIComponent(path.split('/')[2] ?? '');
        const file = [...stored.values()].find((one) => one.filename === filename);
        return (
          file?.about.provenance && {
            body: JSON.stringify(file.about.provenance),
            contentType: 'application/vnd.pypi.integrity.v1+json',
          }
        );
      }
      case 'release':
        return release(path);
      case 'other':
        return undefined;
    }
  }

  function answer(request: SeenRequest): Reply {
    const fault = faults.findLast(({ applies }) => applies(request.path))?.fault;
    const good = honest(request) ?? { status: 404, body: '404 Not Found', contentType: 'text/plain' };
    if (fault === undefined) return good;
    const bytes = Buffer.isBuffer(good.body) ? good.body : Buffer.from(String(good.body ?? ''));
    return faulty(fault, good, bytes);
  }

  upstream.otherwise(answer);
  if (isApart) files.otherwise(answer);
  const both = isApart ? [upstream, files] : [upstream];
  return {
    upstream,
    files,
    url: `${upstream.url}${prefix}`,
    publish({ kinds = ['wheel'], yanked, uploadTime, provenance, ...made }) {
      const about = {
        ...(yanked === undefined ? {} : { yanked }),
        ...(uploadTime === undefined ? {} : { uploadTime }),
        ...(provenance === undefined ? {} : { provenance }),
        ...(made.requiresPython === undefined ? {} : { requiresPython: made.requiresPython }),
      };
      return kinds.map((kind) => put(made.name, kind === 'wheel' ? wheelOf(made) : sourceOf(made), about));
    },
    put,
    remove: (name, filename) => void projectOf(name).files.delete(filename),
    describe(name, more) {
      projectOf(name).more = more;
    },
    misbehave(target, fault) {
      faults.push({ applies: typeof target === 'function' ? target : (path) => kindOf(path) === target, fault });
    },
    heal() {
      faults.length = 0;
    },
    log: () => both.flatMap(({ requests }) => requests.map(({ method, path }) => `${method} ${path}`)),
    forget() {
      for (const one of both) one.forget();
    },
    async stop() {
      await Promise.all(both.map((one) => one.stop()));
    },
    async start() {
      await Promise.all(both.map((one) => one.start()));
    },
    async close() {
      await Promise.all(both.map((one) => one.close()));
    },
  };
}

import { describe, expect, it } from 'vitest';
import type { Artifact, Digest, Excerpt, Format, Intent, Link, Refusal } from '../../src/core/format.ts';
import { compileRoutes, type Router } from '../../src/core/route.ts';
import { variantFor } from '../../src/formats/pypi/accept.ts';
import { format } from '../../src/formats/pypi/index.ts';
import { canonicalVersion, normalized, versionOf } from '../../src/formats/pypi/name.ts';
import { type Project, projectType } from '../../src/formats/pypi/project.ts';
import { projectList } from '../../src/formats/pypi/project-list.ts';
import { answered, base, conformance, intentOf } from '../conformance/format.ts';
import { formType } from '../support/pypi-uploads.ts';
import {
  fileJson,
  filesHost,
  htmlPage,
  htmlSample,
  index,
  listSample,
  projectJson,
  projectSample,
  publishSamples,
  releaseSample,
  sha,
} from './pypi.samples.ts';

conformance(format, {
  documents: [projectSample, htmlSample, listSample, releaseSample],
  publish: publishSamples,
  examples: {
    root: ['/'],
    upload: ['/legacy/'],
    'upload-slash': ['/legacy'],
    'upload-index': ['/simple/'],
    'upload-index-slash': ['/simple'],
    'upload-root': [{ path: '/', headers: { 'content-type': formType } }],
    search: ['/'],
    'search-old': ['/pypi'],
    list: ['/simple/', '/simple/?format=application/vnd.pypi.simple.v1%2Bjson'],
    'list-redirect': ['/simple'],
    project: ['/simple/acme-lib/', '/simple/zope-interface/', '/simple/0/'],
    'project-redirect': ['/simple/Acme.Lib/', '/simple/a__b/'],
    'project-slash': ['/simple/acme-lib', '/simple/Acme.Lib'],
    file: [
      `/files/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl`,
      `/files/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl.metadata`,
      `/files/acme-lib/${sha('1')}/acme_lib-1.0+cpu-py3-none-any.whl`,
      `/files/acme-lib/md5-${'d'.repeat(32)}/acme.lib-1.0.tar.gz.asc`,
      '/files/acme-lib/unhashed/acme.lib-1.0.tar.gz',
    ],
    wheel: [
      `/wheels/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl`,
      `/wheels/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl.metadata`,
    ],
    provenance: [`/provenance/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl`],
    release: ['/pypi/acme-lib/json', '/pypi/Acme.Lib/json'],
    'release-version': ['/pypi/acme-lib/1.0/json', '/pypi/Acme.Lib/1.0%2Blocal/json'],
  },
});

const router = compileRoutes(format.routes);
const type = projectType(false);
const origin = { url: projectSample.url, path: projectSample.path, headers: {} };

function ask(path: string, accept?: string, using: Router = router): Intent | undefined {
  return intentOf(using, 'GET', accept === undefined ? path : { path, headers: { accept } })?.intent;
}

function artifact(path: string): Artifact {
  const intent = ask(path);
  if (intent?.kind !== 'artifact') throw new Error(`${path} is no artifact`);
  return intent;
}

function read(bytes: Uint8Array | string, url = projectSample.url): Project {
  return type.decode(Buffer.from(bytes), { ...origin, url }) as Project;
}

function linksOf(doc: Project): Link[] {
  return [...(type.links?.(doc, origin) ?? [])];
}

interface PageJson {
  readonly meta: Readonly<Record<string, unknown>>;
  readonly versions: readonly string[];
  readonly files: readonly Readonly<Record<string, unknown>>[];
  readonly [key: string]: unknown;
}

function json(doc: Project, of = type): PageJson {
  return JSON.parse(Buffer.from(of.encode(doc, 'json', base)?.bytes ?? []).toString()) as PageJson;
}

function html(doc: Project, of = type): string {
  return Buffer.from(of.encode(doc, 'text', base)?.bytes ?? []).toString();
}

describe('what a client gets', () => {
  it.each<[string | undefined, string]>([
    // pip 23.2
    ['application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01', 'json'],
    // uv
    ['application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01', 'json'],
    // Poetry
    ['application/vnd.pypi.simple.v1+json, */*;q=0.1', 'json'],
    // a browser
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'text'],
    ['text/html', 'text'],
    ['*/*', 'text'],
    ['', 'text'],
    [undefined, 'text'],
    ['text/*', 'text'],
    ['application/*', 'json'],
    ['application/vnd.pypi.simple.v1+html', 'html'],
    ['application/vnd.pypi.simple.latest+json', 'json'],
    ['APPLICATION/VND.PYPI.SIMPLE.V1+JSON;Q=0.5', 'json'],
    ['application/vnd.pypi.simple.v1+json;q=0, text/html;q=0.1', 'text'],
    ['application/vnd.pypi.simple.v1+json;q=0, */*', 'text'],
    ['application/vnd.pypi.simple.v1+json, text/html', 'json'],
    ['application/vnd.pypi.simple.v1+html, text/html', 'html'],
    ['text/html;q=0.9, application/vnd.pypi.simple.v1+json;q=0.8', 'text'],
    ['*/*, application/vnd.pypi.simple.v1+json', 'json'],
    ['application/json', 'text'],
    ['application/vnd.pypi.simple.v2+json', 'text'],
    ['text/html;q=nonsense, application/vnd.pypi.simple.v1+json;q=0.1', 'json'],
  ])('for Accept %j is %s', (accept, variant) => {
    expect(variantFor(accept)).toBe(variant);
    expect(ask('/simple/acme-lib/', accept)).toMatchObject({ variant });
  });

  it('is what `?format=` says, whatever Accept says', () => {
    const path = '/simple/acme-lib/?format=application/vnd.pypi.simple.v1%2Bjson';
    expect(ask(path, 'text/html')).toMatchObject({ variant: 'json' });
  });

  it.each([
    ['json', 'application/vnd.pypi.simple.v1+json'],
    ['html', 'application/vnd.pypi.simple.v1+html'],
    ['text', 'text/html; charset=utf-8'],
  ])('as %s has exactly the content type %s', (variant, contentType) => {
    expect(type.encode(read(projectSample.bytes), variant, base)?.headers?.['content-type']).toBe(contentType);
  });
});

describe('names', () => {
  it.each([
    ['Acme.Lib', 'acme-lib'],
    ['acme__lib', 'acme-lib'],
    ['A-._b', 'a-b'],
    ['acme', 'acme'],
  ])('%s is %s', (name, result) => expect(normalized(name)).toBe(result));

  it.each([
    ['/simple/Acme.Lib/', '../acme-lib/'],
    ['/simple/Acme_Lib', 'acme-lib/'],
    ['/simple/acme-lib', 'acme-lib/'],
    ['/simple', 'simple/'],
    ['/pypi/Acme.Lib/json', '../acme-lib/json'],
    ['/pypi/Acme.Lib/1.0/json', '../../acme-lib/1.0/json'],
  ])('%s leads to %s', (path, location) => {
    const body = answered(ask(path));
    expect(body).toMatchObject({ status: 301, headers: { location } });
    const end = new URL(location, `${base}${path}`).href.slice(base.length);
    expect(answered(ask(end)), end).toBeUndefined();
    expect(ask(end)?.kind).toBe('document');
  });

  it.each(['/simple/-a/', '/simple/a b/'.replace(' ', '%20'), '/simple/a-/', '/simple/a%2Fb/', '/simple/a/b/'])(
    '%s is no address',
    (path) => expect(ask(path)).toBeUndefined(),
  );

  it.each([
    ['acme-lib', 'acme_lib-1.0-py3-none-any.whl', '1.0'],
    ['acme-lib', 'acme_lib-1.0-1-py3-none-any.whl', '1.0'],
    ['acme-lib', 'acme_lib-1.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl', '1.0+cpu'],
    ['acme-lib', 'acme_lib-py3.whl', undefined],
    ['acme-lib', 'acme.lib-1.0.tar.gz', '1.0'],
    ['acme-lib', 'Acme-Lib-1.0.zip', '1.0'],
    ['acme-lib', 'acme-lib-1.0-beta.tar.bz2', '1.0-beta'],
    ['acme', 'acme-lib-1.0.tar.gz', 'lib-1.0'],
    ['acme-lib', 'other-1.0.tar.gz', undefined],
    ['acme-lib', 'acme_lib-1.0-py2.7.egg', '1.0'],
    ['acme-lib', 'acme-lib-1.0.win32-py2.7.exe', '1.0'],
    ['acme-lib', 'acme-lib-1.0.win-amd64-py3.8.msi', '1.0'],
    ['acme-lib', 'acme-lib-1.0-1.noarch.rpm', '1.0'],
    ['acme-lib', 'acme-lib-1.0.txt', undefined],
  ])('of %s: %s is of version %s', (project, file, version) => expect(versionOf(project, file)).toBe(version));

  it.each([
    ['1.0', '1'],
    ['1.0.0', '1'],
    ['v1.0', '1'],
    ['01.02', '1.2'],
    ['0!1.0', '1'],
    ['1!1.0', '1!1'],
    ['1.0-alpha.1', '1a1'],
    ['1.0c1', '1rc1'],
    ['1.0.PREVIEW', '1rc0'],
    ['1.0-1', '1.post1'],
    ['1.0.rev2', '1.post2'],
    ['1.0.dev', '1.dev0'],
    ['1.0+Ubuntu_01', '1+ubuntu.1'],
    ['0.0', '0'],
    ['2004d-weird', '2004d-weird'],
    ['1.10', '1.10'],
  ])('version %s is the same as %s', (version, canonical) => expect(canonicalVersion(version)).toBe(canonical));
});

describe('a page in JSON', () => {
  it('leads to addresses of ours, whatever name this server has, and tells everything else as upstream did', () => {
    const page = json(read(projectSample.bytes));
    expect(page.meta).toEqual({ 'api-version': '1.4' });
    expect(page.versions).toEqual(['0.1', '1.0', '1.1+local.1']);
    expect(page['project-status']).toEqual({ status: 'deprecated', reason: 'Use acme instead & <soon>.' });
    expect(page['alternate-locations']).toEqual(['https://mirror.example.org/simple/acme-lib/']);
    expect(page.files[0]).toEqual({
      filename: 'acme_lib-1.0-py3-none-any.whl',
      url: `../../files/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl`,
      hashes: { sha256: sha('1') },
      'requires-python': '>=3.8',
      size: 1000,
      'upload-time': '2024-01-02T03:04:05.000000Z',
      yanked: false,
      'core-metadata': { sha256: sha('a') },
      provenance: `${base}/provenance/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl`,
    });
    expect(page.files[2]).toMatchObject({
      url: `../../files/acme-lib/${sha('3')}/acme_lib-1.1%2Blocal.1-py3-none-any.whl`,
      yanked: 'broken <b>',
      'core-metadata': true,
      'gpg-sig': true,
    });
    expect(page.files[3]).toMatchObject({
      url: `../../files/acme-lib/md5-${'d'.repeat(32)}/acme-lib-0.1.zip`,
      yanked: true,
      'core-metadata': false,
    });
  });

  it('never has the name that breaks pip 22.3 to 23.0', () => {
    const bytes = projectJson([
      fileJson('acme_lib-1.0-py3-none-any.whl', '1', { 'core-metadata': undefined, 'dist-info-metadata': true }),
    ]);
    expect(json(read(bytes)).files[0]).toMatchObject({ 'core-metadata': true });
    expect(json(read(bytes)).files[0]).not.toHaveProperty('dist-info-metadata');
    expect(html(read(bytes))).toContain('data-core-metadata="true" data-dist-info-metadata="true"');
  });

  it('says an older version where sizes, which the newer one asks for, are not known', () => {
    expect(json(read(htmlPage)).meta).toEqual({ 'api-version': '1.0' });
  });

  it('has the version of every file', () => {
    const bytes = projectJson(
      [fileJson('acme_lib-1.0.0-py3-none-any.whl', '1'), fileJson('acme_lib-2.0-py3-none-any.whl', '2')],
      { versions: ['1.0', '0.5'] },
    );
    expect(json(read(bytes)).versions).toEqual(['1.0', '0.5', '2.0']);
  });

  it.each([
    ['another directory', { filename: '../x-1.0.tar.gz' }],
    ['a control character', { filename: 'x\n-1.0.tar.gz' }],
    ['no address', { url: 'data:,x' }],
    ['a script', { url: 'javascript:alert(1)' }],
  ])('leaves out a file whose name or address is %s', (_what, more) => {
    const bytes = projectJson([{ ...fileJson('x-1.0.tar.gz', '1'), ...more }, fileJson('acme_lib-1.0.tar.gz', '2')]);
    expect(json(read(bytes)).files.map(({ filename }) => filename)).toEqual(['acme_lib-1.0.tar.gz']);
  });

  it('keeps a quarantined project empty', () => {
    const page = json(read(projectJson([], { 'project-status': { status: 'quarantined' }, versions: [] })));
    expect(page).toMatchObject({ files: [], versions: [], 'project-status': { status: 'quarantined' } });
  });
});

describe('a page in HTML', () => {
  it('is read with its relative addresses, fragments, attributes and comments', () => {
    const [wheel, source, local, ...others] = read(htmlPage).files;
    expect(others).toEqual([]);
    expect(wheel).toEqual({
      filename: 'acme_lib-1.0-py3-none-any.whl',
      url: `${filesHost}/packages/1/acme_lib-1.0-py3-none-any.whl`,
      hashes: { sha256: sha('1') },
      version: '1.0',
      requiresPython: '>=3.8',
      metadata: { sha256: sha('a') },
    });
    expect(source).toMatchObject({
      url: `${index}/packages/acme.lib-1.0.tar.gz`,
      hashes: { md5: 'd'.repeat(32) },
      yanked: '',
    });
    expect(local).toMatchObject({
      filename: 'acme_lib-1.1+local.1-py3-none-any.whl',
      url: `${index}/packages/acme_lib-1.1%2Blocal.1-py3-none-any.whl`,
      hashes: {},
      yanked: 'too "new"',
      metadata: {},
    });
  });

  it('has addresses relative to its <base>, and to where it was found in the end', () => {
    const page = (head: string): string =>
      `<html><head>${head}<title>Links for acme-lib</title></head><body><a href="f/acme_lib-1.0.tar.gz">x</a></body></html>`;
    const url = (text: string, at?: string): string | undefined => read(text, at).files[0]?.url;
    expect(url(page(''))).toBe(`${index}/simple/acme-lib/f/acme_lib-1.0.tar.gz`);
    expect(url(page('<base href="/mirror/">'))).toBe(`${index}/mirror/f/acme_lib-1.0.tar.gz`);
    expect(url(page(''), 'https://other.test/a/acme-lib/')).toBe('https://other.test/a/acme-lib/f/acme_lib-1.0.tar.gz');
    expect(url(page(`<base href="http://index.upstream.test/m/">`))).toBe(`${index}/m/f/acme_lib-1.0.tar.gz`);
  });

  it.each([
    ['bare links', '<a href="acme_lib-1.0.tar.gz">acme_lib-1.0.tar.gz</a>', 1],
    [
      'a folder that a web server lists',
      '<html><body><pre><a href="../">../</a><a href="acme_lib-1.0.tar.gz">a</a></pre></body></html>',
      1,
    ],
    ['an empty page with a title', '<html><head><title>Links for acme-lib</title></head><body></body></html>', 0],
    ['an empty page with a version', '<meta name="pypi:repository-version" content="1.1">', 0],
  ])('may be %s', (_what, page, files) => expect(read(page).files).toHaveLength(files));

  it('is written with everything escaped', () => {
    const page = html(read(projectSample.bytes));
    expect(page).toContain('<meta name="pypi:repository-version" content="1.4">');
    expect(page).toContain('<meta name="pypi:project-status" content="deprecated">');
    expect(page).toContain('content="Use acme instead &amp; &lt;soon&gt;."');
    expect(page).toContain(
      `<a href="../../files/acme-lib/${sha('2')}/acme.lib-1.0.tar.gz#sha256=${sha('2')}" data-requires-python="&gt;=3.8, &lt;&quot;4&quot;">acme.lib-1.0.tar.gz</a>`,
    );
    expect(page).toContain('data-yanked="broken &lt;b&gt;"');
    expect(page).toContain(`data-core-metadata="sha256=${sha('a')}" data-dist-info-metadata="sha256=${sha('a')}"`);
  });

  it('says the same as the one in JSON', () => {
    const doc = read(projectSample.bytes);
    const again = read(html(doc), 'https://larder.test/r/simple/acme-lib/');
    const told = ({ filename, hashes, yanked, requiresPython, metadata }: Project['files'][number]) => ({
      filename,
      hashes,
      yanked,
      requiresPython,
      metadata,
    });
    expect(again.files.map(told)).toEqual(doc.files.map(told));
    expect(again.status).toEqual(doc.status);
    expect(again.alternateLocations).toEqual(doc.alternateLocations);
  });
});

describe('files', () => {
  it('are checked against the digest in their address and the one in the page', () => {
    const path = `/files/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl`;
    expect(artifact(path)).toMatchObject({
      name: 'acme-lib',
      version: '1.0',
      digest: `sha256:${sha('1')}`,
      describedBy: { path: 'simple/acme-lib' },
    });
    expect(artifact(path).freshness).toBeUndefined();
    expect(artifact(path).accepts?.('text/html')).toBe(false);
    const links = new Map(linksOf(read(projectSample.bytes)).map((link) => [`/${link.path}`, link]));
    expect(links.get(path)).toEqual({
      path: path.slice(1),
      url: `${filesHost}/packages/1/acme_lib-1.0-py3-none-any.whl`,
      digests: [`sha256:${sha('1')}`],
      size: 1000,
      version: '1.0',
      publishedAt: '2024-01-02T03:04:05.000000Z',
    });
    expect(links.get(`${path}.metadata`)).toMatchObject({
      url: `${filesHost}/packages/1/acme_lib-1.0-py3-none-any.whl.metadata`,
      digests: [`sha256:${sha('a')}`],
    });
    expect(links.get(path.replace('files', 'provenance'))?.url).toBe(
      `${index}/integrity/acme-lib/1.0/acme_lib-1.0-py3-none-any.whl/provenance`,
    );
    const local = `/files/acme-lib/${sha('3')}/acme_lib-1.1+local.1-py3-none-any.whl`;
    expect(links.get(`${local}.metadata`)?.digests).toBeUndefined();
    expect(links.get(`${local}.asc`)?.url).toBe(`${filesHost}/packages/3/acme_lib-1.1%2Blocal.1-py3-none-any.whl.asc`);
  });

  it('without a digest are asked for again, those with one are not', () => {
    expect(artifact('/files/acme-lib/unhashed/acme_lib-1.0.tar.gz')).toMatchObject({ freshness: 'revalidate' });
    const digest: Digest = `md5:${'d'.repeat(32)}`;
    expect(artifact(`/files/acme-lib/md5-${'d'.repeat(32)}/acme_lib-1.0.tar.gz`)).toMatchObject({ digest });
  });

  it('have the entity tag that their address tells', () => {
    const facts = { digests: [], size: 1, contentType: 'x/y' };
    const tag = (key: string): unknown =>
      format.artifactHeaders?.(artifact(`/files/acme-lib/${key}/acme_lib-1.0.tar.gz`), facts).etag;
    expect(tag(sha('1'))).toBe(`"sha256-${sha('1')}"`);
    expect(tag(`md5-${'d'.repeat(32)}`)).toBe(`"md5-${'d'.repeat(32)}"`);
    expect(tag('unhashed')).toBeUndefined();
  });

  it('keep a query of upstream address behind what is put in front of it', () => {
    const bytes = projectJson([
      fileJson('acme_lib-1.0-py3-none-any.whl', '1', {
        url: `${filesHost}/acme_lib-1.0-py3-none-any.whl?sig=1#sha256=x`,
        'core-metadata': true,
      }),
    ]);
    expect(linksOf(read(bytes)).map(({ url }) => url)).toEqual([
      `${filesHost}/acme_lib-1.0-py3-none-any.whl?sig=1`,
      `${filesHost}/acme_lib-1.0-py3-none-any.whl.metadata?sig=1`,
    ]);
  });

  it.each([
    `/files/Acme.Lib/${sha('1')}/acme_lib-1.0.tar.gz`,
    `/files/acme-lib/${sha('1').slice(1)}/acme_lib-1.0.tar.gz`,
    `/files/acme-lib/${sha('A')}/acme_lib-1.0.tar.gz`,
    `/files/acme-lib/sha256-${sha('1')}/acme_lib-1.0.tar.gz`,
    `/files/acme-lib/${sha('1')}/a%2Fb.tar.gz`,
    `/wheels/acme-lib/${sha('1')}/acme_lib-1.0.tar.gz`,
    `/wheels/acme-lib/${sha('1')}/acme_lib-1.0.tar.gz.metadata`,
  ])('have no address like %s', (path) => expect(ask(path)).toBeUndefined());
});

describe('the option metadata: extract', () => {
  const extracting = format.configure?.({ metadata: 'extract' }) as Format;
  const extractType = extracting.documents[0] as typeof type;

  it('gives wheels without metadata an address beside which there is some', () => {
    const bytes = projectJson([
      fileJson('acme_lib-1.0-py3-none-any.whl', '1'),
      fileJson('acme_lib-1.1-py3-none-any.whl', '2', { 'core-metadata': { sha256: sha('a') } }),
      fileJson('acme_lib-1.1.tar.gz', '3'),
    ]);
    const files = json(read(bytes), extractType).files;
    expect(files.map(({ url }) => String(url).split('/')[2])).toEqual(['wheels', 'files', 'files']);
    expect(files.map((file) => file['core-metadata'])).toEqual([true, { sha256: sha('a') }, false]);
    expect(json(read(bytes)).files[0]?.['core-metadata']).toBe(false);
    expect(html(read(bytes), extractType)).toContain(
      `/wheels/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl#sha256`,
    );
  });

  it('takes it out of the very wheel', () => {
    const path = `/wheels/acme-lib/${sha('1')}/acme_lib-1.0-py3-none-any.whl`;
    const excerpt = ask(`${path}.metadata`, undefined, compileRoutes(extracting.routes)) as Excerpt;
    const { describedBy: _, accepts: __, ...wheel } = artifact(path.replace('wheels', 'files'));
    expect(excerpt.kind).toBe('excerpt');
    expect(excerpt.of).toMatchObject(wheel);
    expect(artifact(path)).toMatchObject(wheel);
  });

  it('is the only one, and has two values', () => {
    expect(() => format.configure?.({ metadata: 'guess' })).toThrow('upstream or extract');
  });
});

describe('several indexes as one', () => {
  const doc = (files: Parameters<typeof projectJson>[0], more = {}): Project => read(projectJson(files, more));

  it('have each file once, with all that the first one says of it', () => {
    const first = doc([fileJson('acme_lib-1.0.tar.gz', '1', { yanked: 'ours' })], { versions: ['1.0'] });
    const second = doc([fileJson('acme_lib-1.0.tar.gz', '2'), fileJson('acme_lib-2.0.tar.gz', '3')], {
      versions: ['1.0', '2.0'],
      'project-status': { status: 'archived' },
    });
    const page = json(type.merge?.([first, second], origin.path) as Project);
    expect(page.files.map(({ url, yanked }) => [url, yanked])).toEqual([
      [`../../files/acme-lib/${sha('1')}/acme_lib-1.0.tar.gz`, 'ours'],
      [`../../files/acme-lib/${sha('3')}/acme_lib-2.0.tar.gz`, false],
    ]);
    expect(page.versions).toEqual(['1.0', '2.0']);
    expect(page).not.toHaveProperty('project-status');
  });

  it('have each project once in their list', () => {
    const list = (...names: string[]): unknown =>
      projectList.decode(Buffer.from(JSON.stringify({ meta: {}, projects: names.map((name) => ({ name })) })), origin);
    expect(projectList.merge?.([list('A.b', 'c'), list('a-b', 'd')] as never, 'simple')).toEqual({
      names: ['A.b', 'c', 'd'],
    });
  });
});

it('holding back a version takes it out of the list of versions, unless other files of it stay', () => {
  const refusal: Refusal = { rule: 'age', reason: 'too young' };
  const doc = read(
    projectJson(
      [
        fileJson('acme_lib-1.0-py3-none-any.whl', '1'),
        fileJson('acme_lib-1.0.0.tar.gz', '2'),
        fileJson('acme_lib-2.0.tar.gz', '3'),
      ],
      { versions: ['0.1', '1.0', '2.0'] },
    ),
  );
  const without = (...versions: string[]): PageJson =>
    json(type.withhold?.(doc, (version) => (versions.includes(version) ? refusal : undefined)) as Project);
  expect(without('2.0').versions).toEqual(['0.1', '1.0']);
  expect(without('1.0.0').versions).toEqual(['0.1', '1.0', '2.0']);
  expect(without('1.0.0').files.map(({ filename }) => filename)).not.toContain('acme_lib-1.0.0.tar.gz');
  expect(without('1.0', '1.0.0').versions).toEqual(['0.1', '2.0']);
  const respelled = read(projectJson([fileJson('acme_lib-1.0.0.tar.gz', '1')], { versions: ['1.0'] }));
  expect(
    json(type.withhold?.(respelled, (version) => (version === '1.0.0' ? refusal : undefined)) as Project).versions,
  ).toEqual([]);
});

it('a list of projects is read from HTML of all kinds', () => {
  const names = (page: string): unknown => projectList.decode(Buffer.from(page), origin);
  const page = (links: string): string => `<html><head><title>Simple index</title></head><body>${links}</body></html>`;
  expect(names(page('<a href="/simple/acme-lib/">Acme.Lib</a><a href="../">up</a>'))).toEqual({ names: ['Acme.Lib'] });
  expect(names('<a href="acme/">acme</a><br/>')).toEqual({ names: ['acme'] });
  expect(names(page(''))).toEqual({ names: [] });
});

it.each([
  ['https://pypi.org', 'simple/acme', 'https://pypi.org/simple/acme/'],
  ['https://pypi.org', 'simple', 'https://pypi.org/simple/'],
  ['https://pypi.org', 'pypi/acme/json', 'https://pypi.org/pypi/acme/json'],
  ['https://host.test/root/pypi/+simple', 'simple/acme', 'https://host.test/root/pypi/+simple/acme/'],
  ['https://host.test/repo/simple', 'pypi/acme/1.0/json', 'https://host.test/repo/pypi/acme/1.0/json'],
  ['https://host.test/whl/cpu', 'simple/torch', 'https://host.test/whl/cpu/torch/'],
])('at %s the path %s is %s', (at, path, url) => {
  expect(format.upstream?.locate?.(path, { base: at })).toBe(url);
});

it('XML-RPC is gone, and says so', () => {
  expect(answered(intentOf(router, 'POST', '/')?.intent)).toMatchObject({ status: 410 });
});

/** Python package indexes through the whole server: forms, files on another host, metadata, trouble at an upstream, and several indexes as one. */
import { describe, expect, it } from 'vitest';
import { hashOf } from '../support/bytes.ts';
import type { Answer, Headers } from '../support/http.ts';
import { wheelOf } from '../support/pypi-packages.ts';
import { jsonType, type PyPiScene, type PyPiSceneOptions, pypiScene } from '../support/pypi-scene.ts';
import type { Fault, PyPiFile, PyPiKind } from '../support/pypi-upstream.ts';
import { eventually } from '../support/wait.ts';

const library = { name: 'Acme.Lib', version: '1.0', requiresPython: '>=3.8' };

interface PageJson {
  readonly meta: Readonly<Record<string, unknown>>;
  readonly versions: readonly string[];
  readonly files: readonly (Readonly<Record<string, unknown>> & { readonly url: string; readonly filename: string })[];
}

const pageOf = (answer: Answer): PageJson => answer.json() as PageJson;

/** Where a link in a page leads, below the repository. */
const below = (url: string): string => new URL(url, 'http://x/simple/acme-lib/').pathname;

function only(files: readonly PyPiFile[]): PyPiFile {
  const [file] = files;
  if (!file) throw new Error('nothing was published');
  return file;
}

function expectProblem(answer: Answer, status: number): void {
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8');
  expect(answer.text()).toMatch(/\w+ .*\n/);
  expect(answer.text()).not.toContain('127.0.0.1');
  if (status === 503) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
}

/** pip 23.2 and uv ask like this. */
const pipAccept = 'application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01';

describe('a project page', () => {
  it.each([
    [pipAccept, jsonType],
    ['application/vnd.pypi.simple.v1+html', 'application/vnd.pypi.simple.v1+html'],
    ['text/html,*/*;q=0.8', 'text/html; charset=utf-8'],
  ])('for Accept %j is %s, with an entity tag of its own and Vary', async (accept, contentType) => {
    const scene = await pypiScene();
    scene.index.publish(library);
    const answer = await scene.get('/simple/acme-lib/', { accept });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe(contentType);
    expect(String(answer.headers.vary).toLowerCase()).toContain('accept');
    expect(answer.headers['cache-control']).toBe('no-cache');
    const etag = String(answer.headers.etag);
    const again = await scene.get('/simple/acme-lib/', { accept, 'if-none-match': etag });
    expect(again.status).toBe(304);
    expect(again.headers.etag).toBe(etag);
    expect(again.headers['cache-control']).toBe('no-cache');
    expect(String(again.headers.vary).toLowerCase()).toContain('accept');
    const other = await scene.get('/simple/acme-lib/', { accept: accept === pipAccept ? 'text/html' : pipAccept });
    expect(other.headers.etag).not.toBe(etag);
    expect(scene.index.log()).toEqual(['GET /simple/acme-lib/']);
  });

  it('is asked for as JSON, whatever the client wants', async () => {
    const scene = await pypiScene();
    scene.index.publish(library);
    await scene.get('/simple/acme-lib/', { accept: 'text/html' });
    const [request] = scene.index.upstream.requests;
    expect(request?.headers.accept).toMatch(/^application\/vnd\.pypi\.simple\.v1\+json,/);
  });

  it('is asked for again with the validator that came with it', async () => {
    const scene = await pypiScene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    scene.index.publish(library);
    await scene.page('acme-lib');
    expect((await scene.page('acme-lib')).headers['x-larder-cache']).toBe('revalidated');
    expect(scene.index.upstream.requests[1]?.headers['if-none-match']).toBeDefined();
    scene.index.publish({ ...library, version: '1.1' });
    expect(pageOf(await scene.page('acme-lib')).files).toHaveLength(2);
  });

  it('keeps times, sizes, yanks and status', async () => {
    const scene = await pypiScene();
    scene.index.publish({ ...library, uploadTime: '2024-05-06T07:08:09.123456Z', yanked: 'does not work' });
    scene.index.describe('acme-lib', { 'project-status': { status: 'archived', reason: 'done' } });
    const page = pageOf(await scene.page('acme-lib'));
    expect(page).toMatchObject({
      meta: { 'api-version': '1.4' },
      'project-status': { status: 'archived', reason: 'done' },
    });
    expect(page.files[0]).toMatchObject({
      'upload-time': '2024-05-06T07:08:09.123456Z',
      yanked: 'does not work',
      'requires-python': '>=3.8',
      size: expect.any(Number),
    });
  });

  it.each([
    ['/simple/Acme.Lib/', '../acme-lib/'],
    ['/simple/acme-lib', 'acme-lib/'],
    ['/simple', 'simple/'],
  ])('%s leads to %s without asking anybody', async (path, location) => {
    const scene = await pypiScene();
    const answer = await scene.get(path);
    expect(answer.status).toBe(301);
    expect(answer.headers.location).toBe(location);
    expect(scene.index.log()).toEqual([]);
  });

  it('that does not exist is 404 in words, for a while without asking again', async () => {
    const scene = await pypiScene();
    expectProblem(await scene.page('nothing'), 404);
    expectProblem(await scene.page('nothing'), 404);
    expect(scene.index.log()).toEqual(['GET /simple/nothing/']);
  });

  it('is the same to every name of this server, and leads to it', async () => {
    const scene = await pypiScene();
    scene.index.publish(library);
    const page = await scene.get('/simple/acme-lib/', { accept: jsonType, host: 'pypi.example.com' });
    expect(page.body).toEqual((await scene.page('acme-lib')).body);
    expect(page.text()).not.toContain('127.0.0.1');
  });
});

describe('files', () => {
  it.each([
    ['in JSON, on a host of their own', {}],
    ['in HTML, on a host of their own', { form: 'html' }],
    ['in HTML, relative to a <base>', { form: 'html', files: 'base' }],
    ['in JSON, with relative addresses', { files: 'base', prefix: '/deep/er/simple' }],
    ['with nothing but md5', { form: 'html', hash: 'md5' }],
    ['without any digest', { form: 'html', hash: 'none' }],
  ] as const)('listed %s come through our addresses', async (_what, upstream) => {
    const scene = await pypiScene({ upstreams: [upstream] });
    const published = scene.index.publish({ ...library, version: '1.0+local.1', kinds: ['wheel', 'source'] });
    for (const accept of [jsonType, 'text/html']) {
      const page = await scene.get('/simple/acme-lib/', { accept });
      for (const { filename, path, bytes, sha256 } of published) {
        const url =
          accept === jsonType ? pageOf(page).files.find((file) => file.filename === filename)?.url : undefined;
        if (url !== undefined) expect(below(url)).toBe(path);
        else expect(page.text()).toContain(`href="../..${path}`);
        const answer = await scene.get(path);
        expect(answer.status).toBe(200);
        expect(answer.body.equals(bytes)).toBe(true);
        expect(hashOf(answer.body, 'sha256')).toBe(sha256);
        expect(answer.headers['content-encoding']).toBeUndefined();
      }
    }
  });

  it('are fetched once and never asked for again', async () => {
    const scene = await pypiScene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const { path, bytes } = only(scene.index.publish(library));
    await scene.page('acme-lib');
    await scene.get(path);
    await scene.settled(path);
    scene.index.forget();
    const warm = await scene.get(path);
    expect(warm.body).toEqual(bytes);
    expect(warm.headers['cache-control']).toContain('immutable');
    expect(scene.index.log()).toEqual([]);
  });

  it('are found without their page having been read before, as from a lock file', async () => {
    const scene = await pypiScene();
    const { path, bytes } = only(scene.index.publish(library));
    expect((await scene.get(path)).body).toEqual(bytes);
    expect(scene.index.log()).toEqual(['GET /simple/acme-lib/', expect.stringMatching(/^GET \/packages\//)]);
  });

  it('with a plus in their name are found in both spellings', async () => {
    const scene = await pypiScene();
    const { path, bytes } = only(scene.index.publish({ ...library, version: '1.0+cpu' }));
    expect(path).toContain('%2B');
    for (const spelling of [path, path.replace('%2B', '+')]) expect((await scene.get(spelling)).body).toEqual(bytes);
  });

  it('that were replaced under the same name are two', async () => {
    const scene = await pypiScene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const before = only(scene.index.publish(library));
    await scene.get(before.path);
    await scene.settled(before.path);
    const after = only(scene.index.publish({ ...library, requires: ['other'] }));
    expect(after.filename).toBe(before.filename);
    expect((await scene.get(after.path)).body).toEqual(after.bytes);
    expect((await scene.get(before.path)).body).toEqual(before.bytes);
  });

  it('on a host that the upstream may not lead to are refused with a word about hosts', async () => {
    const scene = await pypiScene({ upstream: { hosts: [] } });
    const { path } = only(scene.index.publish(library));
    const answer = await scene.get(path);
    expectProblem(answer, 502);
    expect(answer.text()).toContain('hosts');
    expect(scene.index.files.requests).toEqual([]);
  });

  it('that no page lists are not there, whatever upstream has', async () => {
    const scene = await pypiScene();
    const { path, filename } = only(scene.index.publish(library));
    scene.index.publish({ ...library, version: '2.0' });
    scene.index.remove('acme-lib', filename);
    expectProblem(await scene.get(path), 404);
  });
});

describe('metadata', () => {
  it('of a wheel is upstream own file, checked against its digest', async () => {
    const scene = await pypiScene();
    const { path } = only(scene.index.publish(library));
    const { metadata } = wheelOf(library);
    const [file] = pageOf(await scene.page('acme-lib')).files;
    expect(file?.['core-metadata']).toEqual({ sha256: hashOf(metadata, 'sha256') });
    expect((await scene.get(`${path}.metadata`)).body).toEqual(metadata);
    expect(scene.index.log()).toEqual(['GET /simple/acme-lib/', expect.stringMatching(/\.whl\.metadata$/)]);
  });

  it.each(['wrong digest', 'sign-in page', '404', '500'] as const)('with %s is refused and heals', async (fault) => {
    const scene = await pypiScene({ source: { negativeTtl: '0s' } });
    const { path } = only(scene.index.publish(library));
    scene.index.misbehave('metadata', fault);
    expectProblem(await scene.get(`${path}.metadata`), { '404': 404, '500': 503 }[String(fault)] ?? 502);
    scene.index.heal();
    expect((await scene.get(`${path}.metadata`)).body).toEqual(wheelOf(library).metadata);
  });

  it('that upstream does not hand out is not promised, and not there', async () => {
    const scene = await pypiScene({ upstreams: [{ metadata: 'none' }] });
    const { path } = only(scene.index.publish(library));
    expect(pageOf(await scene.page('acme-lib')).files[0]?.['core-metadata']).toBe(false);
    expectProblem(await scene.get(`${path}.metadata`), 404);
    expect(scene.index.files.requests).toEqual([]);
  });

  it('is taken out of the wheel if the repository says so', async () => {
    const scene = await pypiScene({
      upstreams: [{ metadata: 'none', form: 'html' }],
      repository: { options: { metadata: 'extract' } },
    });
    const vendored = { 'acme_lib/vendor/x-1.dist-info/METADATA': Buffer.from('of somebody else') };
    const { bytes } = only(scene.index.publish({ ...library, files: vendored, paddingBytes: 300_000 }));
    const [file] = pageOf(await scene.page('acme-lib')).files;
    expect(file?.['core-metadata']).toBe(true);
    const path = below(String(file?.url));
    expect(path).toMatch(/^\/wheels\//);
    const answer = await scene.get(`${path}.metadata`);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual(wheelOf(library).metadata);
    expect((await scene.head(`${path}.metadata`)).headers['content-length']).toBe(String(answer.body.length));
    expect((await scene.get(path)).body).toEqual(bytes);
    expect((await scene.get(path.replace('wheels', 'files'))).body).toEqual(bytes);
    expect(scene.index.files.requests.map(({ method }) => method)).toEqual(['GET']);
    await scene.index.stop();
    expect((await scene.get(`${path}.metadata`)).body).toEqual(wheelOf(library).metadata);
  });

  it('of what is no wheel after all is trouble of upstream, not of ours', async () => {
    const scene = await pypiScene({
      upstreams: [{ metadata: 'none' }],
      repository: { options: { metadata: 'extract' } },
    });
    const file = scene.index.put('acme-lib', {
      filename: 'acme_lib-1.0-py3-none-any.whl',
      bytes: Buffer.from('no archive at all, however long it is'),
      metadata: Buffer.alloc(0),
    });
    expectProblem(await scene.get(`${file.path.replace('files', 'wheels')}.metadata`), 502);
    expectProblem(await scene.get(`${file.path}.metadata`), 404);
  });
});

/** What uv does where there is no metadata file: the length, the end of the archive, then what it needs of it. */
describe('the requests of uv for a wheel without metadata', () => {
  const lazy: Headers = { 'accept-encoding': 'identity' };

  it.each(['cold', 'warm'])('are answered in parts that fit together, %s', async (state) => {
    const scene = await pypiScene({ upstreams: [{ metadata: 'none' }] });
    const { path, bytes } = only(scene.index.publish({ ...library, paddingBytes: 200_000 }));
    await scene.get('/simple/acme-lib/', { accept: pipAccept });
    if (state === 'warm') {
      await scene.get(path);
      await scene.settled(path);
    }
    const head = await scene.head(path, lazy);
    expect(head.status).toBe(200);
    expect(head.headers['accept-ranges']).toBe('bytes');
    expect(head.headers['content-length']).toBe(String(bytes.length));
    expect(head.headers['content-encoding']).toBeUndefined();
    const tail = await scene.get(path, { ...lazy, range: 'bytes=-16384' });
    expect(tail.status).toBe(206);
    expect(tail.headers['content-range']).toBe(`bytes ${bytes.length - 16384}-${bytes.length - 1}/${bytes.length}`);
    expect(tail.body.equals(bytes.subarray(-16384))).toBe(true);
    const part = await scene.get(path, { ...lazy, range: 'bytes=100-4195' });
    expect(part.status).toBe(206);
    expect(part.body.equals(bytes.subarray(100, 4196))).toBe(true);
    expect((await scene.get(path, { ...lazy, range: `bytes=${bytes.length}-` })).status).toBe(416);
    expect(scene.index.files.requests.filter(({ method }) => method === 'GET')).toHaveLength(1);
  });
});

describe('the other addresses', () => {
  it('the list of projects has the names of all', async () => {
    const scene = await pypiScene({ upstreams: [{}, { form: 'html' }] });
    scene.indexes[0]?.publish(library);
    scene.indexes[1]?.publish({ name: 'other', version: '1' });
    const list = await scene.get('/simple/', { accept: jsonType });
    expect(list.headers['content-type']).toBe(jsonType);
    expect(list.json()).toMatchObject({ projects: [{ name: 'Acme.Lib' }, { name: 'other' }] });
    const page = await scene.get('/simple/', { accept: 'text/html' });
    expect(page.text()).toContain('<a href="acme-lib/">Acme.Lib</a>');
  });

  it('provenance is passed on from where upstream has it', async () => {
    const scene = await pypiScene();
    const provenance = { version: 1, attestation_bundles: [] };
    const { path } = only(scene.index.publish({ ...library, provenance }));
    const [file] = pageOf(await scene.page('acme-lib')).files;
    expect(file?.provenance).toBe(`${scene.larder.url}/public/pypi${path.replace('files', 'provenance')}`);
    const answer = await scene.get(path.replace('files', 'provenance'));
    expect(answer.headers['content-type']).toBe('application/vnd.pypi.integrity.v1+json');
    expect(answer.json()).toEqual(provenance);
  });

  it('what is known of releases leads to our files', async () => {
    const scene = await pypiScene();
    const { path } = only(scene.index.publish(library));
    const answer = await scene.get('/pypi/acme-lib/json');
    expect(answer.json()).toMatchObject({ urls: [{ url: `${scene.larder.url}/public/pypi${path}` }] });
    expect((await scene.get('/pypi/acme-lib/1.0/json')).status).toBe(200);
    expect((await scene.get('/pypi/Acme.Lib/json')).headers.location).toBe('../acme-lib/json');
    expectProblem(await scene.get('/pypi/nothing/json'), 404);
  });

  it('pip search and uploads are told that they are not possible', async () => {
    const scene = await pypiScene();
    const search = await scene.ask('/', { method: 'POST', headers: { 'content-type': 'text/xml' }, body: '<x/>' });
    expect(search.status).toBe(410);
    expect(search.text()).toContain('pip search');
    expectProblem(await scene.ask('/legacy/', { method: 'POST', body: 'x' }), 405);
    expect(scene.index.log()).toEqual([]);
  });
});

const troubles: readonly { readonly fault: Fault; readonly status: number }[] = [
  { fault: '401', status: 502 },
  { fault: '403', status: 502 },
  { fault: '429', status: 503 },
  { fault: '500', status: 503 },
  { fault: '503', status: 503 },
  { fault: 'stall', status: 503 },
  { fault: 'sign-in page', status: 502 },
  { fault: 'wrong digest', status: 502 },
  { fault: 'cut', status: 503 },
];

const asked: readonly { readonly kind: PyPiKind; readonly what: string; path(file: PyPiFile): string }[] = [
  { kind: 'page', what: 'a page', path: () => '/simple/acme-lib/' },
  { kind: 'file', what: 'a wheel', path: ({ path }) => path },
  { kind: 'page', what: 'a wheel whose page is to be read', path: ({ path }) => path },
  { kind: 'metadata', what: 'metadata', path: ({ path }) => `${path}.metadata` },
];

const table = asked.flatMap(({ kind, what, path }) =>
  troubles
    // A page says of itself by nothing that it was changed.
    .filter(({ fault }) => kind !== 'page' || fault !== 'wrong digest')
    .map(({ fault, status }) => ({ kind, what, path, fault, status, name: `${what}: ${fault} is ${status}` })),
);

const patienceFor = (fault: Fault): PyPiSceneOptions => (fault === 'stall' ? { upstream: { timeoutMs: 300 } } : {});

/** Until upstream's Retry-After is over there is no other answer. */
async function healed(scene: PyPiScene, path: string, fault: Fault): Promise<Answer> {
  if (fault !== '429') return await scene.get(path);
  return await eventually('the wait is over', async () => {
    const answer = await scene.get(path);
    return answer.status === 503 ? undefined : answer;
  });
}

/** Side by side: giving up on a connection that is cut again and again takes seconds. */
describe.concurrent('trouble at the upstream', () => {
  it.for(table)('$name, nothing wrong is kept, and the next good answer heals it', async (row, { onTestFinished }) => {
    const scene = await pypiScene(patienceFor(row.fault), onTestFinished);
    const file = only(scene.index.publish(library));
    const path = row.path(file);
    scene.index.misbehave(row.kind, row.fault);
    const refused = await scene.get(path);
    // What is found to be wrong at its last byte is broken off there.
    if (refused.complete) expectProblem(refused, row.status);
    scene.index.heal();
    const answer = await healed(scene, path, row.fault);
    expect(answer.status).toBe(200);
    if (path === file.path) expect(answer.body.equals(file.bytes)).toBe(true);
    await scene.settled(path);
    await scene.index.stop();
    expect((await scene.get(path)).body.equals(answer.body)).toBe(true);
  });

  it.for(troubles)(
    'a page that is kept is served through $fault, out of date as it is',
    async ({ fault }, { onTestFinished }) => {
      const scene = await pypiScene(
        { ...patienceFor(fault), source: { ttl: '0s', staleWhileRevalidate: '0s' } },
        onTestFinished,
      );
      scene.index.publish(library);
      const before = await scene.page('acme-lib');
      scene.index.publish({ ...library, version: '2.0' });
      scene.index.misbehave('page', fault === 'wrong digest' ? 'sign-in page' : fault);
      const stale = await scene.page('acme-lib');
      expect(stale.status).toBe(200);
      expect(stale.text()).toBe(before.text());
    },
  );
});

describe('with the upstream away', () => {
  it('everything that was fetched before goes on being served, and the rest is 503', async () => {
    const scene = await pypiScene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const known = only(scene.index.publish(library));
    const unknown = only(scene.index.publish({ ...library, version: '2.0' }));
    for (const path of ['/simple/acme-lib/', known.path, `${known.path}.metadata`]) {
      await scene.get(path);
      await scene.settled(path);
    }
    await scene.index.stop();
    expect(pageOf(await scene.page('acme-lib')).files).toHaveLength(2);
    expect((await scene.get(known.path)).body).toEqual(known.bytes);
    expect((await scene.get(`${known.path}.metadata`)).status).toBe(200);
    expectProblem(await scene.get(unknown.path), 503);
    expectProblem(await scene.page('other'), 503);
  });
});

describe('several indexes as one', () => {
  const three: PyPiSceneOptions = { upstreams: [{}, { form: 'html' }, { metadata: 'none' }] };

  it('have the files of all, and of one that two have the one of the first', async () => {
    const scene = await pypiScene(three);
    const [one, two, other] = scene.indexes;
    const first = only(one?.publish(library) ?? []);
    const hidden = only(two?.publish({ ...library, requires: ['evil'] }) ?? []);
    const second = only(two?.publish({ ...library, version: '1.1' }) ?? []);
    const third = only(other?.publish({ ...library, version: '2.0' }) ?? []);
    const page = pageOf(await scene.page('acme-lib'));
    expect(page.files.map(({ url }) => below(url))).toEqual([first.path, second.path, third.path]);
    expect(page.versions).toEqual(['1.0', '2.0', '1.1']);
    for (const { path, bytes } of [first, second, third]) expect((await scene.get(path)).body).toEqual(bytes);
    expect(hidden.path).not.toBe(first.path);
    expect(page.files[2]?.['core-metadata']).toBe(false);
  });

  it('a name that one of them claims is never asked for at the others', async () => {
    const scene = await pypiScene({ ...three, sources: [{}, { claims: ['Acme_*'] }, {}] });
    for (const index of scene.indexes) index.publish(library);
    const own = only(scene.indexes[1]?.publish({ ...library, version: '1.1' }) ?? []);
    const [foreign] = scene.indexes[0]?.publish({ ...library, version: '9.9' }) ?? [];
    expect(pageOf(await scene.page('acme-lib')).files.map(({ filename }) => filename)).toEqual([
      'acme_lib-1.0-py3-none-any.whl',
      'acme_lib-1.1-py3-none-any.whl',
    ]);
    expect((await scene.get(own.path)).body).toEqual(own.bytes);
    expectProblem(await scene.get(foreign?.path ?? ''), 404);
    expectProblem(await scene.get('/simple/acme-secret/'), 404);
    expectProblem(await scene.get('/pypi/acme-secret/json'), 404);
    expect(scene.indexes[0]?.log()).toEqual([]);
    expect(scene.indexes[2]?.log()).toEqual([]);
  });

  it('are no page while one of them is in trouble that was never heard: another version would win', async () => {
    const scene = await pypiScene(three);
    scene.indexes[0]?.publish(library);
    scene.indexes[1]?.misbehave('page', '500');
    expectProblem(await scene.page('acme-lib'), 503);
    scene.indexes[1]?.heal();
    expect((await scene.page('acme-lib')).status).toBe(200);
  });
});

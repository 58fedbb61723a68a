/** What a push and a deletion come to, without a server. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import type { Body, Call, Intent, Upload, UploadState } from '../../src/core/format.ts';
import { Problem } from '../../src/core/problem.ts';
import { compileRoutes } from '../../src/core/route.ts';
import { format } from '../../src/formats/oci/index.ts';
import { manifestLimit } from '../../src/formats/oci/manifest.ts';
import { intentOf } from '../conformance/format.ts';
import { ask, type FakeView, fakeView, type HostedRequest, type Performed } from '../support/hosted-view.ts';
import {
  blobPush,
  bytesOf,
  config,
  descriptor,
  dockerManifest,
  imageIndex,
  imageManifest,
  indexOf,
  layer,
  manifestPush,
} from './oci.samples.ts';

const name = 'team/app';

interface RegistryErrors {
  readonly errors: readonly { readonly code: string; readonly message: string; readonly detail: unknown }[];
}

const json = <T = Record<string, unknown>>({ bytes }: Body): T => JSON.parse(Buffer.from(bytes).toString()) as T;

/** Status and errors that a request comes to. */
async function refusal(asked: Promise<unknown>): Promise<{ readonly status: number | undefined } & RegistryErrors> {
  try {
    await asked;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const body = format.problem(error);
    return { status: body.status, ...json<RegistryErrors>(body) };
  }
  throw new Error('It was not refused.');
}

const codeOf = async (asked: Promise<unknown>): Promise<[number | undefined, string | undefined]> => {
  const { status, errors } = await refusal(asked);
  return [status, errors[0]?.code];
};

function registry(settings: Readonly<Record<string, unknown>> = {}, view: FakeView = fakeView()) {
  const configured = format.configure?.(settings) ?? format;
  const request = (one: HostedRequest): Promise<Performed> => ask(configured, view, one);
  return {
    view,
    request,
    async blobs(...texts: readonly string[]) {
      for (const text of texts) await request(blobPush(name, text));
    },
    push: (reference: string, manifest: unknown, type?: string) =>
      request(manifestPush(name, reference, manifest, type)),
    remove: (what: string) => request({ method: 'DELETE', path: `/${name}/${what}` }),
    get: (path: string) => request({ path: `/${name}/${path}` }),
    async tags(): Promise<readonly string[]> {
      return json<{ tags: string[] }>((await request({ path: `/${name}/tags/list` })).body).tags;
    },
    async referrers(digest: string, query = ''): Promise<readonly Record<string, unknown>[]> {
      const { body } = await request({ path: `/${name}/referrers/${digest}${query}` });
      return json<{ manifests: Record<string, unknown>[] }>(body).manifests;
    },
  };
}

const image = { schemaVersion: 2, mediaType: imageManifest, config, layers: [layer] };
const digest = digestOf(bytesOf(image));
const other = { ...image, annotations: { other: 'yes' } };
const otherDigest = digestOf(bytesOf(other));
const asSubject = { mediaType: imageManifest, digest, size: bytesOf(image).length };

describe('a manifest', () => {
  it('is answered with where it is and what it is called', async () => {
    const { blobs, push } = registry();
    await blobs('config', 'layer');
    const { body, change } = await push('1.0', image);
    expect(body.status).toBe(201);
    expect(body.headers).toEqual({
      location: `/acme/repo/${name}/manifests/1.0`,
      'docker-content-digest': digest,
    });
    expect(change?.records?.map(({ version }) => version)).toEqual([digest, '1.0']);
  });

  it('has the type that it came as, without parameters', async () => {
    const { blobs, push, get } = registry();
    await blobs('config', 'layer');
    await push('1.0', { ...image, mediaType: dockerManifest }, `${dockerManifest}; charset=utf-8`);
    expect((await get('manifests/1.0')).body.headers).toMatchObject({ 'content-type': dockerManifest });
  });

  it('may leave out its type, or be sent without one', async () => {
    const { blobs, push, get } = registry();
    await blobs('config', 'layer');
    const { mediaType: _, ...bare } = image;
    await push('a', bare, imageManifest);
    await push('b', bare, '');
    await push('c', image, '');
    for (const tag of ['a', 'b', 'c']) {
      expect((await get(`manifests/${tag}`)).body.headers).toMatchObject({ 'content-type': imageManifest });
    }
  });

  it.each([
    ['nothing', Buffer.alloc(0), imageManifest],
    ['a page', Buffer.from('<!doctype html>'), imageManifest],
    ['a list', Buffer.from('[]'), imageManifest],
    ['a form', bytesOf(image), 'application/x-www-form-urlencoded'],
    ['of schema 1', bytesOf({ schemaVersion: 1, fsLayers: [] }), ''],
    ['of another type than it says', bytesOf(image), dockerManifest],
    ['an index that is an image', bytesOf({ ...image, manifests: [] }), imageManifest],
    ['an image sent as an index', bytesOf({ ...image, mediaType: undefined }), imageIndex],
    ['with layers that are none', bytesOf({ ...image, layers: ['x'] }), imageManifest],
    ['with a digest that is none', bytesOf({ ...image, layers: [{ ...layer, digest: 'x' }] }), imageManifest],
  ])('that is %s is refused', async (_what, bytes, type) => {
    const { blobs, push } = registry();
    await blobs('config', 'layer');
    expect(await codeOf(push('1.0', bytes, type))).toEqual([400, 'MANIFEST_INVALID']);
  });

  it('that is too long is refused, and one as long as one may be is taken', async () => {
    const { blobs, push } = registry();
    await blobs('config', 'layer');
    const long = (extra: number) => ({ ...image, annotations: { x: 'x'.repeat(manifestLimit - 600 + extra) } });
    const spare = manifestLimit - bytesOf(long(0)).length;
    await push('1.0', long(spare));
    expect(await codeOf(push('1.0', long(spare + 1)))).toEqual([413, 'SIZE_INVALID']);
  });

  it('under another digest than its own is refused', async () => {
    const { blobs, push } = registry();
    await blobs('config', 'layer');
    expect(await codeOf(push(otherDigest, image))).toEqual([400, 'DIGEST_INVALID']);
    expect(await codeOf(push(digestOf(bytesOf(other), 'sha512'), image))).toEqual([400, 'DIGEST_INVALID']);
  });

  it('is told everything that is missing', async () => {
    const { blobs, push } = registry();
    await blobs('config');
    const missing = descriptor('missing', 'a/b');
    const { status, errors } = await refusal(push('1.0', { ...image, layers: [layer, missing, layer] }));
    expect(status).toBe(400);
    expect(errors.map(({ code, detail }) => [code, detail])).toEqual([
      ['MANIFEST_BLOB_UNKNOWN', { digest: layer.digest }],
      ['MANIFEST_BLOB_UNKNOWN', { digest: missing.digest }],
    ]);
    for (const { message } of errors) expect(message).toMatch(/^The blob sha256:\w+ was not pushed to team\/app/);
  });

  it('needs no layers that may not be handed on, and no digest that nobody can check', async () => {
    const { blobs, push } = registry();
    await blobs('config');
    const foreign = [
      'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      'application/vnd.oci.image.layer.nondistributable.v1.tar',
      'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
    ].map((type) => descriptor(`foreign ${type}`, type, { urls: ['https://layers.example/1'] }));
    expect((await push('1.0', { ...image, layers: foreign })).body.status).toBe(201);
    const odd = { ...layer, digest: `sha384:${'0'.repeat(96)}` };
    expect(await codeOf(push('1.0', { ...image, layers: [odd] }))).toEqual([400, 'MANIFEST_BLOB_UNKNOWN']);
  });

  it('of an index needs its children', async () => {
    const { blobs, push } = registry();
    const index = indexOf([asSubject]);
    expect((await refusal(push('all', index))).errors).toMatchObject([
      { code: 'MANIFEST_BLOB_UNKNOWN', detail: { digest } },
    ]);
    await blobs('config', 'layer');
    await push(digest, image);
    expect((await push('all', index)).body.status).toBe(201);
    expect((await push('none', indexOf([]))).body.status).toBe(201);
  });

  it('may be called by sha512, and is found by both', async () => {
    const { blobs, push, get, remove } = registry();
    await blobs('config', 'layer');
    const long = digestOf(bytesOf(image), 'sha512');
    const { body } = await push(`${long}?tag=x`, image);
    expect(body.headers).toMatchObject({ 'docker-content-digest': long, 'oci-tag': 'x' });
    expect((await get(`manifests/${long}`)).body.headers).toMatchObject({ 'docker-content-digest': long });
    expect((await get('manifests/x')).body.headers).toMatchObject({ 'docker-content-digest': digest });
    await get(`manifests/${digest}`);
    await remove(`manifests/${long}`);
    for (const gone of [long, digest, 'x']) expect((await refusal(get(`manifests/${gone}`))).status).toBe(404);
  });

  it('may be pushed with several tags', async () => {
    const { blobs, push, tags } = registry();
    await blobs('config', 'layer');
    const { body } = await push(`${digest}?tag=b&tag=a&tag=b`, image);
    expect(body.headers).toMatchObject({ 'oci-tag': 'b, a' });
    expect(await tags()).toEqual(['a', 'b']);
    expect(await codeOf(push(`${digest}?tag=.x`, image))).toEqual([400, 'MANIFEST_INVALID']);
    const many = Array.from({ length: 101 }, (_, at) => `tag=t${at}`).join('&');
    expect(await codeOf(push(`${digest}?${many}`, image))).toEqual([400, 'MANIFEST_INVALID']);
  });

  it('names its source and its time of making, or its config does', async () => {
    const { request, push } = registry();
    const labels = { 'org.opencontainers.image.source': 'https://git.example/from-label' };
    const text = JSON.stringify({ created: '2026-01-02T03:04:05Z', config: { Labels: labels } });
    await request(blobPush(name, text));
    await request(blobPush(name, 'layer'));
    const own = { ...image, config: descriptor(text, config.mediaType) };
    const byLabel = await push('1', own);
    expect(byLabel.change?.records).toMatchObject([
      { facts: { created: '2026-01-02T03:04:05Z' }, source: 'https://git.example/from-label' },
      { facts: { created: '2026-01-02T03:04:05Z' }, source: 'https://git.example/from-label' },
    ]);
    const annotations = {
      'org.opencontainers.image.source': 'https://git.example/said',
      'org.opencontainers.image.created': '2025-01-01T00:00:00Z',
    };
    const bySaying = await push('2', { ...own, annotations });
    expect(bySaying.change?.records?.[0]).toMatchObject({
      facts: { created: '2025-01-01T00:00:00Z' },
      source: 'https://git.example/said',
    });
  });

  it('has a config of any kind, even one that can not be read', async () => {
    const { blobs, push } = registry();
    await blobs('config', 'layer', 'chart');
    const { change } = await push('1', image);
    expect(change?.records?.[0]).not.toHaveProperty('source');
    const chart = { ...image, config: descriptor('chart', 'application/vnd.cncf.helm.config.v1+json'), layers: [] };
    expect((await push('2', chart)).body.status).toBe(201);
  });
});

describe('a tag', () => {
  it('is moved, and what it was stays', async () => {
    const { blobs, push, get, tags } = registry();
    await blobs('config', 'layer');
    await push('latest', image);
    await push('latest', other);
    expect(Buffer.from((await get('manifests/latest')).body.bytes)).toEqual(bytesOf(other));
    expect(Buffer.from((await get(`manifests/${digest}`)).body.bytes)).toEqual(bytesOf(image));
    expect(await tags()).toEqual(['latest']);
  });

  it('that may not be moved is not, by whatever name it is called', async () => {
    const { blobs, push, get, view } = registry({ immutableTags: ['v*', 'stable'] });
    await blobs('config', 'layer');
    await push('v1', image);
    await push('v1', image);
    const { status, errors } = await refusal(push('v1', other));
    expect([status, errors[0]?.code, errors[0]?.message]).toEqual([
      409,
      'DENIED',
      expect.stringMatching(/^The tag v1 of team\/app is sha256:\w+ for good/),
    ]);
    expect(await codeOf(push(`${otherDigest}?tag=new&tag=v1`, other))).toEqual([409, 'DENIED']);
    expect(view.entry(`${name}/manifests/new`)).toBeUndefined();
    expect(Buffer.from((await get('manifests/v1')).body.bytes)).toEqual(bytesOf(image));
    await push('latest', image);
    await push('latest', other);
  });

  it('that may not be moved comes back as it was, and not otherwise', async () => {
    const { blobs, push, remove } = registry({ immutableTags: ['v*'] });
    await blobs('config', 'layer');
    await push('v1', image);
    await remove('manifests/v1');
    expect(await codeOf(push('v1', other))).toEqual([409, 'DENIED']);
    await push('v1', image);
  });

  it('is moved all the same where versions may be replaced', async () => {
    const { blobs, push, get } = registry({ immutableTags: ['v*'] }, fakeView({ overwrites: true }));
    await blobs('config', 'layer');
    await push('v1', image);
    await push('v1', other);
    expect(Buffer.from((await get('manifests/v1')).body.bytes)).toEqual(bytesOf(other));
  });

  it.each([
    [{ immutableTags: 'v*' }, 'immutableTags must be a list'],
    [{ immutableTags: [1] }, 'immutableTags must be a list'],
    [{ immutableTags: [''] }, 'immutableTags must be a list'],
    [{ mutableTags: [] }, 'mutableTags is no option'],
  ])('is not configured by %j', (settings, message) => {
    expect(() => format.configure?.(settings)).toThrow(message);
  });
});

describe('a deletion', () => {
  it('of a tag leaves the image', async () => {
    const { blobs, push, remove, get, tags } = registry();
    await blobs('config', 'layer');
    await push('1', image);
    await push('2', image);
    expect((await remove('manifests/1')).body.status).toBe(202);
    expect(await tags()).toEqual(['2']);
    await get(`manifests/${digest}`);
    expect((await refusal(remove('manifests/1'))).status).toBe(404);
  });

  it('of an image takes its tags, and the blobs that no other has', async () => {
    const { blobs, push, remove, view, tags } = registry();
    await blobs('config', 'layer', 'own');
    const own = { ...image, layers: [layer, descriptor('own', layer.mediaType)] };
    await push('1', own);
    await push('2', own);
    await push('3', image);
    await remove(`manifests/${digestOf(bytesOf(own))}`);
    expect(await tags()).toEqual(['3']);
    const paths = [...view.entries(name)].map(({ path }) => path);
    expect(paths).toContain(`${name}/blobs/${layer.digest}`);
    expect(paths).not.toContain(`${name}/blobs/${digestOf(Buffer.from('own'))}`);
    await remove(`manifests/${digest}`);
    expect([...view.entries(name)]).toEqual([]);
    expect([...view.names()]).toEqual([]);
  });

  it('of what an index lists is refused until the index is gone', async () => {
    const { blobs, push, remove } = registry();
    await blobs('config', 'layer');
    await push(digest, image);
    await push('all', indexOf([asSubject]));
    expect(await codeOf(remove(`manifests/${digest}`))).toEqual([405, 'UNSUPPORTED']);
    await remove(`manifests/${digestOf(bytesOf(indexOf([asSubject])))}`);
    await remove(`manifests/${digest}`);
  });

  it('of what something is about leaves that', async () => {
    const { blobs, push, remove, referrers } = registry();
    await blobs('config', 'layer');
    await push(digest, image);
    await push('sig', { ...image, subject: asSubject });
    await remove(`manifests/${digest}`);
    expect(await referrers(digest)).toHaveLength(1);
  });

  it('of a blob is refused while an image needs it', async () => {
    const { blobs, push, remove, get } = registry();
    await blobs('config', 'layer', 'spare');
    await push('1', image);
    const { status, errors } = await refusal(remove(`blobs/${layer.digest}`));
    expect([status, errors[0]?.code, errors[0]?.message]).toEqual([
      405,
      'UNSUPPORTED',
      expect.stringContaining(`is a part of ${digest}`),
    ]);
    const spare = digestOf(Buffer.from('spare'));
    expect((await remove(`blobs/${spare}`)).body.status).toBe(202);
    expect((await refusal(get(`blobs/${spare}`))).status).toBe(404);
    expect((await refusal(remove(`blobs/${spare}`))).status).toBe(404);
  });
});

describe('what refers to an image', () => {
  const signature = {
    schemaVersion: 2,
    mediaType: imageManifest,
    artifactType: 'application/vnd.example.sig',
    config,
    layers: [],
    subject: asSubject,
    annotations: { 'org.example': 'x' },
  };

  it('is told with its kind and its annotations', async () => {
    const { blobs, push, referrers } = registry();
    await blobs('config', 'layer');
    expect(await referrers(digest)).toEqual([]);
    const { body } = await push('sig', signature);
    expect(body.headers).toMatchObject({ 'oci-subject': digest });
    const bytes = bytesOf(signature);
    expect(await referrers(digest)).toEqual([
      {
        mediaType: imageManifest,
        digest: digestOf(bytes),
        size: bytes.length,
        artifactType: 'application/vnd.example.sig',
        annotations: { 'org.example': 'x' },
      },
    ]);
  });

  it('is of the kind of its config, if it does not say', async () => {
    const { blobs, push, referrers } = registry();
    await blobs('config', 'layer');
    const { artifactType: _, ...plain } = signature;
    await push('1', plain);
    await push('2', { ...indexOf([]), subject: asSubject });
    await push('3', { ...indexOf([]), artifactType: 'a/b', subject: asSubject });
    const found = await referrers(digest);
    expect(found.map(({ artifactType, mediaType }) => [mediaType, artifactType])).toEqual([
      [imageManifest, config.mediaType],
      [imageIndex, undefined],
      [imageIndex, 'a/b'],
    ]);
    expect(await referrers(digest, '?artifactType=a/b')).toHaveLength(1);
  });
});

describe('the list of images', () => {
  it('has those that something was pushed of, by the name that clients call them', async () => {
    const { request, view } = registry();
    const catalog = async (query = ''): Promise<Performed> => request({ path: `/_catalog${query}` });
    for (const one of ['b', 'a/c', 'a']) {
      await request(blobPush(one, 'config'));
      if (one !== 'b') await request(manifestPush(one, 'x', { ...image, layers: [] }));
    }
    expect([...view.names()]).toEqual(['b', 'a/c', 'a']);
    const all = json<{ repositories: string[] }>((await catalog()).body).repositories;
    expect(all).toHaveLength(2);
    expect(all).toEqual(all.toSorted());
    const page = (await catalog('?n=1')).body;
    expect(json(page)).toEqual({ repositories: all.slice(0, 1) });
    const [, next] = /^<[^>]*_catalog(\?[^>]+)>; rel="next"$/.exec(page.headers?.link ?? '') ?? [];
    const rest = (await catalog(next)).body;
    expect(json(rest)).toEqual({ repositories: all.slice(1) });
    expect(rest.headers).not.toHaveProperty('link');
  });
});

describe('an upload', () => {
  const router = compileRoutes(format.routes);
  const session = 'b6a3d1e0';
  const sha256 = digestOf(Buffer.from('x'));

  function upload(method: string, path: string, headers: Readonly<Record<string, string>> = {}): Upload {
    const found: Intent | undefined = intentOf(router, method, {
      path: `/${name}/blobs/uploads/${path}`,
      headers,
    })?.intent;
    if (found?.kind !== 'upload') throw new Error(`${method} ${path} is no step of an upload`);
    return found;
  }

  const state = (size: number, of: UploadState['state'] = 'open'): UploadState => ({ session, size, state: of });
  const location = `/tools/acme/repo/${name}/blobs/uploads/${session}`;
  const going = (range: string) => ({ location, range, 'docker-upload-uuid': session });

  it.each([
    ['POST', '', 202],
    ['PATCH', session, 202],
    ['GET', session, 204],
  ])('%s says how far it came', (method, path, status) => {
    const { reply } = upload(method, path);
    expect(reply(state(0))).toMatchObject({ status, headers: going('0-0') });
    expect(reply(state(1))).toMatchObject({ status, headers: going('0-0') });
    expect(reply(state(1000))).toMatchObject({ status, headers: going('0-999') });
  });

  it('is finished with where the blob is', () => {
    for (const [method, path] of [
      ['PUT', `${session}?digest=${sha256}`],
      ['PUT', `${session}?digest=${encodeURIComponent(sha256)}`],
      ['POST', `?digest=${sha256}`],
      ['POST', `?mount=${sha256}&from=library/debian`],
    ] as const) {
      expect(upload(method, path).reply(state(1, 'done'))).toMatchObject({
        status: 201,
        headers: { location: `/tools/acme/repo/${name}/blobs/${sha256}`, 'docker-content-digest': sha256 },
      });
    }
  });

  it('is cancelled without a word', () => {
    expect(upload('DELETE', session).reply(state(5, 'cancelled'))).toMatchObject({
      status: 204,
      bytes: Buffer.alloc(0),
    });
  });

  it('that does not go on where it was is told where that is', () => {
    const body = upload('PATCH', session).reply(state(10, 'misplaced'));
    expect(body).toMatchObject({ status: 416, headers: going('0-9') });
    expect(json<RegistryErrors>(body).errors[0]?.code).toBe('BLOB_UPLOAD_INVALID');
  });

  it.each([
    ['0-99', '100', 0],
    ['100-199', '100', 100],
    ['bytes 100-199/*', '100', 100],
    ['5-5', undefined, 5],
  ])('says with Content-Range %s where its bytes begin', (range, length, offset) => {
    const headers = { 'content-range': range, ...(length === undefined ? {} : { 'content-length': length }) };
    expect(upload('PATCH', session, headers).offset).toBe(offset);
    expect(upload('PUT', `${session}?digest=${sha256}`, headers).offset).toBe(offset);
  });

  it.each([
    ['x', '1'],
    ['0-', '1'],
    ['9-5', '1'],
    ['0-99', '99'],
    ['-1-5', '7'],
  ])('with Content-Range %s and %s bytes is refused', (range, length) => {
    const headers = { 'content-range': range, 'content-length': length };
    for (const method of ['PATCH', 'PUT']) {
      const path = `/${name}/blobs/uploads/${session}?digest=${sha256}`;
      const found = intentOf(router, method, { path, headers })?.intent;
      const body = found?.kind === 'answer' && typeof found.body !== 'function' ? found.body : undefined;
      expect(body?.status).toBe(400);
      expect(json<RegistryErrors>(body as Body).errors[0]?.code).toBe('SIZE_INVALID');
    }
  });

  it('takes over a blob by its digest, from a name or from anywhere', () => {
    const { mount } = upload('POST', `?mount=${sha256}&from=acme/other/base`);
    expect(mount).toMatchObject({ from: 'acme/other/base', digest: sha256, path: `${name}/blobs/${sha256}` });
    expect(mount?.at('base')).toBe(`base/blobs/${sha256}`);
    expect(upload('POST', `?mount=${sha256}`).mount).not.toHaveProperty('from');
    expect(upload('POST', '?mount=sha256:x&from=base').mount).toBeUndefined();
  });

  it('is of the name in its address', () => {
    const call: Pick<Call, 'method'> = { method: 'PATCH' };
    expect(upload(call.method, session)).toMatchObject({ name, session, step: 'append' });
  });
});

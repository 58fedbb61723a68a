/**
 * Pulling and discovering content as the OCI distribution specification 1.1 has it: its MUST and SHOULD for a registry that
 * passes on what others have, and every kind of image that its conformance suite pushes and pulls.
 */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { type Descriptor, type FakeOci, mediaTypes } from '../support/fake-oci.ts';
import type { Answer } from '../support/http.ts';
import { blobPath, manifestPath, type OciScene, ociScene } from '../support/oci-scene.ts';

const name = 'conformance/test.repo_1/a--b';
const accept = [mediaTypes.index, mediaTypes.manifest].join(', ');
const exampleType = 'application/vnd.example.artifact.config.v1+json';
const otherType = 'application/vnd.example.artifact.other.v1+json';

/** "Error Codes": below 500 there are no others. */
const errorCodes = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
];

function expectError(answer: Answer, status: number | readonly number[]): void {
  expect([status].flat()).toContain(answer.status);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  const { errors } = answer.json() as { errors: { code: string; message: unknown }[] };
  expect(errors.length).toBeGreaterThan(0);
  for (const { code, message } of errors) {
    expect(code).toMatch(/^[A-Z_]+$/);
    expect(errorCodes).toContain(code);
    expect(message).toEqual(expect.any(String));
  }
}

const plain = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, digest, size });

/** Puts what is written here under a tag; the bytes are as nobody would write them again. */
function put(registry: FakeOci, tag: string, json: object, mediaType: string = mediaTypes.manifest): Descriptor {
  const bytes = Buffer.from(`\n ${JSON.stringify({ schemaVersion: 2, mediaType, ...json }, undefined, '\t')}`);
  return registry.put(name, bytes, mediaType, [tag]);
}

interface Kind {
  readonly kind: string;
  /** Tags a manifest `it`; names the blobs that there are. */
  fill(registry: FakeOci): readonly Descriptor[];
}

function blobsOf(registry: FakeOci, ...texts: readonly string[]): Descriptor[] {
  return texts.map((text) => ({ ...registry.blob(name, Buffer.from(text)), mediaType: mediaTypes.layer }));
}

const kinds: readonly Kind[] = [
  {
    kind: 'an image',
    fill(registry) {
      const image = registry.image(name, { tags: ['it'], layers: [Buffer.from('one'), Buffer.from('two')] });
      return [image.config, ...image.layers];
    },
  },
  {
    kind: 'an image whose layers are not packed',
    fill(registry) {
      const layerType = 'application/vnd.oci.image.layer.v1.tar';
      const image = registry.image(name, { tags: ['it'], layerType });
      return [image.config, ...image.layers];
    },
  },
  {
    kind: 'an image with a manifest as long as one may be',
    fill(registry) {
      const [config, layer] = blobsOf(registry, 'config', 'layer') as [Descriptor, Descriptor];
      put(registry, 'it', { config, layers: [layer], annotations: { long: 'x'.repeat(4 * 1024 * 1024 - 2000) } });
      return [config, layer];
    },
  },
  {
    kind: 'an index',
    fill(registry) {
      const images = ['amd64', 'arm64'].map((seed) => registry.image(name, { seed }));
      registry.index(name, images, ['it']);
      return images.flatMap(({ config, layers }) => [config, ...layers]);
    },
  },
  {
    kind: 'an index of indexes',
    fill(registry) {
      const inner = ['a', 'b'].map((seed) => registry.index(name, [registry.image(name, { seed })]));
      registry.index(name, inner, ['it']);
      return [];
    },
  },
  {
    kind: 'an index of nothing',
    fill(registry) {
      registry.index(name, [], ['it']);
      return [];
    },
  },
  {
    kind: 'an artifact',
    fill(registry) {
      const config = { ...registry.blob(name, Buffer.from('{}')), mediaType: mediaTypes.empty };
      const [layer] = blobsOf(registry, 'artifact') as [Descriptor];
      put(registry, 'it', { artifactType: exampleType, config, layers: [{ ...layer, mediaType: exampleType }] });
      return [config, layer];
    },
  },
  {
    kind: 'an artifact without layers of its own',
    fill(registry) {
      const empty = { ...registry.blob(name, Buffer.from('{}')), mediaType: mediaTypes.empty };
      put(registry, 'it', { artifactType: exampleType, config: empty, layers: [empty] });
      return [empty];
    },
  },
  {
    kind: 'an index of artifacts',
    fill(registry) {
      const artifact = registry.image(name, { artifactType: exampleType });
      put(registry, 'it', { artifactType: exampleType, manifests: [plain(artifact)] }, mediaTypes.index);
      return [];
    },
  },
  {
    kind: 'an image without layers',
    fill(registry) {
      return [registry.image(name, { tags: ['it'], layers: [] }).config];
    },
  },
  {
    kind: 'an image whose descriptors hold their data',
    fill(registry) {
      const [config, layer] = blobsOf(registry, '{}', 'layer') as [Descriptor, Descriptor];
      put(registry, 'it', { config: { ...config, data: Buffer.from('{}').toString('base64') }, layers: [layer] });
      return [config, layer];
    },
  },
  {
    kind: 'an image with layers that must not be distributed',
    fill(registry) {
      const [config] = blobsOf(registry, 'config') as [Descriptor];
      const foreign = {
        mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
        digest: digestOf(Buffer.from('foreign')),
        size: 7,
        urls: ['https://layers.example.com/foreign'],
      };
      put(registry, 'it', { config, layers: [foreign] });
      return [config];
    },
  },
  {
    kind: 'an image with fields that nobody knows',
    fill(registry) {
      const [config, layer] = blobsOf(registry, 'config', 'layer') as [Descriptor, Descriptor];
      const extra = { 'org.example.more': [1, { two: '3' }] };
      put(registry, 'it', { config: { ...config, ...extra }, layers: [{ ...layer, ...extra }], ...extra });
      return [config, layer];
    },
  },
  {
    kind: 'an index of which not everything is there',
    fill(registry) {
      const there = registry.image(name);
      const missing = { mediaType: mediaTypes.manifest, digest: digestOf(Buffer.from('missing')), size: 7 };
      put(registry, 'it', { manifests: [plain(there), missing] }, mediaTypes.index);
      return [there.config];
    },
  },
  {
    kind: 'an image of an algorithm of digests beside sha256',
    fill(registry) {
      const image = registry.image(name, { tags: ['it'], algorithm: 'sha512' });
      return [image.config, ...image.layers];
    },
  },
  {
    kind: 'an image about something that is not there',
    fill(registry) {
      const subject = { mediaType: mediaTypes.manifest, digest: digestOf(Buffer.from('missing')), size: 7 };
      return [registry.image(name, { tags: ['it'], subject, artifactType: exampleType }).config];
    },
  },
];

describe('pulling', () => {
  it.each(kinds)('$kind', async ({ fill }) => {
    const { one, ask, head } = await ociScene();
    const blobs = fill(one);
    const byTag = await ask(manifestPath(name, 'it'), { headers: { accept } });
    expect(byTag.status).toBe(200);
    const digest = String(byTag.headers['docker-content-digest']) as Descriptor['digest'];
    const bytes = one.bytes(digest);
    const { mediaType } = JSON.parse(bytes.toString()) as { mediaType: string };

    for (const reference of ['it', digest]) {
      const path = manifestPath(name, reference);
      const got = await ask(path, { headers: { accept } });
      const asked = await head(path, { headers: { accept } });
      expect(got.body.equals(bytes)).toBe(true);
      expect(asked.body.length).toBe(0);
      for (const { status, headers } of [got, asked]) {
        expect(status).toBe(200);
        expect(headers).toMatchObject({
          'content-type': mediaType,
          'content-length': String(bytes.length),
          'docker-content-digest': digest,
        });
      }
    }
    for (const blob of blobs) {
      const asked = await head(blobPath(name, blob));
      const got = await ask(blobPath(name, blob));
      const expected = one.bytes(blob.digest);
      expect(got.body.equals(expected)).toBe(true);
      expect(asked.body.length).toBe(0);
      for (const { status, headers } of [got, asked]) {
        expect([status, headers['content-length']]).toEqual([200, String(expected.length)]);
        expect(headers['docker-content-digest']).toBe(blob.digest);
      }
    }
  });

  it.each([
    ['a', '1'],
    ['0', 'A'],
    ['a.b/c_d/e__f/g-h/i---j', '_'],
    [name, 'v1.0.0-rc.1_x'],
    [`a/${'b'.repeat(200)}`, 'T'.repeat(128)],
  ])('takes the name %s and the tag %s', async (long, tag) => {
    const { one, ask } = await ociScene();
    const image = one.image(long, { tags: [tag] });
    const got = await ask(manifestPath(long, tag));
    expect([got.status, got.headers['docker-content-digest']]).toEqual([200, image.digest]);
  });

  const manifestRequests = ['', accept, '*/*', mediaTypes.dockerManifest, `${mediaTypes.index};q=0.5`];

  it.each(manifestRequests)('by digest is the same for who accepts %j', async (accepted) => {
    const { one, ask } = await ociScene();
    const image = one.image(name);
    const headers = accepted === '' ? {} : { accept: accepted };
    const got = await ask(manifestPath(name, image.digest), { headers });
    expect([got.status, got.headers['content-type']]).toEqual([200, mediaTypes.manifest]);
    expect(got.body.equals(image.bytes)).toBe(true);
  });

  it('gives the content type no parameters, whatever upstream does', async () => {
    const { one, ask, head } = await ociScene();
    one.image(name, { tags: ['it'] });
    const withCharset = (good: { contentType?: string }) => ({
      ...good,
      contentType: `${good.contentType}; charset=utf-8`,
    });
    one.fail('tag', withCharset);
    one.fail('manifest', withCharset);
    for (const question of [head, ask, head]) {
      expect((await question(manifestPath(name, 'it'))).headers['content-type']).toBe(mediaTypes.manifest);
    }
  });
});

describe('part of a blob', () => {
  const body = Buffer.from(Array.from({ length: 2048 }, (_, at) => (at * 31) & 255));

  it.each([
    ['bytes=500-1499', 206, 500, 1500],
    ['bytes=500-', 206, 500, 2048],
    ['bytes=-500', 206, 1548, 2048],
    ['bytes=2000-5000', 206, 2000, 2048],
    ['bytes=500-0', 200, 0, 2048],
    ['bytes=5000-10000', 416, 0, 0],
  ] as const)('%s is answered with %i', async (range, status, from, to) => {
    const { one, ask } = await ociScene();
    const path = blobPath(name, one.blob(name, body));
    for (let round = 0; round < 2; round++) {
      const part = await ask(path, { headers: { range } });
      expect(part.status).toBe(status);
      if (status === 416) {
        expectError(part, 416);
        expect(part.headers['content-range']).toBe('bytes */2048');
        continue;
      }
      expect(part.body.equals(body.subarray(from, to))).toBe(true);
      expect(part.headers['content-length']).toBe(String(to - from));
      expect(part.headers['content-range']).toBe(status === 206 ? `bytes ${from}-${to - 1}/2048` : undefined);
    }
  });
});

describe('what is not there', () => {
  const unknown = digestOf(Buffer.from('unknown'));

  it.each([
    ['a blob', blobPath(name, { digest: unknown })],
    ['a manifest by digest', manifestPath(name, unknown)],
    ['a manifest by tag', manifestPath(name, 'missing-tag')],
    ['a manifest by what can be no tag', manifestPath(name, '.INVALID_MANIFEST_NAME')],
    ['a manifest by a tag that is too long', manifestPath(name, 'x'.repeat(129))],
    ['a manifest of a name that is not there', manifestPath('nothing/there', 'latest')],
  ])('%s is 404 to GET and to HEAD', async (_what, path) => {
    const { one, ask, head } = await ociScene();
    one.image(name, { tags: ['it'] });
    const asked = await head(path);
    expect([asked.status, asked.body.length]).toEqual([404, 0]);
    expectError(await ask(path), 404);
  });

  it.each([
    ['a digest in the place of a manifest', manifestPath(name, 'sha256:totallywrong')],
    ['a digest in capital letters', manifestPath(name, `sha256:${'A'.repeat(64)}`)],
    ['a digest in the place of a blob', `/${name}/blobs/sha256:totallywrong`],
    ['no digest in the place of a blob', `/${name}/blobs/latest`],
    ['an algorithm that nobody knows', `/${name}/blobs/md5:${'0'.repeat(32)}`],
    ['a name in capital letters', manifestPath('Conformance/Test', 'it')],
    ['a name that ends in a dash', manifestPath('conformance-', 'it')],
  ])('%s is refused in the words of the specification, and asked of nobody', async (_what, path) => {
    const { one, ask } = await ociScene();
    expectError(await ask(path), [400, 404]);
    expect(one.log()).toEqual([]);
  });
});

describe('the tags of a name', () => {
  const tags = ['test0', 'test1', 'test10', 'test2', 'Test', 'v1', '_x'].sort();
  const scene = async (): Promise<OciScene> => {
    const made = await ociScene();
    made.one.image(name, { tags });
    return made;
  };
  const tagsOf = (answer: Answer): string[] => {
    expect(answer.status).toBe(200);
    const list = answer.json() as { name: string; tags: string[] };
    expect(list).toEqual({ name: expect.stringMatching(new RegExp(`(^|/)${name}$`)), tags: expect.any(Array) });
    return list.tags;
  };

  it('come in order', async () => {
    const { ask } = await scene();
    expect(tagsOf(await ask(`/${name}/tags/list`))).toEqual(tags);
  });

  it('may be none', async () => {
    const { one, ask } = await ociScene();
    one.image(name);
    expect(tagsOf(await ask(`/${name}/tags/list`))).toEqual([]);
  });

  it.each([1, 3, 7, 8, 10_000])('come as many as n = %i says, with a link to the rest', async (n) => {
    const { ask } = await scene();
    const page = await ask(`/${name}/tags/list?n=${n}`);
    expect(tagsOf(page)).toEqual(tags.slice(0, n));
    if (n < tags.length) expect(page.headers.link).toMatch(/^<[^>]+>; ?rel="next"$/);
    else expect(page.headers.link).toBeUndefined();
  });

  it('are none for n = 0, and there is no link', async () => {
    const { ask } = await scene();
    const page = await ask(`/${name}/tags/list?n=0`);
    expect([tagsOf(page), page.headers.link]).toEqual([[], undefined]);
  });

  it.each(tags)('begin after last = %s, which may be given without n', async (last) => {
    const { ask } = await scene();
    const rest = tags.slice(tags.indexOf(last) + 1);
    expect(tagsOf(await ask(`/${name}/tags/list?last=${last}`))).toEqual(rest);
    expect(tagsOf(await ask(`/${name}/tags/list?n=2&last=${last}`))).toEqual(rest.slice(0, 2));
  });

  it('begin after a last that is no tag of them, or none any more', async () => {
    const { ask } = await scene();
    expect(tagsOf(await ask(`/${name}/tags/list?last=test11`))).toEqual(['test2', 'v1']);
    expect(tagsOf(await ask(`/${name}/tags/list?last=zzz`))).toEqual([]);
  });

  it('of a name that is not there are 404', async () => {
    const { ask } = await ociScene();
    expectError(await ask('/nothing/there/tags/list'), 404);
  });
});

describe('the referrers of a manifest', () => {
  const listOf = (answer: Answer): Descriptor[] => {
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe(mediaTypes.index);
    const index = answer.json() as { schemaVersion: number; mediaType: string; manifests: Descriptor[] };
    expect(index).toEqual({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: expect.any(Array) });
    return index.manifests;
  };

  function referrersTo(registry: FakeOci, subject: Descriptor): Descriptor[] {
    const empty = { ...registry.blob(name, Buffer.from('{}')), mediaType: mediaTypes.empty };
    const made = [exampleType, otherType, exampleType].map((artifactType, at) => {
      const annotations = { 'org.example.number': String(at) };
      const json = { artifactType, config: empty, layers: [empty], subject: plain(subject), annotations };
      return { ...put(registry, `artifact${at}`, json), artifactType, annotations };
    });
    const annotations = { 'org.example.number': 'index' };
    const index = put(registry, 'index', { manifests: [], subject: plain(subject), annotations }, mediaTypes.index);
    // Without an artifact type it is that of the config; an index has none.
    const image = registry.image(name, { seed: 'config', subject });
    return [...made, { ...index, annotations }, { ...plain(image), artifactType: mediaTypes.config }];
  }

  const fixtures: readonly (readonly [string, (registry: FakeOci) => Descriptor])[] = [
    ['an image', (registry) => registry.image(name, { tags: ['it'] })],
    ['an index', (registry) => registry.index(name, [], ['it'])],
    [
      'something that is not there',
      () => ({ mediaType: mediaTypes.manifest, digest: digestOf(Buffer.from('x')), size: 1 }),
    ],
  ];

  it.each(fixtures)('that is %s are listed, and can be asked for by type', async (_what, make) => {
    const { one, ask } = await ociScene();
    const subject = make(one);
    const all = referrersTo(one, subject);
    const path = `/${name}/referrers/${subject.digest}`;
    const list = await ask(path);
    expect(listOf(list)).toHaveLength(all.length);
    expect(listOf(list)).toEqual(expect.arrayContaining(all));
    expect(list.headers['oci-filters-applied']).toBeUndefined();

    for (const type of [exampleType, otherType, mediaTypes.config, 'application/vnd.nobody.has']) {
      const some = await ask(`${path}?artifactType=${encodeURIComponent(type)}`);
      const expected = all.filter(({ artifactType }) => artifactType === type);
      expect(some.headers['oci-filters-applied']).toBe('artifactType');
      expect(listOf(some)).toHaveLength(expected.length);
      expect(listOf(some)).toEqual(expect.arrayContaining(expected));
    }
    for (const { digest } of all) expect((await ask(manifestPath(name, digest))).status).toBe(200);
  });

  it('are an empty list where there are none, whatever the name', async () => {
    const { one, ask } = await ociScene();
    const image = one.image(name, { tags: ['it'] });
    const zero = `sha256:${'0'.repeat(64)}`;
    for (const path of [
      `/${name}/referrers/${image.digest}`,
      `/${name}/referrers/${zero}`,
      `/nothing/there/referrers/${zero}`,
    ]) {
      expect(listOf(await ask(path))).toEqual([]);
    }
  });

  it('of what is no digest are refused with 400', async () => {
    const { one, ask } = await ociScene();
    for (const text of ['latest', 'sha256:short', `sha256:${'G'.repeat(64)}`, 'sha256']) {
      expectError(await ask(`/${name}/referrers/${text}`), 400);
    }
    expect(one.log()).toEqual([]);
  });

  it('are found under the tag that stands in for them, where upstream has no list', async () => {
    const { one, ask } = await ociScene({ registries: [{ referrers: false }] });
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const subject = one.image(name, { seed: algorithm, algorithm });
      const referrer = one.image(name, { seed: `${algorithm} signed`, subject, artifactType: exampleType });
      const listed = { ...plain(referrer), artifactType: exampleType };
      // "Referrers Tag Schema": at most 32 characters of the algorithm and 64 of what is encoded.
      const [, encoded = ''] = subject.digest.split(':');
      put(one, `${algorithm}-${encoded.slice(0, 64)}`, { manifests: [listed] }, mediaTypes.index);
      expect(listOf(await ask(`/${name}/referrers/${subject.digest}`))).toEqual([listed]);
    }
  });
});

describe('the registry itself', () => {
  it.each(['/v2/', '/v2/acme/hub/', '/acme/hub/v2/'])('answers %s with 401 or 200', async (path) => {
    const { larder } = await ociScene();
    const refused = await larder.ask(path);
    expectError(refused, 401);
    expect(refused.headers['www-authenticate']).toMatch(/^Bearer realm="http:\/\/[^"]+",service="[^"]+"/);
    const [, realm = ''] = /realm="([^"]+)"/.exec(String(refused.headers['www-authenticate'])) ?? [];
    const { token } = (await larder.ask(new URL(realm).pathname)).json() as { token: string };
    expect((await larder.ask(path, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  });

  it('says which registry it answered for, when it was asked for one', async () => {
    const { one, ask } = await ociScene({ upstream: { namespaces: ['docker.io'] } });
    const image = one.image(name, { tags: ['it'] });
    const paths = [manifestPath(name, 'it'), manifestPath(name, image.digest), blobPath(name, image.config)];
    for (const path of [...paths, `/${name}/tags/list`, `/${name}/referrers/${image.digest}`]) {
      for (const method of ['HEAD', 'GET']) {
        const { status, headers } = await ask(`${path}?ns=docker.io`, { method });
        expect([path, status, headers['oci-namespace']]).toEqual([path, 200, 'docker.io']);
      }
    }
  });

  it('warns in the only form that the specification allows', async () => {
    const { one, ask, settled, pass } = await ociScene();
    one.image(name, { tags: ['it'] });
    await ask(manifestPath(name, 'it'));
    await settled(manifestPath(name, 'it'));
    await one.stop();
    pass(24 * 60 * 60_000);
    expect((await ask(manifestPath(name, 'it'))).headers.warning).toMatch(/^299 - "[^"]{5,200}"$/);
  });

  const digest = digestOf(Buffer.from('x'));
  it.each([
    ['POST', `/${name}/blobs/uploads/`],
    ['POST', `/${name}/blobs/uploads/?mount=${digest}&from=other/name`],
    ['POST', `/${name}/blobs/uploads/?digest=${digest}`],
    ['PUT', manifestPath(name, 'it')],
    ['PUT', manifestPath(name, digest)],
    ['DELETE', manifestPath(name, 'it')],
    ['DELETE', manifestPath(name, digest)],
    ['DELETE', blobPath(name, { digest })],
  ])('takes nothing in and removes nothing: %s %s is 405', async (method, path) => {
    const { one, ask } = await ociScene();
    const image = one.image(name, { tags: ['it'] });
    const body = method === 'PUT' ? image.bytes : '';
    expectError(await ask(path, { method, body, headers: { 'content-type': mediaTypes.manifest } }), 405);
    expect(one.log()).toEqual([]);
    expect((await ask(manifestPath(name, 'it'))).headers['docker-content-digest']).toBe(image.digest);
  });
});

/**
 * Pushing, discovering and managing content as the OCI distribution specification 1.1 has it: its MUST and SHOULD, in the
 * order of its own conformance suite.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import type { Digest } from '../../src/core/format.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Answer, type AskOptions, ask } from '../support/http.ts';

let server: HostedServer;
let authorization: string;

beforeAll(async () => {
  server = await startHosted({ format: 'oci' });
  authorization = `Bearer ${await server.token('alice')}`;
});

afterAll(() => server.close());

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';

/** Below `/v2/acme/packages`, or at an address that an answer named. */
function send(path: string, options: AskOptions = {}): Promise<Answer> {
  const at = path.startsWith('/v2/') ? path : `/v2/acme/packages${path}`;
  return ask(`${server.root}${at}`, { ...options, headers: { authorization, ...options.headers } });
}

let names = 0;
/** Each test has an image of its own. */
const freshName = (): string => `conformance/test.repo_${++names}/a--b`;

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

function expectError(answer: Answer, status: number, code?: string): void {
  expect([answer.status, answer.text()]).toEqual([status, expect.any(String)]);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  const { errors } = answer.json() as { errors: { code: string; message: unknown }[] };
  expect(errors.length).toBeGreaterThan(0);
  for (const one of errors) {
    expect(errorCodes).toContain(one.code);
    expect(one.message).toEqual(expect.any(String));
  }
  if (code !== undefined) expect(errors[0]?.code).toBe(code);
}

function expectStatus(answer: Answer, status: number): Answer {
  expect([answer.status, answer.text()]).toEqual([status, expect.any(String)]);
  return answer;
}

/** Host-relative, so that it is right behind every reverse proxy. */
function locationOf(answer: Answer): string {
  const { location = '' } = answer.headers;
  expect(location).toMatch(/^\/v2\/acme\/packages\//);
  return location;
}

const withDigest = (location: string, digest: string): string =>
  `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`;

async function begin(name: string, query = ''): Promise<string> {
  const answer = expectStatus(await send(`/${name}/blobs/uploads/${query}`, { method: 'POST' }), 202);
  expect(answer.headers.range).toBe('0-0');
  expect(answer.headers['docker-upload-uuid']).toMatch(/^\S+$/);
  return locationOf(answer);
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

async function blob(name: string, bytes: Buffer, mediaType = 'application/octet-stream'): Promise<Descriptor> {
  const digest = digestOf(bytes);
  const location = withDigest(await begin(name), digest);
  expectStatus(await send(location, { method: 'PUT', body: bytes }), 201);
  return { mediaType, digest, size: bytes.length };
}

interface Pushed extends Descriptor {
  readonly bytes: Buffer;
  readonly answer: Answer;
}

async function push(name: string, reference: string | undefined, json: object): Promise<Pushed> {
  const { mediaType } = json as { mediaType: string };
  const bytes = Buffer.from(JSON.stringify(json, undefined, 2));
  const digest = digestOf(bytes);
  const answer = await send(`/${name}/manifests/${reference ?? digest}`, {
    method: 'PUT',
    headers: { 'content-type': mediaType },
    body: bytes,
  });
  expectStatus(answer, 201);
  return { mediaType, digest, size: bytes.length, bytes, answer };
}

const emptyType = 'application/vnd.oci.empty.v1+json';
const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';

async function image(name: string, reference?: string, mark = 'layer', more: object = {}): Promise<Pushed> {
  const config = await blob(name, Buffer.from(`{"mark":"${mark}"}`), configType);
  const layer = await blob(name, Buffer.from(mark.repeat(300)), layerType);
  return push(name, reference, { schemaVersion: 2, mediaType: manifestType, config, layers: [layer], ...more });
}

const plain = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, digest, size });

const bytes = Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * 31) & 255));
const digest = digestOf(bytes);

async function expectBlob(name: string, expected = bytes, called: string = digestOf(expected)): Promise<void> {
  const path = `/${name}/blobs/${called}`;
  const head = expectStatus(await send(path, { method: 'HEAD' }), 200);
  expect(head.headers['content-length']).toBe(String(expected.length));
  expect(head.headers['docker-content-digest']).toBe(called);
  const got = expectStatus(await send(path), 200);
  expect(got.body.equals(expected)).toBe(true);
}

describe('pushing a blob', () => {
  it('with POST then PUT', async () => {
    const name = freshName();
    const location = withDigest(await begin(name), digest);
    const answer = expectStatus(await send(location, { method: 'PUT', body: bytes }), 201);
    expect(locationOf(answer)).toBe(`/v2/acme/packages/${name}/blobs/${digest}`);
    expect(answer.headers['docker-content-digest']).toBe(digest);
    await expectBlob(name);
  });

  it('with a single POST', async () => {
    const name = freshName();
    const path = withDigest(`/${name}/blobs/uploads/`, digest);
    const answer = expectStatus(await send(path, { method: 'POST', body: bytes }), 201);
    expect(locationOf(answer)).toBe(`/v2/acme/packages/${name}/blobs/${digest}`);
    await expectBlob(name);
  });

  it('as one stream of unknown length', async () => {
    const name = freshName();
    const location = await begin(name);
    const headers = { 'transfer-encoding': 'chunked' };
    const patched = expectStatus(await send(location, { method: 'PATCH', headers, body: bytes }), 202);
    expect(patched.headers.range).toBe('0-4999');
    expectStatus(await send(withDigest(locationOf(patched), digest), { method: 'PUT' }), 201);
    await expectBlob(name);
  });

  it.each([[1], [2]])('in chunks, the last of which comes with the PUT or before it', async (patches) => {
    const name = freshName();
    let location = await begin(name);
    const cuts = patches === 2 ? [0, 2000, 5000] : [0, 2000];
    for (let at = 0; at + 1 < cuts.length; at++) {
      const [from = 0, to = 0] = cuts.slice(at);
      const headers = { 'content-range': `${from}-${to - 1}`, 'content-type': 'application/octet-stream' };
      const answer = await send(location, { method: 'PATCH', headers, body: bytes.subarray(from, to) });
      expectStatus(answer, 202);
      expect(answer.headers.range).toBe(`0-${to - 1}`);
      location = locationOf(answer);
      const status = expectStatus(await send(location), 204);
      expect([status.headers.range, locationOf(status), status.body.length]).toEqual([`0-${to - 1}`, location, 0]);
    }
    const rest = bytes.subarray(cuts.at(-1));
    const headers = rest.length > 0 ? { 'content-range': `${cuts.at(-1)}-4999` } : {};
    expectStatus(await send(withDigest(location, digest), { method: 'PUT', headers, body: rest }), 201);
    await expectBlob(name);
  });

  it('out of order is 416, and can be gone on with', async () => {
    const name = freshName();
    const location = await begin(name);
    const chunk = (from: number, to: number): Promise<Answer> =>
      send(location, {
        method: 'PATCH',
        headers: { 'content-range': `${from}-${to - 1}` },
        body: bytes.subarray(from, to),
      });
    const early = await chunk(2000, 5000);
    expectError(early, 416, 'BLOB_UPLOAD_INVALID');
    expect([early.headers.range, locationOf(early)]).toEqual(['0-0', location]);
    expectStatus(await chunk(0, 2000), 202);
    expectError(await chunk(0, 2000), 416);
    expectStatus(await chunk(2000, 5000), 202);
    const headers = { 'content-range': '4000-4999' };
    const again = { method: 'PUT', headers, body: bytes.subarray(4000) };
    expectError(await send(withDigest(location, digest), again), 416);
    expectStatus(await send(withDigest(location, digest), { method: 'PUT' }), 201);
    await expectBlob(name);
  });

  it('of nothing, and the one that stands for nothing', async () => {
    const name = freshName();
    await blob(name, Buffer.alloc(0));
    await blob(name, Buffer.from('{}'));
    await expectBlob(name, Buffer.alloc(0));
  });

  it('with a digest of sha512', async () => {
    const name = freshName();
    const long = digestOf(bytes, 'sha512');
    const location = await begin(name, '?digest-algorithm=sha512');
    expectStatus(await send(location, { method: 'PATCH', body: bytes }), 202);
    expectStatus(await send(withDigest(location, long), { method: 'PUT' }), 201);
    await expectBlob(name, bytes, long);
  });

  it('of other bytes than the digest says is 400, and the session is over', async () => {
    const name = freshName();
    const location = await begin(name);
    const wrong = digestOf(Buffer.from('other'));
    expectError(await send(withDigest(location, wrong), { method: 'PUT', body: bytes }), 400, 'DIGEST_INVALID');
    expectError(await send(location), 404, 'BLOB_UPLOAD_UNKNOWN');
    const whole = withDigest(`/${name}/blobs/uploads/`, wrong);
    expectError(await send(whole, { method: 'POST', body: bytes }), 400, 'DIGEST_INVALID');
    for (const one of [wrong, digest]) expectStatus(await send(`/${name}/blobs/${one}`), 404);
  });

  it.each(['', 'sha256:x', `md5:${'0'.repeat(32)}`])('with the digest %j is 400, and goes on', async (bad) => {
    const name = freshName();
    const location = await begin(name);
    expectError(await send(withDigest(location, bad), { method: 'PUT', body: bytes }), 400, 'DIGEST_INVALID');
    expectStatus(await send(withDigest(location, digest), { method: 'PUT', body: bytes }), 201);
  });

  it('again changes nothing', async () => {
    const name = freshName();
    await blob(name, bytes);
    await blob(name, bytes);
    await expectBlob(name);
  });

  it('at the same time as somebody else', async () => {
    const name = freshName();
    await Promise.all([blob(name, bytes), blob(name, bytes), blob(name, bytes), blob(freshName(), bytes)]);
    await expectBlob(name);
  });

  it('can be given up', async () => {
    const name = freshName();
    const location = await begin(name);
    expectStatus(await send(location, { method: 'PATCH', body: bytes }), 202);
    const cancelled = expectStatus(await send(location, { method: 'DELETE' }), 204);
    expect([cancelled.body.length, cancelled.headers['content-length']]).toEqual([0, undefined]);
    expectError(await send(location), 404, 'BLOB_UPLOAD_UNKNOWN');
    expectError(await send(location, { method: 'DELETE' }), 404, 'BLOB_UPLOAD_UNKNOWN');
    expectError(await send(location, { method: 'PATCH', body: bytes }), 404, 'BLOB_UPLOAD_UNKNOWN');
    expectError(await send(withDigest(location, digest), { method: 'PUT' }), 404, 'BLOB_UPLOAD_UNKNOWN');
  });

  it('into a session that never was is 404', async () => {
    for (const session of ['x', crypto.randomUUID()]) {
      const path = `/${freshName()}/blobs/uploads/${session}`;
      expectError(await send(path), 404, 'BLOB_UPLOAD_UNKNOWN');
      expectError(await send(path, { method: 'PATCH', body: bytes }), 404, 'BLOB_UPLOAD_UNKNOWN');
    }
  });

  it('of a name that can be none is 400', async () => {
    expectError(await send('/Upper/blobs/uploads/', { method: 'POST' }), 400, 'NAME_INVALID');
  });
});

describe('mounting a blob', () => {
  it('that another image has', async () => {
    const [from, name] = [freshName(), freshName()];
    await blob(from, bytes);
    const query = `?mount=${digest}&from=${encodeURIComponent(`acme/packages/${from}`)}`;
    const answer = expectStatus(await send(`/${name}/blobs/uploads/${query}`, { method: 'POST' }), 201);
    expect(locationOf(answer)).toBe(`/v2/acme/packages/${name}/blobs/${digest}`);
    expect(answer.headers['docker-content-digest']).toBe(digest);
    await expectBlob(name);
  });

  it('by its name in the repository', async () => {
    const [from, name] = [freshName(), freshName()];
    await blob(from, bytes);
    const query = `?mount=${digest}&from=${from}`;
    expectStatus(await send(`/${name}/blobs/uploads/${query}`, { method: 'POST' }), 201);
    await expectBlob(name);
  });

  it('from anywhere', async () => {
    const [from, name] = [freshName(), freshName()];
    const own = Buffer.from(`of ${from} alone`);
    await blob(from, own);
    expectStatus(await send(`/${name}/blobs/uploads/?mount=${digestOf(own)}`, { method: 'POST' }), 201);
    await expectBlob(name, own);
  });

  it('that is not there begins an upload', async () => {
    const name = freshName();
    const own = Buffer.from(`of ${name} alone`);
    for (const from of ['nobody/has/this', 'acme/other/app', name]) {
      const location = await begin(name, `?mount=${digestOf(own)}&from=${from}`);
      expectStatus(await send(location, { method: 'DELETE' }), 204);
    }
    const location = withDigest(await begin(name, '?mount=nonsense&from=x'), digestOf(own));
    expectStatus(await send(location, { method: 'PUT', body: own }), 201);
    await expectBlob(name, own);
  });
});

describe('pushing a manifest', () => {
  it('by tag and by digest', async () => {
    const name = freshName();
    const byTag = await image(name, 'v1.0.0-rc.1_x');
    expect(byTag.answer.headers['docker-content-digest']).toBe(byTag.digest);
    expect(locationOf(byTag.answer)).toBe(`/v2/acme/packages/${name}/manifests/v1.0.0-rc.1_x`);
    const byDigest = await image(name, undefined, 'second');
    expect(locationOf(byDigest.answer)).toBe(`/v2/acme/packages/${name}/manifests/${byDigest.digest}`);
    for (const [reference, pushed] of [
      ['v1.0.0-rc.1_x', byTag],
      [byTag.digest, byTag],
      [byDigest.digest, byDigest],
    ] as const) {
      for (const method of ['GET', 'HEAD']) {
        const answer = expectStatus(await send(`/${name}/manifests/${reference}`, { method }), 200);
        expect(answer.headers).toMatchObject({
          'content-type': manifestType,
          'content-length': String(pushed.size),
          'docker-content-digest': pushed.digest,
        });
        if (method === 'GET') expect(answer.body.equals(pushed.bytes)).toBe(true);
      }
    }
  });

  it('of every kind', async () => {
    const name = freshName();
    const empty = await blob(name, Buffer.from('{}'), emptyType);
    const odd = await blob(name, Buffer.from('odd'), 'application/vnd.example.odd');
    const common = { schemaVersion: 2, mediaType: manifestType };
    const artifactType = 'application/vnd.example+type';
    const kinds: Record<string, object> = {
      'no-layers': { ...common, config: empty, layers: [] },
      'odd-config': { ...common, config: odd, layers: [odd] },
      artifact: { ...common, artifactType, config: empty, layers: [empty] },
      annotated: { ...common, config: empty, layers: [empty], annotations: { 'org.example': 'x' } },
      'unknown-fields': { ...common, config: { ...empty, extra: [1] }, layers: [empty], 'org.example.more': { a: 1 } },
      'data-inside': { ...common, config: { ...empty, data: 'e30=' }, layers: [empty] },
    };
    for (const [tag, json] of Object.entries(kinds)) {
      const { bytes: sent } = await push(name, tag, json);
      expect((await send(`/${name}/manifests/${tag}`)).body.equals(sent)).toBe(true);
    }
    const children = await Promise.all([image(name, undefined, 'amd64'), image(name, undefined, 'arm64')]);
    const index = await push(name, 'index', { schemaVersion: 2, mediaType: indexType, manifests: children.map(plain) });
    await push(name, 'nested', { schemaVersion: 2, mediaType: indexType, manifests: [plain(index)] });
    await push(name, 'nothing', { schemaVersion: 2, mediaType: indexType, manifests: [] });
  });

  it('with more tags', async () => {
    const name = freshName();
    const first = await image(name, 'first');
    const answer = await send(`/${name}/manifests/${first.digest}?tag=a&tag=b`, {
      method: 'PUT',
      headers: { 'content-type': manifestType },
      body: first.bytes,
    });
    expectStatus(answer, 201);
    expect(answer.headers['oci-tag']).toBe('a, b');
    for (const tag of ['first', 'a', 'b']) {
      expect((await send(`/${name}/manifests/${tag}`)).headers['docker-content-digest']).toBe(first.digest);
    }
  });

  it('whose blobs are missing is 400, with all that are', async () => {
    const name = freshName();
    const config = await blob(name, Buffer.from('config'), configType);
    const missing = ['one', 'two'].map((text) => ({
      mediaType: layerType,
      digest: digestOf(Buffer.from(text)),
      size: 3,
    }));
    const answer = await send(`/${name}/manifests/x`, {
      method: 'PUT',
      headers: { 'content-type': manifestType },
      body: JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers: missing }),
    });
    expectError(answer, 400, 'MANIFEST_BLOB_UNKNOWN');
    const { errors } = answer.json() as { errors: { detail: { digest: string } }[] };
    expect(errors.map(({ detail }) => detail.digest)).toEqual(missing.map(({ digest: one }) => one));
    expectStatus(await send(`/${name}/manifests/x`), 404);
  });

  it('that is none is 400', async () => {
    const name = freshName();
    const { digest: other } = await image(name);
    const put = (reference: string, body: string | Buffer, type = manifestType): Promise<Answer> =>
      send(`/${name}/manifests/${reference}`, { method: 'PUT', headers: { 'content-type': type }, body });
    expectError(await put('x', 'blah blah'), 400, 'MANIFEST_INVALID');
    expectError(await put('x', '{"schemaVersion":2}'), 400, 'MANIFEST_INVALID');
    expectError(await put('.x', '{}'), 400, 'MANIFEST_INVALID');
    expectError(await put('sha256:x', '{}'), 400, 'DIGEST_INVALID');
    const index = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [] });
    expectError(await put(other, index, indexType), 400, 'DIGEST_INVALID');
    expectError(await put('x', index, manifestType), 400, 'MANIFEST_INVALID');
    const long = Buffer.alloc(4 * 1024 * 1024 + 1, ' ');
    expectError(await put('x', long), 413, 'SIZE_INVALID');
  });
});

describe('the tags of an image', () => {
  it('come in order, in pages', async () => {
    const name = freshName();
    expectError(await send(`/${name}/tags/list`), 404, 'NAME_UNKNOWN');
    const { digest: pushed, bytes: sent } = await image(name);
    const list = async (query = ''): Promise<[readonly string[], string | undefined]> => {
      const answer = expectStatus(await send(`/${name}/tags/list${query}`), 200);
      return [(answer.json() as { tags: string[] }).tags, answer.headers.link as string | undefined];
    };
    expect(await list()).toEqual([[], undefined]);
    const tags = ['test1', 'Test', 'test0', 'test10', '_x', 'v1'];
    const query = tags.map((tag) => `tag=${tag}`).join('&');
    const headers = { 'content-type': manifestType };
    expectStatus(await send(`/${name}/manifests/${pushed}?${query}`, { method: 'PUT', headers, body: sent }), 201);
    const sorted = tags.toSorted();
    expect(await list()).toEqual([sorted, undefined]);
    const [first, link] = await list('?n=4');
    expect(first).toEqual(sorted.slice(0, 4));
    const [, next = ''] = /^<([^>]+)>; ?rel="next"$/.exec(link ?? '') ?? [];
    const rest = expectStatus(await send(next), 200);
    expect((rest.json() as { tags: string[] }).tags).toEqual(sorted.slice(4));
    expect(rest.headers.link).toBeUndefined();
    expect(await list('?n=0')).toEqual([[], undefined]);
    expect(await list(`?n=2&last=${sorted[2]}`)).toEqual([sorted.slice(3, 5), expect.any(String)]);
    const whole = (await send(`/${name}/tags/list`)).json() as { name: string };
    expect(whole.name).toBe(`acme/packages/${name}`);
  });

  it('are those of the moment', async () => {
    const name = freshName();
    const first = await image(name, 'latest', 'first');
    const second = await image(name, 'latest', 'second');
    expect((await send(`/${name}/manifests/latest`)).headers['docker-content-digest']).toBe(second.digest);
    expectStatus(await send(`/${name}/manifests/${first.digest}`), 200);
    expect((await send(`/${name}/tags/list`)).json()).toMatchObject({ tags: ['latest'] });
  });
});

describe('what refers to an image', () => {
  const referrers = async (name: string, subject: string, query = ''): Promise<readonly Descriptor[]> => {
    const answer = expectStatus(await send(`/${name}/referrers/${subject}${query}`), 200);
    expect(answer.headers['content-type']).toBe(indexType);
    expect(answer.headers['oci-filters-applied']).toBe(query === '' ? undefined : 'artifactType');
    const index = answer.json() as { schemaVersion: number; mediaType: string; manifests: Descriptor[] };
    expect([index.schemaVersion, index.mediaType]).toEqual([2, indexType]);
    return index.manifests;
  };

  it('is nothing, of what is not there', async () => {
    expect(await referrers(freshName(), `sha256:${'0'.repeat(64)}`)).toEqual([]);
    expectError(await send(`/${freshName()}/referrers/latest`), 400, 'DIGEST_INVALID');
  });

  it('is told with its type and annotations, filtered if asked', async () => {
    const name = freshName();
    const subject = await image(name, 'subject');
    const empty = await blob(name, Buffer.from('{}'), emptyType);
    const config = await blob(name, Buffer.from('config'), 'application/vnd.example.config');
    const common = { schemaVersion: 2, mediaType: manifestType, subject: plain(subject), layers: [empty] };
    const signature = await push(name, undefined, {
      ...common,
      artifactType: 'application/vnd.example.sig',
      config: empty,
      annotations: { 'org.example': 'signed' },
    });
    const sbom = await push(name, 'sbom', { ...common, config });
    const index = await push(name, undefined, {
      schemaVersion: 2,
      mediaType: indexType,
      manifests: [],
      artifactType: 'application/vnd.example.sig',
      subject: plain(subject),
    });
    for (const { answer } of [signature, sbom, index]) expect(answer.headers['oci-subject']).toBe(subject.digest);
    expect(subject.answer.headers['oci-subject']).toBeUndefined();
    const signed = { artifactType: 'application/vnd.example.sig' };
    expect(await referrers(name, subject.digest)).toEqual([
      { ...plain(signature), ...signed, annotations: { 'org.example': 'signed' } },
      { ...plain(sbom), artifactType: 'application/vnd.example.config' },
      { ...plain(index), ...signed },
    ]);
    const query = `?artifactType=${encodeURIComponent(signed.artifactType)}`;
    expect((await referrers(name, subject.digest, query)).map((one) => one.digest)).toEqual([
      signature.digest,
      index.digest,
    ]);
    expect(await referrers(name, subject.digest, '?artifactType=none')).toEqual([]);
    expectStatus(await send(`/${name}/manifests/${signature.digest}`, { method: 'DELETE' }), 202);
    expect(await referrers(name, subject.digest)).toHaveLength(2);
  });

  it('may come before it', async () => {
    const name = freshName();
    const empty = await blob(name, Buffer.from('{}'), emptyType);
    const subject = { mediaType: manifestType, digest: digestOf(Buffer.from('later')), size: 5 };
    await push(name, undefined, { schemaVersion: 2, mediaType: manifestType, config: empty, layers: [], subject });
    expect(await referrers(name, subject.digest)).toHaveLength(1);
  });
});

describe('deleting', () => {
  it('a tag leaves the manifest', async () => {
    const name = freshName();
    const { digest: pushed } = await image(name, 'a');
    await image(name, 'b');
    expectStatus(await send(`/${name}/manifests/a`, { method: 'DELETE' }), 202);
    expectError(await send(`/${name}/manifests/a`), 404, 'MANIFEST_UNKNOWN');
    expectStatus(await send(`/${name}/manifests/${pushed}`), 200);
    expect((await send(`/${name}/tags/list`)).json()).toMatchObject({ tags: ['b'] });
    expectError(await send(`/${name}/manifests/a`, { method: 'DELETE' }), 404, 'MANIFEST_UNKNOWN');
  });

  it('a manifest takes its tags and its blobs', async () => {
    const name = freshName();
    const { digest: pushed, bytes: sent } = await image(name, 'a');
    const { layers } = JSON.parse(sent.toString()) as { layers: [Descriptor] };
    expectStatus(await send(`/${name}/manifests/${pushed}`, { method: 'DELETE' }), 202);
    for (const reference of ['a', pushed]) {
      expectError(await send(`/${name}/manifests/${reference}`), 404, 'MANIFEST_UNKNOWN');
    }
    expectError(await send(`/${name}/blobs/${layers[0].digest}`), 404, 'BLOB_UNKNOWN');
    expectError(await send(`/${name}/manifests/${pushed}`, { method: 'DELETE' }), 404, 'MANIFEST_UNKNOWN');
    const again = await image(name, 'a');
    expect(again.digest).toBe(pushed);
    await expectBlob(name, Buffer.from('layer'.repeat(300)));
  });

  it('a blob', async () => {
    const name = freshName();
    await blob(name, bytes);
    expectStatus(await send(`/${name}/blobs/${digest}`, { method: 'DELETE' }), 202);
    expectError(await send(`/${name}/blobs/${digest}`), 404, 'BLOB_UNKNOWN');
    expectError(await send(`/${name}/blobs/${digest}`, { method: 'DELETE' }), 404, 'BLOB_UNKNOWN');
    await blob(name, bytes);
    await expectBlob(name);
  });

  it('a blob that an image needs is 405', async () => {
    const name = freshName();
    const { bytes: sent } = await image(name, 'a');
    const { config } = JSON.parse(sent.toString()) as { config: Descriptor };
    const answer = await send(`/${name}/blobs/${config.digest}`, { method: 'DELETE' });
    expectError(answer, 405, 'UNSUPPORTED');
    expect(answer.headers.allow).toBe('GET, HEAD');
  });
});

/** The registry that stands in for Docker Hub does what Docker Hub does, and every wrong it is told to do. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, ask } from '../support/http.ts';
import { contentOf, type Descriptor, digestOf, type Images, mediaTypes, smallImages } from '../support/oci-images.ts';
import { type OciRequestKind, type OciUpstream, startOciUpstream } from '../support/oci-upstream.ts';
import { eventually } from '../support/wait.ts';
import { missingPrograms } from './image-clients.ts';

const reason = missingPrograms('docker-registry', 'umoci', 'busybox');

describe.skipIf(reason)(`a registry like Docker Hub${reason ? ` (${reason})` : ''}`, () => {
  let images: Images;
  let upstream: OciUpstream;
  let blob: Descriptor;

  beforeAll(async () => {
    images = await smallImages();
    upstream = await startOciUpstream({ credentials: { username: 'u', password: 'p' }, tokenLifeSeconds: 60 });
    await upstream.push(images['library/pair']);
    await upstream.push(images['acme/zstd']);
    const content = await contentOf(images['library/pair'], images['library/pair'].tags[1] as Descriptor);
    blob = content.blobs.find(({ size }) => size > 500_000) as Descriptor;
  });

  afterEach(() => upstream?.heal());
  afterAll(() => upstream?.close());

  async function tokenFor(name: string): Promise<string> {
    const scope = encodeURIComponent(`repository:${name}:pull`);
    const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`;
    const answer = await ask(`${upstream.tokenUrl}/token?service=registry.test&scope=${scope}`, {
      headers: { authorization },
    });
    return (answer.json() as { token: string }).token;
  }

  async function read(path: string, method = 'GET', headers: Record<string, string> = {}): Promise<Answer> {
    const authorization = `Bearer ${await tokenFor('library/pair')}`;
    const accept = mediaTypes.index;
    return await ask(`${upstream.url}${path}`, { method, headers: { authorization, accept, ...headers } });
  }

  const tag = '/v2/library/pair/manifests/1';
  const blobPath = (): string => `/v2/library/pair/blobs/${blob.digest}`;

  test('challenges for a name, and takes a token for that name alone', async () => {
    const refused = await ask(`${upstream.url}${tag}`);
    expect(refused.status).toBe(401);
    expect(refused.headers['www-authenticate']).toBe(
      `Bearer realm="${upstream.tokenUrl}/token",service="registry.test",scope="repository:library/pair:pull"`,
    );
    expect((await read(tag)).status).toBe(200);
    const other = await read('/v2/acme/zstd/manifests/1');
    expect([other.status, other.headers['www-authenticate']]).toEqual([
      401,
      expect.stringContaining('scope="repository:acme/zstd:pull",error="invalid_token"'),
    ]);
    const token = await tokenFor('library/pair');
    upstream.revokeTokens();
    const revoked = await ask(`${upstream.url}${tag}`, { headers: { authorization: `Bearer ${token}` } });
    expect(revoked.status).toBe(401);
  });

  test('hands out no token for wrong credentials', async () => {
    const answer = await ask(`${upstream.tokenUrl}/token?service=registry.test&scope=repository:library/pair:pull`);
    expect(answer.status).toBe(401);
  });

  test('redirects blobs to where credentials are an error', async () => {
    const redirect = await read(blobPath());
    expect(redirect.status).toBe(307);
    const location = String(redirect.headers.location);
    expect(upstream.hosts).toContain(new URL(location).host);
    const bytes = await ask(location);
    expect([bytes.status, digestOf(bytes.body)]).toEqual([200, blob.digest]);
    const part = await ask(location, { headers: { range: 'bytes=10-19' } });
    expect([part.status, part.body.equals(bytes.body.subarray(10, 20))]).toEqual([206, true]);
    expect((await ask(location, { headers: { authorization: 'Bearer x' } })).status).toBe(400);
  });

  test('counts GET of manifests, and refuses them when the limit is reached', async () => {
    upstream.forget();
    const head = await read(tag, 'HEAD');
    expect(head.headers['ratelimit-limit']).toBe('100;w=21600');
    expect(upstream.counted).toBe(0);
    upstream.allow(1);
    expect((await read(tag)).headers['ratelimit-remaining']).toBe('0;w=21600');
    expect((await read(tag)).status).toBe(429);
    expect((await read(tag, 'HEAD')).status).toBe(200);
    expect(upstream.counted).toBe(2);
    upstream.allow(Number.POSITIVE_INFINITY);
  });

  const kinds: readonly { kind: OciRequestKind; path: () => Promise<string> }[] = [
    { kind: 'tag', path: async () => tag },
    { kind: 'manifest', path: async () => `/v2/library/pair/manifests/${images['library/pair'].tags[1]?.digest}` },
    { kind: 'blob', path: async () => blobPath() },
  ];

  test.each(kinds)('does wrong with a $kind while it is told to', async ({ kind, path }) => {
    const url = await path();
    const good = kind === 'blob' ? 307 : 200;
    for (const [fault, status] of [
      ['unauthorized', 401],
      ['forbidden', 403],
      ['throttled', 429],
      ['broken', 500],
      ['gone', 404],
      ['page', 200],
    ] as const) {
      upstream.fail(kind, { kind: fault, retryAfterSeconds: 3 });
      const bad = await read(url);
      expect([fault, bad.status]).toEqual([fault, status]);
      if (fault === 'throttled') expect(bad.headers['retry-after']).toBe('3');
      if (fault === 'page') expect(bad.headers['content-type']).toMatch(/^text\/html/);
      upstream.heal();
      expect((await read(url)).status).toBe(good);
    }
    const right = await read(url);
    const size = kind === 'blob' ? blob.size : right.body.length;
    upstream.fail(kind, { kind: 'wrong-bytes' });
    const wrong = await read(url);
    expect([wrong.status, wrong.complete, wrong.body.length]).toEqual([200, true, size]);
    expect(digestOf(wrong.body)).not.toBe(wrong.headers['docker-content-digest']);
    upstream.fail(kind, { kind: 'cut' }, { times: 1 });
    const cut = await read(url);
    expect([cut.complete, cut.body.length]).toEqual([false, Math.floor(size / 2)]);
    expect((await read(url)).status).toBe(good);
    upstream.fail(kind, { kind: 'stalled' });
    upstream.forget();
    const stalled = read(url);
    await eventually('it is asked', () => upstream.count(kind) === 1);
    expect(upstream.requests.find((one) => one.kind === kind)?.status).toBeUndefined();
    upstream.heal();
    expect((await stalled).complete).toBe(true);
  });

  test('can be gone and come back, at the same address', async () => {
    await upstream.stop();
    await expect(ask(`${upstream.url}/v2/`)).rejects.toThrow(/ECONNREFUSED/);
    await upstream.start();
    expect((await read(tag)).status).toBe(200);
  });
});

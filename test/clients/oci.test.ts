/** Every program that pulls images does so through Larder from a registry like Docker Hub: cold, warm, and when the registry is gone. */
import { verify } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { selfSigned } from '../support/certificate.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type Answer, type AskOptions, ask } from '../support/http.ts';
import { type Larder, type Settings, startLarder } from '../support/larder.ts';
import {
  contentOf,
  type Descriptor,
  digestOf,
  type ImageName,
  type Images,
  mediaTypes,
  smallImages,
} from '../support/oci-images.ts';
import {
  type OciFault,
  type OciFaultKind,
  type OciRequestKind,
  type OciUpstream,
  type OciUpstreamOptions,
  startOciUpstream,
} from '../support/oci-upstream.ts';
import { eventually } from '../support/wait.ts';
import { type Engine, type ImageClient, imageClients, type Mirror, missingPrograms } from './image-clients.ts';

const parts = missingPrograms('docker-registry', 'umoci', 'busybox');

let images: Images;
let upstream: OciUpstream;
let folder: TemporaryFolder;

/** Closed after the file, or after the test that asks for one of its own. */
async function startFilledUpstream(options: OciUpstreamOptions = {}): Promise<OciUpstream> {
  const started = await startOciUpstream(options);
  for (const image of Object.values(images)) await started.push(image);
  return started;
}

beforeAll(async () => {
  if (parts) return;
  folder = await temporaryFolder('larder-images');
  images = await smallImages();
  upstream = await startFilledUpstream();
});

afterEach(() => upstream?.heal());

afterAll(async () => {
  await upstream?.close();
  await folder?.remove();
});

interface LarderOptions {
  readonly upstream?: OciUpstream;
  readonly source?: Readonly<Record<string, unknown>>;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly server?: Readonly<Record<string, unknown>>;
  readonly folder?: string;
  readonly now?: () => number;
}

/** `acme/hub` is a mirror of Docker Hub, and what clients get that can name no repository. */
async function startHub(options: LarderOptions = {}): Promise<Larder> {
  const from = options.upstream ?? upstream;
  const settings: Settings = {
    upstreamUrl: from.url,
    upstream: {
      hosts: from.hosts,
      namespaces: ['docker.io'],
      shortNames: 'library',
      timeoutMs: 2000,
      connectTimeout: '2s',
      retries: 0,
      breaker: { failures: 1000 },
      ...options.settings,
    },
    ...(options.server ? { server: options.server } : {}),
    ...(options.folder === undefined ? {} : { folder: options.folder }),
    more: {
      hosts: { default: 'acme/hub' },
      orgs: {
        acme: {
          repositories: { hub: { format: 'oci', sources: [{ remote: 'inner', ...options.source }] } },
          access: [{ who: ['everyone'], may: ['read'] }],
        },
      },
    },
  };
  const larder = await startLarder(settings, options.now ? { now: options.now } : {});
  onTestFinished(() => larder.close());
  return larder;
}

async function startEngine(client: ImageClient, mirror: Mirror): Promise<Engine> {
  const engine = await client.start(await mkdtemp(join(folder.path, 'client-')), mirror);
  onTestFinished(() => engine.close());
  return engine;
}

/** A fresh installation each time, so that nothing comes from what it already has. */
async function pullAll(
  client: ImageClient,
  mirror: Mirror,
  wanted: readonly string[],
): Promise<Record<string, unknown>> {
  const engine = await startEngine(client, mirror);
  const pulled: Record<string, unknown> = {};
  for (const image of wanted) pulled[image] = await engine.pull(image);
  await engine.close();
  return pulled;
}

/** What the client can take, artifacts included. */
function wantedBy(client: ImageClient): readonly string[] {
  if (client.only) return client.only;
  const all = Object.values(images).flatMap(({ name, tags }) => Object.keys(tags).map((tag) => `${name}:${tag}`));
  const fitting = all.filter((image) => client.takesArtifacts || /:(1|latest)$/.test(image));
  return fitting.filter((image) => !client.without?.[image]);
}

const [skopeo] = imageClients;

function skopeoClient(): ImageClient {
  if (!skopeo) throw new Error('There is no skopeo among the clients');
  return skopeo;
}

describe.each(imageClients)('$id', (client) => {
  const reason = parts ?? missingPrograms(...client.programs);

  test.skipIf(reason)(reason ?? 'pulls every image cold, warm, and with the registry gone', async () => {
    const wanted = wantedBy(client);
    const direct = await pullAll(client, { origin: upstream.url, path: '' }, wanted);
    const larder = await startHub();
    const mirror = { origin: larder.url, path: client.mirrorPath };

    upstream.forget();
    expect(await pullAll(client, mirror, wanted)).toEqual(direct);
    const fetched = upstream.requests.filter(({ kind, status }) => kind === 'cdn' && status === 200);
    expect(new Set(fetched.map(({ url }) => url.split('?')[0])).size).toBe(fetched.length);
    expect(upstream.requests.filter(({ status }) => status === 400)).toEqual([]);

    upstream.forget();
    expect(await pullAll(client, mirror, wanted)).toEqual(direct);
    expect(upstream.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([]);

    await upstream.stop();
    try {
      expect(await pullAll(client, mirror, wanted)).toEqual(direct);
    } finally {
      await upstream.start();
    }
  });

  test.skipIf(reason)(reason ?? 'says what is wrong with the registry, and pulls once it is right', async () => {
    const [image = 'library/pair:1'] = client.only ?? [];
    const direct = await pullAll(client, { origin: upstream.url, path: '' }, [image]);
    const larder = await startHub({ source: { negativeTtl: '0s' } });
    const engine = await startEngine(client, { origin: larder.url, path: client.mirrorPath });
    for (const [kind, fault] of [
      ['tag', { kind: 'forbidden' }],
      ['tag', { kind: 'broken' }],
      ['manifest', { kind: 'page' }],
      ['cdn', { kind: 'wrong-bytes' }],
    ] as const) {
      upstream.fail(kind, fault);
      const { code, output } = await engine.tryToPull(image);
      expect(code, `${kind} ${fault.kind}: ${output}`).not.toBe(0);
      const broken = kind === 'cdn' ? /50[23]|EOF|proxyconnect/ : client.complains;
      // A layer that proves wrong when most of it has gone out is an answer broken off.
      expect(output).toMatch(fault.kind === 'forbidden' ? new RegExp(`denied|403|${broken.source}`, 'i') : broken);
      upstream.heal();
    }
    expect({ [image]: await engine.pull(image) }).toEqual(direct);
  });

  const { asSomebody } = client;
  if (asSomebody) {
    test.skipIf(reason)(reason ?? 'pulls also with credentials, which mean nothing here and go nowhere', async () => {
      const image = 'library/pair:1';
      const direct = await pullAll(client, { origin: upstream.url, path: '' }, [image]);
      const larder = await startHub();
      const engine = await startEngine(client, { origin: larder.url, path: client.mirrorPath });
      upstream.forget();
      expect({ [image]: await engine.pull(image, asSomebody) }).toEqual(direct);
      const shown = upstream.requests.map(({ headers }) => headers.authorization);
      expect(shown.filter((value) => value !== undefined && !value.startsWith('Bearer token-'))).toEqual([]);
    });
  }

  if (client.withoutTls !== undefined) return;
  test.skipIf(reason)(reason ?? 'pulls over TLS', async () => {
    const wanted = client.only ?? ['library/tiny:1', 'library/pair:1'];
    const direct = await pullAll(client, { origin: upstream.url, path: '' }, wanted);
    const { cert, key } = selfSigned();
    const at = await mkdtemp(join(folder.path, 'tls-'));
    await writeFile(join(at, 'cert.pem'), cert);
    await writeFile(join(at, 'key.pem'), key);
    const larder = await startHub({ server: { tls: { cert: join(at, 'cert.pem'), key: join(at, 'key.pem') } } });
    expect(larder.url).toMatch(/^https:/);
    expect(await pullAll(client, { origin: larder.url, path: client.mirrorPath, ca: cert }, wanted)).toEqual(direct);
  });
});

/** The same question in every form that some client gives it. */
const forms = [
  { form: 'the repository after /v2 (podman, buildkit, kaniko)', prefix: '/v2/acme/hub', ping: '/v2/', query: '' },
  { form: 'the repository before /v2 (dockerd from 29)', prefix: '/acme/hub/v2', ping: '/acme/hub/v2/', query: '' },
  { form: 'no repository (dockerd up to 28)', prefix: '/v2', ping: '/v2/', query: '' },
  { form: 'before /v2, with ?ns= (containerd)', prefix: '/acme/hub/v2', ping: '/acme/hub/v2/', query: '?ns=docker.io' },
  {
    form: 'after /v2, with ?ns= (containerd, override_path)',
    prefix: '/v2/acme/hub',
    ping: '/v2/',
    query: '?ns=docker.io',
  },
  { form: 'no repository, with ?ns=', prefix: '/v2', ping: '/v2/', query: '?ns=docker.io' },
] as const;

const acceptedTypes = [mediaTypes.dockerManifest, mediaTypes.dockerList, mediaTypes.manifest, mediaTypes.index].join(
  ', ',
);

/** With a pass for anonymous readers, as every client gets itself one. */
async function askWithToken(larder: Larder, path: string, options: AskOptions = {}): Promise<Answer> {
  return await larder.ask(path, { ...options, headers: { authorization: 'Bearer anonymous', ...options.headers } });
}

/** What dockerd (20.10 to 29) and containerd (1.6 to 2.x) do: HEAD of the tag, GET by digest, the blobs. Answers the bytes by digest. */
async function replayPull(
  larder: Larder,
  { prefix, ping, query }: { readonly prefix: string; readonly ping: string; readonly query: string },
  name: string,
  tag: string,
): Promise<ReadonlyMap<string, Buffer>> {
  const got = new Map<string, Buffer>();
  const refused = await larder.ask(ping);
  expect(refused.status).toBe(401);
  const challenge = String(refused.headers['www-authenticate']);
  const [, realm = '', service = ''] = /^Bearer realm="([^"]+)",service="([^"]+)"/.exec(challenge) ?? [];
  const tokenUrl = `${realm}?service=${encodeURIComponent(service)}&scope=${encodeURIComponent(`repository:${name}:pull`)}`;
  const { token } = (await ask(tokenUrl)).json() as { token: string };
  const headers = { authorization: `Bearer ${token}`, accept: acceptedTypes };

  const head = await larder.ask(`${prefix}/${name}/manifests/${tag}${query}`, { method: 'HEAD', headers });
  expect(head.status, `HEAD of the tag ${tag}`).toBe(200);
  const digest = String(head.headers['docker-content-digest']);

  async function fetchManifest(wanted: string): Promise<void> {
    const answer = await larder.ask(`${prefix}/${name}/manifests/${wanted}${query}`, { headers });
    expect(answer.status).toBe(200);
    expect(answer.headers['docker-content-digest']).toBe(wanted);
    expect(digestOf(answer.body)).toBe(wanted);
    if (wanted === digest) {
      expect(head.headers['content-length']).toBe(String(answer.body.length));
      expect(head.headers['content-type']).toBe(answer.headers['content-type']);
    }
    got.set(wanted, answer.body);
    const manifest = answer.json() as Record<'manifests' | 'layers', { digest: string }[] | undefined> & {
      config?: { digest: string };
    };
    for (const child of manifest.manifests ?? []) await fetchManifest(child.digest);
    for (const blob of [...(manifest.config ? [manifest.config] : []), ...(manifest.layers ?? [])]) {
      const coding = { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' };
      const bytes = await larder.ask(`${prefix}/${name}/blobs/${blob.digest}${query}`, {
        headers: { authorization: headers.authorization, ...coding },
      });
      expect([bytes.status, digestOf(bytes.body), bytes.headers['content-encoding']]).toEqual([
        200,
        blob.digest,
        undefined,
      ]);
      got.set(blob.digest, bytes.body);
    }
  }
  await fetchManifest(digest);
  return got;
}

describe.skipIf(parts)(`requests as clients make them${parts ? ` (${parts})` : ''}`, () => {
  test.each(forms)('find an image by $form', async (form) => {
    const larder = await startHub();
    for (const [name, tag] of [
      ['library/tiny', '1'],
      ['tiny', 'latest'],
      ['library/pair', '1'],
      ['acme/list', '1'],
      ['acme/web', '1.2.3'],
    ] as const) {
      const got = await replayPull(larder, form, name, tag);
      const image = images[(name === 'tiny' ? 'library/tiny' : name) as ImageName];
      expect(got.has(image.tags[tag]?.digest ?? '')).toBe(true);
    }
    upstream.forget();
    await replayPull(larder, form, 'library/pair', '1');
    expect(upstream.count()).toBe(0);
  });

  test('for a registry that nobody configured find nothing, and nobody is asked', async () => {
    const larder = await startHub();
    upstream.forget();
    for (const prefix of ['/v2/acme/hub', '/acme/hub/v2', '/v2']) {
      const answer = await askWithToken(
        larder,
        `${prefix}/library/tiny/manifests/1?ns=${new URL(upstream.url).host}.evil`,
      );
      expect(answer.status).toBe(404);
      expect(answer.json()).toMatchObject({ errors: [{ code: expect.stringMatching(/_UNKNOWN$/) }] });
    }
    expect(upstream.count()).toBe(0);
  });

  test('get a tag that HEAD found first without another counted request', async () => {
    const larder = await startHub();
    upstream.forget();
    await replayPull(larder, forms[0], 'library/pair', '1');
    // The index, and each of its two images: what any client would have been counted for, and nothing twice.
    expect(upstream.counted).toBe(3);
    expect(upstream.requests.filter(({ kind, method }) => kind === 'tag' && method === 'GET')).toEqual([]);
  });

  test('list tags and referrers, also where the registry only has the tag that stands in for them', async () => {
    const larder = await startHub();
    const { digest } = images['acme/attested'].tags[1] ?? { digest: '' };
    const tags = await askWithToken(larder, '/v2/acme/hub/acme/attested/tags/list');
    expect(tags.json()).toEqual({ name: expect.any(String), tags: ['1', digest.replace(':', '-')] });
    const first = await askWithToken(larder, '/v2/acme/hub/acme/attested/tags/list?n=1');
    expect(first.json()).toMatchObject({ tags: ['1'] });
    expect(first.headers.link).toMatch(/^<\/v2\/acme\/hub\/acme\/attested\/tags\/list\?.*>; ?rel="?next"?$/);
    for (const from of [upstream, await closing(startFilledUpstream({ referrers: true }))]) {
      const one = await startHub({ upstream: from });
      const all = await askWithToken(one, `/v2/acme/hub/acme/attested/referrers/${digest}`);
      expect([all.status, all.headers['content-type']]).toEqual([200, mediaTypes.index]);
      const types = (answer: Answer): string[] =>
        (answer.json() as { manifests: { artifactType: string }[] }).manifests.map(({ artifactType }) => artifactType);
      expect(types(all).sort()).toEqual(['application/spdx+json', 'application/vnd.in-toto+json']);
      const some = await askWithToken(
        one,
        `/v2/acme/hub/acme/attested/referrers/${digest}?artifactType=${encodeURIComponent('application/spdx+json')}`,
      );
      expect(types(some)).toEqual(['application/spdx+json']);
      const none = await askWithToken(one, `/v2/acme/hub/acme/attested/referrers/sha256:${'0'.repeat(64)}`);
      expect([none.status, types(none)]).toEqual([200, []]);
    }
  });

  test('tell all about a blob without fetching it, and fetch one once that is asked for in many parts', async () => {
    const larder = await startHub();
    const { blobs } = await contentOf(images['acme/list'], images['acme/list'].tags[1] as Descriptor);
    const layer = blobs.find(({ size }) => size > 500_000);
    if (!layer) throw new Error('The image has no layer of that size');
    const path = `/v2/acme/hub/acme/list/blobs/${layer.digest}`;
    upstream.forget();
    const head = await askWithToken(larder, path, { method: 'HEAD' });
    expect([head.status, head.headers['content-length'], head.headers['docker-content-digest']]).toEqual([
      200,
      String(layer.size),
      layer.digest,
    ]);
    expect(upstream.requests.filter(({ kind, method }) => kind === 'cdn' && method === 'GET')).toEqual([]);
    // As containerd 2 does with a big layer.
    const step = Math.ceil(layer.size / 8);
    const parts = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const last = Math.min((index + 1) * step, layer.size) - 1;
        return await askWithToken(larder, path, { headers: { range: `bytes=${index * step}-${last}` } });
      }),
    );
    expect(parts.map(({ status }) => status)).toEqual(parts.map(() => 206));
    expect(digestOf(Buffer.concat(parts.map(({ body }) => body)))).toBe(layer.digest);
    expect(upstream.requests.filter(({ kind, method }) => kind === 'cdn' && method === 'GET').length).toBe(1);
  });

  test('resume a blob at any byte, cold and warm', async () => {
    const larder = await startHub();
    const manifest = await askWithToken(larder, '/v2/acme/hub/acme/zstd/manifests/1');
    const [layer] = (manifest.json() as { layers: { digest: string; size: number }[] }).layers;
    const path = `/v2/acme/hub/acme/zstd/blobs/${layer?.digest}`;
    const size = layer?.size ?? 0;
    for (const from of [size - 10, 1, 700_000]) {
      const part = await askWithToken(larder, path, { headers: { range: `bytes=${from}-` } });
      expect([part.status, part.headers['content-range']]).toEqual([206, `bytes ${from}-${size - 1}/${size}`]);
      expect(part.body.length).toBe(size - from);
    }
    const whole = await askWithToken(larder, path);
    expect(digestOf(whole.body)).toBe(layer?.digest);
    const beyond = await askWithToken(larder, path, { headers: { range: `bytes=${size}-` } });
    expect([beyond.status, beyond.headers['content-range']]).toEqual([416, `bytes */${size}`]);
  });
});

/** For what a test starts besides. */
async function closing(starting: Promise<OciUpstream>): Promise<OciUpstream> {
  const started = await starting;
  onTestFinished(() => started.close());
  return started;
}

describe.skipIf(parts)(`an upstream's limits and credentials${parts ? ` (${parts})` : ''}`, () => {
  test('a hundred pulls after the first count nothing, although the tag is checked each time', async (context) => {
    const reason = missingPrograms('skopeo');
    context.skip(reason !== undefined, reason);
    const larder = await startHub({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const client = skopeoClient();
    const engine = await startEngine(client, { origin: larder.url, path: client.mirrorPath });
    const first = await engine.pull('library/tiny:1');
    upstream.forget();
    upstream.allow(0);
    try {
      for (let pull = 0; pull < 20; pull++) expect(await engine.pull('library/tiny:1')).toEqual(first);
      for (let pull = 0; pull < 80; pull++)
        await replayPull(larder, forms[pull % forms.length] ?? forms[0], 'library/tiny', '1');
    } finally {
      upstream.allow(Number.POSITIVE_INFINITY);
    }
    expect(upstream.counted).toBe(0);
    expect(upstream.count('blob', 'cdn')).toBe(0);
    expect(upstream.requests.filter(({ kind }) => kind === 'tag').every(({ method }) => method === 'HEAD')).toBe(true);
    expect(upstream.count('tag')).toBeGreaterThan(0);
  });

  test('credentials go to the registry and its token server alone, and those of clients go nowhere', async () => {
    const credentials = { username: 'larder', password: 'pass-of-upstream' };
    const from = await closing(startFilledUpstream({ credentials }));
    const larder = await startHub({ upstream: from, settings: { auth: credentials, realms: [from.tokenUrl] } });
    const foreign = `Basic ${Buffer.from('somebody:dckr_pat_of_another_registry').toString('base64')}`;
    for (const authorization of [foreign, 'Bearer anonymous']) {
      const answer = await larder.ask('/v2/library/tiny/manifests/1', {
        headers: { authorization, accept: acceptedTypes },
      });
      expect(answer.status).toBe(200);
      const { layers } = answer.json() as { layers: { digest: string }[] };
      const blob = await larder.ask(`/v2/library/tiny/blobs/${layers[0]?.digest}`, { headers: { authorization } });
      expect(blob.status).toBe(200);
    }
    const basic = `Basic ${Buffer.from('larder:pass-of-upstream').toString('base64')}`;
    const shown = (kind: OciRequestKind): (string | undefined)[] => [
      ...new Set(from.requests.filter((one) => one.kind === kind).map(({ headers }) => headers.authorization)),
    ];
    expect(shown('token')).toEqual([basic]);
    expect(shown('cdn')).toEqual([undefined]);
    expect(from.requests.filter(({ headers }) => headers.authorization === foreign)).toEqual([]);
    expect(from.requests.filter(({ kind, headers }) => kind === 'blob' && headers.authorization === basic)).toEqual([]);
    // A token is asked for once for each name, not for each request.
    expect(from.count('token')).toBe(1);
  });

  test('a token that no longer counts is replaced without a word', async () => {
    const larder = await startHub({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    for (const tag of ['1', 'latest']) {
      upstream.revokeTokens();
      const answer = await askWithToken(larder, `/v2/acme/hub/library/tiny/manifests/${tag}`);
      expect(answer.status).toBe(200);
    }
  });

  test('how much of the limit is left can be read', async () => {
    const larder = await startHub();
    await askWithToken(larder, '/v2/acme/hub/library/tiny/manifests/1');
    const metrics = await larder.metrics();
    expect(metrics.sum('larder_upstream_quota_limit', { upstream: 'inner' })).toBe(100);
    expect(metrics.sum('larder_upstream_quota_remaining', { upstream: 'inner' })).toBeGreaterThan(0);
  });

  test('a tag that is moved is followed when its time is over, and one that is dropped stays', async () => {
    let time = Date.now();
    const from = await closing(startFilledUpstream());
    const larder = await startHub({ upstream: from, source: { staleWhileRevalidate: '0s' }, now: () => time });
    const path = '/v2/acme/hub/acme/zstd/manifests/1';
    const digestNow = async (): Promise<unknown> => {
      const answer = await askWithToken(larder, path);
      return [answer.status, answer.headers['docker-content-digest']];
    };
    const before = [200, images['acme/zstd'].tags[1]?.digest];
    expect(await digestNow()).toEqual(before);
    const other = images['acme/attested'];
    await from.push({ ...other, name: 'acme/zstd' }, ['1']);
    expect(await digestNow()).toEqual(before);
    time += 10 * 60_000;
    const after = [200, other.tags[1]?.digest];
    expect(await digestNow()).toEqual(after);
    from.fail('tag', { kind: 'gone' });
    for (let look = 0; look < 5; look++) {
      time += 3_600_000;
      expect(await digestNow()).toEqual(after);
    }
    expect(from.requests.filter(({ kind, status }) => kind === 'tag' && status === 404).length).toBe(5);
  });
});

interface Wrong {
  readonly kind: OciRequestKind;
  readonly fault: OciFaultKind;
  /** What a client gets that asks for the tag, the manifest by digest, or the blob; 0: an answer that is broken off. */
  readonly status: number;
}

const wrongs: readonly Wrong[] = (['tag', 'manifest', 'blob', 'cdn'] as const).flatMap((kind) => [
  { kind, fault: 'unauthorized', status: 403 },
  { kind, fault: 'forbidden', status: 403 },
  { kind, fault: 'throttled', status: 503 },
  { kind, fault: 'broken', status: 503 },
  { kind, fault: 'stalled', status: 503 },
  { kind, fault: 'page', status: 502 },
  { kind, fault: 'gone', status: 404 },
  // A tag is asked for by HEAD, which has no body; blobs are elsewhere.
  ...(kind === 'tag' || kind === 'blob'
    ? []
    : ([
        { kind, fault: 'wrong-bytes', status: kind === 'manifest' ? 502 : 0 },
        { kind, fault: 'cut', status: 0 },
      ] as const)),
]);

describe.skipIf(parts)(`an upstream in trouble${parts ? ` (${parts})` : ''}`, () => {
  function faultOf(kind: OciFaultKind): OciFault {
    if (kind === 'cut') return { kind, atBytes: 0 };
    return kind === 'throttled' ? { kind, retryAfterSeconds: 1 } : { kind };
  }

  test.each(wrongs)(
    '$kind, $fault: nothing wrong is kept, and the next good answer heals it',
    async ({ kind, fault, status }) => {
      const larder = await startHub({ source: { negativeTtl: '0s' }, settings: { timeoutMs: 300 } });
      const { digest } = images['acme/signed'].tags[1] ?? { digest: '' };
      const base = '/v2/acme/hub/acme/signed';
      const layerOf = async (): Promise<string> => {
        const manifest = await askWithToken(larder, `${base}/manifests/${digest}`);
        return (manifest.json() as { layers: { digest: string }[] }).layers[0]?.digest ?? '';
      };
      const path =
        kind === 'tag'
          ? `${base}/manifests/1`
          : kind === 'manifest'
            ? `${base}/manifests/${digest}`
            : `${base}/blobs/${await layerOf()}`;
      upstream.fail(kind, faultOf(fault));
      const bad = await askWithToken(larder, path, { headers: { accept: acceptedTypes } }).catch(() => undefined);
      if (status === 0) expect(bad === undefined || bad.status >= 500 || !bad.complete).toBe(true);
      else {
        expect(bad?.status).toBe(status);
        expect(bad?.headers['content-type']).toMatch(/^application\/json/);
        expect(bad?.json()).toMatchObject({ errors: [{ code: expect.any(String), message: expect.any(String) }] });
      }
      if (fault === 'throttled') expect(Number(bad?.headers['retry-after'])).toBeGreaterThan(0);
      upstream.heal();
      const good = await eventually('it is healed', async () => {
        const answer = await askWithToken(larder, path, { headers: { accept: acceptedTypes } });
        return answer.status === 200 ? answer : undefined;
      });
      expect(digestOf(good.body)).toBe(good.headers['docker-content-digest']);
      if (kind !== 'tag') expect(path).toContain(digestOf(good.body));
    },
  );

  const onTags: readonly OciFaultKind[] = [
    'unauthorized',
    'forbidden',
    'throttled',
    'broken',
    'stalled',
    'page',
    'gone',
  ];
  test.each(onTags)('tag, %s: what was known stands in', async (fault) => {
    const larder = await startHub({ source: { ttl: '0s', staleWhileRevalidate: '0s' }, settings: { timeoutMs: 300 } });
    await replayPull(larder, forms[0], 'library/tiny', '1');
    upstream.fail('tag', faultOf(fault));
    await replayPull(larder, forms[0], 'library/tiny', '1');
  });

  test('a token server in trouble hides nothing that is kept', async () => {
    const larder = await startHub({ source: { ttl: '0s', staleWhileRevalidate: '0s' }, settings: { timeoutMs: 300 } });
    await replayPull(larder, forms[0], 'library/tiny', '1');
    for (const fault of ['forbidden', 'broken', 'stalled', 'page', 'gone'] as const) {
      upstream.revokeTokens();
      upstream.fail('token', { kind: fault });
      await replayPull(larder, forms[0], 'library/tiny', '1');
      upstream.heal();
    }
  });

  test('a layer that stalls half-way is fetched on, and nobody notices', async () => {
    const larder = await startHub({ settings: { retries: 2, timeoutMs: 300 } });
    const { blobs } = await contentOf(images['library/pair'], images['library/pair'].tags[1] as Descriptor);
    const layer = blobs.find(({ size }) => size > 500_000)?.digest ?? '';
    upstream.forget();
    upstream.fail('cdn', { kind: 'stalled-body' }, { times: 1, only: layer });
    await replayPull(larder, forms[0], 'library/pair', '1');
    const sent = upstream.requests.filter(({ kind, url }) => kind === 'cdn' && url.includes(layer));
    expect(sent.map(({ headers }) => headers.range)).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/)]);
  });

  test('a layer that is cut on its way is resumed, and skopeo notices nothing', async (context) => {
    const reason = missingPrograms('skopeo');
    context.skip(reason !== undefined, reason);
    const client = skopeoClient();
    const wanted = ['library/pair:1'];
    const direct = await pullAll(client, { origin: upstream.url, path: '' }, wanted);
    const larder = await startHub({ settings: { retries: 2 } });
    const layer =
      (await contentOf(images['library/pair'], images['library/pair'].tags[1] as Descriptor)).blobs.find(
        ({ size }) => size > 500_000,
      )?.digest ?? '';
    upstream.forget();
    upstream.fail('cdn', { kind: 'cut', atBytes: 200_000 }, { times: 1, only: layer });
    expect(await pullAll(client, { origin: larder.url, path: client.mirrorPath }, wanted)).toEqual(direct);
    const sent = upstream.requests.filter(({ kind, url }) => kind === 'cdn' && url.includes(layer));
    expect(sent.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=200000-']);
  });
});

const together = imageClients.filter(({ only, programs }) => !only && !parts && !missingPrograms(...programs));

test.skipIf(parts)(parts ?? 'all clients at once, from nothing: everything is fetched once', async () => {
  const larder = await startHub();
  const engines = await Promise.all(
    together.map((client) => startEngine(client, { origin: larder.url, path: client.mirrorPath })),
  );
  upstream.forget();
  await Promise.all(engines.flatMap((engine) => ['library/pair:1', 'acme/list:1'].map((image) => engine.pull(image))));
  const fetched = upstream.requests
    .filter(({ kind, status }) => kind !== 'ping' && kind !== 'token' && status !== 401)
    .map(({ method, url }) => `${method} ${url.split('?')[0]}`);
  expect(fetched.length).toBeGreaterThan(10);
  expect(fetched.filter((one, index) => fetched.indexOf(one) !== index)).toEqual([]);
});

test.skipIf(parts)(parts ?? 'what was pulled once is there after a restart, with the registry gone', async () => {
  const from = await startFilledUpstream();
  onTestFinished(() => from.close());
  const at = await mkdtemp(join(folder.path, 'restart-'));
  const first = await startHub({ upstream: from, folder: at });
  const wanted = [
    ['library/pair', '1'],
    ['acme/web', '1.2.3'],
  ] as const;
  for (const [name, tag] of wanted) await replayPull(first, forms[0], name, tag);
  await first.close();
  await from.stop();
  const second = await startHub({ upstream: from, folder: at });
  for (const form of forms) for (const [name, tag] of wanted) await replayPull(second, form, name, tag);
});

test.skipIf(parts)(parts ?? 'a signature is found where cosign looks for it, and holds', async () => {
  const larder = await startHub();
  const { digest } = images['acme/signed'].tags[1] ?? { digest: '' };
  const base = '/v2/acme/hub/acme/signed';
  const manifest = await askWithToken(larder, `${base}/manifests/${digest.replace(':', '-')}.sig`);
  expect(manifest.status).toBe(200);
  const [layer] = (manifest.json() as { layers: { digest: string; annotations: Record<string, string> }[] }).layers;
  const payload = await askWithToken(larder, `${base}/blobs/${layer?.digest}`);
  const signature = Buffer.from(layer?.annotations['dev.cosignproject.cosign/signature'] ?? '', 'base64');
  const key = await readFile(join(images['acme/signed'].folder, 'cosign.pub'), 'utf8');
  expect(verify('sha256', payload.body, key, signature)).toBe(true);
  expect(payload.json()).toMatchObject({ critical: { image: { 'docker-manifest-digest': digest } } });
});

/** A registry in trouble, by what is asked of it: what clients are told, that nothing wrong is stored, and that the next good answer heals it. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { verify } from '../../src/store/verify.ts';
import { collect, synthetic } from '../support/bytes.ts';
import type { FakeOci, Image, OciFault, OciKind } from '../support/fake-oci.ts';
import { gate, type Reply } from '../support/fake-upstream.ts';
import type { Answer } from '../support/http.ts';
import { blobPath, manifestPath, type OciScene, ociScene } from '../support/oci-scene.ts';
import { eventually } from '../support/wait.ts';

const name = 'library/alpine';
const never = gate();
const overTheTtlMs = 6 * 60_000;
const layer = collect(synthetic(1_000_000));

/** As registries say it. */
function refusal(status: number, code: string, headers: Reply['headers'] = {}): OciFault {
  return () => ({ status, headers, body: { errors: [{ code, message: 'as registries say it', detail: null }] } });
}

const sizeOf = ({ body }: Reply): number => (Buffer.isBuffer(body) ? body.length : 0);

const faults = {
  401: refusal(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="registry"' }),
  403: refusal(403, 'DENIED'),
  429: refusal(429, 'TOOMANYREQUESTS', { 'retry-after': '1' }),
  500: refusal(500, 'UNKNOWN'),
  stall: () => ({ holdHeaders: never }),
  'a page': () => ({ body: '<!DOCTYPE html>\n<title>Sign in</title>', contentType: 'text/html; charset=utf-8' }),
  /** In the headers of what has no body. */
  'a wrong digest': (good, { method }) =>
    method === 'HEAD'
      ? { ...good, headers: { ...good.headers, 'docker-content-digest': digestOf(Buffer.from('something else')) } }
      : { ...good, corruptAt: Math.floor(sizeOf(good) / 2) },
  /** And whoever wants the rest of it is sent away. */
  'a cut': (good, { method, nth }) =>
    method === 'HEAD'
      ? { hangUp: true }
      : nth === 1
        ? { ...good, cuts: [Math.floor(sizeOf(good) / 2)] }
        : { status: 400 },
  gone: refusal(404, 'MANIFEST_UNKNOWN'),
} as const satisfies Record<string, OciFault>;

type Fault = `${keyof typeof faults}`;

/** What a client gets that asks for something nobody has asked for before; `broken off`: an answer without its end. */
type Told = readonly [status: number, code: string] | 'broken off' | 'an empty list';

const invalid: Told = [502, 'UNKNOWN'];
const denied: Told = [403, 'DENIED'];
const unavailable: Told = [503, 'UNAVAILABLE'];

const everywhere = {
  401: denied,
  403: denied,
  429: unavailable,
  500: unavailable,
  stall: unavailable,
} as const;

/** The same table is on the docs page. */
const table: Readonly<Record<string, { readonly fails: OciKind; readonly told: Partial<Record<Fault, Told>> }>> = {
  tag: {
    fails: 'tag',
    told: {
      ...everywhere,
      'a page': invalid,
      'a wrong digest': [404, 'MANIFEST_UNKNOWN'],
      'a cut': unavailable,
      gone: [404, 'MANIFEST_UNKNOWN'],
    },
  },
  manifest: {
    fails: 'manifest',
    told: {
      ...everywhere,
      'a page': invalid,
      'a wrong digest': invalid,
      'a cut': invalid,
      gone: [404, 'MANIFEST_UNKNOWN'],
    },
  },
  'small blob': {
    fails: 'blob',
    told: {
      ...everywhere,
      'a page': invalid,
      'a wrong digest': invalid,
      'a cut': invalid,
      gone: [404, 'BLOB_UNKNOWN'],
    },
  },
  layer: {
    fails: 'blob',
    told: { 'a page': invalid, 'a wrong digest': 'broken off', 'a cut': 'broken off' },
  },
  'layer that is elsewhere': {
    fails: 'cdn',
    told: {
      403: denied,
      500: unavailable,
      stall: unavailable,
      'a page': invalid,
      'a wrong digest': 'broken off',
      'a cut': 'broken off',
      gone: [404, 'BLOB_UNKNOWN'],
    },
  },
  'list of tags': {
    fails: 'tags',
    told: {
      401: denied,
      403: denied,
      500: unavailable,
      stall: unavailable,
      'a page': invalid,
      'a cut': invalid,
      gone: [404, 'NAME_UNKNOWN'],
    },
  },
  'list of referrers': {
    fails: 'referrers',
    told: {
      401: denied,
      403: denied,
      500: unavailable,
      stall: unavailable,
      'a page': 'an empty list',
      gone: 'an empty list',
    },
  },
};

interface Question {
  readonly path: string;
  readonly bytes?: Buffer;
}

function fill(registry: FakeOci): Image {
  return registry.image(name, { tags: ['3'], layers: [layer] });
}

function questionFor(what: string, image: Image, registry: FakeOci): Question {
  switch (what) {
    case 'tag':
      return { path: manifestPath(name, '3'), bytes: image.bytes };
    case 'manifest':
      return { path: manifestPath(name, image.digest), bytes: image.bytes };
    case 'small blob':
      return { path: blobPath(name, image.config), bytes: registry.bytes(image.config.digest) };
    case 'layer':
    case 'layer that is elsewhere':
      return { path: `/${name}/blobs/${image.layers[0]?.digest}`, bytes: layer };
    case 'list of tags':
      return { path: `/${name}/tags/list` };
    default:
      return { path: `/${name}/referrers/${image.digest}` };
  }
}

/** Only where upstream is going to stall is it worth while to be impatient: on a busy machine an honest answer takes its time. */
const scene = (what: string, fault?: Fault): Promise<OciScene> =>
  ociScene({
    registries: [{ redirects: what === 'layer that is elsewhere' }],
    upstream: { timeoutMs: fault === 'stall' ? 300 : 10_000 },
    source: { negativeTtl: '0s' },
  });

function expectTold(answer: Answer, told: Told): void {
  if (told === 'broken off') {
    expect([answer.status, answer.complete]).toEqual([200, false]);
    expect(answer.body.length).toBeLessThan(layer.length);
    return;
  }
  if (told === 'an empty list') {
    expect([answer.status, answer.json()]).toMatchObject([200, { manifests: [] }]);
    return;
  }
  const [status, code] = told;
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
  expect(answer.headers['cache-control']).toBe('no-store');
  expect(answer.headers['docker-content-digest']).toBeUndefined();
  expect(answer.json()).toEqual({
    errors: [{ code, message: expect.stringMatching(/\w+ .*\w/), detail: expect.anything() }],
  });
  expect(answer.text()).not.toContain('127.0.0.1');
  if (status === 503) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  if (status === 404) expect(answer.headers['retry-after']).toBeUndefined();
}

const rows = Object.entries(table).flatMap(([what, { fails, told }]) =>
  Object.entries(told).map(([fault, expected]) => ({ what, fails, fault: fault as Fault, told: expected })),
);

describe('asked for the first time', () => {
  it.each(rows)(
    'a $what that upstream answers with $fault is $told, and comes with the next good answer',
    async (row) => {
      const { one, ask, larder } = await scene(row.what, row.fault);
      const { path, bytes } = questionFor(row.what, fill(one), one);
      one.fail(row.fails, faults[row.fault]);
      expectTold(await ask(path), row.told);
      expect(one.log(row.fails).length).toBeGreaterThan(0);

      const report = await verify({ path: larder.storage });
      expect(report.damaged).toEqual([]);
      // All that may have been kept is what was said: where a tag leads, and that nothing refers to an image.
      const keeps = (row.what === 'tag' && row.fault === 'a wrong digest') || row.told === 'an empty list';
      expect(report.checked).toBe(keeps ? 1 : 0);

      one.heal();
      if (row.told === 'an empty list') return;
      // Only who was told to wait waits.
      const answer =
        row.fault === '429'
          ? await eventually('the wait is over', async () => {
              const again = await ask(path);
              return again.status === 200 ? again : undefined;
            })
          : await ask(path);
      expect([answer.status, answer.complete]).toEqual([200, true]);
      if (bytes) expect(answer.body.equals(bytes)).toBe(true);
    },
  );

  const headers = rows.filter(
    ({ what, fault, told }) =>
      Array.isArray(told) &&
      ['tag', 'manifest', 'small blob'].includes(what) &&
      !['a wrong digest', '429', what === 'tag' ? '' : 'stall'].includes(fault),
  );

  it.each(headers)(
    'a HEAD of a $what that upstream answers with $fault is $told',
    async ({ what, fails, fault, told }) => {
      const { one, head, larder } = await scene(what, fault);
      const { path, bytes } = questionFor(what, fill(one), one);
      one.fail(fails, faults[fault]);
      const answer = await head(path);
      // A page has a length and a type, but it is no manifest; of a blob nobody can tell before it comes.
      const isTold = what === 'small blob' && fault === 'a page' ? 200 : fault === 'a cut' ? 503 : told[0];
      expect([answer.status, answer.body.length]).toEqual([isTold, 0]);
      expect((await verify({ path: larder.storage })).checked).toBe(0);
      one.heal();
      const healed = await head(path);
      expect([healed.status, Number(healed.headers['content-length'])]).toEqual([200, bytes?.length]);
    },
  );
});

describe('known from before', () => {
  it.each(Object.keys(faults) as Fault[])('everything is answered although upstream answers with %s', async (fault) => {
    const { one, ask, head, settled, pass, larder, forget } = await scene('layer', fault);
    const image = fill(one);
    const whole = ['tag', 'manifest', 'small blob', 'layer'].map((what) => questionFor(what, image, one));
    const [tag] = whole as [Question];
    for (const { path } of whole) await ask(path);
    for (const { path } of whole) await settled(path);
    const kept = await verify({ path: larder.storage });
    for (const kind of ['tag', 'manifest', 'blob'] as const) one.fail(kind, faults[fault]);
    pass(overTheTtlMs);
    forget();
    for (const { path, bytes } of whole) {
      const answer = await ask(path);
      expect([path, answer.status, answer.complete, bytes && answer.body.equals(bytes)]).toEqual([
        path,
        200,
        true,
        true,
      ]);
      expect((await head(path)).status).toBe(200);
      if (path === tag.path) expect(answer.headers['x-larder-cache']).toBe('stale');
    }
    // The registry says that the tag means another manifest now, which nobody can get.
    if (fault !== 'a wrong digest') expect(one.log('manifest')).toEqual([]);
    expect(one.log('blob')).toEqual([]);
    expect(await verify({ path: larder.storage })).toMatchObject({
      checked: kept.checked + (fault === 'a wrong digest' ? 1 : 0),
      damaged: [],
    });
    one.heal();
    pass(overTheTtlMs);
    const told = async (): Promise<unknown> => (await ask(tag.path)).headers['x-larder-cache'];
    if (fault !== '429') expect(await told()).toBe('revalidated');
  });

  // Docker Hub answers HEAD of a tag without end, and counts GET of a manifest.
  it.each(Object.keys(faults) as Fault[])(
    'a tag that was moved keeps its meaning while the new one comes with %s',
    async (fault) => {
      const { one, ask, head, settled, pass } = await scene('tag', fault);
      const before = fill(one);
      const path = manifestPath(name, '3');
      await ask(path);
      await settled(path);
      pass(overTheTtlMs);
      expect((await ask(path)).headers['x-larder-cache']).toBe('revalidated');
      const after = one.image(name, { tags: ['3'], seed: 'after' });
      one.fail('manifest', faults[fault]);
      pass(overTheTtlMs);
      for (let pull = 0; pull < (fault === 'stall' ? 1 : 2); pull++) {
        const kept = await ask(path);
        expect([kept.status, kept.complete, kept.headers['docker-content-digest']]).toEqual([200, true, before.digest]);
        expect([kept.body.equals(before.bytes), kept.headers['x-larder-cache']]).toEqual([true, 'stale']);
        expect(Number(kept.headers.age)).toBeGreaterThan(300);
        // Clients that begin with HEAD ask for what it says, and for nothing else.
        const said = await head(path);
        for (const header of ['docker-content-digest', 'content-length', 'content-type', 'x-larder-cache', 'etag']) {
          expect([header, said.headers[header]]).toEqual([header, kept.headers[header]]);
        }
      }
      one.heal();
      if (fault === '429') return;
      expect((await ask(path)).headers['docker-content-digest']).toBe(after.digest);
      expect((await head(path)).headers['docker-content-digest']).toBe(after.digest);
    },
  );

  it('a tag that was moved keeps its meaning for clients that never ask for it but with HEAD', async () => {
    const { one, ask, head, settled, pass } = await scene('tag');
    const before = fill(one);
    await head(manifestPath(name, '3'));
    await ask(manifestPath(name, before.digest));
    await settled(manifestPath(name, before.digest));
    await head(manifestPath(name, '3'));
    const after = one.image(name, { tags: ['3'], seed: 'after' });
    one.fail('manifest', faults[500]);
    pass(overTheTtlMs);
    const kept = await head(manifestPath(name, '3'));
    expect([kept.status, kept.headers['docker-content-digest']]).toEqual([200, before.digest]);
    one.heal();
    const moved = await head(manifestPath(name, '3'));
    expect([moved.status, moved.headers['docker-content-digest']]).toEqual([200, after.digest]);
    await settled(manifestPath(name, after.digest));
    expect(one.log('manifest').filter((line) => line.includes(after.digest))).toHaveLength(2);
  });

  it('a tag keeps its old meaning no longer than stale answers may be given', async () => {
    const { one, ask, settled, pass, restart } = await scene('tag');
    fill(one);
    await restart({ source: { staleIfError: '1h' } });
    const path = manifestPath(name, '3');
    await ask(path);
    await settled(path);
    one.image(name, { tags: ['3'], seed: 'after' });
    one.fail('manifest', faults[500]);
    pass(overTheTtlMs);
    expect((await ask(path)).headers['x-larder-cache']).toBe('stale');
    pass(2 * 60 * 60_000);
    expectTold(await ask(path), unavailable);
  });
});

describe('broken off once', () => {
  it.each(['manifest', 'layer', 'layer that is elsewhere'])('a %s is resumed, and no client notices', async (what) => {
    const { one, ask } = await scene(what);
    const { path, bytes } = questionFor(what, fill(one), one);
    const fails = what === 'manifest' ? 'manifest' : what === 'layer' ? 'blob' : 'cdn';
    one.fail(fails, (good) => ({ ...good, cuts: [Math.floor(sizeOf(good) / 2)] }));
    const answer = await ask(path);
    expect([answer.status, answer.complete, bytes && answer.body.equals(bytes)]).toEqual([200, true, true]);
    expect(one.log(fails)).toHaveLength(2);
    // Signed addresses expire: each time the registry is asked for a new one.
    if (fails === 'cdn') {
      expect(one.log('blob')).toHaveLength(2);
      expect(new Set(one.cdn.requests.map(({ url }) => url)).size).toBe(2);
    }
  });
});

describe('of two upstreams', () => {
  const registries = [{}, {}];

  it('the second is not heard while the first is in trouble, for it could mean something else', async () => {
    const { one, two, ask } = await ociScene({ registries });
    const image = fill(two);
    one.fail('tag', faults[500]);
    expectTold(await ask(manifestPath(name, '3')), unavailable);
    one.heal();
    expect((await ask(manifestPath(name, '3'))).headers['docker-content-digest']).toBe(image.digest);
  });

  it('the second is heard if that is wanted', async () => {
    const { one, two, ask } = await ociScene({ registries, repository: { partial: 'allow' } });
    const image = fill(two);
    one.fail('tag', faults[500]);
    expect((await ask(manifestPath(name, '3'))).headers['docker-content-digest']).toBe(image.digest);
  });

  it('what the first has stored is served while both are in trouble', async () => {
    const { one, two, ask, settled, pass } = await ociScene({ registries });
    const image = fill(one);
    await ask(manifestPath(name, '3'));
    await settled(manifestPath(name, '3'));
    pass(overTheTtlMs);
    await Promise.all([one.stop(), two.stop()]);
    for (const reference of ['3', image.digest]) {
      expect((await ask(manifestPath(name, reference))).body.equals(image.bytes)).toBe(true);
    }
  });
});

describe('a manifest that is none', () => {
  it.each([
    ['of schema 1', { schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [], history: [], signatures: [] }, undefined],
    ['that is index and image at once', { schemaVersion: 2, config: {}, layers: [], manifests: [] }, undefined],
    [
      'of another type than it says',
      { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', layers: [] },
      undefined,
    ],
    ['in a type of no manifest', { schemaVersion: 2, layers: [] }, 'application/json'],
  ])('%s is refused by tag and by digest, and not stored', async (_what, json, type) => {
    const { one, ask, larder } = await ociScene();
    const mediaType = type ?? 'application/vnd.oci.image.manifest.v1+json';
    const { digest } = one.put(name, Buffer.from(JSON.stringify(json)), mediaType, ['1']);
    for (const reference of [digest, '1']) expectTold(await ask(manifestPath(name, reference)), invalid);
    const { checked } = await verify({ path: larder.storage });
    expect(checked).toBeLessThanOrEqual(1);
  });

  it('too long for any client is refused', async () => {
    const { one, ask } = await ociScene();
    const json = { schemaVersion: 2, layers: [], annotations: { a: 'a'.repeat(4 * 1024 * 1024) } };
    const { digest } = one.put(name, Buffer.from(JSON.stringify(json)), 'application/vnd.oci.image.manifest.v1+json', [
      '1',
    ]);
    expectTold(await ask(manifestPath(name, digest)), invalid);
  });
});

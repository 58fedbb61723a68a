/** A feed, Larder, and the questions that `dotnet restore` and its relatives ask, in good times and in bad ones. */
import { describe, expect, it } from 'vitest';
import { gate } from '../support/fake-upstream.ts';
import { ask } from '../support/http.ts';
import { type PackageFacts, packageOf, sha512Of } from '../support/nuget-packages.ts';
import { RestoreError, restore } from '../support/nuget-restore.ts';
import { nugetScene } from '../support/nuget-scene.ts';
import { eventually } from '../support/wait.ts';

const flat = (id: string, version: string): string => `/v3/flat/${id}/${version}/${id}.${version}.nupkg`;

/** Thirty packages, each needing the next two; every one in three versions. */
const thirty: readonly PackageFacts[] = Array.from({ length: 30 }, (_, n) => n).flatMap((n) =>
  ['1.0.0', '1.1.0-beta.1', '2.0.0+build.7'].map((version) => ({
    id: `Acme.Part${n}`,
    version,
    dependencies: [n + 1, n + 2]
      .filter((next) => next < 30)
      .map((next) => ({ id: `acme.part${next}`, range: next % 2 === 0 ? '[1.0.0, )' : '1.0.1' })),
  })),
);

const wanted = [{ id: 'Acme.Part0', range: '[1.0.0, )' }];

describe('a restore of thirty packages', () => {
  const feed = { packages: thirty, vulnerable: { 'acme.part3': '(, 3.0.0)' } };

  it('gets the same as without Larder; the second time nobody upstream is asked', async () => {
    const { first, source, requests, forget } = await nugetScene({ feeds: [feed] });
    const direct = await restore(`${first.url}/index.json`, wanted);
    expect(Object.keys(direct.packages)).toHaveLength(30);
    expect(direct.vulnerable).toEqual(['acme.part3']);
    forget();
    const cold = await restore(source, wanted);
    expect({ ...cold, asked: [] }).toEqual({ ...direct, asked: [] });
    // Its list of versions, its leaf, its catalog entry, the package; and what the feed says about itself.
    expect(requests()).toHaveLength(30 * 4 + 3);
    forget();
    expect(await restore(source, wanted)).toEqual(cold);
    expect(requests()).toEqual([]);
  });

  it('is served from what is stored while upstream is down, however old', async () => {
    const { first, source, get } = await nugetScene({ feeds: [feed], source: { ttl: '1ms' } });
    const before = await restore(source, wanted);
    await first.stop();
    expect(await restore(source, wanted)).toEqual(before);
    const unknown = await get('/v3/flat/acme.unknown/index.json');
    expect(unknown.status).toBe(503);
    expect(Number(unknown.headers['retry-after'])).toBeGreaterThan(0);
    expect(unknown.headers['x-nuget-warning']).toContain('first');
    await first.start();
    expect(await restore(source, wanted)).toEqual(before);
  });

  it('says in NuGet’s own way what is wrong before anything is stored', async () => {
    const { first, source } = await nugetScene({ feeds: [feed] });
    await first.stop();
    const failed = await restore(source, wanted).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(RestoreError);
    expect(failed).toMatchObject({ status: 503 });
    expect((failed as RestoreError).warning).toMatch(/^[\x20-\x7e]+$/);
    await first.start();
    expect(Object.keys((await restore(source, wanted)).packages)).toHaveLength(30);
  });
});

const tools: readonly PackageFacts[] = [
  { id: 'Acme.Tools', version: '1.0.0' },
  { id: 'Acme.Tools', version: '1.1.0', listed: false },
  { id: 'Acme.Tools', version: '2.0.0-rc.1' },
];

describe('an upstream that lies', () => {
  const page = { body: '<!doctype html><title>Sign in</title>', contentType: 'text/html' };
  const list = '/flat/acme.tools/index.json';
  const nupkg = '/flat/acme.tools/1.0.0/acme.tools.1.0.0.nupkg';
  const leaf = '/v3/registration5-gz-semver2/acme.tools/1.0.0.json';
  const entry = '/v3/catalog0/data/2024.01.01/acme.tools.1.0.0.json';
  const bytes = packageOf(tools[0] as PackageFacts);
  const statuses = [401, 403, 429, 500, 503].map(
    (status) => [String(status), { status, body: 'no' }, status < 404 ? 502 : 503] as const,
  );

  it.each([
    ['a page', page, 502],
    ['half of it', { body: '{"versions":["1.0', contentType: 'application/json' }, 502],
    ['a cut connection', { body: '{"versions":["1.0.0"]}', cuts: [5, 5] }, 502],
    ['a closed connection', { hangUp: true }, 503],
    ...statuses,
  ] as const)('in place of the versions: %s; nothing of it is kept', async (_what, reply, status) => {
    const { first, get } = await nugetScene({ feeds: [{ packages: tools }] });
    first.packages.at(list, reply);
    const answer = await get('/v3/flat/acme.tools/index.json');
    expect(answer.status).toBe(status);
    expect(answer.headers['x-nuget-warning']).toBeTypeOf('string');
    first.packages.at(list, { body: { versions: ['1.0.0'] } });
    const healed = await eventually('upstream is asked again', async () => {
      const again = await get('/v3/flat/acme.tools/index.json');
      // It may have said for how long it wants to be left alone.
      return again.status === 200 || again.headers['retry-after'] !== undefined ? again : undefined;
    });
    if (healed.status === 200) expect(healed.json()).toEqual({ versions: ['1.0.0'] });
    else expect(status).toBe(503);
  });

  it.each([
    ['a page', page],
    ['a message', { body: { error: 'x' } }],
    ['other bytes of that length', { body: Buffer.alloc(bytes.length, 1) }],
    ['a damaged one', { body: bytes, corruptAt: 100 }],
    ['a part that says it is all', { body: bytes.subarray(0, 200) }],
    ['a part without length', { body: bytes.subarray(0, 200), length: false as const }],
    ['more than there is', { body: Buffer.concat([bytes, bytes]) }],
  ] as const)('in place of a package: %s; it never arrives whole and is not kept', async (_what, reply) => {
    const { first, get, settled } = await nugetScene({ feeds: [{ packages: tools }] });
    first.packages.at(nupkg, reply);
    const answer = await get(flat('acme.tools', '1.0.0'));
    expect(answer.status === 200 && answer.complete).toBe(false);
    first.packages.at(nupkg, { body: bytes });
    const healed = await settled(flat('acme.tools', '1.0.0'));
    expect(sha512Of(healed.body)).toBe(sha512Of(bytes));
  });

  it('in place of a package a status: what it means to NuGet, and no more than that', async () => {
    const expected = { 401: 502, 403: 502, 404: 404, 410: 404, 429: 503, 500: 503, 503: 503 };
    const packages = Object.keys(expected).map((status) => ({ id: 'Acme.Tools', version: `${status}.0.0` }));
    const { first, get, settled } = await nugetScene({ feeds: [{ packages }], source: { negativeTtl: '1ms' } });
    for (const [status, told] of Object.entries(expected)) {
      const path = flat('acme.tools', `${status}.0.0`);
      const there = path.replace('/v3', '');
      first.packages.at(there, { status: Number(status), body: 'no', headers: { 'retry-after': '1' } });
      const answer = await get(path);
      expect([status, answer.status]).toEqual([status, told]);
      expect(answer.headers['retry-after'] !== undefined).toBe(told === 503);
      const whole = first.nupkg('acme.tools', `${status}.0.0`);
      first.packages.at(there, { body: whole });
      if (told !== 503) expect((await settled(path)).body.equals(whole)).toBe(true);
    }
  });

  it('that says nothing at all is not waited for for ever, wherever it falls silent', async () => {
    const silent = { holdHeaders: gate() };
    const paths = {
      '/v3/flat/acme.tools/index.json': ['packages', list],
      [flat('acme.tools', '1.0.0')]: ['api', leaf],
      [flat('acme.tools', '2.0.0-rc.1')]: ['packages', '/flat/acme.tools/2.0.0-rc.1/acme.tools.2.0.0-rc.1.nupkg'],
      '/v3/registration-semver2/acme.tools/index.json': ['api', '/v3/registration5-gz-semver2/acme.tools/index.json'],
      '/v3/search?q=a': ['search', '/query'],
    } as const;
    const { first, get } = await nugetScene({ feeds: [{ packages: tools }], upstream: { timeoutMs: 200 } });
    for (const [server, path] of Object.values(paths)) first[server as 'api' | 'packages' | 'search'].at(path, silent);
    const answers = await Promise.all(Object.keys(paths).map(async (path) => [path, (await get(path)).status]));
    expect(answers).toEqual(Object.keys(paths).map((path) => [path, 503]));
    silent.holdHeaders.open();
  });

  it.each([
    ['the leaf', leaf, page],
    ['the leaf', leaf, { body: '{"catalogEntry":' }],
    ['the catalog entry', entry, page],
    ['the catalog entry', entry, { body: { id: 'Acme.Other', version: '1.0.0' } }],
    ['the catalog entry', entry, { body: { packageHash: 'AAAA', packageHashAlgorithm: 'SHA512' } }],
  ] as const)('in place of %s: no package comes of it', async (_what, path, reply) => {
    const { first, get } = await nugetScene({ feeds: [{ packages: tools }] });
    first.api.at(path, reply);
    expect((await get(flat('acme.tools', '1.0.0'))).status).toBe(502);
    expect(first.packages.count(nupkg)).toBe(0);
  });

  it.each([
    ['no catalog', { without: ['catalog'] as const }],
    ['a catalog elsewhere', {}],
  ])('%s: the package is checked by its length and kept', async (what, more) => {
    const { first, get, settled } = await nugetScene({ feeds: [{ packages: tools, ...more }] });
    if (what !== 'no catalog') {
      first.api.at(leaf, { body: { catalogEntry: 'https://catalog.example/acme.tools.1.0.0.json', listed: true } });
    }
    first.packages.at(nupkg, { body: bytes, truncateAt: 100 });
    const cut = await get(flat('acme.tools', '1.0.0'));
    expect(cut.status === 200 && cut.complete).toBe(false);
    first.packages.at(nupkg, { body: bytes });
    expect((await settled(flat('acme.tools', '1.0.0'))).body.equals(bytes)).toBe(true);
  });

  it('a feed without a catalog is believed what it says in the second version of the protocol', async () => {
    const { first, get, settled } = await nugetScene({
      feeds: [{ packages: tools, without: ['catalog'], legacy: true }],
    });
    first.packages.at(nupkg, { body: Buffer.alloc(bytes.length, 1) });
    const wrong = await get(flat('acme.tools', '1.0.0'));
    expect(wrong.status === 200 && wrong.complete).toBe(false);
    first.packages.at(nupkg, { body: bytes });
    expect((await settled(flat('acme.tools', '1.0.0'))).body.equals(bytes)).toBe(true);
    // What is no entry at all says nothing.
    const other = '/flat/acme.tools/2.0.0-rc.1/acme.tools.2.0.0-rc.1.nupkg';
    first.packages.at("/api/v2/Packages(Id='acme.tools',Version='2.0.0-rc.1')", page);
    expect((await get(flat('acme.tools', '2.0.0-rc.1'))).status).toBe(200);
    expect(first.packages.count(other)).toBe(1);
  });

  it('another Larder in between passes on what the package is checked by', async () => {
    const outer = await nugetScene({ feeds: [{ packages: tools }] });
    const inner = await nugetScene({ feeds: [{ packages: tools }] });
    const asked = await ask(`${outer.base}/v3/registration-semver2/acme.tools/1.0.0.json`);
    expect(asked.json()).toMatchObject({
      packageHash: sha512Of(bytes),
      packageHashAlgorithm: 'SHA512',
      packageSize: bytes.length,
    });
    inner.first.api.at(leaf, { body: asked.body });
    inner.first.packages.at(nupkg, { body: Buffer.alloc(bytes.length, 1) });
    const wrong = await inner.get(flat('acme.tools', '1.0.0'));
    expect(wrong.status === 200 && wrong.complete).toBe(false);
  });

  it('a version that has no leaf yet is had all the same, and one that is in no list is not there', async () => {
    const { first, get } = await nugetScene({ feeds: [{ packages: tools }] });
    first.api.at(leaf, { status: 404 });
    expect((await get(flat('acme.tools', '1.0.0'))).body.equals(bytes)).toBe(true);
    expect((await get(flat('acme.tools', '9.0.0'))).status).toBe(404);
    expect((await get(flat('acme.unknown', '1.0.0'))).status).toBe(404);
  });

  it('a service index that is none makes everything 502, and nothing is asked at guessed addresses', async () => {
    const { first, get, requests } = await nugetScene({ feeds: [{ packages: tools }] });
    first.api.at('/v3/index.json', page);
    for (const path of ['/v3/index.json', '/v3/flat/acme.tools/index.json', flat('acme.tools', '1.0.0')]) {
      expect((await get(path)).status).toBe(502);
    }
    expect(new Set(requests())).toEqual(new Set(['first GET api /v3/index.json']));
  });

  it('a page of a registration that moved meanwhile is looked up in the new index', async () => {
    const many = Array.from({ length: 130 }, (_, n) => ({ id: 'Acme.Many', version: `1.0.${n}` }));
    const { first, json } = await nugetScene({ feeds: [{ packages: many }] });
    const moved = '/v3/registration5-gz-semver2/acme.many/page/1.0.64/1.0.127.json';
    const apart = await ask(`${first.api.url}${moved}`);
    expect(apart.status).toBe(200);
    first.api.at(moved, { status: 404 }, () => ({
      body: apart.body,
      coding: undefined as never,
      headers: { 'content-encoding': 'gzip' },
      contentType: 'application/json',
    }));
    const index = (await json('/v3/registration-semver2/acme.many/index.json')) as { count: number };
    expect(index.count).toBe(3);
    expect(first.api.count('/v3/registration5-gz-semver2/acme.many/index.json')).toBe(2);
  });
});

describe('addresses', () => {
  /** Everything in a document that a client could ask. */
  function urlsIn(value: unknown): string[] {
    if (typeof value === 'string') return /^https?:\/\/(?:127|localhost)/.test(value) ? [value] : [];
    return typeof value === 'object' && value !== null ? Object.values(value).flatMap(urlsIn) : [];
  }

  it('are all ours and all lead somewhere, from the service index down', async () => {
    const many = Array.from({ length: 130 }, (_, n) => ({ id: 'Acme.Many', version: `1.0.${n}` }));
    const { source, base } = await nugetScene({ feeds: [{ packages: [...tools, ...many] }] });
    const open = [
      source,
      `${base}/v3/search?q=acme&prerelease=true&semVerLevel=2.0.0`,
      `${base}/v3/search?q=acme`,
      ...['registration', 'registration-gz', 'registration-semver2'].map(
        (hive) => `${base}/v3/${hive}/acme.many/index.json`,
      ),
      `${base}/v3/registration-semver2/acme.tools/2.0.0-rc.1.json`,
    ];
    const bases = new Set<string>();
    const seen = new Map<string, number>();
    for (let url = open.shift(); url; url = open.shift()) {
      const plain = url.split('#')[0] ?? '';
      // Of many that are alike two will do.
      if (/acme\.many\/(?!1\.0\.(?:0|129)\b)1\./.test(plain)) continue;
      if (seen.has(plain) || plain.includes('{') || bases.has(plain)) continue;
      const answer = await ask(plain);
      seen.set(plain, answer.status);
      if (!/json/.test(answer.headers['content-type'] ?? '')) continue;
      const found = urlsIn(answer.json());
      expect(found.filter((one) => !one.startsWith(`${base}/`))).toEqual([]);
      if (plain === source) for (const one of found) if (/\/$|\/v2$/.test(one)) bases.add(one);
      open.push(...found);
    }
    expect([...seen].filter(([, status]) => status !== 200)).toEqual([]);
    expect(seen.size).toBeGreaterThan(40);
  });

  const spelled: readonly (readonly [string, number])[] = [
    ['/v3/flat/ACME.Tools/index.json', 200],
    ['/v3/flat/ACME.Tools/1.0/Acme.Tools.1.0.nupkg', 200],
    ['/v3/flat/acme.tools/1.00.0.0/acme.tools.1.0.0.nupkg', 200],
    ['/v3/flat/acme.tools/1.0.0+build/acme.tools.1.0.0.nupkg', 200],
    ['/v3/flat/acme.tools/2.0.0-RC.1/acme.tools.2.0.0-RC.1.nupkg', 200],
    ['/v3/flat/acme.tools/1.0.0/acme.tools.nuspec', 200],
    ['/v3/flat/acme.tools/1.0.0/icon', 200],
    ['/v3/flat/acme.tools/1.0.0/readme', 404],
    ['/v3/flat/acme.tools/1.0.0/acme.tools.1.0.1.nupkg', 404],
    ['/v3/flat/acme.tools/1.0.0/other.1.0.0.nupkg', 404],
    ['/v3/flat/acme.tools/latest/acme.tools.latest.nupkg', 404],
    ['/v3/flat/acme_tools/index.json', 404],
    ['/v3/flat/acme%20tools/index.json', 404],
    ['/v3/registration-semver2/acme.unknown/index.json', 404],
    ['/v3/registration-semver2/acme.tools/9.9.9.json', 404],
    ['/v3/registration/acme.tools/2.0.0-rc.1.json', 404],
    ['/v3/registration-other/acme.tools/index.json', 404],
    ['/v3/vulnerabilities/base-0000000000000000.json', 404],
  ];

  it('are found in every spelling, and what is not there is 404, to HEAD as well', async () => {
    const { get } = await nugetScene({ feeds: [{ packages: tools }] });
    for (const [path, status] of spelled) {
      const answer = await get(path);
      expect([path, answer.status]).toEqual([path, status]);
      if (status === 404) expect(answer.json()).toMatchObject({ code: 'not_found' });
      expect([path, (await get(path, { method: 'HEAD' })).status]).toEqual([path, status]);
    }
  });
});

describe('several feeds', () => {
  const own: readonly PackageFacts[] = [
    { id: 'Acme.Tools', version: '1.0.0', library: Buffer.from('MZ ours') },
    { id: 'Acme.Tools', version: '3.0.0' },
    { id: 'Acme.Secret', version: '1.0.0' },
  ];
  const feeds = [{ packages: own }, { packages: [...tools, { id: 'Other', version: '1.0.0' }] }];

  it('are one: versions, registrations and search agree, and the earlier one has the say', async () => {
    const { json, get, first, second } = await nugetScene({ feeds });
    const versions = ['1.0.0', '1.1.0', '2.0.0-rc.1', '3.0.0'];
    expect(await json('/v3/flat/acme.tools/index.json')).toEqual({ versions });
    const index = (await json('/v3/registration-semver2/acme.tools/index.json')) as {
      items: { lower: string; upper: string; items: { catalogEntry: { version: string } }[] }[];
    };
    expect(index.items[0]?.items.map((leaf) => leaf.catalogEntry.version)).toEqual(versions);
    expect(index.items[0]).toMatchObject({ lower: '1.0.0', upper: '3.0.0' });
    const found = (await json('/v3/search?q=&prerelease=true&semVerLevel=2.0.0')) as {
      totalHits: number;
      data: { id: string; version: string; versions: { version: string }[] }[];
    };
    expect(found.data.map(({ id }) => id).sort()).toEqual(['Acme.Secret', 'Acme.Tools', 'Other']);
    const tool = found.data.find(({ id }) => id === 'Acme.Tools');
    expect(tool).toMatchObject({ version: '3.0.0' });
    expect(tool?.versions.map(({ version }) => version)).toEqual(['1.0.0', '2.0.0-rc.1', '3.0.0']);
    expect((await get(flat('acme.tools', '1.0.0'))).body.equals(first.nupkg('acme.tools', '1.0.0'))).toBe(true);
    expect((await get(flat('acme.tools', '1.1.0'))).body.equals(second.nupkg('acme.tools', '1.1.0'))).toBe(true);
  });

  it('never hear of names that belong to another one', async () => {
    const { get, json, second, source } = await nugetScene({ feeds, claims: ['Acme.*'] });
    expect(await json('/v3/flat/acme.tools/index.json')).toEqual({ versions: ['1.0.0', '3.0.0'] });
    await restore(source, [{ id: 'Acme.Secret', range: '1.0.0' }]);
    for (const path of [
      '/v3/registration-semver2/Acme.Secret/index.json',
      '/v3/registration-semver2/ACME.SECRET/1.0.0.json',
      '/v3/search?q=Acme.Secret',
      '/v3/search?q=packageid:acme.secret',
      '/v3/autocomplete?id=Acme.Secret',
      "/v2/FindPackagesById()?id='Acme.Secret'",
      '/v3/flat/acme.secret/1.0.0/acme.secret.nuspec',
      '/v3/flat/acme.unknown/index.json',
    ]) {
      await get(path);
    }
    expect(second.requests().filter((request) => /acme/i.test(request))).toEqual([]);
  });

  it('in part silent are an error and no smaller list, which would change what is resolved', async () => {
    const { get, second } = await nugetScene({ feeds });
    await second.stop();
    expect((await get('/v3/flat/acme.tools/index.json')).status).toBe(503);
  });

  it('that have no search, or know no vulnerabilities, take nothing away from those that do', async () => {
    const { json, source } = await nugetScene({
      feeds: [
        { packages: own, without: ['search', 'autocomplete', 'vulnerabilities', 'signatures'] },
        { packages: tools, vulnerable: { 'acme.tools': '(, 2.0.0)' } },
      ],
    });
    expect(await json('/v3/search?q=tools')).toMatchObject({ data: [{ id: 'Acme.Tools', version: '1.0.0' }] });
    expect(await json('/v3/autocomplete?q=tools')).toMatchObject({ data: ['Acme.Tools'] });
    expect(await restore(source, [{ id: 'Acme.Tools', range: '1.0.0' }])).toMatchObject({ vulnerable: ['acme.tools'] });
  });

  it('without any of it offer none of it', async () => {
    const without = ['search', 'autocomplete', 'vulnerabilities', 'signatures'] as const;
    const { json, get } = await nugetScene({ feeds: [{ packages: own, without }] });
    const index = JSON.stringify(await json('/v3/index.json'));
    expect(index).not.toMatch(/Search|Vulnerability|Signatures/);
    expect((await get('/v3/search?q=a')).status).toBe(404);
    expect((await get('/v3/vulnerabilities/index.json')).status).toBe(404);
  });
});

describe('signatures that upstream demands', () => {
  it('are demanded over https alone, and only if there is no other feed', async () => {
    const one = await nugetScene({ feeds: [{ allSigned: true }] });
    expect(JSON.stringify(await one.json('/v3/index.json'))).not.toContain('RepositorySignatures');
    expect(await one.json('/v3/repository-signatures/index.json')).toMatchObject({
      allRepositorySigned: true,
      signingCertificates: [{ contentUrl: 'https://certificates.example/a.crt' }],
    });
    const two = await nugetScene({ feeds: [{ allSigned: true }, { without: ['signatures'] }] });
    expect(await two.json('/v3/repository-signatures/index.json')).toMatchObject({ allRepositorySigned: false });
  });
});

describe('a registration of a thousand versions', () => {
  const thousand = Array.from({ length: 1000 }, (_, n) => ({ id: 'Acme.Huge', version: `1.${n}.0` }));

  it('is fetched once for twenty clients, in pages, and given out in pages', async () => {
    const { get, first, json } = await nugetScene({ feeds: [{ packages: thousand }] });
    const path = '/v3/registration-semver2/acme.huge/index.json';
    const answers = await Promise.all(Array.from({ length: 20 }, () => get(path)));
    expect(new Set(answers.map(({ status, body }) => `${status} ${sha512Of(body)}`)).size).toBe(1);
    const index = answers[0]?.json() as { count: number; items: { '@id': string; items?: unknown }[] };
    expect(index.count).toBe(16);
    expect(index.items.some(({ items }) => items !== undefined)).toBe(false);
    const pages = await Promise.all(index.items.map(async (page) => (await ask(page['@id'])).json()));
    expect(pages.flatMap((page) => (page as { items: unknown[] }).items)).toHaveLength(1000);
    expect(first.requests()).toHaveLength(1 + 1 + 16);
    expect(((await json('/v3/flat/acme.huge/index.json')) as { versions: unknown[] }).versions).toHaveLength(1000);
  });
});
